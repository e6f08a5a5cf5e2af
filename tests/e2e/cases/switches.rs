//! Settings for testing a set-up, and several inputs.

use serde_json::json;

use crate::rig::aws::Queue;
use crate::rig::feeds;
use crate::rig::lab::Lab;
use crate::rig::notices;

#[test]
fn without_acknowledgement_messages_stay() {
    let lab = Lab::new("no-ack");
    let object = feeds::vpc("n1", 100);
    lab.put_and_announce(std::slice::from_ref(&object));
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["inputs"]["sqs_collector"]["ack_messages"] = json!(false);
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("the frames", || lab.sink.received_bytes() > 0);
    lab.sink_is_quiet();
    assert_eq!(collector.stop().code, Some(0));
    assert_eq!(lab.queue.peek().len(), 1, "the message is still in the queue");
    lab.expect_delivered_at_least_once("ack_messages: false", &object.frames);
}

#[test]
fn without_sending_nothing_is_sent_and_messages_stay() {
    let lab = Lab::new("no-send");
    lab.put_and_announce(&[feeds::vpc("s1", 100)]);
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["inputs"]["sqs_collector"]["do_not_send"] = json!(true);
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("the message's receipt", || lab.queue.peek()[0].receive_count > 0);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(collector.stop().code, Some(0));
    lab.expect_delivered(&[]);
    assert_eq!(lab.queue.peek().len(), 1, "the message is still in the queue");
}

#[test]
fn several_inputs_of_a_kind() {
    let lab = Lab::new("two-inputs");
    let second = Queue::create("two-inputs-fdr", None);
    let (vpc, fdr) = (feeds::vpc("i1", 300), feeds::fdr("i2", 300));
    lab.put(&[clone(&vpc), clone(&fdr)]);
    lab.announce([vpc.key.as_str()]);
    second.send(&[notices::fdr(&lab.bucket, "data/i2", &[(&fdr.key, fdr.bytes.len())])]);
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let mut input = config["inputs"]["sqs_collector"].clone();
    input["id"] = json!("2");
    input["base_url"] = json!(second.url);
    input["services"] = json!({"aws_sqs_fdr": {}});
    config["inputs"]["sqs_collector_fdr"] = input;
    lab.drain_all(&config);
    assert!(second.is_empty());
    lab.expect_delivered(&[vpc.frames, fdr.frames].concat());
}

fn clone(object: &feeds::Object) -> feeds::Object {
    feeds::Object { key: object.key.clone(), bytes: object.bytes.clone(), frames: vec![] }
}
