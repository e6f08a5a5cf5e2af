//! Distinguishes a failing object from a failing bucket or S3.
//!
//! When S3 is down, or a policy is broken, every object fails. Returning their messages would use up the receives that
//! the queue's redrive policy allows, and a whole queue of good logs would end in the dead-letter queue. So an object
//! is given up only if others can be read meanwhile; while none can, it is kept (its message's lease is extended) and
//! retried later ([`super::delay`]).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::aws::{Error, Kind};
use crate::base::backoff::Backoff;
use crate::base::limits::{
    BUCKETS_DOUBTED_MAX, FETCH_STALL, OBJECT_ATTEMPTS, OBJECT_ATTEMPTS_TEMPORARY, OBJECT_RETRY_DELAY,
    OUTAGE_BACKOFF_FIRST, OUTAGE_BACKOFF_MAX, OUTAGE_PATIENCE,
};
use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::telemetry::Health;

/// The failures of one object so far.
pub struct Attempts {
    began: Instant,
    backoff: Backoff,
    /// Failures that concern only this object.
    own: u32,
    /// `health.successes()` at the last failure.
    successes: u64,
}

impl Attempts {
    pub fn new(health: &Health) -> Attempts {
        let backoff = Backoff::new(OUTAGE_BACKOFF_FIRST, OUTAGE_BACKOFF_MAX);
        Attempts { began: clock::now(), backoff, own: 0, successes: health.successes() }
    }

    /// The wait before the next attempt after a failure. None if there is none.
    pub fn next(&mut self, error: &Error, health: &Health, bucket: &str) -> Option<Duration> {
        match error.kind() {
            // Needs intervention, and other objects say nothing about it.
            Kind::Stopped | Kind::Withheld => None,
            // The object does not exist yet, or is being replaced.
            Kind::NoSuchObject | Kind::Changed => {
                self.own += 1;
                (self.own < OBJECT_ATTEMPTS).then_some(OBJECT_RETRY_DELAY)
            }
            kind => {
                let is_temporary = matches!(kind, Kind::Transient | Kind::Throttled);
                health.failed_at(bucket, error, !is_temporary);
                self.others_work(health);
                let most = if is_temporary { OBJECT_ATTEMPTS_TEMPORARY } else { OBJECT_ATTEMPTS };
                let goes_on = self.own < most && clock::since(self.began) < OUTAGE_PATIENCE;
                goes_on.then(|| self.pause(error))
            }
        }
    }

    fn pause(&mut self, error: &Error) -> Duration {
        let asked_for = error.retry_after().unwrap_or_default().min(OUTAGE_BACKOFF_MAX);
        self.backoff.pause().max(asked_for)
    }

    fn others_work(&mut self, health: &Health) {
        let successes = health.successes();
        if successes != self.successes {
            self.own += 1;
            self.successes = successes;
        }
    }
}

/// The buckets that could not be read at the last attempt, or from which a part does not arrive. A call there may take
/// as long as its timeouts, so only a share of the fetchers may be busy with them at a time: the others always try
/// something else. Cheap to clone.
#[derive(Clone)]
pub struct Doubts(Arc<Inner>);

struct Inner {
    /// Maximum number of fetchers busy with these buckets.
    share: usize,
    state: Mutex<State>,
}

/// A bucket of an input, which is given by its index.
type Bucket = (usize, String);

#[derive(Default)]
struct State {
    /// The failed ones, by the index of the input.
    failed: Vec<HashSet<String>>,
    /// The bucket of each busy fetcher.
    busy: HashMap<u64, Bucket>,
    /// Pending GETs.
    gets: HashMap<u64, (Bucket, Instant)>,
    next: u64,
}

/// The permission to make calls for an object.
pub struct Admission(Doubts, u64);

/// A pending GET.
pub struct InFlight(Doubts, u64);

impl Doubts {
    pub fn new(inputs: usize, fetchers: usize) -> Doubts {
        let state = State { failed: vec![HashSet::new(); inputs], ..State::default() };
        Doubts(Arc::new(Inner { share: (fetchers / 2).max(1), state: Mutex::new(state) }))
    }

    /// None if the bucket is doubtful, and enough fetchers are busy with such ones.
    pub fn admit(&self, input: usize, bucket: &str) -> Option<Admission> {
        let mut state = self.lock();
        let stalled = state.stalled(clock::now());
        let bucket = (input, bucket.to_owned());
        let is_doubtful =
            |bucket: &Bucket| state.failed[bucket.0].contains(&bucket.1) || stalled.contains(bucket);
        let is_busy = || state.busy.values().filter(|bucket| is_doubtful(bucket)).count() >= self.0.share;
        if is_doubtful(&bucket) && is_busy() {
            return None;
        }
        let number = state.number();
        state.busy.insert(number, bucket);
        Some(Admission(self.clone(), number))
    }

    /// Registers a GET.
    pub fn begin(&self, input: usize, bucket: &str) -> InFlight {
        let mut state = self.lock();
        let number = state.number();
        state.gets.insert(number, ((input, bucket.to_owned()), clock::now()));
        InFlight(self.clone(), number)
    }

    /// True if so many fetchers wait for parts that do not arrive that others are held up.
    pub fn hold_others_up(&self) -> bool {
        let now = clock::now();
        self.lock().gets.values().filter(|(_, began)| is_stalled(*began, now)).count() >= self.0.share
    }

    pub fn works(&self, input: usize, bucket: &str) {
        self.lock().failed[input].remove(bucket);
    }

    pub fn failed(&self, input: usize, bucket: &str) {
        let buckets = &mut self.lock().failed[input];
        if buckets.len() >= BUCKETS_DOUBTED_MAX {
            buckets.clear();
        }
        if !buckets.contains(bucket) {
            buckets.insert(bucket.to_owned());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn stalled(&self, now: Instant) -> HashSet<Bucket> {
        let stalled = self.gets.values().filter(|(_, began)| is_stalled(*began, now));
        stalled.map(|(bucket, _)| bucket.clone()).collect()
    }
}

fn is_stalled(began: Instant, now: Instant) -> bool {
    now.saturating_duration_since(began) >= FETCH_STALL
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.lock().busy.remove(&self.1);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().gets.remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: Kind) -> Error {
        Error::setup("s3:GetObject", "s3://b/k", kind, "")
    }

    #[test]
    fn an_object_that_alone_fails_is_given_up() {
        let rows = [(Kind::Denied, OBJECT_ATTEMPTS), (Kind::Transient, OBJECT_ATTEMPTS_TEMPORARY)];
        for (kind, most) in rows {
            let health = Health::new("b");
            let mut attempts = Attempts::new(&health);
            for attempt in 1..=most {
                health.works();
                assert_eq!(attempts.next(&error(kind.clone()), &health, "b").is_some(), attempt < most);
            }
        }
    }

    #[test]
    fn while_nothing_can_be_read_an_object_is_kept() {
        let health = Health::new("b");
        let mut attempts = Attempts::new(&health);
        for kind in [Kind::Transient, Kind::Denied, Kind::NotFound, Kind::Foreign, Kind::BadRequest] {
            assert!(attempts.next(&error(kind), &health, "b").is_some());
        }
        assert_eq!(attempts.own, 0);
        assert!(health.trouble().is_some_and(|trouble| trouble.is_lasting()));
    }

    #[test]
    fn a_missing_object_is_nobody_elses_fault() {
        let health = Health::new("b");
        let mut attempts = Attempts::new(&health);
        for attempt in 1..=OBJECT_ATTEMPTS {
            assert_eq!(
                attempts.next(&error(Kind::NoSuchObject), &health, "b").is_some(),
                attempt < OBJECT_ATTEMPTS
            );
        }
        assert!(health.trouble().is_none());
    }

    #[test]
    fn what_nobody_but_its_owner_can_help_is_not_tried_again() {
        let health = Health::new("b");
        assert_eq!(Attempts::new(&health).next(&error(Kind::Withheld), &health, "b"), None);
        assert_eq!(Attempts::new(&health).next(&error(Kind::Stopped), &health, "b"), None);
        assert!(health.trouble().is_none());
    }

    #[test]
    fn a_share_of_the_fetchers_is_never_busy_with_a_bucket_that_fails() {
        let doubts = Doubts::new(2, 8);
        let sound: Vec<_> = (0..8).map(|_| doubts.admit(0, "bad")).collect();
        assert!(sound.iter().all(Option::is_some), "nothing is known yet");
        doubts.failed(0, "bad");
        assert!(doubts.admit(0, "bad").is_none(), "those that were begun count, too");
        drop(sound);
        let busy: Vec<_> = (0..8).filter_map(|_| doubts.admit(0, "bad")).collect();
        assert_eq!(busy.len(), 4);
        doubts.failed(1, "worse");
        assert!(doubts.admit(1, "worse").is_none(), "all such buckets share it");
        assert!(doubts.admit(0, "good").is_some() && doubts.admit(1, "bad").is_some());
        drop(busy);
        assert!(doubts.admit(1, "worse").is_some());
        doubts.works(0, "bad");
        let free: Vec<_> = (0..8).filter_map(|_| doubts.admit(0, "bad")).collect();
        assert_eq!(free.len(), 8);
        assert!(Doubts::new(1, 1).admit(0, "b").is_some());
    }

    #[test]
    fn a_bucket_from_which_nothing_arrives_is_doubtful_before_a_call_has_failed() {
        let doubts = Doubts::new(2, 8);
        let _busy: Vec<_> = (0..4).map(|_| doubts.admit(0, "bad").unwrap()).collect();
        let gets: Vec<_> = (0..4).map(|_| doubts.begin(0, "bad")).collect();
        assert!(doubts.admit(0, "bad").is_some() && !doubts.hold_others_up(), "they have just begun");
        for (_, began) in doubts.lock().gets.values_mut() {
            *began = began.checked_sub(FETCH_STALL).unwrap();
        }
        assert!(doubts.admit(0, "bad").is_none() && doubts.hold_others_up());
        assert!(doubts.admit(0, "good").is_some() && doubts.admit(1, "bad").is_some());
        drop(gets);
        assert!(doubts.admit(0, "bad").is_some() && !doubts.hold_others_up());
    }

    #[test]
    fn any_number_of_buckets_takes_bounded_memory() {
        let doubts = Doubts::new(1, 8);
        (0..3 * BUCKETS_DOUBTED_MAX).for_each(|number| doubts.failed(0, &format!("b{number}")));
        assert!(doubts.lock().failed[0].len() <= BUCKETS_DOUBTED_MAX);
    }
}
