//! A typed cursor over the tree. It collects all problems instead of stopping at the first.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::ignored::Ignored;
use super::keys::SECTIONS;
use super::kind::Kind;
use super::numbers::Number;
use super::problem::{Report, closest, suggestion};
use crate::base::text::is_plain;

/// A value and its path.
#[derive(Clone)]
pub struct Node<'a> {
    pub path: String,
    pub value: &'a Value,
    pub report: &'a Report,
}

/// A mapping whose keys are read one by one; [`Mapping::finish`] reports those that nothing has read.
pub struct Mapping<'a> {
    pub path: String,
    pub report: &'a Report,
    entries: &'a Map<String, Value>,
    known: RefCell<Vec<&'static str>>,
    /// Known keys that are not worth suggesting.
    ignored: RefCell<Vec<String>>,
}

impl<'a> Node<'a> {
    pub fn new(path: impl Into<String>, value: &'a Value, report: &'a Report) -> Self {
        Node { path: path.into(), value, report }
    }

    pub fn error(&self, kind: Kind, message: impl Into<String>, advice: impl Into<String>) {
        self.report.error(kind, self.path.as_str(), message, advice);
    }

    pub fn mapping(&self) -> Option<Mapping<'a>> {
        let Some(entries) = self.value.as_object() else {
            return self.wrong_type("a mapping");
        };
        Some(Mapping {
            path: self.path.clone(),
            report: self.report,
            entries,
            known: RefCell::default(),
            ignored: RefCell::default(),
        })
    }

    /// The elements of a list.
    pub fn list(&self) -> Option<Vec<Node<'a>>> {
        let Some(items) = self.value.as_array() else {
            return self.wrong_type("a list");
        };
        let item = |(i, value)| Node::new(format!("{}[{i}]", self.path), value, self.report);
        Some(items.iter().enumerate().map(item).collect())
    }

    /// Reads text; a number or boolean stands for its spelling. It may be empty.
    pub fn text(&self) -> Option<String> {
        match self.value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(boolean) => Some(boolean.to_string()),
            _ => self.wrong_type("text"),
        }
    }

    /// Reads `true`, `false`, either as text, or one of the other words that older YAML has for them.
    pub fn boolean(&self) -> Option<bool> {
        let word = match self.value {
            Value::Bool(boolean) => return Some(*boolean),
            Value::String(text) => text.trim().to_ascii_lowercase(),
            _ => return self.wrong_type("true or false"),
        };
        match word.as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => self.wrong_value("true or false", ""),
        }
    }

    /// Reads an integer within the range, or the same as text.
    pub fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        self.integer_or(range, None)
    }

    /// The same; `default` is what holds without the key, for the advice.
    fn integer_or(&self, range: RangeInclusive<i64>, default: Option<i64>) -> Option<i64> {
        let advice = || allowed(&range, default);
        let number = match self.value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => whole(text.trim()),
            _ => None,
        };
        let Some(number) = number else {
            return self.wrong_value("an integer", advice());
        };
        if range.contains(&number) {
            return Some(number);
        }
        self.error(Kind::OutOfRange, format!("{number} is out of range"), advice());
        None
    }

    /// Reports the same problem and shows the value, which is no secret.
    fn wrong_value<T>(&self, expected: &str, advice: impl Into<String>) -> Option<T> {
        const SHOWN_MAX: usize = 40;
        let shown = match self.value {
            Value::String(text) => format!("{:?}", text.chars().take(SHOWN_MAX).collect::<String>()),
            Value::Number(number) => number.to_string(),
            Value::Bool(boolean) => boolean.to_string(),
            _ => return self.wrong_type(expected),
        };
        self.error(Kind::WrongType, format!("must be {expected}, but is {shown}"), advice);
        None
    }

    fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        let found = match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "a mapping",
        };
        self.error(Kind::WrongType, format!("must be {expected}, but is {found}"), "");
        None
    }
}

impl<'a> Mapping<'a> {
    /// The value of a key; None if it is absent or null. The key counts as known from now on.
    pub fn node(&self, key: &'static str) -> Option<Node<'a>> {
        #[cfg(test)]
        asked::note(&self.path, key);
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        let value = self.entries.get(key).filter(|value| !value.is_null())?;
        Some(Node::new(self.path_of(key), value, self.report))
    }

    /// All entries, for mappings with user-chosen keys.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Node<'a>)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), Node::new(self.path_of(key), value, self.report)))
    }

    /// The entries whose keys are names: logs, metrics and the status page show them, so they must be plain text.
    pub fn named(&self) -> impl Iterator<Item = (&'a str, Node<'a>)> {
        self.entries().inspect(|(key, _)| check_name(key, &self.path_of(key), self.report))
    }

    /// Reads text that is a name, like the keys of [`Mapping::named`].
    pub fn name(&self, key: &'static str) -> Option<String> {
        let name = self.string(key)?;
        check_name(&name, &self.path_of(key), self.report);
        Some(name)
    }

    /// A copy of the mapping, for readers that change it before they read it.
    pub fn to_map(&self) -> Map<String, Value> {
        self.entries.clone()
    }

    /// The entries whose user-chosen keys `is_meant` selects. They count as known from now on.
    pub fn picked(&self, is_meant: impl Fn(&str) -> bool) -> Vec<(&'a str, Node<'a>)> {
        let picked: Vec<_> =
            self.entries().filter(|(key, _)| is_meant(key) && self.is_written(key)).collect();
        self.ignored.borrow_mut().extend(picked.iter().map(|(key, _)| (*key).to_owned()));
        picked
    }

    pub fn mapping(&self, key: &'static str) -> Option<Mapping<'a>> {
        self.node(key)?.mapping()
    }

    /// The elements of a list; none if the key is absent.
    pub fn list(&self, key: &'static str) -> Vec<Node<'a>> {
        self.node(key).and_then(|node| node.list()).unwrap_or_default()
    }

    /// Reads text without surrounding white space. Empty text counts as absent.
    pub fn string(&self, key: &'static str) -> Option<String> {
        let text = self.node(key)?.text()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Reads required text.
    pub fn required(&self, key: &'static str, advice: &str) -> Option<String> {
        let mistyped = self.entries.get(key).is_some_and(|v| v.is_array() || v.is_object());
        let text = self.string(key);
        if text.is_none() && !mistyped {
            self.report.error(Kind::Missing, self.path_of(key), "is missing", advice);
        }
        text
    }

    pub fn boolean(&self, key: &'static str, default: bool) -> bool {
        #[cfg(test)]
        asked::note_default(&self.path, key, default.to_string());
        self.boolean_if_set(key).unwrap_or(default)
    }

    pub fn boolean_if_set(&self, key: &'static str) -> Option<bool> {
        #[cfg(test)]
        asked::note_form(&self.path, key, "true, false".to_owned());
        let node = self.node(key)?;
        if is_blank(node.value) { None } else { node.boolean() }
    }

    /// Reads a number with a range and a default of its own.
    pub fn number(&self, key: &'static str, number: &Number) -> i64 {
        self.integer(key, number.range.clone(), number.default)
    }

    pub fn integer(&self, key: &'static str, range: RangeInclusive<i64>, default: i64) -> i64 {
        #[cfg(test)]
        asked::note_default(&self.path, key, default.to_string());
        self.whole_number(key, range, Some(default)).unwrap_or(default)
    }

    pub fn integer_if_set(&self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        self.whole_number(key, range, None)
    }

    fn whole_number(
        &self,
        key: &'static str,
        range: RangeInclusive<i64>,
        default: Option<i64>,
    ) -> Option<i64> {
        #[cfg(test)]
        asked::note_form(&self.path, key, asked::range(&range));
        let node = self.node(key)?;
        if is_blank(node.value) { None } else { node.integer_or(range, default) }
    }

    /// Ignores keys of the vendor's that have no effect here, with one warning for all that are set.
    pub fn without_effect(&self, keys: &[&'static str], why: &str) {
        let set: Vec<&str> = keys.iter().copied().filter(|key| self.node(key).is_some()).collect();
        if !set.is_empty() {
            let message = format!("has no effect here: {}", set.join(", "));
            self.report.warning(Kind::Doubtful, self.path.as_str(), message, why);
        }
    }

    /// Ignores keys with a reason for each, and a warning for each that is set to anything but "off".
    pub fn ignore(&self, keys: &[Ignored]) {
        for (key, why) in keys {
            self.ignored.borrow_mut().push((*key).to_owned());
            if self.entries.get(*key).is_some_and(|value| !means_off(value)) {
                let message = "has no effect here";
                self.report.warning(Kind::Doubtful, self.path_of(key), message, format!("remove it: {why}"));
            }
        }
    }

    pub fn has(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|value| !value.is_null())
    }

    /// True if the key has a value. Blank text is none.
    pub fn is_written(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|value| !value.is_null() && !is_blank(value))
    }

    /// Reports every key that nothing has read. A key without effect would be a trap.
    pub fn finish(self) {
        let (known, ignored) = (self.known.borrow(), self.ignored.borrow());
        let is_unknown = |key: &&String| !known.contains(&key.as_str()) && !ignored.contains(key);
        for key in self.entries.keys().filter(is_unknown) {
            self.report.error(
                Kind::UnknownKey,
                self.path_of(key),
                "is not a known key",
                self.advice(key, &known),
            );
        }
    }

    /// The key that was probably meant: one of this mapping, or one that belongs elsewhere.
    fn advice(&self, key: &str, known: &[&str]) -> String {
        let is_meant = closest(key, known.iter().copied()).is_some();
        // A service of another kind, or one of the user's own, has such a key.
        let is_home = |home: &&str| {
            self.path.contains(".services.")
                && (home.ends_with(".NAME") || *home == "globals.persistence.config")
        };
        match home(key).filter(|home| !is_meant && !is_home(home) && *home != self.path) {
            Some(home) => format!("it belongs under {home}"),
            None => suggestion(key, known),
        }
    }

    /// Marks keys as known whose readers do not run.
    pub fn know(&self, keys: impl IntoIterator<Item = &'static str>) {
        let mut known = self.known.borrow_mut();
        for key in keys {
            if !known.contains(&key) {
                known.push(key);
            }
        }
    }

    pub fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }
}

fn check_name(name: &str, path: &str, report: &Report) {
    if !is_plain(name) {
        let message =
            format!("the name {name:?} has characters that are invisible or change the order of others");
        let advice =
            "use letters, digits, _ and -: the name is shown in logs, metrics and on the status page";
        report.error(Kind::Invalid, path, message, advice);
    }
}

/// The mapping in which a key or a service belongs. None if several have such a key, or none has.
fn home(key: &str) -> Option<&'static str> {
    if key.starts_with("aws_sqs_") {
        return Some("the \"services\" of an input");
    }
    if key.starts_with("sqs_collector") {
        return Some("\"inputs\"");
    }
    if key == "services" {
        return Some("an input: \"inputs\": {\"sqs_collector\": {\"services\": ...}}");
    }
    let mut homes = SECTIONS.iter().filter(|section| section.keys.iter().any(|(known, ..)| *known == key));
    match (homes.next(), homes.next()) {
        (Some(home), None) if !home.place.is_empty() => Some(home.place),
        _ => None,
    }
}

/// The keys that the readers ask for, and their types, for the test of their documentation.
#[cfg(test)]
pub mod asked {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::ops::RangeInclusive;

    /// Mapping, key, and a description.
    type Words = BTreeSet<(String, &'static str, String)>;

    thread_local! {
        static ASKED: RefCell<BTreeSet<(String, &'static str)>> = RefCell::default();
        static FORMS: RefCell<Words> = RefCell::default();
        static DEFAULTS: RefCell<Words> = RefCell::default();
    }

    /// The accepted values, as in the documentation.
    pub fn note_form(path: &str, key: &'static str, form: String) {
        FORMS.with_borrow_mut(|forms| forms.insert((path.to_owned(), key, form)));
    }

    pub fn note_default(path: &str, key: &'static str, default: String) {
        DEFAULTS.with_borrow_mut(|defaults| defaults.insert((path.to_owned(), key, default)));
    }

    pub fn range(range: &RangeInclusive<i64>) -> String {
        match (range.start(), range.end()) {
            (start, &i64::MAX) => format!("from {start}"),
            (start, end) => format!("{start} to {end}"),
        }
    }

    pub fn forms() -> Words {
        FORMS.with_borrow(Clone::clone)
    }

    pub fn defaults() -> Words {
        DEFAULTS.with_borrow(Clone::clone)
    }

    pub fn note(path: &str, key: &'static str) {
        ASKED.with_borrow_mut(|asked| asked.insert((path.to_owned(), key)));
    }

    /// Mapping and key, of this thread so far.
    pub fn all() -> BTreeSet<(String, &'static str)> {
        ASKED.with_borrow(Clone::clone)
    }
}

fn allowed(range: &RangeInclusive<i64>, default: Option<i64>) -> String {
    let range = match (range.start(), range.end()) {
        (start, &i64::MAX) => format!("allowed: {start} or more"),
        (start, end) => format!("allowed: {start} to {end}"),
    };
    default.map_or(range.clone(), |default| format!("{range}; without the key: {default}"))
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// True for false, nothing or zero, in any spelling.
pub fn means_off(value: &Value) -> bool {
    let text = match value {
        Value::String(text) => text.trim().to_ascii_lowercase(),
        other => other.to_string(),
    };
    matches!(text.as_str(), "" | "0" | "0.0" | "false" | "no" | "none" | "null" | "off")
}

/// Parses an integer, also in one of YAML's other notations.
fn whole(text: &str) -> Option<i64> {
    let other = || {
        let (prefix, digits) = text.split_at_checked(2)?;
        let radix = match prefix {
            "0x" => 16,
            "0o" => 8,
            "0b" => 2,
            _ => return None,
        };
        let is_digits = digits.bytes().all(|b| b.is_ascii_alphanumeric());
        i64::from_str_radix(digits, radix).ok().filter(|_| is_digits)
    };
    text.parse().ok().or_else(other)
}

fn is_blank(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Reads with `read` and returns the problems' texts.
    fn problems(value: Value, read: impl Fn(&Mapping<'_>)) -> Vec<String> {
        let report = Report::default();
        if let Some(mapping) = Node::new("", &value, &report).mapping() {
            read(&mapping);
            mapping.finish();
        }
        report.into_problems().iter().map(|p| format!("{}: {} ({})", p.path, p.message, p.advice)).collect()
    }

    #[test]
    fn numbers_and_booleans_are_also_read_from_text() {
        let found = problems(
            json!({"id": 12351, "on": "True", "n": "7", "hex": "0x10", "octal": "0o17", "blank": " "}),
            |m| {
                assert_eq!(m.string("id").as_deref(), Some("12351"));
                assert!(m.boolean("on", false));
                assert_eq!(m.integer("n", 0..=20, 1), 7);
                assert_eq!([m.integer("hex", 0..=20, 1), m.integer("octal", 0..=20, 1)], [16, 15]);
                assert_eq!(m.string("blank"), None);
                assert_eq!(m.integer("blank", 0..=20, 3), 3);
                assert_eq!(m.integer("absent", 0..=20, 4), 4);
            },
        );
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let found = problems(json!({"a": [], "b": 21, "c": "x", "d": {}, "regoin": 1}), |m| {
            m.string("a");
            m.integer("b", 0..=20, 0);
            m.boolean("c", false);
            m.list("d");
            m.required("region", "write it");
        });
        insta::assert_snapshot!(found.join("\n"), @r#"
        a: must be text, but is a list ()
        b: 21 is out of range (allowed: 0 to 20; without the key: 0)
        c: must be true or false, but is "x" ()
        d: must be a list, but is a mapping ()
        region: is missing (write it)
        regoin: is not a known key (did you mean "region"?)
        "#);
    }

    #[test]
    fn a_tree_that_is_no_mapping_is_a_problem() {
        assert_eq!(problems(json!([1]), |_| ()), [": must be a mapping, but is a list ()"]);
    }
}
