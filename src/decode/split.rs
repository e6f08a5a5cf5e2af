//! Text -> records, by format.

use std::sync::Arc;

use super::csv::Csv;
use super::detect::{self, Detector};
use super::documents::{Documents, Each};
use super::format::{Bare, Others};
use super::header::Headers;
use super::incapsula::Incapsula;
use super::json::{self, Json};
use super::json_lines::JsonLines;
use super::latin1::Latin1;
use super::lines::Lines;
use super::magic::{self, Found, Magic};
use super::parquet::Parquet;
use super::pieces::{Piece, Pieces};
use super::{Bounds, Error, Format, Record};

/// The splitter of one object's text.
pub(super) struct Split {
    splitter: Splitter,
    /// Looks for Parquet. None: the text has begun.
    magic: Option<Magic>,
    /// The text is Latin-1.
    latin1: Option<Latin1>,
    /// How much of a byte order mark has been seen. None: the text has begun.
    mark: Option<usize>,
    /// Bytes given to [`Split::push`].
    taken: u64,
    /// Bytes behind the ones that the splitter has.
    offset: u64,
    bounds: Bounds,
}

enum Splitter {
    Lines(Lines),
    Csv(Csv),
    Pieces(Box<Pieces>),
    JsonLines(JsonLines),
    Json(Box<Json>),
    Documents(Box<Documents>),
    Incapsula(Box<Incapsula>),
    Parquet(Box<Parquet>),
    /// What came so far does not tell yet.
    Undecided {
        detector: Detector,
        held: Vec<u8>,
        /// What reads the text if its first line is JSON. None: JSON values, or lines of them.
        json: Option<Box<Splitter>>,
    },
}

/// U+FEFF at the start of a text says that it is UTF-8, and belongs to no record.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl Split {
    pub fn new(format: Format, bounds: Bounds) -> Self {
        let (format, latin1) = match format {
            Format::Latin1(inner) => (*inner, Some(Latin1::default())),
            other => (other, None),
        };
        let magic = (format != Format::Parquet).then(Magic::new);
        Split {
            splitter: Splitter::new(format, bounds),
            magic,
            latin1,
            mark: Some(0),
            taken: 0,
            offset: 0,
            bounds,
        }
    }

    /// Bytes of text so far; of Parquet, those of its records.
    pub fn taken_bytes(&self) -> u64 {
        match &self.splitter {
            Splitter::Parquet(parquet) => parquet.json_bytes(),
            _ => self.taken,
        }
    }

    pub fn empty_documents(&self) -> u64 {
        match &self.splitter {
            Splitter::Documents(documents) => documents.empty_documents(),
            _ => 0,
        }
    }

    /// The next bytes of the text.
    pub fn push(&mut self, text: &[u8], sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        self.taken += text.len() as u64;
        if let Splitter::Parquet(parquet) = &mut self.splitter {
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
    pub fn finish(&mut self, sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        if let Splitter::Parquet(parquet) = &mut self.splitter {
            return parquet.finish(sink);
        }
        if let Some(magic) = self.magic.take() {
            self.text(magic.held(), sink)?;
        }
        self.begin(sink)?;
        if let Splitter::Undecided { detector, .. } = &self.splitter {
            let shape = detector.finish();
            self.decide(shape, sink)?;
        }
        match &mut self.splitter {
            Splitter::Lines(lines) => lines.finish(sink),
            Splitter::Csv(csv) => csv.finish(sink),
            Splitter::Pieces(pieces) => pieces.finish(sink),
            Splitter::JsonLines(lines) => lines.finish(self.offset, sink),
            Splitter::Json(json) => json.finish(self.offset, &mut json::records(sink)),
            Splitter::Documents(documents) => documents.finish(self.offset, sink),
            Splitter::Incapsula(incapsula) => incapsula.finish(sink),
            Splitter::Parquet(_) | Splitter::Undecided { .. } => Ok(()),
        }
    }

    fn become_parquet(&mut self, rest: &[u8]) -> Result<(), Error> {
        let mut parquet = Box::new(Parquet::new(self.bounds));
        let pushed = parquet.push(magic::PARQUET).and_then(|()| parquet.push(rest));
        self.splitter = Splitter::Parquet(parquet);
        pushed
    }

    fn text(&mut self, text: &[u8], sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        let rest = self.drop_mark(text, sink)?;
        self.split(rest, sink)
    }

    fn drop_mark<'t>(
        &mut self,
        mut text: &'t [u8],
        sink: &mut dyn FnMut(Record<'_>),
    ) -> Result<&'t [u8], Error> {
        while let Some(seen) = self.mark
            && let Some((&byte, rest)) = text.split_first()
        {
            if byte != BYTE_ORDER_MARK[seen] {
                self.begin(sink)?;
                break;
            }
            text = rest;
            self.mark = Some(seen + 1);
            if seen + 1 == BYTE_ORDER_MARK.len() {
                self.mark = None;
                self.offset += BYTE_ORDER_MARK.len() as u64;
            }
        }
        Ok(text)
    }

    /// There is no whole mark: what looked like one is text.
    fn begin(&mut self, sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        let seen = self.mark.take().unwrap_or(0);
        self.split(&BYTE_ORDER_MARK[..seen], sink)
    }

    fn split(&mut self, text: &[u8], sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        let Some(mut latin1) = self.latin1.take() else { return self.split_utf8(text, sink) };
        let splitted = self.split_utf8(latin1.convert(text), sink);
        self.latin1 = Some(latin1);
        splitted
    }

    fn split_utf8(&mut self, text: &[u8], sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        if let Splitter::Undecided { detector, held, .. } = &mut self.splitter {
            let Some(shape) = detector.push(text) else {
                held.extend_from_slice(text);
                return Ok(());
            };
            self.decide(shape, sink)?;
        }
        self.feed(text, sink)
    }

    fn decide(&mut self, shape: detect::Shape, sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        let undecided = std::mem::replace(
            &mut self.splitter,
            Splitter::Lines(Lines::new(Headers::first(0), self.bounds.record_bytes_max)),
        );
        let Splitter::Undecided { held, json, .. } = undecided else {
            self.splitter = undecided;
            return Ok(());
        };
        let max = self.bounds.record_bytes_max;
        match (shape, json) {
            (detect::Shape::Lines, _) => (),
            (_, Some(json)) => self.splitter = *json,
            (detect::Shape::JsonLines, None) => {
                self.splitter = Splitter::JsonLines(JsonLines::among_text(max))
            }
            (detect::Shape::Json, None) => {
                self.splitter = Splitter::Json(Box::new(Json::new(Vec::new(), max)))
            }
        }
        self.feed(&held, sink)
    }

    fn feed(&mut self, text: &[u8], sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        let offset = self.offset;
        self.offset += text.len() as u64;
        match &mut self.splitter {
            Splitter::Lines(lines) => lines.push(text, sink),
            Splitter::Csv(csv) => csv.push(text, sink),
            Splitter::Pieces(pieces) => pieces.push(text, sink),
            Splitter::JsonLines(lines) => lines.push(text, offset, sink),
            Splitter::Json(json) => json.push(text, offset, &mut json::records(sink)),
            Splitter::Documents(documents) => documents.push(text, offset, sink),
            Splitter::Incapsula(incapsula) => incapsula.push(text, sink),
            Splitter::Parquet(_) | Splitter::Undecided { .. } => Ok(()),
        }
    }
}

impl Splitter {
    fn new(format: Format, bounds: Bounds) -> Self {
        let max = bounds.record_bytes_max;
        let pieces = |separator: &[u8], each| Splitter::Pieces(Box::new(Pieces::new(separator, each, max)));
        match format {
            Format::Lines { header_lines } => Splitter::Lines(Lines::new(Headers::first(header_lines), max)),
            Format::Csv { header_lines } => Splitter::Csv(Csv::new(Headers::first(header_lines), max)),
            Format::LinesWithHeaders { names } => Splitter::Lines(Lines::new(Headers::named(names), max)),
            Format::CsvWithHeaders { names } => Splitter::Csv(Csv::new(Headers::named(names), max)),
            Format::SelectedLines { header_lines, selection } => {
                pieces(b"\n", Piece::Selected { header_lines, selection, position: 0 })
            }
            Format::LinesUnder { prefix } => {
                pieces(b"\n", Piece::Under { prefix, at_head: true, seen: Vec::new() })
            }
            Format::SeparatedJson { separator } => pieces(&separator, Piece::Json),
            Format::JsonArrayLines => pieces(b"\n", Piece::Array),
            Format::TextFile(file) => Splitter::Pieces(Box::new(Pieces::text(file, max))),
            Format::JsonLines => Splitter::JsonLines(JsonLines::new(max)),
            Format::Json { path } if path.is_empty() => Splitter::Json(Box::new(Json::new(path, max))),
            Format::WholeJson { path } if path.is_empty() => Splitter::Json(Box::new(Json::whole(path, max))),
            Format::Or { format, others } => Splitter::documents(*format, others, bounds),
            Format::Json { .. }
            | Format::WholeJson { .. }
            | Format::ReshapedJson { .. }
            | Format::JsonValues { .. }
            | Format::ExtractedJson { .. }
            | Format::CloudWatch { .. }
            | Format::Envelopes { .. } => Splitter::documents(format, Arc::default(), bounds),
            Format::Incapsula => Splitter::Incapsula(Box::new(Incapsula::new(bounds))),
            Format::Parquet => Splitter::Parquet(Box::new(Parquet::new(bounds))),
            Format::Detect => Splitter::undecided(None),
            // Said twice, it is the same text.
            Format::Latin1(inner) => Splitter::new(*inner, bounds),
        }
    }

    /// For the formats that read documents.
    fn documents(format: Format, others: Arc<Others>, bounds: Bounds) -> Self {
        let max = bounds.record_bytes_max;
        let allows_text = others.bare == Bare::Any && matches!(format, Format::CloudWatch { .. });
        let documents = match format {
            Format::Json { path } => Documents::new(path, Each::AsItIs, others, max),
            Format::WholeJson { path } => Documents::whole(path, others, max),
            Format::ReshapedJson { path, shape } => Documents::new(path, Each::shape(shape), others, max),
            Format::JsonValues { paths } => Documents::new(Vec::new(), Each::values(paths), others, max),
            Format::ExtractedJson { keys } => Documents::new(Vec::new(), Each::extract(keys), others, max),
            Format::CloudWatch { body } => Documents::new(Vec::new(), Each::events(body), others, max),
            Format::Envelopes { detail } => {
                Documents::new(Vec::new(), Each::Other, envelopes(detail, &others), max)
            }
            other => return Splitter::new(other, bounds),
        };
        let documents = Splitter::Documents(Box::new(documents));
        if allows_text { Splitter::undecided(Some(Box::new(documents))) } else { documents }
    }

    fn undecided(json: Option<Box<Splitter>>) -> Self {
        Splitter::Undecided { detector: Detector::new(), held: Vec::new(), json }
    }
}

/// Nothing but what stands in an envelope. Where nobody says what else there may be, any other document is a record.
fn envelopes(detail: Vec<String>, others: &Others) -> Arc<Others> {
    let others_paths = others.paths.iter().filter(|path| **path != detail).cloned();
    let paths = std::iter::once(detail.clone()).chain(others_paths).collect();
    let bare = if *others == Others::default() { Bare::Any } else { others.bare.clone() };
    Arc::new(Others { paths, log_events: true, bare, empty: others.empty.clone() })
}
