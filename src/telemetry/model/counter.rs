use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::metric::Kind;

/// A counter that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn increment(&self) {
        self.add(1);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A gauge that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn set(&self, n: i64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts one more for as long as it lives, also when a panic ends it.
#[derive(Debug)]
pub struct Held<'g>(&'g Gauge);

impl Gauge {
    pub fn hold(&self) -> Held<'_> {
        self.add(1);
        Held(self)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// The common interface of counters and gauges, for [`super::groups`].
pub trait Meter {
    const KIND: Kind;
    type Value: Copy + Default;

    /// The meter after a reload: totals carry over, gauges restart.
    fn successor(&self) -> Self;

    fn read(&self) -> Self::Value;

    /// The value in the metric's unit.
    fn exposed(value: Self::Value) -> f64;
}

impl Meter for Counter {
    const KIND: Kind = Kind::Counter;
    type Value = u64;

    fn successor(&self) -> Counter {
        Counter(self.value().into())
    }

    fn read(&self) -> u64 {
        self.value()
    }

    fn exposed(value: u64) -> f64 {
        value as f64
    }
}

impl Meter for Gauge {
    const KIND: Kind = Kind::Gauge;
    type Value = i64;

    fn successor(&self) -> Gauge {
        Gauge::default()
    }

    /// The value, never below zero: two threads' updates may be seen out of order.
    fn read(&self) -> i64 {
        self.value().max(0)
    }

    fn exposed(value: i64) -> f64 {
        value as f64
    }
}
