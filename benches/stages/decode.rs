//! MB of log bytes per second through `decode`, on the objects of `bench`.

use std::cell::RefCell;
use std::hint::black_box;
use std::io::Write;

use aws_to_devo::decode::{Bounds, Decoder, Format, Record, Scratch};
use aws_to_devo::lab::testbed::load::{self, Kind};
use criterion::Throughput;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::clock::Criterion;

const RECORDS: u64 = 40_000;
/// A received part of a streamed object.
const CHUNK_BYTES: usize = 64 << 10;

pub fn lines(c: &mut Criterion) {
    for (name, kind, header_lines) in [("fdr lines", Kind::Fdr, 0), ("vpc lines", Kind::Vpc, 1)] {
        let text = load::text(kind, RECORDS, 1);
        let object = gzip(&text);
        let format = Format::Lines { header_lines };
        let streamed = Bounds { scratch_bytes_max: 0, ..Bounds::default() };
        let mut group = c.benchmark_group(name);
        group.sample_size(20).throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("gzip, whole", |b| b.iter(|| decode(&object, &format, Bounds::default())));
        group.bench_function("gzip, streamed", |b| b.iter(|| decode_chunks(&object, &format, streamed)));
        group.bench_function("plain", |b| b.iter(|| decode(&text, &format, Bounds::default())));
        group.finish();
    }
}

/// The target for the plain array is twice the speed of the yardstick.
pub fn array(c: &mut Criterion) {
    let text = load::text(Kind::CloudTrail, RECORDS, 2);
    let object = gzip(&text);
    let format = Format::Json { path: vec!["Records".to_owned()] };
    let mut group = c.benchmark_group("cloudtrail array");
    group.sample_size(20).throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("gzip, whole", |b| b.iter(|| decode(&object, &format, Bounds::default())));
    group.bench_function("plain", |b| b.iter(|| decode(&text, &format, Bounds::default())));
    group.bench_function("plain, in chunks", |b| b.iter(|| decode_chunks(&text, &format, Bounds::default())));
    let array = text.strip_prefix(b"{\"Records\":").and_then(|rest| rest.strip_suffix(b"}")).unwrap();
    group.bench_function("plain, by sonic_rs's unchecked lazy iterator", |b| b.iter(|| sonic(array)));
    group.finish();
}

/// The yardstick for splitting an array.
fn sonic(array: &[u8]) {
    // SAFETY: the array was written above and is JSON.
    let values = unsafe { sonic_rs::to_array_iter_unchecked(array) };
    let count = values.filter(|value| !black_box(value.as_ref().unwrap().as_raw_str()).is_empty()).count();
    assert_eq!(count as u64, RECORDS);
}

fn decode(object: &[u8], format: &Format, bounds: Bounds) {
    decode_in(object, format, bounds, object.len());
}

fn decode_chunks(object: &[u8], format: &Format, bounds: Bounds) {
    decode_in(object, format, bounds, CHUNK_BYTES);
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

fn decode_in(object: &[u8], format: &Format, bounds: Bounds, size: usize) {
    let mut decoder = Decoder::new(format.clone(), bounds);
    let mut count = 0;
    let chunks = object.len().div_ceil(size);
    for (number, chunk) in object.chunks(size).enumerate() {
        let last = number + 1 == chunks;
        let mut sink = |record: Record<'_>| count += u64::from(!black_box(record.bytes).is_empty());
        SCRATCH.with_borrow_mut(|scratch| decoder.push(chunk, last, scratch, &mut sink)).unwrap();
    }
    assert_eq!(count, RECORDS);
}

pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}
