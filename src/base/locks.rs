//! Locks whose holder may have panicked.
//!
//! A dead thread is noticed (see [`crew`](super::crew)). Its values are intact: those under a lock
//! here change in steps that cannot fail half-way, so the other threads can use them.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, even if a thread died while holding it.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
