//! An object that cannot be read: is it the object, or is it everything?
//!
//! When S3 is away, or a policy has been broken, every object fails. Giving their messages back would
//! use up the receives that the queue's redrive policy allows, and a whole queue of good logs would end
//! in the dead-letter queue. So an object is given up only when others can be read meanwhile; while none
//! can, it is kept (its message's lease is extended) and tried again later ([`super::delay`]).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::aws::{Error, Kind};
use crate::backoff::Backoff;
use crate::limits::{
    BUCKETS_DOUBTED_MAX, OBJECT_ATTEMPTS, OBJECT_ATTEMPTS_TEMPORARY, OBJECT_RETRY_DELAY,
    OUTAGE_BACKOFF_FIRST, OUTAGE_BACKOFF_MAX, OUTAGE_PATIENCE,
};
use crate::telemetry::Health;

/// The failures of one object so far.
pub struct Attempts {
    began: Instant,
    backoff: Backoff,
    /// Failures that are the object's own.
    own: u32,
    /// `health.successes()` at the last failure.
    successes: u64,
}

impl Attempts {
    pub fn new(health: &Health) -> Attempts {
        let backoff = Backoff::new(OUTAGE_BACKOFF_FIRST, OUTAGE_BACKOFF_MAX);
        Attempts { began: Instant::now(), backoff, own: 0, successes: health.successes() }
    }

    /// After a failure: how long to wait before the next attempt. None: there is none.
    pub fn next(&mut self, error: &Error, health: &Health, bucket: &str) -> Option<Duration> {
        match error.kind() {
            // Only somebody else can help, and other objects have nothing to do with it.
            Kind::Stopped | Kind::Withheld => None,
            // The object is not there yet, or is being replaced.
            Kind::NoSuchObject | Kind::Changed => {
                self.own += 1;
                (self.own < OBJECT_ATTEMPTS).then_some(OBJECT_RETRY_DELAY)
            }
            kind => {
                let is_temporary = matches!(kind, Kind::Transient | Kind::Throttled);
                health.failed_at(bucket, error, !is_temporary);
                self.others_work(health);
                let most = if is_temporary { OBJECT_ATTEMPTS_TEMPORARY } else { OBJECT_ATTEMPTS };
                let goes_on = self.own < most && self.began.elapsed() < OUTAGE_PATIENCE;
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

/// The buckets that could not be read at the last try. A call there may take as long as its time-outs, so only
/// a share of the fetchers may be busy with them at a time: the others always try something else. Cheap to clone.
#[derive(Clone)]
pub struct Doubts(Arc<Inner>);

struct Inner {
    /// Most fetchers that may be busy with these buckets.
    share: usize,
    state: Mutex<State>,
}

struct State {
    /// By the index of the input.
    buckets: Vec<HashSet<String>>,
    busy: usize,
}

/// The right to make a call.
pub struct Admission(Option<Doubts>);

impl Doubts {
    pub fn new(inputs: usize, fetchers: usize) -> Doubts {
        let state = State { buckets: vec![HashSet::new(); inputs], busy: 0 };
        Doubts(Arc::new(Inner { share: (fetchers / 2).max(1), state: Mutex::new(state) }))
    }

    /// None: the bucket is doubtful, and enough fetchers are busy with such ones.
    pub fn admit(&self, input: usize, bucket: &str) -> Option<Admission> {
        let mut state = self.lock();
        if !state.buckets[input].contains(bucket) {
            return Some(Admission(None));
        }
        if state.busy >= self.0.share {
            return None;
        }
        state.busy += 1;
        Some(Admission(Some(self.clone())))
    }

    pub fn works(&self, input: usize, bucket: &str) {
        self.lock().buckets[input].remove(bucket);
    }

    pub fn failed(&self, input: usize, bucket: &str) {
        let buckets = &mut self.lock().buckets[input];
        if buckets.len() >= BUCKETS_DOUBTED_MAX {
            buckets.clear();
        }
        if !buckets.contains(bucket) {
            buckets.insert(bucket.to_owned());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(doubts) = &self.0 {
            doubts.lock().busy -= 1;
        }
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
        assert!(health.trouble().is_some_and(|trouble| trouble.lasting));
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
    fn any_number_of_buckets_takes_bounded_memory() {
        let doubts = Doubts::new(1, 8);
        (0..3 * BUCKETS_DOUBTED_MAX).for_each(|number| doubts.failed(0, &format!("b{number}")));
        assert!(doubts.lock().buckets[0].len() <= BUCKETS_DOUBTED_MAX);
    }
}
