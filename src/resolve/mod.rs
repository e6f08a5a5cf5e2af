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

use crate::limits::{MESSAGE_BYTES_USUAL, NAMED_CHARS_MAX};
use crate::naming;

pub use pulled::PullingId;
pub use task::{Source, Task};

/// An S3 object that a message names. The key is as S3 has it: decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub bucket: String,
    pub key: String,
    /// The bucket's region, where the message says it.
    pub region: Option<String>,
    /// Bytes as the message says: a hint where no ETag stands beside it. Missing, or 0: nobody knows.
    pub size: Option<u64>,
    pub version_id: Option<String>,
    /// What S3 said that it stored, without quotes.
    pub etag: Option<String>,
    /// CrowdStrike's own sum of the file's content.
    pub checksum: Option<String>,
}

impl Object {
    /// Can there be a bucket and an object of these names?
    fn is_possible(&self) -> bool {
        naming::is_bucket(&self.bucket) && naming::is_key(&self.key)
    }
}

/// Does the key alone say that the object holds no log? It is the mark that a Hadoop job leaves.
///
/// The size in a message does not say it: Ceph, RustFS and relays write 0 for objects that have bytes. Nor does a slash
/// at the key's end.
pub fn is_marker(key: &str) -> bool {
    key.rsplit('/').next() == Some("_SUCCESS")
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
    #[error(
        "the message names an object that cannot exist, {0}: the name of its bucket or its key is not possible"
    )]
    Impossible(String),
    #[error("the message body has more than {max} values, which no announcement has")]
    TooManyValues { max: usize },
}

/// Held while a large message is read, which takes fifty times its size.
static LARGE: Mutex<()> = Mutex::new(());

/// Reads a message body.
///
/// # Errors
/// [`Unreadable`] when the body is of no known shape or lacks what its shape needs. Nothing is known
/// of such a message, so it must not be deleted. So is a message with a name that must not become part of an
/// address.
pub fn resolve(body: &str) -> Result<Announcement, Unreadable> {
    let _alone = (body.len() > MESSAGE_BYTES_USUAL).then(|| LARGE.lock());
    let found = shapes::read(body, shapes::ENVELOPES_MAX)?;
    match found.objects.iter().find(|object| !object.is_possible()) {
        Some(object) => Err(Unreadable::Impossible(shortened(&object.to_string()))),
        None => Ok(found),
    }
}

/// Names are chosen by others; a log line shows as much of one as helps to find it.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(NAMED_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
