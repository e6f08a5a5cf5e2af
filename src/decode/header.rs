//! Header lines, recognized by their content, so that a file without one loses no record, and concatenated files leave
//! none among the records.

use std::sync::Arc;

/// The names that begin a header line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderNames {
    /// In lower case.
    names: Vec<Vec<u8>>,
}

impl HeaderNames {
    /// `names` are the possible first fields of a header.
    pub fn new(names: &[String]) -> Self {
        HeaderNames { names: names.iter().map(|name| name.to_ascii_lowercase().into_bytes()).collect() }
    }

    /// True if the line's first field, quoted or not, is one of the names.
    #[inline]
    pub(super) fn begin(&self, line: &[u8]) -> bool {
        let start = line.strip_prefix(b"\"").unwrap_or(line);
        start.first().is_some_and(u8::is_ascii_alphabetic) && self.begin_with_letter(start)
    }

    fn begin_with_letter(&self, start: &[u8]) -> bool {
        let is_name = |name: &Vec<u8>| {
            let follows = start.get(name.len());
            start.len() >= name.len()
                && start[..name.len()].eq_ignore_ascii_case(name)
                && follows.is_none_or(|byte| matches!(byte, b' ' | b'\t' | b',' | b';' | b'|' | b'"'))
        };
        self.names.iter().any(is_name)
    }
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

    /// Every line that begins like a header.
    pub fn named(names: Arc<HeaderNames>) -> Self {
        Headers { left: 0, seen: Vec::new(), names: Some(names) }
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
            Some(names) => names.begin(line),
            None => self.seen.iter().any(|header| header == line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_known_by_its_first_name() {
        let names = HeaderNames::new(&["version".to_owned(), "Account-ID".to_owned()]);
        for header in ["version account-id", "account-id", "\"Version\",\"x\"", "VERSION,a"] {
            assert!(names.begin(header.as_bytes()), "{header}");
        }
        for record in ["2 version", "", "\"", "versions a", "version-2", "- version", "account-i"] {
            assert!(!names.begin(record.as_bytes()), "{record}");
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
