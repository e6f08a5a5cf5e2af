//! State that the threads of an input share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::drain::{Drain, Ours};
use super::leases::Leases;
use super::settings::Settings;
use super::settings::Settled;
use super::settler::Settler;
use super::turns::Turns;
use crate::aws::{Attributes, Error, Kind};
use crate::base::budget::Budget;
use crate::base::limits::{DRAIN_WAIT_TIME, LARGE_RECEIVES_AT_ONCE};
use crate::base::locks::lock;
use crate::base::runtime::channel::Sender;
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard};

/// The state shared by an input's threads.
pub(super) struct SharedInput {
    pub(super) settings: Settings,
    pub(super) leases: Arc<Mutex<Leases>>,
    /// Free slots among the messages in flight.
    pub(super) slots: Budget,
    /// Room for bodies that wait for their turn, and for lists of objects that wait for a fetcher. It is this queue's
    /// own, so that a stalled one does not stop the others from receiving.
    pub(super) bodies: Budget,
    /// Bytes of the largest of the latest bodies.
    pub(super) largest_body: AtomicUsize,
    pub(super) settled: Sender<Settled>,
    /// The turns of a FIFO queue's groups.
    pub(super) turns: Turns,
    pub(super) drain: Arc<Mutex<Drain>>,
    pub(super) settler: Arc<Settler>,
    /// Number of pollers that still receive.
    pub(super) polling: AtomicUsize,
    /// Everything has ended; the remaining threads may end too.
    pub(super) finished: AtomicBool,
}

impl SharedInput {
    pub(super) fn leases(&self) -> MutexGuard<'_, Leases> {
        lock(&self.leases)
    }

    pub(super) fn drain(&self) -> MutexGuard<'_, Drain> {
        lock(&self.drain)
    }

    pub(super) fn is_polling(&self) -> bool {
        self.polling.load(Ordering::Acquire) > 0
    }

    /// The budget for bodies of about this size, and the maximum for one receive.
    pub(super) fn room_for(&self, body_bytes: usize) -> (&Budget, usize) {
        let (share, large) = (self.own_share(), &self.settings.bodies_large);
        if body_bytes <= share {
            (&self.bodies, share)
        } else {
            (large, large.total() / LARGE_RECEIVES_AT_ONCE)
        }
    }

    /// The part of the queue's own room that one receiver has without ever waiting for another queue.
    pub(super) fn own_share(&self) -> usize {
        self.bodies.total() / self.settings.input.receivers
    }

    /// How long a receive waits for messages.
    pub(super) fn poll_time(&self) -> Duration {
        let wait = self.settings.input.wait_time;
        if self.settings.drain { wait.min(DRAIN_WAIT_TIME) } else { wait }
    }

    /// Lets the remaining threads end.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// True if there is nothing more to receive. Called after an empty receive.
    ///
    /// # Errors
    /// If the queue's depth is not known: there may be messages that nothing else shows.
    pub(super) fn queue_is_drained(&self) -> Result<bool, Error> {
        if self.drain().is_done() {
            return Ok(true);
        }
        let asked = clock::now();
        let attributes = match self.settings.settling.attributes() {
            Ok(attributes) => attributes,
            // Without the permission only empty receives can tell.
            Err(error) if *error.kind() == Kind::Denied => {
                log::debug!("inputs.{}: {error}", self.settings.input.key);
                Attributes::default()
            }
            Err(error) => return Err(error),
        };
        let (ours, now) = (self.ours(), clock::now());
        let mut drain = self.drain();
        let is_drained = drain.looks_empty(&attributes, ours, asked, now);
        let tells = drain.tells(now);
        drop(drain);
        if tells {
            log::warn!(
                place = self.settings.input.key.as_str();
                "inputs.{}: the drain waits for the rest of its queue: by SQS's figures {} messages are visible, {} \
                 delayed, and {} in flight, {} of them here. Those in flight are held by another collector, or by one that \
                 ended without returning them: then they come when their visibility timeout is over",
                self.settings.input.key,
                attributes.available,
                attributes.delayed,
                attributes.in_flight,
                ours.parked
            );
        }
        if is_drained && attributes.available > 0 {
            log::warn!(
                "inputs.{}: {} messages stay in the queue unread: they are in FIFO groups whose first messages were \
                 left there ({} of them), and SQS delivers nothing behind those until they are gone",
                self.settings.input.key,
                attributes.available,
                ours.parked
            );
        }
        Ok(is_drained)
    }

    fn ours(&self) -> Ours {
        let leases = self.leases();
        let is_fifo = self.settings.input.queue.is_fifo();
        Ours { nothing_in_work: leases.is_empty(), parked: leases.parked(clock::now()), is_fifo }
    }
}
