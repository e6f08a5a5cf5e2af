//! One object: its first part, and what its size then asks for.

use std::sync::Arc;

use super::outage::Attempts;
use super::parts::{Range, Target};
use super::{Fetcher, InputSettings};
use crate::ack::{Outcome, Progress};
use crate::aws::{Error, Kind};
use crate::budget::Permit;
use crate::buffers::Buffer;
use crate::config::MissingObject;
use crate::decode::{Payload, Work};
use crate::ledger::{Entry, Known};
use crate::limits::{OBJECT_BYTES_MIN, PART_BYTES};
use crate::resolve::Object;

/// An object that has been begun.
pub(super) struct Begun {
    pub target: Arc<Target>,
    /// The object's size.
    pub total: u64,
    /// From its first byte on.
    pub bytes: Buffer,
    pub permit: Permit,
    /// What of it is not to be sent again.
    pub progress: Progress,
}

/// Why an object was not begun.
enum Failure {
    Stopped,
    /// There is no need to.
    Delivered,
    Aws(Error),
}

/// Says what an object is, by its ETag and its size in bytes.
type Identify<'a> = dyn Fn(&str, u64) -> Known + 'a;

impl Fetcher {
    pub(super) fn collect_object(&self, mut work: Box<Work>, object: &Object, entry: &Entry) {
        if entry.is_delivered() {
            self.settings.inputs[work.input].telemetry.fetch.known_unread.increment();
            return self.skip_delivered(*work);
        }
        let reader = format!("{:?}", work.service.format);
        match self.begin(object, work.input, &|etag, total| entry.identify(etag, total, &reader)) {
            Ok(mut begun) => {
                work.progress = std::mem::take(&mut begun.progress);
                let whole = begun.bytes.len() as u64 >= begun.total;
                if whole { self.hand_over(work, begun) } else { self.stream(work, begun) }
            }
            Err(Failure::Delivered) => self.skip_delivered(*work),
            // Dropping the work counts as not delivered.
            Err(Failure::Stopped) => (),
            Err(Failure::Aws(error)) => self.give_up(work, &error),
        }
    }

    pub(super) fn hand_over(&self, work: Box<Work>, begun: Begun) {
        self.settings.inputs[work.input].telemetry.fetch.objects.increment();
        let Begun { target, bytes, mut permit, .. } = begun;
        permit.shrink_to(bytes.len().max(OBJECT_BYTES_MIN));
        let again = self.again(&target, bytes.len() as u64);
        (self.settings.decode)(Payload { work, chunk: bytes, last: true, permit, next: None, again });
    }

    fn skip_delivered(&self, work: Work) {
        self.settings.inputs[work.input].telemetry.fetch.known.increment();
        log::debug!("{}: was delivered before, nothing of it is sent again", work.source);
        if let Some(turn) = &work.turn {
            turn.finished();
        }
        work.ack.close(Outcome::Delivered);
    }

    pub(super) fn give_up(&self, work: Box<Work>, error: &Error) {
        let InputSettings { telemetry, missing_object, .. } = &self.settings.inputs[work.input];
        let (telemetry, missing_object) = (&telemetry.fetch, *missing_object);
        if *error.kind() == Kind::NotFound && missing_object == MissingObject::Skip {
            telemetry.missing.increment();
            log::warn!("{}: is not there, skipped: {error}", work.source);
            return work.ack.close(Outcome::Delivered);
        }
        if *error.kind() != Kind::Stopped {
            telemetry.failed.increment();
            log::warn!("{}: cannot be fetched; it is not acknowledged and comes again: {error}", work.source);
        }
        work.ack.close(Outcome::Retry);
    }

    /// Reads the first part, and the rest too if the whole may be held. Tries again where that may help.
    fn begin(&self, object: &Object, input: usize, identify: &Identify<'_>) -> Result<Begun, Failure> {
        let health = &self.settings.inputs[input].telemetry.buckets;
        let mut attempts = Attempts::new(health);
        loop {
            match self.begin_once(object, input, identify) {
                Err(Failure::Aws(error)) if attempts.wait(&error, &self.settings.stop) => (),
                read @ (Ok(_) | Err(Failure::Delivered)) => {
                    health.works();
                    return read;
                }
                failed => return failed,
            }
        }
    }

    fn begin_once(&self, object: &Object, input: usize, identify: &Identify<'_>) -> Result<Begun, Failure> {
        let settings = &self.settings;
        let whole_max = settings.whole_object_bytes_max;
        let announced = object.size.map_or(PART_BYTES, |size| usize::try_from(size).unwrap_or(usize::MAX));
        let reserve = if announced <= whole_max { announced.max(OBJECT_BYTES_MIN) } else { PART_BYTES };
        let mut permit = settings.reserve(reserve).ok_or(Failure::Stopped)?;
        let mut target = Target { object: object.clone(), input, etag: String::new() };
        let mut bytes = settings.buffers.take(reserve);
        let first = Range { start: 0, len: reserve.min(PART_BYTES) as u64 };
        let part = target.get(first, settings, &mut bytes).map_err(Failure::Aws)?;
        let Known::Undelivered(progress) = identify(&part.etag, part.total) else {
            return Err(Failure::Delivered);
        };
        target.etag = part.etag;
        let target = Arc::new(target);
        let total = usize::try_from(part.total).unwrap_or(usize::MAX);
        if bytes.len() < total && total <= whole_max && permit.try_grow_to(total) {
            self.read_rest(&target, total, &mut bytes).map_err(Failure::Aws)?;
        }
        Ok(Begun { target, total: part.total, bytes, permit, progress })
    }

    /// Reads what is missing, part after part into the one buffer; the caller has the memory for it. Other
    /// objects keep the other fetchers busy, and nothing has to be put together from pieces.
    pub(super) fn read_rest(&self, target: &Target, total: usize, bytes: &mut Vec<u8>) -> Result<(), Error> {
        while bytes.len() < total {
            let len = PART_BYTES.min(total - bytes.len()) as u64;
            target.get(Range { start: bytes.len() as u64, len }, &self.settings, bytes)?;
        }
        Ok(())
    }
}
