//! Lengths in DELTA_BINARY_PACKED, summed before the library allocates room for them.
//!
//! The encoding is that of
//! <https://parquet.apache.org/docs/file-format/data-pages/encodings/#delta-encoding-delta_binary_packed--5>. A header
//! that claims any number of lengths takes a few bytes, and so does a run of equal ones.

use super::thrift::Cursor;

/// The result of a sequence of lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lengths {
    pub count: usize,
    pub sum: u64,
    pub largest: u64,
}

/// Reads the lengths at the start of `bytes`, at most `count_max` of them, and returns the bytes after them. None if
/// they are corrupt.
pub(super) fn lengths(bytes: &[u8], count_max: usize) -> Option<(Lengths, &[u8])> {
    let mut cursor = Cursor::new(bytes);
    let block = usize::try_from(cursor.varint()?).ok()?;
    let minis = usize::try_from(cursor.varint()?).ok()?;
    let count = usize::try_from(cursor.varint()?).ok()?;
    let first = i32::try_from(cursor.zigzag()?).ok()?;
    if count > count_max || block == 0 || minis == 0 || !block.is_multiple_of(minis) {
        return None;
    }
    let mut sum = Sum { value: first, lengths: Lengths { count, sum: 0, largest: 0 } };
    let per_mini = block / minis;
    let mut left = count;
    if left > 0 {
        sum.add(0)?;
        left -= 1;
    }
    while left > 0 {
        let delta_min = i32::try_from(cursor.zigzag()?).ok()?;
        for &width in cursor.bytes(minis)? {
            if left == 0 {
                break;
            }
            let packed = cursor.bytes(per_mini.checked_mul(usize::from(width))?.div_ceil(8))?;
            let here = left.min(per_mini);
            (0..here)
                .try_for_each(|index| sum.add(delta_min.wrapping_add(unpacked(packed, width, index)?)))?;
            left -= here;
        }
    }
    Some((sum.lengths, cursor.rest))
}

struct Sum {
    value: i32,
    lengths: Lengths,
}

impl Sum {
    fn add(&mut self, delta: i32) -> Option<()> {
        self.value = self.value.wrapping_add(delta);
        let length = u64::try_from(self.value).ok()?;
        self.lengths.sum += length;
        self.lengths.largest = self.lengths.largest.max(length);
        Some(())
    }
}

/// The value with this index among values of `width` bits, lowest bits first.
fn unpacked(packed: &[u8], width: u8, index: usize) -> Option<i32> {
    if width > 32 {
        return None;
    }
    let bit = index * usize::from(width);
    let mut bytes = [0; 8];
    let from = &packed[(bit / 8).min(packed.len())..];
    let taken = from.len().min(bytes.len());
    bytes[..taken].copy_from_slice(&from[..taken]);
    let value = u64::from_le_bytes(bytes) >> (bit % 8) & ((1u64 << width) - 1);
    Some(value as u32 as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification() {
        // 1 2 3 4 5: deltas of one, so no bits; a block of 128 in four mini-blocks.
        let bytes = [0x80, 1, 4, 5, 2, 2, 0, 0, 0, 0, 9];
        let expected = Lengths { count: 5, sum: 15, largest: 5 };
        assert_eq!(lengths(&bytes, 5), Some((expected, &[9][..])));
        assert_eq!(lengths(&bytes, 4), None, "more than there may be");
    }

    #[test]
    fn packed_deltas() {
        // 7 5 3 1 2 3 4 5: the smallest delta is -2, and deltas over it are 0 0 0 3 3 3 3 in two bits.
        let mut bytes = vec![0x80, 1, 4, 8, 14, 3, 2, 0, 0, 0];
        bytes.extend([0b1100_0000, 0b0011_1111, 0, 0, 0, 0, 0, 0]);
        assert_eq!(lengths(&bytes, 100), Some((Lengths { count: 8, sum: 30, largest: 7 }, &[][..])));
        assert_eq!(lengths(&bytes[..12], 100), None);
    }

    #[test]
    fn claims_are_refused() {
        for bytes in [
            &[0x80, 1, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0][..],
            &[0x80, 1, 0, 1, 0],
            &[0, 1, 9, 0],
            &[0x80, 1, 4, 1, 1],
            &[],
        ] {
            assert_eq!(lengths(bytes, 1000), None, "{bytes:?}");
        }
    }
}
