//! An hour of figures, for the charts of the status page.
//!
//! Each figure is a series: a ring of [`HISTORY_POINTS`] values. A point is added every [`HISTORY_STEP`]: the rate since
//! the previous point, or the level at its moment. The number of series is bounded, and with it the memory.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use super::snapshot::Snapshot;
use crate::base::limits::{HISTORY_POINTS, HISTORY_SERIES_MAX, HISTORY_STEP};
use crate::base::locks::lock;
use crate::base::runtime::sync::Mutex;

/// The name of delivered events in the JSON.
const EVENTS: &str = "events_per_second";

/// The points of the last hour.
#[derive(Debug, Default)]
pub struct History(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The number of points so far.
    count: u64,
    /// The times of the kept points, in seconds since 1970.
    times: VecDeque<i64>,
    series: BTreeMap<Figure, Ring>,
    /// The latest readings.
    last: Option<Reading>,
}

#[derive(Debug)]
struct Reading {
    at: Instant,
    counts: BTreeMap<Figure, u64>,
}

/// The identity of a series: a subject, and a figure of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Figure {
    kind: Kind,
    /// The names of the subject: input and service, an output, a table. Empty for the collector.
    names: [String; 2],
    /// Its name in the JSON, with its unit.
    figure: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Collector,
    Output,
    Service,
    Table,
}

/// A value at one moment.
#[derive(Debug, Clone, Copy)]
enum Value {
    /// A counter, shown as its growth per second.
    Count(u64),
    Level(Option<f64>),
}

/// The latest [`HISTORY_POINTS`] values, by the number of their point; NaN if unknown.
#[derive(Debug, Clone)]
struct Ring(Box<[f32]>);

/// The points after a given one. Serialized, it is `/history.json`.
#[derive(Debug, Serialize)]
pub struct HistorySnapshot {
    /// The number of the first point here, counted from the start of the process.
    pub first: u64,
    /// The number of the next point that will be added. A request for the points from here on gets what is new.
    pub next: u64,
    /// Seconds between two points.
    pub step: u64,
    /// The time of each point, in seconds since 1970.
    pub times: Vec<i64>,
    pub collector: BTreeMap<&'static str, Points>,
    pub outputs: Vec<Series>,
    pub services: Vec<Series>,
    pub tables: Vec<Series>,
}

/// The figures of one subject.
#[derive(Debug, Serialize)]
pub struct Series {
    /// Input and service, an output, or a table.
    pub names: Vec<String>,
    #[serde(flatten)]
    pub figures: BTreeMap<&'static str, Points>,
}

/// A figure's values, one for each point; null if unknown.
#[derive(Debug, PartialEq)]
pub struct Points(pub Vec<f32>);

impl History {
    /// Adds a point, unless the latest is less than [`HISTORY_STEP`] old. The first reading only begins the rates.
    pub fn look(&self, snapshot: impl FnOnce() -> Snapshot, now: Instant) {
        // The snapshot is taken without the lock: it contains the number of the next point.
        if lock(&self.0).is_due(now) {
            let snapshot = snapshot();
            lock(&self.0).add(&snapshot, now);
        }
    }

    /// The number of the next point.
    pub fn next(&self) -> u64 {
        lock(&self.0).count
    }

    /// Delivered events per second at the latest point. None before the first one.
    pub fn events_per_second(&self) -> Option<f32> {
        let state = lock(&self.0);
        let (own, figure) = ([String::new(), String::new()], EVENTS);
        let series = state.series.get(&Figure { kind: Kind::Collector, names: own, figure })?;
        Some(series.get(state.count.checked_sub(1)?)).filter(|rate| !rate.is_nan())
    }

    /// The points from number `from` on, as far as they are kept.
    pub fn since(&self, from: u64) -> HistorySnapshot {
        lock(&self.0).since(from)
    }
}

impl State {
    /// True if the latest reading is about [`HISTORY_STEP`] old. One that comes a little early counts, so that a late one
    /// doesn't make the next later still.
    fn is_due(&self, now: Instant) -> bool {
        let age = |last: &Reading| now.saturating_duration_since(last.at);
        self.last.as_ref().is_none_or(|last| age(last) + HISTORY_STEP / 4 >= HISTORY_STEP)
    }

    fn add(&mut self, snapshot: &Snapshot, now: Instant) {
        let figures = figures(snapshot);
        let count_of = |(figure, value): &(Figure, Value)| match value {
            Value::Count(count) => Some((figure.clone(), *count)),
            Value::Level(_) => None,
        };
        let counts = figures.iter().filter_map(count_of).collect();
        let Some(last) = self.last.replace(Reading { at: now, counts }) else { return };
        let elapsed = now.saturating_duration_since(last.at);
        let number = self.count;
        self.count += 1;
        if self.times.len() >= HISTORY_POINTS {
            self.times.pop_front();
        }
        self.times.push_back(snapshot.unix_seconds as i64);
        self.series.values_mut().for_each(|series| series.set(number, f32::NAN));
        for (figure, value) in figures {
            let value = match value {
                Value::Level(level) => level,
                Value::Count(count) => last.counts.get(&figure).map(|before| rate(count, *before, elapsed)),
            };
            let has_room = self.series.len() < HISTORY_SERIES_MAX;
            let series = match self.series.get_mut(&figure) {
                Some(series) => series,
                None if has_room => self.series.entry(figure).or_default(),
                None => continue,
            };
            series.set(number, value.map_or(f32::NAN, |value| value as f32));
        }
        self.series.retain(|_, series| !series.is_empty());
    }

    fn since(&self, from: u64) -> HistorySnapshot {
        let oldest = self.count - self.times.len() as u64;
        let first = from.clamp(oldest, self.count);
        let numbers = first..self.count;
        let mut history = HistorySnapshot {
            first,
            next: self.count,
            step: HISTORY_STEP.as_secs(),
            times: self.times.iter().skip((first - oldest) as usize).copied().collect(),
            collector: BTreeMap::new(),
            outputs: Vec::new(),
            services: Vec::new(),
            tables: Vec::new(),
        };
        for (Figure { kind, names, figure }, ring) in &self.series {
            let points = Points(numbers.clone().map(|number| ring.get(number)).collect());
            let subjects = match kind {
                Kind::Collector => {
                    history.collector.insert(figure, points);
                    continue;
                }
                Kind::Output => &mut history.outputs,
                Kind::Service => &mut history.services,
                Kind::Table => &mut history.tables,
            };
            let names: Vec<String> = match kind {
                Kind::Service => names.to_vec(),
                _ => vec![names[0].clone()],
            };
            match subjects.last_mut() {
                Some(subject) if subject.names == names => drop(subject.figures.insert(figure, points)),
                _ => subjects.push(Series { names, figures: BTreeMap::from([(*figure, points)]) }),
            }
        }
        history
    }
}

/// Everything that has a series, the collector's first, so that those are kept in any case.
fn figures(snapshot: &Snapshot) -> Vec<(Figure, Value)> {
    use Value::{Count, Level};
    let mut all = Vec::new();
    let mut add = |kind, names: [&str; 2], values: &[(&'static str, Value)]| {
        let names = names.map(str::to_owned);
        all.extend(
            values.iter().map(|(figure, value)| (Figure { kind, names: names.clone(), figure }, *value)),
        );
    };
    let (delivered, decoded) = (snapshot.delivered(), snapshot.decode());
    let collector = [
        (EVENTS, Count(delivered.events)),
        ("log_bytes_per_second", Count(decoded.bytes)),
        ("lag_seconds", Level(snapshot.lag_seconds())),
        ("memory_bytes", Level(snapshot.process.resident.map(|bytes| bytes as f64))),
        ("unconfirmed_bytes", Level(Some(snapshot.unconfirmed() as f64))),
    ];
    add(Kind::Collector, ["", ""], &collector);
    for output in &snapshot.outputs {
        let figures = [
            ("bytes_per_second", Count(output.send.bytes)),
            ("unconfirmed_bytes", Level(Some(output.unconfirmed() as f64))),
        ];
        add(Kind::Output, [&output.name, ""], &figures);
    }
    for (input, service) in snapshot.inputs.iter().flat_map(|i| i.services.iter().map(move |s| (i, s))) {
        let figures = [
            (EVENTS, Count(service.delivered.events)),
            ("bytes_per_second", Count(service.delivered.bytes)),
            ("lag_seconds", Level(service.lag_seconds)),
        ];
        add(Kind::Service, [&input.name, &service.name], &figures);
    }
    for table in &snapshot.tables {
        let figures = [(EVENTS, Count(table.events)), ("bytes_per_second", Count(table.bytes))];
        add(Kind::Table, [&table.name, ""], &figures);
    }
    all
}

fn rate(count: u64, before: u64, elapsed: Duration) -> f64 {
    count.saturating_sub(before) as f64 / elapsed.as_secs_f64().max(0.001)
}

impl Ring {
    fn set(&mut self, number: u64, value: f32) {
        self.0[index(number)] = value;
    }

    fn get(&self, number: u64) -> f32 {
        self.0[index(number)]
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|value| value.is_nan())
    }
}

fn index(number: u64) -> usize {
    (number % HISTORY_POINTS as u64) as usize
}

impl Default for Ring {
    fn default() -> Ring {
        Ring(vec![f32::NAN; HISTORY_POINTS].into())
    }
}

/// Rounded to whole numbers from 100 on, else to two decimals: a chart shows no more.
impl Serialize for Points {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for value in &self.0 {
            let value = f64::from(*value);
            if value.is_nan() {
                list.serialize_element(&())?;
            } else if value >= 100.0 || value == value.trunc() {
                list.serialize_element(&(value as u64))?;
            } else {
                list.serialize_element(&((value * 100.0).round() / 100.0))?;
            }
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::tables::TableSnapshot;
    use crate::telemetry::testing;

    /// A snapshot with this many events in the table `t`.
    fn snapshot(events: u64, unix_seconds: f64) -> Snapshot {
        let telemetry = testing::telemetry();
        telemetry.inputs[0].services[0].delivered.events.add(events);
        let table = TableSnapshot { name: "t".into(), events, ..TableSnapshot::default() };
        Snapshot { unix_seconds, tables: vec![table], ..telemetry.snapshot(testing::now()) }
    }

    /// A history with one reading per step: the counter has these values.
    fn history(counts: &[u64]) -> History {
        let (history, start) = (History::default(), Instant::now());
        for (number, count) in (0..).zip(counts) {
            let time = 1_800_000_000.0 + f64::from(number) * HISTORY_STEP.as_secs_f64();
            history.look(|| snapshot(*count, time), start + number * HISTORY_STEP);
        }
        history
    }

    #[test]
    fn counters_become_rates_and_levels_stay() {
        let history = history(&[100, 150, 150, 1150]);
        let all = history.since(0);
        assert_eq!((all.first, all.next, all.step), (0, 3, 10));
        assert_eq!(all.times, [1_800_000_010, 1_800_000_020, 1_800_000_030]);
        assert_eq!(all.collector["events_per_second"], Points(vec![5.0, 0.0, 100.0]));
        assert_eq!(all.tables[0].figures["events_per_second"], Points(vec![5.0, 0.0, 100.0]));
        assert_eq!(all.services[0].names, ["sqs_collector", "a \"b\\\n"]);
        let json = serde_json::to_value(&all).unwrap();
        assert!(json["services"][0]["lag_seconds"].is_null(), "what is never known has no series");
        assert_eq!(json["services"][0]["events_per_second"], serde_json::json!([0, 0, 0]));
        assert_eq!(json["collector"]["unconfirmed_bytes"], serde_json::json!([0, 0, 0]));
    }

    #[test]
    fn only_what_is_new_is_served() {
        let history = history(&[0, 10, 20, 30]);
        let new = history.since(2);
        assert_eq!((new.first, new.next, new.times.len()), (2, 3, 1));
        assert_eq!(new.collector["events_per_second"], Points(vec![1.0]));
        for from in [3, 4, u64::MAX] {
            let none = history.since(from);
            assert_eq!((none.first, none.next, none.times.len()), (3, 3, 0));
        }
    }

    #[test]
    fn a_counter_that_begins_anew_is_no_negative_rate_and_readings_in_between_are_no_points() {
        let (history, start) = (History::default(), Instant::now());
        for (tenth, count) in [(0, 500), (30, 600), (100, 700), (104, 900), (200, 0)] {
            history.look(|| snapshot(count, 1.8e9), start + tenth * HISTORY_STEP / 100);
        }
        assert_eq!(history.since(0).collector["events_per_second"], Points(vec![20.0, 0.0]));
    }

    #[test]
    fn an_hour_is_kept_and_the_memory_is_bounded() {
        let (history, start) = (History::default(), Instant::now());
        let points = 2 * HISTORY_POINTS as u32 + 7;
        for number in 0..points {
            // All tables are new ones, as those of hostile tags would be.
            let tables =
                (0..40).map(|n| TableSnapshot { name: format!("{number}.{n}"), ..TableSnapshot::default() });
            let snapshot = Snapshot { tables: tables.collect(), ..Snapshot::default() };
            history.look(|| snapshot, start + number * HISTORY_STEP);
        }
        let state = lock(&history.0);
        assert!(state.series.len() <= HISTORY_SERIES_MAX, "{}", state.series.len());
        assert!(state.series.keys().any(|figure| figure.kind == Kind::Collector));
        let all = state.since(0);
        assert_eq!((all.times.len(), all.next), (HISTORY_POINTS, u64::from(points) - 1));
        assert_eq!(all.collector["unconfirmed_bytes"].0.len(), HISTORY_POINTS);
        assert_eq!(HISTORY_STEP * HISTORY_POINTS as u32, Duration::from_secs(3600));
    }

    #[test]
    fn numbers_are_as_short_as_a_chart_allows() {
        let points = Points(vec![f32::NAN, 0.0, 0.123_456, 99.999, 12_345.678, 7.0]);
        assert_eq!(serde_json::to_string(&points).unwrap(), "[null,0,0.12,100.0,12345,7]");
    }
}
