//! A metric: its name, its help text and how its value is read.

use serde::Serialize;

/// One metric of something: of a group of counters, of an input, of the collector.
pub struct Metric<T> {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    /// None: not known at present, or there is no such thing.
    pub value: fn(&T) -> Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Counter,
    Gauge,
}
