//! How a text is written in JSON, for those who search for it without reading what stands before.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// How the one escape begins that can stand for any character.
static UNICODE_ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\\u"));

/// The text with its quotes, as it is usually written. None: JSON can write it in more ways than with `\u`.
pub fn quoted(text: &str) -> Option<String> {
    let escaped = |c: char| c.is_ascii_control() || matches!(c, '"' | '\\' | '/');
    (!text.contains(escaped)).then(|| format!("\"{text}\""))
}

/// Something in it may be written with `\u`, and so not as [`quoted`] says.
pub fn has_unicode_escape(json: &[u8]) -> bool {
    UNICODE_ESCAPE.find(json).is_some()
}
