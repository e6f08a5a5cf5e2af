//! The content of an object: `file_format` of the vendor's configuration, and `encoding`.

use std::sync::Arc;

use super::header::HeaderNames;
use super::select::Selection;
use super::signs::Signs;
use super::text_file::TextFile;
use crate::base::text::fingerprint;

/// The content of an object after decompression.
///
/// Wherever JSON values are read, they may follow one another with white space, commas, RS (RFC 7464) or nothing
/// between them, and a top-level array stands for its elements. A *path* leads down by keys; a `null` at its end counts
/// as nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// LF-separated lines; the first `header_lines` non-empty ones are dropped.
    Lines { header_lines: u32 },
    /// Lines; a line whose first field is one of the names, or that has two of them, is a header, wherever it is, and is
    /// dropped.
    LinesWithHeaders { names: Arc<HeaderNames> },
    /// Lines; the first ones are dropped as long as they begin with `prefix` (CloudFront's `#`), and so are later ones
    /// that begin with the same word, or with a directive of the W3C's extended log format (`#Fields:`).
    LinesUnder { prefix: Vec<u8> },
    /// Some of the lines, unchanged.
    SelectedLines { header_lines: u32, selection: Arc<Selection> },
    /// JSON values that mostly fill a line each. A line that is one object costs no more than a line of text.
    JsonLines,
    /// JSON values. With a `path`, the records are what it leads to: the elements of an array, or the value itself.
    Json { path: Vec<String> },
    /// JSON values, with each record's members renamed, left out or flattened.
    ReshapedJson { path: Vec<String>, shape: Arc<Shape> },
    /// JSON values, whole: each document, or the value at the `path`, is one record; arrays too.
    WholeJson { path: Vec<String> },
    /// JSON texts with a separator between them (not empty), each one record.
    SeparatedJson { separator: Vec<u8> },
    /// A JSON array on each line: its elements. Another line is a record unchanged.
    JsonArrayLines,
    /// JSON documents: the values at any of these paths. An array gives its elements, a string the
    /// lines of its text.
    JsonValues { paths: Vec<Vec<String>> },
    /// JSON documents: the values under these top-level keys, each record with one more member, `extraction_key`, that
    /// names its key.
    ExtractedJson { keys: Vec<String> },
    /// The first bytes decide: JSON values, or lines (the vendor's `split_or_unseparated_processor`).
    Detect,
    /// Apache Parquet: each row becomes a JSON object. For an object that begins like Parquet, any other format turns
    /// into this one; where it says which documents it reads, rows are such documents.
    Parquet,
    /// Lines whose double quotes may contain line feeds; the first `header_lines` records are dropped.
    Csv { header_lines: u32 },
    /// CSV records; one whose first field is one of the names, or that has two of them, is a header, and is dropped.
    CsvWithHeaders { names: Arc<HeaderNames> },
    /// Text between arbitrary separators, with or without named fields.
    TextFile(Arc<TextFile>),
    /// CloudWatch Logs subscription envelopes, as Firehose writes them.
    CloudWatch { body: EventBody },
    /// The documents that EventBridge and CloudWatch Logs put on a stream: of an envelope with log events their
    /// messages, of a document with something at the path `detail` that, of any other document itself.
    Envelopes { detail: Vec<String> },
    /// Imperva's log files: header lines, `|==|`, and a body of lines, compressed or not.
    Incapsula,
    /// Blocks of raw snappy, each preceded by a line of JSON with its length; inside, and beside them, JSON values that
    /// mostly fill a line each (Palo Alto's Strata Logging Service).
    SnappyBlocks,
    /// One of the JSON formats above. Documents in which it finds no records may be something else.
    Or { format: Box<Format>, others: Arc<Others> },
    /// The first bytes decide: JSON values, or this text format.
    OrJson(Box<Format>),
    /// The same format, for objects without the signature of another log. It is outermost.
    Known { format: Box<Format>, signs: Arc<Signs> },
    /// Latin-1 text that is converted to UTF-8 before the format reads it.
    Latin1(Box<Format>),
}

impl Format {
    /// A name of 32 digits that is another one for every other way to read objects. The ledger has it with each object,
    /// so it does not grow with the format and the signs of other logs, whose text has ten thousand bytes.
    pub fn name(&self) -> String {
        format!("{:032x}", fingerprint(&format!("{self:?}")))
    }

    /// True if a record may be text that is not JSON.
    pub fn may_be_text(&self) -> bool {
        match self {
            Format::Lines { .. }
            | Format::LinesWithHeaders { .. }
            | Format::LinesUnder { .. }
            | Format::SelectedLines { .. }
            | Format::JsonArrayLines
            | Format::Detect
            | Format::Csv { .. }
            | Format::CsvWithHeaders { .. }
            | Format::OrJson(_)
            | Format::TextFile(_) => true,
            Format::Or { format, others } => others.bare == Bare::Any || format.may_be_text(),
            Format::Latin1(inner) | Format::Known { format: inner, .. } => inner.may_be_text(),
            _ => false,
        }
    }

    /// True if a record may be JSON. False for a format of text only.
    pub fn may_be_json(&self) -> bool {
        match self {
            Format::Lines { .. }
            | Format::LinesWithHeaders { .. }
            | Format::LinesUnder { .. }
            | Format::SelectedLines { .. }
            | Format::Csv { .. }
            | Format::CsvWithHeaders { .. }
            | Format::TextFile(_)
            | Format::Incapsula => false,
            Format::Latin1(inner) | Format::Known { format: inner, .. } => inner.may_be_json(),
            _ => true,
        }
    }

    /// True if lines end with a line feed, so that a lone CR can stand for one.
    pub(super) fn has_line_ends(&self) -> bool {
        !matches!(self, Format::TextFile(_)) && self.may_be_text()
    }

    /// True if it looks for records in JSON documents, so that there can be documents without any.
    pub fn reads_documents(&self) -> bool {
        match self {
            Format::Json { path } | Format::WholeJson { path } | Format::ReshapedJson { path, .. } => {
                !path.is_empty()
            }
            Format::JsonValues { .. }
            | Format::ExtractedJson { .. }
            | Format::CloudWatch { .. }
            | Format::Envelopes { .. }
            | Format::Or { .. } => true,
            Format::Latin1(inner) | Format::Known { format: inner, .. } => inner.reads_documents(),
            _ => false,
        }
    }
}

/// Other shapes of a document, if a format finds no records in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others {
    /// Each path that exists leads to records: an array's elements, or the value itself.
    pub paths: Vec<Vec<String>>,
    /// A CloudWatch Logs envelope, whose messages are the records.
    pub log_events: bool,
    /// A bare record.
    pub bare: Bare,
    /// Members any of which means that the document never has records.
    pub empty: Vec<String>,
}

impl Others {
    /// The required members of a document, for people.
    pub fn expected(&self) -> Vec<String> {
        let mut expected: Vec<String> = self.paths.iter().map(|path| under(path)).collect();
        if self.log_events {
            expected.push("messages in a CloudWatch Logs envelope".to_owned());
        }
        match &self.bare {
            Bare::Unknown => (),
            Bare::Any => expected.push("anything except data that Firehose failed to deliver".to_owned()),
            Bare::Members(sets) => {
                expected.extend(sets.iter().map(|set| format!("a record with {}", set.join(" and "))));
            }
        }
        expected
    }
}

/// The places of records, for people.
pub(super) fn under(path: &[String]) -> String {
    format!("records under {}", path.join("."))
}

/// How a bare record is recognized, outside its usual document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Bare {
    #[default]
    Unknown,
    /// It is an object with all members of one of these sets.
    Members(Vec<Vec<String>>),
    /// Any document is one. Lines of text are too.
    Any,
}

/// The part of a log event that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventBody {
    /// One JSON object: the envelope's members without `logEvents`, then the event's.
    Event,
    /// The message's text.
    Message,
}

/// The changes of a JSON object's members. The steps are in the order of the fields; values keep their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Flattens members of nested objects to `outer_inner`.
    pub flat: bool,
    /// Keeps only these members, under new names: (old, new). Empty keeps all.
    pub include: Vec<(String, String)>,
    /// Renames members: (old, new).
    pub rename: Vec<(String, String)>,
}
