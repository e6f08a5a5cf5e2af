//! The other outputs: a relay over plain TCP, the console, several at once.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::feeds::{self, Object, gzip};
use crate::rig::frames::{assert_exactly, compare, frame, message_bytes};
use crate::rig::lab::Lab;
use crate::rig::process::{PATIENCE, wait_for};
use crate::rig::relay::Relay;

#[test]
fn a_relay_gets_every_byte_as_it_is() {
    let lab = Lab::new("relay");
    let relay = Relay::start();
    let lines: Vec<Vec<u8>> = vec![
        b"plain".to_vec(),
        b"a tab\tand a NUL \0 in it".to_vec(),
        b"not UTF-8: \xff\xfe\x80".to_vec(),
        b" leading and trailing ".to_vec(),
        b"a carriage return \r within".to_vec(),
        vec![b'x'; 3 << 20],
    ];
    let frames = lines.iter().map(|line| frame("my.app.relay", line)).collect();
    let object = Object { key: "odd.gz".into(), bytes: gzip(&lines.join(&b'\n')), frames };
    lab.put_and_announce(std::slice::from_ref(&object));
    let service =
        json!({"file_format": {"type": "line_split_processor"}, "routing_template": "my.app.relay"});
    let outputs = json!({"relay_1": to_relay(&relay)});
    lab.drain_all(&with_outputs(&lab, json!({"custom_service": service}), outputs));
    arrive_at(&relay, &object);
}

#[test]
fn the_console_gets_the_frames_and_the_log_goes_elsewhere() {
    let lab = Lab::new("console");
    let object = feeds::vpc("c1", 200);
    lab.put_and_announce(std::slice::from_ref(&object));
    let outputs = json!({"console_1": {"type": "console"}});
    let ended = lab.drain_all(&with_outputs(&lab, json!({"aws_sqs_vpc": {}}), outputs));
    assert_exactly(&object.frames, &[ended.stdout]);
    assert!(!ended.log.is_empty());
}

#[test]
fn a_console_whose_reader_has_gone_ends_the_run() {
    let lab = Lab::new("console-closed");
    let objects: Vec<_> = (0..10).map(|number| feeds::fdr(&format!("cc{number}"), 500)).collect();
    lab.put_and_announce(&objects);
    let devo = json!({"type": "devo_platform", "config": lab.devo("client")});
    let outputs = json!({"console_1": {"type": "console"}, "devo_1": devo});
    let config = with_outputs(&lab, json!({"aws_sqs_fdr": {}}), outputs);
    let wrapper = ["bash", "-c", "exec \"$@\" > >(head -1)", "bash"];
    let ended = lab.run_under(&wrapper, &config, &[]).end(Duration::from_secs(60));
    assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
    assert!(
        ended.log.contains("the run was aborted: outputs.console_1: standard output is closed"),
        "{}",
        ended.log
    );
    lab.sink_is_quiet();
    let sent = compare(&feeds::all_frames(&objects), &lab.sink.received());
    assert_eq!(sent.repeats, 0, "the other output must not get anything twice");
}

#[test]
fn every_event_goes_to_every_output() {
    let lab = Lab::new("both-outputs");
    let relay = Relay::start();
    let object = feeds::vpc("b1", 2000);
    lab.put_and_announce(std::slice::from_ref(&object));
    let devo = json!({"type": "devo_platform", "config": lab.devo("client")});
    let outputs = json!({"devo_1": devo, "relay_1": to_relay(&relay)});
    lab.drain_all(&with_outputs(&lab, json!({"aws_sqs_vpc": {}}), outputs));
    lab.expect_delivered(&object.frames);
    arrive_at(&relay, &object);
}

#[test]
fn compressed_sending_is_gzip_members_and_events_of_several_lines_go_plain() {
    let lab = Lab::new("compressed");
    let relay = Relay::start();
    let many = feeds::fdr("gz", 5000);
    let record = "\"2026-11-01\",\"two\nlines\"";
    let several = Object {
        key: "dnslogs/2026-11-01/2026-11-01-10-00-abcd.csv.gz".into(),
        bytes: record.into(),
        frames: Vec::new(),
    };
    let objects = [many, several];
    lab.put_and_announce(&objects);
    let [many, _] = &objects;
    let mut output = to_relay(&relay);
    output["config"]["compression"] = json!("gzip");
    let services = json!({"aws_sqs_fdr": {}, "aws_sqs_cisco_umbrella": {}});
    lab.drain_all(&with_outputs(&lab, services, json!({"relay_1": output})));

    let (compressed, plain): (Vec<_>, Vec<_>) =
        relay.received().into_iter().filter(|c| !c.is_empty()).partition(|c| c.starts_with(&[0x1f, 0x8b]));
    assert!(message_bytes(&many.frames) > 4 * compressed.concat().len() as u64, "hardly smaller");
    let inflated: Vec<Vec<u8>> = compressed.iter().map(|stream| gunzip(stream)).collect();
    assert_exactly(&many.frames, &inflated);
    let [counted] = plain.as_slice() else { panic!("{} plain connections", plain.len()) };
    let text = std::str::from_utf8(counted).unwrap();
    let (count, framed) = text.split_once(' ').unwrap();
    assert_eq!(count.parse(), Ok(framed.len()));
    assert!(framed.ends_with(&format!(" sig.cisco.umbrella.dns: {record}\n")), "{framed}");
}

/// All members, read by an independent program.
fn gunzip(stream: &[u8]) -> Vec<u8> {
    let mut gzip =
        Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = gzip.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(stream).unwrap());
        let ended = gzip.wait_with_output().unwrap();
        assert!(ended.status.success());
        ended.stdout
    })
}

#[test]
fn one_output_away_keeps_the_message() {
    let lab = Lab::new("one-away");
    let object = feeds::vpc("o1", 100);
    lab.put_and_announce(std::slice::from_ref(&object));
    let devo = json!({"type": "devo_platform", "config": lab.devo("client")});
    let nowhere = json!({"type": "syslog", "config": {"address": "127.0.0.1", "port": crate::rig::process::free_port()}});
    let outputs = json!({"devo_1": devo, "relay_1": nowhere});
    let mut collector = lab.run(&with_outputs(&lab, json!({"aws_sqs_vpc": {}}), outputs), &[]);
    collector.wait_until("delivery to the one that is there", || lab.sink.received_bytes() > 0);
    collector.wait_for_log("(?i)refused");
    collector.stop();
    assert_eq!(lab.queue.peek().len(), 1, "the message is still in the queue");
}

fn to_relay(relay: &Relay) -> Value {
    json!({"type": "syslog", "config": {"address": "127.0.0.1", "port": relay.port}})
}

fn with_outputs(lab: &Lab, services: Value, outputs: Value) -> Value {
    let mut config = lab.config(services);
    config["outputs"] = outputs;
    config
}

/// The relay's reader may be a moment behind.
fn arrive_at(relay: &Relay, object: &Object) {
    let bytes = || relay.received().iter().map(Vec::len).sum::<usize>() as u64;
    wait_for("the relay", PATIENCE, || bytes() > message_bytes(&object.frames));
    let mut last = 0;
    wait_for("the relay to be quiet", PATIENCE, || std::mem::replace(&mut last, bytes()) == bytes());
    assert_exactly(&object.frames, &relay.received());
}

#[test]
fn a_peer_that_speaks_tls_1_2_only() {
    let mut lab = Lab::new("tls12");
    lab.sink.restart_with_tls_1_2();
    let object = feeds::vpc("tls12", 500);
    lab.put_and_announce(std::slice::from_ref(&object));
    lab.drain_all(&lab.config(json!({"aws_sqs_vpc": {}})));
    lab.expect_delivered(&object.frames);

    // There a refusal comes during the handshake.
    lab.put_and_announce(&[feeds::vpc("tls12-refused", 5)]);
    let mut stranger = lab.config(json!({"aws_sqs_vpc": {}}));
    stranger["outputs"]["devo_1"]["config"] = lab.devo("client-stranger");
    let ended = lab.drain(&stranger);
    assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
    assert!(ended.log.contains("client certificate"), "log:\n{}", ended.log);
    assert!(!lab.queue.is_empty());
}
