//! White space between JSON values.

/// RFC 7464 puts it before every value.
pub const RECORD_SEPARATOR: u8 = 0x1e;

pub fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}
