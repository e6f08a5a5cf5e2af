//! Time-critical work is done whatever else hangs: leases, deletions.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::rig::collector::Collector;
use crate::rig::fault_proxy::{Call, Fault, FaultProxy, refuse_json};
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::lab::Lab;
use crate::rig::notices;
use crate::rig::process::PATIENCE;

/// An output so slow that leases must be extended, with few message slots, so that receivers wait.
fn slow(lab: &Lab, proxy: &FaultProxy, events_per_second: u64) -> Value {
    let mut config = lab.config_through(proxy, "aws_sqs_fdr");
    config["inputs"]["sqs_collector"]["sqs_visibility_timeout"] = json!(12);
    config["outputs"]["devo_1"]["config"]["max_events_per_second"] = json!(events_per_second);
    config["globals"]["fetchers"] = json!(2);
    config
}

fn objects(count: usize, events: usize) -> Vec<Object> {
    (0..count).map(|i| feeds::fdr(&format!("lease-{i:02}"), events)).collect()
}

fn all_are_deleted(lab: &Lab, mut collector: Collector) -> String {
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    ended.log
}

#[test]
fn leases_are_extended_while_other_calls_and_some_of_their_own_hang() {
    let lab = Lab::new("keeper");
    let objects = objects(40, 50);
    lab.put_and_announce(&objects);
    let proxy = FaultProxy::start(|call| match call.action.as_str() {
        "GetQueueAttributes" => Fault::Delay(2 * PATIENCE),
        "ChangeMessageVisibilityBatch" if call.number % 3 == 1 => Fault::Delay(2 * PATIENCE),
        _ => Fault::Pass,
    });
    // Everything is sent within 25 s, two visibility timeouts.
    let collector = lab.run(&slow(&lab, &proxy, 80), &[]);
    let log = all_are_deleted(&lab, collector);
    assert!(proxy.calls("ChangeMessageVisibilityBatch") > 3, "leases were extended");
    assert!(!log.contains("received again (delivery"), "a lease has ended; log:\n{log}");
    lab.sink_is_quiet();
    let case = "GetQueueAttributes hangs, and a third of the calls that extend leases";
    let repeats = lab.expect_delivered_at_least_once(case, &all_frames(&objects));
    assert_eq!(repeats, 0);
}

/// The first batch's call hangs; one message of it can never be deleted.
#[test]
fn one_message_that_cannot_be_deleted_does_not_slow_the_others() {
    let lab = Lab::new("undeletable-one");
    let object = feeds::fdr("undeletable", 5);
    lab.put(std::slice::from_ref(&object));
    let body = notices::s3_created(&lab.bucket, &[&object.key]);
    lab.queue.send(&vec![body; 600]);
    let victim = Arc::new(Mutex::new(None));
    let proxy = FaultProxy::start(move |call| match (call.action.as_str(), call.number) {
        ("DeleteMessageBatch", 1) => Fault::Delay(2 * PATIENCE),
        ("DeleteMessageBatch", _) => refuse_one(call, &mut victim.lock().unwrap()),
        _ => Fault::Pass,
    });
    let config = lab.config_through(&proxy, "aws_sqs_fdr");
    let mut collector = lab.run(&config, &[]);
    // The emulator deletes the victim too, but the collector does not know.
    collector.wait_until("the deletion of all", || lab.queue.is_empty());
    assert!(proxy.faults() > 1);
    collector.kill();
}

/// SQS refuses every call that names one of the messages.
#[test]
fn one_message_that_spoils_its_calls_does_not_keep_the_others_from_being_deleted() {
    let lab = Lab::new("spoilt-batch");
    let object = feeds::fdr("spoilt", 5);
    lab.put(std::slice::from_ref(&object));
    let body = notices::s3_created(&lab.bucket, &[&object.key]);
    lab.queue.send(&vec![body; 50]);
    let mut victim: Option<Value> = None;
    let proxy = FaultProxy::start(move |call| {
        if call.action != "DeleteMessageBatch" {
            return Fault::Pass;
        }
        let request: Value = serde_json::from_str(&call.body).unwrap();
        let handles = || request["Entries"].as_array().unwrap().iter().map(|entry| &entry["ReceiptHandle"]);
        let victim = victim.get_or_insert_with(|| handles().next().unwrap().clone());
        if handles().any(|handle| handle == victim) {
            refuse_json(400, "InvalidParameterValue")
        } else {
            Fault::Pass
        }
    });
    let config = lab.config_through(&proxy, "aws_sqs_fdr");
    let ended = lab.drain(&config);
    assert_eq!(ended.code, Some(1), "one cannot be deleted; log:\n{}", ended.log);
    assert_eq!(lab.queue.peek().len(), 1, "log:\n{}", ended.log);
    assert!(ended.log.contains("was delivered but cannot be deleted"), "log:\n{}", ended.log);
}

/// Reports a failure for the first receipt handle that was ever to be deleted.
fn refuse_one(call: &Call, victim: &mut Option<Value>) -> Fault {
    let request: Value = serde_json::from_str(&call.body).unwrap();
    let entries = request["Entries"].as_array().unwrap().clone();
    let victim = victim.get_or_insert_with(|| entries[0]["ReceiptHandle"].clone());
    let Some(entry) = entries.into_iter().find(|entry| entry["ReceiptHandle"] == *victim) else {
        return Fault::Pass;
    };
    Fault::Alter(Box::new(move |answer| {
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        if let Some(deleted) = answer["Successful"].as_array_mut() {
            deleted.retain(|one| one["Id"] != entry["Id"]);
        }
        answer["Failed"] = json!([{"Id": entry["Id"], "Code": "InternalError", "SenderFault": false}]);
        answer.to_string().into_bytes()
    }))
}

/// The drain lasts longer than the visibility timeout: kept messages must not be redelivered meanwhile.
#[test]
fn a_drain_that_keeps_the_messages_reads_each_once_and_ends() {
    let lab = Lab::new("kept");
    let objects = objects(40, 20);
    lab.put_and_announce(&objects);
    let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
    config["inputs"]["sqs_collector"]["ack_messages"] = json!(false);
    config["inputs"]["sqs_collector"]["sqs_visibility_timeout"] = json!(8);
    config["outputs"]["devo_1"]["config"]["max_events_per_second"] = json!(50);
    let ended = lab.drain(&config);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    let messages = lab.queue.peek();
    assert_eq!(messages.len(), 40, "all are still there");
    assert!(messages.iter().all(|message| message.receive_count == 1), "log:\n{}", ended.log);
    lab.expect_delivered(&all_frames(&objects));
}
