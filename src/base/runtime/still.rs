//! A clock that stands still until somebody waits, for tests of one thread.
//!
//! A wait takes no time, and the clock then shows its end. So a test can say exactly when something is given up.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::{Simulation, enter};
use crate::base::locks::lock;

/// The clock. Only the thread that runs in it sees it.
#[derive(Debug)]
pub struct Still {
    start: Instant,
    passed: Mutex<Duration>,
    keys: AtomicU64,
}

impl Still {
    /// Runs a test on a thread of its own, whose clock this is.
    pub fn run(test: impl FnOnce(Arc<Still>) + Send) {
        let clock =
            Arc::new(Still { start: Instant::now(), passed: Mutex::default(), keys: AtomicU64::new(0) });
        let ended = std::thread::scope(|scope| {
            let body = || {
                enter(Arc::clone(&clock) as Arc<dyn Simulation>);
                test(Arc::clone(&clock));
            };
            scope.spawn(body).join()
        });
        ended.unwrap_or_else(|panic| resume_unwind(panic));
    }

    /// The time since the test began.
    pub fn passed(&self) -> Duration {
        *lock(&self.passed)
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        *lock(&self.passed) += time;
    }
}

impl Simulation for Still {
    fn now(&self) -> Instant {
        self.start + self.passed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.passed()
    }

    fn disk_time(&self) -> Duration {
        Duration::ZERO
    }

    fn key(&self) -> u64 {
        self.keys.fetch_add(1, Ordering::Relaxed)
    }

    fn wait(&self, _keys: &[u64], until: Option<Instant>) -> bool {
        let until = until.expect("nobody else is there who could end this wait");
        self.pass(until.saturating_duration_since(self.now()));
        true
    }

    fn notify(&self, _key: u64) {}

    fn pause(&self) {}

    fn spawn(&self, _name: String, _body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
