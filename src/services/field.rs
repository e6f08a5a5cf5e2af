//! Named values: their location, and the operations on them.

use std::borrow::Cow;

use crate::decode::{JsonPath, Pattern, Record};

/// A named value: its location, and the operations on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub place: Place,
    pub operations: Vec<Operation>,
}

/// The location of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The object's key, as a whole.
    Key,
    /// In a JSON record, or in the known facts about a text that came in an envelope: the keys from the root.
    Json(JsonPath),
    /// In a record of comma-separated values: the column, 0 is the first.
    Column(usize),
}

impl Field {
    /// The value in an object's key.
    pub fn of_key<'v>(&self, key: &'v str) -> Option<Cow<'v, str>> {
        match self.place {
            Place::Key => self.value(key),
            _ => None,
        }
    }

    /// The value in a record.
    #[cfg(test)]
    pub fn of_record(&self, record: Record<'_>) -> Option<String> {
        self.value(&self.raw(record)?).map(Cow::into_owned)
    }

    /// The input of the operations. A part of [`Field::text_of`] is borrowed from it.
    pub fn raw<'v>(&self, record: Record<'v>) -> Option<Cow<'v, str>> {
        match &self.place {
            Place::Key => None,
            Place::Json(path) => path.text(record.context),
            Place::Column(number) => column(record.bytes, *number),
        }
    }

    /// The bytes that contain the value.
    pub fn text_of<'v>(&self, record: Record<'v>) -> &'v [u8] {
        match self.place {
            Place::Key => b"",
            Place::Json(_) => record.context.json,
            Place::Column(_) => record.bytes,
        }
    }

    /// Applies the operations in order; None as soon as one finds nothing. A part of `raw` is borrowed from it.
    pub fn value<'v>(&self, raw: &'v str) -> Option<Cow<'v, str>> {
        self.operations.iter().try_fold(Cow::Borrowed(raw), |value, operation| match value {
            Cow::Borrowed(text) => operation.apply(text),
            Cow::Owned(text) => operation.apply(&text).map(|part| Cow::Owned(part.into_owned())),
        })
    }
}

/// A step from a raw value to a field's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Like Python's `value.split(on)[element]`; a negative element counts from the end.
    Split { on: String, element: i64 },
    /// Like Python's `value.replace(to_replace, replace_with)`.
    Replace { to_replace: String, replace_with: String },
    /// The match of the pattern's group `element`, searched for anywhere in the value; 0 is the whole match.
    Regex { pattern: Pattern, element: usize },
    /// Converts ASCII letters to lower case.
    Lowercase,
    /// Replaces listed values; any other value stays.
    Map { values: Vec<(String, String)> },
    /// Replaces any value by this one: after a `Regex`, a name for the match.
    Set { value: String },
}

impl Operation {
    fn apply<'v>(&self, value: &'v str) -> Option<Cow<'v, str>> {
        match self {
            Operation::Split { on, element } => split(value, on, *element).map(Cow::Borrowed),
            Operation::Replace { to_replace, .. } if !value.contains(to_replace) => {
                Some(Cow::Borrowed(value))
            }
            Operation::Replace { to_replace, replace_with } => {
                Some(Cow::Owned(value.replace(to_replace, replace_with)))
            }
            Operation::Regex { pattern, element } => pattern.group(value, *element).map(Cow::Borrowed),
            Operation::Lowercase => Some(Cow::Owned(value.to_ascii_lowercase())),
            Operation::Map { values } => match values.iter().find(|(from, _)| from == value) {
                Some((_, to)) => Some(Cow::Owned(to.clone())),
                None => Some(Cow::Borrowed(value)),
            },
            Operation::Set { value } => Some(Cow::Owned(value.clone())),
        }
    }
}

fn split<'v>(value: &'v str, on: &str, element: i64) -> Option<&'v str> {
    let from = |n: i64| usize::try_from(n).ok();
    if element >= 0 {
        value.split(on).nth(from(element)?)
    } else {
        value.rsplit(on).nth(from(-(element + 1))?)
    }
}

/// One value of a line of comma-separated values (RFC 4180): a quoted one without its quotes. Quotes count only at the
/// start of a value, possibly after white space, as some writers put it there.
fn column(record: &[u8], number: usize) -> Option<Cow<'_, str>> {
    let mut rest = record;
    for _ in 0..number {
        let end = value_end(rest);
        rest = rest.get(end + 1..)?;
    }
    Some(unquoted(rest[..value_end(rest)].trim_ascii()))
}

/// The position of the first value's comma, or the end.
fn value_end(values: &[u8]) -> usize {
    let start = values.len() - values.trim_ascii_start().len();
    let mut quoted = values.get(start) == Some(&b'"');
    let mut at = if quoted { start + 1 } else { start };
    while let Some(&byte) = values.get(at) {
        match byte {
            b'"' if quoted && values.get(at + 1) == Some(&b'"') => at += 1,
            b'"' => quoted = false,
            b',' if !quoted => break,
            _ => (),
        }
        at += 1;
    }
    at.min(values.len())
}

fn unquoted(value: &[u8]) -> Cow<'_, str> {
    let inner = value.strip_prefix(b"\"").map(|inner| inner.strip_suffix(b"\"").unwrap_or(inner));
    match inner {
        Some(inner) => Cow::Owned(String::from_utf8_lossy(inner).replace("\"\"", "\"")),
        None => String::from_utf8_lossy(value),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::Newlines;

    #[test]
    fn operations_are_pythons() {
        let split = |on: &str, element| Operation::Split { on: on.into(), element };
        assert_eq!(split("/", 1).apply("a/b/c").as_deref(), Some("b"));
        assert_eq!(split("/", -1).apply("a/b/c").as_deref(), Some("c"));
        assert_eq!(split("/", -3).apply("a/b/c").as_deref(), Some("a"));
        assert_eq!(split("/", 3).apply("a/b/c"), None);
        assert_eq!(split("/", -4).apply("a/b/c"), None);
        assert_eq!(split("/", i64::MIN).apply("a/b/c"), None);
        assert_eq!(split("--", 1).apply("a--b").as_deref(), Some("b"));
        let replace = Operation::Replace { to_replace: "_".into(), replace_with: "".into() };
        assert_eq!(replace.apply("a_b_").as_deref(), Some("ab"));
    }

    #[test]
    fn a_regex_operation_takes_one_group() {
        let regex = |element| Operation::Regex {
            pattern: Pattern::new("(?:^|/)(dns|ip)(x)?logs/").unwrap(),
            element,
        };
        assert_eq!(regex(1).apply("a/dnslogs/b").as_deref(), Some("dns"));
        assert_eq!(regex(0).apply("a/iplogs/b").as_deref(), Some("/iplogs/"));
        assert_eq!(regex(2).apply("a/iplogs/b"), None);
        assert_eq!(regex(9).apply("a/iplogs/b"), None);
        assert_eq!(regex(1).apply("a/proxylogs/b"), None);
    }

    #[test]
    fn values_are_renamed_and_named() {
        assert_eq!(Operation::Lowercase.apply("DNS_É").as_deref(), Some("dns_É"));
        let map = Operation::Map { values: vec![("a".into(), "b".into()), ("b".into(), "c".into())] };
        assert_eq!(map.apply("a").as_deref(), Some("b"), "once");
        assert_eq!(map.apply("ab").as_deref(), Some("ab"));
        assert_eq!(Operation::Set { value: "x".into() }.apply("").as_deref(), Some("x"));
    }

    fn of_record(place: Place, record: &str) -> Option<String> {
        let field = Field { name: "f".into(), place, operations: vec![] };
        let newlines = Newlines::Absent;
        let record = Record { bytes: record.as_bytes(), newlines, context: record.as_bytes().into() };
        field.of_record(record)
    }

    #[test]
    fn each_place_gives_its_value() {
        let json = |path: &str| Place::Json(path.split('.').map(str::to_owned).collect::<Vec<_>>().into());
        assert_eq!(of_record(json("a.b"), r#"{"a":{"b":"\u00e9\n"}}"#).as_deref(), Some("é\n"));
        assert_eq!(of_record(json("a"), r#"{"a":1.50}"#).as_deref(), Some("1.50"));
        assert_eq!(of_record(json("a"), r#"{"a":null}"#), None);
        assert_eq!(of_record(json("a"), "text"), None);
        assert_eq!(of_record(Place::Key, "text"), None);
    }

    #[test]
    fn keys_lead_into_what_is_known_about_a_text() {
        let context = br#"{"logGroup":"g"}"#;
        let field = Field {
            name: "f".into(),
            place: Place::Json(vec!["logGroup".into()].into()),
            operations: vec![],
        };
        let record =
            Record { bytes: b"text", newlines: Newlines::Significant, context: context.as_slice().into() };
        assert_eq!(field.of_record(record).as_deref(), Some("g"));
    }

    #[test]
    fn columns_are_counted_outside_quotes() {
        let column = |number, line| of_record(Place::Column(number), line);
        assert_eq!(column(1, r#""a,""b""",c"#).as_deref(), Some("c"));
        assert_eq!(column(0, r#""a,""b""",c"#).as_deref(), Some("a,\"b\""));
        assert_eq!(column(1, r#"a "quoted, word",c"#).as_deref(), Some(r#"word""#));
        assert_eq!(
            column(3, "<14>Dec  4 16:00:02 fw 1,2020/12/04 16:00:02,0164,THREAT,url").as_deref(),
            Some("THREAT")
        );
        assert_eq!(column(1, r#" "a,b", "c""#).as_deref(), Some("c"));
        assert_eq!(column(2, "a,b"), None);
        assert_eq!(column(1, "a,").as_deref(), Some(""));
        assert_eq!(column(0, "").as_deref(), Some(""));
        assert_eq!(column(0, "\"never closed, it goes on").as_deref(), Some("never closed, it goes on"));
    }

    proptest! {
        /// Naive version: the values before they were written.
        #[test]
        fn columns_can_be_read_back(values in proptest::collection::vec("[ab,\" é]{0,6}", 1..6)) {
            let written: Vec<String> =
                values.iter().map(|value| format!("\"{}\"", value.replace('"', "\"\""))).collect();
            for (number, value) in values.iter().enumerate() {
                let read = of_record(Place::Column(number), &written.join(","));
                prop_assert_eq!(read.as_deref(), Some(value.as_str()));
            }
            prop_assert_eq!(of_record(Place::Column(values.len()), &written.join(",")), None);
        }

        #[test]
        fn any_bytes_have_columns_or_not(record in proptest::collection::vec(any::<u8>(), 0..60), number in 0..9usize) {
            column(&record, number);
        }
    }
}
