//! Records -> frames.

use std::hint::black_box;

use aws_to_devo::base::buffers::{Buffer, Buffers};
use aws_to_devo::base::limits::BATCH_BYTES;
use aws_to_devo::decode::{Newlines, Record};
use aws_to_devo::stages::frame::Frames;
use criterion::{BenchmarkId, Throughput};
use jiff::Timestamp;

use crate::clock::Criterion;

const TAG: &str = "edr.crowdstrike.cannon";
const HOST: &str = "collector-1-host";
/// Text that the records are cut from: larger than a core's caches, like an inflated object.
const TEXT_BYTES: usize = 16 << 20;

/// The target is the speed of a copy of the same bytes, which is also measured.
pub fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    let text = vec![b'x'; TEXT_BYTES];
    for size in [110, 862] {
        let lines: Vec<&[u8]> = text.chunks_exact(size).collect();
        let header = Frames::new(HOST, Timestamp::UNIX_EPOCH, Buffer::default());
        let framed = framed_bytes(header, &lines[..1]) * lines.len();
        // The bytes that a copy without headers would read to write as many.
        let whole = vec![b'x'; framed];
        group.throughput(Throughput::Bytes(framed as u64));
        group.bench_function(BenchmarkId::new("frames", size), |b| b.iter(|| batches(&lines, framed)));
        group.bench_function(BenchmarkId::new("memcpy of as many bytes", size), |b| {
            b.iter(|| copies(&whole));
        });
    }
    group.finish();
}

fn framed_bytes(mut frames: Frames, lines: &[&[u8]]) -> usize {
    lines.iter().for_each(|line| frames.push(TAG, Record::new(line, Newlines::Absent)));
    frames.len()
}

/// Batch after batch, as in a worker whose buffers are returned at once.
fn batches(lines: &[&[u8]], expected: usize) {
    let buffers = Buffers::new(BATCH_BYTES * 4);
    let (mut from, mut total) = (0, 0);
    while from < lines.len() {
        let mut frames = Frames::new(HOST, Timestamp::UNIX_EPOCH, buffers.take(BATCH_BYTES * 2));
        while frames.len() < BATCH_BYTES && from < lines.len() {
            frames.push(TAG, Record::new(black_box(lines[from]), Newlines::Absent));
            from += 1;
        }
        total += black_box(&frames).len();
    }
    assert_eq!(total, expected);
}

fn copies(text: &[u8]) {
    let mut buffer = Vec::with_capacity(BATCH_BYTES * 2);
    let mut total = 0;
    for piece in text.chunks(BATCH_BYTES) {
        buffer.clear();
        buffer.extend_from_slice(black_box(piece));
        total += black_box(&buffer).len();
    }
    assert_eq!(total, text.len());
}
