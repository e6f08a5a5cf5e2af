//! CSV text -> records that may contain line feeds.

use super::header::Headers;
use super::lines::{Lines, content};
use super::partial::{Held, Limit};
use super::{Error, Newlines, Record, Sink};

/// Splits at the LFs outside double quotes. Every quote toggles, wherever it is: a doubled one inside quotes leaves and
/// re-enters, and real files (Cisco Umbrella's) open quotes after a space or in the middle of a field.
///
/// Two faults cannot swallow a whole object. If a quote is still open at the end of the data, its line is a record by
/// itself, and the text after that line is read again. If a record exceeds the bound because of an open quote, quotes
/// are ignored from then on: from its first line, the rest of the object is lines.
pub(super) struct Csv {
    headers: Headers,
    /// The current record's part from earlier chunks.
    held: Held,
    in_quotes: bool,
    /// The current record has had a line feed.
    multi_line: bool,
    /// Quotes are ignored from now on.
    plain: Option<Lines>,
    limit: Limit,
}

impl Csv {
    /// `headers` selects the non-empty records to drop.
    pub fn new(headers: Headers, limit: impl Into<Limit>) -> Self {
        let limit = limit.into();
        Csv { headers, held: Held::new(&limit), in_quotes: false, multi_line: false, plain: None, limit }
    }

    /// The next bytes of the text.
    pub fn push(&mut self, data: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        if let Some(lines) = &mut self.plain {
            return lines.push(data, sink);
        }
        let (mut start, mut line) = (0, 0);
        for end in memchr::memchr_iter(b'\n', data) {
            self.in_quotes ^= odd_quotes(&data[line..end]);
            line = end + 1;
            if self.in_quotes {
                self.multi_line = true;
                continue;
            }
            if !self.fits(&data[start..end])? {
                return self.distrust(&data[start..], sink);
            }
            self.complete(&data[start..end], sink)?;
            start = line;
        }
        self.in_quotes ^= odd_quotes(&data[line..]);
        if !self.fits(&data[start..])? {
            return self.distrust(&data[start..], sink);
        }
        self.held.extend(&data[start..])
    }

    /// The text has ended.
    pub fn finish(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        if let Some(lines) = &mut self.plain {
            return lines.finish(sink);
        }
        if std::mem::take(&mut self.in_quotes)
            && let Some(end) = memchr::memchr(b'\n', self.held.as_slice())
        {
            // This line has an odd number of quotes, and so has everything held: the rest has an even number, so this
            // happens once.
            let held = std::mem::replace(&mut self.held, Held::new(&self.limit));
            self.multi_line = false;
            self.complete(&held.as_slice()[..end], sink)?;
            self.push(&held.as_slice()[end + 1..], sink)?;
        }
        self.complete(b"", sink)
    }

    /// True if the record, up to the end of `piece`, is within the bound. False if it is not, and its quotes are to
    /// blame.
    fn fits(&self, piece: &[u8]) -> Result<bool, Error> {
        let max = self.limit.max;
        let fits = piece.len() <= max.saturating_sub(self.held.len());
        if fits || self.multi_line { Ok(fits) } else { Err(Error::RecordTooLarge { max }) }
    }

    /// From the first line of the current record on, treats the text as lines.
    fn distrust(&mut self, rest: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        let held = std::mem::replace(&mut self.held, Held::new(&self.limit));
        let headers = std::mem::replace(&mut self.headers, Headers::first(0));
        let lines = self.plain.insert(Lines::new(headers, self.limit.clone()));
        lines.push(held.as_slice(), sink)?;
        lines.push(rest, sink)
    }

    /// Ends the record with `piece`.
    fn complete(&mut self, piece: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        let newlines = if self.multi_line { Newlines::Significant } else { Newlines::Absent };
        self.multi_line = false;
        if self.held.is_empty() {
            give(&mut self.headers, piece, newlines, sink);
            return Ok(());
        }
        self.held.extend(piece)?;
        give(&mut self.headers, self.held.as_slice(), newlines, sink);
        self.held.clear();
        Ok(())
    }
}

fn give(headers: &mut Headers, record: &[u8], newlines: Newlines, sink: &mut dyn Sink) {
    let bytes = content(record);
    if !bytes.is_empty() && !headers.is_header(bytes) {
        sink.record(Record::new(bytes, newlines));
    }
}

fn odd_quotes(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'"', bytes).count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Records = Vec<(Vec<u8>, Newlines)>;

    fn split(text: &[u8], size: usize, header_lines: u32, max: usize) -> (Records, Result<(), Error>) {
        let mut csv = Csv::new(Headers::first(header_lines), max);
        let mut records = Vec::new();
        let mut sink = |record: Record<'_>| records.push((record.bytes.to_vec(), record.newlines));
        let result = text.chunks(size).try_for_each(|chunk| csv.push(chunk, &mut sink));
        let result = result.and_then(|()| csv.finish(&mut sink));
        (records, result)
    }

    /// The same in any chunks.
    fn records(text: &str) -> Vec<String> {
        let whole = split(text.as_bytes(), text.len().max(1), 0, 1000);
        for size in 1..text.len() {
            assert_eq!(split(text.as_bytes(), size, 0, 1000), whole, "{size}");
        }
        assert_eq!(whole.1, Ok(()));
        whole.0.into_iter().map(|(bytes, _)| String::from_utf8(bytes).unwrap()).collect()
    }

    /// Byte by byte, without a bound.
    fn naive(text: &[u8], header_lines: usize) -> Vec<Vec<u8>> {
        let line = |record: Vec<u8>| record.strip_suffix(b"\r").map_or(record.clone(), <[u8]>::to_vec);
        let records = naive_pieces(text).into_iter().map(line);
        let mut records: Vec<Vec<u8>> = records.filter(|record| !record.is_empty()).collect();
        let headers: Vec<Vec<u8>> = records.drain(..header_lines.min(records.len())).collect();
        records.retain(|record| !headers.contains(record));
        records
    }

    fn naive_pieces(text: &[u8]) -> Vec<Vec<u8>> {
        let (mut records, mut record, mut quoted) = (Vec::new(), Vec::new(), false);
        for &byte in text {
            quoted ^= byte == b'"';
            if byte == b'\n' && !quoted {
                records.push(std::mem::take(&mut record));
            } else {
                record.push(byte);
            }
        }
        let first_end = record.iter().position(|&byte| byte == b'\n');
        match first_end.filter(|_| quoted) {
            Some(end) => {
                records.push(record[..end].to_vec());
                records.extend(naive_pieces(&record[end + 1..]));
            }
            None => records.push(record),
        }
        records
    }

    #[test]
    fn quoted_line_feeds_do_not_end_a_record() {
        assert_eq!(records("\"a\",\"b\nc\"\r\n\r\nd\n\"e\r\n\n\""), ["\"a\",\"b\nc\"", "d", "\"e\r\n\n\""]);
        assert_eq!(records("\"a \"\"b\"\"\nc\"\nd"), ["\"a \"\"b\"\"\nc\"", "d"]);
        assert_eq!(records(" \"a\",x\"b\nc\"\nd\n"), [" \"a\",x\"b\nc\"", "d"]);
    }

    #[test]
    fn only_records_of_several_lines_have_line_feeds() {
        let (records, _) = split(b"\"a\nb\"\n\"c\"\n", 3, 0, 100);
        let newlines: Vec<Newlines> = records.into_iter().map(|(_, newlines)| newlines).collect();
        assert_eq!(newlines, [Newlines::Significant, Newlines::Absent]);
    }

    #[test]
    fn a_header_may_have_line_feeds_too() {
        assert_eq!(split(b"\n\"a\nb\",c\nd\n", 2, 1, 100).0, [(b"d".to_vec(), Newlines::Absent)]);
    }

    #[test]
    fn a_quote_that_stays_open_costs_its_line_alone() {
        let text = "\"a\"\n5\" disk\n\"b\"\n\"c\",x\nlast";
        assert_eq!(records(text), ["\"a\"", "5\" disk", "\"b\"", "\"c\",x", "last"]);
        assert_eq!(records("\"a\nb\nc"), ["\"a", "b", "c"]);
        assert_eq!(records("\"a"), ["\"a"]);
    }

    #[test]
    fn a_quote_that_would_make_a_record_too_large_makes_lines_of_the_rest() {
        for size in 1..40 {
            let (records, result) = split(b"a\n\"b\ncccc\ndddd\n\"e\nf\"\n", size, 0, 8);
            let records: Vec<Vec<u8>> = records.into_iter().map(|(bytes, _)| bytes).collect();
            assert_eq!(records, [&b"a"[..], b"\"b", b"cccc", b"dddd", b"\"e", b"f\""], "{size}");
            assert_eq!(result, Ok(()));
            let (records, result) = split(b"a\n\"bbbbbbbbbb\nc\"\n", size, 0, 8);
            assert_eq!((records.len(), result), (1, Err(Error::RecordTooLarge { max: 8 })));
        }
    }

    proptest! {
        #[test]
        fn equals_the_naive_split_whatever_the_chunks(
            text in "[a\",\r\n]{0,60}", size in 1..20usize, header_lines in 0..3u32,
        ) {
            let (records, result) = split(text.as_bytes(), size, header_lines, 1000);
            prop_assert_eq!(result, Ok(()));
            let records: Vec<Vec<u8>> = records.into_iter().map(|(bytes, _)| bytes).collect();
            prop_assert_eq!(records, naive(text.as_bytes(), header_lines as usize));
        }

        #[test]
        fn bounds_are_the_same_whatever_the_chunks(
            text in "[a\",\r\n]{0,60}", size in 1..20usize, max in 1..12usize,
        ) {
            let whole = split(text.as_bytes(), text.len().max(1), 0, max);
            prop_assert_eq!(split(text.as_bytes(), size, 0, max), whole);
        }
    }
}
