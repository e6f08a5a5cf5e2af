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
//! `ledger forget` restarts it. If several hosts share the source, its thread works only while this one has the
//! [lease](crate::fleet), and begins each time with what the shared table knows.
//!
//! A new source is a type that implements [`PageSource`], a variant of [`settings::Api`] and a line in [`source_of`].

mod cloudtrail;
mod delivery;
mod guardduty;
mod kinds;
mod logs;
mod metrics;
mod moment;
mod pace;
mod paging;
mod place;
mod pull_loop;
mod shared;
pub mod source;
#[cfg(test)]
mod testing;
mod unreadable;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};

use crate::aws::{Client, Error};
use crate::base::crew::Crew;
use crate::base::runtime::sync::Mutex;
use crate::ledger::Polled;
use crate::settings;
use delivery::Delivery;
use shared::{SharedSource, State};
use source::Next;

pub use kinds::source_of;
pub use moment::Moment;
pub use pace::Paces;
pub use shared::Settings;

/// A running source.
pub struct Puller {
    shared: Arc<SharedSource>,
    worker: Crew,
}

impl Puller {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(settings: Settings) -> std::io::Result<Puller> {
        let settings::Source { name, region, service, .. } = &settings.source;
        let shared = Arc::new(SharedSource {
            name: name.clone(),
            telemetry: Arc::clone(&settings.telemetry),
            service: Arc::clone(settings.telemetry.service(&service.name)),
            ledger: settings.ledger.clone(),
            tenure: settings.tenure.clone(),
            clock: settings.client.clock().clone(),
            state: Mutex::new(State {
                delivery: Delivery::new(name.clone(), &Polled::default()),
                checkpoints: BTreeMap::new(),
            }),
            passed_over: AtomicUsize::new(0),
        });
        let (mut worker, name) = (Crew::new(), format!("poll-{region}"));
        let own = Arc::clone(&shared);
        worker.spawn(name, move || pull_loop::run(&own, settings))?;
        Ok(Puller { shared, worker })
    }

    /// True if nothing more will be read, and no page is in flight.
    pub fn is_finished(&self) -> bool {
        self.worker.has_ended() && self.shared.state().delivery.nothing_in_work()
    }

    /// The number of events that a drain could not deliver, and that are not read again.
    pub fn undelivered(&self) -> usize {
        self.shared.passed_over.load(Ordering::Relaxed)
    }

    /// The pulling thread. It ends when a drain is done.
    pub fn worker(&self) -> &Crew {
        &self.worker
    }
}

/// Makes a source's first call as if it started now, which checks its credentials, permissions and address. Nothing is
/// sent.
///
/// # Errors
/// The errors of the call, or an unreadable answer.
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

#[cfg(test)]
mod tests;
