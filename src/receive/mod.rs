//! SQS polling, leases, and settling.
//!
//! Each input has `receivers` threads that long-poll ([`poller`]), one that sees to the leases of what is in
//! work ([`keeper`]), one that takes in what has ended ([`settler`]), one that begins the next messages of FIFO
//! groups ([`turns`]) and one that looks at the queue's settings and depth ([`watch`]). All but the last share
//! [`Shared`]. Those that must not be late make no calls themselves: [`callers`] extend, delete and give back.

mod bodies;
mod callers;
mod drain;
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
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, unbounded};

use crate::ack::Outcome;
use crate::aws::{Attributes, Sqs};
use crate::budget::Budget;
use crate::config;
use crate::limits::{DRAIN_WAIT_TIME, MESSAGES_IN_WORK_MAX};
use crate::resolve::Task;
use crate::stop::Stop;
use crate::telemetry;
use bodies::Bodies;
use drain::{Drain, Ours};
use leases::{LeaseId, Leases};
use settler::Settler;
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
    pub tasks: Sender<Task>,
    /// What the bodies of waiting messages may take, in bytes.
    pub body_bytes: usize,
    pub telemetry: Arc<telemetry::Input>,
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
    pollers: Vec<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
}

/// What an input's threads share.
struct Shared {
    settings: Settings,
    leases: Arc<Mutex<Leases>>,
    /// Free places among the messages in work.
    slots: Budget,
    /// Room for the messages' bodies.
    bodies: Bodies,
    settled: Sender<Settled>,
    /// Of the groups of a FIFO queue.
    turns: Turns,
    drain: Arc<Mutex<Drain>>,
    settler: Arc<Settler>,
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
        let leases = Arc::new(Mutex::new(Leases::new(input.visibility_timeout)));
        let drain = Arc::new(Mutex::new(Drain::default()));
        let shared = Arc::new(Shared {
            settler: Settler::new(&settings, &leases, &drain),
            leases,
            slots: Budget::new(MESSAGES_IN_WORK_MAX),
            bodies: Bodies::new(settings.body_bytes),
            settled,
            turns: Turns::new(),
            drain,
            polling: AtomicUsize::new(input.receivers),
            finished: AtomicBool::new(false),
            settings,
        });
        let name = |role: &str| format!("{role}-{}", shared.settings.input.key);
        let spawn = |role: &str, body: Box<dyn FnOnce(&Shared) + Send>| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(name(role)).spawn(move || body(&shared))
        };
        let mut others = vec![
            spawn("keep", Box::new(keeper::run))?,
            spawn("settle", Box::new(move |shared| settler::run(shared, &ended)))?,
        ];
        if shared.settings.input.queue.is_fifo() {
            others.push(spawn("turns", Box::new(turns::run))?);
        }
        let watch = Watch::of(&shared.settings, &shared.drain);
        // Left to itself at the end: a call that hangs must not hold up a stop.
        drop(std::thread::Builder::new().name(name("watch")).spawn(move || watch.run())?);
        let poll = |shared: &Shared| {
            poller::run(shared);
            shared.polling.fetch_sub(1, Ordering::Release);
        };
        let poller = || spawn("receive", Box::new(poll));
        let pollers = (0..shared.settings.input.receivers).map(|_| poller()).collect::<Result<_, _>>()?;
        Ok(Receiver { shared, pollers, others })
    }

    /// No more messages will come, and none is in work.
    pub fn is_finished(&self) -> bool {
        self.pollers.iter().all(JoinHandle::is_finished) && self.shared.leases().is_empty()
    }

    /// A receive may still be under way: what is given back now might come to ourselves.
    pub fn is_polling(&self) -> bool {
        self.shared.is_polling()
    }

    /// No thread has ended.
    pub fn is_whole(&self) -> bool {
        !self.pollers.iter().chain(&self.others).any(JoinHandle::is_finished)
    }

    /// Messages that a drain could not deliver.
    pub fn undelivered(&self) -> usize {
        self.shared.drain().undelivered()
    }

    /// Gives back what is still in work, and ends. Stop the input first. Returns how many messages
    /// were given back.
    pub fn finish(self) -> usize {
        let given_back = settler::give_back_all(&self.shared);
        self.shared.finished.store(true, Ordering::Release);
        for thread in self.others {
            // A panic has been reported by its own thread.
            let _ = thread.join();
        }
        given_back
    }
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

    /// How long a receive waits for messages.
    fn poll_time(&self) -> Duration {
        let wait = self.settings.input.wait_time;
        if self.settings.drain { wait.min(DRAIN_WAIT_TIME) } else { wait }
    }

    fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Is there nothing more to receive? Asked after a receive that brought nothing.
    fn queue_is_drained(&self) -> bool {
        if self.drain().is_done() {
            return true;
        }
        let attributes = match self.settings.settling.attributes() {
            Ok(attributes) => attributes,
            Err(error) => {
                log::debug!("inputs.{}: {error}", self.settings.input.key);
                // Messages may be in flight that nothing else shows: ask again.
                if error.is_temporary() {
                    return false;
                }
                // Without the permission only the empty receives can tell.
                Attributes::default()
            }
        };
        let ours = self.ours();
        let is_drained = self.drain().looks_empty(&attributes, ours);
        if is_drained && attributes.available > 0 {
            log::warn!(
                "inputs.{}: {} messages stay in the queue unread: they are in FIFO groups whose first messages were \
                 left there ({} of them), and SQS hands out what comes behind only when those are gone",
                self.settings.input.key,
                attributes.available,
                ours.parked
            );
        }
        is_drained
    }

    fn ours(&self) -> Ours {
        let leases = self.leases();
        let is_fifo = self.settings.input.queue.is_fifo();
        Ours { nothing_in_work: leases.is_empty(), parked: leases.parked(Instant::now()), is_fifo }
    }
}
