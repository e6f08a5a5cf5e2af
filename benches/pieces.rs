//! The small pieces between the big ones: notifications, signatures, frames, the window of unconfirmed
//! batches. Each bench asserts what it has counted.

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

use aws_to_devo::ack::{Ack, Outcome};
use aws_to_devo::aws::{Credentials, GetObject, s3, sign};
use aws_to_devo::buffers::Buffer;
use aws_to_devo::decode::{Newlines, Record};
use aws_to_devo::frame::Frames;
use aws_to_devo::limits::{BATCH_BYTES, SETTLE_BYTES, SETTLE_TIME};
use aws_to_devo::resolve::resolve;
use aws_to_devo::send::window::Window;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;

const TAG: &str = "edr.crowdstrike.cannon";
const HOST: &str = "collector-1-host";
/// Objects that a message of FDR names.
const FILES: usize = 10;
/// Batches in a full window of the usual size.
const BATCHES: usize = 2 * SETTLE_BYTES / BATCH_BYTES;

/// A signed request for a part of an object: the target is 10 µs.
fn signature(c: &mut Criterion) {
    let credentials = Credentials {
        access_key_id: "AKIAEXAMPLE".to_owned(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: Some("t".repeat(800)),
        expires_at: None,
    };
    let key = "data/0e7c5b92-f4a1-4d83-9b60-c8d27f3e15a9/part-00000.gz";
    let object =
        GetObject { bucket: "logs", key, version_id: None, start: 0, len: 8 << 20, if_match: Some("\"e\"") };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_773_480_416);
    let sign = || sign::sign(&s3::request(&object, "eu-west-1", None), &credentials, now);
    assert!(sign().unwrap().iter().any(|(name, _)| *name == "authorization"));
    c.bench_function("sign a GetObject", |b| b.iter(|| black_box(sign().unwrap().len())));
}

fn notifications(c: &mut Criterion) {
    let file =
        |i: usize| format!(r#"{{"path":"data/0e7c/part-{i:05}.gz","size":20000000,"checksum":"00ff"}}"#);
    let files: Vec<String> = (0..FILES).map(file).collect();
    let fdr = format!(
        r#"{{"cid":"5c0e","timestamp":1773480600000,"fileCount":{FILES},"totalSize":1,"bucket":"cs-prod","pathPrefix":"data/0e7c","files":[{}]}}"#,
        files.join(",")
    );
    let s3 = r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-03-14T09:30:00.000Z","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"logs","arn":"arn:aws:s3:::logs"},"object":{"key":"AWSLogs/111122223333/CloudTrail/a.json.gz","size":2048,"sequencer":"0069B52DA1"}}}]}"#;
    let mut group = c.benchmark_group("resolve");
    for (name, body, objects) in [("fdr, ten files", fdr.as_str(), FILES), ("s3 event", s3, 1)] {
        group.bench_function(name, |b| {
            b.iter(|| assert_eq!(resolve(black_box(body)).unwrap().objects.len(), objects));
        });
    }
    group.finish();
}

/// The target is the speed of a copy, which is measured beside it.
fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    for size in [110, 862] {
        let line = vec![b'x'; size];
        let count = BATCH_BYTES / size;
        let now = Timestamp::UNIX_EPOCH;
        group.throughput(Throughput::Bytes((count * size) as u64));
        group.bench_function(format!("{size} bytes a record"), |b| {
            b.iter(|| {
                let mut frames = Frames::new(HOST, now, Vec::with_capacity(BATCH_BYTES * 2).into());
                for _ in 0..count {
                    frames.push(TAG, Record::new(black_box(&line), Newlines::Absent));
                }
                assert!(frames.len() > count * size);
                frames
            });
        });
        group.bench_function(format!("{size} bytes a record, copied only"), |b| {
            b.iter(|| {
                let mut bytes = Vec::with_capacity(BATCH_BYTES * 2);
                for _ in 0..count {
                    bytes.extend_from_slice(black_box(&line));
                }
                assert_eq!(bytes.len(), count * size);
                bytes
            });
        });
    }
    group.finish();
}

fn window(c: &mut Criterion) {
    let now = Instant::now();
    let batches = || -> Vec<_> {
        let ack = Ack::open(|_| ());
        let made = (0..BATCHES).map(|_| {
            Frames::new(HOST, Timestamp::UNIX_EPOCH, Buffer::default()).into_batch(ack.share(), None)
        });
        let made = made.collect();
        ack.close(Outcome::Delivered);
        made
    };
    c.bench_function("window: push, acknowledge and settle 64 batches", |b| {
        b.iter_batched(
            batches,
            |batches| {
                let (mut window, mut end, mut settled) = (Window::default(), 0, 0);
                for batch in batches {
                    end += BATCH_BYTES as u64;
                    window.push(batch, end, now);
                    window.acknowledge(end, now);
                    settled += usize::from(window.pop_settled(now, SETTLE_TIME).is_some());
                }
                assert_eq!(settled, BATCHES - SETTLE_BYTES / BATCH_BYTES);
                window
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, signature, notifications, frames, window);
criterion_main!(benches);
