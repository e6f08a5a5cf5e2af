//! The unit of each metric. GetMetricData does not return it: one GetMetricStatistics does, and it is cached.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::aws::cloudwatch::Metric;
use crate::base::limits::{METRIC_UNIT_BYTES_MAX, METRIC_UNITS_MAX, METRIC_UNITS_SAVED_MAX};
use crate::base::text::fingerprint;

/// The checkpoint's part: by unit, the keys of the metrics that have it.
pub const UNITS: &str = "units";

/// AWS's own namespaces. Their metrics have one unit, whatever the dimensions; other metrics are requested
/// individually.
const OWN: &str = "AWS/";

/// The known units.
#[derive(Debug, Default)]
pub struct Units {
    /// False disables the requests.
    asks: bool,
    /// By the metric's key. None if its datapoints have no unit, or several.
    known: HashMap<u64, Option<Arc<str>>>,
    has_news: bool,
}

impl Units {
    pub fn new(asks: bool) -> Units {
        Units { asks, ..Units::default() }
    }

    /// Takes an earlier process's units.
    pub fn resume(&mut self, saved: Option<&String>) {
        let saved = saved.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let saved: BTreeMap<Arc<str>, Vec<String>> = saved;
        for (unit, keys) in &saved {
            let unit = Some(unit).filter(|unit| !unit.is_empty());
            let keys = keys.iter().filter_map(|key| u64::from_str_radix(key, 16).ok());
            self.known.extend(keys.map(|key| (key, unit.cloned())));
        }
    }

    /// Disables the requests.
    pub fn stop_asking(&mut self) {
        self.asks = false;
    }

    /// The metric's unit, if it is known.
    pub fn of(&self, metric: &Metric) -> Option<&str> {
        self.known.get(&key(metric))?.as_deref()
    }

    /// True if its unit should be requested.
    pub fn wants(&self, metric: &Metric) -> bool {
        self.asks && self.known.len() < METRIC_UNITS_MAX && !self.known.contains_key(&key(metric))
    }

    /// Stores CloudWatch's answer.
    pub fn learn(&mut self, metric: &Metric, unit: Option<String>) {
        let unit = unit.filter(|unit| !unit.is_empty() && unit.len() <= METRIC_UNIT_BYTES_MAX);
        self.known.insert(key(metric), unit.map(Into::into));
        self.has_news = true;
    }

    /// The checkpoint, if it has news. With very many metrics not all units are stored.
    pub fn checkpoint(&mut self) -> Option<(String, String)> {
        if !std::mem::take(&mut self.has_news) || self.known.len() > METRIC_UNITS_SAVED_MAX {
            return None;
        }
        let mut saved: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (key, unit) in &self.known {
            saved.entry(unit.as_deref().unwrap_or_default()).or_default().push(format!("{key:x}"));
        }
        saved.values_mut().for_each(|keys| keys.sort_unstable());
        Some((UNITS.to_owned(), serde_json::to_string(&saved).ok()?))
    }
}

/// The key shared by metrics with the same unit.
pub fn key(metric: &Metric) -> u64 {
    match metric.namespace.starts_with(OWN) {
        true => fingerprint(&format!("{}\0{}", metric.namespace, metric.name)) as u64,
        false => super::mark::mark_of(metric),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::cloudwatch::Dimension;

    fn metric(namespace: &str, name: &str, dimension: &str) -> Metric {
        let dimensions = vec![Dimension { name: "d".into(), value: dimension.into() }];
        Metric { namespace: namespace.into(), name: name.into(), dimensions }
    }

    #[test]
    fn a_metric_of_aws_s_own_is_asked_for_once_and_others_with_their_dimensions() {
        let mut units = Units::new(true);
        units.learn(&metric("AWS/EC2", "CPU", "a"), Some("Percent".into()));
        units.learn(&metric("Shop", "Orders", "a"), Some("Count".into()));
        assert_eq!(units.of(&metric("AWS/EC2", "CPU", "b")), Some("Percent"));
        assert!(!units.wants(&metric("AWS/EC2", "CPU", "b")) && units.wants(&metric("AWS/EC2", "Net", "a")));
        assert!(!units.wants(&metric("Shop", "Orders", "a")) && units.wants(&metric("Shop", "Orders", "b")));
        units.stop_asking();
        assert!(!units.wants(&metric("AWS/EC2", "Net", "a")));
        assert_eq!(units.of(&metric("Shop", "Orders", "a")), Some("Count"), "what is known is still said");
    }

    #[test]
    fn a_checkpoint_keeps_what_is_known() {
        let mut units = Units::new(true);
        units.learn(&metric("AWS/EC2", "CPU", "a"), Some("Percent".into()));
        units.learn(&metric("Shop", "Orders", "a"), None);
        units.learn(&metric("Shop", "Orders", "b"), Some("x".repeat(METRIC_UNIT_BYTES_MAX + 1)));
        let (part, text) = units.checkpoint().unwrap();
        assert_eq!((part.as_str(), units.checkpoint()), (UNITS, None), "nothing is new");
        let mut next = Units::new(true);
        next.resume(Some(&text));
        assert_eq!(next.of(&metric("AWS/EC2", "CPU", "b")), Some("Percent"));
        for dimension in ["a", "b"] {
            let orders = metric("Shop", "Orders", dimension);
            assert!(next.of(&orders).is_none() && !next.wants(&orders), "it has none");
        }
        next.resume(Some(&"no JSON".to_owned()));
    }

    #[test]
    fn units_are_bounded() {
        let mut units = Units::new(true);
        for number in 0..METRIC_UNITS_MAX {
            let metric = metric("AWS/X", &number.to_string(), "a");
            assert!(units.wants(&metric));
            units.learn(&metric, Some("Count".into()));
        }
        assert!(!units.wants(&metric("AWS/X", "one more", "a")));
        assert_eq!(units.checkpoint(), None, "too many for a checkpoint");
    }
}
