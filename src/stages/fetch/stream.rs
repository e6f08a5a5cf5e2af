//! An object that is too large to be held: its parts are passed to a worker one after another.

use std::collections::VecDeque;

use super::Fetcher;
use super::object::Begun;
use super::parts::Pending;
use crate::aws::Error;
use crate::base::budget::Permit;
use crate::base::buffers::Buffer;
use crate::base::limits::{PART_BYTES, PARTS_AHEAD};
use crate::base::runtime::channel::{Receiver, bounded};
use crate::handoff::{Payload, Work};

/// The remaining parts, some of them in flight.
struct Rest {
    begun: Begun,
    pending: VecDeque<Pending>,
    /// Offset of the next part to queue.
    next_start: u64,
}

impl Fetcher {
    /// Feeds the worker. It waits for only one part while it holds no other, so that several streams and whole objects
    /// can share a small budget without a deadlock.
    pub(super) fn stream(&self, work: Box<Work>, mut begun: Begun) {
        log::debug!("{}: {} bytes, collected as a stream", work.source, begun.total);
        let bytes = std::mem::take(&mut begun.bytes);
        let next_start = bytes.len() as u64;
        let mut rest = Rest { begun, pending: VecDeque::new(), next_start };
        self.look_ahead(&mut rest);
        let mut back = self.feed(work, &rest.begun, bytes, false);
        while let Some(part) = self.next_part(&mut rest) {
            // The worker has finished the previous part, or has failed and reported it.
            let worker = &self.settings.waits.fetch_workers;
            let Ok(work) = worker.time(|| back.recv()) else { return };
            let last = rest.is_finished();
            match part {
                Ok(bytes) => back = self.feed(work, &rest.begun, bytes, last),
                Err(error) => return self.give_up(work, &error),
            }
            self.look_ahead(&mut rest);
        }
    }

    fn feed(&self, work: Box<Work>, begun: &Begun, chunk: Buffer, last: bool) -> Receiver<Box<Work>> {
        let (next, back) = bounded(1);
        if last {
            self.settings.inputs[work.input].telemetry.fetch.objects.increment();
        }
        let again = self.again(&begun.target, begun.total);
        (self.settings.decode)(Payload { work, chunk, last, next: (!last).then_some(next), again });
        back
    }

    /// The next part in order; None if there is none, or if stopped.
    fn next_part(&self, rest: &mut Rest) -> Option<Result<Buffer, Error>> {
        if rest.pending.is_empty() && !rest.all_put_up() {
            let permit = self.settings.reserve(PART_BYTES)?;
            self.put_up(rest, permit);
        }
        Some(self.parts.wait(&rest.pending.pop_front()?, &self.settings))
    }

    /// Queues more parts while memory is free.
    fn look_ahead(&self, rest: &mut Rest) {
        while rest.pending.len() < PARTS_AHEAD && !rest.all_put_up() {
            match self.settings.budget.try_acquire(PART_BYTES) {
                Some(permit) => self.put_up(rest, permit),
                None => break,
            }
        }
    }

    fn put_up(&self, rest: &mut Rest, permit: Permit) {
        let len = (PART_BYTES as u64).min(rest.begun.total - rest.next_start);
        let part = self.parts.put_up(
            &rest.begun.target,
            rest.next_start,
            len,
            self.settings.buffers.charged(permit),
        );
        rest.pending.push_back(part);
        rest.next_start += len;
    }
}

impl Rest {
    fn all_put_up(&self) -> bool {
        self.next_start >= self.begun.total
    }

    fn is_finished(&self) -> bool {
        self.pending.is_empty() && self.all_put_up()
    }
}
