//! FIFO queues: the messages of a group are started one after another.
//!
//! SQS delivers several messages of a group at once, in order. The next one starts when everything of the one before it
//! has been handed to the senders, in its own lane that keeps the order. If one fails before that, those behind it are
//! returned with it: SQS delivers them again in order.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::ack::{Ack, Delivery, Turn};
use crate::base::budget::Permit;
use crate::base::locks::lock;
use crate::base::runtime::channel::{Receiver, Sender, unbounded};
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::handoff::PullingId;

/// A message's text, with its memory permit.
pub struct Body {
    pub text: String,
    pub charge: Permit,
}

/// A received message that waits for its turn.
pub struct Waiting {
    pub delivery: Arc<Delivery>,
    pub body: Body,
    pub sent_at: Option<Timestamp>,
    pub ack: Ack,
    /// The pull that brought it, if events should name it.
    pub pulled: Option<PullingId>,
}

/// The groups with a message in flight, each with those that wait behind it.
pub struct Turns {
    groups: Mutex<HashMap<String, VecDeque<Waiting>>>,
    over: Sender<Over>,
    ended: Receiver<Over>,
}

/// A turn that is over.
struct Over {
    group: String,
    whole: bool,
}

impl Turns {
    pub fn new() -> Turns {
        let (over, ended) = unbounded();
        Turns { groups: Mutex::new(HashMap::new()), over, ended }
    }

    /// The message's turn if its group is free; otherwise the message waits, and None is returned.
    pub fn take(&self, group: &str, waiting: Waiting) -> Option<(Waiting, Turn)> {
        let mut groups = self.groups();
        if let Some(queue) = groups.get_mut(group) {
            queue.push_back(waiting);
            return None;
        }
        groups.insert(group.to_owned(), VecDeque::new());
        Some((waiting, self.turn(group)))
    }

    /// The next message whose turn has come, within `patience`.
    pub fn next_in_turn(&self, patience: Duration) -> Option<(Waiting, Turn)> {
        let over = self.ended.recv_timeout(patience).ok()?;
        let waiting = self.next(&over)?;
        Some((waiting, self.turn(&over.group)))
    }

    fn turn(&self, group: &str) -> Turn {
        let mut hasher = DefaultHasher::new();
        group.hash(&mut hasher);
        let (over, group) = (self.over.clone(), group.to_owned());
        // The receiving end lives as long as the input.
        Turn::new(hasher.finish(), move |whole| drop(over.send(Over { group: group.clone(), whole })))
    }

    /// The next message of a group whose turn is over. Those behind a failed one are dropped, which returns them.
    fn next(&self, over: &Over) -> Option<Waiting> {
        let mut groups = self.groups();
        let next = groups.get_mut(&over.group).filter(|_| over.whole).and_then(VecDeque::pop_front);
        if next.is_none() {
            groups.remove(&over.group);
        }
        next
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Waiting>>> {
        lock(&self.groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ack::Outcome;

    fn message(id: &str) -> Waiting {
        let delivery = Arc::new(Delivery { message_id: id.to_owned(), attempt: 1 });
        let ack = Ack::open(|_| ());
        let charge = crate::base::budget::Budget::new(1).try_acquire(1).unwrap();
        let body = Body { text: String::new(), charge };
        Waiting { delivery, body, sent_at: None, ack, pulled: None }
    }

    /// Ends the group's turn and says who is next.
    fn next(turns: &Turns) -> Option<String> {
        let over = turns.ended.try_recv().ok()?;
        turns.next(&over).map(|waiting| waiting.delivery.message_id.clone())
    }

    #[test]
    fn messages_of_a_group_wait_for_each_other_and_other_groups_do_not() {
        let turns = Turns::new();
        let (_, first) = turns.take("a", message("1")).unwrap();
        assert!(turns.take("a", message("2")).is_none());
        assert!(turns.take("b", message("3")).is_some());
        assert_eq!(next(&turns), None, "the other group has nobody waiting");
        first.end(Outcome::Delivered);
        drop(first);
        assert_eq!(next(&turns).as_deref(), Some("2"));
        drop(turns.turn("a"));
        assert_eq!(next(&turns), None);
        assert!(turns.take("a", message("4")).is_some(), "the group is free again");
    }

    #[test]
    fn a_failed_message_takes_those_behind_it_along() {
        let turns = Turns::new();
        let (_, first) = turns.take("a", message("1")).unwrap();
        turns.take("a", message("2"));
        turns.take("a", message("3"));
        first.of_object().end(Outcome::Retry);
        first.end(Outcome::Delivered);
        drop(first);
        assert_eq!(next(&turns), None);
        assert!(turns.take("a", message("1")).is_some(), "it comes again, first");
    }
}
