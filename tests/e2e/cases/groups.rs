//! Message groups: an order on FIFO queues only.

use aws_to_devo::lab::testbed::pki::Pki;
use aws_to_devo::lab::testbed::sink::{Keep, Sink};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::aws::Queue;
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::frames::compare;
use crate::rig::lab::Lab;
use crate::rig::notices;
use crate::rig::process::PATIENCE;

const MIB: u64 = 1 << 20;

fn of_queue(lab: &Lab, queue: &Queue, services: Value) -> Value {
    let mut config = lab.config(services);
    config["inputs"]["sqs_collector"]["base_url"] = json!(queue.url);
    config
}

#[test]
fn a_group_on_a_standard_queue_is_read_in_parallel() {
    let lab = Lab::new("fair");
    let objects: Vec<_> = (0..6).map(|i| feeds::fdr(&format!("fair-{i}"), 10)).collect();
    lab.put(&objects);
    for object in &objects {
        lab.queue.send_in_group("tenant", &notices::s3_created(&lab.bucket, &[&object.key]));
    }
    lab.drain_all(&lab.config(json!({"aws_sqs_fdr": {}})));
    lab.expect_delivered(&all_frames(&objects));
}

/// However a message ends for good, the next one of its group starts at once, on its first receive.
#[test]
fn a_fifo_message_ends_its_turn_however_it_ends() {
    let lab = Lab::new("turns");
    let queue = Queue::create_fifo("turns.fifo");
    let mut corrupt = feeds::fdr("corrupt", 300);
    corrupt.bytes.truncate(corrupt.bytes.len() / 2);
    let object = |key: &str, bytes| Object { key: key.into(), bytes, frames: Vec::new() };
    let (empty, filtered) = (
        object("data/empty/0.gz", Vec::new()),
        object("data/noise/0.gz", feeds::gzip(b"{\"event_simpleName\":\"Noise\"}\n")),
    );
    let known = feeds::fdr("known", 10);
    lab.put(&[empty, filtered, corrupt]);
    lab.put(std::slice::from_ref(&known));
    let created = |keys: &[&str]| notices::s3_created(&lab.bucket, keys);
    let ends = [
        ("unreadable", "not JSON at all".to_owned()),
        ("test-event", notices::s3_test_event(&lab.bucket)),
        ("removed", notices::s3_event("ObjectRemoved:Delete", &lab.bucket, &["data/gone/0.gz"])),
        ("marker", created(&["data/job/_SUCCESS"])),
        ("no-service", created(&["elsewhere/0.gz"])),
        ("skipped", created(&["data/not-this-one/0.gz"])),
        ("missing", created(&["data/never-there/0.gz"])),
        ("corrupt", created(&["data/corrupt/part-00000.gz"])),
        ("empty", created(&["data/empty/0.gz"])),
        ("filtered", created(&["data/noise/0.gz"])),
        ("delivered", created(&[&known.key])),
        ("known", notices::s3_event("ObjectCreated:Copy", &lab.bucket, &[&known.key])),
        ("twice", created(&[&known.key, &known.key])),
    ];
    let behind: Vec<_> = ends.iter().map(|(end, _)| feeds::fdr(&format!("behind-{end}"), 5)).collect();
    lab.put(&behind);
    let send = |((end, body), object): (&(&'static str, String), &Object)| {
        queue.send_in_group(end, body);
        (*end, queue.send_in_group(end, &created(&[&object.key])))
    };
    let ids: Vec<_> = ends.iter().zip(&behind).map(send).collect();
    let mut config = of_queue(
        &lab,
        &queue,
        json!({"aws_sqs_fdr": {
            "object_keys": "^data/",
            "filename_filter_rules": [[{"type": "match", "pattern": "not-this-one"}]],
            "line_filter_rules": [[
                {"source": "record", "key": "event_simpleName", "type": "match", "value": "Noise"}
            ]],
            "record_field_mapping": {"event_simpleName": {"keys": ["event_simpleName"]}}
        }, "aws_sqs_vpc": {"object_keys": "^flows/"}}),
    );
    config["inputs"]["sqs_collector"]["missing_object"] = json!("skip");
    let ended = lab.drain(&config);
    assert_eq!(ended.code, Some(1), "three cannot be delivered; log:\n{}", ended.log);
    for (end, id) in ids {
        let again = format!("message {id} received again");
        assert!(!ended.log.contains(&again), "behind {end}: it was given back; log:\n{}", ended.log);
    }
    assert_eq!(queue.peek().len(), 3, "log:\n{}", ended.log);
    lab.sink_is_quiet();
    // The intact records of the corrupt object arrive too.
    let found = compare(&[known.frames, all_frames(&behind)].concat(), &lab.sink.received());
    assert_eq!((found.missing, found.repeats), (vec![], 0));
}

/// A message left at the head of a group keeps SQS from delivering the rest of the group.
#[test]
fn a_drain_that_leaves_the_messages_of_a_fifo_group_ends() {
    let lab = Lab::new("fifo-stays");
    let queue = Queue::create_fifo("fifo-stays.fifo");
    let objects: Vec<_> = (0..12).map(|i| feeds::vpc(&format!("stays-{i:02}"), 5)).collect();
    lab.put(&objects);
    for object in &objects {
        queue.send_in_group("one", &notices::s3_created(&lab.bucket, &[&object.key]));
    }
    let mut config = of_queue(&lab, &queue, json!({"aws_sqs_vpc": {}}));
    config["inputs"]["sqs_collector"]["ack_messages"] = json!(false);
    let ended = lab.drain(&config);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(ended.log.contains("2 messages stay in the queue unread"), "log:\n{}", ended.log);
    assert_eq!(queue.peek().len(), 12);
    lab.expect_delivered(&all_frames(&objects[..10]));
}

/// Nothing can be sent, so all received messages stay. The bodies alone would far exceed the limit.
#[test]
fn bodies_that_wait_for_their_turn_keep_to_the_memory_limit() {
    let lab = Lab::new("fifo-memory");
    let queue = Queue::create_fifo("fifo-memory.fifo");
    let filler = "x".repeat(250_000);
    std::thread::scope(|scope| {
        for part in 0..4 {
            let (queue, filler) = (&queue, &filler);
            scope.spawn(move || {
                for number in 0..160 {
                    let body = json!({"part": part, "number": number, "filler": filler});
                    queue.send_in_group(&format!("group-{part}-{}", number / 10), &body.to_string());
                }
            });
        }
    });
    let pki = Pki::generate().unwrap();
    let sink = Sink::start_on(&pki, 0, Keep::Counts).unwrap();
    let files = pki.write_client_files(lab.directory()).unwrap();
    let service = json!({"custom_bodies": {
        "file_format": {"type": "line_split_processor"}, "routing_template": "my.app.bodies"
    }});
    let mut config = of_queue(&lab, &queue, service);
    config["globals"]["memory_limit"] = json!("64MiB");
    config["inputs"]["sqs_collector"]["direct_mode"] = json!(true);
    // A few messages a second: nearly all wait.
    config["outputs"]["devo_1"]["config"] = json!({
        "address": "127.0.0.1", "port": sink.address().port(), "type": "SSL", "max_events_per_second": 5,
        "chain": files.chain, "cert": files.cert, "key": files.key
    });
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("some messages' delivery", || sink.tally().total().events >= 60);
    collector.signal(Signal::KILL);
    let peak = collector.end(PATIENCE).peak_rss;
    println!("160 MB of bodies in FIFO groups: peak memory {} MiB, limit 64 MiB", peak / MIB);
    assert!(peak < 128 * MIB, "peak memory {} MiB", peak / MIB);
}
