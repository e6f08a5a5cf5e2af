//! Marks of a source on their way to the table.

use std::collections::BTreeMap;

use crate::ledger::{Mark, Seen};

/// Marks that are not yet in the table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// The account of the checkpoints, if the table does not name it.
    pub account: Option<String>,
    /// By part; an empty value removes the part.
    pub checkpoints: BTreeMap<String, String>,
    pub seen: Vec<Seen>,
    pub forget_before: Option<i64>,
}

impl Pending {
    /// True if there is nothing to write. An account waits for the first step.
    pub fn is_empty(&self) -> bool {
        self.checkpoints.is_empty() && self.seen.is_empty() && self.forget_before.is_none()
    }

    /// Adds a later mark.
    pub fn add(&mut self, mark: &Mark) {
        self.checkpoints.extend(mark.checkpoints.iter().cloned());
        self.seen.extend(&mark.seen);
        self.forget_before = self.forget_before.max(mark.forget_before);
    }

    /// Puts earlier marks before these, which win.
    pub fn put_before(&mut self, earlier: Pending) {
        let later = std::mem::replace(self, earlier);
        self.account = later.account.or(self.account.take());
        self.checkpoints.extend(later.checkpoints);
        self.seen.extend(later.seen);
        self.forget_before = self.forget_before.max(later.forget_before);
    }
}
