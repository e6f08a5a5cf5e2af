//! The settings `max_events_per_second` and `max_bytes_per_second` of an output. Pure: time is an argument.

use std::time::{Duration, Instant};

use crate::settings::Rates;

/// A rate's burst: unused capacity of this long may be used at once.
const BURST: Duration = Duration::from_secs(1);

/// A pause that is worth a log line: the far end may mistake the silence for a fault.
const LONG_PAUSE: Duration = Duration::from_secs(30);

/// Decides when the next batch may be sent. A batch is sent whole, so the rate is kept on average: a pause follows an
/// excess.
#[derive(Debug)]
pub struct Throttle {
    events: Option<Bucket>,
    bytes: Option<Bucket>,
    /// A long pause has been reported.
    told: bool,
}

impl Throttle {
    pub fn new(rates: Rates, now: Instant) -> Throttle {
        let bucket = |rate: u64| Bucket { rate: rate.max(1) as f64, paid_until: now };
        Throttle {
            events: rates.events_per_second.map(bucket),
            bytes: rates.bytes_per_second.map(bucket),
            told: false,
        }
    }

    /// True if a batch may be taken now.
    pub fn is_open(&self, now: Instant) -> bool {
        self.buckets().all(|bucket| bucket.paid_until <= now)
    }

    /// A batch has been taken.
    pub fn take(&mut self, events: u64, bytes: u64, now: Instant) {
        for (bucket, amount) in [(&mut self.events, events), (&mut self.bytes, bytes)] {
            if let Some(bucket) = bucket {
                bucket.take(amount, now);
            }
        }
    }

    /// The remaining pause of the rates, if that is long and has not been reported yet.
    pub fn long_pause(&mut self, now: Instant) -> Option<Duration> {
        let until = self.buckets().map(|bucket| bucket.paid_until).max()?;
        let pause = until.saturating_duration_since(now);
        let is_news = pause >= LONG_PAUSE && !std::mem::replace(&mut self.told, true);
        is_news.then_some(pause)
    }

    fn buckets(&self) -> impl Iterator<Item = &Bucket> {
        self.events.iter().chain(&self.bytes)
    }
}

#[derive(Debug)]
struct Bucket {
    /// Units per second.
    rate: f64,
    /// When everything taken has been paid for at this rate; up to a burst in the past.
    paid_until: Instant,
}

impl Bucket {
    fn take(&mut self, amount: u64, now: Instant) {
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        self.paid_until = self.paid_until.max(earliest) + Duration::from_secs_f64(amount as f64 / self.rate);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(rate: u64, now: Instant) -> Throttle {
        Throttle::new(Rates { events_per_second: Some(rate), bytes_per_second: None }, now)
    }

    #[test]
    fn without_limits_it_is_always_open() {
        let now = Instant::now();
        let mut throttle = Throttle::new(Rates::default(), now);
        throttle.take(u64::MAX, u64::MAX, now);
        assert!(throttle.is_open(now));
    }

    #[test]
    fn what_was_taken_too_much_is_waited_for() {
        let now = Instant::now();
        let mut throttle = events(10, now);
        throttle.take(50, 0, now);
        assert!(!throttle.is_open(now + Duration::from_millis(4999)));
        assert!(throttle.is_open(now + Duration::from_secs(5)));
    }

    #[test]
    fn a_batch_far_beyond_the_rate_is_told_of_once() {
        let now = Instant::now();
        let mut throttle = events(10, now);
        throttle.take(50, 0, now);
        assert_eq!(throttle.long_pause(now), None);
        let mut just = events(10, now);
        just.take(300 + 10, 0, now);
        assert_eq!(just.long_pause(now + Duration::from_secs(1)), Some(LONG_PAUSE));
        throttle.take(5000, 0, now);
        assert!(throttle.long_pause(now).is_some_and(|pause| pause >= Duration::from_secs(500)));
        assert_eq!(throttle.long_pause(now), None);
    }

    #[test]
    fn both_limits_hold() {
        let now = Instant::now();
        let rates = Rates { events_per_second: Some(1000), bytes_per_second: Some(10) };
        let mut throttle = Throttle::new(rates, now);
        throttle.take(1, 20, now);
        assert!(!throttle.is_open(now + Duration::from_millis(1999)));
        assert!(throttle.is_open(now + Duration::from_secs(2)));
    }

    proptest! {
        /// Over any time, no more is sent than the rate, one burst and one batch.
        #[test]
        fn the_rate_is_kept(rate in 1u64..1000, batch in 1u64..500, steps in proptest::collection::vec(0u64..500, 1..200)) {
            let start = Instant::now();
            let (mut throttle, mut now, mut sent) = (events(rate, start), start, 0);
            for step in steps {
                now += Duration::from_millis(step);
                while throttle.is_open(now) {
                    throttle.take(batch, 0, now);
                    sent += batch;
                }
                let most = (now - start).as_secs_f64() * rate as f64 + rate as f64 + batch as f64;
                prop_assert!(sent as f64 <= most + 1e-6, "{sent} of {most}");
            }
        }
    }
}
