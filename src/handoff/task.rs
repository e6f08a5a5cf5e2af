use std::sync::Arc;

use jiff::Timestamp;

use super::PullingId;
use crate::ack::{Fate, Share, Turn};
use crate::base::buffers::Buffer;
use crate::base::object::Object;
use crate::services::Definition;

/// Something to collect, passed from `receive` to `fetch`.
#[derive(Debug)]
pub struct Task {
    pub source: TaskSource,
    pub service: Arc<Definition>,
    /// Index of the input in the configuration, for its credentials, endpoints and outputs.
    pub input: usize,
    /// Its share of the message.
    pub share: Share,
    /// The reason for its ending.
    pub fate: Fate,
    /// Its message's turn, if order matters (FIFO queues).
    pub turn: Option<Turn>,
    /// The pull that brought it, if events should name it.
    pub pulled: Option<PullingId>,
    /// It is left out if S3 says that it was written before this time: its message does not say when it was.
    pub not_before: Option<Timestamp>,
}

/// The log to collect.
#[derive(Debug)]
pub enum TaskSource {
    S3(Object),
    /// In the message itself (`direct_mode`).
    Body {
        message_id: String,
        bytes: Buffer,
    },
}

impl TaskSource {
    /// The object in S3; None for a message's body.
    pub fn object(&self) -> Option<&Object> {
        match self {
            TaskSource::S3(object) => Some(object),
            TaskSource::Body { .. } => None,
        }
    }
}

impl std::fmt::Display for TaskSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TaskSource::S3(object) => object.fmt(f),
            TaskSource::Body { message_id, .. } => write!(f, "the body of message {message_id}"),
        }
    }
}
