//! Entries of objects that could not be written when they were due: they wait in memory until they can be.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::row::{Identity, Place, Row};
use crate::base::limits::LEDGER_LATE_MAX;
use crate::base::locks::lock;
use crate::base::runtime::sync::{Mutex, MutexGuard};

/// The waiting entries, at most [`LEDGER_LATE_MAX`]. Look-ups see them, so that an object whose entry waits is not collected again.
#[derive(Debug, Default)]
pub struct Late(Mutex<Entries>);

/// One for each content at a place.
type Entries = BTreeMap<(Place, Identity), Row>;

impl Late {
    /// Adds entries, each in place of an earlier one of the same content. Returns the number of those that found no room.
    pub fn add(&self, rows: impl IntoIterator<Item = Row>) -> usize {
        let mut entries = self.lock();
        rows.into_iter().filter(|row| !add(&mut entries, row)).count()
    }

    /// The entries of a place, if those in the file are `written`.
    pub fn over(&self, place: &Place, mut written: Vec<Row>) -> Vec<Row> {
        let entries = self.lock();
        let from = (place.clone(), Identity::default());
        for (_, late) in entries.range(from..).take_while(|((of, _), _)| of == place) {
            if written.iter().any(|row| row.identity == late.identity && row.delivered) {
                continue;
            }
            written.retain(|row| row.identity != late.identity);
            written.push(late.clone());
        }
        written
    }

    /// Copies of some entries, which stay until they are [`written`](Late::written).
    pub fn some(&self, count: usize) -> Vec<Row> {
        self.lock().values().take(count).cloned().collect()
    }

    /// Removes entries that have been written, and are still the same.
    pub fn written(&self, rows: &[Row]) {
        let mut entries = self.lock();
        for row in rows {
            let key = key(row);
            if entries.get(&key) == Some(row) {
                entries.remove(&key);
            }
        }
    }

    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        lock(&self.0)
    }
}

fn key(row: &Row) -> (Place, Identity) {
    (row.place.clone(), row.identity.clone())
}

/// Returns false if there is no room. What is delivered stays delivered, as in the file.
fn add(entries: &mut Entries, row: &Row) -> bool {
    let is_full = entries.len() >= LEDGER_LATE_MAX;
    match entries.entry(key(row)) {
        Entry::Vacant(_) if is_full => return false,
        Entry::Vacant(place) => drop(place.insert(row.clone())),
        Entry::Occupied(earlier) if earlier.get().delivered && !row.delivered => (),
        Entry::Occupied(mut earlier) => drop(earlier.insert(row.clone())),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ack::Ending;
    use crate::ledger::row::Identity;

    fn row(key: &str, etag: &str, delivered: bool, records: u64) -> Row {
        let place = Place { input: "1".into(), bucket: "b".into(), key: key.into() };
        let identity = Identity { etag: etag.into(), ..Identity::default() };
        Row { delivered, records, ..Row::ended(place, identity, 1, Ending::Sent) }
    }

    #[test]
    fn the_latest_entry_of_a_content_waits_and_what_is_delivered_stays_so() {
        let late = Late::default();
        assert_eq!(late.count(), 0);
        assert_eq!(late.add([row("a", "1", false, 5), row("a", "1", false, 7), row("a", "2", false, 1)]), 0);
        assert_eq!(late.some(9), [row("a", "1", false, 7), row("a", "2", false, 1)]);
        late.add([row("a", "1", true, 9), row("a", "1", false, 3)]);
        assert_eq!(late.some(1), [row("a", "1", true, 9)]);
    }

    #[test]
    fn a_look_up_sees_what_waits_unless_the_file_says_more() {
        let late = Late::default();
        late.add([row("a", "1", true, 9), row("a", "2", false, 3)]);
        let place = row("a", "", false, 0).place;
        let seen =
            late.over(&place, vec![row("a", "1", false, 2), row("a", "2", true, 8), row("a", "3", true, 1)]);
        assert_eq!(seen, [row("a", "2", true, 8), row("a", "3", true, 1), row("a", "1", true, 9)]);
        assert_eq!(late.over(&row("b", "", false, 0).place, vec![]), []);
    }

    #[test]
    fn what_has_been_written_is_removed_unless_it_has_changed() {
        let late = Late::default();
        late.add([row("a", "1", false, 5), row("b", "1", true, 5)]);
        let copies = late.some(9);
        late.add([row("a", "1", true, 9)]);
        late.written(&copies);
        assert_eq!(late.some(9), [row("a", "1", true, 9)]);
        late.written(&late.some(9));
        assert_eq!(late.count(), 0);
    }

    #[test]
    fn only_so_many_wait() {
        let late = Late::default();
        let all = (0..LEDGER_LATE_MAX + 3).map(|number| row(&number.to_string(), "1", true, 1));
        assert_eq!(late.add(all), 3);
        assert_eq!(late.add([row("0", "1", true, 2)]), 0, "one in place of another");
        late.written(&late.some(1));
        assert_eq!(late.add([row("new", "1", true, 2)]), 0);
    }
}
