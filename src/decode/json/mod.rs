//! JSON text -> records, without building a tree.
//!
//! A small machine walks the text once: the outermost values, the keys of the path, the elements of
//! the array behind it. Whatever is inside a record, or of no interest, is passed over by
//! [`scan::Value`], which knows strings and brackets only. A record is the value's own bytes.

mod key;
pub(super) mod path;
pub(super) mod scan;
pub(super) mod spelling;
#[cfg(test)]
mod tests;
pub(super) mod walk;

use super::partial::{Limit, Partial};
use super::{Error, Newlines, Record};
use key::Key;
use scan::{Fault, Value};

/// Splits JSON values that stand one after another, see [`Format::Json`](super::Format::Json).
///
/// Outermost values may be separated by white space, commas, RS (RFC 7464) or nothing.
/// A `null` where the path leads counts as absent: it is how an empty list is often written.
pub(super) struct Json {
    path: Vec<String>,
    /// Arrays are records, not lists of records.
    whole: bool,
    place: Place,
    /// Where in the text the current chunk stands.
    offset: u64,
    /// Inside an outermost array: its elements are the documents.
    in_array: bool,
    /// The document's path has been found.
    found: bool,
    skipped_documents: u64,
    partial: Partial,
}

/// What surrounds the next value.
#[derive(Clone, Copy)]
enum Around {
    /// Nothing, or the outermost array.
    Top,
    /// The object in which the path's key of this number is looked for.
    Object(usize),
    /// The array behind the path.
    Elements,
}

/// What the next byte belongs to.
enum Place {
    Between(Around),
    Key { level: usize, key: Key },
    Colon { level: usize, wanted: bool },
    Member { level: usize, wanted: bool },
    Inside { value: Value, record: bool, around: Around },
}

impl Json {
    /// `limit`: of the largest record.
    pub fn new(path: Vec<String>, limit: impl Into<Limit>) -> Self {
        Json {
            path,
            whole: false,
            place: Place::Between(Around::Top),
            offset: 0,
            in_array: false,
            found: false,
            skipped_documents: 0,
            partial: Partial::new(limit),
        }
    }

    /// The same, but each document, or the value at the path, is one record even if it is an array.
    pub fn whole(path: Vec<String>, limit: impl Into<Limit>) -> Self {
        Json { whole: true, ..Json::new(path, limit) }
    }

    /// Documents in which the path leads nowhere.
    pub fn skipped_documents(&self) -> u64 {
        self.skipped_documents
    }

    /// The next bytes of the text; `offset`: where in the text they stand.
    pub fn push(&mut self, data: &[u8], offset: u64, sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        self.offset = offset;
        let mut pos = 0;
        while pos < data.len() {
            pos = match &self.place {
                Place::Between(around) => self.between(*around, data[pos], pos)?,
                Place::Key { .. } => self.key(data, pos),
                Place::Colon { level, wanted } => self.colon(*level, *wanted, data[pos], pos)?,
                Place::Member { level, wanted } => self.member(*level, *wanted, data[pos], pos)?,
                Place::Inside { .. } => self.inside(data, pos, sink)?,
            };
        }
        Ok(())
    }

    /// The text, `length` bytes of it, has ended.
    pub fn finish(&mut self, length: u64, sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        self.offset = length;
        if let Place::Inside { value, around: Around::Top, .. } = &self.place
            && value.is_scalar()
        {
            self.end_value(b"", 0, sink)?;
        }
        match self.place {
            Place::Between(Around::Top) if !self.in_array => Ok(()),
            _ => Err(self.bad(0, "the text ends inside a value")),
        }
    }

    fn between(&mut self, around: Around, byte: u8, pos: usize) -> Result<usize, Error> {
        match (byte, around) {
            (b' ' | b'\n' | b'\r' | b'\t' | b',', _) | (RECORD_SEPARATOR, Around::Top) => return Ok(pos + 1),
            (_, Around::Top) => return self.document(byte, pos),
            (b'"', Around::Object(level)) => {
                self.place = Place::Key { level, key: Key::default() };
                return Ok(pos);
            }
            (b'}', Around::Object(level)) => self.leave_object(level),
            (_, Around::Object(_)) => return Err(self.bad(pos, "neither a key nor the object's end")),
            (b']', Around::Elements) => {
                self.place = Place::Between(Around::Object(self.path.len().saturating_sub(1)));
            }
            (_, Around::Elements) => return self.enter(byte, pos, true, around),
        }
        Ok(pos + 1)
    }

    /// An outermost value begins, or the outermost array begins or ends.
    fn document(&mut self, byte: u8, pos: usize) -> Result<usize, Error> {
        match byte {
            b'[' if !self.in_array && !self.whole => self.in_array = true,
            b']' if self.in_array => self.in_array = false,
            _ if self.path.is_empty() => return self.enter(byte, pos, true, Around::Top),
            b'{' => {
                self.found = false;
                self.place = Place::Between(Around::Object(0));
            }
            _ => {
                let next = self.enter(byte, pos, false, Around::Top)?;
                self.skipped_documents += 1;
                return Ok(next);
            }
        }
        Ok(pos + 1)
    }

    fn leave_object(&mut self, level: usize) {
        if level > 0 {
            self.place = Place::Between(Around::Object(level - 1));
            return;
        }
        self.skipped_documents += u64::from(!self.found);
        self.place = Place::Between(Around::Top);
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
            b'[' if wanted && last && !self.whole => self.place = Place::Between(Around::Elements),
            b'{' if wanted && !last => self.place = Place::Between(Around::Object(level + 1)),
            _ => {
                let record = wanted && last && byte != b'n';
                self.found |= record;
                return self.enter(byte, pos, record, Around::Object(level));
            }
        }
        self.found |= last;
        Ok(pos + 1)
    }

    fn enter(&mut self, first: u8, pos: usize, record: bool, around: Around) -> Result<usize, Error> {
        let value = Value::begin(first, pos).map_err(|fault| self.fault(fault))?;
        self.place = Place::Inside { value, record, around };
        Ok(pos)
    }

    fn inside(&mut self, data: &[u8], pos: usize, sink: &mut dyn FnMut(Record<'_>)) -> Result<usize, Error> {
        let Place::Inside { value, record, .. } = &mut self.place else { return Ok(pos) };
        let record = *record;
        match value.advance(data, pos) {
            Some(end) => {
                self.end_value(&data[pos..end], end, sink)?;
                return Ok(end);
            }
            None if record => self.partial.hold(&data[pos..])?,
            None => {}
        }
        Ok(data.len())
    }

    /// `piece`, which ends at `end`, is the last of the value that is being read.
    fn end_value(&mut self, piece: &[u8], end: usize, sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        let Place::Inside { value, record, around } = &self.place else { return Ok(()) };
        let (is_scalar, record, around) = (value.is_scalar(), *record, *around);
        self.place = Place::Between(around);
        if !record {
            return Ok(());
        }
        let whole = self.partial.complete(piece, |bytes| {
            let whole = !is_scalar || scan::is_whole_scalar(bytes);
            if whole {
                sink(Record::new(bytes, Newlines::Insignificant));
            }
            whole
        })?;
        if whole { Ok(()) } else { Err(self.bad(end, "neither a number nor true, false or null")) }
    }

    fn fault(&self, fault: Fault) -> Error {
        self.bad(fault.at, fault.cause)
    }

    fn bad(&self, pos: usize, cause: &'static str) -> Error {
        Error::BadJson { offset: self.offset + pos as u64, cause }
    }
}

/// RFC 7464 puts it before every value.
pub(super) const RECORD_SEPARATOR: u8 = 0x1e;

pub(super) fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}
