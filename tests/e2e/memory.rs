//! One number bounds the memory, whatever the objects are like.

use std::io::Write;

use aws_to_devo::testbed::pki::Pki;
use aws_to_devo::testbed::sink::{Keep, Sink};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use crate::feeds::{self, Object};
use crate::lab::Lab;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// `memory_limit`, and what the whole process may have at its peak.
const LIMIT: u64 = 256 * MIB;
const PEAK_MAX: u64 = 320 * MIB;

/// The sink is the embedded one, which only counts: 3 GiB would say no more in a file.
#[test]
fn a_huge_object_many_medium_ones_and_a_bomb() {
    let lab = Lab::with_few_receives("memory");
    let pki = Pki::generate().unwrap();
    let sink = Sink::start_on(&pki, 0, Keep::Counts).unwrap();
    let files = pki.write_client_files(lab.directory()).unwrap();

    let (huge, huge_events) = huge();
    let medium: Vec<_> = (0..200).map(|i| feeds::fdr(&format!("medium-{i:03}"), 2000)).collect();
    lab.put_and_announce(&[
        object("data/huge/part-00000.gz", huge),
        object("data/bomb/part-00000.gz", bomb()),
    ]);
    lab.put_and_announce(&medium);

    let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
    config["globals"]["memory_limit"] = json!("256MiB");
    config["outputs"]["devo_1"]["config"] = json!({
        "address": "127.0.0.1", "port": sink.address().port(), "type": "SSL",
        "chain": files.chain, "cert": files.cert, "key": files.key
    });
    let ended = lab.run(&config, &["--drain"]).end(std::time::Duration::from_secs(600));
    assert_eq!(ended.code, Some(1), "the bomb cannot be delivered; log:\n{}", ended.log);
    assert!(lab.queue.is_empty() && lab.dead_letters.peek().len() == 1, "log:\n{}", ended.log);
    let refusal = ended.log.lines().find(|line| line.contains("data/bomb/part-00000.gz"));
    assert!(refusal.is_some_and(|line| line.contains("expan")), "the bomb is named; log:\n{}", ended.log);

    let received = sink.tally().total().events;
    let expected = huge_events + 200 * 2000;
    assert!(
        received >= expected,
        "{received} of at least {expected} events (the bomb's beginning comes on top)"
    );
    println!(
        "3 GiB from 64 MiB, 200 medium objects, a bomb: peak memory {} MiB, limit {} MiB",
        ended.peak_rss / MIB,
        LIMIT / MIB
    );
    assert!(ended.peak_rss < PEAK_MAX, "peak memory {} MiB", ended.peak_rss / MIB);
}

fn object(key: &str, bytes: Vec<u8>) -> Object {
    Object { key: key.into(), bytes, frames: Vec::new() }
}

/// About 64 MiB that inflate to 3 GiB, in one gzip member.
fn huge() -> (Vec<u8>, u64) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let filler = "x".repeat(960);
    let (mut events, mut written) = (0u64, 0);
    while written < 3 * GIB {
        // About 21 bytes of a line do not repeat: with the filler's back references 1/48 of it.
        let hash = (events + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let line = format!("{{\"id\":\"{hash:016x}\",\"n\":{events},\"filler\":\"{filler}\"}}\n");
        encoder.write_all(line.as_bytes()).unwrap();
        written += line.len() as u64;
        events += 1;
    }
    let bytes = encoder.finish().unwrap();
    let size = bytes.len() as u64;
    assert!((40 * MIB..100 * MIB).contains(&size), "{} MiB", size / MIB);
    (bytes, events)
}

/// 2 MiB that would inflate to 2 GiB, 1000 times as much.
fn bomb() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let line = "a".repeat((1 << 18) - 1) + "\n";
    let block = line.repeat(4);
    for _ in 0..2048 {
        encoder.write_all(block.as_bytes()).unwrap();
    }
    let bytes = encoder.finish().unwrap();
    assert!(2 * GIB / bytes.len() as u64 > 900, "ratio {}", 2 * GIB / bytes.len() as u64);
    bytes
}
