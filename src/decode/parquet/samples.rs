//! Parquet objects for tests, made by the library's writer.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray, Int96};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// One column of a row group.
#[derive(Debug, Clone)]
pub struct Cells {
    pub values: Stored,
    pub definitions: Vec<i16>,
    pub repetitions: Vec<i16>,
}

#[derive(Debug, Clone)]
pub enum Stored {
    Bool(Vec<bool>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Int96(Vec<Int96>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Bytes(Vec<Vec<u8>>),
    Fixed(Vec<Vec<u8>>),
}

impl Stored {
    fn len(&self) -> usize {
        match self {
            Stored::Bool(values) => values.len(),
            Stored::Int32(values) => values.len(),
            Stored::Int64(values) => values.len(),
            Stored::Int96(values) => values.len(),
            Stored::Float(values) => values.len(),
            Stored::Double(values) => values.len(),
            Stored::Bytes(values) | Stored::Fixed(values) => values.len(),
        }
    }
}

impl From<Stored> for Cells {
    /// A required column.
    fn from(values: Stored) -> Cells {
        Cells { values, definitions: Vec::new(), repetitions: Vec::new() }
    }
}

/// Settings for writing an object.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub compression: Compression,
    pub version_2: bool,
    pub dictionary: bool,
    /// Encoding of values that are not in a dictionary; None: the version's own choice.
    pub encoding: Option<Encoding>,
    /// Small: many pages.
    pub page_rows: usize,
}

pub const PLAIN: Style = Style {
    compression: Compression::UNCOMPRESSED,
    version_2: false,
    dictionary: false,
    encoding: None,
    page_rows: 1000,
};

/// An object of row groups; each column of a group has its cells.
pub fn object(schema: &str, groups: &[Vec<Cells>], style: Style) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let version = if style.version_2 { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
    let mut properties = WriterProperties::builder()
        .set_compression(style.compression)
        .set_writer_version(version)
        .set_dictionary_enabled(style.dictionary)
        .set_created_by("test".to_owned())
        .set_write_batch_size(style.page_rows)
        .set_data_page_row_count_limit(style.page_rows);
    if let Some(encoding) = style.encoding {
        properties = properties.set_encoding(encoding);
    }
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build())).unwrap();
    for group in groups {
        let mut row_group = writer.next_row_group().unwrap();
        let mut cells = group.iter();
        while let Some(mut column) = row_group.next_column().unwrap() {
            write(column.untyped(), cells.next().unwrap());
            column.close().unwrap();
        }
        row_group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

fn write(writer: &mut ColumnWriter<'_>, cells: &Cells) {
    let rows = !cells.definitions.is_empty() || cells.values.len() > 0;
    let levels = |levels: &'_ Vec<i16>| (!levels.is_empty() || !rows).then(|| levels.clone());
    let (definitions, repetitions) = (levels(&cells.definitions), levels(&cells.repetitions));
    let (definitions, repetitions) = (definitions.as_deref(), repetitions.as_deref());
    let bytes = |values: &[Vec<u8>]| values.iter().cloned().map(ByteArray::from).collect::<Vec<_>>();
    match (writer, &cells.values) {
        (ColumnWriter::BoolColumnWriter(w), Stored::Bool(v)) => w.write_batch(v, definitions, repetitions),
        (ColumnWriter::Int32ColumnWriter(w), Stored::Int32(v)) => w.write_batch(v, definitions, repetitions),
        (ColumnWriter::Int64ColumnWriter(w), Stored::Int64(v)) => w.write_batch(v, definitions, repetitions),
        (ColumnWriter::Int96ColumnWriter(w), Stored::Int96(v)) => w.write_batch(v, definitions, repetitions),
        (ColumnWriter::FloatColumnWriter(w), Stored::Float(v)) => w.write_batch(v, definitions, repetitions),
        (ColumnWriter::DoubleColumnWriter(w), Stored::Double(v)) => {
            w.write_batch(v, definitions, repetitions)
        }
        (ColumnWriter::ByteArrayColumnWriter(w), Stored::Bytes(v)) => {
            w.write_batch(&bytes(v), definitions, repetitions)
        }
        (ColumnWriter::FixedLenByteArrayColumnWriter(w), Stored::Fixed(v)) => {
            let values: Vec<_> = bytes(v).into_iter().map(FixedLenByteArray::from).collect();
            w.write_batch(&values, definitions, repetitions)
        }
        _ => panic!("the cells are not of the column's type"),
    }
    .unwrap();
}
