//! Outgoing entries for SQS, sent in calls of ten. The code is pure: time is an argument.

use std::time::Instant;

use crate::base::backoff::Backoff;
use crate::base::limits::{AWS_BACKOFF_FIRST, SETTLE_BACKOFF_MAX, SETTLE_GATHER_TIME, SQS_BATCH};

/// Entries that wait for a call. Each failed one is retried after its own pause, so that it delays no other.
#[derive(Debug)]
pub struct Outbox<T> {
    /// In order of arrival.
    waiting: Vec<Entry<T>>,
    /// Taken, and neither finished nor returned.
    in_hand: usize,
    /// Entries that have failed and have not been finished since.
    failing: usize,
}

/// An entry.
#[derive(Debug)]
pub struct Entry<T> {
    pub what: T,
    /// The time from which on it no longer waits for others to share its call.
    due: Instant,
    pub failures: u32,
    backoff: Backoff,
    /// Its call was refused as a whole, so it may be the cause.
    alone: bool,
}

impl<T> Outbox<T> {
    pub fn new() -> Outbox<T> {
        Outbox { waiting: Vec::new(), in_hand: 0, failing: 0 }
    }

    pub fn push(&mut self, what: T, now: Instant) {
        let backoff = Backoff::new(AWS_BACKOFF_FIRST, SETTLE_BACKOFF_MAX);
        let due = now + SETTLE_GATHER_TIME;
        self.waiting.push(Entry { what, due, failures: 0, backoff, alone: false });
    }

    /// True if there is a call to make.
    pub fn is_due(&self, now: Instant) -> bool {
        let ripe = self.waiting.iter().filter(|entry| entry.is_ripe(now));
        ripe.clone().any(|entry| entry.due <= now) || ripe.count() >= SQS_BATCH
    }

    /// The entries of one call; none if it is better to wait.
    pub fn take(&mut self, now: Instant) -> Vec<Entry<T>> {
        if !self.is_due(now) {
            return Vec::new();
        }
        let alone = self.waiting.iter().find(|entry| entry.is_ripe(now)).is_some_and(|first| first.alone);
        let (max, mut count) = (if alone { 1 } else { SQS_BATCH }, 0);
        let fits = |entry: &mut Entry<T>| {
            let takes = count < max && entry.is_ripe(now) && entry.alone == alone;
            count += usize::from(takes);
            takes
        };
        let taken: Vec<_> = self.waiting.extract_if(.., fits).collect();
        self.in_hand += taken.len();
        taken
    }

    /// Finishes an entry.
    pub fn end(&mut self, entry: &Entry<T>) {
        self.in_hand -= 1;
        self.failing -= usize::from(entry.failures > 0);
    }

    /// Retries the entries of a call after a pause; if `alone`, each in a separate call.
    pub fn retry(&mut self, mut entries: Vec<Entry<T>>, alone: bool, now: Instant) {
        let pause = entries.iter_mut().map(|entry| entry.backoff.pause()).max().unwrap_or_default();
        for mut entry in entries {
            self.in_hand -= 1;
            self.failing += usize::from(entry.failures == 0);
            entry.failures += 1;
            entry.due = now + pause;
            entry.alone |= alone;
            self.waiting.push(entry);
        }
    }

    /// True if nothing is left.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.in_hand == 0
    }

    /// Number of unfinished entries that have failed.
    pub fn failing(&self) -> usize {
        self.failing
    }
}

impl<T> Entry<T> {
    /// True if it may be part of a call that is made now.
    fn is_ripe(&self, now: Instant) -> bool {
        self.failures == 0 || self.due <= now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SHORTLY: Duration = Duration::from_millis(1);

    fn filled(count: u32, now: Instant) -> Outbox<u32> {
        let mut outbox = Outbox::new();
        (0..count).for_each(|number| outbox.push(number, now));
        outbox
    }

    fn numbers(entries: &[Entry<u32>]) -> Vec<u32> {
        entries.iter().map(|entry| entry.what).collect()
    }

    #[test]
    fn entries_gather_for_a_moment_and_go_in_tens() {
        let now = Instant::now();
        let mut outbox = filled(13, now);
        assert_eq!(numbers(&outbox.take(now)), (0..10).collect::<Vec<_>>());
        assert!(outbox.take(now).is_empty(), "three more wait for others");
        assert_eq!(numbers(&outbox.take(now + SETTLE_GATHER_TIME)), [10, 11, 12]);
        assert!(!outbox.is_empty(), "they are in hand");
    }

    #[test]
    fn an_entry_that_fails_waits_by_itself_and_longer_each_time() {
        let mut now = Instant::now();
        let mut outbox = filled(1, now);
        let mut told = 0;
        for round in 0..2000 {
            outbox.push(1000 + round, now);
            now += SETTLE_GATHER_TIME;
            for entry in outbox.take(now) {
                match entry.what {
                    0 => {
                        told += 1;
                        outbox.retry(vec![entry], false, now);
                    }
                    _ => outbox.end(&entry),
                }
            }
            assert!(outbox.waiting.len() <= 1, "the others are told at once");
        }
        // In 100 s: a tenth of a second, doubled up to ten, each of it and its half.
        assert!((12..=35).contains(&told), "{told}");
        assert_eq!(outbox.failing(), 1);
    }

    #[test]
    fn what_failed_together_is_told_together_again() {
        let now = Instant::now();
        let mut outbox = filled(10, now);
        let taken = outbox.take(now);
        outbox.retry(taken, false, now);
        let again = (1..).map(|ms| outbox.take(now + ms * SHORTLY)).find(|taken| !taken.is_empty());
        assert_eq!(again.map(|taken| taken.len()), Some(10));
    }

    #[test]
    fn what_was_refused_together_is_told_one_by_one_so_that_the_culprit_stands_alone() {
        let start = Instant::now();
        let mut outbox = filled(10, start);
        let taken = outbox.take(start);
        outbox.retry(taken, true, start);
        assert!(outbox.take(start + SHORTLY).is_empty(), "they pause");
        let later = start + SETTLE_BACKOFF_MAX;
        outbox.push(99, later);
        let mut singles = Vec::new();
        while let [entry] = &*outbox.take(later) {
            singles.push(entry.what);
            outbox.end(entry);
        }
        assert_eq!(singles, (0..10).collect::<Vec<_>>());
        assert_eq!(outbox.failing(), 0);
        assert_eq!(numbers(&outbox.take(later + SETTLE_GATHER_TIME)), [99]);
    }

    #[test]
    fn it_is_empty_when_all_have_ended() {
        let now = Instant::now();
        let mut outbox = filled(2, now);
        let taken = outbox.take(now + SETTLE_GATHER_TIME);
        taken.iter().for_each(|entry| outbox.end(entry));
        assert!(outbox.is_empty());
    }
}
