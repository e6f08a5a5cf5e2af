//! MB of log bytes per second through `decode`, on generated objects.

use std::hint::black_box;
use std::io::Write;

use aws_to_devo::decode::{Bounds, Decoder, Format, Scratch};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flate2::Compression;
use flate2::write::GzEncoder;

const RECORDS: usize = 40_000;
/// A received part of an object that does not come whole.
const CHUNK_BYTES: usize = 64 << 10;

fn lines(c: &mut Criterion) {
    let text = fdr();
    let object = gzip(&text);
    let format = Format::Lines { header_lines: 0 };
    let streamed = Bounds { scratch_bytes_max: 0, ..Bounds::default() };
    let mut group = c.benchmark_group("fdr lines");
    group.sample_size(10).throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("gzip, whole", |b| b.iter(|| decode(&object, &format, Bounds::default())));
    group.bench_function("gzip, streamed", |b| b.iter(|| decode_chunks(&object, &format, streamed)));
    group.bench_function("plain", |b| b.iter(|| decode(&text, &format, Bounds::default())));
    group.bench_function("plain, detected", |b| b.iter(|| decode(&text, &Format::Detect, Bounds::default())));
    group.finish();
}

fn json(c: &mut Criterion) {
    let text = cloudtrail();
    let object = gzip(&text);
    let format = Format::Json { path: vec!["Records".to_owned()] };
    let mut group = c.benchmark_group("cloudtrail array");
    group.sample_size(10).throughput(Throughput::Bytes(text.len() as u64));
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
    assert_eq!(count, RECORDS);
}

fn decode(object: &[u8], format: &Format, bounds: Bounds) {
    decode_in(object, format, bounds, object.len());
}

fn decode_chunks(object: &[u8], format: &Format, bounds: Bounds) {
    decode_in(object, format, bounds, CHUNK_BYTES);
}

thread_local! {
    static SCRATCH: std::cell::RefCell<Scratch> = std::cell::RefCell::new(Scratch::new());
}

fn decode_in(object: &[u8], format: &Format, bounds: Bounds, size: usize) {
    let mut decoder = Decoder::new(format.clone(), bounds);
    let mut count = 0;
    let chunks = object.len().div_ceil(size);
    for (number, chunk) in object.chunks(size).enumerate() {
        let last = number + 1 == chunks;
        let mut sink = |record: aws_to_devo::decode::Record<'_>| {
            count += usize::from(!black_box(record.bytes).is_empty())
        };
        SCRATCH.with_borrow_mut(|scratch| decoder.push(chunk, last, scratch, &mut sink)).unwrap();
    }
    assert_eq!(count, RECORDS);
}

/// JSON lines of 862 bytes on average, with the repetition that such logs have.
fn fdr() -> Vec<u8> {
    let mut text = Vec::new();
    let mut random = Random(1);
    for number in 0..RECORDS {
        let start = text.len();
        write!(
            text,
            "{{\"event_simpleName\":\"ProcessRollup2\",\"ConfigBuild\":\"1007.3.0017312.1\",\"aid\":\"{:032x}\",\
             \"timestamp\":\"17000{:08}\",\"id\":\"{:08x}-{:08x}\",\"RawProcessId\":\"{}\",\
             \"ImageFileName\":\"\\\\Device\\\\HarddiskVolume3\\\\Windows\\\\System32\\\\svchost.exe\",\
             \"SHA256HashData\":\"{:016x}{:016x}\",\"CommandLine\":\"",
            random.next() % 500,
            number,
            random.next() as u32,
            random.next() as u32,
            random.next() % 65536,
            random.next() % 2000,
            random.next() % 2000,
        )
        .unwrap();
        let words = ["-k", "netsvcs", "-p", "-s", "Schedule", "C:\\\\Users\\\\", "/quiet", "--type=renderer"];
        while text.len() - start < 858 {
            text.extend_from_slice(words[random.next() as usize % words.len()].as_bytes());
            write!(text, " {} ", random.next() % 3000).unwrap();
        }
        text.extend_from_slice(b"\"}\n");
    }
    text
}

/// One line: `{"Records":[…]}`.
fn cloudtrail() -> Vec<u8> {
    let mut text = b"{\"Records\":[".to_vec();
    let mut random = Random(2);
    for number in 0..RECORDS {
        let separator = if number == 0 { "" } else { "," };
        write!(
            text,
            "{separator}{{\"eventVersion\":\"1.08\",\"userIdentity\":{{\"type\":\"AssumedRole\",\
             \"principalId\":\"AROA{:012X}:session\",\"arn\":\"arn:aws:sts::123456789012:assumed-role/role-{}/session\",\
             \"accountId\":\"123456789012\",\"sessionContext\":{{\"attributes\":{{\"mfaAuthenticated\":\"false\"}}}}}},\
             \"eventTime\":\"2024-01-01T00:{:02}:{:02}Z\",\"eventSource\":\"s3.amazonaws.com\",\
             \"eventName\":\"GetObject\",\"awsRegion\":\"eu-west-1\",\"sourceIPAddress\":\"10.{}.{}.{}\",\
             \"userAgent\":\"[aws-sdk-java/1.12 \\\"x86\\\"]\",\"requestParameters\":{{\"bucketName\":\"logs\",\
             \"key\":\"a/b/{:016x}\"}},\"responseElements\":null,\"additionalEventData\":{{\"bytesOut\":{}}},\
             \"resources\":[{{\"type\":\"AWS::S3::Object\"}}],\"eventID\":\"{:016x}\",\"readOnly\":true}}",
            random.next() % 100,
            random.next() % 100,
            number / 60 % 60,
            number % 60,
            random.next() % 4,
            random.next() % 256,
            random.next() % 256,
            random.next(),
            random.next() % 100_000,
            random.next(),
        )
        .unwrap();
    }
    text.extend_from_slice(b"]}");
    text
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// The same numbers every time (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

criterion_group!(benches, lines, json);
criterion_main!(benches);
