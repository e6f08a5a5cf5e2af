//! JSON values, most of which fill a line each.
//!
//! Writers of "JSON lines" also put several values on a line, omit the line feeds, pretty-print, or write one array. A
//! line that is one object is a record without being scanned bracket by bracket. The first line that is anything else
//! is handed to the [`Json`] splitter, and so is everything after it. If text is allowed among the values, only a value
//! that spans several lines is.

use super::json::scan::Value;
use super::json::{self, Json, RECORD_SEPARATOR, is_white, walk};
use super::lines::content;
use super::partial::{Limit, Partial};
use super::{Error, Newlines, Record, Sink};

/// The splitter of one object's text.
pub(super) struct JsonLines {
    state: State,
    /// A line that is not JSON is a record unchanged.
    allows_text: bool,
    limit: Limit,
}

enum State {
    /// Every line so far was one object, or blank.
    Lines(Partial),
    Values(Box<Json>),
}

impl JsonLines {
    /// `limit` is the size of the largest record.
    pub fn new(limit: impl Into<Limit>) -> Self {
        let limit = limit.into();
        JsonLines { state: State::Lines(Partial::new(limit.clone())), allows_text: false, limit }
    }

    /// Creates one for a text of which only the first line is known to be JSON.
    pub fn among_text(limit: impl Into<Limit>) -> Self {
        JsonLines { allows_text: true, ..JsonLines::new(limit) }
    }

    /// Takes the next bytes of the text, which start at `offset` in it.
    pub fn push(&mut self, data: &[u8], offset: u64, sink: &mut dyn Sink) -> Result<(), Error> {
        let partial = match &mut self.state {
            State::Values(json) => return json.push(data, offset, &mut json::records(sink)),
            State::Lines(partial) => partial,
        };
        let allows_text = self.allows_text;
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', data) {
            if !whole_line(partial, &data[start..end], allows_text, sink) {
                return self.read_values(&data[start..], offset + start as u64, sink);
            }
            start = end + 1;
        }
        let rest = &data[start..];
        let first = partial.held().first().or(rest.first()).copied();
        // A byte order mark may stand before an object.
        let no_object = first.is_some_and(|first| first != b'{' && first != 0xef && !is_white(first));
        if no_object && !allows_text || !no_object && partial.check(rest).is_err() {
            return self.read_values(rest, offset + start as u64, sink);
        }
        partial.hold(rest)
    }

    /// Ends the text, which has `length` bytes.
    pub fn finish(&mut self, length: u64, sink: &mut dyn Sink) -> Result<(), Error> {
        if let State::Lines(partial) = &mut self.state {
            // Text or not: an object without an end was cut off.
            let is_cut = open_object(partial.held()).is_some();
            if !is_cut && whole_line(partial, b"", self.allows_text, sink) {
                return Ok(());
            }
            self.read_values(b"", length, sink)?;
        }
        match &mut self.state {
            State::Values(json) => json.finish(length, &mut json::records(sink)),
            State::Lines(_) => Ok(()),
        }
    }

    /// Switches at a line that is not one object. `rest`, which starts at `offset`, follows the held part of the line.
    fn read_values(&mut self, rest: &[u8], offset: u64, sink: &mut dyn Sink) -> Result<(), Error> {
        let json = Box::new(match self.allows_text {
            true => Json::new(Vec::new(), self.limit.clone()),
            false => Json::objects(self.limit.clone()),
        });
        let State::Lines(partial) = std::mem::replace(&mut self.state, State::Values(json)) else {
            return Ok(());
        };
        let State::Values(json) = &mut self.state else { return Ok(()) };
        let mut records = json::records(sink);
        json.push(partial.held(), offset - partial.held().len() as u64, &mut records)?;
        json.push(rest, offset, &mut records)
    }
}

/// Passes on the line that ends with `piece`. Returns false if it is neither one object nor blank, or too large to
/// tell, and is held as before.
#[inline]
fn whole_line(partial: &mut Partial, piece: &[u8], allows_text: bool, sink: &mut dyn Sink) -> bool {
    if partial.held().is_empty() {
        return partial.check(piece).is_ok() && line(piece, allows_text, sink);
    }
    let held = partial.held().len();
    if partial.hold(piece).is_err() {
        return false;
    }
    let is_whole = line(partial.held(), allows_text, sink);
    partial.truncate(if is_whole { 0 } else { held });
    is_whole
}

#[inline]
fn line(line: &[u8], allows_text: bool, sink: &mut dyn Sink) -> bool {
    let line = content(line);
    if is_one_object(line) {
        sink.record(Record::new(line, Newlines::Absent));
        return true;
    }
    walk::trim(line).is_empty() || allows_text && values_or_text(line, sink)
}

/// Passes on the values of a line, or the line unchanged. Returns false if it begins with an object that continues in
/// the next line.
fn values_or_text(line: &[u8], sink: &mut dyn Sink) -> bool {
    match values(line) {
        Some(values) => {
            values.into_iter().for_each(|value| sink.record(Record::new(value, Newlines::Absent)));
        }
        None if is_open_object(line) => return false,
        None => sink.record(Record::new(line, Newlines::Absent)),
    }
    true
}

/// The consecutive objects and arrays on a line. None if there is anything else.
fn values(line: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut values, mut pos) = (Vec::new(), 0);
    while pos < line.len() {
        match line[pos] {
            b',' | RECORD_SEPARATOR => pos += 1,
            white if is_white(white) => pos += 1,
            b'{' if !json::begins_object(&line[pos..]) => return None,
            first @ (b'{' | b'[') => {
                let end = Value::begin(first, pos).ok()?.advance(line, pos)?;
                values.push(&line[pos..end]);
                pos = end;
            }
            _ => return None,
        }
    }
    Some(values)
}

/// A JSON string cannot span lines.
fn is_open_object(line: &[u8]) -> bool {
    open_object(line).is_some_and(|value| !value.in_string())
}

/// The object that a line begins with and that does not end in it.
fn open_object(line: &[u8]) -> Option<Value> {
    let mut value = match line {
        [b'{', rest @ ..] if matches!(walk::trim(rest).first(), None | Some(b'"')) => {
            Value::begin(b'{', 0).ok()?
        }
        _ => return None,
    };
    value.advance(line, 0).is_none().then_some(value)
}

/// True if the line is an object and nothing else.
#[inline]
fn is_one_object(line: &[u8]) -> bool {
    line.first() == Some(&b'{') && json::begins_object(line) && (is_flat(line) || walk::is_value(line))
}

/// True if the line is an object without brackets inside, told without a scan of each string, as many logs consist of such
/// lines: no string can start after the byte before the last quote, so that quote ends one.
#[inline]
fn is_flat(line: &[u8]) -> bool {
    let [b'{', inside @ .., b'}'] = line else { return false };
    let Some([before @ .., _]) = memchr::memrchr(b'"', inside).map(|quote| &inside[..=quote]) else {
        return false;
    };
    !matches!(before.last(), None | Some(b':' | b',' | b'\\' | b' ' | b'\t'))
        && memchr::memchr3(b'{', b'[', b'}', inside).is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Splitted = (Vec<String>, Result<(), Error>);

    fn split_in(text: &[u8], size: usize, max: usize) -> Splitted {
        split_by(JsonLines::new(max), text, size)
    }

    fn split_by(mut lines: JsonLines, text: &[u8], size: usize) -> Splitted {
        let mut records = Vec::new();
        let mut sink = |record: Record<'_>| records.push(String::from_utf8_lossy(record.bytes).into_owned());
        let mut offset = 0;
        let pushed = text.chunks(size.max(1)).try_for_each(|chunk| {
            offset += chunk.len();
            lines.push(chunk, (offset - chunk.len()) as u64, &mut sink)
        });
        let result = pushed.and_then(|()| lines.finish(text.len() as u64, &mut sink));
        (records, result)
    }

    /// The same in any chunks.
    fn split(text: &str) -> Splitted {
        let whole = split_in(text.as_bytes(), text.len(), 1 << 20);
        for size in 1..text.len() {
            assert_eq!(split_in(text.as_bytes(), size, 1 << 20), whole, "{size} bytes at a time of {text:?}");
        }
        whole
    }

    #[test]
    fn every_way_to_write_values() {
        let one = r#"{"a":[{"b":"}{"},{"c":1}],"d":{"e":{}},"f":"\"}"}"#;
        let values = [one, "{}", one];
        for text in [
            values.join("\n"),
            values.join("\r\n\r\n") + "\n",
            values.concat(),
            values.join(" "),
            values.join(","),
            format!("[{}]", values.join(",")),
            format!(" \n[\n{}\n]\n", values.join(",\n")),
            format!("{one}\n[{{}},{one}]"),
            format!("{one}\n{{}}{one}\n"),
            format!("\u{1e}{}\n", values.join("\n\u{1e}")),
        ] {
            assert_eq!(split(&text), (values.map(str::to_owned).to_vec(), Ok(())), "{text:?}");
        }
        assert_eq!(
            split("{\n \"a\": {\n }\n}\n{}\n"),
            (vec!["{\n \"a\": {\n }\n}".into(), "{}".into()], Ok(()))
        );
        for text in ["", "\n\n", " ", "[]\n"] {
            assert_eq!(split(text), (vec![], Ok(())), "{text:?}");
        }
    }

    #[test]
    fn text_may_stand_among_the_values() {
        let lines = [
            "{\"a\":1}",
            "{\"b\":[{},{}]}",
            "[1]",
            "{text} ",
            "[INFO] {",
            "{\"a\": \"",
            "42",
            "{\"a\":\n{\n\n \"b\": 2\n}\n}",
        ];
        let text = lines.join("\n").replace("\n[1]", "[1]");
        for size in 1..=text.len() {
            let (records, result) = split_by(JsonLines::among_text(1 << 20), text.as_bytes(), size);
            assert_eq!(
                (records, result),
                (lines.map(str::to_owned).to_vec(), Ok(())),
                "{size} bytes at a time"
            );
        }
    }

    #[test]
    fn text_is_refused_behind_the_records_before_it() {
        for (text, offset) in [
            ("{}\nplain text\n{}", 3),
            ("time=1 {}", 0),
            ("{}\n  42\n", 5),
            ("{}\n\"text\"\n", 3),
            ("{} null", 3),
            ("{} {}\n{\"a\":1", 12),
        ] {
            let (records, result) = split(text);
            let Err(Error::BadJson { offset: found, .. }) = result else { panic!("{text:?}: {result:?}") };
            assert_eq!(found, offset, "{text:?}: {records:?}");
        }
    }

    #[test]
    fn an_object_without_its_end_is_no_record() {
        for (cut, whole) in [
            (r#"{"a":{"b":1}"#, r#"{"a":{"b":1}}"#),
            (r#"{"a":[{"b":1}"#, r#"{"a":[{"b":1}]}"#),
            (r#"{"a":"}"#, r#"{"a":"}"}"#),
            (r#"{"a":"b\"}"#, r#"{"a":"b\"}"}"#),
            (r#"{"a":"b","}"#, r#"{"a":"b","}":1}"#),
            (r#"{"}"#, r#"{"}":"b"}"#),
            (r#"{"a": "}"#, r#"{"a": "}", "c":"d"}"#),
            (r#"{"a":1,"b":"2}"#, r#"{"a":1,"b":"2}"}"#),
            (r#"{"a":"b\":1}"#, r#"{"a":"b\":1}"}"#),
            (r#"{"a":"text"#, r#"{"a":"text"}"#),
        ] {
            let text = format!("{whole}\n{cut}");
            assert!(
                matches!(split(&text), (records, Err(Error::BadJson { .. })) if records == [whole]),
                "{text}"
            );
            for size in 1..=text.len() {
                let (records, result) = split_by(JsonLines::among_text(1 << 20), text.as_bytes(), size);
                assert!(matches!(result, Err(Error::BadJson { .. })), "{text}: {result:?}");
                assert_eq!(records, [whole], "{size} bytes at a time");
            }
        }
        let wrapped = "{\"a\":{\"b\":1}\n,\"c\":{\"d\":2}\n}";
        assert_eq!(split(&format!("{wrapped}\n{{}}")), (vec![wrapped.into(), "{}".into()], Ok(())));
    }

    /// Two writers of one file, of which one finishes its line inside the other's.
    #[test]
    fn a_line_within_another_is_refused() {
        let (line, other) = (r#"{"webaclId":"a","n":{"b":1,"c":3}}"#, r#"{"webaclId":"\"x\"","n":2}"#);
        for (cut, between) in (1..line.len()).flat_map(|cut| ["", "\n", "\r\n"].map(|between| (cut, between)))
        {
            let text = format!("{line}\n{}{between}{other}\n{}\n{other}\n", &line[..cut], &line[cut..]);
            let (records, result) = split(&text);
            assert!(matches!(result, Err(Error::BadJson { .. })), "{text}: {result:?}");
            assert_eq!(records, [line], "{text}");
        }
    }

    #[test]
    fn a_line_of_many_values_may_be_longer_than_a_record() {
        let text = "{\"a\":1}".repeat(100);
        for size in [1, 7, 63, text.len()] {
            let (records, result) = split_in(text.as_bytes(), size, 64);
            assert_eq!((records.len(), result), (100, Ok(())), "{size} bytes at a time");
        }
        let large = format!("{{}}\n{{\"a\":\"{}\"}}", "x".repeat(100));
        for size in [1, 7, 63, large.len()] {
            let (records, result) = split_in(large.as_bytes(), size, 64);
            assert_eq!((records.len(), result), (1, Err(Error::RecordTooLarge { max: 64 })), "{size}");
        }
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<i32>().prop_map(Into::into),
            "[a{}\\[\\]\", \\\\\n]{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
                prop::collection::btree_map("[a}{]{0,2}", inner, 0..3)
                    .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    /// An object whose strings have neither quotes nor brackets.
    fn plain() -> impl Strategy<Value = String> {
        let leaf =
            prop_oneof![any::<i32>().prop_map(serde_json::Value::from), "[a-z ,:]{0,6}".prop_map(Into::into)];
        let tree = leaf.prop_recursive(4, 16, 4, |inner| {
            let members = prop::collection::btree_map("[a-c]{0,2}", inner.clone(), 0..4);
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(serde_json::Value::from),
                members.prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        });
        tree.prop_map(|tree| serde_json::json!({ "k": tree }).to_string())
    }

    proptest! {
        #[test]
        fn any_line_within_another_is_refused(
            (line, at) in (plain(), any::<prop::sample::Index>()), others in prop::collection::vec(plain(), 1..3),
            line_end in prop::sample::select(vec!["\n", "\r\n"]), begins in any::<bool>(), size in 1usize..50,
        ) {
            let cut = 1 + at.index(line.len() - 1);
            let others: String = others.iter().map(|other| other.to_owned() + line_end).collect();
            let between = if begins { line_end } else { "" };
            let text = format!("{}{between}{others}{}", &line[..cut], &line[cut..]);
            let (records, result) = split_in(text.as_bytes(), size, 1 << 20);
            // Only an empty list can have it.
            match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(_) => prop_assert_eq!((records, result), (vec![text], Ok(()))),
                Err(_) => {
                    prop_assert!(matches!(result, Err(Error::BadJson { .. })), "{}: {:?}", text, result);
                    prop_assert!(records.is_empty(), "{}: {:?}", text, records);
                }
            }
        }

        /// Line ends and blanks anywhere between the tokens of JSON: its bytes stay.
        #[test]
        fn any_layout_is_one_record(
            object in value(), blanks in prop::collection::vec(prop::sample::select(vec!["", "\n", "\r\n", " ", "\n\n\t  "]), 1..9),
            size in 1usize..50,
        ) {
            let (compact, mut text, mut blanks) = (serde_json::json!({ "k": object }).to_string(), String::new(), blanks.iter().cycle());
            let (mut in_string, mut escaped) = (false, false);
            for character in compact.chars() {
                in_string ^= character == '"' && !escaped;
                escaped = character == '\\' && !escaped;
                if !in_string && "{}[]:,".contains(character) {
                    text += blanks.next().unwrap();
                    text.push(character);
                    text += blanks.next().unwrap();
                } else {
                    text.push(character);
                }
            }
            let text = text.trim();
            prop_assert_eq!(split_in(text.as_bytes(), size, 1 << 20), (vec![text.to_owned()], Ok(())));
        }

        /// Compared with a parser that builds trees.
        #[test]
        fn any_objects_written_in_any_way(
            inner in prop::collection::vec((value(), any::<bool>(), prop::sample::select(vec!["", "\n", "\r\n", " ", ",", "\n\n"])), 0..6),
            size in 1usize..50,
        ) {
            let mut text = String::new();
            let mut expected = Vec::new();
            for (value, pretty, between) in inner {
                let object = serde_json::json!({ "k": value });
                text += &if pretty { serde_json::to_string_pretty(&object).unwrap() } else { object.to_string() };
                text += between;
                expected.push(object);
            }
            let (records, result) = split_in(text.as_bytes(), size, 1 << 20);
            prop_assert_eq!(result, Ok(()));
            let found: Vec<serde_json::Value> =
                records.iter().map(|record| serde_json::from_str(record).unwrap()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
