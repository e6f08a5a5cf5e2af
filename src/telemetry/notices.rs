//! The latest warnings and errors of the log, for readers who come later.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::Serialize;

use crate::base::limits::NOTICES_MAX;
use crate::base::locks::lock;
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::base::text::one_line;

/// A bounded list; the oldest are dropped first.
#[derive(Debug, Default)]
pub struct Notices(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: VecDeque<Notice>,
    /// Number of notices so far, including repeats.
    count: u64,
}

/// A warning or an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The number of its latest occurrence, starting at 1.
    pub number: u64,
    /// RFC 3339 time of its latest occurrence.
    pub time: String,
    pub level: &'static str,
    /// The message on one line, including cause and advice.
    pub message: String,
    /// Number of occurrences.
    pub times: u64,
    /// A later notice of the same subject replaces this one.
    #[serde(skip)]
    subject: String,
}

impl Notices {
    /// Adds a notice that its text identifies.
    pub fn add(&self, level: log::Level, message: &str, now: Timestamp) {
        self.add_of(message, level, message, 1, now);
    }

    /// Adds a notice that replaces an earlier one of the same `subject`, and moves it to the end, so that one noisy
    /// subject cannot push out all others. `times` is the number of occurrences since that one.
    pub fn add_of(&self, subject: &str, level: log::Level, message: &str, times: u64, now: Timestamp) {
        let mut state = self.lock();
        state.count += 1;
        let is_same = |n: &Notice| n.subject == subject && n.level == level.as_str();
        let earlier = state.last.iter().position(is_same).and_then(|at| state.last.remove(at));
        if state.last.len() >= NOTICES_MAX {
            state.last.pop_front();
        }
        let notice = Notice {
            number: state.count,
            time: format!("{now:.3}"),
            level: level.as_str(),
            message: one_line(message).into_owned(),
            times: times + earlier.map_or(0, |notice| notice.times),
            subject: subject.to_owned(),
        };
        state.last.push_back(notice);
    }

    /// The notices, latest first.
    pub fn latest(&self) -> Vec<Notice> {
        self.lock().last.iter().rev().cloned().collect()
    }

    /// The notices after `number`, in order, and the number of all notices so far.
    pub fn since(&self, number: u64) -> (Vec<Notice>, u64) {
        let state = self.lock();
        (state.last.iter().filter(|notice| notice.number > number).cloned().collect(), state.count)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn repeats_are_counted_and_the_latest_comes_first() {
        let notices = Notices::default();
        for (level, text) in
            [(Level::Warn, "a"), (Level::Error, "b\nforged"), (Level::Warn, "a"), (Level::Error, "a")]
        {
            notices.add(level, text, now());
        }
        let seen: Vec<_> = notices.latest().into_iter().map(|n| (n.level, n.message, n.times)).collect();
        let owned = |level, text: &str, times| (level, text.to_owned(), times);
        assert_eq!(seen, [owned("ERROR", "a", 1), owned("WARN", "a", 2), owned("ERROR", "b\\nforged", 1)]);
        let (news, count) = notices.since(2);
        assert_eq!((news.len(), count), (2, 4));
        assert_eq!(news[0].time, "2027-01-15T08:00:00.000Z");
    }

    #[test]
    fn a_trouble_is_one_notice_whatever_its_words() {
        let notices = Notices::default();
        notices.add_of("s3 503", Level::Error, "key a", 1, now());
        notices.add_of("sqs 403", Level::Error, "queue", 1, now());
        notices.add_of("s3 503", Level::Error, "key b", 240, now());
        let seen: Vec<_> = notices.latest().into_iter().map(|n| (n.message, n.times)).collect();
        assert_eq!(seen, [("key b".to_owned(), 241), ("queue".to_owned(), 1)]);
    }

    #[test]
    fn the_list_is_bounded() {
        let notices = Notices::default();
        for number in 0..NOTICES_MAX * 2 {
            notices.add(Level::Warn, &number.to_string(), now());
        }
        assert_eq!(notices.latest().len(), NOTICES_MAX);
        assert_eq!(notices.latest()[0].message, (NOTICES_MAX * 2 - 1).to_string());
    }
}
