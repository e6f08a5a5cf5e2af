//! The processing of a batch before it is encrypted, and after.

use std::sync::Arc;
use std::time::Instant;

use aws_to_devo::ack::{Ack, Outcome};
use aws_to_devo::base::buffers::Buffer;
use aws_to_devo::base::limits::{BATCH_BYTES, SETTLE_BYTES, SETTLE_TIME};
use aws_to_devo::decode::{Newlines, Record};
use aws_to_devo::handoff::{Batch, Gzip};
use aws_to_devo::lab::testbed::load::{self, Kind};
use aws_to_devo::stages::frame::Frames;
use aws_to_devo::stages::send::window::Window;
use criterion::{BatchSize, BenchmarkId, Throughput};
use jiff::Timestamp;

use crate::clock::Criterion;

const HOST: &str = "collector-1-host";
/// Batches in a full window of the usual size.
const BATCHES: usize = 2 * SETTLE_BYTES / BATCH_BYTES;
const LEVELS: [u8; 5] = [1, 2, 4, 6, 9];

/// `compression: gzip` at several levels. The ratio of each is printed once.
pub fn gzip(c: &mut Criterion) {
    let batch = fdr_batch();
    let mut group = c.benchmark_group("gzip");
    group.sample_size(20).throughput(Throughput::Bytes(batch.len() as u64));
    for level in LEVELS {
        let gzip = Gzip::new(level);
        let length = gzip.member(&batch).len();
        println!("level {level}: {:.2} to 1", batch.len() as f64 / length as f64);
        group.bench_function(BenchmarkId::new("level", level), |b| {
            b.iter(|| assert_eq!(gzip.member(&batch).len(), length));
        });
    }
    group.finish();
}

fn fdr_batch() -> Arc<Buffer> {
    let text = load::text(Kind::Fdr, (BATCH_BYTES / 800) as u64, 3);
    let mut frames = Frames::new(HOST, Timestamp::UNIX_EPOCH, Buffer::default());
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        frames.push("edr.crowdstrike.cannon", Record::new(line, Newlines::Absent));
    }
    let ack = Ack::open(|_| ());
    frames.into_batch(ack.share()).bytes
}

pub fn window(c: &mut Criterion) {
    let now = Instant::now();
    let batches = || -> Vec<Batch> {
        let ack = Ack::open(|_| ());
        let made = (0..BATCHES)
            .map(|_| Frames::new(HOST, Timestamp::UNIX_EPOCH, Buffer::default()).into_batch(ack.share()));
        let made = made.collect();
        ack.close(Outcome::Delivered);
        made
    };
    c.bench_function("window/push, acknowledge and settle 64 batches", |b| {
        b.iter_batched(
            batches,
            |batches| {
                let (mut window, mut end, mut settled) = (Window::default(), 0, 0);
                for batch in batches {
                    end += BATCH_BYTES as u64;
                    window.push(batch, end, now);
                    window.acknowledge(end, now);
                    settled += usize::from(window.pop_settled(now, Some(SETTLE_TIME)).is_some());
                }
                assert_eq!(settled, BATCHES - SETTLE_BYTES / BATCH_BYTES);
                window
            },
            BatchSize::SmallInput,
        );
    });
}
