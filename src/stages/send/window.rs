//! The batches of a connection that are known to have arrived.
//!
//! Pure: offsets and times are arguments.
//!
//! The peer's TCP acknowledges bytes when its kernel has them; the peer's program may still die with them unread. So an
//! acknowledged batch counts only when it has *settled*: either [`SETTLE_BYTES`] more have been acknowledged after it
//! (more than a receive buffer holds, so that the program must have read it), or the connection has outlived it by
//! [`SETTLE_TIME`](crate::base::limits::SETTLE_TIME), longer if the peer is slow.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::base::limits::SETTLE_BYTES;
use crate::handoff::Batch;

/// The written but unsettled batches of one connection, oldest first.
#[derive(Debug, Default)]
pub struct Window {
    sent: VecDeque<Sent>,
    /// Sum of the batches' lengths.
    bytes: usize,
    /// Highest offset that the peer's TCP has acknowledged.
    acknowledged: u64,
    /// When `acknowledged` last grew, or the window was last empty.
    progress: Option<Instant>,
}

#[derive(Debug)]
struct Sent {
    batch: Batch,
    /// Offset of the batch's last byte in the socket's stream (ciphertext), plus one.
    end: u64,
    /// When the peer's TCP was first seen to have acknowledged it.
    acknowledged_at: Option<Instant>,
}

impl Window {
    /// Adds a written batch; `end` is the connection's offset after its last byte.
    pub fn push(&mut self, batch: Batch, end: u64, now: Instant) {
        debug_assert!(self.sent.back().is_none_or(|last| last.end <= end));
        if self.sent.is_empty() {
            self.progress = Some(now);
        }
        self.bytes += batch.bytes.len();
        self.sent.push_back(Sent { batch, end, acknowledged_at: None });
    }

    /// Notes that the peer's TCP has acknowledged everything below `offset`.
    pub fn acknowledge(&mut self, offset: u64, now: Instant) {
        if offset <= self.acknowledged {
            return;
        }
        self.acknowledged = offset;
        self.progress = Some(now);
        let newly = self.sent.iter_mut().take_while(|sent| sent.end <= offset);
        for sent in newly.filter(|sent| sent.acknowledged_at.is_none()) {
            sent.acknowledged_at = Some(now);
        }
    }

    /// Takes the oldest batch if it has settled; `settle_time` is [`SETTLE_TIME`](crate::base::limits::SETTLE_TIME), or
    /// [`SETTLE_TIME_SLOW`](crate::base::limits::SETTLE_TIME_SLOW) if the peer is slow, or None if no time is enough,
    /// because the peer's program has not shown yet that it exists and accepts us.
    pub fn pop_settled(&mut self, now: Instant, settle_time: Option<Duration>) -> Option<Batch> {
        let oldest = self.sent.front()?;
        let lived = now.saturating_duration_since(oldest.acknowledged_at?);
        let outlived = settle_time.is_some_and(|time| lived >= time);
        if outlived || self.acknowledged >= oldest.end + SETTLE_BYTES as u64 { self.pop() } else { None }
    }

    /// Takes the oldest batch, settled or not: to send it again, or because the peer has closed the connection in good
    /// order after reading everything.
    pub fn pop(&mut self) -> Option<Batch> {
        let sent = self.sent.pop_front()?;
        self.bytes -= sent.batch.bytes.len();
        Some(sent.batch)
    }

    /// Bytes to send again if the connection broke now.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The [`written_after`](crate::handoff::Trial::written_after) of the last written batch.
    pub fn written_after(&self) -> Option<u64> {
        Some(self.sent.back()?.batch.trial.written_after)
    }

    /// Since when the oldest batch is acknowledged, if it is.
    pub fn acknowledged_since(&self) -> Option<Instant> {
        self.sent.front()?.acknowledged_at
    }

    /// True if the connection has outlived the acknowledgement of everything by this long.
    pub fn is_outlived(&self, now: Instant, time: Duration) -> bool {
        let lived = |at: Instant| now.saturating_duration_since(at) >= time;
        self.sent.back().is_none_or(|last| last.acknowledged_at.is_some_and(lived))
    }

    /// True if a batch in it must stay in order with later ones.
    pub fn has_lanes(&self) -> bool {
        self.sent.iter().any(|sent| sent.batch.lane.is_some())
    }

    /// True if a batch in it was on a connection that the peer has ended.
    pub fn has_strikes(&self) -> bool {
        self.sent.iter().any(|sent| sent.batch.trial.strikes > 0)
    }

    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Since when the peer's TCP has owed an acknowledgement without progress.
    pub fn waiting_since(&self) -> Option<Instant> {
        let owed = self.sent.back().is_some_and(|last| last.end > self.acknowledged);
        self.progress.filter(|_| owed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::ack::{Ack, Outcome};
    use crate::base::limits::SETTLE_TIME;

    fn batch(length: usize) -> Batch {
        let ack = Ack::open(|_| ());
        let share = ack.share();
        ack.close(Outcome::Delivered);
        Batch::new(Arc::new(vec![0; length].into()), 1, share)
    }

    #[test]
    fn a_batch_settles_when_the_connection_outlives_its_acknowledgement() {
        let (mut window, start) = (Window::default(), Instant::now());
        window.push(batch(10), 15, start);
        window.acknowledge(14, start);
        assert!(
            window.pop_settled(start + SETTLE_TIME * 9, Some(SETTLE_TIME)).is_none(),
            "one byte is missing"
        );
        let acknowledged_at = start + Duration::from_secs(5);
        window.acknowledge(15, acknowledged_at);
        assert!(
            window
                .pop_settled(acknowledged_at + SETTLE_TIME - Duration::from_nanos(1), Some(SETTLE_TIME))
                .is_none()
        );
        assert!(window.pop_settled(acknowledged_at + SETTLE_TIME, Some(SETTLE_TIME)).is_some());
        assert!(window.is_empty());
        assert_eq!(window.bytes(), 0);
    }

    #[test]
    fn a_batch_settles_when_enough_was_acknowledged_after_it() {
        let (mut window, now) = (Window::default(), Instant::now());
        let margin = SETTLE_BYTES as u64;
        window.push(batch(10), 10, now);
        window.push(batch(10), 10 + margin, now);
        window.acknowledge(9 + margin, now);
        assert!(window.pop_settled(now, Some(SETTLE_TIME)).is_none());
        window.acknowledge(10 + margin, now);
        assert!(window.pop_settled(now, Some(SETTLE_TIME)).is_some());
        assert!(window.pop_settled(now, Some(SETTLE_TIME)).is_none());
    }

    #[test]
    fn no_time_settles_what_a_peer_has_that_has_not_shown_itself() {
        let (mut window, start) = (Window::default(), Instant::now());
        let margin = SETTLE_BYTES as u64;
        window.push(batch(10), 10, start);
        window.push(batch(10), 10 + margin, start);
        window.acknowledge(10, start);
        assert!(window.pop_settled(start + SETTLE_TIME * 3600, None).is_none());
        window.acknowledge(10 + margin, start);
        assert!(window.pop_settled(start, None).is_some(), "its program has read more than buffers hold");
    }

    #[test]
    fn it_knows_what_is_special_about_its_batches() {
        let (mut window, start) = (Window::default(), Instant::now());
        assert!(!window.has_lanes() && !window.has_strikes() && window.written_after().is_none());
        window.push(batch(1), 1, start);
        assert!(!window.has_lanes() && !window.has_strikes());
        assert_eq!(window.written_after(), Some(0));
        let (mut struck, mut of_lane) = (batch(1), batch(1));
        struck.trial.strikes = 1;
        struck.trial.written_after = 7;
        window.push(struck, 2, start);
        assert!(!window.has_lanes() && window.has_strikes());
        assert_eq!(window.written_after(), Some(7));
        of_lane.lane = Some(0);
        window.push(of_lane, 3, start);
        assert!(window.has_lanes());
    }

    #[test]
    fn everything_is_outlived_with_the_last_of_it() {
        let (mut window, start) = (Window::default(), Instant::now());
        assert!(window.is_outlived(start, SETTLE_TIME));
        window.push(batch(10), 10, start);
        window.push(batch(10), 20, start);
        window.acknowledge(10, start);
        assert!(!window.is_outlived(start + SETTLE_TIME, SETTLE_TIME));
        let later = start + Duration::from_secs(1);
        window.acknowledge(20, later);
        assert!(!window.is_outlived(later + SETTLE_TIME - Duration::from_millis(1), SETTLE_TIME));
        assert!(window.is_outlived(later + SETTLE_TIME, SETTLE_TIME));
        window.push(batch(10), 30, later);
        window.acknowledge(20, later + SETTLE_TIME);
        assert_eq!(window.waiting_since(), Some(later), "no new byte is no progress");
    }

    #[test]
    fn it_says_since_when_the_peer_owes_an_acknowledgement() {
        let (mut window, start) = (Window::default(), Instant::now());
        let later = start + Duration::from_secs(1);
        assert_eq!(window.waiting_since(), None);
        window.push(batch(10), 10, start);
        assert_eq!(window.waiting_since(), Some(start));
        window.acknowledge(4, later);
        assert_eq!(window.waiting_since(), Some(later));
        window.acknowledge(10, later);
        assert_eq!(window.waiting_since(), None);
    }

    proptest! {
        /// For any order of events, batches leave in order, none before it settled, and the bytes add up.
        #[test]
        fn batches_leave_in_order_and_late_enough(steps in proptest::collection::vec((0u8..3, 1usize..4_000_000), 1..60)) {
            let (mut window, mut now) = (Window::default(), Instant::now());
            let (mut written, mut acknowledged) = (0u64, 0u64);
            let mut open: VecDeque<(u64, Option<Instant>)> = VecDeque::new();
            for (kind, amount) in steps {
                match kind {
                    0 => { written += amount as u64; window.push(batch(amount), written, now); open.push_back((written, None)); }
                    1 => {
                        acknowledged = written.min(acknowledged + amount as u64);
                        window.acknowledge(acknowledged, now);
                        for o in open.iter_mut().filter(|o| o.0 <= acknowledged && o.1.is_none()) { o.1 = Some(now); }
                    }
                    _ => now += Duration::from_micros(amount as u64),
                }
                while window.pop_settled(now, Some(SETTLE_TIME)).is_some() {
                    let (end, at) = open.pop_front().unwrap();
                    let at = at.expect("acknowledged before it settles");
                    prop_assert!(now - at >= SETTLE_TIME || acknowledged >= end + SETTLE_BYTES as u64);
                }
                prop_assert_eq!(window.is_empty(), open.is_empty());
            }
        }
    }
}
