//! Locks and conditions, with the interface of `std::sync`.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{self, LockResult, PoisonError, TryLockError};
use std::time::Duration;

use super::{Point, clock, wait};

/// A lock for one thread at a time.
pub struct Mutex<T: ?Sized> {
    point: Point,
    inner: sync::Mutex<T>,
}

/// The right to use what a [`Mutex`] protects.
pub struct MutexGuard<'a, T: ?Sized> {
    /// None only while it is being dropped or waits for a condition.
    inner: Option<sync::MutexGuard<'a, T>>,
    mutex: &'a Mutex<T>,
}

impl<T> Mutex<T> {
    pub fn new(value: T) -> Mutex<T> {
        Mutex { point: Point::new(), inner: sync::Mutex::new(value) }
    }

    /// # Errors
    /// If a thread has panicked while it held the lock.
    pub fn into_inner(self) -> LockResult<T> {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// # Errors
    /// If a thread has panicked while it held the lock.
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.guarded(acquire(&self.point, || self.inner.try_lock(), || self.inner.lock()))
    }

    /// # Errors
    /// The errors of [`Mutex::lock`], and if another thread holds the lock.
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError<MutexGuard<'_, T>>> {
        match self.inner.try_lock() {
            Err(TryLockError::WouldBlock) => Err(TryLockError::WouldBlock),
            Err(TryLockError::Poisoned(error)) => Ok(self.guarded(Err(error))?),
            Ok(guard) => Ok(self.guarded(Ok(guard))?),
        }
    }

    fn guarded<'a>(&'a self, locked: LockResult<sync::MutexGuard<'a, T>>) -> LockResult<MutexGuard<'a, T>> {
        let guard = |inner| MutexGuard { inner: Some(inner), mutex: self };
        locked.map(guard).map_err(|poisoned| PoisonError::new(guard(poisoned.into_inner())))
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T: fmt::Debug + ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[expect(clippy::expect_used, reason = "it is empty only while it is out of its owner's hands")]
    fn deref(&self) -> &T {
        self.inner.as_deref().expect("the lock is held")
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[expect(clippy::expect_used, reason = "it is empty only while it is out of its owner's hands")]
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_deref_mut().expect("the lock is held")
    }
}

impl<T: fmt::Debug + ?Sized> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.inner = None;
        self.mutex.point.notify();
    }
}

/// A condition that threads wait for with a lock in hand.
#[derive(Default)]
pub struct Condvar {
    inner: sync::Condvar,
    point: Point,
}

impl Condvar {
    pub fn new() -> Condvar {
        Condvar { inner: sync::Condvar::new(), point: Point::new() }
    }

    pub fn notify_all(&self) {
        self.inner.notify_all();
        self.point.notify();
    }

    /// Releases the lock, waits for a notification or until `time` has passed, and takes the lock again. It may return
    /// sooner.
    ///
    /// # Errors
    /// The errors of [`Mutex::lock`].
    pub fn wait_timeout<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        time: Duration,
    ) -> LockResult<MutexGuard<'a, T>> {
        let mutex = guard.mutex;
        if let Some(simulation) = self.point.simulation() {
            drop(guard);
            wait(&*simulation, &[&self.point], clock::now().checked_add(time));
            return mutex.lock();
        }
        let Some(inner) = guard.inner.take() else { return Ok(guard) };
        let waited = self.inner.wait_timeout(inner, time);
        mutex.guarded(waited.map(|(guard, _)| guard).map_err(|error| PoisonError::new(error.into_inner().0)))
    }

    /// Waits while `holds`, at most for `time`.
    ///
    /// # Errors
    /// The errors of [`Mutex::lock`].
    pub fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        time: Duration,
        mut holds: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        let start = clock::now();
        while holds(&mut guard) {
            let left = time.saturating_sub(clock::since(start));
            if left.is_zero() {
                break;
            }
            guard = self.wait_timeout(guard, left)?;
        }
        Ok(guard)
    }

    /// Waits while `holds`.
    ///
    /// # Errors
    /// The errors of [`Mutex::lock`].
    pub fn wait_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        holds: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        self.wait_timeout_while(guard, Duration::MAX, holds)
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A lock for one writer or any number of readers.
#[derive(Default)]
pub struct RwLock<T: ?Sized> {
    point: Point,
    inner: sync::RwLock<T>,
}

/// The right to read what an [`RwLock`] protects.
#[derive(Debug)]
pub struct RwLockReadGuard<'a, T: ?Sized>(Option<sync::RwLockReadGuard<'a, T>>, Freed<'a>);

/// The right to change what an [`RwLock`] protects.
#[derive(Debug)]
pub struct RwLockWriteGuard<'a, T: ?Sized>(Option<sync::RwLockWriteGuard<'a, T>>, Freed<'a>);

impl<T: ?Sized> RwLock<T> {
    /// # Errors
    /// If a thread has panicked while it wrote.
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        let locked = acquire(&self.point, || self.inner.try_read(), || self.inner.read());
        let guard = |inner| RwLockReadGuard(Some(inner), Freed(&self.point));
        locked.map(guard).map_err(|poisoned| PoisonError::new(guard(poisoned.into_inner())))
    }

    /// # Errors
    /// If a thread has panicked while it wrote.
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let locked = acquire(&self.point, || self.inner.try_write(), || self.inner.write());
        let guard = |inner| RwLockWriteGuard(Some(inner), Freed(&self.point));
        locked.map(guard).map_err(|poisoned| PoisonError::new(guard(poisoned.into_inner())))
    }
}

/// Takes a lock: `waiting` does it in production. In a simulation, other threads run until `at_once` succeeds.
fn acquire<G>(
    point: &Point,
    at_once: impl Fn() -> Result<G, TryLockError<G>>,
    waiting: impl FnOnce() -> LockResult<G>,
) -> LockResult<G> {
    let Some(simulation) = point.simulation() else { return waiting() };
    simulation.pause();
    loop {
        match at_once() {
            Ok(guard) => return Ok(guard),
            Err(TryLockError::Poisoned(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if wait(&*simulation, &[point], None) => (),
            Err(TryLockError::WouldBlock) => return waiting(),
        }
    }
}

impl<T: fmt::Debug + ?Sized> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[expect(clippy::expect_used, reason = "it is empty only while it is being dropped")]
    fn deref(&self) -> &T {
        self.0.as_deref().expect("the lock is held")
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[expect(clippy::expect_used, reason = "it is empty only while it is being dropped")]
    fn deref(&self) -> &T {
        self.0.as_deref().expect("the lock is held")
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[expect(clippy::expect_used, reason = "it is empty only while it is being dropped")]
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_deref_mut().expect("the lock is held")
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.0 = None;
        self.1.0.notify();
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.0 = None;
        self.1.0.notify();
    }
}

/// The point to notify when a lock is free again.
struct Freed<'a>(&'a Point);

impl fmt::Debug for Freed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Freed")
    }
}

impl Default for Point {
    fn default() -> Point {
        Point::new()
    }
}
