//! An object that cannot be read: is it the object, or is it everything?
//!
//! When S3 is away, or a policy has been broken, every object fails. Giving their messages back would
//! use up the receives that the queue's redrive policy allows, and a whole queue of good logs would end
//! in the dead-letter queue. So a fetcher gives an object up only when others can be read meanwhile;
//! while none can, it keeps the object (its message's lease is extended) and tries again.

use std::time::Instant;

use crate::aws::{Error, Kind};
use crate::backoff::Backoff;
use crate::limits::{
    OBJECT_ATTEMPTS, OBJECT_RETRY_DELAY, OUTAGE_BACKOFF_FIRST, OUTAGE_BACKOFF_MAX, OUTAGE_PATIENCE,
};
use crate::stop::Stop;
use crate::telemetry::Health;

/// AWS's code for a bucket that was deleted, or whose name is wrong.
const NO_BUCKET: &str = "NoSuchBucket";

/// The failures of one object so far.
pub struct Attempts<'a> {
    health: &'a Health,
    bucket: &'a str,
    began: Instant,
    backoff: Backoff,
    /// Failures that are the object's own.
    own: u32,
    /// `health.successes()` at the last failure.
    successes: u64,
}

impl<'a> Attempts<'a> {
    pub fn new(health: &'a Health, bucket: &'a str) -> Attempts<'a> {
        let backoff = Backoff::new(OUTAGE_BACKOFF_FIRST, OUTAGE_BACKOFF_MAX);
        Attempts { health, bucket, began: Instant::now(), backoff, own: 0, successes: health.successes() }
    }

    /// After a failure: waits before the next attempt. False: there is none.
    pub fn wait(&mut self, error: &Error, stop: &Stop) -> bool {
        match error.kind() {
            Kind::Stopped => false,
            // The object is not there yet, or is being replaced. A bucket that is not there is no object's own.
            Kind::NotFound | Kind::Changed if error.code() != NO_BUCKET => {
                self.own += 1;
                self.own < OBJECT_ATTEMPTS && !stop.wait(OBJECT_RETRY_DELAY)
            }
            kind => {
                let lasting = !matches!(kind, Kind::Transient | Kind::Throttled);
                self.health.failed_at(self.bucket, error, lasting);
                self.others_work();
                let goes_on = self.own < OBJECT_ATTEMPTS && self.began.elapsed() < OUTAGE_PATIENCE;
                goes_on && !stop.wait(self.backoff.pause())
            }
        }
    }

    fn others_work(&mut self) {
        let successes = self.health.successes();
        if successes != self.successes {
            self.own += 1;
            self.successes = successes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: Kind) -> Error {
        Error::setup("s3:GetObject", "s3://b/k", kind, "")
    }

    fn refused(code: &str) -> Error {
        let get = crate::aws::GetObject {
            bucket: "b",
            key: "k",
            version_id: None,
            start: 0,
            len: 1,
            if_match: None,
        };
        let refusal = crate::aws::failure::Refusal { status: 404, code: code.into(), ..Default::default() };
        Error::refused(&crate::aws::s3::request(&get, "eu-west-1", None), "", refusal)
    }

    #[test]
    fn an_object_that_alone_fails_is_given_up() {
        let (health, stop) = (Health::new("b"), Stop::new());
        let mut attempts = Attempts::new(&health, "b");
        for attempt in 1..=OBJECT_ATTEMPTS {
            health.works_at("other");
            assert_eq!(attempts.wait(&error(Kind::Transient), &stop), attempt < OBJECT_ATTEMPTS);
        }
    }

    #[test]
    fn while_nothing_can_be_read_an_object_is_kept() {
        let (health, stop) = (Health::new("b"), Stop::new());
        let mut attempts = Attempts::new(&health, "b");
        assert!(attempts.wait(&error(Kind::Transient), &stop));
        assert!(attempts.wait(&error(Kind::Denied), &stop));
        assert_eq!(attempts.own, 0);
        assert!(health.trouble().is_some_and(|trouble| trouble.lasting));
    }

    #[test]
    fn a_missing_object_is_nobody_elses_fault() {
        let (health, stop) = (Health::new("b"), Stop::new());
        let mut attempts = Attempts::new(&health, "b");
        for attempt in 1..=OBJECT_ATTEMPTS {
            assert_eq!(attempts.wait(&error(Kind::NotFound), &stop), attempt < OBJECT_ATTEMPTS);
        }
        assert!(health.trouble().is_none());
    }

    #[test]
    fn a_stop_ends_it() {
        let (health, stop) = (Health::new("b"), Stop::new());
        stop.stop();
        assert!(!Attempts::new(&health, "b").wait(&error(Kind::Transient), &stop));
    }

    #[test]
    fn a_bucket_that_is_not_there_is_a_trouble_and_its_objects_are_kept() {
        let (health, stop) = (Health::new("b"), Stop::new());
        let mut attempts = Attempts::new(&health, "b");
        assert!(attempts.wait(&refused("NoSuchBucket"), &stop));
        assert_eq!(attempts.own, 0);
        assert!(health.trouble().is_some_and(|trouble| trouble.lasting));
    }
}
