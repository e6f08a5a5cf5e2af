//! Liveness of the pipeline: its threads must exist, and something must move unless an obstacle is known.

use std::time::Instant;

use crate::base::limits::STANDSTILL_MAX;

/// The observed signs of life.
#[derive(Debug, Clone)]
pub struct Signs {
    /// A thread of some stage that has ended unexpectedly.
    pub lost_thread: Option<String>,
    /// Grows with all activity of any stage, including empty receives and failed calls.
    pub movement: u64,
    /// An outage that is being logged, or a configured limit: standing still is right.
    pub is_excused: bool,
}

/// The previous observation.
#[derive(Debug)]
pub struct Vitals {
    movement: u64,
    moved_at: Instant,
}

/// The reason why the pipeline counts as dead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Dead {
    #[error("the thread {0} has ended unexpectedly: the log says why. Only a restart of the collector helps")]
    Thread(String),
    #[error("nothing has moved for {} s in any stage, and no outage explains it. A restart of the collector may help", STANDSTILL_MAX.as_secs())]
    Standstill,
}

impl Vitals {
    pub fn new(now: Instant) -> Vitals {
        Vitals { movement: 0, moved_at: now }
    }

    /// # Errors
    /// If only a restart will help.
    pub fn check(&mut self, signs: Signs, now: Instant) -> Result<(), Dead> {
        if signs.is_excused || signs.movement != self.movement {
            (self.movement, self.moved_at) = (signs.movement, now);
        }
        if let Some(name) = signs.lost_thread {
            return Err(Dead::Thread(name));
        }
        if now.saturating_duration_since(self.moved_at) > STANDSTILL_MAX {
            return Err(Dead::Standstill);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SIGNS: Signs = Signs { lost_thread: None, movement: 1, is_excused: false };

    #[test]
    fn what_stands_still_for_too_long_is_dead() {
        let start = Instant::now();
        let mut vitals = Vitals::new(start);
        let at = |seconds| start + STANDSTILL_MAX + Duration::from_secs(seconds);
        assert_eq!(vitals.check(SIGNS, start), Ok(()));
        assert_eq!(vitals.check(SIGNS, at(0)), Ok(()));
        assert_eq!(vitals.check(SIGNS, at(1)), Err(Dead::Standstill));
        assert_eq!(vitals.check(Signs { movement: 2, ..SIGNS }, at(2)), Ok(()));
    }

    #[test]
    fn an_outage_that_is_known_is_no_death() {
        let start = Instant::now();
        let mut vitals = Vitals::new(start);
        let outage = Signs { is_excused: true, ..SIGNS };
        assert_eq!(vitals.check(outage, start + 10 * STANDSTILL_MAX), Ok(()));
        assert_eq!(vitals.check(SIGNS, start + 10 * STANDSTILL_MAX), Ok(()), "the time counts from its end");
    }

    #[test]
    fn a_thread_that_is_gone_is_death() {
        let now = Instant::now();
        let signs = Signs { lost_thread: Some("fetch-0".into()), ..SIGNS };
        assert_eq!(Vitals::new(now).check(signs, now), Err(Dead::Thread("fetch-0".into())));
    }
}
