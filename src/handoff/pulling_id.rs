use std::sync::Arc;

use jiff::Timestamp;

/// Identifies one pull, so that its events can be found in Devo (`@devo_pulling_id`). Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullingId(Arc<str>);

impl std::fmt::Display for PullingId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl PullingId {
    /// The id of a pull that starts now: seconds since 1970, to the microsecond.
    pub fn of(now: Timestamp) -> PullingId {
        let micros = now.as_microsecond().max(0);
        PullingId(format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000).into())
    }

    /// Digits and a dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
