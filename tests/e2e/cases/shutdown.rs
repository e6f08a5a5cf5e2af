//! Stopping: work in flight is finished if possible, and everything else is returned at once.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::fault_proxy::{Fault, FaultProxy};
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::frames::message_bytes;
use crate::rig::lab::Lab;
use crate::rig::process::{PATIENCE, Process, wait_for};

#[test]
fn under_load() {
    for signal in [Signal::TERM, Signal::INT] {
        let lab = Lab::new(if signal == Signal::TERM { "stop-term" } else { "stop-int" });
        let objects = load(&lab);
        let mut collector = lab.run(&config(&lab, 25), &[]);
        collector.wait_until("a quarter of the stream", || lab.sink.received_bytes() > total(&objects) / 4);
        collector.signal(signal);
        assert_eq!(collector.end(PATIENCE).code, Some(0));
        all_is_given_back(&lab);
        lab.drain_all(&config(&lab, 25));
        lab.expect_delivered_at_least_once("stopped under load", &all_frames(&objects));
    }
}

#[test]
fn with_a_sink_that_does_not_read() {
    let lab = Lab::new("stop-frozen");
    let objects = load(&lab);
    let mut collector = lab.run(&config(&lab, 3), &[]);
    collector.wait_until("the stream's beginning", || lab.sink.received_bytes() > 0);
    lab.sink.freeze();
    collector.signal(Signal::TERM);
    let ended = collector.end(PATIENCE);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    all_is_given_back(&lab);
    lab.sink.thaw();
    lab.drain_all(&config(&lab, 25));
    lab.expect_delivered_at_least_once("stopped with a frozen sink", &all_frames(&objects));
}

#[test]
fn the_second_signal_stops_at_once() {
    let lab = Lab::new("stop-twice");
    let objects = load(&lab);
    let mut collector = lab.run(&config(&lab, 600), &[]);
    collector.wait_until("the stream's beginning", || lab.sink.received_bytes() > 0);
    lab.sink.freeze();
    collector.signal(Signal::TERM);
    std::thread::sleep(Duration::from_secs(2));
    assert!(!collector.is_ended(), "the first signal waits for the work in hand");
    collector.signal(Signal::TERM);
    collector.end(PATIENCE);
    assert!(!lab.queue.is_empty());
    lab.sink.thaw();
    // A collector that stops at once returns nothing: its leases run out.
    lab.drain_all(&config(&lab, 25));
    lab.expect_delivered_at_least_once("stopped at once", &all_frames(&objects));
}

#[test]
fn an_idle_collector_says_what_its_stop_waits_for() {
    let lab = Lab::new("stop-idle");
    let mut config = config(&lab, 25);
    config["inputs"]["sqs_collector"]["sqs_wait_timeout"] = json!(6);
    let mut collector = lab.run(&config, &[]);
    collector.wait_for_log("0 messages wait in the queue");
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(
        ended.log.contains("a long poll of SQS is still under way, for at most 6 s"),
        "log:\n{}",
        ended.log
    );
}

#[test]
fn sooner_than_a_long_poll_ends() {
    let lab = Lab::new("stop-short");
    let objects: Vec<_> = (0..20).map(|i| feeds::fdr(&format!("{i:03}"), 50)).collect();
    lab.put_and_announce(&objects);
    let mut config = config(&lab, 2);
    config["inputs"]["sqs_collector"]["sqs_wait_timeout"] = json!(10);
    lab.sink.freeze();
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("all messages in flight", || lab.queue.peek().iter().all(|m| !m.visible));
    // Now the receivers wait for more.
    std::thread::sleep(Duration::from_secs(1));
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    // Leases of ten minutes would outlast the test's patience.
    wait_for("all messages' return", PATIENCE, || lab.queue.peek().iter().all(|m| m.visible));
    let most = lab.queue.peek().iter().map(|m| m.receive_count).max();
    assert_eq!(most, Some(1), "taken from the queue by a receive that nobody waits for");
    lab.sink.thaw();
    lab.drain_all(&config);
    lab.expect_delivered_at_least_once("stopped sooner than a long poll ends", &all_frames(&objects));
}

#[test]
fn while_idle() {
    let lab = Lab::new("stop-idle-poll");
    let mut config = config(&lab, 25);
    config["inputs"]["sqs_collector"]["sqs_wait_timeout"] = json!(20);
    let mut collector = lab.run(&config, &[]);
    collector.wait_for_log("."); // it has started
    std::thread::sleep(Duration::from_secs(1));
    collector.signal(Signal::TERM);
    assert_eq!(collector.end(PATIENCE).code, Some(0));
}

/// Whatever AWS call hangs, a signal takes effect within `shutdown_timeout` and a few seconds.
#[test]
fn whatever_call_hangs() {
    let actions = [
        "ReceiveMessage",
        "GetQueueAttributes",
        "GetObject",
        "DeleteMessageBatch",
        "ChangeMessageVisibilityBatch",
    ];
    std::thread::scope(|scope| {
        for action in actions {
            scope.spawn(move || stops_although_this_hangs(action));
        }
    });
}

fn stops_although_this_hangs(action: &'static str) {
    let lab = Lab::new(&format!("stop-hang-{}", action.to_lowercase()));
    let objects: Vec<_> = (0..5).map(|i| feeds::fdr(&format!("{i:03}"), 50)).collect();
    lab.put_and_announce(&objects);
    let proxy = FaultProxy::start(move |call| match call.action == action {
        true => Fault::Delay(Duration::from_secs(600)),
        false => Fault::Pass,
    });
    let mut config = config(&lab, 2);
    config["inputs"]["sqs_collector"]["endpoint_url"] = json!(proxy.endpoint());
    // So that leases must be extended soon.
    config["inputs"]["sqs_collector"]["sqs_visibility_timeout"] = json!(10);
    if action == "ChangeMessageVisibilityBatch" {
        lab.sink.freeze();
    }
    let mut collector = lab.run(&config, &[]);
    collector.wait_until(&format!("a call of {action}"), || proxy.calls(action) > 0);
    collector.signal(Signal::TERM);
    let ended = collector.end(Duration::from_secs(30));
    assert_eq!(ended.code, Some(0), "{action}, log:\n{}", ended.log);
    assert!(!ended.log.contains("is cut short"), "{action}, log:\n{}", ended.log);
}

/// A log without a reader blocks every thread that writes to it.
#[test]
fn although_nobody_reads_the_log() {
    std::thread::scope(|scope| {
        scope.spawn(|| stops_although_nobody_reads(1, &[0, 1]));
        scope.spawn(|| stops_although_nobody_reads(2, &[130]));
    });
}

fn stops_although_nobody_reads(signals: usize, codes: &[i32]) {
    let lab = Lab::new(&format!("stop-mute-{signals}"));
    let mut config = config(&lab, 1);
    config["globals"]["debug"] = json!(true);
    let file = lab.write_config(&config);
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut command = std::process::Command::new(crate::rig::collector::program());
    command.args(["run", "--config", &file]).stdin(std::process::Stdio::null()).stderr(writer);
    let mut process = Process::spawn(command);
    // More lines than the pipe holds.
    let keys: Vec<_> = (0..600).map(|n| format!("{n}/{}/_SUCCESS", "long".repeat(60))).collect();
    lab.announce(keys.iter().map(String::as_str));
    std::thread::sleep(Duration::from_secs(3));
    for _ in 0..signals {
        // A reload cannot be logged either, and must not block later signals.
        process.signal(Signal::HUP);
        process.signal(Signal::TERM);
        std::thread::sleep(Duration::from_secs(1));
    }
    let status = process.wait("a collector that cannot log", Duration::from_secs(40));
    assert!(status.code().is_some_and(|code| codes.contains(&code)), "after {signals} signals: {status:?}");
}

#[test]
fn a_drain_that_is_stopped_says_what_is_left() {
    stopped_drain("stop-drain", Signal::TERM);
}

/// A terminal that is closed sends it.
#[test]
fn a_drain_that_is_hung_up_on_says_what_is_left() {
    stopped_drain("hang-up-drain", Signal::HUP);
}

fn stopped_drain(name: &str, signal: Signal) {
    let lab = Lab::new(name);
    let objects = load(&lab);
    lab.sink.freeze();
    // The tests may have been started by `nohup`.
    let mut collector = lab.run_under(&["env", "--default-signal=HUP"], &config(&lab, 1), &["--drain"]);
    collector.wait_until("messages in flight", || lab.queue.peek().iter().any(|message| !message.visible));
    collector.signal(signal);
    let ended = collector.end(PATIENCE);
    assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
    assert!(!ended.log.contains("could not be delivered"), "no message has failed; log:\n{}", ended.log);
    let last = ended.log.lines().last().unwrap_or_default();
    let count = regex::Regex::new(r"before its queues were known to be empty; (\d+) messages").unwrap();
    let count = count.captures(last).and_then(|found| found[1].parse::<usize>().ok());
    assert!(count.is_some_and(|count| count > 0 && count <= objects.len()), "the last line: {last}");
    lab.sink.thaw();
    lab.drain_all(&config(&lab, 25));
    lab.expect_delivered_at_least_once("a stopped drain", &all_frames(&objects));
}

/// Every message left is visible, long before its lease would end.
fn all_is_given_back(lab: &Lab) {
    let left = lab.queue.peek();
    assert!(!left.is_empty(), "the stop came in mid-stream");
    let held = left.iter().filter(|m| !m.visible).count();
    assert_eq!(held, 0, "messages still in flight, of {} left", left.len());
    wait_for("no dead letters", PATIENCE, || lab.dead_letters.is_empty());
}

fn load(lab: &Lab) -> Vec<Object> {
    let objects: Vec<_> = (0..400).map(|i| feeds::fdr(&format!("{i:03}"), 500)).collect();
    lab.put_and_announce(&objects);
    objects
}

fn total(objects: &[Object]) -> u64 {
    objects.iter().map(|o| message_bytes(&o.frames)).sum()
}

fn config(lab: &Lab, shutdown_seconds: u64) -> Value {
    let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
    config["globals"]["shutdown_timeout"] = json!(shutdown_seconds);
    config["inputs"]["sqs_collector"]["sqs_visibility_timeout"] =
        json!(if shutdown_seconds > 100 { 10 } else { 600 });
    config
}
