//! Counts of ended objects: one counter per ending and reason.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::counter::Counter;
use crate::ack::Ending;

/// Counts objects by how they ended. Each object (a message's body, a page of an API's answer) counts once, when it
/// will not be retried.
#[derive(Debug)]
pub struct Endings {
    counts: [Counter; Ending::ALL.len()],
    /// Endings that were logged once already.
    told: [AtomicBool; Ending::ALL.len()],
}

/// The counts at one moment, by the number of the ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndingTotals([u64; Ending::ALL.len()]);

impl Endings {
    pub fn add(&self, ending: Ending) {
        self.counts[ending as usize].increment();
    }

    /// Logs an object that ends without a record being sent: the first with this ending at level info, the others at
    /// debug.
    pub fn tell(&self, place: &str, object: &impl Display, ending: Ending) {
        let (name, reason, what) = (ending.name(), ending.reason(), ending.what());
        if self.told[ending as usize].swap(true, Ordering::Relaxed) {
            return log::debug!("{object}: skipped, {name} ({reason}): {what}");
        }
        log::info!(
            place = place, cause = reason;
            "{object}: skipped, {name} ({reason}): {what}. It is acknowledged. {place}: more such objects are counted in objects_ended_total and logged at debug only"
        );
    }

    /// The same counters, for the pipeline after a reload.
    pub fn successor(&self) -> Endings {
        let next = Endings::default();
        next.counts.iter().zip(&self.counts).for_each(|(next, before)| next.add(before.value()));
        next
    }

    pub fn totals(&self) -> EndingTotals {
        EndingTotals(std::array::from_fn(|number| self.counts[number].value()))
    }
}

impl Default for Endings {
    fn default() -> Endings {
        Endings {
            counts: std::array::from_fn(|_| Counter::default()),
            told: std::array::from_fn(|_| AtomicBool::default()),
        }
    }
}

impl EndingTotals {
    /// Every ending with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Ending, u64)> {
        Ending::ALL.iter().copied().zip(self.0)
    }

    /// Number of objects with this ending, for any reason.
    pub fn of(&self, name: &str) -> u64 {
        self.iter().filter(|(ending, _)| ending.name() == name).map(|(_, count)| count).sum()
    }
}

impl Default for EndingTotals {
    fn default() -> EndingTotals {
        EndingTotals([0; Ending::ALL.len()])
    }
}

impl std::iter::Sum for EndingTotals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        let add = |a: Self, b: Self| EndingTotals(std::array::from_fn(|number| a.0[number] + b.0[number]));
        all.fold(Self::default(), add)
    }
}

/// All endings as a Markdown table, for the documentation.
pub fn table() -> String {
    let mut table = "| ending | reason | meaning |\n|---|---|---|\n".to_owned();
    for ending in Ending::ALL {
        table += &format!("| `{}` | `{}` | {} |\n", ending.name(), ending.reason(), ending.what());
    }
    table
}

/// Returns `{"refused": {"damaged": 1}}`: zero counts are omitted, but the endings' names are not.
impl Serialize for EndingTotals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut names: Vec<&str> = Ending::ALL.iter().map(|ending| ending.name()).collect();
        names.dedup();
        let mut map = serializer.serialize_map(Some(names.len()))?;
        for name in names {
            let counted = self.iter().filter(|(ending, count)| ending.name() == name && *count > 0);
            let reasons: std::collections::BTreeMap<_, _> =
                counted.map(|(ending, count)| (ending.reason(), count)).collect();
            map.serialize_entry(name, &reasons)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_counted_by_their_reasons() {
        let endings = Endings::default();
        [Ending::Damaged, Ending::Damaged, Ending::NoRecord]
            .into_iter()
            .for_each(|ending| endings.add(ending));
        let totals = endings.successor().totals();
        assert_eq!(["delivered", "empty", "refused"].map(|name| totals.of(name)), [0, 1, 2]);
        assert_eq!(
            serde_json::to_string(&totals).unwrap(),
            r#"{"delivered":{},"empty":{"no_record":1},"left_out":{},"refused":{"damaged":2}}"#
        );
        assert_eq!([totals, totals].into_iter().sum::<EndingTotals>().of("refused"), 4);
    }
}
