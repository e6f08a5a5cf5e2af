//! Credentials as JSON, from a process, a container's agent or the instance's metadata. Pure. Messages contain nothing
//! of a document except error codes and the names of missing members.
//!
//! Formats: "Sourcing credentials with an external process" (AWS CLI user guide), "IAM roles for tasks" (ECS developer
//! guide), "Retrieve security credentials from instance metadata" (EC2 user guide).

use std::time::SystemTime;

use serde::Deserialize;

use crate::aws::credentials::{Credentials, expiry};

/// Parses the standard output of a `credential_process`.
pub fn of_process(bytes: &[u8]) -> Result<Credentials, String> {
    let document = read(bytes)?;
    match document.version.as_ref().and_then(serde_json::Value::as_u64) {
        Some(1) => document.credentials(),
        Some(other) => Err(format!("its \"Version\" is {other}; only 1 is known")),
        None => Err("its \"Version\" is missing; it must be the number 1".to_owned()),
    }
}

/// Parses the answer of a container's endpoint.
pub fn of_container(bytes: &[u8]) -> Result<Credentials, String> {
    let document = read(bytes)?;
    if document.expiration.is_none() {
        return Err("its \"Expiration\" is missing".to_owned());
    }
    document.credentials()
}

/// Parses the instance metadata of a role.
pub fn of_instance(bytes: &[u8]) -> Result<Credentials, String> {
    let document = read(bytes)?;
    match document.code.as_deref() {
        Some("Success") | None => of_container(bytes),
        Some(code) => Err(format!("its code is {code:?}")),
    }
}

/// The error code in a refusal of a container's agent, if there is one.
pub fn refusal(bytes: &[u8]) -> Option<String> {
    let document = read(bytes).ok()?;
    let code = document.code?;
    let message = document.message.unwrap_or_default();
    Some(if message.is_empty() { code } else { format!("{code}: {message}") })
}

fn read(bytes: &[u8]) -> Result<Document, String> {
    // The parser's own message could quote the secret.
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Eof if bytes.trim_ascii().is_empty() => "it is empty".to_owned(),
        _ => "it is not JSON of the expected shape".to_owned(),
    })
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "Version")]
    version: Option<serde_json::Value>,
    #[serde(rename = "Code", alias = "code")]
    code: Option<String>,
    #[serde(rename = "Message", alias = "message")]
    message: Option<String>,
    #[serde(rename = "AccessKeyId")]
    access_key_id: Option<String>,
    #[serde(rename = "SecretAccessKey")]
    secret_access_key: Option<String>,
    #[serde(rename = "SessionToken", alias = "Token")]
    session_token: Option<String>,
    #[serde(rename = "Expiration")]
    expiration: Option<String>,
}

impl Document {
    fn credentials(self) -> Result<Credentials, String> {
        let needed = |value: Option<String>, name: &str| {
            value.filter(|value| !value.is_empty()).ok_or_else(|| format!("its {name:?} is missing"))
        };
        Ok(Credentials {
            access_key_id: needed(self.access_key_id, "AccessKeyId")?,
            secret_access_key: needed(self.secret_access_key, "SecretAccessKey")?,
            session_token: self.session_token.filter(|token| !token.is_empty()),
            expires_at: self.expiration.as_deref().map(time).transpose()?,
        })
    }
}

/// Parses ISO 8601 with a zone: `2024-02-03T04:05:06Z`, `2024-02-03T04:05:06+00:00`.
fn time(text: &str) -> Result<SystemTime, String> {
    expiry(text).ok_or_else(|| "its \"Expiration\" is not a time".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const KEY: &str = r#""AccessKeyId": "ASIA1", "SecretAccessKey": "hush""#;

    #[test]
    fn of_all_three() {
        let at = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_706_933_106));
        let text = format!(
            "{{\"Version\": 1, {KEY}, \"SessionToken\": \"t\", \"Expiration\": \"2024-02-03T05:05:06+01:00\"}}"
        );
        let found = of_process(text.as_bytes()).unwrap();
        assert_eq!((found.access_key_id.as_str(), found.secret_access_key.as_str()), ("ASIA1", "hush"));
        assert_eq!((found.session_token.as_deref(), found.expires_at), (Some("t"), at));
        let text = format!(
            "{{\"Code\":\"Success\", {KEY}, \"Token\": \"t\", \"Expiration\": \"2024-02-03T04:05:06Z\"}}"
        );
        assert_eq!(of_container(text.as_bytes()), of_instance(text.as_bytes()));
        assert_eq!(of_instance(text.as_bytes()).unwrap(), found);
        let lasting = of_process(format!("{{\"Version\":1,{KEY}}}").as_bytes()).unwrap();
        assert_eq!((lasting.expires_at, lasting.session_token), (None, None));
    }

    type Read = fn(&[u8]) -> Result<Credentials, String>;

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let rows: [(Read, String, &str); 8] = [
            (of_process, format!("{{{KEY}}}"), "Version"),
            (of_process, format!("{{\"Version\": 2, {KEY}}}"), "2"),
            (of_process, String::new(), "empty"),
            (of_process, format!("{{{KEY}"), "JSON"),
            (of_process, r#"{"Version": 1, "SecretAccessKey": "hush"}"#.to_owned(), "AccessKeyId"),
            (of_process, format!("{{\"Version\": 1, {KEY}, \"Expiration\": \"hush\"}}"), "not a time"),
            (of_container, format!("{{{KEY}}}"), "Expiration"),
            (of_instance, r#"{"Code": "AssumeRoleUnauthorizedAccess"}"#.to_owned(), "AssumeRoleUnauth"),
        ];
        for (read, text, part) in rows {
            let error = read(text.as_bytes()).unwrap_err();
            assert!(error.contains(part) && !error.contains("hush"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(0u8.., 0..100)) {
            let _ = (of_process(&bytes), of_instance(&bytes), refusal(&bytes));
        }
    }
}
