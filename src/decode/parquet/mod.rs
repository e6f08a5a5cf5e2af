//! Apache Parquet -> one JSON object per row.
//!
//! The format is that of <https://parquet.apache.org/docs/file-format/>. Its index is at the end of the object, so the
//! object is collected first; then row groups are read one after another, a few hundred rows at a time:
//!
//! ```text
//! object ──► footer ──► rows ──► row ──► value
//!            is it      pages    tree    JSON text
//!            sane?      columns
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`footer`] | refuses footers that would crash the process instead of failing |
//! | [`pages`], [`header`], [`codec`] | pages, read and decompressed within bounds |
//! | [`claims`], [`delta`] | a page's claims, checked against what its bytes can hold |
//! | [`thrift`] | the encoding of the footer and of the headers |
//! | [`column`] | one column: levels and values of a batch of rows |
//! | [`tree`] | the schema, and a row built from it |
//! | [`value`] | one value as JSON text |
//!
//! Each row's object has all columns in the order of the schema; a null has its key and `null`.

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
use super::{Account, Bounds, Error, Signs};
use bad::bad;

/// Collects an object, and reads it when it is complete.
pub(super) struct Parquet {
    bounds: Bounds,
    account: Account,
    object: Held,
    /// Signatures for comparison with the first row.
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

    /// Takes the next bytes of the object.
    pub fn push(&mut self, data: &[u8]) -> Result<(), Error> {
        let max = self.bounds.held_bytes_max;
        if self.object.len() + data.len() > max {
            self.object.clear();
            return Err(Error::ObjectTooLarge { max });
        }
        self.object.extend(data)
    }

    /// Ends and reads the object. All rows before the first damage are passed to `give`, until it fails.
    pub fn finish(&mut self, give: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
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
            give(bytes)
        };
        // The library's decoders index and unwrap according to a corrupt page: their panics are corruption like any
        // other, and nothing they had is used afterwards. (`footer` and `claims` have refused input that would abort
        // the process instead.)
        let read =
            catch_unwind(AssertUnwindSafe(|| rows::read(object, &self.bounds, &self.account, &mut record)));
        read.unwrap_or_else(|_| Err(bad("a value has an impossible type")))
    }
}
