//! The identity of a metric.

use crate::aws::cloudwatch::Metric;
use crate::base::text::fingerprint;

pub(super) fn name_of(metric: &Metric) -> String {
    serde_json::to_string(metric).unwrap_or_default()
}

pub(super) fn mark_of(metric: &Metric) -> u64 {
    fingerprint(&name_of(metric)) as u64
}
