//! Text -> records, by format.

use super::csv::Csv;
use super::detect::{self, Detector};
use super::documents::{Documents, Each};
use super::incapsula::Incapsula;
use super::json::Json;
use super::latin1::Latin1;
use super::lines::Lines;
use super::magic::{self, Found, Magic};
use super::parquet::Parquet;
use super::partial::Limit;
use super::pieces::{Piece, Pieces};
use super::{Account, Bounds, Error, Format, Record};
use crate::limits::INFLATE_WINDOW_BYTES;

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
    account: Account,
}

enum Splitter {
    Lines(Lines),
    Csv(Csv),
    Pieces(Box<Pieces>),
    Json(Box<Json>),
    Documents(Box<Documents>),
    Incapsula(Box<Incapsula>),
    Parquet(Box<Parquet>),
    /// What came so far does not tell yet.
    Undecided {
        detector: Detector,
        held: Vec<u8>,
    },
}

/// U+FEFF at the start of a text says that it is UTF-8, and belongs to no record.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl Split {
    pub fn new(format: Format, bounds: Bounds, account: Account) -> Self {
        let (format, latin1) = match format {
            Format::Latin1(inner) => (*inner, Some(Latin1::default())),
            other => (other, None),
        };
        let magic = (format != Format::Parquet).then(Magic::new);
        Split {
            splitter: Splitter::new(format, bounds, &account),
            magic,
            latin1,
            mark: Some(0),
            taken: 0,
            offset: 0,
            bounds,
            account,
        }
    }

    /// Bytes of text so far; of Parquet, those of its records.
    pub fn taken_bytes(&self) -> u64 {
        match &self.splitter {
            Splitter::Parquet(parquet) => parquet.json_bytes(),
            _ => self.taken,
        }
    }

    pub fn skipped_documents(&self) -> u64 {
        match &self.splitter {
            Splitter::Json(json) => json.skipped_documents(),
            Splitter::Documents(documents) => documents.skipped_documents(),
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
            Splitter::Json(json) => json.finish(self.offset, sink),
            Splitter::Documents(documents) => documents.finish(self.offset, sink),
            Splitter::Incapsula(incapsula) => incapsula.finish(sink),
            Splitter::Parquet(_) | Splitter::Undecided { .. } => Ok(()),
        }
    }

    fn become_parquet(&mut self, rest: &[u8]) -> Result<(), Error> {
        let mut parquet = Box::new(Parquet::new(self.bounds, self.account.clone()));
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
        // In pieces, so that what is converted stays small.
        let mut pieces = text.chunks(INFLATE_WINDOW_BYTES);
        let splitted = pieces.try_for_each(|piece| self.split_utf8(latin1.convert(piece), sink));
        self.latin1 = Some(latin1);
        splitted
    }

    fn split_utf8(&mut self, text: &[u8], sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        if let Splitter::Undecided { detector, held } = &mut self.splitter {
            let Some(shape) = detector.push(text) else {
                held.extend_from_slice(text);
                return Ok(());
            };
            self.decide(shape, sink)?;
        }
        self.feed(text, sink)
    }

    fn decide(&mut self, shape: detect::Shape, sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        let splitter = match shape {
            detect::Shape::Lines => Splitter::Lines(Lines::new(0, self.limit())),
            detect::Shape::Json => Splitter::Json(Box::new(Json::new(Vec::new(), self.limit()))),
        };
        match std::mem::replace(&mut self.splitter, splitter) {
            Splitter::Undecided { held, .. } => self.feed(&held, sink),
            _ => Ok(()),
        }
    }

    fn limit(&self) -> Limit {
        Limit { max: self.bounds.record_bytes_max, account: self.account.clone() }
    }

    fn feed(&mut self, text: &[u8], sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        let offset = self.offset;
        self.offset += text.len() as u64;
        match &mut self.splitter {
            Splitter::Lines(lines) => lines.push(text, sink),
            Splitter::Csv(csv) => csv.push(text, sink),
            Splitter::Pieces(pieces) => pieces.push(text, sink),
            Splitter::Json(json) => json.push(text, offset, sink),
            Splitter::Documents(documents) => documents.push(text, offset, sink),
            Splitter::Incapsula(incapsula) => incapsula.push(text, sink),
            Splitter::Parquet(_) | Splitter::Undecided { .. } => Ok(()),
        }
    }
}

impl Splitter {
    fn new(format: Format, bounds: Bounds, account: &Account) -> Self {
        let limit = Limit { max: bounds.record_bytes_max, account: account.clone() };
        let max = || limit.clone();
        let pieces = |separator: &[u8], each| Splitter::Pieces(Box::new(Pieces::new(separator, each, max())));
        let documents = |json, each| Splitter::Documents(Box::new(Documents::new(json, each, max())));
        // Documents of their own: an outermost array is none.
        let each_of = |each| documents(Json::new(Vec::new(), max()), each);
        match format {
            Format::Lines { header_lines } => Splitter::Lines(Lines::new(header_lines, max())),
            Format::Csv { header_lines } => Splitter::Csv(Csv::new(header_lines, max())),
            Format::SelectedLines { header_lines, selection } => {
                pieces(b"\n", Piece::Selected { header_lines, selection, position: 0 })
            }
            Format::LinesUnder { prefix } => pieces(b"\n", Piece::Under { prefix, at_head: true }),
            Format::SeparatedJson { separator } => pieces(&separator, Piece::Json),
            Format::JsonArrayLines => pieces(b"\n", Piece::Array),
            Format::TextFile(file) => Splitter::Pieces(Box::new(Pieces::text(file, max()))),
            Format::Json { path } => Splitter::Json(Box::new(Json::new(path, max()))),
            Format::WholeJson { path } => Splitter::Json(Box::new(Json::whole(path, max()))),
            Format::ReshapedJson { path, shape } => documents(Json::new(path, max()), Each::shape(shape)),
            Format::JsonValues { paths } => each_of(Each::values(paths)),
            Format::ExtractedJson { keys } => each_of(Each::extract(keys)),
            Format::CloudWatch { body } => each_of(Each::events(body)),
            Format::Envelopes { detail } => each_of(Each::detail(detail)),
            Format::Incapsula => Splitter::Incapsula(Box::new(Incapsula::new(bounds, max()))),
            Format::Parquet => Splitter::Parquet(Box::new(Parquet::new(bounds, account.clone()))),
            Format::Detect => Splitter::Undecided { detector: Detector::new(), held: Vec::new() },
            // Said twice, it is the same text.
            Format::Latin1(inner) => Splitter::new(*inner, bounds, account),
        }
    }
}
