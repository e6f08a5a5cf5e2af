//! Filter rules: what is *not* sent. The outer list is OR, the inner list AND (devo-facts, section 2).

use regex::Regex;

/// Alternatives of conditions that must all hold.
#[derive(Debug, Clone)]
pub struct Rules<T>(pub Vec<Vec<T>>);

impl<T> Default for Rules<T> {
    fn default() -> Self {
        Rules(Vec::new())
    }
}

impl<T> Rules<T> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does one alternative hold as a whole? An empty alternative never does: it would drop everything.
    pub fn any(&self, mut holds: impl FnMut(&T) -> bool) -> bool {
        self.0.iter().any(|all| !all.is_empty() && all.iter().all(&mut holds))
    }
}

/// A condition on an object's key (`filename_filter_rules`).
#[derive(Debug, Clone)]
pub struct FileRule {
    /// Searched for anywhere in the key.
    pub pattern: Regex,
    /// `doesnotmatch` instead of `match`.
    pub negated: bool,
}

impl FileRule {
    pub fn holds(&self, key: &str) -> bool {
        self.pattern.is_match(key) != self.negated
    }
}

/// A condition on one field's value (`line_filter_rules`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRule {
    pub source: Source,
    /// Index into the definition's `file_fields` or `record_fields`.
    pub field: usize,
    /// The value itself, not a pattern: `EndOfProcess` must not drop `EndOfProcessMacV15`.
    pub value: String,
    /// `doesnotmatch` instead of `match`.
    pub negated: bool,
}

impl LineRule {
    /// A missing field matches nothing.
    pub fn holds(&self, found: Option<&str>) -> bool {
        (found == Some(self.value.as_str())) != self.negated
    }
}

/// Where a field's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    File,
    Record,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outer_list_is_or_inner_list_is_and() {
        let rule = |pattern: &str, negated| FileRule { pattern: Regex::new(pattern).unwrap(), negated };
        let rules = Rules(vec![vec![rule("Digest", false)], vec![rule("Config", false), rule("prod", true)]]);
        let holds = |key: &str| rules.any(|r| r.holds(key));
        assert!(holds("AWSLogs/1/CloudTrail-Digest/x"));
        assert!(holds("test/Config/x"));
        assert!(!holds("prod/Config/x"));
        assert!(!holds("other"));
    }

    #[test]
    fn an_empty_alternative_drops_nothing() {
        assert!(!Rules::<FileRule>(vec![vec![]]).any(|r| r.holds("x")));
    }

    #[test]
    fn a_line_rule_compares_whole_values() {
        let rule =
            LineRule { source: Source::Record, field: 0, value: "EndOfProcess".into(), negated: false };
        assert!(rule.holds(Some("EndOfProcess")));
        assert!(!rule.holds(Some("EndOfProcessMacV15")));
        assert!(!rule.holds(None));
        assert!(LineRule { negated: true, ..rule }.holds(None));
    }
}
