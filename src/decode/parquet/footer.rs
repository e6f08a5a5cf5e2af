//! A check of the footer before the library reads it.
//!
//! The library follows the nesting of the schema by recursion, allocates room for as many children as a group claims,
//! and turns a few bytes of the footer into a structure of hundreds of bytes. A hostile footer could thus crash the
//! process, which no caller can catch. This walk knows every field that the library reads, adds up what the library
//! will allocate, and refuses the object if that does not fit. All other problems of a footer the library reports
//! itself.
//!
//! The fields are those of
//! [`parquet.thrift`](https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift).

use super::bad;
use super::thrift::{BINARY, Cursor, FALSE, I16, I32, I64, LIST, STRUCT, TRUE};
use crate::base::limits::{PARQUET_COLUMNS_MAX, PARQUET_DEPTH_MAX, PARQUET_JOINTS_BYTES_MAX};
use crate::decode::Error;
use crate::decode::foreign::ENCRYPTED_PARQUET;

const MAGIC: &[u8] = b"PAR1";
/// The magic at the start; the footer's length and the magic at the end.
const LENGTH_MIN: usize = 12;

/// The content of a field. The library does not check that a field has the type that it expects, so this walk does.
enum Field {
    /// The library skips it, whatever it is.
    Skipped,
    Number(u8),
    Bool,
    Binary,
    Structure(&'static [Field]),
    /// A list, the type of its elements, and the library's memory for one of them.
    List(u8, usize, &'static [Field]),
    Schema,
    /// It is there only if columns are encrypted.
    Encryption,
}

use Field::{Binary, Bool, Encryption, List, Number, Schema, Skipped, Structure};

/// `FileMetaData`. Field ids start at 1.
const FILE: &[Field] = &[
    Skipped,
    Number(I32),
    Schema,
    Number(I64),
    List(STRUCT, ROW_GROUP_BYTES, ROW_GROUP),
    List(STRUCT, SMALL_BYTES, KEY_VALUE),
    Binary,
    List(STRUCT, SMALL_BYTES, &[]),
    Encryption,
];
const KEY_VALUE: &[Field] = &[Skipped, Binary, Binary];
const ROW_GROUP: &[Field] = &[
    Skipped,
    List(STRUCT, COLUMN_BYTES, COLUMN),
    Number(I64),
    Number(I64),
    List(STRUCT, SMALL_BYTES, SORTING),
    Number(I64),
    Number(I64),
    Number(I16),
];
const SORTING: &[Field] = &[Skipped, Number(I32), Bool, Bool];
/// `ColumnChunk`; encryption is not supported.
const COLUMN: &[Field] = &[
    Skipped,
    Binary,
    Number(I64),
    Structure(COLUMN_DATA),
    Number(I64),
    Number(I32),
    Number(I64),
    Number(I32),
];
/// `ColumnMetaData`.
const COLUMN_DATA: &[Field] = &[
    Skipped,
    Number(I32),
    List(I32, SMALL_BYTES, &[]),
    List(BINARY, SMALL_BYTES, &[]),
    Number(I32),
    Number(I64),
    Number(I64),
    Number(I64),
    List(STRUCT, SMALL_BYTES, KEY_VALUE),
    Number(I64),
    Number(I64),
    Number(I64),
    Structure(STATISTICS),
    List(STRUCT, SMALL_BYTES, ENCODING_STATISTICS),
    Number(I64),
    Number(I32),
    Structure(SIZE_STATISTICS),
    Structure(GEO_STATISTICS),
];
const STATISTICS: &[Field] =
    &[Skipped, Binary, Binary, Number(I64), Number(I64), Binary, Binary, Bool, Bool, Number(I64)];
const ENCODING_STATISTICS: &[Field] = &[Skipped, Number(I32), Number(I32), Number(I32)];
const SIZE_STATISTICS: &[Field] =
    &[Skipped, Number(I64), List(I64, SMALL_BYTES, &[]), List(I64, SMALL_BYTES, &[])];
const GEO_STATISTICS: &[Field] = &[Skipped, Structure(&[]), List(I32, SMALL_BYTES, &[])];
/// `SchemaElement`.
const ELEMENT: &[Field] = &[
    Skipped,
    Number(I32),
    Number(I32),
    Number(I32),
    Binary,
    Number(I32),
    Number(I32),
    Number(I32),
    Number(I32),
    Number(I32),
    Structure(&[]),
];
const NAME: i16 = 4;
const CHILDREN: i16 = 5;

/// The library's memory for an element of a list: `SMALL_BYTES` is more than any of them except these two, which a test
/// compares with the library's types.
const SMALL_BYTES: usize = 64;
pub(super) const ROW_GROUP_BYTES: usize = 512;
pub(super) const COLUMN_BYTES: usize = 1536;
/// An element of the schema: as read, as a type, as a column's description, and as a part of
/// [`Tree`](super::tree::Tree).
const ELEMENT_BYTES: usize = 1024;
/// Copies of an element's name: the type's, and the JSON key, which escapes can make six times as long.
const NAME_COPIES: usize = 8;

/// The reason why the walk ended early.
enum Fault {
    Damaged,
    TooLarge,
    Refused(Error),
}

type Walked<T> = Result<T, Fault>;

/// Checks that the object is complete, that it is one file, and that its footer can be read. Returns the bytes that the library needs for the
/// footer, at most `bytes_max`.
pub(super) fn check(object: &[u8], bytes_max: usize) -> Result<usize, Error> {
    if !object.starts_with(MAGIC) {
        return Err(bad("the object does not begin with PAR1"));
    }
    if object.len() < LENGTH_MIN || !object.ends_with(MAGIC) {
        return Err(bad("the object is truncated: its footer is missing"));
    }
    let footer = footer_of(object).ok_or_else(|| bad("the footer is longer than the object"))?;
    let mut walk = Walk::new(footer, bytes_max);
    match walk.structure(FILE) {
        Ok(()) => check_is_one_file(object, bytes_max).map(|()| walk.bytes),
        Err(Fault::Damaged) => Err(bad("the footer is corrupt")),
        Err(Fault::TooLarge) => Err(Error::FooterTooLarge { max: bytes_max }),
        Err(Fault::Refused(error)) => Err(error),
    }
}

/// Refuses an object that consists of several files: the last one's footer would be read as that of all, and the rows of the
/// others would be lost.
fn check_is_one_file(object: &[u8], bytes_max: usize) -> Result<(), Error> {
    let mut tried = 0;
    for at in memchr::memmem::find_iter(object, MAGIC) {
        let end = at + MAGIC.len();
        let Some(footer) = footer_of(&object[..end]).filter(|_| end < object.len()) else { continue };
        let mut walk = Walk::new(footer, bytes_max);
        let is_footer = walk.structure(FILE).is_ok() && walk.has_schema && walk.cursor.rest.is_empty();
        tried += footer.len();
        if is_footer || tried > PARQUET_JOINTS_BYTES_MAX {
            return Err(bad(
                "several files were put together in one object: have each written as an object of its own",
            ));
        }
    }
    Ok(())
}

/// The footer of a file, which ends with its length and the magic.
fn footer_of(file: &[u8]) -> Option<&[u8]> {
    let (body, end) = file.split_last_chunk::<8>()?;
    let length = end.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let start = body.len().checked_sub(length as usize).filter(|&start| start >= MAGIC.len())?;
    Some(&body[start..])
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    /// Bytes that the library will need so far.
    bytes: usize,
    bytes_max: usize,
    has_schema: bool,
}

impl<'a> Walk<'a> {
    fn new(footer: &'a [u8], bytes_max: usize) -> Walk<'a> {
        Walk { cursor: Cursor::new(footer), bytes: 0, bytes_max, has_schema: false }
    }

    fn charge(&mut self, bytes: usize) -> Walked<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.bytes_max { Err(Fault::TooLarge) } else { Ok(()) }
    }

    fn structure(&mut self, fields: &'static [Field]) -> Walked<()> {
        let mut id = 0;
        while let Some(kind) = whole(self.cursor.field(&mut id))? {
            let field = usize::try_from(id).ok().and_then(|id| fields.get(id));
            self.value(field.unwrap_or(&Skipped), kind)?;
        }
        Ok(())
    }

    fn value(&mut self, field: &Field, kind: u8) -> Walked<()> {
        match field {
            Skipped => {
                let before = self.cursor.rest.len();
                whole(self.cursor.skip(kind))?;
                // The names in a logical type are kept, and the rest is small.
                self.charge(before - self.cursor.rest.len())
            }
            Number(expected) if kind == *expected => whole(self.cursor.skip(kind)),
            Bool if matches!(kind, TRUE | FALSE) => Ok(()),
            Binary if kind == BINARY => self.binary().map(drop),
            Structure(fields) if kind == STRUCT => self.structure(fields),
            List(element, bytes, fields) if kind == LIST => self.list(*element, *bytes, fields),
            Schema if kind == LIST => self.schema(),
            Encryption => Err(Fault::Refused(ENCRYPTED_PARQUET.refused())),
            _ => Err(Fault::Damaged),
        }
    }

    fn binary(&mut self) -> Walked<usize> {
        let length = whole(self.cursor.binary())?.len();
        self.charge(length)?;
        Ok(length)
    }

    fn list(&mut self, element: u8, bytes: usize, fields: &'static [Field]) -> Walked<()> {
        let (count, kind) = whole(self.cursor.list())?;
        if kind != element && count > 0 {
            return Err(Fault::Damaged);
        }
        self.charge(count.saturating_mul(bytes))?;
        (0..count).try_for_each(|_| match kind {
            STRUCT => self.structure(fields),
            BINARY => self.binary().map(drop),
            _ => whole(self.cursor.skip(kind)),
        })
    }

    /// Elements are in depth-first order, each with the number of its children.
    fn schema(&mut self) -> Walked<()> {
        self.has_schema = true;
        let (count, kind) = whole(self.cursor.list())?;
        if kind != STRUCT || count > PARQUET_COLUMNS_MAX {
            return Err(refused(format!("a schema of {count} elements")));
        }
        // For each depth: remaining elements, and the length of the path to them.
        let mut open = vec![(1u64, 0)];
        for _ in 0..count {
            let (name, children) = self.element()?;
            while open.last().is_some_and(|(left, _)| *left == 0) {
                open.pop();
            }
            let (left, path) = open.last_mut().ok_or(Fault::Damaged)?;
            *left -= 1;
            let path = *path + name;
            if children > count as u64 || open.len() > PARQUET_DEPTH_MAX {
                return Err(refused("the schema is nested too deeply, or has more columns than it says"));
            }
            // Every column keeps the names of all the groups that it is in.
            self.charge(ELEMENT_BYTES + NAME_COPIES * name + path)?;
            open.push((children, path));
        }
        Ok(())
    }

    /// The length of the element's name, and its number of children.
    fn element(&mut self) -> Walked<(usize, u64)> {
        let (mut id, mut name, mut children) = (0, 0, 0);
        while let Some(kind) = whole(self.cursor.field(&mut id))? {
            match (id, kind) {
                (CHILDREN, I32) => {
                    children = whole(self.cursor.zigzag().and_then(|count| count.try_into().ok()))?;
                }
                (NAME, BINARY) => name = self.binary()?,
                _ => {
                    let field = usize::try_from(id).ok().and_then(|id| ELEMENT.get(id));
                    self.value(field.unwrap_or(&Skipped), kind)?;
                }
            }
        }
        Ok((name, children))
    }
}

fn whole<T>(read: Option<T>) -> Walked<T> {
    read.ok_or(Fault::Damaged)
}

fn refused(cause: impl ToString) -> Fault {
    Fault::Refused(bad(cause))
}

#[cfg(test)]
mod tests {
    use parquet::file::metadata::{ColumnChunkMetaData, KeyValue, RowGroupMetaData, SortingColumn};

    use super::*;

    #[test]
    fn the_librarys_types_are_not_larger_than_they_are_charged() {
        assert!(size_of::<ColumnChunkMetaData>() <= COLUMN_BYTES);
        assert!(size_of::<RowGroupMetaData>() <= ROW_GROUP_BYTES);
        assert!(size_of::<KeyValue>() <= SMALL_BYTES);
        assert!(size_of::<SortingColumn>() <= SMALL_BYTES);
    }
}
