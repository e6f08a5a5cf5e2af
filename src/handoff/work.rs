//! The payload that `fetch` passes to the workers.

use std::sync::Arc;

use crossbeam_channel::Sender;

use crate::ack::{Ack, Fate, Progress};
use crate::base::buffers::Buffer;
use crate::decode::Decoder;
use crate::handoff::{PullingId, Source};
use crate::ledger::Case;
use crate::services::Definition;

/// One object in flight, with all state that must survive between its chunks.
pub struct Work {
    pub source: Source,
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
    /// The object's record of crashes. None if it cannot be identified by name.
    pub case: Option<Case>,
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
