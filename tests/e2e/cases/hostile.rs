//! Objects and messages that claim much and contain little, each with a good object.
//!
//! For each: the process survives, its memory stays within the limit and a margin, and the good object is delivered.
//! The printed table is in `docs/security.md`.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::rig::aws::Queue;
use crate::rig::feeds::{self, Object};
use crate::rig::lab::Lab;
use crate::rig::notices;
use crate::rig::process::{PATIENCE, wait_for};
use crate::rig::raw;

const LIMIT: &str = "256MiB";
/// The limit and a margin for the allocator.
const PEAK_MAX: u64 = 320 << 20;
/// Number of copies of a refused object: more than there are workers to share the memory.
const COPIES: usize = 8;

/// Number of objects of one kind that the log names in a minute.
const REPEATS_NAMED: usize = 5;

struct Case {
    what: &'static str,
    object: Vec<u8>,
    service: &'static str,
    copies: usize,
    /// Otherwise it is refused with an error.
    delivered: bool,
}

#[test]
fn hostile_parquet_costs_its_share_and_holds_up_nothing() {
    hold_up_nothing("hostile-parquet", &parquet());
}

#[test]
fn hostile_streams_cost_their_share_and_hold_up_nothing() {
    hold_up_nothing("hostile-streams", &streams());
}

fn hold_up_nothing(name: &str, cases: &[Case]) {
    let lab = Lab::new(name);
    println!(
        "| what | bytes on S3 | peak memory | seconds until a good object is delivered |\n|---|---|---|---|"
    );
    for (number, case) in cases.iter().enumerate() {
        let (peak, time) = beside(&lab, &format!("{name}-{number}"), case);
        let length = case.object.len();
        let Case { what, copies, .. } = case;
        println!("| {what} | {copies} × {length} | {} MiB | {:.1} |", peak >> 20, time.as_secs_f64());
        assert!(peak < PEAK_MAX, "{what}: {} MiB", peak >> 20);
    }
}

/// Runs a collector over copies of the object, and a good object that is announced after them.
fn beside(lab: &Lab, name: &str, case: &Case) -> (u64, Duration) {
    let queue = Queue::create(&format!("{name}-queue"), None);
    let key = |copy: usize| format!("{name}-bad-{copy}.gz");
    let bad: Vec<_> = (0..case.copies)
        .map(|copy| Object { key: key(copy), bytes: case.object.clone(), frames: vec![] })
        .collect();
    let good = match case.service {
        "aws_sqs_fdr" => feeds::fdr(&format!("{name}-good"), 20),
        _ => feeds::cloudtrail(&format!("{name}-good"), 20),
    };
    lab.put(&bad);
    lab.put(std::slice::from_ref(&good));
    let mut config = lab.config(json!({case.service: {}}));
    config["globals"]["memory_limit"] = json!(LIMIT);
    config["inputs"]["sqs_collector"]["base_url"] = json!(queue.url);
    // The ledger allows one queue per id.
    config["inputs"]["sqs_collector"]["id"] = json!(name);
    let mut collector = lab.run(&config, &[]);
    collector.wait_for_log("messages wait in the queue");
    let notice = |key: &String| notices::s3_created(&lab.bucket, &[key]);
    queue.send(&bad.iter().map(|object| notice(&object.key)).collect::<Vec<_>>());
    let began = Instant::now();
    queue.send(&[notice(&good.key)]);
    let wanted = String::from_utf8(good.frames.last().unwrap().message.clone()).unwrap();
    collector.wait_until("the good object", || lab.sink.received_text().contains(&wanted));
    let time = began.elapsed();
    let is_done = |log: &str| match case.delivered {
        true => queue.is_empty(),
        // The log names this many of one kind in a minute, and counts the rest.
        false => {
            let named = (0..case.copies).filter(|copy| log.contains(&format!("{}: ", key(*copy)))).count();
            named >= case.copies.min(REPEATS_NAMED)
        }
    };
    wait_for(&format!("the end of {}", case.what), PATIENCE, || {
        assert!(!collector.is_ended(), "the process ended over {}", case.what);
        is_done(&collector.log())
    });
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    (ended.peak_rss, time)
}

fn refused(what: &'static str, object: Vec<u8>) -> Case {
    Case { what, object, service: "aws_sqs_fdr", copies: COPIES, delivered: false }
}

fn parquet() -> Vec<Case> {
    let mut cases: Vec<Case> = raw::liars()
        .into_iter()
        .filter(|(what, _)| ["elements of one list", "row groups", "names of groups"].contains(what))
        .map(|(what, object)| refused(what, feeds::gzip(&object)))
        .collect();
    cases.push(refused("values of a dictionary", raw::liars().swap_remove(0).1));
    cases.push(refused("pairs in a footer", feeds::gzip(&many_pairs())));
    cases
}

fn streams() -> Vec<Case> {
    vec![
        refused("a zstd window of 128 MiB", wide_zstd()),
        // Nothing but blanks is a file without records.
        Case { copies: 4, delivered: true, ..refused("blanks, 200 MB", blanks()) },
        refused("a record of 60 MB", feeds::gzip(&record(60_000_000))),
        Case { copies: 2, delivered: true, ..refused("a record of 25 MB", feeds::gzip(&record(25_000_000))) },
        Case {
            service: "aws_sqs_cloudtrail",
            copies: 2,
            delivered: true,
            ..refused("values of 4 MB in a tag", feeds::gzip(&long_values()))
        },
        Case {
            service: "aws_sqs_cloudtrail",
            ..refused("a member of 10 MB around 300,000 events", feeds::gzip(&envelope(10 << 20, 300_000)))
        },
        Case {
            service: "aws_sqs_cloudtrail",
            ..refused("a member of 500 KB around 300,000 events", feeds::gzip(&envelope(500_000, 300_000)))
        },
    ]
}

fn many_pairs() -> Vec<u8> {
    let pair = raw::Structure(vec![]);
    let pairs = raw::structures(vec![pair; 12 << 20]);
    let mut footer = raw::file(vec![raw::root(1), raw::column(raw::BYTE_ARRAY, raw::REQUIRED, 0)], 0, 0, 0);
    footer.push((5, pairs));
    raw::object(b"", footer)
}

/// A frame that is read through its whole window.
fn wide_zstd() -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.set_parameter(zstd::zstd_safe::CParameter::WindowLog(27)).unwrap();
    let mut state = 1u32;
    let block: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state >> 27 == 0 { b'\n' } else { b'a' + (state >> 28) as u8 }
    })
    .take(1 << 20)
    .collect();
    (0..160).for_each(|_| encoder.write_all(&block).unwrap());
    encoder.finish().unwrap()
}

/// Events whose source, which is a level of their tag, has four million characters.
fn long_values() -> Vec<u8> {
    let block: String =
        (0..128u64).map(|n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let event = |n: usize| format!(r#"{{"eventSource":"{n}{}.amazonaws.com"}}"#, block.repeat(2000));
    let events: Vec<_> = (0..30).map(event).collect();
    format!(r#"{{"Records":[{}]}}"#, events.join(",")).into_bytes()
}

/// A CloudWatch Logs envelope whose own members are repeated in each of its events.
fn envelope(long: usize, events: usize) -> Vec<u8> {
    let (group, events) = ("g".repeat(long), vec!["{}"; events].join(","));
    format!(r#"{{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"{group}","logEvents":[{events}]}}"#)
        .into_bytes()
}

/// One JSON record of about this length.
fn record(length: usize) -> Vec<u8> {
    [b"{\"a\":\"", &*vec![b'a'; length], b"\"}"].concat()
}

fn blanks() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let block = vec![b' '; 1 << 20];
    (0..200).for_each(|_| encoder.write_all(&block).unwrap());
    encoder.finish().unwrap()
}
