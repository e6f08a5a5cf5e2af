//! The endpoints that the command calls, as a proxy sees them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first failure"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

/// A proxy that refuses everything and reports the requested hosts.
fn proxy() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, asked) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut line = String::new();
            let read = BufReader::new(&stream).read_line(&mut line);
            let host = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
            if read.is_err() || tell.send(host).is_err() {
                return;
            }
        }
    });
    (address, asked)
}

#[test]
fn the_chosen_endpoints_are_called_also_for_a_queue_with_an_old_address() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let config = "
outputs: {console_1: {type: console}}
inputs:
  sqs_collector:
    id: 1
    base_url: https://us-west-1.queue.amazonaws.com/123456789012/q
    credentials: {aws_access_key_id: AKIAIOSFODNN7EXAMPLE, aws_secret_access_key: never-shown}
    services: {aws_sqs_vpc: {}}
  aws:
    id: 2
    credentials: {access_key: AKIAIOSFODNN7EXAMPLE, access_secret: never-shown}
    services:
      metrics-all: {regions: [us-gov-west-1]}
      cwl_1: {log_group: /a, regions: [eu-west-3]}
";
    std::fs::write(&file, config).unwrap();
    let (address, asked) = proxy();
    let run = Command::new(env!("CARGO_BIN_EXE_aws-to-devo"))
        .args(["check", "--online", "--config"])
        .arg(&file)
        .env_clear()
        .env("HTTPS_PROXY", &address)
        .env("AWS_USE_FIPS_ENDPOINT", "true")
        .output()
        .unwrap();
    assert!(!run.status.success());
    let hosts: std::collections::BTreeSet<String> =
        asked.try_iter().filter(|host| !host.is_empty()).collect();
    let expected = [
        "logs-fips.eu-west-3.amazonaws.com:443",
        "monitoring.us-gov-west-1.amazonaws.com:443",
        "sqs-fips.us-west-1.amazonaws.com:443",
        // Whose credentials they are.
        "sts-fips.eu-west-3.amazonaws.com:443",
        "sts-fips.us-west-1.amazonaws.com:443",
        "sts.us-gov-west-1.amazonaws.com:443",
    ];
    assert_eq!(hosts.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{run:?}");
}
