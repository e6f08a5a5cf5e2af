//! The payload that `fetch` passes to the workers.

use std::sync::Arc;

use crate::ack::{Ack, Fate, Progress};
use crate::base::buffers::Buffer;
use crate::base::object::Object;
use crate::base::runtime::channel::Sender;
use crate::decode::Decoder;
use crate::handoff::PullingId;
use crate::ledger::Case;
use crate::services::Definition;

/// One object in flight, with all state that must survive between its chunks.
pub struct Work {
    pub source: WorkSource,
    pub service: Arc<Definition>,
    /// Index of the input in the configuration.
    pub input: usize,
    pub ack: Ack,
    /// The reason for its ending.
    pub fate: Fate,
    pub decoder: Decoder,
    pub progress: Progress,
    /// The pull that brought it, if events should name it.
    pub pulled: Option<PullingId>,
    /// The object's record of crashes. None for a page of an API.
    pub case: Option<Case>,
}

/// The origin of the bytes in flight.
#[derive(Debug)]
pub enum WorkSource {
    S3(Object),
    /// A message itself (`direct_mode`).
    Body {
        message_id: String,
    },
    /// A page of an API's answer.
    Page {
        /// The source: `<input id>/<service>/<region>`.
        source: String,
        /// `<account>/<region>`, for the fields that are taken from a key.
        key: String,
    },
}

impl WorkSource {
    /// The object in S3; None for a message's body or an API's page.
    pub fn object(&self) -> Option<&Object> {
        match self {
            WorkSource::S3(object) => Some(object),
            WorkSource::Body { .. } | WorkSource::Page { .. } => None,
        }
    }

    /// The key for rules and fields: the object's, or a page's own; empty for a body.
    pub fn key(&self) -> &str {
        match self {
            WorkSource::S3(object) => &object.key,
            WorkSource::Page { key, .. } => key,
            WorkSource::Body { .. } => "",
        }
    }
}

impl std::fmt::Display for WorkSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WorkSource::S3(object) => object.fmt(f),
            WorkSource::Page { source, .. } => write!(f, "a page of {source}"),
            WorkSource::Body { message_id } => write!(f, "the body of message {message_id}"),
        }
    }
}

/// Compressed bytes of an object, in order: all of it, or the next chunk of it.
pub struct Payload {
    pub work: Box<Work>,
    /// It holds its memory permit, which is returned when the chunk has been decoded.
    pub chunk: Buffer,
    /// There are no more chunks.
    pub last: bool,
    /// The channel for the work's return until its next chunk. Dropped if there is none, or if decoding failed.
    pub next: Option<Sender<Box<Work>>>,
    /// Takes the work back when others hold the memory that it needs. If None, it counts as not delivered.
    pub again: Option<Again>,
}

/// Restarts an object, with all the memory that it needs.
pub type Again = Box<dyn FnOnce(Box<Work>) + Send>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::OBJECT_BYTES_MIN;

    #[test]
    fn what_waits_with_a_chunk_is_covered_by_the_least_that_it_is_charged() {
        // Its key and other names are added: 1 KiB at most, and as much for their containers.
        assert!(size_of::<Work>() + size_of::<Payload>() + 2048 <= OBJECT_BYTES_MIN, "{}", size_of::<Work>());
    }
}
