//! One object: its first part, and the next steps, which depend on its size.

use std::sync::Arc;
use std::time::Duration;

use super::job::{Job, Unreadable};
use super::{Fetcher, InputSettings};
use crate::ack::{Ending, Outcome, Progress};
use crate::aws::{Error, Kind};
use crate::base::buffers::Buffer;
use crate::base::limits::{DOUBTFUL_DELAY, OBJECT_BYTES_MIN, PART_BYTES};
use crate::base::object::Object;
use crate::fleet::{Claim, Taken};
use crate::handoff::{Payload, Work};
use crate::handoff::{Task, TaskSource};
use crate::ledger::Known;
use crate::settings::MissingObject;
use crate::stages::fetch::part::{Range, Target};
use crate::telemetry::Failed;

/// An object that has been started.
pub(super) struct Begun {
    pub target: Arc<Target>,
    /// The object's size.
    pub total: u64,
    /// The parts from its first byte on.
    pub bytes: Buffer,
    /// The records not to be sent again.
    pub progress: Progress,
}

/// The reason why an object was not started.
enum Failure {
    Stopped,
    /// It was delivered before.
    Delivered,
    /// It is in flight for another message.
    InWork,
    /// Another host has it, or that is not known yet.
    Elsewhere(Duration),
    /// It was written before the time from which objects are read.
    TooOld,
    Aws(Error),
}

impl Fetcher {
    /// One attempt; the following steps happen here, or later.
    pub(super) fn attempt(&self, job: Box<Job>) {
        let InputSettings { telemetry, .. } = &self.settings.inputs[job.input];
        if self.settings.stop.is_stopped() {
            // Dropped without an outcome, so its message is returned.
            return;
        }
        match is_known(&job) {
            Ok(true) => {
                telemetry.fetch.known_unread.increment();
                return self.skip_delivered(*job);
            }
            Ok(false) => (),
            Err(wait) => return self.delays().put(job, telemetry, wait),
        }
        let Some(admission) = self.doubts.admit(job.input, &job.object.bucket) else {
            return self.delays().put(job, telemetry, DOUBTFUL_DELAY);
        };
        let active = telemetry.fetch.active.hold();
        match self.begin(&job) {
            Ok(begun) => {
                self.bucket_works(&job);
                drop(admission);
                self.go_on(job, begun);
            }
            Err(Failure::Delivered) => {
                self.bucket_works(&job);
                self.skip_delivered(*job);
            }
            Err(Failure::TooOld) => {
                self.bucket_works(&job);
                self.leave_out(*job);
            }
            // The ledger has taken this message's share over, and nothing is left to drop.
            Err(Failure::InWork) => self.bucket_works(&job),
            Err(Failure::Elsewhere(time)) => {
                self.bucket_works(&job);
                drop((admission, active));
                self.delays().put(job, telemetry, time);
            }
            // Dropping the job counts as not delivered.
            Err(Failure::Stopped) => (),
            Err(Failure::Aws(error)) => {
                let other = self.under_other_key(&job, &error);
                drop((admission, active));
                match other {
                    Some(other) => self.collect_instead(*job, other),
                    None => self.try_later(job, &error),
                }
            }
        }
    }

    /// Looks for the object under the other spelling of its key. An identity without the permission to list a bucket
    /// gets "denied" for a missing object.
    fn under_other_key(&self, job: &Job, error: &Error) -> Option<Object> {
        if !matches!(error.kind(), Kind::NoSuchObject | Kind::Denied) {
            return None;
        }
        let key = job.object.other_key.clone()?;
        let other = Object { key, other_key: None, ..job.object.clone() };
        let size = other.size;
        let target = Target {
            object: other,
            input: job.input,
            etag: String::new(),
            size,
            doubts: self.doubts.clone(),
        };
        let is_there = target.get(Range { start: 0, len: 1 }, &self.settings, &mut Buffer::default()).is_ok();
        is_there.then_some(target.object)
    }

    /// Collects an object in place of another.
    fn collect_instead(&self, job: Job, object: Object) {
        let Job { object: named, service, input, ack, pulled, fate, not_before, .. } = job;
        log::info!(
            place = service.name.as_str(), cause = "key not encoded";
            "{named}: does not exist, but {object} does and is read instead: S3 did not write its message, and its \
             key is not encoded as S3 does it"
        );
        let (share, turn) = (ack.share(), ack.another_turn());
        let source = TaskSource::S3(object);
        self.collect(Task { source, service, input, share, fate, turn, pulled, not_before });
        ack.close(Outcome::Delivered);
    }

    fn bucket_works(&self, job: &Job) {
        self.settings.inputs[job.input].telemetry.buckets.works_at(&job.object.bucket);
        self.doubts.works(job.input, &job.object.bucket);
    }

    fn go_on(&self, job: Box<Job>, mut begun: Begun) {
        let work = job.into_work(&self.settings, begun.total, std::mem::take(&mut begun.progress));
        self.hand_over(work, begun);
    }

    /// Passes the read part to the workers, and the rest as it comes.
    pub(super) fn hand_over(&self, work: Box<Work>, begun: Begun) {
        let whole = begun.bytes.len() as u64 >= begun.total;
        if whole { self.hand_over_whole(work, begun) } else { self.stream(work, begun) }
    }

    /// Queues the object for its next attempt, or gives it up.
    fn try_later(&self, mut job: Box<Job>, error: &Error) {
        let telemetry = &self.settings.inputs[job.input].telemetry;
        let next = job.attempts.next(error, &telemetry.buckets, &job.object.bucket);
        if is_of_bucket(error) {
            self.doubts.failed(job.input, &job.object.bucket);
            job.unreadable.get_or_insert_with(|| Unreadable::new(telemetry));
        }
        match next {
            Some(wait) => self.delays().put(job, telemetry, wait),
            None => self.give_up(job.into_work(&self.settings, 0, Progress::default()), error),
        }
    }

    fn hand_over_whole(&self, work: Box<Work>, begun: Begun) {
        self.settings.inputs[work.input].telemetry.fetch.objects.increment();
        let Begun { target, bytes: mut chunk, .. } = begun;
        chunk.fit();
        let again = self.again(&target, chunk.len() as u64);
        (self.settings.decode)(Payload { work, chunk, last: true, next: None, again });
    }

    fn skip_delivered(&self, job: Job) {
        self.settings.inputs[job.input].telemetry.fetch.known.increment();
        log::debug!("{}: was delivered before, nothing of it is sent again", job.object);
        job.fate.note(Ending::Known);
        job.ack.close(Outcome::Delivered);
    }

    fn leave_out(&self, job: Job) {
        let telemetry = &self.settings.inputs[job.input].telemetry;
        let ending = Ending::StartTime;
        telemetry.service(&job.service.name).endings.tell(&job.service.name, &job.object, ending);
        job.fate.note(ending);
        job.ack.close(Outcome::Delivered);
    }

    pub(super) fn give_up(&self, work: Box<Work>, error: &Error) {
        let InputSettings { telemetry, missing_object, .. } = &self.settings.inputs[work.input];
        let ending = match error.kind() {
            Kind::Stopped => return work.ack.close(Outcome::Retry),
            Kind::NoSuchObject if *missing_object == MissingObject::Skip => Some(Ending::Missing),
            Kind::Withheld => Some(Ending::Withheld),
            _ => None,
        };
        let outcome = ending.map_or(Outcome::Retry, Ending::outcome);
        ending.into_iter().for_each(|ending| work.fate.note(ending));
        if ending == Some(Ending::Missing) {
            telemetry.fetch.missing.increment();
            log::warn!(
                place = work.service.name.as_str(), cause = error.cause().as_str();
                "{}: does not exist, skipped: {error}",
                work.source
            );
        } else {
            telemetry.fetch.failed.increment();
            telemetry.failed(&Failed {
                object: work.source.object(),
                polled: None,
                service: Some(&work.service.name),
                delivery: work.fate.delivery(),
                ending,
                cause: &error.to_string(),
                kind: &error.cause(),
            });
        }
        work.ack.close(outcome);
    }

    /// Reads the first part, and the rest too if the whole may be held.
    fn begin(&self, job: &Job) -> Result<Begun, Failure> {
        let Job { object, input, entry, service, .. } = job;
        let settings = &self.settings;
        let whole_max = settings.whole_object_bytes_max;
        let announced = object.size.map_or(PART_BYTES, |size| usize::try_from(size).unwrap_or(usize::MAX));
        let reserve = if announced <= whole_max { announced.max(OBJECT_BYTES_MIN) } else { PART_BYTES };
        let permit = settings.reserve(reserve).ok_or(Failure::Stopped)?;
        let doubts = self.doubts.clone();
        let size = object.size;
        let mut target = Target { object: object.clone(), input: *input, etag: String::new(), size, doubts };
        let mut bytes = settings.buffers.charged(permit);
        if reserve > PART_BYTES {
            bytes.make_room(reserve);
        }
        let first = Range { start: 0, len: reserve.min(PART_BYTES) as u64 };
        let part = target.get(first, settings, &mut bytes).map_err(Failure::Aws)?;
        if job.is_too_old(part.modified) {
            return Err(Failure::TooOld);
        }
        // Another message's work on the same content settles this one, perhaps at once.
        job.fate.note(Ending::SharedDelivery);
        if let Some(failure) = job.claim.as_ref().and_then(|claim| claim_read(job, claim, &part.etag)) {
            return Err(failure);
        }
        let known = entry.identify(&part.etag, part.total, &service.format_name);
        if !matches!(known, Known::InWork) {
            job.fate.forget();
        }
        let progress = match known {
            Known::Undelivered(progress) => progress,
            Known::Delivered => return Err(Failure::Delivered),
            Known::InWork => return Err(Failure::InWork),
        };
        (target.etag, target.size) = (part.etag, Some(part.total));
        let target = Arc::new(target);
        let total = usize::try_from(part.total).unwrap_or(usize::MAX);
        if bytes.len() < total && total <= whole_max && bytes.try_make_room(total - bytes.len()) {
            self.read_rest(&target, total, &mut bytes).map_err(Failure::Aws)?;
        }
        Ok(Begun { target, total: part.total, bytes, progress })
    }

    /// Reads the missing parts one after another into the one buffer; the caller has the memory for it. Other objects
    /// keep the other fetchers busy, and nothing has to be assembled from pieces.
    pub(super) fn read_rest(&self, target: &Target, total: usize, bytes: &mut Buffer) -> Result<(), Error> {
        while bytes.len() < total {
            let len = PART_BYTES.min(total - bytes.len()) as u64;
            target.get(Range { start: bytes.len() as u64, len }, &self.settings, bytes)?;
        }
        Ok(())
    }
}

/// True if the object's message proves that it was delivered before, here or by another host; otherwise it is claimed.
///
/// # Errors
/// Another host has it, or that is not known yet: the time after which to ask again.
fn is_known(job: &Job) -> Result<bool, Duration> {
    let is_delivered = job.entry.is_delivered();
    match job.claim.as_ref().filter(|_| !is_delivered).map(Claim::take_announced) {
        None => Ok(is_delivered),
        Some(Taken::Wait(time)) => Err(time),
        // It may have learnt more.
        Some(Taken::Here) => Ok(job.entry.is_delivered()),
    }
}

/// Claims the content that a GET has shown. None: it may be collected, unless it is delivered.
fn claim_read(job: &Job, claim: &Claim, etag: &str) -> Option<Failure> {
    if job.entry.joins_another(etag) {
        return Some(Failure::InWork);
    }
    let Taken::Wait(time) = claim.take(etag) else { return None };
    job.fate.forget();
    Some(Failure::Elsewhere(time))
}

/// True if the failure may concern all objects of the bucket.
fn is_of_bucket(error: &Error) -> bool {
    !matches!(error.kind(), Kind::NoSuchObject | Kind::Changed | Kind::Withheld | Kind::Stopped)
}
