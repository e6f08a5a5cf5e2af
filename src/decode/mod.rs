//! payload -> records: what the object's bytes are made of.
//!
//! Pure. Compressed bytes go in, in order; records come out, each handed to a closure as a slice of a
//! buffer that is reused. See [`Decoder`].

/// What stands in an object once it is decompressed (`file_format` in the vendor's configuration).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// LF-separated lines; the first `header_lines` non-empty ones are dropped.
    Lines { header_lines: u32 },
    /// JSON values one after another, with or without white space between them. A top-level array
    /// stands for its elements. With a `path`, the records are what lies under these keys: the
    /// elements of an array there, or the value itself.
    Json { path: Vec<String> },
    /// The first bytes decide: JSON values, or lines (the vendor's `split_or_unseparated_processor`).
    Detect,
}

/// One record, borrowed from the decoder's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub bytes: &'a [u8],
    pub newlines: Newlines,
}

/// What a line feed inside a record's bytes means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newlines {
    /// There is none: the record was split at line feeds.
    Absent,
    /// White space between JSON tokens; may become a space.
    Insignificant,
    /// Part of the record; must survive.
    Significant,
}
