//! Untrusted text, made safe for one line of a log or a terminal.

use std::borrow::Cow;
use std::time::Duration;

use crate::base::limits::LOG_LINE_BYTES_MAX;

/// Returns `text` with line ends, terminal codes and bidirectional control characters as escapes (`\n`, `\u{1b}`), cut
/// at [`LOG_LINE_BYTES_MAX`].
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.len() <= LOG_LINE_BYTES_MAX && !text.contains(is_unfit) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len().min(LOG_LINE_BYTES_MAX) + 16);
    for c in text.chars() {
        if line.len() >= LOG_LINE_BYTES_MAX {
            line.push('…');
            break;
        }
        if is_unfit(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    Cow::Owned(line)
}

/// The name of an enum's variant, without its fields: a cause for the log.
pub fn variant(value: &impl std::fmt::Debug) -> String {
    let debug = format!("{value:?}");
    let end = debug.find(|c: char| !c.is_alphanumeric()).unwrap_or(debug.len());
    debug[..end].to_owned()
}

/// Formats a duration with at most two units: `2 m 13 s`.
pub fn span(duration: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let seconds = duration.as_secs();
    let Some(first) = UNITS.iter().position(|(unit, _)| seconds >= *unit) else {
        return format!("{} ms", duration.as_millis());
    };
    let (unit, name) = UNITS[first];
    let (whole, rest) = (seconds / unit, seconds % unit);
    match UNITS.get(first + 1).map(|(next, name)| (rest / next, name)) {
        Some((second, second_name)) if second > 0 => format!("{whole} {name} {second} {second_name}"),
        _ => format!("{whole} {name}"),
    }
}

fn is_unfit(c: char) -> bool {
    // Control characters (C0, DEL, C1), line and paragraph separators, and characters that reorder text ("Trojan
    // Source").
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_the_line() {
        let key = "logs/a\nERROR forged\r\u{1b}[2J\u{9b}31m\u{202e}gz.\u{2028}é\t\u{7f}\0";
        assert_eq!(
            one_line(key),
            "logs/a\\nERROR forged\\r\\u{1b}[2J\\u{9b}31m\\u{202e}gz.\\u{2028}é\\t\\u{7f}\\u{0}"
        );
        assert!(matches!(one_line("s3://b/plain key é"), Cow::Borrowed(_)));
    }

    #[test]
    fn durations_in_words() {
        for (seconds, words) in [
            (1, "1 s"),
            (59, "59 s"),
            (60, "1 m"),
            (133, "2 m 13 s"),
            (3600, "1 h"),
            (3661, "1 h 1 m"),
            (90_000, "1 d 1 h"),
            (8 * 86_400, "8 d"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), words);
        }
        assert_eq!(span(Duration::from_millis(250)), "250 ms");
    }

    #[test]
    fn a_page_is_cut() {
        let cut = one_line(&"é".repeat(LOG_LINE_BYTES_MAX)).into_owned();
        assert!(cut.len() < LOG_LINE_BYTES_MAX + 8 && cut.ends_with('…'));
    }

    proptest::proptest! {
        #[test]
        fn no_text_leaves_a_control_character(text in ".*|(\\PC|[\\x00-\\x1f\\x7f-\\u{9f}]){0,40}") {
            proptest::prop_assert!(!one_line(&text).contains(is_unfit));
        }
    }
}
