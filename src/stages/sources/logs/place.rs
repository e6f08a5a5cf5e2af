//! Positions of a log group inside a slice, and of a region inside its list of groups: checkpoints for a collector that
//! is restarted repeatedly. CloudWatch accepts a page token for 24 hours, also from another process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::stages::sources::place::read_place;

/// A position inside a slice of a group, or in its first retrieval by streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Both ends of the slice.
    pub from: i64,
    pub to: i64,
    /// When its reading began: late events from then have to be looked for again.
    pub present: i64,
    /// The next page of events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<StreamsPlace>,
}

/// The streams being read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamsPlace {
    /// Their first page of the list. None for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// By their names' fingerprint: the events' token is valid for the same streams only.
    #[serde(default)]
    pub names: u64,
}

/// A position in the list of groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPlace {
    /// The page of the list. None for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The groups up to this one have been read in this round.
    pub after: String,
}

/// The checkpoint's part for the list of groups. A group's name has no blank.
pub const LIST: &str = " (list)";

/// The checkpoint's part for the position inside a slice of a group.
pub fn part(group: &str) -> String {
    format!("{group}{IN_SLICE}")
}

const IN_SLICE: &str = " (slice)";

/// By group: the positions in checkpoints.
pub fn places(checkpoints: &BTreeMap<String, String>) -> BTreeMap<String, Place> {
    let place = |(part, value): (&String, &String)| {
        Some((part.strip_suffix(IN_SLICE)?.to_owned(), read_place(value)?))
    };
    checkpoints.iter().filter_map(place).collect()
}
