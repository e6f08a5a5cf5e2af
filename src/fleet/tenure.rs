//! One source's lease on this host, as its thread and the fleet's threads share it.

use std::sync::Arc;
use std::time::Instant;

use super::pending::Pending;
use super::table::{Known, Table};
use crate::aws::{Caller, Error};
use crate::base::locks::lock;
use crate::base::naming::is_under;
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::ledger::{Kin, Mark};

/// A source's lease. Clones share it.
#[derive(Clone)]
pub struct Tenure(Arc<Inner>);

struct Inner {
    source: String,
    table: Table,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// The lease is to be given up as soon as its source's thread does nothing with it.
    leaving: bool,
    /// The source's thread polls, or has pages in flight.
    working: bool,
    /// It makes no calls meanwhile, because it waits for pages in flight.
    waiting: bool,
    /// Marks are being written.
    writing: bool,
    pending: Pending,
    /// The living host that holds it instead of this one, and whether it has shown a sign of life.
    elsewhere: Option<(String, bool)>,
    /// The lease cannot be taken because of it.
    trouble: Option<Trouble>,
    /// Since when the source's calls have failed.
    failing: Option<Instant>,
}

/// The reason why a lease cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub message: String,
    /// It will not go away by itself.
    pub lasting: bool,
    /// It is this lease's own: others can be taken.
    pub own: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    epoch: u64,
    /// Nobody else can have it before.
    until: Instant,
}

impl Tenure {
    pub fn new(source: &str, table: &Table) -> Tenure {
        let (source, table) = (source.to_owned(), table.clone());
        Tenure(Arc::new(Inner { source, table, state: Mutex::default() }))
    }

    pub fn source(&self) -> &str {
        &self.0.source
    }

    // For the source's thread.

    /// Begins to work if this host holds the lease, and the table has everything that it has recorded. Until
    /// [`Tenure::end`] the lease is not given to another one, except that it may run out.
    pub fn begin(&self) -> bool {
        let mut state = self.state();
        state.working = state.epoch().is_some() && state.is_written();
        state.working
    }

    /// True if the work must end: the lease has run out, or is wanted elsewhere.
    pub fn is_over(&self) -> bool {
        self.state().epoch().is_none()
    }

    /// Notes that the source cannot be polled at present, or that it can.
    pub fn fails(&self, fails: bool) {
        let mut state = self.state();
        state.failing = fails.then(|| state.failing.unwrap_or_else(clock::now));
    }

    /// Notes that the source's thread waits for pages in flight and makes no calls meanwhile, or that it goes on.
    pub fn waits(&self, waits: bool) {
        self.state().waiting = waits;
    }

    /// Ends the work: nothing of the source is in flight.
    pub fn end(&self) {
        self.state().working = false;
    }

    /// The other host that holds the lease, and has shown a sign of life. None also if that is not known yet.
    pub fn elsewhere(&self) -> Option<String> {
        self.state().elsewhere.clone().filter(|(_, is_proven)| *is_proven).map(|(host, _)| host)
    }

    /// The place where the source is polled at present, as far as this host knows.
    pub fn caller(&self) -> Caller {
        let state = self.state();
        match (state.epoch(), &state.elsewhere) {
            (Some(_), _) => Caller::Here,
            (None, Some(_)) => Caller::Elsewhere,
            (None, None) => Caller::Nowhere,
        }
    }

    /// The reason why the lease cannot be taken at present, if there is one.
    pub fn trouble(&self) -> Option<Trouble> {
        self.state().trouble.clone()
    }

    /// The source's state in the table.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn load(&self) -> Result<Known, Error> {
        self.0.table.load(&self.0.source)
    }

    /// The checkpoints in the table of a source, and of those whose names go on after its name and a slash, except for this
    /// lease's own.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn kin(&self, source: &str) -> Result<Vec<Kin>, Error> {
        let is_kin = |name: &&String| **name != self.0.source && is_under(name, source);
        let leases = self.0.table.leases()?;
        let load = |name: &String| {
            let Known { polled, account, .. } = self.0.table.load(name)?;
            Ok(Kin { source: name.clone(), account, checkpoints: polled.checkpoints })
        };
        leases.known.keys().chain(&leases.unreadable).filter(is_kin).map(load).collect()
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        self.0.table.name()
    }

    /// Records with the next step that the source's checkpoints are of this account.
    pub fn belongs_to(&self, account: &str) {
        let mut state = self.state();
        if state.held.is_some() {
            state.pending.account = Some(account.to_owned());
        }
    }

    /// Records a step of the source, soon and in order. Without the lease it is dropped: the host that has it reads
    /// that again.
    pub fn record(&self, mark: &Mark) {
        let mut state = self.state();
        if state.held.is_some() {
            state.pending.add(mark);
        }
    }

    // For the fleet's threads.

    /// The epoch of the lease, also if it may have run out: it can still be renewed.
    pub fn held(&self) -> Option<u64> {
        self.state().held.map(|held| held.epoch)
    }

    /// True if it may be taken: nothing of an earlier time is left.
    pub fn is_vacant(&self) -> bool {
        let state = self.state();
        state.held.is_none() && !state.working
    }

    /// The lease is held from now on.
    pub fn grant(&self, epoch: u64, until: Instant) {
        let mut state = self.state();
        state.held = Some(Held { epoch, until });
        (state.leaving, state.elsewhere, state.failing) = (false, None, None);
        state.pending = Pending::default();
    }

    pub fn renewed(&self, epoch: u64, until: Instant) {
        let mut state = self.state();
        if let Some(held) = state.held.as_mut().filter(|held| held.epoch == epoch) {
            held.until = until;
        }
    }

    /// The lease of this epoch is gone: given up, or taken by another host.
    pub fn lost(&self, epoch: u64) {
        let mut state = self.state();
        if state.held.is_some_and(|held| held.epoch == epoch) {
            (state.held, state.pending) = (None, Pending::default());
        }
    }

    /// Asks the source's thread to end its work. Returns false if it was asked already.
    pub fn ask_to_leave(&self) -> bool {
        !std::mem::replace(&mut self.state().leaving, true)
    }

    /// The epoch of a lease that was asked for and can be given up: everything is written, and nothing is in flight. `anyway`: also
    /// if the source's thread only waits for pages in flight, which another host reads again.
    pub fn leaves(&self, anyway: bool) -> Option<u64> {
        let state = self.state();
        let is_idle = (!state.working || (anyway && state.waiting)) && state.is_written();
        state.held.filter(|_| state.leaving && is_idle).map(|held| held.epoch)
    }

    /// Since when the source could not be polled although its lease is held.
    pub fn failing_since(&self) -> Option<Instant> {
        let state = self.state();
        state.failing.filter(|_| state.held.is_some())
    }

    /// Notes which living host holds the lease instead, as the table says, and whether it has shown a sign of life.
    pub fn inform(&self, elsewhere: Option<&str>, is_proven: bool) {
        self.state().elsewhere = elsewhere.map(|host| (host.to_owned(), is_proven));
    }

    /// Notes at the end of a round why the lease could not be taken. None: it could.
    pub fn troubled(&self, trouble: Option<Trouble>) {
        self.state().trouble = trouble;
    }

    /// Takes the marks to write, with their epoch. [`Tenure::written`] must follow.
    pub fn take_pending(&self) -> Option<(u64, Pending)> {
        let mut state = self.state();
        let epoch = state.held?.epoch;
        if state.writing || state.pending.is_empty() {
            return None;
        }
        state.writing = true;
        Some((epoch, std::mem::take(&mut state.pending)))
    }

    /// The marks that were taken are written, or come back.
    pub fn written(&self, back: Option<Pending>) {
        let mut state = self.state();
        state.writing = false;
        if let Some(earlier) = back.filter(|_| state.held.is_some()) {
            state.pending.put_before(earlier);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

impl State {
    fn is_written(&self) -> bool {
        !self.writing && self.pending.is_empty()
    }

    fn epoch(&self) -> Option<u64> {
        self.held.filter(|held| !self.leaving && clock::now() < held.until).map(|held| held.epoch)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fleet::table::testing;
    use crate::ledger::Seen;

    fn tenure() -> Tenure {
        Tenure::new("1/s/r", &testing::nowhere())
    }

    fn mark(value: &str, seen: &[u128]) -> Mark {
        let seen = seen.iter().map(|id| Seen { id: *id, time: 5 }).collect();
        Mark { checkpoints: vec![(String::new(), value.to_owned())], seen, ..Mark::default() }
    }

    fn later() -> Instant {
        clock::now() + Duration::from_secs(60)
    }

    #[test]
    fn work_needs_a_lease_that_has_not_run_out() {
        let tenure = tenure();
        assert!(!tenure.begin() && tenure.is_over());
        tenure.grant(1, clock::now());
        assert!(!tenure.begin() && tenure.is_over(), "it has run out");
        tenure.renewed(2, later());
        assert!(!tenure.begin(), "another epoch was renewed");
        tenure.renewed(1, later());
        assert!(tenure.begin() && !tenure.is_over());
        tenure.lost(1);
        assert!(tenure.is_over() && !tenure.is_vacant(), "its pages are in flight");
        tenure.end();
        assert!(tenure.is_vacant());
    }

    #[test]
    fn work_begins_again_only_when_the_table_has_what_was_recorded_before() {
        let tenure = tenure();
        tenure.grant(1, later());
        assert!(tenure.begin());
        tenure.record(&mark("a", &[]));
        tenure.end();
        assert!(!tenure.begin() && !tenure.is_over(), "the table would be read without it");
        assert!(tenure.take_pending().is_some() && !tenure.begin(), "it is being written");
        tenure.written(None);
        assert!(tenure.begin());
    }

    #[test]
    fn it_is_left_only_when_nothing_is_in_flight_and_everything_is_written() {
        let tenure = tenure();
        tenure.grant(3, later());
        assert!(tenure.begin());
        tenure.record(&mark("a", &[]));
        tenure.ask_to_leave();
        assert!(tenure.is_over() && tenure.leaves(false).is_none(), "pages are in flight");
        assert_eq!(tenure.leaves(true), None, "a mark is not written");
        tenure.end();
        assert_eq!(tenure.leaves(false), None, "a mark is not written");
        let (epoch, pending) = tenure.take_pending().unwrap();
        assert_eq!((epoch, tenure.leaves(false)), (3, None), "it is being written");
        tenure.written(Some(pending));
        assert_eq!(tenure.leaves(false), None, "it came back");
        assert!(tenure.take_pending().is_some());
        tenure.written(None);
        assert_eq!(tenure.leaves(false), Some(3));
        tenure.grant(4, later());
        assert!(tenure.begin());
        tenure.ask_to_leave();
        assert_eq!(tenure.leaves(true), None, "a call may be under way");
        tenure.waits(true);
        assert_eq!((tenure.leaves(false), tenure.leaves(true)), (None, Some(4)), "a page is in flight");
    }

    #[test]
    fn marks_that_come_back_do_not_replace_later_ones() {
        let tenure = tenure();
        tenure.grant(1, later());
        tenure.record(&mark("a", &[1]));
        let (_, first) = tenure.take_pending().unwrap();
        tenure.record(&mark("b", &[2]));
        assert!(tenure.take_pending().is_none(), "one write at a time");
        tenure.written(Some(first));
        let (_, both) = tenure.take_pending().unwrap();
        assert_eq!(both.checkpoints[""], "b");
        assert_eq!(both.seen.iter().map(|seen| seen.id).collect::<Vec<_>>(), [1, 2]);
    }

    /// A table with an account but no checkpoint looks as if nobody had to forget the source.
    #[test]
    fn an_account_is_not_written_before_a_step() {
        let tenure = tenure();
        tenure.grant(1, later());
        tenure.belongs_to("123456789012");
        assert!(tenure.take_pending().is_none());
        tenure.record(&mark("a", &[]));
        assert_eq!(tenure.take_pending().unwrap().1.account.as_deref(), Some("123456789012"));
    }

    #[test]
    fn marks_without_a_lease_are_dropped() {
        let tenure = tenure();
        tenure.record(&mark("a", &[]));
        tenure.grant(1, later());
        assert!(tenure.take_pending().is_none());
        tenure.record(&mark("b", &[]));
        tenure.lost(1);
        tenure.grant(2, later());
        assert!(tenure.take_pending().is_none());
    }
}
