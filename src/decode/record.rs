//! One record, as it leaves the decoder.

use super::simd::Outline;

/// One record, borrowed from the decoder's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub bytes: &'a [u8],
    pub newlines: Newlines,
    /// The JSON in which rules and fields look for their values: the record itself, or the known facts about a text
    /// that came in an envelope.
    pub context: Context<'a>,
}

impl<'a> Record<'a> {
    /// A record that contains its own fields.
    pub const fn new(bytes: &'a [u8], newlines: Newlines) -> Record<'a> {
        Record { bytes, newlines, context: Context { json: bytes, outline: None } }
    }
}

/// The JSON in which rules and fields look for their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    pub json: &'a [u8],
    /// It is known if the text was searched for its end.
    pub(super) outline: Option<&'a Outline>,
}

impl<'a> From<&'a [u8]> for Context<'a> {
    fn from(json: &'a [u8]) -> Context<'a> {
        Context { json, outline: None }
    }
}

/// The meaning of a line feed inside a record's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newlines {
    /// There is none.
    Absent,
    /// White space between JSON tokens; may become a space.
    Insignificant,
    /// Part of the record; must be kept.
    Significant,
}

/// A receiver of an object's records, in order. A closure is one that gets each record by itself.
pub trait Sink {
    /// Takes the next record.
    fn record(&mut self, record: Record<'_>);

    /// Takes consecutive records that are lines of a text, all at once.
    fn lines(&mut self, lines: LineBlock<'_>) {
        lines.for_each(|line| self.record(Record::new(line, Newlines::Absent)));
    }
}

impl<F: FnMut(Record<'_>)> Sink for F {
    fn record(&mut self, record: Record<'_>) {
        self(record);
    }
}

/// Consecutive lines of a text. None is empty, and each ends with a line feed.
#[derive(Debug, Clone, Copy)]
pub struct LineBlock<'a> {
    text: &'a [u8],
    /// Where the first line begins in the text.
    start: usize,
    /// Where the lines' line feeds are in the text.
    ends: &'a [usize],
}

impl<'a> LineBlock<'a> {
    /// Creates a block of the lines that end at `ends` in `text`, of which the first begins at `start`.
    pub fn new(text: &'a [u8], start: usize, ends: &'a [usize]) -> LineBlock<'a> {
        LineBlock { text, start, ends }
    }

    /// The text with the lines, which may have bytes before and after them.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The places in the text at which the first line begins and its line feed is. None if there are no lines left.
    #[inline]
    pub fn first(&self) -> Option<(usize, usize)> {
        self.ends.first().map(|end| (self.start, *end))
    }

    /// Drops the first line.
    #[inline]
    pub fn advance(&mut self) {
        if let Some((end, rest)) = self.ends.split_first() {
            (self.start, self.ends) = (end + 1, rest);
        }
    }
}

/// The lines, without their line feeds.
impl<'a> Iterator for LineBlock<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (start, end) = self.first()?;
        self.advance();
        self.text.get(start..end)
    }
}
