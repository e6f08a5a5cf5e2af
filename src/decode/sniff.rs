//! The compression of some bytes, detected from the bytes themselves: suffixes and `Content-Encoding` lie.

use super::compression::Compression;
use super::foreign::{self, Foreign};
use crate::base::limits::SNIFF_BYTES;

/// The result of looking at the first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sniff {
    Plain,
    Packed(Compression),
    /// An unsupported format.
    Foreign(Foreign),
    /// More bytes are needed.
    Undecided,
}

pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];

pub(super) const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// RFC 8878, 3.1.2: the magic number of a skippable frame after its first byte, which is one of sixteen.
pub(super) const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// Deflate with a 32 KiB window, at the four levels of RFC 1950: every second byte that makes the header a multiple of
/// 31 without a preset dictionary.
pub(super) const ZLIB: [[u8; 2]; 4] = [[0x78, 0x01], [0x78, 0x5e], [0x78, 0x9c], [0x78, 0xda]];

/// Looks at the first bytes of some data; with `last` there are no others, and it always decides. Inside other
/// compression (`inner`) the weak signature of zlib is not considered.
pub(super) fn sniff(start: &[u8], last: bool, inner: bool) -> Sniff {
    if start.starts_with(&GZIP) {
        return Sniff::Packed(Compression::Gzip);
    }
    if start.starts_with(&ZSTD) || is_skippable(start) {
        return Sniff::Packed(Compression::Zstd);
    }
    if let Some(foreign) = foreign::told_by_signature(start) {
        return Sniff::Foreign(foreign);
    }
    if !inner && ZLIB.iter().any(|header| start.starts_with(header)) {
        return sniff_zlib(start, last);
    }
    let may_become = GZIP.starts_with(start)
        || ZSTD.starts_with(start)
        || may_become_skippable(start)
        || foreign::may_become_signature(start)
        || (!inner && start == [ZLIB[0][0]]);
    if may_become && !last { Sniff::Undecided } else { Sniff::Plain }
}

pub(super) fn is_skippable(start: &[u8]) -> bool {
    matches!(start, [0x50..=0x5f, rest @ ..] if rest.starts_with(&ZSTD_SKIPPABLE))
}

pub(super) fn may_become_skippable(start: &[u8]) -> bool {
    matches!(start, [0x50..=0x5f, rest @ ..] if ZSTD_SKIPPABLE.starts_with(rest))
}

/// `x^` begins a text as well as a zlib stream; a stream soon contains bytes that no text has.
pub(super) fn sniff_zlib(start: &[u8], last: bool) -> Sniff {
    let seen = &start[..start.len().min(SNIFF_BYTES)];
    if !looks_like_text(seen) {
        Sniff::Packed(Compression::Zlib)
    } else if last || start.len() >= SNIFF_BYTES {
        Sniff::Plain
    } else {
        Sniff::Undecided
    }
}

/// True for UTF-8 (possibly truncated) without control characters other than tab and line ends.
pub(super) fn looks_like_text(bytes: &[u8]) -> bool {
    let utf8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    utf8 && !bytes.iter().any(|&b| b == 0x7f || (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures() {
        let gzip = [0x1f, 0x8b, 8, 0];
        assert_eq!(sniff(&gzip, false, false), Sniff::Packed(Compression::Gzip));
        assert_eq!(sniff(&gzip, false, true), Sniff::Packed(Compression::Gzip));
        assert_eq!(sniff(&ZSTD, false, false), Sniff::Packed(Compression::Zstd));
        assert_eq!(sniff(b"_*M\x18", false, false), Sniff::Packed(Compression::Zstd));
        assert_eq!(sniff(b"{\"a\":1}", false, false), Sniff::Plain);
        assert_eq!(sniff(b"", true, false), Sniff::Plain);
    }

    #[test]
    fn parts_of_a_signature_wait_for_the_rest() {
        for start in
            [&b""[..], &[0x1f], &[0x28], b"P", b"P*M", b"BZh9", &[0x28, 0xb5, 0x2f], b"x", b"x^", b"x^2 + y"]
        {
            assert_eq!(sniff(start, false, false), Sniff::Undecided, "{start:?}");
            assert_eq!(sniff(start, true, false), Sniff::Plain, "{start:?}");
        }
        assert_eq!(sniff(b"x", false, true), Sniff::Plain);
        assert_eq!(sniff(b"Pa", false, false), Sniff::Plain);
    }

    #[test]
    fn zlib_headers_are_valid_and_told_from_text() {
        for header in ZLIB {
            assert_eq!(u16::from_be_bytes(header) % 31, 0);
            let stream = [header[0], header[1], 0x4b, 0x04, 0x00];
            assert_eq!(sniff(&stream, false, false), Sniff::Packed(Compression::Zlib));
        }
        let text = b"x^2 is a square, says the first line of this log\n";
        assert_eq!(sniff(text, false, false), Sniff::Plain);
    }
}
