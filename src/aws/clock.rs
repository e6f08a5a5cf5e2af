//! AWS's clock, learned from the `Date` of every answer.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::base::limits::{CLOCK_NOTE_INTERVAL, CLOCK_RESOLUTION, CLOCK_SKEW_NOTED};
use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard};

/// AWS's clock: the time in the latest answers, continued by this machine's monotonic clock, so that a step of the
/// machine's own clock changes nothing. Until the first answer it is the machine's own clock. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    known: Option<Bounds>,
    noted: Option<Note>,
}

/// AWS's time at a moment, in nanoseconds since 1970. A `Date` has whole seconds and an answer takes time, so one
/// answer gives an earliest and a latest time; several answers narrow them down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    at: Instant,
    earliest: i128,
    latest: i128,
}

/// The difference that was last logged.
#[derive(Debug, Clone, Copy)]
struct Note {
    skew_ms: i64,
    at: Instant,
}

impl Clock {
    /// The earliest time that AWS's clock can show now.
    pub fn now(&self) -> SystemTime {
        let known = self.lock().known;
        known.and_then(|known| system_time(known.moved_to(clock::now()).earliest)).unwrap_or_else(clock::wall)
    }

    /// True once an answer has given AWS's time.
    pub fn is_known(&self) -> bool {
        self.lock().known.is_some()
    }

    /// Learns from an answer with this `date`, requested at `sent` and received at `received`.
    pub fn learn(&self, date: SystemTime, sent: Instant, received: Instant) {
        let heard = Bounds::of(date, sent, received);
        let mut state = self.lock();
        state.known =
            Some(state.known.and_then(|known| known.moved_to(received).and(heard)).unwrap_or(heard));
        let skew_ms = state.skew_ms();
        if let Some(text) = state.note(skew_ms, received) {
            log::warn!("{text}");
        }
    }

    /// AWS's clock minus this machine's, in milliseconds. 0 before the first answer.
    pub fn skew_ms(&self) -> i64 {
        self.lock().skew_ms()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl State {
    fn skew_ms(&self) -> i64 {
        let Some(known) = self.known else { return 0 };
        let skew = known.moved_to(clock::now()).earliest - nanos(clock::wall());
        i64::try_from(skew / 1_000_000).unwrap_or(i64::MAX)
    }

    /// The log line about a difference that is news: it is large, or was, and has changed.
    fn note(&mut self, skew_ms: i64, now: Instant) -> Option<String> {
        let noted = self.noted.map_or(0, |note| note.skew_ms);
        let is_recent = |note: Note| now.saturating_duration_since(note.at) < CLOCK_NOTE_INTERVAL;
        let limit = CLOCK_SKEW_NOTED.as_millis() as u64;
        if skew_ms.abs_diff(noted) < limit || self.noted.is_some_and(is_recent) {
            return None;
        }
        self.noted = Some(Note { skew_ms, at: now });
        Some(match skew_ms.unsigned_abs() < limit {
            true => "this machine's clock agrees with AWS's again".to_owned(),
            false => format!(
                "this machine's clock differs from AWS's by {} s (AWS's minus this machine's, which is {}); AWS's is used \
                 for signing and polling. Set up NTP",
                skew_ms / 1000,
                if skew_ms < 0 { "ahead" } else { "behind" }
            ),
        })
    }
}

impl Bounds {
    fn of(date: SystemTime, sent: Instant, received: Instant) -> Bounds {
        let earliest = nanos(date);
        let under_way = CLOCK_RESOLUTION + received.saturating_duration_since(sent);
        Bounds { at: received, earliest, latest: earliest + under_way.as_nanos() as i128 }
    }

    /// These bounds at another moment.
    fn moved_to(self, at: Instant) -> Bounds {
        let after = at.saturating_duration_since(self.at).as_nanos() as i128;
        let before = self.at.saturating_duration_since(at).as_nanos() as i128;
        let shift = after - before;
        Bounds { at, earliest: self.earliest + shift, latest: self.latest + shift }
    }

    /// The bounds that both allow at the same moment. None if they contradict each other.
    fn and(self, other: Bounds) -> Option<Bounds> {
        let (earliest, latest) = (self.earliest.max(other.earliest), self.latest.min(other.latest));
        (earliest <= latest).then_some(Bounds { at: other.at, earliest, latest })
    }
}

fn nanos(time: SystemTime) -> i128 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}

fn system_time(nanos: i128) -> Option<SystemTime> {
    let span = |nanos: u128| {
        Some(Duration::new(u64::try_from(nanos / 1_000_000_000).ok()?, (nanos % 1_000_000_000) as u32))
    };
    match nanos {
        ..0 => SystemTime::UNIX_EPOCH.checked_sub(span(nanos.unsigned_abs())?),
        _ => SystemTime::UNIX_EPOCH.checked_add(span(nanos.unsigned_abs())?),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn known(clock: &Clock, at: Instant) -> (i128, i128) {
        let known = clock.lock().known.unwrap().moved_to(at);
        (known.earliest / 1_000_000, known.latest / 1_000_000)
    }

    #[test]
    fn before_the_first_answer_it_is_the_machine_s_own() {
        let clock = Clock::default();
        assert!(!clock.is_known() && clock.skew_ms() == 0);
        assert!(clock.now().duration_since(SystemTime::now()).is_err());
    }

    #[test]
    fn answers_narrow_it_down_and_a_contradiction_begins_anew() {
        let (clock, start, ms) = (Clock::default(), Instant::now(), Duration::from_millis);
        clock.learn(at(1000), start, start + ms(100));
        assert_eq!(known(&clock, start + ms(100)), (1_000_000, 1_001_100));
        clock.learn(at(1001), start + ms(600), start + ms(700));
        assert_eq!(known(&clock, start + ms(700)), (1_001_000, 1_001_700));
        clock.learn(at(5000), start + ms(900), start + ms(1000));
        assert_eq!(known(&clock, start + ms(1000)), (5_000_000, 5_001_100));
        clock.learn(at(2000), start + ms(1000), start + ms(1000));
        assert_eq!(known(&clock, start + ms(1000)), (2_000_000, 2_001_000));
    }

    #[test]
    fn a_difference_is_told_once_and_so_is_its_end() {
        let (mut state, start) = (State::default(), Instant::now());
        let later = |minutes: u64| start + Duration::from_secs(60 * minutes);
        assert_eq!(state.note(900, start), None, "an answer's way");
        let ahead = state.note(-1_200_000, start).unwrap();
        assert!(ahead.contains("by -1200 s") && ahead.contains("which is ahead"), "{ahead}");
        assert_eq!(state.note(-1_200_300, later(100)), None, "it is known");
        assert_eq!(state.note(0, later(0)), None, "not again and again");
        assert!(state.note(0, later(200)).unwrap().contains("agrees"));
    }

    proptest! {
        /// However long calls take, it never shows more than AWS's clock does, and never much less.
        #[test]
        fn it_is_never_ahead(calls in prop::collection::vec((0u64..5000, 0u64..3000, 0u64..3000), 1..40), begin in 0u64..2000) {
            let (clock, start, ms) = (Clock::default(), Instant::now(), Duration::from_millis);
            let mut elapsed = 0;
            for (pause, there, back) in calls {
                let sent = elapsed + pause;
                elapsed = sent + there + back;
                // AWS's clock is `begin` milliseconds after a whole second at the start.
                let date = at((1_000_000 + begin + sent + there) / 1000);
                clock.learn(date, start + ms(sent), start + ms(elapsed));
                let (earliest, latest) = known(&clock, start + ms(elapsed));
                let truth = i128::from(1_000_000 + begin + elapsed);
                prop_assert!((earliest..=latest).contains(&truth), "{} {} {}", earliest, truth, latest);
                prop_assert!(latest - earliest <= 1000 + i128::from(there + back));
            }
        }
    }
}
