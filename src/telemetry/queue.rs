//! What is known of a queue.

use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use jiff::Timestamp;

use super::snapshot::QueueSnapshot;

/// Asked from time to time, so always a little old.
#[derive(Debug)]
pub struct Queue {
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    depth: Option<Depth>,
    dead_letters: Option<u64>,
    latest: Latest,
}

/// How many messages SQS thinks that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    pub available: u64,
    pub in_flight: u64,
    pub delayed: u64,
}

/// The latest receive.
#[derive(Debug, Clone, Copy, Default)]
enum Latest {
    /// There was none, or SQS does not say when messages were sent.
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

    pub fn set_depth(&self, depth: Depth) {
        self.lock().depth = Some(depth);
    }

    /// None: there is no dead-letter queue, or it may not be looked at.
    pub fn set_dead_letters(&self, count: Option<u64>) {
        self.lock().dead_letters = count;
    }

    /// A receive brought messages that were sent at these times.
    pub fn received(&self, sent: impl Iterator<Item = Option<SystemTime>>) {
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
        self.lock().latest = latest;
    }

    pub fn snapshot(&self, now: Timestamp) -> QueueSnapshot {
        let state = self.lock();
        QueueSnapshot {
            name: self.name.clone(),
            available: state.depth.map(|depth| depth.available),
            in_flight: state.depth.map(|depth| depth.in_flight),
            delayed: state.depth.map(|depth| depth.delayed),
            dead_letters: state.dead_letters,
            oldest_seconds: match state.latest {
                Latest::Unknown => None,
                Latest::Nothing => Some(0.0),
                Latest::Oldest(time) => Some(now.duration_since(time).as_secs_f64().max(0.0)),
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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
        assert_eq!(queue.snapshot(now).oldest_seconds, None);
        queue.received([sent(5), None, sent(9), sent(7)].into_iter());
        assert_eq!(queue.snapshot(now).oldest_seconds, Some(9.0));
        queue.received([None].into_iter());
        assert_eq!(queue.snapshot(now).oldest_seconds, None);
        queue.received(std::iter::empty());
        let snapshot = queue.snapshot(now);
        assert_eq!(
            (snapshot.oldest_seconds, snapshot.name.as_str(), snapshot.available),
            (Some(0.0), "logs.fifo", None)
        );
    }
}
