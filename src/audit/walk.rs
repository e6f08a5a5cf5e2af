//! A listing that skips objects outside a window of time.
//!
//! A bucket may hold the objects of years, a hundred million, and a few thousand of one day. Keys of a date are adjacent, so
//! after a page that ends outside the window the listing continues where the window begins in that folder, or after it,
//! but at latest where the days of the month end: after them may come names that are not dates. Keys without a date are
//! listed, and S3's time of the last change decides.

use jiff::{SignedDuration, Timestamp};

use super::dates::{Form, KeyDate, Precision, dates, day_of, finest, folders_of, times_of};
use crate::aws::{Error, ListObjects, Listed, S3};
use crate::base::limits::{AUDIT_SKIP_MARGIN, AUDIT_WINDOW_DAYS_MAX};

/// A window of time; its end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// A listed object and its time in the window, by [`times_of`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    pub listed: Listed,
    pub time: Timestamp,
}

impl Window {
    /// Returns the object with its time, if that is in the window. One whose key has several dates is in the window of
    /// each.
    pub fn take(&self, listed: Listed) -> Option<Timed> {
        let modified = Timestamp::try_from(listed.modified).ok()?;
        let time = times_of(&dates(&listed.key), modified).into_iter().find(|time| self.contains(*time))?;
        Some(Timed { listed, time })
    }

    pub fn contains(&self, time: Timestamp) -> bool {
        self.from <= time && time < self.to
    }

    /// Returns true if the folder names of all days in the window can be tried. A listing for a longer one reads
    /// everything.
    fn is_short(&self) -> bool {
        self.to.duration_since(self.from) <= SignedDuration::from_hours(24 * AUDIT_WINDOW_DAYS_MAX)
    }

    fn days(&self) -> impl Iterator<Item = jiff::civil::Date> {
        let (mut day, last) = (day_of(self.from), day_of(self.to));
        std::iter::from_fn(move || {
            let this = (day <= last).then_some(day)?;
            day = day.tomorrow().ok()?;
            Some(this)
        })
    }

    /// The window with a margin on each side, in which nothing is passed over: a name may be some minutes ahead of its
    /// folder, or have the end of its time besides the start.
    fn wide(&self) -> Window {
        let from = self.from.checked_sub(AUDIT_SKIP_MARGIN).unwrap_or(self.from);
        Window { from, to: self.to.checked_add(AUDIT_SKIP_MARGIN).unwrap_or(self.to) }
    }

    fn overlaps(&self, date: &KeyDate) -> bool {
        self.from < date.span.end && date.span.start < self.to
    }

    /// The key after which the listing continues, if keys after the last one of a page can be skipped. All keys between
    /// the two begin like dates outside the window; those without a date are not among them, unless their names begin
    /// with the digits of one.
    fn pass_over(&self, page: &[&str], now: Timestamp) -> Option<String> {
        let key = *page.last().filter(|_| self.is_short())?;
        let wide = self.wide();
        let dates = dates(key);
        if finest(&dates).any(|date| wide.overlaps(date)) {
            return None;
        }
        // A date further in front may be that of a set-up, below which there are other dates.
        let last = finest(&dates).last()?;
        let outside = dates.iter().find(|date| date.covers(last) && !wide.overlaps(date))?;
        let (stem, rest) = key.split_at_checked(outside.at.start)?;
        if page.iter().any(|other| has_other_dates(other, &key[..outside.at.end], outside)) {
            return None;
        }
        let next = before(&format!("{stem}{}", wide.next_text(outside, rest, now)?));
        (next.as_str() > key).then_some(next)
    }

    /// The next text after `rest` that may begin a date in the window, in any form, that is not like a date, or that
    /// follows all dates of this form.
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
        // The folder of a month or a year may have names with whole dates.
        let below = || {
            let first = folders_of(Form::Folders, day_of(self.from));
            let parents = first.into_iter().flat_map(|day| {
                let month = day.rfind('/').unwrap_or_default();
                [day[..=month].to_owned(), day[..=day.find('/').unwrap_or_default()].to_owned()]
            });
            let names = [Form::Hyphens, Form::Compact]
                .map(|form| KeyDate { form, precision: Precision::Day, ..date.clone() }.text_of(self.from));
            parents.flat_map(|parent| names.clone().map(|name| format!("{parent}{name}"))).collect::<Vec<_>>()
        };
        let tomorrow = now.max(self.to).checked_add(SignedDuration::from_hours(24)).ok()?;
        let end = match date.is_ordered() {
            true => date.text_of(tomorrow),
            // The character after the slash.
            false => format!("{}0", rest.split('/').next().unwrap_or_default()),
        };
        let folders = folders(Form::Folders).chain(folders(Form::Named));
        let texts = folders.chain(hours()).chain(in_window).chain(below()).chain(date.ends_in(rest));
        texts.chain([end]).filter(|text| text.as_str() > rest).min()
    }
}

/// True if a key that begins with the same date as the others has one that contradicts it, or the folder of a year below it:
/// the others may, too.
fn has_other_dates(key: &str, beginning: &str, date: &KeyDate) -> bool {
    let contradicts = |other: &KeyDate| other.at.start > date.at.start && !date.is_near(other);
    let is_year = |name: &str| {
        name.len() == 4 && name.starts_with("20") && name.bytes().all(|byte| byte.is_ascii_digit())
    };
    key.strip_prefix(beginning).is_some_and(|rest| {
        let below = rest.split_once('/').map_or("", |(_, below)| below);
        dates(key).iter().any(contradicts) || below.split('/').any(is_year)
    })
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
    /// The errors of [`S3::list`].
    pub fn next_page(&mut self, s3: &S3) -> Result<Option<Vec<Timed>>, Error> {
        if self.ended {
            return Ok(None);
        }
        self.calls += 1;
        let list = ListObjects { bucket: self.bucket, prefix: self.prefix, start_after: &self.start_after };
        let page = s3.list(&list)?;
        self.ended = !page.truncated;
        if let Some(last) = page.objects.last() {
            let keys: Vec<&str> = page.objects.iter().map(|listed| listed.key.as_str()).collect();
            let over = self.window.pass_over(&keys, self.now);
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
            let texts: Vec<&str> = some.iter().map(|key| key.as_str()).collect();
            start_after = window.pass_over(&texts, now).unwrap_or_else(|| (*last).clone());
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
            // 144 objects in the window and at most twice as many around it, and a call for each month of the two accounts.
            assert!(calls <= 110, "form {form}: {calls} calls for {} keys", keys.len());
        }
    }

    #[test]
    fn what_stands_between_and_behind_the_dates_is_not_passed_over() {
        let window = Window { from: at("2026-11-02T00:00:00Z"), to: at("2026-11-03T00:00:00Z") };
        let now = at("2026-11-29T00:00:00Z");
        for key in ["2026/12/01/x", "2020/01/01/x", "2026-11-20-00-00", "logs/20261120/x", "logs/2020-01-01"]
        {
            let next = window.pass_over(&[key], now).unwrap();
            assert!(next.as_str() > key);
            for other in ["2027/", "3/x", "AWSLogs/1", "logs/2028x", "logs/a"] {
                assert!(next.as_str() < other || key > other, "{key} -> {next:?} passes over {other}");
            }
        }
        // Several forms side by side.
        for (key, behind) in
            [("20250101/q", "2026/11/02/x"), ("2026-11-20", "2026/11/2/x"), ("2020/01/01/x", "20261102/y")]
        {
            assert!(window.pass_over(&[key], now).unwrap().as_str() < behind, "{key}");
        }
        assert_eq!(window.pass_over(&["data/x"], now), None);
        assert_eq!(window.pass_over(&["2026/11/02/x"], now), None);
    }

    /// Times of the last change decide about keys without a date, wherever these are.
    #[test]
    fn names_without_a_date_are_not_passed_over() {
        let window = Window { from: at("2026-11-22T00:00:00Z"), to: at("2026-11-23T00:00:00Z") };
        let now = at("2026-11-22T10:00:00Z");
        for form in ["%Y/%m/%d/f", "%Y/%-m/%-d/f", "year=%Y/month=%m/day=%d/f", "%Y-%m-%d-f", "%Y%m%d/f"] {
            let day = |day: i64| at("2025-01-01T12:00:00Z") + SignedDuration::from_hours(24 * day);
            let text = |time: Timestamp, form: &str| {
                time.to_zoned(jiff::tz::TimeZone::UTC).strftime(form).to_string()
            };
            let mut keys: BTreeSet<String> = (0..800)
                .flat_map(|n| (0..3).map(move |i| (n, i)))
                .map(|(n, i)| format!("logs/{}{i}", text(day(n), form)))
                .collect();
            let undated = [
                "logs/",
                "logs/-",
                "logs/zz",
                "logs/2025/-z",
                "logs/2025/zz.gz",
                "logs/2026/zz-late.gz",
                "logs/2026/11/zz",
                "logs/2026/3/a",
                "logs/2026/11/-a",
                "logs/2025-zz",
                "logs/2026-10-zz",
                "logs/202510zz",
                "logs/2025zz",
                "logs/year=2026/x",
                "logs/year=2026/month=10/z",
                "logs/year=2026/month=10/day=z",
                "logs/2026/11/20261122-a",
                "logs/2026/2026-11-22",
            ];
            keys.extend(undated.map(str::to_owned));
            for page in [1, 2, 7, 100] {
                let (found, calls) = walk(&keys, window, now, page);
                for key in undated {
                    assert!(found.iter().any(|found| found == key), "{form}, pages of {page}: {key}");
                }
                assert!(calls < keys.len() / page / 2 + 150, "{form}, pages of {page}: {calls} calls");
            }
        }
    }

    #[test]
    fn an_object_with_several_dates_is_in_the_window_of_each() {
        let from = |day: &str| {
            let from = at(&format!("{day}T00:00:00Z"));
            Window { from, to: from + SignedDuration::from_hours(24) }
        };
        for key in [
            "trail-2025-01-01/AWSLogs/1/CloudTrail/us-east-1/2026/11/22/1_CloudTrail_us-east-1_20261122T1005Z_a.json.gz",
            "20250101/2026/11/22/f.gz",
            "setup/2025/01/01/2026/11/22/f.gz",
            "2026/11/22/copy-of-2025-01-01.gz",
        ] {
            for (day, is_in) in [("2026-11-22", true), ("2025-01-01", true), ("2026-11-21", false)] {
                let taken = from(day).take(listed(key, at("2026-11-22T10:06:00Z")));
                assert_eq!(taken.is_some(), is_in, "{key} on {day}");
            }
        }
        let late = from("2026-11-22").take(listed("2026/11/21/x_20261122T0005Z", at("2026-11-22T00:10:00Z")));
        assert_eq!(late.unwrap().time, at("2026-11-22T00:05:59Z"));
    }

    /// Folders are not in order of time, and the days of a very long window are not tried one by one.
    #[test]
    fn nothing_of_a_very_long_window_is_passed_over() {
        let keys: BTreeSet<String> = (2014..=2027)
            .flat_map(|year| (1..=12).map(move |month| (year, month)))
            .flat_map(|(year, month)| [1, 2, 10, 28].map(|day| format!("{year}/{month}/{day}/x")))
            .collect();
        for from in ["1970-01-01T00:00:00Z", "2015-03-05T00:00:00Z", "2015-12-10T00:00:00Z"] {
            let window = Window { from: at(from), to: at("2026-11-29T00:00:00Z") };
            let now = at("2027-12-31T00:00:00Z");
            let naive: Vec<String> =
                keys.iter().filter(|key| window.take(listed(key, now)).is_some()).cloned().collect();
            assert!(naive.len() > 500);
            assert_eq!(walk(&keys, window, now, 1).0, naive, "{from}");
        }
    }

    proptest! {
        /// Naive version: a look at every key.
        #[test]
        fn nothing_in_the_window_is_passed_over(
            days in proptest::collection::vec((0..900i64, 0..5usize, 0..86_400i64, 0..8usize), 1..60),
            from in 0..900i64, length in 1..100i64, page in 1..5usize,
        ) {
            let start = at("2025-01-01T00:00:00Z");
            let keys: BTreeSet<String> = days.iter().map(|(day, stem, second, form)| {
                let time = start + SignedDuration::from_hours(24 * day) + SignedDuration::from_secs(*second);
                let zoned = time.to_zoned(jiff::tz::TimeZone::UTC);
                let stem = ["", "a/", "a/2/", "t-2024-01-01/b/", "20240101/"][*stem];
                match form {
                    0 => format!("{stem}{}", zoned.strftime("%Y/%m/%d/x_%Y%m%dT%H%MZ")),
                    1 => format!("{stem}{}/{}/{}/y", zoned.year(), zoned.month(), zoned.day()),
                    2 => format!("{stem}z{}", zoned.strftime("%Y-%m-%d-%H")),
                    3 => format!("{stem}{}", zoned.strftime("%Y%m%d/q")),
                    4 => format!("{stem}{}/{}/{}/{:02}/v", zoned.year(), zoned.month(), zoned.day(), zoned.hour()),
                    // Among themselves: a page must show that dates contradict each other.
                    5 => format!("{stem}copies/{}/copy-of-20250203", zoned.strftime("%Y/%m/%d")),
                    6 => format!("{stem}{}", zoned.strftime("%Y/%m/zz")),
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
