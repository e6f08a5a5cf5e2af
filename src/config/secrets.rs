//! The keys of the file that hold secrets.

use serde_json::Value;

use super::substitute;

/// Keys whose values are never shown.
const KEYS: &[&str] = &["aws_secret_access_key", "aws_session_token", "access_secret", "session_token"];

/// True if the file itself contains a secret, not only the name of a variable with it.
pub(super) fn are_written_in(tree: &Value) -> bool {
    match tree {
        Value::Object(entries) => {
            entries.iter().any(|(key, value)| is_written_secret(key, value) || are_written_in(value))
        }
        Value::Array(items) => items.iter().any(are_written_in),
        _ => false,
    }
}

fn is_written_secret(key: &str, value: &Value) -> bool {
    let is_written = match value {
        Value::String(text) => !text.trim().is_empty() && !substitute::is_variable(text.trim()),
        other => other.is_number(),
    };
    is_written && KEYS.contains(&key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_variable_s_name_is_no_secret_and_a_default_is() {
        let written = |value: Value| are_written_in(&json!({"a": [{"aws_secret_access_key": value}]}));
        assert!(written(json!("hush")) && written(json!(12345)) && written(json!("${A:-hush}")));
        assert!(written(json!("$${A}")) && written(json!("x${A}")));
        assert!(!written(json!(" ${A} ")) && !written(json!("${A:-}")) && !written(json!("")));
        assert!(!written(Value::Null) && !are_written_in(&json!({"aws_access_key_id": "AKIA"})));
    }
}
