//! White space between JSON values.

/// RFC 7464 puts it before every value.
pub const RECORD_SEPARATOR: u8 = 0x1e;

pub fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[inline]
pub fn has_line_end(text: &[u8]) -> bool {
    memchr::memchr2(b'\n', b'\r', text).is_some()
}
