//! The apparatus itself works: without the program under test, frames sent by hand arrive unchanged.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::rig::balancer::Balancer;
use crate::rig::frames::frame;
use crate::rig::lab::Lab;
use crate::rig::process::{PATIENCE, wait_for};
use crate::rig::{aws, notices, pki};

#[test]
fn the_sink_takes_frames_from_a_client_with_a_certificate_only() {
    let mut lab = Lab::new("apparatus-sink");
    let long = "x".repeat(1_500_000);
    let line =
        |tag: &str, message: &str| format!("<14>Nov 21 10:00:00 collector-e2e-host {tag}: {message}\n");
    let text = format!("{}{}", line("a.b", "first"), line("c.d-e", &long));
    send(&lab, &["-cert", &path("client.crt"), "-key", &path("client.key")], text.as_bytes());
    wait_for("the frames", PATIENCE, || lab.sink.received_bytes() >= text.len() as u64);
    lab.sink.restart();
    send(&lab, &[], line("a.b", "without a certificate").as_bytes());
    lab.expect_delivered(&[frame("a.b", "first"), frame("c.d-e", long)]);
}

#[test]
fn the_balancer_forwards_and_cuts() {
    let lab = Lab::new("apparatus-balancer");
    let balancer = Balancer::start(lab.directory(), lab.sink.port);
    let mut connection = std::net::TcpStream::connect(("127.0.0.1", balancer.sink_port)).unwrap();
    // The server waits for the handshake; nothing comes until the cut.
    connection.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    assert!(connection.read(&mut [0]).is_err(), "the connection lives");
    balancer.cut();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(!matches!(connection.read(&mut [0]), Ok(1)), "the connection is cut");
}

#[test]
fn the_queue_can_be_seen_without_being_disturbed() {
    let lab = Lab::new("apparatus-queue");
    aws::put_object(&lab.bucket, "a key/with+odd%20characters/ü", b"hello");
    lab.queue.send(&vec![notices::s3_created(&lab.bucket, &["k"]); 23]);
    let seen = lab.queue.peek();
    assert_eq!(seen.len(), 23);
    assert!(seen.iter().all(|m| m.visible && m.receive_count == 0));
    assert!(lab.dead_letters.is_empty());
    assert_eq!(lab.config(json!({}))["inputs"]["sqs_collector"]["base_url"], lab.queue.url.as_str());
}

fn send(lab: &Lab, identity: &[&str], bytes: &[u8]) {
    let address = format!("127.0.0.1:{}", lab.sink.port);
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-no_ign_eof", "-connect", &address, "-CAfile", &path("authority.crt")])
        .args(identity)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A refused client breaks the pipe.
    let _ = client.stdin.take().unwrap().write_all(bytes);
    let _ = client.wait();
}

fn path(name: &str) -> String {
    pki::file(name).to_str().unwrap().to_owned()
}
