//! How a piece of work ended.

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
    pub(super) fn from_u8(value: u8) -> Self {
        match value {
            0 => Outcome::Delivered,
            1 => Outcome::Reject,
            _ => Outcome::Retry,
        }
    }
}
