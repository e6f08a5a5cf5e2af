//! The confirmed prefix of an object whose batches are confirmed in any order.

use std::collections::BTreeMap;

/// Batches are opened in order and confirmed in any; only the prefix without a gap counts.
#[derive(Debug, Default)]
pub struct Watermark {
    /// Records of the confirmed prefix.
    records: u64,
    /// Batches of the confirmed prefix: the next one is the first missing one.
    batches: u64,
    /// Batches opened.
    opened: u64,
    /// Batches confirmed beyond the first gap: the batch's number, and the records up to its end.
    early: BTreeMap<u64, u64>,
    /// Batches that can never be confirmed.
    refused: u64,
    /// No more batches will be opened: the object has been decoded to its end.
    complete: bool,
}

impl Watermark {
    /// Creates it when everything up to `records` was confirmed in an earlier run.
    pub fn resumed(records: u64) -> Watermark {
        Watermark { records, ..Watermark::default() }
    }

    /// The number of the next batch.
    pub fn open(&mut self) -> u64 {
        self.opened += 1;
        self.opened - 1
    }

    /// Confirms batch number `batch`, which ends after `records` of the object.
    pub fn confirm(&mut self, batch: u64, records: u64) {
        if batch < self.batches || batch >= self.opened {
            return;
        }
        self.early.insert(batch, records);
        while let Some(entry) = self.early.first_entry().filter(|entry| *entry.key() == self.batches) {
            self.records = self.records.max(entry.remove());
            self.batches += 1;
        }
    }

    /// Marks a batch that can never be confirmed.
    pub fn refuse(&mut self) {
        self.refused += 1;
    }

    /// The object has been decoded to its end.
    pub fn complete(&mut self) {
        self.complete = true;
    }

    /// Everything in the object is confirmed.
    pub fn is_whole(&self) -> bool {
        self.complete && self.batches == self.opened
    }

    /// Everything in the object is confirmed or refused.
    pub fn is_settled(&self) -> bool {
        self.complete && self.batches + self.early.len() as u64 + self.refused == self.opened
    }

    /// Records from the object's start that are confirmed without a gap.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Batches that are confirmed without a gap.
    pub fn batches(&self) -> u64 {
        self.batches
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gap_holds_the_mark() {
        let mut mark = Watermark::resumed(7);
        let batches = [mark.open(), mark.open(), mark.open()];
        mark.confirm(batches[2], 30);
        mark.confirm(batches[1], 20);
        assert_eq!((mark.records(), mark.batches()), (7, 0));
        mark.confirm(batches[0], 10);
        assert_eq!((mark.records(), mark.batches()), (30, 3));
    }

    #[test]
    fn an_object_is_whole_when_its_end_is_known_and_nothing_is_missing() {
        let mut mark = Watermark::default();
        let batch = mark.open();
        mark.confirm(batch, 10);
        assert!(!mark.is_whole(), "there may be more");
        let last = mark.open();
        mark.complete();
        assert!(!mark.is_whole());
        mark.confirm(last, 20);
        assert!(mark.is_whole());
    }

    #[test]
    fn what_was_not_opened_cannot_be_confirmed() {
        let mut mark = Watermark::default();
        mark.confirm(0, 10);
        assert_eq!((mark.records(), mark.open()), (0, 0));
        assert_eq!(mark.records(), 0);
    }

    proptest! {
        /// Naive version: a list of ends and one of marks, scanned from the start each time.
        #[test]
        fn agrees_with_a_list(
            sizes in proptest::collection::vec(0u64..50, 1..40),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..80),
            resumed in 0u64..100,
        ) {
            let mut mark = Watermark::resumed(resumed);
            let mut end = resumed;
            let ends: Vec<u64> = sizes.iter().map(|size| { end += size; mark.open(); end }).collect();
            let mut confirmed = vec![false; ends.len()];
            for batch in order.iter().map(|index| index.index(ends.len())) {
                confirmed[batch] = true;
                mark.confirm(batch as u64, ends[batch]);
                let prefix = confirmed.iter().take_while(|c| **c).count();
                let naive = if prefix == 0 { resumed } else { ends[prefix - 1] };
                prop_assert_eq!((mark.records(), mark.batches()), (naive, prefix as u64));
            }
        }
    }
}
