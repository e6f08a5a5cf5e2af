//! SIGHUP, and its notifications to the service manager.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cases::status::{try_status, with_page};
use crate::rig::collector::Collector;
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::frames::{frame, message_bytes};
use crate::rig::lab::Lab;
use crate::rig::pki;
use crate::rig::process::PATIENCE;

#[test]
fn new_certificates_are_used_without_a_restart() {
    let lab = Lab::new("reload-certificate");
    let config = with_own_certificate(&lab, "client-stranger");
    let object = feeds::vpc("h1", 50);
    lab.put_and_announce(std::slice::from_ref(&object));
    let mut collector = lab.run(&config, &[]);
    collector.wait_for_log("outputs.devo_1: .*(?i:ca|certificate)");
    install(&lab, "client");
    collector.signal(Signal::HUP);
    collector.wait_for_log("changed: .*own.key");
    arrives(&lab, &mut collector, &[&object]);
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(!ended.log.contains("the new configuration runs"), "log:\n{}", ended.log);
    lab.expect_delivered(&object.frames);
}

#[test]
fn certificates_are_rotated_under_load() {
    let lab = Lab::new("reload-rotation");
    let objects = load(&lab);
    let mut collector = lab.run(&with_own_certificate(&lab, "client"), &[]);
    for (certificate, quarter) in [("client-next", 1), ("client", 2)] {
        received(&lab, &mut collector, total(&objects) * quarter / 4);
        install(&lab, certificate);
        collector.signal(Signal::HUP);
        collector.wait_for_log(&format!("(?s)(connections are renewed.*){{{quarter}}}"));
    }
    collector.wait_until("the queue is empty", || lab.queue.is_empty());
    assert_eq!(collector.stop().code, Some(0));
    lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn a_client_certificate_that_expires_while_it_runs_is_renewed() {
    let mut lab = Lab::new("reload-expires");
    pki::make_short_lived("client-short", 15);
    let (config, port) = with_page(with_own_certificate(&lab, "client-short"));
    let certificate_left = || {
        let until = try_status(port)?["outputs"][0]["certificate_expires_at"].as_f64()?;
        Some(until - jiff::Timestamp::now().as_millisecond() as f64 / 1000.0)
    };
    let (first, second) = (feeds::vpc("x1", 20), feeds::vpc("x2", 30));
    lab.put_and_announce(std::slice::from_ref(&first));
    let mut collector = lab.run(&config, &[]);
    collector.wait_for_log("WARN .*cert.* expires in 0 days");
    arrives(&lab, &mut collector, &[&first]);
    collector.wait_until("the certificate's end", || certificate_left().is_some_and(|left| left < -1.0));
    // The certificate of an open connection is not checked again; the next connection is refused.
    lab.sink.stop();
    lab.sink.restart();
    lab.put_and_announce(std::slice::from_ref(&second));
    collector.wait_for_log("outputs.devo_1: .*our client certificate .* has expired");
    assert!(!lab.queue.is_empty(), "nothing is deleted that has not arrived");
    install(&lab, "client");
    collector.signal(Signal::HUP);
    collector.wait_for_log("connections are renewed one by one with the new certificates");
    arrives(&lab, &mut collector, &[&first, &second]);
    assert!(certificate_left().is_some_and(|left| left > 3600.0), "the new one's end is shown");
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    lab.expect_delivered(&[first.frames, second.frames].concat());
}

#[test]
fn a_changed_tag_holds_for_what_comes_after() {
    let lab = Lab::new("reload-tag");
    let (old, mut new) = (feeds::vpc("t1", 50), feeds::vpc("t2", 50));
    lab.put_and_announce(std::slice::from_ref(&old));
    let mut collector = lab.run(&lab.config(json!({"aws_sqs_vpc": {}})), &[]);
    arrives(&lab, &mut collector, &[&old]);
    lab.write_config(&lab.config(json!({"aws_sqs_vpc": {"routing_template": "my.app.flows"}})));
    collector.signal(Signal::HUP);
    collector.wait_for_log("changed: inputs.sqs_collector.services.aws_sqs_vpc.routing_template");
    collector.wait_for_log("-> my.app.flows");
    lab.put_and_announce(std::slice::from_ref(&new));
    for event in &mut new.frames {
        *event = frame("my.app.flows", &event.message);
    }
    arrives(&lab, &mut collector, &[&old, &new]);
    assert_eq!(collector.stop().code, Some(0));
    lab.expect_delivered(&[old.frames, new.frames].concat());
}

#[test]
fn reloads_under_load_lose_nothing() {
    let lab = Lab::new("reload-load");
    let objects = load(&lab);
    let config = |senders: u32| {
        let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
        config["outputs"]["devo_1"]["config"]["senders"] = senders.into();
        config
    };
    let mut collector = lab.run(&config(1), &[]);
    for quarter in 1..=3 {
        received(&lab, &mut collector, total(&objects) * quarter / 4);
        lab.write_config(&config(1 + quarter as u32));
        collector.signal(Signal::HUP);
        collector.wait_for_log(&format!("{} senders", 1 + quarter));
    }
    collector.wait_until("the queue is empty", || lab.queue.is_empty());
    assert_eq!(collector.stop().code, Some(0));
    lab.sink_is_quiet();
    assert!(lab.dead_letters.is_empty());
    let repeats =
        lab.expect_delivered_at_least_once("reloaded three times under load", &all_frames(&objects));
    assert_eq!(repeats, 0, "work in hand is finished, and what is given back was not begun");
}

#[test]
fn a_bad_configuration_is_refused_and_the_old_one_goes_on() {
    let lab = Lab::new("reload-bad");
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let mut collector = lab.run(&config, &[]);
    collector.wait_for_log("output devo_1");
    let file = lab.write_config(&config);
    std::fs::write(&file, "{\"inputs\": ").unwrap();
    collector.signal(Signal::HUP);
    collector.wait_for_log("ERROR.*(?i:json|line 1)");
    collector.wait_for_log("the new configuration is refused; the old one continues");
    // It can be read, but not be started.
    let mut other = config.clone();
    other["globals"]["persistence"]["config"]["directory_name"] = "/dev/null/no-such-place".into();
    lab.write_config(&other);
    collector.signal(Signal::HUP);
    collector.wait_for_log("cannot start: .*(?s).*the old configuration runs again");
    let object = feeds::vpc("b1", 20);
    lab.put_and_announce(std::slice::from_ref(&object));
    arrives(&lab, &mut collector, &[&object]);
    lab.write_config(&config);
    collector.signal(Signal::HUP);
    collector.wait_for_log("nothing has changed");
    assert_eq!(collector.stop().code, Some(0));
    lab.expect_delivered(&object.frames);
}

#[test]
fn a_stop_during_a_reload_is_a_stop() {
    let lab = Lab::new("reload-stop");
    let objects = load(&lab);
    let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
    let mut collector = lab.run(&config, &[]);
    received(&lab, &mut collector, total(&objects) / 4);
    config["globals"]["host"] = "another".into();
    lab.write_config(&config);
    collector.signal(Signal::HUP);
    collector.wait_for_log("changed: globals.host");
    collector.signal(Signal::TERM);
    assert_eq!(collector.end(PATIENCE).code, Some(0));
    assert!(lab.queue.peek().iter().all(|message| message.visible), "all is given back");
    config["globals"].as_object_mut().unwrap().remove("host");
    lab.drain_all(&config);
    lab.expect_delivered_at_least_once("stopped during a reload", &all_frames(&objects));
}

#[test]
fn counters_go_on_over_a_reload() {
    let lab = Lab::new("reload-counters");
    let (first, second) = (feeds::vpc("c1", 30), feeds::vpc("c2", 12));
    let (mut config, port) = with_page(lab.config(json!({"aws_sqs_vpc": {}})));
    config["inputs"]["sqs_collector"]["sqs_wait_timeout"] = json!(1);
    lab.put_and_announce(std::slice::from_ref(&first));
    let mut collector = lab.run(&config, &[]);
    let delivered = || {
        let status = try_status(port)?;
        let events = status["inputs"][0]["services"][0]["delivered"]["events"].as_u64()?;
        Some((status["start_time"].as_f64()?, events))
    };
    collector.wait_until("the first count", || delivered().is_some_and(|(_, events)| events == 30));
    let start = delivered().unwrap().0;
    config["globals"]["workers"] = 3.into();
    lab.write_config(&config);
    collector.signal(Signal::HUP);
    collector.wait_for_log("changed: globals.workers");
    lab.put_and_announce(std::slice::from_ref(&second));
    collector.wait_until("both counts", || delivered() == Some((start, 42)));
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(ended.log.contains("total number of events sent: 42, "), "log:\n{}", ended.log);
}

#[test]
fn debugging_is_switched_under_the_running_collector() {
    let lab = Lab::new("reload-debug");
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let mut collector = lab.run(&config, &[]);
    collector.wait_for_log("output devo_1");
    // The first of its kind is always reported.
    lab.announce(["first/_SUCCESS"]);
    collector.wait_until("the marker's message to be deleted", || lab.queue.is_empty());
    for (debug, said) in [(true, "logged"), (false, "not logged")] {
        config["globals"]["debug"] = debug.into();
        lab.write_config(&config);
        collector.signal(Signal::HUP);
        collector.wait_for_log(&format!("debug lines are {said}"));
        lab.announce([format!("{said}/_SUCCESS").as_str()]);
        collector.wait_until("the marker's message to be deleted", || lab.queue.is_empty());
    }
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(!ended.log.contains("the new configuration runs"), "log:\n{}", ended.log);
    assert!(ended.log.contains("/logged/_SUCCESS: skipped"), "log:\n{}", ended.log);
    assert!(!ended.log.contains("not logged/_SUCCESS"), "log:\n{}", ended.log);
}

#[test]
fn the_service_manager_hears_of_everything() {
    let lab = Lab::new("notify");
    let path = lab.directory().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "500000")];
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let collector = lab.run_with(&environment, &config, &[]);
    hears(&manager, "READY=1");
    hears(&manager, "STATUS=0 events delivered");
    for _ in 0..3 {
        hears(&manager, "WATCHDOG=1");
    }
    config["globals"]["workers"] = 3.into();
    lab.write_config(&config);
    for what_follows in ["RELOADING=1", "READY=1", "WATCHDOG=1"] {
        if what_follows == "RELOADING=1" {
            collector.signal(Signal::HUP);
        }
        hears(&manager, what_follows);
    }
    collector.signal(Signal::TERM);
    hears(&manager, "STOPPING=1");
    assert_eq!(collector.end(PATIENCE).code, Some(0));
}

/// Reads notifications until one begins with `expected`.
fn hears(manager: &UnixDatagram, expected: &str) {
    let mut text = [0; 4096];
    loop {
        let length = manager.recv(&mut text).unwrap_or_else(|e| panic!("{expected} was never said: {e}"));
        if text[..length].starts_with(expected.as_bytes()) {
            return;
        }
    }
}

fn received(lab: &Lab, collector: &mut Collector, bytes: u64) {
    collector.wait_until("the stream", || lab.sink.received_bytes() >= bytes);
}

fn arrives(lab: &Lab, collector: &mut Collector, objects: &[&Object]) {
    let bytes = objects.iter().map(|object| message_bytes(&object.frames)).sum();
    received(lab, collector, bytes);
    collector.wait_until("the queue is empty", || lab.queue.is_empty());
    lab.sink_is_quiet();
}

fn load(lab: &Lab) -> Vec<Object> {
    let objects: Vec<_> = (0..300).map(|i| feeds::fdr(&format!("{i:03}"), 500)).collect();
    lab.put_and_announce(&objects);
    objects
}

/// The bytes of the messages; with headers, somewhat more arrives.
fn total(objects: &[Object]) -> u64 {
    objects.iter().map(|object| message_bytes(&object.frames)).sum()
}

/// A configuration whose client certificate is a copy that can be replaced.
fn with_own_certificate(lab: &Lab, name: &str) -> Value {
    install(lab, name);
    let mut config = lab.config(json!({"aws_sqs_vpc": {}, "aws_sqs_fdr": {}}));
    config["outputs"]["devo_1"]["config"]["cert"] = "own.crt".into();
    config["outputs"]["devo_1"]["config"]["key"] = "own.key".into();
    config
}

fn install(lab: &Lab, name: &str) {
    let copy = |from: &Path, to: &str| std::fs::copy(from, lab.directory().join(to)).unwrap();
    copy(&pki::file(&format!("{name}.crt")), "own.crt");
    copy(&pki::file(&format!("{name}.key")), "own.key");
}
