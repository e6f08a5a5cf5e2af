//! Positions in a round over the metrics, for a collector that is restarted repeatedly.

use serde::{Deserialize, Serialize};

/// A position inside a round. A round with other ends, namespaces or periods restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The checkpoint that the round follows.
    pub since: i64,
    /// Both ends of the round.
    pub from: i64,
    pub to: i64,
    pub period: i64,
    pub recently_active: bool,
    pub namespaces: Vec<String>,
    /// Index in the namespaces.
    pub namespace: usize,
    /// The page of the listing. None for the first.
    pub token: Option<String>,
    /// The fingerprint of the page's last read metric.
    pub after: Option<u64>,
    /// Number of metrics per call: with more, the answer did not fit one page.
    pub batch_max: Option<usize>,
    /// A process ended while it requested the units of the next metrics: they are sent without.
    #[serde(default)]
    pub without_units: bool,
    /// Metrics that have been listed.
    pub metrics: usize,
}

/// The checkpoint's part.
pub const PLACE: &str = "place";

impl Place {
    /// True if it is a position inside a new round, or would be if that had been started when this one was.
    pub fn is_of(&self, new: &Place, end: i64) -> bool {
        self.since == new.since
            && self.to <= end
            && self.period == new.period
            && self.recently_active == new.recently_active
            && self.namespaces == new.namespaces
    }
}
