//! What an operator sees over HTTP: figures that are true, and readiness that follows what happens.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::collector::Collector;
use crate::feeds::{self, all_frames};
use crate::frames::{assert_at_least_once, assert_exactly, message_bytes};
use crate::lab::Lab;
use crate::notices;
use crate::process::{PATIENCE, free_port, wait_for_value};

#[test]
fn metrics_tell_what_was_delivered() {
    let lab = Lab::new("metrics");
    let objects: Vec<_> = (0..6).map(|i| feeds::vpc(&format!("m{i}"), 500)).collect();
    let frames = all_frames(&objects);
    lab.put_and_announce(&objects);
    let (config, port) = with_page(lab.config(json!({"aws_sqs_vpc": {}})));
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    let text = get(port, "/metrics").1;
    let service = "{input=\"sqs_collector\",service=\"aws_sqs_vpc\"}";
    for (name, labels, value) in [
        ("events_total", service, frames.len()),
        ("objects_total", service, objects.len()),
        ("events_framed_total", service, frames.len()),
        ("objects_in_work", service, 0),
        ("messages_received_total", "{input=\"sqs_collector\"}", objects.len()),
        ("messages_deleted_total", "{input=\"sqs_collector\"}", objects.len()),
        ("messages_in_work", "{input=\"sqs_collector\"}", 0),
        ("objects_waiting", "{input=\"sqs_collector\"}", 0),
        ("dead_letter_messages", "{input=\"sqs_collector\"}", 0),
        ("output_events_total", "{output=\"devo_1\"}", frames.len()),
        ("output_unconfirmed_bytes", "{output=\"devo_1\"}", 0),
        ("output_batches_waiting", "{output=\"devo_1\"}", 0),
        ("payloads_waiting", "", 0),
        ("workers_busy", "", 0),
        ("compressed_held_bytes", "", 0),
        ("ready", "", 1),
    ] {
        assert_eq!(value_of(&text, name, labels), Some(value as f64), "{name} in\n{text}");
    }
    // The count of frames comes before them.
    let bytes = value_of(&text, "bytes_total", service).unwrap() as u64;
    assert!(bytes >= message_bytes(&frames), "{text}");
    let lag = value_of(&text, "last_delivery_lag_seconds", service).unwrap();
    let written: Value = serde_json::from_str(&notices::s3_created("b", &["k"])).unwrap();
    let written: Timestamp = written["Records"][0]["eventTime"].as_str().unwrap().parse().unwrap();
    let age = Timestamp::now().duration_since(written).as_secs_f64();
    assert!((age - PATIENCE.as_secs_f64()..age).contains(&lag), "a lag of {lag} s instead of about {age} s");
    promtool_accepts(&text);
    for accept in ["application/openmetrics-text; version=1.0.0", "text/plain"] {
        let (status, body) =
            ask(port, &format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}"));
        assert_eq!((status, body.ends_with("# EOF\n")), (200, accept.contains("openmetrics")));
    }
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    lab.sink_is_quiet();
    assert_exactly(&frames, &lab.sink.received());
}

#[test]
fn readiness_follows_an_outage_of_the_sink() {
    let mut lab = Lab::new("readiness");
    let object = feeds::vpc("r1", 100);
    let (config, port) = with_page(lab.config(json!({"aws_sqs_vpc": {}})));
    let mut collector = lab.run(&config, &[]);
    await_readiness(&mut collector, port, 200, "ready");
    lab.sink.stop();
    lab.put_and_announce(std::slice::from_ref(&object));
    await_readiness(&mut collector, port, 503, "outputs.devo_1: cannot connect to localhost:");
    assert_eq!(get(port, "/healthz"), (200, "alive\n".to_owned()));
    let status = status(port);
    let trouble = status["parts"].as_array().unwrap().iter().find(|part| !part["trouble"].is_null()).unwrap();
    assert_eq!(trouble["name"], "outputs.devo_1");
    assert!(status["notices"][0]["message"].as_str().unwrap().contains("firewall"), "no advice: {status}");
    lab.sink.restart();
    await_readiness(&mut collector, port, 200, "ready");
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    assert_eq!(collector.stop().code, Some(0));
    lab.sink_is_quiet();
    assert_at_least_once("after the outage", &object.frames, &lab.sink.received());
}

#[test]
fn a_port_that_is_taken_keeps_nobody_from_collecting() {
    let lab = Lab::new("port-taken");
    let object = feeds::vpc("t1", 10);
    lab.put_and_announce(std::slice::from_ref(&object));
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let port = taken.local_addr().unwrap().port();
    config["globals"]["status"] = json!({"port": port});
    let ended = lab.drain_all(&config);
    assert!(
        ended.log.contains(&port.to_string()) && ended.log.contains("globals.status.port"),
        "{}",
        ended.log
    );
    assert_exactly(&object.frames, &lab.sink.received());
}

fn promtool_accepts(text: &str) {
    let mut promtool = Command::new("promtool");
    let mut child = promtool
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("promtool is installed by scripts/test");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

fn await_readiness(collector: &mut Collector, port: u16, status: u16, beginning: &str) {
    collector.wait_until(&format!("/readyz to say {beginning:?}"), || {
        try_ask(port, "GET /readyz HTTP/1.1\r\nHost: localhost")
            .is_some_and(|(code, body)| code == status && body.starts_with(beginning))
    });
}

/// The configuration with a status page, and its port.
pub fn with_page(mut config: Value) -> (Value, u16) {
    let port = free_port();
    config["globals"]["status"] = json!({"port": port});
    (config, port)
}

pub fn status(port: u16) -> Value {
    serde_json::from_str(&get(port, "/status.json").1).unwrap()
}

fn get(port: u16, path: &str) -> (u16, String) {
    ask(port, &format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}"))
}

/// Status and body of the answer, as soon as there is one.
fn ask(port: u16, head: &str) -> (u16, String) {
    wait_for_value("an answer of the status page", PATIENCE, || try_ask(port, head))
}

fn try_ask(port: u16, head: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    write!(stream, "{head}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn value_of(metrics: &str, name: &str, labels: &str) -> Option<f64> {
    let beginning = format!("aws_to_devo_{name}{labels} ");
    metrics.lines().find_map(|line| line.strip_prefix(&beginning)?.parse().ok())
}
