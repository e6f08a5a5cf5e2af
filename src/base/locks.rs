//! Locks whose holder may have panicked.
//!
//! A thread that dies is noticed by itself (see [`crew`](super::crew)). What it held is whole: values under a lock
//! here change in steps that cannot fail half-way, so the other threads go on with them.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, whoever died while holding it.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
