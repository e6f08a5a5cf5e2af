//! For any bytes, cut in any way: no panic, and the same records and error.

use std::io::Write;

use aws_to_devo::base::budget::Budget;
use aws_to_devo::decode::{Account, Bounds, Decoder, Error, Format, Newlines, Record, Scratch};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Small, so that an allocation beyond the limit in `scripts/test` is our bug.
const BOUNDS: Bounds = Bounds {
    scratch_bytes_max: 4 << 20,
    record_bytes_max: 1 << 20,
    expansion_ratio_max: 500,
    held_bytes_max: 4 << 20,
};

/// A decoder's memory between its pushes.
const POOL_BYTES: usize = 16 << 20;

/// The first byte chooses the compression and the format's variant, the second one the chunks; the rest is the object,
/// or its uncompressed form.
pub fn check(input: &[u8], format: impl Fn(u8) -> Format) {
    let [variant, size, content @ ..] = input else { return };
    let object = &match variant >> 6 {
        0 | 1 => content.to_vec(),
        2 => gzip(content),
        _ => {
            let (first, second) = content.split_at(content.len() / 2);
            [gzip(first), gzip(second)].concat()
        }
    };
    let whole = decode(object, format(*variant), BOUNDS, object.len());
    let parts = decode(object, format(*variant), BOUNDS, usize::from(*size) + 1);
    assert_same(&whole, &parts);
    let small = Bounds { scratch_bytes_max: 0, record_bytes_max: 16, ..BOUNDS };
    let whole = decode(object, format(*variant), small, object.len());
    let parts = decode(object, format(*variant), small, usize::from(*size) + 1);
    assert_same(&whole, &parts);
}

/// Smaller pieces may have to be held, which a window may leave no memory for.
fn assert_same(whole: &Decoded, parts: &Decoded) {
    if !matches!(parts.1, Err(Error::MemoryTooSmall { .. })) {
        assert_eq!(whole, parts);
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("a Vec takes everything");
    encoder.finish().expect("a Vec takes everything")
}

/// A record's bytes, the meaning of its line feeds, and its context.
type Owned = (Vec<u8>, Newlines, Vec<u8>);
type Decoded = (Vec<Owned>, Result<(), Error>);

fn decode(object: &[u8], format: Format, bounds: Bounds, size: usize) -> Decoded {
    let account = Account::within(&Budget::new(POOL_BYTES));
    let (mut decoder, mut scratch) = (Decoder::within(format, bounds, account), Scratch::new());
    let mut records = Vec::new();
    let mut keep = |record: Record<'_>| {
        records.push((record.bytes.to_vec(), record.newlines, record.context.to_vec()));
    };
    let mut chunks = object.chunks(size.max(1)).peekable();
    loop {
        let chunk = chunks.next().unwrap_or_default();
        let last = chunks.peek().is_none();
        let result = decoder.push(chunk, last, &mut scratch, &mut keep);
        if last || result.is_err() {
            return (records, result);
        }
    }
}
