//! Successful answers that are not AWS's in spite of their status 200: a proxy, a portal or a wrong endpoint answers
//! like that too. Why an answer is not used, and how JSON becomes a type. Pure.
//!
//! Every reader of an answer requires the members that AWS always sends, so that another server's answer is never read
//! as "there is nothing". Such an answer is an outage: nothing is acknowledged, no checkpoint moves, and the call is
//! retried.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use http::HeaderMap;
use serde::Deserializer as _;
use serde::de::{self, DeserializeOwned, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::failure::header;
use crate::base::limits::MISREAD_SHOWN_CHARS;

/// The reason why a successful answer is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The answer lacks what AWS always sends, or contradicts itself or the request: another server sent it.
    #[error("the answer says success, but is not one of AWS's: {0}")]
    Foreign(String),
    /// The answer has AWS's form, but a part of it cannot be read. That may concern only one item.
    #[error("unreadable answer: {0}")]
    Odd(String),
}

impl Unusable {
    /// An answer that does not come from AWS.
    pub fn foreign(why: impl ToString) -> Unusable {
        Unusable::Foreign(shortened(&why.to_string()))
    }

    /// An answer of AWS that cannot be read.
    pub fn odd(why: impl ToString) -> Unusable {
        Unusable::Odd(shortened(&why.to_string()))
    }
}

/// Reads the items of the answer's list `name` one by one, each as AWS wrote it, up to the first that `read` refuses.
///
/// # Errors
/// The error of `read`; [`Unusable::Foreign`] if the text is no JSON object with such a list.
pub fn items<T>(
    text: &str,
    name: &str,
    read: impl FnMut(&str) -> Result<T, Unusable>,
) -> Result<Vec<T>, Unusable> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(Unusable::foreign)?;
    let list = members.get(name).ok_or_else(|| Unusable::foreign(format!("there is no {name}")))?;
    let mut items = Items { read, found: Vec::new(), refused: None };
    let walked = serde_json::Deserializer::from_str(list.get()).deserialize_seq(&mut items);
    match (items.refused, walked) {
        (Some(error), _) => Err(error),
        (None, Err(_)) => Err(Unusable::foreign(format!("{name} is not an array"))),
        (None, Ok(())) => Ok(items.found),
    }
}

/// The items of a list so far. A list of all of them before they are read could take many times the answer's memory.
struct Items<T, F> {
    read: F,
    found: Vec<T>,
    refused: Option<Unusable>,
}

impl<'de, T, F: FnMut(&str) -> Result<T, Unusable>> Visitor<'de> for &mut Items<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element::<&'de RawValue>()? {
            match (self.read)(item.get()) {
                Ok(found) => self.found.push(found),
                Err(error) => {
                    self.refused = Some(error);
                    return Err(de::Error::custom("an item is refused"));
                }
            }
        }
        Ok(())
    }
}

/// Reads a JSON answer. `Shape` is `T` without requirements on its items: an answer without even this form is
/// [`Unusable::Foreign`].
pub fn json<T: DeserializeOwned, Shape: DeserializeOwned>(body: &[u8]) -> Result<T, Unusable> {
    let error = match serde_json::from_slice(body) {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    let text = mended(body);
    if let Ok(found) = serde_json::from_str(&text) {
        return Ok(found);
    }
    match serde_json::from_str::<Shape>(&text) {
        Ok(_) => Err(Unusable::odd(error)),
        Err(error) => Err(Unusable::foreign(error)),
    }
}

/// True for `{}`. Some calls answer so when there is nothing, and so do many servers that are not AWS's.
pub fn is_bare(body: &[u8]) -> bool {
    let inside = body.trim_ascii().strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    inside.is_some_and(|inside| inside.trim_ascii().is_empty())
}

/// Refuses a body that every server could have sent unless the head shows that AWS, or a server that stands in for it,
/// has sent it.
pub fn is_credible(headers: &HeaderMap, body: &[u8]) -> Result<(), Unusable> {
    if is_bare(body) && !bears_mark(headers) {
        return Err(Unusable::foreign(
            "it is an empty JSON object, without a request id or AWS's content type",
        ));
    }
    Ok(())
}

/// True if the head has a header or a content type that only AWS and servers with its protocols send.
pub fn bears_mark(headers: &HeaderMap) -> bool {
    let of_aws = |name: &str| name.starts_with("x-amz-") || name == "x-amzn-requestid";
    let content_type = header(headers, "content-type").unwrap_or_default();
    content_type.starts_with("application/x-amz-json") || headers.keys().any(|name| of_aws(name.as_str()))
}

/// The text of a JSON answer, with the replacement character for invalid characters: bytes that are not UTF-8, and
/// escapes of half a surrogate pair, which a log may contain and a Rust string may not.
pub fn mended(body: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(body);
    if !text.contains("\\u") {
        return text;
    }
    let mut bytes = text.into_owned().into_bytes();
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        at += found;
        at += match (escaped(&bytes[at..]), escaped(bytes.get(at + 6..).unwrap_or_default())) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                bytes[at..at + 6].copy_from_slice(b"\\ufffd");
                6
            }
            // The next character is not skipped: it may be a backslash.
            _ => 2.min(bytes.len() - at),
        };
    }
    // Replaced six bytes of ASCII by six others.
    Cow::Owned(String::from_utf8(bytes).unwrap_or_default())
}

/// Parses `\ud83d…` as 0xd83d.
fn escaped(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Shortens a parser's message, which quotes its input and may be long.
fn shortened(why: &str) -> String {
    why.chars().take(MISREAD_SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde::de::IgnoredAny;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Answer<T> {
        all: Vec<T>,
    }

    fn read(body: &str) -> Result<Vec<String>, Unusable> {
        json::<Answer<String>, Answer<IgnoredAny>>(body.as_bytes()).map(|answer| answer.all)
    }

    #[test]
    fn an_item_that_cannot_be_read_does_not_make_an_answer_foreign() {
        assert_eq!(read(r#"{"all":["a"],"more":1}"#).unwrap(), ["a"]);
        assert_eq!(read(r#"{"all":[]}"#).unwrap(), [""; 0]);
        for odd in [r#"{"all":[1]}"#, r#"{"all":["a",null]}"#] {
            assert!(matches!(read(odd), Err(Unusable::Odd(_))), "{odd}");
        }
        for foreign in
            ["", "{}", "[]", "null", "ok", r#"{"status":"ok"}"#, r#"{"all":null}"#, r#"{"all":{}}"#]
        {
            assert!(matches!(read(foreign), Err(Unusable::Foreign(_))), "{foreign}");
        }
        let long = read(&format!(r#"{{"all":"{}"}}"#, "x".repeat(5000))).unwrap_err().to_string();
        assert!(long.len() < 1000, "{long}");
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced_and_everything_else_stays() {
        let rows = [
            (r#""a \ud800 b""#, "a \u{fffd} b"),
            (r#""\udc00""#, "\u{fffd}"),
            (r#""\ud800\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ud83d\ude00 \u00e9""#, "😀 é"),
            (r#""\\ud800""#, "\\ud800"),
            (r#""\\\ud800""#, "\\\u{fffd}"),
            (r#""\ud800\u0041""#, "\u{fffd}A"),
        ];
        for (json, text) in rows {
            assert_eq!(serde_json::from_str::<String>(&mended(json.as_bytes())).unwrap(), text, "{json}");
        }
        assert_eq!(mended(b"\"a\xff\""), "\"a\u{fffd}\"");
    }

    #[test]
    fn an_empty_object_is_believed_with_a_header_of_aws_only() {
        let of = |name: &'static str, value: &str| {
            HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
        };
        for bare in ["{}", " { }\n"] {
            for (name, value) in
                [("x-amzn-requestid", "r"), ("content-type", "application/x-amz-json-1.0; charset=utf-8")]
            {
                assert!(is_credible(&of(name, value), bare.as_bytes()).is_ok(), "{name}");
            }
            for (name, value) in [("content-type", "application/json"), ("x-request-id", "r")] {
                assert!(is_credible(&of(name, value), bare.as_bytes()).is_err(), "{name}");
            }
        }
        assert!(is_credible(&HeaderMap::new(), br#"{"Messages":[]}"#).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_mended_or_left(text in "[\\\\ud8c0-9a-f\"{}é]{0,40}", bytes in proptest::collection::vec(0u8.., 0..60)) {
            let before = serde_json::from_str::<serde_json::Value>(&text);
            if let Ok(value) = before {
                proptest::prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&mended(text.as_bytes())).unwrap(), value);
            }
            let _ = mended(&bytes);
        }
    }
}
