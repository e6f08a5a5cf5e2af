//! What is asked for, and what is printed.

use super::bucket::Bucket;

/// What a configuration does not say and the user adds.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Where the objects lie.
    pub buckets: Vec<Bucket>,
    /// ARNs of the keys that buckets or queues are encrypted with.
    pub kms_keys: Vec<String>,
    /// ARNs of dead-letter queues, so that what lies in them can be counted.
    pub dead_letters: Vec<String>,
    /// Buckets keep versions, and announcements name them.
    pub versioned: bool,
    /// Buckets may be listed: for `backfill`, and to tell a missing object from a forbidden one.
    pub list: bool,
}

/// A document, and what the user should know about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub json: serde_json::Value,
    /// Sentences; not a part of the document.
    pub notes: Vec<String>,
}
