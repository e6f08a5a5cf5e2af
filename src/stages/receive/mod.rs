//! SQS polling, leases, and settling.
//!
//! Each input has `receivers` threads that long-poll ([`poller`]), one that extends the leases of messages in flight
//! ([`keeper`]), one that settles finished messages ([`settler`]), one that starts the next messages of FIFO groups
//! ([`turns`]) and one that reads the queue's settings and depth ([`watch`]). All except the last share [`Shared`].
//! Those that must not be late make no calls themselves: [`callers`] extend, delete and return.

mod callers;
mod drain;
mod growth;
pub mod inspect;
mod keeper;
mod leases;
mod outbox;
mod poller;
mod settler;
mod turns;
mod watch;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, unbounded};

use crate::ack::Outcome;
use crate::aws::{AccountId, Attributes, Error, Kind, Sqs};
use crate::base::budget::Budget;
use crate::base::crew::Crew;
use crate::base::limits::{
    BODIES_RECEIVED_BYTES, BODY_BYTES_USUAL, DRAIN_WAIT_TIME, LARGE_RECEIVES_AT_ONCE, SQS_BATCH,
};
use crate::base::stop::Stop;
use crate::handoff::Task;
use crate::handoff::schedule::Lane;
use crate::ledger::Ledger;
use crate::settings;
use crate::telemetry;
use drain::{Drain, Ours};
use leases::{LeaseId, Leases};
use settler::Settler;
use turns::Turns;
use watch::Watch;

/// The parts that an input needs to run.
pub struct Settings {
    /// The input's index in the configuration.
    pub index: usize,
    pub input: settings::Input,
    /// The account of its credentials, which some tags need.
    pub account: AccountId,
    /// For receives: its waits end with `stop`.
    pub receiving: Sqs,
    /// For everything else: its waits end with `abort`.
    pub settling: Sqs,
    /// Knows the messages over which the process died before.
    pub ledger: Ledger,
    /// The channel to the fetchers.
    pub tasks: Lane<Task>,
    pub telemetry: Arc<telemetry::Input>,
    /// Maximum messages in flight, besides those of a receive.
    pub messages_max: usize,
    /// Bytes of its waiting bodies, besides those of a usual receive.
    pub bodies_bytes: usize,
    /// Bytes of larger bodies, of all queues together.
    pub bodies_large: Budget,
    /// Ends when the queue is empty.
    pub drain: bool,
    /// Stops receiving.
    pub stop: Stop,
    /// Returns everything and ends.
    pub abort: Stop,
}

/// A running input.
pub struct Receiver {
    shared: Arc<Shared>,
    pollers: Crew,
    /// The other threads, which run until everything has ended.
    others: Crew,
    /// Never joined: a hung call must not hold up a stop.
    watch: Crew,
}

/// The state shared by an input's threads.
struct Shared {
    settings: Settings,
    leases: Arc<Mutex<Leases>>,
    /// Free slots among the messages in flight.
    slots: Budget,
    /// Room for bodies that wait for their turn, and for lists of objects that wait for a fetcher. It is this queue's
    /// own, so that a stalled one does not stop the others from receiving.
    bodies: Budget,
    /// Bytes of the largest of the latest bodies.
    largest_body: AtomicUsize,
    settled: Sender<Settled>,
    /// The turns of a FIFO queue's groups.
    turns: Turns,
    drain: Arc<Mutex<Drain>>,
    settler: Arc<Settler>,
    /// Number of pollers that still receive.
    polling: AtomicUsize,
    /// Everything has ended; the remaining threads may end too.
    finished: AtomicBool,
}

/// The function of a thread.
type Body = Box<dyn FnOnce(&Arc<Shared>) + Send>;

/// A message whose work has ended.
struct Settled {
    lease: LeaseId,
    outcome: Outcome,
}

impl Receiver {
    /// Starts the threads.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(settings: Settings) -> std::io::Result<Receiver> {
        let (settled, ended) = unbounded();
        let input = &settings.input;
        let bodies = Budget::new(settings.bodies_bytes + input.receivers * BODIES_RECEIVED_BYTES);
        let leases = Arc::new(Mutex::new(Leases::new(input.visibility_timeout)));
        let drain = Arc::new(Mutex::new(Drain::default()));
        let shared = Arc::new(Shared {
            settler: Settler::new(&settings, &leases, &drain),
            leases,
            slots: Budget::new(settings.messages_max + input.receivers * SQS_BATCH),
            // A body may be large: the first is received alone, and then ever more if they are not. A message of a FIFO
            // queue that is received alone and stays there would block those behind it.
            largest_body: AtomicUsize::new(if input.direct_mode || !input.queue.is_fifo() {
                bodies.total() / input.receivers
            } else {
                BODY_BYTES_USUAL
            }),
            bodies,
            settled,
            turns: Turns::new(),
            drain,
            polling: AtomicUsize::new(input.receivers),
            finished: AtomicBool::new(false),
            settings,
        });
        let name = |role: &str| format!("{role}-{}", shared.settings.input.key);
        let spawn = |crew: &mut Crew, role: &str, body: Body| {
            let shared = Arc::clone(&shared);
            crew.spawn(name(role), move || body(&shared))
        };
        let (mut pollers, mut others, mut watch) = (Crew::new(), Crew::new(), Crew::new());
        spawn(&mut others, "keep", Box::new(|shared| keeper::run(shared)))?;
        spawn(&mut others, "settle", Box::new(move |shared| settler::run(shared, &ended)))?;
        if shared.settings.input.queue.is_fifo() {
            spawn(&mut others, "turns", Box::new(turns::run))?;
        }
        let watcher = Watch::of(&shared.settings, &shared.drain);
        watch.spawn(name("watch"), move || watcher.run())?;
        for _ in 0..shared.settings.input.receivers {
            spawn(&mut pollers, "receive", Box::new(poll))?;
        }
        Ok(Receiver { shared, pollers, others, watch })
    }

    /// True if no more messages will come, and none is in flight.
    pub fn is_finished(&self) -> bool {
        self.pollers.has_ended() && self.shared.leases().is_empty()
    }

    /// True if a receive may still be under way: messages returned now might be received by it.
    pub fn is_polling(&self) -> bool {
        self.shared.is_polling()
    }

    /// The receiving threads. They end when a drain is done.
    pub fn pollers(&self) -> &Crew {
        &self.pollers
    }

    /// The other threads. They end when told to.
    pub fn others(&self) -> [&Crew; 2] {
        [&self.others, &self.watch]
    }

    /// Messages that a drain could not deliver.
    pub fn undelivered(&self) -> usize {
        self.shared.drain().undelivered()
    }

    /// Tells the input to return messages in flight and to end. Stop it first; this does not wait.
    pub fn end(&mut self) {
        settler::give_back_all(&self.shared);
        self.shared.finish();
    }

    /// True if everything that was told to end has ended. A hung receive is not waited for.
    pub fn has_ended(&self) -> bool {
        self.others.has_ended()
    }
}

/// An input is dropped when it has ended, or when one of its parts could not be started.
impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.finish();
    }
}

/// The body of a receiving thread.
fn poll(shared: &Arc<Shared>) {
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

impl Shared {
    fn leases(&self) -> MutexGuard<'_, Leases> {
        lock(&self.leases)
    }

    fn drain(&self) -> MutexGuard<'_, Drain> {
        lock(&self.drain)
    }

    fn is_polling(&self) -> bool {
        self.polling.load(Ordering::Acquire) > 0
    }

    /// The budget for bodies of about this size, and the maximum for one receive.
    fn room_for(&self, body_bytes: usize) -> (&Budget, usize) {
        let (share, large) = (self.own_share(), &self.settings.bodies_large);
        if body_bytes <= share {
            (&self.bodies, share)
        } else {
            (large, large.total() / LARGE_RECEIVES_AT_ONCE)
        }
    }

    /// The part of the queue's own room that one receiver has without ever waiting for another queue.
    fn own_share(&self) -> usize {
        self.bodies.total() / self.settings.input.receivers
    }

    /// How long a receive waits for messages.
    fn poll_time(&self) -> Duration {
        let wait = self.settings.input.wait_time;
        if self.settings.drain { wait.min(DRAIN_WAIT_TIME) } else { wait }
    }

    /// Lets the remaining threads end.
    fn finish(&self) {
        self.finished.store(true, Ordering::Release);
    }

    fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// True if there is nothing more to receive. Called after an empty receive.
    ///
    /// # Errors
    /// If the queue's depth is not known: there may be messages that nothing else shows.
    fn queue_is_drained(&self) -> Result<bool, Error> {
        if self.drain().is_done() {
            return Ok(true);
        }
        let attributes = match self.settings.settling.attributes() {
            Ok(attributes) => attributes,
            // Without the permission only empty receives can tell.
            Err(error) if *error.kind() == Kind::Denied => {
                log::debug!("inputs.{}: {error}", self.settings.input.key);
                Attributes::default()
            }
            Err(error) => return Err(error),
        };
        let ours = self.ours();
        let is_drained = self.drain().looks_empty(&attributes, ours);
        if is_drained && attributes.available > 0 {
            log::warn!(
                "inputs.{}: {} messages stay in the queue unread: they are in FIFO groups whose first messages were \
                 left there ({} of them), and SQS delivers nothing behind those until they are gone",
                self.settings.input.key,
                attributes.available,
                ours.parked
            );
        }
        Ok(is_drained)
    }

    fn ours(&self) -> Ours {
        let leases = self.leases();
        let is_fifo = self.settings.input.queue.is_fifo();
        Ours { nothing_in_work: leases.is_empty(), parked: leases.parked(Instant::now()), is_fifo }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
