//! The end of a JSON value: strings, escapes and brackets, nothing else.
//!
//! The state survives the end of a chunk, so every byte is read once.

use super::super::simd::{Container, Outline};

/// Something that is invalid at this position of the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct Fault {
    pub at: usize,
    pub cause: &'static str,
}

/// A value that has begun and not ended yet.
pub(in crate::decode) struct Value {
    kind: Kind,
    /// An object or array.
    container: Container,
    /// A bare string.
    text: Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Container,
    String,
    Scalar,
}

/// The scan's position in a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    /// After a backslash.
    Escaped,
}

impl Value {
    /// A value whose first byte, at `start`, is `first`; that byte is passed again to [`Value::advance`].
    pub fn begin(first: u8, start: usize) -> Result<Value, Fault> {
        let kind = match first {
            b'{' | b'[' => Kind::Container,
            b'"' => Kind::String,
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => Kind::Scalar,
            _ => return Err(Fault { at: start, cause: "no JSON value begins with this byte" }),
        };
        Ok(Value { kind, container: Container::default(), text: Text::Outside })
    }

    /// Continues at `pos`. Returns the value's end (exclusive), or None if all of `data` belongs to it.
    pub fn advance(&mut self, data: &[u8], pos: usize) -> Option<usize> {
        self.advance_and_outline(data, pos, None)
    }

    /// Does the same, and keeps the outline of an object or array that begins at `pos`.
    #[inline]
    pub fn advance_and_outline(
        &mut self,
        data: &[u8],
        pos: usize,
        outline: Option<&mut Outline>,
    ) -> Option<usize> {
        match self.kind {
            Kind::Container => self.container.advance(data, pos, outline),
            Kind::String => self.string(data, pos),
            Kind::Scalar => data[pos..].iter().position(|&b| !in_scalar(b)).map(|n| pos + n),
        }
    }

    /// A number or a literal: it ends where something else begins, or with the text.
    pub fn is_scalar(&self) -> bool {
        self.kind == Kind::Scalar
    }

    /// An object or array.
    pub fn is_container(&self) -> bool {
        self.kind == Kind::Container
    }

    /// False for an object or array that is known to have no line end.
    pub fn may_have_line_end(&self) -> bool {
        self.kind != Kind::Container || self.container.has_control()
    }

    /// Inside a string, which cannot contain a raw line end.
    pub fn in_string(&self) -> bool {
        self.container.in_string() || self.text != Text::Outside
    }

    fn string(&mut self, data: &[u8], mut pos: usize) -> Option<usize> {
        if self.text == Text::Outside && pos < data.len() {
            self.text = Text::Inside;
            pos += 1;
        }
        self.rest_of_string(data, pos)
    }

    /// The position after the closing quote.
    #[inline]
    fn rest_of_string(&mut self, data: &[u8], mut pos: usize) -> Option<usize> {
        loop {
            if self.text == Text::Escaped {
                if pos >= data.len() {
                    return None;
                }
                pos += 1;
                self.text = Text::Inside;
            }
            let at = pos + memchr::memchr2(b'"', b'\\', data.get(pos..)?)?;
            pos = at + 1;
            if data[at] == b'"' {
                self.text = Text::Outside;
                return Some(pos);
            }
            self.text = Text::Escaped;
        }
    }
}

/// True for one whole number or literal. (Cheap: the order of a number's characters is not checked.)
pub(super) fn is_whole_scalar(token: &[u8]) -> bool {
    match token.first() {
        Some(b't') => token == b"true",
        Some(b'f') => token == b"false",
        Some(b'n') => token == b"null",
        _ => token.iter().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')),
    }
}

#[inline]
fn in_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &[u8]) -> Result<Option<usize>, Fault> {
        Ok(Value::begin(text[0], 0)?.advance(text, 0))
    }

    #[test]
    fn ends_of_values() {
        assert_eq!(end(br#"{"a":[1,"}"]} "#), Ok(Some(13)));
        assert_eq!(end(br#"{"a\"}":"\\"}{"#), Ok(Some(13)));
        assert_eq!(end(br#""a\"b" "#), Ok(Some(6)));
        assert_eq!(end(b"-1.5e3,"), Ok(Some(6)));
        assert_eq!(end(b"12"), Ok(None));
        assert_eq!(end(b"[[]"), Ok(None));
        assert_eq!(end(b"\"abc\\"), Ok(None));
    }

    #[test]
    fn no_value_begins_with_a_letter_of_no_literal() {
        assert!(Value::begin(b'a', 0).is_err());
        assert_eq!(end(&[b'['; 100_000]), Ok(None), "any depth will do");
    }

    #[test]
    fn every_cut_gives_the_same_end() {
        let text = br#"{"k\\\"":["}{",{"x":"\u005d"}],"n":[[[1]]]} "#;
        for cut in 0..text.len() {
            let mut value = Value::begin(b'{', 0).unwrap();
            let end = match value.advance(&text[..cut], 0) {
                Some(end) => end,
                None => cut + value.advance(&text[cut..], 0).unwrap(),
            };
            assert_eq!(end, text.len() - 1, "cut at {cut}");
        }
    }

    #[test]
    fn scalars() {
        assert!([&b"true"[..], b"false", b"null", b"-1.5E+3"].iter().all(|t| is_whole_scalar(t)));
        assert!(![&b"tru"[..], b"nulls", b"1a"].iter().any(|t| is_whole_scalar(t)));
    }
}
