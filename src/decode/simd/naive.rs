//! The reference for the other versions: one byte after another.

/// The position after the bracket that closes the first one. A backslash escapes the byte after it, which matters if
/// that is a quote.
pub fn end(data: &[u8]) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0u64, false, false);
    for (at, &byte) in data.iter().enumerate() {
        match byte {
            b'"' if !escaped => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
    }
    None
}
