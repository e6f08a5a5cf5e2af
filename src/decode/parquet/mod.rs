//! Apache Parquet -> one JSON object per row.
//!
//! The format is that of <https://parquet.apache.org/docs/file-format/>. Its index stands at the end
//! of the object, so the object is collected first; then row groups are read one after another, a
//! few hundred rows at a time:
//!
//! ```text
//! object ──► footer ──► rows ──► row ──► value
//!            is it      pages    tree    JSON text
//!            sane?      columns
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`footer`] | refuses what would end the process instead of failing |
//! | [`pages`], [`header`], [`codec`] | pages, read and decompressed within bounds |
//! | [`claims`], [`delta`] | what a page claims, compared with what its bytes can hold |
//! | [`thrift`] | the encoding of the footer and of the headers |
//! | [`column`] | one column: levels and values of a batch of rows |
//! | [`tree`] | the schema, and a row put together by it |
//! | [`value`] | one value as JSON text |
//!
//! Each row's object has all columns in the order of the schema; what is null has its key and `null`.

mod bad;
mod claims;
mod codec;
mod column;
mod delta;
mod footer;
mod header;
mod pages;
mod rows;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
mod thrift;
mod tree;
mod value;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use super::partial::{Held, Limit};
use super::{Account, Bounds, Error, Newlines, Record, Signs};
use bad::bad;

/// Collects an object, and reads it when it is all there.
pub(super) struct Parquet {
    bounds: Bounds,
    account: Account,
    object: Held,
    /// What the first row is compared with.
    signs: Option<Arc<Signs>>,
    json_bytes: u64,
}

impl Parquet {
    pub fn new(bounds: Bounds, account: Account, signs: Option<Arc<Signs>>) -> Self {
        let object = Held::new(&Limit { max: bounds.held_bytes_max, account: account.clone() });
        Parquet { bounds, account, object, signs, json_bytes: 0 }
    }

    /// Bytes of records so far.
    pub fn json_bytes(&self) -> u64 {
        self.json_bytes
    }

    /// The next bytes of the object.
    pub fn push(&mut self, data: &[u8]) -> Result<(), Error> {
        let max = self.bounds.held_bytes_max;
        if self.object.len() + data.len() > max {
            self.object.clear();
            return Err(Error::ObjectTooLarge { max });
        }
        self.object.extend(data)
    }

    /// The object has ended: reads it. All rows before the first damage are given to `sink`.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        let object = Bytes::from(self.object.take());
        if object.is_empty() {
            return Ok(());
        }
        let compressed = object.len() as u64;
        let mut unseen = self.signs.take();
        let mut record = |bytes: &[u8]| {
            unseen.take().map_or(Ok(()), |signs| signs.check_row(bytes))?;
            self.json_bytes += bytes.len() as u64;
            super::inflate::check_expansion(compressed, self.json_bytes, self.bounds.expansion_ratio_max)?;
            sink(Record::new(bytes, Newlines::Absent));
            Ok(())
        };
        // The library's decoders index and unwrap by what a damaged page says: a panic of theirs is
        // damage like any other, and nothing they had is used after it. (What would abort the
        // process instead, `footer` and `claims` have refused.)
        let read =
            catch_unwind(AssertUnwindSafe(|| rows::read(object, &self.bounds, &self.account, &mut record)));
        read.unwrap_or_else(|_| Err(bad("a value cannot be what it says it is")))
    }
}
