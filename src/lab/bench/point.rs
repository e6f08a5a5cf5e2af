//! One measurement of a sweep.

use serde::Deserialize;

/// The figures kept of a run.
#[derive(Debug, Clone, Deserialize)]
pub struct Point {
    pub workers: usize,
    pub senders: usize,
    pub log_mb_per_second: f64,
    pub(super) cpu_seconds_per_gb: f64,
    pub(super) peak_rss_bytes: u64,
    pub(super) bottleneck: String,
    pub(super) complete: bool,
}
