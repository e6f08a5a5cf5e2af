//! Pieces of text between separators -> records.

use std::sync::Arc;

use super::copies::Copies;
use super::json::walk;
use super::lines::content;
use super::partial::Limit;
use super::select::Selection;
use super::separated::Separated;
use super::text_file::{Header, HeaderLine, TextFile};
use super::{Error, Newlines, Record, Sink};
use crate::base::limits::{ADDED_HEADER_BYTES_MAX, HEADER_BYTES_MAX};

/// The splitter of one object's text.
pub(super) struct Pieces {
    separated: Separated,
    each: Piece,
}

/// The treatment of each piece.
pub(super) enum Piece {
    /// See [`Format::SelectedLines`](super::Format::SelectedLines).
    Selected { header_lines: u32, selection: Arc<Selection>, position: u64 },
    /// See [`Format::LinesUnder`](super::Format::LinesUnder).
    Under { prefix: Vec<u8>, at_head: bool, seen: Vec<Vec<u8>> },
    /// See [`Format::SeparatedJson`](super::Format::SeparatedJson).
    Json,
    /// See [`Format::JsonArrayLines`](super::Format::JsonArrayLines).
    Array,
    /// See [`Format::TextFile`](super::Format::TextFile).
    Text(Text),
}

pub(super) struct Text {
    file: Arc<TextFile>,
    at_header: bool,
    /// The header, which may recur.
    header: Option<Vec<u8>>,
    /// The mark of another one.
    header_line: Option<HeaderLine>,
    names: Option<Header>,
    /// The output for a piece, if it is not the piece itself.
    record: Vec<u8>,
    /// The part of the header, or of its names, that is repeated in each record.
    copies: Copies,
}

impl Pieces {
    pub fn new(separator: &[u8], each: Piece, limit: impl Into<Limit>) -> Self {
        Pieces { separated: Separated::new(separator, limit), each }
    }

    pub fn text(file: Arc<TextFile>, limit: impl Into<Limit>) -> Self {
        let separator = file.line_separator.clone();
        let names = file.json.as_ref().and_then(|fields| fields.names.given());
        let text = Text {
            at_header: file.header,
            header: None,
            header_line: None,
            names,
            record: Vec::new(),
            copies: Copies::default(),
            file,
        };
        Pieces::new(&separator, Piece::Text(text), limit)
    }

    /// The next bytes of the text.
    pub fn push(&mut self, data: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        let Pieces { separated, each } = self;
        separated.push(data, &mut |piece| each.piece(piece, sink))
    }

    /// The text has ended.
    pub fn finish(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        let Pieces { separated, each } = self;
        separated.finish(&mut |piece| each.piece(piece, sink))
    }
}

impl Piece {
    fn piece(&mut self, piece: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        match self {
            Piece::Selected { header_lines, selection, position } => {
                let (line, at) = (content(piece), *position);
                *position += 1;
                if line.is_empty() {
                    return Ok(());
                }
                if *header_lines > 0 {
                    *header_lines -= 1;
                } else if selection.wants(at, line) {
                    sink.record(Record::new(line, Newlines::Absent));
                }
            }
            Piece::Under { prefix, at_head, seen } => {
                let line = content(piece);
                if line.is_empty() || is_under(line, prefix, *at_head, seen) {
                    return Ok(());
                }
                *at_head = false;
                sink.record(Record::new(line, Newlines::Absent));
            }
            Piece::Json => {
                let text = walk::trim(piece);
                if !text.is_empty() {
                    sink.record(json(text));
                }
            }
            Piece::Array => array(content(piece), sink),
            Piece::Text(text) => return text.piece(piece, sink),
        }
        Ok(())
    }
}

impl Text {
    fn piece(&mut self, piece: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        let Text { file, at_header, header, header_line, names, record, copies } = self;
        copies.read(piece.len() + file.line_separator.len());
        let piece = if file.line_separator == b"\n" { content(piece) } else { piece };
        // Between other separators, a bare line end is the end of the file.
        if piece.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return Ok(());
        }
        if header.as_deref() == Some(piece) {
            return Ok(());
        }
        let is_another = || header_line.as_ref().is_some_and(|header| header.has_names_of(piece));
        if std::mem::take(at_header) || is_another() {
            let max = if file.json.is_some() { HEADER_BYTES_MAX } else { ADDED_HEADER_BYTES_MAX };
            if piece.len() > max {
                return Err(Error::HeaderTooLarge { max });
            }
            *header = Some(piece.to_vec());
            *header_line = Some(HeaderLine::new(file, piece));
            *names = file.json.as_ref().and_then(|fields| fields.names.read(piece));
            return Ok(());
        }
        record.clear();
        match (&file.json, names, header) {
            (Some(fields), Some(names), _) => {
                names.write(piece, &fields.separator, record);
                copies.copy(record.len().saturating_sub(piece.len()))?;
                sink.record(Record::new(record, Newlines::Absent));
            }
            (None, _, Some(header)) => {
                copies.copy(header.len())?;
                [header.as_slice(), &file.line_separator, piece]
                    .into_iter()
                    .for_each(|part| record.extend_from_slice(part));
                // Fields are looked up in the text after the header.
                sink.record(Record { bytes: record, newlines: Newlines::Significant, context: piece.into() });
            }
            _ => sink.record(Record::new(piece, Newlines::Significant)),
        }
        Ok(())
    }
}

/// The directives of the W3C extended log format, which are not records. Concatenated files have them anywhere.
const DIRECTIVES: [&[u8]; 7] =
    [b"Version", b"Fields", b"Software", b"Start-Date", b"End-Date", b"Date", b"Remark"];

/// True if the line is a header. After the head, it is one if it begins with the same word as a header in the head, or with
/// a directive of the W3C format.
fn is_under(line: &[u8], prefix: &[u8], at_head: bool, seen: &mut Vec<Vec<u8>>) -> bool {
    let Some(behind) = line.strip_prefix(prefix) else { return false };
    let end = behind.iter().position(|byte| matches!(byte, b':' | b' ' | b'\t')).unwrap_or(behind.len());
    let word = &behind[..end];
    let is_directive = behind.get(end) == Some(&b':') && DIRECTIVES.contains(&word);
    let is_known = is_directive || seen.iter().any(|known| known == word);
    if at_head && !is_known {
        seen.push(word.to_vec());
    }
    at_head || is_known
}

/// A line feed inside data that is not JSON is part of it.
fn json(text: &[u8]) -> Record<'_> {
    let newlines = match memchr::memchr2(b'\n', b'\r', text) {
        None => Newlines::Absent,
        Some(_) if walk::is_value(text) => Newlines::Insignificant,
        Some(_) => Newlines::Significant,
    };
    Record::new(text, newlines)
}

/// The elements of an array; a line that is not one, or not complete, is a record unchanged.
fn array(line: &[u8], sink: &mut dyn Sink) {
    let whole = walk::elements(walk::trim(line)).filter(|_| walk::is_value(line));
    let Some(elements) = whole else {
        if !line.is_empty() {
            sink.record(Record::new(line, Newlines::Absent));
        }
        return;
    };
    match elements.collect::<Result<Vec<&[u8]>, _>>() {
        Ok(elements) => {
            elements.iter().for_each(|element| sink.record(Record::new(element, Newlines::Absent)));
        }
        Err(_) => sink.record(Record::new(line, Newlines::Absent)),
    }
}
