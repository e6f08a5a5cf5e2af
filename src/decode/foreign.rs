//! Unsupported formats, recognized by their first bytes, and binary data where text is expected.
//!
//! Each is refused with its name: sent unchanged, its bytes would appear in the table as records.

use super::Error;
use crate::base::limits::{BINARY_LOOK_BYTES, BINARY_PART_MAX, ODD_BYTES_MIN};

/// An unsupported format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign {
    /// Its name, with an article.
    pub name: &'static str,
    pub cure: &'static str,
}

impl Foreign {
    /// The error for an object of this format.
    pub(super) fn refused(self) -> Error {
        Error::Foreign { name: self.name, cure: self.cure }
    }
}

const REPACK: &str =
    "have its writer compress with gzip (in Firehose: set the compression to GZIP), or not at all";
const UNPACK: &str =
    "have its writer put each file into the bucket separately, plain or compressed with gzip";
const CONVERT: &str = "have its writer use JSON lines, CSV or Parquet";
const DISAGGREGATE: &str = "have the delivery stream de-aggregate them (its record deaggregation)";
const DECODE: &str = "have its writer store the bytes themselves";
const DECRYPT: &str = "disable encryption by the writer, and use the bucket's own (SSE-S3 or SSE-KMS)";

/// Signatures at the start of the data. None of them begins a text.
const SIGNATURES: &[(&[u8], Foreign)] = &[
    (b"\xfd7zXZ\0", Foreign { name: "xz", cure: REPACK }),
    (b"\x5d\0\0\x80\0", Foreign { name: "lzma", cure: REPACK }),
    (b"LZIP\x01", Foreign { name: "lzip", cure: REPACK }),
    (b"\x04\x22\x4d\x18", Foreign { name: "lz4", cure: REPACK }),
    (b"\x02\x21\x4c\x18", Foreign { name: "lz4 (legacy)", cure: REPACK }),
    (b"\x89LZO\0\r\n\x1a\n", Foreign { name: "lzo", cure: REPACK }),
    (b"\x1f\x9d", Foreign { name: "the output of compress (.Z)", cure: REPACK }),
    (b"\xff\x06\0\0sNaPpY", Foreign { name: "framed snappy", cure: REPACK }),
    (b"\x82SNAPPY\0", Foreign { name: "snappy of snappy-java", cure: REPACK }),
    (b"PK\x03\x04", Foreign { name: "a zip archive", cure: UNPACK }),
    (b"PK\x05\x06", Foreign { name: "an empty zip archive", cure: UNPACK }),
    (b"PK\x07\x08", Foreign { name: "a zip archive in parts", cure: UNPACK }),
    (b"7z\xbc\xaf\x27\x1c", Foreign { name: "a 7z archive", cure: UNPACK }),
    (b"Rar!\x1a\x07", Foreign { name: "a rar archive", cure: UNPACK }),
    (b"Obj\x01", Foreign { name: "Avro", cure: CONVERT }),
    (b"ARROW1\0\0", Foreign { name: "an Arrow file", cure: CONVERT }),
    (b"ElfFile\0", Foreign { name: "a Windows event log (EVTX)", cure: CONVERT }),
    (b"SQLite format 3\0", Foreign { name: "an SQLite database", cure: CONVERT }),
    (b"\xe0\x01\0\xea", Foreign { name: "Ion", cure: CONVERT }),
    (
        b"\xf3\x89\x9a\xc2",
        Foreign { name: "aggregated records of the Kinesis Producer Library", cure: DISAGGREGATE },
    ),
    (b"-----BEGIN PGP MESSAGE-----", Foreign { name: "a PGP message", cure: DECRYPT }),
    // The header of gzip without a time.
    (b"H4sIAAAAAA", Foreign { name: "gzip written as base64 text", cure: DECODE }),
];

/// `ORC` and `PARE` begin words too: binary data must follow them, perhaps after a byte that is a line feed.
const BEFORE_BINARY: &[(&[u8], Foreign)] =
    &[(b"ORC", Foreign { name: "ORC", cure: CONVERT }), (b"PARE", ENCRYPTED_PARQUET)];

/// Parquet with an encrypted footer, or with encrypted columns.
pub(super) const ENCRYPTED_PARQUET: Foreign = Foreign { name: "encrypted Parquet", cure: DECRYPT };

/// bzip2 begins with `BZh`, the level of compression, which is a digit, and one of these: the signature of a block, or
/// of the end of a stream without blocks.
const BZIP2_BLOCKS: [&[u8]; 2] = [b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90"];
const BZIP2: Foreign = Foreign { name: "bzip2", cure: REPACK };

/// The offset of a tar header's magic (POSIX.1-1988, ustar).
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");
const TAR: Foreign = Foreign { name: "a tar archive", cure: UNPACK };
const TAR_HEADER_BYTES: usize = 512;

const RAW_SNAPPY: Foreign = Foreign { name: "raw snappy", cure: REPACK };
const HADOOP_SNAPPY: Foreign = Foreign { name: "snappy in Hadoop's blocks", cure: REPACK };

const UTF16: Foreign = Foreign {
    name: "what looks like UTF-16 text without a byte order mark",
    cure: "have its writer begin it with the mark (the bytes FF FE or FE FF), or write UTF-8",
};
/// First bytes by which UTF-16 is told: no archive and no packing of it looks like it there.
const UTF16_LOOK_BYTES: usize = 512;

const CHUNKED_UPLOAD: Foreign = Foreign {
    name: "an upload in chunks (aws-chunked) that was stored with the chunks' headers",
    cure: "update the S3-compatible server or proxy that stored it, or have its writer upload without checksums in trailers and signed chunks",
};
/// The sizes of chunks are multiples of this, except the last one's.
const CHUNK_UNIT: usize = 8 << 10;

/// Number of fitting pieces that cannot be a coincidence, if the end of the block is not yet known.
const SNAPPY_PIECES_MIN: usize = 16;

/// Recognizes data by its first bytes.
pub(super) fn told_by_signature(start: &[u8]) -> Option<Foreign> {
    let signature = SIGNATURES.iter().find(|(signature, _)| start.starts_with(signature));
    let binary = || {
        BEFORE_BINARY.iter().find(|(word, _)| match start.strip_prefix(*word) {
            Some([b'\n', byte, ..] | [byte, ..]) => is_binary(*byte),
            _ => false,
        })
    };
    match signature.or_else(binary) {
        Some((_, foreign)) => Some(*foreign),
        None => is_bzip2(start).then_some(BZIP2),
    }
}

/// True if more bytes could complete a signature.
pub(super) fn may_become_signature(start: &[u8]) -> bool {
    SIGNATURES.iter().any(|(signature, _)| signature.starts_with(start))
        || BEFORE_BINARY
            .iter()
            .any(|(word, _)| word.starts_with(start) || start.strip_prefix(*word) == Some(b"\n"))
        || may_become_bzip2(start)
}

fn is_bzip2(start: &[u8]) -> bool {
    match start {
        [b'B', b'Z', b'h', b'0'..=b'9', rest @ ..] => {
            BZIP2_BLOCKS.iter().any(|block| rest.starts_with(block))
        }
        _ => false,
    }
}

fn may_become_bzip2(start: &[u8]) -> bool {
    match start {
        [b'B', b'Z', b'h', b'0'..=b'9', rest @ ..] => {
            BZIP2_BLOCKS.iter().any(|block| block.starts_with(rest))
        }
        _ => b"BZh".starts_with(start),
    }
}

/// Refuses the start of a text, as long as [`BINARY_LOOK_BYTES`] unless these are all bytes: archives and packings without a
/// signature, and with `is_text` binary data.
pub(super) fn check_start(start: &[u8], is_text: bool) -> Result<(), Error> {
    match check_archive(start, start.len() < BINARY_LOOK_BYTES) {
        // Its zero bytes look like lengths.
        Err(_) if is_utf16(start) => Err(UTF16.refused()),
        Ok(()) if is_text => check_text(start),
        checked => checked,
    }
}

/// Refuses archives and packings without a signature, by their first bytes. `is_all` says that these are all bytes.
fn check_archive(start: &[u8], is_all: bool) -> Result<(), Error> {
    let found = if is_tar(start) {
        TAR
    } else if is_raw_snappy(start, is_all) {
        RAW_SNAPPY
    } else if is_hadoop_snappy(start) {
        HADOOP_SNAPPY
    } else if is_chunked_upload(start) {
        CHUNKED_UPLOAD
    } else {
        return Ok(());
    };
    Err(found.refused())
}

/// Refuses supposed text by its first bytes, if it is binary. A few odd bytes do not make it binary.
pub(super) fn check_text(start: &[u8]) -> Result<(), Error> {
    let odd = odd_bytes(start);
    let is_binary = odd >= ODD_BYTES_MIN && odd * BINARY_PART_MAX > start.len();
    match is_binary {
        true if is_utf16(start) => Err(UTF16.refused()),
        true => Err(Error::Binary),
        false => Ok(()),
    }
}

/// True if the bytes look like text in UTF-16 of either order: code units of ASCII at the start, and most of the others.
fn is_utf16(start: &[u8]) -> bool {
    let (units, _) = start[..start.len().min(UTF16_LOOK_BYTES)].as_chunks::<2>();
    let is_ascii = |byte: u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    let looks = |is_text: &dyn Fn(&[u8; 2]) -> bool| {
        let text = units.iter().filter(|unit| is_text(unit)).count();
        units.len() >= 4 && units[..2].iter().all(is_text) && 4 * text >= 3 * units.len()
    };
    looks(&|unit| unit[1] == 0 && is_ascii(unit[0])) || looks(&|unit| unit[0] == 0 && is_ascii(unit[1]))
}

/// True if the bytes begin with a tar header: it has the magic number, or the octal sum of its own bytes. In the sum, its own
/// field counts as blanks.
fn is_tar(start: &[u8]) -> bool {
    let (at, magic) = TAR_MAGIC;
    if start.get(at..at + magic.len()) == Some(magic) {
        return true;
    }
    let Some(header) = start.get(..TAR_HEADER_BYTES) else { return false };
    let (before, sum, behind) = (&header[..148], &header[148..156], &header[156..]);
    let digits = sum.trim_ascii_start().iter().take_while(|byte| matches!(byte, b'0'..=b'7'));
    let written = digits.fold(0_u64, |sum, digit| sum * 8 + u64::from(digit - b'0'));
    let counted: u64 = before.iter().chain(behind).map(|byte| u64::from(*byte)).sum();
    header.contains(&0) && written == counted + 8 * u64::from(b' ')
}

/// True for a block of snappy without frames: the length of its content, then pieces that are text or copies of
/// earlier text. Other data does not have this form up to its end.
fn is_raw_snappy(start: &[u8], is_all: bool) -> bool {
    let mut rest = start;
    let Some(length) = varint(&mut rest) else { return false };
    let (mut produced, mut pieces) = (0, 0);
    while let Some(&tag) = rest.first() {
        let Some((piece, from, taken)) = snappy_piece(tag, &rest[1..]) else { break };
        if from > produced || (tag & 3 != 0 && from == 0) || produced + piece > length {
            return false;
        }
        let Some(behind) = rest.get(1 + taken..) else { break };
        produced += piece;
        pieces += 1;
        rest = behind;
    }
    if is_all { rest.is_empty() && produced == length && length > 0 } else { pieces >= SNAPPY_PIECES_MIN }
}

/// True for Hadoop's blocks of snappy: the length of the content and that of the block, both in four bytes, highest first, and
/// a block without frames.
fn is_hadoop_snappy(start: &[u8]) -> bool {
    let Some((header, block)) = start.split_first_chunk::<8>() else { return false };
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
    let (content, length) = (number(&header[..4]), number(&header[4..]));
    let mut rest = block;
    // A block may be one of several with the content.
    let fits = length > 0 && varint(&mut rest).is_some_and(|part| part > 0 && part <= content as u64);
    fits && is_raw_snappy(&block[..length.min(block.len())], length <= block.len())
}

/// True for the first chunk of an upload in chunks: its size as a hexadecimal number, perhaps a signature, and CRLF, before
/// and after as many bytes.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>
fn is_chunked_upload(start: &[u8]) -> bool {
    let digits = start.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size =
        std::str::from_utf8(&start[..digits]).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
    let (Some(size), 1..=8) = (size, digits) else { return false };
    let rest = &start[digits..];
    if rest.starts_with(b";chunk-signature=") {
        return true;
    }
    let Some(chunk) = rest.strip_prefix(b"\r\n") else { return false };
    match chunk.get(size..) {
        Some(behind) => size > 0 && behind.starts_with(b"\r\n"),
        None => size.is_multiple_of(CHUNK_UNIT),
    }
}

/// Reads a piece of snappy: the bytes it expands to, the distance that it copies from (0 for text), and its own bytes
/// after the tag. None if they are cut off.
fn snappy_piece(tag: u8, behind: &[u8]) -> Option<(u64, u64, usize)> {
    let number = |bytes: usize| {
        let bytes = behind.get(..bytes)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let high = u64::from(tag >> 2);
    Some(match tag & 3 {
        0 if high < 60 => (high + 1, 0, high as usize + 1),
        0 => {
            let bytes = high as usize - 59;
            let length = number(bytes)? + 1;
            (length, 0, bytes + length as usize)
        }
        1 => (4 + (high & 7), u64::from(tag >> 5) << 8 | number(1)?, 1),
        2 => (high + 1, number(2)?, 2),
        _ => (high + 1, number(4)?, 4),
    })
}

/// The length at the beginning of a block.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (at, byte) in rest.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *rest = &rest[at + 1..];
            return Some(value);
        }
    }
    None
}

/// Control characters that no text has, and bytes that are not UTF-8.
fn odd_bytes(bytes: &[u8]) -> usize {
    // So few at a time that they can be counted in bytes, many in one instruction.
    let controls = |bytes: &[u8]| bytes.iter().map(|byte| u8::from(is_binary(*byte))).sum::<u8>();
    bytes.chunks(usize::from(u8::MAX)).map(|chunk| usize::from(controls(chunk))).sum::<usize>()
        + invalid_bytes(bytes)
}

/// Bytes that are not UTF-8. The usual text without any is checked in words of the processor.
fn invalid_bytes(mut bytes: &[u8]) -> usize {
    let mut invalid = 0;
    while let Err(error) = std::str::from_utf8(bytes) {
        let behind = &bytes[error.valid_up_to()..];
        let length = error.error_len().unwrap_or(behind.len());
        invalid += length;
        bytes = &behind[length..];
    }
    invalid
}

fn is_binary(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b | 0x1e)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn signatures_are_known_and_waited_for() {
        let all = SIGNATURES.iter().map(|(signature, foreign)| (signature.to_vec(), *foreign));
        let binary = BEFORE_BINARY.iter().map(|(word, foreign)| ([*word, b"\x01"].concat(), *foreign));
        let late = BEFORE_BINARY.iter().map(|(word, foreign)| ([*word, b"\n\x06"].concat(), *foreign));
        let bzip2 = BZIP2_BLOCKS.iter().map(|block| ([b"BZh1", *block].concat(), BZIP2));
        for (signature, foreign) in all.chain(binary).chain(late).chain(bzip2) {
            assert_eq!(told_by_signature(&signature), Some(foreign), "{signature:?}");
            for length in 0..signature.len() {
                assert!(may_become_signature(&signature[..length]), "{signature:?}, {length}");
                assert_eq!(told_by_signature(&signature[..length]), None, "{signature:?}, {length}");
            }
        }
        for text in [
            "ORCHESTRATION started",
            "ORC\nnext",
            "PARENT 1",
            "BZh is a name",
            "PKI",
            "Object",
            "7z ",
            "Rar!",
        ] {
            assert_eq!(told_by_signature(text.as_bytes()), None, "{text}");
        }
    }

    fn is_text(start: &[u8]) -> bool {
        check_archive(start, true).and_then(|()| check_text(start)).is_ok()
    }

    #[test]
    fn single_odd_bytes_are_text() {
        let text = "2026-11-28 10:00:00 a line of a log\n".repeat(20);
        let with = |odd: &[u8]| [text.as_bytes(), odd].concat();
        for odd in [&b""[..], b"\0", b"\xff\xfe\xfd", &[0; 20], "Gr\u{fc}\u{df}e".as_bytes()] {
            assert!(is_text(&with(odd)), "{odd:?}");
        }
        assert_eq!(check_text(&with(&[0; 200])), Err(Error::Binary));
        assert_eq!(check_text(&with(&[0xe4; 200])), Err(Error::Binary));
    }

    fn named(start: &[u8], is_all: bool) -> Option<&'static str> {
        match check_archive(start, is_all) {
            Err(Error::Foreign { name, .. }) => Some(name),
            _ => None,
        }
    }

    #[test]
    fn tar_with_and_without_its_magic() {
        let content = "2026-11-28 10:00:00 a line of a log\n".repeat(1000);
        let ustar = [&b"a.log"[..], &[0; 252], b"ustar\x0000", &[0; 100]].concat();
        assert_eq!(named(&ustar, true), Some("a tar archive"));
        let mut old = [&b"logs/a.log"[..], &[0; 90], b"0000644\0", &[b'0'; 40], &[0; 364]].concat();
        old[148..156].fill(b' ');
        let sum: u64 = old.iter().map(|byte| u64::from(*byte)).sum();
        old[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(named(&[&old[..], content.as_bytes()].concat(), false), Some("a tar archive"));
        old[0] = b'b';
        assert_eq!(named(&old, true), None);
        assert_eq!(named(content.as_bytes(), true), None);
    }

    #[test]
    fn raw_snappy_is_known_by_its_pieces() {
        let line = "2026-11-28 10:00:00 a line of a log\n";
        let mut encoder = snap::raw::Encoder::new();
        for text in [line.to_owned(), "x".to_owned(), line.repeat(3000), line.repeat(90_000)] {
            let block = encoder.compress_vec(text.as_bytes()).unwrap();
            assert_eq!(named(&block, true), Some("raw snappy"));
            assert_eq!(named(&block[..block.len() - 1], true), None);
        }
        let large = encoder.compress_vec(line.repeat(90_000).as_bytes()).unwrap();
        assert_eq!(named(&large[..large.len() / 2], false), Some("raw snappy"));
    }

    #[test]
    fn utf_16_without_a_mark_is_called_so() {
        const NAME: &str = UTF16.name;
        let line = "2026-11-28 10:00:00 a line of a log with Grüßen\r\n";
        let json = "{\"Records\": [{\"eventVersion\": \"1.08\", \"name\": \"Zoë\"}]}";
        for text in [line.to_owned(), line.repeat(3000), json.to_owned(), "{\"a\":1,\"b\":2}\n".to_owned()] {
            let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            for utf16 in [little, big] {
                let start = &utf16[..utf16.len().min(BINARY_LOOK_BYTES)];
                assert_eq!(check_start(start, true), Err(UTF16.refused()), "{text:.20}");
                assert_eq!(check_text(start), Err(UTF16.refused()), "{text:.20}");
                // Not refused where any bytes are taken, unless for what they look like.
                assert!(matches!(check_start(start, false), Ok(()) | Err(Error::Foreign { name: NAME, .. })));
                let packed = snap::raw::Encoder::new().compress_vec(&utf16).unwrap();
                assert!(!is_utf16(&packed), "{text:.20}");
                let tar = [&b"logs/a.log"[..], &[0; 247], b"ustar\x0000", &[0; 248], &utf16].concat();
                assert_eq!(check_start(&tar, true), Err(TAR.refused()));
            }
        }
        for text in [&b""[..], b"\0\0\0\0\0\0\0\0\0\0\0\0", b"plain text, and more of it", b"a\0b"] {
            assert!(!is_utf16(text), "{text:?}");
        }
    }

    #[test]
    fn snappy_in_hadoops_blocks() {
        let line = "2026-11-28 10:00:00 a line of a log\n";
        for (text, parts) in [(line.to_owned(), 1), (line.repeat(7000), 1), (line.repeat(7000), 2)] {
            let mut object = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
            for part in text.as_bytes().chunks(text.len().div_ceil(parts)) {
                let block = snap::raw::Encoder::new().compress_vec(part).unwrap();
                object.extend(u32::try_from(block.len()).unwrap().to_be_bytes());
                object.extend(block);
            }
            assert_eq!(named(&object, true), Some("snappy in Hadoop's blocks"));
        }
        let utf16: Vec<u8> = line.repeat(30).bytes().flat_map(|byte| [0, byte]).collect();
        assert_eq!(named(&utf16, true), None);
    }

    #[test]
    fn chunks_of_an_upload() {
        let line = "2026-11-28 10:00:00 a line of a log\n";
        let signed =
            format!("{:x};chunk-signature={}\r\n{line}\r\n0;chunk-signature=", line.len(), "0a".repeat(32));
        let unsigned = format!("{:x}\r\n{line}\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", line.len());
        let large = format!("100000\r\n{}", line.repeat(1800));
        for object in [&signed, &unsigned, &large] {
            assert!(
                named(object.as_bytes(), true).is_some_and(|name| name.contains("aws-chunked")),
                "{object}"
            );
        }
        for text in
            ["20261128\r\nnext\r\n", "1f5\n", "0\r\n\r\n", "3\r\n", "deadbeef;x", "", "4\r\nabcde\r\n"]
        {
            assert_eq!(named(text.as_bytes(), true), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_of_any_script_is_text(text in "\\PC{0,300}") {
            prop_assert!(is_text(text.as_bytes()));
        }

        #[test]
        fn odd_bytes_are_controls_and_what_no_text_has(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let controls = bytes.iter().filter(|byte| is_binary(**byte)).count();
            let invalid: usize = bytes.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
            prop_assert_eq!(odd_bytes(&bytes), controls + invalid);
        }

        /// Like compressed data.
        #[test]
        fn random_bytes_are_binary(bytes in prop::collection::vec(any::<u8>(), 400..2000)) {
            prop_assert!(!is_text(&bytes));
        }
    }
}
