//! Many short lines, each behind the same header.
//!
//! A copy of a few dozen bytes costs less than the call of `memcpy`, most of all with musl's. So header and line are
//! copied in steps of a fixed size, up to a step further than they reach; what is too much is overwritten by what follows.

use std::mem::MaybeUninit;

use crate::decode::LineBlock;

/// Bytes that are copied at once: two or one vector instructions.
const STEP: usize = 32;
/// Longer headers are copied by `memcpy`.
const HEADER_MAX: usize = 8 * STEP;

/// Appends lines, each behind `header` and with its line feed, as long as their capacity and `until` bytes are not used
/// up. Returns their number.
pub fn append(out: &mut Vec<u8>, header: &[u8], lines: &mut LineBlock<'_>, until: usize) -> u32 {
    let mut padded = [0; HEADER_MAX + STEP];
    let Some(start) = padded[..HEADER_MAX].get_mut(..header.len()) else {
        return append_slowly(out, header, lines, until);
    };
    start.copy_from_slice(header);
    let (text, first) = (lines.text(), out.len());
    let spare = out.spare_capacity_mut();
    // A step further than the last byte must still be room.
    let room = spare.len().saturating_sub(STEP);
    let (mut length, mut count) = (0, 0);
    while first + length < until
        && let Some((start, end)) = lines.first()
    {
        let line = end + 1 - start;
        if header.len() + line > room.saturating_sub(length) {
            break;
        }
        copy_in_steps(&padded, &mut spare[length..], header.len());
        length += header.len();
        let rest = &text[start..];
        if rest.len() >= line.next_multiple_of(STEP) {
            copy_in_steps(rest, &mut spare[length..], line);
        } else {
            spare[length..length + line].write_copy_of_slice(&rest[..line]);
        }
        length += line;
        count += 1;
        lines.advance();
    }
    // SAFETY: the loop has written these bytes one after another.
    unsafe { out.set_len(first + length) };
    count
}

/// Copies `length` bytes, rounded up to whole steps, which both must have.
#[inline(always)]
fn copy_in_steps(from: &[u8], to: &mut [MaybeUninit<u8>], length: usize) {
    let whole = length.next_multiple_of(STEP);
    let (from, to) = (from[..whole].as_chunks::<STEP>().0, to[..whole].as_chunks_mut::<STEP>().0);
    for (from, to) in std::iter::zip(from, to) {
        to.write_copy_of_slice(from);
    }
}

fn append_slowly(out: &mut Vec<u8>, header: &[u8], lines: &mut LineBlock<'_>, until: usize) -> u32 {
    let mut count = 0;
    while out.len() < until
        && let Some((start, end)) = lines.first()
        && let Some(line) = lines.text().get(start..=end)
        && header.len() + line.len() <= out.capacity() - out.len()
    {
        out.extend_from_slice(header);
        out.extend_from_slice(line);
        count += 1;
        lines.advance();
    }
    count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(text: &[u8]) -> Vec<usize> {
        memchr::memchr_iter(b'\n', text).collect()
    }

    /// The appended bytes and the number of lines, by both ways.
    fn both(text: &[u8], header: &[u8], capacity: usize, until: usize) -> [(Vec<u8>, u32); 2] {
        let ends = ends(text);
        [append, append_slowly].map(|append| {
            let mut out = Vec::with_capacity(capacity);
            out.push(b'.');
            let count = append(&mut out, header, &mut LineBlock::new(text, 0, &ends), until);
            (out, count)
        })
    }

    #[test]
    fn each_line_is_behind_the_header() {
        let text = b"one\ntwo and three\n";
        for (bytes, count) in both(text, b"<14>h t: ", 1000, 1000) {
            assert_eq!((bytes.as_slice(), count), (&b".<14>h t: one\n<14>h t: two and three\n"[..], 2));
        }
    }

    #[test]
    fn a_full_buffer_or_batch_leaves_the_rest() {
        let text = b"0123456789\n".repeat(10);
        let ends = ends(&text);
        let mut lines = LineBlock::new(&text, 0, &ends);
        let mut out = Vec::with_capacity(1000);
        assert_eq!(append(&mut out, b"h ", &mut lines, 20), 2, "the line that reaches the limit is the last");
        assert_eq!((out.len(), lines.count()), (26, 8));
        let mut lines = LineBlock::new(&text, 0, &ends);
        let mut small = Vec::with_capacity(30 + STEP);
        let fit = append(&mut small, b"h ", &mut lines, 1000);
        assert!(fit >= 2 && small.len() + STEP <= small.capacity(), "{fit}");
    }

    #[test]
    fn a_long_header_is_copied_too() {
        let header = vec![b'x'; HEADER_MAX + 1];
        let [fast, slow] = both(b"a\nb\n", &header, 2000, 2000);
        assert_eq!(fast, slow);
        assert_eq!(fast.1, 2);
    }

    proptest! {
        /// Naive version: two calls of `extend_from_slice`.
        #[test]
        fn agrees_with_plain_copies(
            lines in proptest::collection::vec(proptest::collection::vec(b'a'..=b'z', 1..150), 0..40),
            header in proptest::collection::vec(b'A'..=b'Z', 0..300),
            until in 0usize..6000,
        ) {
            let text: Vec<u8> = lines.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect();
            let [fast, slow] = both(&text, &header, 40 * 500, until);
            prop_assert_eq!(fast, slow);
        }
    }
}
