//! The file's text -> a tree of values, and the place of each. YAML 1.2, which includes JSON.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Location, Spanned};

use super::kind::Kind;
use super::problem::{At, Positions, Report};
use crate::base::limits::CONFIGURATION_DEPTH_MAX;

/// Reads the text. Mappings keep their order; a key written twice is an error. Problems that are added to `report` from
/// now on have the places of their keys.
pub fn read(text: &str, report: &Report) -> Option<Value> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match serde_saphyr::from_str_with_options::<Kept>(text, options()) {
        Ok(kept) => {
            let mut reading = Reading { text, places: HashMap::new(), report };
            let tree = reading.plain(kept, None, "");
            report.locate(Positions(reading.places));
            if tree.is_null() {
                let advice = "aws-to-devo init writes a first configuration";
                report.error(Kind::WrongType, "", "the file is empty", advice);
                return None;
            }
            Some(tree)
        }
        Err(error) => {
            let ((at, message), advice) = (message(&error, text), advice(&error));
            report.error_at(at, Kind::Syntax, "", message, advice);
            None
        }
    }
}

/// A value with the places of what is in it.
enum Kept {
    Leaf(Value),
    List(Vec<Spanned<Kept>>),
    /// Also keys that are written twice.
    Map(Vec<(Spanned<String>, Spanned<Kept>)>),
}

/// The places that have not been used.
struct Reading<'r> {
    text: &'r str,
    places: HashMap<String, At>,
    report: &'r Report,
}

impl Reading<'_> {
    /// The value that was read at `location`, if that is known.
    fn plain(&mut self, kept: Kept, location: Option<&Location>, path: &str) -> Value {
        match kept {
            Kept::Leaf(Value::Number(number)) => as_written(number, location, self.text),
            Kept::Leaf(value) => value,
            Kept::List(items) => {
                let item = |(index, item): (usize, Spanned<Kept>)| {
                    let path = format!("{path}[{index}]");
                    self.places.insert(path.clone(), at(&item.referenced));
                    self.plain(item.value, Some(&item.defined), &path)
                };
                items.into_iter().enumerate().map(item).collect()
            }
            Kept::Map(entries) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    let (place, key) = (at(&key.referenced), key.value);
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    if let Some(first) = self.places.get(&path).filter(|_| map.contains_key(&key)) {
                        let message = format!("the key {key} is written twice, first in line {}", first.line);
                        self.report.error_at(Some(place), Kind::Syntax, "", message, "keep one of them");
                    }
                    self.places.insert(path.clone(), place);
                    let value = self.plain(value.value, Some(&value.defined), &path);
                    map.insert(key, value);
                }
                map.into()
            }
        }
    }
}

/// A number, or its spelling as text if the number is spelled otherwise: `1.10`, `0x10`, and integers of more than 64 bits
/// may be ids.
fn as_written(number: Number, location: Option<&Location>, text: &str) -> Value {
    match location.and_then(|location| spelling(location, text)) {
        Some(spelling) if spelling != number.to_string() => spelling.into(),
        _ => number.into(),
    }
}

/// The text of a number without a tag.
fn spelling<'t>(location: &Location, text: &'t str) -> Option<&'t str> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    let written = text.get(start..start.checked_add(length)?)?.trim();
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-');
    (!written.is_empty() && written.bytes().all(is_plain)).then_some(written)
}

fn at(location: &Location) -> At {
    At { line: location.line(), column: location.column() }
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Keeper)
    }
}

struct Keeper;

impl<'de> Visitor<'de> for Keeper {
    type Value = Kept;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kept, E> {
        Ok(Kept::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kept, E> {
        Ok(Kept::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kept, E> {
        Ok(Kept::Leaf(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kept, E> {
        Ok(Kept::Leaf(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kept, E> {
        Ok(Kept::Leaf(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Kept, E> {
        Ok(Kept::Leaf(value.into()))
    }

    fn visit_none<E>(self) -> Result<Kept, E> {
        Ok(Kept::Leaf(Value::Null))
    }

    fn visit_unit<E>(self) -> Result<Kept, E> {
        Ok(Kept::Leaf(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kept, D::Error> {
        Kept::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kept, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Kept::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Kept, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Kept::Map(map))
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: CONFIGURATION_DEPTH_MAX },
        // A snippet of the file could show a secret.
        with_snippet: false,
        // Only true and false, since a filter's value may be the text "no".
        strict_booleans: true,
        // Account numbers: 012345678901 is text.
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        // They are reported with both places.
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
    }
}

/// The cure. What breaks a limit is YAML.
fn advice(error: &serde_saphyr::Error) -> &'static str {
    match breach(error.without_snippet()) {
        None => "the file must be YAML or JSON",
        Some(Breach::Depth) => "a configuration has fewer levels: is this file one?",
        Some(Breach::Size) => {
            "a configuration is far smaller: is this file one? If aliases (*name) repeat a large part, write it once, and \
             definitions of services into a file of their own (globals.definitions)"
        }
    }
}

/// The limit of the parser that a text exceeds.
enum Breach {
    Depth,
    /// The number of values, or of those that aliases stand for, which a small file can multiply without end.
    Size,
}

fn breach(error: &serde_saphyr::Error) -> Option<Breach> {
    use serde_saphyr::Error;
    match error {
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => Some(Breach::Depth),
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => Some(Breach::Size),
        Error::AliasError { error, .. } | Error::WithSnippet { error, .. } => breach(error),
        // The parser has a limit of its own for lists within brackets.
        other if other.to_string().contains("recursion limit exceeded") => Some(Breach::Depth),
        _ => None,
    }
}

/// The place and the description of a syntax error. After a tab, the parser may name an earlier line.
fn message(error: &serde_saphyr::Error, text: &str) -> (Option<At>, String) {
    let error = error.without_snippet();
    let place = error.location().map(|location| at(&location));
    let is_of_tabs = error.to_string().contains("tab");
    if let Some(tab) = place.filter(|_| is_of_tabs).and_then(|place| indenting_tab(text, place)) {
        return (Some(tab), "the indentation contains a tab; YAML allows only spaces".to_owned());
    }
    match breach(error) {
        Some(Breach::Depth) => return (place, format!("has more than {CONFIGURATION_DEPTH_MAX} levels")),
        Some(Breach::Size) => {
            return (place, "has too many values, counted with those that aliases repeat".to_owned());
        }
        None => (),
    }
    let shown = match error {
        serde_saphyr::Error::MultipleDocuments { .. } => "a second YAML document begins".to_owned(),
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    };
    let Some(At { line, column }) = place else { return (None, shown) };
    (place, shown.replace(&format!(" at line {line}, column {column}"), ""))
}

/// The first tab in the indentation of the line that the parser names, or of the next one with anything in it.
fn indenting_tab(text: &str, place: At) -> Option<At> {
    let from = usize::try_from(place.line).ok()?.saturating_sub(1);
    let lines = text.lines().enumerate().skip(from).filter(|(_, line)| !line.trim().is_empty()).take(2);
    let tab = |(number, line): (usize, &str)| {
        let indentation = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
        let column = indentation.find('\t')?;
        Some(At { line: u64::try_from(number).ok()? + 1, column: u64::try_from(column).ok()? + 1 })
    };
    lines.filter_map(tab).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        let report = Report::default();
        read(text, &report);
        let problem = report.into_problems().remove(0);
        let at = problem.at.unwrap();
        format!("{}:{}: {}", at.line, at.column, problem.message)
    }

    #[test]
    fn reads_yaml_and_json_alike() {
        let json = "{\n\t\"a\": {\"z\": \"012345678901\", \"b\": [1, true, null]}\n}\n";
        let yaml = "a:\n  z: 012345678901\n  b: [1, true, ~]\n";
        let report = Report::default();
        let (json, yaml) = (read(json, &report), read(yaml, &report));
        assert_eq!(report.into_problems(), []);
        assert_eq!(json, yaml);
        assert_eq!(json.unwrap()["a"].as_object().unwrap().keys().collect::<Vec<_>>(), ["z", "b"]);
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert!(read("\u{feff}{\"a\": 1}", &Report::default()).is_some());
    }

    #[test]
    fn says_where_the_syntax_breaks() {
        for (text, told) in [
            ("a:\n  - b\n c: d\n", "3:2: while parsing a block mapping, did not find expected key"),
            ("{\"a\": 1,\n \"b\": [1, 2\n}", "2:7: mismatched bracket '[' closed by '}'"),
            ("a: 1\nb: 2\na: 3\n", "3:1: the key a is written twice, first in line 1"),
            ("{\"a\": {\"b\": 1,\n\"b\": 2}}", "2:1: the key b is written twice, first in line 1"),
            ("a:\n  b: 1\n\tc: 2\n", "3:1: the indentation contains a tab; YAML allows only spaces"),
            ("a:\n  b: 1\n\n  \tc: 2\n", "4:3: the indentation contains a tab; YAML allows only spaces"),
        ] {
            assert_eq!(problem(text), told);
        }
    }

    #[test]
    fn every_key_and_element_has_a_place() {
        let report = Report::default();
        read("a:\n  b: [1,\n    {c: 2}]\n", &report).unwrap();
        for (path, line, column) in
            [("a", 1, 1), ("a.b", 2, 3), ("a.b[1].c", 3, 6), ("a.b[1].missing", 3, 5), ("a.x in y", 1, 1)]
        {
            report.error(Kind::Invalid, path, format!("at {line}:{column}"), "");
        }
        for problem in report.into_problems() {
            let at = problem.at.unwrap();
            assert_eq!(problem.message, format!("at {}:{}", at.line, at.column), "{}", problem.path);
        }
        report_of_nothing();
    }

    fn report_of_nothing() {
        let report = Report::default();
        assert_eq!(read("# nothing\n", &report), None);
        assert_eq!(report.into_problems()[0].message, "the file is empty");
    }

    #[test]
    fn words_of_older_yaml_are_text() {
        let tree = read("on: no\noff: [yes, true]\n", &Report::default()).unwrap();
        assert_eq!(tree, serde_json::json!({"on": "no", "off": ["yes", true]}));
    }

    #[test]
    fn a_number_that_would_be_spelled_otherwise_is_text() {
        let spellings = [
            "123456789012345678901",
            "-123456789012345678901",
            "1.10",
            "12e3",
            "0x10",
            "0o17",
            "0b11",
            "1.0e2",
            "1e5",
            "+5",
            "-0",
            "1.",
            ".5",
            "0.10",
        ];
        for spelling in spellings {
            for text in [
                format!("a: {spelling}\nb: [{spelling}, {{c: {spelling} }}] # {spelling}\n"),
                format!("{{\"a\": {spelling},\n \"b\":[{spelling},{{\"c\":{spelling}}}]}}"),
                format!("\u{feff}é: ü\na: {spelling}\nb:\n- {spelling}\n- c: {spelling}"),
                format!("a: &x {spelling}\nb: [*x, {{c: *x}}]\n"),
            ] {
                let tree = read(&text, &Report::default()).unwrap();
                for place in ["/a", "/b/0", "/b/1/c"] {
                    assert_eq!(tree.pointer(place).unwrap(), spelling, "{text}");
                }
            }
        }
        let tree = read("[12, -3, 1.5, 0, 18446744073709551615, 100.0]", &Report::default()).unwrap();
        assert_eq!(tree.to_string(), "[12,-3,1.5,0,18446744073709551615,100.0]");
    }

    #[test]
    fn a_file_that_grows_with_every_alias_is_told_what_to_do() {
        let mut text = "a0: &a0 [x, x]\n".to_owned();
        for level in 1..20 {
            let below = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", [below.as_str(); 9].join(", "));
        }
        let long: String = (0..400_000).map(|n| format!("- {n}\n")).collect();
        let deep = "[".repeat(2000) + &"]".repeat(2000);
        for (text, what, cure) in [
            (text, "too many values", "aliases"),
            (long, "too many values", "far smaller"),
            (deep, "levels", "fewer levels"),
        ] {
            let report = Report::default();
            assert!(read(&text, &report).is_none());
            let problem = report.into_problems().remove(0);
            assert!(problem.message.contains(what) && problem.advice.contains(cure), "{problem}");
            assert!(!problem.to_string().contains("udget"), "{problem}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("- ", "")] {
            let text = open.repeat(200_000) + "1" + &close.repeat(200_000);
            assert!(!problem(&text).is_empty());
        }
    }
}
