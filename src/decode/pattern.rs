//! Regular expressions of the configuration, in Python's syntax.
//!
//! Nearly all are matched in linear time. Python's own features, look-around and back references, are matched by
//! backtracking, within bounds; a pattern that reaches them gives no answer, and the caller keeps the record.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use regex::Regex;

use crate::base::limits::{PATTERN_STEPS_MAX, PATTERN_TEXT_BYTES_MAX};

/// A regular expression, searched for anywhere in a text. It is compared by its own text.
#[derive(Clone)]
pub struct Pattern(Engine);

#[derive(Clone)]
enum Engine {
    Linear(Regex),
    Backtracking(Arc<Backtracking>),
}

struct Backtracking {
    regex: fancy_regex::Regex,
    /// The log has reported that the pattern gave up.
    told: AtomicBool,
}

impl Pattern {
    /// Compiles the text.
    ///
    /// # Errors
    /// Why it is not a regular expression, in one line.
    pub fn new(text: &str) -> Result<Pattern, String> {
        let error = match Regex::new(text) {
            Ok(regex) => return Ok(Pattern(Engine::Linear(regex))),
            Err(error) => error,
        };
        let backtracking = fancy_regex::RegexBuilder::new(text).backtrack_limit(PATTERN_STEPS_MAX).build();
        match backtracking {
            Ok(regex) => {
                let told = AtomicBool::new(false);
                Ok(Pattern(Engine::Backtracking(Arc::new(Backtracking { regex, told }))))
            }
            Err(other) => Err(reason(&error, &other)),
        }
    }

    pub fn as_str(&self) -> &str {
        match &self.0 {
            Engine::Linear(regex) => regex.as_str(),
            Engine::Backtracking(own) => own.regex.as_str(),
        }
    }

    /// The number of groups, including the whole match.
    pub fn captures_len(&self) -> usize {
        match &self.0 {
            Engine::Linear(regex) => regex.captures_len(),
            Engine::Backtracking(own) => own.regex.captures_len(),
        }
    }

    /// True if it is matched in linear time.
    pub fn is_linear(&self) -> bool {
        matches!(self.0, Engine::Linear(_))
    }

    /// True if it is found. None if it gave up.
    pub fn is_match(&self, text: &str) -> Option<bool> {
        match &self.0 {
            Engine::Linear(regex) => Some(regex.is_match(text)),
            Engine::Backtracking(own) => own.within_bounds(text, |regex| regex.is_match(text)),
        }
    }

    /// The match of a group; 0 is the whole match. None if there is none, or it gave up.
    pub fn group<'t>(&self, text: &'t str, group: usize) -> Option<&'t str> {
        match &self.0 {
            Engine::Linear(regex) if group == 0 => regex.find(text).map(|found| found.as_str()),
            Engine::Linear(regex) => regex.captures(text)?.get(group).map(|found| found.as_str()),
            Engine::Backtracking(own) => {
                let found = own.within_bounds(text, |regex| regex.captures(text))?;
                found?.get(group).map(|found| found.as_str())
            }
        }
    }
}

impl Backtracking {
    fn within_bounds<T>(
        &self,
        text: &str,
        search: impl FnOnce(&fancy_regex::Regex) -> Result<T, fancy_regex::Error>,
    ) -> Option<T> {
        let found = if text.len() <= PATTERN_TEXT_BYTES_MAX { search(&self.regex).ok() } else { None };
        if found.is_none() && !self.told.swap(true, Ordering::Relaxed) {
            log::warn!(
                "the pattern {:?} gave up on a text of {} bytes: it has look-around or back references, and is \
                 limited to texts of {PATTERN_TEXT_BYTES_MAX} bytes and {PATTERN_STEPS_MAX} steps. What it should \
                 drop is sent, and a field that it should find is unknown. This is logged once; write it without \
                 look-around, or without nested repetitions",
                self.regex.as_str(),
                text.len(),
            );
        }
        found
    }
}

/// The linear engine's reason, unless the other engine supports the construct.
fn reason(linear: &regex::Error, backtracking: &fancy_regex::Error) -> String {
    let cause = linear.to_string();
    let cause = cause.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
    if cause.contains("look-around") || cause.contains("backreferences") {
        return backtracking.to_string().lines().last().unwrap_or_default().to_owned();
    }
    cause
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    #[test]
    fn python_s_look_around_and_back_references() {
        for (text, yes, no) in [
            (r"^logs/(?!debug/)", "logs/app/x", "logs/debug/x"),
            (r"(?<=prod/)app", "prod/app", "test/app"),
            (r"(?<!test-)app$", "prod-app", "test-app"),
            (r"^(?=.*a)(?=.*b)", "xbxa", "xbx"),
            (r"(?P<x>[ab])-(?P=x)", "b-b", "a-b"),
            (r"^(?!.*\.(?:tmp|bak)$).*", "x.log", "x.tmp"),
        ] {
            let pattern = pattern(text);
            assert!(!pattern.is_linear(), "{text}");
            assert_eq!((pattern.is_match(yes), pattern.is_match(no)), (Some(true), Some(false)), "{text}");
        }
        assert_eq!(pattern(r"(?<=/)([a-z]+)logs(?=/)").group("x/dnslogs/y", 1), Some("dns"));
        assert_eq!(pattern(r"(?<=/)([a-z]+)logs(?=/)").group("x/dnslogs/y", 0), Some("dnslogs"));
        assert_eq!(pattern(r"(?<=/)(a)?logs").group("/logs", 1), None);
    }

    #[test]
    fn what_needs_neither_is_matched_in_linear_time() {
        for text in [r"^a.*b$", r"(?P<n>\d+)", r"(?i)x|y", r"\bword\b"] {
            assert!(pattern(text).is_linear(), "{text}");
        }
    }

    #[test]
    fn what_takes_too_long_gets_no_answer() {
        let slow = pattern(r"((?=x)x+)+y");
        assert_eq!(slow.is_match(&"x".repeat(40)), None);
        assert_eq!(slow.group(&"x".repeat(40), 0), None);
        assert_eq!(slow.is_match("xxy"), Some(true));
        let look = pattern(r"^(?!a)");
        assert_eq!(look.is_match(&"b".repeat(PATTERN_TEXT_BYTES_MAX)), Some(true));
        assert_eq!(look.is_match(&"b".repeat(PATTERN_TEXT_BYTES_MAX + 1)), None);
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        assert_eq!(Pattern::new("(").unwrap_err(), "unclosed group");
        assert!(!Pattern::new("(?<=a").unwrap_err().is_empty());
        assert!(!Pattern::new(r"\2(a)").unwrap_err().is_empty());
    }

    proptest! {
        #[test]
        fn no_pattern_and_no_text_make_it_panic(text in r"[a-c?!<=:()\[\]|*+{}0-9\\^$]{0,20}", on in "[a-c]{0,12}") {
            if let Ok(pattern) = Pattern::new(&text) {
                let _ = (pattern.is_match(&on), pattern.group(&on, 0), pattern.group(&on, 1));
            }
        }

        /// A look-ahead that always holds changes nothing.
        #[test]
        fn both_engines_agree(text in r"[a-c.]{1,4}[+*?]?\|?[a-c]{0,2}", on in "[a-c]{0,12}") {
            let (linear, backtracking) = (pattern(&format!("(?:{text})")), pattern(&format!("(?=)(?:{text})")));
            prop_assert!(linear.is_linear() && !backtracking.is_linear());
            prop_assert_eq!(linear.is_match(&on), backtracking.is_match(&on));
            prop_assert_eq!(linear.group(&on, 0), backtracking.group(&on, 0));
        }
    }
}
