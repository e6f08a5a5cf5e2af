//! One column: the levels and values of a batch of rows, taken one after another.
//!
//! Levels are those of the Dremel paper, as the format's documentation explains them: a definition level says how much
//! of the path to a value exists, a repetition level which list continues.

use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::data_type::{ByteArray, FixedLenByteArray, Int96};
use parquet::schema::types::ColumnDescPtr;

use super::bad;
use super::pages::Pages;
use crate::base::limits::{KIB, PARQUET_BATCH_ROWS};
use crate::decode::Error;

/// A column of the current row group.
pub(super) struct Column {
    reader: ColumnReader,
    definition_max: i16,
    repeated: bool,
    /// Empty if the column is required on its whole path: all is defined.
    definitions: Vec<i16>,
    /// Empty if the column is in no list: each level is a row.
    repetitions: Vec<i16>,
    values: Values,
    /// Levels in the batch.
    levels: usize,
    /// Levels and values taken so far.
    level: usize,
    value: usize,
}

/// The values that are not null.
enum Values {
    Bool(Vec<bool>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Int96(Vec<Int96>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Bytes(Vec<ByteArray>),
    Fixed(Vec<FixedLenByteArray>),
}

/// One value as it is stored.
#[derive(Clone, Copy)]
pub(super) enum Stored<'a> {
    Bool(bool),
    Int32(i32),
    Int64(i64),
    Int96(&'a Int96),
    Float(f32),
    Double(f64),
    Bytes(&'a [u8]),
}

impl Stored<'_> {
    /// Approximate bytes of the value as JSON; exact for large ones, since escapes and base64 can multiply the size by
    /// six.
    pub fn written_bytes(&self) -> usize {
        match self {
            Stored::Bytes(bytes) if bytes.len() < KIB => bytes.len(),
            Stored::Bytes(bytes) if std::str::from_utf8(bytes).is_err() => bytes.len().div_ceil(3) * 4,
            Stored::Bytes(bytes) => bytes.iter().map(|&byte| escaped_bytes(byte)).sum(),
            _ => 0,
        }
    }
}

/// Size in JSON of one byte of a string.
fn escaped_bytes(byte: u8) -> usize {
    match byte {
        b'\n' | b'\r' | b'\t' | 8 | 12 | b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    }
}

impl Column {
    pub fn new(description: ColumnDescPtr, pages: Pages) -> Self {
        let reader = get_column_reader(description.clone(), Box::new(pages));
        Column {
            values: Values::of(&reader),
            reader,
            definition_max: description.max_def_level(),
            repeated: description.max_rep_level() > 0,
            definitions: Vec::new(),
            repetitions: Vec::new(),
            levels: 0,
            level: 0,
            value: 0,
        }
    }

    /// Reads this many more rows, and returns the number of their levels. The previous ones must have been taken.
    pub fn fill(&mut self, rows: usize) -> Result<usize, Error> {
        if self.level != self.levels {
            return Err(disagreement());
        }
        clear(&mut self.definitions);
        clear(&mut self.repetitions);
        self.values.clear();
        (self.level, self.value) = (0, 0);
        let (read, levels) = self.read(rows)?;
        if read != rows {
            return Err(bad("a column ends before its row group does"));
        }
        self.levels = levels;
        Ok(levels)
    }

    /// The definition level of the next item.
    pub fn definition(&self) -> Result<i16, Error> {
        if self.level >= self.levels {
            return Err(disagreement());
        }
        if self.definition_max == 0 {
            return Ok(0);
        }
        self.definitions.get(self.level).copied().ok_or_else(disagreement)
    }

    /// The repetition level of the next item: 0 begins a row, and so does the batch's end.
    pub fn repetition(&self) -> i16 {
        if !self.repeated || self.level >= self.levels {
            return 0;
        }
        self.repetitions.get(self.level).copied().unwrap_or(0)
    }

    /// Takes a level that stands for a null or an empty list above the value.
    pub fn pass(&mut self) -> Result<(), Error> {
        if self.definition()? == self.definition_max {
            return Err(disagreement());
        }
        self.level += 1;
        Ok(())
    }

    /// Takes a value.
    pub fn take(&mut self) -> Result<Stored<'_>, Error> {
        if self.definition()? != self.definition_max {
            return Err(disagreement());
        }
        self.level += 1;
        self.value += 1;
        self.values.at(self.value - 1).ok_or_else(disagreement)
    }

    fn read(&mut self, rows: usize) -> Result<(usize, usize), Error> {
        let definitions = Some(&mut self.definitions);
        let repetitions = Some(&mut self.repetitions);
        macro_rules! read {
            ($($reader:ident $values:ident),*) => {
                match (&mut self.reader, &mut self.values) {
                    $((ColumnReader::$reader(reader), Values::$values(values)) => {
                        reader.read_records(rows, definitions, repetitions, values)
                    })*
                    _ => return Err(disagreement()),
                }
            };
        }
        let (rows, _, levels) = read!(
            BoolColumnReader Bool, Int32ColumnReader Int32, Int64ColumnReader Int64, Int96ColumnReader Int96,
            FloatColumnReader Float, DoubleColumnReader Double, ByteArrayColumnReader Bytes,
            FixedLenByteArrayColumnReader Fixed
        )?;
        Ok((rows, levels))
    }
}

impl Values {
    fn of(reader: &ColumnReader) -> Values {
        match reader {
            ColumnReader::BoolColumnReader(_) => Values::Bool(Vec::new()),
            ColumnReader::Int32ColumnReader(_) => Values::Int32(Vec::new()),
            ColumnReader::Int64ColumnReader(_) => Values::Int64(Vec::new()),
            ColumnReader::Int96ColumnReader(_) => Values::Int96(Vec::new()),
            ColumnReader::FloatColumnReader(_) => Values::Float(Vec::new()),
            ColumnReader::DoubleColumnReader(_) => Values::Double(Vec::new()),
            ColumnReader::ByteArrayColumnReader(_) => Values::Bytes(Vec::new()),
            ColumnReader::FixedLenByteArrayColumnReader(_) => Values::Fixed(Vec::new()),
        }
    }

    fn clear(&mut self) {
        match self {
            Values::Bool(values) => clear(values),
            Values::Int32(values) => clear(values),
            Values::Int64(values) => clear(values),
            Values::Int96(values) => clear(values),
            Values::Float(values) => clear(values),
            Values::Double(values) => clear(values),
            Values::Bytes(values) => clear(values),
            Values::Fixed(values) => clear(values),
        }
    }

    fn at(&self, index: usize) -> Option<Stored<'_>> {
        Some(match self {
            Values::Bool(values) => Stored::Bool(*values.get(index)?),
            Values::Int32(values) => Stored::Int32(*values.get(index)?),
            Values::Int64(values) => Stored::Int64(*values.get(index)?),
            Values::Int96(values) => Stored::Int96(values.get(index)?),
            Values::Float(values) => Stored::Float(*values.get(index)?),
            Values::Double(values) => Stored::Double(*values.get(index)?),
            Values::Bytes(values) => Stored::Bytes(values.get(index)?.data()),
            Values::Fixed(values) => Stored::Bytes(values.get(index)?.data()),
        })
    }
}

/// Empties a buffer for the next batch. Memory that only an unusual batch needed is freed: it was charged to the pages
/// of that batch.
fn clear<T>(buffer: &mut Vec<T>) {
    match buffer.capacity() > 4 * PARQUET_BATCH_ROWS {
        true => *buffer = Vec::new(),
        false => buffer.clear(),
    }
}

fn disagreement() -> Error {
    bad("the columns of a row disagree")
}
