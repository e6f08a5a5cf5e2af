//! The bucket's objects, and the records in them: each is known by its number, from which it can be rebuilt for comparison.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

pub const BUCKET: &str = "simulated-bucket";
/// Regions in which it may be. The collector knows the first.
pub const REGIONS: [&str; 2] = ["eu-west-1", "eu-central-1"];
/// The tag of every record.
pub const TAG: &str = "edr.crowdstrike.cannon";

/// Records of an object that is compressed.
pub const PACKED_MAX: usize = 5_000;

/// An object as it is stored.
#[derive(Debug)]
pub struct Object {
    pub key: String,
    pub bytes: Vec<u8>,
    pub etag: String,
    pub records: usize,
    /// Bytes of each record's filling.
    pub filling: usize,
    /// The FIFO group of its message, and the message's number.
    pub group: Option<(usize, usize)>,
    /// Records that can be read out of its bytes: all, unless it is damaged.
    pub intact: usize,
    /// Nothing can be read under its key: not yet, or no more.
    pub is_late: bool,
    pub is_gone: bool,
    /// The time at which a late one came.
    pub came: Duration,
    /// The record at which the peer's program closes.
    pub poison: Option<usize>,
    /// It has replaced another one.
    pub is_second: bool,
    /// The object that has replaced it under its key, and when.
    pub next: Option<(usize, Duration)>,
}

impl Object {
    pub fn new(number: usize, records: usize, filling: usize, group: Option<(usize, usize)>) -> Object {
        // Objects with many records are stored uncompressed, so that they are larger than one range of a GET.
        let level = if records > PACKED_MAX { Compression::none() } else { Compression::fast() };
        let mut encoder = GzEncoder::new(Vec::new(), level);
        for at in 0..records {
            // Memory cannot fail.
            let _ = encoder.write_all(record(number, at, filling).as_bytes());
            let _ = encoder.write_all(b"\n");
        }
        Object {
            key: format!("tenant/fdrv2/data/{number:08}/part-00000.gz"),
            bytes: encoder.finish().unwrap_or_default(),
            etag: format!("\"{number:032x}\""),
            records,
            filling,
            group,
            intact: records,
            is_late: false,
            is_gone: false,
            came: Duration::ZERO,
            poison: None,
            is_second: false,
            next: None,
        }
    }

    /// Records that are no object of the bucket.
    pub fn listed(name: &str, number: usize, records: usize, filling: usize) -> Object {
        let empty = Object::new(number, 0, filling, None);
        Object { key: name.to_owned(), records, intact: records, ..empty }
    }

    /// Cuts it off after `length` bytes.
    pub fn damage(&mut self, length: usize) {
        self.bytes.truncate(length);
        let mut text = Vec::new();
        // The text before the error counts.
        let _ = GzDecoder::new(self.bytes.as_slice()).read_to_end(&mut text);
        self.intact = memchr::memchr_iter(b'\n', &text).count().min(self.records.saturating_sub(1));
    }

    /// It can never be delivered as a whole.
    pub fn is_spoilt(&self) -> bool {
        self.intact < self.records || self.poison.is_some()
    }

    /// The records that can be delivered.
    pub fn deliverable(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.intact).filter(|at| Some(*at) != self.poison)
    }
}

/// One record, without its line feed.
pub fn record(object: usize, at: usize, filling: usize) -> String {
    let mut text = format!("{{\"event_simpleName\":\"Simulated\",\"aid\":\"{object}.{at}\",\"filling\":\"");
    let mut state = (object as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at as u64;
    while text.len() < filling {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Writing to a String cannot fail.
        let _ = write!(text, "{:016x}", state >> 8);
    }
    text.push_str("\"}");
    text
}

/// The object and the position that a record says to be of. In a log event it is quoted; a datapoint has them as values.
pub fn name_of(record: &str) -> Option<(usize, usize)> {
    if record.contains("\"MetricName\"") {
        return number_after(record, "\"SampleCount\":").zip(number_after(record, "\"Sum\":"));
    }
    let quoted = || record.split_once("\\\"aid\\\":\\\"");
    let (_, rest) = record.split_once("\"aid\":\"").or_else(quoted)?;
    let (name, _) = rest.split_once(['"', '\\'])?;
    let (object, at) = name.split_once('.')?;
    Some((object.parse().ok()?, at.parse().ok()?))
}

fn number_after(text: &str, name: &str) -> Option<usize> {
    let (_, rest) = text.split_once(name)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
