//! For any failure, however frequent: the log has a few lines, and names examples.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::aws;
use crate::rig::fault_proxy::{Call, Fault, FaultProxy, refuse_json, refuse_xml};
use crate::rig::feeds::{self, all_frames};
use crate::rig::lab::Lab;

/// Long enough for hundreds of failures.
const OUTAGE: Duration = Duration::from_secs(6);
/// Lines about one outage: its start in each of its parts, a count if a minute ends, its end.
const LINES_MAX: usize = 8;

#[test]
fn an_outage_of_s3_with_many_objects() {
    let is_get = |call: &Call| call.action == "GetObject";
    outage(
        "flood-s3",
        "S3 says 503 SlowDown for 6 s, 120 objects",
        is_get,
        || refuse_xml(503, "SlowDown"),
        "s3:GetObject",
    );
}

#[test]
fn a_deleted_bucket_with_many_objects() {
    let is_get = |call: &Call| call.action == "GetObject";
    outage(
        "flood-bucket",
        "S3 says 404 NoSuchBucket for 6 s",
        is_get,
        || refuse_xml(404, "NoSuchBucket"),
        "NoSuchBucket",
    );
}

#[test]
fn an_outage_of_sqs() {
    let is_sqs = |call: &Call| call.action.contains("Message") || call.action == "GetQueueAttributes";
    outage(
        "flood-sqs",
        "SQS says 403 AccessDenied for 6 s",
        is_sqs,
        || refuse_json(403, "AccessDenied"),
        "sqs:ReceiveMessage",
    );
}

#[test]
fn an_outage_of_sts() {
    let is_sts = |call: &Call| call.action == "AssumeRole";
    outage(
        "flood-sts",
        "STS says 403 AccessDenied for 6 s",
        is_sts,
        || refuse_xml(403, "AccessDenied"),
        "sts:AssumeRole",
    );
}

#[test]
fn an_outage_of_the_sink() {
    let mut lab = Lab::new("flood-sink");
    let objects: Vec<_> = (0..40).map(|i| feeds::vpc(&format!("k{i}"), 50)).collect();
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["outputs"]["devo_1"]["config"]["senders"] = json!(8);
    lab.sink.stop();
    lab.put_and_announce(&objects);
    let mut collector = lab.run(&config, &[]);
    collector.wait_for_log("(?i)refused");
    std::thread::sleep(OUTAGE);
    lab.sink.restart();
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    let log = collector.stop().log;
    assert!(log.contains("works again after"), "log:\n{log}");
    is_short(&log);
}

#[test]
fn hundreds_of_damaged_objects_and_unknown_messages() {
    let lab = Lab::with_few_receives("flood-poison");
    let damaged = |i| {
        let mut object = feeds::vpc(&format!("d{i}"), 20);
        object.bytes.truncate(object.bytes.len() - 9);
        object
    };
    lab.put_and_announce(&(0..200).map(damaged).collect::<Vec<_>>());
    lab.queue.send(&(0..200).map(|i| format!("not JSON at all, number {i}")).collect::<Vec<_>>());
    let began = Instant::now();
    let log = lab.drain_but(400, &lab.config(json!({"aws_sqs_vpc": {}}))).log;
    // On a slow machine.
    let minutes = 1 + began.elapsed().as_secs() as usize / 60;
    let of = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    for words in ["truncated gzip", "is not JSON", "received again (delivery 2"] {
        assert!((1..=7 * minutes).contains(&of(words)), "{words}: {} lines; log:\n{log}", of(words));
    }
    assert!(log.contains("times in ") && log.contains(&lab.bucket), "log:\n{log}");
    is_short_of(&log, 20 * minutes);
}

/// All `calls` fail for a while; 120 objects wait.
fn outage(
    name: &str,
    case: &str,
    calls: impl Fn(&Call) -> bool + Send + 'static,
    fault: impl Fn() -> Fault + Send + 'static,
    named: &str,
) {
    let lab = Lab::with_few_receives(name);
    let objects: Vec<_> = (0..120).map(|i| feeds::vpc(&format!("o{i}"), 20)).collect();
    let is_away = Arc::new(AtomicBool::new(true));
    let away = Arc::clone(&is_away);
    let proxy =
        FaultProxy::start(
            move |call| {
                if away.load(Ordering::Relaxed) && calls(call) { fault() } else { Fault::Pass }
            },
        );
    lab.put_and_announce(&objects);
    let mut collector = lab.run(&with_proxy(&lab, &proxy), &[]);
    collector.wait_for_log(named);
    std::thread::sleep(OUTAGE);
    is_away.store(false, Ordering::Relaxed);
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    let ended = collector.stop();
    assert!(lab.dead_letters.is_empty(), "log:\n{}", ended.log);
    let end = regex::Regex::new(r"works again after \d+ failures? in (\d+ m )?\d+ s").unwrap();
    assert!(end.is_match(&ended.log), "log:\n{}", ended.log);
    is_short(&ended.log);
    lab.expect_delivered_at_least_once(case, &all_frames(&objects));
}

fn is_short(log: &str) {
    is_short_of(log, LINES_MAX);
}

/// Of warnings and errors.
fn is_short_of(log: &str, most: usize) {
    let lines = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count();
    assert!(lines <= most, "{lines} warnings and errors; log:\n{log}");
}

/// With a role, so that STS is asked.
fn with_proxy(lab: &Lab, proxy: &FaultProxy) -> Value {
    let mut config = lab.config_through(proxy, "aws_sqs_vpc");
    let principal = format!("arn:aws:iam::{}:user/{}", aws::ACCOUNT, aws::user().name);
    let role = aws::create_role(&format!("{}-role", lab.queue.name), "*", &principal, None);
    config["inputs"]["sqs_collector"]["credentials"]["aws_base_account_role"] = json!(role);
    config
}
