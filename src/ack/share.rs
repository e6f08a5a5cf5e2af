//! A piece of work, and its shares.

use super::outcome::Outcome;
use super::turn::Turn;
use crate::base::locks::lock;
use crate::base::runtime::atomic::{Arc, AtomicU8, AtomicUsize, Ordering};
use crate::base::runtime::sync::Mutex;

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

    /// Closes the work with one share, which is all of it.
    pub fn into_share(self) -> Share {
        let share = self.share();
        self.close(Outcome::Delivered);
        share
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

    /// Opens a piece of work in the place of this part: its outcome goes to `before`, and then resolves this part.
    pub fn work(self, before: impl FnOnce(Outcome) + Send + 'static) -> Ack {
        Ack::open(move |outcome| {
            before(outcome);
            self.resolve(outcome);
        })
    }

    /// Returns this part with `before`, which gets its outcome first.
    pub fn after(self, before: impl FnOnce(Outcome) + Send + 'static) -> Share {
        self.work(before).into_share()
    }

    /// Returns this part with `held`, which is dropped when this part has been resolved.
    pub fn holding(self, held: impl Send + 'static) -> Share {
        let settle = move |outcome| {
            self.resolve(outcome);
            drop(held);
        };
        Ack::open(settle).into_share()
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
        let settle = lock(&self.inner.settle).take();
        if let Some(settle) = settle {
            settle(Outcome::from_u8(self.inner.worst.load(Ordering::Acquire)));
        }
    }
}

pub(super) struct Inner {
    /// Number of open shares, including the `Ack` itself. Reaches zero once, then the work settles.
    open: AtomicUsize,
    worst: AtomicU8,
    settle: Mutex<Option<Settle>>,
}

pub(super) type Settle = Box<dyn FnOnce(Outcome) + Send>;
