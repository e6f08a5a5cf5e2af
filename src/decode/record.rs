//! One record, as it leaves the decoder.

/// One record, borrowed from the decoder's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub bytes: &'a [u8],
    pub newlines: Newlines,
    /// The JSON in which rules and fields look for their values: the record itself, or the known facts about a text
    /// that came in an envelope.
    pub context: &'a [u8],
}

impl<'a> Record<'a> {
    /// A record that contains its own fields.
    pub fn new(bytes: &'a [u8], newlines: Newlines) -> Record<'a> {
        Record { bytes, newlines, context: bytes }
    }
}

/// The meaning of a line feed inside a record's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newlines {
    /// There is none: the record was split at line feeds.
    Absent,
    /// White space between JSON tokens; may become a space.
    Insignificant,
    /// Part of the record; must be kept.
    Significant,
}
