//! The text of `~/.aws/config` and `~/.aws/credentials` -> sections. Pure.
//!
//! The crate `rust-ini` was considered: it splits a line at `:` as well as at `=`, and by default it reads `\` and quotes
//! inside a value, which may be a secret, in its own way.
//!
//! Format: "Configuration and credential file settings" of the AWS SDKs and Tools reference guide, section "Format of
//! the config and credentials files". Messages name lines, never their text: it may be a secret.

/// A `[title]` and its entries. A title may be repeated: later lines add to earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// The text between the brackets, trimmed: `default`, `profile prod`, `sso-session x`.
    pub title: String,
    /// Keys in lower case, as often and in the order as written. Values are trimmed; a value continued in indented
    /// lines contains line feeds.
    pub entries: Vec<(String, String)>,
}

/// An invalid line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    pub what: &'static str,
}

/// The sections of a file, in their order.
///
/// # Errors
/// The first line that is neither a section, nor `key = value`, nor a comment.
pub fn parse(text: &str) -> Result<Vec<Section>, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::default();
    for (index, line) in text.lines().enumerate() {
        reader.read(line).map_err(|what| Fault { line: index + 1, what })?;
    }
    Ok(reader.sections)
}

#[derive(Default)]
struct Reader {
    sections: Vec<Section>,
    /// An indented line would belong to the last entry.
    goes_on: bool,
}

impl Reader {
    fn read(&mut self, line: &str) -> Result<(), &'static str> {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            return Ok(());
        }
        if line.starts_with([' ', '\t']) && self.goes_on {
            self.go_on(trimmed);
            return Ok(());
        }
        match trimmed.strip_prefix('[') {
            Some(rest) => self.begin_section(rest),
            None => self.entry(trimmed),
        }
    }

    fn begin_section(&mut self, rest: &str) -> Result<(), &'static str> {
        let (title, after) = rest.split_once(']').ok_or("a section without its closing bracket")?;
        let after = after.trim_start();
        if !after.is_empty() && !after.starts_with(['#', ';']) {
            return Err("text after the section's closing bracket");
        }
        self.sections.push(Section { title: title.trim().to_owned(), entries: Vec::new() });
        self.goes_on = false;
        Ok(())
    }

    fn entry(&mut self, line: &str) -> Result<(), &'static str> {
        let (key, value) = line.split_once('=').ok_or("neither [section] nor key = value")?;
        let key = key.trim().to_lowercase();
        if key.is_empty() {
            return Err("a value without a key");
        }
        let section = self.sections.last_mut().ok_or("a key before the first [section]")?;
        section.entries.push((key, without_comment(value).trim().to_owned()));
        self.goes_on = true;
        Ok(())
    }

    /// A key with an empty value has nested settings (`s3 =`), none of which concerns credentials.
    fn go_on(&mut self, line: &str) {
        let last = self.sections.last_mut().and_then(|section| section.entries.last_mut());
        if let Some((_, value)) = last.filter(|(_, value)| !value.is_empty()) {
            value.push('\n');
            value.push_str(line);
        }
    }
}

/// A comment after a value begins with white space, because secrets and commands may contain `#` and `;`.
fn without_comment(value: &str) -> &str {
    let bytes = value.as_bytes();
    let begins =
        |at: &usize| matches!(bytes[*at], b'#' | b';') && *at > 0 && matches!(bytes[*at - 1], b' ' | b'\t');
    (0..bytes.len()).find(begins).map_or(value, |at| &value[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(title: &str, entries: &[(&str, &str)]) -> Section {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Section { title: title.to_owned(), entries: entries.iter().map(own).collect() }
    }

    #[test]
    fn what_the_guide_shows() {
        let text = "\u{feff}# comment\r\n[default]\r\naws_access_key_id=AKIA\r\nAWS_Secret_Access_Key = a/b=c# ; x\n\
            \n  ; indented comment\n[profile  prod ]  # note\ns3 =\n  max_queue_size = 1000\nregion = x\n  more\n\
            [default]\n  indented = first\nempty =\n";
        let expected = [
            section("default", &[("aws_access_key_id", "AKIA"), ("aws_secret_access_key", "a/b=c#")]),
            section("profile  prod", &[("s3", ""), ("region", "x\nmore")]),
            section("default", &[("indented", "first"), ("empty", "")]),
        ];
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn faults_name_the_line_and_not_its_text() {
        for (text, line, part) in [
            ("[a]\nhush", 2, "neither"),
            ("\n\n[hush", 3, "closing"),
            ("[a] hush", 1, "after the section"),
            ("hush = x", 1, "before"),
            ("[a]\n= hush", 2, "without a key"),
        ] {
            let fault = parse(text).unwrap_err();
            assert_eq!(fault.line, line, "{text}");
            assert!(fault.to_string().contains(part) && !fault.to_string().contains("hush"), "{fault}");
        }
    }

    /// A reference version by patterns over whole lines, with continuations looked up backwards.
    fn naive(text: &str) -> Result<Vec<Section>, usize> {
        let is = |pattern: &str, line: &str| regex::Regex::new(pattern).unwrap().is_match(line);
        let title = regex::Regex::new(r"^\s*\[([^\]]*)\]\s*([#;].*)?$").unwrap();
        let pair = regex::Regex::new(r"^\s*([^=]*?)\s*=(.*?)([ \t][#;].*)?$").unwrap();
        let mut out: Vec<Section> = Vec::new();
        // Kind of the last line that counted: s(ection) or e(ntry).
        let mut last = ' ';
        for (at, line) in text.lines().enumerate() {
            if is(r"^\s*([#;].*)?$", line) {
                continue;
            }
            if last == 'e' && is(r"^[ \t]", line) {
                let (_, value) = out.last_mut().unwrap().entries.last_mut().unwrap();
                if !value.is_empty() {
                    *value = format!("{value}\n{}", line.trim());
                }
            } else if let Some(found) = title.captures(line) {
                out.push(section(found[1].trim(), &[]));
                last = 's';
            } else if is(r"^\s*[^\[=\s][^=]*=", line) && !out.is_empty() {
                let found = pair.captures(line).unwrap();
                let entry = (found[1].to_lowercase(), found[2].trim().to_owned());
                out.last_mut().unwrap().entries.push(entry);
                last = 'e';
            } else {
                return Err(at + 1);
            }
        }
        Ok(out)
    }

    proptest::proptest! {
        #[test]
        fn as_the_naive_version(text in "([\\[\\]=#; \tAb1]{0,8}\n|\\[a\\]\n|k = v ?[;# ]\n| more\n){0,12}") {
            proptest::prop_assert_eq!(parse(&text).map_err(|fault| fault.line), naive(&text));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "(\\PC|\n|\r|=|\\[|\\]| ){0,80}") {
            let _ = parse(&text);
        }
    }
}
