//! A look at the footer before the library reads it.
//!
//! The library follows the nesting of the schema by recursion, and makes room for as many children
//! as a group says it has. A hostile footer could so end the process, which no caller can catch; it is
//! refused here. Everything else that is wrong with a footer the library says itself.
//!
//! The footer is Thrift's compact protocol
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>); the fields
//! are those of `parquet.thrift`.

use super::bad;
use crate::decode::Error;
use crate::limits::{PARQUET_COLUMNS_MAX, PARQUET_DEPTH_MAX};

const MAGIC: &[u8] = b"PAR1";
/// The magic at the start; the footer's length and the magic at the end.
const LENGTH_MIN: usize = 12;

/// Fields of `FileMetaData` and `SchemaElement`, and the types of those by their numbers: the library
/// does not ask whether a field has the type that it expects.
const SCHEMA: i16 = 2;
const CHILDREN: i16 = 5;
const OF_FILE: [u8; 8] = [STOP, I32, LIST, I64, LIST, LIST, BINARY, LIST];
const OF_ELEMENT: [u8; 11] = [STOP, I32, I32, I32, BINARY, I32, I32, I32, I32, I32, STRUCT];

/// Types of the compact protocol.
const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// Structures inside structures; statistics and logical types make four.
const NESTING_MAX: u32 = 16;

/// Is the object whole, and its schema one that can be read?
pub(super) fn check(object: &[u8]) -> Result<(), Error> {
    if !object.starts_with(MAGIC) {
        return Err(bad("the object does not begin with PAR1"));
    }
    if object.len() < LENGTH_MIN || !object.ends_with(MAGIC) {
        return Err(bad("the object is truncated: its footer is missing"));
    }
    let body = &object[..object.len() - 8];
    let length = object[body.len()..].first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let start = body.len().checked_sub(length as usize).filter(|&start| start >= MAGIC.len());
    let footer =
        start.map(|start| &body[start..]).ok_or_else(|| bad("the footer is longer than the object"))?;
    Walk { rest: footer }.file().ok_or_else(|| bad("the footer is damaged"))?
}

struct Walk<'a> {
    rest: &'a [u8],
}

/// None: the bytes end, or are no Thrift.
impl Walk<'_> {
    fn file(&mut self) -> Option<Result<(), Error>> {
        let (mut id, mut schema) = (0, None);
        while let Some(kind) = self.field(&mut id, &OF_FILE)? {
            match id {
                SCHEMA => schema = Some(self.schema()?),
                _ => self.skip(kind, 0)?,
            }
            if matches!(schema, Some(Err(_))) {
                break;
            }
        }
        schema
    }

    /// Elements are in depth-first order, each with the number of its children.
    fn schema(&mut self) -> Option<Result<(), Error>> {
        let (count, kind) = self.list()?;
        if kind != STRUCT || count > PARQUET_COLUMNS_MAX {
            return Some(Err(bad(format!("a schema of {count} elements"))));
        }
        // Elements that are still to come at each depth.
        let mut open = vec![1u64];
        for _ in 0..count {
            let children = self.element()?;
            while open.last() == Some(&0) {
                open.pop();
            }
            *open.last_mut()? -= 1;
            if children > count as u64 || open.len() > PARQUET_DEPTH_MAX {
                return Some(Err(bad("the schema is nested too deeply, or has more columns than it says")));
            }
            open.push(children);
        }
        Some(Ok(()))
    }

    fn element(&mut self) -> Option<u64> {
        let (mut id, mut children) = (0, 0);
        while let Some(kind) = self.field(&mut id, &OF_ELEMENT)? {
            match id {
                CHILDREN => children = u64::try_from(self.zigzag()?).ok()?,
                _ => self.skip(kind, 0)?,
            }
        }
        Some(children)
    }

    /// The type of the next field; `id` is that of the one before, and becomes its own.
    fn field(&mut self, id: &mut i16, kinds: &[u8]) -> Option<Option<u8>> {
        let header = self.byte()?;
        if header & 0x0f == STOP {
            return Some(None);
        }
        *id = match header >> 4 {
            0 => i16::try_from(self.zigzag()?).ok()?,
            delta => id.checked_add(i16::from(delta))?,
        };
        let kind = header & 0x0f;
        let expected = usize::try_from(*id).ok().and_then(|id| kinds.get(id));
        expected.is_none_or(|&expected| expected == kind).then_some(Some(kind))
    }

    /// Number and type of a list's elements.
    fn list(&mut self) -> Option<(usize, u8)> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => usize::try_from(self.varint()?).ok()?,
            count => usize::from(count),
        };
        Some((count, header & 0x0f))
    }

    fn skip(&mut self, kind: u8, nesting: u32) -> Option<()> {
        if nesting > NESTING_MAX {
            return None;
        }
        match kind {
            TRUE | FALSE => Some(()),
            BYTE => self.bytes(1),
            I16 | I32 | I64 => self.varint().map(drop),
            DOUBLE => self.bytes(8),
            UUID => self.bytes(16),
            BINARY => {
                let length = self.varint()?;
                self.bytes(usize::try_from(length).ok()?)
            }
            LIST | SET => {
                let (count, kind) = self.list()?;
                (0..count).try_for_each(|_| self.skip_element(kind, nesting))
            }
            MAP => {
                let count = self.varint()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                (0..count).try_for_each(|_| {
                    self.skip_element(kinds >> 4, nesting)?;
                    self.skip_element(kinds & 0x0f, nesting)
                })
            }
            STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id, &[])? {
                    self.skip(kind, nesting + 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }

    /// Lists of booleans occur in no footer, and the library passes over them in another way.
    fn skip_element(&mut self, kind: u8, nesting: u32) -> Option<()> {
        match kind {
            TRUE | FALSE => None,
            _ => self.skip(kind, nesting + 1),
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn bytes(&mut self, count: usize) -> Option<()> {
        self.rest = self.rest.get(count..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}
