//! The time for which workers have been waiting for senders, which shows whether there are enough of them.
//!
//! Pure: times are arguments.
//!
//! A batch that waits shows nothing: every burst fills the channel for a moment. But if workers are held up for a good
//! part of the time, all senders are held up by their connections, and another connection carries more.

use std::time::{Duration, Instant};

use crate::base::limits::SEND_BACKLOG_TIME;

/// More senders help if all workers together have waited for this part of the time.
const WAITING_PART: u32 = 4;

/// How long workers have been waiting.
#[derive(Debug, Default)]
pub struct Backlog {
    /// Since when that time is added up.
    since: Option<Instant>,
    waited: Duration,
}

impl Backlog {
    /// Notes that a worker has waited for this long until now. Returns true if workers have waited for a quarter of
    /// [`SEND_BACKLOG_TIME`]. The sum then starts again.
    pub fn grows(&mut self, waited: Duration, now: Instant) -> bool {
        let since = *self.since.get_or_insert_with(|| now.checked_sub(waited).unwrap_or(now));
        self.waited += waited;
        let passed = now.saturating_duration_since(since);
        if passed < SEND_BACKLOG_TIME {
            return false;
        }
        let waited = std::mem::take(self).waited;
        waited >= passed / WAITING_PART
    }

    /// Notes that workers wait for another reason than that there are too few senders.
    pub fn ends(&mut self) {
        *self = Backlog::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    /// The calls for another sender in so many moments, in each of which a worker waits for a part of it.
    fn calls(moments: u32, waits: Duration) -> usize {
        let (mut backlog, start) = (Backlog::default(), Instant::now());
        (0..moments).filter(|passed| backlog.grows(waits, start + *passed * MOMENT)).count()
    }

    #[test]
    fn another_sender_helps_if_workers_wait_for_a_good_part_of_the_time() {
        let time = SEND_BACKLOG_TIME.as_millis() as u32;
        assert_eq!(calls(time, MOMENT / 2), 0, "too soon");
        assert_eq!(calls(time + 1, MOMENT / 2), 1);
        let long = calls(6 * time, MOMENT / 2);
        assert!((5..=6).contains(&long), "{long}: one that joins has time to help");
        assert_eq!(calls(6 * time, MOMENT / 5), 0, "they are not the bottleneck");
    }

    #[test]
    fn one_long_wait_is_enough() {
        let (mut backlog, start) = (Backlog::default(), Instant::now());
        assert!(backlog.grows(SEND_BACKLOG_TIME, start + SEND_BACKLOG_TIME));
    }

    #[test]
    fn a_quarter_of_the_time_is_enough() {
        let (mut backlog, start) = (Backlog::default(), Instant::now());
        let quarter = SEND_BACKLOG_TIME / WAITING_PART;
        assert!(!backlog.grows(quarter, start + quarter));
        assert!(backlog.grows(Duration::ZERO, start + SEND_BACKLOG_TIME));
    }

    #[test]
    fn a_burst_after_a_quiet_time_needs_none() {
        let (mut backlog, start) = (Backlog::default(), Instant::now());
        assert!(!backlog.grows(SEND_BACKLOG_TIME / 2, start));
        assert!(!backlog.grows(SEND_BACKLOG_TIME / 2, start + SEND_BACKLOG_TIME * 10));
    }

    #[test]
    fn an_outage_needs_none() {
        let (mut backlog, start) = (Backlog::default(), Instant::now());
        assert!(!backlog.grows(SEND_BACKLOG_TIME * 9 / 10, start));
        backlog.ends();
        assert!(!backlog.grows(MOMENT, start + SEND_BACKLOG_TIME));
    }
}
