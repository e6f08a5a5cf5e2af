//! Plans of objects, and their creation.

use std::io::{self, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::templates::{HEX, Samples, Template, fill};
use super::{FDR_BUCKET, LOG_BUCKET, StoredObject, TENANT};
use crate::base::limits::KIB;
use crate::base::locks::{intact, lock};
use crate::lab::testbed::tally::Expected;

/// Creation is mostly compression; more threads would starve the demo's display.
const THREADS: usize = 2;
/// One object in this many is pretty-printed, or an insight.
const ODD_ONE_IN: usize = 20;
/// Devo takes events over 1 MiB, and FDR has them.
const LONG_RECORD_BYTES: usize = 1536 * KIB;

const ACCOUNT: &str = "111122223333";
const VPC_HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets \
    bytes start end action log-status\n";

/// An object to create.
pub struct Plan<'s> {
    bucket: &'static str,
    key: String,
    templates: &'s [Template],
    layout: Layout,
    /// The object is full once it has this many bytes of log.
    bytes_min: usize,
    gzip: bool,
    pub seed: u64,
}

/// The layout of records in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// One per line, after a header.
    Lines { header: &'static str },
    /// Lines, one of them over a mebibyte long.
    LinesOneLong,
    /// `{"Records":[…]}` on one line.
    Records,
    /// `{"Records":[…]}` with line ends between tokens.
    SpreadRecords,
    /// Nothing at all.
    Empty,
    /// A document that no service sends (a CloudTrail digest).
    Skipped,
}

/// An object, and its expected records.
pub struct Made {
    pub object: StoredObject,
    pub expected: Expected,
    /// Before compression.
    pub log_bytes: u64,
}

/// Several event sources in each, sometimes pretty-printed or an insight; and a digest file, which must be skipped.
pub fn cloudtrail(samples: &Samples, count: usize, bytes: usize) -> Vec<Plan<'_>> {
    let object = |i: usize| {
        let (kind, templates, layout) = match i % ODD_ONE_IN {
            1 => ("CloudTrail", &samples.cloudtrail, Layout::SpreadRecords),
            2 => ("CloudTrail-Insight", &samples.insights, Layout::Records),
            3 if i == 3 => ("CloudTrail-Digest", &samples.cloudtrail, Layout::Skipped),
            _ => ("CloudTrail", &samples.cloudtrail, Layout::Records),
        };
        let name = format!("{ACCOUNT}_{kind}_eu-west-1_20260314T{}Z_{i:016}.json.gz", clock(i));
        logs(&format!("{kind}/eu-west-1/2026/03/14/{name}"), templates, layout, bytes)
    };
    (0..count).map(object).collect()
}

pub fn vpc(samples: &Samples, count: usize, bytes: usize) -> Vec<Plan<'_>> {
    let object = |i: usize| {
        let name =
            format!("{ACCOUNT}_vpcflowlogs_eu-west-1_fl-05d2b8f7e1c94a630_{}_{i:08x}.log.gz", clock(i));
        let layout = Layout::Lines { header: VPC_HEADER };
        logs(&format!("vpcflowlogs/eu-west-1/2026/03/14/{name}"), &samples.vpc, layout, bytes)
    };
    (0..count).map(object).collect()
}

/// Plain text, including an empty object. The prefix has characters that notifications encode.
pub fn s3_access(samples: &Samples, count: usize, bytes: usize) -> Vec<Plan<'_>> {
    let object = |i: usize| {
        let layout = if i == 1 { Layout::Empty } else { Layout::Lines { header: "" } };
        let key = format!("access logs/größe=alle+mehr/2026-03-14-09-{:02}-12-{i:016X}", i % 60);
        Plan { key, gzip: false, ..logs("", &samples.s3_access, layout, bytes) }
    };
    (0..count).map(object).collect()
}

pub fn waf(samples: &Samples, count: usize, bytes: usize) -> Vec<Plan<'_>> {
    let object = |i: usize| {
        let name = format!("{ACCOUNT}_waflogs_eu-west-1_shop_{}_{i:08x}.log.gz", clock(i));
        let key = format!("WAFLogs/eu-west-1/shop/2026/03/14/09/25/{name}");
        logs(&key, &samples.waf, Layout::Lines { header: "" }, bytes)
    };
    (0..count).map(object).collect()
}

/// Folders of event files, and a folder of the side set that describes the machines.
pub fn fdr(samples: &Samples, messages: usize, files: usize, bytes: usize) -> Vec<Plan<'_>> {
    let mut plans = Vec::new();
    for message in 0..messages {
        let folder = format!("data/0e7c5b92-f4a1-4d83-9b60-{message:012x}");
        plans.extend((0..files).map(|file| fdr_file(&folder, file, &samples.fdr, bytes)));
    }
    let folder = format!("{TENANT}/fdrv2/aidmaster/71d9f0b3-5e2c-48a7-b6d4-0a8c3e9f5172");
    plans.push(fdr_file(&folder, 0, &samples.aidmaster, bytes / 4));
    plans
}

/// One file that takes several ranges and does not fit a worker's scratch.
pub fn fdr_large(samples: &Samples, bytes: usize) -> Plan<'_> {
    let folder = "data/0e7c5b92-f4a1-4d83-9b60-ffffffffffff";
    Plan { layout: Layout::LinesOneLong, ..fdr_file(folder, 0, &samples.fdr, bytes) }
}

/// Creates all objects; the result is in the order of the plans.
pub fn make_all(plans: &[Plan<'_>]) -> io::Result<Vec<Made>> {
    let next = AtomicUsize::new(0);
    let made = Mutex::new(Vec::with_capacity(plans.len()));
    let work = || {
        while let Some((index, plan)) = take_next(plans, &next) {
            let result = plan.make();
            lock(&made).push((index, result));
        }
    };
    std::thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(work))));
    let mut made = intact(made.into_inner());
    made.sort_by_key(|(index, _)| *index);
    made.into_iter().map(|(_, result)| result).collect()
}

fn take_next<'p, 's>(plans: &'p [Plan<'s>], next: &AtomicUsize) -> Option<(usize, &'p Plan<'s>)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    plans.get(index).map(|plan| (index, plan))
}

fn logs<'s>(key: &str, templates: &'s [Template], layout: Layout, bytes_min: usize) -> Plan<'s> {
    let key = format!("AWSLogs/{ACCOUNT}/{key}");
    Plan { bucket: LOG_BUCKET, key, templates, layout, bytes_min, gzip: true, seed: 0 }
}

fn fdr_file<'s>(folder: &str, file: usize, templates: &'s [Template], bytes_min: usize) -> Plan<'s> {
    let key = format!("{folder}/part-{file:05}.gz");
    Plan { key, bucket: FDR_BUCKET, ..logs("", templates, Layout::Lines { header: "" }, bytes_min) }
}

/// The time `hhmm`, in steps of five minutes.
fn clock(i: usize) -> String {
    format!("{:02}{:02}", i / 12 % 24, i % 12 * 5)
}

impl Plan<'_> {
    fn make(&self) -> io::Result<Made> {
        let mut expected = Expected::default();
        let log = self.write_log(&mut Rng::with_seed(self.seed), &mut expected);
        let log_bytes = log.len() as u64;
        let bytes = if self.gzip { gzip(&log)? } else { log };
        let object =
            StoredObject { bucket: self.bucket.to_owned(), key: self.key.clone(), bytes: bytes.into() };
        Ok(Made { object, expected, log_bytes })
    }

    fn write_log(&self, rng: &mut Rng, expected: &mut Expected) -> Vec<u8> {
        let mut log = Vec::with_capacity(self.bytes_min + 4 * KIB);
        log.extend_from_slice(self.layout.opening());
        match self.layout {
            Layout::Empty => return log,
            Layout::Skipped => {
                log.extend_from_slice(
                    br#"{"awsAccountId":"111122223333","digestS3Bucket":"demo-logs","logFiles":[]}"#,
                );
                return log;
            }
            Layout::LinesOneLong => write_long_record(self.tag(), rng, &mut log, expected),
            _ => {}
        }
        for (i, template) in self.templates.iter().cycle().enumerate() {
            if i > 0 && log.len() >= self.bytes_min {
                break;
            }
            log.extend_from_slice(if i > 0 { self.layout.separator() } else { b"" });
            self.write_record(template, rng, &mut log, expected);
        }
        log.extend_from_slice(self.layout.closing());
        log
    }

    fn write_record(&self, template: &Template, rng: &mut Rng, log: &mut Vec<u8>, expected: &mut Expected) {
        let start = log.len();
        template.write(rng, log);
        if self.layout == Layout::SpreadRecords {
            let spread = spread(&log[start..]);
            log.truncate(start);
            log.extend_from_slice(&spread);
            expected.record(&template.tag, &without_line_ends(spread));
        } else {
            expected.record(&template.tag, &log[start..]);
        }
    }

    fn tag(&self) -> &str {
        self.templates.first().map_or("", |template| &template.tag)
    }
}

impl Layout {
    fn opening(self) -> &'static [u8] {
        match self {
            Layout::Lines { header } => header.as_bytes(),
            Layout::Records => b"{\"Records\":[",
            Layout::SpreadRecords => b"{\r\n  \"Records\" : [\r\n    ",
            Layout::LinesOneLong | Layout::Empty | Layout::Skipped => b"",
        }
    }

    fn separator(self) -> &'static [u8] {
        match self {
            Layout::Records => b",",
            Layout::SpreadRecords => b"\r\n    ,\n    ",
            _ => b"\n",
        }
    }

    fn closing(self) -> &'static [u8] {
        match self {
            Layout::Records => b"]}",
            Layout::SpreadRecords => b"\r\n  ]\r\n}\r\n",
            _ => b"\n",
        }
    }
}

fn write_long_record(tag: &str, rng: &mut Rng, log: &mut Vec<u8>, expected: &mut Expected) {
    let start = log.len();
    log.extend_from_slice(br#"{"event_simpleName":"ScriptControlScanV2","aid":"d41f7b0e92c85a63f1b7e4d09c3a5826","ScriptContent":""#);
    let script = log.len();
    log.resize(script + LONG_RECORD_BYTES, b' ');
    // An occasional random line, so that it is not all one run for the compressor.
    for line in log[script..].chunks_mut(256) {
        let random_bytes = line.len().min(32);
        fill(rng, HEX, &mut line[..random_bytes]);
    }
    log.extend_from_slice(br#"","event_platform":"Win"}"#);
    expected.record(tag, &log[start..]);
    log.push(b'\n');
}

/// Adds line ends after the commas between a record's tokens, like a pretty-printer.
fn spread(record: &[u8]) -> Vec<u8> {
    let (mut out, mut in_string, mut escaped) = (Vec::with_capacity(record.len() * 2), false, false);
    for byte in record {
        out.push(*byte);
        in_string ^= *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        if *byte == b',' && !in_string {
            out.extend_from_slice(b"\r\n      ");
        }
    }
    out
}

fn without_line_ends(mut record: Vec<u8>) -> Vec<u8> {
    record.iter_mut().filter(|byte| matches!(byte, b'\r' | b'\n')).for_each(|byte| *byte = b' ');
    record
}

fn gzip(log: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(log.len() / 4), Compression::fast());
    encoder.write_all(log)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreading_leaves_strings_alone() {
        let record = br#"{"a":"x,\",y\\","b":[1,2]}"#;
        let expected = "{\"a\":\"x,\\\",y\\\\\",\r\n      \"b\":[1,\r\n      2]}";
        assert_eq!(String::from_utf8(spread(record)).unwrap(), expected);
        assert_eq!(without_line_ends(b"a\r\nb".to_vec()), b"a  b");
    }
}
