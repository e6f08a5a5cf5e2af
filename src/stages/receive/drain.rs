//! The end of a drain. Pure.

use std::collections::HashMap;
use std::time::Instant;

use crate::ack::Outcome;
use crate::aws::Attributes;
use crate::base::limits::{DRAIN_REJECTS_MAX, DRAIN_RETRIES_MAX, LOG_REMINDER};

/// The depth is approximate: it must look empty this many times in a row.
const LOOKS_NEEDED: u32 = 2;
/// A redrive policy that allows more receives than this is not waited for.
const REDRIVE_RECEIVES_MAX: u32 = 20;
/// Receives beyond the redrive policy after which it is not expected to act any more: under load, SQS counts late.
const REDRIVE_LATE_MAX: u32 = 3;

/// A drain's knowledge of its queue.
#[derive(Debug, Default)]
pub struct Drain {
    /// Number of consecutive looks at which the queue looked empty, and the end of the last one.
    looks: u32,
    looked: Option<Instant>,
    /// The beginning of a wait for messages that nobody gives us, or the last time that the log told of it.
    waits_since: Option<Instant>,
    /// Messages that failed and were not delivered since, with the number of failures.
    failed: HashMap<String, u32>,
    /// The queue's redrive policy takes failing messages away after this many receives.
    redrive_receives: Option<u32>,
}

/// Facts about the messages that only the collector knows.
#[derive(Debug, Clone, Copy)]
pub struct Ours {
    pub nothing_in_work: bool,
    /// Messages that we left in the queue, and that are invisible because of us.
    pub parked: u64,
    pub is_fifo: bool,
}

impl Drain {
    /// Takes the queue's depth after an empty receive, as it was asked for. Returns true if the queue is drained. Looks of
    /// several threads at the same time are one.
    pub fn looks_empty(&mut self, queue: &Attributes, ours: Ours, asked: Instant, now: Instant) -> bool {
        self.learn(queue);
        let others_hold = queue.in_flight > ours.parked;
        // SQS delivers nothing of a FIFO group while one of its messages is in flight.
        let is_handed_out = queue.available > 0 && !(ours.is_fifo && ours.parked > 0);
        let empty = ours.nothing_in_work && !is_handed_out && queue.delayed == 0 && !others_hold;
        if !empty {
            self.looks = 0;
        } else if self.looked.is_none_or(|looked| asked > looked) {
            self.looks += 1;
            self.looked = Some(now);
        }
        // Messages that have failed here are told by themselves.
        let waits = !empty && ours.nothing_in_work && self.failed.is_empty();
        self.waits_since = self.waits_since.filter(|_| waits).or(waits.then_some(now));
        self.is_done()
    }

    /// True if the log should say now what is waited for.
    pub fn tells(&mut self, now: Instant) -> bool {
        let is_due =
            self.waits_since.is_some_and(|since| now.saturating_duration_since(since) >= LOG_REMINDER);
        if is_due {
            self.waits_since = Some(now);
        }
        is_due
    }

    /// Takes the queue's redrive policy.
    pub fn learn(&mut self, queue: &Attributes) {
        self.redrive_receives = queue.redrive.as_ref().map(|redrive| redrive.max_receive_count);
    }

    pub fn is_done(&self) -> bool {
        self.looks >= LOOKS_NEEDED
    }

    /// Notes that a message was delivered and deleted.
    pub fn delivered(&mut self, message_id: &str) {
        self.failed.remove(message_id);
    }

    /// Notes a failed message. Returns true if it should be left, after enough attempts.
    pub fn give_up(&mut self, message_id: &str, outcome: Outcome, receive_count: u32) -> bool {
        let failures = self.failed.entry(message_id.to_owned()).or_default();
        *failures += 1;
        // SQS does not redrive one that has been received more often, as without a dead-letter queue behind the policy.
        let redriven = self.redrive_receives.is_some_and(|receives| {
            receives <= REDRIVE_RECEIVES_MAX && receive_count <= receives + REDRIVE_LATE_MAX
        });
        let most = if outcome == Outcome::Reject { DRAIN_REJECTS_MAX } else { DRAIN_RETRIES_MAX };
        !redriven && *failures >= most
    }

    /// Messages that failed and never were delivered.
    pub fn undelivered(&self) -> usize {
        self.failed.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::aws::Redrive;

    const IDLE: Ours = Ours { nothing_in_work: true, parked: 0, is_fifo: false };

    fn depth(available: u64, in_flight: u64) -> Attributes {
        Attributes { available, in_flight, ..Attributes::default() }
    }

    /// Looks one after the other.
    struct Looks(Drain, Instant);

    impl Looks {
        fn new() -> Looks {
            Looks(Drain::default(), Instant::now())
        }

        fn look(&mut self, queue: &Attributes, ours: Ours) -> bool {
            let Looks(drain, now) = self;
            let asked = *now + Duration::from_secs(1);
            *now = asked + Duration::from_millis(1);
            drain.looks_empty(queue, ours, asked, *now)
        }
    }

    #[test]
    fn a_queue_is_drained_when_it_looks_empty_twice_in_a_row() {
        let mut drain = Looks::new();
        assert!(!drain.look(&depth(0, 0), IDLE));
        assert!(!drain.look(&depth(0, 1), IDLE), "another collector holds one");
        assert!(!drain.look(&depth(0, 0), IDLE));
        assert!(!drain.look(&depth(0, 0), Ours { nothing_in_work: false, ..IDLE }), "we hold one");
        assert!(!drain.look(&depth(1, 0), IDLE));
        assert!(!drain.look(&depth(0, 0), IDLE));
        assert!(drain.look(&depth(0, 0), IDLE));
        assert!(drain.0.is_done());
    }

    #[test]
    fn looks_of_two_threads_at_the_same_time_are_one() {
        let (mut drain, start) = (Drain::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert!(!drain.looks_empty(&depth(0, 0), IDLE, at(0), at(20)));
        assert!(
            !drain.looks_empty(&depth(0, 0), IDLE, at(10), at(30)),
            "asked before the first had its answer"
        );
        assert!(drain.looks_empty(&depth(0, 0), IDLE, at(1000), at(1010)));
    }

    #[test]
    fn a_wait_for_messages_elsewhere_is_told_every_minute() {
        let mut drain = Looks::new();
        let told = |drain: &mut Looks| {
            drain.look(&depth(0, 5), IDLE);
            drain.0.tells(drain.1)
        };
        let seconds: Vec<usize> = (1..=130).filter(|_| told(&mut drain)).collect();
        assert_eq!(seconds, [61, 121]);
        drain.look(&depth(0, 0), IDLE);
        assert!((0..50).all(|_| !told(&mut drain)), "it was interrupted");
    }

    /// (available, in flight, parked, FIFO) -> drained?
    #[test]
    fn parked_messages_are_not_waited_for_and_others_are() {
        for ((available, in_flight, parked, is_fifo), drained) in [
            ((0, 5, 5, false), true),
            ((0, 6, 5, false), false),
            ((0, 5, 0, false), false),
            ((0, 3, 5, false), true),
            ((1, 5, 5, false), false),
            // The rest of the groups with parked heads.
            ((9, 5, 5, true), true),
            ((9, 6, 5, true), false),
            ((9, 0, 0, true), false),
        ] {
            let (mut drain, ours) = (Looks::new(), Ours { parked, is_fifo, ..IDLE });
            drain.look(&depth(available, in_flight), ours);
            let case = (available, in_flight, parked, is_fifo);
            assert_eq!(drain.look(&depth(available, in_flight), ours), drained, "{case:?}");
        }
    }

    #[test]
    fn what_can_never_be_read_is_given_up_sooner_than_what_failed() {
        for (outcome, most) in [(Outcome::Reject, DRAIN_REJECTS_MAX), (Outcome::Retry, DRAIN_RETRIES_MAX)] {
            let mut drain = Drain::default();
            let given_up = (1..).find(|_| drain.give_up("m", outcome, 1)).unwrap();
            assert_eq!(given_up, most);
            assert_eq!(drain.undelivered(), 1);
        }
    }

    #[test]
    fn a_redrive_policy_decides_for_itself() {
        let mut drain = Drain::default();
        let redrive = Redrive { max_receive_count: 5, dead_letter_arn: "arn".into() };
        drain.learn(&Attributes { redrive: Some(redrive), ..depth(3, 0) });
        assert!((0..50).all(|_| !drain.give_up("m", Outcome::Reject, 5)));
        drain.delivered("m");
        assert_eq!(drain.undelivered(), 0);
        let received = (1..).find(|&receives| drain.give_up("n", Outcome::Reject, receives));
        assert_eq!(received, Some(5 + REDRIVE_LATE_MAX + 1), "SQS does not do what it says");
    }
}
