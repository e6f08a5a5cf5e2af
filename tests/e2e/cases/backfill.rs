//! Objects that no queue announced: listed, sent once, and not again.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::answerer::Answerer;
use crate::rig::aws;
use crate::rig::collector::{Collector, Ended};
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::frames::{Frame, assert_exactly, compare, frame, message_bytes};
use crate::rig::lab::{Lab, credentials};
use crate::rig::process::PATIENCE;

/// One page of a listing has 1,000 keys.
const MORE_THAN_A_PAGE: usize = 1500;
const VPC: &str = "AWSLogs/123456789012/vpcflowlogs/";

#[test]
fn every_object_under_a_prefix_once_over_several_pages() {
    let lab = Lab::new("backfill-pages");
    let objects = many(MORE_THAN_A_PAGE);
    lab.put(&objects);
    lab.put(&[Object { key: "elsewhere/x.log.gz".into(), ..feeds::vpc("x", 5) }]);
    aws::put_object(&lab.bucket, &format!("{VPC}us-east-1/"), b"");
    let config = lab.config(json!({"aws_sqs_vpc": {}}));

    let listed = run(&lab, &config, VPC, &["--dry-run"]);
    assert_eq!(listed.code, Some(0), "log:\n{}", listed.log);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), MORE_THAN_A_PAGE);
    assert!(listed.log.contains("1501 objects listed, 1500 to send, 1 without logs"), "log:\n{}", listed.log);
    assert_eq!(lab.sink.received_bytes(), 0, "a dry run sends nothing");

    // A collector may have the port of the status page, or come to it later.
    let of_collector = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut with_page = config.clone();
    with_page["globals"]["status"] = json!({"port": of_collector.local_addr().unwrap().port()});
    let ended = complete(&lab, &with_page, VPC, &[]);
    assert!(!ended.log.contains("cannot be served"), "log:\n{}", ended.log);
    lab.expect_delivered(&all_frames(&objects));
    assert!(ended.log.contains("1500 objects delivered (0 of them before"), "log:\n{}", ended.log);

    let again = complete(&lab, &config, VPC, &[]);
    lab.expect_delivered(&all_frames(&objects));
    assert!(again.log.contains("1500 objects delivered (1500 of them before"), "log:\n{}", again.log);
    assert!(again.log.contains("(1500 of them without a GET)"), "log:\n{}", again.log);
    assert!(lab.queue.is_empty(), "the queue is not touched");
}

#[test]
fn a_second_backfill_and_a_span_of_no_time_are_refused() {
    let lab = Lab::new("backfill-alone");
    let objects = many(300);
    lab.put(&objects);
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let mut first = start(&lab, &slowly(&config, &objects), VPC, &[]);
    first.wait_until("the first objects", || lab.sink.received_bytes() > 0);
    let second = run(&lab, &config, VPC, &[]);
    assert_eq!(second.code, Some(2), "log:\n{}", second.log);
    assert!(second.log.contains("another backfill is running"), "log:\n{}", second.log);
    first.signal(Signal::KILL);
    first.end(PATIENCE);
    for (span, word) in [
        (&["--from", "2026-11-02", "--to", "2026-11-01"][..], "--from is not before --to"),
        (&["--from", "2126-11-01"], "--from is in the future"),
    ] {
        let refused = run(&lab, &config, VPC, span);
        assert_eq!(refused.code, Some(2), "log:\n{}", refused.log);
        assert!(refused.log.contains(word), "log:\n{}", refused.log);
    }
    // A lock does not outlive its process.
    complete(&lab, &config, VPC, &[]);
}

#[test]
fn killed_and_started_again() {
    let lab = Lab::new("backfill-killed");
    let objects = many(MORE_THAN_A_PAGE);
    lab.put(&objects);
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let mut collector = start(&lab, &slowly(&config, &objects), VPC, &[]);
    let half = message_bytes(&all_frames(&objects)) / 2;
    collector.wait_until("half of the objects", || lab.sink.received_bytes() > half);
    collector.signal(Signal::KILL);
    assert_eq!(collector.end(PATIENCE).code, None);
    lab.sink_is_quiet();
    let frames = all_frames(&objects);
    let sent = frames.len() - compare(&frames, &lab.sink.received()).missing.len();
    assert!(sent < frames.len(), "it was killed in the middle");
    complete(&lab, &config, VPC, &[]);
    let repeats = lab.expect_delivered_at_least_once("backfill killed", &frames);
    // Sent within the settling time and the ledger's interval.
    assert!(repeats < sent / 2, "{repeats} repeats of {sent} sent");
}

#[test]
fn interrupted_and_started_again() {
    let lab = Lab::new("backfill-interrupted");
    let objects = many(300);
    lab.put(&objects);
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["globals"]["shutdown_timeout"] = json!(1);
    let mut collector = start(&lab, &slowly(&config, &objects), VPC, &[]);
    collector.wait_until("the first objects", || lab.sink.received_bytes() > 0);
    collector.signal(Signal::INT);
    let ended = collector.end(PATIENCE);
    assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
    let last = ended.log.lines().last().unwrap_or_default();
    assert!(last.contains("the backfill was stopped early"), "the last line: {last}");
    assert!(last.contains("the same command resumes"), "the last line: {last}");
    complete(&lab, &config, VPC, &[]);
    lab.expect_delivered_at_least_once("backfill interrupted", &all_frames(&objects));
}

/// 180 MB of keys, of empty objects.
#[test]
fn a_long_listing_does_not_fill_the_memory() {
    const PAGES: usize = 200;
    let lab = Lab::new("backfill-long");
    let server = Answerer::start(move |asked| (200, page_of_empty_objects(&asked.path, PAGES)));
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["inputs"]["sqs_collector"]["s3_endpoint_url"] = json!(server.endpoint);
    let ended = complete(&lab, &config, "", &[]);
    assert!(ended.log.contains("200000 objects listed, 0 to send"), "log:\n{}", ended.log);
    println!("200,000 keys of 900 bytes: peak memory {} MiB", ended.peak_rss >> 20);
    assert!(ended.peak_rss < 96 << 20, "peak memory {} MiB", ended.peak_rss >> 20);
    assert_eq!(server.asked().len(), PAGES, "each page once");
}

#[test]
fn only_what_was_written_between_two_times() {
    let lab = Lab::new("backfill-times");
    let pause = || std::thread::sleep(Duration::from_millis(2100));
    let [old, meant, young] = ["old", "meant", "young"].map(|label| feeds::vpc(label, 10));
    lab.put(&[old]);
    pause();
    let from = now();
    let frames = meant.frames.clone();
    lab.put(&[meant]);
    pause();
    let to = now();
    lab.put(&[young]);
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let ended = complete(&lab, &config, "", &["--from", &from, "--to", &to]);
    lab.expect_delivered(&frames);
    assert!(ended.log.contains("2 outside --from and --to"), "log:\n{}", ended.log);
}

#[test]
fn of_several_services_only_the_one_that_is_named() {
    let lab = Lab::new("backfill-services");
    let (vpc, waf) = (feeds::vpc("v", 10), feeds::waf("w", 10));
    let (vpc_frames, waf_frames) = (vpc.frames.clone(), waf.frames.clone());
    lab.put(&[vpc, waf]);
    let config = lab.config(json!({"aws_sqs_vpc": {}, "aws_sqs_waf": {}}));
    let ended = complete(&lab, &config, "AWSLogs/", &[]);
    lab.expect_delivered(&vpc_frames);
    assert!(ended.log.contains("1 of other services"), "log:\n{}", ended.log);
    // A service that the input does not have comes from the registry.
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let prefix = "AWSLogs/123456789012/WAFLogs/";
    let ended = start_as(&lab, &config, "aws_sqs_waf", prefix, &[]).end(PATIENCE);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    lab.expect_delivered(&[vpc_frames, waf_frames].concat());
}

/// CloudTrail's API reaches back 90 days: older events are in the trail's bucket, and get the same tags.
#[test]
fn the_trail_of_a_source_that_is_polled() {
    let lab = Lab::new("backfill-trail");
    let trail = feeds::cloudtrail("old", 20);
    lab.put(std::slice::from_ref(&trail));
    let mut config = lab.config(json!({}));
    let service = json!({"types": ["audits_api"], "regions": [aws::REGION],
                         "tag": "cloud.aws.cloudtrail.{event_type}"});
    let tagged = |trail: &Object| -> Vec<Frame> {
        trail.frames.iter().map(|f| frame("cloud.aws.cloudtrail.events", &f.message)).collect()
    };
    let user = aws::user();
    config["inputs"] = json!({"aws": {
        "id": "1",
        "credentials": {"access_key": user.key_id, "access_secret": user.secret},
        "endpoint_url": crate::rig::emulator::endpoint(),
        "services": {"audit-events-all": service, "metrics-all": {"regions": [aws::REGION]}}
    }});
    for _ in 0..2 {
        let ended = start_as(&lab, &config, "audit-events-all", "AWSLogs/", &[]).end(PATIENCE);
        assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
        assert_exactly(&tagged(&trail), &crate::cases::api_sources::unmarked(&lab));
    }
    let ended = start_as(&lab, &config, "metrics-al", "AWSLogs/", &[]).end(PATIENCE);
    assert_eq!(ended.code, Some(2), "log:\n{}", ended.log);
    assert!(ended.log.contains("\"metrics-al\" is no service"), "log:\n{}", ended.log);
    config["inputs"]["aws"]["services"]["audit-events-all"]["enabled"] = json!(false);
    let ended = start_as(&lab, &config, "metrics-all", "AWSLogs/", &[]).end(PATIENCE);
    assert_eq!(ended.code, Some(2), "log:\n{}", ended.log);
    assert!(ended.log.contains("no input of the configuration reads objects"), "log:\n{}", ended.log);
}

#[test]
fn a_corrupt_object_does_not_keep_the_others() {
    let lab = Lab::new("backfill-corrupt");
    // It is on the second page.
    let (mut objects, corrupt) = (many(1020), 1007);
    let whole = std::mem::take(&mut objects[corrupt].bytes);
    objects[corrupt].bytes = whole[..whole.len() / 2].to_vec();
    lab.put(&objects);
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let ended = run(&lab, &config, VPC, &[]);
    assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
    assert!(ended.log.contains("1019 objects delivered"), "log:\n{}", ended.log);
    assert!(
        ended.log.contains(&format!("{}: could not be delivered", objects[corrupt].key)),
        "{}",
        ended.log
    );
    objects[corrupt].bytes = whole;
    lab.put(&objects[corrupt..=corrupt]);
    let ended = complete(&lab, &config, VPC, &[]);
    assert!(ended.log.contains("resumes after \"AWSLogs/"), "log:\n{}", ended.log);
    assert!(ended.log.contains("20 objects listed"), "the first page is delivered. Log:\n{}", ended.log);
    assert!(ended.log.contains("(19 of them before this run)"), "log:\n{}", ended.log);
    lab.expect_delivered_at_least_once("backfill corrupt", &all_frames(&objects));
}

#[test]
fn mistakes_are_told_before_anything_is_sent() {
    let lab = Lab::new("backfill-mistakes");
    lab.put(&many(1));
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let refused = |bucket: &str, service: &str, prefix: &str, config: &Value, says: &str| {
        let url = format!("s3://{bucket}/{prefix}");
        let file = lab.write_config(config);
        let arguments = ["backfill", &url, "--service", service, "--config", &file];
        let ended = Collector::start(lab.directory(), &arguments).end(PATIENCE);
        assert_eq!(ended.code, Some(2), "log:\n{}", ended.log);
        assert!(ended.log.contains(says), "{says} is not in\n{}", ended.log);
    };
    refused("no-such-bucket", "aws_sqs_vpc", VPC, &config, "NoSuchBucket");
    refused(&lab.bucket, "aws_sqs_vpc", "awslogs/", &config, "begins with \"awslogs/\"");
    refused(&lab.bucket, "aws_sqs_vcp", VPC, &config, "did you mean \"aws_sqs_vpc\"?");
    let reader = aws::create_user("backfill-reader", "s3:GetObject");
    let mut denied = config.clone();
    denied["inputs"]["sqs_collector"]["credentials"] = credentials(&reader);
    refused(&lab.bucket, "aws_sqs_vpc", VPC, &denied, "s3:ListBucket on arn:aws:s3:::");
    let mut two = config.clone();
    two["inputs"]["sqs_collector_2"] = config["inputs"]["sqs_collector"].clone();
    two["inputs"]["sqs_collector_2"]["id"] = json!("2");
    refused(&lab.bucket, "aws_sqs_vpc", VPC, &two, "--input (sqs_collector, sqs_collector_2)");
    assert_eq!(lab.sink.received_bytes(), 0);
}

fn many(count: usize) -> Vec<Object> {
    (0..count).map(|i| feeds::vpc(&format!("{i:05}"), 10)).collect()
}

/// In about ten seconds.
fn slowly(config: &Value, objects: &[Object]) -> Value {
    let mut slow = config.clone();
    let rate = message_bytes(&all_frames(objects)) / 10;
    slow["outputs"]["devo_1"]["config"]["max_bytes_per_second"] = json!(rate);
    slow
}

fn start(lab: &Lab, config: &Value, prefix: &str, more: &[&str]) -> Collector {
    start_as(lab, config, "aws_sqs_vpc", prefix, more)
}

fn start_as(lab: &Lab, config: &Value, service: &str, prefix: &str, more: &[&str]) -> Collector {
    let (file, url) = (lab.write_config(config), format!("s3://{}/{prefix}", lab.bucket));
    let arguments = [&["backfill", &url, "--service", service, "--config", &file], more].concat();
    Collector::start(lab.directory(), &arguments)
}

fn run(lab: &Lab, config: &Value, prefix: &str, more: &[&str]) -> Ended {
    let ended = start(lab, config, prefix, more).end(PATIENCE);
    lab.sink_is_quiet();
    ended
}

fn complete(lab: &Lab, config: &Value, prefix: &str, more: &[&str]) -> Ended {
    let ended = run(lab, config, prefix, more);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    ended
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// The page after `start-after`, whose keys begin with their page and index.
fn page_of_empty_objects(path: &str, pages: usize) -> String {
    let after = path.split("start-after=").nth(1).map_or(0, |key| key[..4].parse::<usize>().unwrap() + 1);
    let contents: String = (0..1000)
        .map(|i| {
            let key = format!("{after:04}-{i:03}-{}", "x".repeat(900));
            format!("<Contents><Key>{key}</Key><LastModified>2026-11-21T00:00:00.000Z</LastModified><Size>0</Size></Contents>")
        })
        .collect();
    let truncated = after + 1 < pages;
    format!("<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{contents}</ListBucketResult>")
}
