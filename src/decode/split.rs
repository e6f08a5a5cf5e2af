//! Text -> records, by format.

use std::sync::Arc;

use super::csv::Csv;
use super::detect::{self, Detector};
use super::documents::{AmongText, Documents, Each};
use super::foreign;
use super::format::{Bare, Others};
use super::header::Headers;
use super::incapsula::Incapsula;
use super::json::{self, Json};
use super::json_lines::JsonLines;
use super::latin1::Latin1;
use super::lines::Lines;
use super::magic::{self, Found, Magic};
use super::parquet::Parquet;
use super::partial::Limit;
use super::pieces::{Piece, Pieces};
use super::signs::Signs;
use super::snappy_blocks::SnappyBlocks;
use super::start::{Passed, Start};
use super::utf16::{Order, Utf16};
use super::{Account, Bounds, Error, Format, Newlines, Record, Sink};
use crate::base::limits::{EXAMPLE_BYTES, INFLATE_WINDOW_BYTES};

/// The splitter of one object's text.
pub(super) struct Split {
    splitter: Splitter,
    /// Looks for Parquet. None once the text has begun.
    magic: Option<Magic>,
    /// The conversion of the text to UTF-8.
    charset: Charset,
    /// A possible start of a byte order mark. None once the text has begun.
    mark: Option<Vec<u8>>,
    start: Start,
    look: Look,
    /// Lines end with a lone CR.
    ends_with_cr: bool,
    /// The first bytes of the text, for messages.
    beginning: Vec<u8>,
    /// Bytes given to [`Split::push`].
    taken: u64,
    /// Bytes not yet passed to the splitter.
    offset: u64,
    bounds: Bounds,
    account: Account,
}

enum Splitter {
    Lines(Lines),
    Csv(Csv),
    Pieces(Box<Pieces>),
    JsonLines(JsonLines),
    Json(Box<Json>),
    Documents(Box<Documents>),
    AmongText(Box<AmongText>),
    Incapsula(Box<Incapsula>),
    SnappyBlocks(Box<SnappyBlocks>),
    Parquet {
        parquet: Box<Parquet>,
        /// The reader of its rows, if the service's format says which documents it reads.
        documents: Option<Box<Splitter>>,
    },
    /// Undecided so far.
    Undecided {
        detector: Detector,
        held: Vec<u8>,
        /// The reader if the first line is JSON. None: JSON values, or lines of them.
        json: Option<Box<Splitter>>,
        /// The reader otherwise. If `json` is none, the first line is not JSON.
        text: Box<Splitter>,
    },
}

/// The checks at the start of a text.
struct Look {
    /// Checks whether it is binary.
    binary: bool,
    /// Checks whether its lines end with a lone CR.
    line_ends: bool,
    /// Checks whether it is the log of another service.
    signs: Option<Arc<Signs>>,
}

impl Look {
    /// Checks the start of a text.
    fn at(&self, start: &[u8], ends_with_cr: &mut bool) -> Result<(), Error> {
        foreign::check_start(start, self.binary)?;
        *ends_with_cr = self.line_ends && has_lone_cr_only(start);
        self.signs.as_ref().map_or(Ok(()), |signs| signs.check(start))
    }
}

/// Bytes of the longest mark.
const MARK_BYTES_MAX: usize = 3;

/// The encoding of a text.
enum Charset {
    /// UTF-8, or bytes of any kind.
    Utf8,
    Latin1(Latin1),
    Utf16(Utf16),
}

impl Charset {
    /// The next bytes of the text in UTF-8.
    fn convert<'t>(&'t mut self, piece: &'t [u8]) -> &'t [u8] {
        match self {
            Charset::Utf8 => piece,
            Charset::Latin1(latin1) => latin1.convert(piece),
            Charset::Utf16(utf16) => utf16.convert(piece),
        }
    }
}

/// U+FEFF at the start of a text gives its encoding, and belongs to no record.
const MARKS: [(&[u8], Option<Order>); 3] =
    [(&[0xef, 0xbb, 0xbf], None), (&[0xff, 0xfe], Some(Order::Little)), (&[0xfe, 0xff], Some(Order::Big))];

impl Split {
    pub fn new(format: Format, bounds: Bounds, account: Account) -> Self {
        let (format, signs) = match format {
            Format::Known { format, signs } => (*format, Some(signs)),
            other => (other, None),
        };
        let (format, charset) = match format {
            Format::Latin1(inner) => (*inner, Charset::Latin1(Latin1::default())),
            other => (other, Charset::Utf8),
        };
        let binary = matches!(charset, Charset::Utf8) && format.may_be_text();
        let look = Look { binary, line_ends: format.has_line_ends(), signs };
        let is_looked_at = look.binary || look.line_ends || look.signs.is_some();
        let magic = (format != Format::Parquet).then(Magic::new);
        let splitter = match (format, &look.signs) {
            (Format::Parquet, signs) => Splitter::parquet(bounds, &account, signs.clone()),
            (format, signs) => Splitter::new(format, bounds, &account, signs.as_ref()),
        };
        Split {
            splitter,
            magic,
            charset,
            mark: Some(Vec::new()),
            start: Start::new(is_looked_at),
            look,
            ends_with_cr: false,
            beginning: Vec::new(),
            taken: 0,
            offset: 0,
            bounds,
            account,
        }
    }

    /// Bytes of text so far; for Parquet, those of its records.
    pub fn taken_bytes(&self) -> u64 {
        match &self.splitter {
            Splitter::Parquet { parquet, .. } => parquet.json_bytes(),
            Splitter::SnappyBlocks(blocks) => blocks.text_bytes(),
            _ => self.taken,
        }
    }

    pub fn empty_documents(&self) -> u64 {
        self.splitter.empty_documents()
    }

    /// The first bytes of the text.
    pub fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// The next bytes of the text.
    pub fn push(&mut self, text: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        self.taken += text.len() as u64;
        if self.beginning.len() < EXAMPLE_BYTES {
            let missing = EXAMPLE_BYTES - self.beginning.len();
            self.beginning.extend_from_slice(&text[..text.len().min(missing)]);
        }
        if let Splitter::Parquet { parquet, .. } = &mut self.splitter {
            return parquet.push(text);
        }
        match self.magic.as_mut().map_or(Found::Text(b"", text), |magic| magic.push(text)) {
            Found::Undecided => Ok(()),
            Found::Parquet(rest) => self.become_parquet(rest),
            Found::Text(held, rest) => {
                self.magic = None;
                self.text(held, sink)?;
                self.text(rest, sink)
            }
        }
    }

    /// The text has ended.
    pub fn finish(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        if let Splitter::Parquet { parquet, documents } = &mut self.splitter {
            return finish_parquet(parquet, documents.as_deref_mut(), sink);
        }
        if let Some(magic) = self.magic.take() {
            self.text(magic.held(), sink)?;
        }
        self.begin(sink)?;
        self.end_charset(sink)?;
        self.check(sink)?;
        if let Splitter::Undecided { detector, .. } = &self.splitter {
            let shape = detector.finish();
            self.decide(shape, sink)?;
        }
        self.splitter.finish(self.offset, sink)
    }

    fn become_parquet(&mut self, rest: &[u8]) -> Result<(), Error> {
        let lines = Splitter::lines(self.limit());
        let documents = std::mem::replace(&mut self.splitter, lines).of_documents();
        // Their reader knows which documents it reads.
        let signs = self.look.signs.clone().filter(|signs| documents.is_none() || !signs.only_parquet);
        let mut parquet = Box::new(Parquet::new(self.bounds, self.account.clone(), signs));
        let pushed = parquet.push(magic::PARQUET).and_then(|()| parquet.push(rest));
        self.splitter = Splitter::Parquet { parquet, documents };
        pushed
    }

    /// After an error, passes on the complete part of the text that was held back for the checks.
    pub fn give_up(&mut self, sink: &mut dyn Sink) {
        // The first error counts.
        let _ = self.begin(sink).and_then(|()| self.check(sink));
    }

    fn text(&mut self, text: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        let Some(held) = self.mark.take() else { return self.split(text, sink) };
        if held.is_empty() && text.len() >= MARK_BYTES_MAX {
            return self.behind_mark(text, sink);
        }
        let (head, rest) = text.split_at(text.len().min(MARK_BYTES_MAX - held.len()));
        let start = [&held, head].concat();
        if start.len() < MARK_BYTES_MAX {
            self.mark = Some(start);
            return Ok(());
        }
        self.behind_mark(&start, sink)?;
        self.split(rest, sink)
    }

    /// `start` is the start of the text, long enough for any mark if the text is.
    fn behind_mark(&mut self, start: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        // For a Latin-1 service the marks of UTF-16 are letters.
        let is_known = |order: &Option<Order>| order.is_none() || matches!(self.charset, Charset::Utf8);
        let found = MARKS.iter().find(|(mark, order)| start.starts_with(mark) && is_known(order));
        let Some((mark, order)) = found else { return self.split(start, sink) };
        self.offset += mark.len() as u64;
        if let Some(order) = order {
            self.charset = Charset::Utf16(Utf16::new(*order));
        }
        self.split(&start[mark.len()..], sink)
    }

    /// The text has ended, so no mark can follow.
    fn begin(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        match self.mark.take() {
            Some(start) => self.behind_mark(&start, sink),
            None => Ok(()),
        }
    }

    fn split(&mut self, text: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        if let Charset::Utf8 = self.charset {
            return self.look_and_split(text, sink);
        }
        let mut charset = std::mem::replace(&mut self.charset, Charset::Utf8);
        // In pieces, so that the converted text stays small.
        let mut pieces = text.chunks(INFLATE_WINDOW_BYTES);
        let splitted = pieces.try_for_each(|piece| self.look_and_split(charset.convert(piece), sink));
        self.charset = charset;
        splitted
    }

    /// Passes on the rest of a text that was not UTF-8.
    fn end_charset(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        match std::mem::replace(&mut self.charset, Charset::Utf8) {
            Charset::Utf16(mut utf16) => self.look_and_split(utf16.finish(), sink),
            Charset::Utf8 | Charset::Latin1(_) => Ok(()),
        }
    }

    /// Checks text before any of it is a record.
    fn look_and_split(&mut self, text: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        let (look, ends_with_cr) = (&self.look, &mut self.ends_with_cr);
        match self.start.push(text, |start| look.at(start, ends_with_cr))? {
            Passed::Nothing => Ok(()),
            Passed::Text(text) => self.split_utf8(text, sink),
            Passed::Held(held, rest) => {
                self.split_utf8(&held, sink)?;
                self.split_utf8(rest, sink)
            }
        }
    }

    /// Stops waiting for more of the text.
    fn check(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        let (look, ends_with_cr) = (&self.look, &mut self.ends_with_cr);
        match self.start.finish(|start| look.at(start, ends_with_cr))? {
            Some(held) => self.split_utf8(&held, sink),
            None => Ok(()),
        }
    }

    fn split_utf8(&mut self, text: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        if !self.ends_with_cr {
            return self.split_lines(text, sink);
        }
        let line_feeds = |piece: &[u8]| -> Vec<u8> {
            piece.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect()
        };
        text.chunks(INFLATE_WINDOW_BYTES).try_for_each(|piece| self.split_lines(&line_feeds(piece), sink))
    }

    fn split_lines(&mut self, text: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        if let Splitter::Undecided { detector, held, .. } = &mut self.splitter {
            let Some(shape) = detector.push(text) else {
                held.extend_from_slice(text);
                return Ok(());
            };
            self.decide(shape, sink)?;
        }
        self.feed(text, sink)
    }

    fn decide(&mut self, shape: detect::Shape, sink: &mut dyn Sink) -> Result<(), Error> {
        let lines = Splitter::lines(self.limit());
        let undecided = std::mem::replace(&mut self.splitter, lines);
        let Splitter::Undecided { held, json, text, .. } = undecided else {
            self.splitter = undecided;
            return Ok(());
        };
        let max = self.limit();
        match (shape, json) {
            (detect::Shape::Lines, _) | (detect::Shape::JsonLines, Some(_)) => self.splitter = *text,
            (detect::Shape::Json, Some(json)) => self.splitter = *json,
            (detect::Shape::JsonLines, None) => {
                self.splitter = Splitter::JsonLines(JsonLines::among_text(max));
            }
            (detect::Shape::Json, None) => {
                self.splitter = Splitter::Json(Box::new(Json::new(Vec::new(), max)));
            }
        }
        self.feed(&held, sink)
    }

    fn limit(&self) -> Limit {
        Limit { max: self.bounds.record_bytes_max, account: self.account.clone() }
    }

    fn feed(&mut self, text: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        let offset = self.offset;
        self.offset += text.len() as u64;
        self.splitter.push(text, offset, sink)
    }
}

/// A row of Parquet is read like a JSON document, if the service's format says which documents it reads; otherwise it is a
/// record.
fn finish_parquet(
    parquet: &mut Parquet,
    documents: Option<&mut Splitter>,
    sink: &mut dyn Sink,
) -> Result<(), Error> {
    let Some(documents) = documents else {
        return parquet.finish(&mut |row| {
            sink.record(Record::new(row, Newlines::Absent));
            Ok(())
        });
    };
    let mut offset = 0;
    parquet.finish(&mut |row| {
        let begin = offset;
        offset += row.len() as u64;
        documents.push(row, begin, sink)
    })?;
    documents.finish(offset, sink)
}

impl Splitter {
    /// Takes the next bytes of the text, which start at `offset` in it.
    fn push(&mut self, text: &[u8], offset: u64, sink: &mut dyn Sink) -> Result<(), Error> {
        match self {
            Splitter::Lines(lines) => lines.push(text, sink),
            Splitter::Csv(csv) => csv.push(text, sink),
            Splitter::Pieces(pieces) => pieces.push(text, sink),
            Splitter::JsonLines(lines) => lines.push(text, offset, sink),
            Splitter::Json(json) => json.push(text, offset, &mut json::records(sink)),
            Splitter::Documents(documents) => documents.push(text, offset, sink),
            Splitter::AmongText(documents) => documents.push(text, offset, sink),
            Splitter::Incapsula(incapsula) => incapsula.push(text, sink),
            Splitter::SnappyBlocks(blocks) => blocks.push(text, sink),
            Splitter::Parquet { .. } | Splitter::Undecided { .. } => Ok(()),
        }
    }

    /// Ends the text, which has `length` bytes.
    fn finish(&mut self, length: u64, sink: &mut dyn Sink) -> Result<(), Error> {
        match self {
            Splitter::Lines(lines) => lines.finish(sink),
            Splitter::Csv(csv) => csv.finish(sink),
            Splitter::Pieces(pieces) => pieces.finish(sink),
            Splitter::JsonLines(lines) => lines.finish(length, sink),
            Splitter::Json(json) => json.finish(length, &mut json::records(sink)),
            Splitter::Documents(documents) => documents.finish(length, sink),
            Splitter::AmongText(documents) => documents.finish(length, sink),
            Splitter::Incapsula(incapsula) => incapsula.finish(sink),
            Splitter::SnappyBlocks(blocks) => blocks.finish(sink),
            Splitter::Parquet { .. } | Splitter::Undecided { .. } => Ok(()),
        }
    }

    fn empty_documents(&self) -> u64 {
        match self {
            Splitter::Documents(documents) => documents.empty_documents(),
            Splitter::AmongText(documents) => documents.empty_documents(),
            Splitter::Parquet { documents: Some(documents), .. } => documents.empty_documents(),
            _ => 0,
        }
    }

    /// The reader of JSON documents, if the format has one for which rows are documents.
    fn of_documents(self) -> Option<Box<Splitter>> {
        match self {
            Splitter::Documents(documents) if documents.take_rows() => {
                Some(Box::new(Splitter::Documents(documents)))
            }
            Splitter::Undecided { json: Some(json), .. } => json.of_documents(),
            _ => None,
        }
    }

    /// Messages in envelopes are compared with `signs`.
    fn new(format: Format, bounds: Bounds, account: &Account, signs: Option<&Arc<Signs>>) -> Self {
        let limit = Limit { max: bounds.record_bytes_max, account: account.clone() };
        let max = || limit.clone();
        let pieces = |separator: &[u8], each| Splitter::Pieces(Box::new(Pieces::new(separator, each, max())));
        match format {
            Format::Lines { header_lines } => {
                Splitter::Lines(Lines::new(Headers::first(header_lines), max()))
            }
            Format::Csv { header_lines } => Splitter::Csv(Csv::new(Headers::first(header_lines), max())),
            Format::LinesWithHeaders { names } => Splitter::Lines(Lines::new(Headers::named(names), max())),
            Format::CsvWithHeaders { names } => Splitter::Csv(Csv::new(Headers::named(names), max())),
            Format::SelectedLines { header_lines, selection } => {
                pieces(b"\n", Piece::Selected { header_lines, selection, position: 0 })
            }
            Format::LinesUnder { prefix } => {
                pieces(b"\n", Piece::Under { prefix, at_head: true, seen: Vec::new() })
            }
            Format::SeparatedJson { separator } => pieces(&separator, Piece::Json),
            Format::JsonArrayLines => pieces(b"\n", Piece::Array),
            Format::TextFile(file) => Splitter::Pieces(Box::new(Pieces::text(file, max()))),
            Format::JsonLines => Splitter::JsonLines(JsonLines::new(max())),
            Format::Json { path } if path.is_empty() => Splitter::Json(Box::new(Json::new(path, max()))),
            Format::WholeJson { path } if path.is_empty() => {
                Splitter::Json(Box::new(Json::whole(path, max())))
            }
            Format::Or { format, others } => Splitter::documents(*format, others, bounds, account, signs),
            Format::Json { .. }
            | Format::WholeJson { .. }
            | Format::ReshapedJson { .. }
            | Format::JsonValues { .. }
            | Format::ExtractedJson { .. }
            | Format::CloudWatch { .. }
            | Format::Envelopes { .. } => Splitter::documents(format, Arc::default(), bounds, account, signs),
            Format::Incapsula => Splitter::Incapsula(Box::new(Incapsula::new(bounds, max()))),
            Format::SnappyBlocks => Splitter::SnappyBlocks(Box::new(SnappyBlocks::new(bounds, max()))),
            Format::Parquet => Splitter::parquet(bounds, account, None),
            Format::Detect => Splitter::undecided(None, Splitter::lines(max())),
            Format::OrJson(text) => Splitter::undecided(None, Splitter::new(*text, bounds, account, signs)),
            // Repeated, or not outermost, it says nothing more about the text.
            Format::Latin1(inner) | Format::Known { format: inner, .. } => {
                Splitter::new(*inner, bounds, account, signs)
            }
        }
    }

    fn parquet(bounds: Bounds, account: &Account, signs: Option<Arc<Signs>>) -> Self {
        let parquet = Box::new(Parquet::new(bounds, account.clone(), signs));
        Splitter::Parquet { parquet, documents: None }
    }

    /// Splits for the formats that read documents.
    fn documents(
        format: Format,
        others: Arc<Others>,
        bounds: Bounds,
        account: &Account,
        signs: Option<&Arc<Signs>>,
    ) -> Self {
        let max = Limit { max: bounds.record_bytes_max, account: account.clone() };
        let documents = match format {
            Format::CloudWatch { body } if others.bare == Bare::Any => {
                let events = || Each::events(body, signs.cloned());
                let among_text = AmongText::new(events(), others.clone(), max.clone());
                let documents = Documents::new(Vec::new(), events(), others, max);
                let documents = Box::new(Splitter::Documents(Box::new(documents)));
                return Splitter::undecided(Some(documents), Splitter::AmongText(Box::new(among_text)));
            }
            Format::Json { path } => Documents::new(path, Each::AsItIs, others, max),
            Format::WholeJson { path } => Documents::whole(path, others, max),
            Format::ReshapedJson { path, shape } => Documents::new(path, Each::shape(shape), others, max),
            Format::JsonValues { paths } => Documents::new(Vec::new(), Each::values(paths), others, max),
            Format::ExtractedJson { keys } => Documents::new(Vec::new(), Each::extract(keys), others, max),
            Format::CloudWatch { body } => {
                Documents::new(Vec::new(), Each::events(body, signs.cloned()), others, max)
            }
            Format::Envelopes { detail } => {
                Documents::new(Vec::new(), Each::Other, envelopes(detail, &others), max)
            }
            other => return Splitter::new(other, bounds, account, signs),
        };
        Splitter::Documents(Box::new(documents))
    }

    fn undecided(json: Option<Box<Splitter>>, text: Splitter) -> Self {
        Splitter::Undecided { detector: Detector::new(), held: Vec::new(), json, text: Box::new(text) }
    }

    fn lines(limit: Limit) -> Self {
        Splitter::Lines(Lines::new(Headers::first(0), limit))
    }
}

/// True if something follows a CR, and there is no line feed.
fn has_lone_cr_only(start: &[u8]) -> bool {
    let behind = memchr::memchr(b'\r', start).map(|at| &start[at..]);
    behind.is_some_and(|rest| rest.iter().any(|byte| !matches!(byte, b'\r' | b' ' | b'\t')))
        && memchr::memchr(b'\n', start).is_none()
}

/// Records are in an envelope only. Without a description of alternatives, any other document is a record.
fn envelopes(detail: Vec<String>, others: &Others) -> Arc<Others> {
    let others_paths = others.paths.iter().filter(|path| **path != detail).cloned();
    let paths = std::iter::once(detail.clone()).chain(others_paths).collect();
    let bare = if *others == Others::default() { Bare::Any } else { others.bare.clone() };
    Arc::new(Others { paths, log_events: true, bare, empty: others.empty.clone() })
}
