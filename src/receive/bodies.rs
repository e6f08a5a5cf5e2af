//! Room for the bodies of messages that wait: for a fetcher, or for their turn in their group.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::budget::{Budget, Permit};
use crate::stop::Stop;

/// How much of the expected size is forgotten with each receive: one over so much.
const FORGOTTEN: usize = 8;

/// An input's share of the memory for bodies. Nobody knows what a receive will bring, so it is begun when there is
/// room for what receives have brought lately, and what it brings is then charged as it is. A message holds its
/// room from then on until it is decoded, and never asks for more: whoever's turn it is can always go on.
#[derive(Debug)]
pub struct Bodies {
    budget: Budget,
    /// Bytes of the largest body that came lately.
    expected: AtomicUsize,
}

impl Bodies {
    /// `bytes`: what all bodies together may take.
    pub fn new(bytes: usize) -> Bodies {
        Bodies { budget: Budget::new(bytes), expected: AtomicUsize::new(0) }
    }

    /// Waits for room for as many messages as a receive may bring, or until half of all room is free: a few that
    /// wait for long must not stop the receives. None: stopped.
    pub fn await_room(&self, messages: usize, stop: &Stop) -> Option<Permit> {
        let bytes = self.expected.load(Ordering::Relaxed).saturating_mul(messages);
        self.budget.acquire(bytes.min(self.budget.total() / 2), stop)
    }

    /// Charges the bodies that a receive has brought.
    pub fn charge<'a>(&self, bodies: impl Iterator<Item = &'a String>) -> Vec<Permit> {
        let charged: Vec<_> = bodies.map(|body| self.budget.charge(body.capacity())).collect();
        let largest = charged.iter().map(Permit::amount).max().unwrap_or(0);
        let before = self.expected.load(Ordering::Relaxed);
        self.expected.store(largest.max(before - before / FORGOTTEN), Ordering::Relaxed);
        charged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(sizes: &[usize]) -> Vec<String> {
        sizes.iter().map(|size| "x".repeat(*size)).collect()
    }

    #[test]
    fn a_receive_waits_while_what_it_may_bring_has_no_room() {
        let (room, stop) = (Bodies::new(2000), Stop::new());
        drop(room.await_room(10, &stop).unwrap());
        let _waiting = room.charge(bodies(&[1000]).iter());
        room.charge(bodies(&[90; 40]).iter());
        let held = room.charge(bodies(&[90, 95, 80]).iter());
        assert_eq!(held.iter().map(Permit::amount).collect::<Vec<_>>(), [90, 95, 80]);
        let got = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| room.await_room(10, &stop).map(|permit| permit.amount()));
            std::thread::yield_now();
            drop(held);
            waiter.join().unwrap()
        });
        assert_eq!(got, Some(1000), "half of all room");
        let _held = room.charge(bodies(&[95]).iter());
        stop.stop();
        assert!(room.await_room(10, &stop).is_none(), "less is free");
    }

    #[test]
    fn bodies_larger_than_all_room_are_still_received_one_receive_at_a_time() {
        let (room, stop) = (Bodies::new(100), Stop::new());
        for _ in 0..3 {
            let permit = room.await_room(10, &stop).unwrap();
            let held = room.charge(bodies(&[5000]).iter());
            drop(permit);
            assert_eq!(room.budget.free(), 0);
            drop(held);
        }
    }

    #[test]
    fn what_came_long_ago_is_not_expected_any_more() {
        let (room, stop) = (Bodies::new(1 << 30), Stop::new());
        drop(room.charge(bodies(&[1 << 20]).iter()));
        (0..100).for_each(|_| drop(room.charge(bodies(&[]).iter())));
        assert!(room.await_room(10, &stop).unwrap().amount() < 100);
    }
}
