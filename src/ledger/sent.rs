//! Counts of sent events by time, source and table, which an audit compares with those of Devo.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::ack::Tables;
use crate::base::limits::{LEDGER_SENT_SLOT, LEDGER_SENT_WAIT, LEDGER_SENT_WAITING_MAX};
use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard};

/// The events of one source for one table in a slot of [`LEDGER_SENT_SLOT`] seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The first second of the slot, since 1970.
    pub slot: i64,
    /// `<input id>/<service>`; for a polled source `<input id>/<service>/<region>`.
    pub source: String,
    /// The table. Empty for tables that are counted together; [`REPEATED`] for events that were sent again.
    pub table: String,
    pub events: u64,
    /// Bytes of frames.
    pub bytes: u64,
}

/// The name under which events are counted that were sent again because a connection broke. Devo may have them twice.
pub const REPEATED: &str = "(repeated)";

/// Counts that are not yet written.
#[derive(Debug, Default)]
pub struct Waiting {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    by_place: HashMap<(i64, String, String), (u64, u64)>,
    since: Option<Instant>,
}

impl Waiting {
    /// Counts events that were confirmed at `now`, in seconds since 1970.
    pub fn add(&self, source: &str, tables: &Tables, now: i64) {
        let slot = slot_of(now);
        let mut counts = self.lock();
        for table in tables.iter() {
            let place = (slot, source.to_owned(), String::from(&*table.name));
            counts.add(place, table.events, table.bytes);
        }
    }

    /// Takes all counts, to write them now. If there is nothing else to write (`alone`), they may have to wait.
    pub fn take(&self, alone: bool) -> Vec<Sent> {
        let mut counts = self.lock();
        if alone && counts.since.is_none_or(|since| clock::since(since) < LEDGER_SENT_WAIT) {
            return Vec::new();
        }
        let taken = std::mem::take(&mut *counts).by_place;
        let sent = |((slot, source, table), (events, bytes))| Sent { slot, source, table, events, bytes };
        taken.into_iter().map(sent).collect()
    }

    /// Takes back counts that could not be written.
    pub fn give_back(&self, counts: Vec<Sent>) {
        for Sent { slot, source, table, events, bytes } in counts {
            self.lock().add((slot, source, table), events, bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        lock(&self.counts)
    }
}

impl Counts {
    fn add(&mut self, mut place: (i64, String, String), events: u64, bytes: u64) {
        self.since.get_or_insert_with(clock::now);
        if self.by_place.len() >= LEDGER_SENT_WAITING_MAX && !self.by_place.contains_key(&place) {
            place.2.clear();
        }
        let (events_before, bytes_before) = self.by_place.entry(place).or_default();
        *events_before += events;
        *bytes_before += bytes;
    }
}

/// The whole seconds of a duration, as the ledger counts time.
pub fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// The first second of the slot that contains a time.
pub fn slot_of(now: i64) -> i64 {
    now - now.rem_euclid(LEDGER_SENT_SLOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_a_slot_add_up_and_are_taken_once() {
        let waiting = Waiting::default();
        let mut tables = Tables::default();
        tables.add("a.b", 2, 20);
        for now in [600, 899, 900] {
            waiting.add("1/aws_sqs_vpc", &tables, now);
        }
        assert!(waiting.take(true).is_empty(), "they wait for something else to be written");
        let mut sent = waiting.take(false);
        sent.sort_by_key(|sent| sent.slot);
        let counted: Vec<_> = sent.iter().map(|s| (s.slot, s.table.as_str(), s.events, s.bytes)).collect();
        assert_eq!(counted, [(600, "a.b", 4, 40), (900, "a.b", 2, 20)]);
        assert!(waiting.take(false).is_empty());
        for number in 0..LEDGER_SENT_WAITING_MAX + 5 {
            let mut one = Tables::default();
            one.add(&format!("t{number}"), 1, 1);
            waiting.add("s", &one, 600);
            waiting.add("s", &one, 600);
        }
        let (together, apart): (Vec<_>, Vec<_>) =
            waiting.take(false).into_iter().partition(|sent| sent.table.is_empty());
        assert_eq!((apart.len(), together.len(), together[0].events), (LEDGER_SENT_WAITING_MAX, 1, 2 * 5));
        waiting.give_back(sent.clone());
        waiting.add("1/aws_sqs_vpc", &tables, 899);
        let mut again = waiting.take(false);
        again.sort_by_key(|sent| sent.slot);
        assert_eq!((again[0].events, again[0].bytes, &again[1]), (6, 60, &sent[1]));
    }
}
