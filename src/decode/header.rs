//! Header lines, recognized by their content, so that a file without one loses no record, and concatenated files leave
//! none among the records.

use std::sync::Arc;

/// The names that header lines consist of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderNames {
    /// In lower case.
    names: Vec<Vec<u8>>,
}

impl HeaderNames {
    /// `names` are the possible field names of a header, in any case and with hyphens or underscores.
    pub fn new(names: &[String]) -> Self {
        HeaderNames { names: names.iter().map(|name| name.to_ascii_lowercase().into_bytes()).collect() }
    }

    /// True if the line's first field is one of the names, or if two of its fields are, and none of them is a value. Fields may be quoted,
    /// or in `${}` as in the format of a flow log.
    #[inline]
    pub(super) fn are_in(&self, line: &[u8]) -> bool {
        let start = field(line);
        start.first().is_some_and(u8::is_ascii_alphabetic) && self.are_at(start)
    }

    fn are_at(&self, mut rest: &[u8]) -> bool {
        let mut missing = if self.at(rest).is_some() { 1_u32 } else { 2 };
        while !rest.is_empty() {
            let end = match self.at(rest) {
                Some(length) => {
                    missing = missing.saturating_sub(1);
                    length
                }
                None => {
                    let end = rest.iter().position(|&byte| is_separator(byte) || byte.is_ascii_digit());
                    let end = end.unwrap_or(rest.len());
                    // A value: nearly every record has a number, or a dash for "none".
                    if rest.get(end).is_some_and(u8::is_ascii_digit) || &rest[..end] == b"-" {
                        return false;
                    }
                    end
                }
            };
            rest = field(&rest[end..]);
        }
        missing == 0
    }

    /// The length of the name that stands here as a whole field.
    fn at(&self, start: &[u8]) -> Option<usize> {
        let is_here = |name: &&Vec<u8>| {
            let follows = start.get(name.len());
            start.len() >= name.len()
                && std::iter::zip(start, *name).all(|(byte, expected)| is_same(*byte, *expected))
                && follows.is_none_or(|byte| is_separator(*byte))
        };
        self.names.iter().find(is_here).map(Vec::len)
    }
}

/// Returns the text from its next field on.
fn field(text: &[u8]) -> &[u8] {
    let begins = |byte: &u8| !is_separator(*byte) && !matches!(byte, b'$' | b'{');
    &text[text.iter().position(begins).unwrap_or(text.len())..]
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b',' | b';' | b'|' | b'"' | b'}')
}

/// Flow logs in Parquet and through Firehose have underscores for hyphens.
fn is_same(byte: u8, of_name: u8) -> bool {
    byte.to_ascii_lowercase() == of_name || matches!((byte, of_name), (b'_', b'-') | (b'-', b'_'))
}

/// The header lines at the start of a text, by their number or by their names.
pub(super) struct Headers {
    /// Lines still to be dropped because of their position.
    left: u32,
    /// The dropped lines.
    seen: Vec<Vec<u8>>,
    names: Option<Arc<HeaderNames>>,
}

impl Headers {
    /// The first `count` lines.
    pub fn first(count: u32) -> Self {
        Headers { left: count, seen: Vec::new(), names: None }
    }

    /// Drops every line that has the names of a header.
    pub fn named(names: Arc<HeaderNames>) -> Self {
        Headers { left: 0, seen: Vec::new(), names: Some(names) }
    }

    /// True if a line that begins with this byte may be a header.
    #[inline]
    pub fn may_begin(&self, byte: u8) -> bool {
        let may_be_seen = || self.seen.iter().any(|header| header.first() == Some(&byte));
        match &self.names {
            // A field may follow its separators, but no record begins with one.
            Some(_) => !byte.is_ascii_digit(),
            None => self.left > 0 || may_be_seen(),
        }
    }

    /// True if the non-empty line is a header. One that was dropped at the start may recur.
    #[inline]
    pub fn is_header(&mut self, line: &[u8]) -> bool {
        if self.left > 0 {
            self.left -= 1;
            self.seen.push(line.to_vec());
            return true;
        }
        match &self.names {
            Some(names) => names.are_in(line),
            None => self.seen.iter().any(|header| header == line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_known_by_its_names() {
        let names =
            HeaderNames::new(&["version".to_owned(), "Account-ID".to_owned(), "policy id".to_owned()]);
        for header in [
            "version account-id",
            "account-id",
            "\"Version\",\"x\"",
            "VERSION,a",
            " version a",
            "account_id b",
            "${version} ${account-id}",
            "brand-new version other account_id",
            "version brand-new",
            "\"new\",\"policy id\",\"version\"",
        ] {
            assert!(names.are_in(header.as_bytes()), "{header}");
        }
        for record in [
            "2 version account-id",
            "",
            "\"",
            "versions a",
            "version-2",
            "- version",
            "account-i",
            "new version",
            "eni-1 version account-id",
            "new 7 version account-id",
            "new versions account-ids",
            "version 2 x",
            "account-id eni-1 10.0.0.1",
            "new version account-id 5",
            "version eni-1 -",
            "\"version\",\"-\",\"x\"",
        ] {
            assert!(!names.are_in(record.as_bytes()), "{record}");
        }
    }

    #[test]
    fn a_header_that_was_dropped_may_come_again() {
        let mut headers = Headers::first(2);
        let lines =
            ["a b", "c d", "1 2", "c d", "a b", "a  b"].map(|line| headers.is_header(line.as_bytes()));
        assert_eq!(lines, [true, true, false, true, true, false]);
    }
}
