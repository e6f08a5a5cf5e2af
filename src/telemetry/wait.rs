//! Where the threads' time goes that is not work. Measured a call, a part or a batch, never a record:
//! two looks at the clock cost some 50 ns.

use std::time::{Duration, Instant};

use super::Counter;

/// Sums up how long something took, over all threads.
#[derive(Debug, Clone, Default)]
pub struct Stopwatch(Counter);

impl Stopwatch {
    /// Does `work` and adds the time that it took.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.add(started.elapsed());
        result
    }

    pub fn add(&self, duration: Duration) {
        self.0.add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.value())
    }
}

/// What the threads of each stage wait for. Of a stage whose waits are short there is too little.
#[derive(Debug, Clone, Default)]
pub struct Waits {
    /// Receivers: a place among the messages in work.
    pub receive_place: Stopwatch,
    /// Receivers: SQS, long polls of an empty queue included.
    pub receive_sqs: Stopwatch,
    /// Receivers: a fetcher that takes an object.
    pub receive_fetchers: Stopwatch,
    /// Fetchers: an object to fetch.
    pub fetch_objects: Stopwatch,
    /// Fetchers: room in the memory budget.
    pub fetch_memory: Stopwatch,
    /// Fetchers: S3, from the request to the body's last byte.
    pub fetch_s3: Stopwatch,
    /// Fetchers: a worker that is done with the part before.
    pub fetch_workers: Stopwatch,
    /// Workers: a sender that takes a batch.
    pub work_senders: Stopwatch,
    /// Workers: **not a wait** but the time from a payload's start to its end, that wait included.
    /// What is left of the workers' time they had nothing to do.
    pub work_payloads: Stopwatch,
    /// Senders: a batch to send.
    pub send_batches: Stopwatch,
    /// Senders: room in the socket; the network or the peer is slow.
    pub send_socket: Stopwatch,
    /// Senders: the peer's acknowledgements, with a window that is full.
    pub send_confirmation: Stopwatch,
    /// Senders: the rate that the configuration allows.
    pub send_rate: Stopwatch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up() {
        let stopwatch = Stopwatch::default();
        stopwatch.add(Duration::from_secs(2));
        assert_eq!(stopwatch.time(|| 7), 7);
        assert!(stopwatch.total() >= Duration::from_secs(2));
    }
}
