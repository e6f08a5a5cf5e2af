//! Either end goes down in mid-stream, five times: every record arrives at least once.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::balancer::Balancer;
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::frames::message_bytes;
use crate::rig::lab::Lab;
use crate::rig::process::{PATIENCE, wait_for};

const OUTAGES: u64 = 5;

#[test]
fn the_sink_restarts_at_once_in_mid_stream() {
    sink_outages("sink-restarts", |lab, _| lab.sink.restart());
}

#[test]
fn the_sink_goes_away_in_mid_stream_and_comes_back_later() {
    sink_outages("sink-away", |lab, collector| {
        lab.sink.stop();
        collector.wait_for_log("(?i)refused");
        lab.sink.restart();
    });
}

#[test]
fn a_balancer_cuts_live_connections() {
    let lab = Lab::new("cut");
    let balancer = Balancer::start(lab.directory(), lab.sink.port);
    let objects = load(&lab);
    let mut config = config(&lab);
    config["outputs"]["devo_1"]["config"]["port"] = json!(balancer.sink_port);
    config["outputs"]["devo_1"]["config"]["confirmation"] = json!("close");
    let mut collector = lab.run(&config, &["--drain"]);
    for number in 1..=OUTAGES {
        collector.wait_until("part of the stream", || is_received(&lab, &objects, number));
        balancer.cut();
    }
    let ended = collector.end(PATIENCE);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(lab.queue.is_empty() && lab.dead_letters.is_empty());
    lab.expect_delivered_at_least_once("connections cut five times", &all_frames(&objects));
}

#[test]
fn aws_has_bad_moments() {
    let lab = Lab::new("bad-moments");
    let balancer = Balancer::start(lab.directory(), lab.sink.port);
    let objects: Vec<_> = (0..60).map(|i| feeds::vpc(&format!("m{i}"), 100)).collect();
    lab.put_and_announce(&objects);
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let endpoint = format!("http://127.0.0.1:{}", balancer.faulty_aws_port);
    config["inputs"]["sqs_collector"]["endpoint_url"] = json!(endpoint);
    lab.drain_all(&config);
    lab.expect_delivered_at_least_once("503 and dropped calls", &all_frames(&objects));
}

#[test]
fn the_collector_is_killed_in_mid_stream() {
    let lab = Lab::new("collector-killed");
    let objects = load(&lab);
    let frames = all_frames(&objects);
    let config = config(&lab);
    for outage in 1..=OUTAGES {
        let mut collector = lab.run(&config, &[]);
        collector.wait_until("part of the stream", || is_received(&lab, &objects, outage));
        collector.kill();
        assert!(!lab.queue.is_empty(), "the stream is still under way at outage {outage}");
    }
    // Two kills at the same object, the second time alone, look like its fault. An operator knows better.
    if lab.drain(&config).log.contains("is refused, because the collector died 2 times") {
        let forgotten = lab.command(&config, &["ledger", "forget", "--match", "data/"]);
        assert_eq!(forgotten.code, Some(0), "log:\n{}", forgotten.log);
    }
    lab.drain_all(&config);
    lab.expect_delivered_at_least_once("collector killed five times", &frames);
}

#[test]
fn a_drain_waits_for_what_another_collector_held() {
    let lab = Lab::new("drain-waits");
    let objects = load(&lab);
    let config = config(&lab);
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("part of the stream", || is_received(&lab, &objects, 1));
    collector.kill();
    assert!(lab.queue.peek().iter().any(|m| !m.visible), "messages are in flight");
    lab.drain_all(&config);
    lab.expect_delivered_at_least_once("drained after a kill", &all_frames(&objects));
}

#[test]
fn leases_are_extended_while_the_sink_does_not_read() {
    let lab = Lab::new("leases");
    let objects = load(&lab);
    let mut config = config(&lab);
    // Leases are extended some seconds before they end, which covers a machine that stands still for a moment.
    config["inputs"]["sqs_collector"]["sqs_visibility_timeout"] = json!(10);
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("the stream's beginning", || lab.sink.received_bytes() > 0);
    lab.sink.freeze();
    // Three times the visibility timeout.
    for second in 0..30 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let most = lab.queue.peek().iter().map(|m| m.receive_count).max();
        assert!(most.is_some(), "all messages went away, {second} s after the sink was frozen");
        assert_eq!(most, Some(1), "a message came back, {second} s after the sink was frozen");
    }
    lab.sink.thaw();
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    assert_eq!(collector.stop().code, Some(0));
    lab.expect_delivered_at_least_once("sink frozen", &all_frames(&objects));
}

fn sink_outages(name: &str, mut outage: impl FnMut(&mut Lab, &mut crate::rig::collector::Collector)) {
    let mut lab = Lab::new(name);
    let objects = load(&lab);
    let mut collector = lab.run(&config(&lab), &[]);
    for number in 1..=OUTAGES {
        collector.wait_until("part of the stream", || is_received(&lab, &objects, number));
        outage(&mut lab, &mut collector);
    }
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    collector.signal(Signal::TERM);
    assert_eq!(collector.end(PATIENCE).code, Some(0));
    wait_for("no dead letters", PATIENCE, || lab.dead_letters.is_empty());
    lab.expect_delivered_at_least_once(&format!("{name}, five times"), &all_frames(&objects));
}

/// About 80 MB of records in 40 objects.
fn load(lab: &Lab) -> Vec<Object> {
    let objects: Vec<_> = (0..40).map(|i| feeds::fdr(&format!("{i:03}"), 2500)).collect();
    lab.put_and_announce(&objects);
    objects
}

/// True if enough of the stream is received for `outage`.
///
/// Repeats and headers count too, so the stream is never over before the last outage.
fn is_received(lab: &Lab, objects: &[Object], outage: u64) -> bool {
    let total: u64 = objects.iter().map(|o| message_bytes(&o.frames)).sum();
    lab.sink.received_bytes() >= total * outage / (OUTAGES + 2)
}

/// Short leases: a killed collector's messages become visible soon.
fn config(lab: &Lab) -> Value {
    let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
    config["inputs"]["sqs_collector"]["sqs_visibility_timeout"] = json!(5);
    config
}
