//! The spelling of a text in JSON, for searches that skip the text before it.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// The start of the one escape that can stand for any character.
static UNICODE_ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\\u"));

/// The text with its quotes, as it is usually written. None if JSON can write it in more ways than with `\u`.
pub fn quoted(text: &str) -> Option<String> {
    let escaped = |c: char| c.is_ascii_control() || matches!(c, '"' | '\\' | '/');
    (!text.contains(escaped)).then(|| format!("\"{text}\""))
}

/// True if it may contain a text written with `\u`, and so not as [`quoted`] says.
pub fn has_unicode_escape(json: &[u8]) -> bool {
    UNICODE_ESCAPE.find(json).is_some()
}
