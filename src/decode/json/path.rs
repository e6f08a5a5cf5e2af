//! A value found by its path of keys, without parsing what is beside the path.
//!
//! A key is searched for as it is usually written, and then checked for being a key of the object. Members are read one
//! by one only if a key may be written with escapes.

use std::borrow::Cow;

use memchr::memmem::Finder;

use super::super::Context;
use super::super::simd::{Container, Outline};
use super::is_white;
use super::scan::{self, Value};
use super::spelling::{has_unicode_escape, quoted};
use super::walk;

/// The keys that lead from the root of a JSON document to a value.
#[derive(Debug, Clone)]
pub struct JsonPath(Vec<Key>);

/// One step of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Key(String),
    /// An element of an array; -1 is the last one. In an object it is the key spelled like the number.
    Element(i64),
}

#[derive(Debug, Clone)]
struct Key {
    name: String,
    element: Option<i64>,
    /// Finds the key with its quotes. None if JSON can write it in more ways than with `\u`.
    quoted: Option<Finder<'static>>,
}

impl JsonPath {
    /// The value's own bytes, including a string's quotes. The first of several members with the same key counts, and a
    /// `null` is none. The text after the value is not read.
    pub fn find<'j>(&self, json: impl Into<Context<'j>>) -> Option<&'j [u8]> {
        let context = json.into();
        let mut value = skip_white(context.json);
        for (depth, key) in self.0.iter().enumerate() {
            let outline = context.outline.filter(|_| depth == 0);
            value = match key.element {
                Some(element) if value.first() == Some(&b'[') => element_at(value, element),
                _ => member(value, key, outline),
            }?;
        }
        (value != b"null").then_some(value)
    }

    /// The value as text: a string without its quotes and escapes, anything else as written.
    pub fn text<'j>(&self, json: impl Into<Context<'j>>) -> Option<Cow<'j, str>> {
        let value = self.find(json)?;
        let written = walk::string(value).unwrap_or(value);
        if written.len() == value.len() || memchr::memchr(b'\\', written).is_none() {
            return std::str::from_utf8(written).ok().map(Into::into);
        }
        let mut text = Vec::new();
        walk::unescape(written, &mut text);
        String::from_utf8(text).ok().map(Into::into)
    }
}

fn member<'j>(object: &'j [u8], key: &Key, outline: Option<&Outline>) -> Option<&'j [u8]> {
    if object.first() != Some(&b'{') {
        return None;
    }
    let found = key.search(object, outline);
    let before = found.map_or(object.len(), |(at, _)| at);
    let has_no_escape = || {
        outline.is_some_and(|outline| outline.has_no_backslash(before))
            || !has_unicode_escape(&object[..before])
    };
    if key.quoted.is_some() && has_no_escape() {
        return found.map(|(_, value)| value);
    }
    let mut members = walk::members(object)?.map_while(Result::ok);
    members.find(|member| member.is(&key.name)).map(|member| member.value)
}

impl Key {
    fn new(name: String, element: Option<i64>) -> Key {
        let quoted = quoted(&name).map(|quoted| Finder::new(&quoted).into_owned());
        Key { name, element, quoted }
    }

    /// The key's position among the members of `object`, and its value.
    fn search<'j>(&self, object: &'j [u8], outline: Option<&Outline>) -> Option<(usize, &'j [u8])> {
        let quoted = self.quoted.as_ref()?;
        let (mut container, mut passed, mut from) = (Container::default(), 0, 1);
        loop {
            let at = from + quoted.find(object.get(from..)?)?;
            if let Some((nearer, start)) = outline.map(|outline| outline.before(at))
                && start > passed
            {
                (container, passed) = (nearer, start);
            }
            if container.advance(&object[..at], passed, None).is_some() {
                return None;
            }
            if container.is_at_members()
                && let Some(value) = value_behind(&object[at + quoted.needle().len()..])
            {
                return Some((at, value));
            }
            (passed, from) = (at, at + 1);
        }
    }
}

/// None if the text before it was not a key, or its value is not a value.
fn value_behind(key: &[u8]) -> Option<&[u8]> {
    value_at(skip_white(skip_white(key).strip_prefix(b":")?))
}

/// The value at the text's start.
fn value_at(text: &[u8]) -> Option<&[u8]> {
    let mut value = Value::begin(*text.first()?, 0).ok()?;
    let found = &text[..value.advance(text, 0)?];
    (!value.is_scalar() || scan::is_whole_scalar(found)).then_some(found)
}

/// An index as in a Python list.
fn element_at(array: &[u8], number: i64) -> Option<&[u8]> {
    let elements = || Some(walk::elements(value_at(array)?)?.map_while(Result::ok));
    let from_start = match usize::try_from(number) {
        Ok(number) => number,
        Err(_) => elements()?.count().checked_sub(usize::try_from(number.unsigned_abs()).ok()?)?,
    };
    elements()?.nth(from_start)
}

fn skip_white(text: &[u8]) -> &[u8] {
    let white = text.iter().take_while(|byte| is_white(**byte)).count();
    &text[white..]
}

impl From<Vec<String>> for JsonPath {
    fn from(keys: Vec<String>) -> JsonPath {
        keys.into_iter().map(Step::Key).collect()
    }
}

impl FromIterator<Step> for JsonPath {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> JsonPath {
        let key = |step| match step {
            Step::Key(name) => Key::new(name, None),
            Step::Element(number) => Key::new(number.to_string(), Some(number)),
        };
        JsonPath(steps.into_iter().map(key).collect())
    }
}

impl PartialEq for JsonPath {
    fn eq(&self, other: &Self) -> bool {
        let steps =
            |path: &Self| path.0.iter().map(|key| (key.name.clone(), key.element)).collect::<Vec<_>>();
        steps(self) == steps(other)
    }
}

impl Eq for JsonPath {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Tree;

    use super::*;

    fn path(keys: &[&str]) -> JsonPath {
        keys.iter().map(|key| key.to_string()).collect::<Vec<_>>().into()
    }

    fn text(keys: &[&str], json: &str) -> Option<String> {
        path(keys).text(json.as_bytes()).map(|text| text.into_owned())
    }

    #[test]
    fn members_of_the_object_itself_only() {
        let json = r#" {"x":{"a":1},"y":["a","a\":2"],"z":"\"a\":3","s":"a", "a" : "4" ,"a":5} {"b":6}"#;
        assert_eq!(text(&["a"], json).as_deref(), Some("4"));
        assert_eq!(text(&["x", "a"], json).as_deref(), Some("1"));
        assert_eq!(text(&["x"], json).as_deref(), Some(r#"{"a":1}"#));
        for nowhere in [&["b"][..], &["s", "a"], &["y", "a"], &["x", "b"], &["a", "a"]] {
            assert_eq!(text(nowhere, json), None, "{nowhere:?}");
        }
    }

    #[test]
    fn elements_are_python_s() {
        let at = |steps: &[Step], json: &str| {
            let path: JsonPath = steps.iter().cloned().collect();
            path.text(json.as_bytes()).map(Cow::into_owned)
        };
        let key = |name: &str| Step::Key(name.to_owned());
        let json = r#" {"a":[{"b":1}, [2,"3"], null],"0":"zero"} trailing"#;
        assert_eq!(at(&[key("a"), Step::Element(0), key("b")], json).as_deref(), Some("1"));
        assert_eq!(at(&[key("a"), Step::Element(1), Step::Element(-1)], json).as_deref(), Some("3"));
        assert_eq!(at(&[key("a"), Step::Element(-3), key("b")], json).as_deref(), Some("1"));
        assert_eq!(at(&[Step::Element(0)], json).as_deref(), Some("zero"), "in an object it is a key");
        assert_eq!(at(&[Step::Element(-1)], r#"[1,"x"] [2]"#).as_deref(), Some("x"));
        for number in [2, 3, -4, i64::MAX, i64::MIN] {
            assert_eq!(at(&[key("a"), Step::Element(number)], json), None, "{number}");
        }
        for json in ["[]", "[1", "7", "[", "[,]", ""] {
            assert_eq!(at(&[Step::Element(1)], json), None, "{json}");
        }
        assert_eq!(at(&[key("0")], r#"[["x"]]"#), None, "text is no number");
    }

    #[test]
    fn keys_however_they_are_written() {
        assert_eq!(text(&["a"], r#"{"\u0061":1,"a":2}"#).as_deref(), Some("1"));
        assert_eq!(text(&["a"], r#"{"a":2,"\u0061":1}"#).as_deref(), Some("2"));
        assert_eq!(text(&["a/b", "c"], r#"{"a\/b":{"c":7}}"#).as_deref(), Some("7"));
        assert_eq!(text(&[","], r#"{"a":"b",",":1}"#).as_deref(), Some("1"));
        assert_eq!(text(&[""], r#"{"":1}"#).as_deref(), Some("1"));
    }

    #[test]
    fn what_is_no_member_is_not_found() {
        for json in
            ["", "a", "[]", "{", r#"{"a"}"#, r#"{"a":}"#, r#"{"a":1x}"#, r#"{"a":null}"#, r#"["a",1]"#]
        {
            assert_eq!(text(&["a"], json), None, "{json}");
        }
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let text = "[ab\"\\\\\u{1}é:,{}\\[\\]]{0,3}";
        let leaf = prop_oneof![Just(Tree::Null), any::<i8>().prop_map(Tree::from), text.prop_map(Tree::from)];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Tree::from),
                proptest::collection::vec((text, inner), 0..5)
                    .prop_map(|members| Tree::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Naive version: a tree.
        #[test]
        fn agrees_with_a_tree(
            tree in tree(), keys in proptest::collection::vec("[ab\"\\\\é:,]{0,2}", 1..4),
            spaced in any::<bool>(), escaped in any::<bool>(),
        ) {
            let mut json = if spaced { format!("{tree:#}") } else { tree.to_string() };
            if escaped {
                json = json.replace('a', "\\u0061").replace('é', "\\u00e9");
            }
            let value = keys.iter().try_fold(&tree, |tree, key| tree.as_object()?.get(key));
            let found = JsonPath::from(keys.clone()).find(json.as_bytes());
            let found = found.map(|value| serde_json::from_slice::<Tree>(value).unwrap());
            prop_assert_eq!(found.as_ref(), value.filter(|value| !value.is_null()));
        }

        #[test]
        fn no_text_makes_it_panic(json in "[{\\[]([\"\\\\{}:, a1u\\[\\]]){0,40}") {
            path(&["a", "a"]).text(json.as_bytes());
            path(&["a"]).text(json.as_bytes());
        }
    }
}
