//! Requests that wait for an answer. A peer that neither answers nor refuses is a trouble long before the call times
//! out. Time is an argument everywhere here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::base::locks::lock;
use crate::base::runtime::sync::{Mutex, MutexGuard};

/// The pending requests of one component, in the order in which they were made.
#[derive(Debug, Default)]
pub struct Answers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: BTreeMap<u64, Question>,
    /// When the log last reported an overdue answer, and since when it was overdue.
    told: Option<(Instant, Instant)>,
}

#[derive(Debug)]
struct Question {
    what: String,
    asked: Instant,
    patience: Duration,
}

/// A pending request. Dropping it counts as an answer.
#[derive(Debug)]
pub struct Waiting<'a> {
    answers: &'a Answers,
    number: u64,
}

/// An overdue answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    pub what: String,
    pub asked: Instant,
}

/// News about answers for the log.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    Overdue(Overdue),
    /// Answers arrive again, after this time.
    Over(Duration),
}

impl Answers {
    /// Registers that an answer to `what` should come within `patience`.
    pub fn ask(&self, what: String, patience: Duration, now: Instant) -> Waiting<'_> {
        let mut state = self.lock();
        state.next += 1;
        let number = state.next;
        state.open.insert(number, Question { what, asked: now, patience });
        Waiting { answers: self, number }
    }

    /// The longest pending answer, if it is overdue.
    pub fn overdue(&self, now: Instant) -> Option<Overdue> {
        self.lock().overdue(now)
    }

    /// The news for the log since the last call; an ongoing delay is reported again after `reminder`.
    pub fn news(&self, reminder: Duration, now: Instant) -> Option<News> {
        let mut state = self.lock();
        match (state.overdue(now), state.told) {
            (Some(overdue), Some((told, _))) if now.saturating_duration_since(told) < reminder => {
                state.told = Some((told, overdue.asked));
                None
            }
            (Some(overdue), told) => {
                state.told = Some((now, told.map_or(overdue.asked, |(_, since)| since)));
                Some(News::Overdue(overdue))
            }
            (None, Some((_, since))) => {
                state.told = None;
                Some(News::Over(now.saturating_duration_since(since)))
            }
            (None, None) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl State {
    fn overdue(&self, now: Instant) -> Option<Overdue> {
        let is_late =
            |question: &&Question| now.saturating_duration_since(question.asked) >= question.patience;
        let late = self.open.values().filter(is_late).min_by_key(|question| question.asked)?;
        Some(Overdue { what: late.what.clone(), asked: late.asked })
    }
}

impl Waiting<'_> {
    /// The answer has begun, and the whole of it may take this long from the request on.
    pub fn begins(&self, patience: Duration) {
        if let Some(question) = self.answers.lock().open.get_mut(&self.number) {
            question.patience = patience;
        }
    }

    /// There was an answer, and the request is made again.
    pub fn restarts(&self, now: Instant) {
        if let Some(question) = self.answers.lock().open.get_mut(&self.number) {
            question.asked = now;
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.answers.lock().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_answer_is_overdue_after_its_patience_and_until_it_is_there() {
        let (answers, start) = (Answers::default(), Instant::now());
        let first = answers.ask("a".into(), 40 * SECOND, start);
        let second = answers.ask("b".into(), 10 * SECOND, start + SECOND);
        let late = |second| answers.overdue(start + second * SECOND).map(|overdue| overdue.what);
        assert_eq!(late(10), None);
        assert_eq!(late(11).as_deref(), Some("b"));
        assert_eq!(late(40).as_deref(), Some("a"), "the one that was asked first");
        second.restarts(start + 39 * SECOND);
        first.begins(60 * SECOND);
        assert_eq!(late(40), None);
        assert_eq!(late(49).as_deref(), Some("b"));
        drop(second);
        assert_eq!((late(59), late(60).as_deref()), (None, Some("a")));
        drop(first);
        assert_eq!(late(1000), None);
    }

    #[test]
    fn the_log_is_told_at_once_then_from_time_to_time_and_at_the_end() {
        let (answers, start) = (Answers::default(), Instant::now());
        let question = answers.ask("a".into(), 10 * SECOND, start);
        let told = |second: u32| answers.news(60 * SECOND, start + second * SECOND);
        let overdue = || Some(News::Overdue(Overdue { what: "a".into(), asked: start }));
        assert_eq!((told(9), told(12), told(17), told(71)), (None, overdue(), None, None));
        assert_eq!((told(72), told(100)), (overdue(), None));
        drop(question);
        assert_eq!((told(133), told(140)), (Some(News::Over(133 * SECOND)), None));
    }
}
