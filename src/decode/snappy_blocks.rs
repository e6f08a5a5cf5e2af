//! Blocks of raw snappy after lines of JSON metadata -> JSON values.
//!
//! Palo Alto's Strata Logging Service writes such objects. Snappy's raw format has no signature and no length, so the
//! line before a block gives its length:
//!
//! ```text
//! {"num_records":2,"num_bytes":1731,…}     one line
//! <1731 bytes>                             one raw snappy block, whose text is JSON lines
//! ```
//!
//! Several such pairs may follow one another. A line that is not metadata is plain JSON.

use memchr::memmem;

use super::json::walk;
use super::json_lines::JsonLines;
use super::memory::Charge;
use super::partial::{Held, Limit, Partial};
use super::{Bounds, Error, Record, Sink, inflate};
use crate::base::limits::SNAPPY_METADATA_BYTES_MAX;

/// The splitter of one object's text.
pub(super) struct SnappyBlocks {
    place: Place,
    /// Reads the text between two blocks, or in one: no value spans a block's edge.
    lines: JsonLines,
    bounds: Bounds,
    limit: Limit,
    /// Bytes of the object so far.
    read: u64,
    /// Bytes of JSON so far.
    text_bytes: u64,
}

enum Place {
    /// In a line that may turn out to announce a block.
    Line(Partial),
    /// In a line that is too long for that.
    LongLine,
    Block(Block),
}

struct Block {
    /// Its offset in the object.
    offset: u64,
    length: usize,
    /// The number of records that its metadata claims.
    records: u64,
    held: Held,
}

impl SnappyBlocks {
    /// `limit` is the size of the largest record.
    pub fn new(bounds: Bounds, limit: Limit) -> Self {
        let (place, lines) = (Place::line(&limit), JsonLines::new(limit.clone()));
        SnappyBlocks { place, lines, bounds, limit, read: 0, text_bytes: 0 }
    }

    /// Bytes of JSON so far.
    pub fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// Takes the next bytes of the object.
    pub fn push(&mut self, mut data: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        while !data.is_empty() {
            let taken = match &self.place {
                Place::Line(_) => self.line(data, sink)?,
                Place::LongLine => self.long_line(data, sink)?,
                Place::Block(_) => self.block(data, sink)?,
            };
            data = &data[taken..];
        }
        Ok(())
    }

    /// Ends the object.
    pub fn finish(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        if let Place::Line(partial) = &self.place {
            let line = partial.held().to_vec();
            self.end_line(&line, sink)?;
        }
        match &self.place {
            Place::Block(Block { offset, length, held, .. }) => {
                let held = held.len();
                let cause = format!("the object ends after {held} of the {length} bytes in its metadata");
                Err(Error::BadBlock { offset: *offset, cause })
            }
            Place::Line(_) | Place::LongLine => self.lines.finish(self.text_bytes, sink),
        }
    }

    /// Takes bytes up to the line's end, or all; returns their number.
    fn line(&mut self, data: &[u8], sink: &mut dyn Sink) -> Result<usize, Error> {
        let Place::Line(partial) = &mut self.place else { return Ok(0) };
        let end = memchr::memchr(b'\n', data).map(|end| end + 1);
        let piece = &data[..end.unwrap_or(data.len())];
        self.read += piece.len() as u64;
        if partial.check(piece).is_err() {
            let begun = partial.held().to_vec();
            self.place = if end.is_some() { Place::line(&self.limit) } else { Place::LongLine };
            self.json(&begun, sink)?;
            self.json(piece, sink)?;
        } else if end.is_none() {
            partial.hold(piece)?;
        } else if partial.held().is_empty() {
            self.end_line(piece, sink)?;
        } else {
            partial.hold(piece)?;
            let line = partial.held().to_vec();
            partial.truncate(0);
            self.end_line(&line, sink)?;
        }
        Ok(piece.len())
    }

    fn long_line(&mut self, data: &[u8], sink: &mut dyn Sink) -> Result<usize, Error> {
        let end = memchr::memchr(b'\n', data).map(|end| end + 1);
        if end.is_some() {
            self.place = Place::line(&self.limit);
        }
        let piece = &data[..end.unwrap_or(data.len())];
        self.read += piece.len() as u64;
        self.json(piece, sink)?;
        Ok(piece.len())
    }

    /// A line has ended, and so has the read part of the object: it announces a block, or is JSON.
    fn end_line(&mut self, line: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        let Some(Metadata { length, records }) = metadata(line) else { return self.json(line, sink) };
        self.end_values(sink)?;
        let (offset, max) = (self.read, self.bounds.held_bytes_max);
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= max) else {
            let cause = format!("its metadata claims {length} bytes, more than the allowed {max}");
            return Err(Error::BadBlock { offset, cause });
        };
        let held = Held::new(&Limit { max: length, account: self.limit.account.clone() });
        self.place = Place::Block(Block { offset, length, records, held });
        if length == 0 { self.end_block(sink) } else { Ok(()) }
    }

    /// Takes bytes up to the block's end, or all; returns their number.
    fn block(&mut self, data: &[u8], sink: &mut dyn Sink) -> Result<usize, Error> {
        let Place::Block(block) = &mut self.place else { return Ok(0) };
        let taken = data.len().min(block.length - block.held.len());
        block.held.extend(&data[..taken])?;
        self.read += taken as u64;
        if block.held.len() == block.length {
            self.end_block(sink)?;
        }
        Ok(taken)
    }

    fn end_block(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        let Place::Block(block) = std::mem::replace(&mut self.place, Place::line(&self.limit)) else {
            return Ok(());
        };
        let mut charge = self.limit.account.charge();
        let text = self.expand(&block, &mut charge)?;
        let Block { offset, records: claimed, .. } = block;
        let mut records = 0;
        let mut counted = |record: Record<'_>| {
            records += 1;
            sink.record(record);
        };
        self.json(&text, &mut counted)?;
        self.end_values(&mut counted)?;
        if records != claimed {
            let cause = format!("its metadata claims {claimed} records, but it has {records}");
            return Err(Error::BadBlock { offset, cause });
        }
        Ok(())
    }

    /// Decompresses a block. Room is allocated for its claimed size only if that is within all bounds.
    fn expand(&self, block: &Block, charge: &mut Charge) -> Result<Vec<u8>, Error> {
        let Block { offset, held, .. } = block;
        let bad = |cause: String| Error::BadBlock { offset: *offset, cause };
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let (packed, max) = (held.as_slice(), self.bounds.held_bytes_max);
        let claimed = snap::raw::decompress_len(packed).map_err(|error| bad(error.to_string()))?;
        if claimed > max {
            let cause = format!("it claims to expand to {claimed} bytes, more than the allowed {max}");
            return Err(bad(cause));
        }
        let expanded = self.text_bytes.saturating_add(claimed as u64);
        inflate::check_expansion(self.read, expanded, self.bounds.expansion_ratio_max)?;
        charge.set(claimed)?;
        let mut text = Vec::new();
        text.try_reserve_exact(claimed).map_err(|_| Error::MemoryTooSmall { max: held.len() })?;
        text.resize(claimed, 0);
        let made = snap::raw::Decoder::new().decompress(packed, &mut text);
        made.map_err(|error| bad(error.to_string()))?;
        Ok(text)
    }

    fn json(&mut self, text: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        let offset = self.text_bytes;
        self.text_bytes += text.len() as u64;
        self.lines.push(text, offset, sink)
    }

    /// A block begins or has ended.
    fn end_values(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        let next = JsonLines::new(self.limit.clone());
        std::mem::replace(&mut self.lines, next).finish(self.text_bytes, sink)
    }
}

impl Place {
    fn line(limit: &Limit) -> Place {
        let max = limit.max.min(SNAPPY_METADATA_BYTES_MAX);
        Place::Line(Partial::new(Limit { max, account: limit.account.clone() }))
    }
}

/// The claims of a line about the block after it.
struct Metadata {
    /// In bytes.
    length: u64,
    records: u64,
}

/// Reads a line's claims about a block, if it announces one.
fn metadata(line: &[u8]) -> Option<Metadata> {
    memmem::find(line, b"\"num_bytes\"")?;
    let line = walk::trim(line);
    if !line.starts_with(b"{") || !walk::is_value(line) {
        return None;
    }
    let number = |name: &str| std::str::from_utf8(walk::member(line, name).ok()??).ok()?.parse::<u64>().ok();
    Some(Metadata { records: number("num_records")?, length: number("num_bytes")? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Account, Decoder, Format, Scratch};
    use super::*;
    use crate::base::budget::Budget;
    use crate::base::limits::MIB;

    type Splitted = (Vec<String>, Result<(), Error>);

    fn split_in(object: &[u8], size: usize, bounds: Bounds, account: Account) -> Splitted {
        let mut decoder = Decoder::within(Format::SnappyBlocks, bounds, account);
        let (mut scratch, mut records) = (Scratch::new(), Vec::new());
        let mut sink = |record: Record<'_>| records.push(String::from_utf8_lossy(record.bytes).into_owned());
        let mut chunks = object.chunks(size.max(1)).peekable();
        loop {
            let chunk = chunks.next().unwrap_or_default();
            let last = chunks.peek().is_none();
            let result = decoder.push(chunk, last, &mut scratch, &mut sink);
            if last || result.is_err() {
                return (records, result);
            }
        }
    }

    /// The same in any chunks.
    fn split(object: &[u8]) -> Splitted {
        let whole = split_in(object, object.len(), Bounds::default(), Account::default());
        for size in (1..object.len().min(70)).chain([100, 1000]) {
            let parts = split_in(object, size, Bounds::default(), Account::default());
            assert_eq!(parts, whole, "{size} bytes at a time");
        }
        whole
    }

    fn packed(text: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(text).unwrap()
    }

    /// A metadata line that claims so many records and bytes, then the block.
    fn claimed(records: usize, length: usize, block: &[u8]) -> Vec<u8> {
        let line = format!("{{\"num_records\":{records}, \"num_bytes\":{length},\"x\":\"y\"}}\r\n");
        [line.as_bytes(), block].concat()
    }

    fn announced(length: usize, block: &[u8]) -> Vec<u8> {
        claimed(2, length, block)
    }

    fn block(text: &[u8]) -> Vec<u8> {
        let records = memmem::find_iter(text, "{\"n\":").count();
        claimed(records, packed(text).len(), &packed(text))
    }

    #[test]
    fn blocks_and_plain_lines_in_any_order() {
        let (one, other, plain) =
            (block(b"{\"n\":1}\n{\"n\":2}"), block(b"{\"n\":3}\n"), b"{\"n\":4}\n{\"n\":5}\n");
        let records = |object: &[u8]| {
            let (records, result) = split(object);
            assert_eq!(result, Ok(()));
            records.concat().replace("{\"n\":", "").replace('}', "")
        };
        assert_eq!(records(&one), "12");
        assert_eq!(records(plain), "45");
        assert_eq!(records(&[&one[..], &other].concat()), "123");
        assert_eq!(records(&[&one[..], b"\n", &other, b"\n"].concat()), "123");
        assert_eq!(records(&[plain, &one[..], plain, &other].concat()), "4512453");
        assert_eq!(records(&[&claimed(0, 0, b"")[..], &block(b""), &one].concat()), "12");
        assert_eq!(records(b"[{\"n\":4},\n{\"n\":5}]"), "45");
        assert_eq!(records(b""), "");
    }

    #[test]
    fn a_record_with_a_member_of_that_name_announces_nothing() {
        for line in [
            "{\"num_bytes\":7}",
            "{\"num_bytes\":7,\"num_records\":\"x\"}",
            "{\"a\":{\"num_bytes\":7,\"num_records\":1}}",
            "{\"num_bytes\":-7,\"num_records\":1}",
        ] {
            assert_eq!(split(line.as_bytes()), (vec![line.to_owned()], Ok(())));
        }
        let long = format!(
            "{{\"num_records\":1,\"num_bytes\":7,\"a\":\"{}\"}}",
            "x".repeat(SNAPPY_METADATA_BYTES_MAX)
        );
        for size in [1000, 70_000, long.len()] {
            let (records, result) = split_in(long.as_bytes(), size, Bounds::default(), Account::default());
            assert_eq!((records.len(), result), (1, Ok(())), "{size}");
        }
    }

    #[test]
    fn a_block_that_is_not_what_its_metadata_says_is_an_error() {
        let text = b"{\"n\":1}\n{\"n\":2}\n".repeat(9);
        let packed = packed(&text);
        let before = b"{\"n\":0}\n";
        let cases = [
            ("too big", announced(packed.len() + 1, &packed)),
            ("cut", announced(packed.len(), &packed[..packed.len() - 1])),
            ("missing", announced(packed.len(), b"")),
            ("too small", announced(packed.len() - 1, &packed)),
            ("much too small", announced(3, &packed)),
            ("larger than anything", announced(usize::MAX, &packed)),
            ("no snappy", announced(4, &[0xff; 4])),
            ("a claim of 4 GiB", announced(6, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0])),
        ];
        for (what, object) in cases {
            let (records, result) = split(&[before, &object[..]].concat());
            assert!(matches!(result, Err(Error::BadBlock { .. })), "{what}: {result:?}");
            assert_eq!(records, ["{\"n\":0}"], "{what}");
        }
        for records in [0, 17, 19] {
            let (sent, result) = split(&claimed(records, packed.len(), &packed));
            assert!(matches!(result, Err(Error::BadBlock { .. })), "{records} records: {result:?}");
            assert_eq!(sent.len(), 18);
        }
        assert!(matches!(split(&claimed(1, 0, b"")).1, Err(Error::BadBlock { .. })));
        let twice = [b"{\"num_records\":1,\"num_records\":2,\"num_bytes\":3}\n", &packed[..]].concat();
        assert!(split(&twice).1.is_err(), "which of the two numbers counts is unknown");
        let (_, result) = split(&block(b"{\"n\":1}\n{\"n\":"));
        assert!(
            matches!(result, Err(Error::BadJson { .. })),
            "no value goes over a block's edge: {result:?}"
        );
    }

    #[test]
    fn what_a_block_becomes_is_bounded_and_charged() {
        let bomb = vec![b' '; 8 * MIB];
        let object = block(&bomb);
        let small = Bounds { held_bytes_max: 4 * MIB, ..Bounds::default() };
        let (_, result) = split_in(&object, 1000, small, Account::default());
        assert!(matches!(result, Err(Error::BadBlock { .. })), "{result:?}");
        let pool = Budget::new(2 * MIB);
        let (_, result) = split_in(&object, 1000, Bounds::default(), Account::within(&pool));
        assert_eq!(result, Err(Error::MemoryTooSmall { max: 2 * MIB }));
        assert_eq!(pool.free(), 2 * MIB);
        assert_eq!(
            split_in(&object, 1000, Bounds::default(), Account::within(&Budget::new(16 * MIB))).1,
            Ok(())
        );
        let many = block(&vec![b' '; 40 * MIB]).repeat(4);
        let (_, result) = split_in(
            &many,
            usize::MAX,
            Bounds { expansion_ratio_max: 10, ..Bounds::default() },
            Account::default(),
        );
        assert!(matches!(result, Err(Error::Bomb { .. })), "{result:?}");
    }

    proptest! {
        #[test]
        fn any_object_gives_the_same_in_any_chunks(
            parts in prop::collection::vec((any::<bool>(), r#"(\{"n":[0-9]\}|\[|\]|\n|,|"num_bytes":3|"num_records":1){0,5}"#, -2i64..3), 0..4),
            size in 1usize..60,
        ) {
            let mut object = Vec::new();
            for (is_block, text, off) in parts {
                let packed = packed(text.as_bytes());
                let length = packed.len().saturating_add_signed(off as isize);
                object.extend(if is_block { announced(length, &packed) } else { text.into_bytes() });
            }
            let whole = split_in(&object, object.len(), Bounds::default(), Account::default());
            prop_assert_eq!(split_in(&object, size, Bounds::default(), Account::default()), whole);
        }
    }
}
