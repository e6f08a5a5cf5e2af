//! The connection to the sink breaks in every way.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::collector::Collector;
use crate::rig::fault_island::{Island, is_root};
use crate::rig::fault_line::FaultLine;
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::lab::Lab;
use crate::rig::process::PATIENCE;

#[test]
fn resets_in_the_middle_of_a_record() {
    let lab = Lab::new("sink-reset");
    let objects = load(&lab);
    // None of these is a boundary of anything, and each is less than a batch, to which connections are limited after some resets.
    let limits = [1_777, 50_001, 133_333, 200_003, 77_777, 250_007, 7, 99_991];
    let line = FaultLine::start(lab.sink.port, &limits);
    let mut config = config(&lab);
    config["outputs"]["devo_1"]["config"]["port"] = json!(line.port);
    lab.drain_all(&config);
    // Connections without data, with which the senders ask whether the sink accepts them, may end before their limits.
    assert!(line.resets() as usize >= limits.len() / 2, "{} connections reset", line.resets());
    lab.expect_delivered_at_least_once("sink resets in mid-record, 4 to 8 times", &all_frames(&objects));
}

#[test]
fn its_certificate_expires_and_is_replaced() {
    let mut lab = Lab::new("sink-expires");
    let objects = load(&lab);
    let mut collector = lab.run(&config(&lab), &[]);
    collector.wait_until("the stream's beginning", || lab.sink.received_bytes() > 1_000_000);
    lab.sink.restart_as("server-expired");
    collector.wait_for_log("(?i)the peer's certificate has expired");
    std::thread::sleep(Duration::from_secs(5));
    lab.sink.restart_as("server");
    ends_well(&lab, collector, "sink's certificate expired, then replaced", &objects);
}

#[test]
fn a_connection_that_dies_without_a_word() {
    if !is_root("half-open connection") {
        return;
    }
    let lab = Lab::new("half-open");
    let objects = load(&lab);
    let island = Island::new();
    let sink = island.bridge(lab.sink.port);
    island.bridge(crate::rig::emulator::port());
    let mut collector = lab.run_under(&island.wrapper(), &config(&lab), &[]);
    collector.wait_until("the stream's beginning", || lab.sink.received_bytes() > 1_000_000);
    island.drop_packets(lab.sink.port, &sink.clients());
    // Data in flight still arrives; then there is silence until the connection is given up, by the collector ("has neither
    // taken nor acknowledged a byte") or by its kernel, whose limit is the same ("Connection timed out").
    collector.wait_for_log("ERROR] outputs.devo_1: ");
    ends_well(&lab, collector, "half-open connection, no RST", &objects);
}

#[test]
fn its_name_does_not_resolve_for_a_while() {
    if !is_root("DNS failing") {
        return;
    }
    let lab = Lab::new("no-dns");
    let objects = load(&lab);
    let line = FaultLine::start(lab.sink.port, &[2_000_003; 12]);
    let mut config = config(&lab);
    config["outputs"]["devo_1"]["config"]["address"] = json!("sink.test");
    config["outputs"]["devo_1"]["config"]["port"] = json!(line.port);
    // A separate mount namespace, where /etc/hosts is ours and no name server answers.
    let (hosts, dns) = (lab.directory().join("hosts"), lab.directory().join("resolv.conf"));
    let knows = |known: bool| {
        let line = if known { "127.0.0.1 sink.test\n" } else { "" };
        std::fs::write(&hosts, format!("127.0.0.1 localhost\n{line}")).unwrap();
    };
    knows(false);
    std::fs::write(&dns, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
    let script = format!(
        "mount --bind {} /etc/hosts && mount --bind {} /etc/resolv.conf && exec \"$@\"",
        hosts.display(),
        dns.display()
    );
    let wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let mut collector = lab.run_under(&wrapper, &config, &[]);
    collector.wait_for_log("cannot resolve \"sink.test\"");
    std::thread::sleep(Duration::from_secs(5));
    knows(true);
    collector.wait_until("a connection's end", || line.resets() > 0);
    knows(false);
    collector.wait_for_log("(?s)(broke|closed).*cannot resolve");
    std::thread::sleep(Duration::from_secs(5));
    knows(true);
    ends_well(&lab, collector, "DNS fails twice", &objects);
}

fn ends_well(lab: &Lab, mut collector: Collector, case: &str, objects: &[Object]) {
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    crate::rig::process::wait_for("no dead letters", PATIENCE, || lab.dead_letters.is_empty());
    lab.expect_delivered_at_least_once(case, &all_frames(objects));
}

/// About 40 MB of records in 40 objects.
fn load(lab: &Lab) -> Vec<Object> {
    let objects: Vec<_> = (0..40).map(|i| feeds::fdr(&format!("{i:03}"), 1250)).collect();
    lab.put_and_announce(&objects);
    objects
}

fn config(lab: &Lab) -> Value {
    lab.config(json!({"aws_sqs_fdr": {}}))
}
