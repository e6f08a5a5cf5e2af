//! Placeholders of a sample that its reader must replace: `<YOUR_KEY>`, `{external_id}`.

use serde_json::Value;

use super::kind::Kind;
use super::problem::Report;

/// Texts of a service can look like anything: patterns, separators.
const SERVICES: &str = "services";

/// Reports placeholders that have not been replaced.
pub(super) fn report(tree: &Value, report: &Report) {
    walk(tree, "", report);
}

fn walk(value: &Value, path: &str, report: &Report) {
    match value {
        Value::String(text) if is_placeholder(text) => {
            report.error(
                Kind::Invalid,
                path,
                "is a placeholder that has not been replaced",
                "write the actual value",
            );
        }
        Value::Object(entries) => {
            for (key, value) in entries.iter().filter(|(key, _)| *key != SERVICES) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(value, &path, report);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                walk(value, &format!("{path}[{index}]"), report);
            }
        }
        _ => (),
    }
}

/// True for text in angle brackets or braces, which documents use for placeholders. Outside of services nothing is filled
/// in, so that braces have no meaning there.
fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    let within = |open: &str, close: &str| text.strip_prefix(open)?.strip_suffix(close);
    let inside = within("<", ">").or_else(|| within("{{", "}}")).or_else(|| within("{", "}"));
    let is_of_words = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ' | '.' | '/'))
    };
    inside.map(str::trim).is_some_and(is_of_words)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_documents_leave_open_is_found_outside_of_services() {
        let tree = json!({"inputs": {"a": {"credentials": {"k": "<YOUR_KEY>"}, "services": {"s": {"on": "<tag>", "tag": "{tag}"}}}},
                          "list": ["<your domain>", "<>", "a<b>", "<", "< 5>", "{external_id}", "{{ account }}", "{}", "a{b}", "{5}"]});
        let found = Report::default();
        report(&tree, &found);
        let paths: Vec<String> = found.into_problems().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["inputs.a.credentials.k", "list[0]", "list[5]", "list[6]"]);
    }
}
