//! Metrics, log groups and findings: against the emulator where it supports the call, and against answers in AWS's
//! documented form where it does not page, throttle or fail.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cases::api_sources::unmarked;
use crate::rig::answerer::{Answerer, Asked, page_of, refusal};
use crate::rig::aws;
use crate::rig::emulator;
use crate::rig::frames::{Frame, assert_at_least_once, assert_exactly, compare, frame, message_bytes};
use crate::rig::lab::Lab;
use crate::rig::process::PATIENCE;

pub const MINUTE: i64 = 60;
/// Of findings and log events.
pub const MILLIS: i64 = 1000;

#[test]
fn metrics_of_the_emulator() {
    let lab = Lab::new("metrics-emulator");
    let base = now() - 600;
    let site = json!([{"Name": "Site", "Value": "a b"}]);
    let mut frames = Vec::new();
    for (name, at, values) in
        [("Orders", base, [1.0, 4.0]), ("Orders", base + 60, [2.0, 2.0]), ("Errors", base, [0.0, 1.0])]
    {
        values.iter().for_each(|value| aws::put_metric("Shop", name, ("Site", "a b"), at, *value));
        frames.push(datapoint("Shop", name, &site, (at, 1), None, &statistics(&values)));
    }
    aws::put_metric("Elsewhere", "Orders", ("Site", "a b"), base, 1.0);
    let service = json!({
        "metric_namespaces": ["Shop"], "start_time": time(base), "request_period_in_seconds": 1, "regions": [aws::REGION],
        "metric_units": false
    });
    let config = config(&lab, &[], json!({"metrics-all": service}));
    lab.drain_all(&config);
    assert_exactly(&frames, &unmarked(&lab));
    // Late data, also of a new metric, is sent, and nothing is repeated.
    for name in ["Orders", "New"] {
        aws::put_metric("Shop", name, ("Site", "a b"), base + 90, 7.0);
        frames.push(datapoint("Shop", name, &site, (base + 90, 1), None, &statistics(&[7.0])));
    }
    std::thread::sleep(Duration::from_millis(1100));
    lab.drain_all(&config);
    assert_exactly(&frames, &unmarked(&lab));
}

#[test]
fn metrics_in_pages_with_throttling_and_tokens_that_fail() {
    let lab = Lab::new("metrics-pages");
    let base = (now() - 20 * MINUTE) / MINUTE * MINUTE;
    let metric =
        |i: usize| json!({"Namespace": "AWS/EC2", "MetricName": format!("m{i:03}"), "Dimensions": []});
    let metrics: Vec<Value> = (0..230).map(metric).collect();
    let mut faults = faults(&[
        ("ListMetrics", "ThrottlingException"),
        ("ListMetrics", "InvalidNextToken"),
        ("GetMetricData", "ExpiredTokenException"),
        ("GetMetricData", "InternalServiceFault"),
        ("GetMetricData", "InvalidNextToken"),
    ]);
    let listed = metrics.clone();
    let server = Answerer::start(move |asked| {
        if let Some(code) = faults(asked, "NextToken") {
            return refusal(code);
        }
        let answer = match asked.target.as_str() {
            "ListMetrics" => {
                let (page, token) = page_of(&listed, 100, &asked.input["NextToken"]);
                json!({"Metrics": page, "NextToken": token})
            }
            "GetMetricStatistics" => {
                json!({"Label": "m", "Datapoints": [{"SampleCount": 1.5, "Unit": "Percent"}]})
            }
            _ => metric_data(asked, base),
        };
        (200, answer.to_string())
    });
    let service = json!({"start_time": time(base), "regions": [aws::REGION]});
    let ended =
        lab.drain_all(&config(&lab, &[("cloudwatch", &server.endpoint)], json!({"metrics-all": service})));
    let point = |metric: &Value| {
        datapoint(
            "AWS/EC2",
            metric["MetricName"].as_str().unwrap(),
            &json!([]),
            (base, 60),
            Some("Percent"),
            &[1.5; 5],
        )
    };
    assert_exactly(&metrics.iter().map(point).collect::<Vec<_>>(), &unmarked(&lab));
    assert_eq!(asked_anew(&ended.log, "InvalidNextToken"), 2, "log:\n{}", ended.log);
    let queries = |asked: &Asked| asked.input["MetricDataQueries"].as_array().map_or(0, Vec::len);
    assert_eq!(server.asked().iter().map(queries).max(), Some(500));
    let units = server.asked().iter().filter(|asked| asked.target == "GetMetricStatistics").count();
    assert_eq!(units, metrics.len(), "one for each");
}

#[test]
fn a_log_group_of_the_emulator() {
    let lab = Lab::new("logs");
    aws::create_log_group("shop", aws::REGION);
    let start = now() - 600;
    let mut frames = Vec::new();
    for stream in ["web-1", "web-2"] {
        let lines = (0..20)
            .map(|i| (start * MILLIS + i, format!("{stream} line {i}\n\tof \"many\", é")))
            .collect::<Vec<_>>();
        frames.extend(put_events("shop", stream, aws::REGION, &lines));
    }
    let service = json!({"types": ["logs"], "log_group": "shop", "start_time": time(start - 60), "regions": [aws::REGION]});
    let config = config(&lab, &[], json!({"cwl_1": service}));
    lab.drain_all(&config);
    assert_exactly(&frames, &without_ids(&lab));
    // A new stream, and an event that comes late.
    frames.extend(put_events("shop", "web-3", aws::REGION, &[(now() * MILLIS - 5000, "new".to_owned())]));
    frames.extend(put_events("shop", "web-1", aws::REGION, &[(now() * MILLIS - 60_000, "late".to_owned())]));
    lab.drain_all(&config);
    assert_exactly(&frames, &without_ids(&lab));
}

#[test]
fn all_log_groups_of_a_region() {
    const REGION: &str = "eu-west-3";
    let lab = Lab::new("logs-all");
    let start = now() - 600;
    let mut frames = Vec::new();
    // More groups than fit on a page.
    for group in (0..60).map(|i| format!("/aws/lambda/f{i:02}")) {
        aws::create_log_group(&group, REGION);
        frames.extend(put_events(&group, "s", REGION, &[(start * MILLIS, format!("of {group}"))]));
    }
    let service = json!({
        "types": ["logs"], "log_group": "/", "start_time": time(start - 60), "regions": [REGION],
        "use_first_optimized_retrieval": true
    });
    let config = config(&lab, &[], json!({"everything": service}));
    lab.drain_all(&config);
    assert_exactly(&frames, &without_ids(&lab));
    lab.drain_all(&config);
    assert_exactly(&frames, &without_ids(&lab));
}

/// Each division goes on where the others have read the same groups.
#[test]
fn log_groups_are_divided_differently_from_run_to_run() {
    const REGION: &str = "eu-north-1";
    let lab = Lab::new("logs-shards");
    let groups = aws::create_log_groups((0..12).map(|i| format!("/ecs/service-{i:02}")), REGION);
    let put = |age: i64, text: &str| {
        let at = (now() - age) * MILLIS;
        let frames =
            groups.iter().map(|group| put_events(group, "s", REGION, &[(at, format!("{text} of {group}"))]));
        frames.collect::<Vec<_>>().concat()
    };
    // Older than events may be late, so that they are read once.
    let old = put(600, "old");
    let mut new = Vec::new();
    let divided = |shards: usize| {
        let service = json!({
            "types": ["logs"], "log_group": "/", "start_time": time(now() - 1200), "regions": [REGION], "shards": shards
        });
        config(&lab, &[], json!({ "everything": service }))
    };
    for shards in [1, 3, 2, 1, 5] {
        let ended = lab.drain_all(&divided(shards));
        let sources = if shards == 1 { 0 } else { shards };
        let log = &ended.log;
        assert_eq!(
            (1..=5).filter(|n| log.contains(&format!("/shard-{n}-of-{shards}: "))).count(),
            sources,
            "log:\n{log}"
        );
        assert_at_least_once("shards", &[old.clone(), new.clone()].concat(), &without_ids(&lab));
        assert_eq!(lab.sink.received_text().matches("old of").count(), groups.len());
        // By AWS's clock, which counts seconds, they have happened.
        new.extend(put(5, &format!("with {shards}")));
    }
    // A part that is forgotten begins again, and does not go on where an earlier division was.
    let part = format!("1/everything/logs/{REGION}/shard-2-of-5");
    let forgotten = lab.command(&divided(5), &["ledger", "forget", "--input", &part]);
    assert_eq!(forgotten.code, Some(0), "log:\n{}", forgotten.log);
    let ended = lab.drain_all(&divided(5));
    assert_at_least_once("shards", &[old, new].concat(), &without_ids(&lab));
    let again = lab.sink.received_text().matches("old of").count() - groups.len();
    assert!((1..groups.len() / 2).contains(&again), "{again} of a fifth of the groups; log:\n{}", ended.log);
}

#[test]
fn a_log_group_that_is_not_there_is_named() {
    let lab = Lab::new("logs-missing");
    let service = json!({"types": ["logs"], "log_group": "nobody-made-this", "regions": [aws::REGION]});
    let ended = lab.drain(&config(&lab, &[], json!({"cwl_1": service})));
    assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
    assert!(ended.log.contains("logs:FilterLogEvents nobody-made-this"), "log:\n{}", ended.log);
}

#[test]
fn a_wrong_secret_is_told_by_every_service() {
    let lab = Lab::new("sources-secret");
    let services = json!({
        "metrics-all": {"regions": [aws::REGION]},
        "cwl_1": {"types": ["logs"], "log_group": "/", "regions": [aws::REGION]}
    });
    let mut config = config(&lab, &[], services);
    config["inputs"]["aws"]["credentials"]["access_secret"] = json!("wrong");
    config["inputs"]["aws"]["credentials"]["base_assume_role"] = Value::Null;
    let ended = lab.drain(&config);
    assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
    assert!(ended.log.contains("secret access key does not belong"), "log:\n{}", ended.log);
}

/// A backlog of 20,000 events in pages of 500, sent slowly; the collector is killed in between.
#[test]
fn killed_in_mid_backlog() {
    let lab = Lab::new("logs-killed");
    let start = now() - 7200;
    let lines: Vec<(i64, String)> =
        (0..20_000).map(|i| (start * MILLIS + 100 * i, format!("line {i} of a backlog"))).collect();
    let frames: Vec<Frame> = lines.iter().map(|(at, line)| log_line("shop", "s", *at, line)).collect();
    let events: Vec<Value> = lines.iter().enumerate().map(event).collect();
    let server = Answerer::start(move |asked| (200, log_events(asked, &events, 500).to_string()));
    let service =
        json!({"types": ["logs"], "log_group": "shop", "start_time": time(start), "regions": [aws::REGION]});
    let config = config(&lab, &[("logs", &server.endpoint)], json!({"cwl_1": service}));
    let mut slow = config.clone();
    slow["outputs"]["devo_1"]["config"]["max_bytes_per_second"] = json!(message_bytes(&frames) / 10);
    let mut collector = lab.run(&slow, &[]);
    let third = message_bytes(&frames) / 3;
    collector.wait_until("a third of the backlog", || lab.sink.received_bytes() > third);
    collector.signal(Signal::KILL);
    assert_eq!(collector.end(PATIENCE).code, None);
    let sent = frames.len() - compare(&frames, &without_ids(&lab)).missing.len();
    assert!(sent < frames.len(), "it was killed in the middle");
    lab.drain_all(&config);
    let repeats = assert_at_least_once("log group killed", &frames, &without_ids(&lab));
    // In flight: some seconds of sending.
    assert!(repeats < frames.len() / 2, "{repeats} repeats of {sent} sent");
}

/// 100,000 streams with long names, one in a hundred of which has an event; then a pull over all of them, in pages
/// without events, as CloudWatch returns them for very many streams. (docs/api_sources.md has the figures of a
/// million.)
#[test]
fn very_many_streams_do_not_fill_the_memory() {
    const PAGES: usize = 2000;
    let lab = Lab::new("logs-streams");
    let at = (now() - 7200) * MILLIS;
    // Put together by hand: the server would take longer than the collector.
    let names = move |page: usize| {
        let long = "x".repeat(480);
        let name = |i| format!(r#"{{"logStreamName":"{page:06}-{i}-{long}","lastEventTimestamp":{at}}}"#);
        (0..50).map(name).collect::<Vec<_>>().join(",")
    };
    let token = |page: usize| if page < PAGES { format!(r#","nextToken":"{page}""#) } else { String::new() };
    let server = Answerer::start(move |asked| {
        let page = asked.input["nextToken"].as_str().map_or(0, |token| token.parse::<usize>().unwrap());
        let answer = match (asked.target.as_str(), asked.input["logStreamNames"][0].as_str()) {
            ("DescribeLogStreams", _) => format!(r#"{{"logStreams":[{}]{}}}"#, names(page), token(page + 1)),
            (_, Some(first)) => {
                let id = &first[..6];
                format!(
                    r#"{{"events":[{{"eventId":"{id}","logStreamName":"s","timestamp":{at},"message":"m"}}]}}"#
                )
            }
            (_, None) => format!(r#"{{"events":[]{}}}"#, token(page + 1)),
        };
        (200, answer)
    });
    let service = json!({
        "types": ["logs"], "log_group": "shop", "start_time": time(now() - 10_800), "regions": [aws::REGION],
        "use_first_optimized_retrieval": true
    });
    let config = config(&lab, &[("logs", &server.endpoint)], json!({"cwl_1": service}));
    for (round, calls, events) in [("first", PAGES + PAGES / 2, PAGES / 2), ("next", PAGES, 0)] {
        let before = server.asked().len();
        let ended = lab.drain_all(&config);
        assert_eq!(server.asked().len() - before, calls, "calls of the {round} pull");
        let counts = format!("generated): {events}/0/0/0/{events}, tag");
        assert!(ended.log.contains(&counts), "{counts} is not in\n{}", ended.log);
        println!("{} streams, {round} pull: peak memory {} MiB", PAGES * 50, ended.peak_rss >> 20);
        assert!(ended.peak_rss < 96 << 20, "peak memory {} MiB", ended.peak_rss >> 20);
    }
}

#[test]
fn log_groups_in_pages_with_throttling_and_expired_credentials() {
    let lab = Lab::new("logs-faults");
    let start = now() - 1800;
    let groups: Vec<Value> = (0..3).map(|i| json!({"logGroupName": format!("g{i}")})).collect();
    let lines: Vec<(i64, String)> =
        (0..70).map(|i| (start * MILLIS + 1000 * i, format!("line {i}"))).collect();
    let frames: Vec<Frame> = (0..3)
        .flat_map(|i| lines.iter().map(move |(at, line)| log_line(&format!("g{i}"), "s", *at, line)))
        .collect();
    let events: Vec<Value> = lines.iter().enumerate().map(event).collect();
    let mut faults = faults(&[
        ("DescribeLogGroups", "ThrottlingException"),
        ("DescribeLogGroups", "InvalidParameterException"),
        ("DescribeLogStreams", "ThrottlingException"),
        ("DescribeLogStreams", "ServiceUnavailableException"),
        ("FilterLogEvents", "ExpiredTokenException"),
        ("FilterLogEvents", "ThrottlingException"),
        ("FilterLogEvents", "InvalidParameterException"),
    ]);
    let server = Answerer::start(move |asked| {
        if let Some(code) = faults(asked, "nextToken") {
            return refusal(code);
        }
        let answer = match asked.target.as_str() {
            "DescribeLogGroups" => {
                let (page, token) = page_of(&groups, 2, &asked.input["nextToken"]);
                json!({"logGroups": page, "nextToken": token})
            }
            "DescribeLogStreams" => {
                json!({"logStreams": [{"logStreamName": "s", "lastEventTimestamp": start * MILLIS}]})
            }
            _ => log_events(asked, &events, 30),
        };
        (200, answer.to_string())
    });
    let service = json!({
        "types": ["logs"], "log_group": "/", "start_time": time(start), "regions": [aws::REGION],
        "use_first_optimized_retrieval": true
    });
    let ended = lab.drain_all(&config(&lab, &[("logs", &server.endpoint)], json!({"cwl_1": service})));
    assert_exactly(&frames, &without_ids(&lab));
    assert_eq!(asked_anew(&ended.log, "InvalidParameterException"), 2, "log:\n{}", ended.log);
}

/// Number of restarts of a list or a slice after this refusal.
fn asked_anew(log: &str, refusal: &str) -> usize {
    log.lines().filter(|line| line.contains(refusal) && line.contains("the listing restarts")).count()
}

#[test]
fn findings_in_fifties_and_their_updates() {
    let lab = Lab::new("guardduty");
    let base = (now() - 7200) * MILLIS;
    let updates = std::sync::Arc::new(std::sync::Mutex::new(
        (0..120).map(|i| (i, base + 1000 * i)).collect::<BTreeMap<i64, i64>>(),
    ));
    let mut faults = faults(&[
        ("findings", "TooManyRequestsException"),
        ("findings", "ExpiredTokenException"),
        ("findings", "BadRequestException"),
        ("get", "InternalServerErrorException"),
    ]);
    let shared = std::sync::Arc::clone(&updates);
    let server = Answerer::start(move |asked| match faults(asked, "nextToken") {
        Some(code) => refusal(code),
        None => (200, findings(asked, &shared.lock().unwrap()).to_string()),
    });
    let service = json!({"regions": [aws::REGION]});
    let config = config(&lab, &[("guardduty", &server.endpoint)], json!({"aws-guardduty": service}));
    lab.drain_all(&config);
    let mut frames: Vec<Frame> = (0..120).map(|i| found(i, base + 1000 * i)).collect();
    assert_exactly(&frames, &unmarked(&lab));
    let later = now() * MILLIS;
    updates.lock().unwrap().extend([(7, later), (200, later)]);
    frames.extend([found(7, later), found(200, later)]);
    lab.drain_all(&config);
    assert_exactly(&frames, &unmarked(&lab));
}

#[test]
fn accounts_with_nothing_in_them() {
    let lab = Lab::new("sources-empty");
    let nothing = json!({"Metrics": [], "logGroups": [], "logStreams": [], "events": [], "detectorIds": []})
        .to_string();
    let server = Answerer::start(move |_| (200, nothing.clone()));
    let at = server.endpoint.as_str();
    let services = json!({
        "metrics-all": {"regions": [aws::REGION], "start_time": time(now() - 3600)},
        "cwl_1": {"types": ["logs"], "log_group": "/", "regions": [aws::REGION]},
        "cwl_2": {"types": ["logs"], "log_group": "g", "regions": [aws::REGION], "use_first_optimized_retrieval": true},
        "aws-guardduty": {"regions": [aws::REGION]}
    });
    lab.drain_all(&config(&lab, &[("cloudwatch", at), ("logs", at), ("guardduty", at)], services));
    lab.expect_delivered(&[]);
}

/// The `aws` input alone, with endpoints of some services elsewhere.
pub fn config(lab: &Lab, endpoints: &[(&str, &str)], services: Value) -> Value {
    let mut config = lab.config(json!({}));
    let user = aws::user();
    let mut input = json!({
        "id": "1",
        "credentials": {"access_key": user.key_id, "access_secret": user.secret},
        "endpoint_url": emulator::endpoint(),
        "services": services
    });
    for (service, endpoint) in endpoints {
        input[format!("{service}_endpoint_url")] = (*endpoint).into();
    }
    config["inputs"] = json!({ "aws": input });
    config
}

/// Refuses the first call of each kind with its code; codes about tokens only for calls that have one.
fn faults(
    wanted: &[(&'static str, &'static str)],
) -> impl FnMut(&Asked, &str) -> Option<&'static str> + Send + 'static {
    let mut waiting = wanted.to_vec();
    move |asked, token| {
        let action = if asked.target.is_empty() { asked.path.rsplit('/').next()? } else { &asked.target };
        let about_tokens = |code: &str| {
            matches!(code, "InvalidNextToken" | "BadRequestException" | "InvalidParameterException")
        };
        let is_due = |(of, code): &(&str, &str)| {
            *of == action && (!about_tokens(code) || asked.input[token].is_string())
        };
        let at = waiting.iter().position(is_due)?;
        Some(waiting.remove(at).1)
    }
}

/// One value for every query, if its time is requested; in two pages.
pub fn metric_data(asked: &Asked, at: i64) -> Value {
    let span = asked.input["StartTime"].as_i64().unwrap()..asked.input["EndTime"].as_i64().unwrap();
    let (times, values) = if span.contains(&at) { (vec![at], vec![1.5]) } else { (vec![], vec![]) };
    let series = |query: &Value| json!({"Id": query["Id"], "StatusCode": "Complete", "Timestamps": times, "Values": values});
    let all: Vec<Value> = asked.input["MetricDataQueries"].as_array().unwrap().iter().map(series).collect();
    let (page, token) = page_of(&all, 300, &asked.input["NextToken"]);
    json!({"MetricDataResults": page, "NextToken": token})
}

fn log_events(asked: &Asked, all: &[Value], size: usize) -> Value {
    let time = |name: &str| asked.input[name].as_i64().unwrap();
    let is_asked = |event: &&Value| {
        (time("startTime")..=time("endTime")).contains(&event["timestamp"].as_i64().unwrap())
    };
    let events: Vec<Value> = all.iter().filter(is_asked).cloned().collect();
    let (page, token) = page_of(&events, size, &asked.input["nextToken"]);
    json!({"events": page, "nextToken": token})
}

fn event((number, (at, message)): (usize, &(i64, String))) -> Value {
    json!({"eventId": number.to_string(), "logStreamName": "s", "timestamp": at, "message": message})
}

/// One detector; `updates`: of findings by number.
pub fn findings(asked: &Asked, updates: &BTreeMap<i64, i64>) -> Value {
    if asked.path.starts_with("/detector?") {
        return json!({"detectorIds": ["d0"]});
    }
    if asked.path == "/detector/d0/findings/get" {
        let number = |id: &Value| id.as_str().unwrap()[1..].parse::<i64>().unwrap();
        let ids = asked.input["findingIds"].as_array().unwrap();
        assert!(ids.len() <= 50);
        let findings: Vec<Value> = ids.iter().map(number).map(|i| finding(i, updates[&i])).collect();
        return json!({ "findings": findings });
    }
    assert_eq!(asked.path, "/detector/d0/findings");
    let since =
        asked.input["findingCriteria"]["criterion"]["updatedAt"]["greaterThanOrEqual"].as_i64().unwrap();
    let mut recent: Vec<_> = updates.iter().filter(|(_, at)| **at >= since).collect();
    recent.sort_by_key(|(number, at)| (**at, **number));
    let ids: Vec<Value> = recent.iter().map(|(number, _)| json!(format!("f{number}"))).collect();
    let (page, token) = page_of(&ids, 50, &asked.input["nextToken"]);
    json!({"findingIds": page, "nextToken": token.unwrap_or_default()})
}

fn finding(number: i64, at: i64) -> Value {
    let at = jiff::Timestamp::from_millisecond(at).unwrap();
    json!({"schemaVersion": "2.0", "id": format!("f{number}"), "severity": 8.0, "title": "é \"x\"", "updatedAt": at.to_string()})
}

pub fn found(number: i64, at: i64) -> Frame {
    frame(&tag("guardduty.findings"), finding(number, at).to_string())
}

/// Average, maximum, minimum, sum, count.
fn statistics(values: &[f64]) -> [f64; 5] {
    let (sum, count) = (values.iter().sum::<f64>(), values.len() as f64);
    let (max, min) = values.iter().fold((f64::MIN, f64::MAX), |(max, min), v| (max.max(*v), min.min(*v)));
    [sum / count, max, min, sum, count]
}

/// Of a period, by its beginning and its length in seconds.
fn datapoint(
    namespace: &str,
    name: &str,
    dimensions: &Value,
    (at, period): (i64, u64),
    unit: Option<&str>,
    statistics: &[f64],
) -> Frame {
    let names = ["Average", "Maximum", "Minimum", "Sum", "SampleCount"];
    let mut body = json!({
        "Namespace": namespace, "MetricName": name, "Dimensions": dimensions, "Timestamp": time(at), "Period": period
    });
    if let Some(unit) = unit {
        body["Unit"] = unit.into();
    }
    names.iter().zip(statistics).for_each(|(name, value)| body[*name] = json!(value));
    frame(&tag("cloudwatch.metrics"), body.to_string())
}

/// Puts events; returns the expected frames, without ids.
pub fn put_events(group: &str, stream: &str, region: &str, lines: &[(i64, String)]) -> Vec<Frame> {
    aws::put_log_events(group, stream, region, lines);
    let tag = format!("cloud.aws.cloudwatch.logs.{}.{region}.1", aws::ACCOUNT);
    let one = |(at, line): &(i64, String)| frame(&tag, body(group, stream, *at, line));
    lines.iter().map(one).collect()
}

pub fn log_line(group: &str, stream: &str, at: i64, line: &str) -> Frame {
    frame(&tag("cloudwatch.logs"), body(group, stream, at, line))
}

fn body(group: &str, stream: &str, at: i64, line: &str) -> String {
    json!({"logGroup": group, "logStream": stream, "timestamp": at, "message": line}).to_string()
}

/// What arrived, without what CloudWatch chose for each event, and without the pulls' ids.
pub fn without_ids(lab: &Lab) -> Vec<Vec<u8>> {
    let chosen = regex::bytes::Regex::new(r#""id":"[^"]+",|"ingestionTime":\d+,"#).unwrap();
    unmarked(lab).iter().map(|bytes| chosen.replace_all(bytes, &b""[..]).into_owned()).collect()
}

fn tag(table: &str) -> String {
    format!("cloud.aws.{table}.{}.{}.1", aws::ACCOUNT, aws::REGION)
}

pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

pub fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap().to_string()
}
