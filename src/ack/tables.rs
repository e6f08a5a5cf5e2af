//! Counts of events by Devo table.

use crate::base::limits::TABLES_PER_OBJECT_MAX;

/// The events for one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The tag, such as `cloud.aws.vpc.flow`. Empty for the tables beyond [`TABLES_PER_OBJECT_MAX`] together.
    pub name: Box<str>,
    pub events: u64,
    /// Bytes of frames.
    pub bytes: u64,
}

/// Counts of events and bytes by table. The tag may come from a record, so the number of tables is bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables(Vec<Table>);

impl Tables {
    /// Adds events of a table.
    pub fn add(&mut self, name: &str, events: u64, bytes: u64) {
        let at = self.0.iter().position(|table| *table.name == *name);
        match at {
            Some(at) => {
                self.0[at].events += events;
                self.0[at].bytes += bytes;
                // Frequent tables move to the front, where they are found quickly.
                if at > 0 && self.0[at].events > self.0[at - 1].events {
                    self.0.swap(at, at - 1);
                }
            }
            None if self.0.len() >= TABLES_PER_OBJECT_MAX && !name.is_empty() => self.add("", events, bytes),
            None => self.0.push(Table { name: name.into(), events, bytes }),
        }
    }

    /// Adds the counts of others.
    pub fn merge(&mut self, others: &Tables) {
        others.iter().for_each(|table| self.add(&table.name, table.events, table.bytes));
    }

    /// Iterates over the tables; each occurs once.
    pub fn iter(&self) -> impl Iterator<Item = &Table> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of events in all tables.
    pub fn events(&self) -> u64 {
        self.0.iter().map(|table| table.events).sum()
    }

    /// The number of bytes in all tables.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|table| table.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_tags_are_counted_together() {
        let mut tables = Tables::default();
        (0..5000).for_each(|number| tables.add(&format!("my.app.{number}"), 1, 2));
        assert_eq!(tables.0.len(), TABLES_PER_OBJECT_MAX + 1);
        assert_eq!((tables.events(), tables.bytes()), (5000, 10_000));
    }

    #[test]
    fn frequent_tables_move_to_the_front() {
        let mut tables = Tables::default();
        assert!(tables.is_empty());
        for name in ["a", "b", "c", "b", "c", "c", "c"] {
            tables.add(name, 1, 1);
        }
        assert!(!tables.is_empty());
        let names: Vec<_> = tables.iter().map(|table| &*table.name).collect();
        assert_eq!(names, ["c", "b", "a"], "and equal ones stay");
        tables.add("a", 1, 1);
        assert_eq!(tables.iter().last().map(|table| &*table.name), Some("a"));
    }

    proptest! {
        /// Naive version: a map.
        #[test]
        fn counts_agree_with_a_map(events in proptest::collection::vec((0..9u8, 1..5u64), 0..80), cut in 0..80usize) {
            let (mut one, mut other, mut naive) = (Tables::default(), Tables::default(), BTreeMap::new());
            for (number, (table, count)) in events.iter().enumerate() {
                let tables = if number < cut { &mut one } else { &mut other };
                tables.add(&table.to_string(), *count, 10 * count);
                *naive.entry(table.to_string()).or_insert(0) += count;
            }
            one.merge(&other);
            let counted: BTreeMap<_, _> = one.iter().map(|t| (t.name.to_string(), t.events)).collect();
            prop_assert_eq!(counted, naive);
            prop_assert_eq!(one.bytes(), 10 * one.events());
        }
    }
}
