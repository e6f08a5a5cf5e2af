//! An untrusted connection is reported clearly and loses nothing: once fixed, everything arrives.

use serde_json::{Value, json};

use crate::rig::feeds;
use crate::rig::lab::Lab;
use crate::rig::pki;

#[test]
fn an_authority_that_did_not_sign_the_server() {
    let lab = Lab::new("wrong-ca");
    let mut devo = lab.devo("client");
    devo["chain"] = json!(pki::file("stranger.crt"));
    fails_then_arrives(&lab, json!({"type": "devo_platform", "config": devo}), "(?i)unknown ?issuer");
}

#[test]
fn a_server_of_another_authority() {
    let lab = Lab::with_server_certificate("server-stranger", "server-stranger");
    let output = json!({"type": "devo_platform", "config": lab.devo("client")});
    fails(&lab, output, "(?i)unknown ?issuer");
}

#[test]
fn a_server_of_another_name() {
    let lab = Lab::with_server_certificate("server-name", "server-other-name");
    let output = json!({"type": "devo_platform", "config": lab.devo("client")});
    fails(&lab, output, "(?i)not valid for name");
}

#[test]
fn an_expired_server() {
    let lab = Lab::with_server_certificate("server-expired", "server-expired");
    let output = json!({"type": "devo_platform", "config": lab.devo("client")});
    fails(&lab, output, "(?i)expired");
}

#[test]
fn an_expired_client_certificate() {
    let lab = Lab::new("client-expired");
    let output = json!({"type": "devo_platform", "config": lab.devo("client-expired")});
    fails_then_arrives(&lab, output, "(?i)expired");
}

#[test]
fn a_client_certificate_of_another_authority() {
    let lab = Lab::new("client-stranger");
    let output = json!({"type": "devo_platform", "config": lab.devo("client-stranger")});
    fails_then_arrives(&lab, output, "(?i)unknown ?ca|bad ?certificate|certificate.*(refused|rejected)");
}

#[test]
fn no_client_certificate() {
    let lab = Lab::new("client-none");
    // Devo's own platform requires one in the configuration; a relay may not.
    let mut devo = lab.devo("client");
    let keys = devo.as_object_mut().unwrap();
    keys.remove("cert");
    keys.remove("key");
    let ended = lab.drain(&with_output(&lab, json!({"type": "devo_platform", "config": devo})));
    assert_eq!(ended.code, Some(2), "log:\n{}", ended.log);
    assert!(ended.log.contains("cert") && ended.log.contains("key"), "log:\n{}", ended.log);
    fails_then_arrives(
        &lab,
        json!({"type": "syslog", "config": devo}),
        "(?i)certificate ?required|handshake ?failure",
    );
}

/// With `output`, the log says `why`, and nothing is lost; with the right one, everything arrives.
fn fails_then_arrives(lab: &Lab, output: Value, why: &str) {
    let object = fails(lab, output, why);
    lab.drain_all(&lab.config(json!({"aws_sqs_vpc": {}})));
    lab.expect_delivered(&object.frames);
}

fn fails(lab: &Lab, output: Value, why: &str) -> feeds::Object {
    let object = feeds::vpc("f1", 100);
    lab.put_and_announce(std::slice::from_ref(&object));
    // Only warnings and errors: the words may occur in a queue's or a file's name too.
    let why = format!("(?i)(ERROR|WARN).*({why})");
    let mut collector = lab.run(&with_output(lab, output), &[]);
    collector.wait_for_log(&why);
    let ended = collector.stop();
    println!("{}", ended.log.lines().find(|l| regex::Regex::new(&why).unwrap().is_match(l)).unwrap());
    lab.expect_delivered(&[]);
    assert_eq!(lab.queue.peek().len(), 1, "the message is still in the queue");
    assert!(lab.dead_letters.is_empty());
    object
}

fn with_output(lab: &Lab, output: Value) -> Value {
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["outputs"]["devo_1"] = output;
    // A received but undeliverable message must be redelivered soon.
    config["inputs"]["sqs_collector"]["sqs_visibility_timeout"] = json!(5);
    config
}
