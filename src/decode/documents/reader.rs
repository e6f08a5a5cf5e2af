//! The treatment of documents, one after another.

use std::sync::Arc;

use super::events::Events;
use super::others::Alternatives;
use super::outcome::{Failure, Outcome, json_record};
use super::{extracted, reshape, values};
use crate::base::limits::{EXAMPLE_BYTES, MIB};
use crate::decode::format::{EventBody, Others, Shape, under};
use crate::decode::json::Found;
use crate::decode::json::scan::Fault;
use crate::decode::memory::Charge;
use crate::decode::partial::Limit;
use crate::decode::{Error, Record, Signs, Sink};

/// The treatment of each document.
pub enum Each {
    /// See [`Format::Json`](crate::decode::Format::Json).
    AsItIs,
    /// See [`Format::Envelopes`](crate::decode::Format::Envelopes): everything that it reads is an alternative.
    Other,
    /// See [`Format::CloudWatch`](crate::decode::Format::CloudWatch).
    Events(Events),
    /// See [`Format::JsonValues`](crate::decode::Format::JsonValues).
    Values { paths: Vec<Vec<String>>, text: Vec<u8> },
    /// See [`Format::ReshapedJson`](crate::decode::Format::ReshapedJson).
    Shape { shape: Arc<Shape>, object: Vec<u8> },
    /// See [`Format::ExtractedJson`](crate::decode::Format::ExtractedJson).
    Extract { keys: Vec<String>, object: Vec<u8> },
}

impl Each {
    /// The messages of envelopes, which are compared with the signatures of other services' logs.
    pub fn events(body: EventBody, signs: Option<Arc<Signs>>) -> Each {
        Each::Events(Events::new(body, signs))
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

    /// Maximum ratio of a document's output to its size, beyond a mebibyte. Repeated keys make an object larger, but no
    /// log's that much.
    fn growth_max(&self) -> usize {
        if matches!(self, Each::Shape { .. }) { 8 } else { 2 }
    }

    /// Returns the memory of a large document.
    fn forget(&mut self) {
        match self {
            Each::AsItIs | Each::Other => (),
            Each::Events(events) => events.forget(),
            Each::Values { text: buffer, .. }
            | Each::Shape { object: buffer, .. }
            | Each::Extract { object: buffer, .. } => *buffer = Vec::new(),
        }
    }

    fn document(&mut self, record: Record<'_>, max: usize, sink: &mut dyn Sink) -> Result<Outcome, Failure> {
        let document = record.bytes;
        match self {
            Each::AsItIs => {
                sink.record(record);
                Ok(Outcome::Read)
            }
            Each::Other => Ok(Outcome::Other),
            Each::Events(events) => events.envelope(document, sink),
            Each::Values { paths, text } => Ok(values::records(document, paths, text, sink)?),
            Each::Shape { shape, object } => {
                object.clear();
                if reshape::write(document, shape, max, object)? {
                    sink.record(json_record(object));
                } else {
                    sink.record(record);
                }
                Ok(Outcome::Read)
            }
            Each::Extract { keys, object } => Ok(extracted::records(document, keys, object, sink)?),
        }
    }

    /// The required members of a document, for people. Empty if any document will do.
    fn expected(&self, path: &[String]) -> Vec<String> {
        match self {
            Each::Other => Vec::new(),
            Each::Events(_) => vec!["a CloudWatch Logs envelope with logEvents".to_owned()],
            Each::Values { paths, .. } => paths.iter().map(|path| under(path)).collect(),
            Each::Extract { keys, .. } => keys.iter().map(|key| under(std::slice::from_ref(key))).collect(),
            Each::AsItIs | Each::Shape { .. } if path.is_empty() => Vec::new(),
            Each::AsItIs | Each::Shape { .. } => vec![under(path)],
        }
    }
}

/// The treatment of the documents.
pub(super) struct Reader {
    /// The target of `json`'s path, for people.
    path: Vec<String>,
    each: Each,
    alternatives: Alternatives,
    /// Number of documents so far.
    number: u64,
    pub empty: u64,
    unexpected: u64,
    /// The start of the first unexpected one.
    example: String,
    record_bytes_max: usize,
    /// For the output of a large document.
    charge: Charge,
    pub failed: Option<Error>,
}

impl Reader {
    pub fn new(path: Vec<String>, each: Each, others: Arc<Others>, limit: &Limit) -> Self {
        Reader {
            path,
            alternatives: Alternatives::new(others, matches!(each, Each::Events(_))),
            number: 0,
            empty: 0,
            unexpected: 0,
            example: String::new(),
            record_bytes_max: limit.max,
            charge: limit.account.charge(),
            failed: None,
            each,
        }
    }

    /// True if a row of Parquet is such a document. A path alone only says where JSON has its records.
    pub fn takes_rows(&self) -> bool {
        matches!(self.each, Each::Events(_) | Each::Other) || *self.alternatives.others() != Others::default()
    }

    pub fn take(&mut self, found: Found<'_>, sink: &mut dyn Sink) {
        if self.failed.is_some() {
            return;
        }
        self.number += 1;
        if let Err(failure) = self.read(found, sink) {
            self.failed = Some(match failure {
                Failure::Bad(Fault { cause, .. }) => Error::BadDocument { number: self.number, cause },
                Failure::TooLarge => Error::RecordTooLarge { max: self.record_bytes_max },
                Failure::Object(error) => error,
            });
        }
    }

    #[inline]
    fn read(&mut self, found: Found<'_>, sink: &mut dyn Sink) -> Result<(), Failure> {
        let document = match found {
            Found::Record(Record { bytes, .. }) | Found::Other(bytes) | Found::Empty(bytes) => bytes,
        };
        let max = self.reserve(document.len())?;
        let outcome = match found {
            Found::Record(_) if !self.alternatives.may_be_record(document) => Outcome::Other,
            Found::Record(record) => self.each.document(record, max, sink)?,
            Found::Other(_) => Outcome::Other,
            Found::Empty(_) => Outcome::Empty,
        };
        if outcome != Outcome::Read {
            self.other(document, outcome == Outcome::Empty, max, sink)?;
        }
        self.release();
        Ok(())
    }

    /// Charges the maximum output of a document of this length, if that is large, and returns it.
    #[inline]
    fn reserve(&mut self, length: usize) -> Result<usize, Failure> {
        let max = (self.each.growth_max() * length + MIB).min(self.record_bytes_max);
        if max > 2 * MIB {
            self.charge.set(max).map_err(Failure::Object)?;
        }
        Ok(max)
    }

    /// Returns the memory of a large document.
    #[inline]
    fn release(&mut self) {
        if self.charge.bytes() > 0 {
            self.each.forget();
            self.alternatives.forget();
            // Less is always possible.
            let _ = self.charge.set(0);
        }
    }

    /// Reads a document in which no record has been found where they usually are. `is_empty` says that it has the place.
    fn other(
        &mut self,
        document: &[u8],
        is_empty: bool,
        max: usize,
        sink: &mut dyn Sink,
    ) -> Result<(), Failure> {
        let Reader { each, alternatives, .. } = self;
        let mut give = |record: &[u8], sink: &mut dyn Sink| {
            let record = json_record(record);
            match each.document(record, max, sink) {
                Ok(Outcome::Other) => {
                    sink.record(record);
                    Ok(())
                }
                read => read.map(drop),
            }
        };
        match alternatives.document(document, is_empty, &mut give, sink)? {
            Outcome::Read => (),
            Outcome::Empty => self.empty += 1,
            Outcome::Other => self.count_unexpected(document),
        }
        Ok(())
    }

    fn count_unexpected(&mut self, document: &[u8]) {
        if self.unexpected == 0 {
            let start = &document[..document.len().min(EXAMPLE_BYTES)];
            self.example = String::from_utf8_lossy(start).escape_debug().to_string();
        }
        self.unexpected += 1;
    }

    pub fn unexpected(&self) -> Result<(), Error> {
        if self.unexpected == 0 {
            return Ok(());
        }
        let own = self.each.expected(&self.path);
        let mut expected: Vec<String> = Vec::new();
        for each in own.into_iter().chain(self.alternatives.others().expected()) {
            if !expected.contains(&each) {
                expected.push(each);
            }
        }
        let (count, example) = (self.unexpected, self.example.clone());
        Err(Error::UnexpectedDocuments { count, expected: expected.join(", or "), example })
    }
}
