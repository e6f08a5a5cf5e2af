//! The delivered pages of a listing, and the key after which a later run may resume. Pure.

use std::collections::BTreeMap;

use crate::ack::Outcome;

/// The pages of a listing from the first undelivered one, in the order of their keys.
///
/// There are at most twice as many as pages in flight: consecutive delivered pages are merged, and nothing is kept from
/// a failed page on, because the next run lists all of that again.
#[derive(Debug, Default)]
pub struct Pages {
    opened: u64,
    pages: BTreeMap<u64, Page>,
    failed: bool,
}

#[derive(Debug)]
struct Page {
    /// The listing resumes after this key once the page is delivered.
    checkpoint: String,
    delivered: bool,
}

impl Pages {
    /// Begins a page. Returns its number.
    pub fn begin(&mut self, checkpoint: String) -> u64 {
        let number = self.opened;
        self.opened += 1;
        if !self.failed {
            self.pages.insert(number, Page { checkpoint, delivered: false });
        }
        number
    }

    /// Ends a page. Returns the current checkpoint, if it is a new one.
    pub fn end(&mut self, number: u64, outcome: Outcome) -> Option<String> {
        if outcome != Outcome::Delivered {
            self.failed = true;
            self.pages.split_off(&number);
            return None;
        }
        self.pages.get_mut(&number)?.delivered = true;
        let delivered = |entry: Option<(&u64, &Page)>| {
            entry.filter(|(_, page)| page.delivered).map(|(number, _)| *number)
        };
        let before = delivered(self.pages.range(..number).next_back());
        let behind = delivered(self.pages.range(number + 1..).next());
        // The later of two delivered neighbours says it all.
        for earlier in before.into_iter().chain(behind.map(|_| number)) {
            self.pages.remove(&earlier);
        }
        let first = self.pages.first_entry().filter(|first| first.get().delivered)?;
        Some(first.remove().checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_is_bounded_by_the_pages_in_work() {
        let mut pages = Pages::default();
        let stuck = pages.begin("0".into());
        for number in 1..1000 {
            let page = pages.begin(number.to_string());
            assert_eq!(pages.end(page, Outcome::Delivered), None);
            assert!(pages.pages.len() <= 2);
        }
        assert_eq!(pages.end(stuck, Outcome::Delivered), Some("999".into()));
        assert!(pages.pages.is_empty());
    }

    #[test]
    fn nothing_is_kept_behind_a_page_that_failed() {
        let mut pages = Pages::default();
        let [before, failed, behind] = ["a", "b", "c"].map(|key| pages.begin(key.into()));
        assert_eq!(pages.end(failed, Outcome::Reject), None);
        assert_eq!(pages.end(behind, Outcome::Delivered), None);
        let later = pages.begin("d".into());
        assert_eq!(pages.end(later, Outcome::Delivered), None);
        assert_eq!(pages.pages.len(), 1);
        assert_eq!(pages.end(before, Outcome::Delivered), Some("a".into()));
    }

    proptest! {
        /// Naive version: the last page of the longest prefix of pages that are all delivered.
        #[test]
        fn the_checkpoint_is_that_of_the_delivered_prefix(
            order in Just((0..12u64).collect::<Vec<_>>()).prop_shuffle(),
            fails in proptest::collection::btree_set(0..12u64, 0..3),
        ) {
            let mut pages = Pages::default();
            (0..12).for_each(|page| { pages.begin(page.to_string()); });
            let (mut ended, mut checkpoint) = (std::collections::BTreeSet::new(), None);
            for page in order {
                let failed = fails.contains(&page);
                let now = pages.end(page, if failed { Outcome::Retry } else { Outcome::Delivered });
                checkpoint = now.or(checkpoint);
                if !failed { ended.insert(page); }
                let prefix = (0..12).take_while(|page| ended.contains(page)).last();
                prop_assert_eq!(&checkpoint, &prefix.map(|page| page.to_string()));
            }
        }
    }
}
