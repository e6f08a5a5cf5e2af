//! The stop flag, and how long to wait between tries.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::limits::{AWS_BACKOFF_FIRST, AWS_BACKOFF_MAX};

/// A flag that many threads watch; waits end at once when it is raised. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
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
        // Under the lock, so that no waiter looks at the flag and then sleeps through the call.
        let _held = self.0.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.raised.store(true, Ordering::Release);
        self.0.changed.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        self.0.raised.load(Ordering::Acquire)
    }

    /// Sleeps for `duration`, less when the flag is raised. True: it is raised.
    pub fn wait(&self, duration: Duration) -> bool {
        let held = self.0.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let running = |(): &mut ()| !self.is_stopped();
        let _held = self.0.changed.wait_timeout_while(held, duration, running);
        self.is_stopped()
    }
}

/// The wait before try number `attempt` + 1 (the first try is 1): full jitter over a doubling span.
/// `random` gives a number in 0..1.
pub fn delay(attempt: u32, random: impl FnOnce() -> f64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let span = AWS_BACKOFF_FIRST.saturating_mul(1 << doublings).min(AWS_BACKOFF_MAX);
    span.mul_f64(random().clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit() {
        assert_eq!(delay(1, || 1.0), AWS_BACKOFF_FIRST);
        assert_eq!(delay(3, || 1.0), AWS_BACKOFF_FIRST * 4);
        assert_eq!(delay(3, || 0.5), AWS_BACKOFF_FIRST * 2);
        assert_eq!(delay(u32::MAX, || 1.0), AWS_BACKOFF_MAX);
        assert_eq!(delay(9, || 0.0), Duration::ZERO);
    }

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
