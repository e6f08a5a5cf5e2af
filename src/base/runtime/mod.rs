//! Time, threads, locks and channels: what decides in which order things happen.
//!
//! Everything that asks for the time, waits, or starts a thread does so through these modules. In production each call
//! goes directly to `std`, `crossbeam` or `rayon`. In a [`Simulation`] the same calls go to a scheduler that runs one
//! thread at a time and owns the clock, so that a whole run is a function of its seed. A lock, condition or channel
//! belongs to the simulation of the thread that created it; outside of one this costs a branch for each call.
//!
//! What is shared without locks ([`atomic`]) is not interrupted there; `tests/memory.rs` tries all orders of it.
//!
//! The `shuttle` crate offers locks and channels of the same kind, but it has no time, and this program consists of
//! time-outs.

pub mod atomic;
pub mod channel;
pub mod clock;
pub mod disk;
#[cfg(test)]
pub mod still;
pub mod sync;
pub mod thread;
pub mod workers;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// The scheduler of simulated threads. Only one of them runs at any time, between two calls of these methods; so whatever a
/// thread checks before it waits still holds when it waits.
pub trait Simulation: Send + Sync {
    /// The monotonic clock.
    fn now(&self) -> Instant;

    /// The machine's clock, which may be wrong and may be set.
    fn wall(&self) -> SystemTime;

    /// The time that a write to the machine's disk takes.
    fn disk_time(&self) -> Duration;

    /// A name for one more thing that threads may wait for.
    fn key(&self) -> u64;

    /// Lets others run until one of the `keys` is notified, or `until` has come; it may also return sooner. Returns
    /// false if this thread belongs to a process that has died, and is being unwound: it must not wait any more.
    fn wait(&self, keys: &[u64], until: Option<Instant>) -> bool;

    /// Wakes the threads that wait for this key.
    fn notify(&self, key: u64);

    /// A moment at which another thread may run.
    fn pause(&self);

    /// Starts a thread of the same process. `body` enters the simulation by itself.
    ///
    /// # Errors
    /// If the thread cannot be started.
    fn spawn(&self, name: String, body: Box<dyn FnOnce() + Send>) -> io::Result<()>;
}

/// Set once any thread of this process is simulated, so that other processes never look for a simulation.
static IN_USE: AtomicBool = AtomicBool::new(false);

thread_local! {
    static CURRENT: RefCell<Option<Arc<dyn Simulation>>> = const { RefCell::new(None) };
}

/// Makes the calling thread a simulated one, until its end.
pub fn enter(simulation: Arc<dyn Simulation>) {
    IN_USE.store(true, Ordering::Release);
    CURRENT.set(Some(simulation));
}

/// The simulation that the calling thread belongs to.
fn simulation() -> Option<Arc<dyn Simulation>> {
    if !IN_USE.load(Ordering::Relaxed) {
        return None;
    }
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// A point that the threads of a simulation wait for; nothing outside of one.
#[derive(Clone)]
struct Point(Option<Arc<Spot>>);

struct Spot {
    key: u64,
    /// Threads that wait for it, so that a notification without any costs nothing.
    waiting: AtomicUsize,
}

impl Point {
    /// A point of the calling thread's simulation.
    fn new() -> Point {
        let key = simulation().map(|simulation| simulation.key());
        Point(key.map(|key| Arc::new(Spot { key, waiting: AtomicUsize::new(0) })))
    }

    /// The point of something on which nothing ever happens.
    const fn none() -> Point {
        Point(None)
    }

    /// The simulation, if the calling thread and this point belong to one.
    fn simulation(&self) -> Option<Arc<dyn Simulation>> {
        self.0.as_ref()?;
        simulation()
    }

    /// Threads that wait for it.
    fn waiting(&self) -> usize {
        self.0.as_ref().map_or(0, |spot| spot.waiting.load(Ordering::Relaxed))
    }

    fn notify(&self) {
        if self.waiting() > 0
            && let (Some(spot), Some(simulation)) = (&self.0, simulation())
        {
            simulation.notify(spot.key);
        }
    }
}

/// Waits as [`Simulation::wait`] does.
fn wait(simulation: &dyn Simulation, points: &[&Point], until: Option<Instant>) -> bool {
    let spots: Vec<&Spot> = points.iter().filter_map(|point| point.0.as_deref()).collect();
    let keys: Vec<u64> = spots.iter().map(|spot| spot.key).collect();
    let _counted: Vec<Counted<'_>> = spots.into_iter().map(Counted::new).collect();
    simulation.wait(&keys, until)
}

/// One more thread that waits, until it is dropped.
struct Counted<'a>(&'a Spot);

impl<'a> Counted<'a> {
    fn new(spot: &'a Spot) -> Counted<'a> {
        spot.waiting.fetch_add(1, Ordering::Relaxed);
        Counted(spot)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
