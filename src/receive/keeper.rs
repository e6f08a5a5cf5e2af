//! The thread that extends the leases of what is in work.

use std::time::Instant;

use super::Shared;
use crate::aws::Kind;
use crate::limits::LEASE_CHECK_INTERVAL;

pub fn run(shared: &Shared) {
    shared.inspect_queue();
    while !shared.is_finished() {
        shared.settings.abort.wait(LEASE_CHECK_INTERVAL);
        if shared.settings.abort.is_stopped() {
            return;
        }
        extend_due(shared);
    }
}

/// Extends everything past half of its time, in calls of ten. A failed call is repeated at the next
/// look: half of the time is still left.
fn extend_due(shared: &Shared) {
    let asked = Instant::now();
    let due = shared.leases().due(asked);
    let seconds = shared.settings.input.visibility_timeout.as_secs() as u32;
    let telemetry = &shared.settings.telemetry.settle;
    for batch in due.chunks(crate::limits::SQS_BATCH) {
        let ids: Vec<String> = batch.iter().map(|(id, _)| id.to_string()).collect();
        let entries: Vec<_> =
            ids.iter().zip(batch).map(|(id, (_, handle))| (id.as_str(), handle.as_str(), seconds)).collect();
        let failures = match shared.settings.settling.change_visibility(&entries) {
            Ok(failures) => {
                shared.settings.telemetry.leases.works();
                failures
            }
            Err(error) => {
                shared.settings.telemetry.leases.failed(&error, !error.is_temporary());
                continue;
            }
        };
        for (id, _) in batch {
            let failed = failures.iter().find(|failure| failure.id == id.to_string());
            match failed.map(|failure| failure.kind()) {
                None => {
                    shared.leases().extended(*id, asked);
                    telemetry.extended.increment();
                }
                // SQS has taken it back, or it is deleted: asking again would fail for ever.
                Some(Kind::ReceiptHandle) => lost(shared, *id),
                Some(_) => (),
            }
        }
    }
}

fn lost(shared: &Shared, id: super::LeaseId) {
    if shared.leases().lose(id) {
        shared.settings.telemetry.settle.lost.increment();
        log::warn!(
            place = shared.settings.input.key.as_str();
            "inputs.{}: a lease ended before its work did; that message will come a second time",
            shared.settings.input.key
        );
    }
}
