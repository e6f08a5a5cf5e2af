//! The rows of the AWS collector's services, parsed from their text.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::services::AWS_COLLECTOR;

/// The text's entry for a service, or for one of its types. The file explains the keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub service: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub types: Vec<String>,
    #[serde(default)]
    pub usual: bool,
    pub reads: String,
    pub api: Option<Polled>,
    pub queue: Option<String>,
    #[serde(default)]
    pub queue_words: Vec<String>,
    pub queue_default: Option<String>,
    #[serde(default)]
    pub bodies: bool,
    pub like: Option<String>,
    #[serde(default)]
    pub keys: Map<String, Value>,
    pub tag: String,
    #[serde(default = "yes")]
    pub of_account: bool,
    pub event_type: String,
    pub auto_event_type: Option<String>,
    #[serde(default)]
    pub always_auto: bool,
    pub account_id: Option<String>,
}

impl Row {
    /// True if `types` with this word selects the row.
    pub fn is_of_type(&self, word: &str) -> bool {
        self.kind.as_deref() == Some(word) || self.types.iter().any(|other| other == word)
    }

    /// The Devo tables, for people: first the one without `auto_event_type`, if it exists.
    pub fn tables(&self) -> Vec<String> {
        let table = |event_type: &str| self.tag.replace("{event_type}", event_type);
        let is_a_field = |value: &&String| value.starts_with('[');
        let automatic = self.auto_event_type.as_ref();
        let automatic =
            automatic.map(|value| table(automatic.filter(is_a_field).map_or(value.as_str(), |_| "*")));
        let usual = (!self.always_auto).then(|| table(&self.event_type));
        usual.into_iter().chain(automatic).collect()
    }
}

/// An API that can be polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Polled {
    CloudTrail,
    Metrics,
    Logs,
    GuardDuty,
}

/// The names shown for rows whose service has a name of the user's.
pub const ANY_NAME: &str = "*";

/// All rows, in the order of the text.
pub fn rows() -> &'static [Row] {
    &ROWS
}

/// Parses the built-in text: rows that cannot be parsed are missing, and a test fails.
static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| serde_saphyr::from_str(AWS_COLLECTOR).unwrap_or_default());

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_can_be_read() {
        let rows = serde_saphyr::from_str::<Vec<Row>>(AWS_COLLECTOR).unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            assert!(row.api.is_some() != row.queue.is_some(), "{}: one feed", row.service);
            assert!(row.tag.contains("{event_type}"), "{}", row.service);
            assert!(!row.always_auto || row.auto_event_type.is_some(), "{}", row.service);
        }
    }

    #[test]
    fn tables_for_people() {
        let tables = |service: &str| {
            let row = rows().iter().find(|row| row.service == service).unwrap();
            row.tables().join(", ")
        };
        assert_eq!(tables("audit-events-all"), "cloud.aws.cloudtrail.events, cloud.aws.cloudtrail.*");
        assert_eq!(tables("non-cloudwatch-logs"), "cloud.aws.vpc.unknown, cloud.aws.vpc.flow");
        assert_eq!(tables("cisco-umbrella"), "sig.cisco.umbrella.*");
        assert_eq!(tables("aws-guardduty"), "cloud.aws.guardduty.findings");
    }
}
