//! Why an object could not be decoded to its end.

use super::compression::Compression;
use crate::limits::RECORD_BYTES_MAX;

/// What is wrong with an object. Each is one line for an operator; the records that were whole
/// before it have been delivered.
///
/// Offsets into compressed data count from the start of that level of compression, offsets into JSON
/// from the start of the inflated text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The compressed data contradicts itself.
    #[error("corrupt {compression}: the {} at byte {offset}: {cause}", compression.unit())]
    Corrupt { compression: Compression, offset: u64, cause: String },
    /// The object ends too early.
    #[error("truncated {compression}: the {} at byte {offset} has no end", compression.unit())]
    Truncated { compression: Compression, offset: u64 },
    /// Something else follows the compressed data.
    #[error("{compression} data ends at byte {offset}, but something else follows it")]
    TrailingGarbage { compression: Compression, offset: u64 },
    /// More than [`COMPRESSION_LEVELS_MAX`](crate::limits::COMPRESSION_LEVELS_MAX) levels.
    #[error("compressed more than {max} times over")]
    TooManyLevels { max: usize },
    /// It inflates beyond what logs do.
    #[error("expansion bomb: {compressed} bytes have become {expanded}, more than {ratio_max} for one")]
    Bomb { compressed: u64, expanded: u64, ratio_max: u64 },
    /// What stands in it once would stand in its records too often.
    #[error(
        "{read} bytes of it have become records with {copied} bytes more, more than {ratio_max} for one: a member of its envelope, or names in its header, are so long that they cannot be written into each record"
    )]
    Copies { read: u64, copied: u64, ratio_max: u64 },
    /// Each record would be too large for what stands in the object once.
    #[error(
        "what would stand in each of its records, an envelope's own members or a text file's header, is larger than the limit of {max} bytes. If the first line of a text file is a record, set \"header\": false"
    )]
    HeaderTooLarge { max: usize },
    /// One record exceeds the bound.
    #[error("a record is larger than the limit of {max} bytes{}", cure(*max))]
    RecordTooLarge { max: usize },
    /// The text is not the JSON that its service promises.
    #[error("bad JSON at byte {offset}: {cause}")]
    BadJson { offset: u64, cause: &'static str },
    /// A JSON document, counted from 1, is not what its service promises.
    #[error("bad JSON in document {number}: {cause}")]
    BadDocument { number: u64, cause: &'static str },
    /// Documents are of another kind than the service's.
    #[error(
        "{count} of its JSON documents hold nothing that this service reads ({expected}), and may be the log of another service. The first begins with {example}"
    )]
    UnexpectedDocuments { count: u64, expected: String, example: String },
    /// Its beginning bears the signs of another log than the service's.
    #[error(
        "the object is {log}, which this service does not read: give its queue, or keys like its own, to a service that does"
    )]
    AnotherLog { log: String },
    /// It is packed or written in a way that is not read.
    #[error("the object is {name}, which this version does not read: {cure}")]
    Foreign { name: &'static str, cure: &'static str },
    /// What should be text is none.
    #[error(
        "the object is binary, not text: more than a tenth of its first bytes are control characters or no UTF-8. If it is text of another character set, set the service's encoding to latin-1; if it is compressed, have its writer use gzip"
    )]
    Binary,
    /// The header of an Imperva log file has a `key:`.
    #[error(
        "the body is encrypted (its header has a \"key:\" line): turn off encryption in the Imperva log settings"
    )]
    Encrypted,
    /// Parquet that contradicts itself, or says what this version cannot read.
    #[error("bad Parquet: {cause}")]
    BadParquet { cause: String },
    /// Parquet can only be read when all of it is there.
    #[error("the Parquet object is larger than the {max} bytes that may be held of one: raise memory_limit")]
    ObjectTooLarge { max: usize },
    /// The footer becomes structures of the library that reads it.
    #[error(
        "the Parquet object's footer needs more than the {max} bytes that are left to it: raise memory_limit"
    )]
    FooterTooLarge { max: usize },
    /// The object itself, and the pages of all columns that are read at a time.
    #[error(
        "the Parquet object and its pages need more than the {max} bytes that may be held of one: raise memory_limit"
    )]
    PagesTooLarge { max: usize },
    /// A block of raw snappy, or the line of metadata before it.
    #[error("bad snappy: the block at byte {offset}: {cause}")]
    BadBlock { offset: u64, cause: String },
    /// Other objects hold the memory that this one needs. It is not the object's fault: it is to be
    /// decoded again when the memory is free.
    #[error("other objects hold the memory that it needs")]
    MemoryBusy,
    /// It would not fit even alone.
    #[error(
        "decoding it needs more than the {max} bytes that all objects together may hold: raise memory_limit"
    )]
    MemoryTooSmall { max: usize },
    /// The window of a zstd frame.
    #[error(
        "the zstd frame at byte {offset} needs a window of {window} bytes, more than the {max} that are accepted"
    )]
    WindowTooLarge { offset: u64, window: u64, max: u64 },
    /// The cargo feature `parquet` is off.
    #[error("the object is Parquet, and this binary was built without Parquet")]
    WithoutParquet,
    /// The library could not set up (memory).
    #[error("{compression} decoder could not be set up: {cause}")]
    SetUp { compression: Compression, cause: String },
    /// Bytes were given to a decoder that had already failed or seen its last byte.
    #[error("the decoder was used after its end")]
    Spent,
}

/// The limit on a record is fixed, unless memory is so short that a worker's share is less.
fn cure(max: usize) -> &'static str {
    if max < RECORD_BYTES_MAX {
        ", which is a worker's share of memory_limit: raise memory_limit, or lower workers"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_refused_for_want_of_memory_says_so() {
        let said = |max| Error::RecordTooLarge { max }.to_string();
        assert!(said(RECORD_BYTES_MAX - 1).contains("raise memory_limit"));
        assert!(!said(RECORD_BYTES_MAX).contains("memory_limit"));
    }
}
