//! Text -> lines.

use super::header::Headers;
use super::partial::{Limit, Partial};
use super::simd;
use super::{Error, LineBlock, Newlines, Record, Sink};

/// Splits at LF. A CR before it is not part of the line; empty lines are not records; the last line needs no LF. Bytes
/// are not interpreted in any other way.
///
/// Lines that are records as they are, which is nearly all of them, are passed on in blocks.
pub(super) struct Lines {
    headers: Headers,
    partial: Partial,
    max: usize,
    /// The line feeds of the current piece.
    ends: Vec<usize>,
}

/// A text is searched for line feeds in pieces of this size, so that it is still in the core's cache when its lines are
/// framed.
const PIECE_BYTES: usize = 32 << 10;

impl Lines {
    /// `headers` selects the non-empty lines to drop.
    pub fn new(headers: Headers, limit: impl Into<Limit>) -> Self {
        let limit = limit.into();
        Lines { headers, max: limit.max, partial: Partial::new(limit), ends: Vec::new() }
    }

    /// The next bytes of the text.
    pub fn push(&mut self, data: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        let Some(first) = memchr::memchr(b'\n', data) else { return self.partial.hold(data) };
        // It may have begun before.
        self.line(&data[..first], sink)?;
        let mut ends = std::mem::take(&mut self.ends);
        let rest = self.whole_lines(data, first + 1, &mut ends, sink);
        self.ends = ends;
        self.partial.hold(&data[rest?..])
    }

    /// Passes on the lines of `data` from `start` on. Returns where the last one begins, which has no end yet.
    fn whole_lines(
        &mut self,
        data: &[u8],
        mut start: usize,
        ends: &mut Vec<usize>,
        sink: &mut dyn Sink,
    ) -> Result<usize, Error> {
        let mut searched = start;
        while searched < data.len() {
            let until = data.len().min(searched + PIECE_BYTES);
            ends.clear();
            simd::line_feeds(data, searched..until, ends);
            searched = until;
            let mut left = &ends[..];
            while !left.is_empty() {
                let (plain, others) = left.split_at(self.plain_lines(data, start, left));
                if let Some(last) = plain.last() {
                    sink.lines(LineBlock::new(data, start, plain));
                    start = last + 1;
                }
                left = others;
                if let Some((end, others)) = left.split_first() {
                    self.line(&data[start..*end], sink)?;
                    (start, left) = (end + 1, others);
                }
            }
        }
        Ok(start)
    }

    /// The number of lines from `start` on that are records as they are.
    fn plain_lines(&self, data: &[u8], mut start: usize, ends: &[usize]) -> usize {
        let mut is_plain = |end: &usize| {
            let line = &data[start..*end];
            start = end + 1;
            line.len() <= self.max
                && line.last().is_some_and(|byte| *byte != b'\r')
                && line.first().is_some_and(|byte| *byte != MARK && !self.headers.may_begin(*byte))
        };
        ends.iter().take_while(|end| is_plain(end)).count()
    }

    /// The text has ended.
    pub fn finish(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        self.line(b"", sink)
    }

    #[inline]
    fn line(&mut self, piece: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        let headers = &mut self.headers;
        self.partial.complete(piece, |line| {
            let bytes = content(line);
            if !bytes.is_empty() && !headers.is_header(bytes) {
                sink.record(Record::new(bytes, Newlines::Absent));
            }
        })
    }
}

/// The first byte of a byte order mark.
const MARK: u8 = 0xef;

/// A line without the CR of its end, and without the byte order mark that a file has brought along which was put behind
/// others.
#[inline]
pub(super) fn content(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(chunks: &[&[u8]], header_lines: u32, max: usize) -> (Vec<Vec<u8>>, Result<(), Error>) {
        let mut lines = Lines::new(Headers::first(header_lines), max);
        let mut records = Vec::new();
        let mut sink = |record: Record<'_>| records.push(record.bytes.to_vec());
        let result = chunks.iter().try_for_each(|chunk| lines.push(chunk, &mut sink));
        let result = result.and_then(|()| lines.finish(&mut sink));
        (records, result)
    }

    fn naive(text: &[u8], header_lines: usize) -> Vec<Vec<u8>> {
        let lines = text.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec());
        let mut lines: Vec<Vec<u8>> = lines.filter(|line| !line.is_empty()).collect();
        let headers: Vec<Vec<u8>> = lines.drain(..header_lines.min(lines.len())).collect();
        lines.retain(|line| !headers.contains(line));
        lines
    }

    #[test]
    fn line_ends_blank_lines_and_a_last_line_without_end() {
        let (records, result) = split(&[b"\n\r\na b\r\n\nc\rd\n\0\xff\ne"], 0, 100);
        assert_eq!(result, Ok(()));
        assert_eq!(records, [&b"a b"[..], b"c\rd", b"\0\xff", b"e"]);
    }

    #[test]
    fn lines_are_the_same_across_the_pieces_in_which_they_are_searched() {
        let mut random = fastrand::Rng::with_seed(7);
        let kinds = |random: &mut fastrand::Rng| match random.u32(..40) {
            0 => b"head,er\r\n".to_vec(),
            1 => b"\n".to_vec(),
            2 => b"\xef\xbb\xbfmarked\n".to_vec(),
            3 => [vec![b'x'; random.usize(..70_000)], b"\n".to_vec()].concat(),
            _ => format!("{} plain {}\n", random.u32(..), "y".repeat(random.usize(..200))).into_bytes(),
        };
        for _ in 0..40 {
            let text: Vec<u8> = (0..600).flat_map(|_| kinds(&mut random)).collect();
            let expected: Vec<Vec<u8>> = naive(&text, 1)
                .into_iter()
                .map(|line| content(&line).to_vec())
                .filter(|line| !line.is_empty())
                .collect();
            let (records, result) = split(&[&text], 1, 100_000);
            assert_eq!(result, Ok(()));
            assert!(records == expected, "{} records of {}", records.len(), expected.len());
        }
    }

    #[test]
    fn nearly_all_lines_come_in_blocks() {
        struct Counts([usize; 2]);
        impl Sink for Counts {
            fn record(&mut self, _: Record<'_>) {
                self.0[0] += 1;
            }

            fn lines(&mut self, lines: LineBlock<'_>) {
                self.0[1] += lines.count();
            }
        }
        let text = b"2 123456789012 eni-1 10.0.0.1\n".repeat(10_000);
        let mut counts = Counts([0; 2]);
        let mut lines = Lines::new(Headers::first(0), 100);
        lines.push(&text, &mut counts).unwrap();
        lines.finish(&mut counts).unwrap();
        assert_eq!(counts.0, [1, 9_999], "the first line may have begun before");
    }

    #[test]
    fn header_lines_are_the_first_non_empty_ones() {
        let (records, _) = split(&[b"\n\nversion acc", b"ount\r\n\nrow\n"], 1, 100);
        assert_eq!(records, [b"row"]);
    }

    #[test]
    fn a_line_over_the_bound_ends_the_object_after_the_lines_before_it() {
        for chunks in [&[&b"abc\nabcd\nx"[..]][..], &[b"abc\nab", b"cd\nx"]] {
            let (records, result) = split(chunks, 0, 3);
            assert_eq!(records, [b"abc"]);
            assert_eq!(result, Err(Error::RecordTooLarge { max: 3 }));
        }
    }

    proptest! {
        #[test]
        fn equals_the_naive_split_whatever_the_chunks(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..200),
            size in 1..20usize, header in 0..3u32,
        ) {
            let chunks: Vec<&[u8]> = text.chunks(size).collect();
            let (records, result) = split(&chunks, header, 1000);
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(records, naive(&text, header as usize));
        }
    }
}
