//! The messages that are in work, and until when they are ours.
//!
//! Pure: time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::budget::Permit;
use crate::limits::LEASE_AGE_MAX;

/// Names a message in work; never used twice in a run.
pub type LeaseId = u64;

/// A message that SQS has lent to us.
#[derive(Debug)]
pub struct Lease {
    pub message_id: String,
    pub receipt_handle: String,
    /// How often SQS has handed it out, this time included.
    pub receive_count: u32,
    /// Its place among the messages in work, free again when the lease ends.
    _slot: Permit,
    received: Instant,
    /// SQS shows the message to others from here on.
    expires: Instant,
    /// SQS has taken it back.
    lost: bool,
}

/// All leases of an input.
#[derive(Debug)]
pub struct Leases {
    visibility: Duration,
    next: LeaseId,
    held: HashMap<LeaseId, Lease>,
}

impl Leases {
    /// Every lease is given, and extended by, `visibility`.
    pub fn new(visibility: Duration) -> Leases {
        Leases { visibility, next: 0, held: HashMap::new() }
    }

    /// `asked`: when the receive was asked for, so that the lease is never believed longer than it is.
    pub fn add(&mut self, message: (String, String, u32), slot: Permit, asked: Instant) -> LeaseId {
        let (message_id, receipt_handle, receive_count) = message;
        let expires = asked + self.visibility;
        self.next += 1;
        let lease = Lease {
            message_id,
            receipt_handle,
            receive_count,
            _slot: slot,
            received: asked,
            expires,
            lost: false,
        };
        self.held.insert(self.next, lease);
        self.next
    }

    /// Leases past half of their time: they must be extended now. One that SQS would not extend any
    /// further is not among them.
    pub fn due(&self, now: Instant) -> Vec<(LeaseId, String)> {
        self.held
            .iter()
            .filter(|(_, lease)| !lease.lost && lease.expires <= now + self.visibility / 2)
            .filter(|(_, lease)| now + self.visibility < lease.received + LEASE_AGE_MAX)
            .map(|(id, lease)| (*id, lease.receipt_handle.clone()))
            .collect()
    }

    /// An extension that was asked for at `asked` has been granted.
    pub fn extended(&mut self, id: LeaseId, asked: Instant) {
        if let Some(lease) = self.held.get_mut(&id) {
            lease.expires = asked + self.visibility;
        }
    }

    /// SQS has taken it back: it is not to be extended any more. False if that was known.
    pub fn lose(&mut self, id: LeaseId) -> bool {
        self.held.get_mut(&id).is_some_and(|lease| !std::mem::replace(&mut lease.lost, true))
    }

    pub fn end(&mut self, id: LeaseId) -> Option<Lease> {
        self.held.remove(&id)
    }

    pub fn receipt_handle(&self, id: LeaseId) -> Option<&str> {
        self.held.get(&id).map(|lease| lease.receipt_handle.as_str())
    }

    /// Ends all leases: they are to be given back.
    pub fn end_all(&mut self) -> Vec<Lease> {
        self.held.drain().map(|(_, lease)| lease).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    const VISIBILITY: Duration = Duration::from_secs(100);

    fn leased(now: Instant) -> (Leases, LeaseId) {
        let mut leases = Leases::new(VISIBILITY);
        let slot = Budget::new(1).try_acquire(1).unwrap();
        let id = leases.add(("m".into(), "handle".into(), 1), slot, now);
        (leases, id)
    }

    #[test]
    fn a_lease_is_due_at_half_of_its_time_and_again_after_an_extension() {
        let start = Instant::now();
        let (mut leases, id) = leased(start);
        assert!(leases.due(start + VISIBILITY / 2 - Duration::from_nanos(1)).is_empty());
        assert_eq!(leases.due(start + VISIBILITY / 2), [(id, "handle".to_owned())]);
        let asked = start + VISIBILITY / 2;
        leases.extended(id, asked);
        assert!(leases.due(asked).is_empty());
        assert_eq!(leases.due(asked + VISIBILITY / 2).len(), 1);
    }

    #[test]
    fn a_lease_that_is_too_old_is_not_extended() {
        let start = Instant::now();
        let (leases, _) = leased(start);
        let last = start + LEASE_AGE_MAX - VISIBILITY;
        assert_eq!(leases.due(last - Duration::from_nanos(1)).len(), 1);
        assert!(leases.due(last).is_empty());
    }

    #[test]
    fn a_lost_lease_is_not_extended() {
        let start = Instant::now();
        let (mut leases, id) = leased(start);
        assert!(leases.lose(id));
        assert!(!leases.lose(id), "known already");
        assert!(leases.due(start + VISIBILITY).is_empty());
    }

    #[test]
    fn an_ended_lease_is_gone_and_its_slot_free() {
        let slots = Budget::new(1);
        let mut leases = Leases::new(VISIBILITY);
        let id = leases.add(("m".into(), "h".into(), 1), slots.try_acquire(1).unwrap(), Instant::now());
        assert_eq!(slots.free(), 0);
        assert_eq!(leases.end(id).unwrap().message_id, "m");
        assert_eq!(slots.free(), 1);
        assert!(leases.end(id).is_none());
        assert!(leases.is_empty());
    }
}
