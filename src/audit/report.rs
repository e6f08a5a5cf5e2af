//! The result of an audit, as counts, as JSON and as a sentence.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::judge::{Class, Judged};
use super::walk::{Timed, Window};
use crate::aws::Listed;
use crate::base::text::address;
use crate::telemetry::size;

/// The maximum number of missing objects in a report for people.
pub const NAMED_MAX: usize = 20;

const HOUR: i64 = 3600;

/// A number of objects and their compressed bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub objects: u64,
    pub bytes: u64,
}

impl Counts {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// A reason why objects were refused or skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub counts: Counts,
    /// One of the objects.
    pub example: String,
}

/// An object that is missing or was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub class: Class,
    /// The index of the input.
    pub input: usize,
    pub service: String,
    pub bucket: String,
    pub key: String,
    pub bytes: u64,
    pub etag: String,
    /// The time of writing, in seconds since 1970.
    pub modified: i64,
    /// True if it must be restored from an archive first.
    pub archived: bool,
}

impl Missing {
    pub fn new(bucket: &str, judged: Judged, timed: Timed) -> Missing {
        let Listed { key, size, etag, modified, archived } = timed.listed;
        let modified = second_of(modified);
        let (Judged { input, service, class, .. }, bucket, bytes) = (judged, bucket.to_owned(), size);
        Missing { class, input, service, bucket, key, bytes, etag, modified, archived }
    }

    /// The object as the listing named it.
    pub fn listed(&self) -> Listed {
        let modified = Timestamp::from_second(self.modified).map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
        let (key, etag) = (self.key.clone(), self.etag.clone());
        Listed { key, size: self.bytes, etag, modified, archived: self.archived }
    }
}

fn second_of(time: SystemTime) -> i64 {
    Timestamp::try_from(time).map_or(0, Timestamp::as_second)
}

impl std::fmt::Display for Missing {
    /// Formats the address, as it can be pasted.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&address(&self.bucket, &self.key))
    }
}

/// Counts by input, service and hour, and reasons. Its size is independent of the number of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub window: Window,
    /// The counts, by index of the input, name of the service and first second of the hour.
    hours: BTreeMap<(usize, String, i64), [Counts; Class::ALL.len()]>,
    reasons: BTreeMap<(usize, String, Class, String), Reason>,
    /// Objects in the window that belong to no service.
    pub of_no_service: Counts,
    /// The number of listed pages.
    pub calls: u64,
    /// The parts of its window that the audit could not see, each with the cure. With any of them it is not complete.
    pub gaps: Vec<String>,
    /// The first missing objects.
    pub named: Vec<Missing>,
    /// The oldest missing object of each input, by its index, and bucket.
    pub oldest: BTreeMap<(usize, String), Missing>,
}

impl Report {
    pub fn new(window: Window) -> Report {
        Report {
            window,
            hours: BTreeMap::new(),
            reasons: BTreeMap::new(),
            of_no_service: Counts::default(),
            calls: 0,
            gaps: Vec::new(),
            named: Vec::new(),
            oldest: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, bucket: &str, judged: &Judged, timed: &Timed) {
        let Judged { input, service, class, reason } = judged;
        let second = timed.time.as_second();
        let hour = second - second.rem_euclid(HOUR);
        let counts = self.hours.entry((*input, service.clone(), hour)).or_default();
        counts[place(*class)].add(timed.listed.size);
        if !reason.is_empty() && *class != Class::Missing {
            let example = || address(bucket, &timed.listed.key);
            let key = (*input, service.clone(), *class, reason.clone());
            let new = || Reason { counts: Counts::default(), example: example() };
            self.reasons.entry(key).or_insert_with(new).counts.add(timed.listed.size);
        }
        if *class == Class::Missing {
            self.add_missing(bucket, judged, timed);
        }
    }

    /// Keeps a missing object if it is named in the report. There may be millions, of which hardly any is kept.
    fn add_missing(&mut self, bucket: &str, judged: &Judged, timed: &Timed) {
        let missing = || Missing::new(bucket, judged.clone(), timed.clone());
        match self.oldest.entry((judged.input, bucket.to_owned())) {
            Entry::Occupied(oldest) if oldest.get().modified <= second_of(timed.listed.modified) => (),
            entry => drop(entry.insert_entry(missing())),
        }
        if self.named.len() < NAMED_MAX {
            self.named.push(missing());
        }
    }

    pub fn add_of_no_service(&mut self, bytes: u64) {
        self.of_no_service.add(bytes);
    }

    /// Counts the objects of a class.
    pub fn total(&self, class: Class) -> Counts {
        let all = self.hours.values().map(|counts| counts[place(class)]);
        all.fold(Counts::default(), |sum, counts| Counts {
            objects: sum.objects + counts.objects,
            bytes: sum.bytes + counts.bytes,
        })
    }

    /// Counts the objects of a class of one input.
    pub fn of_input(&self, input: usize, class: Class) -> u64 {
        let own = self.hours.iter().filter(|((index, ..), _)| *index == input);
        own.map(|(_, counts)| counts[place(class)].objects).sum()
    }

    /// Returns true if something is missing or was refused.
    pub fn is_undelivered(&self) -> bool {
        self.total(Class::Missing).objects > 0 || self.total(Class::Refused).objects > 0
    }

    /// Returns true if every object was seen, and is delivered, skipped by a rule, or being sent.
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty() && !self.is_undelivered()
    }

    /// Iterates over the hours in order: input, service, first second, counts by [`Class::ALL`].
    pub fn hours(&self) -> impl Iterator<Item = (usize, &str, i64, &[Counts; Class::ALL.len()])> {
        self.hours.iter().map(|((input, service, hour), counts)| (*input, service.as_str(), *hour, counts))
    }

    /// Iterates over the reasons of a class: input, service, reason.
    pub fn reasons(&self, class: Class) -> impl Iterator<Item = (usize, &str, &str, &Reason)> {
        let own = self.reasons.iter().filter(move |((_, _, of, _), _)| *of == class);
        own.map(|((input, service, _, reason), counts)| (*input, service.as_str(), reason.as_str(), counts))
    }

    /// Summarizes the result in a sentence.
    pub fn sentence(&self) -> String {
        let [delivered, in_work, refused, skipped, missing] = Class::ALL.map(|class| self.total(class));
        let count =
            |counts: Counts, what: &str| format!("{} {what} ({})", counts.objects, size(counts.bytes));
        let mut parts = vec![count(delivered, "delivered")];
        for (counts, what) in [(skipped, "skipped by rules"), (in_work, "in flight")] {
            if counts.objects > 0 {
                parts.push(count(counts, what));
            }
        }
        let known = parts.join(", ");
        let (from, to) = (self.window.from, self.window.to);
        let is_empty = Class::ALL.iter().all(|class| self.total(*class).objects == 0);
        if missing.objects == 0 && !self.gaps.is_empty() {
            let refused = (refused.objects > 0).then(|| count(refused, "rejected"));
            let seen = refused.into_iter().chain([known]).collect::<Vec<_>>().join(", ");
            let seen = if is_empty { "no object of the audited services" } else { &seen };
            return format!(
                "NOT known from {from} to {to}: {seen} could be seen, but not everything that may be there (see \
                 \"not seen\")."
            );
        }
        if is_empty {
            return format!(
                "No object of the audited services is dated from {from} to {to}: nothing was written, or it is elsewhere."
            );
        }
        match (missing.objects, refused.objects) {
            (0, 0) => format!("Complete from {from} to {to}: {known}."),
            (0, _) => format!(
                "Nothing is missing from {from} to {to}, but not everything could be delivered: {}, {known}.",
                count(refused, "rejected")
            ),
            (_, 0) => format!("NOT complete from {from} to {to}: {}, {known}.", count(missing, "missing")),
            (_, _) => format!(
                "NOT complete from {from} to {to}: {}, {}, {known}.",
                count(missing, "missing"),
                count(refused, "rejected")
            ),
        }
    }

    /// The report as JSON, without the list of missing objects. `name` returns the name of an input.
    pub fn json(&self, name: impl Fn(usize) -> String) -> Value {
        let counts = |counts: &[Counts; Class::ALL.len()]| {
            let members =
                Class::ALL.iter().map(|class| (class.name().to_owned(), json!(counts[place(*class)])));
            members.collect::<serde_json::Map<_, _>>()
        };
        let hours: Vec<Value> = self
            .hours()
            .map(|(input, service, hour, of_hour)| {
                let mut row = serde_json::Map::new();
                row.insert("input".to_owned(), name(input).into());
                row.insert("service".to_owned(), service.into());
                row.insert("hour".to_owned(), text_of(hour).into());
                row.extend(counts(of_hour));
                Value::Object(row)
            })
            .collect();
        let reasons = |class| -> Vec<Value> {
            let reasons = self.reasons(class).map(|(input, service, reason, Reason { counts, example })| {
                json!({"input": name(input), "service": service, "reason": reason, "objects": counts.objects,
                       "bytes": counts.bytes, "example": example})
            });
            reasons.collect()
        };
        json!({
            "from": self.window.from.to_string(),
            "to": self.window.to.to_string(),
            "complete": self.is_complete(),
            "sentence": self.sentence(),
            "total": counts(&Class::ALL.map(|class| self.total(class))),
            "hours": hours,
            "rejected": reasons(Class::Refused),
            "skipped": reasons(Class::Skipped),
            "of_no_service": self.of_no_service,
            "calls": self.calls,
            "not_seen": self.gaps,
        })
    }
}

/// Formats a time in seconds since 1970 for people.
pub fn text_of(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(|_| second.to_string(), |time| time.to_string())
}

/// The position of a class in [`Class::ALL`].
pub fn place(class: Class) -> usize {
    Class::ALL.iter().position(|other| *other == class).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        Window { from: at("2026-11-28T00:00:00Z"), to: at("2026-11-29T00:00:00Z") }
    }

    fn add(report: &mut Report, key: &str, class: Class, reason: &str) {
        let time: Timestamp = "2026-11-28T05:07:00Z".parse().unwrap();
        let listed = Listed {
            key: key.to_owned(),
            size: 1024,
            etag: "e".to_owned(),
            modified: SystemTime::from(time),
            archived: false,
        };
        let (service, reason) = ("aws_sqs_vpc".to_owned(), reason.to_owned());
        report.add("b", &Judged { input: 0, service, class, reason }, &Timed { listed, time });
    }

    #[test]
    fn the_sentence_says_whether_it_is_complete() {
        let mut report = Report::new(window());
        // A wrong prefix has no objects either.
        assert!(report.sentence().starts_with("No object of the audited services"), "{}", report.sentence());
        add(&mut report, "a", Class::Delivered, "");
        add(&mut report, "d", Class::Skipped, "skip_rule: x");
        let span = "from 2026-11-28T00:00:00Z to 2026-11-29T00:00:00Z";
        assert!(report.is_complete());
        assert_eq!(
            report.sentence(),
            format!("Complete {span}: 1 delivered (1.0 KiB), 1 skipped by rules (1.0 KiB).")
        );
        add(&mut report, "r", Class::Refused, "damaged");
        assert!(!report.is_complete() && report.sentence().starts_with("Nothing is missing"));
        report.gaps = vec!["the inventory is old".to_owned()];
        assert!(
            report.sentence().starts_with("NOT known") && report.is_undelivered(),
            "{}",
            report.sentence()
        );
        add(&mut report, "m", Class::Missing, "");
        assert_eq!(
            report.sentence(),
            format!(
                "NOT complete {span}: 1 missing (1.0 KiB), 1 rejected (1.0 KiB), 1 delivered (1.0 KiB), 1 skipped by rules (1.0 KiB)."
            )
        );
        let json = report.json(|_| "i".to_owned());
        assert_eq!(json["hours"][0]["hour"], "2026-11-28T05:00:00Z");
        assert_eq!(json["hours"][0]["missing"]["objects"], 1);
        assert_eq!(json["rejected"][0]["reason"], "damaged");
        assert_eq!(json["skipped"][0]["example"], "s3://b/d");
        let missing = &report.named[0];
        assert_eq!(missing.to_string(), "s3://b/m");
        let again: Missing = serde_json::from_str(&serde_json::to_string(missing).unwrap()).unwrap();
        assert_eq!((again.listed().size, again.listed().etag), (1024, "e".to_owned()));
    }

    #[test]
    fn what_could_not_be_seen_is_not_complete() {
        let mut report = Report::new(window());
        report.gaps = vec!["the inventory is old".to_owned()];
        for _ in 0..2 {
            assert!(!report.is_complete() && !report.is_undelivered());
            assert!(report.sentence().starts_with("NOT known from 2026-11-28"), "{}", report.sentence());
            let json = report.json(|_| "i".to_owned());
            assert_eq!(
                (&json["complete"], &json["not_seen"]),
                (&json!(false), &json!(["the inventory is old"]))
            );
            add(&mut report, "a", Class::Delivered, "");
        }
    }

    #[test]
    fn a_report_names_some_of_many() {
        let mut report = Report::new(window());
        (0..1000).for_each(|number| add(&mut report, &number.to_string(), Class::Missing, ""));
        assert_eq!((report.named.len(), report.total(Class::Missing).objects), (NAMED_MAX, 1000));
        assert_eq!(report.of_input(0, Class::Missing), 1000);
        assert_eq!(report.hours().count(), 1);
    }

    #[test]
    fn a_report_keeps_the_oldest_missing_object_of_each_place() {
        let mut report = Report::new(window());
        for (key, input, modified) in [("b", 0, 20), ("a", 0, 10), ("c", 0, 30), ("d", 1, 40)] {
            let judged =
                Judged { input, service: "s".to_owned(), class: Class::Missing, reason: String::new() };
            let modified = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(modified);
            let listed =
                Listed { key: key.to_owned(), size: 1, etag: String::new(), modified, archived: false };
            report.add("bucket", &judged, &Timed { listed, time: report.window.from });
        }
        let oldest: Vec<_> =
            report.oldest.iter().map(|((input, _), missing)| (*input, missing.key.as_str())).collect();
        assert_eq!(oldest, [(0, "a"), (1, "d")]);
    }
}
