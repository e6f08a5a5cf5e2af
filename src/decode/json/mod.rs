//! JSON text -> records, without building a tree.
//!
//! A small state machine walks the text once: the outermost values, the keys of the path, the elements of the array
//! after it. The inside of a record, and irrelevant values, are skipped by [`scan::Value`], which knows only strings
//! and brackets. A record is the value's own bytes.

mod key;
pub(super) mod path;
pub(super) mod scan;
mod seams;
pub(super) mod spelling;
#[cfg(test)]
mod tests;
pub(super) mod walk;
mod white;

use super::partial::{Limit, Partial};
use super::simd::Outline;
use super::{Context, Error, Newlines, Record, Sink};
use key::Key;
use scan::{Fault, Value};
use seams::{Inside, Seam, Seams, TORN, Token};
use white::has_line_end;

pub(super) use white::{RECORD_SEPARATOR, is_white};

/// Splits consecutive JSON values, see [`Format::Json`](super::Format::Json).
///
/// Outermost values may be separated by white space, commas, RS (RFC 7464) or nothing. A `null` at the path is an empty
/// list, as some writers write it.
pub(super) struct Json {
    path: Vec<String>,
    /// Arrays are records, not lists of records.
    whole: bool,
    /// Only an object is a record.
    objects_only: bool,
    place: Place,
    /// The current chunk's offset in the text.
    offset: u64,
    /// Inside an outermost array: its elements are the documents.
    in_array: bool,
    /// The offset in the chunk of the document whose path has not been found yet. None if there is no such document.
    begun: Option<usize>,
    /// That document's part in earlier chunks.
    document: Partial,
    /// The list at the path has an element.
    has_elements: bool,
    /// The path leads to a `null` or to an empty list.
    is_empty: bool,
    /// The place before the next token, if that is in no value whose inside is skipped.
    seam: Seam,
    /// The place behind the current document of the outermost array.
    behind_document: Seam,
    /// The check of a value that has line ends.
    seams: Seams,
    partial: Partial,
    /// The current record's outline, if it began in this chunk.
    outline: Outline,
}

/// Part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'t> {
    /// A value at the path; without a path, a document.
    Record(Record<'t>),
    /// A document without the path.
    Other(&'t [u8]),
    /// A document in which the path leads to a `null` or to an empty list.
    Empty(&'t [u8]),
}

/// Receives the results.
pub(super) type Take<'s> = dyn FnMut(Found<'_>) + 's;

/// Receives the results of a splitter without a path, which finds records only.
pub(super) fn records<'s>(sink: &'s mut dyn Sink) -> impl FnMut(Found<'_>) + 's {
    |found| {
        if let Found::Record(record) = found {
            sink.record(record);
        }
    }
}

/// The surroundings of the next value.
#[derive(Clone, Copy)]
enum Around {
    /// Nothing, or the outermost array.
    Top,
    /// The object in which the path's key of this number is searched.
    Object(usize),
    /// The array at the end of the path.
    Elements,
}

/// The token that the next byte belongs to.
enum Place {
    Between(Around),
    Key { level: usize, key: Key },
    Colon { level: usize, wanted: bool },
    Member { level: usize, wanted: bool },
    Inside { value: Value, part: Part, around: Around },
}

/// The role of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Record,
    /// A document that is not an object, although a path leads through objects.
    Other,
    /// A member of a document.
    Member,
}

impl Json {
    /// `limit` is the size of the largest record.
    pub fn new(path: Vec<String>, limit: impl Into<Limit>) -> Self {
        let limit = limit.into();
        Json {
            path,
            whole: false,
            objects_only: false,
            place: Place::Between(Around::Top),
            offset: 0,
            in_array: false,
            begun: None,
            document: Partial::new(limit.clone()),
            has_elements: false,
            is_empty: false,
            seam: Seam::OPENED,
            behind_document: Seam::VALUE,
            seams: Seams::default(),
            partial: Partial::new(limit),
            outline: Outline::default(),
        }
    }

    /// Creates a splitter for which each document, or the value at the path, is one record even if it is an array.
    pub fn whole(path: Vec<String>, limit: impl Into<Limit>) -> Self {
        Json { whole: true, ..Json::new(path, limit) }
    }

    /// Creates a splitter without a path; each document must be an object.
    pub fn objects(limit: impl Into<Limit>) -> Self {
        Json { objects_only: true, ..Json::new(Vec::new(), limit) }
    }

    /// Takes the next bytes of the text, which start at `offset` in it.
    pub fn push(&mut self, data: &[u8], offset: u64, sink: &mut Take<'_>) -> Result<(), Error> {
        self.offset = offset;
        self.begun = self.begun.map(|_| 0);
        let mut pos = 0;
        while pos < data.len() {
            pos = match &self.place {
                Place::Between(around) => self.between(*around, data, pos, sink)?,
                Place::Key { .. } => self.key(data, pos),
                Place::Colon { level, wanted } => self.colon(*level, *wanted, data[pos], pos)?,
                Place::Member { level, wanted } => self.member(*level, *wanted, data[pos], pos)?,
                Place::Inside { .. } => self.inside(data, pos, sink)?,
            };
        }
        match self.begun {
            Some(begun) => self.document.hold(&data[begun..]),
            None => Ok(()),
        }
    }

    /// Ends the text, which has `length` bytes.
    pub fn finish(&mut self, length: u64, sink: &mut Take<'_>) -> Result<(), Error> {
        self.offset = length;
        if let Place::Inside { value, around: Around::Top, .. } = &self.place
            && value.is_scalar()
        {
            self.end_value(b"", 0, sink)?;
        }
        match self.place {
            Place::Between(Around::Top) if !self.in_array => Ok(()),
            _ => {
                self.seams.push(self.partial.held());
                let length = self.seams.passed();
                let ended = Fault { at: length, cause: "the text ends inside a value" };
                let fault = self.seams.finish().worst(length).err().unwrap_or(ended);
                Err(self.bad_before(0, length - fault.at, fault.cause))
            }
        }
    }

    fn between(
        &mut self,
        around: Around,
        data: &[u8],
        pos: usize,
        sink: &mut Take<'_>,
    ) -> Result<usize, Error> {
        let byte = data[pos];
        match (byte, around) {
            (b' ' | b'\t', _) | (RECORD_SEPARATOR, Around::Top) => return Ok(pos + 1),
            // The byte order mark of a file that was put behind others: no value begins with these bytes.
            (0xef | 0xbb | 0xbf, Around::Top) => return Ok(pos + 1),
            (b'\n' | b'\r', _) => {
                self.seam.line_ends();
                return Ok(pos + 1);
            }
            _ => self.follow(byte, around, pos)?,
        }
        match (byte, around) {
            (b',', _) => {}
            (_, Around::Top) => return self.document(byte, pos),
            (b'"', Around::Object(level)) => {
                // A colon and a value come before the next seam.
                self.seam = Seam::VALUE;
                self.place = Place::Key { level, key: Key::default() };
                return Ok(pos);
            }
            (b'}', Around::Object(level)) => self.leave_object(level, &data[..=pos], sink)?,
            (_, Around::Object(_)) => return Err(self.bad(pos, "neither a key nor the object's end")),
            (b']', Around::Elements) => {
                self.is_empty |= !self.has_elements;
                self.seam = Seam::VALUE;
                self.place = Place::Between(Around::Object(self.path.len().saturating_sub(1)));
            }
            (_, Around::Elements) => {
                if !self.has_elements {
                    self.has_elements = true;
                    self.records_are_found(pos)?;
                }
                return self.enter(byte, pos, Part::Record, around);
            }
        }
        Ok(pos + 1)
    }

    /// Compares the next token with the one before it, if a line ends between them.
    #[inline]
    fn follow(&mut self, byte: u8, around: Around, pos: usize) -> Result<(), Error> {
        let inside = match around {
            // Outermost values may follow one another in any way.
            Around::Top if !self.in_array => return Ok(()),
            Around::Top | Around::Elements => Inside::Array,
            Around::Object(_) => Inside::Object,
        };
        let token = match byte {
            b',' => Token::Comma,
            b'"' => Token::String,
            b'{' | b'[' => Token::Open,
            b'}' => Token::Close(Inside::Object),
            b']' => Token::Close(Inside::Array),
            _ => Token::Scalar,
        };
        if self.seam.take(token, inside) { Ok(()) } else { Err(self.bad(pos, TORN)) }
    }

    /// An outermost value begins, or the outermost array begins or ends.
    fn document(&mut self, byte: u8, pos: usize) -> Result<usize, Error> {
        match byte {
            b'[' if !self.in_array && !self.whole => {
                self.in_array = true;
                self.seam = Seam::OPENED;
            }
            b']' if self.in_array => self.in_array = false,
            _ if is_scalar(byte) && self.path.is_empty() && !self.in_array && !self.whole => {
                return Err(self.bad(pos, "a bare number, string or literal is not a record"));
            }
            b'[' if self.objects_only => {
                return Err(self.bad(pos, "an array inside an array is not a record"));
            }
            _ if self.objects_only && is_scalar(byte) => {
                return Err(self.bad(pos, "a number, string or literal in an array is not a record"));
            }
            _ if self.path.is_empty() => return self.enter(byte, pos, Part::Record, Around::Top),
            b'{' => {
                self.begun = Some(pos);
                self.is_empty = false;
                self.behind_document = std::mem::replace(&mut self.seam, Seam::OPENED);
                self.place = Place::Between(Around::Object(0));
            }
            _ => return self.enter(byte, pos, Part::Other, Around::Top),
        }
        Ok(pos + 1)
    }

    /// `data` ends with the object's last bracket.
    fn leave_object(&mut self, level: usize, data: &[u8], sink: &mut Take<'_>) -> Result<(), Error> {
        if level > 0 {
            self.seam = Seam::VALUE;
            self.place = Place::Between(Around::Object(level - 1));
            return Ok(());
        }
        self.seam = self.behind_document;
        self.place = Place::Between(Around::Top);
        let Some(begun) = self.begun.take() else { return Ok(()) };
        let is_empty = self.is_empty;
        let whole = self.document.complete(&data[begun..], |document| {
            if has_line_end(document) {
                self.seams.push(document);
                self.seams.finish().worst(document.len()).map_err(|fault| fault.cause)?;
            }
            sink(if is_empty { Found::Empty(document) } else { Found::Other(document) });
            Ok(())
        })?;
        whole.map_err(|cause| self.bad(data.len(), cause))
    }

    /// The path leads to a record in this document, so nothing else of it needs to be kept. The part before it
    /// is bounded all the same, so that the result does not depend on the chunks.
    fn records_are_found(&mut self, pos: usize) -> Result<(), Error> {
        let read = self.read_of_document(pos);
        self.begun = None;
        self.document.truncate(0);
        self.document.check_length(read)
    }

    /// Bytes of the document before `pos`, as long as its path has not been found.
    fn read_of_document(&self, pos: usize) -> usize {
        self.begun.map_or(0, |begun| self.document.held().len() + pos.saturating_sub(begun))
    }

    fn key(&mut self, data: &[u8], pos: usize) -> usize {
        let Place::Key { level, key } = &mut self.place else { return data.len() };
        let level = *level;
        let wanted = self.path.get(level).map_or("", String::as_str);
        let Some(end) = key.read(data, pos, wanted) else { return data.len() };
        let wanted = key.is(wanted);
        self.place = Place::Colon { level, wanted };
        end
    }

    fn colon(&mut self, level: usize, wanted: bool, byte: u8, pos: usize) -> Result<usize, Error> {
        if byte == b':' {
            self.place = Place::Member { level, wanted };
        } else if !is_white(byte) {
            return Err(self.bad(pos, "a key without a colon"));
        }
        Ok(pos + 1)
    }

    /// The value of a key begins.
    fn member(&mut self, level: usize, wanted: bool, byte: u8, pos: usize) -> Result<usize, Error> {
        let last = level + 1 == self.path.len();
        match byte {
            _ if is_white(byte) => return Ok(pos + 1),
            b'[' if wanted && last && !self.whole => {
                self.has_elements = false;
                self.seam = Seam::OPENED;
                self.place = Place::Between(Around::Elements);
            }
            b'{' if wanted && !last => {
                self.seam = Seam::OPENED;
                self.place = Place::Between(Around::Object(level + 1));
            }
            _ => {
                let is_wanted = wanted && last;
                let part = if is_wanted && byte != b'n' { Part::Record } else { Part::Member };
                let pos = self.enter(byte, pos, part, Around::Object(level))?;
                match part {
                    Part::Record => self.records_are_found(pos)?,
                    _ => self.is_empty |= is_wanted,
                }
                return Ok(pos);
            }
        }
        Ok(pos + 1)
    }

    fn enter(&mut self, first: u8, pos: usize, part: Part, around: Around) -> Result<usize, Error> {
        let value = Value::begin(first, pos).map_err(|fault| self.fault(fault))?;
        self.place = Place::Inside { value, part, around };
        Ok(pos)
    }

    fn inside(&mut self, data: &[u8], pos: usize, sink: &mut Take<'_>) -> Result<usize, Error> {
        let Place::Inside { value, part, .. } = &mut self.place else { return Ok(pos) };
        let part = *part;
        let begins = part != Part::Member && self.partial.held().is_empty();
        match value.advance_and_outline(data, pos, begins.then_some(&mut self.outline)) {
            Some(end) => {
                self.end_value(&data[pos..end], end, sink)?;
                return Ok(end);
            }
            None if part != Part::Member => self.partial.hold(&data[pos..])?,
            // It is not held, so its seams are looked at before it is known whether it has line ends.
            None if value.is_container() => self.seams.push(&data[pos..]),
            None => {}
        }
        Ok(data.len())
    }

    /// `piece`, which ends at `end`, is the last of the current value.
    fn end_value(&mut self, piece: &[u8], end: usize, sink: &mut Take<'_>) -> Result<(), Error> {
        let Place::Inside { value, part, around } = &self.place else { return Ok(()) };
        let (is_scalar, is_container, part, around) =
            (value.is_scalar(), value.is_container(), *part, *around);
        let may_have_line_end = value.may_have_line_end();
        self.place = Place::Between(around);
        if part == Part::Member {
            let has_seams = is_container && may_have_line_end || self.seams.passed() > 0;
            return if has_seams { self.end_member(piece, end) } else { Ok(()) };
        }
        let is_outlined = !is_scalar && self.partial.held().is_empty();
        let length = self.partial.held().len() + piece.len();
        let whole = self.partial.complete(piece, |bytes| {
            let bad = |cause| Err(Fault { at: bytes.len(), cause });
            let has_line_end = may_have_line_end && has_line_end(bytes);
            let newlines = if has_line_end { Newlines::Insignificant } else { Newlines::Absent };
            if is_scalar && !scan::is_whole_scalar(bytes) {
                return bad("neither a number nor true, false or null");
            }
            if !is_scalar && self.objects_only && !begins_object(bytes) {
                return bad("an object whose first key is not in double quotes");
            }
            if has_line_end {
                self.seams.push(bytes);
                self.seams.finish().worst(bytes.len())?;
            }
            sink(match part {
                Part::Other => Found::Other(bytes),
                _ => Found::Record(Record {
                    bytes,
                    newlines,
                    context: Context { json: bytes, outline: is_outlined.then_some(&self.outline) },
                }),
            });
            Ok(())
        })?;
        whole.map_err(|fault| self.bad_before(end, length - fault.at, fault.cause))
    }

    /// `piece`, which ends at `end`, is the last of a value that is no record.
    fn end_member(&mut self, piece: &[u8], end: usize) -> Result<(), Error> {
        self.seams.push(piece);
        let length = self.seams.passed();
        let checked = self.seams.finish().worst(length);
        checked.map_err(|fault| self.bad_before(end, length - fault.at, fault.cause))
    }

    fn fault(&self, fault: Fault) -> Error {
        self.bad(fault.at, fault.cause)
    }

    /// The error of a fault at `pos`.
    fn bad(&self, pos: usize, cause: &'static str) -> Error {
        self.bad_before(pos, 0, cause)
    }

    /// The error of a fault so many bytes before `pos`, up to which the text was read. A document over the bound fails as
    /// such first, however it was cut into chunks.
    fn bad_before(&self, pos: usize, bytes: usize, cause: &'static str) -> Error {
        if let Err(error) = self.document.check_length(self.read_of_document(pos)) {
            return error;
        }
        Error::BadJson { offset: (self.offset + pos as u64).saturating_sub(bytes as u64), cause }
    }
}

/// A value other than an object or array begins with this byte.
fn is_scalar(byte: u8) -> bool {
    matches!(byte, b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')
}

/// A key or the end follows the first bracket, which is skipped.
#[inline]
pub(super) fn begins_object(value: &[u8]) -> bool {
    let inside = value[1..].iter().find(|byte| !is_white(**byte));
    matches!(inside, Some(b'"' | b'}'))
}
