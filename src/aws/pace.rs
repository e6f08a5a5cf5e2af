//! Rate limits for calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::Mutex;
use crate::base::stop::Stop;

/// Spaces calls at least an interval apart, from all callers. Clones share it.
#[derive(Debug, Clone)]
pub struct Pace {
    interval: Duration,
    next: Arc<Mutex<Instant>>,
}

impl Pace {
    /// The first call may be made at once.
    pub fn every(interval: Duration) -> Pace {
        Pace { interval, next: Arc::new(Mutex::new(clock::now())) }
    }

    /// Waits for this caller's turn. Returns true if stopped.
    pub fn wait(&self, stop: &Stop) -> bool {
        let now = clock::now();
        let turn = self.take_turn(now);
        stop.wait(turn.saturating_duration_since(now))
    }

    /// Interval between two calls.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// True if they are clones of each other.
    pub fn is(&self, other: &Pace) -> bool {
        Arc::ptr_eq(&self.next, &other.next)
    }

    /// The next caller's turn.
    #[cfg(test)]
    pub fn next(&self) -> Instant {
        *lock(&self.next)
    }

    fn take_turn(&self, now: Instant) -> Instant {
        let mut next = lock(&self.next);
        let turn = (*next).max(now);
        *next = turn + self.interval;
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_an_interval_apart_and_are_not_saved_up() {
        let pace = Pace::every(Duration::from_millis(500));
        let start = Instant::now() + Duration::from_secs(1);
        let ms = Duration::from_millis;
        let turns = [start, start, start + ms(100)].map(|now| pace.clone().take_turn(now) - start);
        assert_eq!(turns, [ms(0), ms(500), ms(1000)]);
        assert_eq!(pace.take_turn(start + ms(9000)), start + ms(9000));
        assert_eq!(pace.take_turn(start + ms(9000)), start + ms(9500));
    }
}
