//! The owner of a state directory, and its concurrent users.

use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::json;

use crate::rig::aws::Queue;
use crate::rig::collector::Ended;
use crate::rig::feeds::{self, all_frames};
use crate::rig::frames::assert_at_least_once;
use crate::rig::lab::Lab;
use crate::rig::notices;
use crate::rig::syslogng::SyslogNg;

/// The start failed for a reason outside the configuration.
const TRY_AGAIN: Option<i32> = Some(75);

#[test]
fn a_second_collector_is_refused_and_other_commands_are_not() {
    let lab = Lab::new("state-two");
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let objects: Vec<_> = (0..6).map(|n| feeds::vpc(&format!("s{n}"), 20)).collect();
    lab.put(&objects);
    lab.announce(objects[..3].iter().map(|object| object.key.as_str()));
    let mut first = lab.run(&config, &[]);
    first.wait_until("the queue's end", || lab.queue.is_empty());
    let command = |arguments: &[&str]| lab.command(&config, arguments);
    let second = command(&["run"]);
    assert_eq!(second.code, TRY_AGAIN, "log:\n{}", second.log);
    assert!(second.log.contains("is in use by another collector (process "), "log:\n{}", second.log);
    // The ledger is read, made to forget, and filled while the collector runs.
    assert_eq!(said(&command(&["ledger", "show"])).matches(" delivered").count(), 3);
    let url = format!("s3://{}/", lab.bucket);
    let backfill = command(&["backfill", &url, "--service", "aws_sqs_vpc"]);
    assert_eq!(backfill.code, Some(0), "log:\n{}", backfill.log);
    assert!(said(&command(&["ledger", "forget", "--all"])).contains("6 objects were forgotten"));
    assert_eq!(first.stop().code, Some(0));
    lab.expect_delivered(&all_frames(&objects));
    // A lock is not left behind, not by a killed one either.
    let mut killed = lab.run(&config, &[]);
    killed.wait_for_log("messages wait in the queue");
    killed.kill();
    lab.drain_all(&config);
}

#[test]
fn entries_of_another_queue_are_not_taken_for_this_ones() {
    let lab = Lab::new("state-queue");
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let object = feeds::vpc("q", 20);
    lab.put_and_announce(std::slice::from_ref(&object));
    lab.drain_all(&config);
    let other = Queue::create("state-queue-other", None);
    other.send(&[notices::s3_created(&lab.bucket, &[&object.key])]);
    config["inputs"]["sqs_collector"]["base_url"] = json!(other.url);
    let refused = lab.drain(&config);
    assert_eq!(refused.code, Some(2), "log:\n{}", refused.log);
    assert!(refused.log.contains("Give the input another id"), "log:\n{}", refused.log);
    assert_eq!(other.peek().len(), 1, "nothing was received");
    let command = |arguments: &[&str]| lab.command(&config, arguments);
    let check = command(&["check"]);
    assert_eq!((check.code, said(&check).contains("Give the input another id")), (Some(2), true));
    assert_eq!(command(&["ledger", "forget", "--input", "1"]).code, Some(0));
    assert_eq!(lab.drain(&config).code, Some(0));
    assert!(other.is_empty());
    lab.expect_delivered(&[object.frames.clone(), object.frames].concat());
}

#[test]
fn what_one_output_has_is_sent_to_another() {
    let lab = Lab::new("state-output");
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let objects: Vec<_> = (0..10).map(|n| feeds::vpc(&format!("o{n}"), 20)).collect();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = SyslogNg::start(elsewhere.path(), "server");
    lab.put_and_announce(&objects);
    lab.drain_all(&config);
    config["outputs"]["devo_1"]["config"]["port"] = json!(other.port);
    lab.announce(objects.iter().map(|object| object.key.as_str()));
    lab.drain_all(&config);
    assert_at_least_once("another output on the same ledger", &all_frames(&objects), &other.received());
    lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn a_start_and_a_reload_wait_for_whoever_writes_to_the_ledger() {
    let lab = Lab::new("state-busy");
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    lab.drain_all(&config);
    let ledger = Connection::open(lab.directory().join("state/ledger.sqlite3")).unwrap();
    let hold = || ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let release = || ledger.execute_batch("ROLLBACK").unwrap();
    hold();
    let mut collector = lab.run(&config, &[]);
    collector.wait_for_log("is being written by another program: .* Retrying");
    release();
    collector.wait_for_log("(?s)the ledger is open, after .*messages wait in the queue");
    config["globals"]["workers"] = 3.into();
    lab.write_config(&config);
    hold();
    collector.signal(Signal::HUP);
    collector.wait_for_log("(?s)changed: globals.workers.*is being written by another program: .* Retrying");
    release();
    collector.wait_for_log("(?s)changed: globals.workers.*the ledger is open, after");
    // A signal is heard while a start waits.
    config["globals"]["workers"] = 2.into();
    lab.write_config(&config);
    hold();
    collector.signal(Signal::HUP);
    collector.wait_for_log("(?s)(is being written by another program: .*){3}");
    let ended = collector.stop();
    release();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(!ended.log.contains("the old configuration"), "log:\n{}", ended.log);
}

#[test]
fn what_has_run_keeps_trying_to_run_again() {
    let lab = Lab::new("state-keeps-trying");
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let mut collector = lab.run(&config, &[]);
    collector.wait_for_log("messages wait in the queue");
    let (state, aside) = (lab.directory().join("state"), lab.directory().join("aside"));
    // Neither the new configuration nor the old one can have its ledger.
    std::fs::rename(&state, &aside).unwrap();
    std::fs::write(&state, "in the way").unwrap();
    config["globals"]["workers"] = 3.into();
    lab.write_config(&config);
    collector.signal(Signal::HUP);
    collector.wait_for_log("(?s)the old configuration runs again.*it is retried until it can");
    std::fs::remove_file(&state).unwrap();
    std::fs::rename(&aside, &state).unwrap();
    let object = feeds::vpc("k", 20);
    lab.put_and_announce(std::slice::from_ref(&object));
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    lab.expect_delivered(&object.frames);
}

/// A pipeline that is aborted leaves threads behind, and the ledger's may be one of them.
#[test]
fn a_reload_after_an_abort_waits_for_the_ledger_before_it() {
    let lab = Lab::new("state-abort");
    let objects: Vec<_> = (0..40).map(|n| feeds::vpc(&format!("a{n}"), 200)).collect();
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["globals"]["shutdown_timeout"] = 1.into();
    let mut collector = lab.run(&config, &[]);
    collector.wait_for_log("messages wait in the queue");
    lab.put_and_announce(&objects[..20]);
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    lab.sink.freeze();
    let ledger = Connection::open(lab.directory().join("state/ledger.sqlite3")).unwrap();
    ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
    lab.put_and_announce(&objects[20..]);
    collector.wait_until("messages in flight", || lab.queue.peek().iter().any(|message| !message.visible));
    config["globals"]["workers"] = 3.into();
    lab.write_config(&config);
    collector.signal(Signal::HUP);
    collector.wait_for_log("(?s)changed: globals.workers.*Retrying");
    ledger.execute_batch("ROLLBACK").unwrap();
    lab.sink.thaw();
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    lab.expect_delivered_at_least_once("reloaded after an abort", &all_frames(&objects));
}

fn said(ended: &Ended) -> String {
    String::from_utf8(ended.stdout.clone()).unwrap()
}
