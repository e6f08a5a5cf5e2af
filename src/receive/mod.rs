//! SQS polling, leases, and settling.
//!
//! Each input has `receivers` threads that long-poll ([`poller`]), one that extends the leases of
//! what is in work ([`keeper`]), one that deletes or gives back what has ended ([`settler`]) and one that
//! looks at the queue's depth ([`watch`]). All but the last share [`Shared`].

mod drain;
mod growth;
pub mod inspect;
mod keeper;
mod leases;
mod poller;
mod settler;
mod turns;
mod watch;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crossbeam_channel::{Sender, unbounded};

use crate::ack::Outcome;
use crate::aws::{Attributes, Kind, Sqs};
use crate::budget::Budget;
use crate::config;
use crate::crew::Crew;
use crate::limits::{
    BODIES_RECEIVED_BYTES, BODY_BYTES_USUAL, DRAIN_WAIT_TIME, LARGE_RECEIVES_AT_ONCE, SQS_BATCH,
};
use crate::resolve::Task;
use crate::schedule::Lane;
use crate::stop::Stop;
use crate::telemetry;
use drain::Drain;
use leases::{LeaseId, Leases};
use turns::Turns;
use watch::Watch;

/// What an input needs to run.
pub struct Settings {
    /// The input's place in the configuration.
    pub index: usize,
    pub input: config::Input,
    /// For receives: its waits end with `stop`.
    pub receiving: Sqs,
    /// For everything else: its waits end with `abort`.
    pub settling: Sqs,
    /// To the fetchers.
    pub tasks: Lane<Task>,
    pub telemetry: Arc<telemetry::Input>,
    /// Messages that may be in work, beside those of a receive.
    pub messages_max: usize,
    /// Bytes of its bodies that may wait, beside those of a usual receive.
    pub bodies_bytes: usize,
    /// Bytes of bodies that are too large for that, of all queues together.
    pub bodies_large: Budget,
    /// Ends when the queue is empty.
    pub drain: bool,
    /// Receive no more.
    pub stop: Stop,
    /// Give everything back and end.
    pub abort: Stop,
}

/// A running input.
pub struct Receiver {
    shared: Arc<Shared>,
    pollers: Crew,
    /// They run until everything has ended.
    others: Crew,
    /// Nobody waits for it: a call that hangs must not hold up a stop.
    watch: Crew,
}

/// What an input's threads share.
struct Shared {
    settings: Settings,
    leases: Mutex<Leases>,
    /// Free places among the messages in work.
    slots: Budget,
    /// Room for bodies that wait for their turn or a fetcher. It is this queue's own, so that one that stands still
    /// does not keep the others from receiving.
    bodies: Budget,
    /// What the largest body took of late.
    largest_body: AtomicUsize,
    settled: Sender<Settled>,
    /// Of the groups of a FIFO queue.
    turns: Turns,
    drain: Mutex<Drain>,
    /// Pollers that still receive.
    polling: AtomicUsize,
    /// Everything has ended; the remaining threads may end too.
    finished: AtomicBool,
}

/// A message whose work has ended.
struct Settled {
    lease: LeaseId,
    outcome: Outcome,
}

impl Receiver {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the machine will not start another thread.
    pub fn start(settings: Settings) -> std::io::Result<Receiver> {
        let (settled, ended) = unbounded();
        let input = &settings.input;
        let bodies = Budget::new(settings.bodies_bytes + input.receivers * BODIES_RECEIVED_BYTES);
        let shared = Arc::new(Shared {
            leases: Mutex::new(Leases::new(input.visibility_timeout)),
            slots: Budget::new(settings.messages_max + input.receivers * SQS_BATCH),
            // A log may be large: the first is received alone.
            largest_body: AtomicUsize::new(if input.direct_mode {
                bodies.total() / input.receivers
            } else {
                BODY_BYTES_USUAL
            }),
            bodies,
            settled,
            turns: Turns::new(),
            drain: Mutex::new(Drain::default()),
            polling: AtomicUsize::new(input.receivers),
            finished: AtomicBool::new(false),
            settings,
        });
        let name = |role: &str| format!("{role}-{}", shared.settings.input.key);
        let spawn = |crew: &mut Crew, role: &str, body: Box<dyn FnOnce(&Shared) + Send>| {
            let shared = Arc::clone(&shared);
            crew.spawn(name(role), move || body(&shared))
        };
        let (mut pollers, mut others, mut watch) = (Crew::new(), Crew::new(), Crew::new());
        spawn(&mut others, "keep", Box::new(keeper::run))?;
        spawn(&mut others, "settle", Box::new(move |shared| settler::run(shared, &ended)))?;
        if shared.settings.input.queue.is_fifo() {
            spawn(&mut others, "turns", Box::new(turns::run))?;
        }
        let watcher = Watch::of(&shared.settings);
        watch.spawn(name("watch"), move || watcher.run())?;
        for _ in 0..shared.settings.input.receivers {
            spawn(&mut pollers, "receive", Box::new(poll))?;
        }
        Ok(Receiver { shared, pollers, others, watch })
    }

    /// No more messages will come, and none is in work.
    pub fn is_finished(&self) -> bool {
        self.pollers.has_ended() && self.shared.leases().is_empty()
    }

    /// A receive may still be under way: what is given back now might come to ourselves.
    pub fn is_polling(&self) -> bool {
        self.shared.is_polling()
    }

    /// The threads that receive. They end when a drain is done.
    pub fn pollers(&self) -> &Crew {
        &self.pollers
    }

    /// The other threads. They end when they are told to.
    pub fn others(&self) -> [&Crew; 2] {
        [&self.others, &self.watch]
    }

    /// Messages that a drain could not deliver.
    pub fn undelivered(&self) -> usize {
        self.shared.drain().undelivered()
    }

    /// Tells the input to give back what is still in work and to end. Stop it first; this does not wait.
    pub fn end(&mut self) {
        if self.shared.leases().is_empty() {
            return self.shared.finish();
        }
        // The calls take time, and other inputs give back meanwhile.
        let (shared, name) =
            (Arc::clone(&self.shared), format!("give-back-{}", self.shared.settings.input.key));
        if self.others.spawn(name, move || give_back(&shared)).is_err() {
            give_back(&self.shared);
        }
    }

    /// All that was told to end has ended. A receive that hangs is not waited for.
    pub fn has_ended(&self) -> bool {
        self.others.has_ended()
    }
}

/// Whoever lets go of an input has ended it, or could not start what it needs.
impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.finish();
    }
}

/// The body of a thread that receives.
fn poll(shared: &Shared) {
    /// Counts the thread out even if it panics.
    struct Polling<'a>(&'a Shared);
    impl Drop for Polling<'_> {
        fn drop(&mut self) {
            self.0.polling.fetch_sub(1, Ordering::Release);
        }
    }
    let _polling = Polling(shared);
    poller::run(shared);
}

fn give_back(shared: &Shared) {
    settler::give_back_all(shared);
    shared.finish();
}

impl Shared {
    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn drain(&self) -> MutexGuard<'_, Drain> {
        self.drain.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn is_polling(&self) -> bool {
        self.polling.load(Ordering::Acquire) > 0
    }

    /// Where bodies of about this size find room, and how much of it one receive may take.
    fn room_for(&self, body_bytes: usize) -> (&Budget, usize) {
        let (share, large) = (self.own_share(), &self.settings.bodies_large);
        if body_bytes <= share {
            (&self.bodies, share)
        } else {
            (large, large.total() / LARGE_RECEIVES_AT_ONCE)
        }
    }

    /// What one receiver has of the queue's own room without ever waiting for another queue.
    fn own_share(&self) -> usize {
        self.bodies.total() / self.settings.input.receivers
    }

    /// How long a receive waits for messages.
    fn poll_time(&self) -> Duration {
        let wait = self.settings.input.wait_time;
        if self.settings.drain { wait.min(DRAIN_WAIT_TIME) } else { wait }
    }

    /// Lets the threads that are left end.
    fn finish(&self) {
        self.finished.store(true, Ordering::Release);
    }

    fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Tells what the queue's settings mean, and learns its redrive policy.
    fn inspect_queue(&self) {
        let input = &self.settings.input;
        match self.settings.settling.attributes() {
            Ok(queue) => {
                let (waiting, in_flight) = (queue.available, queue.in_flight);
                log::info!(
                    place = input.key.as_str();
                    "inputs.{}: {waiting} messages wait in the queue, {in_flight} are in flight",
                    input.key
                );
                for warning in inspect::warnings(&queue, input) {
                    log::warn!(place = input.key.as_str(); "inputs.{}: {warning}", input.key);
                }
                self.drain().learn(&queue);
            }
            Err(error) => log::warn!(
                place = input.key.as_str();
                "inputs.{}: the queue's settings cannot be read: {error}", input.key
            ),
        }
    }

    /// Is there nothing more to receive? Asked after a receive that brought nothing.
    fn queue_is_drained(&self) -> bool {
        let attributes = match self.settings.settling.attributes() {
            Ok(attributes) => attributes,
            Err(error) => {
                log::debug!("inputs.{}: {error}", self.settings.input.key);
                // Messages may be in flight that nothing else shows: ask again.
                if error.is_temporary() || *error.kind() == Kind::Foreign {
                    return false;
                }
                // Without the permission only the empty receives can tell.
                Attributes::default()
            }
        };
        let nothing_in_work = self.leases().is_empty();
        self.drain().looks_empty(&attributes, nothing_in_work)
    }
}
