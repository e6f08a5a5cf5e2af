//! The time for which batches have been waiting for senders, which shows whether there are enough of them.
//!
//! Pure: times are arguments.
//!
//! A batch that waits shows nothing: every burst fills the channel for a moment. But if batches have been waiting while
//! the senders had hardly a moment without work, all of them are held up by their connections, and another connection
//! carries more.

use std::time::{Duration, Instant};

use crate::base::limits::SEND_BACKLOG_TIME;

/// The part of the time that senders together may be without work, and more of them would still help.
const IDLE_PART: u32 = 10;

/// Whether batches have been waiting for long.
#[derive(Debug, Default)]
pub struct Backlog {
    /// Since when batches have been waiting.
    since: Option<Instant>,
    /// The time that senders have been without work since then.
    idle: Duration,
}

impl Backlog {
    /// Notes that a batch has to wait. Returns true if batches have been waiting for [`SEND_BACKLOG_TIME`], and senders
    /// had work for nearly all of it. That time then starts again.
    pub fn grows(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let waited = now.saturating_duration_since(since);
        if waited < SEND_BACKLOG_TIME {
            return false;
        }
        let idle = std::mem::replace(self, Backlog { since: Some(now), idle: Duration::ZERO }).idle;
        idle <= waited / IDLE_PART
    }

    /// Notes that a sender has been without work for this long.
    pub fn idles(&mut self, time: Duration) {
        self.idle += time;
    }

    /// Notes that batches do not wait because there are too few senders.
    pub fn ends(&mut self) {
        *self = Backlog::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    /// The calls for another sender in so many moments with a batch that waits, if senders idle for a part of each.
    fn calls(moments: u32, idle: Duration) -> usize {
        let (mut backlog, start) = (Backlog::default(), Instant::now());
        let grows = |passed: &u32| {
            backlog.idles(idle);
            backlog.grows(start + *passed * MOMENT)
        };
        (0..=moments).filter(grows).count()
    }

    #[test]
    fn another_sender_helps_if_batches_wait_and_the_others_are_busy() {
        let time = SEND_BACKLOG_TIME.as_millis() as u32;
        assert_eq!(calls(time - 1, Duration::ZERO), 0);
        assert_eq!(calls(time, Duration::ZERO), 1);
        assert_eq!(calls(6 * time, MOMENT / 20), 6, "one that joins has time to help");
        assert_eq!(calls(6 * time, MOMENT / 5), 0, "they are not the bottleneck");
    }

    #[test]
    fn a_burst_after_a_quiet_time_needs_none() {
        let (mut backlog, start) = (Backlog::default(), Instant::now());
        assert!(!backlog.grows(start));
        backlog.idles(SEND_BACKLOG_TIME * 9);
        assert!(!backlog.grows(start + SEND_BACKLOG_TIME * 10));
    }

    #[test]
    fn an_outage_needs_none() {
        let (mut backlog, start) = (Backlog::default(), Instant::now());
        assert!(!backlog.grows(start));
        backlog.ends();
        assert!(!backlog.grows(start + SEND_BACKLOG_TIME));
        assert!(backlog.grows(start + SEND_BACKLOG_TIME * 2));
    }
}
