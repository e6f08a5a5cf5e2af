//! Lag: the event times of objects in flight and of the last delivered one. A source behind an API uses the time up to
//! which it has delivered everything.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::base::locks::lock;
use crate::base::runtime::sync::{Mutex, MutexGuard};

/// The event times in flight. One lock per object, not per record.
#[derive(Debug, Default)]
pub struct Lag(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Number of objects in flight per time.
    in_work: BTreeMap<Timestamp, usize>,
    /// The position of a source behind an API: everything before it is delivered.
    reached: Option<Timestamp>,
    /// Seconds from event to delivery, for the last delivered object.
    last: Option<f64>,
}

impl Lag {
    /// The meter after a reload: nothing is in flight.
    pub fn successor(&self) -> Lag {
        let State { reached, last, .. } = *self.lock();
        Lag(Mutex::new(State { reached, last, ..State::default() }))
    }

    /// Adds an object with this event time.
    pub fn begin(&self, time: Timestamp) {
        *self.lock().in_work.entry(time).or_default() += 1;
    }

    /// Removes the object; `delivered` is the time of its delivery, if any.
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

    /// Everything before this time has been delivered.
    pub fn reached(&self, time: Timestamp, now: Timestamp) {
        let mut state = self.lock();
        if state.reached.is_none_or(|before| before < time) {
            (state.reached, state.last) = (Some(time), Some(seconds_between(time, now)));
        }
    }

    /// Age of the oldest undelivered object, in seconds; None if there is none.
    pub fn oldest(&self, now: Timestamp) -> Option<f64> {
        let state = self.lock();
        let oldest = state.reached.as_ref().or_else(|| state.in_work.keys().next());
        oldest.map(|oldest| seconds_between(*oldest, now))
    }

    /// Seconds from event to delivery, for the last delivered object; None if there is none.
    pub fn last(&self) -> Option<f64> {
        self.lock().last
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

/// Not below zero, since clocks differ.
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
    fn a_source_is_as_far_behind_as_what_it_has_reached() {
        let lag = Lag::default();
        lag.reached(at(0), at(4));
        lag.begin(at(7));
        assert_eq!((lag.oldest(at(9)), lag.last()), (Some(9.0), Some(4.0)));
        lag.reached(at(0), at(20));
        assert_eq!((lag.oldest(at(20)), lag.last()), (Some(20.0), Some(4.0)), "no news is no progress");
        lag.reached(at(19), at(20));
        assert_eq!((lag.oldest(at(21)), lag.last()), (Some(2.0), Some(1.0)));
    }

    #[test]
    fn an_end_without_a_beginning_is_survived() {
        let lag = Lag::default();
        lag.end(at(1), None);
        assert_eq!(lag.oldest(at(2)), None);
    }
}
