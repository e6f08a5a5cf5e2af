//! CloudWatch metrics: every statistic of every metric, in rounds.
//!
//! A round covers a range of whole periods: the metrics are listed, page by page, and the data of each page is read
//! before the next is requested, so that memory does not grow with the number of metrics, and a new metric is found in
//! the next round. Data may come late: a round begins some periods before the end of the last one, and repeats are
//! recognized by metric and time. All times are seconds since 1970.
//!
//! Each call's metrics are a checkpoint inside the round. A metric that CloudWatch does not return is passed over, and
//! its data is requested at the end of each round from where it is missing, until it is returned.

mod mark;
mod place;
mod units;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Number;

use super::moment::{GoOn, Moment};
use super::paging::{Circle, begin_anew, follow};
use super::place::{place_text, read_place};
use super::source::{BadAnswer, Event, LeftOut, Next, Page, PageSource, Progress};
use crate::aws::cloudwatch::{self, Dimension, List, Metric, Point, Query, STATISTICS};
use crate::aws::request::Address;
use crate::aws::{Error, Kind, Unusable};
use crate::base::limits::{
    METRIC_DATA_POINTS, METRIC_DATA_QUERIES, METRIC_DELAY, METRIC_LATENESS, METRIC_ROUND_PERIODS,
    METRICS_BEHIND_MAX, POLL_SEEN_MAX,
};
use crate::base::text::fingerprint;
use crate::ledger::Seen;
use crate::settings;
use mark::{mark_of, name_of};
use place::{PLACE, Place};
use units::{UNITS, Units};

/// ListMetrics' `RecentlyActive` goes back three hours; a round that begins later than this is well within.
const RECENTLY: i64 = 2 * 3600;

/// One region's metrics.
#[derive(Debug)]
pub struct Metrics {
    settings: settings::Metrics,
    /// Seconds.
    period: i64,
    endpoint: String,
    region: String,
    /// All periods before have been read once. None at the first request.
    from: Option<i64>,
    /// Nothing older is sent.
    first: i64,
    /// By metric, as JSON: from when on its data is missing.
    behind: BTreeMap<String, i64>,
    /// An earlier process's position.
    place: Option<Place>,
    round: Option<Round>,
    /// The progress from passing over an item, to be recorded next.
    mark: Option<Progress>,
    /// Data that has been read and needs no further call.
    page: Option<Page>,
    units: Units,
    /// Metrics of the last round.
    metrics: usize,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Round {
    /// The ends are whole periods, `to` exclusive. The token is that of the current page.
    place: Place,
    /// Token of the next page of the listing.
    token: Option<String>,
    circle: Circle,
    /// All pages of this namespace have been listed.
    listed: bool,
    /// Listed, but not read yet.
    waiting: VecDeque<Metric>,
    reading: Option<Reading>,
    /// The metrics with missing data, to be requested after all others. None before their turn.
    behind: Option<VecDeque<String>>,
    /// Number of refused page tokens.
    restarts: u32,
}

/// The data of some metrics, as far as it has been read.
#[derive(Debug, Default)]
struct Reading {
    /// Whole periods; `to` is exclusive.
    from: i64,
    to: i64,
    metrics: Vec<Metric>,
    pages: u32,
    /// By metric and statistic: CloudWatch's latest status.
    statuses: BTreeMap<(usize, usize), String>,
    token: Option<String>,
    circle: Circle,
    /// By metric and time.
    values: BTreeMap<(usize, i64), [Option<Number>; STATISTICS.len()]>,
    /// All data has been read; these metrics' units are requested, each at a time with data.
    units_wanted: VecDeque<(usize, i64)>,
}

/// The sent event: one per metric and time. The names are CloudWatch's own.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Datapoint<'a> {
    namespace: &'a str,
    metric_name: &'a str,
    dimensions: &'a [Dimension],
    timestamp: String,
    period: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(flatten)]
    statistics: serde_json::Map<String, serde_json::Value>,
}

impl Metrics {
    /// `endpoint` is CloudWatch's in the region.
    pub fn new(settings: settings::Metrics, period: Duration, endpoint: String, region: String) -> Metrics {
        let period = i64::try_from(period.as_secs()).unwrap_or(60).max(1);
        let first = settings.start_time.map_or(i64::MIN, Timestamp::as_second);
        Metrics {
            units: Units::new(settings.units),
            settings,
            period,
            endpoint,
            region,
            from: None,
            first,
            behind: BTreeMap::new(),
            place: None,
            round: None,
            mark: None,
            page: None,
            metrics: 0,
            notes: Vec::new(),
        }
    }

    /// The next range of whole past periods, if there is one.
    fn begin_round(&mut self, from: i64, end: i64, now: Timestamp) -> Option<Round> {
        let from = self.within_reach(from, now);
        if end <= from {
            return None;
        }
        let since = from;
        let to = end.min(from + METRIC_ROUND_PERIODS * self.period);
        let from = (from - self.lateness()).max(self.first);
        if to <= from {
            return None;
        }
        let new = Place {
            since,
            from,
            to,
            period: self.period,
            recently_active: from >= now.as_second() - RECENTLY,
            namespaces: self.settings.namespaces.clone(),
            ..Place::default()
        };
        let place = self.place.take().filter(|place| place.is_of(&new, end)).unwrap_or(new);
        Some(Round {
            token: place.token.clone(),
            circle: Circle::default(),
            place,
            listed: false,
            waiting: VecDeque::new(),
            reading: None,
            behind: None,
            restarts: 0,
        })
    }

    /// The position after the checkpoint `from`. None if it is too early.
    fn go_on(&mut self, from: i64, moment: &Moment) -> Option<i64> {
        let position = Timestamp::from_second(from).unwrap_or(Timestamp::MAX);
        match moment.go_on(position, self.settings.start_time, METRIC_DELAY) {
            GoOn::There => Some(from),
            GoOn::Later => None,
            GoOn::Back(to) => {
                let to = self.align(to.as_second());
                let (from, shown_to) = (shown(from), shown(to));
                self.notes
                    .push(format!("the checkpoint {from} is in the future; reading resumes at {shown_to}"));
                Some(*self.from.insert(to))
            }
        }
    }

    /// CloudWatch expires short periods sooner than long ones.
    fn within_reach(&mut self, from: i64, now: Timestamp) -> i64 {
        let oldest = self.align(now.as_second() - retention(self.period)) + self.period;
        if from < oldest {
            self.notes.push(format!(
                "metrics from {} to {} cannot be read: CloudWatch does not keep a period of {} s that long. A larger \
                 \"request_period_in_seconds\" reaches further back",
                shown(from), shown(oldest), self.period
            ));
        }
        from.max(oldest)
    }

    /// The range that is read again, in seconds: for late data, as far as repeats of this many metrics can be
    /// recognized.
    fn lateness(&self) -> i64 {
        let wanted = (METRIC_LATENESS.as_secs() as i64 / self.period).max(1);
        let told = POLL_SEEN_MAX / 2 / self.metrics.max(1);
        wanted.min(i64::try_from(told).unwrap_or(i64::MAX)) * self.period
    }

    fn align(&self, time: i64) -> i64 {
        time - time.rem_euclid(self.period)
    }

    fn request(&self, round: &Round) -> Next {
        let namespace = self.settings.namespaces.get(round.place.namespace).map(String::as_str);
        let resource = format!("{} in {}", namespace.unwrap_or("all namespaces"), self.region);
        let address = Address { endpoint: &self.endpoint, region: &self.region, resource: &resource };
        Next::Call(Box::new(match &round.reading {
            None => {
                let token = round.token.as_deref();
                let list = List { namespace, recently_active: round.place.recently_active, token };
                cloudwatch::list_metrics(&address, &list)
            }
            Some(reading) => {
                let period = u32::try_from(self.period).unwrap_or(u32::MAX);
                if let Some((metric, time)) = reading.units_wanted.front() {
                    let request = cloudwatch::metric_unit(&address, &reading.metrics[*metric], period, *time);
                    return Next::Call(Box::new(request));
                }
                let (metrics, token) = (&reading.metrics, reading.token.as_deref());
                let query = Query { metrics, period, from: reading.from, to: reading.to, token };
                cloudwatch::metric_data(&address, &query)
            }
        }))
    }

    /// Ends a page: the next request, and the state once it is delivered.
    fn advance(&mut self) -> Progress {
        let Some(mut round) = self.round.take() else { return Progress::default() };
        if round.reading.is_none() {
            round.begin_reading(self.period);
        }
        if round.reading.is_none() && round.is_listed(self.settings.namespaces.len().max(1)) {
            round.behind.get_or_insert_with(|| self.behind.keys().cloned().collect());
            self.begin_behind(&mut round);
            if round.reading.is_none() {
                return self.end(&round);
            }
        }
        let checkpoints = vec![(PLACE.to_owned(), place_text(&round.place))];
        self.round = Some(round);
        Progress { checkpoints, ..Progress::default() }
    }

    /// The next metric with missing data.
    fn begin_behind(&self, round: &mut Round) {
        let oldest = round.place.to - retention(self.period);
        while let Some(name) = round.behind.as_mut().and_then(VecDeque::pop_front) {
            let missing = self.behind.get(&name).zip(serde_json::from_str(&name).ok());
            let Some((from, metric)) = missing else { continue };
            let from = self.align((*from).max(oldest));
            let to = round.place.to.min(from + METRIC_ROUND_PERIODS * self.period);
            if to <= from {
                continue;
            }
            round.reading = Some(Reading { from, to, metrics: vec![metric], ..Reading::default() });
            return;
        }
    }

    fn end(&mut self, round: &Round) -> Progress {
        let Place { from, to, metrics, .. } = round.place;
        (self.from, self.metrics) = (Some(to), metrics);
        self.notes.push(format!("Time range: \"{}\" > \"{}\", {metrics} metrics", shown(from), shown(to)));
        let forget_before = Some(to - self.lateness());
        Progress { forget_before, ..all_before(to) }
    }

    fn read_list(&mut self, answer: &[u8]) -> Result<Page, BadAnswer> {
        let listed = cloudwatch::read_list_metrics(answer)?;
        let Some(round) = &mut self.round else { return Ok(Page::default()) };
        let this_page = round.token.clone();
        follow(&mut round.token, &mut round.circle, listed.token)?;
        (round.place.token, round.listed) = (this_page, round.token.is_none());
        let goes_on = listed.metrics.is_empty() && round.token.is_some();
        let after = round.place.after;
        let begin =
            listed.metrics.iter().position(|metric| Some(mark_of(metric)) == after).map_or(0, |at| at + 1);
        if after.is_none() {
            round.place.metrics += listed.metrics.len();
        }
        let behind = &self.behind;
        let wanted =
            listed.metrics.into_iter().skip(begin).filter(|metric| !behind.contains_key(&name_of(metric)));
        round.waiting.extend(wanted);
        Ok(Page { goes_on, progress: self.advance(), ..Page::default() })
    }

    fn read_data(&mut self, answer: &[u8]) -> Result<Page, BadAnswer> {
        let data = cloudwatch::read_metric_data(answer)?;
        let Some(round) = &mut self.round else { return Ok(Page::default()) };
        let Some(reading) = &mut round.reading else { return Ok(Page::default()) };
        follow(&mut reading.token, &mut reading.circle, data.token)?;
        reading.pages += 1;
        let goes_on = data.points.is_empty() && reading.token.is_some();
        let span = reading.from..reading.to;
        let asked_for = data.points.into_iter().filter(|point| span.contains(&point.time));
        asked_for.for_each(|point| reading.take(point));
        reading.statuses.extend(
            data.statuses.into_iter().map(|(metric, statistic, status)| ((metric, statistic), status)),
        );
        if reading.token.is_some() {
            // If the program ends before the last page, it requests fewer at once.
            let fewer = reading.metrics.len() / 2;
            let place = Place { batch_max: Some(fewer.max(1)), ..round.place.clone() };
            let checkpoints =
                (fewer > 0).then(|| (PLACE.to_owned(), place_text(&place))).into_iter().collect();
            let progress = Progress { checkpoints, ..Progress::default() };
            return Ok(Page { goes_on, progress, ..Page::default() });
        }
        if !std::mem::take(&mut round.place.without_units) {
            reading.want_units(&self.units);
        }
        if reading.units_wanted.is_empty() {
            return self.finish_reading();
        }
        // If the program ends before the last answer, the next one does not ask: datapoints must get through.
        let place = Place { without_units: true, ..round.place.clone() };
        let checkpoints = vec![(PLACE.to_owned(), place_text(&place))];
        Ok(Page { progress: Progress { checkpoints, ..Progress::default() }, ..Page::default() })
    }

    /// Reads the requested unit.
    fn read_unit(&mut self, answer: &[u8]) -> Result<Page, BadAnswer> {
        let unit = cloudwatch::read_metric_unit(answer)?;
        let Some(reading) = self.round.as_mut().and_then(|round| round.reading.as_mut()) else {
            return Ok(Page::default());
        };
        if let Some((metric, _)) = reading.units_wanted.pop_front() {
            self.units.learn(&reading.metrics[metric], unit);
        }
        if reading.units_wanted.is_empty() {
            return self.finish_reading();
        }
        let checkpoints = self.units.checkpoint().into_iter().collect();
        Ok(Page { progress: Progress { checkpoints, ..Progress::default() }, ..Page::default() })
    }

    /// Finishes the events of the metrics, since all their data is there.
    fn finish_reading(&mut self) -> Result<Page, BadAnswer> {
        let Some(reading) = self.round.as_mut().and_then(|round| round.reading.as_mut()) else {
            return Ok(Page::default());
        };
        let events = reading.events(self.period, &self.units)?;
        let (left_out, mut checkpoints) = self.end_reading();
        let mut progress = self.advance();
        progress.checkpoints.append(&mut checkpoints);
        progress.checkpoints.extend(self.units.checkpoint());
        Ok(Page { events, left_out, progress, ..Page::default() })
    }

    fn asks_for_unit(&self) -> bool {
        let reading = self.round.as_ref().and_then(|round| round.reading.as_ref());
        reading.is_some_and(|reading| !reading.units_wanted.is_empty())
    }

    /// Ends the data of some metrics: notes which of them CloudWatch has not returned, and from when on they are
    /// missing.
    fn end_reading(&mut self) -> (Vec<LeftOut>, Vec<(String, String)>) {
        let (mut left_out, mut checkpoints) = (Vec::new(), Vec::new());
        let Some(round) = &mut self.round else { return (left_out, checkpoints) };
        let Some(reading) = round.reading.take() else { return (left_out, checkpoints) };
        let (is_behind, end) = (round.behind.is_some(), round.place.to);
        if !is_behind {
            round.place.after = reading.metrics.last().map(mark_of);
        }
        for (at, metric) in reading.metrics.iter().enumerate() {
            if let Some(status) = reading.failure(at) {
                let why = format!("CloudWatch says StatusCode {status}");
                left_out.push(LeftOut { item: for_people(metric), why });
                checkpoints.extend(self.fall_behind(name_of(metric), reading.from));
            } else if is_behind {
                checkpoints.push(self.catch_up(name_of(metric), reading.to, end));
            }
        }
        (left_out, checkpoints)
    }

    /// Notes that a metric's missing data has been read up to a time.
    fn catch_up(&mut self, name: String, to: i64, end: i64) -> (String, String) {
        let part = behind_part(&name);
        if to < end {
            self.behind.insert(name, to);
            return (part, to.to_string());
        }
        self.behind.remove(&name);
        (part, String::new())
    }

    /// Notes that a metric's data is missing from a time on. If there are too many, only the part that the next rounds
    /// read again anyway is requested again.
    fn fall_behind(&mut self, name: String, from: i64) -> Option<(String, String)> {
        if self.behind.contains_key(&name) || self.behind.len() >= METRICS_BEHIND_MAX {
            return None;
        }
        self.behind.insert(name.clone(), from);
        Some((behind_part(&name), from.to_string()))
    }
}

impl PageSource for Metrics {
    fn resume(&mut self, checkpoints: &BTreeMap<String, String>) {
        let time = checkpoints.get("").and_then(|value| value.parse::<Timestamp>().ok());
        // The configured period may have changed since.
        self.from = time.map(|time| self.align(time.as_second()));
        let behind = |(part, value): (&String, &String)| {
            Some((part.strip_prefix(BEHIND)?.to_owned(), value.parse().ok()?))
        };
        self.behind = checkpoints.iter().filter_map(behind).collect();
        self.place = checkpoints.get(PLACE).and_then(|value| read_place(value));
        self.units.resume(checkpoints.get(UNITS));
        (self.round, self.mark, self.page) = (None, None, None);
    }

    fn can_read(&self, part: &str, value: &str) -> bool {
        match part.starts_with(BEHIND) {
            true => value.parse::<i64>().is_ok(),
            false => !part.is_empty() || value.parse::<Timestamp>().is_ok(),
        }
    }

    fn rewind(&mut self, moment: &Moment) -> Progress {
        let latest = self.align(moment.latest(self.settings.start_time, METRIC_DELAY).as_second());
        let mut checkpoints = Vec::new();
        if self.place.take_if(|place| place.to > latest).is_some() {
            checkpoints.push((PLACE.to_owned(), String::new()));
        }
        if let Some(from) = self.from.as_mut().filter(|from| **from > latest) {
            *from = latest;
            checkpoints.push((String::new(), shown(latest)));
        }
        for (name, from) in self.behind.iter_mut().filter(|(_, from)| **from > latest) {
            *from = latest;
            checkpoints.push((behind_part(name), latest.to_string()));
        }
        Progress { checkpoints, ..Progress::default() }
    }

    fn next(&mut self, moment: &Moment) -> Next {
        let now = moment.now;
        if let Some(page) = self.page.take() {
            return Next::Give(page);
        }
        if let Some(progress) = self.mark.take() {
            return Next::Mark(progress);
        }
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
        self.round = self.go_on(from, moment).and_then(|from| self.begin_round(from, end, now));
        self.round.as_ref().map_or(Next::CaughtUp, |round| self.request(round))
    }

    fn read(&mut self, answer: &[u8]) -> Result<Page, BadAnswer> {
        if self.asks_for_unit() {
            return self.read_unit(answer);
        }
        let reads_data = self.round.as_ref().is_some_and(|round| round.reading.is_some());
        if reads_data { self.read_data(answer) } else { self.read_list(answer) }
    }

    /// Reacts to a page token that is no longer valid: its list restarts. Or to refused metrics: fewer of them.
    fn refused(&mut self, error: &Error) -> bool {
        let is_wrong = matches!(error.kind(), Kind::BadRequest | Kind::NotFound) && !self.asks_for_unit();
        if self.round.is_none() {
            // It was resumed.
            self.place = None;
        }
        let Some(round) = self.round.as_mut().filter(|_| is_wrong) else { return false };
        let token = match &mut round.reading {
            Some(reading) => reading.drop_token(),
            None => round.token.take(),
        };
        if token.is_some() {
            return begin_anew(token, &mut round.restarts);
        }
        round.split()
    }

    fn reads_items(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.reading.is_some())
    }

    /// Passes over the requested metrics, as far as the start of their missing data can be stored. Without the
    /// permission no metric can be read at all.
    fn leave_out(&mut self, error: &Error) -> Option<String> {
        let reading = self.round.as_ref()?.reading.as_ref().filter(|_| *error.kind() != Kind::Denied)?;
        let names: Vec<String> = reading.metrics.iter().map(name_of).collect();
        let new = names.iter().filter(|name| !self.behind.contains_key(*name)).count();
        if self.behind.len() + new > METRICS_BEHIND_MAX {
            return None;
        }
        let item = match &reading.metrics[..] {
            [metric] => for_people(metric),
            metrics => format!("{} metrics", metrics.len()),
        };
        let (from, last) = (reading.from, reading.metrics.last().map(mark_of));
        let mut checkpoints: Vec<_> =
            names.into_iter().filter_map(|name| self.fall_behind(name, from)).collect();
        if let Some(round) = &mut self.round {
            round.reading = None;
            if round.behind.is_none() {
                round.place.after = last;
            }
        }
        let mut progress = self.advance();
        progress.checkpoints.append(&mut checkpoints);
        self.mark = Some(progress);
        Some(item)
    }

    /// Datapoints are worth more than their units.
    fn forgo(&mut self, error: &Error) -> Option<&'static str> {
        if !self.asks_for_unit() {
            return None;
        }
        let reading = self.round.as_mut().and_then(|round| round.reading.as_mut());
        reading.into_iter().for_each(|reading| reading.units_wanted.clear());
        // An event that cannot be written is one that cannot be read: the round requests it again.
        self.page = Some(self.finish_reading().unwrap_or_default());
        if *error.kind() != Kind::Denied {
            return Some("these datapoints are sent without their Unit");
        }
        self.units.stop_asking();
        Some(
            "metrics are sent without their unknown Unit until the collector restarts. Allow \
             cloudwatch:GetMetricStatistics, or write \"metric_units\": false",
        )
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

impl Round {
    /// The next metrics of the page, or the next page.
    fn begin_reading(&mut self, period: i64) {
        if self.waiting.is_empty() {
            (self.place.token, self.place.after) = (self.token.clone(), None);
            return;
        }
        let metrics = self.next_metrics(period);
        self.reading =
            Some(Reading { from: self.place.from, to: self.place.to, metrics, ..Reading::default() });
    }

    /// Ends the round if all namespaces have been listed; else the next one is.
    fn is_listed(&mut self, namespaces: usize) -> bool {
        if self.listed {
            (self.place.namespace, self.listed) = (self.place.namespace + 1, false);
        }
        self.place.namespace >= namespaces
    }

    /// The maximum for one call: by its number of queries, and by the expected data.
    fn next_metrics(&mut self, period: i64) -> Vec<Metric> {
        let span = self.place.to - self.place.from;
        let points = usize::try_from(span / period).unwrap_or(usize::MAX).max(1);
        let most = (METRIC_DATA_POINTS / points).min(METRIC_DATA_QUERIES) / STATISTICS.len();
        let most = most.min(self.place.batch_max.unwrap_or(most));
        let count = most.clamp(1, self.waiting.len().max(1));
        self.waiting.drain(..count.min(self.waiting.len())).collect()
    }

    /// Requests fewer metrics with one call. Returns false if it is only one.
    fn split(&mut self) -> bool {
        let Some(reading) = &mut self.reading else { return false };
        let half = reading.metrics.len() / 2;
        if half > 0 {
            reading.metrics.drain(half..).rev().for_each(|metric| self.waiting.push_front(metric));
        }
        half > 0
    }
}

impl Reading {
    /// Restarts the listing of the data.
    fn drop_token(&mut self) -> Option<String> {
        self.pages = 0;
        self.values.clear();
        self.statuses.clear();
        self.token.take()
    }

    /// The status of a metric that CloudWatch has not returned completely.
    fn failure(&self, metric: usize) -> Option<&str> {
        let statuses = self.statuses.range((metric, 0)..(metric + 1, 0));
        statuses.map(|(_, status)| status.as_str()).find(|status| *status != "Complete")
    }

    fn take(&mut self, point: Point) {
        let Point { metric, statistic, time, value } = point;
        if metric < self.metrics.len() {
            self.values.entry((metric, time)).or_default()[statistic] = Some(value);
        }
    }

    /// Requests one unit per metric that has data and an unknown unit; metrics with the same unit share it.
    fn want_units(&mut self, units: &Units) {
        let mut asked = BTreeSet::new();
        for (metric, time) in self.values.keys() {
            let one = &self.metrics[*metric];
            if units.wants(one) && asked.insert(units::key(one)) {
                self.units_wanted.push_back((*metric, *time));
            }
        }
    }

    fn events(&mut self, period: i64, units: &Units) -> Result<Vec<Event>, Unusable> {
        let mut values = std::mem::take(&mut self.values);
        // Incomplete ones are sent when they can be read completely: the next round finds what appeared between two
        // pages.
        values.retain(|(metric, _), values| {
            self.failure(*metric).is_none() && (self.pages < 2 || values.iter().all(Option::is_some))
        });
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
                unit: units.of(metric),
                statistics: statistics.collect(),
            });
            let body = body.map_err(Unusable::odd)?;
            let key = Seen { id: fingerprint(&identity(metric, time, period)), time };
            Ok(Event { key: Some(key), id: None, body })
        };
        values.into_iter().map(event).collect()
    }
}

/// The checkpoint's part for a metric with missing data: this, and the metric as JSON.
const BEHIND: &str = "behind ";

fn behind_part(name: &str) -> String {
    format!("{BEHIND}{name}")
}

fn for_people(metric: &Metric) -> String {
    let dimensions = metric.dimensions.iter().map(|Dimension { name, value }| format!(" {name}={value}"));
    format!("metric {} {}{}", metric.namespace, metric.name, dimensions.collect::<String>())
}

/// The identity of a datapoint.
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
