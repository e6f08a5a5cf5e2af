//! The time since something last happened, by the monotonic clock: the machine's may be set, forwards and back.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::base::locks::lock;
use crate::base::runtime::sync::Mutex;

/// The latest of events that repeat, such as deliveries.
#[derive(Debug, Default)]
pub struct Latest(Mutex<State>);

#[derive(Debug, Default, Clone, Copy)]
struct State {
    seen: Option<Instant>,
    /// The age that an earlier process's had at this moment, by the machine's clock.
    learnt: Option<(Duration, Instant)>,
}

impl Latest {
    /// It happened now.
    pub fn happened(&self, now: Instant) {
        let mut state = lock(&self.0);
        state.seen = state.seen.max(Some(now));
    }

    /// It happened this long ago according to a record. This replaces what was learnt before, when the machine's clock
    /// may have been wrong.
    pub fn learn(&self, age: Duration, now: Instant) {
        lock(&self.0).learnt = Some((age, now));
    }

    /// The time since it happened, or was recorded to have; None if it never did.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let State { seen, learnt } = *lock(&self.0);
        let since = |then: Instant| now.saturating_duration_since(then);
        let ages = [seen.map(since), learnt.map(|(age, then)| age.saturating_add(since(then)))];
        ages.into_iter().flatten().min()
    }

    /// The same for the pipeline after a reload.
    pub fn successor(&self) -> Latest {
        Latest(Mutex::new(*lock(&self.0)))
    }
}

/// The time that the machine's clock, which shows `now`, gives to a moment of this age; in whole seconds since 1970.
pub fn unix_time(age: Duration, now: Timestamp) -> i64 {
    (now.as_millisecond() - age.as_millis() as i64 + 500).div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_time_counts_until_something_happens_later() {
        let (latest, start, second) = (Latest::default(), Instant::now(), Duration::from_secs(1));
        let at = |seconds: u32| start + seconds * second;
        assert_eq!(latest.age(at(0)), None);
        latest.learn(100 * second, at(0));
        assert_eq!(latest.age(at(7)), Some(107 * second));
        latest.happened(at(8));
        latest.happened(at(5));
        assert_eq!(latest.age(at(10)), Some(2 * second), "an earlier event is not the latest");
        latest.learn(second, at(10));
        latest.learn(9000 * second, at(10));
        assert_eq!(latest.age(at(10)), Some(2 * second), "what a wrong clock taught is forgotten");
        assert_eq!(latest.successor().age(at(20)), Some(12 * second));
    }

    #[test]
    fn its_time_is_that_of_the_clock_as_it_is_now() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let two_hours_back = Timestamp::from_second(1_800_000_000 - 7200).unwrap();
        let age = Duration::from_millis(29_600);
        assert_eq!(unix_time(age, now), 1_800_000_000 - 30);
        assert_eq!(unix_time(age, two_hours_back), 1_800_000_000 - 7230);
    }
}
