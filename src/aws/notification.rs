//! GetBucketNotificationConfiguration: the targets to which a bucket announces objects. Pure.
//!
//! Format: "GetBucketNotificationConfiguration" of the Amazon S3 API reference.

use serde::Deserialize;

use super::endpoint::{self, Located, Nowhere};
use super::request::Request;
use super::success::Unusable;
use crate::base::limits::AWS_RESPONSE_TIMEOUT;
use crate::settings::Endpoints;

/// The notification configuration of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notification {
    pub rules: Vec<Rule>,
    /// All events also go to EventBridge.
    pub event_bridge: bool,
}

/// A rule that announces objects to one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The ARN of a queue, a topic or a function.
    pub target: String,
    /// The events, such as `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// The required prefix and suffix of keys; empty for any.
    pub prefix: String,
    pub suffix: String,
}

impl Rule {
    /// Returns true if the creation of this key is announced.
    pub fn announces(&self, key: &str) -> bool {
        let is_creation = |event: &String| event.starts_with("s3:ObjectCreated:");
        self.events.iter().any(is_creation) && key.starts_with(&self.prefix) && key.ends_with(&self.suffix)
    }
}

/// Creates the request for a bucket in `region`.
///
/// # Errors
/// If no bucket or region can have this name.
pub fn request(bucket: &str, region: &str, endpoints: &Endpoints) -> Result<Request, Nowhere> {
    let Located { endpoint, path, region } = endpoint::bucket(region, bucket, endpoints)?;
    Ok(Request {
        action: "s3:GetBucketNotification",
        resource: format!("s3://{bucket}"),
        service: "s3",
        region,
        method: "GET",
        endpoint,
        path: if path.is_empty() { "/".to_owned() } else { path },
        query: "notification=".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        response_timeout: AWS_RESPONSE_TIMEOUT,
        time_limit: None,
    })
}

/// Reads the answer.
///
/// # Errors
/// If it is not S3's answer to this request.
pub fn read(body: &[u8]) -> Result<Notification, Unusable> {
    let text = std::str::from_utf8(body).map_err(|_| Unusable::foreign("it is not UTF-8"))?;
    let Document::NotificationConfiguration(answer) =
        quick_xml::de::from_str(text).map_err(Unusable::foreign)?;
    let rules = answer.queues.into_iter().chain(answer.topics).chain(answer.functions).map(Raw::rule);
    Ok(Notification { rules: rules.collect(), event_bridge: answer.event_bridge.is_some() })
}

/// The root element decides: an error with a success status has another.
#[derive(Deserialize)]
enum Document {
    NotificationConfiguration(Answer),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "QueueConfiguration", default)]
    queues: Vec<Raw>,
    #[serde(rename = "TopicConfiguration", default)]
    topics: Vec<Raw>,
    #[serde(rename = "CloudFunctionConfiguration", default)]
    functions: Vec<Raw>,
    #[serde(rename = "EventBridgeConfiguration")]
    event_bridge: Option<Empty>,
}

#[derive(Deserialize)]
struct Empty {}

#[derive(Deserialize)]
struct Raw {
    #[serde(alias = "Queue", alias = "Topic", alias = "CloudFunction", default)]
    target: String,
    #[serde(rename = "Event", default)]
    events: Vec<String>,
    #[serde(rename = "Filter")]
    filter: Option<Filter>,
}

#[derive(Deserialize)]
struct Filter {
    #[serde(rename = "S3Key")]
    key: Option<Rules>,
}

#[derive(Deserialize)]
struct Rules {
    #[serde(rename = "FilterRule", default)]
    rules: Vec<FilterRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FilterRule {
    name: String,
    #[serde(default)]
    value: String,
}

impl Raw {
    fn rule(self) -> Rule {
        let filters = self.filter.and_then(|filter| filter.key).map(|key| key.rules).unwrap_or_default();
        let value = |name: &str| {
            let found = filters.iter().find(|rule| rule.name.eq_ignore_ascii_case(name));
            found.map(|rule| rule.value.clone()).unwrap_or_default()
        };
        Rule { prefix: value("prefix"), suffix: value("suffix"), target: self.target, events: self.events }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request() {
        let request = request("logs", "eu-west-1", &Endpoints::default()).unwrap();
        assert_eq!(request.url(), "https://logs.s3.eu-west-1.amazonaws.com/?notification=");
    }

    #[test]
    fn the_documented_form() {
        let body = br#"<?xml version="1.0" encoding="UTF-8"?>
            <NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <QueueConfiguration><Id>1</Id>
                <Filter><S3Key>
                  <FilterRule><Name>Prefix</Name><Value>AWSLogs/</Value></FilterRule>
                  <FilterRule><Name>suffix</Name><Value>.gz</Value></FilterRule>
                </S3Key></Filter>
                <Queue>arn:aws:sqs:us-east-1:1:q</Queue><Event>s3:ObjectCreated:*</Event>
              </QueueConfiguration>
              <TopicConfiguration><Topic>arn:aws:sns:us-east-1:1:t</Topic><Event>s3:ObjectRemoved:*</Event></TopicConfiguration>
              <EventBridgeConfiguration/>
            </NotificationConfiguration>"#;
        let found = read(body).unwrap();
        assert!(found.event_bridge);
        let [queue, topic] = found.rules.as_slice() else { panic!("{found:?}") };
        assert_eq!(queue.target, "arn:aws:sqs:us-east-1:1:q");
        assert!(
            queue.announces("AWSLogs/1/x.gz") && !queue.announces("AWSLogs/1/x") && !queue.announces("x.gz")
        );
        assert!(topic.target.ends_with(":t") && !topic.announces("AWSLogs/1/x.gz"));
        assert_eq!(read(b"<NotificationConfiguration/>").unwrap(), Notification::default());
        for foreign in ["", "<html/>", "<Error><Code>AccessDenied</Code></Error>"] {
            assert!(read(foreign.as_bytes()).is_err(), "{foreign}");
        }
    }
}
