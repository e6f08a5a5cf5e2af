//! Every order of memory accesses, for the code that is concurrent by them: the files of the program are compiled here with
//! the primitives of `loom` in place of `std`'s, and each model runs in all orders that the memory model allows.
//!
//! What is concurrent by locks and channels alone is searched by `simulate`, whose scheduler interrupts threads where they
//! take a lock. It runs one thread at a time, and so does the `shuttle` crate: neither can see an ordering that is too
//! weak. Here it shows.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "each file is used in part, without its own tests; a model stops at the first failure, and says that it holds"
)]

use loom::thread;

#[path = "../src/ack/mod.rs"]
mod ack;

#[path = "../src/base"]
mod base {
    pub mod budget;
    pub mod buffers;
    pub mod limits;
    pub mod naming;
    pub mod object;
    pub mod stop;
    pub mod text;

    pub mod locks {
        use std::sync::{LockResult, PoisonError};

        use super::runtime::sync::{Mutex, MutexGuard};

        pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
            intact(mutex.lock())
        }

        pub fn intact<T>(locked: LockResult<T>) -> T {
            locked.unwrap_or_else(PoisonError::into_inner)
        }
    }

    pub mod runtime {
        pub mod atomic {
            pub use loom::sync::Arc;
            pub use loom::sync::atomic::*;
        }

        /// A channel of a fixed size, as far as models need it. No wait ends by time.
        pub mod channel {
            use std::collections::VecDeque;

            use loom::sync::{Arc, Condvar, Mutex};

            #[derive(Debug)]
            pub struct Sender<T>(Arc<Shared<T>>);

            #[derive(Debug)]
            pub struct Receiver<T>(Arc<Shared<T>>);

            #[derive(Debug)]
            struct Shared<T> {
                size: usize,
                waiting: Mutex<VecDeque<T>>,
                came: Condvar,
            }

            pub fn bounded<T>(size: usize) -> (Sender<T>, Receiver<T>) {
                let (waiting, came) = (Mutex::default(), Condvar::new());
                let shared = Arc::new(Shared { size, waiting, came });
                (Sender(Arc::clone(&shared)), Receiver(shared))
            }

            impl<T> Sender<T> {
                pub fn try_send(&self, thing: T) -> Result<(), T> {
                    let mut waiting = self.0.waiting.lock().unwrap();
                    if waiting.len() == self.0.size {
                        return Err(thing);
                    }
                    waiting.push_back(thing);
                    self.0.came.notify_one();
                    Ok(())
                }
            }

            impl<T> Receiver<T> {
                pub fn recv(&self) -> T {
                    let mut waiting = self.0.waiting.lock().unwrap();
                    loop {
                        match waiting.pop_front() {
                            Some(thing) => return thing,
                            None => waiting = self.0.came.wait(waiting).unwrap(),
                        }
                    }
                }
            }
        }

        pub mod sync {
            use std::sync::LockResult;
            use std::time::Duration;

            pub use loom::sync::{Mutex, MutexGuard};

            /// No wait ends by time, so a wake-up that is lost is a deadlock, which loom reports.
            #[derive(Debug, Default)]
            pub struct Condvar(loom::sync::Condvar);

            impl Condvar {
                pub fn new() -> Condvar {
                    Condvar(loom::sync::Condvar::new())
                }

                pub fn notify_all(&self) {
                    self.0.notify_all();
                }

                pub fn wait_timeout<'a, T>(
                    &self,
                    guard: MutexGuard<'a, T>,
                    _: Duration,
                ) -> LockResult<MutexGuard<'a, T>> {
                    self.0.wait(guard)
                }

                pub fn wait_timeout_while<'a, T>(
                    &self,
                    mut guard: MutexGuard<'a, T>,
                    _: Duration,
                    mut holds: impl FnMut(&mut T) -> bool,
                ) -> LockResult<MutexGuard<'a, T>> {
                    while holds(&mut guard) {
                        guard = self.0.wait(guard)?;
                    }
                    Ok(guard)
                }
            }
        }
    }
}

#[path = "../src/ledger"]
mod ledger {
    pub mod in_work;
    pub mod row;
}

#[path = "../src/stages/send/place.rs"]
mod place;

use ack::{Ack, Outcome, Turn};
use base::budget::Budget;
use base::buffers::Buffers;
use base::limits::BUFFER_KEPT_BYTES_MIN as ROOM;
use base::runtime::atomic::{Arc, AtomicUsize, Ordering};
use base::runtime::channel;
use base::stop::Stop;
use ledger::in_work::InWork;
use ledger::row::{self, Identity};
use place::Place;

/// Threads are interrupted this often in each run, besides where they wait. Without a bound a model of three threads takes
/// minutes, and faults need few interruptions.
const PREEMPTIONS: usize = 3;

fn main() {
    let models: [(&str, fn()); 10] = [
        ("work settles once, with the worst outcome, after everything that its shares did", shares),
        ("a share that is forgotten on another thread is no delivery", forgotten_shares),
        ("a turn is over once, when all of its parts have ended", turns),
        ("a message that names an object in flight never misses its end", objects_in_flight),
        ("what is returned to a budget wakes those who wait for it", budgets),
        ("a budget is never exceeded, and loses nothing", small_permits),
        ("a buffer has one owner, and what is kept is bounded", buffers),
        ("a stop wakes the threads that wait for it", stops),
        ("a batch that a worker offers is in the session that is closed, or comes back", closed_sessions),
        ("a batch in an idle session wakes its sender", idle_sessions),
    ];
    for (name, model) in models {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(PREEMPTIONS);
        builder.check(model);
        println!("{name} ... ok");
    }
}

fn shares() {
    let (done, settled) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let work = {
        let (done, settled) = (Arc::clone(&done), Arc::clone(&settled));
        Ack::open(move |outcome| {
            assert_eq!(outcome, Outcome::Reject);
            assert_eq!(done.load(Ordering::Relaxed), 1, "it has not seen what a share did");
            settled.fetch_add(1, Ordering::Relaxed);
        })
    };
    let (good, bad) = (work.share(), work.share());
    let other = thread::spawn(move || {
        done.store(1, Ordering::Relaxed);
        bad.resolve(Outcome::Reject);
    });
    let third = thread::spawn(move || {
        good.fork().resolve(Outcome::Delivered);
        good.resolve(Outcome::Delivered);
    });
    work.close(Outcome::Delivered);
    other.join().unwrap();
    third.join().unwrap();
    assert_eq!(settled.load(Ordering::Relaxed), 1);
}

fn forgotten_shares() {
    let settled = Arc::new(AtomicUsize::new(0));
    let work = {
        let settled = Arc::clone(&settled);
        Ack::open(move |outcome| {
            assert_eq!(outcome, Outcome::Retry);
            settled.fetch_add(1, Ordering::Relaxed);
        })
    };
    let (good, forgotten) = (work.share(), work.share());
    let other = thread::spawn(move || drop(forgotten));
    good.resolve(Outcome::Delivered);
    work.close(Outcome::Delivered);
    other.join().unwrap();
    assert_eq!(settled.load(Ordering::Relaxed), 1);
}

fn turns() {
    let over = Arc::new(AtomicUsize::new(0));
    let turn = {
        let over = Arc::clone(&over);
        Turn::new(0, move |may_go_on| {
            assert!(may_go_on, "a part that has ended was not seen");
            over.fetch_add(1, Ordering::Relaxed);
        })
    };
    let parts = [turn.of_object(), turn.of_object()];
    let ends = parts.map(|part| {
        thread::spawn(move || {
            part.end(Outcome::Delivered);
            drop(part);
        })
    });
    turn.end(Outcome::Delivered);
    drop(turn);
    ends.into_iter().for_each(|end| end.join().unwrap());
    assert_eq!(over.load(Ordering::Relaxed), 1);
}

fn objects_in_flight() {
    let settled = Arc::new(AtomicUsize::new(0));
    let message = || {
        let settled = Arc::clone(&settled);
        Ack::open(move |outcome| {
            assert_eq!(outcome, Outcome::Delivered);
            settled.fetch_add(1, Ordering::Relaxed);
        })
    };
    let objects = Arc::new(InWork::default());
    let deliver = |objects: &InWork, message: Ack| {
        let etag = Identity { etag: "e".into(), ..Identity::default() };
        let name = objects.name(row::Place { input: "1".into(), bucket: "b".into(), key: "k".into() }, etag);
        if objects.take(&name, message.into_share(), None) {
            objects.finish(&name, Outcome::Delivered);
        }
    };
    let first = {
        let (objects, message) = (Arc::clone(&objects), message());
        thread::spawn(move || deliver(&objects, message))
    };
    deliver(&objects, message());
    first.join().unwrap();
    assert_eq!(settled.load(Ordering::Relaxed), 2);
}

fn budgets() {
    let (budget, stop) = (Budget::new(2), Stop::new());
    let held = [budget.try_acquire(1).unwrap(), budget.try_acquire(1).unwrap()];
    let waiting = {
        let (budget, stop) = (budget.clone(), stop.clone());
        thread::spawn(move || budget.acquire(2, &stop).unwrap().amount())
    };
    let [one, other] = held;
    let returns = thread::spawn(move || drop(one));
    drop(other);
    returns.join().unwrap();
    assert_eq!(waiting.join().unwrap(), 2);
    assert_eq!((budget.free(), budget.taken_most()), (2, 2));
}

fn small_permits() {
    let (budget, stop) = (Budget::new(2), Stop::new());
    let takes = [1, 2].map(|amount| {
        let (budget, stop) = (budget.clone(), stop.clone());
        thread::spawn(move || {
            let mut permit = budget.acquire(amount, &stop).unwrap();
            permit.shrink_to(1);
        })
    });
    drop(budget.try_acquire(1));
    takes.into_iter().for_each(|take| take.join().unwrap());
    assert_eq!((budget.free(), budget.taken()), (2, 0));
    assert!(budget.taken_most() <= 2);
}

fn buffers() {
    let buffers = Buffers::new(ROOM);
    drop(buffers.take(ROOM));
    let fill = |buffers: &Buffers, byte: u8| {
        let mut buffer = buffers.take(ROOM);
        buffer.push(byte);
        thread::yield_now();
        assert_eq!(**buffer, [byte]);
    };
    let other = {
        let buffers = buffers.clone();
        thread::spawn(move || fill(&buffers, 1))
    };
    fill(&buffers, 2);
    other.join().unwrap();
}

fn stops() {
    let stop = Stop::new();
    let other = stop.clone();
    let waits = thread::spawn(move || other.wait_until_stopped());
    stop.stop();
    waits.join().unwrap();
    assert!(stop.is_stopped());
}

/// A session that has taken some batches.
type Session = Vec<usize>;

/// Offers a batch as a worker does: a session that was idle needs its sender.
fn offer(place: &Place<Session>, batch: usize) -> Result<(), usize> {
    let take = |session: &mut Session, batch| {
        session.push(batch);
        session.len() == 1
    };
    place.offer(batch, |session| session.len() < 2, take)
}

fn closed_sessions() {
    let (wake, _woken) = channel::bounded(1);
    let place = Arc::new(Place::new(wake));
    place.open(Session::new());
    let workers = [0, 1].map(|batch| {
        let place = Arc::clone(&place);
        thread::spawn(move || offer(&place, batch).err())
    });
    let mut batches = place.close().unwrap();
    let returned = workers.map(|worker| worker.join().unwrap());
    batches.extend(returned.into_iter().flatten());
    batches.sort_unstable();
    assert_eq!(batches, [0, 1], "a batch is lost, or is there twice");
    assert_eq!(offer(&place, 2), Err(2));
}

fn idle_sessions() {
    let (wake, woken) = channel::bounded(1);
    let place = Arc::new(Place::new(wake));
    place.open(Session::new());
    let worker = {
        let place = Arc::clone(&place);
        thread::spawn(move || {
            for batch in 0..2 {
                while offer(&place, batch).is_err() {
                    thread::yield_now();
                }
            }
        })
    };
    let mut confirmed = 0;
    while confirmed < 2 {
        woken.recv();
        confirmed += place.with(std::mem::take).unwrap().len();
    }
    worker.join().unwrap();
}
