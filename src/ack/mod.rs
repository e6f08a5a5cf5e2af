//! The promise: a message is deleted only when every frame of every object that it names is known to have reached the
//! peer.
//!
//! An [`Ack`] stands for one piece of work (an SQS message, an object). It is split into [`Share`]s, one for every part
//! that must be delivered. When the last share is gone the `Ack` settles, once, with the worst outcome that any share
//! reported. A share that is dropped without an outcome counts as [`Outcome::Retry`]: an early return, a panic or a
//! closed channel can delay a message, but can never acknowledge it.
//!
//! Pure: no sockets, no clocks. The closure given to [`Ack::open`] defines what settling does.

mod ending;
mod progress;
mod turn;
mod watermark;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

pub use ending::{Ending, Fate};
pub use progress::{Confirmed, Progress};
pub use turn::Turn;
pub use watermark::Watermark;

/// How a piece of work ended. Ordered: the worst one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Outcome {
    /// The peer has every byte.
    Delivered = 0,
    /// It can never be delivered as it is (corrupt object, unreadable body): left to the queue's
    /// redrive policy.
    Reject = 1,
    /// It was not delivered this time and must be retried.
    Retry = 2,
}

impl Outcome {
    fn from_u8(value: u8) -> Self {
        match value {
            0 => Outcome::Delivered,
            1 => Outcome::Reject,
            _ => Outcome::Retry,
        }
    }
}

/// The right to open shares of one piece of work. It counts as a share until it is dropped, so that the work cannot
/// settle while shares are still being handed out.
#[derive(Debug)]
pub struct Ack {
    share: Share,
    /// The turn of the work, if order matters. It ends with the `Ack`.
    turn: Option<Turn>,
}

impl Ack {
    /// Opens a piece of work. `settle` runs exactly once, on the thread that ends the last share.
    pub fn open(settle: impl FnOnce(Outcome) + Send + 'static) -> Ack {
        let inner = Arc::new(Inner {
            open: AtomicUsize::new(1),
            worst: AtomicU8::new(Outcome::Delivered as u8),
            settle: Mutex::new(Some(Box::new(settle))),
        });
        Ack { share: Share { inner, outcome: Outcome::Retry }, turn: None }
    }

    /// Gives the work a turn, which ends when the `Ack` is closed or dropped, so that no code path can forget it.
    pub fn in_turn(self, turn: Option<Turn>) -> Ack {
        Ack { turn, ..self }
    }

    /// The lane that keeps the order of sending, if order matters.
    pub fn lane(&self) -> Option<u64> {
        self.turn.as_ref().map(Turn::lane)
    }

    /// A turn for more of the same work, if order matters.
    pub fn another_turn(&self) -> Option<Turn> {
        self.turn.as_ref().map(Turn::of_object)
    }

    /// Opens a share for one more part that must be delivered.
    pub fn share(&self) -> Share {
        self.share.fork()
    }

    /// Closes the work: all shares have been handed out, and `outcome` is the outcome of the work apart from them.
    pub fn close(self, outcome: Outcome) {
        if let Some(turn) = &self.turn {
            turn.end(outcome);
        }
        self.share.resolve(outcome);
    }
}

/// One part of a piece of work. Resolve it, otherwise it counts as [`Outcome::Retry`].
pub struct Share {
    inner: Arc<Inner>,
    outcome: Outcome,
}

impl Share {
    /// Splits the part in two: another share of the same work.
    pub fn fork(&self) -> Share {
        // This share is open, so the work cannot have settled.
        self.inner.open.fetch_add(1, Ordering::Relaxed);
        Share { inner: Arc::clone(&self.inner), outcome: Outcome::Retry }
    }

    /// Reports how this part ended.
    pub fn resolve(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Share({:?})", self.outcome)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.inner.worst.fetch_max(self.outcome as u8, Ordering::AcqRel);
        // AcqRel: the thread that sees the count reach zero also sees every `worst` before it.
        if self.inner.open.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let settle = self.inner.settle.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(settle) = settle {
            settle(Outcome::from_u8(self.inner.worst.load(Ordering::Acquire)));
        }
    }
}

struct Inner {
    /// Number of open shares, including the `Ack` itself. Reaches zero once, then the work settles.
    open: AtomicUsize,
    worst: AtomicU8,
    settle: Mutex<Option<Settle>>,
}

type Settle = Box<dyn FnOnce(Outcome) + Send>;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn opened() -> (Ack, mpsc::Receiver<Outcome>) {
        let (tx, rx) = mpsc::channel();
        (Ack::open(move |outcome| tx.send(outcome).unwrap()), rx)
    }

    #[test]
    fn settles_once_when_the_last_share_ends() {
        let (ack, settled) = opened();
        let (a, b) = (ack.share(), ack.share());
        ack.close(Outcome::Delivered);
        a.resolve(Outcome::Delivered);
        assert!(settled.try_recv().is_err(), "one share is still open");
        b.resolve(Outcome::Delivered);
        assert_eq!(settled.try_recv(), Ok(Outcome::Delivered));
        assert!(settled.try_recv().is_err());
    }

    #[test]
    fn the_worst_outcome_wins() {
        for (outcomes, worst) in [
            ([Outcome::Delivered, Outcome::Reject], Outcome::Reject),
            ([Outcome::Retry, Outcome::Reject], Outcome::Retry),
            ([Outcome::Delivered, Outcome::Delivered], Outcome::Delivered),
        ] {
            let (ack, settled) = opened();
            for outcome in outcomes {
                ack.share().resolve(outcome);
            }
            ack.close(Outcome::Delivered);
            assert_eq!(settled.try_recv(), Ok(worst));
        }
    }

    #[test]
    fn a_fork_is_a_part_of_its_own() {
        let (ack, settled) = opened();
        let share = ack.share();
        let fork = share.fork();
        ack.close(Outcome::Delivered);
        share.resolve(Outcome::Delivered);
        assert!(settled.try_recv().is_err(), "the fork is still open");
        fork.resolve(Outcome::Reject);
        assert_eq!(settled.try_recv(), Ok(Outcome::Reject));
    }

    #[test]
    fn a_forgotten_share_counts_as_retry() {
        let (ack, settled) = opened();
        drop(ack.share());
        ack.close(Outcome::Delivered);
        assert_eq!(settled.try_recv(), Ok(Outcome::Retry));
    }

    #[test]
    fn a_forgotten_ack_counts_as_retry() {
        let (ack, settled) = opened();
        ack.share().resolve(Outcome::Delivered);
        drop(ack);
        assert_eq!(settled.try_recv(), Ok(Outcome::Retry));
    }

    #[test]
    fn a_panic_while_holding_a_share_counts_as_retry() {
        let (ack, settled) = opened();
        let share = ack.share();
        let _ = std::thread::spawn(move || {
            let _held = share;
            panic!("on purpose");
        })
        .join();
        ack.close(Outcome::Delivered);
        assert_eq!(settled.try_recv(), Ok(Outcome::Retry));
    }

    #[test]
    fn nested_work_settles_its_parent() {
        let (message, settled) = opened();
        let object = {
            let share = message.share();
            Ack::open(move |outcome| share.resolve(outcome))
        };
        message.close(Outcome::Delivered);
        let batch = object.share();
        object.close(Outcome::Delivered);
        assert!(settled.try_recv().is_err());
        batch.resolve(Outcome::Delivered);
        assert_eq!(settled.try_recv(), Ok(Outcome::Delivered));
    }

    proptest::proptest! {
        /// Naive version: the maximum over a list. Shares end on several threads in any order.
        #[test]
        fn agrees_with_a_list(outcomes in proptest::collection::vec(0u8..4, 0..40)) {
            let (ack, settled) = opened();
            let shares: Vec<_> = outcomes.iter().map(|o| (ack.share(), *o)).collect();
            ack.close(Outcome::Delivered);
            let mut halves = (Vec::new(), Vec::new());
            for (i, s) in shares.into_iter().enumerate() {
                if i % 2 == 0 { halves.0.push(s) } else { halves.1.push(s) }
            }
            let end = |half: Vec<(Share, u8)>| for (share, o) in half {
                // 3 = dropped without an outcome
                if o < 3 { share.resolve(Outcome::from_u8(o)) }
            };
            std::thread::scope(|s| { s.spawn(|| end(halves.0)); s.spawn(|| end(halves.1)); });
            let worst = outcomes.iter().copied().map(|o| o.min(2)).max().unwrap_or(0);
            proptest::prop_assert_eq!(settled.try_recv(), Ok(Outcome::from_u8(worst)));
            proptest::prop_assert!(settled.try_recv().is_err());
        }
    }
}
