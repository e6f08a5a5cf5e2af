//! Compares the events sent to a table with those that Devo has. Pure.
//!
//! The ledger counts an event when it is acknowledged, some seconds after its arrival. So some events that count as sent at
//! the start of a window may have arrived before it, at most those of the first slot; and some that arrived at its end are
//! acknowledged after it, at most those of the next slot.

use std::collections::BTreeMap;

use crate::base::limits::LEDGER_SENT_SLOT;
use crate::ledger::{REPEATED, Sent};

/// Numbers of events, by the first second of their slot.
pub type Slots = BTreeMap<i64, u64>;

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Equal,
    /// Devo has this many more events than were sent: repeats.
    More(u64),
    /// Devo lacks this many events, in these slots.
    Fewer(u64, Vec<i64>),
}

/// The counts of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    pub sent: u64,
    pub arrived: u64,
    pub verdict: Verdict,
}

/// Groups sent events by table, and counts those that were sent again, in slots from `from` until before `to`.
pub fn by_table(sent: &[Sent], from: i64, to: i64) -> (BTreeMap<String, Slots>, u64) {
    let (mut tables, mut repeated): (BTreeMap<String, Slots>, u64) = (BTreeMap::new(), 0);
    for Sent { slot, table, events, .. } in sent {
        if table == REPEATED {
            repeated += if (from..to).contains(slot) { *events } else { 0 };
        } else if !table.is_empty() {
            *tables.entry(table.clone()).or_default().entry(*slot).or_insert(0) += events;
        }
    }
    tables.retain(|_, slots| slots.range(from..to).next().is_some());
    (tables, repeated)
}

/// Compares the slots from `from` until before `to`. Both sides also contain the slot before and the one after.
pub fn compare(sent: &Slots, arrived: &Slots, from: i64, to: i64) -> Compared {
    let sum = |slots: &Slots| slots.range(from..to).map(|(_, events)| events).sum::<u64>();
    let of = |slots: &Slots, slot: i64| slots.get(&slot).copied().unwrap_or(0);
    let (in_all, there) = (sum(sent), sum(arrived));
    let lacking = in_all.saturating_sub(there);
    let verdict = if lacking > of(sent, from) {
        Verdict::Fewer(lacking, short_slots(sent, arrived, from, to))
    } else if there.saturating_sub(in_all) > of(sent, to) {
        Verdict::More(there - in_all)
    } else {
        Verdict::Equal
    };
    Compared { sent: in_all, arrived: there, verdict }
}

/// The slots whose events arrived neither in them nor in the slot before.
fn short_slots(sent: &Slots, arrived: &Slots, from: i64, to: i64) -> Vec<i64> {
    let of = |slot: i64| arrived.get(&slot).copied().unwrap_or(0);
    let short = |with_before: bool| -> Vec<i64> {
        let is_short = |(slot, events): &(&i64, &u64)| {
            let before = if with_before { of(**slot - LEDGER_SENT_SLOT) } else { 0 };
            **events > of(**slot) + before
        };
        sent.range(from..to).filter(is_short).map(|(slot, _)| *slot).collect()
    };
    match short(true) {
        surely if surely.is_empty() => short(false),
        surely => surely,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slots(counts: &[(i64, u64)]) -> Slots {
        counts.iter().map(|(slot, events)| (slot * LEDGER_SENT_SLOT, *events)).collect()
    }

    fn verdict(sent: &[(i64, u64)], arrived: &[(i64, u64)]) -> Verdict {
        compare(&slots(sent), &slots(arrived), LEDGER_SENT_SLOT, 5 * LEDGER_SENT_SLOT).verdict
    }

    #[test]
    fn equal_more_and_fewer() {
        let sent = [(1, 10), (2, 100), (3, 100), (4, 100), (5, 20)];
        assert_eq!(verdict(&sent, &sent), Verdict::Equal);
        // At the edges: acknowledged later than it arrived.
        assert_eq!(verdict(&sent, &[(0, 10), (2, 100), (3, 100), (4, 120)]), Verdict::Equal);
        assert_eq!(verdict(&sent, &[(1, 10), (2, 100), (3, 0), (4, 100), (5, 20)]), fewer(100, &[3]));
        assert_eq!(verdict(&sent, &[(1, 10), (2, 200), (3, 100), (4, 100)]), Verdict::More(100));
        assert_eq!(verdict(&sent, &[]), fewer(310, &[1, 2, 3, 4]));
        assert_eq!(verdict(&[], &[]), Verdict::Equal);
    }

    fn fewer(by: u64, numbers: &[i64]) -> Verdict {
        Verdict::Fewer(by, numbers.iter().map(|number| number * LEDGER_SENT_SLOT).collect())
    }

    #[test]
    fn counts_are_gathered_by_table() {
        let sent = |slot: i64, source: &str, table: &str| Sent {
            slot: slot * LEDGER_SENT_SLOT,
            source: source.into(),
            table: table.into(),
            events: 5,
            bytes: 1,
        };
        let all = [
            sent(1, "1/a", "t"),
            sent(1, "2/a", "t"),
            sent(0, "1/a", "u"),
            sent(2, "", REPEATED),
            sent(9, "", REPEATED),
            sent(1, "1/a", ""),
        ];
        let (tables, repeated) = by_table(&all, LEDGER_SENT_SLOT, 5 * LEDGER_SENT_SLOT);
        assert_eq!(tables, BTreeMap::from([("t".to_owned(), slots(&[(1, 10)]))]));
        assert_eq!(repeated, 5);
    }

    proptest! {
        /// Whatever is acknowledged up to a slot later than it arrives is equal.
        #[test]
        fn a_delay_is_no_difference(events in proptest::collection::vec((0..6i64, 0..20u64, any::<bool>()), 0..20)) {
            let (mut sent, mut arrived) = (Slots::new(), Slots::new());
            for (slot, count, late) in events {
                *arrived.entry(slot * LEDGER_SENT_SLOT).or_insert(0) += count;
                *sent.entry((slot + i64::from(late)) * LEDGER_SENT_SLOT).or_insert(0) += count;
            }
            let compared = compare(&sent, &arrived, LEDGER_SENT_SLOT, 5 * LEDGER_SENT_SLOT);
            prop_assert_eq!(compared.verdict, Verdict::Equal);
        }
    }
}
