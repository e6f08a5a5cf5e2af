//! Facts about buckets that calls have shown: their regions, and whether versions of their objects may be read.

use std::collections::HashMap;
use std::time::Instant;

use crate::base::limits::{BUCKETS_KNOWN_MAX, VERSIONS_DENIED_TIME};
use crate::base::locks::{read, write};
use crate::base::runtime::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Facts about a limited number of buckets. Each was learned from a successful call, and is forgotten when it no longer
/// holds.
#[derive(Debug, Default)]
pub struct Known(RwLock<HashMap<String, Facts>>);

#[derive(Debug, Default)]
struct Facts {
    region: Option<String>,
    /// Objects are read by their key alone until then.
    by_key_until: Option<Instant>,
    /// An operator has been told that objects are read by their key.
    is_told: bool,
}

impl Known {
    /// The region where the bucket was last read.
    pub fn region(&self, bucket: &str) -> Option<String> {
        self.read().get(bucket)?.region.clone()
    }

    /// Records a successful call in `region`. Returns true if that is news.
    pub fn found_in(&self, bucket: &str, region: &str) -> bool {
        if self.read().get(bucket).is_some_and(|facts| facts.region.as_deref() == Some(region)) {
            return false;
        }
        self.change(bucket, |facts| facts.region = Some(region.to_owned()));
        true
    }

    /// Records a failed call where the bucket was last read.
    pub fn lost(&self, bucket: &str) {
        if let Some(facts) = self.write().get_mut(bucket) {
            facts.region = None;
        }
    }

    /// True if the bucket's objects should be read by their key first, because their versions were denied lately.
    pub fn reads_by_key(&self, bucket: &str, now: Instant) -> bool {
        self.read().get(bucket).and_then(|facts| facts.by_key_until).is_some_and(|until| now < until)
    }

    /// Records that a version was denied, and the same object could be read by its key. Returns true if an operator
    /// should be told.
    pub fn versions_denied(&self, bucket: &str, now: Instant) -> bool {
        self.change(bucket, |facts| {
            facts.by_key_until = Some(now + VERSIONS_DENIED_TIME);
            !std::mem::replace(&mut facts.is_told, true)
        })
    }

    /// Records that a version could be read. Returns true if that was not so before.
    pub fn versions_allowed(&self, bucket: &str) -> bool {
        if self.read().get(bucket).is_none_or(|facts| !facts.is_told) {
            return false;
        }
        self.change(bucket, |facts| {
            facts.by_key_until = None;
            std::mem::take(&mut facts.is_told)
        })
    }

    fn change<T>(&self, bucket: &str, change: impl FnOnce(&mut Facts) -> T) -> T {
        let mut buckets = self.write();
        if buckets.len() >= BUCKETS_KNOWN_MAX && !buckets.contains_key(bucket) {
            buckets.clear();
        }
        change(buckets.entry(bucket.to_owned()).or_default())
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Facts>> {
        read(&self.0)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Facts>> {
        write(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_known_until_a_call_fails_there() {
        let known = Known::default();
        assert!(known.found_in("b", "eu-west-1"));
        assert!(!known.found_in("b", "eu-west-1"), "no news");
        assert_eq!(known.region("b").as_deref(), Some("eu-west-1"));
        known.lost("b");
        assert_eq!(known.region("b"), None);
    }

    #[test]
    fn denied_versions_are_told_once_and_tried_again_later() {
        let (known, now) = (Known::default(), Instant::now());
        assert!(!known.reads_by_key("b", now));
        assert!(known.versions_denied("b", now));
        assert!(!known.versions_denied("b", now), "told already");
        assert!(known.reads_by_key("b", now));
        assert!(!known.reads_by_key("b", now + VERSIONS_DENIED_TIME), "it is not believed for ever");
        assert!(known.versions_allowed("b") && !known.versions_allowed("b"));
        assert!(!known.reads_by_key("b", now));
    }

    #[test]
    fn any_number_of_buckets_takes_bounded_memory() {
        let known = Known::default();
        for number in 0..3 * BUCKETS_KNOWN_MAX {
            known.found_in(&format!("bucket-{number}"), "eu-west-1");
            known.versions_denied(&format!("bucket-{number}"), Instant::now());
            assert!(known.read().len() <= BUCKETS_KNOWN_MAX);
        }
    }
}
