//! Documents among lines of text: messages that Firehose has extracted may be JSON and text in one object.

use std::sync::Arc;

use super::reader::{Each, Reader};
use crate::decode::format::Others;
use crate::decode::json::{Found, walk};
use crate::decode::json_lines::JsonLines;
use crate::decode::partial::Limit;
use crate::decode::{Error, Record, Sink};

/// The splitter of one object's text. A line that is not JSON is a record; JSON is read as documents.
pub struct AmongText {
    lines: JsonLines,
    reader: Reader,
}

impl AmongText {
    /// See [`Documents::new`](super::Documents::new).
    pub fn new(each: Each, others: Arc<Others>, limit: Limit) -> Self {
        let reader = Reader::new(Vec::new(), each, others, &limit);
        AmongText { lines: JsonLines::among_text(limit), reader }
    }

    /// Number of documents known to have no records.
    pub fn empty_documents(&self) -> u64 {
        self.reader.empty
    }

    /// Takes the next bytes of the text, which start at `offset` in it.
    pub fn push(&mut self, data: &[u8], offset: u64, sink: &mut dyn Sink) -> Result<(), Error> {
        let AmongText { lines, reader } = self;
        let splitted =
            lines.push(data, offset, &mut |record: Record<'_>| reader.document_or_text(record, sink));
        reader.failed.take().map_or(splitted, Err)
    }

    /// Ends the text, which has `length` bytes.
    pub fn finish(&mut self, length: u64, sink: &mut dyn Sink) -> Result<(), Error> {
        let AmongText { lines, reader } = self;
        let splitted = lines.finish(length, &mut |record: Record<'_>| reader.document_or_text(record, sink));
        reader.failed.take().map_or(splitted, Err)?;
        reader.unexpected()
    }
}

impl Reader {
    fn document_or_text(&mut self, record: Record<'_>, sink: &mut dyn Sink) {
        match record.bytes {
            [b'{', ..] if walk::is_value(record.bytes) => self.take(Found::Record(record), sink),
            _ => match documents(record.bytes) {
                Some(documents) => {
                    let found = |bytes| Found::Record(Record { bytes, context: bytes.into(), ..record });
                    documents.into_iter().for_each(|document| self.take(found(document), sink));
                }
                None if self.failed.is_none() => sink.record(record),
                None => (),
            },
        }
    }
}

/// The elements of an array of documents. None: it is text, which may well begin with a bracket.
fn documents(line: &[u8]) -> Option<Vec<&[u8]>> {
    if line.first() != Some(&b'[') || !walk::is_value(line) {
        return None;
    }
    let elements: Vec<&[u8]> = walk::elements(walk::trim(line))?.collect::<Result<_, _>>().ok()?;
    elements.iter().all(|element| element.starts_with(b"{")).then_some(elements)
}
