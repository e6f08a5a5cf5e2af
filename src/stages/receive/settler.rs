//! The deletion of delivered messages, and the return of the others.
//!
//! The thread takes finished messages; [`Callers`] make the calls to SQS, a few concurrently. A message that cannot be
//! deleted is retried separately, and a hung call delays only its own messages.

use std::sync::Arc;
use std::time::Duration;

use super::Settings;
use super::callers::Callers;
use super::drain::Drain;
use super::leases::{Lease, LeaseId, Leases};
use super::outbox::{Entry, Outbox};
use super::spoilt::is_spoilt;
use crate::aws::{Error, Failure, Kind, Sqs};
use crate::base::limits::{
    DRAIN_RETRY_DELAY_FIRST, DRAIN_RETRY_DELAY_MAX, RELEASE_ATTEMPTS, RETRY_DELAY_FIRST, RETRY_DELAY_MAX,
    SETTLE_CALL_TIMEOUT, SETTLE_CALLERS_MAX, SQS_BATCH,
};
use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::base::stop::Stop;
use crate::telemetry;

/// The pending calls to SQS, and their shared state. It keeps nothing alive that the end of the input waits for.
pub struct Settler {
    leases: Arc<Mutex<Leases>>,
    drain: Arc<Mutex<Drain>>,
    deletions: Mutex<Outbox<Deletion>>,
    releases: Mutex<Outbox<Release>>,
    queue: Sqs,
    telemetry: Arc<telemetry::Input>,
    is_draining: bool,
    abort: Stop,
}

/// A message to delete.
pub(super) struct Deletion {
    pub(super) lease: LeaseId,
    /// Number of successful deletions at this message's last failure.
    pub(super) successes: u64,
    /// The log has reported that it cannot be deleted.
    pub(super) is_told: bool,
}

/// A message to return to the queue.
pub(super) struct Release {
    lease: Lease,
    /// How long it stays invisible.
    delay: Duration,
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
            is_draining: settings.drain,
            abort: settings.abort.clone(),
        })
    }

    /// The callers for deletions and for returns: neither wait for the other.
    pub(super) fn callers(self: &Arc<Settler>) -> (Callers, Callers) {
        let callers = |call: fn(&Settler) -> bool| {
            let (settler, name) = (Arc::clone(self), format!("settle-{}", self.telemetry.name));
            Callers::new(name, SETTLE_CALLERS_MAX, move || call(&settler))
        };
        (callers(Settler::delete_some), callers(Settler::release_some))
    }

    /// True if all calls have been made.
    pub(super) fn is_done(&self) -> bool {
        self.deletions().is_empty() && self.releases().is_empty()
    }

    /// Makes one call. Returns false if there is nothing to delete for now.
    fn delete_some(&self) -> bool {
        let entries = self.deletions().take(clock::now());
        if entries.is_empty() {
            return false;
        }
        // Without a lease, it has been returned.
        let handle =
            |entry: &Entry<Deletion>| self.leases().receipt_handle(entry.what.lease).map(str::to_owned);
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

    fn delete(&self, entries: &[Entry<Deletion>], handles: &[String]) -> Result<Vec<Failure>, Error> {
        let ids: Vec<String> = entries.iter().map(|entry| entry.what.lease.to_string()).collect();
        let messages: Vec<_> =
            ids.iter().map(String::as_str).zip(handles.iter().map(String::as_str)).collect();
        self.queue.delete(&messages)
    }

    fn take_in(&self, entries: Vec<Entry<Deletion>>, failures: &[Failure]) {
        if failures.len() < entries.len() {
            self.telemetry.settling.works();
        }
        for entry in entries {
            let failed = failures.iter().find(|failure| failure.id == entry.what.lease.to_string());
            match failed.map(|failure| (failure.kind(), &failure.message)) {
                None => self.deleted(&entry),
                Some((Kind::ReceiptHandle, _)) => self.lost(&entry),
                Some((kind, message)) => {
                    let lasting = !matches!(kind, Kind::Throttled | Kind::Transient);
                    self.cannot_delete_one(entry, message, lasting, false);
                }
            }
        }
    }

    /// The call has failed as a whole. One bad message must not affect the others.
    fn refused(&self, mut entries: Vec<Entry<Deletion>>, error: &Error) {
        let (kind, spoilt, now) = (error.kind(), is_spoilt(error.kind()), clock::now());
        if spoilt
            && entries.len() == 1
            && let Some(entry) = entries.pop()
        {
            return match kind {
                Kind::ReceiptHandle => self.lost(&entry),
                _ => self.cannot_delete_one(entry, &error.to_string(), true, true),
            };
        }
        self.trouble(&error.to_string(), !error.is_temporary());
        self.deletions().retry(entries, spoilt, now);
    }

    /// One message cannot be deleted: that is a warning, and a trouble only if it is more than that.
    fn cannot_delete_one(&self, mut entry: Entry<Deletion>, why: &str, lasting: bool, alone: bool) {
        let (lease, now) = (entry.what.lease, clock::now());
        if self.leases().is_lost(lease, now) {
            return self.lost(&entry);
        }
        let message_id = self.leases().message_id(lease).unwrap_or_default().to_owned();
        if !std::mem::replace(&mut entry.what.is_told, true) {
            log::warn!(
                place = self.telemetry.name.as_str();
                "inputs.{}: message {message_id} was delivered but cannot be deleted; retrying: {why}",
                self.telemetry.name
            );
        }
        let successes = self.telemetry.settling.successes();
        let nothing_else_is_deleted = entry.failures > 0 && entry.what.successes == successes;
        entry.what.successes = successes;
        self.deletions().retry(vec![entry], alone, now);
        let (failing, in_work) = (self.deletions().failing(), self.leases().in_work());
        if nothing_else_is_deleted && is_trouble(failing, in_work, self.is_draining) {
            self.trouble(&format!("message {message_id}: {why}"), lasting);
        }
    }

    /// Reports delivered messages that cannot be deleted. They stay leased, and are redelivered if we end: that is a
    /// trouble, although nothing is lost.
    fn trouble(&self, why: &str, lasting: bool) {
        let message = format!("delivered messages cannot be deleted: {why}");
        self.telemetry.settling.failed(message, lasting);
    }

    fn deleted(&self, entry: &Entry<Deletion>) {
        self.deletions().end(entry);
        self.telemetry.settle.deleted.increment();
        if let Some(lease) = self.end(entry.what.lease) {
            log::debug!(
                "inputs.{}: Acked message receiptHandle: {} (message {})",
                self.telemetry.name,
                lease.receipt_handle,
                lease.message_id
            );
            self.drain().delivered(&lease.message_id);
            if lease.receive_count != 1 {
                self.telemetry.failures.delivered(&lease.message_id);
            }
        }
    }

    fn lost(&self, entry: &Entry<Deletion>) {
        self.deletions().end(entry);
        self.telemetry.settle.lost.increment();
        log::warn!(
            place = self.telemetry.name.as_str();
            "inputs.{}: the lease of a delivered message ended before its deletion; it may be redelivered",
            self.telemetry.name
        );
        self.end(entry.what.lease);
    }

    /// A drain leaves the message in the queue, and keeps it leased, so that it is not redelivered before the end.
    pub(super) fn park(&self, id: LeaseId) {
        if self.leases().park(id) {
            self.telemetry.settle.in_work.add(-1);
        }
    }

    pub(super) fn end(&self, id: LeaseId) -> Option<Lease> {
        let lease = self.leases().end(id)?;
        self.telemetry.settle.in_work.add(-1);
        Some(lease)
    }

    pub(super) fn release(&self, lease: Lease, delay: Duration) {
        self.releases().push(Release { lease, delay }, clock::now());
    }

    /// Makes one call. Returns false if there is nothing to return for now.
    fn release_some(&self) -> bool {
        let entries = self.releases().take(clock::now());
        if entries.is_empty() {
            return false;
        }
        let what = entries.iter().map(|entry| &entry.what);
        let messages: Vec<_> = what
            .map(|Release { lease, delay }| {
                (lease.message_id.as_str(), lease.receipt_handle.as_str(), delay.as_secs() as u32)
            })
            .collect();
        match self.queue.change_visibility(&messages) {
            Ok(failures) => {
                // A message that is no longer ours need not be returned.
                let of_ours = |failure: &&Failure| failure.kind() != Kind::ReceiptHandle;
                let failures: Vec<_> = failures.iter().filter(of_ours).collect();
                let has_failed = |entry: &Entry<Release>| {
                    failures.iter().any(|failure| failure.id == entry.what.lease.message_id)
                };
                let (failed, released): (Vec<_>, Vec<_>) = entries.into_iter().partition(has_failed);
                released.iter().for_each(|entry| self.releases().end(entry));
                let why = failures.first().map_or("", |failure| &failure.message);
                self.not_released(failed, why, false);
            }
            Err(error) => self.not_released(entries, &error.to_string(), is_spoilt(error.kind())),
        }
        true
    }

    /// Handles messages that could not be returned. They become visible by themselves after their visibility timeout,
    /// so this is not retried for long.
    fn not_released(&self, entries: Vec<Entry<Release>>, why: &str, alone: bool) {
        let now = clock::now();
        let is_over = |entry: &Entry<Release>| {
            let is_late = entry.what.lease.expires <= now;
            self.abort.is_stopped() || entry.failures + 1 >= RELEASE_ATTEMPTS || is_late
        };
        let (over, again): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_over);
        for entry in &over {
            log::warn!(
                place = self.telemetry.name.as_str();
                "inputs.{}: message {} could not be returned; it is redelivered after its visibility timeout: {why}",
                self.telemetry.name,
                entry.what.lease.message_id
            );
            self.releases().end(entry);
        }
        self.releases().retry(again, alone, now);
    }

    pub(super) fn leases(&self) -> MutexGuard<'_, Leases> {
        lock(&self.leases)
    }

    pub(super) fn drain(&self) -> MutexGuard<'_, Drain> {
        lock(&self.drain)
    }

    pub(super) fn deletions(&self) -> MutexGuard<'_, Outbox<Deletion>> {
        lock(&self.deletions)
    }

    pub(super) fn releases(&self) -> MutexGuard<'_, Outbox<Release>> {
        lock(&self.releases)
    }
}

/// True if undeletable messages, while no others have been deleted either, are a trouble of the whole input. A drain
/// has nothing else to wait for when only these are left.
fn is_trouble(failing: usize, in_work: usize, is_draining: bool) -> bool {
    failing >= SQS_BATCH || (is_draining && failing >= in_work)
}

/// How long a failed message stays invisible: longer after each delivery.
pub(super) fn retry_delay(receive_count: u32, drain: bool) -> Duration {
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
    fn a_few_messages_that_cannot_be_deleted_are_a_trouble_only_when_a_drain_has_nothing_else_to_do() {
        for ((failing, in_work, is_draining), expected) in [
            ((1, 1, false), false),
            ((1, 2, true), false),
            ((1, 1, true), true),
            ((SQS_BATCH, 4000, false), true),
            ((SQS_BATCH, 4000, true), true),
        ] {
            let found = is_trouble(failing, in_work, is_draining);
            assert_eq!(found, expected, "{failing} of {in_work}, draining: {is_draining}");
        }
    }

    #[test]
    fn failed_messages_stay_away_longer_each_time() {
        let delays = |drain| [0, 1, 2, 3, 99, u32::MAX].map(|count| retry_delay(count, drain).as_secs());
        assert_eq!(delays(false), [30, 30, 60, 120, 900, 900]);
        assert_eq!(delays(true), [1, 1, 2, 4, 15, 15]);
    }
}
