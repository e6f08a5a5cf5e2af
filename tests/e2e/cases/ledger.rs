//! Delivered objects are not sent again, whatever happens in between.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::aws::{self, Queue};
use crate::rig::collector::{Collector, Ended};
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::frames::compare;
use crate::rig::lab::Lab;
use crate::rig::notices;
use crate::rig::process::PATIENCE;
use crate::rig::relay::Relay;

#[test]
fn a_delivered_object_is_known_without_a_get() {
    let lab = Lab::new("ledger-known");
    aws::notify(&lab.bucket, &lab.queue);
    let objects: Vec<_> = (0..3).map(|i| feeds::vpc(&format!("k{i}"), 20)).collect();
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    lab.put(&objects);
    lab.drain_all(&config);
    // The same objects, announced again with their own ETags.
    lab.put(&objects);
    let ended = lab.drain_all(&config);
    lab.expect_delivered(&all_frames(&objects));
    assert!(ended.log.contains("total fetch: 0 objects, 0 B"), "log:\n{}", ended.log);
    assert!(ended.log.contains("3 already delivered (3 of them without a GET)"), "log:\n{}", ended.log);
}

#[test]
fn the_state_is_its_users_alone() {
    let lab = Lab::new("ledger-private");
    let objects = [feeds::vpc("s1", 5), feeds::vpc("s2", 5)];
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let state = lab.directory().join("state");
    let drain = || {
        let with_umask_0 = ["sh", "-c", "umask 0; exec \"$@\"", "sh"];
        lab.run_under(&with_umask_0, &config, &["--drain"]).end(PATIENCE)
    };
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    lab.put_and_announce(&objects[..1]);
    assert_eq!(drain().code, Some(0));
    assert_eq!(mode(&state), 0o700);
    for file in std::fs::read_dir(&state).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    lab.put_and_announce(&objects[1..]);
    std::fs::set_permissions(&state, Permissions::from_mode(0o777)).unwrap();
    let ended = drain();
    assert_eq!(ended.code, Some(2), "log:\n{}", ended.log);
    assert!(ended.log.contains("can be written by other users (mode 777)"), "log:\n{}", ended.log);
    std::fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(drain().code, Some(0));
    assert_eq!(mode(&state), 0o700, "it is closed again");
    lab.expect_delivered(&all_frames(&objects));
}

/// The kernel ends a process that writes beyond the limit, unless it handles the signal.
#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk_and_no_end() {
    let lab = Lab::new("ledger-file-limit");
    let objects: Vec<_> = (0..200).map(|i| feeds::vpc(&format!("l{i}"), 5)).collect();
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    lab.put_and_announce(&objects);
    let limited = ["bash", "-c", "ulimit -f 100; exec \"$@\"", "bash"];
    let ended = lab.run_under(&limited, &config, &["--drain"]).end(PATIENCE);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(ended.log.contains("entries wait in memory until they can be written"), "log:\n{}", ended.log);
    assert!(ended.log.contains("are lost with the end of this run"), "log:\n{}", ended.log);
    assert!(lab.queue.is_empty());
    lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn a_message_that_names_an_object_twice_without_an_etag_is_settled_at_once() {
    let lab = Lab::new("ledger-no-etag");
    let object = feeds::cloudtrail("twice", 20);
    lab.put(std::slice::from_ref(&object));
    lab.queue.send(&[notices::cloudtrail_delivery(&lab.bucket, &[&object.key, &object.key])]);
    let ended = lab.drain_all(&lab.config(json!({"aws_sqs_cloudtrail": {}})));
    assert!(!ended.log.contains("received again (delivery 2)"), "log:\n{}", ended.log);
    lab.expect_delivered(&object.frames);
}

#[test]
fn without_an_etag_the_get_decides() {
    let lab = Lab::new("ledger-get");
    let mut objects: Vec<_> = (0..2).map(|i| feeds::cloudtrail(&format!("g{i}"), 20)).collect();
    let config = lab.config(json!({"aws_sqs_cloudtrail": {}}));
    let announce = |objects: &[Object]| {
        let keys: Vec<_> = objects.iter().map(|o| o.key.as_str()).collect();
        lab.queue.send(&[notices::cloudtrail_delivery(&lab.bucket, &keys)]);
    };
    lab.put(&objects);
    announce(&objects);
    lab.drain_all(&config);
    // One is replaced, the other is not.
    let replaced = feeds::cloudtrail("another", 10);
    let first = std::mem::replace(&mut objects[0].bytes, replaced.bytes);
    lab.put(&objects[..1]);
    announce(&objects);
    let ended = lab.drain_all(&config);
    objects[0].bytes = first;
    let expected = [all_frames(&objects), replaced.frames].concat();
    lab.expect_delivered(&expected);
    assert!(ended.log.contains("1 already delivered (0 of them without a GET)"), "log:\n{}", ended.log);
}

#[test]
fn one_object_announced_many_times_at_once() {
    let lab = Lab::new("ledger-twice");
    let objects = [feeds::fdr("t0", 20_000), feeds::fdr("t1", 20)];
    lab.put(&objects);
    for _ in 0..5 {
        lab.announce(objects.iter().map(|o| o.key.as_str()));
    }
    lab.drain_all(&lab.config(json!({"aws_sqs_fdr": {}})));
    lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn a_poisoned_object_sends_its_good_records_once() {
    let lab = Lab::new("ledger-poison");
    let queue = Queue::create("ledger-poison-3", Some((&lab.dead_letters, 3)));
    let (good, mut bad) = (feeds::fdr("good", 300), feeds::fdr("bad", 2000));
    bad.bytes.truncate(bad.bytes.len() / 2);
    lab.put(&[copy(&good), copy(&bad)]);
    // In one message: it fails as a whole.
    queue.send(&[notices::s3_created(&lab.bucket, &[&good.key, &bad.key])]);
    let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
    config["inputs"]["sqs_collector"]["base_url"] = json!(queue.url);
    let ended = lab.drain_but(1, &config);
    let named: Vec<_> = ended.log.lines().filter(|line| line.contains("part-00000.gz: refused")).collect();
    let is_last = |line: &str| line.contains("This was the last delivery attempt");
    assert!(named.len() == 2 && !is_last(named[0]) && is_last(named[1]), "log:\n{}", ended.log);
    let found = compare(&[good.frames, bad.frames].concat(), &lab.sink.received());
    assert_eq!((found.repeats, found.fragments, found.strangers.len()), (0, 0, 0));
    assert!(found.missing.len() > 500 && found.missing.len() < 1500, "{} missing", found.missing.len());
}

#[test]
fn killed_in_mid_object() {
    stopped_in_mid_object("ledger-kill", |collector| {
        collector.signal(Signal::KILL);
        assert_eq!(collector.end(PATIENCE).code, None);
    });
}

#[test]
fn terminated_in_mid_object() {
    stopped_in_mid_object("ledger-term", |collector| {
        collector.signal(Signal::TERM);
        assert_eq!(collector.end(PATIENCE).code, Some(0));
    });
}

#[test]
fn an_output_added_in_mid_object_gets_all_of_it() {
    let lab = Lab::new("ledger-output");
    let InMidObject { object, mut config, collector } = in_mid_object(&lab);
    assert_eq!(collector.stop().code, Some(0));
    let added = Relay::start();
    config["outputs"]["added"] =
        json!({"type": "relay", "config": {"address": "127.0.0.1", "port": added.port, "type": "TCP"}});
    lab.drain_all(&config);
    lab.expect_delivered_at_least_once("output added", &object.frames);
    let received: usize =
        added.received().iter().map(|bytes| bytes.split(|byte| *byte == b'\n').count() - 1).sum();
    assert_eq!(received, object.frames.len(), "the new output has all records");
}

/// One large object, a third of which the ledger knows as delivered.
struct InMidObject {
    object: Object,
    /// It sends at full speed.
    config: Value,
    /// It sends slowly.
    collector: Collector,
}

fn in_mid_object(lab: &Lab) -> InMidObject {
    let object = feeds::fdr("large", 60_000);
    lab.put_and_announce(std::slice::from_ref(&object));
    let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
    config["globals"]["shutdown_timeout"] = json!(1);
    config["inputs"]["sqs_collector"]["sqs_visibility_timeout"] = json!(10);
    let mut slow = config.clone();
    slow["outputs"]["devo_1"]["config"]["max_bytes_per_second"] = json!(2_500_000);
    let mut collector = lab.run(&slow, &[]);
    collector
        .wait_until("a third of the object", || confirmed(lab, &slow, &object) > object.frames.len() / 3);
    InMidObject { object, config, collector }
}

/// Number of the object's records that the ledger knows as delivered.
fn confirmed(lab: &Lab, config: &Value, object: &Object) -> usize {
    confirmed_records(&ledger(lab, config, &["show", "--match", &object.key]))
}

/// Stops a collector in the middle of a large object: the next one sends the rest, and little of it twice.
fn stopped_in_mid_object(name: &str, stop: impl FnOnce(Collector)) {
    let lab = Lab::new(name);
    let InMidObject { object, config, collector } = in_mid_object(&lab);
    stop(collector);
    lab.sink_is_quiet();
    let saved = confirmed(&lab, &config, &object);
    let sent = object.frames.len() - compare(&object.frames, &lab.sink.received()).missing.len();
    assert!(sent < object.frames.len(), "it was stopped in the middle");
    let ended = lab.drain_all(&config);
    let repeats = lab.expect_delivered_at_least_once(name, &object.frames);
    println!("{name}: {sent} records sent before, {saved} of them recorded");
    assert!(repeats <= sent - saved, "{repeats} repeats of {sent} sent, {saved} recorded");
    assert!(ended.log.contains(&format!("{saved} not sent again")), "log:\n{}", ended.log);
}

#[test]
fn what_is_forgotten_is_sent_again() {
    let lab = Lab::new("ledger-forget");
    let objects = [feeds::vpc("f0", 20), feeds::vpc("f1", 20)];
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let before = ledger(&lab, &config, &["show"]);
    assert_eq!(before.code, Some(2), "there is none yet");
    lab.put_and_announce(&objects);
    lab.drain_all(&config);
    let shown = text(&ledger(&lab, &config, &["show", "--input", "1"]));
    assert!(objects.iter().all(|o| shown.contains(&o.key)) && shown.contains("delivered"), "{shown}");
    let forgotten = text(&ledger(&lab, &config, &["forget", "--match", &objects[0].key]));
    assert!(forgotten.contains("1 object was forgotten"), "{forgotten}");
    lab.announce(objects.iter().map(|o| o.key.as_str()));
    lab.drain_all(&config);
    let expected = [all_frames(&objects), objects[0].frames.clone()].concat();
    lab.expect_delivered(&expected);
    assert_ne!(ledger(&lab, &config, &["forget"]).code, Some(0), "nothing is chosen");
    let all = text(&ledger(&lab, &config, &["forget", "--all"]));
    assert!(all.contains("2 objects were forgotten"), "{all}");
}

#[test]
fn a_damaged_ledger_stops_the_start_unless_told_otherwise() {
    let lab = Lab::new("ledger-damaged");
    let object = feeds::vpc("d0", 20);
    lab.put_and_announce(std::slice::from_ref(&object));
    let file = lab.directory().join("state").join("ledger.sqlite3");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "this is no database, and long enough to be read as one").unwrap();
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let refused = lab.drain(&config);
    assert_eq!(refused.code, Some(2), "log:\n{}", refused.log);
    assert!(refused.log.contains(file.to_str().unwrap()) && refused.log.contains("Move it away"));
    assert_eq!(lab.queue.peek()[0].receive_count, 0, "nothing was received");
    let checked = check(&lab, &config);
    assert_eq!(checked.code, Some(2), "log:\n{}", checked.log);
    config["globals"]["persistence"]["required"] = json!(false);
    assert_eq!(check(&lab, &config).code, Some(0));
    let ended = lab.drain_all(&config);
    assert!(ended.log.contains("without a ledger"), "log:\n{}", ended.log);
    lab.expect_delivered(&object.frames);
}

fn check(lab: &Lab, config: &Value) -> Ended {
    lab.command(config, &["check"])
}

pub fn ledger(lab: &Lab, config: &Value, arguments: &[&str]) -> Ended {
    lab.command(config, &[&["ledger"], arguments].concat())
}

pub fn text(ended: &Ended) -> String {
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    String::from_utf8(ended.stdout.clone()).unwrap()
}

/// `… 1234 records` on the last line; 0 where nothing is recorded yet.
fn confirmed_records(shown: &Ended) -> usize {
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let number = |line: &str| line.strip_suffix(" records")?.rsplit(' ').next()?.parse().ok();
    shown.lines().last().and_then(number).unwrap_or(0)
}

fn copy(object: &Object) -> Object {
    Object { key: object.key.clone(), bytes: object.bytes.clone(), frames: vec![] }
}
