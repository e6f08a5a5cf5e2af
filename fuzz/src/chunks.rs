//! For any bytes, cut in any way: no panic, and the same records and error.

use std::cell::RefCell;

use aws_to_devo::base::budget::Budget;
use aws_to_devo::decode::{Account, Bounds, Compression, Decoder, Error, Format, Record, Scratch};
use flate2::Crc;

/// Small, so that an allocation beyond the limit in `scripts/test` is our bug.
const BOUNDS: Bounds = Bounds {
    scratch_bytes_max: 4 << 20,
    record_bytes_max: 1 << 20,
    object_bytes: 0,
    expansion_ratio_max: 500,
    held_bytes_max: 4 << 20,
};
/// Everything is a stream, and records are soon too long.
const SMALL_BOUNDS: Bounds = Bounds { scratch_bytes_max: 0, record_bytes_max: 16, ..BOUNDS };

/// A decoder's memory between its pushes.
const POOL_BYTES: usize = 16 << 20;

thread_local! {
    /// A worker uses its buffers again, too.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Pieces of an object beyond which only time passes.
const CHUNKS_MAX: usize = 32;

/// The first byte chooses the format's variant, the second one the bounds and the size of the chunks; the rest is the
/// object.
pub fn check(input: &[u8], format: impl Fn(u8) -> Format) {
    let [variant, chunks, object @ ..] = input else { return };
    let bounds = if chunks & 0x80 == 0 { BOUNDS } else { SMALL_BOUNDS };
    let size = (usize::from(chunks & 0x7f) + 1).max(object.len().div_ceil(CHUNKS_MAX));
    let whole = decode(object, format(*variant), bounds, object.len());
    let parts = decode(object, format(*variant), bounds, size);
    // Smaller pieces may have to be held, which a window may leave no memory for.
    if matches!(parts.outcome, Err(Error::MemoryTooSmall { .. })) {
        return;
    }
    // A member that is inflated in one call may have codes that are refused in a stream.
    if whole.outcome != parts.outcome && is_invalid_deflate(&parts.outcome) {
        let streamed =
            decode(object, format(*variant), Bounds { scratch_bytes_max: 0, ..bounds }, object.len());
        return assert_eq!(streamed, parts);
    }
    assert_eq!(whole, parts);
}

fn is_invalid_deflate(outcome: &Result<(), Error>) -> bool {
    let gzip = Compression::Gzip;
    matches!(outcome, Err(Error::Corrupt { compression, cause, .. }) if *compression == gzip && cause.contains("deflate"))
}

/// A gzip member that is stored, not compressed: its content can be mutated, and nothing is spent on it.
pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut checksum = Crc::new();
    checksum.update(content);
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    for block in content.chunks(usize::from(u16::MAX)) {
        let length = block.len() as u16;
        member.push(0);
        member.extend(length.to_le_bytes());
        member.extend((!length).to_le_bytes());
        member.extend(block);
    }
    // An empty last block.
    member.extend([1, 0, 0, 0xff, 0xff]);
    member.extend(checksum.sum().to_le_bytes());
    member.extend(checksum.amount().to_le_bytes());
    member
}

#[derive(Debug, PartialEq)]
struct Decoded {
    /// Each record's bytes, the meaning of its line feeds, and its context, as one text that is cheap to write.
    records: Vec<u8>,
    outcome: Result<(), Error>,
}

fn decode(object: &[u8], format: Format, bounds: Bounds, size: usize) -> Decoded {
    let account = Account::within(&Budget::new(POOL_BYTES));
    let bounds = Bounds { object_bytes: object.len() as u64, ..bounds };
    let mut decoder = Decoder::within(format, bounds, account);
    let mut records = Vec::new();
    let mut keep = |record: Record<'_>| {
        for part in [record.bytes, record.context.json] {
            records.extend((part.len() as u32).to_be_bytes());
            records.extend(part);
        }
        records.push(record.newlines as u8);
    };
    let mut chunks = object.chunks(size.max(1)).peekable();
    let outcome = SCRATCH.with_borrow_mut(|scratch| {
        loop {
            let chunk = chunks.next().unwrap_or_default();
            let last = chunks.peek().is_none();
            let result = decoder.push(chunk, last, scratch, &mut keep);
            if last || result.is_err() {
                return result;
            }
        }
    });
    Decoded { records, outcome }
}
