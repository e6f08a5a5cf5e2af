//! Sends unannounced objects to the fetchers.

use std::sync::Arc;

use crate::ack::{Fate, Outcome, Share};
use crate::base::budget::Budget;
use crate::base::object::Object;
use crate::base::runtime::clock;
use crate::base::stop::Stop;
use crate::handoff::schedule::Lane;
use crate::handoff::{Task, TaskSource};
use crate::services::Definition;
use crate::telemetry;

/// Passes objects to the fetchers, no faster than they are delivered.
pub struct Feeder {
    /// The input's index in the configuration.
    pub index: usize,
    /// The channel to the fetchers.
    pub tasks: Lane<Task>,
    /// Free slots among the objects in flight.
    pub slots: Budget,
    pub telemetry: Arc<telemetry::Input>,
    /// Stops starting objects.
    pub stop: Stop,
}

impl Feeder {
    /// Objects that were started and have not ended.
    pub fn in_work(&self) -> usize {
        self.slots.total() - self.slots.free()
    }

    /// Waits for a free slot and for room among the tasks. `share` is resolved with the object's outcome. Returns false
    /// if stopped.
    pub fn put(&self, object: Object, service: Arc<Definition>, share: Share) -> bool {
        let Feeder { index, tasks, slots, telemetry, stop } = self;
        let Some(slot) = slots.acquire(1, stop) else { return false };
        let fate = Fate::default();
        let counted = {
            let fate = fate.clone();
            let (name, stop) = (object.to_string(), stop.clone());
            let of_service = Arc::clone(telemetry.service(&service.name));
            // It is old because it was not announced, so its age is not a lag.
            of_service.begin(None);
            move |outcome| {
                of_service.end(None, &fate, outcome, clock::timestamp());
                if outcome != Outcome::Delivered && !stop.is_stopped() {
                    log::error!("{name}: could not be delivered; the next backfill or audit retries it");
                }
            }
        };
        let task = Task {
            source: TaskSource::S3(object),
            service,
            input: *index,
            // The slot is returned last, because without objects in flight the ledger may be closed.
            share: share.holding(slot).after(counted),
            fate,
            turn: None,
            pulled: None,
            // The times of the listing apply instead.
            not_before: None,
        };
        telemetry.fetch.waiting.add(1);
        let is_up = tasks.put([task], stop);
        if !is_up {
            telemetry.fetch.waiting.add(-1);
        }
        is_up
    }
}
