//! The delivered pages, and the marks that may be recorded. Pure.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;

use super::source::Progress;
use crate::ack::{Outcome, Watermark};
use crate::base::limits::{POLL_FORGET_MIN, POLL_SEEN_MAX};
use crate::ledger::{Mark, Polled, Seen};

/// A source's pages in flight, in reading order. A checkpoint counts when its page and all before it are delivered.
#[derive(Debug)]
pub struct Delivery {
    source: String,
    /// See [`Polled::term`].
    term: i64,
    delivered: Watermark,
    /// Pages from the first undelivered one.
    pages: VecDeque<Page>,
    /// Number of the first of `pages`.
    first: u64,
    in_work: usize,
    failed: bool,
    reached: Option<Timestamp>,
    /// Events that are delivered or in flight.
    seen: HashMap<u128, i64>,
    /// The number left after the last removal.
    kept: usize,
    /// Events before this time were too many; the ledger must remove them with the next page.
    too_many: Option<i64>,
}

/// A page in flight.
#[derive(Debug)]
struct Page {
    progress: Progress,
    seen: Vec<Seen>,
    too_many: Option<i64>,
}

impl Delivery {
    /// `source` is its name in the ledger; `polled` is its stored state.
    pub fn new(source: String, polled: &Polled) -> Delivery {
        Delivery {
            source,
            term: polled.term,
            delivered: Watermark::default(),
            pages: VecDeque::new(),
            first: 0,
            in_work: 0,
            failed: false,
            reached: None,
            seen: polled.seen.iter().map(|seen| (seen.id, seen.time)).collect(),
            kept: 0,
            too_many: None,
        }
    }

    /// See [`Polled::term`].
    pub fn term(&self) -> i64 {
        self.term
    }

    /// Notes an event. Returns false if it is delivered already, or in flight.
    pub fn is_new(&mut self, event: Seen) -> bool {
        if self.seen.contains_key(&event.id) {
            return false;
        }
        if self.seen.len() >= POLL_SEEN_MAX {
            self.forget_older_half();
        }
        self.seen.insert(event.id, event.time);
        true
    }

    /// Adds a page; returns its number.
    pub fn begin(&mut self, progress: Progress, seen: Vec<Seen>) -> u64 {
        self.in_work += 1;
        self.pages.push_back(Page { progress, seen, too_many: self.too_many.take() });
        self.delivered.open()
    }

    /// Ends a page. Returns the marks to record.
    pub fn end(&mut self, page: u64, outcome: Outcome) -> Vec<Mark> {
        self.in_work -= 1;
        if outcome != Outcome::Delivered {
            self.failed = true;
            return Vec::new();
        }
        self.delivered.confirm(page, page + 1);
        let mut marks = Vec::new();
        while self.first < self.delivered.records() {
            self.first += 1;
            marks.extend(self.pages.pop_front().map(|page| self.record(page)));
        }
        marks
    }

    pub fn nothing_in_work(&self) -> bool {
        self.in_work == 0
    }

    /// The time up to which everything is delivered. None if unknown.
    pub fn reached(&self) -> Option<Timestamp> {
        self.reached
    }

    /// A page could not be delivered: nothing from it on may be recorded.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Resets after a failure, when nothing is in flight: unrecorded events will be read again.
    pub fn start_over(&mut self) {
        for Page { seen, .. } in self.pages.drain(..) {
            for Seen { id, .. } in seen {
                self.seen.remove(&id);
            }
        }
        (self.delivered, self.first, self.failed) = (Watermark::default(), 0, false);
    }

    fn record(&mut self, page: Page) -> Mark {
        let Page { progress: Progress { checkpoints, forget_before, reached }, seen, too_many } = page;
        self.reached = self.reached.max(reached);
        // Not on every occasion: with thousands of log groups, all stored events would be scanned, here and in the
        // ledger, for each of them.
        let forget_before = forget_before.filter(|_| self.seen.len() >= 2 * self.kept + POLL_FORGET_MIN);
        if let Some(time) = forget_before {
            self.seen.retain(|_, seen| *seen >= time);
            self.kept = self.seen.len();
            self.shrink();
        }
        // None is less than any time.
        let forget_before = forget_before.max(too_many);
        Mark { source: self.source.clone(), term: self.term, checkpoints, seen, forget_before }
    }

    /// Gives back the room that a burst has needed.
    fn shrink(&mut self) {
        let needed = 2 * self.seen.len();
        if self.seen.capacity() > 2 * needed {
            self.seen.shrink_to(needed);
        }
    }

    fn forget_older_half(&mut self) {
        let mut times: Vec<i64> = self.seen.values().copied().collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        self.seen.retain(|_, time| *time > median);
        self.too_many = Some(median.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(id: u128, time: i64) -> Seen {
        Seen { id, time }
    }

    fn knowing(seen: Vec<Seen>) -> Delivery {
        Delivery::new("s".into(), &Polled { seen, ..Polled::default() })
    }

    fn up_to(value: u64) -> Progress {
        Progress::up_to(value)
    }

    fn values(marks: &[Mark]) -> Vec<&str> {
        marks.iter().flat_map(|mark| &mark.checkpoints).map(|(_, value)| value.as_str()).collect()
    }

    #[test]
    fn how_far_the_source_is_goes_with_the_checkpoints_and_never_back() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut delivery = knowing(vec![]);
        let pages = [7, 5, 9].map(|second| {
            let progress = Progress { reached: Some(at(second)), ..Progress::default() };
            delivery.begin(progress, vec![])
        });
        assert_eq!(delivery.reached(), None);
        delivery.end(pages[2], Outcome::Delivered);
        assert_eq!(delivery.reached(), None, "a page before it is on its way");
        delivery.end(pages[0], Outcome::Delivered);
        assert_eq!(delivery.reached(), Some(at(7)));
        delivery.end(pages[1], Outcome::Delivered);
        assert_eq!(delivery.reached(), Some(at(9)));
    }

    #[test]
    fn a_checkpoint_waits_for_the_pages_before_it() {
        let mut delivery = knowing(vec![]);
        let (a, b) = (delivery.begin(up_to(1), vec![]), delivery.begin(up_to(2), vec![]));
        assert!(delivery.end(b, Outcome::Delivered).is_empty());
        assert!(!delivery.nothing_in_work());
        assert_eq!(values(&delivery.end(a, Outcome::Delivered)), ["1", "2"]);
        assert!(delivery.nothing_in_work());
    }

    #[test]
    fn an_event_is_new_once_until_its_page_has_failed() {
        let mut delivery = knowing(vec![seen(1, 5)]);
        assert!(!delivery.is_new(seen(1, 5)));
        assert!(delivery.is_new(seen(2, 5)));
        assert!(!delivery.is_new(seen(2, 5)));
        let page = delivery.begin(up_to(9), vec![seen(2, 5)]);
        assert!(delivery.end(page, Outcome::Retry).is_empty());
        assert!(delivery.has_failed());
        delivery.start_over();
        assert!(!delivery.has_failed());
        assert!(delivery.is_new(seen(2, 5)), "it was not delivered");
        assert!(!delivery.is_new(seen(1, 5)), "it was");
        let page = delivery.begin(up_to(9), vec![]);
        assert_eq!(values(&delivery.end(page, Outcome::Delivered)), ["9"]);
    }

    #[test]
    fn what_will_not_be_read_again_is_forgotten_once_it_is_much() {
        let mut delivery = knowing((0..POLL_FORGET_MIN as u128).map(|id| seen(id, id as i64)).collect());
        let forget_before = |delivery: &mut Delivery, time| {
            let page = delivery.begin(Progress { forget_before: Some(time), ..up_to(6) }, vec![]);
            delivery.end(page, Outcome::Delivered)[0].forget_before
        };
        assert_eq!(forget_before(&mut delivery, 600), Some(600));
        assert!(delivery.is_new(seen(599, 599)) && !delivery.is_new(seen(600, 600)));
        assert_eq!(forget_before(&mut delivery, 700), None, "401 are left");
        (0..1400).for_each(|id| assert!(delivery.is_new(seen(5000 + id, 5000))));
        assert_eq!(forget_before(&mut delivery, 800), Some(800), "more than twice as many");
    }

    #[test]
    fn memory_is_bounded_and_the_latest_are_kept_in_the_ledger_too() {
        let mut delivery = knowing(vec![]);
        for number in 0..POLL_SEEN_MAX + 2 {
            assert!(delivery.is_new(seen(number as u128, number as i64)));
        }
        assert!(delivery.seen.len() < POLL_SEEN_MAX);
        let last = POLL_SEEN_MAX as i64;
        assert!(!delivery.is_new(seen(last as u128, last)));
        let oldest = delivery.seen.values().min().copied();
        let [first, second] = [1, 2].map(|value| delivery.begin(up_to(value), vec![]));
        assert_eq!(delivery.end(first, Outcome::Delivered)[0].forget_before, oldest);
        assert_eq!(delivery.end(second, Outcome::Delivered)[0].forget_before, None, "once is enough");
    }

    #[test]
    fn the_room_of_a_burst_is_given_back() {
        let mut delivery = knowing(vec![]);
        (0..100_000).for_each(|id| assert!(delivery.is_new(seen(id, id as i64))));
        let page = delivery.begin(Progress { forget_before: Some(99_000), ..up_to(1) }, vec![]);
        delivery.end(page, Outcome::Delivered);
        assert!(
            delivery.seen.len() == 1000 && delivery.seen.capacity() < 8000,
            "{}",
            delivery.seen.capacity()
        );
        assert!(!delivery.is_new(seen(99_500, 99_500)));
    }

    proptest! {
        /// Naive version: the longest prefix of pages that are all delivered.
        #[test]
        fn recorded_is_the_delivered_prefix(order in Just((0..12u64).collect::<Vec<_>>()).prop_shuffle(), fails in 0..15u64) {
            let mut delivery = knowing(vec![]);
            for page in 0..12 {
                delivery.begin(up_to(page), vec![]);
            }
            let mut ended = std::collections::BTreeSet::new();
            let mut recorded = Vec::new();
            for page in order {
                let outcome = if page == fails { Outcome::Reject } else { Outcome::Delivered };
                recorded.extend(delivery.end(page, outcome));
                if page != fails { ended.insert(page); }
                let prefix: Vec<String> = (0..12).take_while(|page| ended.contains(page)).map(|p| p.to_string()).collect();
                prop_assert_eq!(values(&recorded), prefix);
            }
            prop_assert_eq!(delivery.has_failed(), fails < 12);
        }
    }
}
