//! The start time of a pull, and the position of reading: decided here for every source.
//!
//! A checkpoint says that everything before a time is delivered. That holds only if AWS's clock was right when it was
//! recorded. So a source keeps an [`Anchor`] with its checkpoints: the last completed pull whose start time agrees with
//! the one before. A pull that starts at a later time than has passed since is made anyway, but its records are in
//! doubt: if the clock comes back, reading goes back to the anchor. A clock that shows less than has passed moves
//! nothing back.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::place::{place_text, read_place};
use crate::base::limits::{CLOCK_DOUBT_MAX, CLOCK_STEP_MIN};
use crate::ledger::seconds;

/// The checkpoint's part for the anchor. Neither a log group nor a detector has a name with a blank.
pub const CLOCK: &str = " (clock)";

/// The start of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// AWS's time.
    pub now: Timestamp,
    /// The latest possible time, if AWS's clock is ahead.
    pub settled: Timestamp,
    /// Everything that existed by then has been read.
    sure: Timestamp,
    /// AWS's clock was ahead when checkpoints were recorded, so they may be too late.
    pub has_come_back: bool,
    /// AWS's clock shows less than it should.
    is_behind: bool,
}

/// The position where a source resumes.
#[derive(Debug, PartialEq, Eq)]
pub enum GoOn {
    /// At its checkpoint.
    There,
    /// At its checkpoint, when that time has come.
    Later,
    /// The checkpoint is wrong: at this time.
    Back(Timestamp),
}

impl Moment {
    /// The position where a source resumes with the checkpoint `position`. `start` is the configured start, and
    /// `behind` is the minimum distance of its checkpoints from the present.
    pub fn go_on(&self, position: Timestamp, start: Option<Timestamp>, behind: Duration) -> GoOn {
        if position <= self.now {
            return GoOn::There;
        }
        if self.is_behind || start.is_some_and(|start| position <= start) {
            return GoOn::Later;
        }
        let latest = self.latest(start, behind);
        if latest <= self.now { GoOn::Back(latest) } else { GoOn::Later }
    }

    /// The latest checkpoint that is sure to miss nothing before it.
    pub fn latest(&self, start: Option<Timestamp>, behind: Duration) -> Timestamp {
        let behind = SignedDuration::try_from(behind).unwrap_or(SignedDuration::MAX);
        let latest = self.sure.min(self.now).saturating_sub(behind).unwrap_or(Timestamp::MIN);
        latest.max(start.unwrap_or(latest))
    }
}

/// A time of a clock about which nothing else is known.
impl From<Timestamp> for Moment {
    fn from(now: Timestamp) -> Moment {
        Moment { now, settled: now, sure: now, has_come_back: false, is_behind: false }
    }
}

/// The times of a source's pulls.
#[derive(Debug, Default)]
pub struct Times {
    anchor: Option<Anchor>,
    /// A completed pull that started then.
    is_proven: bool,
    /// The current pull, if it may become the next anchor.
    next: Option<Anchor>,
    /// Since when the clock has not agreed with the anchor.
    differs_since: Option<Instant>,
}

/// The start of a pull after which everything before was read.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    /// Seconds of AWS's clock and of this machine's, which only tell how much time has passed since.
    aws: i64,
    machine: i64,
    /// None if it was an earlier process's.
    at: Option<Instant>,
    /// Later pulls have started at a later time than had passed.
    was_ahead: bool,
}

impl Times {
    /// Resumes with an earlier process's record, if there is one.
    pub fn resume(&mut self, checkpoints: &BTreeMap<String, String>) {
        let known = checkpoints.get(CLOCK).and_then(|text| read_place::<(i64, i64, bool)>(text));
        if let Some((aws, machine, was_ahead)) = known.filter(|_| self.anchor.is_none()) {
            (self.anchor, self.is_proven) = (Some(Anchor { aws, machine, at: None, was_ahead }), true);
        }
    }

    /// Starts a pull at this time of AWS's clock, of this machine's and of the monotonic one. Record the returned state
    /// before anything that the pull reads.
    pub fn begin(&mut self, now: Timestamp, machine: Timestamp, at: Instant) -> (Moment, Option<String>) {
        let this =
            Anchor { aws: now.as_second(), machine: machine.as_second(), at: Some(at), was_ahead: false };
        // The first: if the two clocks differ, the earlier one loses nothing.
        let first = Anchor { aws: this.aws.min(this.machine), ..this };
        let mut anchor = *self.anchor.get_or_insert(first);
        let passed = anchor.passed_until(&this);
        let expected = anchor.aws.saturating_add(passed);
        let by_anchor = step(this.aws, expected);
        let by_machine = step(this.aws, this.machine);
        let is_behind = by_anchor.is_lt() || (!self.is_proven && by_machine.is_lt());
        // This machine's clock and AWS's are unlikely to be wrong by the same amount.
        let differs = by_machine.is_ne() && (by_anchor.is_gt() || is_behind);
        let is_doubtful = self.is_doubtful(differs, at);
        let is_ahead = is_doubtful && by_anchor.is_gt();
        let is_news = is_ahead && !anchor.was_ahead;
        anchor.was_ahead |= is_ahead;
        self.anchor = Some(anchor);
        let has_come_back = anchor.was_ahead && (by_anchor.is_eq() || by_machine.is_eq());
        self.next = (!is_doubtful || has_come_back).then_some(this);
        let sure = if anchor.at.is_some() { anchor.aws.min(this.aws - passed) } else { anchor.aws };
        let settled = if is_ahead { Timestamp::from_second(expected).unwrap_or(now) } else { now };
        let moment = Moment {
            now,
            settled,
            sure: Timestamp::from_second(sure).unwrap_or(Timestamp::MIN),
            has_come_back,
            is_behind: is_doubtful && is_behind,
        };
        (moment, is_news.then(|| anchor.text()))
    }

    /// A differing clock is in doubt. After a long time it is considered right.
    fn is_doubtful(&mut self, differs: bool, at: Instant) -> bool {
        let since = self.differs_since.filter(|_| differs).unwrap_or(at);
        self.differs_since = differs.then_some(since);
        differs && at.duration_since(since) < CLOCK_DOUBT_MAX
    }

    /// Ends a pull that has read everything up to its start. Returns the state to record after that.
    pub fn caught_up(&mut self) -> Option<String> {
        self.anchor = Some(self.next.take()?);
        self.is_proven = true;
        self.differs_since = None;
        self.anchor.map(|anchor| anchor.text())
    }
}

/// Compares a clock's time with the expected time, ignoring differences that are not steps.
fn step(shown: i64, expected: i64) -> Ordering {
    match shown.abs_diff(expected) <= CLOCK_STEP_MIN.as_secs() {
        true => Ordering::Equal,
        false => shown.cmp(&expected),
    }
}

impl Anchor {
    /// Seconds.
    fn passed_until(&self, later: &Anchor) -> i64 {
        match self.at.zip(later.at) {
            Some((then, now)) => seconds(now.duration_since(then)),
            None => later.machine.saturating_sub(self.machine).max(0),
        }
    }

    fn text(&self) -> String {
        place_text(&(self.aws, self.machine, self.was_ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// A pull that starts this many seconds after the first, by AWS's clock and by this machine's, and catches up.
    fn pull(times: &mut Times, start: Instant, passed: i64, [aws, machine]: [i64; 2]) -> Moment {
        let at = start + Duration::from_secs(passed.unsigned_abs());
        let (moment, _) = times.begin(time(passed + aws), time(passed + machine), at);
        times.caught_up();
        moment
    }

    #[test]
    fn a_start_that_has_not_come_is_waited_for() {
        let moment = Moment::from(time(0));
        let go_on =
            |position, start| moment.go_on(time(position), Some(time(start)), Duration::from_secs(60));
        assert_eq!(go_on(HOUR, HOUR), GoOn::Later);
        assert_eq!(go_on(HOUR, -HOUR), GoOn::Back(time(-60)));
        assert_eq!(go_on(HOUR, -30), GoOn::Back(time(-30)), "nothing from before the start");
        assert_eq!(go_on(-HOUR, HOUR), GoOn::There);
    }

    #[test]
    fn a_clock_that_was_ahead_is_found_when_it_comes_back_and_the_machine_s_clock_may_be_wrong() {
        for machine in [0, 100 * HOUR] {
            let (mut times, start) = (Times::default(), Instant::now());
            pull(&mut times, start, 0, [0, machine]);
            for passed in [60, 120] {
                let moment = pull(&mut times, start, passed, [24 * HOUR, machine]);
                assert_eq!((moment.has_come_back, moment.settled), (false, time(passed)));
            }
            let moment = pull(&mut times, start, 180, [0, machine]);
            assert!(moment.has_come_back, "{machine}");
            assert_eq!(moment.latest(None, Duration::ZERO), time(0));
            assert!(!pull(&mut times, start, 240, [0, machine]).has_come_back);
        }
    }

    #[test]
    fn the_next_process_knows_that_the_clock_was_ahead() {
        let (mut times, start) = (Times::default(), Instant::now());
        pull(&mut times, start, 0, [0, 0]);
        let (_, mark) = times.begin(time(24 * HOUR), time(60), start + Duration::from_secs(60));
        let mut next = Times::default();
        next.resume(&BTreeMap::from([(CLOCK.to_owned(), mark.unwrap())]));
        let (moment, _) = next.begin(time(48 * HOUR), time(48 * HOUR), Instant::now());
        assert!(moment.has_come_back);
        assert_eq!(moment.latest(None, Duration::ZERO), time(0));
    }

    #[test]
    fn a_clock_that_is_behind_moves_no_checkpoint_back() {
        let (mut times, start) = (Times::default(), Instant::now());
        let moment = pull(&mut times, start, 0, [-400 * 24 * HOUR, 0]);
        assert_eq!(moment.go_on(time(-HOUR), None, Duration::ZERO), GoOn::Later);
        let moment = pull(&mut times, start, 60, [0, 0]);
        assert_eq!(moment.go_on(time(-HOUR), None, Duration::ZERO), GoOn::There);
    }
}
