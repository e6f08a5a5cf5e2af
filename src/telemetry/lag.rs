//! How far behind: the event times of what is in work, and of what was delivered last.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;

/// The times of the things in work. One lock per thing, not per record.
#[derive(Debug, Default)]
pub struct Lag(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How many are in work of each time.
    in_work: BTreeMap<Timestamp, usize>,
    /// Seconds from its time to its delivery, of what was delivered last.
    last: Option<f64>,
}

impl Lag {
    /// Something of this time is in work from now on.
    pub fn begin(&self, time: Timestamp) {
        *self.lock().in_work.entry(time).or_default() += 1;
    }

    /// It is not any more; `delivered` at this moment, if it was.
    pub fn end(&self, time: Timestamp, delivered: Option<Timestamp>) {
        let mut state = self.lock();
        if let Some(count) = state.in_work.get_mut(&time) {
            *count -= 1;
            if *count == 0 {
                state.in_work.remove(&time);
            }
        }
        if let Some(now) = delivered {
            state.last = Some(seconds_between(time, now));
        }
    }

    /// Age of the oldest thing in work, in seconds; None: nothing is.
    pub fn oldest(&self, now: Timestamp) -> Option<f64> {
        self.lock().in_work.keys().next().map(|oldest| seconds_between(*oldest, now))
    }

    /// Seconds from its event to its delivery, of what was delivered last; None: nothing was.
    pub fn last(&self) -> Option<f64> {
        self.lock().last
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Not below zero: clocks differ.
fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn the_oldest_in_work_and_the_last_delivered() {
        let lag = Lag::default();
        assert_eq!((lag.oldest(at(0)), lag.last()), (None, None));
        for time in [5, 3, 3] {
            lag.begin(at(time));
        }
        assert_eq!(lag.oldest(at(10)), Some(7.0));
        lag.end(at(3), Some(at(13)));
        assert_eq!((lag.oldest(at(13)), lag.last()), (Some(10.0), Some(10.0)));
        lag.end(at(3), None);
        assert_eq!((lag.oldest(at(13)), lag.last()), (Some(8.0), Some(10.0)));
        lag.end(at(5), Some(at(4)));
        assert_eq!((lag.oldest(at(13)), lag.last()), (None, Some(0.0)), "a clock that is behind");
    }

    #[test]
    fn an_end_without_a_beginning_is_survived() {
        let lag = Lag::default();
        lag.end(at(1), None);
        assert_eq!(lag.oldest(at(2)), None);
    }
}
