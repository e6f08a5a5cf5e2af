//! Errors for objects that could not be decoded to their end.

use super::compression::Compression;
use crate::base::limits::RECORD_BYTES_MAX;

/// A problem of an object. Each is one line for an operator; the records before it have been delivered.
///
/// Offsets into compressed data count from the start of that level of compression, offsets into JSON from the start of
/// the inflated text.
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
    /// More than [`COMPRESSION_LEVELS_MAX`](crate::base::limits::COMPRESSION_LEVELS_MAX) levels.
    #[error("compressed more than {max} times")]
    TooManyLevels { max: usize },
    /// Its expansion ratio is beyond that of logs.
    #[error(
        "expansion bomb: {object_bytes} bytes expand to more than {expanded_max}, although logs expand less than {ratio_max} times"
    )]
    Bomb { object_bytes: u64, expanded_max: u64, ratio_max: u64 },
    /// Its repeated data would be copied into its records too often.
    #[error(
        "{read} bytes of it became records with {copied} more bytes, a ratio of more than {ratio_max}: a member of its envelope, or names in its header, are too long to be written into each record"
    )]
    Copies { read: u64, copied: u64, ratio_max: u64 },
    /// Each record would be too large because of the object's repeated data.
    #[error(
        "the data repeated in each of its records (an envelope's own members or a text file's header) is larger than the limit of {max} bytes. If the first line of a text file is a record, set \"header\": false"
    )]
    HeaderTooLarge { max: usize },
    /// One record exceeds the bound.
    #[error("a record is larger than the limit of {max} bytes{}", cure(*max))]
    RecordTooLarge { max: usize },
    /// The text is not the JSON that its service expects.
    #[error("bad JSON at byte {offset}: {cause}")]
    BadJson { offset: u64, cause: &'static str },
    /// A JSON document, counted from 1, is not what its service expects.
    #[error("bad JSON in document {number}: {cause}")]
    BadDocument { number: u64, cause: &'static str },
    /// Documents are of another kind than the service's.
    #[error(
        "{count} of its JSON documents hold nothing that this service reads ({expected}), and may be the log of another service. The first begins with {example}"
    )]
    UnexpectedDocuments { count: u64, expected: String, example: String },
    /// It begins with the signature of another log than the service's.
    #[error(
        "the object is {log}, which this service does not read: give its queue, or keys like its own, to a service that does"
    )]
    AnotherLog { log: String },
    /// It is packed or written in an unsupported way.
    #[error("the object is {name}, which is not supported: {cure}")]
    Foreign { name: &'static str, cure: &'static str },
    /// Data that should be text is not.
    #[error(
        "the object is binary, not text: more than a tenth of its first bytes are control characters or not UTF-8. If it is text in another character set, set the service's encoding to latin-1; if it is compressed, have its writer use gzip"
    )]
    Binary,
    /// The header of an Imperva log file has a `key:`.
    #[error(
        "the body is encrypted (its header has a \"key:\" line): turn off encryption in the Imperva log settings"
    )]
    Encrypted,
    /// Parquet that contradicts itself, or uses unsupported features.
    #[error("bad Parquet: {cause}")]
    BadParquet { cause: String },
    /// Parquet can only be read whole.
    #[error("the Parquet object is larger than the {max} bytes allowed for one: raise memory_limit")]
    ObjectTooLarge { max: usize },
    /// The footer becomes structures of the library that reads it.
    #[error("the Parquet object's footer needs more than the {max} bytes left for it: raise memory_limit")]
    FooterTooLarge { max: usize },
    /// The object itself, and the pages of all columns that are read at a time.
    #[error(
        "the Parquet object and its pages need more than the {max} bytes allowed for one: raise memory_limit"
    )]
    PagesTooLarge { max: usize },
    /// A block of raw snappy, or the line of metadata before it.
    #[error("bad snappy: the block at byte {offset}: {cause}")]
    BadBlock { offset: u64, cause: String },
    /// Other objects hold the memory that this one needs. It is not the object's fault: it is decoded again when the
    /// memory is free.
    #[error("other objects hold the memory that it needs")]
    MemoryBusy,
    /// It would not fit even alone.
    #[error(
        "decoding it needs more than the {max} bytes allowed for all objects together: raise memory_limit"
    )]
    MemoryTooSmall { max: usize },
    /// The window of a zstd frame.
    #[error("the zstd frame at byte {offset} needs a window of {window} bytes, more than the allowed {max}")]
    WindowTooLarge { offset: u64, window: u64, max: u64 },
    /// The cargo feature `parquet` is off.
    #[error("the object is Parquet, and this binary was built without Parquet")]
    WithoutParquet,
    /// The library could not be set up (memory).
    #[error("{compression} decoder could not be set up: {cause}")]
    SetUp { compression: Compression, cause: String },
    /// Bytes were given to a decoder that had already failed or seen its last byte.
    #[error("the decoder was used after its end")]
    Spent,
}

/// The limit on a record is fixed, unless memory is so small that a worker's share is less.
fn cure(max: usize) -> &'static str {
    if max < RECORD_BYTES_MAX {
        ", a worker's share of memory_limit: raise memory_limit, or lower workers"
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
