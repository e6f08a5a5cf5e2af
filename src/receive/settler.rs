//! The thread that deletes what is delivered and gives back what is not.

use std::fmt::Display;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::leases::{Lease, LeaseId};
use super::{Settled, Shared};
use crate::ack::Outcome;
use crate::aws::Kind;
use crate::backoff::Backoff;
use crate::limits::{
    DRAIN_RETRY_DELAY_FIRST, DRAIN_RETRY_DELAY_MAX, RECEIVE_BACKOFF_FIRST, RETRY_DELAY_FIRST,
    RETRY_DELAY_MAX, SETTLE_GATHER_TIME, SQS_BATCH,
};

use crate::telemetry::{Failure, variant};

/// Longest wait between attempts to delete: the lease is extended all the while.
const DELETE_BACKOFF_MAX: Duration = Duration::from_secs(10);

pub fn run(shared: &Shared, ended: &Receiver<Settled>) {
    let mut delivered: Vec<LeaseId> = Vec::new();
    let mut held_back: Vec<(LeaseId, Outcome)> = Vec::new();
    let mut backoff = Backoff::new(RECEIVE_BACKOFF_FIRST, DELETE_BACKOFF_MAX);
    loop {
        if !shared.is_polling() {
            held_back.drain(..).for_each(|(lease, outcome)| end_undeleted(shared, lease, outcome));
        }
        match ended.recv_timeout(SETTLE_GATHER_TIME) {
            Ok(Settled { lease, outcome: Outcome::Delivered }) if shared.settings.input.ack_messages => {
                delivered.push(lease);
                if delivered.len() < SQS_BATCH {
                    continue;
                }
            }
            // Given back at once, it would come to a receive of our own that is still under way, and use
            // up one of the receives that the queue's redrive policy allows.
            Ok(Settled { lease, outcome }) if shared.settings.stop.is_stopped() && shared.is_polling() => {
                held_back.push((lease, outcome));
                continue;
            }
            Ok(Settled { lease, outcome }) => {
                end_undeleted(shared, lease, outcome);
                continue;
            }
            Err(RecvTimeoutError::Timeout) if shared.is_finished() && delivered.is_empty() => return,
            Err(RecvTimeoutError::Timeout) => (),
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if delete(shared, &mut delivered) {
            backoff.reset();
        } else if shared.settings.abort.wait(backoff.pause()) {
            return;
        }
    }
}

/// Deletes; what could not be deleted stays in the list and keeps its lease. False after an error.
fn delete(shared: &Shared, delivered: &mut Vec<LeaseId>) -> bool {
    while !delivered.is_empty() {
        let count = delivered.len().min(SQS_BATCH);
        let handles: Vec<(String, String)> = {
            let leases = shared.leases();
            let handle = |id: &LeaseId| leases.receipt_handle(*id).unwrap_or_default().to_owned();
            delivered[..count].iter().map(|id| (id.to_string(), handle(id))).collect()
        };
        let entries: Vec<_> = handles.iter().map(|(id, handle)| (id.as_str(), handle.as_str())).collect();
        let failures = match shared.settings.settling.delete(&entries) {
            Ok(failures) => failures,
            Err(error) => {
                cannot_delete(shared, (&error.cause(), &error), !error.is_temporary());
                return false;
            }
        };
        let mut again = Vec::new();
        for id in delivered.drain(..count) {
            let failed = failures.iter().find(|failure| failure.id == id.to_string());
            match failed.map(|failure| failure.kind()) {
                None => deleted(shared, id),
                Some(Kind::ReceiptHandle) => {
                    shared.settings.telemetry.settle.lost.increment();
                    log::warn!(
                        place = shared.settings.input.key.as_str();
                        "inputs.{}: a delivered message was no longer ours to delete; it may come a second time",
                        shared.settings.input.key
                    );
                    end(shared, id);
                }
                Some(kind) => {
                    let lasting = !matches!(kind, Kind::Throttled | Kind::Transient);
                    let why = &failed.map_or("", |failure| &failure.message);
                    cannot_delete(shared, (&variant(&kind), why), lasting);
                    again.push(id);
                }
            }
        }
        if !again.is_empty() {
            delivered.append(&mut again);
            return false;
        }
        shared.settings.telemetry.settling.works();
    }
    true
}

/// They stay leased to us, and come again should we end: a trouble like any other, although nothing is lost.
fn cannot_delete(shared: &Shared, (cause, why): (&str, &dyn Display), lasting: bool) {
    let message = format!("messages that were delivered cannot be deleted: {why}");
    shared.settings.telemetry.settling.failed(Failure { cause: cause.to_owned(), message }, lasting);
}

fn deleted(shared: &Shared, id: LeaseId) {
    shared.settings.telemetry.settle.deleted.increment();
    if let Some(lease) = end(shared, id) {
        shared.drain().delivered(&lease.message_id);
    }
}

/// A message that is not to be deleted: not delivered, or kept on purpose.
fn end_undeleted(shared: &Shared, id: LeaseId, outcome: Outcome) {
    let Some(lease) = end(shared, id) else { return };
    let telemetry = &shared.settings.telemetry.settle;
    if outcome == Outcome::Delivered {
        telemetry.kept.increment();
        return shared.drain().park();
    }
    telemetry.released.increment();
    if outcome == Outcome::Reject {
        telemetry.rejected.increment();
    }
    let settings = &shared.settings;
    if settings.drain && shared.drain().give_up(&lease.message_id, outcome) {
        log::error!(
            place = settings.input.key.as_str();
            "inputs.{}: message {} could not be delivered", settings.input.key, lease.message_id
        );
        return;
    }
    release(shared, &[lease], |lease| {
        if settings.stop.is_stopped() {
            Duration::ZERO
        } else {
            retry_delay(lease.receive_count, settings.drain)
        }
    });
}

fn end(shared: &Shared, id: LeaseId) -> Option<Lease> {
    let lease = shared.leases().end(id)?;
    shared.settings.telemetry.settle.in_work.add(-1);
    Some(lease)
}

/// Gives back everything that is still in work, so that somebody else may do it: at once, unless a receive
/// of our own is still under way, which would take it from the queue and lose it until its lease ends.
pub fn give_back_all(shared: &Shared) {
    let delay = if shared.is_polling() { shared.poll_time() } else { Duration::ZERO };
    let leases = shared.leases().end_all();
    shared.settings.telemetry.settle.in_work.add(-(leases.len() as i64));
    shared.settings.telemetry.settle.released.add(leases.len() as u64);
    release(shared, &leases, |_| delay);
}

fn release(shared: &Shared, leases: &[Lease], delay: impl Fn(&Lease) -> Duration) {
    let entries: Vec<_> = leases
        .iter()
        .map(|lease| {
            (lease.message_id.as_str(), lease.receipt_handle.as_str(), delay(lease).as_secs() as u32)
        })
        .collect();
    if entries.is_empty() {
        return;
    }
    match shared.settings.settling.change_visibility(&entries) {
        Ok(failures) => {
            for failure in failures.iter().filter(|failure| failure.kind() != Kind::ReceiptHandle) {
                log::warn!(
                    place = shared.settings.input.key.as_str(), cause = variant(&failure.kind()).as_str();
                    "inputs.{}: message {}: {}",
                    shared.settings.input.key,
                    failure.id,
                    failure.message
                );
            }
        }
        // It comes back by itself when its time is over.
        Err(error) => log::warn!(
            place = shared.settings.input.key.as_str(), cause = error.cause().as_str();
            "inputs.{}: {error}", shared.settings.input.key
        ),
    }
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
