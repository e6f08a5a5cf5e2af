//! A listing that skips objects outside a window of time.
//!
//! A bucket may hold the objects of years, a hundred million, and a few thousand of one day. Keys of a date are adjacent, so
//! after a page that ends outside the window the listing continues where the window begins in that folder, or after it.
//! Keys without a date are all listed, and S3's time of the last change decides.

use jiff::{SignedDuration, Timestamp};

use super::dates::{Form, KeyDate, Precision, dates, day_of, folders_of, time_of};
use crate::aws::{Error, ListObjects, Listed, S3};
use crate::base::limits::AUDIT_WINDOW_DAYS_MAX;

/// A window of time; its end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// A listed object and its time, by [`time_of`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    pub listed: Listed,
    pub time: Timestamp,
}

impl Window {
    /// Returns the object with its time, if that is in the window.
    pub fn take(&self, listed: Listed) -> Option<Timed> {
        let modified = Timestamp::try_from(listed.modified).ok()?;
        let time = time_of(&dates(&listed.key), modified);
        self.contains(time).then_some(Timed { listed, time })
    }

    pub fn contains(&self, time: Timestamp) -> bool {
        self.from <= time && time < self.to
    }

    fn days(&self) -> impl Iterator<Item = jiff::civil::Date> {
        let (mut day, last) = (day_of(self.from), day_of(self.to));
        let mut left = AUDIT_WINDOW_DAYS_MAX;
        std::iter::from_fn(move || {
            left = left.checked_sub(1).filter(|_| day <= last)?;
            let this = day;
            day = day.tomorrow().ok()?;
            Some(this)
        })
    }

    /// The key after which the listing continues, if keys after `key` can be skipped. All keys between the two have a date
    /// outside the window.
    fn pass_over(&self, key: &str, now: Timestamp) -> Option<String> {
        let outside =
            dates(key).into_iter().find(|date| date.span.end <= self.from || self.to <= date.span.start)?;
        let (stem, rest) = key.split_at_checked(outside.at.start)?;
        let next = before(&format!("{stem}{}", self.next_text(&outside, rest, now)?));
        (next.as_str() > key).then_some(next)
    }

    /// The next text after `rest` that may begin a date in the window, in any form, or that follows all dates of this
    /// form.
    fn next_text(&self, date: &KeyDate, rest: &str, now: Timestamp) -> Option<String> {
        // The folders of days are not in order of time, so each may be the next.
        let folders =
            |form| self.days().flat_map(move |day| folders_of(form, day)).map(|day| format!("{day}/"));
        // Within the first day, the hours before the window are skipped.
        let hours = || {
            let text = date.text_of(self.from);
            let (at, _) = text.match_indices('/').nth(2).filter(|_| !date.is_ordered())?;
            let is_here =
                |day: &String| rest.strip_prefix(day.as_str()).is_some_and(|rest| rest.starts_with('/'));
            let day = folders_of(date.form, day_of(self.from)).into_iter().find(is_here)?;
            Some(format!("{day}{}", &text[at..]))
        };
        let in_window = [Form::Hyphens, Form::Compact].map(|form| {
            let precision = if form == date.form { date.precision } else { Precision::Day };
            KeyDate { form, precision, ..date.clone() }.text_of(self.from)
        });
        let tomorrow = now.max(self.to).checked_add(SignedDuration::from_hours(24)).ok()?;
        let end = match date.is_ordered() {
            true => date.text_of(tomorrow),
            // The character after the slash.
            false => format!("{}0", rest.split('/').next().unwrap_or_default()),
        };
        let folders = folders(Form::Folders).chain(folders(Form::Named));
        folders.chain(hours()).chain(in_window).chain([end]).filter(|text| text.as_str() > rest).min()
    }
}

/// The greatest text before `key`.
fn before(key: &str) -> String {
    let mut text = key.to_owned();
    if let Some(last) = text.pop().filter(char::is_ascii).and_then(|last| (last as u8).checked_sub(1)) {
        text.push(char::from(last));
        text.push(char::MAX);
    }
    text
}

/// A listing of the objects of a prefix in a window.
#[derive(Debug)]
pub struct Walk<'w> {
    bucket: &'w str,
    prefix: &'w str,
    window: Window,
    now: Timestamp,
    start_after: String,
    ended: bool,
    /// The number of requested pages.
    pub calls: u64,
}

impl<'w> Walk<'w> {
    /// Creates a listing. No key has a date after the day that follows `now`.
    pub fn new(bucket: &'w str, prefix: &'w str, window: Window, now: Timestamp) -> Walk<'w> {
        Walk { bucket, prefix, window, now, start_after: String::new(), ended: false, calls: 0 }
    }

    /// Returns the next objects in the window, possibly an empty list; None at the end. The next call retries a page that
    /// failed.
    ///
    /// # Errors
    /// Those of [`S3::list`].
    pub fn next_page(&mut self, s3: &S3) -> Result<Option<Vec<Timed>>, Error> {
        if self.ended {
            return Ok(None);
        }
        self.calls += 1;
        let list = ListObjects { bucket: self.bucket, prefix: self.prefix, start_after: &self.start_after };
        let page = s3.list(&list)?;
        self.ended = !page.truncated;
        if let Some(last) = page.objects.last() {
            let over = self.window.pass_over(&last.key, self.now);
            // A listing that leaves its prefix has ended.
            self.ended |= over
                .as_ref()
                .is_some_and(|next| next.as_str() > self.prefix && !next.starts_with(self.prefix));
            self.start_after = over.unwrap_or_else(|| last.key.clone());
        }
        Ok(Some(page.objects.into_iter().filter_map(|listed| self.window.take(listed)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn listed(key: &str, modified: Timestamp) -> Listed {
        let (key, etag) = (key.to_owned(), String::new());
        Listed { key, size: 1, etag, modified: SystemTime::from(modified), archived: false }
    }

    /// As S3 lists: pages of so many keys in order. Returns the keys in the window, and how many calls that took.
    fn walk(keys: &BTreeSet<String>, window: Window, now: Timestamp, page: usize) -> (Vec<String>, usize) {
        let (mut start_after, mut found, mut calls) = (String::new(), Vec::new(), 0);
        loop {
            calls += 1;
            let mut behind = keys.range::<str, _>((
                std::ops::Bound::Excluded(start_after.as_str()),
                std::ops::Bound::Unbounded,
            ));
            let some: Vec<&String> = behind.by_ref().take(page).collect();
            let Some(last) = some.last() else { return (found, calls) };
            // Written long after: only the key tells.
            let timed = some.iter().filter_map(|key| window.take(listed(key, now)));
            found.extend(timed.map(|timed| timed.listed.key));
            if behind.next().is_none() {
                return (found, calls);
            }
            start_after = window.pass_over(last, now).unwrap_or_else(|| (*last).clone());
        }
    }

    /// Two years of objects, a few every hour, of two accounts and in every form.
    fn years(form: usize) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        let mut time = at("2025-01-01T00:00:00Z");
        while time < at("2026-12-20T00:00:00Z") {
            let zoned = time.to_zoned(jiff::tz::TimeZone::UTC);
            for account in ["111111111111", "222222222222"] {
                let text = match form {
                    0 => zoned.strftime("%Y/%m/%d/x_%Y%m%dT%H%MZ_y").to_string(),
                    1 => format!("{}/{}/{}/x", zoned.year(), zoned.month(), zoned.day()),
                    2 => zoned.strftime("year=%Y/month=%m/day=%d/hour=%H/x").to_string(),
                    3 => zoned.strftime("%Y-%m-%d-%H-%M-%S-0F").to_string(),
                    4 => zoned.strftime("%Y/%m/%d/%H/s-1-%Y-%m-%d-%H-%M-%S-0f").to_string(),
                    _ => zoned.strftime("%Y%m%d/%Y%m%dT%H%M%SZ_0").to_string(),
                };
                keys.insert(format!("AWSLogs/{account}/kind/region/{text}"));
            }
            time += SignedDuration::from_mins(20);
        }
        keys
    }

    #[test]
    fn a_day_of_two_years_takes_the_calls_of_a_day() {
        let window = Window { from: at("2026-11-02T05:30:00Z"), to: at("2026-11-03T05:30:00Z") };
        for form in 0..6 {
            let keys = years(form);
            let naive: Vec<String> = keys
                .iter()
                .filter(|key| window.take(listed(key, at("2026-12-20T00:00:00Z"))).is_some())
                .cloned()
                .collect();
            let (found, calls) = walk(&keys, window, at("2026-12-20T00:00:00Z"), 100);
            assert_eq!(found, naive, "form {form}");
            assert!(!found.is_empty());
            // 144 objects in the window and at most as many around it, and a few calls to get there.
            assert!(calls <= 20, "form {form}: {calls} calls for {} keys", keys.len());
        }
    }

    #[test]
    fn what_stands_between_and_behind_the_dates_is_not_passed_over() {
        let window = Window { from: at("2026-11-02T00:00:00Z"), to: at("2026-11-03T00:00:00Z") };
        let now = at("2026-11-29T00:00:00Z");
        for key in ["2026/12/01/x", "2020/01/01/x", "2026-11-20-00-00", "logs/20261120/x", "logs/2020-01-01"]
        {
            let next = window.pass_over(key, now).unwrap();
            assert!(next.as_str() > key);
            for other in ["2027/", "3/x", "AWSLogs/1", "logs/2028x", "logs/a"] {
                assert!(next.as_str() < other || key > other, "{key} -> {next:?} passes over {other}");
            }
        }
        // Several forms side by side.
        for (key, behind) in
            [("20250101/q", "2026/11/02/x"), ("2026-11-20", "2026/11/2/x"), ("2020/01/01/x", "20261102/y")]
        {
            assert!(window.pass_over(key, now).unwrap().as_str() < behind, "{key}");
        }
        assert_eq!(window.pass_over("data/x", now), None);
        assert_eq!(window.pass_over("2026/11/02/x", now), None);
    }

    proptest! {
        /// Naive version: a look at every key.
        #[test]
        fn nothing_in_the_window_is_passed_over(
            days in proptest::collection::vec((0..900i64, 0..3usize, 0..86_400i64, 0..6usize), 1..60),
            from in 0..900i64, length in 1..100i64, page in 1..5usize,
        ) {
            let start = at("2025-01-01T00:00:00Z");
            let keys: BTreeSet<String> = days.iter().map(|(day, stem, second, form)| {
                let time = start + SignedDuration::from_hours(24 * day) + SignedDuration::from_secs(*second);
                let zoned = time.to_zoned(jiff::tz::TimeZone::UTC);
                let stem = ["", "a/", "a/2/"][*stem];
                match form {
                    0 => format!("{stem}{}", zoned.strftime("%Y/%m/%d/x_%Y%m%dT%H%MZ")),
                    1 => format!("{stem}{}/{}/{}/y", zoned.year(), zoned.month(), zoned.day()),
                    2 => format!("{stem}z{}", zoned.strftime("%Y-%m-%d-%H")),
                    3 => format!("{stem}{}", zoned.strftime("%Y%m%d/q")),
                    4 => format!("{stem}{}/{}/{}/{:02}/v", zoned.year(), zoned.month(), zoned.day(), zoned.hour()),
                    _ => format!("{stem}year={}/month={}/day={:02}/w", zoned.year(), zoned.month(), zoned.day()),
                }
            }).collect();
            let from = start + SignedDuration::from_hours(24 * from) + SignedDuration::from_mins(90);
            let window = Window { from, to: from + SignedDuration::from_hours(length) };
            let now = start + SignedDuration::from_hours(24 * 1000);
            let naive: Vec<String> =
                keys.iter().filter(|key| window.take(listed(key, now)).is_some()).cloned().collect();
            let (found, calls) = walk(&keys, window, now, page);
            prop_assert_eq!(found, naive);
            prop_assert!(calls <= keys.len() / page + 1 + keys.len(), "{} calls", calls);
        }
    }
}
