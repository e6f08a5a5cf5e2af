//! The account behind the polled APIs: CloudTrail's LookupEvents, CloudWatch Logs and GuardDuty. Its events appear late,
//! and while it is being read.

use std::time::Duration;

use serde_json::{Value, json};

use super::objects::record;
use super::scheduler::BEGINNING;

/// Distance of the reading of CloudTrail from the present, in minutes.
pub const GAP_MINUTES: u64 = 1;
/// The latest that an event of CloudTrail appears after its time.
const TRAIL_LATE_MAX: Duration = Duration::from_secs(50);
/// The same for log events and findings: a little less than what is documented to be found.
const LATE_MAX: Duration = Duration::from_secs(280);
/// Events from this long before the simulation, in seconds.
pub const HISTORY: u64 = 7_200;
/// Bytes of each event's filling.
pub const FILLING: usize = 300;
/// Findings from this long before the simulation, in seconds.
const FINDINGS_HISTORY: u64 = 600;
const BEGINNING_MILLIS: i64 = BEGINNING as i64 * 1_000;
/// The times of findings from before the beginning are multiples of this, in milliseconds.
const FINDINGS_TIMES: i64 = 15_000;
/// The input that polls, and its region.
pub const POLLING_INPUT: &str = "2";
pub const POLLED_REGION: &str = "eu-west-1";
/// The names of the services that are polled.
pub const TRAIL: &str = "audit-events-all";
pub const LOGS: &str = "simulated-logs";
pub const FINDINGS: &str = "aws-guardduty";
/// The types of the services that have several.
pub const TRAIL_TYPE: &str = "audits_api";
pub const LOGS_TYPE: &str = "logs";
/// The detector of GuardDuty.
pub const DETECTOR: &str = "simulated-detector";

/// An API that is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Trail,
    /// A group of CloudWatch Logs, by its number.
    Logs(usize),
    Findings,
}

/// The events of one API, in the order of their times.
#[derive(Debug)]
pub struct Events {
    pub api: Api,
    /// The number of the object whose records they are.
    pub object: usize,
    events: Vec<Event>,
    /// By then all of them have happened.
    span: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Event {
    /// Milliseconds since 1970.
    time: i64,
    appears: Duration,
    /// The time at which it is updated: from then on it is another event.
    ends: Option<Duration>,
    /// The first event that this one is an update of.
    first: usize,
}

/// An event that has not happened yet.
const UNKNOWN: Event = Event { time: i64::MAX, appears: Duration::MAX, ends: None, first: 0 };

/// A page of items.
#[derive(Debug)]
pub struct Page {
    pub items: Vec<Value>,
    pub token: Option<String>,
}

impl Api {
    /// The name of the source that polls it.
    pub fn source(self) -> String {
        let service = match self {
            Api::Trail => TRAIL.to_owned() + "/" + TRAIL_TYPE,
            Api::Logs(_) => LOGS.to_owned() + "/" + LOGS_TYPE,
            Api::Findings => FINDINGS.to_owned(),
        };
        format!("{POLLING_INPUT}/{service}/{POLLED_REGION}")
    }
}

impl Events {
    /// The part of its checkpoint.
    pub fn part(&self) -> String {
        match self.api {
            Api::Trail => String::new(),
            Api::Logs(group) => group_name(group),
            Api::Findings => DETECTOR.to_owned(),
        }
    }

    /// The number of events before a checkpoint. None: it is not a checkpoint of this API.
    pub fn known(&self, checkpoint: &str) -> Option<usize> {
        let time = match self.api {
            Api::Trail => checkpoint.parse::<jiff::Timestamp>().ok()?.as_millisecond(),
            Api::Logs(_) | Api::Findings => checkpoint.parse().ok()?,
        };
        Some(self.before(time))
    }

    /// `count` events: some before the beginning, the others until `span` has passed.
    pub fn new(api: Api, object: usize, count: usize, span: Duration, random: &mut fastrand::Rng) -> Events {
        let (unit, late_max, history) = match api {
            Api::Trail => (1_000, TRAIL_LATE_MAX, HISTORY),
            Api::Logs(_) => (1, LATE_MAX, HISTORY),
            Api::Findings => (1, LATE_MAX, FINDINGS_HISTORY),
        };
        let units = 1_000 / unit;
        let mut times: Vec<u64> = (0..count)
            .map(|_| (BEGINNING - history) * units + random.u64(..(history + span.as_secs()) * units))
            .collect();
        times.sort_unstable();
        let late = |time: u64| {
            let late = Duration::from_millis(random.u64(..late_max.as_millis() as u64));
            (Duration::from_millis(time * unit) + late).saturating_sub(Duration::from_secs(BEGINNING))
        };
        let appears: Vec<Duration> = times.iter().copied().map(late).collect();
        let event = |(first, (time, appears)): (usize, (u64, Duration))| {
            let time = i64::try_from(time * unit).unwrap_or(i64::MAX);
            Event { time, appears, ends: None, first }
        };
        let mut events: Vec<Event> = times.into_iter().zip(appears).enumerate().map(event).collect();
        if api == Api::Findings {
            // Many have the very same time, and those of later times are yet to come.
            events.iter_mut().for_each(|event| event.time -= event.time % FINDINGS_TIMES);
            let is_to_come = |event: &&mut Event| event.time >= BEGINNING_MILLIS;
            events.iter_mut().filter(is_to_come).for_each(|event| *event = UNKNOWN);
        }
        Events { api, object, events, span }
    }

    /// The number of events before this time, in milliseconds.
    fn before(&self, time: i64) -> usize {
        self.events.partition_point(|event| event.time < time)
    }

    /// Events that have been updated by now, so that nobody can read them any more.
    pub fn superseded(&self, now: Duration) -> impl Iterator<Item = usize> + '_ {
        let ends = move |(_, event): &(usize, &Event)| event.ends.is_some_and(|ends| ends <= now);
        self.events.iter().enumerate().filter(ends).map(|(at, _)| at)
    }

    /// The text that is sent for an event, without what a pull adds to it.
    pub fn text(&self, at: usize) -> String {
        let record = record(self.object, at, FILLING);
        let Some(Event { time, first, .. }) = self.events.get(at).copied() else { return record };
        match self.api {
            Api::Trail => record,
            Api::Logs(group) => json!({
                "logGroup": group_name(group), "logStream": "stream", "id": format!("event-{at}"),
                "timestamp": time, "ingestionTime": time, "message": record,
            })
            .to_string(),
            Api::Findings => {
                let time = jiff::Timestamp::from_millisecond(time).unwrap_or_default();
                format!("{{\"id\":\"finding-{first}\",\"updatedAt\":\"{time}\",\"detail\":{record}}}")
            }
        }
    }

    fn is_seen(&self, at: usize, range: (i64, i64), now: Duration) -> bool {
        let event = self.events[at];
        let is_there = event.appears <= now && event.ends.is_none_or(|ends| now < ends);
        is_there && (range.0..=range.1).contains(&event.time)
    }

    /// Up to `most` events of CloudTrail in a range of seconds with both ends included, the latest first. A token names
    /// the event before which the page begins, and the range. None: it is of another range.
    pub fn lookup(
        &self,
        from: i64,
        to: i64,
        token: Option<&str>,
        most: usize,
        now: Duration,
    ) -> Option<Page> {
        let range = format!("{from}-{to}-");
        let end = token.map_or(Some(self.events.len()), |token| position(token, &range))?;
        let is_seen = |at: &usize| self.is_seen(*at, (from * 1000, to * 1000), now);
        let mut found = (0..end).rev().filter(is_seen).peekable();
        let page: Vec<usize> = found.by_ref().take(most).collect();
        let last = page.last().copied().filter(|_| found.peek().is_some());
        let event = |at: &usize| {
            json!({
                "EventId": format!("event-{at}"),
                "EventName": "Simulated",
                "EventTime": (self.events[*at].time / 1000) as f64,
                "CloudTrailEvent": self.text(*at),
            })
        };
        Some(Page {
            items: page.iter().map(event).collect(),
            token: last.map(|last| format!("{range}{last}")),
        })
    }

    /// Up to `most` log events in a range of milliseconds with both ends included, the oldest first. `most` may be 0.
    pub fn filter(
        &self,
        from: i64,
        to: i64,
        token: Option<&str>,
        most: usize,
        now: Duration,
    ) -> Option<Page> {
        let range = format!("{from}-{to}-");
        let begin = token.map_or(Some(0), |token| position(token, &range))?;
        let mut found = (begin..self.events.len()).filter(|at| self.is_seen(*at, (from, to), now)).peekable();
        let page: Vec<usize> = found.by_ref().take(most).collect();
        let token = found.peek().map(|next| format!("{range}{next}"));
        let event = |at: &usize| {
            json!({
                "eventId": format!("event-{at}"), "logStreamName": "stream", "timestamp": self.events[*at].time,
                "ingestionTime": self.events[*at].time, "message": record(self.object, *at, FILLING),
            })
        };
        Some(Page { items: page.iter().map(event).collect(), token })
    }

    /// Ids of up to `most` findings that were updated at `from` or later, the oldest update first. A token says how many
    /// of them to pass over, so findings that change meanwhile are passed over too, or listed twice.
    pub fn findings(&self, from: i64, token: Option<&str>, most: usize, now: Duration) -> Option<Page> {
        let skip: usize = token.map_or(Ok(0), str::parse).ok()?;
        let is_seen = |at: &usize| self.is_seen(*at, (from, i64::MAX), now);
        let mut found = (0..self.events.len()).filter(is_seen).skip(skip).peekable();
        let page: Vec<usize> = found.by_ref().take(most).collect();
        let token = found.peek().map(|_| (skip + page.len()).to_string());
        let id = |at: &usize| Value::from(format!("finding-{}", self.events[*at].first));
        Some(Page { items: page.iter().map(id).collect(), token })
    }

    /// While findings are being read, new ones come, and others are updated.
    pub fn go_on(&mut self, now: Duration, random: &mut fastrand::Rng) {
        let next = self.events.iter().position(|event| event.time == i64::MAX);
        let count = match next {
            _ if now >= self.span => self.events.len(),
            Some(_) => usize::from(random.u32(..3) == 0),
            None => 0,
        };
        for at in next.unwrap_or(self.events.len())..self.events.len().min(next.unwrap_or(0) + count) {
            let millis = u128::from(BEGINNING) * 1000 + now.as_millis();
            let new = Event { time: i64::try_from(millis).unwrap_or(0), appears: now, ends: None, first: at };
            self.events[at] = new;
            let is_there = |other: &usize| self.is_seen(*other, (i64::MIN, i64::MAX), now);
            let others: Vec<usize> = (0..at).filter(is_there).collect();
            if !others.is_empty() && random.u32(..4) > 0 {
                let other = others[random.usize(..others.len())];
                self.events[other].ends = Some(now);
                self.events[at].first = self.events[other].first;
            }
        }
    }

    /// Findings as they are now.
    pub fn details(&self, ids: &[Value], now: Duration) -> Vec<Value> {
        let first = |id: &Value| id.as_str()?.strip_prefix("finding-")?.parse::<usize>().ok();
        let named: Vec<usize> = ids.iter().filter_map(first).collect();
        let is_named = |at: &usize| named.contains(&self.events[*at].first);
        let is_seen = |at: &usize| self.is_seen(*at, (i64::MIN, i64::MAX), now);
        let found = (0..self.events.len()).filter(|at| is_named(at) && is_seen(at));
        found.filter_map(|at| serde_json::from_str(&self.text(at)).ok()).collect()
    }
}

/// The name of a log group.
pub fn group_name(number: usize) -> String {
    format!("/simulated/{number}")
}

/// The position in a token of this range. None: it is of another range.
fn position(token: &str, range: &str) -> Option<usize> {
    token.strip_prefix(range)?.parse().ok()
}
