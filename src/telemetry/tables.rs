//! Events and bytes delivered to each Devo table since the start.

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use crate::ack;
use crate::base::limits::TABLES_COUNTED_MAX;
use crate::base::locks::lock;
use crate::base::runtime::sync::Mutex;
use crate::telemetry::model::latest::{Latest, unix_time};

/// Counts what every output has confirmed, by table. Records may name their table, so the number of tables is bounded:
/// those beyond [`TABLES_COUNTED_MAX`] count together, under an empty name.
#[derive(Debug, Default)]
pub struct Tables(Mutex<BTreeMap<Box<str>, Count>>);

#[derive(Debug, Default)]
struct Count {
    events: u64,
    bytes: u64,
    last_delivery: Latest,
}

/// A table's counts at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableSnapshot {
    /// The tag, such as `cloud.aws.vpc.flow`. Empty for all tables that are not counted separately.
    pub name: String,
    pub events: u64,
    /// Bytes of frames.
    pub bytes: u64,
    /// The time of the last delivery, in seconds since 1970.
    pub last_delivery_at: i64,
}

impl Tables {
    /// Adds events that were delivered now.
    pub fn add(&self, tables: &ack::Tables, now: Instant) {
        let mut counts = lock(&self.0);
        for table in tables.iter() {
            let is_counted = counts.contains_key(&table.name) || counts.len() < TABLES_COUNTED_MAX;
            let name: &str = if is_counted { &table.name } else { "" };
            let count = match counts.get_mut(name) {
                Some(count) => count,
                None => counts.entry(name.into()).or_default(),
            };
            count.events += table.events;
            count.bytes += table.bytes;
            count.last_delivery.happened(now);
        }
    }

    /// The tables, by name.
    pub fn snapshot(&self, now: Timestamp, instant: Instant) -> Vec<TableSnapshot> {
        let counts = lock(&self.0);
        let tables = counts.iter().map(|(name, count)| TableSnapshot {
            name: name.to_string(),
            events: count.events,
            bytes: count.bytes,
            last_delivery_at: unix_time(count.last_delivery.age(instant).unwrap_or_default(), now),
        });
        tables.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn hostile_names_are_counted_together() {
        let (tables, start) = (Tables::default(), Instant::now());
        for number in 0..3 * TABLES_COUNTED_MAX {
            let mut delivered = ack::Tables::default();
            delivered.add(&format!("my.app.{number}"), 1, 10);
            delivered.add("cloud.aws.vpc.flow", 2, 20);
            tables.add(&delivered, start + Duration::from_secs(number as u64));
        }
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let counted = tables.snapshot(now, start + Duration::from_secs(3 * TABLES_COUNTED_MAX as u64));
        assert!(counted.len() <= TABLES_COUNTED_MAX + 1, "{}", counted.len());
        let events = |name: &str| counted.iter().find(|table| table.name == name).map(|table| table.events);
        assert_eq!(events("cloud.aws.vpc.flow"), Some(6 * TABLES_COUNTED_MAX as u64));
        assert_eq!(counted.iter().map(|table| table.events).sum::<u64>(), 9 * TABLES_COUNTED_MAX as u64);
        assert_eq!(counted.iter().map(|table| table.last_delivery_at).max(), Some(now.as_second() - 1));
    }
}
