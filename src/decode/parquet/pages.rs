//! The pages of one column, decompressed here: the library would decompress without a bound.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::SerializedPageReader;

use crate::decode::inflate::check_expansion;
use crate::decode::{Bounds, Error};
use crate::limits::PARQUET_ROW_VALUES_MAX;

/// What the columns of a row group share: how much of their pages may be held.
pub(super) struct Room {
    object_bytes: u64,
    open_bytes_max: usize,
    expansion_ratio_max: u64,
    /// Bytes of pages that may still be referred to.
    open: AtomicUsize,
    /// Bytes of all pages so far.
    expanded: AtomicU64,
    /// The number of the batch of rows.
    batch: AtomicUsize,
}

impl Room {
    pub fn new(object_bytes: u64, bounds: &Bounds) -> Self {
        Room {
            object_bytes,
            open_bytes_max: bounds.held_bytes_max,
            expansion_ratio_max: bounds.expansion_ratio_max,
            open: AtomicUsize::new(0),
            expanded: AtomicU64::new(0),
            batch: AtomicUsize::new(0),
        }
    }

    /// The rows so far are done with: of each column only the page that is being read is needed.
    pub fn next_batch(&self) {
        self.batch.fetch_add(1, Relaxed);
    }

    fn left(&self) -> usize {
        self.open_bytes_max.saturating_sub(self.open.load(Relaxed))
    }

    fn take(&self, bytes: usize) -> std::result::Result<(), Error> {
        let expanded = self.expanded.fetch_add(bytes as u64, Relaxed) + bytes as u64;
        check_expansion(self.object_bytes, expanded, self.expansion_ratio_max)?;
        if bytes > self.left() {
            return Err(self.full());
        }
        self.open.fetch_add(bytes, Relaxed);
        Ok(())
    }

    fn full(&self) -> Error {
        Error::PagesTooLarge { max: self.open_bytes_max }
    }
}

/// Reads one column's pages in order.
pub(super) struct Pages {
    inner: SerializedPageReader<Bytes>,
    codec: Codec,
    room: Arc<Room>,
    /// A page that was read before its time.
    ahead: Option<Page>,
    repeated: bool,
    batch: usize,
    /// Bytes of pages of the current batch, and of the last of them.
    open: usize,
    last: usize,
    /// Values of pages that were begun in the current batch.
    values: usize,
}

impl Pages {
    pub fn new(
        object: Arc<Bytes>,
        chunk: &ColumnChunkMetaData,
        room: Arc<Room>,
    ) -> std::result::Result<Self, Error> {
        let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
        if start < 0 || chunk.compressed_size() < 0 {
            return Err(super::bad("a column stands at a negative offset"));
        }
        let codec = Codec::of(chunk.compression())?;
        // As if it were not compressed: the pages come as they are.
        let builder = chunk.clone().into_builder();
        let chunk = builder.set_compression(Compression::UNCOMPRESSED).build()?;
        let repeated = chunk.column_descr().max_rep_level() > 0;
        let inner = SerializedPageReader::new(object, &chunk, 0, None)?;
        Ok(Pages { inner, codec, room, ahead: None, repeated, batch: 0, open: 0, last: 0, values: 0 })
    }

    fn read(&mut self) -> Result<Option<Page>> {
        let Some(page) = self.inner.get_next_page()? else { return Ok(None) };
        self.forget_earlier_pages();
        let page = self.decompress(page).map_err(external)?;
        let bytes = page.buffer().len();
        self.room.take(bytes).map_err(external)?;
        if page.is_data_page() {
            self.open += bytes;
            self.last = bytes;
            self.count_values(page.num_values() as usize)?;
        }
        Ok(Some(page))
    }

    fn forget_earlier_pages(&mut self) {
        let batch = self.room.batch.load(Relaxed);
        if std::mem::replace(&mut self.batch, batch) != batch {
            self.room.open.fetch_sub(self.open - self.last, Relaxed);
            self.open = self.last;
            self.values = 0;
        }
    }

    /// A row of lists may go on from page to page, and some bytes can stand for millions of elements.
    fn count_values(&mut self, values: usize) -> Result<()> {
        self.values = self.values.saturating_add(values);
        if self.repeated && self.values > PARQUET_ROW_VALUES_MAX {
            return Err(external(super::bad("a page holds too many values")));
        }
        Ok(())
    }

    fn decompress(&self, mut page: Page) -> std::result::Result<Page, Error> {
        let unpack = |buf: &Bytes, plain| self.codec.decompress(buf, plain, self.room.left(), &self.room);
        match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => *buf = unpack(buf, 0)?,
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, is_compressed, .. } => {
                // The levels are not compressed in this version.
                let levels = *def_levels_byte_len as usize + *rep_levels_byte_len as usize;
                if std::mem::take(is_compressed) {
                    *buf = unpack(buf, levels)?;
                }
            }
        }
        Ok(page)
    }
}

fn external(error: Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        match self.ahead.take() {
            Some(page) => Ok(Some(page)),
            None => self.read(),
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        if self.ahead.is_none() {
            self.ahead = self.read()?;
        }
        Ok(self.ahead.as_ref().map(|page| PageMetadata {
            num_rows: match page {
                Page::DataPageV2 { num_rows, .. } => Some(*num_rows as usize),
                _ => None,
            },
            num_levels: page.is_data_page().then(|| page.num_values() as usize),
            is_dict: page.is_dictionary_page(),
        }))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.get_next_page().map(drop)
    }
}

/// How the pages of a column are compressed.
#[derive(Clone, Copy)]
pub(super) enum Codec {
    Plain,
    Snappy,
    Gzip,
    Zstd,
    Lz4,
}

impl Codec {
    /// brotli, LZO and the two meanings of the deprecated `LZ4` occur in no log that AWS or its
    /// neighbours write.
    pub fn of(compression: Compression) -> std::result::Result<Self, Error> {
        Ok(match compression {
            Compression::UNCOMPRESSED => Codec::Plain,
            Compression::SNAPPY => Codec::Snappy,
            Compression::GZIP(_) => Codec::Gzip,
            Compression::ZSTD(_) => Codec::Zstd,
            Compression::LZ4_RAW => Codec::Lz4,
            other => return Err(super::bad(format!("{other} compression is not supported"))),
        })
    }

    /// The first `plain` bytes are as they are. No more than `max` bytes are made.
    fn decompress(
        self,
        packed: &Bytes,
        plain: usize,
        max: usize,
        room: &Room,
    ) -> std::result::Result<Bytes, Error> {
        if matches!(self, Codec::Plain) {
            return Ok(packed.clone());
        }
        let Some((levels, values)) = packed.split_at_checked(plain) else {
            return Err(super::bad("a page's levels are longer than the page"));
        };
        let mut output = levels.to_vec();
        if !values.is_empty() {
            self.append(values, &mut output, max, room)?;
        }
        Ok(Bytes::from(output))
    }

    fn append(
        self,
        values: &[u8],
        output: &mut Vec<u8>,
        max: usize,
        room: &Room,
    ) -> std::result::Result<(), Error> {
        match self {
            Codec::Plain => output.extend_from_slice(values),
            Codec::Snappy => snappy(values, output, max, room)?,
            Codec::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(values), output, max, room)?,
            Codec::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(values).map_err(super::bad)?;
                read_bounded(decoder, output, max, room)?;
            }
            Codec::Lz4 => lz4(values, output, max, room)?,
        }
        Ok(())
    }
}

fn snappy(values: &[u8], output: &mut Vec<u8>, max: usize, room: &Room) -> std::result::Result<(), Error> {
    let length = snap::raw::decompress_len(values).map_err(super::bad)?;
    if length > max {
        return Err(room.full());
    }
    let start = output.len();
    output.resize(start + length, 0);
    snap::raw::Decoder::new().decompress(values, &mut output[start..]).map_err(super::bad)?;
    Ok(())
}

fn read_bounded(
    decoder: impl Read,
    output: &mut Vec<u8>,
    max: usize,
    room: &Room,
) -> std::result::Result<(), Error> {
    let taken = decoder.take(max as u64 + 1).read_to_end(output).map_err(super::bad)?;
    if taken > max { Err(room.full()) } else { Ok(()) }
}

/// A raw block does not say how long it will be: the room grows until it is enough.
fn lz4(values: &[u8], output: &mut Vec<u8>, max: usize, room: &Room) -> std::result::Result<(), Error> {
    use lz4_flex::block::{DecompressError, decompress_into};
    let start = output.len();
    let mut length = values.len().saturating_mul(4).min(max);
    loop {
        output.resize(start + length, 0);
        match decompress_into(values, &mut output[start..]) {
            Ok(written) => {
                output.truncate(start + written);
                return Ok(());
            }
            Err(DecompressError::OutputTooSmall { .. }) if length < max => {
                length = length.saturating_mul(4).min(max);
            }
            Err(DecompressError::OutputTooSmall { .. }) => return Err(room.full()),
            Err(other) => return Err(super::bad(other)),
        }
    }
}
