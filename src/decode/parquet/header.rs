//! The header of a page.

use super::thrift::{Cursor, FALSE, I32, STRUCT, TRUE};

/// The kind of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Index,
    Dictionary,
    DataV2,
}

/// A page's header as written; nothing in it has been checked.
#[derive(Debug)]
pub(super) struct Header {
    pub kind: Kind,
    /// Bytes of the page after decompression.
    pub expanded: usize,
    /// Bytes of the page as it is stored.
    pub stored: usize,
    pub crc: Option<u32>,
    /// The fields of the header that belongs to the kind.
    pub fields: Numbers,
}

/// The numbers of a structure by their field ids; a boolean is 1 or 0.
#[derive(Debug, Default)]
pub(super) struct Numbers([Option<i32>; 9]);

impl Numbers {
    pub fn get(&self, id: usize) -> Option<i32> {
        self.0.get(id).copied().flatten()
    }

    /// A count or a size, which is required.
    pub fn count(&self, id: usize) -> Option<u32> {
        self.get(id)?.try_into().ok()
    }
}

/// Fields of `PageHeader` in `parquet.thrift`.
const KIND: usize = 1;
const EXPANDED: usize = 2;
const STORED: usize = 3;
const CRC: usize = 4;

/// Reads the header at the start of `bytes`, and also returns its length.
pub(super) fn read(bytes: &[u8]) -> Option<(Header, usize)> {
    let mut cursor = Cursor::new(bytes);
    let (mut id, mut own, mut of_kind) = (0, Numbers::default(), [const { None }; 9]);
    while let Some(kind) = cursor.field(&mut id)? {
        let slot = usize::try_from(id).ok()?;
        match (kind, of_kind.get_mut(slot)) {
            (STRUCT, Some(fields)) => *fields = Some(numbers(&mut cursor)?),
            _ => number(&mut cursor, kind, slot, &mut own)?,
        }
    }
    let (kind, fields) = match own.get(KIND)? {
        0 => (Kind::Data, of_kind[5].take()?),
        1 => (Kind::Index, Numbers::default()),
        2 => (Kind::Dictionary, of_kind[7].take()?),
        3 => (Kind::DataV2, of_kind[8].take()?),
        _ => return None,
    };
    let header = Header {
        kind,
        expanded: own.count(EXPANDED)? as usize,
        stored: own.count(STORED)? as usize,
        crc: own.get(CRC).map(|crc| crc as u32),
        fields,
    };
    Some((header, bytes.len() - cursor.rest.len()))
}

fn numbers(cursor: &mut Cursor<'_>) -> Option<Numbers> {
    let (mut id, mut numbers) = (0, Numbers::default());
    while let Some(kind) = cursor.field(&mut id)? {
        number(cursor, kind, usize::try_from(id).ok()?, &mut numbers)?;
    }
    Some(numbers)
}

/// Keeps a number, and skips anything else.
fn number(cursor: &mut Cursor<'_>, kind: u8, slot: usize, into: &mut Numbers) -> Option<()> {
    let value = match kind {
        I32 => Some(i32::try_from(cursor.zigzag()?).ok()?),
        TRUE | FALSE => Some(i32::from(kind == TRUE)),
        other => {
            cursor.skip(other)?;
            None
        }
    };
    if let (Some(value), Some(slot)) = (value, into.0.get_mut(slot)) {
        *slot = Some(value);
    }
    Some(())
}
