//! The pages of one column: read and decompressed here, within bounds, before the library decodes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;

use super::claims::Claims;
use super::codec::Codec;
use super::header::{self, Header, Kind};
use crate::base::limits::PARQUET_ROW_VALUES_MAX;
use crate::base::locks::lock;
use crate::decode::inflate::check_expansion;
use crate::decode::memory::Charge;
use crate::decode::{Account, Bounds, Error};

/// State shared by the columns of a row group: the memory that they may use.
pub(super) struct Room {
    object_bytes: u64,
    open_bytes_max: usize,
    expansion_ratio_max: u64,
    /// Bytes of pages that may still be referenced, and the library's memory for them.
    charge: Mutex<Charge>,
    /// Bytes that were held before.
    held: usize,
    /// Bytes of all pages so far.
    expanded: AtomicU64,
    /// The number of the batch of rows.
    batch: AtomicUsize,
}

impl Room {
    /// `held` is the number of bytes that the object takes already.
    pub fn new(object_bytes: u64, held: usize, bounds: &Bounds, account: &Account) -> Self {
        Room {
            object_bytes,
            open_bytes_max: bounds.held_bytes_max,
            expansion_ratio_max: bounds.expansion_ratio_max,
            charge: Mutex::new(account.charge()),
            held,
            expanded: AtomicU64::new(0),
            batch: AtomicUsize::new(0),
        }
    }

    /// Releases the rows so far: each column needs only the current page.
    pub fn next_batch(&self) {
        self.batch.fetch_add(1, Relaxed);
    }

    /// Counts bytes derived from the object's.
    fn expand(&self, bytes: usize) -> std::result::Result<(), Error> {
        let expanded = self.expanded.fetch_add(bytes as u64, Relaxed) + bytes as u64;
        check_expansion(self.object_bytes, expanded, self.expansion_ratio_max)
    }

    /// Charges memory, before it is allocated.
    pub fn take(&self, bytes: usize) -> std::result::Result<(), Error> {
        let mut charge = self.charge();
        if charge.bytes().saturating_add(self.held).saturating_add(bytes) > self.open_bytes_max {
            return Err(Error::PagesTooLarge { max: self.open_bytes_max });
        }
        charge.add(bytes)
    }

    fn give_back(&self, bytes: usize) {
        let mut charge = self.charge();
        let left = charge.bytes().saturating_sub(bytes);
        // Less is always possible.
        let _ = charge.set(left);
    }

    fn charge(&self) -> MutexGuard<'_, Charge> {
        lock(&self.charge)
    }
}

/// Reads one column's pages in order.
pub(super) struct Pages {
    object: Arc<Bytes>,
    /// Unread bytes of the column.
    offset: usize,
    end: usize,
    claims: Claims,
    codec: Codec,
    room: Arc<Room>,
    /// A page that was read ahead.
    ahead: Option<Page>,
    batch: usize,
    /// Bytes of pages of the current batch, and of the last of them.
    open: usize,
    last: usize,
    /// Values of pages that were started in the current batch.
    values: usize,
}

impl Pages {
    pub fn new(
        object: Arc<Bytes>,
        chunk: &ColumnChunkMetaData,
        room: Arc<Room>,
    ) -> std::result::Result<Self, Error> {
        let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
        let (Ok(offset), Ok(length)) = (usize::try_from(start), usize::try_from(chunk.compressed_size()))
        else {
            return Err(super::bad("a column has a negative offset"));
        };
        let end = offset.saturating_add(length);
        if end > object.len() {
            return Err(super::bad("a column extends beyond the end of the object"));
        }
        let codec = Codec::of(chunk.compression())?;
        let claims = Claims::of(chunk.column_descr())?;
        let (batch, open, last, values) = (0, 0, 0, 0);
        Ok(Pages { object, offset, end, claims, codec, room, ahead: None, batch, open, last, values })
    }

    fn read(&mut self) -> std::result::Result<Option<Page>, Error> {
        let Some((header, stored)) = self.next()? else { return Ok(None) };
        self.forget_earlier_pages();
        let made = self.codec.bytes_made(&header);
        self.room.expand(header.expanded)?;
        self.room.take(made)?;
        let page = self.page(&header, &stored)?;
        let needed = self.claims.bytes_needed(&page)?;
        self.room.take(needed)?;
        if page.is_data_page() {
            self.open += made + needed;
            self.last = made + needed;
            self.count_values(page.num_values() as usize)?;
        }
        Ok(Some(page))
    }

    /// The next page's header, and its bytes as stored.
    fn next(&mut self) -> std::result::Result<Option<(Header, Bytes)>, Error> {
        while self.offset < self.end {
            let (header, length) =
                header::read(&self.object[self.offset..self.end]).ok_or_else(bad_header)?;
            let start = self.offset + length;
            if header.stored > self.end - start {
                return Err(super::bad("a page is longer than its column"));
            }
            self.offset = start + header.stored;
            if header.kind != Kind::Index {
                let stored = self.object.slice(start..self.offset);
                check_crc(&header, &stored)?;
                return Ok(Some((header, stored)));
            }
        }
        Ok(None)
    }

    fn forget_earlier_pages(&mut self) {
        let batch = self.room.batch.load(Relaxed);
        if std::mem::replace(&mut self.batch, batch) != batch {
            self.room.give_back(self.open - self.last);
            self.open = self.last;
            self.values = 0;
        }
    }

    /// A row of lists may span pages, and some bytes can stand for millions of elements.
    fn count_values(&mut self, values: usize) -> std::result::Result<(), Error> {
        self.values = self.values.saturating_add(values);
        if self.claims.is_repeated() && self.values > PARQUET_ROW_VALUES_MAX {
            return Err(super::bad("a page has too many values"));
        }
        Ok(())
    }

    /// The page as the library takes it.
    fn page(&self, header: &Header, stored: &Bytes) -> std::result::Result<Page, Error> {
        let fields = &header.fields;
        let count = |id| fields.count(id).ok_or_else(bad_header);
        let encoding = |id| fields.get(id).and_then(encoding).ok_or_else(bad_header);
        Ok(match header.kind {
            Kind::Index => return Err(bad_header()),
            Kind::Dictionary => Page::DictionaryPage {
                num_values: count(1)?,
                encoding: encoding(2)?,
                is_sorted: fields.get(3) == Some(1),
                buf: self.codec.expand(stored, 0, header.expanded)?,
            },
            Kind::Data => Page::DataPage {
                num_values: count(1)?,
                encoding: encoding(2)?,
                def_level_encoding: encoding(3)?,
                rep_level_encoding: encoding(4)?,
                buf: self.codec.expand(stored, 0, header.expanded)?,
                statistics: None,
            },
            Kind::DataV2 => {
                let (def_levels_byte_len, rep_levels_byte_len) = (count(5)?, count(6)?);
                // The levels are not compressed in this version.
                let levels = (def_levels_byte_len as usize).saturating_add(rep_levels_byte_len as usize);
                let buf = match fields.get(7) {
                    Some(0) => stored.clone(),
                    _ => self.codec.expand(stored, levels, header.expanded)?,
                };
                Page::DataPageV2 {
                    num_values: count(1)?,
                    num_nulls: count(2)?,
                    num_rows: count(3)?,
                    encoding: encoding(4)?,
                    def_levels_byte_len,
                    rep_levels_byte_len,
                    is_compressed: false,
                    buf,
                    statistics: None,
                }
            }
        })
    }
}

fn check_crc(header: &Header, stored: &[u8]) -> std::result::Result<(), Error> {
    let Some(expected) = header.crc else { return Ok(()) };
    let mut crc = flate2::Crc::new();
    crc.update(stored);
    if crc.sum() == expected { Ok(()) } else { Err(super::bad("a page's checksum is wrong")) }
}

fn bad_header() -> Error {
    super::bad("the header of a page is corrupt")
}

/// `Encoding` of `parquet.thrift`.
fn encoding(number: i32) -> Option<Encoding> {
    Some(match number {
        0 => Encoding::PLAIN,
        2 => Encoding::PLAIN_DICTIONARY,
        3 => Encoding::RLE,
        #[expect(deprecated, reason = "old objects have it")]
        4 => Encoding::BIT_PACKED,
        5 => Encoding::DELTA_BINARY_PACKED,
        6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        7 => Encoding::DELTA_BYTE_ARRAY,
        8 => Encoding::RLE_DICTIONARY,
        9 => Encoding::BYTE_STREAM_SPLIT,
        10 => Encoding::ALP,
        _ => return None,
    })
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
            None => self.read().map_err(external),
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        if self.ahead.is_none() {
            self.ahead = self.read().map_err(external)?;
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
