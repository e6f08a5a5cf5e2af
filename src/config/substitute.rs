//! Replaces `${NAME}` and `${NAME:-default}` in the file's texts by environment variables.
//!
//! The default also replaces an empty variable, as in a shell. `$${` is the text `${`. A variable's value is not
//! expanded again. Messages show names, never values.

use serde_json::Value;

use super::environment::Variables;
use super::kind::Kind;
use super::problem::Report;

/// Replaces the variables in every text below `tree`, except keys.
pub(super) fn replace(tree: &mut Value, variable: &Variables, report: &Report) {
    walk(tree, "", &|text, path| match expand(text, variable) {
        Ok(expanded) => Some(expanded),
        Err(Fault::Unset(name)) => {
            let message = format!("the environment variable {name} is not set");
            let advice = format!("set it where the collector starts, or write ${{{name}:-default}}");
            report.error(Kind::Missing, path, message, advice);
            None
        }
        Err(Fault::Unclear) => {
            let advice = "write ${NAME} or ${NAME:-default} for a variable, $${ for the text ${";
            report.error(Kind::Invalid, path, "has a ${ without a variable's name", advice);
            None
        }
    });
}

/// True if the whole text is one variable without a default.
pub(super) fn is_variable(text: &str) -> bool {
    let reference = text.strip_prefix("${").and_then(reference);
    reference.is_some_and(|(name, rest)| rest.is_empty() && name.1.unwrap_or_default().is_empty())
}

fn walk(value: &mut Value, path: &str, expand: &impl Fn(&str, &str) -> Option<String>) {
    match value {
        Value::String(text) if text.contains("${") => {
            // Without its value the key counts as absent; the problem has been reported.
            *value = expand(text, path).map_or(Value::Null, Value::String);
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(item, &format!("{path}[{index}]"), expand);
            }
        }
        Value::Object(entries) => {
            for (key, entry) in entries.iter_mut() {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(entry, &path, expand);
            }
        }
        _ => (),
    }
}

#[derive(Debug, PartialEq)]
enum Fault {
    Unset(String),
    Unclear,
}

fn expand(text: &str, variable: &Variables) -> Result<String, Fault> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let after = &rest[at + 2..];
        if let Some(before) = rest[..at].strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        expanded.push_str(&rest[..at]);
        let ((name, default), behind) = reference(after).ok_or(Fault::Unclear)?;
        let value = variable(name).filter(|value| default.is_none() || !value.is_empty());
        let value = value.or_else(|| default.map(str::to_owned));
        expanded.push_str(&value.ok_or_else(|| Fault::Unset(name.to_owned()))?);
        rest = behind;
    }
    Ok(expanded + rest)
}

/// Splits the text after `${` into name and default, and the text after the brace.
fn reference(text: &str) -> Option<((&str, Option<&str>), &str)> {
    let (inside, behind) = text.split_once('}')?;
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then_some(((name, default), behind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variables() -> Variables {
        Box::new(|name| match name {
            "A" => Some("1${B}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn as_the_shell_does_it() {
        let expand = |text| expand(text, &variables()).unwrap();
        assert_eq!(expand("x${A}y${A}"), "x1${B}y1${B}");
        assert_eq!(expand("${NO:-a:-b}${EMPTY:-c}[${EMPTY}]${NO:-}"), "a:-bc[]");
        assert_eq!(expand("$${A} $$${A} $x {A} ^a$"), "${A} $${A} $x {A} ^a$");
    }

    #[test]
    fn faults() {
        let expand = |text| expand(text, &variables()).unwrap_err();
        assert_eq!(expand("${NO}"), Fault::Unset("NO".to_owned()));
        for text in ["${", "${}", "${1A}", "${A-b}", "${A", "${ A }"] {
            assert_eq!(expand(text), Fault::Unclear, "{text}");
        }
    }

    #[test]
    fn every_text_of_the_tree_with_its_path_in_problems() {
        let mut tree = json!({"${A}": ["${A}", {"k": "${NO}"}], "n": 1, "u": "${"});
        let report = Report::default();
        replace(&mut tree, &variables(), &report);
        assert_eq!(tree, json!({"${A}": ["1${B}", {"k": null}], "n": 1, "u": null}));
        let problems = report.into_problems();
        let shown = problems.iter().map(|p| format!("{}: {}", p.path, p.message)).collect::<Vec<_>>();
        assert_eq!(
            shown,
            ["${A}[1].k: the environment variable NO is not set", "u: has a ${ without a variable's name"]
        );
    }

    proptest::proptest! {
        #[test]
        fn text_without_a_variable_stays_and_none_panics(text in "[$(){}A:a-]{0,20}") {
            let expanded = expand(&text, &variables());
            if !text.contains("${") {
                proptest::prop_assert_eq!(expanded.unwrap(), text);
            }
        }
    }
}
