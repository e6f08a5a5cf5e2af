//! Locks whose holder may have panicked.
//!
//! A dead thread is noticed (see [`crew`](super::crew)). Its values are intact: those under a lock
//! here change in steps that cannot fail half-way, so the other threads can use them.

use std::sync::{Arc, LockResult, PoisonError};

use crate::base::runtime::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A lock for one thread at a time: the runtime's, or that of `std` where no simulation reaches.
pub trait Lock {
    type Guard<'a>
    where
        Self: 'a;

    /// # Errors
    /// If a thread has panicked while it held the lock.
    fn acquire(&self) -> LockResult<Self::Guard<'_>>;
}

/// Locks `mutex`, even if a thread died while holding it.
pub fn lock<M: Lock + ?Sized>(mutex: &M) -> M::Guard<'_> {
    intact(mutex.acquire())
}

/// Locks `lock` for reading, even if a thread died while holding it.
pub fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    intact(lock.read())
}

/// Locks `lock` for writing, even if a thread died while holding it.
pub fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    intact(lock.write())
}

/// The value of a lock, or of a wait for a condition, even if a thread died while holding the lock.
pub fn intact<T>(locked: LockResult<T>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}

impl<T: ?Sized> Lock for Mutex<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn acquire(&self) -> LockResult<MutexGuard<'_, T>> {
        self.lock()
    }
}

impl<T: ?Sized> Lock for std::sync::Mutex<T> {
    type Guard<'a>
        = std::sync::MutexGuard<'a, T>
    where
        T: 'a;

    fn acquire(&self) -> LockResult<std::sync::MutexGuard<'_, T>> {
        self.lock()
    }
}

impl<M: Lock + ?Sized> Lock for Arc<M> {
    type Guard<'a>
        = M::Guard<'a>
    where
        M: 'a;

    fn acquire(&self) -> LockResult<M::Guard<'_>> {
        (**self).acquire()
    }
}
