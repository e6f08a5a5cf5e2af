//! The selection of an object's lines (`chunks` of `line_split_processor`).

use memchr::memmem::Finder;
use regex::bytes::RegexSet;

use super::Pattern;

/// A line is kept if any of the three selects it.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Positions in the object, sorted; 0 is the first line. Blank lines and header lines count.
    indices: Vec<u64>,
    /// Texts that occur anywhere in the line.
    substrings: Vec<Finder<'static>>,
    /// Searched for anywhere in the line.
    patterns: RegexSet,
    /// Patterns with look-around. A line that they cannot judge is kept.
    backtracking: Vec<Pattern>,
}

impl Selection {
    /// # Errors
    /// If the patterns are too large together.
    pub fn new(
        mut indices: Vec<u64>,
        substrings: &[String],
        patterns: Vec<Pattern>,
    ) -> Result<Self, regex::Error> {
        indices.sort_unstable();
        let finder = |text: &String| Finder::new(text).into_owned();
        let (linear, backtracking): (Vec<_>, Vec<_>) = patterns.into_iter().partition(Pattern::is_linear);
        let patterns = RegexSet::new(linear.iter().map(Pattern::as_str))?;
        Ok(Selection { indices, substrings: substrings.iter().map(finder).collect(), patterns, backtracking })
    }

    /// True if the line at this position is selected.
    pub fn wants(&self, position: u64, line: &[u8]) -> bool {
        self.indices.binary_search(&position).is_ok()
            || self.substrings.iter().any(|text| text.find(line).is_some())
            || self.patterns.is_match(line)
            || self.wants_by_backtracking(line)
    }

    fn wants_by_backtracking(&self, line: &[u8]) -> bool {
        if self.backtracking.is_empty() {
            return false;
        }
        let line = String::from_utf8_lossy(line);
        self.backtracking.iter().any(|pattern| pattern.is_match(&line).unwrap_or(true))
    }

    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.substrings.iter().map(Finder::needle)
    }
}

impl PartialEq for Selection {
    fn eq(&self, other: &Self) -> bool {
        self.indices == other.indices
            && self.texts().eq(other.texts())
            && self.patterns.patterns() == other.patterns.patterns()
            && self.backtracking == other.backtracking
    }
}

impl Eq for Selection {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_three_selects() {
        let patterns = ["^ERROR", "x+y", "(?<!not )FATAL"].map(|text| Pattern::new(text).unwrap());
        let selection = Selection::new(vec![7, 0], &["needle".to_owned()], patterns.into()).unwrap();
        assert!(selection.wants(0, b"a") && selection.wants(7, b"a") && !selection.wants(1, b"a"));
        assert!(selection.wants(1, b"a needle\xff") && selection.wants(1, b"ERROR \xff"));
        assert!(!selection.wants(1, b"an ERROR") && selection.wants(1, b"-xxy-"));
        assert!(selection.wants(1, b"\xff FATAL") && !selection.wants(1, b"not FATAL"));
        let long = "not FATAL ".repeat(crate::base::limits::PATTERN_TEXT_BYTES_MAX / 10 + 1);
        assert!(selection.wants(1, long.as_bytes()), "a line that cannot be judged is kept");
    }
}
