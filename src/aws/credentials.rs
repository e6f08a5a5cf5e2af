//! Keys, as values. Pure: the environment is an argument.

use std::fmt;
use std::time::SystemTime;

use super::error::Error;
use super::kind::Kind;
use crate::settings;
use crate::settings::shown_key_id;

/// The keys that sign a request. `Debug` shows neither secret nor token.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: Option<String>,
    /// By AWS's clock; None if it does not expire.
    pub expires_at: Option<SystemTime>,
}

impl Credentials {
    /// Anonymous: calls are not signed.
    pub fn anonymous() -> Self {
        let nothing = String::new;
        Self { access_key_id: nothing(), secret_access_key: nothing(), session_token: None, expires_at: None }
    }

    pub fn is_anonymous(&self) -> bool {
        self.access_key_id.is_empty()
    }

    /// The file's key.
    pub fn of_key(key: &settings::AccessKey) -> Self {
        Self {
            access_key_id: key.id.clone(),
            secret_access_key: key.secret.clone(),
            session_token: key.session_token.clone(),
            expires_at: None,
        }
    }

    /// Reads `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, if set, `AWS_SESSION_TOKEN`.
    pub fn from_environment(env: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let value =
            |name: &str| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let needed = |name: &str| value(name).ok_or_else(|| missing(name));
        Ok(Self {
            access_key_id: needed("AWS_ACCESS_KEY_ID")?,
            secret_access_key: needed("AWS_SECRET_ACCESS_KEY")?,
            session_token: value("AWS_SESSION_TOKEN"),
            expires_at: None,
        })
    }
}

/// Parses the expiry of credentials: ISO 8601 with a zone. The last days of the year 9999, by which some helpers say
/// "never", exceed a timestamp's range and are clamped to its end. None if it is not a time.
pub fn expiry(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    let last = |text: &str| {
        let local = text.strip_suffix(['Z', 'z']).unwrap_or(text).parse::<jiff::civil::DateTime>();
        local.ok().filter(|time| time.year() == 9999).map(|_| jiff::Timestamp::MAX)
    };
    text.parse().ok().or_else(|| last(text)).map(SystemTime::from)
}

fn missing(name: &str) -> Error {
    let message = format!("{name} is not set: an access key has two parts");
    Error::setup("credentials", "(environment)", Kind::Denied, message)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &shown_key_id(&self.access_key_id))
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::testing::key;

    #[test]
    fn the_environment_s_key() {
        let env = |name: &str| Some(format!(" {name} "));
        assert_eq!(
            Credentials::from_environment(env).unwrap().session_token.as_deref(),
            Some("AWS_SESSION_TOKEN")
        );
        let error = Credentials::from_environment(|name| (name == "AWS_ACCESS_KEY_ID").then(|| "A".into()))
            .unwrap_err();
        assert!(error.to_string().contains("AWS_SECRET_ACCESS_KEY"), "{error}");
    }

    #[test]
    fn an_expiry_at_the_end_of_all_time_is_one() {
        let end = SystemTime::from(jiff::Timestamp::MAX);
        for text in
            ["9999-12-31T23:59:59Z", " 9999-12-31T23:59:59.999999999+00:00", "9999-12-31T23:59:59-14:00"]
        {
            assert_eq!(expiry(text), Some(end), "{text}");
        }
        let usual = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_706_933_106);
        assert_eq!(expiry("2024-02-03T05:05:06+01:00"), Some(usual));
        for text in ["", "never", "2024-02-03T04:05:06", "9999-13-31T23:59:59Z", "1706933106"] {
            assert_eq!(expiry(text), None, "{text}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown =
            format!("{:?}", Credentials { session_token: Some("tok".into()), ..key("AKIAIOSFODNN7EXAMPLE") });
        assert!(
            !shown.contains("secret\"") && !shown.contains("tok\"") && shown.contains("AKIAIOSFODNN7EXAMPLE"),
            "{shown}"
        );
    }
}
