//! Undeliverable messages go to the dead-letter queue by the queue's own policy, are never dropped, and block nothing
//! else.

use serde_json::json;

use crate::rig::aws::Queue;
use crate::rig::feeds::{self, Object};
use crate::rig::frames::{assert_at_least_once, compare};
use crate::rig::lab::Lab;
use crate::rig::notices;
use crate::rig::relay::Relay;

#[test]
fn unknown_bodies() {
    let lab = Lab::with_few_receives("unknown-bodies");
    let good = feeds::vpc("good", 50);
    lab.queue.send(&[r#"{"hello":"world"}"#.into(), "not JSON at all".into(), "[]".into()]);
    lab.put_and_announce(std::slice::from_ref(&good));
    let ended = lab.drain_but(3, &lab.config(json!({"aws_sqs_vpc": {}})));
    lab.expect_delivered(&good.frames);
    for message in lab.dead_letters.peek() {
        assert!(ended.log.contains(&message.id), "{} is not named; log:\n{}", message.id, ended.log);
    }
}

#[test]
fn known_messages_that_cannot_be_read_are_named_with_their_cure() {
    let lab = Lab::with_few_receives("known-messages");
    let messages = [
        (
            json!({"Type": "SubscriptionConfirmation", "TopicArn": "arn:aws:sns:us-east-1:1:trail", "Token": "never-shown",
                   "Message": "You have chosen to subscribe", "SubscribeURL": "https://sns.example/?Token=never-shown"}),
            ["arn:aws:sns:us-east-1:1:trail", "the topic waits for its confirmation"],
        ),
        (
            json!({"source": "aws.guardduty", "detail-type": "GuardDuty Finding", "detail": {"schemaVersion": "2.0"}}),
            ["GuardDuty Finding of aws.guardduty", "direct_mode"],
        ),
        (
            json!(["com.amazon.sqs.javamessaging.MessageS3Pointer", {"s3BucketName": lab.bucket, "s3Key": "k"}]),
            ["SQS extended client", "Have its sender put it into the message itself"],
        ),
        (
            json!({"bucket": "arn:aws:s3::123456789012:accesspoint/m.mrap", "files": [{"path": "k"}]}),
            ["Multi-Region Access Point", "Name one of its buckets"],
        ),
    ];
    lab.queue.send(&messages.iter().map(|(message, _)| message.to_string()).collect::<Vec<_>>());
    let ended = lab.drain_but(messages.len(), &lab.config(json!({"aws_sqs_vpc": {}})));
    lab.expect_delivered(&[]);
    for words in messages.iter().flat_map(|(_, words)| words) {
        assert!(ended.log.contains(words), "{words} is not told; log:\n{}", ended.log);
    }
    assert!(!ended.log.contains("never-shown"), "log:\n{}", ended.log);
}

#[test]
fn a_truncated_object_delivers_what_is_whole() {
    let lab = Lab::with_few_receives("truncated");
    let good = feeds::fdr("good", 300);
    let mut bad = feeds::fdr("bad", 2000);
    bad.bytes.truncate(bad.bytes.len() / 2);
    lab.put_and_announce(&[copy(&good), copy(&bad)]);
    let ended = lab.drain_but(1, &lab.config(json!({"aws_sqs_fdr": {}})));
    let received = lab.sink.received();
    assert_at_least_once("truncated object", &good.frames, &only(&received, "\"good-"));
    let of_bad = compare(&bad.frames, &only(&received, "\"bad-"));
    let arrived = bad.frames.len() - of_bad.missing.len();
    assert!(arrived > 500 && arrived < 1500, "about half the records are whole: {arrived} of 2000 arrived");
    assert!(of_bad.strangers.is_empty() && of_bad.fragments == 0, "half records: {:?}", of_bad.strangers);
    assert!(ended.log.contains(&bad.key) && ended.log.contains(&lab.bucket), "log:\n{}", ended.log);
}

#[test]
fn a_wrong_checksum_is_noticed() {
    let lab = Lab::with_few_receives("checksum");
    let mut bad = feeds::fdr("bad", 200);
    let crc = bad.bytes.len() - 8;
    bad.bytes[crc] ^= 1;
    lab.put_and_announce(&[copy(&bad)]);
    let ended = lab.drain_but(1, &lab.config(json!({"aws_sqs_fdr": {}})));
    assert!(ended.log.contains(&bad.key), "log:\n{}", ended.log);
}

#[test]
fn a_record_that_ends_connections_is_named_and_the_rest_arrives() {
    let lab = Lab::with_few_receives("record-ends-connections");
    let relay = Relay::that_dislikes(Some("\"id\":\"bad-137\""));
    let mut objects: Vec<_> = (0..5).map(|number| feeds::fdr(&format!("good{number}"), 400)).collect();
    objects.push(feeds::fdr("bad", 400));
    lab.put_and_announce(&objects);
    let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
    config["outputs"] = json!({"relay_1": {
        "type": "syslog", "config": {"address": "127.0.0.1", "port": relay.port, "type": "TCP"}
    }});
    let ended = lab.drain_but(1, &config);
    let bad = &objects[5].key;
    let name = format!("record 138 of s3://{}/{bad}", lab.bucket);
    assert!(ended.log.contains(&name) && ended.log.contains("is refused"), "log:\n{}", ended.log);
    let mut expected = feeds::all_frames(&objects);
    expected.remove(5 * 400 + 137);
    let received = relay.received();
    assert_at_least_once("one record makes the sink close", &expected, &received);
    // Three times in company, twice with few others, then by halves.
    let lines =
        received.iter().flat_map(|bytes| bytes.split(|byte| *byte == b'\n')).filter(|line| !line.is_empty());
    assert!(lines.count() < 7 * expected.len(), "repeats are not bounded");
}

#[test]
fn a_missing_object_is_tried_again_then_left() {
    let lab = Lab::with_few_receives("missing");
    let good = feeds::vpc("good", 50);
    lab.put_and_announce(std::slice::from_ref(&good));
    lab.announce(["AWSLogs/1/vpcflowlogs/never-there.log.gz"]);
    let ended = lab.drain_but(1, &lab.config(json!({"aws_sqs_vpc": {}})));
    lab.expect_delivered(&good.frames);
    assert!(ended.log.contains("never-there.log.gz"), "log:\n{}", ended.log);
}

#[test]
fn a_missing_object_may_be_skipped() {
    let lab = Lab::new("missing-skip");
    lab.announce(["AWSLogs/1/vpcflowlogs/never-there.log.gz"]);
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["inputs"]["sqs_collector"]["missing_object"] = json!("skip");
    lab.drain_all(&config);
}

#[test]
fn a_key_cannot_write_log_lines_of_its_own() {
    let lab = Lab::new("log-injection");
    lab.announce([
        "AWSLogs/1/vpcflowlogs/never-there\n[2026-11-21T10:00:00Z INFO ] forged\r\u{1b}[2K\u{9b}31m.gz",
    ]);
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["inputs"]["sqs_collector"]["missing_object"] = json!("skip");
    config["globals"]["debug"] = json!(true);
    let ended = lab.drain_all(&config);
    let lines: Vec<_> = ended.log.lines().filter(|line| line.contains("forged")).collect();
    assert!(!lines.is_empty(), "log:\n{}", ended.log);
    assert!(lines.iter().all(|line| line.contains("never-there")), "a line begins in the key: {lines:?}");
    assert!(!ended.log.replace('\n', "").contains(char::is_control), "log:\n{}", ended.log);
}

#[test]
fn draining_says_that_something_stays() {
    let lab = Lab::new("drain-stays");
    // Without a dead-letter queue the message would be redelivered forever.
    let queue = Queue::create("drain-stays-2", None);
    let good = feeds::vpc("good", 50);
    lab.put(std::slice::from_ref(&good));
    queue.send(&[notices::s3_created(&lab.bucket, &[&good.key]), "not JSON at all".into()]);
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["inputs"]["sqs_collector"]["base_url"] = json!(queue.url);
    let ended = lab.drain(&config);
    assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
    assert_eq!(queue.peek().len(), 1, "the unreadable message is still there");
    lab.expect_delivered(&good.frames);
}

fn copy(object: &Object) -> Object {
    Object { key: object.key.clone(), bytes: object.bytes.clone(), frames: vec![] }
}

/// The lines that contain `mark`.
fn only(received: &[Vec<u8>], mark: &str) -> Vec<Vec<u8>> {
    let lines = received.iter().flat_map(|r| r.split(|b| *b == b'\n'));
    let marked = lines.filter(|l| memchr::memmem::find(l, mark.as_bytes()).is_some());
    marked.map(<[u8]>::to_vec).collect()
}
