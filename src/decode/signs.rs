//! Signatures that distinguish well-known logs, so that an object sent to the wrong service is refused with an error
//! before any of it is sent.
//!
//! Only the start of an object is checked, since a log is of one kind. The logs of some services are undocumented, so
//! an unknown log is not refused: only one with another log's signature, and without the service's own.

use regex::bytes::Regex;

use super::Error;
use super::json::{RECORD_SEPARATOR, is_white};

/// The signature of a log.
#[derive(Debug, Clone, Default)]
pub struct Sign {
    /// Its JSON documents have all top-level members of one of these sets.
    pub members: Vec<Vec<String>>,
    /// Its first line, if it is text.
    pub line: Option<Regex>,
}

/// The signatures that a service's objects are compared with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signs {
    /// The service's own.
    pub own: Sign,
    /// The signatures of other services' logs, each with its name for people.
    pub others: Vec<(String, Sign)>,
    /// The signatures of objects that are no log. A message inside a log may look like them.
    pub no_logs: Vec<(String, Sign)>,
    /// The first JSON document has all top-level members of one of these sets. Empty if they are not documented.
    pub must_have: Vec<Vec<String>>,
    /// Any JSON is another service's.
    pub text_only: bool,
    /// The format itself says which documents it reads: only the rows of Parquet are checked.
    pub only_parquet: bool,
}

impl PartialEq for Sign {
    fn eq(&self, other: &Sign) -> bool {
        let text = |sign: &Sign| sign.line.as_ref().map(|line| line.as_str().to_owned());
        self.members == other.members && text(self) == text(other)
    }
}

impl Eq for Sign {}

impl Signs {
    /// Checks the first bytes of a text.
    ///
    /// # Errors
    ///
    /// If they have the signature of another log.
    pub(super) fn check(&self, start: &[u8]) -> Result<(), Error> {
        if self.only_parquet {
            return Ok(());
        }
        let beginning = Beginning::of(start);
        let is_other = match &beginning {
            // A large document may have a member after its beginning.
            Beginning::Document { keys, is_whole: true } if self.lacks(keys) => Some(UNKNOWN),
            Beginning::Document { .. } => self.text_only.then_some("JSON"),
            Beginning::Nothing | Beginning::Line(_) => None,
        };
        self.compare(|sign| beginning.bears(sign), &self.no_logs, is_other)
    }

    /// Checks a message of a log that came in an envelope.
    ///
    /// # Errors
    ///
    /// If it has the signature of another log.
    pub(super) fn check_message(&self, message: &[u8]) -> Result<(), Error> {
        if self.only_parquet {
            return Ok(());
        }
        let beginning = Beginning::of(message);
        self.compare(|sign| beginning.bears(sign), &[], None)
    }

    /// Checks the first row of a Parquet object, written as JSON.
    ///
    /// # Errors
    ///
    /// If it has the signature of another log.
    #[cfg(feature = "parquet")]
    pub(super) fn check_row(&self, row: &[u8]) -> Result<(), Error> {
        let (keys, _) = keys(row);
        let is_other = if self.lacks(&keys) { Some(UNKNOWN) } else { self.text_only.then_some("Parquet") };
        self.compare(|sign| has_one_of(&keys, &sign.members), &self.no_logs, is_other)
    }

    /// True if a whole document or row has none of the sets of members that it must have.
    fn lacks(&self, keys: &[&[u8]]) -> bool {
        !self.must_have.is_empty() && !has_one_of(keys, &self.must_have)
    }

    /// `is_other` is the name for data without any signature that is not the service's.
    fn compare(
        &self,
        bears: impl Fn(&Sign) -> bool,
        no_logs: &[(String, Sign)],
        is_other: Option<&str>,
    ) -> Result<(), Error> {
        if bears(&self.own) {
            return Ok(());
        }
        let other =
            no_logs.iter().chain(&self.others).find(|(_, sign)| bears(sign)).map(|(name, _)| name.clone());
        other.or_else(|| is_other.map(str::to_owned)).map_or(Ok(()), |log| Err(Error::AnotherLog { log }))
    }
}

/// Describes data that is only known not to be the service's.
const UNKNOWN: &str = "some other log";

fn has_one_of(keys: &[&[u8]], sets: &[Vec<String>]) -> bool {
    let has = |name: &String| keys.contains(&name.as_bytes());
    sets.iter().any(|set| set.iter().all(has))
}

impl Sign {
    fn begins(&self, line: &[u8]) -> bool {
        self.line.as_ref().is_some_and(|pattern| pattern.is_match(line))
    }
}

/// The start of a text.
enum Beginning<'t> {
    Nothing,
    /// A JSON object, or an array of them.
    Document {
        /// The top-level keys of the first one, as far as the text goes.
        keys: Vec<&'t [u8]>,
        /// True if the text reaches its end.
        is_whole: bool,
    },
    /// The first line that is not blank.
    Line(&'t [u8]),
}

impl Beginning<'_> {
    fn bears(&self, sign: &Sign) -> bool {
        match self {
            Beginning::Nothing => false,
            Beginning::Document { keys, .. } => has_one_of(keys, &sign.members),
            Beginning::Line(line) => sign.begins(line),
        }
    }

    fn of(start: &[u8]) -> Beginning<'_> {
        let skipped = |byte: &&u8| is_white(**byte) || **byte == RECORD_SEPARATOR;
        let text = &start[start.iter().take_while(skipped).count()..];
        let inside = text.iter().take_while(|byte| is_white(**byte) || **byte == b'[').count();
        if text.get(inside) == Some(&b'{') {
            let (keys, is_whole) = keys(&text[inside..]);
            let is_empty = text[inside + 1..].iter().find(|byte| !is_white(**byte)) == Some(&b'}');
            if is_empty || !keys.is_empty() {
                return Beginning::Document { keys, is_whole };
            }
        }
        let end = memchr::memchr2(b'\n', b'\r', text).unwrap_or(text.len());
        if end == 0 { Beginning::Nothing } else { Beginning::Line(&text[..end]) }
    }
}

/// The top-level keys of the object that a text begins with, and whether the object ends in the text, which may end
/// anywhere.
fn keys(text: &[u8]) -> (Vec<&[u8]>, bool) {
    let (mut keys, mut depth, mut at) = (Vec::new(), 0_usize, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return (keys, true),
            b'}' | b']' => depth -= 1,
            b'"' => {
                let Some(end) = string_end(text, at + 1) else { break };
                let behind = text[end + 1..].iter().find(|byte| !is_white(**byte));
                if depth == 1 && behind == Some(&b':') {
                    keys.push(&text[at + 1..end]);
                }
                at = end;
            }
            _ => (),
        }
        at += 1;
    }
    (keys, false)
}

/// The position of the closing quote of a string that begins at `from`.
fn string_end(text: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', text.get(from..)?)?;
        match text[at] {
            b'"' => return Some(at),
            _ => from = at + 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(members: &[&[&str]], line: Option<&str>) -> Sign {
        let members = members.iter().map(|set| set.iter().map(|name| (*name).to_owned()).collect()).collect();
        Sign { members, line: line.map(|line| Regex::new(line).unwrap()) }
    }

    fn signs(text_only: bool) -> Signs {
        let others =
            vec![("the other log".to_owned(), sign(&[&["a", "b"], &["Records"]], Some("^other \\d")))];
        Signs { own: sign(&[&["own"]], Some("^own")), others, text_only, ..Signs::default() }
    }

    fn refused(start: &str, text_only: bool) -> Option<String> {
        match signs(text_only).check(start.as_bytes()) {
            Ok(()) => None,
            Err(Error::AnotherLog { log, .. }) => Some(log),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn another_log_is_known_by_its_signs() {
        for start in [
            r#"{"a":1,"b":2}"#,
            "\n\u{1e}[\n {\"x\": {\"y\": [1]}, \"b\" :\n2,\"a\":\"",
            r#"{"Records":[{"own":1},"#,
            r#"[[{"Records":1"#,
            "\r\nother 1 line",
            "other 7",
        ] {
            assert_eq!(refused(start, false).as_deref(), Some("the other log"), "{start}");
        }
    }

    #[test]
    fn what_is_unknown_or_the_services_own_is_let_through() {
        for start in [
            "",
            " \n",
            r#"{"a":1}"#,
            r#"{"a":1,"c":{"b":2}}"#,
            r#"{"a":"b\"","c":"\"b\":"}"#,
            r#"{"own":1,"a":1,"b":2}"#,
            r#"{"a":1} {"b":2}"#,
            "own other 1",
            "another 1",
            "first\nother 1",
            "{",
            "[1]",
            "{\"a",
        ] {
            assert_eq!(refused(start, false), None, "{start}");
        }
    }

    #[test]
    fn what_a_document_must_have_is_looked_for_in_the_first_one() {
        let signs = Signs {
            must_have: vec![vec!["a".to_owned()], vec!["b".to_owned(), "c".to_owned()]],
            ..signs(false)
        };
        for start in [r#"{"a":1}"#, r#"[{"c":1,"b":2}"#, r#"{"a":1} {"x":1}"#, "text", r#"{"own":1}"#, ""] {
            assert_eq!(signs.check(start.as_bytes()), Ok(()), "{start}");
        }
        for start in [r#"{"b":1}"#, r#"[{"x":{"a":1}}"#] {
            assert!(signs.check(start.as_bytes()).is_err(), "{start}");
        }
        for lacking in ["{}", "[{}]"] {
            assert!(signs.check(lacking.as_bytes()).is_err(), "{lacking}");
        }
        #[cfg(feature = "parquet")]
        {
            assert_eq!(signs.check_row(br#"{"a":1}"#), Ok(()));
            assert!(signs.check_row(br#"{"x":1}"#).is_err());
        }
        for cut in [r#"{"x":1"#, r#"{"x":"long"#, r#"{"x":{"y":[1,2"#] {
            assert_eq!(signs.check(cut.as_bytes()), Ok(()), "{cut}: the rest may have it");
        }
    }

    #[test]
    fn to_a_service_of_text_json_is_anothers() {
        assert_eq!(refused(r#"{"c":1}"#, true).as_deref(), Some("JSON"));
        for start in [r#"{"own":1}"#, "{text}", "[2026] x", "text", "[\"x\"]"] {
            assert_eq!(refused(start, true), None, "{start}");
        }
    }
}
