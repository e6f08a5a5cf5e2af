//! Filter rules: what is *not* sent. The outer list is OR, the inner list AND (`docs/devo-wire.md#filter-rules`).

use memchr::memmem::Finder;

use crate::decode::{Pattern, has_unicode_escape, quoted};

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

    /// Does one alternative hold as a whole?
    pub fn any(&self, holds: impl FnMut(&T) -> bool) -> bool {
        self.first(holds).is_some()
    }

    /// The first alternative that holds as a whole. An empty one never does: it would drop everything.
    pub fn first(&self, mut holds: impl FnMut(&T) -> bool) -> Option<usize> {
        self.0.iter().position(|all| !all.is_empty() && all.iter().all(&mut holds))
    }
}

/// A condition on an object's key (`filename_filter_rules`).
#[derive(Debug, Clone)]
pub struct FileRule {
    /// Searched for anywhere in the key.
    pub pattern: Pattern,
    /// `doesnotmatch` instead of `match`.
    pub negated: bool,
}

impl FileRule {
    /// A pattern without an answer matches in neither way: the object is read.
    pub fn holds(&self, key: &str) -> bool {
        self.pattern.is_match(key).is_some_and(|found| found != self.negated)
    }
}

/// A condition on one field's value (`line_filter_rules`).
#[derive(Debug, Clone)]
pub struct LineRule {
    pub source: FieldSource,
    /// Index into the definition's `file_fields` or `record_fields`.
    pub field: usize,
    /// The value itself, not a pattern: `EndOfProcess` must not drop `EndOfProcessMacV15`.
    pub value: String,
    /// `doesnotmatch` instead of `match`.
    pub negated: bool,
    /// The bytes that a JSON text with the value must contain, unless it is written with `\u` escapes.
    needle: Option<Finder<'static>>,
}

impl LineRule {
    pub fn new(source: FieldSource, field: usize, value: String, negated: bool) -> LineRule {
        let needle = (source == FieldSource::Record).then(|| needle(&value)).flatten();
        let needle = needle.map(|needle| Finder::new(&needle).into_owned());
        LineRule { source, field, value, negated, needle }
    }

    /// A missing field matches nothing.
    pub fn holds(&self, found: Option<&str>) -> bool {
        (found == Some(self.value.as_str())) != self.negated
    }

    /// True if the value is surely not in this JSON text, for a value that is compared as written. Much cheaper than
    /// finding the field.
    pub fn is_absent(&self, json: &[u8]) -> bool {
        self.needle.as_ref().is_some_and(|needle| needle.find(json).is_none() && !has_unicode_escape(json))
    }
}

/// The spelling of a value in JSON. None if it can be written in more ways than with `\u`.
fn needle(value: &str) -> Option<String> {
    let quoted = quoted(value).filter(|_| !value.is_empty())?;
    // Numbers, literals and containers have no quotes around them.
    let may_be_bare = value.starts_with(|c: char| c.is_ascii_digit() || "-tf[{".contains(c));
    Some(if may_be_bare { value.to_owned() } else { quoted })
}

/// The source of a field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldSource {
    File,
    Record,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outer_list_is_or_inner_list_is_and() {
        let rule = |pattern: &str, negated| FileRule { pattern: Pattern::new(pattern).unwrap(), negated };
        let rules = Rules(vec![vec![rule("Digest", false)], vec![rule("Config", false), rule("prod", true)]]);
        let holds = |key: &str| rules.any(|r| r.holds(key));
        assert!(holds("AWSLogs/1/CloudTrail-Digest/x"));
        assert!(holds("test/Config/x"));
        assert!(!holds("prod/Config/x"));
        assert!(!holds("other"));
    }

    #[test]
    fn a_pattern_without_an_answer_leaves_no_object_out() {
        for negated in [false, true] {
            let rule = FileRule { pattern: Pattern::new(r"((?=x)x+)+y").unwrap(), negated };
            assert!(!rule.holds(&"x".repeat(40)), "{negated}");
            assert_eq!(rule.holds("xxy"), !negated);
        }
    }

    #[test]
    fn an_empty_alternative_drops_nothing() {
        assert!(!Rules::<FileRule>(vec![vec![]]).any(|r| r.holds("x")));
    }

    #[test]
    fn a_line_rule_compares_whole_values() {
        let rule = |negated| LineRule::new(FieldSource::Record, 0, "EndOfProcess".into(), negated);
        let (negated, rule) = (rule(true), rule(false));
        assert!(rule.holds(Some("EndOfProcess")));
        assert!(!rule.holds(Some("EndOfProcessMacV15")));
        assert!(!rule.holds(None));
        assert!(negated.holds(None));
    }

    #[test]
    fn a_value_is_absent_only_if_no_spelling_of_it_can_be_there() {
        let absent = |value: &str, json: &str| {
            let rule = LineRule::new(FieldSource::Record, 0, value.into(), false);
            rule.is_absent(json.as_bytes())
        };
        assert!(absent("Put", r#"{"a":"PutObject"}"#) && absent("7", "{}"));
        assert!(!absent("Put", r#"{"a":"\u0050ut"}"#) && !absent("Put", r#"{"a":"Put"}"#));
        assert!(!absent("7", r#"{"a":7}"#) && !absent("true", r#"{"a":true}"#));
        assert!(!absent("a/b", r#"{"a":"a\/b"}"#) && !absent("", "{}"));
    }
}
