//! What is asked for, and what is printed.

use crate::settings::Bucket;

/// Facts that a configuration does not have and the user adds.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// The location of the objects.
    pub buckets: Vec<Bucket>,
    /// ARNs of the keys that encrypt buckets or queues.
    pub kms_keys: Vec<String>,
    /// ARNs of dead-letter queues, so that their messages can be counted.
    pub dead_letters: Vec<String>,
    /// Buckets are versioned, and announcements name versions.
    pub versioned: bool,
    /// Buckets may be listed: for `backfill`, and to distinguish a missing object from a forbidden one.
    pub list: bool,
    /// `audit` may list the buckets and read their notification configuration.
    pub audit: bool,
}

/// A document, with notes for the user.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub json: serde_json::Value,
    /// Sentences; not a part of the document.
    pub notes: Vec<String>,
}
