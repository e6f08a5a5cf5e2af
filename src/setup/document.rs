//! The wishes for a document, and the document.

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
    /// Parts of the template beside queues, buckets and access.
    pub extras: Extras,
}

/// Parts of a template that not everybody wants.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// Days after which new buckets delete their objects; None to keep them.
    pub expire_days: Option<u32>,
    /// A trail that writes to the new buckets of CloudTrail's services.
    pub trail: bool,
    /// ARN of the SNS topic that the alarms on dead letters notify.
    pub alarm_topic: Option<String>,
}

/// A document, with notes for the user.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub json: serde_json::Value,
    /// Sentences; not a part of the document.
    pub notes: Vec<String>,
}
