//! The queue of big objects' parts, shared by all fetchers.

use std::sync::Arc;

use super::Settings;
use super::delay::Delays;
use super::part::{PartJob, Range, Target};
use crate::aws::{Error, Kind};
use crate::base::backoff::Backoff;
use crate::base::buffers::Buffer;
use crate::base::limits::{AWS_ATTEMPTS, AWS_BACKOFF_FIRST, AWS_BACKOFF_MAX};
use crate::base::runtime::channel::{Receiver, Sender, TryRecvError, unbounded};
use crate::base::runtime::{channel, clock};

/// The parts waiting for a fetcher. Not bounded by itself: every part holds its budget permit.
#[derive(Clone)]
pub struct Parts {
    up: Sender<PartJob>,
    pub waiting: Receiver<PartJob>,
    /// The queue for a part's retry, as for objects.
    pub delays: Delays,
}

/// A part in flight.
pub struct Pending(Receiver<Result<Buffer, Error>>);

impl Parts {
    pub fn new() -> Parts {
        let (up, waiting) = unbounded();
        let delays = Delays::new(up.clone());
        Parts { up, waiting, delays }
    }

    /// Queues a part.
    pub fn put_up(&self, target: &Arc<Target>, start: u64, len: u64, bytes: Buffer) -> Pending {
        let (done, arrived) = channel::bounded(1);
        let (target, backoff) = (Arc::clone(target), Backoff::new(AWS_BACKOFF_FIRST, AWS_BACKOFF_MAX));
        // The channel cannot be closed: we hold its other end.
        let _ = self.up.send(PartJob { target, start, len, bytes, done, failures: 0, backoff });
        Pending(arrived)
    }

    /// Waits for a part, working on queued parts meanwhile.
    pub fn wait(&self, pending: &Pending, settings: &Settings) -> Result<Buffer, Error> {
        loop {
            let waited = clock::now();
            channel::await_any(&[&pending.0, &self.waiting], None);
            let next = match pending.0.try_recv() {
                Err(TryRecvError::Empty) => Ok(self.waiting.try_recv()),
                part => Err(part),
            };
            settings.waits.fetch_s3.add(clock::since(waited));
            match next {
                Ok(job) => job.into_iter().for_each(|job| job.fetch(settings, &self.delays)),
                Err(Ok(part)) => return part,
                // Its thread panicked.
                Err(Err(_)) => {
                    return Err(Error::setup("s3:GetObject", "", Kind::Transient, "a fetcher died"));
                }
            }
        }
    }
}

impl PartJob {
    /// Fetches it, or queues it for a retry.
    pub fn fetch(mut self, settings: &Settings, delays: &Delays) {
        let range = Range { start: self.start, len: self.len };
        match self.target.get(range, settings, &mut self.bytes) {
            Err(error) if self.may_be_tried_again(&error) => {
                let wait = self.backoff.pause();
                if let Some(part) = delays.put_part(self, wait) {
                    let _ = part.done.send(Err(error));
                }
            }
            // Nothing waits for it any more if another part of the object has failed.
            part => drop(self.done.send(part.map(|_| self.bytes))),
        }
    }

    fn may_be_tried_again(&mut self, error: &Error) -> bool {
        self.failures += 1;
        matches!(error.kind(), Kind::Transient | Kind::Throttled) && self.failures < AWS_ATTEMPTS
    }
}
