//! The date in an object's key. Pure.
//!
//! Services that write logs put the time into the key, so the time of an object is known without reading it, and keys of the
//! same time are adjacent in a listing. The forms are those of the services' key patterns:
//!
//! ```text
//! AWSLogs/1/CloudTrail/us-east-1/2026/11/29/1_CloudTrail_us-east-1_20261129T1005Z_x.json.gz   folders, compact
//! AWSLogs/1/Config/us-east-1/2026/1/5/ConfigHistory/…                                         folders, not padded
//! …/aws-service=vpcflowlogs/aws-region=us-east-1/year=2026/month=11/day=29/hour=10/…          named folders
//! access/2026-11-29-10-05-33-0123456789ABCDEF, dnslogs/2026-11-29/2026-11-29-10-05-9f.csv.gz  hyphens
//! 20261129/20261129T000000Z_20261129T000030Z_x.log.gz, …/eventDay=20261129/…                  compact
//! ```

use std::ops::Range;
use std::sync::LazyLock;

use jiff::civil::{Date, date};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use regex::{Captures, Regex};

use crate::base::limits::AUDIT_SKIP_MARGIN;

/// The notation of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `2026/11/29`, or `2026/1/5`. Such folders are not listed in order of time.
    Folders,
    /// `year=2026/month=11/day=29`.
    Named,
    /// `2026-11-29`.
    Hyphens,
    /// `20261129`.
    Compact,
}

/// The precision of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    Day,
    Hour,
    Minute,
}

/// A date in a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDate {
    pub form: Form,
    pub precision: Precision,
    /// The position of its text in the key.
    pub at: Range<usize>,
    /// The time that it covers; the end is exclusive.
    pub span: Range<Timestamp>,
}

/// One set of groups for each form. The minute is only read where hours and minutes are unambiguous.
static DATES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?:^|/)(?<folders>(?<y1>20\d\d)/(?<m1>\d\d?)/(?<d1>\d\d?)(?:/(?<h1>\d\d)(?:/(?<n1>\d\d))?)?)/",
        r"|(?<named>year=(?<y2>20\d\d)/month=(?<m2>\d\d?)/day=(?<d2>\d\d?)(?:/hour=(?<h2>\d\d))?)/",
        r"|(?:^|[^0-9])(?<hyphens>(?<y3>20\d\d)-(?<m3>\d\d)-(?<d3>\d\d)(?:-(?<h3>\d\d)(?:-(?<n3>\d\d))?)?)(?:[^0-9]|$)",
        r"|(?:^|[^0-9])(?<compact>(?<y4>20\d\d)(?<m4>\d\d)(?<d4>\d\d)(?:T(?<h4>\d\d)(?<n4>\d\d))?)(?:[^0-9]|\d\dZ|$)",
    ))
    .ok()
});

/// Finds the dates in a key, in their order. Impossible dates (February 30) are ignored.
pub fn dates(key: &str) -> Vec<KeyDate> {
    let Some(dates) = DATES.as_ref() else { return Vec::new() };
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(captures) = dates.captures_at(key, from) {
        let Some((date, end)) = read(&captures) else { break };
        // The delimiter after one date may be the delimiter before the next.
        from = end;
        found.extend(date);
    }
    found
}

/// Reads the date of a match, if it is one, and the end of its text.
fn read(captures: &Captures<'_>) -> Option<(Option<KeyDate>, usize)> {
    let forms = [
        (Form::Folders, "folders", ["y1", "m1", "d1", "h1", "n1"]),
        (Form::Named, "named", ["y2", "m2", "d2", "h2", ""]),
        (Form::Hyphens, "hyphens", ["y3", "m3", "d3", "h3", "n3"]),
        (Form::Compact, "compact", ["y4", "m4", "d4", "h4", "n4"]),
    ];
    let (form, text, names) =
        forms.into_iter().find_map(|(form, name, names)| Some((form, captures.name(name)?, names)))?;
    let number = |name: &str| captures.name(name).and_then(|part| part.as_str().parse::<i8>().ok());
    let year = captures.name(names[0]).and_then(|part| part.as_str().parse::<i16>().ok());
    let all = text.range();
    let date = || {
        let date = Date::new(year?, number(names[1])?, number(names[2])?).ok()?;
        let hour = number(names[3]).filter(|hour| *hour < 24);
        let minute = number(names[4]).filter(|minute| hour.is_some() && *minute < 60);
        let (precision, length) = match (hour, minute) {
            (_, Some(_)) => (Precision::Minute, SignedDuration::from_mins(1)),
            (Some(_), None) => (Precision::Hour, SignedDuration::from_hours(1)),
            (None, _) => (Precision::Day, SignedDuration::from_hours(24)),
        };
        let start = date.at(hour.unwrap_or(0), minute.unwrap_or(0), 0, 0).to_zoned(TimeZone::UTC).ok()?;
        let start = start.timestamp();
        Some(KeyDate { form, precision, at: all.clone(), span: start..start.checked_add(length).ok()? })
    };
    Some((date(), all.end))
}

/// Determines the possible times of an object: its last change, limited to each time that its key names.
///
/// A date within which there is a more precise one does not count: the folder has the day, the name the minute. Dates that
/// contradict each other all count, because nothing says which one is the log's and which one a set-up's or a copy's.
pub fn times_of(dates: &[KeyDate], modified: Timestamp) -> Vec<Timestamp> {
    if dates.is_empty() {
        return vec![modified];
    }
    let last = |date: &KeyDate| date.span.end - SignedDuration::from_secs(1);
    finest(dates).map(|date| modified.clamp(date.span.start, last(date))).collect()
}

/// The dates within which there is no more precise one.
pub fn finest(dates: &[KeyDate]) -> impl Iterator<Item = &KeyDate> {
    let is_finer = |one: &KeyDate, other: &KeyDate| one.precision > other.precision && other.covers(one);
    dates.iter().filter(move |date| !dates.iter().any(|other| is_finer(other, date)))
}

impl KeyDate {
    /// Writes `time` in the form and precision of this date.
    pub fn text_of(&self, time: Timestamp) -> String {
        let zoned = time.to_zoned(TimeZone::UTC);
        let (day, hour, minute) = match self.form {
            Form::Folders => ("%Y/%m/%d", "/%H", "/%M"),
            Form::Named => ("year=%Y/month=%m/day=%d", "/hour=%H", ""),
            Form::Hyphens => ("%Y-%m-%d", "-%H", "-%M"),
            Form::Compact => ("%Y%m%d", "T%H", "%M"),
        };
        let mut text = zoned.strftime(day).to_string();
        if self.precision >= Precision::Hour {
            text.push_str(&zoned.strftime(hour).to_string());
        }
        if self.precision >= Precision::Minute && !minute.is_empty() {
            text.push_str(&zoned.strftime(minute).to_string());
        }
        text
    }

    /// Returns true if the other date is a part of this one, or the same.
    pub fn covers(&self, other: &KeyDate) -> bool {
        self.span.start <= other.span.start && other.span.end <= self.span.end
    }

    /// Returns true if the other date is within this one or its margin.
    pub fn is_near(&self, other: &KeyDate) -> bool {
        let from = other.span.start.checked_add(AUDIT_SKIP_MARGIN).unwrap_or(other.span.start);
        let to = other.span.end.checked_sub(AUDIT_SKIP_MARGIN).unwrap_or(other.span.end);
        self.span.start <= from && to <= self.span.end
    }

    /// The texts that follow all days of this date's month, all months of its year, and all years, where `rest` begins with
    /// the date. Names that are not dates may be there.
    pub fn ends_in(&self, rest: &str) -> Vec<String> {
        let is_start = |at: usize| {
            let before = rest[..at].bytes().next_back();
            match self.form {
                Form::Compact => matches!(at, 0 | 4 | 6),
                _ => at < self.at.len() && !before.is_some_and(|byte| byte.is_ascii_digit()),
            }
        };
        let starts = rest.bytes().enumerate().take(self.at.len()).filter(|(_, byte)| byte.is_ascii_digit());
        // The character after the digits.
        starts.filter(|(at, _)| is_start(*at)).take(3).map(|(at, _)| format!("{}:", &rest[..at])).collect()
    }

    /// Returns true if such dates are listed in order of time.
    pub fn is_ordered(&self) -> bool {
        matches!(self.form, Form::Hyphens | Form::Compact)
    }
}

/// The folder names of a day: one-digit months and days may be padded with a zero.
pub fn folders_of(form: Form, day: Date) -> Vec<String> {
    let (year, month, day) = (day.year(), day.month(), day.day());
    let mut texts = Vec::new();
    for (month, day) in [
        (format!("{month:02}"), format!("{day:02}")),
        (format!("{month}"), format!("{day}")),
        (format!("{month:02}"), format!("{day}")),
        (format!("{month}"), format!("{day:02}")),
    ] {
        texts.push(match form {
            Form::Named => format!("year={year}/month={month}/day={day}"),
            _ => format!("{year}/{month}/{day}"),
        });
    }
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// The day of a time, in UTC.
pub fn day_of(time: Timestamp) -> Date {
    let zoned = time.to_zoned(TimeZone::UTC);
    date(zoned.year(), zoned.month(), zoned.day())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(key: &str) -> Vec<String> {
        dates(key)
            .iter()
            .map(|date| format!("{:?} {:?} {}", date.form, date.precision, date.span.start))
            .collect()
    }

    #[test]
    fn the_keys_of_the_services() {
        for (key, expected) in [
            (
                "AWSLogs/123456789012/CloudTrail/us-east-1/2026/11/29/123456789012_CloudTrail_us-east-1_20261129T1005Z_aB3.json.gz",
                &["Folders Day 2026-11-29T00:00:00Z", "Compact Minute 2026-11-29T10:05:00Z"][..],
            ),
            (
                "AWSLogs/1/Config/us-east-1/2026/1/5/ConfigHistory/x.json.gz",
                &["Folders Day 2026-01-05T00:00:00Z"],
            ),
            (
                "a/aws-service=vpcflowlogs/year=2026/month=11/day=29/hour=07/1_vpcflowlogs_x_20261129T0710Z_h.log.gz",
                &["Named Hour 2026-11-29T07:00:00Z", "Compact Minute 2026-11-29T07:10:00Z"],
            ),
            ("access2026-11-29-10-05-33-0123456789ABCDEF", &["Hyphens Minute 2026-11-29T10:05:00Z"]),
            (
                "2026/11/29/10/stream-1-2026-11-29-10-05-33-0f0f0f0f-0000-0000-0000-000000000000.gz",
                &["Folders Hour 2026-11-29T10:00:00Z", "Hyphens Minute 2026-11-29T10:05:00Z"],
            ),
            (
                "1/dnslogs/2026-11-29/2026-11-29-10-05-9f3c.csv.gz",
                &["Hyphens Day 2026-11-29T00:00:00Z", "Hyphens Minute 2026-11-29T10:05:00Z"],
            ),
            ("cdn/E2EXAMPLE1234.2026-11-29-10.ab12cd34.gz", &["Hyphens Hour 2026-11-29T10:00:00Z"]),
            (
                "http/20261129/20261129T000000Z_20261129T000030Z_ab.log.gz",
                &[
                    "Compact Day 2026-11-29T00:00:00Z",
                    "Compact Minute 2026-11-29T00:00:00Z",
                    "Compact Minute 2026-11-29T00:00:00Z",
                ],
            ),
            (
                "aws/S3_DATA/2.0/region=us-east-1/accountId=202611290000/eventDay=20261129/0.gz.parquet",
                &["Compact Day 2026-11-29T00:00:00Z"],
            ),
            ("2026/11/29/10/05/0f0f.json.log.gz", &["Folders Minute 2026-11-29T10:05:00Z"]),
            ("data/0f0f0f0f-2026-1129-8888-ffffffffffff/part-00000.gz", &[]),
            ("2026/02/30/x", &[]),
            ("2026/11/29/99/x", &["Folders Day 2026-11-29T00:00:00Z"]),
            (
                "é2026-11-29é/20261129",
                &["Hyphens Day 2026-11-29T00:00:00Z", "Compact Day 2026-11-29T00:00:00Z"],
            ),
            ("", &[]),
        ] {
            assert_eq!(told(key), expected, "{key}");
        }
    }

    #[test]
    fn the_time_is_that_of_the_key_as_near_to_the_last_change_as_it_allows() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (key, modified, expected) in [
            ("x", "2026-11-29T10:00:00Z", "2026-11-29T10:00:00Z"),
            ("2026/11/29/x", "2026-11-29T10:00:00Z", "2026-11-29T10:00:00Z"),
            ("2026/11/29/x", "2026-11-30T00:05:00Z", "2026-11-29T23:59:59Z"),
            ("2026/11/29/x", "2026-11-01T00:05:00Z", "2026-11-29T00:00:00Z"),
            ("2026/11/29/x_20261129T1005Z_y", "2026-11-29T11:00:00Z", "2026-11-29T10:05:59Z"),
        ] {
            assert_eq!(times_of(&dates(key), at(modified)), [at(expected)], "{key} {modified}");
        }
        // A backup of another day's log.
        let times = times_of(&dates("2026/11/29/x_20250101T1005Z_y"), at("2026-11-29T11:00:00Z"));
        assert_eq!(times, [at("2026-11-29T11:00:00Z"), at("2025-01-01T10:05:59Z")]);
    }

    /// Naive version: tries every place and every form, character by character.
    fn naive(key: &str) -> Vec<(usize, usize, Form)> {
        let bytes = key.as_bytes();
        let digits = |at: usize, count: usize| {
            let part = key.get(at..at + count)?;
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<i32>().unwrap())
        };
        let is = |at: usize, text: &str| key.get(at..).is_some_and(|rest| rest.starts_with(text));
        let digit_at = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        let day = |y: i32, m: i32, d: i32| Date::new(y as i16, m as i8, d as i8).is_ok();
        let year = |at| digits(at, 4).filter(|y| (2000..2100).contains(y));
        let short = |at: usize| digits(at, 2).map(|n| (n, 2)).or_else(|| digits(at, 1).map(|n| (n, 1)));
        let mut found = Vec::new();
        let mut at = 0;
        while at < key.len() {
            let folder = || {
                let y = year(at).filter(|_| at == 0 || bytes[at - 1] == b'/')?;
                let (m, m_len) = short(at + 5).filter(|_| is(at + 4, "/"))?;
                let (d, d_len) = short(at + 6 + m_len).filter(|_| is(at + 5 + m_len, "/"))?;
                let end = at + 6 + m_len + d_len;
                let longer = |end: usize| digits(end + 1, 2).filter(|_| is(end, "/") && is(end + 3, "/"));
                let end = match longer(end) {
                    Some(_) => longer(end + 3).map_or(end + 3, |_| end + 6),
                    None => end,
                };
                is(end, "/").then_some((end, Form::Folders, day(y, m, d)))
            };
            let hyphens = || {
                let y = year(at).filter(|_| at == 0 || !digit_at(at - 1))?;
                let (m, d) = (digits(at + 5, 2)?, digits(at + 8, 2)?);
                let hour = digits(at + 11, 2).filter(|_| is(at + 10, "-"));
                let minute = digits(at + 14, 2).filter(|_| hour.is_some() && is(at + 13, "-"));
                let ends = [minute.map(|_| at + 16), hour.map(|_| at + 13), Some(at + 10)];
                let end = ends.into_iter().flatten().find(|end| !digit_at(*end))?;
                (is(at + 4, "-") && is(at + 7, "-")).then_some((end, Form::Hyphens, day(y, m, d)))
            };
            let compact = || {
                let y = year(at).filter(|_| at == 0 || !digit_at(at - 1))?;
                let (m, d) = (digits(at + 4, 2)?, digits(at + 6, 2)?);
                let seconds = |end: usize| digits(end, 2).is_some() && is(end + 2, "Z");
                let time = digits(at + 9, 4).filter(|_| is(at + 8, "T"));
                let ends = [time.map(|_| at + 13), Some(at + 8)];
                let end = ends.into_iter().flatten().find(|end| !digit_at(*end) || seconds(*end))?;
                Some((end, Form::Compact, day(y, m, d)))
            };
            match folder().or_else(hyphens).or_else(compact) {
                Some((end, form, is_day)) => {
                    if is_day {
                        found.push((at, end, form));
                    }
                    at = end;
                }
                None => at += 1,
            }
        }
        found
    }

    proptest! {
        #[test]
        fn dates_are_found_where_a_naive_version_finds_them(
            parts in proptest::collection::vec(prop_oneof![
                proptest::sample::select(vec!["2026", "11", "29", "1", "5", "/", "-", "T1005", "Z", "T100533Z", "20261129",
                    "2026-11-29", "2026/11/29/", "-10", "x", "é", "99", "0", "a/"]).prop_map(str::to_owned),
            ], 0..12),
        ) {
            let key = parts.concat();
            let found: Vec<_> = dates(&key).iter().map(|d| (d.at.start, d.at.end, d.form)).collect();
            prop_assert_eq!(found, naive(&key), "{}", key);
        }

        #[test]
        fn a_date_is_written_as_it_is_read(seconds in 1_000_000_000i64..4_000_000_000, form in 0..4usize) {
            let time = Timestamp::from_second(seconds).unwrap();
            let models = ["2026/11/29/10/05/", "year=2026/month=11/day=29/hour=10/", "2026-11-29-10-05-", "20261129T1005Z"];
            let model = &dates(models[form])[0];
            let text = model.text_of(time) + if form < 2 { "/" } else { "" };
            let read = dates(&text);
            prop_assert_eq!(read.len(), 1, "{}", text);
            prop_assert!(read[0].span.contains(&time), "{}", text);
            prop_assert_eq!(read[0].precision, model.precision);
        }

        #[test]
        fn no_key_is_too_odd(key in ".*") {
            dates(&key);
        }
    }
}
