//! The claims of a page, checked against what its bytes can hold.
//!
//! The library allocates room for as many values as a page claims, before it reads the first of them. A claim that the
//! bytes cannot hold is corruption; the memory for one that they can hold is charged to the
//! [`Room`](super::pages::Room) before the library sees the page.

use parquet::basic::{Encoding, Type as Physical};
use parquet::column::page::Page;
use parquet::data_type::{ByteArray, FixedLenByteArray, Int96};
use parquet::schema::types::ColumnDescriptor;

use super::{bad, delta};
use crate::base::limits::{PARQUET_BATCH_ROWS, PARQUET_ROW_VALUES_MAX};
use crate::decode::Error;

/// A column's properties from the schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claims {
    physical: Physical,
    /// Bytes of a value of fixed length.
    width: usize,
    definition_max: i16,
    repetition_max: i16,
}

/// The common part of both versions of a data page.
struct Data<'a> {
    count: usize,
    encoding: Encoding,
    /// The encoded values, after the levels.
    values: &'a [u8],
}

impl Claims {
    pub fn of(column: &ColumnDescriptor) -> Result<Claims, Error> {
        let physical = column.physical_type();
        let width = match physical {
            Physical::FIXED_LEN_BYTE_ARRAY => usize::try_from(column.type_length()).unwrap_or(0),
            _ => 1,
        };
        if width == 0 {
            return Err(bad("a column of values without a length"));
        }
        let (definition_max, repetition_max) = (column.max_def_level(), column.max_rep_level());
        Ok(Claims { physical, width, definition_max, repetition_max })
    }

    pub fn is_repeated(&self) -> bool {
        self.repetition_max > 0
    }

    /// Checks a page, and returns the bytes that the library will need for it in addition to the page itself.
    pub fn bytes_needed(&self, page: &Page) -> Result<usize, Error> {
        match page {
            Page::DictionaryPage { buf, num_values, .. } => self.of_dictionary(buf, *num_values as usize),
            Page::DataPage { buf, num_values, encoding, def_level_encoding, rep_level_encoding, .. } => {
                let count = *num_values as usize;
                let levels =
                    [(self.repetition_max, *rep_level_encoding), (self.definition_max, *def_level_encoding)];
                let values = behind_levels(buf, count, levels).ok_or_else(levels_too_long)?;
                self.of_data(&Data { count, encoding: *encoding, values })
            }
            Page::DataPageV2 {
                buf, num_values, encoding, def_levels_byte_len, rep_levels_byte_len, ..
            } => {
                let levels = (*def_levels_byte_len as usize).saturating_add(*rep_levels_byte_len as usize);
                let values = buf.get(levels..).ok_or_else(levels_too_long)?;
                self.of_data(&Data { count: *num_values as usize, encoding: *encoding, values })
            }
        }
    }

    /// A dictionary's values are written one after another, and become an array.
    fn of_dictionary(&self, values: &[u8], count: usize) -> Result<usize, Error> {
        if count.saturating_mul(self.value_bits_min()) > values.len().saturating_mul(8) {
            return Err(bad(format!("a dictionary of {} bytes claims {count} values", values.len())));
        }
        Ok(count.saturating_mul(self.value_bytes()))
    }

    fn of_data(&self, data: &Data<'_>) -> Result<usize, Error> {
        // A row of lists is read at once, however long; for other columns only a batch of rows is.
        let (read_at_once, levels) = match self.is_repeated() {
            true => (data.count, data.count.saturating_mul(2 * size_of::<i16>())),
            false => (data.count.min(PARQUET_BATCH_ROWS), 0),
        };
        let values = read_at_once.saturating_mul(self.value_bytes());
        let encoded = self.of_encoding(data, read_at_once)?;
        Ok(levels.saturating_add(values).saturating_add(encoded))
    }

    /// Memory of the decoders of some encodings.
    fn of_encoding(&self, data: &Data<'_>, read_at_once: usize) -> Result<usize, Error> {
        let fixed = self.physical == Physical::FIXED_LEN_BYTE_ARRAY;
        let lengths = |bytes| delta::lengths(bytes, data.count.min(PARQUET_ROW_VALUES_MAX));
        let damaged = || bad("the lengths in a page contradict each other");
        Ok(match data.encoding {
            Encoding::DELTA_LENGTH_BYTE_ARRAY => {
                let (lengths, _) = lengths(data.values).ok_or_else(damaged)?;
                lengths.count.saturating_mul(size_of::<i32>())
            }
            Encoding::DELTA_BYTE_ARRAY => {
                let (prefixes, rest) = lengths(data.values).ok_or_else(damaged)?;
                let (suffixes, _) = lengths(rest).ok_or_else(damaged)?;
                // Each value is built from a part of the previous one: a few bytes can stand for any number of copies.
                let all = prefixes.sum.saturating_add(suffixes.sum);
                let largest = prefixes.largest.saturating_add(suffixes.largest);
                let copies = all.min(largest.saturating_mul(read_at_once as u64));
                let lengths = (prefixes.count + suffixes.count).saturating_mul(size_of::<i32>());
                usize::try_from(copies).unwrap_or(usize::MAX).saturating_add(lengths)
            }
            Encoding::BYTE_STREAM_SPLIT if fixed => read_at_once.saturating_mul(self.width),
            // Some writers put lengths before values of fixed length; the library copies such a page.
            Encoding::PLAIN if fixed => data.values.len(),
            _ => 0,
        })
    }

    /// The minimum size of one value in PLAIN.
    fn value_bits_min(&self) -> usize {
        match self.physical {
            Physical::BOOLEAN => 1,
            Physical::INT32 | Physical::FLOAT | Physical::BYTE_ARRAY => 32,
            Physical::INT64 | Physical::DOUBLE => 64,
            Physical::INT96 => 96,
            Physical::FIXED_LEN_BYTE_ARRAY => self.width.saturating_mul(8),
        }
    }

    /// The library's memory for one value.
    fn value_bytes(&self) -> usize {
        match self.physical {
            Physical::BOOLEAN => size_of::<bool>(),
            Physical::INT32 | Physical::FLOAT => size_of::<i32>(),
            Physical::INT64 | Physical::DOUBLE => size_of::<i64>(),
            Physical::INT96 => size_of::<Int96>(),
            Physical::BYTE_ARRAY => size_of::<ByteArray>(),
            Physical::FIXED_LEN_BYTE_ARRAY => size_of::<FixedLenByteArray>(),
        }
    }
}

/// The values of a page of the first version. None if the levels are longer than the page.
fn behind_levels(page: &[u8], count: usize, levels: [(i16, Encoding); 2]) -> Option<&[u8]> {
    let mut rest = page;
    for (max, encoding) in levels {
        if max <= 0 {
            continue;
        }
        let length = match encoding {
            Encoding::RLE => {
                let (length, after) = rest.split_first_chunk::<4>()?;
                rest = after;
                u32::from_le_bytes(*length) as usize
            }
            // The older form, which does not give their length.
            _ => count.checked_mul(max.ilog2() as usize + 1)?.div_ceil(8),
        };
        rest = rest.get(length..)?;
    }
    Some(rest)
}

fn levels_too_long() -> Error {
    bad("a page's levels are longer than the page")
}
