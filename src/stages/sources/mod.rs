//! The loop that all sources behind an API share: CloudTrail lookups and the like.
//!
//! ```text
//!          ┌───────────── request ─────────────┐
//! source ──┤                                    ├──► page ──► payload ──► decode, frame, send
//! (pure)   └─ answer ◄── pace, sign, call, retry┘      │                          │
//!                                                   number                       Ack
//!                             ledger ◄── marks ◄── Delivery (watermark) ◄─────────┘
//! ```
//!
//! One thread per input, service and region. A source's checkpoint moves when a page and all pages before it are
//! delivered, so a crash repeats what was in flight and loses nothing; events delivered beyond the checkpoint are
//! recognized by their ids. A page that cannot be delivered makes the source go back to its checkpoint, and
//! `ledger forget` restarts it.
//!
//! A new source is a type that implements [`Source`], a variant of [`settings::Api`] and a line in [`source_of`].

mod cloudtrail;
mod delivery;
mod guardduty;
mod logs;
mod metrics;
mod moment;
mod pace;
mod paging;
pub mod source;
#[cfg(test)]
mod testing;
mod unreadable;
mod worker;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};

use crate::ack::Outcome;
use crate::aws::{Client, Clock, Error, Pace};
use crate::base::budget::Budget;
use crate::base::crew::Crew;
use crate::base::stop::Stop;
use crate::decode::Bounds;
use crate::handoff::Payload;
use crate::ledger::{Ledger, Polled};
use crate::settings;
use crate::settings::Api;
use crate::telemetry;
use delivery::Delivery;
use moment::Moment;
pub use pace::Paces;
use source::{Next, Source};

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
    /// The budget for bytes.
    pub budget: Budget,
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

/// A running source.
pub struct Poller {
    shared: Arc<Shared>,
    worker: Crew,
}

/// State that outlives the thread: pages may be in flight when it has ended.
struct Shared {
    /// The source's name in the ledger.
    name: String,
    telemetry: Arc<telemetry::Input>,
    service: Arc<telemetry::Service>,
    ledger: Ledger,
    /// AWS's clock.
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    delivery: Delivery,
    /// Delivered; the ledger has, or will soon have, the same.
    checkpoints: BTreeMap<String, String>,
}

impl Poller {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(settings: Settings) -> std::io::Result<Poller> {
        let settings::Source { name, region, service, .. } = &settings.source;
        let shared = Arc::new(Shared {
            name: name.clone(),
            telemetry: Arc::clone(&settings.telemetry),
            service: Arc::clone(settings.telemetry.service(&service.name)),
            ledger: settings.ledger.clone(),
            clock: settings.client.clock().clone(),
            state: Mutex::new(State {
                delivery: Delivery::new(name.clone(), &Polled::default()),
                checkpoints: BTreeMap::new(),
            }),
        });
        let (mut worker, name) = (Crew::new(), format!("poll-{region}"));
        let own = Arc::clone(&shared);
        worker.spawn(name, move || worker::run(&own, settings))?;
        Ok(Poller { shared, worker })
    }

    /// True if nothing more will be read, and no page is in flight.
    pub fn is_finished(&self) -> bool {
        self.worker.has_ended() && self.shared.state().delivery.nothing_in_work()
    }

    /// The pulling thread. It ends when a drain is done.
    pub fn worker(&self) -> &Crew {
        &self.worker
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// AWS's time.
    fn now(&self) -> Timestamp {
        Timestamp::try_from(self.clock.now()).unwrap_or(Timestamp::MAX)
    }

    /// Ends a page. Marks are sent to the ledger under the lock, which keeps them in order.
    fn end(&self, page: u64, outcome: Outcome) {
        let mut state = self.state();
        for mark in state.delivery.end(page, outcome) {
            for (part, value) in &mark.checkpoints {
                match value.is_empty() {
                    true => state.checkpoints.remove(part),
                    false => state.checkpoints.insert(part.clone(), value.clone()),
                };
            }
            self.ledger.mark(mark);
        }
        if let Some(time) = state.delivery.reached() {
            self.service.lag.reached(time, self.now());
        }
    }
}

/// Makes a source's first call as if it started now, which checks its credentials, permissions and address. Nothing is
/// sent.
///
/// # Errors
/// Those of the call, or an unreadable answer.
pub fn probe(source: &settings::Source, client: &Client) -> Result<(), Error> {
    let mut probed = source_of(source, client);
    probed.resume(&BTreeMap::new());
    let mut now = Timestamp::try_from(client.clock().now()).unwrap_or(Timestamp::MAX);
    for _ in 0..PROBE_STEPS {
        match probed.next(&Moment::from(now)) {
            Next::Call(request) => {
                return client
                    .call_and_read(&request, |answer| probed.read(answer).map(drop).map_err(Into::into));
            }
            // Nothing to read yet: a while later there would be.
            Next::Give(_) | Next::Mark(_) | Next::CaughtUp => {
                now = now.saturating_add(PROBE_STEP).unwrap_or(now);
            }
        }
    }
    Ok(())
}

/// A source that starts now has something to request after this time.
const PROBE_STEP: SignedDuration = SignedDuration::from_hours(25);
const PROBE_STEPS: u32 = 4;

/// The configured source.
pub fn source_of(source: &settings::Source, client: &Client) -> Box<dyn Source> {
    let (region, endpoint) = (source.region.clone(), client.endpoint(source.api.service()));
    match source.api.clone() {
        Api::CloudTrail(settings) => Box::new(cloudtrail::CloudTrail::new(settings, endpoint, region)),
        Api::Metrics(settings) => Box::new(metrics::Metrics::new(settings, source.period, endpoint, region)),
        Api::Logs(settings) => Box::new(logs::Logs::new(settings, endpoint, region)),
        Api::GuardDuty(settings) => Box::new(guardduty::GuardDuty::new(settings, endpoint, region)),
    }
}

#[cfg(test)]
mod tests;
