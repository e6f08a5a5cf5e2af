//! SQS is slow, down, forgetful, and delivers twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::fault_proxy::{Call, Fault, FaultProxy, refuse_json};
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::lab::Lab;

#[test]
fn throttled() {
    let lab = Lab::with_few_receives("sqs-throttled");
    let objects = objects(60);
    lab.put_and_announce(&objects);
    let proxy = FaultProxy::start(|call| match (is_sqs(call), call.number % 4) {
        (true, 1 | 2) => refuse_json(400, "RequestThrottled"),
        (true, 3) => refuse_json(503, "ServiceUnavailable"),
        (true, _) => Fault::Delay(Duration::from_millis(200)),
        _ => Fault::Pass,
    });
    let ended = lab.drain_all(&lab.config_through(&proxy, "aws_sqs_fdr"));
    assert!(proxy.faults() > 10, "log:\n{}", ended.log);
    lab.expect_delivered_at_least_once("SQS throttles three calls in four", &all_frames(&objects));
}

#[test]
fn down_for_seventy_seconds() {
    let lab = Lab::new("sqs-down");
    let (objects, switch, proxy) = with_switch(&lab);
    let mut collector = lab.run(&lab.config_through(&proxy, "aws_sqs_fdr"), &[]);
    down(&lab, &mut collector, &switch);
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    assert_eq!(collector.stop().code, Some(0));
    lab.sink_is_quiet();
    assert!(lab.dead_letters.is_empty());
    assert!(proxy.faults() < 2000, "{} calls failed", proxy.faults());
    lab.expect_delivered_at_least_once("SQS down for 70 s", &all_frames(&objects));
}

#[test]
fn down_for_seventy_seconds_in_a_drain() {
    let lab = Lab::new("sqs-down-drain");
    let (objects, switch, proxy) = with_switch(&lab);
    let mut collector = lab.run(&lab.config_through(&proxy, "aws_sqs_fdr"), &["--drain"]);
    down(&lab, &mut collector, &switch);
    let ended = collector.end(crate::rig::process::PATIENCE);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    lab.sink_is_quiet();
    assert!(lab.queue.is_empty() && lab.dead_letters.is_empty());
    lab.expect_delivered_at_least_once("SQS down for 70 s, draining", &all_frames(&objects));
}

#[test]
fn a_drain_that_may_not_look_at_the_depth_for_a_while() {
    let lab = Lab::new("sqs-depth");
    let objects = objects(200);
    lab.put_and_announce(&objects);
    let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
    config["inputs"]["sqs_collector"]["sqs_visibility_timeout"] = json!(25);
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("the stream's beginning", || lab.sink.received_bytes() > 0);
    collector.kill();
    assert!(lab.queue.peek().iter().any(|m| !m.visible), "messages are in flight");
    // Only the depth shows messages in flight.
    let proxy = FaultProxy::start(|call| match call.action.as_str() {
        "GetQueueAttributes" if call.number <= 25 => refuse_json(400, "RequestThrottled"),
        _ => Fault::Pass,
    });
    config["inputs"]["sqs_collector"]["endpoint_url"] = json!(proxy.endpoint());
    lab.drain_all(&config);
    let case = "GetQueueAttributes throttled, draining after a kill";
    lab.expect_delivered_at_least_once(case, &all_frames(&objects));
}

#[test]
fn receipt_handles_expire() {
    let lab = Lab::new("sqs-expired");
    let objects = objects(20);
    lab.put_and_announce(&objects);
    // Extensions are granted and forgotten.
    let proxy = FaultProxy::start(|call| match call.action.as_str() {
        "ChangeMessageVisibilityBatch" => granted(&call.body),
        _ => Fault::Pass,
    });
    let mut config = lab.config_through(&proxy, "aws_sqs_fdr");
    config["inputs"]["sqs_collector"]["sqs_visibility_timeout"] = json!(6);
    lab.sink.freeze();
    let mut collector = lab.run(&config, &[]);
    let receives = || lab.queue.peek().iter().map(|m| m.receive_count).min();
    collector.wait_until("every message's second receipt", || receives() >= Some(2));
    lab.sink.thaw();
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(
        ended.log.contains("the lease of a delivered message ended before its deletion"),
        "log:\n{}",
        ended.log
    );
    assert!(proxy.calls("DeleteMessageBatch") < 100, "{} deletions", proxy.calls("DeleteMessageBatch"));
    lab.expect_delivered_at_least_once("SQS receipt handles expired", &all_frames(&objects));
}

#[test]
fn a_drain_that_may_not_delete_ends_and_says_so() {
    let lab = Lab::new("sqs-undeletable");
    let objects = objects(3);
    lab.put_and_announce(&objects);
    let proxy = FaultProxy::start(|call| match call.action.as_str() {
        "DeleteMessageBatch" => refuse_json(403, "AccessDenied"),
        _ => Fault::Pass,
    });
    let ended = lab.drain(&lab.config_through(&proxy, "aws_sqs_fdr"));
    assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
    assert!(ended.log.contains("inputs.sqs_collector: deletions: delivered messages cannot be deleted"));
    lab.expect_delivered(&all_frames(&objects));
    // With the permission they are deleted, without being sent again.
    lab.drain_all(&lab.config(json!({"aws_sqs_fdr": {}})));
    lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn a_message_is_delivered_twice_at_once() {
    let lab = Lab::new("sqs-twice");
    let objects = objects(60);
    lab.put_and_announce(&objects);
    let last = Arc::new(Mutex::new(Vec::new()));
    let proxy = FaultProxy::start(move |call| {
        let keep = Arc::clone(&last);
        match (call.action.as_str(), call.number % 2) {
            ("ReceiveMessage", 1) => Fault::Alter(Box::new(move |body| {
                keep.lock().unwrap().clone_from(&body);
                body
            })),
            ("ReceiveMessage", _) => {
                let body = String::from_utf8(std::mem::take(&mut *last.lock().unwrap())).unwrap();
                let body = if body.is_empty() { "{}".into() } else { body };
                Fault::Answer { status: 200, body }
            }
            _ => Fault::Pass,
        }
    });
    let ended = lab.drain_all(&lab.config_through(&proxy, "aws_sqs_fdr"));
    assert!(proxy.calls("DeleteMessageBatch") < 200, "log:\n{}", ended.log);
    let repeats = lab.expect_delivered_at_least_once("SQS delivers twice at once", &all_frames(&objects));
    assert!(repeats <= all_frames(&objects).len(), "no more than twice");
}

fn is_sqs(call: &Call) -> bool {
    call.action != "GetObject"
}

/// While the switch is on, half of the calls are reset and half are answered with 503.
fn with_switch(lab: &Lab) -> (Vec<Object>, Arc<AtomicBool>, FaultProxy) {
    let objects = objects(150);
    lab.put_and_announce(&objects);
    let switch = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&switch);
    let proxy = FaultProxy::start(move |call| {
        if !is_sqs(call) || !is_down.load(Ordering::Relaxed) {
            Fault::Pass
        } else if call.number.is_multiple_of(2) {
            Fault::Reset
        } else {
            refuse_json(503, "ServiceUnavailable")
        }
    });
    (objects, switch, proxy)
}

fn down(lab: &Lab, collector: &mut crate::rig::collector::Collector, switch: &AtomicBool) {
    collector.wait_until("the stream's beginning", || lab.sink.received_bytes() > 0);
    switch.store(true, Ordering::Relaxed);
    assert!(!lab.queue.is_empty(), "the stream is still under way");
    std::thread::sleep(Duration::from_secs(70));
    assert!(!collector.is_ended(), "it waits");
    switch.store(false, Ordering::Relaxed);
}

/// The answer of a successful batch call.
fn granted(request: &str) -> Fault {
    let request: Value = serde_json::from_str(request).unwrap();
    let entries = request["Entries"].as_array().unwrap();
    let ids: Vec<_> = entries.iter().map(|entry| json!({"Id": entry["Id"]})).collect();
    let body = json!({"Successful": ids, "Failed": []}).to_string();
    Fault::Answer { status: 200, body }
}

fn objects(count: usize) -> Vec<Object> {
    (0..count).map(|i| feeds::fdr(&format!("q{i:03}"), 200)).collect()
}
