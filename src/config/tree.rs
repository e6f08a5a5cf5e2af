//! The file's text -> a tree of values. YAML 1.2; JSON is a subset of it.

use serde_json::Value;

use super::kind::Kind;
use super::problem::Report;

/// Parses the text. Mappings keep their order; a repeated key is an error.
pub fn read(text: &str, report: &Report) -> Option<Value> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match serde_saphyr::from_str_with_options(text, options()) {
        Ok(value) => Some(value),
        Err(error) => {
            report.error(Kind::Syntax, "", message(&error), "the file must be YAML or JSON");
            None
        }
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        // A snippet of the file could show a secret.
        with_snippet: false,
        // Only true and false, since a filter's value may be the text "no".
        strict_booleans: true,
        // Account numbers: 012345678901 is text.
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    }
}

fn message(error: &serde_saphyr::Error) -> String {
    let error = error.without_snippet();
    let text = match error {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key {key} is repeated")
        }
        serde_saphyr::Error::MultipleDocuments { .. } => "a second YAML document begins".to_owned(),
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    };
    match error.location() {
        Some(at) if !text.contains("line ") => format!("line {}, column {}: {text}", at.line(), at.column()),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        let report = Report::default();
        assert_eq!(read(text, &report), None);
        report.into_problems().remove(0).message
    }

    #[test]
    fn reads_yaml_and_json_alike() {
        let json = "{\n\t\"a\": {\"z\": \"012345678901\", \"b\": [1, true, null]}\n}\n";
        let yaml = "a:\n  z: 012345678901\n  b: [1, true, ~]\n";
        let report = Report::default();
        let (json, yaml) = (read(json, &report), read(yaml, &report));
        assert_eq!(report.into_problems(), []);
        assert_eq!(json, yaml);
        assert_eq!(json.unwrap()["a"].as_object().unwrap().keys().collect::<Vec<_>>(), ["z", "b"]);
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert!(read("\u{feff}{\"a\": 1}", &Report::default()).is_some());
    }

    #[test]
    fn says_where_the_syntax_breaks() {
        insta::assert_snapshot!(
            problem("a:\n  - b\n c: d\n"),
            @"while parsing a block mapping, did not find expected key at line 3, column 2"
        );
        insta::assert_snapshot!(
            problem("{\"a\": 1,\n \"b\": [1, 2\n}"),
            @"mismatched bracket '[' closed by '}' at line 2, column 7"
        );
        insta::assert_snapshot!(problem("a: 1\nb: 2\na: 3\n"), @"line 3, column 1: the key a is repeated");
        insta::assert_snapshot!(
            problem("{\"a\": {\"b\": 1, \"b\": 2}}"),
            @"line 1, column 16: the key b is repeated"
        );
    }

    #[test]
    fn words_of_older_yaml_are_text() {
        let tree = read("on: no\noff: [yes, true]\n", &Report::default()).unwrap();
        assert_eq!(tree, serde_json::json!({"on": "no", "off": ["yes", true]}));
    }

    #[test]
    fn depth_is_bounded() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("- ", "")] {
            let text = open.repeat(200_000) + "1" + &close.repeat(200_000);
            assert!(!problem(&text).is_empty());
        }
    }
}
