//! The known state of a queue.

use std::time::{Instant, SystemTime};

use jiff::Timestamp;

use super::failed::Redrive;
use super::snapshot::QueueSnapshot;
use crate::base::limits::FIGURES_AGE_MAX;
use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard};

/// Figures about a queue. They are read periodically, so always slightly old. Figures that are too old are not
/// reported, only their age.
#[derive(Debug)]
pub struct Queue {
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    depth: Option<(Depth, Instant)>,
    dead_letters: Option<(u64, Instant)>,
    redrive: Redrive,
    latest: Latest,
    /// The latest answer to a receive.
    received: Option<Instant>,
}

/// SQS's estimates of the queue's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    pub available: u64,
    pub in_flight: u64,
    pub delayed: u64,
}

/// The latest receive.
#[derive(Debug, Clone, Copy, Default)]
enum Latest {
    /// There was no message, or SQS did not say when messages were sent.
    #[default]
    Unknown,
    Nothing,
    /// When the oldest of its messages was sent.
    Oldest(Timestamp),
}

impl Queue {
    pub fn new(url: &str) -> Queue {
        let name = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        Queue { name: name.to_owned(), state: Mutex::default() }
    }

    /// Records SQS's figures at this moment.
    pub fn set_depth(&self, depth: Depth, now: Instant) {
        self.lock().depth = Some((depth, now));
    }

    /// Records SQS's number of dead letters at this moment. None if there is no dead-letter queue, or it may not be
    /// read.
    pub fn set_dead_letters(&self, count: Option<u64>, now: Instant) {
        self.lock().dead_letters = count.map(|count| (count, now));
    }

    /// Records the queue's redrive policy.
    pub fn set_redrive(&self, redrive: Redrive) {
        self.lock().redrive = redrive;
    }

    pub fn redrive(&self) -> Redrive {
        self.lock().redrive.clone()
    }

    /// Records that a receive returned messages sent at these times.
    pub fn received(&self, sent: impl Iterator<Item = Option<SystemTime>>) {
        self.received_at(sent, clock::now());
    }

    fn received_at(&self, sent: impl Iterator<Item = Option<SystemTime>>, now: Instant) {
        let mut latest = Latest::Nothing;
        for time in sent {
            let time = time.and_then(|time| Timestamp::try_from(time).ok());
            latest = match (latest, time) {
                (Latest::Oldest(oldest), Some(time)) => Latest::Oldest(oldest.min(time)),
                (Latest::Oldest(oldest), None) => Latest::Oldest(oldest),
                (_, Some(time)) => Latest::Oldest(time),
                (_, None) => Latest::Unknown,
            };
        }
        let mut state = self.lock();
        (state.latest, state.received) = (latest, Some(now));
    }

    pub fn snapshot(&self, now: Timestamp, instant: Instant) -> QueueSnapshot {
        let state = self.lock();
        let age = |at: Instant| instant.saturating_duration_since(at);
        let is_fresh = |at: Instant| age(at) < FIGURES_AGE_MAX;
        let depth = state.depth.filter(|(_, at)| is_fresh(*at)).map(|(depth, _)| depth);
        QueueSnapshot {
            name: self.name.clone(),
            available: depth.map(|depth| depth.available),
            in_flight: depth.map(|depth| depth.in_flight),
            delayed: depth.map(|depth| depth.delayed),
            depth_age_seconds: state.depth.map(|(_, at)| age(at).as_secs_f64()),
            dead_letters: state.dead_letters.filter(|(_, at)| is_fresh(*at)).map(|(count, _)| count),
            dead_letters_age_seconds: state.dead_letters.map(|(_, at)| age(at).as_secs_f64()),
            receive_age_seconds: state.received.map(|at| age(at).as_secs_f64()),
            oldest_seconds: match state.latest {
                Latest::Unknown => None,
                // An earlier empty receive says nothing about now.
                Latest::Nothing => state.received.filter(|at| is_fresh(*at)).map(|_| 0.0),
                Latest::Oldest(time) => Some(now.duration_since(time).as_secs_f64().max(0.0)),
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_message_of_the_latest_receive_gives_the_age() {
        let queue = Queue::new("https://sqs.eu-west-1.amazonaws.com/111/logs.fifo");
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let sent = |ago| Some(SystemTime::from(now) - Duration::from_secs(ago));
        let snapshot = || queue.snapshot(now, Instant::now());
        assert_eq!(snapshot().oldest_seconds, None);
        queue.received([sent(5), None, sent(9), sent(7)].into_iter());
        assert_eq!(snapshot().oldest_seconds, Some(9.0));
        queue.received([None].into_iter());
        assert_eq!(snapshot().oldest_seconds, None);
        queue.received(std::iter::empty());
        let snapshot = snapshot();
        assert_eq!(
            (snapshot.oldest_seconds, snapshot.name.as_str(), snapshot.available),
            (Some(0.0), "logs.fifo", None)
        );
    }

    #[test]
    fn figures_that_are_too_old_are_not_told_and_their_age_is() {
        let (queue, start) = (Queue::new("https://sqs.eu-west-1.amazonaws.com/1/q"), Instant::now());
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        queue.set_depth(Depth { available: 7, in_flight: 1, delayed: 0 }, start);
        queue.set_dead_letters(Some(3), start);
        queue.received_at(std::iter::empty(), start);
        let fresh = queue.snapshot(now, start + FIGURES_AGE_MAX / 2);
        assert_eq!(
            (fresh.available, fresh.dead_letters, fresh.oldest_seconds),
            (Some(7), Some(3), Some(0.0))
        );
        let stale = queue.snapshot(now, start + Duration::from_secs(143));
        assert_eq!((stale.available, stale.in_flight, stale.delayed), (None, None, None));
        assert_eq!((stale.dead_letters, stale.oldest_seconds), (None, None));
        for age in [stale.depth_age_seconds, stale.dead_letters_age_seconds, stale.receive_age_seconds] {
            assert_eq!(age, Some(143.0));
        }
        queue.set_dead_letters(None, start);
        assert_eq!(queue.snapshot(now, start).dead_letters_age_seconds, None);
    }
}
