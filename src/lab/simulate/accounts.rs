//! The account behind the polled APIs: CloudTrail's LookupEvents, CloudWatch Logs and metrics, and GuardDuty. Its events
//! appear late, and while it is being read.

use std::collections::BTreeSet;
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
/// Time before its checkpoint from which on a metric is read again; see `docs/api_sources.md`. In milliseconds.
const METRICS_LATENESS: i64 = 900_000;
/// The period of metrics, in seconds.
pub const PERIOD: u64 = 10;
/// A datapoint changes until its period has ended this long ago, in milliseconds.
const SETTLED: i64 = 110_000;
/// Number of metrics, and the part of a period that stands for each: it has one datapoint at most. In milliseconds.
const METRICS_COUNT: u64 = 4;
const SLOT: u64 = PERIOD * 1_000 / METRICS_COUNT;
/// Findings from this long before the simulation, in seconds.
const FINDINGS_HISTORY: u64 = 600;
const PERIOD_MILLIS: i64 = PERIOD as i64 * 1_000;
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
pub const METRICS: &str = "metrics-all";
/// The types of the services that have several.
pub const TRAIL_TYPE: &str = "audits_api";
pub const LOGS_TYPE: &str = "logs";
/// The beginning of a checkpoint's part that says from when on a metric is missing: the checkpoint does not cover it.
pub const LAGGING: &str = "behind ";
/// The detector of GuardDuty.
pub const DETECTOR: &str = "simulated-detector";

/// An API that is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Trail,
    /// A group of CloudWatch Logs, by its number.
    Logs(usize),
    Findings,
    /// CloudWatch's metrics: an event is a datapoint.
    Metrics,
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
    /// The first event that this one is an update of; the number of a datapoint's metric.
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
            Api::Metrics => METRICS.to_owned(),
        };
        format!("{POLLING_INPUT}/{service}/{POLLED_REGION}")
    }
}

impl Events {
    /// The part of its checkpoint.
    pub fn part(&self) -> String {
        match self.api {
            Api::Trail | Api::Metrics => String::new(),
            Api::Logs(group) => group_name(group),
            Api::Findings => DETECTOR.to_owned(),
        }
    }

    /// The number of events before a checkpoint. None: it is not a checkpoint of this API.
    pub fn known(&self, checkpoint: &str) -> Option<usize> {
        let time = || Some(checkpoint.parse::<jiff::Timestamp>().ok()?.as_millisecond());
        let time = match self.api {
            Api::Trail => time()?,
            // Values may be published this much later, and are found.
            Api::Metrics => time()? - METRICS_LATENESS,
            Api::Logs(_) | Api::Findings => checkpoint.parse().ok()?,
        };
        Some(self.before(time))
    }

    /// `count` events: some before the beginning, the others until `span` has passed.
    pub fn new(api: Api, object: usize, count: usize, span: Duration, random: &mut fastrand::Rng) -> Events {
        let (unit, late_max, history) = match api {
            Api::Trail => (1_000, TRAIL_LATE_MAX, HISTORY),
            Api::Logs(_) => (1, LATE_MAX, HISTORY),
            Api::Metrics => (SLOT, LATE_MAX, HISTORY / 2),
            Api::Findings => (1, LATE_MAX, FINDINGS_HISTORY),
        };
        let in_units = |seconds: u64| seconds * 1_000 / unit;
        let (begin, all) = (in_units(BEGINNING - history), in_units(history + span.as_secs()));
        let mut times: Vec<u64> = (0..count).map(|_| begin + random.u64(..all)).collect();
        if api == Api::Metrics {
            let mut slots: BTreeSet<u64> = times.into_iter().collect();
            while slots.len() < count {
                slots.insert(begin + random.u64(..all));
            }
            times = slots.into_iter().collect();
        }
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
        if api == Api::Metrics {
            for event in &mut events {
                event.first = (event.time.unsigned_abs() / SLOT % METRICS_COUNT) as usize;
                event.time -= event.time % PERIOD_MILLIS;
            }
        }
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
            Api::Metrics => {
                let mut point = Events::metric(first);
                point["Timestamp"] =
                    jiff::Timestamp::from_millisecond(time).unwrap_or_default().to_string().into();
                point["Period"] = PERIOD.into();
                point.as_object_mut().into_iter().for_each(|point| {
                    point.extend(
                        self.datapoint(at, None).map(|(name, value)| (name.to_owned(), value.into())),
                    );
                });
                point.to_string()
            }
            Api::Findings => {
                let time = jiff::Timestamp::from_millisecond(time).unwrap_or_default();
                format!("{{\"id\":\"finding-{first}\",\"updatedAt\":\"{time}\",\"detail\":{record}}}")
            }
        }
    }

    /// A datapoint as it is sent, and as CloudWatch has it by now: its values change until it has settled.
    fn datapoint(&self, at: usize, now: Option<Duration>) -> [(&'static str, u64); 5] {
        let event = self.events[at];
        let is_settled = now.is_none_or(|now| event.time + SETTLED + PERIOD_MILLIS <= millis_of(now));
        let (object, at) = (self.object as u64, at as u64);
        let sum = if is_settled { at } else { at / 2 };
        [("Average", 1), ("Maximum", 2), ("Minimum", 0), ("Sum", sum), ("SampleCount", object)]
    }

    fn metric(number: usize) -> Value {
        json!({
            "Namespace": "Simulated", "MetricName": format!("metric-{number}"),
            "Dimensions": [{ "Name": "number", "Value": number.to_string() }],
        })
    }

    /// The metrics that have had data by now.
    pub fn metrics(&self, token: Option<&str>, most: usize, now: Duration) -> Option<Page> {
        let begin = token.map_or(Ok(0), str::parse::<usize>).ok()?;
        let has_data = |number: &usize| {
            let is_its = |at: usize| self.events[at].first == *number && self.events[at].appears <= now;
            (0..self.events.len()).any(is_its)
        };
        let mut found = (begin..METRICS_COUNT as usize).filter(has_data).peekable();
        let page: Vec<usize> = found.by_ref().take(most).collect();
        let token = found.peek().map(usize::to_string);
        Some(Page { items: page.into_iter().map(Events::metric).collect(), token })
    }

    /// A page of the values that a GetMetricData asks for: up to `most` of them. One that `is_partial` lacks some.
    pub fn values(
        &self,
        input: &Value,
        token: Option<&str>,
        most: usize,
        is_partial: bool,
        now: Duration,
    ) -> Option<Page> {
        let bound = |name: &str| input[name].as_i64().unwrap_or(0) * 1_000;
        let range = (bound("StartTime"), bound("EndTime") - 1);
        let begin = token.map_or(Some(0), |token| position(token, "values-"))?;
        let mut found = (begin..self.events.len()).filter(|at| self.is_seen(*at, range, now)).peekable();
        let page: Vec<usize> = found.by_ref().take(most).filter(|at| !is_partial || at % 2 == 0).collect();
        let token = found.peek().map(|next| format!("values-{next}"));
        let series = |query: &Value| {
            let stat = query["MetricStat"]["Stat"].as_str().unwrap_or_default();
            let name = &query["MetricStat"]["Metric"]["MetricName"];
            let is_its = |at: &&usize| *name == Events::metric(self.events[**at].first)["MetricName"];
            let points: Vec<usize> = page.iter().filter(is_its).copied().collect();
            let value =
                |at: &usize| self.datapoint(*at, Some(now)).into_iter().find(|(name, _)| *name == stat);
            json!({
                "Id": query["Id"],
                "StatusCode": if is_partial { "PartialData" } else { "Complete" },
                "Timestamps": points.iter().map(|at| self.events[*at].time / 1_000).collect::<Vec<_>>(),
                "Values": points.iter().filter_map(value).map(|(_, value)| value).collect::<Vec<_>>(),
            })
        };
        let queries = input["MetricDataQueries"].as_array()?;
        Some(Page { items: queries.iter().map(series).collect(), token })
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
            let new = Event { time: millis_of(now), appears: now, ends: None, first: at };
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

/// The time of the simulation as milliseconds since 1970.
fn millis_of(now: Duration) -> i64 {
    BEGINNING_MILLIS + i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// The name of a log group.
pub fn group_name(number: usize) -> String {
    format!("/simulated/{number}")
}

/// The position in a token of this range. None: it is of another range.
fn position(token: &str, range: &str) -> Option<usize> {
    token.strip_prefix(range)?.parse().ok()
}
