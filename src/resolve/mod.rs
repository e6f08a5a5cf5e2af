//! message body -> the objects that it announces.
//!
//! Pure. Every shape is told apart by the message itself, so no setting has to say whether S3 writes
//! to the queue directly, through SNS (wrapped or raw) or through EventBridge. A body that is none
//! of the known shapes is an error: the caller must leave such a message to the redrive policy.
//!
//! Sources of the shapes: the S3 user guide ("Event message structure", "Using EventBridge"), the SNS
//! developer guide ("Parsing message formats"), the CloudTrail and Config user guides (SNS
//! notifications), the Security Lake user guide ("Managing data access for Security Lake subscribers"),
//! CrowdStrike's public FDR sample message.

mod pulled;
mod shapes;
mod task;

use std::sync::Mutex;

use jiff::Timestamp;

use crate::limits::MESSAGE_BYTES_USUAL;

pub use pulled::PullingId;
pub use task::{Source, Task};

/// An S3 object that a message names. The key is as S3 has it: decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub bucket: String,
    pub key: String,
    /// The bucket's region, where the message says it.
    pub region: Option<String>,
    /// Bytes as the message says: a hint only, it may be missing or wrong.
    pub size: Option<u64>,
    pub version_id: Option<String>,
    /// What S3 said that it stored, without quotes.
    pub etag: Option<String>,
    /// CrowdStrike's own sum of the file's content.
    pub checksum: Option<String>,
}

impl Object {
    /// Holds no log by its nature: a folder's placeholder, a job's `_SUCCESS` mark, zero bytes.
    pub fn is_marker(&self) -> bool {
        self.size == Some(0) || is_marker(&self.key)
    }
}

/// Does the key alone say that the object holds no log?
pub fn is_marker(key: &str) -> bool {
    matches!(key.rsplit('/').next(), None | Some("" | "_SUCCESS"))
}

impl std::fmt::Display for Object {
    /// `s3://bucket/key`, control characters escaped: keys are chosen by others and end up in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket.escape_debug(), self.key.escape_debug())
    }
}

/// What a readable body says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announcement {
    /// Objects to collect.
    pub objects: Vec<Object>,
    /// Things named that are no new object: removals, restores, test events, other event types.
    pub ignored: usize,
    /// When the objects were written, the first of them, if the message says so.
    pub written: Option<Timestamp>,
}

/// The body is no shape that we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("the message body is not JSON ({0})")]
    NotJson(String),
    #[error(
        "the message body is JSON of no known shape (S3 event, SNS, EventBridge, CrowdStrike FDR, CloudTrail or Config notification)"
    )]
    UnknownShape,
    #[error("the message body is {shape} but lacks {what}")]
    Incomplete { shape: &'static str, what: &'static str },
    #[error("the message body has more than {max} values, which no announcement has")]
    TooManyValues { max: usize },
}

/// Held while a large message is read, which takes fifty times its size.
static LARGE: Mutex<()> = Mutex::new(());

/// Reads a message body.
///
/// # Errors
/// [`Unreadable`] when the body is of no known shape or lacks what its shape needs. Nothing is known
/// of such a message, so it must not be deleted.
pub fn resolve(body: &str) -> Result<Announcement, Unreadable> {
    let _alone = (body.len() > MESSAGE_BYTES_USUAL).then(|| LARGE.lock());
    shapes::read(body, shapes::ENVELOPES_MAX)
}

#[cfg(test)]
mod tests;
