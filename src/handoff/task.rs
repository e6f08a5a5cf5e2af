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
    pub source: Source,
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

/// The location of the bytes.
#[derive(Debug)]
pub enum Source {
    S3(Object),
    /// In the message itself (`direct_mode`).
    Body {
        message_id: String,
        bytes: Buffer,
    },
    /// A page of an API's answer.
    Page {
        /// The source: `<input id>/<service>/<region>`.
        source: String,
        /// `<account>/<region>`, for the fields that are taken from a key.
        key: String,
    },
}

impl Source {
    /// The key for rules and fields: the object's, or a page's own; empty for a body.
    pub fn key(&self) -> &str {
        match self {
            Source::S3(object) => &object.key,
            Source::Page { key, .. } => key,
            Source::Body { .. } => "",
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::S3(object) => object.fmt(f),
            Source::Page { source, .. } => write!(f, "a page of {source}"),
            Source::Body { message_id, .. } => write!(f, "the body of message {message_id}"),
        }
    }
}
