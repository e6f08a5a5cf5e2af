//! The time according to AWS's services. Entries are removed by age, and this machine's clock alone must not age them:
//! after a step by some weeks, everything that is announced again would be sent again.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;

use crate::base::locks::lock;
use crate::base::runtime::sync::{Mutex, MutexGuard};

/// A clock. None while it is not known.
type Clock = Box<dyn Fn() -> Option<SystemTime> + Send>;

/// All clocks that were registered with the ledger. Clones share them.
#[derive(Clone, Default)]
pub struct Clocks(Arc<Mutex<Vec<Clock>>>);

impl Clocks {
    pub fn add(&self, clock: impl Fn() -> Option<SystemTime> + Send + 'static) {
        self.lock().push(Box::new(clock));
    }

    /// The time of a new entry, in seconds since 1970: the latest of the known clocks, else `machine`, this machine's.
    pub fn now(&self, machine: i64) -> i64 {
        self.known().into_iter().max().unwrap_or(machine)
    }

    /// The time by which entries are removed: the earliest of all clocks, including this machine's. None if no clock is
    /// known, so nothing is old for sure.
    pub fn earliest(&self, machine: i64) -> Option<i64> {
        Some(self.known().into_iter().min()?.min(machine))
    }

    fn known(&self) -> Vec<i64> {
        let second = |time| Timestamp::try_from(time).ok().map(Timestamp::as_second);
        self.lock().iter().filter_map(|clock| clock().and_then(second)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Clock>> {
        lock(&self.0)
    }
}

impl fmt::Debug for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.known()).finish()
    }
}
