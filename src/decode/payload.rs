//! What travels from `fetch` to the workers.

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::Decoder;
use crate::ack::{Ack, Progress, Turn};
use crate::budget::Permit;
use crate::buffers::Buffer;
use crate::ledger::Case;
use crate::resolve::{PullingId, Source};
use crate::services::Definition;

/// One object on its way, and all that must survive between its chunks.
pub struct Work {
    pub source: Source,
    pub service: Arc<Definition>,
    /// Index of the input in the configuration.
    pub input: usize,
    pub ack: Ack,
    pub decoder: Decoder,
    pub progress: Progress,
    /// Its message's turn, where order matters (FIFO queues).
    pub turn: Option<Turn>,
    /// The pull that brought it, where events are to name it.
    pub pulled: Option<PullingId>,
    /// Whether the process died over it before. None: it is not asked for by name.
    pub case: Option<Case>,
}

/// Compressed bytes of an object, in order: all of it, or the next chunk of it.
pub struct Payload {
    pub work: Box<Work>,
    pub chunk: Buffer,
    /// There are no more chunks.
    pub last: bool,
    /// The chunk's share of the memory; goes back when the chunk has been decoded.
    pub permit: Permit,
    /// Where the work waits for its next chunk. Dropped when there is none, or when decoding failed.
    pub next: Option<Sender<Box<Work>>>,
    /// Takes the work back when others hold the memory that it needs. None: it counts as not delivered.
    pub again: Option<Again>,
}

/// Begins an object again, from its beginning and with all the memory that it needs.
pub type Again = Box<dyn FnOnce(Box<Work>) + Send>;
