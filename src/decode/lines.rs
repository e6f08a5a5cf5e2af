//! Text -> lines.

use super::header::Headers;
use super::partial::{Limit, Partial};
use super::{Error, Newlines, Record};

/// Splits at LF. A CR before it is not part of the line; empty lines are not records; the last line needs no LF. Bytes
/// are not interpreted in any other way.
pub(super) struct Lines {
    headers: Headers,
    partial: Partial,
}

impl Lines {
    /// `headers` selects the non-empty lines to drop.
    pub fn new(headers: Headers, limit: impl Into<Limit>) -> Self {
        Lines { headers, partial: Partial::new(limit) }
    }

    /// The next bytes of the text.
    pub fn push(&mut self, data: &[u8], sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', data) {
            self.line(&data[start..end], sink)?;
            start = end + 1;
        }
        self.partial.hold(&data[start..])
    }

    /// The text has ended.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        self.line(b"", sink)
    }

    #[inline]
    fn line(&mut self, piece: &[u8], sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        let headers = &mut self.headers;
        self.partial.complete(piece, |line| {
            let bytes = content(line);
            if !bytes.is_empty() && !headers.is_header(bytes) {
                sink(Record::new(bytes, Newlines::Absent));
            }
        })
    }
}

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
