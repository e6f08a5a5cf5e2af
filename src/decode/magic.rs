//! Detection of Parquet among lines and JSON, by its first bytes.

/// Number of bytes of the magic seen so far.
pub(super) struct Magic {
    seen: usize,
}

/// The result of looking at the next bytes.
pub(super) enum Found<'t> {
    /// More bytes are needed.
    Undecided,
    /// It is Parquet; these bytes follow `PAR1`.
    Parquet(&'t [u8]),
    /// It is text: this many bytes of the magic, then these.
    Text(&'static [u8], &'t [u8]),
}

pub(super) const PARQUET: &[u8] = b"PAR1";
/// True if the byte after the magic is the header of the first page, an index or the footer: the first field's header
/// in Thrift's compact protocol, a control character that no text has there.
fn is_binary(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')
}

impl Magic {
    pub fn new() -> Self {
        Magic { seen: 0 }
    }

    /// Looks at the next bytes of the text.
    pub fn push<'t>(&mut self, text: &'t [u8]) -> Found<'t> {
        for (at, &byte) in text.iter().enumerate() {
            match PARQUET.get(self.seen) {
                Some(&expected) if byte == expected => self.seen += 1,
                None if is_binary(byte) => return Found::Parquet(&text[at..]),
                _ => return Found::Text(self.held(), &text[at..]),
            }
        }
        Found::Undecided
    }

    /// The bytes held back.
    pub fn held(&self) -> &'static [u8] {
        &PARQUET[..self.seen]
    }
}
