//! Unsupported formats, recognized by their first bytes, and binary data where text is expected.
//!
//! Each is refused with its name: sent unchanged, its bytes would appear in the table as records.

use super::Error;
use crate::base::limits::{BINARY_PART_MAX, ODD_BYTES_MIN};

/// An unsupported format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign {
    /// Its name, with an article.
    pub name: &'static str,
    pub cure: &'static str,
}

const REPACK: &str =
    "have its writer compress with gzip (in Firehose: set the compression to GZIP), or not at all";
const UNPACK: &str =
    "have its writer put each file into the bucket separately, plain or compressed with gzip";
const CONVERT: &str = "have its writer use JSON lines, CSV or Parquet";
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
];

/// `ORC` and `PARE` begin words too: binary data must follow them.
const BEFORE_BINARY: &[(&[u8], Foreign)] = &[
    (b"ORC", Foreign { name: "ORC", cure: CONVERT }),
    (b"PARE", Foreign { name: "encrypted Parquet", cure: DECRYPT }),
];

/// bzip2 begins with `BZh`, the level of compression, which is a digit, and one of these: the signature of a block, or
/// of the end of a stream without blocks.
const BZIP2_BLOCKS: [&[u8]; 2] = [b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90"];
const BZIP2: Foreign = Foreign { name: "bzip2", cure: REPACK };

/// The offset of a tar header's magic (POSIX.1-1988, ustar).
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");
const TAR: Foreign = Foreign { name: "a tar archive", cure: UNPACK };

/// Recognizes data by its first bytes.
pub(super) fn told_by_signature(start: &[u8]) -> Option<Foreign> {
    let signature = SIGNATURES.iter().find(|(signature, _)| start.starts_with(signature));
    let binary = || {
        BEFORE_BINARY.iter().find(|(word, _)| {
            start.strip_prefix(*word).and_then(<[u8]>::first).is_some_and(|byte| is_binary(*byte))
        })
    };
    match signature.or_else(binary) {
        Some((_, foreign)) => Some(*foreign),
        None => is_bzip2(start).then_some(BZIP2),
    }
}

/// True if more bytes could make it one of them.
pub(super) fn may_become_signature(start: &[u8]) -> bool {
    SIGNATURES.iter().any(|(signature, _)| signature.starts_with(start))
        || BEFORE_BINARY.iter().any(|(word, _)| word.starts_with(start))
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

/// The reason why the first bytes of supposed text are not text.
enum NoText {
    Foreign(Foreign),
    Binary,
}

/// Refuses supposed text by its first bytes, if it is not text.
pub(super) fn check_text(start: &[u8]) -> Result<(), Error> {
    match no_text(start) {
        None => Ok(()),
        Some(NoText::Foreign(Foreign { name, cure })) => Err(Error::Foreign { name, cure }),
        Some(NoText::Binary) => Err(Error::Binary),
    }
}

/// Looks at the first bytes of supposed text. A few odd bytes do not make it binary.
fn no_text(start: &[u8]) -> Option<NoText> {
    let (at, magic) = TAR_MAGIC;
    if start.get(at..at + magic.len()) == Some(magic) {
        return Some(NoText::Foreign(TAR));
    }
    let odd = odd_bytes(start);
    (odd >= ODD_BYTES_MIN && odd * BINARY_PART_MAX > start.len()).then_some(NoText::Binary)
}

/// Control characters that no text has, and bytes that are not UTF-8.
fn odd_bytes(bytes: &[u8]) -> usize {
    let chunk = |chunk: std::str::Utf8Chunk<'_>| {
        let controls = chunk.valid().bytes().filter(|byte| is_binary(*byte)).count();
        controls + chunk.invalid().len()
    };
    bytes.utf8_chunks().map(chunk).sum()
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
        let bzip2 = BZIP2_BLOCKS.iter().map(|block| ([b"BZh1", *block].concat(), BZIP2));
        for (signature, foreign) in all.chain(binary).chain(bzip2) {
            assert_eq!(told_by_signature(&signature), Some(foreign), "{signature:?}");
            for length in 0..signature.len() {
                assert!(may_become_signature(&signature[..length]), "{signature:?}, {length}");
                assert_eq!(told_by_signature(&signature[..length]), None, "{signature:?}, {length}");
            }
        }
        for text in ["ORCHESTRATION started", "PARENT 1", "BZh is a name", "PKI", "Object", "7z ", "Rar!"] {
            assert_eq!(told_by_signature(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn single_odd_bytes_are_text() {
        let text = "2026-11-28 10:00:00 a line of a log\n".repeat(20);
        let with = |odd: &[u8]| [text.as_bytes(), odd].concat();
        for odd in [&b""[..], b"\0", b"\xff\xfe\xfd", &[0; 20], "Gr\u{fc}\u{df}e".as_bytes()] {
            assert!(no_text(&with(odd)).is_none(), "{odd:?}");
        }
        assert!(matches!(no_text(&with(&[0; 200])), Some(NoText::Binary)));
        assert!(matches!(no_text(&with(&[0xe4; 200])), Some(NoText::Binary)));
        let tar = [&b"a.log"[..], &[0; 252], b"ustar\x0000", &[0; 100]].concat();
        assert!(matches!(no_text(&tar), Some(NoText::Foreign(TAR))));
    }

    proptest! {
        #[test]
        fn text_of_any_script_is_text(text in "\\PC{0,300}") {
            prop_assert!(no_text(text.as_bytes()).is_none());
        }

        /// Like compressed data.
        #[test]
        fn random_bytes_are_binary(bytes in prop::collection::vec(any::<u8>(), 400..2000)) {
            prop_assert!(no_text(&bytes).is_some());
        }
    }
}
