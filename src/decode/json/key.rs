//! An object's key that may be the wanted one.

use super::scan::Value;

/// A key being read. Only as much of it is kept as the wanted key can have.
#[derive(Default)]
pub(super) struct Key {
    /// With its quotes, as written.
    raw: Vec<u8>,
    value: Option<Value>,
    too_long: bool,
}

/// A character of the wanted key takes at most this many times its UTF-8 bytes: `\u0041`.
const ESCAPE_FACTOR: usize = 6;

impl Key {
    /// Continues at `pos`, the first time at the opening quote. Returns the position after the closing quote.
    pub fn read(&mut self, data: &[u8], pos: usize, wanted: &str) -> Option<usize> {
        let end = self.end(data, pos);
        let piece = &data[pos..end.unwrap_or(data.len())];
        self.too_long |= self.raw.len() + piece.len() > ESCAPE_FACTOR * wanted.len() + 2;
        if !self.too_long {
            self.raw.extend_from_slice(piece);
        }
        end
    }

    /// True if it is this key. Called once, after its end.
    pub fn is(&self, wanted: &str) -> bool {
        if self.too_long {
            return false;
        }
        if self.raw.contains(&b'\\') {
            return serde_json::from_slice::<String>(&self.raw).is_ok_and(|key| key == wanted);
        }
        self.raw.get(1..self.raw.len().saturating_sub(1)) == Some(wanted.as_bytes())
    }

    fn end(&mut self, data: &[u8], pos: usize) -> Option<usize> {
        if self.value.is_none() {
            self.value = Value::begin(b'"', pos).ok();
        }
        self.value.as_mut()?.advance(data, pos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(written: &str, wanted: &str) -> bool {
        (1..=written.len()).all(|size| {
            let mut key = Key::default();
            let ended = written.as_bytes().chunks(size).any(|chunk| key.read(chunk, 0, wanted).is_some());
            ended && key.is(wanted)
        })
    }

    #[test]
    fn plain_and_escaped_spellings() {
        assert!(is(r#""Records""#, "Records"));
        assert!(is(r#""\u0052ecords""#, "Records"));
        assert!(is(r#""a\"b""#, "a\"b"));
        assert!(is(r#""""#, ""));
        assert!(!is(r#""records""#, "Records"));
        assert!(!is(r#""Record""#, "Records"));
        assert!(!is(r#""a key that is much longer than the wanted one""#, "Rec"));
        assert!(!is(r#""\q""#, "q"));
    }
}
