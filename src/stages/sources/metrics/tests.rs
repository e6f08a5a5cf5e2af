use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::testing::{
    Bench, CLOCK_CHANGES, Model, Pulled, a_future_checkpoint_leaves_out_nothing, input, restarts_until_done,
    storm, time, turns, turns_of_clocks,
};
use super::*;
use crate::aws::Request;
use crate::settings;

const MINUTE: i64 = 60;
const NOW: &str = "2026-11-21T12:00:30Z";

/// An account's metrics: (namespace, name, starts of periods that have data).
#[derive(Debug, Clone, Default)]
struct Account {
    metrics: Vec<(String, String, BTreeSet<i64>)>,
    /// Metrics of a page of the listing, and series of a page of data.
    page: usize,
}

impl Account {
    fn answer(&self, request: &Request) -> Result<Value, &'static str> {
        match request.action {
            "cloudwatch:ListMetrics" => Ok(self.list(&input(request))),
            "cloudwatch:GetMetricData" => Ok(self.data(&input(request))),
            other => panic!("{other}"),
        }
    }

    fn list(&self, input: &Value) -> Value {
        let wanted = |metric: &&(String, String, BTreeSet<i64>)| {
            input["Namespace"].as_str().is_none_or(|namespace| namespace == metric.0)
        };
        let metrics = self.metrics.iter().filter(wanted);
        let metrics: Vec<_> =
            metrics.map(|(space, name, _)| json!({"Namespace": space, "MetricName": name})).collect();
        let (page, token) = paged(&metrics, self.page, input);
        json!({"Metrics": page, "NextToken": token})
    }

    fn data(&self, input: &Value) -> Value {
        let (from, to) = (input["StartTime"].as_i64().unwrap(), input["EndTime"].as_i64().unwrap());
        let queries = input["MetricDataQueries"].as_array().unwrap();
        assert!(queries.len() <= METRIC_DATA_QUERIES);
        let series = |query: &Value| {
            let stat = &query["MetricStat"];
            let is_asked = |metric: &&(String, String, BTreeSet<i64>)| {
                stat["Metric"]["Namespace"] == metric.0 && stat["Metric"]["MetricName"] == metric.1
            };
            let (.., times) = self.metrics.iter().find(is_asked).unwrap();
            let times: Vec<i64> = times.range(from..to).copied().collect();
            let values = vec![1.5; times.len()];
            json!({"Id": query["Id"], "StatusCode": "Complete", "Timestamps": times, "Values": values})
        };
        let results: Vec<Value> = queries.iter().map(series).collect();
        let (page, token) = paged(&results, self.page, input);
        json!({"MetricDataResults": page, "NextToken": token})
    }

    /// The expected deliveries.
    fn points(&self, from: i64, to: i64) -> BTreeSet<(String, i64)> {
        let points = |(_, name, times): &(String, String, BTreeSet<i64>)| {
            times.range(from..to).map(|time| (name.clone(), *time)).collect::<Vec<_>>()
        };
        self.metrics.iter().flat_map(points).collect()
    }
}

fn paged(all: &[Value], size: usize, input: &Value) -> (Vec<Value>, Option<String>) {
    let start = input["NextToken"].as_str().map_or(0, |token| token.parse::<usize>().unwrap());
    let end = (start + size.max(1)).min(all.len());
    (all[start.min(end)..end].to_vec(), (end < all.len()).then(|| end.to_string()))
}

fn source(start: Option<&str>, namespaces: &[&str]) -> Metrics {
    let settings = settings::Metrics {
        namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
        start_time: start.map(time),
        units: false,
    };
    let mut source = Metrics::new(settings, Duration::from_secs(60), "http://e".into(), "us-east-1".into());
    source.resume(&BTreeMap::new());
    source
}

fn account(metrics: usize, minutes: &[i64]) -> Account {
    let base = time(NOW).as_second() - 30;
    let times: BTreeSet<i64> = minutes.iter().map(|minute| base + minute * MINUTE).collect();
    let metric = |i| ("AWS/EC2".to_owned(), format!("m{i:03}"), times.clone());
    Account { metrics: (0..metrics).map(metric).collect(), page: 1000 }
}

fn delivered(bench: &Bench<Metrics>) -> Vec<(String, i64)> {
    let point = |body: &String| {
        let body: Value = serde_json::from_str(body).unwrap();
        let at = time(body["Timestamp"].as_str().unwrap()).as_second();
        (body["MetricName"].as_str().unwrap().to_owned(), at)
    };
    bench.delivered.iter().map(point).collect()
}

#[test]
fn one_event_for_each_metric_and_time() {
    let account = account(1, &[-5, -4, -1]);
    let mut bench = Bench::new(source(Some("2026-11-21T11:50:00Z"), &[]));
    assert_eq!(bench.pull(time(NOW), 99, |request| account.answer(request)), Pulled::CaughtUp);
    insta::assert_snapshot!(
        bench.delivered[0],
        @r#"{"Namespace":"AWS/EC2","MetricName":"m000","Dimensions":[],"Timestamp":"2026-11-21T11:55:00Z","Period":60,"Average":1.5,"Maximum":1.5,"Minimum":1.5,"Sum":1.5,"SampleCount":1.5}"#
    );
    assert_eq!(bench.delivered.len(), 2, "the last minute is not over for long enough");
    assert_eq!(bench.checkpoints[""], "2026-11-21T11:58:00Z");
}

#[test]
fn without_a_start_time_it_begins_now() {
    let account = account(1, &[-5, -4, -3, -2, -1, 0, 1]);
    let mut bench = Bench::new(source(None, &[]));
    bench.pull(time(NOW), 99, |request| account.answer(request));
    assert_eq!((bench.delivered.len(), bench.checkpoints[""].as_str()), (0, "2026-11-21T11:58:00Z"));
    bench.pull(time("2026-11-21T12:02:00Z"), 99, |request| account.answer(request));
    assert_eq!(delivered(&bench).len(), 2, "11:58 and 11:59");
}

#[test]
fn calls_are_of_five_hundred_queries_and_of_one_namespace_at_a_time() {
    let mut account = account(230, &[-5]);
    account.metrics[0].0 = "Shop".to_owned();
    let mut bench = Bench::new(source(Some("2026-11-21T11:50:00Z"), &["AWS/EC2", "Shop", "AWS/S3"]));
    let mut calls = Vec::new();
    bench.pull(time(NOW), 99, |request| {
        let input = input(request);
        let queries = input["MetricDataQueries"].as_array().map(Vec::len);
        calls.push(queries.map_or(input["Namespace"].to_string(), |queries| queries.to_string()));
        account.answer(request)
    });
    assert_eq!(calls, ["\"AWS/EC2\"", "500", "500", "145", "\"Shop\"", "5", "\"AWS/S3\""]);
    assert_eq!(delivered(&bench).len(), 230);
}

#[test]
fn dead_metrics_are_not_asked_for_once_the_present_is_reached() {
    let account = account(1, &[]);
    let mut recently = Vec::new();
    let mut bench = Bench::new(source(Some("2026-11-21T05:00:00Z"), &[]));
    bench.pull(time(NOW), 99, |request| {
        if request.action == "cloudwatch:ListMetrics" {
            recently.push(input(request)["RecentlyActive"] == "PT3H");
        }
        account.answer(request)
    });
    assert_eq!(recently, [false, false, true], "rounds of three hours");
}

#[test]
fn a_late_value_and_a_new_metric_are_found() {
    let mut account = account(1, &[-9, -8]);
    let mut bench = Bench::new(source(Some("2026-11-21T11:50:00Z"), &[]));
    bench.pull(time(NOW), 99, |request| account.answer(request));
    let late = time(NOW).as_second() - 30 - 5 * MINUTE;
    account.metrics[0].2.insert(late);
    account.metrics.push(("Shop".into(), "new".into(), [late].into()));
    bench.pull(time("2026-11-21T12:05:00Z"), 99, |request| account.answer(request));
    let found = delivered(&bench);
    assert_eq!(found.len(), 4);
    assert!(found.contains(&("m000".into(), late)) && found.contains(&("new".into(), late)));
}

#[test]
fn what_cloudwatch_does_not_keep_is_said() {
    let account = account(1, &[]);
    let mut bench = Bench::new(source(Some("2026-01-01T00:00:00Z"), &[]));
    bench.pull(time(NOW), 1000, |request| account.answer(request));
    let notes = bench.notes();
    assert!(
        notes[0].starts_with("metrics from 2026-01-01T00:00:00Z to 2026-11-06T12:01:00Z cannot be read"),
        "{}",
        notes[0]
    );
}

#[test]
fn a_page_token_that_fails_costs_nothing() {
    let account = Account { page: 3, ..account(7, &[-5, -4]) };
    for failing in ["cloudwatch:ListMetrics", "cloudwatch:GetMetricData"] {
        let mut bench = Bench::new(source(Some("2026-11-21T11:50:00Z"), &[]));
        let mut failed = false;
        let pulled = bench.pull(time(NOW), 99, |request| {
            if request.action == failing && !failed && !input(request)["NextToken"].is_null() {
                failed = true;
                return Err("InvalidNextToken");
            }
            account.answer(request)
        });
        assert_eq!((pulled, failed), (Pulled::CaughtUp, true));
        assert_eq!(delivered(&bench).len(), 14);
    }
}

#[test]
fn every_value_once_while_clocks_change() {
    for change in CLOCK_CHANGES.map(|change| time(change).as_second()) {
        let times: BTreeSet<i64> = (-60..60).map(|minute| change + minute * MINUTE).collect();
        let start = Timestamp::from_second(change - 60 * MINUTE).unwrap().to_string();
        let mut bench = Bench::new(source(Some(&start), &[]));
        for minute in (-58..80).step_by(7) {
            let now = change + minute * MINUTE;
            let metric = ("AWS/EC2".to_owned(), "m".to_owned(), times.range(..now).copied().collect());
            let account = Account { metrics: vec![metric], page: 9 };
            let now = Timestamp::from_second(now).unwrap();
            assert_eq!(bench.pull(now, 999, |request| account.answer(request)), Pulled::CaughtUp);
        }
        let found: Vec<i64> = delivered(&bench).into_iter().map(|(_, at)| at).collect();
        assert_eq!(found, times.into_iter().collect::<Vec<_>>(), "around {change}");
    }
}

#[test]
fn an_account_without_metrics() {
    let account = Account::default();
    let mut bench = Bench::new(source(Some("2026-11-21T11:50:00Z"), &["AWS/EC2", "AWS/S3"]));
    assert_eq!(bench.pull(time(NOW), 2, |request| account.answer(request)), Pulled::CaughtUp);
    assert_eq!(bench.checkpoints[""], "2026-11-21T11:58:00Z");
}

#[test]
fn rounds_are_made_of_whole_periods() {
    for (period, now, to) in [
        (1, "2026-11-21T12:00:30.9Z", "2026-11-21T11:58:30Z"),
        (30, "2026-11-21T12:00:45Z", "2026-11-21T11:58:30Z"),
        (300, "2026-11-21T12:00:30Z", "2026-11-21T11:55:00Z"),
        (86_400, "2026-11-22T00:01:59Z", "2026-11-21T00:00:00Z"),
        (86_400, "2026-11-22T00:02:00Z", "2026-11-22T00:00:00Z"),
    ] {
        let settings = settings::Metrics { namespaces: vec![], start_time: None, units: false };
        let mut source = Metrics::new(settings, Duration::from_secs(period), "http://e".into(), "r".into());
        let Next::Mark(progress) = source.next(&time(now).into()) else { panic!("a mark") };
        assert_eq!(progress, all_before(time(to).as_second()), "{period} {now}");
    }
}

/// A region's metrics: by name, the starts of their periods and when the values appear.
#[derive(Debug, Clone, Default)]
struct Region {
    metrics: BTreeMap<String, BTreeMap<i64, i64>>,
    /// CloudWatch's status instead of a value, and the metrics it refuses.
    statuses: BTreeMap<String, &'static str>,
    refused: BTreeSet<String>,
    page: usize,
    /// Series of a page of data.
    series: usize,
    /// None: all.
    namespaces: Vec<String>,
}

const START: &str = "2026-11-21T11:00:00Z";

impl Region {
    fn new(
        metrics: usize,
        minutes: impl IntoIterator<Item = (usize, i64)>,
        page: usize,
        series: usize,
    ) -> Region {
        let mut region = Region { page, series, ..Region::default() };
        region.metrics.extend((0..metrics).map(|i| (format!("m{i:03}"), BTreeMap::new())));
        for (metric, minute) in minutes {
            region.metrics.entry(format!("m{metric:03}")).or_default().insert(minute_of(minute), i64::MIN);
        }
        region
    }

    fn list(&self, input: &Value) -> Value {
        let after =
            input["NextToken"].as_str().unwrap_or(if input["Namespace"] == "Empty" { "~" } else { "" });
        let names: Vec<&String> = self.metrics.keys().filter(|name| name.as_str() > after).collect();
        let page = &names[..names.len().min(self.page)];
        let token = page.last().filter(|_| page.len() < names.len());
        let metric = |name: &&String| json!({"Namespace": "AWS/EC2", "MetricName": name});
        json!({"Metrics": page.iter().map(metric).collect::<Vec<_>>(), "NextToken": token})
    }

    fn data(&self, input: &Value, now: i64) -> Result<Value, &'static str> {
        let (from, to) = (input["StartTime"].as_i64().unwrap(), input["EndTime"].as_i64().unwrap());
        assert!(from < to, "{from} {to} {now}");
        let name = |query: &Value| query["MetricStat"]["Metric"]["MetricName"].as_str().unwrap().to_owned();
        let queries = input["MetricDataQueries"].as_array().unwrap();
        if queries.iter().any(|query| self.refused.contains(&name(query))) {
            return Err("ValidationError");
        }
        let series = |query: &Value| {
            let values = self.metrics[&name(query)].range(from..to);
            let mut times: Vec<i64> =
                values.filter(|(_, appears)| **appears <= now).map(|(at, _)| *at).collect();
            let status = self.statuses.get(&name(query)).copied().unwrap_or("Complete");
            // Some are returned anyway.
            times.truncate(if status == "Complete" { usize::MAX } else { 1 });
            json!({"Id": query["Id"], "StatusCode": status, "Timestamps": times, "Values": vec![1.5; times.len()]})
        };
        let results: Vec<Value> = queries.iter().map(series).collect();
        let (page, token) = paged(&results, self.series, input);
        Ok(json!({"MetricDataResults": page, "NextToken": token}))
    }
}

fn minute_of(minute: i64) -> i64 {
    time(NOW).as_second() - 30 + minute * MINUTE
}

impl Model for Region {
    type Source = Metrics;

    fn source(&self) -> Metrics {
        let (namespaces, start_time) = (self.namespaces.clone(), Some(time(START)));
        let settings = settings::Metrics { namespaces, start_time, units: true };
        Metrics::new(settings, Duration::from_secs(60), "http://e".into(), "us-east-1".into())
    }

    fn answer(&mut self, request: &Request, now: Timestamp) -> Result<Value, &'static str> {
        match request.action {
            "cloudwatch:ListMetrics" => Ok(self.list(&input(request))),
            "cloudwatch:GetMetricStatistics" if input(request)["MetricName"].to_string().contains('7') => {
                Err("InternalServiceFault")
            }
            "cloudwatch:GetMetricStatistics" => Ok(json!({"Datapoints": [{"Unit": "Count"}]})),
            _ => self.data(&input(request), now.as_second()),
        }
    }

    /// Usually a value, which appears up to 15 minutes late.
    fn change(&mut self, seed: u32, now: Timestamp) {
        let (kind, seed) = (seed % 8, seed as usize / 8);
        let metric = self.metrics.keys().nth(seed % self.metrics.len().max(1)).cloned();
        let metric = metric.unwrap_or_else(|| "m000".to_owned());
        match kind {
            0 => drop(self.metrics.insert(format!("m{:03}", seed % 500), BTreeMap::new())),
            1 => drop(self.refused.insert(metric)),
            2 => drop(self.statuses.insert(metric, ["Forbidden", "InternalError", "PartialData"][seed % 3])),
            3 => self.calm(),
            _ => {
                let at = now.as_second() - 60 - seed as i64 % 840;
                let at = at - at.rem_euclid(MINUTE);
                self.metrics.entry(metric).or_default().entry(at).or_insert(now.as_second());
            }
        }
    }

    fn expected(&self) -> BTreeSet<String> {
        let points = self
            .metrics
            .iter()
            .flat_map(|(name, values)| values.keys().map(move |at| format!("{name} {}", shown(*at))));
        points.collect()
    }

    fn shown(body: &str) -> String {
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["Sum"], &body["Average"]), (&json!(1.5), &json!(1.5)), "whole");
        format!("{} {}", body["MetricName"].as_str().unwrap(), body["Timestamp"].as_str().unwrap())
    }

    fn calm(&mut self) {
        self.refused.clear();
        self.statuses.clear();
    }
}

#[test]
fn a_round_is_read_though_the_program_ends_every_few_pages() {
    let minutes: Vec<(usize, i64)> = (0..700).map(|i| (i, -30 - i as i64 % 25)).collect();
    // By pages of the listing and calls; and with calls whose data need many pages.
    for (page, series, answers) in [(100, 500, 2), (100, 500, 3), (40, 50, 4)] {
        let region = Region::new(700, minutes.clone(), page, series);
        let restarts = restarts_until_done(region, answers, time(NOW));
        assert!(restarts < 300, "{restarts} restarts after every {answers} answers");
    }
}

#[test]
fn a_metric_that_cannot_be_had_is_named_and_asked_for_again_from_where_it_is_missing() {
    let minutes = || (0..5).flat_map(|metric| (-50..-20).map(move |minute| (metric, minute)));
    for code in ["Forbidden", "InternalError", "PartialData", "ValidationError", "InternalFailure"] {
        let mut region = Region::new(5, minutes(), 50, 500);
        let mut bench = Bench::new(region.source());
        bench.source.resume(&BTreeMap::new());
        let mut now = time(NOW);
        let mut pull = |bench: &mut Bench<Metrics>, fails: bool| {
            region.calm();
            if fails && code == "ValidationError" {
                region.refused.insert("m002".into());
            } else if fails {
                region.statuses.insert("m002".into(), code);
            }
            let pulled = bench.pull(now, 999, |request| region.answer(request, now));
            assert_eq!(pulled, Pulled::CaughtUp);
            now += jiff::SignedDuration::from_mins(80);
        };
        pull(&mut bench, true);
        assert_eq!(bench.delivered.len(), 120, "{code}");
        let items: BTreeSet<_> = bench.left_out.iter().map(|left_out| left_out.item.as_str()).collect();
        assert_eq!(items, ["metric AWS/EC2 m002"].into(), "{code}");
        pull(&mut bench, true);
        bench.restart(Region::default().source());
        pull(&mut bench, false);
        assert_eq!(bench.delivered.len(), 150, "{code}");
        pull(&mut bench, false);
        assert!(bench.source.behind.is_empty(), "{code}");
    }
}

/// A source that requests units, and each datapoint's unit.
fn with_units() -> Metrics {
    let start_time = Some(time("2026-11-21T11:50:00Z"));
    let settings = settings::Metrics { namespaces: vec![], start_time, units: true };
    Metrics::new(settings, Duration::from_secs(60), "http://e".into(), "us-east-1".into())
}

fn units(bench: &Bench<Metrics>) -> Vec<Option<String>> {
    let unit = |body: &String| {
        let body: Value = serde_json::from_str(body).unwrap();
        body.get("Unit").map(|unit| unit.as_str().unwrap().to_owned())
    };
    bench.delivered.iter().map(unit).collect()
}

#[test]
fn a_unit_is_learnt_once_for_each_metric_and_remembered_across_restarts() {
    let (account, asked) = (account(3, &[-6, -5, -4]), std::cell::RefCell::new(Vec::new()));
    let answer = |request: &Request| match request.action {
        "cloudwatch:GetMetricStatistics" => {
            asked.borrow_mut().push(input(request)["MetricName"].as_str().unwrap().to_owned());
            Ok(
                json!({"Label": "x", "Datapoints": [{"Timestamp": 1.0, "SampleCount": 1.0, "Unit": "Percent"}]}),
            )
        }
        _ => account.answer(request),
    };
    let mut bench = Bench::new(with_units());
    bench.restart(with_units());
    assert_eq!(bench.pull(time("2026-11-21T11:57:30Z"), 99, answer), Pulled::CaughtUp);
    assert_eq!(units(&bench), vec![Some("Percent".to_owned()); 3], "one minute");
    for _ in 0..2 {
        assert_eq!(bench.pull(time(NOW), 99, answer), Pulled::CaughtUp);
        bench.restart(with_units());
    }
    assert_eq!(units(&bench), vec![Some("Percent".to_owned()); 9]);
    assert_eq!(*asked.borrow(), ["m000", "m001", "m002"]);
}

#[test]
fn datapoints_go_without_units_that_cannot_be_had() {
    for (code, asked_max) in
        [("AccessDeniedException", 1), ("ValidationError", 2), ("InternalServiceFault", 9)]
    {
        let (account, asked) = (account(3, &[-5]), std::cell::Cell::new(0));
        let answer = |request: &Request| match request.action {
            "cloudwatch:GetMetricStatistics" => {
                asked.set(asked.get() + 1);
                Err(code)
            }
            _ => account.answer(request),
        };
        let mut bench = Bench::new(with_units());
        bench.restart(with_units());
        for _ in 0..2 {
            assert_eq!(bench.pull(time(NOW), 99, answer), Pulled::CaughtUp, "{code}");
        }
        assert_eq!((units(&bench), bench.left_out.len()), (vec![None; 3], 0), "{code}");
        assert!((1..=asked_max).contains(&asked.get()), "{code}: asked {} times", asked.get());
    }
}

#[test]
fn a_permission_that_is_missing_passes_over_no_metric() {
    let mut region = Region::new(5, (0..5).map(|metric| (metric, -30)), 50, 500);
    let mut bench = Bench::new(region.source());
    bench.source.resume(&BTreeMap::new());
    let pulled = bench.pull(time(NOW), 20, |request| match request.action {
        "cloudwatch:GetMetricData" => Err("AccessDeniedException"),
        _ => region.answer(request, time(NOW)),
    });
    assert_eq!((pulled, bench.left_out.len()), (Pulled::CutOff, 0));
    bench.pull(time(NOW), 20, |request| region.answer(request, time(NOW)));
    assert_eq!(bench.delivered.len(), 5);
}

#[test]
fn a_checkpoint_in_the_future_does_not_leave_out_what_comes_until_then() {
    let region = Region::new(1, [(0, -1), (0, 1)], 50, 500);
    a_future_checkpoint_leaves_out_nothing(region, [("".into(), "2026-11-21T18:00:00Z".into())], time(NOW));
}

proptest! {
    #[test]
    fn nothing_is_lost_whatever_happens(
        minutes in prop::collection::vec((0usize..9, -60i64..-1), 0..40),
        page in 1usize..6,
        series in 1usize..60,
        named: bool,
        turns in prop_oneof![turns(), turns_of_clocks()],
    ) {
        let namespaces = if named { vec!["Empty".into(), "AWS/EC2".into()] } else { vec![] };
        storm(Region { namespaces, ..Region::new(9, minutes, page, series) }, turns, time(NOW))?;
    }

    /// For any distribution, paging and kills: every value once.
    #[test]
    fn every_value_is_delivered_once(
        minutes in prop::collection::vec(prop::collection::btree_set(-600i64..-2, 0..30), 0..8),
        page in 1usize..6,
        kills in prop::collection::vec(0usize..40, 0..6),
    ) {
        let base = time(NOW).as_second() - 30;
        let metric = |(i, minutes): (usize, &BTreeSet<i64>)| {
            let times = minutes.iter().map(|minute| base + minute * MINUTE).collect();
            ("AWS/EC2".to_owned(), format!("m{i}"), times)
        };
        let account = Account { metrics: minutes.iter().enumerate().map(metric).collect(), page };
        let start = Some("2026-11-21T02:00:00Z");
        let mut bench = Bench::new(source(start, &["AWS/EC2"]));
        for calls in kills {
            bench.pull(time(NOW), calls, |request| account.answer(request));
            bench.restart(source(start, &["AWS/EC2"]));
        }
        prop_assert_eq!(bench.pull(time(NOW), 100_000, |request| account.answer(request)), Pulled::CaughtUp);
        let found = delivered(&bench);
        prop_assert_eq!(found.len(), found.iter().collect::<BTreeSet<_>>().len(), "no repeats");
        let expected = account.points(time("2026-11-21T02:00:00Z").as_second(), base - 2 * MINUTE);
        prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}
