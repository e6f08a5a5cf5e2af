//! The settings of a source, and state that its threads share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use jiff::Timestamp;

use super::delivery::Delivery;
use crate::ack::Outcome;
use crate::aws::{Client, Clock, Pace};
use crate::base::budget::Budget;
use crate::base::locks::lock;
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::base::stop::Stop;
use crate::decode::Bounds;
use crate::fleet::Tenure;
use crate::handoff::Payload;
use crate::ledger::Ledger;
use crate::settings;
use crate::telemetry;

/// The parts that a source needs to run.
pub struct Settings {
    /// Its index among all inputs and sources, for its outputs.
    pub index: usize,
    pub source: settings::Source,
    /// Its waits end with `stop`.
    pub client: Client,
    /// The rate limits of its calls.
    pub paces: Vec<Pace>,
    pub ledger: Ledger,
    /// The source's lease, if several hosts share it.
    pub tenure: Option<Tenure>,
    /// The budget for bytes.
    pub budget: Budget,
    /// Memory of all sources for the events of answers that have not been handed over, in bytes.
    pub pages: Budget,
    pub bounds: Bounds,
    pub telemetry: Arc<telemetry::Input>,
    /// Takes a payload over. It may wait, but only for later stages.
    pub decode: Arc<dyn Fn(Payload) + Send + Sync>,
    /// Ends when the source has caught up.
    pub drain: bool,
    /// Stops reading.
    pub stop: Stop,
    /// Aborts waits; work in flight then counts as not delivered.
    pub abort: Stop,
}

/// State that outlives the thread: pages may be in flight when it has ended.
pub(super) struct SharedSource {
    /// The source's name in the ledger.
    pub(super) name: String,
    pub(super) telemetry: Arc<telemetry::Input>,
    pub(super) service: Arc<telemetry::Service>,
    pub(super) ledger: Ledger,
    pub(super) tenure: Option<Tenure>,
    /// AWS's clock.
    pub(super) clock: Clock,
    pub(super) state: Mutex<State>,
    /// Events that a drain has passed over because they cannot be decoded.
    pub(super) passed_over: AtomicUsize,
}

pub(super) struct State {
    pub(super) delivery: Delivery,
    /// Delivered; the ledger has, or will soon have, the same.
    pub(super) checkpoints: BTreeMap<String, String>,
}

impl SharedSource {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// AWS's time.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::try_from(self.clock.now()).unwrap_or(Timestamp::MAX)
    }

    /// Ends a page. Marks are sent to the ledger under the lock, which keeps them in order.
    pub(super) fn end(&self, page: u64, outcome: Outcome) {
        let mut state = self.state();
        for mark in state.delivery.end(page, outcome) {
            for (part, value) in &mark.checkpoints {
                match value.is_empty() {
                    true => state.checkpoints.remove(part),
                    false => state.checkpoints.insert(part.clone(), value.clone()),
                };
            }
            if let Some(tenure) = &self.tenure {
                tenure.record(&mark);
            }
            self.ledger.mark(mark);
        }
        if let Some(time) = state.delivery.reached() {
            self.service.lag.reached(time, self.now());
        }
    }
}
