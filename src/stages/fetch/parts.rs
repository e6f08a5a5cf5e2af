//! The queue of big objects' parts, shared by all fetchers.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, select_biased, unbounded};

use super::delay::Delays;
use super::outage::Doubts;
use super::{InputSettings, Settings};
use crate::aws::{Error, GetObject, Kind, Part};
use crate::base::backoff::Backoff;
use crate::base::buffers::Buffer;
use crate::base::limits::{AWS_ATTEMPTS, AWS_BACKOFF_FIRST, AWS_BACKOFF_MAX, FETCH_OVERDUE};
use crate::base::object::Object;

/// The parts waiting for a fetcher. Not bounded by itself: every part holds its budget permit.
#[derive(Clone)]
pub struct Parts {
    up: Sender<PartJob>,
    pub waiting: Receiver<PartJob>,
    /// The queue for a part's retry, as for objects.
    pub delays: Delays,
}

/// One range of an object that has been started.
pub struct PartJob {
    target: Arc<Target>,
    start: u64,
    len: u64,
    /// Its memory, which is allocated at the first attempt.
    bytes: Buffer,
    done: Sender<Result<Buffer, Error>>,
    /// Failures so far.
    failures: u32,
    backoff: Backoff,
}

/// An object as it was when its first part was read.
pub struct Target {
    pub object: Object,
    pub input: usize,
    /// Empty before the first part has been read.
    pub etag: String,
    /// The announced size, then that of the first part's answer.
    pub size: Option<u64>,
    /// Receives reports of slow GETs.
    pub doubts: Doubts,
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
        let (done, arrived) = crossbeam_channel::bounded(1);
        let (target, backoff) = (Arc::clone(target), Backoff::new(AWS_BACKOFF_FIRST, AWS_BACKOFF_MAX));
        // The channel cannot be closed: we hold its other end.
        let _ = self.up.send(PartJob { target, start, len, bytes, done, failures: 0, backoff });
        Pending(arrived)
    }

    /// Waits for a part, working on queued parts meanwhile.
    pub fn wait(&self, pending: &Pending, settings: &Settings) -> Result<Buffer, Error> {
        loop {
            let waited = Instant::now();
            let next = select_biased! {
                recv(pending.0) -> part => Err(part),
                recv(self.waiting) -> job => Ok(job),
            };
            settings.waits.fetch_s3.add(waited.elapsed());
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

/// Bytes `start..start + len`.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    pub start: u64,
    pub len: u64,
}

impl Target {
    /// Reads a range, appending it to `into`.
    pub fn get(&self, range: Range, settings: &Settings, into: &mut Buffer) -> Result<Part, Error> {
        let object = &self.object;
        let get = GetObject {
            bucket: &object.bucket,
            key: &object.key,
            version_id: object.version_id.as_deref(),
            etag: object.etag.as_deref(),
            by_key: false,
            start: range.start,
            len: range.len,
            if_match: (!self.etag.is_empty()).then_some(self.etag.as_str()),
            size: self.size,
        };
        let before = into.len();
        let InputSettings { s3, telemetry, .. } = &settings.inputs[self.input];
        let _in_flight = self.doubts.begin(self.input, &object.bucket);
        let _overdue = telemetry.buckets.asks(format!("s3:GetObject of {object}"), FETCH_OVERDUE);
        let part = settings.waits.fetch_s3.time(|| s3.get(&get, object.region.as_deref(), into))?;
        telemetry.fetch.bytes.add((into.len() - before) as u64);
        Ok(part)
    }
}
