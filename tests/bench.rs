//! `bench` on a small scale: the figures exist and the counts are right. Speed is not checked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first failure"
)]

use std::process::{Command, Output};

use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aws-to-devo")).arg("bench").args(arguments).output().unwrap()
}

fn bench(arguments: &[&str]) -> Value {
    let output = run(arguments);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value}"))
}

#[test]
fn one_json_object_with_the_promised_keys_and_right_counts() {
    let result = bench(&["--objects", "3", "--object-bytes", "200000", "--json", "--floor"]);
    assert_eq!((number(&result, "objects"), &result["complete"]), (3.0, &Value::Bool(true)), "{result}");
    assert!((500_000.0..700_000.0).contains(&number(&result, "compressed_bytes")));
    assert!(number(&result, "log_bytes") > 5.0 * number(&result, "compressed_bytes"));
    assert!(number(&result, "events") > 0.0);
    assert_eq!(number(&result, "events"), number(&result, "events_received"));
    for key in [
        "wall_seconds",
        "cpu_seconds",
        "cpu_seconds_per_gb",
        "floor_cpu_seconds_per_gb",
        "floor_ratio",
        "peak_rss_bytes",
    ] {
        assert!(number(&result, key) > 0.0, "{key}");
    }
    assert!(result["bottleneck"].is_string());
    let stages = result["stages"].as_array().unwrap();
    for name in ["receive", "fetch", "work", "send", "settle"] {
        let stage = stages.iter().find(|stage| stage["name"] == name).unwrap_or_else(|| panic!("{name}"));
        assert!(number(stage, "cpu_seconds") >= 0.0 && number(stage, "wait_seconds") >= 0.0);
    }
}

#[test]
fn compressed_sending_is_measured_and_sends_less() {
    let bench = |compression: &str| {
        bench(&["--objects", "3", "--object-bytes", "200000", "--json", "--compression", compression])
    };
    let (plain, gzip) = (bench("none"), bench("gzip"));
    assert_eq!(number(&gzip, "events"), number(&gzip, "events_received"));
    assert_eq!(number(&gzip, "log_bytes"), number(&plain, "log_bytes"));
    assert!(number(&gzip, "sent_bytes") * 3.0 < number(&plain, "sent_bytes"));
}

#[test]
fn https_a_distance_and_a_slow_sink_lose_nothing_and_are_told() {
    let near = ["--objects", "3", "--object-bytes", "200000", "--json"];
    let far = ["--tls", "--aws-rtt-ms", "10", "--rtt-ms", "20", "--sink-mb", "40"];
    let result = bench(&[&near[..], &far[..]].concat());
    assert_eq!(number(&result, "events"), number(&result, "events_received"));
    assert_eq!((&result["tls"], number(&result, "rtt_ms")), (&Value::Bool(true), 20.0));
    assert_eq!((number(&result, "aws_rtt_ms"), number(&result, "sink_mb")), (10.0, 40.0));
}

#[test]
fn the_other_generated_services() {
    for service in ["aws_sqs_cloudtrail", "aws_sqs_vpc"] {
        let result = bench(&["--service", service, "--objects", "5", "--object-bytes", "20000", "--json"]);
        assert_eq!(number(&result, "events"), number(&result, "events_received"), "{service}");
    }
}

#[test]
fn given_files_are_announced_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("2026-03-14-09-25-12-0000000000000001"), "one\ntwo\n").unwrap();
    std::fs::write(folder.path().join("2026-03-14-09-25-12-0000000000000002"), "three\n").unwrap();
    let folder = folder.path().to_str().unwrap();
    let result =
        bench(&["--service", "aws_sqs_s3_access", "--files", folder, "--objects", "5", "--json", "--floor"]);
    assert_eq!(number(&result, "events_received"), 8.0);
    assert_eq!(number(&result, "log_bytes"), 36.0);
}

#[test]
fn what_cannot_be_generated_is_refused() {
    let output = run(&["--service", "aws_sqs_waf"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--files"));
}
