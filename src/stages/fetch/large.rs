//! Objects whose decoding needs memory that others hold: they are restarted, one at a time, when all decoder memory is
//! reserved for them.
//!
//! A separate thread waits for that. It holds nothing meanwhile, and those who hold the memory do not wait for memory,
//! so it becomes free.

use std::sync::Arc;

use super::fetcher::{Fetcher, Large};
use super::object::Begun;
use crate::ack::Progress;
use crate::aws::Error;
use crate::base::limits::PART_BYTES;
use crate::base::runtime::channel::Receiver;
use crate::decode::{Account, Decoder};
use crate::handoff::Again;
use crate::stages::fetch::part::Target;

impl Fetcher {
    /// The worker's instruction for an object without memory.
    pub(super) fn again(&self, target: &Arc<Target>, total: u64) -> Option<Again> {
        let (large, target) = (self.large.clone()?, Arc::clone(target));
        let bounds = self.settings.bounds;
        Some(Box::new(move |mut work| {
            // The others wait for the memory that the old one holds.
            work.decoder = Decoder::new(work.service.format.clone(), bounds);
            log::debug!("{}: waiting for the memory that its decoding needs", work.source);
            // Dropped with the channel, it counts as not delivered.
            let _ = large.send(Large { work, target, total });
        }))
    }

    /// Runs until the other fetchers have ended.
    pub(super) fn begin_again(self, waiting: &Receiver<Large>) {
        for large in waiting.iter() {
            if self.settings.stop.is_stopped() {
                continue;
            }
            let decoders = &self.settings.decoders;
            let Some(permit) = decoders.acquire(decoders.total(), &self.settings.abort) else { continue };
            let Large { mut work, target, total } = large;
            work.progress.rewind();
            let account = Account::reserved(decoders, permit);
            work.decoder = self.settings.decoder(&work.service, total, account);
            match self.read_again(&target, total) {
                Ok(Some(begun)) => self.hand_over(work, begun),
                Ok(None) => (),
                Err(error) => self.give_up(work, &error),
            }
        }
    }

    /// Fetches the object from its start. None if aborted.
    fn read_again(&self, target: &Arc<Target>, total: u64) -> Result<Option<Begun>, Error> {
        let settings = &self.settings;
        let size = usize::try_from(total).unwrap_or(usize::MAX);
        let held = if size <= settings.whole_object_bytes_max { size } else { PART_BYTES };
        let Some(permit) = settings.reserve(held) else { return Ok(None) };
        let mut bytes = settings.buffers.charged(permit);
        bytes.make_room(held);
        self.read_rest(target, held, &mut bytes)?;
        Ok(Some(Begun { target: Arc::clone(target), total, bytes, progress: Progress::default() }))
    }
}
