//! Expected against received frames, byte for byte.

use std::collections::HashMap;
use std::sync::OnceLock;

use regex::bytes::Regex;

use crate::rig::samples::Sample;

/// With more unexpected lines than this none counts as a fragment: the search for its origin would take minutes.
const STRANGERS_EXAMINED: usize = 100;

/// A syslog frame without the sender's own choices (time, machine).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frame {
    pub tag: String,
    pub message: Vec<u8>,
}

/// The comparison of a delivery with the expectation.
pub struct Comparison {
    /// Expected but never received.
    pub missing: Vec<String>,
    /// Received but not expected, and not the start of an expected frame.
    pub strangers: Vec<String>,
    /// Starts of expected frames, as a cut connection leaves them.
    pub fragments: usize,
    /// Further deliveries of the same frame.
    pub repeats: usize,
}

pub fn frame(tag: &str, message: impl AsRef<[u8]>) -> Frame {
    Frame { tag: tag.to_owned(), message: message.as_ref().to_vec() }
}

/// The expected frames of a sample.
pub fn of_sample(sample: &Sample) -> Vec<Frame> {
    let read = |line: &[u8]| {
        let body = line.strip_prefix(b"<14>Jan  1 00:00:00 host ")?;
        let end = memchr::memmem::find(body, b": ")?;
        Some(frame(std::str::from_utf8(&body[..end]).ok()?, &body[end + 2..]))
    };
    let frames: Option<Vec<_>> = split(&sample.expected).into_iter().map(read).collect();
    frames.unwrap_or_else(|| panic!("{}: expected.frames cannot be read", sample.path.display()))
}

/// Bytes of all expected messages, without headers.
pub fn message_bytes(frames: &[Frame]) -> u64 {
    frames.iter().map(|f| f.message.len() as u64).sum()
}

/// Every frame arrived exactly once, and nothing else.
pub fn assert_exactly(expected: &[Frame], received: &[Vec<u8>]) {
    let found = compare(expected, received);
    found.assert_complete();
    assert_eq!((found.repeats, found.fragments), (0, 0), "repeats and fragments of frames");
}

/// Every frame arrived, some may have been repeated; returns (and prints) how many.
pub fn assert_at_least_once(case: &str, expected: &[Frame], received: &[Vec<u8>]) -> usize {
    let found = compare(expected, received);
    found.assert_complete();
    let Comparison { repeats, fragments, .. } = found;
    // A line of the table of faults.
    let (sent, whole) = (expected.len(), expected.len() + repeats);
    println!(
        "fault | {case} | sent {sent} | received {whole} | missing 0 | repeated {repeats} | cut {fragments}"
    );
    repeats
}

/// Compares a multiset of frames with the lines of `received`.
pub fn compare(expected: &[Frame], received: &[Vec<u8>]) -> Comparison {
    let mut counts: HashMap<(&[u8], &[u8]), usize> = HashMap::new();
    let mut wanted: HashMap<(&[u8], &[u8]), usize> = HashMap::new();
    for frame in expected {
        *wanted.entry((frame.tag.as_bytes(), &frame.message)).or_default() += 1;
    }
    let (mut strangers, mut fragments) = (Vec::new(), 0);
    for line in received.iter().flat_map(|stream| split(stream)).filter(|l| !l.is_empty()) {
        match parse(line) {
            Some(key) if wanted.contains_key(&key) => *counts.entry(key).or_default() += 1,
            _ if strangers.len() < STRANGERS_EXAMINED && is_fragment(line, expected) => fragments += 1,
            _ => strangers.push(excerpt(line)),
        }
    }
    let got = |key| counts.get(key).copied().unwrap_or(0);
    let short = wanted.iter().filter(|(key, n)| got(key) < **n);
    Comparison {
        missing: short.map(|(key, _)| format!("{}: {}", excerpt(key.0), excerpt(key.1))).collect(),
        repeats: wanted.iter().map(|(key, n)| got(key).saturating_sub(*n)).sum(),
        strangers,
        fragments,
    }
}

impl Comparison {
    fn assert_complete(&self) {
        let first = |all: &[String]| all.iter().take(5).cloned().collect::<Vec<_>>().join("\n  ");
        assert!(
            self.missing.is_empty() && self.strangers.is_empty(),
            "{} missing, the first:\n  {}\n{} that nobody expects, the first:\n  {}",
            self.missing.len(),
            first(&self.missing),
            self.strangers.len(),
            first(&self.strangers)
        );
    }
}

/// The frames of a stream, without their line ends: those with line feeds come with their length.
fn split(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let line_end = memchr::memchr(b'\n', stream).unwrap_or(stream.len());
        let (start, end) = counted(stream).unwrap_or((0, line_end));
        frames.push(&stream[start..end]);
        stream = &stream[stream.len().min(end + 1)..];
    }
    frames
}

/// `61 <14>…`: where such a frame starts, and where its last line feed is.
fn counted(stream: &[u8]) -> Option<(usize, usize)> {
    let digits = stream.iter().take_while(|b| b.is_ascii_digit()).count();
    let start = digits + 1;
    let length: usize = std::str::from_utf8(&stream[..digits]).ok()?.parse().ok()?;
    let frame = stream.get(start..start + length)?;
    let is_frame = stream[digits] == b' ' && frame.starts_with(b"<14>") && frame.ends_with(b"\n");
    is_frame.then_some((start, start + length - 1))
}

/// `<14>Mmm dd hh:mm:ss HOST TAG: MESSAGE` -> tag and message; None if the header is not exactly that.
fn parse(line: &[u8]) -> Option<(&[u8], &[u8])> {
    static HEADER: OnceLock<Regex> = OnceLock::new();
    let header = HEADER.get_or_init(|| {
        let months = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec";
        let time = r"(?:[0-1]\d|2[0-3]):[0-5]\d:[0-5]\d";
        let host = r"collector-e2e-[A-Za-z0-9_.-]+";
        let pattern = format!(
            r"(?s-u)\A<14>(?:{months}) (?: [1-9]|[12]\d|3[01]) {time} {host} ([A-Za-z0-9_.-]+): (.*)\z"
        );
        Regex::new(&pattern).unwrap()
    });
    let found = header.captures(line)?;
    Some((found.get(1)?.as_bytes(), found.get(2)?.as_bytes()))
}

fn is_fragment(line: &[u8], expected: &[Frame]) -> bool {
    match parse(line) {
        Some((tag, start)) => {
            expected.iter().any(|f| f.tag.as_bytes() == tag && f.message.starts_with(start))
        }
        // Cut within the header.
        None => line.len() < 150 && (line.starts_with(b"<14>") || b"<14>".starts_with(line)),
    }
}

fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
    if bytes.len() > 300 { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}

#[test]
fn the_comparison_sees_every_difference() {
    let expected = [frame("a.b", "one"), frame("a.b", "two: x"), frame("a.b", "two: x")];
    let line = |tag: &str, message: &str| format!("<14>Jan  1 00:00:00 collector-e2e-h {tag}: {message}\n");
    let found = |lines: &[String]| {
        let c = compare(&expected, &[lines.concat().into_bytes()]);
        (c.missing.len(), c.strangers.len(), c.fragments, c.repeats)
    };
    let (one, two) = (line("a.b", "one"), line("a.b", "two: x"));
    assert_eq!(found(&[one.clone(), two.clone(), two.clone()]), (0, 0, 0, 0));
    assert_eq!(found(&[one.clone(), two.clone()]), (1, 0, 0, 0));
    assert_eq!(found(&[one.clone(), one.clone(), two.clone(), two.clone()]), (0, 0, 0, 1));
    assert_eq!(found(&[one.clone(), two.clone(), two.clone(), line("a.b", "tw")]), (0, 0, 1, 0));
    assert_eq!(found(&[one.clone(), two.clone(), two.clone(), line("a.c", "one")]), (0, 1, 0, 0));
    assert_eq!(found(&[one.replace("<14>", "<13>"), two.clone(), two]), (1, 1, 0, 0));
}

#[test]
fn streams_are_split_by_lines_and_by_lengths() {
    let texts = |stream: &'static str| -> Vec<_> {
        split(stream.as_bytes()).into_iter().map(|f| std::str::from_utf8(f).unwrap()).collect()
    };
    assert_eq!(texts("<14>a\n9 <14>b\n\nc\n<14>d\n"), ["<14>a", "<14>b\n\nc", "<14>d"]);
    assert_eq!(texts("99 <14>b\nc\n7 d\n12"), ["99 <14>b", "c", "7 d", "12"]);
}
