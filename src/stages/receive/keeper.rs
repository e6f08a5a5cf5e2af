//! The extension of the leases of messages in flight.
//!
//! The thread does nothing else, and makes no calls itself: [`Callers`] do, a few concurrently, so that a hung call, or
//! many slow ones, do not let the leases of other messages end.

use std::sync::Arc;
use std::time::Instant;

use super::SharedInput;
use super::callers::Callers;
use super::leases::{Due, LeaseId, Leases};
use super::spoilt::is_spoilt;
use crate::aws::{Error, Failure, Kind, Sqs};
use crate::base::limits::LEASE_CALLERS_MAX;
use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::telemetry;

/// The calls' shared state. It keeps nothing alive that the end of the input waits for.
struct Keeper {
    leases: Arc<Mutex<Leases>>,
    queue: Sqs,
    seconds: u32,
    telemetry: Arc<telemetry::Input>,
}

pub fn run(shared: &SharedInput) {
    let (keeper, name) = (Keeper::of(shared), format!("keep-{}", shared.settings.input.key));
    let callers = Callers::new(name, LEASE_CALLERS_MAX, move || keeper.extend_some());
    let interval = shared.leases().check_interval();
    // A panicked thread ends this one too, which is noticed.
    while !shared.is_finished() && callers.is_whole() {
        if shared.settings.abort.wait(interval) {
            return;
        }
        if shared.leases().is_due(clock::now()) {
            callers.begin();
        }
        // What could not be extended has been settled meanwhile, so no later call shows that extending works.
        if !shared.leases().is_any_in_doubt() {
            shared.settings.telemetry.leases.calms_down();
        }
    }
}

impl Keeper {
    fn of(shared: &SharedInput) -> Keeper {
        let settings = &shared.settings;
        Keeper {
            leases: Arc::clone(&shared.leases),
            queue: settings.settling.clone(),
            seconds: settings.input.visibility_timeout.as_secs() as u32,
            telemetry: Arc::clone(&settings.telemetry),
        }
    }

    /// Makes one call. Returns false if no lease is due.
    fn extend_some(&self) -> bool {
        let asked = clock::now();
        let Some(due) = self.leases().take_due(asked) else { return false };
        match self.extend(&due) {
            Ok(failures) => self.take_in(&due, &failures, asked),
            Err(error) => {
                self.refused(&due, error.kind());
                if self.leases().is_any_in_doubt() {
                    self.telemetry.leases.failed(&error, !error.is_temporary());
                }
            }
        }
        true
    }

    fn extend(&self, due: &Due) -> Result<Vec<Failure>, Error> {
        let ids: Vec<String> = due.leases.iter().map(|(id, _)| id.to_string()).collect();
        let handles = due.leases.iter().map(|(_, handle)| handle.as_str());
        let entries: Vec<_> =
            ids.iter().zip(handles).map(|(id, handle)| (id.as_str(), handle, self.seconds)).collect();
        self.queue.within(due.time_limit).change_visibility(&entries)
    }

    fn take_in(&self, due: &Due, failures: &[Failure], asked: Instant) {
        self.telemetry.leases.works();
        for (id, _) in &due.leases {
            let failed = failures.iter().find(|failure| failure.id == id.to_string());
            match failed.map(|failure| failure.kind()) {
                None => {
                    self.leases().extended(*id, asked);
                    self.telemetry.settle.extended.increment();
                }
                // SQS has taken it back, or it is deleted: another extension would always fail.
                Some(Kind::ReceiptHandle) => self.lost(*id),
                Some(_) => self.leases().not_extended(*id, false, clock::now()),
            }
        }
    }

    /// The call has failed as a whole. One bad lease must not affect the others.
    fn refused(&self, due: &Due, why: &Kind) {
        let (spoilt, now) = (is_spoilt(why), clock::now());
        match &*due.leases {
            [(id, _)] if *why == Kind::ReceiptHandle => self.lost(*id),
            leases => leases.iter().for_each(|(id, _)| self.leases().not_extended(*id, spoilt, now)),
        }
    }

    fn lost(&self, id: LeaseId) {
        if self.leases().lose(id) {
            self.telemetry.settle.lost.increment();
            log::warn!(
                place = self.telemetry.name.as_str();
                "inputs.{}: a lease ended before its work did; that message will be redelivered",
                self.telemetry.name
            );
        }
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        lock(&self.leases)
    }
}
