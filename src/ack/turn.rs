//! Order among pieces of work (FIFO message groups). Pure.

use super::Outcome;
use crate::base::runtime::atomic::{Arc, AtomicUsize, Ordering};

/// One message's turn in its group: the next message of the group starts when it is over. It is cloned for every object
/// of the message, and given to each one's [`Ack`](super::Ack), which ends it however the object ends.
#[derive(Debug, Clone)]
pub struct Turn(Arc<Inner>);

struct Inner {
    lane: u64,
    /// Parts (the message itself, its objects) that have not ended for good.
    unfinished: AtomicUsize,
    over: Box<dyn Fn(bool) + Send + Sync>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("lane", &self.lane).finish_non_exhaustive()
    }
}

impl Turn {
    /// Creates the turn of a message. `lane` is the same for all messages of a group. `over` is called once, with
    /// whether the next message may start: every part has been handed to the senders as a whole, or never will be.
    pub fn new(lane: u64, over: impl Fn(bool) + Send + Sync + 'static) -> Turn {
        Turn(Arc::new(Inner { lane, unfinished: AtomicUsize::new(1), over: Box::new(over) }))
    }

    /// Adds the turn of one more object.
    pub fn of_object(&self) -> Turn {
        self.0.unfinished.fetch_add(1, Ordering::Relaxed);
        self.clone()
    }

    /// Ends this part. One that will be retried stays unfinished, because later messages must not overtake it.
    pub fn end(&self, outcome: Outcome) {
        if outcome != Outcome::Retry {
            self.0.unfinished.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Batches of the same lane are sent in the order in which they were handed over.
    pub fn lane(&self) -> u64 {
        self.0.lane
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Relaxed: the thread that drops the last turn has seen the others go.
        (self.over)(self.unfinished.load(Ordering::Relaxed) == 0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::Ack;
    use super::*;

    /// Every way in which a part can end; None: it is dropped without an outcome.
    const ENDS: [Option<Outcome>; 4] =
        [Some(Outcome::Delivered), Some(Outcome::Reject), Some(Outcome::Retry), None];

    fn end(ack: Ack, outcome: Option<Outcome>) {
        match outcome {
            Some(outcome) => ack.close(outcome),
            None => drop(ack),
        }
    }

    #[test]
    fn a_turn_is_over_when_all_parts_are_gone_and_is_whole_unless_one_must_come_again() {
        for (of_message, of_object) in ENDS.into_iter().flat_map(|one| ENDS.map(|other| (one, other))) {
            let (tx, rx) = mpsc::channel();
            let turn = Turn::new(7, move |whole| tx.send(whole).unwrap());
            let object = Ack::open(|_| ()).in_turn(Some(turn.of_object()));
            assert_eq!((turn.lane(), object.lane()), (7, Some(7)));
            end(Ack::open(|_| ()).in_turn(Some(turn)), of_message);
            assert!(rx.try_recv().is_err(), "the object still holds it");
            end(object, of_object);
            let is_final = |outcome| matches!(outcome, Some(Outcome::Delivered | Outcome::Reject));
            let whole = is_final(of_message) && is_final(of_object);
            assert_eq!(rx.try_recv(), Ok(whole), "{of_message:?} {of_object:?}");
        }
    }
}
