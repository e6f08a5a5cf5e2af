//! Polled sources while things change: stepping clocks, findings that are updated between two calls, refused items, a
//! collector that is killed repeatedly.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cases::api_sources::{self, record, unmarked};
use crate::cases::sources::{
    MILLIS, MINUTE, config, findings, found, log_line, metric_data, now, put_events, time, without_ids,
};
use crate::rig::answerer::{Answerer, page_of, refusal};
use crate::rig::aws;
use crate::rig::frames::{Frame, assert_at_least_once, assert_exactly};
use crate::rig::lab::Lab;
use crate::rig::lookups::Trail;

/// The collector starts two hours fast, then continues slow, then right. The emulator refuses signatures that differ by
/// more than 15 minutes, as AWS does; events appear all the time.
#[test]
fn a_clock_that_steps_leaves_out_no_event() {
    let lab = Lab::new("poll-clock");
    aws::create_log_group("clock", aws::REGION);
    let service = json!({
        "types": ["logs"], "log_group": "clock", "regions": [aws::REGION], "request_period_in_seconds": 1
    });
    let config = config(&lab, &[], json!({"cwl_1": service}));
    let clock = lab.directory().join("clock");
    std::fs::write(&clock, "+2h").unwrap();
    let environment = [
        ("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1"),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let mut collector = lab.run_with(&environment, &config, &[]);
    collector.wait_for_log("Starting data collection");
    let mut frames = Vec::new();
    for (number, offset) in ["+2h", "-2h", "+3h", "+0"].into_iter().enumerate() {
        std::fs::write(&clock, offset).unwrap();
        std::thread::sleep(Duration::from_millis(2500));
        frames.extend(put_events("clock", "s", aws::REGION, &[(now() * MILLIS, format!("event {number}"))]));
        collector.wait_until(&format!("the event at {offset}"), || lines(&lab) >= frames.len());
    }
    let ended = collector.stop();
    assert!(
        ended.log.contains("clock differs from AWS's by"),
        "is libfaketime installed? log:\n{}",
        ended.log
    );
    lab.drain_all(&config);
    assert_exactly(&frames, &without_ids(&lab));
}

/// One slot of 14 pages, at two lookups a second: each process reads a few of them.
#[test]
fn a_busy_slot_is_looked_up_by_collectors_that_are_killed_again_and_again() {
    let (lab, trail) = (Lab::new("lookup-busy"), Trail::start());
    let start = now() - 3 * 3600;
    let frames = record(&trail, (0..700).map(|n| start + 5 * n));
    let config = api_sources::config(&lab, &trail, start, json!({}));
    for _ in 0..2 {
        let (calls, sent) = (trail.requests().len(), lines(&lab));
        let mut collector = lab.run(&config, &[]);
        collector.wait_until("some pages", || trail.requests().len() >= calls + 8 && lines(&lab) > sent);
        collector.kill();
    }
    let before = trail.requests().len();
    lab.drain_all(&config);
    let requests = trail.requests();
    let in_first_slot = |asked: &&Value| asked["StartTime"].as_i64() == Some(start);
    let left = requests[before..].iter().filter(in_first_slot).count();
    assert!(left < 12, "the last process has read {left} of 14 pages");
    assert_at_least_once("killed again and again in a busy slot", &frames, &unmarked(&lab));
}

/// A finding is updated between the list and its details; the pages after the first are unavailable then.
#[test]
fn a_finding_that_changes_while_others_are_read_hides_none_of_them() {
    let lab = Lab::new("guardduty-changes");
    let base = (now() - 864_000) * MILLIS;
    let updates: BTreeMap<i64, i64> = (0..200).map(|i| (i, base + MINUTE * MILLIS * i)).collect();
    let (updates, is_broken) = (Arc::new(Mutex::new(updates)), Arc::new(AtomicBool::new(false)));
    let (shared, broken) = (Arc::clone(&updates), Arc::clone(&is_broken));
    let later = now() * MILLIS;
    let server = Answerer::start(move |asked| {
        if broken.load(Ordering::SeqCst) {
            return refusal("InternalServerErrorException");
        }
        if asked.path.ends_with("/get") && shared.lock().unwrap().insert(3, later) != Some(later) {
            broken.store(true, Ordering::SeqCst);
        }
        (200, findings(asked, &shared.lock().unwrap()).to_string())
    });
    let service = json!({"regions": [aws::REGION]});
    let config = config(&lab, &[("guardduty", &server.endpoint)], json!({"aws-guardduty": service}));
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("the first page", || lines(&lab) >= 50);
    collector.stop();
    is_broken.store(false, Ordering::SeqCst);
    lab.drain_all(&config);
    let frames: Vec<Frame> = updates.lock().unwrap().iter().map(|(number, at)| found(*number, *at)).collect();
    assert_exactly(&frames, &unmarked(&lab));
}

#[test]
fn a_log_group_that_refuses_holds_nobody_up_and_is_read_later() {
    let lab = Lab::new("logs-refuse");
    let at = (now() - 600) * MILLIS;
    let groups = ["a", "b", "c", "d"];
    let refuses = Arc::new(AtomicBool::new(true));
    let shared = Arc::clone(&refuses);
    let server = Answerer::start(move |asked| {
        let group = asked.input["logGroupName"].as_str().unwrap_or_default().to_owned();
        match asked.target.as_str() {
            "DescribeLogGroups" => {
                let class = |name: &str| if name == "c" { "INFREQUENT_ACCESS" } else { "STANDARD" };
                let groups = groups.map(|name| json!({"logGroupName": name, "logGroupClass": class(name)}));
                (200, json!({ "logGroups": groups }).to_string())
            }
            _ if group == "c" || (group == "b" && shared.load(Ordering::SeqCst)) => {
                refusal("InvalidOperationException")
            }
            _ => {
                let span =
                    asked.input["startTime"].as_i64().unwrap()..=asked.input["endTime"].as_i64().unwrap();
                let event =
                    json!({"eventId": group, "logStreamName": "s", "timestamp": at, "message": group});
                (200, json!({"events": if span.contains(&at) { vec![event] } else { vec![] }}).to_string())
            }
        }
    });
    let service = json!({"types": ["logs"], "log_group": "/", "start_time": time(now() - 3600), "regions": [aws::REGION]});
    let config = config(&lab, &[("logs", &server.endpoint)], json!({"cwl_1": service}));
    let ended = lab.drain_all(&config);
    let line = |group| log_line(group, "s", at, group);
    assert_exactly(&[line("a"), line("d")], &without_ids(&lab));
    for (group, why) in [("b", "InvalidOperationException"), ("c", "INFREQUENT_ACCESS")] {
        let named = format!("log group {group} cannot be read and is passed over");
        assert!(ended.log.lines().any(|l| l.contains(&named) && l.contains(why)), "log:\n{}", ended.log);
    }
    refuses.store(false, Ordering::SeqCst);
    lab.drain_all(&config);
    assert_exactly(&[line("a"), line("b"), line("d")], &without_ids(&lab));
}

#[test]
fn a_metric_that_cloudwatch_does_not_give_is_named_and_asked_for_again() {
    let lab = Lab::new("metrics-refuse");
    let base = (now() - 40 * MINUTE) / MINUTE * MINUTE;
    let names = ["good", "forbidden", "partial"];
    let refuses = Arc::new(AtomicBool::new(true));
    let shared = Arc::clone(&refuses);
    let server = Answerer::start(move |asked| {
        if asked.target == "ListMetrics" {
            let metrics =
                names.map(|name| json!({"Namespace": "Shop", "MetricName": name, "Dimensions": []}));
            let (page, token) = page_of(&metrics, 100, &asked.input["NextToken"]);
            return (200, json!({"Metrics": page, "NextToken": token}).to_string());
        }
        let mut answer = metric_data(asked, base);
        let queries = asked.input["MetricDataQueries"].as_array().unwrap();
        let all = answer["MetricDataResults"].as_array_mut().unwrap();
        for (series, query) in all.iter_mut().zip(queries) {
            let status = match query["MetricStat"]["Metric"]["MetricName"].as_str() {
                Some("forbidden") => "Forbidden",
                Some("partial") => "PartialData",
                _ => continue,
            };
            if shared.load(Ordering::SeqCst) {
                series["StatusCode"] = status.into();
            }
        }
        (200, answer.to_string())
    });
    let service = json!({"start_time": time(base), "regions": [aws::REGION], "request_period_in_seconds": 1, "metric_units": false});
    let config = config(&lab, &[("cloudwatch", &server.endpoint)], json!({"metrics-all": service}));
    let ended = lab.drain_all(&config);
    let sent = |name: &str| {
        let name = format!("\"MetricName\":\"{name}\"");
        lab.sink.received_text().matches(&name).count()
    };
    assert_eq!(names.map(sent), [1, 0, 0]);
    for status in ["Forbidden", "PartialData"] {
        assert!(ended.log.contains(&format!("CloudWatch says StatusCode {status}")), "log:\n{}", ended.log);
    }
    refuses.store(false, Ordering::SeqCst);
    std::thread::sleep(Duration::from_secs(1));
    lab.drain_all(&config);
    assert_eq!(names.map(sent), [1, 1, 1]);
}

fn lines(lab: &Lab) -> usize {
    lab.sink.received_text().lines().count()
}
