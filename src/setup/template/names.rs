//! Logical ids: letters and digits, each used once.

/// Derives them from inputs' keys.
#[derive(Debug, Default)]
pub struct Names(Vec<String>);

impl Names {
    /// Converts `sqs_collector_fdr` to `SqsCollectorFdr`; adds a number if that is taken.
    pub fn stem(&mut self, text: &str) -> String {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let name: String = words.map(capitalized).collect();
        let numbered = (2..).map(|n| format!("{name}{n}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !self.0.contains(name));
        let free = free.unwrap_or(name);
        self.0.push(free.clone());
        free
    }
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_ascii_uppercase() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_and_digits_and_used_once() {
        let mut names = Names::default();
        let made = ["sqs_collector", "sqs-collector", "sqs_collector_ü9", "x"].map(|text| names.stem(text));
        assert_eq!(made, ["SqsCollector", "SqsCollector2", "SqsCollector9", "X"]);
    }
}
