//! Waiting times of threads. Measured per call, part or batch, never per record: two clock readings cost about 50 ns.

use std::time::Duration;

use super::counter::{Counter, Meter};
use super::metric::Kind;
use super::process::thread_cpu;

use crate::base::runtime::clock;

/// A total duration over all threads.
#[derive(Debug, Default)]
pub struct Stopwatch(Counter);

impl Stopwatch {
    /// Does `work` and adds the time it took.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = clock::now();
        let result = work();
        self.add(clock::since(started));
        result
    }

    /// Does `work` and adds the CPU time it took.
    pub fn time_cpu<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = thread_cpu();
        let result = work();
        self.add(thread_cpu() - before);
        result
    }

    pub fn add(&self, duration: Duration) {
        self.0.add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.value())
    }
}

/// Counted in nanoseconds, exposed in seconds.
impl Meter for Stopwatch {
    const KIND: Kind = Kind::Counter;
    type Value = u64;

    fn successor(&self) -> Stopwatch {
        Stopwatch(self.0.successor())
    }

    fn read(&self) -> u64 {
        self.0.value()
    }

    fn exposed(nanoseconds: u64) -> f64 {
        nanoseconds as f64 / 1e9
    }
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
