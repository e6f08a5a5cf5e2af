//! The memory that decoders hold between and during pushes, charged to a budget that they all share.
//!
//! Most objects never need more than a window and a part of a line. Larger needs (a record of many megabytes, the pages
//! of Parquet, the window of a zstd stream) are charged before memory is allocated. A decoder never waits for memory,
//! because other workers may be waiting for it. It fails with [`Error::MemoryBusy`], and the object is restarted when
//! all of the memory is reserved for it.

use std::sync::{Arc, Mutex, MutexGuard};

use super::Error;
use crate::base::budget::{Budget, Permit};
use crate::base::limits::{DECODER_BYTES_FREE, MIB};
use crate::base::locks::lock;

/// The memory of one decoder. Cheap to clone; clones share it. The default is unbounded.
#[derive(Debug, Clone, Default)]
pub struct Account(Option<Arc<Mutex<State>>>);

#[derive(Debug)]
struct State {
    pool: Budget,
    /// Covers the part beyond `DECODER_BYTES_FREE`.
    permit: Option<Permit>,
    /// Everything is reserved, and stays so.
    reserved: bool,
    used: usize,
}

impl Account {
    /// Takes memory from the pool, if it is free at the moment.
    pub fn within(pool: &Budget) -> Account {
        Account::new(pool.clone(), None)
    }

    /// Has this part of the pool, until it is dropped.
    pub fn reserved(pool: &Budget, permit: Permit) -> Account {
        Account::new(pool.clone(), Some(permit))
    }

    fn new(pool: Budget, permit: Option<Permit>) -> Account {
        let reserved = permit.is_some();
        Account(Some(Arc::new(Mutex::new(State { pool, permit, reserved, used: 0 }))))
    }

    /// Creates a charge, of zero at first.
    pub(super) fn charge(&self) -> Charge {
        Charge { account: self.clone(), bytes: 0 }
    }

    fn change(&self, from: usize, to: usize) -> Result<(), Error> {
        match &self.0 {
            Some(state) => State::lock(state).change(from, to),
            None => Ok(()),
        }
    }
}

impl State {
    fn lock(state: &Arc<Mutex<State>>) -> MutexGuard<'_, State> {
        lock(state)
    }

    fn change(&mut self, from: usize, to: usize) -> Result<(), Error> {
        let used = self.used.saturating_sub(from).saturating_add(to);
        let needed = used.saturating_sub(DECODER_BYTES_FREE);
        let total = self.pool.total();
        if needed > total {
            return Err(Error::MemoryTooSmall { max: total });
        }
        // In steps, so that a growing record does not ask each time.
        if !self.cover(needed.next_multiple_of(MIB).min(total)) {
            return Err(Error::MemoryBusy);
        }
        self.used = used;
        Ok(())
    }

    fn cover(&mut self, bytes: usize) -> bool {
        if self.reserved {
            return self.permit.as_ref().is_some_and(|permit| permit.amount() >= bytes);
        }
        match &mut self.permit {
            _ if bytes == 0 => self.permit = None,
            Some(permit) if permit.amount() >= bytes => permit.shrink_to(bytes),
            Some(permit) => return permit.try_grow_to(bytes),
            none => *none = self.pool.try_acquire(bytes),
        }
        bytes == 0 || self.permit.is_some()
    }
}

/// Bytes of an account; they are returned when dropped.
#[derive(Debug)]
pub(super) struct Charge {
    account: Account,
    bytes: usize,
}

impl Charge {
    /// Sets it to this many bytes. On an error it is unchanged.
    pub fn set(&mut self, bytes: usize) -> Result<(), Error> {
        if bytes != self.bytes {
            self.account.change(self.bytes, bytes)?;
            self.bytes = bytes;
        }
        Ok(())
    }

    #[cfg(any(test, feature = "parquet"))]
    pub fn add(&mut self, bytes: usize) -> Result<(), Error> {
        self.set(self.bytes.saturating_add(bytes))
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // Less is always possible.
        let _ = self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::stop::Stop;

    const FREE: usize = DECODER_BYTES_FREE;

    #[test]
    fn what_is_beyond_the_free_part_is_charged_and_comes_back() {
        let pool = Budget::new(8 * MIB);
        let account = Account::within(&pool);
        let (mut one, mut other) = (account.charge(), account.charge());
        one.set(FREE).unwrap();
        assert_eq!(pool.free(), 8 * MIB);
        other.set(3 * MIB).unwrap();
        assert_eq!(pool.free(), 5 * MIB);
        other.add(1).unwrap();
        assert_eq!(pool.free(), 4 * MIB);
        drop(one);
        assert_eq!(pool.free(), 8 * MIB - (3 * MIB + 1 - FREE).next_multiple_of(MIB));
        drop(other);
        assert_eq!(pool.free(), 8 * MIB);
    }

    #[test]
    fn what_others_hold_is_busy_and_what_nobody_could_hold_is_too_much() {
        let pool = Budget::new(8 * MIB);
        let (others, own) = (Account::within(&pool), Account::within(&pool));
        let (mut others, mut own) = (others.charge(), own.charge());
        others.set(5 * MIB).unwrap();
        assert_eq!(own.set(6 * MIB), Err(Error::MemoryBusy));
        assert_eq!(own.set(9 * MIB + FREE), Err(Error::MemoryTooSmall { max: 8 * MIB }));
        assert_eq!(own.bytes(), 0);
        drop(others);
        own.set(6 * MIB).unwrap();
    }

    #[test]
    fn a_reserved_account_is_never_busy() {
        let pool = Budget::new(8 * MIB);
        let permit = pool.acquire(8 * MIB, &Stop::new()).unwrap();
        let account = Account::reserved(&pool, permit);
        let mut charge = account.charge();
        charge.set(8 * MIB + FREE).unwrap();
        charge.set(0).unwrap();
        assert_eq!(pool.free(), 0, "it stays reserved");
        drop((charge, account));
        assert_eq!(pool.free(), 8 * MIB);
    }
}
