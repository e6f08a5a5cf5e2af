//! S3 fails in every way. A message becomes a dead letter after two receives, so a failure of all objects must not use
//! receives up.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::rig::aws;
use crate::rig::fault_proxy::{Call, Fault, FaultProxy, refuse_xml};
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::frames::assert_at_least_once;
use crate::rig::lab::Lab;

const OUTAGE: Duration = Duration::from_secs(15);

#[test]
fn slow_down_for_a_while() {
    outage("s3-slow-down", "S3 says 503 SlowDown for 15 s", || refuse_xml(503, "SlowDown"));
}

#[test]
fn everything_is_denied_for_a_while() {
    outage("s3-denied", "S3 says 403 AccessDenied for 15 s", || refuse_xml(403, "AccessDenied"));
}

#[test]
fn internal_errors() {
    first_calls("s3-500", "S3 says 500, twice for each object", 2, || refuse_xml(500, "InternalError"));
}

#[test]
fn reset_in_the_middle_of_a_body() {
    let reset = || Fault::Cut { after: 700, reset: true };
    first_calls("s3-reset", "S3 resets in mid-body, twice for each object", 2, reset);
}

#[test]
fn a_body_that_is_shorter_than_announced() {
    let short = || Fault::Cut { after: 700, reset: false };
    first_calls("s3-short", "S3's body ends early, twice for each object", 2, short);
}

#[test]
fn an_object_that_is_not_there_yet() {
    let missing = || refuse_xml(404, "NoSuchKey");
    first_calls("s3-late", "S3 says 404, twice for each object", 2, missing);
}

#[test]
fn an_object_that_comes_much_later() {
    let lab = Lab::new("s3-later");
    let objects = small_objects();
    lab.put_and_announce(&objects);
    let proxy = FaultProxy::start(for_each_key(4, || refuse_xml(404, "NoSuchKey")));
    let config = lab.config_through(&proxy, "aws_sqs_vpc");
    let ended = lab.drain_all(&config);
    assert!(
        ended.log.contains("Its message is returned to the queue and received again"),
        "log:\n{}",
        ended.log
    );
    lab.expect_delivered_at_least_once("S3 says 404, four times for each object", &all_frames(&objects));
}

#[test]
fn a_drain_says_that_nothing_may_be_read() {
    let lab = Lab::with_few_receives("s3-drain-denied");
    let objects = small_objects();
    lab.put_and_announce(&objects);
    let proxy = FaultProxy::start(|call| match call.action.as_str() {
        "GetObject" => refuse_xml(403, "AccessDenied"),
        _ => Fault::Pass,
    });
    let ended = lab.drain(&lab.config_through(&proxy, "aws_sqs_vpc"));
    assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
    assert!(ended.log.contains("s3:GetObject") && ended.log.contains("AccessDenied"), "log:\n{}", ended.log);
    assert!(lab.dead_letters.is_empty(), "log:\n{}", ended.log);
    let left = lab.queue.peek();
    let (visible, most) =
        (left.iter().filter(|m| m.visible).count(), left.iter().map(|m| m.receive_count).max());
    assert_eq!((left.len(), visible, most), (objects.len(), objects.len(), Some(1)), "log:\n{}", ended.log);
    lab.drain_all(&lab.config(json!({"aws_sqs_vpc": {}})));
    lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn an_object_is_replaced_between_two_ranges() {
    let lab = Lab::new("s3-replaced");
    let new = large("new");
    let (proxy, bytes) = replacing(&lab, &new);
    lab.drain_all(&lab.config_through(&proxy, "aws_sqs_fdr"));
    assert!(bytes > 8 << 20, "the object has several ranges");
    // Held whole: nothing of the old one was in flight yet.
    lab.expect_delivered(&new.frames);
    lab.expect_delivered_at_least_once("S3 object replaced between two ranges", &new.frames);
}

#[test]
fn an_object_is_replaced_while_it_streams() {
    let lab = Lab::new("s3-replaced-stream");
    let new = large("new");
    let (proxy, _) = replacing(&lab, &new);
    let mut config = lab.config_through(&proxy, "aws_sqs_fdr");
    config["globals"]["memory_limit"] = json!(64 << 20);
    lab.drain_all(&config);
    let without_old: Vec<_> = lab.sink.received().iter().map(|file| without(file, "\"id\":\"old-")).collect();
    assert_at_least_once("S3 object replaced while it streams", &new.frames, &without_old);
}

/// A proxy that replaces the object by `new` when the first range of the old one has been read.
fn replacing(lab: &Lab, new: &Object) -> (FaultProxy, usize) {
    let mut old = large("old");
    old.key.clone_from(&new.key);
    lab.put_and_announce(std::slice::from_ref(&old));
    let (bucket, key, bytes) = (lab.bucket.clone(), new.key.clone(), new.bytes.clone());
    let mut replaced = false;
    let proxy = FaultProxy::start(move |call: &Call| {
        if call.action == "GetObject" && call.range_start > 0 && !std::mem::replace(&mut replaced, true) {
            aws::put_object(&bucket, &key, &bytes);
        }
        Fault::Pass
    });
    (proxy, old.bytes.len())
}

/// Not compressed, so that ten megabytes are created quickly.
fn large(label: &str) -> Object {
    let lines: Vec<_> = (0..14_000).map(|i| feeds::fdr_event(label, i)).collect();
    Object {
        key: "data/large/part-00000".into(),
        bytes: (lines.join("\n") + "\n").into_bytes(),
        frames: feeds::frames("edr.crowdstrike.cannon", &lines),
    }
}

/// All objects fail for a while, then none.
fn outage(name: &str, case: &str, fault: impl Fn() -> Fault + Send + 'static) {
    let lab = Lab::with_few_receives(name);
    let objects = small_objects();
    lab.put_and_announce(&objects);
    let mut first = None;
    let proxy = FaultProxy::start(move |call| {
        let first = *first.get_or_insert_with(Instant::now);
        if call.action == "GetObject" && first.elapsed() < OUTAGE { fault() } else { Fault::Pass }
    });
    let mut collector = lab.run(&lab.config_through(&proxy, "aws_sqs_vpc"), &[]);
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(lab.dead_letters.is_empty(), "there are dead letters; log:\n{}", ended.log);
    assert!(ended.log.contains("works again"), "log:\n{}", ended.log);
    assert!(proxy.faults() > 0 && proxy.faults() < 1000, "{} calls failed", proxy.faults());
    lab.expect_delivered_at_least_once(case, &all_frames(&objects));
}

/// The first calls for each object fail: no message is returned to the queue for that.
fn first_calls(name: &str, case: &str, failing: u32, fault: impl Fn() -> Fault + Send + 'static) {
    let lab = Lab::with_few_receives(name);
    let objects = small_objects();
    lab.put_and_announce(&objects);
    let proxy = FaultProxy::start(for_each_key(failing, fault));
    let ended = lab.drain_all(&lab.config_through(&proxy, "aws_sqs_vpc"));
    assert_eq!(proxy.faults(), failing * objects.len() as u32, "log:\n{}", ended.log);
    assert!(!ended.log.contains("it is not acknowledged and will be retried"), "log:\n{}", ended.log);
    lab.expect_delivered_at_least_once(case, &all_frames(&objects));
}

fn for_each_key(
    failing: u32,
    fault: impl Fn() -> Fault + Send + 'static,
) -> impl FnMut(&Call) -> Fault + Send + 'static {
    let mut calls: HashMap<String, u32> = HashMap::new();
    move |call| {
        if call.action != "GetObject" {
            return Fault::Pass;
        }
        let calls = calls.entry(call.path.clone()).or_default();
        *calls += 1;
        if *calls <= failing { fault() } else { Fault::Pass }
    }
}

fn small_objects() -> Vec<Object> {
    (0..30).map(|i| feeds::vpc(&format!("s{i}"), 200)).collect()
}

fn without(file: &[u8], mark: &str) -> Vec<u8> {
    let lines = file.split_inclusive(|b| *b == b'\n');
    lines.filter(|line| memchr::memmem::find(line, mark.as_bytes()).is_none()).flatten().copied().collect()
}
