//! JSON documents -> records that are made of them.
//!
//! For the formats whose records are not simply slices of the text. A document is held whole, within
//! the bound of a record.

mod detail;
mod events;
mod extracted;
mod reshape;
#[cfg(test)]
mod tests;
mod values;

use std::sync::Arc;

use super::format::{EventBody, Shape};
use super::json::Json;
use super::json::scan::Fault;
use super::memory::Charge;
use super::partial::Limit;
use super::{Error, Newlines, Record};
use crate::limits::MIB;
use events::Events;

/// What becomes of each document.
pub(super) enum Each {
    /// See [`Format::CloudWatch`](super::Format::CloudWatch).
    Events(Events),
    /// See [`Format::Envelopes`](super::Format::Envelopes).
    Detail { path: Vec<String>, events: Events },
    /// See [`Format::JsonValues`](super::Format::JsonValues).
    Values { paths: Vec<Vec<String>>, text: Vec<u8> },
    /// See [`Format::ReshapedJson`](super::Format::ReshapedJson).
    Shape { shape: Arc<Shape>, object: Vec<u8> },
    /// See [`Format::ExtractedJson`](super::Format::ExtractedJson).
    Extract { keys: Vec<String>, object: Vec<u8> },
}

impl Each {
    pub fn events(body: EventBody) -> Each {
        Each::Events(Events::new(body))
    }

    pub fn detail(path: Vec<String>) -> Each {
        Each::Detail { path, events: Events::new(EventBody::Message) }
    }

    pub fn values(paths: Vec<Vec<String>>) -> Each {
        Each::Values { paths, text: Vec::new() }
    }

    pub fn shape(shape: Arc<Shape>) -> Each {
        Each::Shape { shape, object: Vec::new() }
    }

    pub fn extract(keys: Vec<String>) -> Each {
        Each::Extract { keys, object: Vec::new() }
    }
}

/// Why a document gives no records, or not all of its records.
pub(super) enum Failure {
    /// It is not the JSON that it seemed to be.
    Bad(Fault),
    /// What becomes of it is over the bound.
    TooLarge,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        Failure::Bad(fault)
    }
}

/// What a document has become.
#[derive(PartialEq, Eq)]
enum Outcome {
    /// Its records, if it holds any.
    Read,
    /// It is of a kind that holds none.
    Skipped,
}

/// The splitter of one object's text.
pub(super) struct Documents {
    json: Json,
    each: Each,
    /// Documents so far.
    number: u64,
    skipped: u64,
    record_bytes_max: usize,
    /// What a large document becomes.
    charge: Charge,
}

impl Documents {
    /// `json` finds the documents.
    pub fn new(json: Json, each: Each, limit: impl Into<Limit>) -> Self {
        let limit = limit.into();
        let charge = limit.account.charge();
        Documents { json, each, number: 0, skipped: 0, record_bytes_max: limit.max, charge }
    }

    /// Documents that hold no record.
    pub fn skipped_documents(&self) -> u64 {
        self.skipped + self.json.skipped_documents()
    }

    /// The next bytes of the text; `offset`: where in the text they stand.
    pub fn push(&mut self, data: &[u8], offset: u64, sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        self.each(sink, |json, documents| json.push(data, offset, documents))
    }

    /// The text, `length` bytes of it, has ended.
    pub fn finish(&mut self, length: u64, sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        self.each(sink, |json, documents| json.finish(length, documents))
    }

    /// Whatever fails first ends the text.
    fn each(
        &mut self,
        sink: &mut dyn FnMut(Record<'_>),
        split: impl FnOnce(&mut Json, &mut dyn FnMut(Record<'_>)) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Documents { json, each, number, skipped, record_bytes_max, charge } = self;
        let mut failed = None;
        let splitted = split(json, &mut |document| {
            if failed.is_some() {
                return;
            }
            *number += 1;
            let max = (each.growth_max() * document.bytes.len() + MIB).min(*record_bytes_max);
            if let Err(error) = charge.set(if max > 2 * MIB { max } else { 0 }) {
                failed = Some(error);
                return;
            }
            match each.document(document.bytes, max, sink) {
                Ok(outcome) => *skipped += u64::from(outcome == Outcome::Skipped),
                Err(Failure::Bad(Fault { cause, .. })) => {
                    failed = Some(Error::BadDocument { number: *number, cause });
                }
                Err(Failure::TooLarge) => failed = Some(Error::RecordTooLarge { max }),
            }
            if max > 2 * MIB {
                each.forget();
                let _ = charge.set(0);
            }
        });
        failed.map_or(splitted, Err)
    }
}

impl Each {
    /// How many times as large as a document what it becomes may be, over a mebibyte. Keys that are written
    /// again and again make an object larger, but not that of any log so much.
    fn growth_max(&self) -> usize {
        if matches!(self, Each::Shape { .. }) { 8 } else { 2 }
    }

    /// Gives back the memory of a large document.
    fn forget(&mut self) {
        match self {
            Each::Events(events) | Each::Detail { events, .. } => events.forget(),
            Each::Values { text: buffer, .. }
            | Each::Shape { object: buffer, .. }
            | Each::Extract { object: buffer, .. } => *buffer = Vec::new(),
        }
    }

    fn document(
        &mut self,
        document: &[u8],
        max: usize,
        sink: &mut dyn FnMut(Record<'_>),
    ) -> Result<Outcome, Failure> {
        match self {
            Each::Events(events) => Ok(events.envelope(document, sink)?),
            Each::Detail { path, events } => Ok(detail::records(document, path, events, sink)?),
            Each::Values { paths, text } => Ok(values::records(document, paths, text, sink)?),
            Each::Shape { shape, object } => {
                object.clear();
                if reshape::write(document, shape, max, object)? {
                    sink(json_record(object));
                } else {
                    sink(json_record(document));
                }
                Ok(Outcome::Read)
            }
            Each::Extract { keys, object } => Ok(extracted::records(document, keys, object, sink)?),
        }
    }
}

/// A JSON value as a record.
fn json_record(bytes: &[u8]) -> Record<'_> {
    Record::new(bytes, Newlines::Insignificant)
}
