//! CloudWatch metrics: every statistic of every metric, in rounds.
//!
//! A round covers a span of whole periods: the metrics are listed, page by page, and the data of each page are
//! read before the next is asked for, so that memory does not grow with the number of metrics, and a metric that
//! appears is found in the next round. Data may come late: a round begins some periods before the end of the last
//! one, and what is read twice is told by metric and time. All times are seconds since 1970.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Number;

use super::paging::{begin_anew, follow};
use super::source::{Event, Next, Page, Progress, Source};
use crate::aws::cloudwatch::{self, Dimension, List, Metric, Point, Query, STATISTICS};
use crate::aws::request::Address;
use crate::aws::{Error, Kind};
use crate::config;
use crate::ledger::{Seen, fingerprint};
use crate::limits::{
    METRIC_DATA_POINTS, METRIC_DATA_QUERIES, METRIC_DELAY, METRIC_LATENESS, METRIC_ROUND_PERIODS,
    POLL_SEEN_MAX,
};

/// ListMetrics' `RecentlyActive` goes back three hours; a round that begins later than this is well within.
const RECENTLY: i64 = 2 * 3600;

/// One region's metrics.
#[derive(Debug)]
pub struct Metrics {
    settings: config::Metrics,
    /// Seconds.
    period: i64,
    endpoint: String,
    region: String,
    /// All periods before have been read once. None: at the first request.
    from: Option<i64>,
    /// Nothing older is sent.
    first: i64,
    round: Option<Round>,
    /// Metrics of the last round.
    metrics: usize,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Round {
    /// Whole periods; `to` is not included.
    from: i64,
    to: i64,
    recently_active: bool,
    /// Index in the namespaces.
    namespace: usize,
    /// Of the next page of the listing.
    token: Option<String>,
    /// All pages of this namespace have been listed.
    listed: bool,
    /// Listed, and not read yet.
    waiting: VecDeque<Metric>,
    reading: Option<Reading>,
    metrics: usize,
    /// Page tokens that were refused.
    restarts: u32,
}

/// The data of some metrics, as far as they have been read.
#[derive(Debug, Default)]
struct Reading {
    metrics: Vec<Metric>,
    token: Option<String>,
    /// By metric and time.
    values: BTreeMap<(usize, i64), [Option<Number>; STATISTICS.len()]>,
}

/// What is sent: one for each metric and time. The names are CloudWatch's own.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Datapoint<'a> {
    namespace: &'a str,
    metric_name: &'a str,
    dimensions: &'a [Dimension],
    timestamp: String,
    period: i64,
    #[serde(flatten)]
    statistics: serde_json::Map<String, serde_json::Value>,
}

impl Metrics {
    /// `endpoint`: of CloudWatch in the region.
    pub fn new(settings: config::Metrics, period: Duration, endpoint: String, region: String) -> Metrics {
        let period = i64::try_from(period.as_secs()).unwrap_or(60).max(1);
        let first = settings.start_time.map_or(i64::MIN, Timestamp::as_second);
        let (from, round, notes) = (None, None, Vec::new());
        Metrics { settings, period, endpoint, region, from, first, round, metrics: 0, notes }
    }

    /// The next span of whole periods that are over, if there is one.
    fn begin_round(&mut self, from: i64, end: i64, now: Timestamp) -> Option<Round> {
        let from = self.within_reach(from, now);
        if end <= from {
            return None;
        }
        let to = end.min(from + METRIC_ROUND_PERIODS * self.period);
        let from = (from - self.lateness()).max(self.first);
        let recently_active = from >= now.as_second() - RECENTLY;
        Some(Round {
            from,
            to,
            recently_active,
            namespace: 0,
            token: None,
            listed: false,
            waiting: VecDeque::new(),
            reading: None,
            metrics: 0,
            restarts: 0,
        })
    }

    /// CloudWatch forgets short periods sooner than long ones.
    fn within_reach(&mut self, from: i64, now: Timestamp) -> i64 {
        let oldest = self.align(now.as_second() - retention(self.period)) + self.period;
        if from < oldest {
            self.notes.push(format!(
                "metrics from {} to {} cannot be read: CloudWatch does not keep them by {} seconds for so long. A larger \
                 \"request_period_in_seconds\" reaches further back",
                shown(from), shown(oldest), self.period
            ));
        }
        from.max(oldest)
    }

    /// How much is read again, in seconds: what may have come late, as far as repeats of so many metrics can be told.
    fn lateness(&self) -> i64 {
        let wanted = (METRIC_LATENESS.as_secs() as i64 / self.period).max(1);
        let told = POLL_SEEN_MAX / 2 / self.metrics.max(1);
        wanted.min(i64::try_from(told).unwrap_or(i64::MAX)) * self.period
    }

    fn align(&self, time: i64) -> i64 {
        time - time.rem_euclid(self.period)
    }

    fn request(&self, round: &Round) -> Next {
        let namespace = self.settings.namespaces.get(round.namespace).map(String::as_str);
        let resource = format!("{} in {}", namespace.unwrap_or("all namespaces"), self.region);
        let address = Address { endpoint: &self.endpoint, region: &self.region, resource: &resource };
        Next::Call(Box::new(match &round.reading {
            None => {
                let token = round.token.as_deref();
                let list = List { namespace, recently_active: round.recently_active, token };
                cloudwatch::list_metrics(&address, &list)
            }
            Some(reading) => {
                let period = u32::try_from(self.period).unwrap_or(u32::MAX);
                let (metrics, token) = (&reading.metrics, reading.token.as_deref());
                let query = Query { metrics, period, from: round.from, to: round.to, token };
                cloudwatch::metric_data(&address, &query)
            }
        }))
    }

    /// After a page: what is asked for next. At the round's end: what is known once it is delivered.
    fn advance(&mut self) -> Progress {
        let Some(mut round) = self.round.take() else { return Progress::default() };
        if round.reading.is_none() && !round.waiting.is_empty() {
            round.reading = Some(Reading { metrics: round.next_metrics(self.period), ..Reading::default() });
        } else if round.reading.is_none() && round.listed {
            round.namespace += 1;
            round.listed = false;
            if round.namespace >= self.settings.namespaces.len() {
                return self.end(&round);
            }
        }
        self.round = Some(round);
        Progress::default()
    }

    fn end(&mut self, round: &Round) -> Progress {
        (self.from, self.metrics) = (Some(round.to), round.metrics);
        self.notes.push(format!(
            "Time range: \"{}\" > \"{}\", {} metrics",
            shown(round.from),
            shown(round.to),
            round.metrics
        ));
        let forget_before = Some(round.to - self.lateness());
        Progress { forget_before, ..all_before(round.to) }
    }

    fn read_list(&mut self, answer: &[u8]) -> Result<Page, serde_json::Error> {
        let listed = cloudwatch::read_list_metrics(answer)?;
        if let Some(round) = &mut self.round {
            follow(&mut round.token, listed.token)?;
            round.listed = round.token.is_none();
            round.metrics += listed.metrics.len();
            round.waiting.extend(listed.metrics);
        }
        Ok(Page { progress: self.advance(), ..Page::default() })
    }

    fn read_data(&mut self, answer: &[u8]) -> Result<Page, serde_json::Error> {
        let data = cloudwatch::read_metric_data(answer)?;
        let Some(round) = &mut self.round else { return Ok(Page::default()) };
        let span = round.from..round.to;
        let Some(reading) = &mut round.reading else { return Ok(Page::default()) };
        follow(&mut reading.token, data.token)?;
        let asked_for = data.points.into_iter().filter(|point| span.contains(&point.time));
        asked_for.for_each(|point| reading.take(point));
        if reading.token.is_some() {
            return Ok(Page::default());
        }
        let events = reading.events(self.period)?;
        round.reading = None;
        Ok(Page { events, progress: self.advance(), ..Page::default() })
    }
}

impl Source for Metrics {
    fn resume(&mut self, checkpoints: &BTreeMap<String, String>) {
        let time = checkpoints.get("").and_then(|value| value.parse::<Timestamp>().ok());
        // Another period may have been set since.
        self.from = time.map(|time| self.align(time.as_second()));
        self.round = None;
    }

    fn next(&mut self, now: Timestamp) -> Next {
        if let Some(round) = &self.round {
            return self.request(round);
        }
        let end = self.align(now.as_second() - METRIC_DELAY.as_secs() as i64);
        let Some(from) = self.from else {
            let start = self.settings.start_time.map_or(end, |start| self.align(start.as_second()));
            let first = *self.from.insert(start);
            self.first = self.first.max(first);
            // Recorded at once, as for every source.
            return Next::Mark(all_before(first));
        };
        self.round = self.begin_round(from, end, now);
        self.round.as_ref().map_or(Next::CaughtUp, |round| self.request(round))
    }

    fn read(&mut self, answer: &[u8]) -> Result<Page, serde_json::Error> {
        let reads_data = self.round.as_ref().is_some_and(|round| round.reading.is_some());
        if reads_data { self.read_data(answer) } else { self.read_list(answer) }
    }

    /// A page token that is no longer good: its list begins anew.
    fn refused(&mut self, error: &Error) -> bool {
        let Some(round) = self.round.as_mut().filter(|_| *error.kind() == Kind::BadRequest) else {
            return false;
        };
        let token = match &mut round.reading {
            Some(reading) => {
                reading.values.clear();
                reading.token.take()
            }
            None => round.token.take(),
        };
        begin_anew(token, &mut round.restarts)
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

impl Round {
    /// As many as one call may ask for: by its number of queries, and by the data that may come.
    fn next_metrics(&mut self, period: i64) -> Vec<Metric> {
        let points = usize::try_from((self.to - self.from) / period).unwrap_or(usize::MAX).max(1);
        let most = (METRIC_DATA_POINTS / points).min(METRIC_DATA_QUERIES) / STATISTICS.len();
        let count = most.clamp(1, self.waiting.len().max(1));
        self.waiting.drain(..count.min(self.waiting.len())).collect()
    }
}

impl Reading {
    fn take(&mut self, point: Point) {
        let Point { metric, statistic, time, value } = point;
        if metric < self.metrics.len() {
            self.values.entry((metric, time)).or_default()[statistic] = Some(value);
        }
    }

    fn events(&mut self, period: i64) -> Result<Vec<Event>, serde_json::Error> {
        let values = std::mem::take(&mut self.values);
        let event = |((metric, time), values): ((usize, i64), [Option<Number>; STATISTICS.len()])| {
            let metric = &self.metrics[metric];
            let named = STATISTICS.iter().zip(values);
            let statistics = named
                .filter_map(|(name, value)| Some(((*name).to_owned(), serde_json::Value::Number(value?))));
            let body = serde_json::to_vec(&Datapoint {
                namespace: &metric.namespace,
                metric_name: &metric.name,
                dimensions: &metric.dimensions,
                timestamp: shown(time),
                period,
                statistics: statistics.collect(),
            })?;
            Ok(Event { key: Some(Seen { id: fingerprint(&identity(metric, time, period)), time }), body })
        };
        values.into_iter().map(event).collect()
    }
}

/// By which a datapoint is told from all others.
fn identity(metric: &Metric, time: i64, period: i64) -> String {
    let mut text = format!("{}\0{}\0", metric.namespace, metric.name);
    for Dimension { name, value } in &metric.dimensions {
        text.push_str(&format!("{name}\0{value}\0"));
    }
    text + &format!("{period}\0{time}")
}

/// How long CloudWatch keeps data of a period ("Metrics retention" in its user guide), in seconds.
fn retention(period: i64) -> i64 {
    const DAY: i64 = 24 * 3600;
    match period {
        ..60 => 3 * 3600,
        60..300 => 15 * DAY,
        300..3600 => 63 * DAY,
        _ => 455 * DAY,
    }
}

fn all_before(time: i64) -> Progress {
    Progress { reached: Timestamp::from_second(time).ok(), ..Progress::up_to(shown(time)) }
}

fn shown(time: i64) -> String {
    Timestamp::from_second(time).unwrap_or(Timestamp::MIN).to_string()
}

#[cfg(test)]
#[path = "metrics/tests.rs"]
mod tests;
