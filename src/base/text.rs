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

/// True if the text has no line ends, terminal codes and bidirectional control characters.
pub fn is_plain(text: &str) -> bool {
    !text.contains(is_unfit)
}

/// Quotes a word for bash and its kin, unless it needs no quotes. Characters that would not survive copying, or would
/// show another text than they are, become escapes.
pub fn shell_word(text: &str) -> Cow<'_, str> {
    let needs_none = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(needs_none) {
        return Cow::Borrowed(text);
    }
    if !text.contains(is_unfit) {
        return Cow::Owned(format!("'{}'", text.replace('\'', "'\\''")));
    }
    let mut word = "$'".to_owned();
    for c in text.chars() {
        match c {
            '\'' | '\\' => word.extend(['\\', c]),
            c if is_unfit(c) => {
                let mut bytes = [0; 4];
                // Octal, because bash reads as many hexadecimal digits as there are.
                word.extend(c.encode_utf8(&mut bytes).bytes().map(|byte| format!("\\{byte:03o}")));
            }
            c => word.push(c),
        }
    }
    word.push('\'');
    Cow::Owned(word)
}

/// An object's address for a line that people copy: a word for a shell, which names the same key when it is pasted. Others
/// choose the keys, so nothing of one can break out of the line.
pub fn address(bucket: &str, key: &str) -> String {
    shell_word(&format!("s3://{bucket}/{key}")).into_owned()
}

/// An object's address for a log: the key's own, with escapes only for what would break the line.
pub fn logged_address(bucket: &str, key: &str) -> String {
    format!("s3://{}/{}", one_line(bucket), one_line(key))
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

/// A text in 128 bits, the same in every version of the program: FNV-1a. It must not be used for texts that
/// somebody could choose to provoke a collision: AWS chooses the ids of events, and the other names are our own.
pub fn fingerprint(id: &str) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    id.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_the_algorithms_authors() {
        assert_eq!(fingerprint(""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fingerprint("a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(fingerprint("foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }

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
    fn words_for_a_shell() {
        for (text, word) in [
            ("s3://b/a-b_c.gz", "s3://b/a-b_c.gz"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("$(x)", "'$(x)'"),
            ("~", "'~'"),
            ("a\n'\\\u{202e}1", "$'a\\012\\'\\\\\\342\\200\\2561'"),
        ] {
            assert_eq!(shell_word(text), word, "{text:?}");
        }
    }

    #[test]
    fn addresses_are_what_a_shell_reads() {
        assert_eq!(address("b", "a/b.gz"), "s3://b/a/b.gz");
        assert_eq!(address("b", "quo\"te"), "'s3://b/quo\"te'");
        assert_eq!(address("b", "ap's\\n"), "'s3://b/ap'\\''s\\n'");
        assert_eq!(address("b", "a\nb"), "$'s3://b/a\\012b'");
    }

    proptest::proptest! {
        // Each starts a shell.
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(60))]

        #[test]
        fn a_shell_reads_what_was_quoted(text in "[^\0]{0,12}") {
            let script = format!("printf %s {}", shell_word(&text));
            let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
            proptest::prop_assert_eq!(output.stdout, text.as_bytes());
        }
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
