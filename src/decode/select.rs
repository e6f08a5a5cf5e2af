//! Which lines of an object are wanted (`chunks` of `line_split_processor`).

use memchr::memmem::Finder;
use regex::bytes::RegexSet;

/// A line is kept when any of the three wants it.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Positions in the object, sorted; 0 is the first line. Blank lines and header lines count.
    indices: Vec<u64>,
    /// Texts that stand anywhere in the line.
    substrings: Vec<Finder<'static>>,
    /// Searched for anywhere in the line.
    patterns: RegexSet,
}

impl Selection {
    pub fn new(mut indices: Vec<u64>, substrings: &[String], patterns: RegexSet) -> Self {
        indices.sort_unstable();
        let finder = |text: &String| Finder::new(text).into_owned();
        Selection { indices, substrings: substrings.iter().map(finder).collect(), patterns }
    }

    /// Is the line at this position wanted?
    pub fn wants(&self, position: u64, line: &[u8]) -> bool {
        self.indices.binary_search(&position).is_ok()
            || self.substrings.iter().any(|text| text.find(line).is_some())
            || self.patterns.is_match(line)
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
    }
}

impl Eq for Selection {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_three_selects() {
        let patterns = RegexSet::new(["^ERROR", "x+y"]).unwrap();
        let selection = Selection::new(vec![7, 0], &["needle".to_owned()], patterns);
        assert!(selection.wants(0, b"a") && selection.wants(7, b"a") && !selection.wants(1, b"a"));
        assert!(selection.wants(1, b"a needle\xff") && selection.wants(1, b"ERROR \xff"));
        assert!(!selection.wants(1, b"an ERROR") && selection.wants(1, b"-xxy-"));
    }
}
