//! Imperva Cloud WAF (Incapsula) log files -> lines.
//!
//! ```text
//! accountId:1      lines of the form name:value
//! format:CEF
//! |==|
//! CEF:0|Incapsula|…    lines, as they are or zlib-compressed
//! ```

use super::inflate::{Level, Push, Scratch};
use super::lines::Lines;
use super::{Bounds, Error, Record};
use crate::limits::INCAPSULA_HEADER_BYTES_MAX;

/// Splits one file. A text without a header is lines.
pub(super) struct Incapsula {
    place: Place,
    lines: Lines,
    bounds: Bounds,
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
}

impl Incapsula {
    pub fn new(bounds: Bounds) -> Self {
        Incapsula {
            place: Place::Header(Vec::new()),
            lines: Lines::new(0, bounds.record_bytes_max),
            // A body is inflated through windows: the worker's large buffer is in use by the level around it.
            bounds: Bounds { scratch_bytes_max: 0, ..bounds },
        }
    }

    /// The next bytes of the text.
    pub fn push(&mut self, data: &[u8], sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        match &mut self.place {
            Place::Header(_) => self.header(data, sink),
            Place::Body(_) => self.body(data, false, sink),
            Place::Lines => self.lines.push(data, sink),
        }
    }

    /// The text has ended.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        match &mut self.place {
            Place::Header(held) => {
                let held = std::mem::take(held);
                // The header's last line needs no line end: then the body is empty.
                if !self.end_of_header(&[&held[..], b"\n"].concat())?.is_some_and(|end| end > held.len()) {
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

    fn header(&mut self, data: &[u8], sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        let Place::Header(held) = &mut self.place else { return Ok(()) };
        let room = INCAPSULA_HEADER_BYTES_MAX - held.len();
        let (start, rest) = data.split_at(data.len().min(room));
        held.extend_from_slice(start);
        let held = std::mem::take(held);
        if let Some(end) = self.end_of_header(&held)? {
            let body = Body { level: Level::outermost(), scratch: Scratch::new(), taken: 0 };
            self.place = Place::Body(Box::new(body));
            self.body(&held[end..], false, sink)?;
            return self.body(rest, false, sink);
        }
        if held.len() < INCAPSULA_HEADER_BYTES_MAX {
            self.place = Place::Header(held);
            return Ok(());
        }
        self.place = Place::Lines;
        self.lines.push(&held, sink)?;
        self.lines.push(rest, sink)
    }

    /// The position behind the header, if it is whole.
    ///
    /// # Errors
    ///
    /// It says that the body is encrypted.
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

    fn body(&mut self, data: &[u8], last: bool, sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        let Place::Body(body) = &mut self.place else { return Ok(()) };
        let mut push = Push { scratch: &mut body.scratch, bounds: &self.bounds, compressed: &mut body.taken };
        body.level.push(data, last, &mut push, &mut |text| self.lines.push(text, sink))
    }
}

const SEPARATOR: &[u8] = b"|==|";
