//! JSON documents -> records made from them.
//!
//! A document is held whole, within the bound of a record, unless a path leads to its records. One that does not have
//! its format's shape may be something else ([`others`]); if it is not, the object is refused once all its other
//! records have been passed on.

mod among_text;
mod events;
mod extracted;
mod others;
mod outcome;
mod reader;
mod reshape;
#[cfg(test)]
mod tests;
mod values;

use std::sync::Arc;

use super::format::Others;
use super::json::{Json, Take};
use super::partial::Limit;
use super::{Error, Sink};
use reader::Reader;

pub(super) use among_text::AmongText;
pub(super) use reader::Each;

/// The splitter of one object's text.
pub(super) struct Documents {
    json: Json,
    reader: Reader,
}

impl Documents {
    /// Finds the documents by `path`, and reads them by `each`, or else by `others`.
    pub fn new(path: Vec<String>, each: Each, others: Arc<Others>, limit: Limit) -> Self {
        Documents::of(Json::new(path.clone(), limit.clone()), path, each, others, limit)
    }

    /// Creates a splitter for which an array is one document, not a list of them.
    pub fn whole(path: Vec<String>, others: Arc<Others>, limit: Limit) -> Self {
        Documents::of(Json::whole(path.clone(), limit.clone()), path, Each::AsItIs, others, limit)
    }

    fn of(json: Json, path: Vec<String>, each: Each, others: Arc<Others>, limit: Limit) -> Self {
        Documents { json, reader: Reader::new(path, each, others, &limit) }
    }

    /// Number of documents known to have no records.
    pub fn empty_documents(&self) -> u64 {
        self.reader.empty
    }

    /// True if a row of Parquet is such a document.
    pub fn take_rows(&self) -> bool {
        self.reader.takes_rows()
    }

    /// Takes the next bytes of the text, which start at `offset` in it.
    pub fn push(&mut self, data: &[u8], offset: u64, sink: &mut dyn Sink) -> Result<(), Error> {
        self.each(sink, |json, documents| json.push(data, offset, documents))
    }

    /// Ends the text, which has `length` bytes.
    pub fn finish(&mut self, length: u64, sink: &mut dyn Sink) -> Result<(), Error> {
        self.each(sink, |json, documents| json.finish(length, documents))?;
        self.reader.unexpected()
    }

    /// The first failure ends the text.
    fn each(
        &mut self,
        sink: &mut dyn Sink,
        split: impl FnOnce(&mut Json, &mut Take<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Documents { json, reader } = self;
        let splitted = split(json, &mut |found| reader.take(found, sink));
        reader.failed.take().map_or(splitted, Err)
    }
}
