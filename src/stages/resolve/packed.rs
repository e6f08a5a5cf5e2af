//! A message as base64 text, of JSON or of gzip.

use std::io::Read;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::MultiGzDecoder;

use super::{Result, Unreadable};

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Unpacks the text. None if it is not packed. `left` is the number of bytes that gzip may still inflate to.
///
/// # Errors
/// If its content is corrupt, not text, or too long.
pub fn unpack(text: &str, left: &mut usize) -> Result<Option<String>> {
    let Some(bytes) = decoded(text) else { return Ok(None) };
    let bytes = if bytes.starts_with(&GZIP) { inflated(&bytes, left)? } else { bytes };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Unreadable::Packed("is not text")),
    }
}

/// The bytes of base64 that contains JSON or gzip; None for any other text.
fn decoded(text: &str) -> Option<Vec<u8>> {
    // The base64 of gzip's magic, `{"`, `{` with a line end or blank, and `[`.
    const BEGINNINGS: [&str; 6] = ["H4sI", "eyJ", "ewo", "ew0K", "eyA", "W3"];
    let may_be = BEGINNINGS.iter().any(|beginning| text.starts_with(beginning));
    let bytes = may_be.then(|| BASE64_STANDARD.decode(text).ok()).flatten()?;
    (bytes.starts_with(&GZIP) || matches!(bytes.first(), Some(b'{' | b'['))).then_some(bytes)
}

fn inflated(bytes: &[u8], left: &mut usize) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = MultiGzDecoder::new(bytes).take(*left as u64 + 1).read_to_end(&mut text);
    read.map_err(|_| Unreadable::Packed("is damaged"))?;
    *left = left
        .checked_sub(text.len())
        .ok_or(Unreadable::Packed("inflates to more than any notification has"))?;
    Ok(text)
}
