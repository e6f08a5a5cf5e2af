//! How far a polled source is delivered.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::base::limits::POLL_SEEN_MAX;

/// An event that is delivered, and may be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// See [`crate::base::text::fingerprint`].
    pub id: u128,
    /// The event's time, in the source's own unit: times before a [`Mark::forget_before`] are not read again.
    pub time: i64,
}

/// One step of a source: the state once a page, and all before it, is delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// The source: `<input id>/<service>/<region>`.
    pub source: String,
    /// [`Polled::term`] of the state it follows from: a mark from before its source was forgotten is ignored.
    pub term: i64,
    /// (part, position): a source with several streams has a part for each. New values replace old ones, and an empty
    /// one removes its part.
    pub checkpoints: Vec<(String, String)>,
    /// Events of the page.
    pub seen: Vec<Seen>,
    /// Events before this time can be removed.
    pub forget_before: Option<i64>,
}

/// A source's stored checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub source: String,
    pub part: String,
    pub value: String,
    /// When it was written: seconds since 1970.
    pub at: i64,
}

/// The stored state of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Polled {
    /// Number of times the ledger was made to forget the source.
    pub term: i64,
    pub checkpoints: BTreeMap<String, String>,
    /// The latest, as many as a source keeps.
    pub seen: Vec<Seen>,
}

/// The checkpoints of a source that reads the same things as another one, or a part of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kin {
    pub source: String,
    /// The account of the checkpoints, if it is known.
    pub account: Option<String>,
    pub checkpoints: BTreeMap<String, String>,
}

impl Mark {
    /// Adds a later mark of the same source: both together are one step. A mark from before the source was forgotten is worth
    /// nothing beside one from after it.
    pub fn merge(&mut self, later: Mark) {
        match self.term.cmp(&later.term) {
            Ordering::Less => return *self = later,
            Ordering::Greater => return,
            Ordering::Equal => (),
        }
        self.checkpoints.retain(|(part, _)| later.checkpoints.iter().all(|(other, _)| other != part));
        self.checkpoints.extend(later.checkpoints);
        self.seen.extend(later.seen);
        self.forget_before = self.forget_before.max(later.forget_before);
        self.seen.retain(|seen| self.forget_before.is_none_or(|time| seen.time >= time));
        let surplus = self.seen.len().saturating_sub(POLL_SEEN_MAX);
        self.seen.drain(..surplus);
    }

    /// True if there is nothing to record.
    pub fn is_empty(&self) -> bool {
        self.checkpoints.is_empty() && self.seen.is_empty() && self.forget_before.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_that_wait_together_are_one_step() {
        let seen = |id, time| Seen { id, time };
        let at = |part: &str, value: &str| (part.to_owned(), value.to_owned());
        let mut mark = Mark {
            source: "s".into(),
            term: 3,
            checkpoints: vec![at("a", "1"), at("b", "1")],
            seen: vec![seen(1, 4), seen(2, 5)],
            forget_before: Some(2),
        };
        mark.merge(Mark { term: 3, checkpoints: vec![at("a", "2")], seen: vec![seen(3, 6)], ..mark.clone() });
        assert_eq!(mark.checkpoints, [at("b", "1"), at("a", "2")]);
        assert_eq!(mark.seen, [seen(1, 4), seen(2, 5), seen(3, 6)]);
        let next = Mark { term: 3, source: "s".into(), forget_before: Some(5), ..Mark::default() };
        mark.merge(next);
        assert_eq!((mark.seen.as_slice(), mark.forget_before), (&[seen(2, 5), seen(3, 6)][..], Some(5)));
        let of_another_term = Mark { term: 4, source: "s".into(), ..Mark::default() };
        let of_the_term_before = mark.clone();
        mark.merge(of_another_term.clone());
        assert_eq!(mark, of_another_term);
        mark.merge(of_the_term_before);
        assert_eq!(mark, of_another_term);
    }

    #[test]
    fn a_mark_is_empty_if_it_changes_nothing() {
        let source = "1/aws_sqs_cloudtrail/eu-west-1".to_owned();
        let empty = Mark { source, term: 3, ..Mark::default() };
        assert!(empty.is_empty());
        for mark in [
            Mark { checkpoints: vec![("part".into(), "9".into())], ..empty.clone() },
            Mark { seen: vec![Seen { id: 1, time: 1 }], ..empty.clone() },
            Mark { forget_before: Some(1), ..empty },
        ] {
            assert!(!mark.is_empty(), "{mark:?}");
        }
    }
}
