//! Order, limits and sharing: FIFO groups, rates, several inputs, several collectors.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::aws::Queue;
use crate::rig::fault_proxy::{Fault, FaultProxy};
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::frames::message_bytes;
use crate::rig::lab::Lab;
use crate::rig::notices;
use crate::rig::process::PATIENCE;

/// The numbers that the records of a FIFO group carry, in the order in which they arrived.
fn order(received: &str, group: &str) -> Vec<usize> {
    let mark = format!("\"id\":\"{group}-");
    let number = |line: &str| line.split_once(&mark)?.1.split('"').next()?.parse().ok();
    received.lines().filter_map(number).collect()
}

#[test]
fn a_fifo_group_keeps_its_order() {
    let lab = Lab::new("fifo");
    let queue = Queue::create_fifo("in-order.fifo");
    let mut objects = Vec::new();
    for group in ["red", "blue"] {
        for i in 0..30 {
            // Early ones are large, late ones small: otherwise the small ones would overtake.
            let lines: Vec<_> = (0..(30 - i) * 20).map(|_| feeds::fdr_event(group, i)).collect();
            let key = format!("data/{group}-{i:02}/part-00000.gz");
            let bytes = feeds::gzip((lines.join("\n") + "\n").as_bytes());
            objects.push((
                group,
                Object { key, bytes, frames: feeds::frames("edr.crowdstrike.cannon", &lines) },
            ));
        }
    }
    for (group, object) in &objects {
        crate::rig::aws::put_object(&lab.bucket, &object.key, &object.bytes);
        queue.send_in_group(group, &notices::s3_created(&lab.bucket, &[&object.key]));
    }
    let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
    config["inputs"]["sqs_collector"]["base_url"] = json!(queue.url);
    config["outputs"]["devo_1"]["config"]["senders"] = json!(4);
    let ended = lab.drain(&config);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    lab.sink_is_quiet();
    let expected: Vec<_> = objects.iter().flat_map(|(_, object)| object.frames.clone()).collect();
    lab.expect_delivered(&expected);
    for group in ["red", "blue"] {
        let order = order(&lab.sink.received_text(), group);
        assert!(order.is_sorted(), "{group}: {order:?}");
    }
}

#[test]
fn an_output_with_a_limit_gets_everything() {
    let lab = Lab::new("rate");
    let objects: Vec<_> = (0..8).map(|i| feeds::fdr(&format!("rate-{i}"), 1000)).collect();
    lab.put_and_announce(&objects);
    let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
    let rate = message_bytes(&all_frames(&objects)) / 5;
    config["outputs"]["devo_1"]["config"]["max_bytes_per_second"] = json!(rate);
    config["outputs"]["devo_1"]["config"]["max_events_per_second"] = json!(4000);
    lab.drain_all(&config);
    lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn a_flood_on_one_input_does_not_starve_another() {
    let lab = Lab::new("flood");
    let quiet = Queue::create("flood-quiet", None);
    let flood: Vec<_> = (0..300).map(|i| feeds::fdr(&format!("flood-{i:03}"), 2000)).collect();
    lab.put_and_announce(&flood);
    let calm: Vec<_> = (0..5).map(|i| feeds::waf(&format!("calm-{i}"), 10)).collect();
    lab.put(&calm);
    let bodies: Vec<_> = calm.iter().map(|o| notices::s3_created(&lab.bucket, &[&o.key])).collect();
    quiet.send(&bodies);
    let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
    // The flood alone would take half a minute.
    config["outputs"]["devo_1"]["config"]["max_bytes_per_second"] =
        json!(message_bytes(&all_frames(&flood)) / 30);
    config["globals"]["fetchers"] = json!(2);
    let mut second = config["inputs"]["sqs_collector"].clone();
    second["id"] = json!("2");
    second["base_url"] = json!(quiet.url);
    second["services"] = json!({"aws_sqs_waf": {}});
    config["inputs"]["sqs_collector_calm"] = second;
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("the calm input's records", || {
        let text = lab.sink.received_text();
        calm.iter()
            .flat_map(|o| &o.frames)
            .all(|frame| text.contains(&*String::from_utf8_lossy(&frame.message)))
    });
    let so_far = lab.sink.received_bytes();
    let all = message_bytes(&all_frames(&flood));
    assert!(so_far < all / 2, "the calm input waited for most of the flood: {so_far} of {all} bytes");
    collector.kill();
}

#[test]
fn a_slow_object_holds_nobody_up() {
    let lab = Lab::new("slow-object");
    let slow = feeds::waf("slow", 10);
    let others: Vec<_> = (0..100).map(|i| feeds::waf(&format!("other-{i:03}"), 10)).collect();
    // The slow one is among the first ten messages.
    lab.put_and_announce(std::slice::from_ref(&slow));
    lab.put_and_announce(&others);
    let key = slow.key.clone();
    let proxy =
        FaultProxy::start(
            move |call| {
                if call.path.ends_with(&key) { Fault::Delay(2 * PATIENCE) } else { Fault::Pass }
            },
        );
    let config = lab.config_through(&proxy, "aws_sqs_waf");
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("all other messages' deletion", || lab.queue.peek().len() == 1);
    assert!(proxy.faults() > 0, "the slow object is waited for");
    collector.kill();
    lab.expect_delivered(&all_frames(&others));
}

#[test]
fn two_collectors_share_a_queue_and_one_survives_the_other() {
    let lab = Lab::new("two");
    let objects: Vec<_> = (0..120).map(|i| feeds::fdr(&format!("two-{i:03}"), 1000)).collect();
    lab.put_and_announce(&objects);
    let config = |number: usize| {
        let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
        config["globals"]["id"] = json!(format!("e2e-{number}"));
        config["globals"]["persistence"]["config"]["directory_name"] =
            json!(lab.directory().join(format!("state-{number}")));
        config["inputs"]["sqs_collector"]["sqs_visibility_timeout"] = json!(10);
        config["outputs"]["devo_1"]["config"]["max_bytes_per_second"] = json!(20_000_000);
        config
    };
    let start = |config: &Value, name: &str| {
        let file = lab.directory().join(name);
        std::fs::write(&file, config.to_string()).unwrap();
        crate::rig::collector::Collector::start(
            lab.directory(),
            &["run", "--config", file.to_str().unwrap(), "--drain"],
        )
    };
    let mut first = start(&config(1), "first.json");
    let second = start(&config(2), "second.json");
    first.wait_until("both have sent something", || {
        let text = lab.sink.received_text();
        text.contains("collector-e2e-1") && text.contains("collector-e2e-2")
    });
    first.signal(Signal::KILL);
    let ended = second.end(Duration::from_secs(300));
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(lab.queue.is_empty());
    lab.expect_delivered_at_least_once("one of two collectors killed", &all_frames(&objects));
}
