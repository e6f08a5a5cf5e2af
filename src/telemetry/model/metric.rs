//! A metric: its name, its help text and its getter.

use serde::Serialize;

/// One metric of a group of counters, an input or the collector.
pub struct Metric<T> {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    /// The value; None if it is unknown or does not apply.
    pub value: fn(&T) -> Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Counter,
    Gauge,
}
