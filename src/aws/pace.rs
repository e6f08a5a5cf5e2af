//! Rate limits for calls.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::Mutex;
use crate::base::stop::Stop;

/// Spaces calls at least an interval apart, from all callers. Clones share it. Callers may be on several hosts: then each host
/// makes as many of the calls as it has of the callers.
#[derive(Debug, Clone)]
pub struct Pace {
    interval: Duration,
    turns: Arc<Mutex<Turns>>,
}

struct Turns {
    next: Instant,
    /// The callers that may be on another host.
    callers: Vec<Box<dyn Fn() -> Caller + Send>>,
}

/// The place of a caller at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// On this host.
    Here,
    /// On another one.
    Elsewhere,
    /// It makes no calls, as far as this host knows.
    Nowhere,
}

impl Pace {
    /// The first call may be made at once.
    pub fn every(interval: Duration) -> Pace {
        let turns = Turns { next: clock::now(), callers: Vec::new() };
        Pace { interval, turns: Arc::new(Mutex::new(turns)) }
    }

    /// Adds a caller that may be on another host.
    pub fn divide(&self, caller: impl Fn() -> Caller + Send + 'static) {
        lock(&self.turns).callers.push(Box::new(caller));
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
        Arc::ptr_eq(&self.turns, &other.turns)
    }

    /// The next caller's turn.
    #[cfg(test)]
    pub fn next(&self) -> Instant {
        lock(&self.turns).next
    }

    fn take_turn(&self, now: Instant) -> Instant {
        let mut turns = lock(&self.turns);
        let turn = turns.next.max(now);
        turns.next = turn + self.interval.mul_f64(turns.hosts());
        turn
    }
}

impl Turns {
    /// Callers on all hosts for each one here.
    fn hosts(&self) -> f64 {
        let mut counts = [0_u32; 2];
        for caller in &self.callers {
            match caller() {
                Caller::Here => counts[0] += 1,
                Caller::Elsewhere => counts[1] += 1,
                Caller::Nowhere => (),
            }
        }
        let [here, elsewhere] = counts.map(f64::from);
        let here = here.max(1.0);
        (here + elsewhere) / here
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("next", &self.next).field("callers", &self.callers.len()).finish()
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

    #[test]
    fn hosts_divide_the_calls_by_their_callers() {
        let interval = Duration::from_millis(500);
        let time_of = |callers: &[Caller]| {
            let pace = Pace::every(interval);
            callers.iter().for_each(|caller| {
                let caller = *caller;
                pace.divide(move || caller);
            });
            let start = Instant::now() + Duration::from_secs(1);
            pace.take_turn(start);
            pace.take_turn(start) - start
        };
        use Caller::{Elsewhere, Here, Nowhere};
        assert_eq!(time_of(&[]), interval);
        assert_eq!(time_of(&[Here, Here, Nowhere]), interval);
        assert_eq!(time_of(&[Here, Elsewhere, Elsewhere]), 3 * interval);
        assert_eq!(time_of(&[Here, Here, Elsewhere]), interval * 3 / 2);
        assert_eq!(time_of(&[Elsewhere]), 2 * interval, "a last call before it goes");
    }
}
