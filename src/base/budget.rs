//! A bounded amount (bytes, messages) from which threads take permits that they give back.

use std::collections::VecDeque;

use crate::base::locks::{intact, lock};
use crate::base::runtime::atomic::Arc;
use crate::base::runtime::sync::{Condvar, Mutex, MutexGuard};
use crate::base::stop::Stop;

/// A shared budget. Cheap to clone; clones share the amount. Requests are served in order of arrival, so that small
/// ones cannot starve a large one.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    total: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Below zero if this much has been taken beyond the total (see [`Permit::set`]).
    free: isize,
    /// The least that has ever been free.
    least: isize,
    /// Tickets of the waiting threads, in order.
    waiting: VecDeque<u64>,
    next_ticket: u64,
}

/// A part of the budget; it is returned when dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Budget,
    amount: usize,
}

impl Budget {
    pub fn new(total: usize) -> Budget {
        let state =
            State { free: signed(total), least: signed(total), waiting: VecDeque::new(), next_ticket: 0 };
        Budget(Arc::new(Inner { total, state: Mutex::new(state), changed: Condvar::new() }))
    }

    pub fn total(&self) -> usize {
        self.0.total
    }

    /// The free amount.
    pub fn free(&self) -> usize {
        usize::try_from(self.state().free).unwrap_or(0)
    }

    /// The amount that is taken, which may exceed the total (see [`Permit::set`]).
    pub fn taken(&self) -> usize {
        self.taken_of(self.state().free)
    }

    /// The largest amount that has ever been taken.
    pub fn taken_most(&self) -> usize {
        self.taken_of(self.state().least)
    }

    fn taken_of(&self, free: isize) -> usize {
        usize::try_from(signed(self.0.total).saturating_sub(free)).unwrap_or(0)
    }

    /// Takes `amount`, at most the total, waiting if needed. None if stopped.
    pub fn acquire(&self, amount: usize, stop: &Stop) -> Option<Permit> {
        let amount = amount.min(self.0.total);
        let mut state = self.state();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(ticket);
        while state.waiting.front() != Some(&ticket) || state.free < signed(amount) {
            if stop.is_stopped() {
                state.waiting.retain(|other| *other != ticket);
                self.0.changed.notify_all();
                return None;
            }
            // A stop does not notify this condition, so the wait is sliced.
            let slice = crate::base::limits::STOP_CHECK_INTERVAL;
            state = intact(self.0.changed.wait_timeout(state, slice));
        }
        state.waiting.pop_front();
        state.take(amount);
        self.0.changed.notify_all();
        Some(Permit { budget: self.clone(), amount })
    }

    /// Takes `amount` if it is free and nobody waits for it.
    pub fn try_acquire(&self, amount: usize) -> Option<Permit> {
        let mut state = self.state();
        if !state.waiting.is_empty() || state.free < signed(amount) {
            return None;
        }
        state.take(amount);
        Some(Permit { budget: self.clone(), amount })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

impl State {
    fn take(&mut self, amount: usize) {
        self.free -= signed(amount);
        self.least = self.least.min(self.free);
    }
}

impl Permit {
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Splits off a part as a separate permit; all of it if `amount` is larger.
    pub fn split(&mut self, amount: usize) -> Permit {
        let amount = amount.min(self.amount);
        self.amount -= amount;
        Permit { budget: self.budget.clone(), amount }
    }

    /// Makes the permit exactly this large, without waiting: a missing part is taken even if it is not free, and later
    /// callers of `acquire` wait until it has been paid back. This is for memory that exists already; for memory that
    /// is yet to be allocated use [`Budget::acquire`] or [`Permit::try_grow_to`].
    pub fn set(&mut self, amount: usize) {
        if amount <= self.amount {
            return self.shrink_to(amount);
        }
        self.budget.state().take(amount - self.amount);
        self.amount = amount;
    }

    /// A permit of the same budget, taken on credit as by [`Permit::set`].
    pub fn beside(&self, amount: usize) -> Permit {
        let mut permit = Permit { budget: self.budget.clone(), amount: 0 };
        permit.set(amount);
        permit
    }

    /// Exchanges it for a permit of another budget, taken on credit as by [`Permit::set`].
    pub fn exchanged_for(self, budget: &Budget, amount: usize) -> Permit {
        let mut permit = Permit { budget: budget.clone(), amount: 0 };
        permit.set(amount);
        permit
    }

    /// Returns the part over `amount`.
    pub fn shrink_to(&mut self, amount: usize) {
        drop(self.split(self.amount.saturating_sub(amount)));
    }

    /// Grows to `amount`, if the missing part is free at once. Waiting here could deadlock.
    pub fn try_grow_to(&mut self, amount: usize) -> bool {
        if amount <= self.amount {
            // Nothing is left to take, so waiters are not woken.
            return true;
        }
        match self.budget.try_acquire(amount - self.amount) {
            Some(mut more) => {
                self.amount += std::mem::take(&mut more.amount);
                true
            }
            None => false,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.state().free += signed(self.amount);
        self.budget.0.changed.notify_all();
    }
}

/// No amount of memory or messages is near the bound.
fn signed(amount: usize) -> isize {
    isize::try_from(amount).unwrap_or(isize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_back() {
        let (budget, stop) = (Budget::new(10), Stop::new());
        let mut permit = budget.acquire(7, &stop).unwrap();
        assert!(budget.try_acquire(4).is_none());
        let part = permit.split(3);
        drop(permit);
        assert_eq!(budget.free(), 7);
        drop(part);
        assert_eq!(budget.free(), 10);
    }

    #[test]
    fn a_request_over_the_total_takes_all() {
        let budget = Budget::new(10);
        assert_eq!(budget.acquire(99, &Stop::new()).unwrap().amount(), 10);
    }

    #[test]
    fn permits_shrink_and_grow() {
        let budget = Budget::new(10);
        let mut permit = budget.try_acquire(6).unwrap();
        permit.shrink_to(2);
        assert_eq!(budget.free(), 8);
        assert!(permit.try_grow_to(9));
        assert_eq!((permit.amount(), budget.free()), (9, 1));
        assert!(!permit.try_grow_to(11));
        budget.state().waiting.push_back(7);
        assert!(permit.try_grow_to(9), "it has that already, whoever waits");
        assert!(!permit.try_grow_to(10));
        drop(permit);
        assert_eq!(budget.free(), 10);
    }

    #[test]
    fn what_is_taken_beyond_the_total_is_paid_back_before_others_get_any() {
        let budget = Budget::new(10);
        let mut permit = budget.try_acquire(6).unwrap();
        permit.set(14);
        assert_eq!((permit.amount(), budget.free()), (14, 0));
        let other = budget.try_acquire(0);
        assert!(other.is_none(), "the budget is overdrawn");
        permit.set(9);
        assert!(budget.try_acquire(2).is_none());
        assert_eq!(budget.try_acquire(1).unwrap().amount(), 1);
        drop(permit);
        assert_eq!((budget.free(), budget.taken(), budget.taken_most()), (10, 0, 14));
    }

    #[test]
    fn a_waiting_request_is_served_before_later_ones() {
        let (budget, stop) = (Budget::new(10), Stop::new());
        let held = budget.acquire(5, &stop).unwrap();
        let waiter = {
            let (budget, stop) = (budget.clone(), stop.clone());
            std::thread::spawn(move || budget.acquire(8, &stop).unwrap().amount())
        };
        while budget.state().waiting.is_empty() {
            std::thread::yield_now();
        }
        assert!(budget.try_acquire(1).is_none(), "the large request is first in line");
        drop(held);
        assert_eq!(waiter.join().unwrap(), 8);
    }

    #[test]
    fn stopping_ends_a_wait() {
        let (budget, stop) = (Budget::new(1), Stop::new());
        let _held = budget.acquire(1, &stop).unwrap();
        stop.stop();
        assert!(budget.acquire(1, &stop).is_none());
        assert!(budget.state().waiting.is_empty());
    }
}
