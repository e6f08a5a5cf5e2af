//! SQS polling, leases, and settling.
//!
//! Each input has `receivers` threads that long-poll ([`poller`]), one that extends the leases of messages in flight
//! ([`keeper`]), one that settles finished messages ([`settler`]), one that starts the next messages of FIFO groups
//! ([`turns`]) and one that reads the queue's settings and depth ([`watch`]). All except the last share [`SharedInput`].
//! Threads that must not be late make no calls themselves: [`callers`] extend, delete and return.

mod callers;
mod drain;
mod growth;
pub mod inspect;
mod keeper;
mod leases;
mod outbox;
mod poller;
mod settings;
mod settle;
mod settler;
mod shared;
mod spoilt;
mod turns;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::base::budget::Budget;
use crate::base::crew::Crew;
use crate::base::limits::{BODIES_RECEIVED_BYTES, BODY_BYTES_USUAL, SQS_BATCH};
use crate::base::runtime::channel::unbounded;
use crate::base::runtime::sync::Mutex;
use drain::Drain;
use leases::Leases;
use settings::Settled;
use settler::Settler;
use shared::SharedInput;
use turns::Turns;
use watch::Watch;

pub use settings::Settings;

/// A running input.
pub struct Receiver {
    shared: Arc<SharedInput>,
    pollers: Crew,
    /// The other threads, which run until everything has ended.
    others: Crew,
    /// Never joined: a hung call must not hold up a stop.
    watch: Crew,
}

/// The function of a thread.
type Body = Box<dyn FnOnce(&Arc<SharedInput>) + Send>;

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
        let shared = Arc::new(SharedInput {
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
        spawn(&mut others, "settle", Box::new(move |shared| settle::run(shared, &ended)))?;
        if shared.settings.input.queue.is_fifo() {
            spawn(&mut others, "turns", Box::new(poller::run_turns))?;
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
        settle::give_back_all(&self.shared);
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
fn poll(shared: &Arc<SharedInput>) {
    /// Counts the thread out even if it panics.
    struct Polling<'a>(&'a SharedInput);
    impl Drop for Polling<'_> {
        fn drop(&mut self) {
            self.0.polling.fetch_sub(1, Ordering::Release);
        }
    }
    let _polling = Polling(shared);
    poller::run(shared);
}
