//! The messages in flight, and the ends of their leases.
//!
//! Pure: time is an argument.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::base::budget::Permit;
use crate::base::limits::{
    LEASE_AGE_MAX, LEASE_CALL_TIMEOUT_MAX, LEASE_CALL_TIMEOUT_MIN, LEASE_CALLS, LEASE_CHECK_INTERVAL_MAX,
    LEASE_CHECK_INTERVAL_MIN, LEASE_CHECKS, SQS_BATCH,
};

/// Identifies a message in flight; never reused in a run.
pub type LeaseId = u64;

/// A message in flight with us.
#[derive(Debug)]
pub struct Lease {
    pub message_id: String,
    pub receipt_handle: String,
    /// Number of deliveries, including this one.
    pub receive_count: u32,
    /// Its slot among the messages in flight, freed when the lease ends or is parked.
    slot: Option<Permit>,
    received: Instant,
    /// SQS shows the message to others from here on.
    pub expires: Instant,
    /// An extension is not tried before: one is under way, or has just failed.
    next_try: Instant,
    /// The last extension has failed.
    has_failed: bool,
    /// That call was refused as a whole, so this lease may be the cause.
    alone: bool,
    /// SQS has taken it back.
    lost: bool,
}

/// Leases to extend in one call.
#[derive(Debug, PartialEq, Eq)]
pub struct Due {
    /// The leases with their receipt handles.
    pub leases: Vec<(LeaseId, String)>,
    /// Time limit of the call.
    pub time_limit: Duration,
}

/// All leases of an input.
#[derive(Debug)]
pub struct Leases {
    visibility: Duration,
    next: LeaseId,
    /// In the order of their receives, in which they are returned at a stop.
    held: BTreeMap<LeaseId, Lease>,
    /// Finished messages that stay leased until a drain ends, by their ids at SQS.
    parked: HashMap<String, LeaseId>,
}

impl Leases {
    /// Every lease is given, and extended by, `visibility`.
    pub fn new(visibility: Duration) -> Leases {
        Leases { visibility, next: 0, held: BTreeMap::new(), parked: HashMap::new() }
    }

    /// The interval at which to check for due leases.
    pub fn check_interval(&self) -> Duration {
        (self.visibility / LEASE_CHECKS).clamp(LEASE_CHECK_INTERVAL_MIN, LEASE_CHECK_INTERVAL_MAX)
    }

    /// `asked` is the time of the receive's request, so that the lease is never believed longer than it is.
    pub fn add(&mut self, message: (String, String, u32), slot: Permit, asked: Instant) -> LeaseId {
        let (message_id, receipt_handle, receive_count) = message;
        // A parked message is redelivered when its lease was lost.
        if let Some(before) = self.parked.remove(&message_id) {
            self.held.remove(&before);
        }
        self.next += 1;
        let lease = Lease {
            message_id,
            receipt_handle,
            receive_count,
            slot: Some(slot),
            received: asked,
            expires: asked + self.visibility,
            next_try: asked,
            has_failed: false,
            alone: false,
            lost: false,
        };
        self.held.insert(self.next, lease);
        self.next
    }

    /// True if there is a lease to extend.
    pub fn is_due(&self, now: Instant) -> bool {
        self.held.values().any(|lease| lease.is_due(now, self.visibility))
    }

    /// The leases of one call, soonest end first. They are not due again until the call has had its time.
    pub fn take_due(&mut self, now: Instant) -> Option<Due> {
        let visibility = self.visibility;
        let mut due: Vec<_> =
            self.held.iter_mut().filter(|(_, lease)| lease.is_due(now, visibility)).collect();
        due.sort_unstable_by_key(|(id, lease)| (lease.expires, **id));
        let alone = due.first()?.1.alone;
        due.retain(|(_, lease)| lease.alone == alone);
        due.truncate(if alone { 1 } else { SQS_BATCH });
        let time_limit = call_time(visibility, due.iter().any(|(_, lease)| lease.has_failed));
        due.iter_mut().for_each(|(_, lease)| lease.next_try = now + time_limit + pause(visibility));
        let leases = due.into_iter().map(|(id, lease)| (*id, lease.receipt_handle.clone())).collect();
        Some(Due { leases, time_limit })
    }

    /// An extension requested at `asked` has been granted.
    pub fn extended(&mut self, id: LeaseId, asked: Instant) {
        if let Some(lease) = self.held.get_mut(&id) {
            (lease.expires, lease.next_try, lease.has_failed) = (asked + self.visibility, asked, false);
        }
    }

    /// An extension has failed; it is retried soon, if `alone` in a separate call.
    pub fn not_extended(&mut self, id: LeaseId, alone: bool, now: Instant) {
        if let Some(lease) = self.held.get_mut(&id) {
            lease.has_failed = true;
            lease.alone |= alone;
            lease.next_try = now + pause(self.visibility);
        }
    }

    /// True if the last extension of a lease in hand has failed.
    pub fn is_any_in_doubt(&self) -> bool {
        self.held.values().any(|lease| lease.has_failed && !lease.lost)
    }

    /// SQS has taken it back: it must not be extended any more. Returns false if that was known.
    pub fn lose(&mut self, id: LeaseId) -> bool {
        self.held.get_mut(&id).is_some_and(|lease| !std::mem::replace(&mut lease.lost, true))
    }

    /// SQS has taken it back, or will do so because it allows no further extension.
    pub fn is_lost(&self, id: LeaseId, now: Instant) -> bool {
        self.held.get(&id).is_none_or(|lease| lease.lost || now >= lease.received + LEASE_AGE_MAX)
    }

    /// Ends a lease, and frees its slot.
    pub fn end(&mut self, id: LeaseId) -> Option<Lease> {
        let mut lease = self.held.remove(&id)?;
        lease.slot = None;
        Some(lease)
    }

    /// Parks a finished message that stays in the queue, hidden until a drain has ended. It keeps its lease and frees
    /// its slot. Returns false if it has no lease any more.
    pub fn park(&mut self, id: LeaseId) -> bool {
        let Some(lease) = self.held.get_mut(&id) else { return false };
        lease.slot = None;
        if let Some(before) = self.parked.insert(lease.message_id.clone(), id) {
            // A standard queue may deliver a message twice at once.
            self.held.remove(&before);
        }
        true
    }

    /// Parked messages that are certainly invisible because of us.
    pub fn parked(&self, now: Instant) -> u64 {
        let is_ours =
            |id: &&LeaseId| self.held.get(id).is_some_and(|lease| !lease.lost && lease.expires > now);
        self.parked.values().filter(is_ours).count() as u64
    }

    /// The message's id, and the number of its delivery.
    pub fn delivery(&self, id: LeaseId) -> Option<(String, u32)> {
        self.held.get(&id).map(|lease| (lease.message_id.clone(), lease.receive_count))
    }

    pub fn message_id(&self, id: LeaseId) -> Option<&str> {
        self.held.get(&id).map(|lease| lease.message_id.as_str())
    }

    pub fn receipt_handle(&self, id: LeaseId) -> Option<&str> {
        self.held.get(&id).map(|lease| lease.receipt_handle.as_str())
    }

    /// Ends all leases; those of unfinished work are returned, to be given back to SQS.
    pub fn end_all(&mut self) -> Vec<Lease> {
        self.parked.clear();
        let held = std::mem::take(&mut self.held);
        held.into_values().filter(|lease| lease.slot.is_some()).collect()
    }

    /// Messages in flight.
    pub fn in_work(&self) -> usize {
        self.held.len() - self.parked.len()
    }

    pub fn is_empty(&self) -> bool {
        self.in_work() == 0
    }
}

impl Lease {
    /// True if it is past half of its time. One that SQS would not extend any further is not due.
    fn is_due(&self, now: Instant, visibility: Duration) -> bool {
        !self.lost
            && self.expires <= now + visibility / 2
            && self.next_try <= now
            && now + visibility < self.received + LEASE_AGE_MAX
    }
}

/// The time limit of a call that extends leases.
fn call_time(visibility: Duration, has_failed: bool) -> Duration {
    let part = visibility / LEASE_CALLS * if has_failed { 2 } else { 1 };
    part.clamp(LEASE_CALL_TIMEOUT_MIN, LEASE_CALL_TIMEOUT_MAX)
}

/// The pause after a failed call.
fn pause(visibility: Duration) -> Duration {
    call_time(visibility, false) / 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::budget::Budget;
    use crate::base::limits::LEASE_CALLERS_MAX;

    const VISIBILITY: Duration = Duration::from_secs(100);

    fn add(leases: &mut Leases, message_id: &str, now: Instant) -> LeaseId {
        let slot = Budget::new(1).try_acquire(1).unwrap();
        leases.add((message_id.into(), "handle".into(), 1), slot, now)
    }

    fn leased(now: Instant) -> (Leases, LeaseId) {
        let mut leases = Leases::new(VISIBILITY);
        let id = add(&mut leases, "m", now);
        (leases, id)
    }

    #[test]
    fn a_failed_extension_is_in_doubt_until_it_works_or_its_work_is_done() {
        let now = Instant::now();
        let (mut leases, id) = leased(now);
        assert!(!leases.is_any_in_doubt());
        leases.not_extended(id, false, now);
        assert!(leases.is_any_in_doubt());
        leases.extended(id, now);
        assert!(!leases.is_any_in_doubt());
        leases.not_extended(id, false, now);
        leases.end(id);
        assert!(!leases.is_any_in_doubt(), "nothing is left that a call could extend");
        let lost = add(&mut leases, "n", now);
        leases.not_extended(lost, false, now);
        leases.lose(lost);
        assert!(!leases.is_any_in_doubt(), "nothing extends it any more");
    }

    fn take(leases: &mut Leases, now: Instant) -> Vec<LeaseId> {
        let due = leases.take_due(now).map(|due| due.leases).unwrap_or_default();
        due.into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn a_lease_is_due_at_half_of_its_time_and_again_after_an_extension() {
        let start = Instant::now();
        let (mut leases, id) = leased(start);
        assert!(!leases.is_due(start + VISIBILITY / 2 - Duration::from_nanos(1)));
        let asked = start + VISIBILITY / 2;
        assert!(leases.is_due(asked));
        assert_eq!(take(&mut leases, asked), [id]);
        assert!(!leases.is_due(asked), "a call is under way");
        leases.extended(id, asked);
        assert!(!leases.is_due(asked));
        assert!(leases.is_due(asked + VISIBILITY / 2));
    }

    #[test]
    fn those_that_end_soonest_go_first_ten_at_a_time() {
        let start = Instant::now();
        let mut leases = Leases::new(VISIBILITY);
        let ids: Vec<_> =
            (0..15).map(|i| add(&mut leases, "m", start + Duration::from_secs(15 - i))).collect();
        let now = start + VISIBILITY;
        let soonest: Vec<_> = ids.iter().rev().copied().collect();
        assert_eq!(take(&mut leases, now), soonest[..10]);
        assert_eq!(take(&mut leases, now), soonest[10..]);
        assert!(take(&mut leases, now).is_empty());
    }

    /// However short the timeout: a hung call, another one, and a third still have time.
    #[test]
    fn an_extension_is_tried_three_times_before_its_lease_ends() {
        for seconds in [5, 6, 10, 30, 120, 18_000] {
            let (start, visibility) = (Instant::now(), Duration::from_secs(seconds));
            let mut leases = Leases::new(visibility);
            let id = add(&mut leases, "m", start);
            let mut now = start + visibility / 2;
            for _ in 0..2 {
                now += leases.check_interval();
                let due = leases.take_due(now).expect("it is due");
                assert!(!leases.is_due(now + due.time_limit), "the call is under way");
                now += due.time_limit;
                leases.not_extended(id, false, now);
                now += pause(visibility);
            }
            now += leases.check_interval();
            assert!(leases.is_due(now));
            assert!(start + visibility > now + Duration::from_millis(100), "{seconds} s");
        }
    }

    /// Calls take 50 ms, except every third, which hangs. Callers are as in the keeper: one more at each check.
    #[test]
    fn a_thousand_leases_are_kept_although_every_third_call_hangs() {
        for seconds in [10, 30] {
            let (start, visibility) = (Instant::now(), Duration::from_secs(seconds));
            let mut leases = Leases::new(visibility);
            for number in 0..1000 {
                add(&mut leases, &number.to_string(), start);
            }
            let (mut callers, mut calls, mut now, mut looked) = (Vec::new(), 0, start, start);
            while now < start + 2 * visibility {
                now += STEP;
                if now - looked >= leases.check_interval() && callers.len() < LEASE_CALLERS_MAX {
                    callers.push(None);
                    looked = now;
                }
                callers.iter_mut().for_each(|caller| step(caller, &mut leases, &mut calls, now));
                assert!(leases.held.values().all(|lease| lease.expires > now), "{seconds} s");
            }
        }
    }

    const STEP: Duration = Duration::from_millis(50);

    /// Ends a caller's call, if it is over, and begins the next.
    fn step(call: &mut Option<(Instant, Due, bool)>, leases: &mut Leases, calls: &mut u32, now: Instant) {
        match call {
            Some((asked, due, hangs)) if now >= *asked + if *hangs { due.time_limit } else { STEP } => {
                for (id, _) in &due.leases {
                    if *hangs { leases.not_extended(*id, false, now) } else { leases.extended(*id, *asked) }
                }
                *call = None;
            }
            Some(_) => return,
            None => (),
        }
        *call = leases.take_due(now).map(|due| {
            *calls += 1;
            // No call hangs for the same leases repeatedly.
            let is_first = due.time_limit == call_time(leases.visibility, false);
            (now, due, is_first && calls.is_multiple_of(3))
        });
    }

    #[test]
    fn leases_that_were_refused_together_are_extended_one_by_one() {
        let start = Instant::now();
        let mut leases = Leases::new(VISIBILITY);
        let ids: Vec<_> = (0..3).map(|_| add(&mut leases, "m", start)).collect();
        let now = start + VISIBILITY / 2;
        assert_eq!(take(&mut leases, now), ids);
        ids.iter().for_each(|id| leases.not_extended(*id, true, now));
        let now = now + pause(VISIBILITY);
        for id in ids {
            assert_eq!(take(&mut leases, now), [id]);
        }
    }

    #[test]
    fn a_call_that_never_reports_back_is_repeated() {
        let start = Instant::now();
        let (mut leases, id) = leased(start);
        assert_eq!(take(&mut leases, start + VISIBILITY / 2), [id]);
        assert_eq!(take(&mut leases, start + VISIBILITY * 3 / 4), [id]);
    }

    #[test]
    fn a_lease_that_is_too_old_is_not_extended() {
        let start = Instant::now();
        let (leases, id) = leased(start);
        let last = start + LEASE_AGE_MAX - VISIBILITY;
        assert!(leases.is_due(last - Duration::from_nanos(1)));
        assert!(!leases.is_due(last));
        assert!(!leases.is_lost(id, last));
        assert!(leases.is_lost(id, start + LEASE_AGE_MAX));
    }

    #[test]
    fn a_lost_lease_is_not_extended() {
        let start = Instant::now();
        let (mut leases, id) = leased(start);
        assert!(leases.lose(id));
        assert!(!leases.lose(id), "known already");
        assert!(!leases.is_due(start + VISIBILITY));
        assert!(leases.is_lost(id, start));
    }

    #[test]
    fn an_ended_lease_is_gone_and_its_slot_free() {
        let slots = Budget::new(1);
        let mut leases = Leases::new(VISIBILITY);
        let id = leases.add(("m".into(), "h".into(), 1), slots.try_acquire(1).unwrap(), Instant::now());
        assert_eq!(slots.free(), 0);
        let lease = leases.end(id).unwrap();
        assert_eq!((slots.free(), lease.message_id.as_str()), (1, "m"));
        assert!(leases.end(id).is_none());
        assert!(leases.is_empty());
    }

    #[test]
    fn a_parked_message_keeps_its_lease_without_a_place_and_counts_while_it_is_ours() {
        let (start, slots) = (Instant::now(), Budget::new(1));
        let mut leases = Leases::new(VISIBILITY);
        let id = leases.add(("m".into(), "h".into(), 1), slots.try_acquire(1).unwrap(), start);
        assert!(leases.park(id));
        assert!(leases.is_empty());
        assert_eq!((slots.free(), leases.parked(start)), (1, 1));
        let asked = start + VISIBILITY / 2;
        assert_eq!(take(&mut leases, asked), [id], "it is extended like any other");
        leases.extended(id, asked);
        assert_eq!(leases.parked(start + VISIBILITY), 1);
        assert_eq!(leases.parked(asked + VISIBILITY), 0, "others may see it");
        leases.extended(id, start + VISIBILITY);
        leases.lose(id);
        assert_eq!(leases.parked(start + VISIBILITY), 0, "SQS has taken it back");
        let again = leases.add(("m".into(), "h2".into(), 2), slots.try_acquire(1).unwrap(), start);
        assert!(!leases.is_empty(), "it came again");
        leases.park(again);
        assert_eq!(leases.parked(start), 1, "and is one message");
        let twice = add(&mut leases, "n", start);
        let at_once = add(&mut leases, "n", start);
        assert!(leases.park(twice) && leases.park(at_once));
        assert_eq!((leases.parked(start), leases.is_empty()), (2, true));
        assert!(leases.end_all().is_empty(), "there is nothing to give back");
    }
}
