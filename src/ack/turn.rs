//! Order among pieces of work (FIFO message groups). Pure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One message's turn in its group: the next message of the group is begun when it is over. Cloned for
/// every object of the message.
#[derive(Debug, Clone)]
pub struct Turn(Arc<Inner>);

struct Inner {
    lane: u64,
    /// Objects that have not been handed to the senders as a whole.
    unfinished: AtomicUsize,
    over: Box<dyn Fn(bool) + Send + Sync>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("lane", &self.lane).finish_non_exhaustive()
    }
}

impl Turn {
    /// `lane` is the same for all messages of a group. `over` is told, once, whether everything of the
    /// message has been handed to the senders.
    pub fn new(lane: u64, over: impl Fn(bool) + Send + Sync + 'static) -> Turn {
        Turn(Arc::new(Inner { lane, unfinished: AtomicUsize::new(0), over: Box::new(over) }))
    }

    /// The turn of one more object.
    pub fn of_object(&self) -> Turn {
        self.0.unfinished.fetch_add(1, Ordering::Relaxed);
        self.clone()
    }

    /// This object has been handed to the senders as a whole.
    pub fn finished(&self) {
        self.0.unfinished.fetch_sub(1, Ordering::AcqRel);
    }

    /// What is handed over under the same lane is sent in the order in which it came.
    pub fn lane(&self) -> u64 {
        self.0.lane
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        (self.over)(*self.unfinished.get_mut() == 0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_turn_is_over_when_all_objects_are_gone_and_knows_whether_they_were_finished() {
        for finished in [2, 1] {
            let (tx, rx) = mpsc::channel();
            let turn = Turn::new(7, move |whole| tx.send(whole).unwrap());
            let objects = [turn.of_object(), turn.of_object()];
            drop(turn);
            objects.iter().take(finished).for_each(Turn::finished);
            assert!(rx.try_recv().is_err(), "the objects still hold it");
            drop(objects);
            assert_eq!(rx.try_recv(), Ok(finished == 2));
        }
    }
}
