//! The keys of the file that hold secrets.

use serde_json::Value;

use super::kind::Kind;
use super::problem::Report;
use super::substitute;
use crate::base::limits::SECRET_MISPLACED_CHARS;

/// Keys whose values are never shown.
const KEYS: &[&str] = &["aws_secret_access_key", "aws_session_token", "access_secret", "session_token"];

/// Keys whose values are shown. Test set-ups use one value for them and for the secret.
const KEYS_OF_IDS: &[&str] = &["aws_access_key_id", "access_key"];

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

/// Hides the values of secret keys, and passwords of addresses (`user:password@host`), in all problems of the report, and reports the other keys whose value is one of them:
/// other messages, the status page and events show such values.
pub(super) fn protect(tree: &Value, report: &Report) {
    let mut secrets = Vec::new();
    walk(tree, "", &mut |key, _, text| {
        if KEYS.contains(&key) {
            report.hide(text);
            secrets.push(text.trim().to_owned());
        }
        if let Some(password) = password(text) {
            report.hide(password);
        }
    });
    walk(tree, "", &mut |key, path, text| {
        let is_secret =
            text.chars().count() >= SECRET_MISPLACED_CHARS && secrets.contains(&text.trim().to_owned());
        if is_secret && !KEYS.contains(&key) && !KEYS_OF_IDS.contains(&key) {
            let advice = "write the value that was meant, and replace the secret if it has been shown";
            report.error(Kind::Invalid, path, "is also the value of a secret key", advice);
        }
    });
}

/// The password in an address with a login, with what follows it: a message may show only its start.
fn password(address: &str) -> Option<&str> {
    let place = address.trim().split_once("://").map_or(address.trim(), |(_, place)| place);
    let (user, password) = place.split_once(':')?;
    let (_, host) = password.rsplit_once('@')?;
    let is_login = !user.contains(|c: char| c.is_whitespace() || "/?#@".contains(c));
    (is_login && !host.is_empty() && !host.contains(char::is_whitespace)).then_some(password)
}

/// Each text below the tree, with its key and path.
fn walk(value: &Value, path: &str, see: &mut impl FnMut(&str, &str, &str)) {
    let key = path.rsplit('.').next().unwrap_or_default();
    match value {
        Value::String(text) => see(key, path, text),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| walk(item, &format!("{path}[{index}]"), see));
        }
        Value::Object(entries) => entries.iter().for_each(|(key, entry)| {
            walk(entry, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, see);
        }),
        _ => (),
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
    fn a_secret_is_hidden_wherever_it_occurs() {
        let secret = "wJalr\"XUtnFEMI_SECRET_KEY_0000000000000000000";
        let config = json!({
            "outputs": {"o": {"type": "syslog", "config": {"address": secret, "port": secret}}},
            "inputs": {"sqs_collector": {
                "id": secret, "region": secret, "base_url": secret, "ack_messages": secret, "missing_object": secret,
                "credentials": {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": secret},
                "services": {"aws_sqs_vpc": {}, secret: {}}, secret: 1,
            }},
        });
        let environment = crate::config::Environment::here();
        let problems =
            crate::config::parse(&config.to_string(), std::path::Path::new(""), &environment).unwrap_err();
        let shown = format!("{problems} {problems:?}");
        assert!(!shown.contains("wJalr") && !shown.contains("XUtnFEMI"), "{shown}");
        let of = |path: &str| problems.0.iter().any(|p| p.path == path && p.message.contains("secret key"));
        for key in ["id", "region", "missing_object"] {
            assert!(of(&format!("inputs.sqs_collector.{key}")), "{key}: {shown}");
        }
    }

    #[test]
    fn the_password_of_an_address_is_hidden_wherever_it_is_written() {
        for login in ["relayuser:hunter2!secret", "u:hunter2/secret", ":hunter2@secret", "a.b:hunter2 secret"]
        {
            for address in [format!("{login}@relay.local"), format!("http://{login}@relay.local:13000/x")] {
                let a = address.as_str();
                let config = json!({
                    "globals": {"id": a, "workers": a, "memory_limit": a, "debug": a, "status": {"address": a, "hosts": [a]},
                        "devo_api": {"url": a, "region": a, "token_file": a}, "audit": {"buckets": [a], "every": a}},
                    "outputs": {
                        "o": {"type": "syslog", "config": {"address": a, "port": a, "type": a, "chain": a}},
                        "d": {"type": "devo_platform", "config": {"address": a, "port": a, "chain": a, "cert": a, "key": a}},
                        "c": {"type": a, "config": {"destination": a, "confirmation": a, "compression": a}},
                    },
                    "inputs": {"sqs_collector": {
                        "id": 1, "region": a, "base_url": a, "sqs_endpoint_url": a, "s3_endpoint_url": a,
                        "ack_messages": a, "missing_object": a, "start_time": a, "services": {"aws_sqs_vpc": {}, "x": a},
                    }},
                });
                let environment = crate::config::Environment::here();
                let read = crate::config::parse(&config.to_string(), std::path::Path::new(""), &environment);
                let shown = read.unwrap_err().to_string();
                assert!(!shown.contains("hunter2"), "{address}: {shown}");
                let of =
                    |path: &str| shown.lines().any(|line| line.contains(path) && line.contains("password"));
                for path in ["outputs.o.config.address", "outputs.d.config.address"] {
                    assert!(of(path), "{path}: {shown}");
                }
            }
        }
        for plain in ["s3.local", "arn:aws:s3:::b", "a b: c@d", "me@example.com", "x:y@ z"] {
            assert_eq!(password(plain), None, "{plain}");
        }
    }

    #[test]
    fn a_variable_s_name_is_no_secret_and_a_default_is() {
        let written = |value: Value| are_written_in(&json!({"a": [{"aws_secret_access_key": value}]}));
        assert!(written(json!("hush")) && written(json!(12345)) && written(json!("${A:-hush}")));
        assert!(written(json!("$${A}")) && written(json!("x${A}")));
        assert!(!written(json!(" ${A} ")) && !written(json!("${A:-}")) && !written(json!("")));
        assert!(!written(Value::Null) && !are_written_in(&json!({"aws_access_key_id": "AKIA"})));
    }
}
