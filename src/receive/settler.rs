//! Deletes what is delivered and gives back what is not.
//!
//! The thread takes in what has ended; [`Callers`] tell SQS, a few side by side. A message that cannot be deleted is
//! tried again by itself, and a call that hangs holds up only its own messages.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::callers::Callers;
use super::drain::Drain;
use super::keeper::is_spoilt;
use super::leases::{Lease, LeaseId, Leases};
use super::outbox::{Entry, Outbox};
use super::{Settings, Settled, Shared};
use crate::ack::Outcome;
use crate::aws::{Error, Failure, Kind, Sqs};
use crate::limits::{
    DRAIN_RETRY_DELAY_FIRST, DRAIN_RETRY_DELAY_MAX, RELEASE_ATTEMPTS, RETRY_DELAY_FIRST, RETRY_DELAY_MAX,
    SETTLE_CALL_TIMEOUT, SETTLE_CALLERS_MAX, SETTLE_GATHER_TIME,
};
use crate::stop::Stop;
use crate::telemetry;

/// What SQS is still to be told, and what the calls need. It keeps nothing alive that the end of the input waits for.
pub struct Settler {
    leases: Arc<Mutex<Leases>>,
    drain: Arc<Mutex<Drain>>,
    deletions: Mutex<Outbox<LeaseId>>,
    releases: Mutex<Outbox<Release>>,
    queue: Sqs,
    telemetry: Arc<telemetry::Input>,
    abort: Stop,
}

/// A message that goes back to the queue.
struct Release {
    lease: Lease,
    /// How long nobody is to see it.
    delay: Duration,
}

/// Takes in what has ended.
pub fn run(shared: &Shared, ended: &Receiver<Settled>) {
    let settler = &shared.settler;
    let (deleters, releasers) = settler.callers();
    let mut held_back: Vec<(LeaseId, Outcome)> = Vec::new();
    // A thread that has panicked ends this one, too: that is noticed.
    while deleters.is_whole() && releasers.is_whole() {
        if !shared.is_polling() {
            held_back.drain(..).for_each(|(lease, outcome)| end_undeleted(shared, lease, outcome));
        }
        match ended.recv_timeout(SETTLE_GATHER_TIME) {
            Ok(Settled { lease, outcome: Outcome::Delivered }) if shared.settings.input.ack_messages => {
                settler.deletions().push(lease, Instant::now());
            }
            // Given back at once, it would come to a receive of our own that is still under way, and use
            // up one of the receives that the queue's redrive policy allows.
            Ok(Settled { lease, outcome }) if shared.settings.stop.is_stopped() && shared.is_polling() => {
                held_back.push((lease, outcome));
            }
            Ok(Settled { lease, outcome }) => end_undeleted(shared, lease, outcome),
            Err(RecvTimeoutError::Timeout) if shared.is_finished() && settler.is_done() => return,
            Err(RecvTimeoutError::Timeout) => (),
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if settler.deletions().is_due(Instant::now()) {
            deleters.begin();
        }
        if settler.releases().is_due(Instant::now()) {
            releasers.begin();
        }
    }
}

/// A message that is not to be deleted: not delivered, or kept on purpose.
fn end_undeleted(shared: &Shared, id: LeaseId, outcome: Outcome) {
    let (settler, settings) = (&shared.settler, &shared.settings);
    let telemetry = &settings.telemetry.settle;
    // Where there is no lease any more, the message has been given back already.
    let Some(message_id) = settler.leases().message_id(id).map(str::to_owned) else { return };
    if outcome == Outcome::Delivered {
        telemetry.kept.increment();
        return if settings.drain { settler.park(id) } else { drop(settler.end(id)) };
    }
    telemetry.released.increment();
    if outcome == Outcome::Reject {
        telemetry.rejected.increment();
    }
    if settings.drain && settler.drain().give_up(&message_id, outcome) {
        log::error!("inputs.{}: message {message_id} could not be delivered", settings.input.key);
        return settler.park(id);
    }
    let Some(lease) = settler.end(id) else { return };
    let delay = match settings.stop.is_stopped() {
        true => Duration::ZERO,
        false => retry_delay(lease.receive_count, settings.drain),
    };
    settler.release(lease, delay);
}

/// Gives back everything that is still in work, so that somebody else may do it: at once, unless a receive
/// of our own is still under way, which would take it from the queue and lose it until its lease ends.
pub fn give_back_all(shared: &Shared) -> usize {
    let delay = if shared.is_polling() { shared.poll_time() } else { Duration::ZERO };
    let leases = shared.leases().end_all();
    let count = leases.len();
    shared.settings.telemetry.settle.in_work.add(-(count as i64));
    shared.settings.telemetry.settle.released.add(count as u64);
    leases.into_iter().for_each(|lease| shared.settler.release(lease, delay));
    count
}

impl Settler {
    pub fn new(settings: &Settings, leases: &Arc<Mutex<Leases>>, drain: &Arc<Mutex<Drain>>) -> Arc<Settler> {
        Arc::new(Settler {
            leases: Arc::clone(leases),
            drain: Arc::clone(drain),
            deletions: Mutex::new(Outbox::new()),
            releases: Mutex::new(Outbox::new()),
            queue: settings.settling.within(SETTLE_CALL_TIMEOUT),
            telemetry: Arc::clone(&settings.telemetry),
            abort: settings.abort.clone(),
        })
    }

    /// Those who delete and those who give back: neither wait for the other.
    fn callers(self: &Arc<Settler>) -> (Callers, Callers) {
        let callers = |call: fn(&Settler) -> bool| {
            let (settler, name) = (Arc::clone(self), format!("settle-{}", self.telemetry.name));
            Callers::new(name, SETTLE_CALLERS_MAX, move || call(&settler))
        };
        (callers(Settler::delete_some), callers(Settler::release_some))
    }

    /// SQS has been told everything.
    fn is_done(&self) -> bool {
        self.deletions().is_empty() && self.releases().is_empty()
    }

    /// One call. False: there is nothing to delete for now.
    fn delete_some(&self) -> bool {
        let entries = self.deletions().take(Instant::now());
        if entries.is_empty() {
            return false;
        }
        // Where a lease has gone, all has been given back.
        let handle = |entry: &Entry<LeaseId>| self.leases().receipt_handle(entry.what).map(str::to_owned);
        let (entries, gone): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .map(|entry| (handle(&entry), entry))
            .partition(|(handle, _)| handle.is_some());
        gone.iter().for_each(|(_, entry)| self.deletions().end(entry));
        let (handles, entries): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        match self.delete(&entries, &handles.into_iter().flatten().collect::<Vec<_>>()) {
            Ok(failures) => self.take_in(entries, &failures),
            Err(error) => self.refused(entries, &error),
        }
        true
    }

    fn delete(&self, entries: &[Entry<LeaseId>], handles: &[String]) -> Result<Vec<Failure>, Error> {
        let ids: Vec<String> = entries.iter().map(|entry| entry.what.to_string()).collect();
        let messages: Vec<_> =
            ids.iter().map(String::as_str).zip(handles.iter().map(String::as_str)).collect();
        self.queue.delete(&messages)
    }

    fn take_in(&self, entries: Vec<Entry<LeaseId>>, failures: &[Failure]) {
        for entry in entries {
            let failed = failures.iter().find(|failure| failure.id == entry.what.to_string());
            match failed.map(|failure| (failure.kind(), &failure.message)) {
                None => self.deleted(&entry),
                Some((Kind::ReceiptHandle, _)) => self.lost(&entry),
                Some(_) if self.leases().is_lost(entry.what, Instant::now()) => self.lost(&entry),
                Some((kind, message)) => {
                    let lasting = !matches!(kind, Kind::Throttled | Kind::Transient);
                    let id = self.leases().message_id(entry.what).unwrap_or_default().to_owned();
                    self.cannot_delete(&format!("message {id}: {message}"), lasting);
                    self.deletions().retry(entry, false, Instant::now());
                }
            }
        }
        if !self.deletions().is_failing() {
            self.telemetry.settling.works();
        }
    }

    /// The call has failed as a whole. What may be one message's fault must not be the others'.
    fn refused(&self, entries: Vec<Entry<LeaseId>>, error: &Error) {
        if let ([entry], Kind::ReceiptHandle) = (&*entries, error.kind()) {
            return self.lost(entry);
        }
        self.cannot_delete(&error.to_string(), !error.is_temporary());
        let (spoilt, now) = (is_spoilt(error.kind()), Instant::now());
        entries.into_iter().for_each(|entry| self.deletions().retry(entry, spoilt, now));
    }

    /// They stay leased to us, and come again should we end: a trouble like any other, although nothing is lost.
    fn cannot_delete(&self, why: &str, lasting: bool) {
        let message = format!("messages that were delivered cannot be deleted: {why}");
        self.telemetry.settling.failed(message, lasting);
    }

    fn deleted(&self, entry: &Entry<LeaseId>) {
        self.deletions().end(entry);
        self.telemetry.settle.deleted.increment();
        if let Some(lease) = self.end(entry.what) {
            self.drain().delivered(&lease.message_id);
        }
    }

    fn lost(&self, entry: &Entry<LeaseId>) {
        self.deletions().end(entry);
        self.telemetry.settle.lost.increment();
        log::warn!(
            "inputs.{}: a delivered message was no longer ours to delete; it may come a second time",
            self.telemetry.name
        );
        self.end(entry.what);
    }

    /// A drain leaves the message in the queue, and keeps it leased, so that it does not come again before the end.
    fn park(&self, id: LeaseId) {
        if self.leases().park(id) {
            self.telemetry.settle.in_work.add(-1);
        }
    }

    fn end(&self, id: LeaseId) -> Option<Lease> {
        let lease = self.leases().end(id)?;
        self.telemetry.settle.in_work.add(-1);
        Some(lease)
    }

    fn release(&self, lease: Lease, delay: Duration) {
        self.releases().push(Release { lease, delay }, Instant::now());
    }

    /// One call. False: there is nothing to give back for now.
    fn release_some(&self) -> bool {
        let entries = self.releases().take(Instant::now());
        if entries.is_empty() {
            return false;
        }
        let message = |Release { lease, delay }: &Release| {
            (lease.message_id.clone(), lease.receipt_handle.clone(), delay.as_secs() as u32)
        };
        let messages: Vec<_> = entries.iter().map(|entry| message(&entry.what)).collect();
        let messages: Vec<_> =
            messages.iter().map(|(id, handle, delay)| (&**id, &**handle, *delay)).collect();
        match self.queue.change_visibility(&messages) {
            Ok(failures) => entries.into_iter().for_each(|entry| {
                let failed = failures.iter().find(|failure| failure.id == entry.what.lease.message_id);
                match failed.filter(|failure| failure.kind() != Kind::ReceiptHandle) {
                    None => self.releases().end(&entry),
                    Some(failure) => self.not_released(entry, &failure.message, false),
                }
            }),
            Err(error) => {
                let (why, spoilt) = (error.to_string(), is_spoilt(error.kind()));
                entries.into_iter().for_each(|entry| self.not_released(entry, &why, spoilt));
            }
        }
        true
    }

    /// It comes back by itself when its time is over, so it is not tried for long.
    fn not_released(&self, entry: Entry<Release>, why: &str, alone: bool) {
        let now = Instant::now();
        let Release { lease, .. } = &entry.what;
        if self.abort.is_stopped() || entry.failures + 1 >= RELEASE_ATTEMPTS || lease.expires <= now {
            log::warn!(
                "inputs.{}: message {} could not be given back and comes again when its visibility timeout is \
                 over: {why}",
                self.telemetry.name,
                lease.message_id
            );
            return self.releases().end(&entry);
        }
        self.releases().retry(entry, alone, now);
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        lock(&self.leases)
    }

    fn drain(&self) -> MutexGuard<'_, Drain> {
        lock(&self.drain)
    }

    fn deletions(&self) -> MutexGuard<'_, Outbox<LeaseId>> {
        lock(&self.deletions)
    }

    fn releases(&self) -> MutexGuard<'_, Outbox<Release>> {
        lock(&self.releases)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// How long a failed message stays invisible: longer each time it has come back.
fn retry_delay(receive_count: u32, drain: bool) -> Duration {
    let (first, max) = match drain {
        true => (DRAIN_RETRY_DELAY_FIRST, DRAIN_RETRY_DELAY_MAX),
        false => (RETRY_DELAY_FIRST, RETRY_DELAY_MAX),
    };
    (first * 2u32.pow(receive_count.clamp(1, 10) - 1)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_messages_stay_away_longer_each_time() {
        let delays = |drain| [0, 1, 2, 3, 99, u32::MAX].map(|count| retry_delay(count, drain).as_secs());
        assert_eq!(delays(false), [30, 30, 60, 120, 900, 900]);
        assert_eq!(delays(true), [1, 1, 2, 4, 15, 15]);
    }
}
