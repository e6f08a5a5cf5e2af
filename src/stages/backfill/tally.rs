//! The progress of a backfill.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Verdict;
use crate::ack::Outcome;
use crate::aws::Listed;
use crate::telemetry::Counter;

/// Counts of objects, and bytes if so named. Compressed bytes, as in S3.
#[derive(Debug, Default)]
pub struct Tally {
    pub listed: Counter,
    pub to_send: Counter,
    pub bytes_to_send: Counter,
    pub outside_time: Counter,
    pub skipped: Counter,
    pub of_other_services: Counter,
    pub archived: Counter,
    /// Delivered, now or before.
    pub delivered: Counter,
    pub undelivered: Counter,
    pub bytes_ended: Counter,
    listed_all: AtomicBool,
    /// The key up to which an earlier run has delivered everything; those objects are not counted.
    resumed_after: OnceLock<String>,
}

impl Tally {
    /// Counts a listed object.
    pub fn listed(&self, verdict: &Verdict, object: &Listed) {
        self.listed.increment();
        let counter = match verdict {
            Verdict::Collect(_) => {
                self.bytes_to_send.add(object.size);
                &self.to_send
            }
            Verdict::OutsideTime => &self.outside_time,
            Verdict::Skip => &self.skipped,
            Verdict::OtherService => &self.of_other_services,
            Verdict::Archived => &self.archived,
        };
        counter.increment();
    }

    /// Notes that the listing resumes after this key.
    pub fn resumed_after(&self, key: String) {
        // It is set once.
        let _ = self.resumed_after.set(key);
    }

    /// The key after which the listing resumed, unless it started at the first one.
    pub fn begins_after(&self) -> Option<&str> {
        self.resumed_after.get().map(String::as_str)
    }

    /// Notes that the listing has ended.
    pub fn listed_all(&self) {
        self.listed_all.store(true, Ordering::Release);
    }

    /// Counts the end of the work on an object of this many bytes.
    pub fn ended(&self, outcome: Outcome, bytes: u64) {
        let counter = if outcome == Outcome::Delivered { &self.delivered } else { &self.undelivered };
        counter.increment();
        self.bytes_ended.add(bytes);
    }

    /// True if everything to be sent is delivered, and nothing was left out because it could not be read.
    pub fn is_complete(&self) -> bool {
        self.listed_all.load(Ordering::Acquire)
            && self.delivered.value() == self.to_send.value()
            && self.archived.value() == 0
    }

    /// The listed objects, in words.
    pub fn listing(&self) -> String {
        let parts = [
            (&self.outside_time, "outside --from and --to"),
            (&self.skipped, "without logs, by name or size"),
            (&self.of_other_services, "of other services"),
            (&self.archived, "in an archive"),
        ];
        let mut text = format!("{} objects listed, {} to send", self.listed.value(), self.to_send.value());
        for (counter, what) in parts.iter().filter(|(counter, _)| counter.value() > 0) {
            text.push_str(&format!(", {} {what}", counter.value()));
        }
        if let Some(key) = self.begins_after() {
            text.push_str(&format!(
                ", all of them after {key:?}, up to which an earlier run delivered everything"
            ));
        }
        text
    }
}
