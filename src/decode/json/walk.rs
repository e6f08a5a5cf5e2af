//! The inside of a JSON value that is held whole: members, elements, text. Only requested parts are parsed, and every
//! value is a slice of the document.

use super::is_white;
use super::scan::{self, Fault, Value};

/// A member of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct Member<'d> {
    /// The key as written, without its quotes.
    pub key: &'d [u8],
    pub value: &'d [u8],
}

impl Member<'_> {
    /// True if it is this key, in any spelling.
    pub fn is(&self, wanted: &str) -> bool {
        if memchr::memchr(b'\\', self.key).is_none() {
            return self.key == wanted.as_bytes();
        }
        let mut key = Vec::new();
        unescape(self.key, &mut key);
        key == wanted.as_bytes()
    }
}

/// The members of an object in order, up to the first error.
pub(in crate::decode) struct Members<'d>(Walk<'d>);

/// The elements of an array in order, up to the first error.
pub(in crate::decode) struct Elements<'d>(Walk<'d>);

/// None if it is not an object.
pub(in crate::decode) fn members(value: &[u8]) -> Option<Members<'_>> {
    Walk::new(value, b'{').map(Members)
}

/// None if it is not an array.
pub(in crate::decode) fn elements(value: &[u8]) -> Option<Elements<'_>> {
    Walk::new(value, b'[').map(Elements)
}

/// The value at a path of keys, including `null`. A key of the path that occurs twice is a fault: one of its values would be
/// lost.
pub(in crate::decode) fn at<'d>(document: &'d [u8], path: &[String]) -> Result<Option<&'d [u8]>, Fault> {
    let mut value = document;
    for wanted in path {
        match member(value, wanted)? {
            Some(found) => value = found,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// The value of a member. It is a fault if there are several with the key.
pub(in crate::decode) fn member<'d>(value: &'d [u8], wanted: &str) -> Result<Option<&'d [u8]>, Fault> {
    let mut found = None;
    for member in members(value).into_iter().flatten() {
        let member = member?;
        if member.is(wanted) && found.replace(member.value).is_some() {
            return Err(repeated());
        }
    }
    Ok(found)
}

/// The fault of a key that occurs twice, where only one value is read: which of the two counts would be a guess.
pub(in crate::decode) fn repeated() -> Fault {
    Fault { at: 0, cause: "the key of its records occurs twice in one object" }
}

/// True if there is such a member, once or several times.
pub(in crate::decode) fn has(value: &[u8], wanted: &str) -> Result<bool, Fault> {
    let mut found = false;
    for member in members(value).into_iter().flatten() {
        found |= member?.is(wanted);
    }
    Ok(found)
}

/// True for one JSON value, with nothing but white space around it.
pub(in crate::decode) fn is_value(text: &[u8]) -> bool {
    let text = trim(text);
    let Some(&first) = text.first() else { return false };
    let Ok(mut value) = Value::begin(first, 0) else { return false };
    match value.advance(text, 0) {
        Some(end) => end == text.len() && !value.is_scalar(),
        None => value.is_scalar() && scan::is_whole_scalar(text),
    }
}

/// The text of a string; None for any other value.
pub(in crate::decode) fn string(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Trims JSON's white space.
pub(in crate::decode) fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_white(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_white(*last)
    {
        text = rest;
    }
    text
}

/// Appends the characters of a string, given without its quotes. An escape without a character, such as half a
/// surrogate pair, stays as written.
pub(in crate::decode) fn unescape(written: &[u8], text: &mut Vec<u8>) {
    let mut rest = written;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        text.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let (length, character) = escape(rest).unwrap_or((rest.len().min(2), None));
        match character {
            Some(character) => text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            None => text.extend_from_slice(&rest[..length]),
        }
        rest = &rest[length..];
    }
    text.extend_from_slice(rest);
}

/// The escape at the start: its length, and its character if it has one.
fn escape(text: &[u8]) -> Option<(usize, Option<char>)> {
    let plain = match text.get(1)? {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => return Some(unicode(text)),
        same @ (b'"' | b'\\' | b'/') => char::from(*same),
        _ => return None,
    };
    Some((2, Some(plain)))
}

/// Parses `\uXXXX`, or two of them that are one character.
fn unicode(text: &[u8]) -> (usize, Option<char>) {
    let Some(first) = code_unit(text) else { return (2, None) };
    let second = || code_unit(&text[6..]);
    match first {
        0xd800..0xdc00 => match second() {
            Some(second @ 0xdc00..0xe000) => {
                (12, char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)))
            }
            _ => (6, None),
        },
        _ => (6, char::from_u32(first)),
    }
}

fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

/// A cursor over a container.
struct Walk<'d> {
    text: &'d [u8],
    pos: usize,
    ended: bool,
}

type Found<'d, T> = Option<Result<T, Fault>>;

impl<'d> Walk<'d> {
    fn new(value: &'d [u8], open: u8) -> Option<Self> {
        (value.first() == Some(&open)).then_some(Walk { text: value, pos: 1, ended: false })
    }

    /// The next member or element, read by `read`. As everywhere, commas count as white space.
    fn next<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Found<'d, T> {
        self.skip(b',');
        if self.ended || self.pos + 1 >= self.text.len() {
            self.ended = true;
            return None;
        }
        let found = read(self);
        self.ended = found.is_err();
        Some(found)
    }

    fn skip(&mut self, besides: u8) {
        while self.text.get(self.pos).is_some_and(|&byte| is_white(byte) || byte == besides) {
            self.pos += 1;
        }
    }

    fn value(&mut self) -> Result<&'d [u8], Fault> {
        let start = self.pos;
        let first = self.text.get(start).copied().unwrap_or(0);
        let mut value = Value::begin(first, start)?;
        let end = value.advance(self.text, start).ok_or_else(|| self.fault("a value has no end"))?;
        let found = &self.text[start..end];
        if value.is_scalar() && !scan::is_whole_scalar(found) {
            return Err(self.fault("neither a number nor true, false or null"));
        }
        self.pos = end;
        Ok(found)
    }

    fn member(&mut self) -> Result<Member<'d>, Fault> {
        if self.text[self.pos] != b'"' {
            return Err(self.fault("neither a key nor the object's end"));
        }
        let key = self.value()?;
        self.skip(b' ');
        if self.text.get(self.pos) != Some(&b':') {
            return Err(self.fault("a key without a colon"));
        }
        self.pos += 1;
        self.skip(b' ');
        Ok(Member { key: &key[1..key.len() - 1], value: self.value()? })
    }

    fn fault(&self, cause: &'static str) -> Fault {
        Fault { at: self.pos, cause }
    }
}

impl<'d> Iterator for Members<'d> {
    type Item = Result<Member<'d>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(Walk::member)
    }
}

impl<'d> Iterator for Elements<'d> {
    type Item = Result<&'d [u8], Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(Walk::value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unescaped(written: &str) -> String {
        let mut text = Vec::new();
        unescape(written.as_bytes(), &mut text);
        String::from_utf8(text).unwrap()
    }

    fn keys(object: &str) -> Result<Vec<String>, Fault> {
        let key = |member: Result<Member<'_>, Fault>| Ok(String::from_utf8(member?.key.to_vec()).unwrap());
        members(object.as_bytes()).unwrap().map(key).collect()
    }

    #[test]
    fn members_and_elements() {
        assert_eq!(keys(r#"{ "a" : {"b":1} , "c\"":[], "d":-1.50 }"#).unwrap(), ["a", "c\\\"", "d"]);
        assert!(keys("{}").unwrap().is_empty());
        let found: Result<Vec<&[u8]>, Fault> = elements(b"[1, {\"a\":2}\n,\"x\" ]").unwrap().collect();
        assert_eq!(found.unwrap(), [&b"1"[..], b"{\"a\":2}", b"\"x\""]);
        assert!(members(b"[]").is_none() && elements(b"{}").is_none() && elements(b"").is_none());
    }

    #[test]
    fn faults_end_the_walk() {
        for text in ["{1:2}", "{\"a\" 1}", "{\"a\":}", "{\"a\":nul}", "{\"a\"}", "{\"a\":1x}"] {
            assert!(keys(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths() {
        let path = |keys: &[&str]| keys.iter().map(|key| key.to_string()).collect::<Vec<_>>();
        let document = br#"{"a":{"b":[1]},"n":null,"\u0063":2}"#;
        assert_eq!(at(document, &path(&["a", "b"])).unwrap(), Some(&b"[1]"[..]));
        assert_eq!(at(document, &path(&["c"])).unwrap(), Some(&b"2"[..]));
        assert_eq!(at(document, &path(&["n"])).unwrap(), Some(&b"null"[..]));
        for nowhere in [&["x"][..], &["a", "x"], &["c", "x"], &["n", "x"]] {
            assert_eq!(at(document, &path(nowhere)).unwrap(), None);
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(unescaped(r#"a\n\"\\\/\u0041\ud83d\ude00\u0000"#), "a\n\"\\/A😀\0");
        for kept in [r"\ud83d", r"\ude00x", r"\q", r"\u12", r"\uzzzz", r"\ud83d\n"] {
            assert!(unescaped(kept).starts_with(&kept[..2]), "{kept}");
        }
        assert_eq!(unescaped(r"\ud83d\u0041"), "\\ud83dA");
    }

    #[test]
    fn whole_values() {
        assert!([" {} ", "[1]\n", "12", "\"a\"", "null"].iter().all(|text| is_value(text.as_bytes())));
        assert!(
            !["", "{} x", "{}{}", "12 13", "text", "{", "1a"].iter().any(|text| is_value(text.as_bytes()))
        );
    }

    proptest! {
        #[test]
        fn unescaping_is_what_a_parser_does(text in any::<String>()) {
            let written = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unescaped(&written[1..written.len() - 1]), text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[{\\[]([\"\\\\{}:, a1u\\[\\]]){0,40}") {
            if let Some(members) = members(text.as_bytes()) {
                members.for_each(drop);
            }
            if let Some(elements) = elements(text.as_bytes()) {
                elements.for_each(drop);
            }
            is_value(text.as_bytes());
            unescape(text.as_bytes(), &mut Vec::new());
        }
    }
}
