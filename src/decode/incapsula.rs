//! Imperva Cloud WAF (Incapsula) log files -> lines.
//!
//! ```text
//! accountId:1      lines of the form name:value
//! format:CEF
//! |==|
//! CEF:0|Incapsula|…    lines, as they are or zlib-compressed
//! ```

use super::foreign;
use super::header::Headers;
use super::inflate::{Level, Push, Scratch};
use super::lines::Lines;
use super::partial::Limit;
use super::start::{Passed, Start};
use super::{Account, Bounds, Error, Sink};
use crate::base::limits::INCAPSULA_HEADER_BYTES_MAX;

/// Splits one file. A text without a header is lines.
pub(super) struct Incapsula {
    place: Place,
    lines: Lines,
    bounds: Bounds,
    account: Account,
}

enum Place {
    /// In the header, all of which is held.
    Header(Vec<u8>),
    Body(Box<Body>),
    /// There was no header.
    Lines,
}

struct Body {
    level: Level,
    scratch: Scratch,
    /// Bytes of the body so far.
    taken: u64,
    /// The start of its text.
    start: Start,
}

impl Incapsula {
    pub fn new(bounds: Bounds, limit: Limit) -> Self {
        Incapsula {
            place: Place::Header(Vec::new()),
            account: limit.account.clone(),
            lines: Lines::new(Headers::first(0), limit),
            // A body is inflated in windows: the level around it uses the worker's large buffer.
            bounds: Bounds { scratch_bytes_max: 0, ..bounds },
        }
    }

    /// The next bytes of the text.
    pub fn push(&mut self, data: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        match &mut self.place {
            Place::Header(_) => self.header(data, sink),
            Place::Body(_) => self.body(data, false, sink),
            Place::Lines => self.lines.push(data, sink),
        }
    }

    /// The text has ended.
    pub fn finish(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        match &mut self.place {
            Place::Header(held) => {
                let held = std::mem::take(held);
                // The header's last line needs no line end: then the body is empty.
                if self.end_of_header(&[&held[..], b"\n"].concat())?.is_none() {
                    foreign::check_text(&held)?;
                    self.lines.push(&held, sink)?;
                }
            }
            Place::Body(_) => {
                let read = self.body(b"", true, sink);
                if matches!(read, Err(Error::TrailingGarbage { .. })) {
                    self.lines.finish(sink)?;
                }
                read?;
            }
            Place::Lines => {}
        }
        self.lines.finish(sink)
    }

    fn header(&mut self, data: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        let Place::Header(held) = &mut self.place else { return Ok(()) };
        let room = INCAPSULA_HEADER_BYTES_MAX - held.len();
        let (start, rest) = data.split_at(data.len().min(room));
        held.extend_from_slice(start);
        let held = std::mem::take(held);
        if let Some(end) = self.end_of_header(&held)? {
            let level = Level::outermost(self.account.clone());
            let body = Body { level, scratch: Scratch::new(), taken: 0, start: Start::new(true) };
            self.place = Place::Body(Box::new(body));
            self.body(&held[end..], false, sink)?;
            return self.body(rest, false, sink);
        }
        if held.len() < INCAPSULA_HEADER_BYTES_MAX {
            self.place = Place::Header(held);
            return Ok(());
        }
        foreign::check_text(&held)?;
        self.place = Place::Lines;
        self.lines.push(&held, sink)?;
        self.lines.push(rest, sink)
    }

    /// The position after the header, if it is complete.
    ///
    /// # Errors
    ///
    /// If it says that the body is encrypted.
    fn end_of_header(&self, text: &[u8]) -> Result<Option<usize>, Error> {
        let (mut start, mut has_key) = (0, false);
        for end in memchr::memchr_iter(b'\n', text) {
            let line = text[start..end].trim_ascii();
            start = end + 1;
            if line == SEPARATOR {
                return if has_key { Err(Error::Encrypted) } else { Ok(Some(start)) };
            }
            has_key |= line.strip_prefix(b"key:").is_some_and(|key| !key.trim_ascii().is_empty());
        }
        Ok(None)
    }

    fn body(&mut self, data: &[u8], last: bool, sink: &mut dyn Sink) -> Result<(), Error> {
        let Place::Body(body) = &mut self.place else { return Ok(()) };
        body.taken += data.len() as u64;
        let object_bytes = self.bounds.known_bytes(body.taken);
        let mut push = Push { scratch: &mut body.scratch, bounds: &self.bounds, object_bytes };
        let (start, lines) = (&mut body.start, &mut self.lines);
        let read = body.level.push(data, last, &mut push, &mut |text| match start.push(text, check_body)? {
            Passed::Nothing => Ok(()),
            Passed::Text(text) => lines.push(text, sink),
            Passed::Held(held, rest) => {
                lines.push(&held, sink)?;
                lines.push(rest, sink)
            }
        });
        if (last || read.is_err())
            && let Some(held) = start.finish(check_body)?
        {
            lines.push(&held, sink)?;
        }
        read
    }
}

/// Checks the start of a body's text, as that of any object of lines is checked.
fn check_body(start: &[u8]) -> Result<(), Error> {
    foreign::check_start(start, true)
}

const SEPARATOR: &[u8] = b"|==|";

#[cfg(test)]
mod tests {
    use crate::decode::Record;
    use proptest::prelude::*;

    use super::super::Decoder;
    use super::super::inflate::samples::{gzip, zlib};
    use super::*;
    use crate::decode::{Compression, Format};

    const HEADER: &[u8] = b"accountId:1\r\nkey:\nformat:CEF\n|==|\n";

    fn split(text: &[u8], size: usize) -> (Vec<Vec<u8>>, Result<(), Error>) {
        let (mut decoder, mut scratch) = (Decoder::new(Format::Incapsula, Bounds::default()), Scratch::new());
        let mut records = Vec::new();
        let mut chunks = text.chunks(size).peekable();
        loop {
            let chunk = chunks.next().unwrap_or_default();
            let last = chunks.peek().is_none();
            let mut sink = |record: Record<'_>| records.push(record.bytes.to_vec());
            let result = decoder.push(chunk, last, &mut scratch, &mut sink);
            if last || result.is_err() {
                return (records, result);
            }
        }
    }

    /// The same in any chunks.
    fn records(text: &[u8]) -> (Vec<Vec<u8>>, Result<(), Error>) {
        let whole = split(text, text.len().max(1));
        for size in 1..text.len().min(60) {
            assert_eq!(split(text, size), whole, "{size}");
        }
        whole
    }

    #[test]
    fn a_body_is_lines_however_it_is_packed() {
        let body = b"CEF:0|a\r\n\nCEF:0|b";
        for packed in [body.to_vec(), zlib(body), gzip(body)] {
            let text = [HEADER, &packed].concat();
            for text in [&text, &gzip(&text)] {
                assert_eq!(records(text), (vec![b"CEF:0|a".to_vec(), b"CEF:0|b".to_vec()], Ok(())));
            }
        }
    }

    #[test]
    fn a_header_alone_holds_no_record() {
        for text in [HEADER, HEADER.trim_ascii_end(), &[HEADER, &zlib(b"")].concat(), b""] {
            assert_eq!(records(text), (vec![], Ok(())));
        }
    }

    #[test]
    fn an_encrypted_body_is_an_error_that_says_so() {
        let text = [b"accountId:1\npublicKeyId:3\nkey:YWJj\n|==|\n", &zlib(b"x")[..]].concat();
        let (found, result) = records(&text);
        assert_eq!((found.len(), &result), (0, &Err(Error::Encrypted)));
        assert!(result.unwrap_err().to_string().contains("encrypted"));
    }

    #[test]
    fn a_text_without_a_header_is_lines() {
        let text = b"CEF:0|a\nkey: b\nCEF:0|c|==|";
        assert_eq!(records(text).0, [&b"CEF:0|a"[..], b"key: b", b"CEF:0|c|==|"]);
        let long = [&b"line\n".repeat(INCAPSULA_HEADER_BYTES_MAX / 5 + 10)[..], b"|==|\nend"].concat();
        for size in [100, 1000, long.len()] {
            let (found, result) = split(&long, size);
            assert_eq!((found.len(), result), (INCAPSULA_HEADER_BYTES_MAX / 5 + 12, Ok(())));
        }
    }

    #[test]
    fn a_binary_body_is_refused() {
        let noise: Vec<u8> = (0..3000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let long = noise.repeat(50);
        for body in [noise.clone(), [b"\xfe", &noise[..]].concat(), long.clone(), zlib(&noise), zlib(&long)] {
            let text = [HEADER, &body].concat();
            for size in [1000, text.len()] {
                assert_eq!(split(&text, size), (vec![], Err(Error::Binary)));
            }
        }
    }

    #[test]
    fn a_damaged_body_is_an_error() {
        let packed = zlib(b"CEF:0|a\nCEF:0|b\n");
        let (_, result) = records(&[HEADER, &packed[..packed.len() - 2]].concat());
        assert_eq!(result, Err(Error::Truncated { compression: Compression::Zlib, offset: 0 }));
        let (found, result) = records(&[HEADER, &packed, b"garbage"].concat());
        assert_eq!(found.len(), 2);
        assert!(matches!(result, Err(Error::TrailingGarbage { compression: Compression::Zlib, .. })));
    }

    proptest! {
        #[test]
        fn any_text_gives_the_same_in_any_chunks(
            head in r"(a:b\n|key:\n|key:x\n|\|==\||\n){0,6}", body in "[a\n]{0,20}",
            packed in any::<bool>(), cut in 0..9usize, size in 1..20usize,
        ) {
            let mut text = head.into_bytes();
            text.extend(if packed { zlib(body.as_bytes()) } else { body.into_bytes() });
            text.truncate(text.len() - cut.min(text.len()));
            prop_assert_eq!(split(&text, size), split(&text, text.len().max(1)));
        }
    }
}
