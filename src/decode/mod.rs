//! Payload -> records.
//!
//! Pure. Compressed bytes go in, in order; records come out, each passed to a closure as a slice of a buffer that is
//! reused. See [`Decoder`].
//!
//! ```text
//! bytes ──► inflate ──► split ──► records
//!           gzip zlib   lines, csv
//!           zstd plain  json, documents
//!                       parquet
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`format`] | the formats, as a service names them |
//! | `inflate` | compression, detected from the bytes |
//! | `split` | the format's splitter, the byte order mark, Latin-1 |
//! | `foreign` | unsupported data, refused with its name: other compressions, archives, binary data |
//! | `signs` | signatures of other services' logs, which are refused |
//! | `utf16` | UTF-16 as UTF-8 |
//! | `header` | header lines, recognized by their content |
//! | `copies` | how much of an object may be repeated in each of its records |
//! | `lines`, `csv`, `separated` + `pieces`, `incapsula` | text |
//! | `snappy_blocks` | JSON in blocks of raw snappy, each after a line of metadata |
//! | `json_lines` | JSON values that mostly fill a line each |
//! | `json` | consecutive values, found without a tree; `json::walk`, `json::path`: the inside of one |
//! | `documents` | records made from JSON documents: envelopes, other shapes |
//! | `magic`, `parquet` | Parquet, detected from its first bytes |

mod bounds;
mod compression;
mod copies;
mod csv;
mod detect;
mod documents;
mod error;
mod foreign;
pub mod format;
#[cfg(test)]
mod forms;
mod header;
mod incapsula;
mod inflate;
mod json;
mod json_lines;
mod latin1;
mod lines;
mod magic;
mod memory;
#[cfg(not(feature = "parquet"))]
#[path = "no_parquet.rs"]
mod parquet;
#[cfg(feature = "parquet")]
mod parquet;
mod partial;
mod pattern;
mod pieces;
mod record;
pub mod select;
mod separated;
mod signs;
mod simd;
mod snappy_blocks;
mod sniff;
mod split;
mod start;
#[cfg(test)]
mod tests;
pub mod text_file;
mod utf16;

use inflate::{Level, Push};
use split::Split;

pub use bounds::Bounds;
pub use compression::Compression;
pub use error::Error;
pub use format::{Bare, EventBody, Format, Others, Shape};
pub use header::HeaderNames;
pub use inflate::Scratch;
pub use json::path::{JsonPath, Step};
pub use json::spelling::{has_unicode_escape, quoted};
pub use memory::Account;
pub use pattern::Pattern;
pub use record::{Context, LineBlock, Newlines, Record, Sink};
pub use signs::{Sign, Signs};

/// Turns one object's bytes, in order, into records.
///
/// gzip (every member, and gzip in gzip), zlib, zstd and plain bytes are distinguished by their first bytes; a UTF-8
/// byte order mark is dropped. Records, and the kind of error, do not depend on how the bytes were cut into chunks. An
/// object in one chunk is the fastest: its gzip members are inflated in one call each. That call is lenient about codes
/// that RFC 1951 reserves: a member with such codes and the right checksum and length is read in one chunk, but refused
/// in several.
pub struct Decoder {
    bounds: Bounds,
    outermost: Level,
    split: Split,
    /// Bytes of the object so far.
    taken: u64,
    spent: bool,
}

impl Decoder {
    /// Creates a decoder for one object, with its own limits only.
    pub fn new(format: Format, bounds: Bounds) -> Decoder {
        Decoder::within(format, bounds, Account::default())
    }

    /// Creates a decoder for one object, with an account for its memory.
    pub fn within(format: Format, bounds: Bounds, account: Account) -> Decoder {
        Decoder {
            bounds,
            outermost: Level::outermost(account.clone()),
            split: Split::new(format, bounds, account),
            taken: 0,
            spent: false,
        }
    }

    /// Takes the next bytes of the object; with `last` there are no more (and `chunk` may be empty). Every complete
    /// record is passed to `sink`.
    ///
    /// # Errors
    ///
    /// If the object is corrupt or exceeds its limits. All complete records before the damage have been passed to
    /// `sink`; the decoder cannot be used any more.
    pub fn push(
        &mut self,
        chunk: &[u8],
        last: bool,
        scratch: &mut Scratch,
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        if self.spent {
            return Err(Error::Spent);
        }
        let result = self.decode(chunk, last, scratch, sink);
        self.spent = last || result.is_err();
        if self.spent {
            scratch.end_object();
        }
        result
    }

    /// Inflated bytes so far: log bytes. For Parquet, the bytes of the records.
    pub fn expanded_bytes(&self) -> u64 {
        self.split.taken_bytes()
    }

    /// JSON documents so far that are known to have no records: control messages, or a `null` for a list.
    pub fn empty_documents(&self) -> u64 {
        self.split.empty_documents()
    }

    /// The first bytes of the inflated object, up to [`EXAMPLE_BYTES`](crate::base::limits::EXAMPLE_BYTES), for error
    /// messages.
    pub fn beginning(&self) -> &[u8] {
        self.split.beginning()
    }

    fn decode(
        &mut self,
        chunk: &[u8],
        last: bool,
        scratch: &mut Scratch,
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        let Decoder { bounds, outermost, split, taken, .. } = self;
        *taken += chunk.len() as u64;
        let mut push = Push { scratch, bounds, object_bytes: bounds.known_bytes(*taken) };
        let inflated = outermost.push(chunk, last, &mut push, &mut |text| split.push(text, sink));
        match inflated {
            Ok(()) if last => split.finish(sink),
            // The text itself is complete, so its last line is a record. A problem with its end would come from the
            // garbage.
            Err(garbage @ Error::TrailingGarbage { .. }) => {
                let _ = split.finish(sink);
                Err(garbage)
            }
            Err(error) => {
                split.give_up(sink);
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }
}
