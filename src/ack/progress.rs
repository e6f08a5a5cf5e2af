//! An object's decoding position, and how far its records are confirmed.

use std::sync::Arc;

use super::{Ack, Outcome, Tables, Watermark};
use crate::base::locks::lock;

use crate::base::runtime::atomic::{AtomicBool, Ordering};
use crate::base::runtime::sync::{Mutex, MutexGuard};

/// How far an object is confirmed. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Confirmed(Arc<State>);

#[derive(Debug, Default)]
struct State {
    mark: Mutex<Watermark>,
    /// The confirmed events by table, in any order.
    gave: Mutex<Tables>,
    revoked: AtomicBool,
}

/// The decoding side: counts the records in decoding order, and holds back those that were confirmed in an earlier run.
#[derive(Debug, Default)]
pub struct Progress {
    confirmed: Confirmed,
    /// Records not to be sent again.
    resumed: u64,
    /// Number of records decoded.
    decoded: u64,
}

impl Confirmed {
    /// Records and batches that are confirmed without a gap.
    pub fn so_far(&self) -> (u64, u64) {
        let mark = self.lock();
        (mark.records(), mark.batches())
    }

    /// The object was decoded to its end, and all of it is confirmed.
    pub fn is_whole(&self) -> bool {
        self.lock().is_whole()
    }

    /// The object was decoded to its end, and its unconfirmed records were refused.
    pub fn is_settled(&self) -> bool {
        self.lock().is_settled()
    }

    /// Adds the events of a confirmed batch.
    pub fn gives(&self, tables: &Tables) {
        lock(&self.0.gave).merge(tables);
    }

    /// The confirmed events by table.
    pub fn gave(&self) -> Tables {
        lock(&self.0.gave).clone()
    }

    /// Another host sends the object from now on: nothing more of it is sent here.
    pub fn revoke(&self) {
        self.0.revoked.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Watermark> {
        lock(&self.0.mark)
    }
}

impl Progress {
    /// Creates it for an object whose first `records` were confirmed before.
    pub fn resume(records: u64) -> Progress {
        let mark = Mutex::new(Watermark::resumed(records));
        let confirmed = Confirmed(Arc::new(State { mark, ..State::default() }));
        Progress { confirmed, resumed: records, decoded: 0 }
    }

    /// Restarts the decoding of the object: what has been sent is not sent again.
    pub fn rewind(&mut self) {
        self.resumed = self.resumed.max(self.decoded);
        self.decoded = 0;
    }

    /// The sum of the confirmations of this object's batches.
    pub fn confirmed(&self) -> Confirmed {
        self.confirmed.clone()
    }

    /// Counts one more decoded record. Returns false if it was confirmed before and must not be sent.
    #[inline]
    pub fn admit_next(&mut self) -> bool {
        self.decoded += 1;
        self.decoded > self.resumed
    }

    /// True if none of the next records was confirmed before.
    pub fn admits_all(&self) -> bool {
        self.decoded >= self.resumed
    }

    /// Counts this many more decoded records, none of which was confirmed before.
    pub fn admit(&mut self, records: u64) {
        self.decoded += records;
    }

    /// Records decoded so far.
    pub fn decoded(&self) -> u64 {
        self.decoded
    }

    /// Records that were confirmed before.
    pub fn resumed(&self) -> u64 {
        self.resumed
    }

    /// Records held back so far.
    pub fn held_back(&self) -> u64 {
        self.decoded.min(self.resumed)
    }

    /// True if nothing more of the object is to be sent. See [`Confirmed::revoke`].
    pub fn is_revoked(&self) -> bool {
        self.confirmed.0.revoked.load(Ordering::Acquire)
    }

    /// At the end of the object: true if more of its records are said to be confirmed than it has. Nothing of it was sent
    /// then.
    pub fn is_past_the_end(&self) -> bool {
        self.decoded < self.resumed
    }

    /// Forgets what was confirmed earlier, because it is wrong.
    pub fn disown(&self) {
        *self.confirmed.lock() = Watermark::default();
    }

    /// The object has been decoded to its end.
    pub fn complete(&self) {
        self.confirmed.lock().complete();
    }

    /// Opens a batch of `object` that ends with the last decoded record. Once it is delivered, with all its shares, it
    /// counts as confirmed.
    pub fn batch(&self, object: &Ack) -> Ack {
        self.batch_to(object, self.decoded)
    }

    /// Opens a batch that ends with the record before the last one.
    pub fn batch_before_last(&self, object: &Ack) -> Ack {
        self.batch_to(object, self.decoded.saturating_sub(1))
    }

    fn batch_to(&self, object: &Ack, end: u64) -> Ack {
        let confirmed = self.confirmed.clone();
        let number = confirmed.lock().open();
        object.share().work(move |outcome| match outcome {
            Outcome::Delivered => confirmed.lock().confirm(number, end),
            Outcome::Reject => confirmed.lock().refuse(),
            Outcome::Retry => (),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_confirmed_before_are_held_back() {
        let mut progress = Progress::resume(2);
        assert_eq!(
            [progress.admit_next(), progress.admit_next(), progress.admit_next()],
            [false, false, true]
        );
        assert_eq!(progress.held_back(), 2);
        assert_eq!(progress.confirmed().so_far(), (2, 0));
    }

    #[test]
    fn records_can_be_counted_in_blocks_once_none_of_them_is_held_back() {
        let mut progress = Progress::resume(2);
        let mut admits = Vec::new();
        for _ in 0..3 {
            admits.push(progress.admits_all());
            progress.admit_next();
        }
        assert_eq!(admits, [false, false, true]);
        progress.admit(5);
        assert_eq!((progress.resumed(), progress.decoded(), progress.held_back()), (2, 8, 2));
    }

    #[test]
    fn an_object_that_another_host_sends_is_revoked_everywhere() {
        let progress = Progress::resume(2);
        assert!(!progress.is_revoked());
        progress.confirmed().clone().revoke();
        assert!(progress.is_revoked());
    }

    #[test]
    fn what_a_batch_gave_is_added_by_table() {
        let confirmed = Progress::default().confirmed();
        let mut tables = Tables::default();
        tables.add("a", 2, 20);
        confirmed.gives(&tables);
        confirmed.gives(&tables);
        assert_eq!((confirmed.gave().events(), confirmed.gave().bytes()), (4, 40));
    }

    #[test]
    fn what_was_sent_before_a_second_decoding_is_held_back() {
        let mut progress = Progress::resume(1);
        assert_eq!((0..3).filter(|_| progress.admit_next()).count(), 2);
        progress.rewind();
        assert_eq!((0..5).filter(|_| progress.admit_next()).count(), 2);
        progress.rewind();
        progress.rewind();
        assert_eq!((0..6).filter(|_| progress.admit_next()).count(), 1);
    }

    #[test]
    fn a_batch_counts_when_all_its_shares_are_delivered() {
        let object = Ack::open(|_| ());
        let mut progress = Progress::resume(0);
        progress.admit_next();
        let batch = progress.batch(&object);
        let (one, other) = (batch.share(), batch.share());
        batch.close(Outcome::Delivered);
        one.resolve(Outcome::Delivered);
        progress.complete();
        assert_eq!(progress.confirmed().so_far(), (0, 0));
        assert!(!progress.confirmed().is_whole());
        other.resolve(Outcome::Delivered);
        assert_eq!(progress.confirmed().so_far(), (1, 1));
        assert!(progress.confirmed().is_whole());
    }

    #[test]
    fn more_confirmed_records_than_there_are_are_disowned() {
        for (resumed, decoded, is_wrong) in
            [(0, 0, false), (3, 3, false), (3, 5, false), (3, 2, true), (3, 0, true)]
        {
            let mut progress = Progress::resume(resumed);
            (0..decoded).for_each(|_| _ = progress.admit_next());
            assert_eq!(progress.is_past_the_end(), is_wrong, "{resumed} {decoded}");
        }
        let progress = Progress::resume(3);
        progress.disown();
        assert_eq!(progress.confirmed().so_far(), (0, 0));
        let mut again = Progress::resume(3);
        (0..5).for_each(|_| _ = again.admit_next());
        again.rewind();
        (0..5).for_each(|_| _ = again.admit_next());
        assert!(!again.is_past_the_end(), "decoded again to its end");
    }

    #[test]
    fn a_batch_can_end_before_the_record_in_hand() {
        let object = Ack::open(|_| ());
        let mut progress = Progress::default();
        (0..3).for_each(|_| assert!(progress.admit_next()));
        progress.batch_before_last(&object).close(Outcome::Delivered);
        assert_eq!(progress.confirmed().so_far(), (2, 1));
        progress.batch(&object).close(Outcome::Delivered);
        assert_eq!(progress.confirmed().so_far(), (3, 2));
    }

    #[test]
    fn a_refused_batch_stays_a_gap_but_settles_its_object() {
        let object = Ack::open(|_| ());
        let mut progress = Progress::default();
        progress.admit_next();
        let refused = progress.batch(&object);
        progress.admit_next();
        let good = progress.batch(&object);
        progress.complete();
        refused.close(Outcome::Reject);
        assert!(!progress.confirmed().is_settled(), "the other batch is on its way");
        good.close(Outcome::Delivered);
        assert!(progress.confirmed().is_settled() && !progress.confirmed().is_whole());
        assert_eq!(progress.confirmed().so_far(), (0, 0), "a restart must not take it for delivered");
    }

    #[test]
    fn a_batch_that_failed_stays_a_gap() {
        let object = Ack::open(|_| ());
        let mut progress = Progress::default();
        progress.admit_next();
        let failed = progress.batch(&object);
        progress.admit_next();
        progress.batch(&object).close(Outcome::Delivered);
        drop(failed);
        assert_eq!(progress.confirmed().so_far(), (0, 0));
    }
}
