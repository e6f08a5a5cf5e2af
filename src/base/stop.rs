//! A stop request that cuts waits short.

use std::time::Duration;

use crate::base::locks::lock;
use crate::base::runtime::atomic::{Arc, AtomicBool, Ordering};
use crate::base::runtime::sync::{Condvar, Mutex};

/// A flag that many threads watch; waits end at once when it is raised. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    raised: AtomicBool,
    gate: Mutex<()>,
    changed: Condvar,
}

impl Stop {
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag, for good.
    pub fn stop(&self) {
        // Under the lock, so that no waiter checks the flag and then sleeps through the call.
        let _held = lock(&self.0.gate);
        self.0.raised.store(true, Ordering::Release);
        self.0.changed.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        self.0.raised.load(Ordering::Acquire)
    }

    /// Sleeps until the flag is raised.
    pub fn wait_until_stopped(&self) {
        while !self.wait(Duration::from_secs(3600)) {}
    }

    /// Sleeps for `duration`, less if the flag is raised. Returns true if it is raised.
    pub fn wait(&self, duration: Duration) -> bool {
        let held = lock(&self.0.gate);
        let running = |(): &mut ()| !self.is_stopped();
        let _held = self.0.changed.wait_timeout_while(held, duration, running);
        self.is_stopped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_flag_ends_the_longest_wait() {
        let stop = Stop::new();
        assert!(!stop.wait(Duration::ZERO));
        let other = stop.clone();
        let waiter = std::thread::spawn(move || other.wait(Duration::from_secs(3600)));
        stop.stop();
        assert!(waiter.join().unwrap());
        assert!(stop.wait(Duration::from_secs(3600)));
    }
}
