//! The thread that settles messages whose work has ended.

use std::time::Duration;

use super::leases::LeaseId;
use super::settler::{Deletion, retry_delay};
use super::{Settled, SharedInput};
use crate::ack::Outcome;
use crate::base::limits::SETTLE_GATHER_TIME;
use crate::base::runtime::channel::{Receiver, RecvTimeoutError};
use crate::base::runtime::clock;

/// Takes finished messages.
pub fn run(shared: &SharedInput, ended: &Receiver<Settled>) {
    let settler = &shared.settler;
    let (deleters, releasers) = settler.callers();
    let mut held_back: Vec<(LeaseId, Outcome)> = Vec::new();
    // A panicked thread ends this one too, which is noticed.
    while deleters.is_whole() && releasers.is_whole() {
        if !shared.is_polling() {
            held_back.drain(..).for_each(|(lease, outcome)| end_undeleted(shared, lease, outcome));
        }
        match ended.recv_timeout(SETTLE_GATHER_TIME) {
            Ok(Settled { lease, outcome: Outcome::Delivered }) if shared.settings.input.ack_messages => {
                settler.deletions().push(Deletion { lease, successes: 0, is_told: false }, clock::now());
            }
            // Returned at once, it might be received by our own pending receive, and use up one of the receives that
            // the queue's redrive policy allows.
            Ok(Settled { lease, outcome }) if shared.settings.stop.is_stopped() && shared.is_polling() => {
                held_back.push((lease, outcome));
            }
            Ok(Settled { lease, outcome }) => end_undeleted(shared, lease, outcome),
            Err(RecvTimeoutError::Timeout) if shared.is_finished() && settler.is_done() => return,
            Err(RecvTimeoutError::Timeout) => (),
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if settler.deletions().is_due(clock::now()) {
            deleters.begin();
        }
        if settler.releases().is_due(clock::now()) {
            releasers.begin();
        }
    }
}

/// Settles a message that must not be deleted: not delivered, or kept on purpose.
pub(super) fn end_undeleted(shared: &SharedInput, id: LeaseId, outcome: Outcome) {
    let (settler, settings) = (&shared.settler, &shared.settings);
    let telemetry = &settings.telemetry.settle;
    // Without a lease, the message has been returned already.
    let Some((message_id, receive_count)) = settler.leases().delivery(id) else { return };
    if outcome == Outcome::Delivered {
        telemetry.kept.increment();
        return if settings.drain { settler.park(id) } else { drop(settler.end(id)) };
    }
    telemetry.released.increment();
    if outcome == Outcome::Reject {
        telemetry.rejected.increment();
    }
    // A message that the end of the run has interrupted has not failed.
    let is_judged = settings.drain && !settings.stop.is_stopped() && !settings.abort.is_stopped();
    if is_judged && settler.drain().give_up(&message_id, outcome, receive_count) {
        log::error!(
            place = settings.input.key.as_str();
            "inputs.{}: message {message_id} could not be delivered", settings.input.key
        );
        return settler.park(id);
    }
    let Some(lease) = settler.end(id) else { return };
    let delay = match settings.stop.is_stopped() {
        true => Duration::ZERO,
        false => retry_delay(lease.receive_count, settings.drain),
    };
    settler.release(lease, delay);
}

/// Returns all messages in flight, so that other collectors can process them: at once, unless our own receive is still
/// under way, which would take them from the queue and lose them until their leases end.
pub fn give_back_all(shared: &SharedInput) {
    let delay = if shared.is_polling() { shared.poll_time() } else { Duration::ZERO };
    let leases = shared.leases().end_all();
    let count = leases.len();
    shared.settings.telemetry.settle.in_work.add(-(count as i64));
    shared.settings.telemetry.settle.released.add(count as u64);
    leases.into_iter().for_each(|lease| shared.settler.release(lease, delay));
}
