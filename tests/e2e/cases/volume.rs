//! Many objects, large objects, many objects in a message; and the memory needed.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::frames::frame;
use crate::rig::lab::Lab;
use crate::rig::notices;

const MIB: u64 = 1 << 20;
/// Memory outside `memory_limit`: code, stacks, the allocator's own.
const MEMORY_BESIDE: u64 = 64 * MIB;

#[test]
fn a_thousand_small_objects() {
    let lab = Lab::new("thousand");
    let objects: Vec<_> = (0..1000).map(|i| feeds::waf(&format!("{i:04}"), 10)).collect();
    lab.put_and_announce(&objects);
    let ended = lab.drain_all(&lab.config(json!({"aws_sqs_waf": {}})));
    println!("1,000 small objects: peak memory {} MiB", ended.peak_rss / MIB);
    lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn one_object_of_two_hundred_megabytes() {
    let lab = Lab::new("two-hundred-mb");
    let object = large(200_000_000);
    lab.put_and_announce(std::slice::from_ref(&object));
    let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
    let limit = 128 * MIB;
    config["globals"]["memory_limit"] = json!(limit);
    let ended = lab.drain_all(&config);
    let peak = ended.peak_rss;
    println!("one object of 200 MB: peak memory {} MiB with a limit of {} MiB", peak / MIB, limit / MIB);
    lab.expect_delivered(&object.frames);
    assert!(peak < limit + MEMORY_BESIDE, "peak memory {} MiB, limit {} MiB", peak / MIB, limit / MIB);
}

#[test]
fn forty_files_in_one_message() {
    let lab = Lab::new("forty-files");
    let mut objects: Vec<_> = (0..40).map(|i| feeds::fdr(&format!("{i:02}"), 1000)).collect();
    for (i, object) in objects.iter_mut().enumerate() {
        object.key = format!("data/f0714ca5/part-{i:05}.gz");
    }
    lab.put(&objects);
    let files: Vec<_> = objects.iter().map(|o| (o.key.as_str(), o.bytes.len())).collect();
    lab.queue.send(&[notices::fdr(&lab.bucket, "data/f0714ca5", &files)]);
    let ended = lab.drain_all(&lab.config(json!({"aws_sqs_fdr": {}})));
    println!("40 files in one message: peak memory {} MiB", ended.peak_rss / MIB);
    lab.expect_delivered(&all_frames(&objects));
}

/// An FDR object with this many bytes of records, created without holding its text.
fn large(bytes: usize) -> Object {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let (mut frames, mut written) = (Vec::new(), 0);
    while written < bytes {
        let line = feeds::fdr_event("large", frames.len());
        writeln!(encoder, "{line}").unwrap();
        written += line.len() + 1;
        frames.push(frame("edr.crowdstrike.cannon", line));
    }
    Object { key: "data/large/part-00000.gz".into(), bytes: encoder.finish().unwrap(), frames }
}
