//! Every shape of message is understood, and no undelivered one is deleted.

use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::frames::frame;
use crate::rig::lab::Lab;
use crate::rig::process::wait_for;
use crate::rig::{aws, notices};

#[test]
fn s3s_own_notifications_with_their_test_event() {
    let lab = Lab::new("from-s3");
    aws::notify(&lab.bucket, &lab.queue);
    let objects: Vec<_> = (0..5).map(|i| feeds::vpc(&format!("n{i}"), 10)).collect();
    lab.put(&objects);
    // The emulator may be a moment behind.
    wait_for("five objects and the test event", Duration::from_secs(60), || lab.queue.peek().len() == 6);
    lab.drain_all(&lab.config(json!({"aws_sqs_vpc": {}})));
    lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn through_a_topic_wrapped_and_raw() {
    for raw in [false, true] {
        let name = if raw { "topic-raw" } else { "topic-wrapped" };
        let lab = Lab::new(name);
        let topic = aws::create_topic(name, &lab.queue, raw);
        let objects: Vec<_> = (0..3).map(|i| feeds::vpc(&format!("t{i}"), 10)).collect();
        lab.put(&objects);
        aws::publish(&topic, &notices::s3_test_event(&lab.bucket));
        for object in &objects {
            aws::publish(&topic, &notices::s3_created(&lab.bucket, &[&object.key]));
        }
        lab.drain_all(&lab.config(json!({"aws_sqs_vpc": {}})));
        lab.expect_delivered(&all_frames(&objects));
    }
}

#[test]
fn eventbridge_keys_are_taken_as_they_are() {
    let lab = Lab::new("eventbridge");
    let mut objects = vec![feeds::vpc("e1", 10), feeds::vpc("e2", 10)];
    objects[1].key = "AWSLogs/1/vpcflowlogs/a b+c%20d%2Be/ü".into();
    lab.put(&objects);
    let bodies: Vec<_> =
        objects.iter().map(|o| notices::eventbridge("Object Created", &lab.bucket, &o.key)).collect();
    lab.queue.send(&bodies);
    lab.queue.send(&[notices::eventbridge("Object Deleted", &lab.bucket, "gone")]);
    lab.drain_all(&lab.config(json!({"aws_sqs_vpc": {}})));
    lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn cloudtrails_and_configs_own_messages() {
    let lab = Lab::new("own-messages");
    let topic = aws::create_topic("own-messages", &lab.queue, false);
    let objects: Vec<_> = (0..4).map(|i| feeds::cloudtrail(&format!("o{i}"), 5)).collect();
    lab.put(&objects);
    let keys: Vec<_> = objects.iter().map(|o| o.key.as_str()).collect();
    aws::publish(&topic, &notices::cloudtrail_delivery(&lab.bucket, &keys[..2]));
    lab.queue.send(&[notices::cloudtrail_delivery(&lab.bucket, &keys[2..3])]);
    aws::publish(&topic, &notices::config_delivery(&lab.bucket, keys[3]));
    lab.drain_all(&lab.config(json!({"aws_sqs_cloudtrail": {}})));
    lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn odd_keys_are_decoded_as_s3_encodes_them() {
    let lab = Lab::new("odd-keys");
    let keys = ["with space", "plus+plus", "per%cent%20", "größe/日本", "a=b&c=d", "quote\"'<>", "(*)!~"];
    let object = |key: &str| Object {
        key: format!("logs/{key}"),
        bytes: format!("of {key}\n").into_bytes(),
        frames: vec![frame("my.app.odd", format!("of {key}"))],
    };
    let objects: Vec<_> = keys.iter().map(|key| object(key)).collect();
    lab.put_and_announce(&objects);
    let service = json!({"file_format": {"type": "line_split_processor"}, "routing_template": "my.app.odd"});
    lab.drain_all(&lab.config(json!({"custom_service": service})));
    lab.expect_delivered(&all_frames(&objects));
}

/// Messages as queues, functions, pipes and relays between S3 and the queue pass them on.
#[test]
fn whatever_is_wrapped_around_a_message_it_is_read() {
    let lab = Lab::new("wrapped");
    let objects: Vec<_> = (0..9).map(|i| feeds::vpc(&format!("w{i}"), 10)).collect();
    lab.put(&objects);
    let event = |i: usize| notices::s3_created(&lab.bucket, &[&objects[i].key]);
    let value = |i: usize| serde_json::from_str::<Value>(&event(i)).unwrap();
    let string = |text: &str| Value::from(text).to_string();
    let sns =
        |message: &str| json!({"Type": "Notification", "TopicArn": "t", "Message": message}).to_string();
    let bridge: Value =
        serde_json::from_str(&notices::eventbridge("Object Created", &lab.bucket, &objects[6].key)).unwrap();
    lab.queue.send(&[
        string(&string(&event(0))),
        sns(&sns(&string(&event(1)))),
        json!({"Records": [{"messageId": "m", "body": event(2), "eventSource": "aws:sqs"}]}).to_string(),
        json!([{"messageId": "m", "body": sns(&event(3))}]).to_string(),
        json!({"requestContext": {"condition": "Success"}, "requestPayload": value(4), "responsePayload": null}).to_string(),
        base64::prelude::BASE64_STANDARD.encode(feeds::gzip(event(5).as_bytes())),
        bridge["detail"].to_string(),
        json!({"bucket": lab.bucket, "key": objects[7].key}).to_string(),
        sns(&notices::config_oversized(&lab.bucket, &objects[8].key)),
    ]);
    lab.drain_all(&lab.config(json!({"aws_sqs_vpc": {}})));
    lab.expect_delivered(&all_frames(&objects));
}

/// EventBridge's input transformer copies the key, which S3 would have encoded. An object read like this is known when
/// it is announced again in another way.
#[test]
fn keys_that_are_not_encoded_are_read_as_they_are() {
    let lab = Lab::new("keys-not-encoded");
    let keys = ["a b+c", "a+b", "100%25", "plain"].map(|key| format!("AWSLogs/1/vpcflowlogs/{key}"));
    let objects: Vec<_> = keys
        .iter()
        .map(|key| Object { key: key.clone(), ..feeds::vpc(key.rsplit('/').next().unwrap_or_default(), 10) })
        .collect();
    lab.put(&objects);
    let transformed = |key: &String| {
        let s3 = json!({"bucket": {"name": lab.bucket}, "object": {"key": key}});
        json!({"Records": [{"eventName": "ObjectCreated:Put", "s3": s3}]}).to_string()
    };
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    lab.queue.send(&keys.iter().map(transformed).collect::<Vec<_>>());
    lab.drain_all(&config);
    lab.expect_delivered(&all_frames(&objects));
    let bridged: Vec<_> =
        keys.iter().map(|key| notices::eventbridge("Object Created", &lab.bucket, key)).collect();
    lab.queue.send(&bridged);
    lab.drain_all(&config);
    lab.expect_delivered(&all_frames(&objects));
}

/// The log is in the message, and the message is in S3.
#[test]
fn a_log_that_the_sqs_extended_client_put_into_s3_is_read_from_there() {
    let lab = Lab::new("extended-client");
    let log = Object {
        key: "25fcd5c9-1b6c-4c0a-9ab3-2a1de0e6d3a1".into(),
        bytes: b"one\ntwo\n".to_vec(),
        frames: ["one", "two"].map(|line| frame("my.app.direct", line)).to_vec(),
    };
    lab.put(std::slice::from_ref(&log));
    let pointer = json!(["software.amazon.payloadoffloading.PayloadS3Pointer",
                         {"s3BucketName": lab.bucket, "s3Key": log.key}]);
    lab.queue.send(&[pointer.to_string()]);
    let service =
        json!({"file_format": {"type": "line_split_processor"}, "routing_template": "my.app.direct"});
    let mut config = lab.config(json!({"custom_service": service}));
    config["inputs"]["sqs_collector"]["direct_mode"] = json!(true);
    lab.drain_all(&config);
    lab.expect_delivered(&log.frames);
}

#[test]
fn several_objects_in_one_message() {
    let lab = Lab::new("several");
    let objects: Vec<_> = (0..7).map(|i| feeds::vpc(&format!("s{i}"), 10)).collect();
    lab.put(&objects);
    let keys: Vec<_> = objects.iter().map(|o| o.key.as_str()).collect();
    lab.queue.send(&[notices::s3_created(&lab.bucket, &keys)]);
    lab.drain_all(&lab.config(json!({"aws_sqs_vpc": {}})));
    lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn what_needs_no_fetching_is_acknowledged() {
    let lab = Lab::new("no-fetching");
    let removed = [
        "ObjectRemoved:Delete",
        "ObjectRemoved:DeleteMarkerCreated",
        "ObjectRestore:Completed",
        "LifecycleExpiration:Delete",
    ];
    let bodies: Vec<_> = removed.iter().map(|name| notices::s3_event(name, &lab.bucket, &["gone"])).collect();
    lab.queue.send(&bodies);
    lab.queue.send(&[notices::s3_test_event(&lab.bucket)]);
    // None of these exists: a GET would be a 404, and end as a dead letter.
    lab.announce(["AWSLogs/1/CloudTrail-Digest/x.json.gz"]);
    let ended = lab.drain_all(&lab.config(json!({"aws_sqs_cloudtrail": {}})));
    lab.expect_delivered(&[]);
    assert!(!ended.log.contains("NoSuchKey"), "nothing was fetched; log:\n{}", ended.log);
    for why in ["S3's test of a notification", "another kind than a new object"] {
        assert!(ended.log.contains(why), "{why} is not told; log:\n{}", ended.log);
    }
}

#[test]
fn empty_objects_are_acknowledged() {
    let lab = Lab::new("empty-objects");
    let empty = |key: &str| Object { key: key.into(), bytes: vec![], frames: vec![] };
    lab.put_and_announce(&[empty("data/part-00000.gz"), empty("data/_SUCCESS"), empty("data/folder/")]);
    lab.drain_all(&lab.config(json!({"aws_sqs_fdr": {}})));
    lab.expect_delivered(&[]);
}
