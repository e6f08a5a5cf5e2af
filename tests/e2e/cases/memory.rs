//! One setting bounds the memory, for any objects.

use std::io::Write;
use std::time::{Duration, Instant};

use aws_to_devo::lab::testbed::aws::{self, Aws};
use aws_to_devo::lab::testbed::pki::Pki;
use aws_to_devo::lab::testbed::sink::{Keep, Sink};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::rig::collector::Collector;
use crate::rig::feeds::{self, Object};
use crate::rig::lab::Lab;
use crate::rig::process;
use crate::rig::slow_line::SlowLine;

use Messages::{Lists, Logs, Sized, Unsized};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// `memory_limit`, and the maximum for the whole process at its peak.
const LIMIT: u64 = 256 * MIB;
const PEAK_MAX: u64 = 320 * MIB;

/// The sink is the embedded one, which only counts: 3 GiB would be useless in a file.
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
    let ended = lab.run(&config, &["--drain"]).end(Duration::from_secs(600));
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

/// 2 MiB that would inflate to 2 GiB, 1,000 times as much.
fn bomb() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let line = format!("{{\"a\":\"{}\"}}\n", "a".repeat((1 << 18) - 9));
    let block = line.repeat(4);
    for _ in 0..2048 {
        encoder.write_all(block.as_bytes()).unwrap();
    }
    let bytes = encoder.finish().unwrap();
    assert!(2 * GIB / bytes.len() as u64 > 900, "ratio {}", 2 * GIB / bytes.len() as u64);
    bytes
}

/// A line of the table in `docs/delivery.md`.
struct Line {
    queues: usize,
    /// Fetchers and workers, and senders as far as these go.
    threads: usize,
    messages: Messages,
    limit: u64,
}

/// The content of the queues.
#[derive(Debug, Clone, Copy)]
enum Messages {
    /// Notifications with their objects' sizes.
    Sized,
    /// Notifications without sizes.
    Unsized,
    /// Logs themselves, at SQS's maximum size.
    Logs,
    /// Notifications that name the maximum number of objects, only one of which exists.
    Lists,
}

/// The state of the output.
#[derive(Debug, Clone, Copy)]
enum Output {
    Up,
    /// Nothing listens.
    Down,
    /// Connections are accepted, and after their first bytes nothing is read.
    Frozen,
    /// This many bytes a second get through.
    Slow(u64),
}

/// Allowed excess over `memory_limit`: memory that the allocator has not returned yet, and late accounting by the
/// kernel.
const SLACK: u64 = 64 * MIB;
/// One-line messages; one in this many names a large object.
const MESSAGES: usize = 1600;
const LARGE_EVERY: usize = 20;
/// The same of logs of 1 MiB.
const LOGS: usize = 240;
/// The same of lists, of each queue, and the objects that each names.
const LISTS: usize = 10;
const LISTED: usize = 90_000;
/// The peak is taken when it has not grown for this long, or after that time.
const STEADY: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(12);

// Each number of queues, of threads, and each kind of notification meets each kind of output, and each number of queues
// meets each number of threads.

#[test]
fn memory_with_an_output_that_is_up() {
    let lines = [(1, 500, Unsized, 64), (30, 1, Sized, 256), (200, 64, Unsized, 256), (1, 64, Lists, 64)];
    measure(Output::Up, &lines);
}

#[test]
fn memory_with_an_output_that_is_down() {
    measure(
        Output::Down,
        &[
            (1, 64, Sized, 64),
            (30, 500, Unsized, 256),
            (200, 1, Sized, 256),
            (1, 8, Logs, 64),
            (30, 64, Lists, 256),
        ],
    );
}

#[test]
fn memory_with_an_output_that_is_frozen() {
    measure(
        Output::Frozen,
        &[(1, 1, Unsized, 64), (30, 64, Sized, 256), (200, 500, Unsized, 256), (30, 64, Logs, 256)],
    );
}

#[test]
fn memory_with_an_output_that_is_slow() {
    measure(Output::Slow(2 * MIB), &[(1, 500, Sized, 64), (30, 1, Unsized, 256), (200, 64, Sized, 256)]);
}

fn measure(output: Output, lines: &[(usize, usize, Messages, u64)]) {
    for &(queues, threads, messages, limit) in lines {
        let line = Line { queues, threads, messages, limit: limit * MIB };
        let (peak, received) = line.run(output);
        println!(
            "| {queues} | {threads} | {} | {} | {limit} MiB | {} MiB |",
            match messages {
                Sized => "sizes named",
                Unsized => "no sizes",
                Logs => "logs of 1 MiB",
                Lists => "lists of 90,000",
            },
            match output {
                Output::Slow(rate) => format!("slow ({} MiB/s)", rate / MIB),
                other => format!("{other:?}").to_lowercase(),
            },
            peak / MIB
        );
        assert!(peak <= line.limit + SLACK, "{} MiB at a limit of {limit} MiB", peak / MIB);
        assert_eq!(received > 0, matches!(output, Output::Up | Output::Slow(_)));
    }
}

impl Line {
    /// Peak memory, and events that the sink has received.
    fn run(&self, output: Output) -> (u64, u64) {
        let directory = tempfile::TempDir::with_prefix("a2d-memory-").unwrap();
        let pki = Pki::generate().unwrap();
        let sink = Sink::start_on(&pki, 0, Keep::Counts).unwrap();
        let files = pki.write_client_files(directory.path()).unwrap();
        let port = match output {
            Output::Up => sink.address().port(),
            Output::Down => process::free_port(),
            Output::Frozen => SlowLine::start(sink.address(), 8 << 10, 0).port,
            Output::Slow(rate) => SlowLine::start(sink.address(), 1 << 20, rate).port,
        };
        let (aws, config) = (self.fill(), directory.path().join("config.json"));
        let devo = json!({
            "address": "127.0.0.1", "port": port, "type": "SSL", "senders": self.threads.min(256),
            "chain": files.chain, "cert": files.cert, "key": files.key
        });
        std::fs::write(&config, self.config(&aws, devo, directory.path()).to_string()).unwrap();
        let mut collector =
            Collector::start(directory.path(), &["run", "--config", config.to_str().unwrap()]);
        collector.wait_until("the first messages of all queues", || {
            let state = |number: usize| aws.queue_state(&format!("q{number}"));
            (0..self.queues).map(state).all(|state| state.received > 0)
        });
        if let Output::Up | Output::Slow(_) = output {
            collector.wait_until("the first records", || sink.progress().events > 0);
        }
        let peak = steady_peak(&mut collector);
        collector.kill();
        (peak, sink.progress().events)
    }

    /// Messages in all queues. Most name a small object, some a large one.
    fn fill(&self) -> Aws {
        let aws = Aws::start().unwrap();
        if let Logs = self.messages {
            let log = "x".repeat(MIB as usize - 1) + "\n";
            let queue = |number: usize| format!("q{}", number % self.queues);
            (0..LOGS).for_each(|number| aws.send(&queue(number), log.as_str()));
            return aws;
        }
        if let Lists = self.messages {
            let key = |number: usize| format!("log-{number:05}.gz");
            aws.put("bucket", &key(0), records(40));
            let keys: Vec<String> =
                (0..LISTED).map(|n| if n == 0 { key(n) } else { format!("{n:x}") }).collect();
            let list = json!({"s3Bucket": "bucket", "s3ObjectKey": keys}).to_string();
            let queue = |number: usize| format!("q{}", number % self.queues);
            (0..LISTS * self.queues).for_each(|number| aws.send(&queue(number), list.as_str()));
            return aws;
        }
        let (small, large) = (records(40), records(6000));
        for number in 0..MESSAGES {
            let bytes = if number % LARGE_EVERY == 0 { &large } else { &small };
            let key = format!("log-{number:05}.gz");
            aws.put("bucket", &key, bytes.clone());
            aws.send(&format!("q{}", number % self.queues), self.notification(&key, bytes.len()));
        }
        aws
    }

    fn notification(&self, key: &str, size: usize) -> String {
        if let Unsized = self.messages {
            return json!({"s3Bucket": "bucket", "s3ObjectKey": [key]}).to_string();
        }
        let object = json!({"key": key, "size": size});
        json!({"Records": [{
            "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "awsRegion": aws::REGION,
            "s3": {"bucket": {"name": "bucket"}, "object": object}
        }]})
        .to_string()
    }

    fn config(&self, aws: &Aws, devo: Value, directory: &std::path::Path) -> Value {
        let input = |number: usize| {
            let input = json!({
                "id": number.to_string(),
                "credentials": {
                    "aws_access_key_id": aws::ACCESS_KEY_ID, "aws_secret_access_key": aws::SECRET_ACCESS_KEY
                },
                "base_url": aws.queue_url(&format!("q{number}")),
                "region": aws::REGION,
                "endpoint_url": aws.url(),
                "sqs_wait_timeout": 1,
                "direct_mode": matches!(self.messages, Logs),
                "services": {"custom_lines": {
                    "file_format": {"type": "line_split_processor", "config": {}},
                    "routing_template": "my.app.memory.line"
                }}
            });
            (format!("sqs_collector_{number}"), input)
        };
        json!({
            "globals": {
                "id": "e2e",
                "memory_limit": format!("{}MiB", self.limit / MIB),
                "fetchers": self.threads,
                "workers": self.threads,
                "status": {"enabled": false},
                "persistence": {"type": "filesystem", "config": {"directory_name": directory.join("state")}}
            },
            "outputs": {"devo_1": {"type": "devo_platform", "config": devo}},
            "inputs": (0..self.queues).map(input).collect::<serde_json::Map<_, _>>()
        })
    }
}

/// gzip of so many lines of 500 bytes, half of them noise.
fn records(lines: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut state = 1u64;
    for _ in 0..lines {
        let mut noise = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            format!("{:016x}", state ^ (state >> 29))
        };
        let line: String = (0..16).map(|_| noise()).chain([" ".repeat(243)]).collect();
        writeln!(encoder, "{line}").unwrap();
    }
    encoder.finish().unwrap()
}

/// Peak memory, once it no longer grows.
fn steady_peak(collector: &mut Collector) -> u64 {
    let (began, mut peak, mut grown) = (Instant::now(), 0, Instant::now());
    while grown.elapsed() < STEADY && began.elapsed() < LONGEST {
        assert!(!collector.is_ended(), "it ended by itself");
        let now = collector.peak_rss();
        if now > peak + MIB {
            (peak, grown) = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    collector.peak_rss()
}
