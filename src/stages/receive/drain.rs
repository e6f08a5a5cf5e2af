//! The end of a drain. Pure.

use std::collections::HashMap;

use crate::ack::Outcome;
use crate::aws::Attributes;
use crate::base::limits::{DRAIN_REJECTS_MAX, DRAIN_RETRIES_MAX};

/// The depth is approximate: it must look empty this many times in a row.
const LOOKS_NEEDED: u32 = 2;
/// A redrive policy that allows more receives than this is not waited for.
const REDRIVE_RECEIVES_MAX: u32 = 20;

/// A drain's knowledge of its queue.
#[derive(Debug, Default)]
pub struct Drain {
    /// Number of consecutive checks in which the queue looked empty.
    looks: u32,
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
    /// Takes the queue's depth after an empty receive. Returns true if the queue is drained.
    pub fn looks_empty(&mut self, queue: &Attributes, ours: Ours) -> bool {
        self.learn(queue);
        let others_hold = queue.in_flight > ours.parked;
        // SQS delivers nothing of a FIFO group while one of its messages is in flight.
        let is_handed_out = queue.available > 0 && !(ours.is_fifo && ours.parked > 0);
        let empty = ours.nothing_in_work && !is_handed_out && queue.delayed == 0 && !others_hold;
        self.looks = if empty { self.looks + 1 } else { 0 };
        self.is_done()
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
    pub fn give_up(&mut self, message_id: &str, outcome: Outcome) -> bool {
        let failures = self.failed.entry(message_id.to_owned()).or_default();
        *failures += 1;
        let redriven = self.redrive_receives.is_some_and(|receives| receives <= REDRIVE_RECEIVES_MAX);
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
    use super::*;
    use crate::aws::Redrive;

    const IDLE: Ours = Ours { nothing_in_work: true, parked: 0, is_fifo: false };

    fn depth(available: u64, in_flight: u64) -> Attributes {
        Attributes { available, in_flight, ..Attributes::default() }
    }

    #[test]
    fn a_queue_is_drained_when_it_looks_empty_twice_in_a_row() {
        let mut drain = Drain::default();
        assert!(!drain.looks_empty(&depth(0, 0), IDLE));
        assert!(!drain.looks_empty(&depth(0, 1), IDLE), "another collector holds one");
        assert!(!drain.looks_empty(&depth(0, 0), IDLE));
        assert!(!drain.looks_empty(&depth(0, 0), Ours { nothing_in_work: false, ..IDLE }), "we hold one");
        assert!(!drain.looks_empty(&depth(1, 0), IDLE));
        assert!(!drain.looks_empty(&depth(0, 0), IDLE));
        assert!(drain.looks_empty(&depth(0, 0), IDLE));
        assert!(drain.is_done());
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
            let (mut drain, ours) = (Drain::default(), Ours { parked, is_fifo, ..IDLE });
            drain.looks_empty(&depth(available, in_flight), ours);
            let case = (available, in_flight, parked, is_fifo);
            assert_eq!(drain.looks_empty(&depth(available, in_flight), ours), drained, "{case:?}");
        }
    }

    #[test]
    fn what_can_never_be_read_is_given_up_sooner_than_what_failed() {
        for (outcome, most) in [(Outcome::Reject, DRAIN_REJECTS_MAX), (Outcome::Retry, DRAIN_RETRIES_MAX)] {
            let mut drain = Drain::default();
            let given_up = (1..).find(|_| drain.give_up("m", outcome)).unwrap();
            assert_eq!(given_up, most);
            assert_eq!(drain.undelivered(), 1);
        }
    }

    #[test]
    fn a_redrive_policy_decides_for_itself() {
        let mut drain = Drain::default();
        let redrive = Redrive { max_receive_count: 5, dead_letter_arn: "arn".into() };
        drain.looks_empty(&Attributes { redrive: Some(redrive), ..depth(3, 0) }, IDLE);
        assert!((0..50).all(|_| !drain.give_up("m", Outcome::Reject)));
        drain.delivered("m");
        assert_eq!(drain.undelivered(), 0);
    }
}
