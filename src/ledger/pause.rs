//! The pause of look-ups after a failure. Pure.

use std::time::Instant;

use crate::base::limits::LEDGER_LOOKUP_PAUSE;

/// Fetchers make look-ups: a file that blocks each of them must not hold up delivery.
#[derive(Debug, Default)]
pub struct Pause {
    failed_at: Option<Instant>,
}

impl Pause {
    /// True if no look-up should be made now.
    pub fn lasts(&self, now: Instant) -> bool {
        self.failed_at.is_some_and(|failed| now.saturating_duration_since(failed) < LEDGER_LOOKUP_PAUSE)
    }

    /// Records the end of a look-up.
    pub fn note(&mut self, worked: bool, now: Instant) {
        self.failed_at = (!worked).then_some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn after_a_failure_look_ups_pause_and_are_tried_again_later() {
        let (mut pause, now) = (Pause::default(), Instant::now());
        assert!(!pause.lasts(now));
        pause.note(false, now);
        assert!(pause.lasts(now));
        assert!(pause.lasts(now + LEDGER_LOOKUP_PAUSE - Duration::from_millis(1)));
        assert!(!pause.lasts(now + LEDGER_LOOKUP_PAUSE));
        pause.note(true, now + LEDGER_LOOKUP_PAUSE);
        assert!(!pause.lasts(now + LEDGER_LOOKUP_PAUSE));
    }
}
