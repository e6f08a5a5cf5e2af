//! Objects for benchmarks: of a given compressed size, created once and announced under many keys.

mod kind;
mod records;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::aws::Aws;
use super::scenario::messages::{Announced, fdr_messages, s3_event};

pub use kind::Kind;

const BUCKET: &str = "bench-logs";
const ACCOUNT: &str = "111122223333";
/// Bytes of distinct objects: more than any cache holds.
const DISTINCT_BYTES: u64 = 32_000_000;
/// Compressed bytes of the sample that shows how well the text compresses.
const SAMPLE_BYTES: u64 = 100_000;
/// Maximum number of distinct objects, however small they are.
const DISTINCT_MAX: u64 = 64;
/// Minimum number of distinct objects, however large they are.
const DISTINCT_MIN: u64 = 2;

/// An object that can be announced any number of times, each time under another key.
#[derive(Debug, Clone)]
pub struct LoadObject {
    /// The key up to its number, and the part after it.
    key: (String, String),
    pub bytes: Arc<[u8]>,
    /// Its inflated size, if known.
    pub log_bytes: Option<u64>,
    /// Its number of records, if known.
    pub events: Option<u64>,
    /// Its path, if it came from a file.
    pub path: Option<PathBuf>,
}

/// Creates as many different objects as `count` announcements of `object_bytes` (compressed) need.
///
/// # Errors
/// None is expected: everything is written to memory.
pub fn generate(kind: Kind, count: u64, object_bytes: u64) -> io::Result<Vec<LoadObject>> {
    let distinct = (DISTINCT_BYTES / object_bytes.max(1)).clamp(DISTINCT_MIN, DISTINCT_MAX).min(count.max(1));
    let made: Vec<io::Result<LoadObject>> = std::thread::scope(|scope| {
        let makers: Vec<_> =
            (0..distinct).map(|seed| scope.spawn(move || make(kind, object_bytes, seed))).collect();
        makers
            .into_iter()
            .map(|maker| maker.join().unwrap_or_else(|_| Err(io::Error::other("panic"))))
            .collect()
    });
    made.into_iter().collect()
}

/// This many records of a kind, as in an object before compression. The same seed gives the same bytes.
pub fn text(kind: Kind, events: u64, seed: u64) -> Vec<u8> {
    let mut records = records::Records::new(kind, Rng::with_seed(seed));
    let mut text = Vec::new();
    (0..events).for_each(|number| records.write(number, &mut text));
    text.extend_from_slice(records.end());
    text
}

/// Takes the files of a folder and its sub-folders as objects. Their keys are their paths in it, with a number before
/// the first dot of the name.
///
/// # Errors
/// If a folder or file cannot be read, or there is no file at all.
pub fn read_files(folder: &Path) -> io::Result<Vec<LoadObject>> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    if files.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no file in it"));
    }
    files.into_iter().map(|path| read_file(folder, path)).collect()
}

/// Stores an object under the key of that number and sends the message that announces it.
pub fn announce(aws: &Aws, queue: &str, native_fdr: bool, object: &LoadObject, number: u64) {
    let key = format!("{}{number:012x}{}", object.key.0, object.key.1);
    aws.put(BUCKET, &key, Arc::clone(&object.bytes));
    let announced = [Announced { bucket: BUCKET, key: &key, size: object.bytes.len() }];
    if native_fdr {
        fdr_messages(&announced).into_iter().for_each(|message| aws.send(queue, message));
    } else {
        aws.send(queue, s3_event("ObjectCreated:Put", &announced));
    }
}

/// The compressed size of text is known only afterwards: this much is tried first, and corrected once.
fn make(kind: Kind, object_bytes: u64, seed: u64) -> io::Result<LoadObject> {
    let sample_bytes = object_bytes.min(SAMPLE_BYTES);
    let sample = compress(kind, sample_bytes * 6, seed)?;
    let ratio = sample.log_bytes.unwrap_or(0) as f64 / sample.bytes.len() as f64;
    compress(kind, (object_bytes as f64 * ratio) as u64, seed)
}

/// An object with at least this many bytes of text.
fn compress(kind: Kind, text_bytes: u64, seed: u64) -> io::Result<LoadObject> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut records = records::Records::new(kind, Rng::with_seed(seed));
    let (mut text, mut log_bytes, mut events) = (Vec::new(), 0, 0);
    while events == 0 || log_bytes < text_bytes {
        text.clear();
        records.write(events, &mut text);
        events += 1;
        log_bytes += text.len() as u64;
        encoder.write_all(&text)?;
    }
    log_bytes += records.end().len() as u64;
    encoder.write_all(records.end())?;
    let bytes = Arc::from(encoder.finish()?);
    Ok(LoadObject { key: key(kind), bytes, log_bytes: Some(log_bytes), events: Some(events), path: None })
}

/// The names that the services use.
fn key(kind: Kind) -> (String, String) {
    let day = "eu-west-1/2026/03/14";
    let (before, after) = match kind {
        Kind::Fdr => ("data/0e7c5b92-f4a1-4d83-9b60-".to_owned(), "/part-00000.gz"),
        Kind::CloudTrail => (
            format!("AWSLogs/{ACCOUNT}/CloudTrail/{day}/{ACCOUNT}_CloudTrail_eu-west-1_20260314T0925Z_bnch"),
            ".json.gz",
        ),
        Kind::Vpc => (
            format!(
                "AWSLogs/{ACCOUNT}/vpcflowlogs/{day}/{ACCOUNT}_vpcflowlogs_eu-west-1_fl-05d2b8f7_20260314T0925Z_"
            ),
            ".log.gz",
        ),
    };
    (before, after.to_owned())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn read_file(folder: &Path, path: PathBuf) -> io::Result<LoadObject> {
    let key = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
    let name_at = key.rfind('/').map_or(0, |at| at + 1);
    let dot = key[name_at..].find('.').map_or(key.len(), |at| name_at + at);
    let bytes = Arc::from(std::fs::read(&path)?);
    let key = (format!("{}-", &key[..dot]), key[dot..].to_owned());
    Ok(LoadObject { key, bytes, log_bytes: None, events: None, path: Some(path) })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn inflate(object: &LoadObject) -> Vec<u8> {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&object.bytes[..]).read_to_end(&mut text).unwrap();
        text
    }

    #[test]
    fn fdr_is_json_lines_of_the_promised_length_and_ratio() {
        let objects = generate(Kind::Fdr, 5, 300_000).unwrap();
        assert_eq!(objects.len(), 5);
        assert_ne!(objects[0].bytes, objects[1].bytes);
        let text = inflate(&objects[0]);
        assert_eq!(Some(text.len() as u64), objects[0].log_bytes);
        let lines: Vec<&[u8]> = text.strip_suffix(b"\n").unwrap().split(|b| *b == b'\n').collect();
        assert_eq!(Some(lines.len() as u64), objects[0].events);
        for line in &lines {
            assert!((500..=2000).contains(&line.len()), "{} bytes", line.len());
            serde_json::from_slice::<serde_json::Value>(line).unwrap();
        }
        let ratio = text.len() as f64 / objects[0].bytes.len() as f64;
        assert!((5.0..7.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn cloudtrail_is_one_document() {
        let object = &generate(Kind::CloudTrail, 1, 20_000).unwrap()[0];
        let value: serde_json::Value = serde_json::from_slice(&inflate(object)).unwrap();
        assert_eq!(value["Records"].as_array().map(|records| records.len() as u64), object.events);
    }

    #[test]
    fn vpc_is_lines_under_a_header() {
        let object = &generate(Kind::Vpc, 1, 20_000).unwrap()[0];
        let text = String::from_utf8(inflate(object)).unwrap();
        assert_eq!(Some(text.lines().count() as u64 - 1), object.events);
        assert!(text.lines().all(|line| line.split(' ').count() == 14), "{text}");
    }

    #[test]
    fn files_keep_their_paths_as_keys() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a.b")).unwrap();
        std::fs::write(folder.path().join("a.b/part-00000.c000.txt.gz"), b"x").unwrap();
        std::fs::write(folder.path().join("plain"), b"yz").unwrap();
        let keys: Vec<_> = read_files(folder.path()).unwrap().into_iter().map(|object| object.key).collect();
        let key = |before: &str, after: &str| (before.to_owned(), after.to_owned());
        assert_eq!(keys, [key("a.b/part-00000-", ".c000.txt.gz"), key("plain-", "")]);
        assert!(read_files(&folder.path().join("nowhere")).is_err());
    }
}
