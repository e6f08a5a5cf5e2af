//! SQS over the AWS JSON 1.0 protocol: requests to bytes, answers to types. Pure.
//!
//! Format: the Amazon SQS API reference, "Using the AWS JSON protocol".

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::failure;
use super::kind::Kind;
use super::request::{Address, JsonService, Request};
use super::success::{self, Unusable};
use crate::base::limits::{AWS_LONG_POLL_MARGIN, SQS_BATCH};

const SQS: JsonService =
    JsonService { scope: "sqs", content_type: "application/x-amz-json-1.0", target: "AmazonSQS" };

/// One message as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub receipt_handle: String,
    pub body: String,
    /// Number of deliveries, including this one; 0 if unknown.
    pub receive_count: u32,
    pub sent_at: Option<SystemTime>,
    /// Only for a FIFO queue.
    pub group: Option<String>,
}

/// One entry of a batch that SQS refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The caller's id.
    pub id: String,
    pub code: String,
    pub message: String,
    /// True if the same entry will fail again.
    pub sender_fault: bool,
}

impl Failure {
    /// The failure of an entry that the answer names neither as done nor as failed, so that its state is unknown.
    fn unanswered(id: &str) -> Failure {
        let message = "SQS's answer does not have this entry".to_owned();
        Failure { id: id.to_owned(), code: String::new(), message, sender_fault: false }
    }

    /// The kind that callers distinguish.
    pub fn kind(&self) -> Kind {
        let otherwise = if self.sender_fault { Kind::BadRequest } else { Kind::Transient };
        failure::by_code(&self.code, &self.message).unwrap_or(otherwise)
    }
}

/// A queue's settings and depth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    pub arn: Option<String>,
    pub visibility_timeout: Option<Duration>,
    pub retention: Option<Duration>,
    /// None: unreadable messages are redelivered forever.
    pub redrive: Option<Redrive>,
    /// The access policy of the queue, as JSON.
    pub policy: Option<String>,
    /// Approximate counts.
    pub available: u64,
    pub in_flight: u64,
    pub delayed: u64,
}

/// The destination of messages that were received too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    pub max_receive_count: u32,
    pub dead_letter_arn: String,
}

/// Builds ReceiveMessage: at most `max` (1 to 10) messages, waiting `wait` (at most 20 s), hidden for `visibility`
/// (whole seconds, at most 12 h).
pub fn receive(queue: &Address<'_>, max: u32, wait: Duration, visibility: Duration) -> Request {
    let names = ["ApproximateReceiveCount", "SentTimestamp", "MessageGroupId"];
    let input = json!({
        "QueueUrl": queue.resource,
        "MaxNumberOfMessages": max.clamp(1, SQS_BATCH as u32),
        "WaitTimeSeconds": wait.as_secs(),
        "VisibilityTimeout": visibility.as_secs(),
        // The newer name; emulators may support only the older one.
        "MessageSystemAttributeNames": names,
        "AttributeNames": names,
    });
    let mut request = SQS.call("sqs:ReceiveMessage", queue, &input);
    request.response_timeout = wait + AWS_LONG_POLL_MARGIN;
    request
}

/// Builds DeleteMessageBatch of at most ten receipt handles. Entry ids are positions.
pub fn delete(queue: &Address<'_>, handles: &[&str]) -> Request {
    let entry = |(at, handle): (usize, &&str)| json!({"Id": at.to_string(), "ReceiptHandle": handle});
    let entries = handles.iter().enumerate().map(entry).collect::<Vec<_>>();
    let input = json!({"QueueUrl": queue.resource, "Entries": entries});
    // A policy has no word for the batch: it allows sqs:DeleteMessage.
    SQS.call_operation("sqs:DeleteMessage", "DeleteMessageBatch", queue, &input)
}

/// Builds ChangeMessageVisibilityBatch of at most ten (receipt handle, seconds from now). Entry ids are positions.
pub fn change_visibility(queue: &Address<'_>, handles: &[(&str, u32)]) -> Request {
    let entry = |(at, (handle, seconds)): (usize, &(&str, u32))| json!({"Id": at.to_string(), "ReceiptHandle": handle, "VisibilityTimeout": seconds});
    let entries = handles.iter().enumerate().map(entry).collect::<Vec<_>>();
    let input = json!({"QueueUrl": queue.resource, "Entries": entries});
    SQS.call_operation("sqs:ChangeMessageVisibility", "ChangeMessageVisibilityBatch", queue, &input)
}

/// Builds GetQueueUrl by name. The address's resource is the name.
pub fn queue_url(queue: &Address<'_>) -> Request {
    SQS.call("sqs:GetQueueUrl", queue, &json!({"QueueName": queue.resource}))
}

/// Builds GetQueueAttributes, for all of them.
pub fn attributes(queue: &Address<'_>) -> Request {
    SQS.call("sqs:GetQueueAttributes", queue, &json!({"QueueUrl": queue.resource, "AttributeNames": ["All"]}))
}

/// Reads ReceiveMessage's answer. SQS omits the list if there is no message.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_receive(body: &[u8]) -> Result<Vec<Message>, Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<T> {
        messages: Vec<T>,
    }
    if success::is_bare(body) {
        return Ok(Vec::new());
    }
    let answer = success::json::<Answer<RawMessage>, Answer<IgnoredAny>>(body)?;
    Ok(answer.messages.into_iter().map(Message::from).collect())
}

/// Reads a batch's answer; `ids` are the caller's, by position.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_batch(body: &[u8], ids: &[&str]) -> Result<Vec<Failure>, Unusable> {
    let answer = success::json::<BatchAnswer, BatchAnswer>(body)?;
    if answer.successful.is_none() && answer.failed.is_none() {
        return Err(Unusable::foreign("it has neither Successful nor Failed"));
    }
    let failed = answer.failed.unwrap_or_default().into_iter();
    let mut failures = failed.map(|entry| entry.named(ids)).collect::<Result<Vec<Failure>, _>>()?;
    // Some emulators list only the failed ones.
    let is_done = |at: usize| {
        answer.successful.as_ref().is_none_or(|done| done.iter().any(|entry| entry.id.parse() == Ok(at)))
    };
    let unnamed = ids.iter().enumerate().filter(|(at, _)| !is_done(*at)).map(|(_, id)| *id);
    for id in unnamed {
        if !failures.iter().any(|failure| failure.id == id) {
            failures.push(Failure::unanswered(id));
        }
    }
    Ok(failures)
}

/// Reads GetQueueUrl's answer.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_queue_url(body: &[u8]) -> Result<String, Unusable> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "QueueUrl")]
        url: String,
    }
    success::json::<Answer, Answer>(body).map(|answer| answer.url)
}

/// Reads GetQueueAttributes' answer. The queue's depth must be there, since a drain ends by it; other missing or
/// invalid attributes are omitted.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_attributes(body: &[u8]) -> Result<Attributes, Unusable> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "Attributes")]
        all: BTreeMap<String, String>,
    }
    let all = success::json::<Answer, Answer>(body)?.all;
    let number = |name: &str| all.get(name).and_then(|text| text.parse::<u64>().ok());
    let depth = |name: &str| number(name).ok_or_else(|| Unusable::foreign(format!("{name} is missing")));
    Ok(Attributes {
        arn: all.get("QueueArn").cloned(),
        visibility_timeout: number("VisibilityTimeout").map(Duration::from_secs),
        retention: number("MessageRetentionPeriod").map(Duration::from_secs),
        redrive: all.get("RedrivePolicy").and_then(|text| redrive(text)),
        policy: all.get("Policy").cloned(),
        available: depth("ApproximateNumberOfMessages")?,
        in_flight: depth("ApproximateNumberOfMessagesNotVisible")?,
        delayed: number("ApproximateNumberOfMessagesDelayed").unwrap_or(0),
    })
}

/// Parses JSON in a string; the count is a number or, from old tools, a string.
fn redrive(text: &str) -> Option<Redrive> {
    let policy = serde_json::from_str::<Value>(text).ok()?;
    let count = policy.get("maxReceiveCount")?;
    let count = count.as_u64().or_else(|| count.as_str()?.parse().ok())?;
    let dead_letter_arn = policy.get("deadLetterTargetArn")?.as_str()?.to_owned();
    Some(Redrive { max_receive_count: u32::try_from(count).unwrap_or(u32::MAX), dead_letter_arn })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawMessage {
    message_id: String,
    receipt_handle: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    attributes: Option<BTreeMap<String, String>>,
}

impl From<RawMessage> for Message {
    fn from(raw: RawMessage) -> Self {
        let mut attributes = raw.attributes.unwrap_or_default();
        let number = |name: &str| attributes.get(name).and_then(|text| text.parse::<u64>().ok());
        let receive_count = number("ApproximateReceiveCount").unwrap_or(0);
        let sent = number("SentTimestamp").map(Duration::from_millis);
        Self {
            receive_count: u32::try_from(receive_count).unwrap_or(u32::MAX),
            sent_at: sent.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)),
            group: attributes.remove("MessageGroupId"),
            id: raw.message_id,
            receipt_handle: raw.receipt_handle,
            body: raw.body,
        }
    }
}

#[derive(Deserialize)]
struct BatchAnswer {
    #[serde(rename = "Successful", default)]
    successful: Option<Vec<Done>>,
    #[serde(rename = "Failed", default)]
    failed: Option<Vec<RawFailure>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Done {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawFailure {
    id: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    sender_fault: bool,
}

impl RawFailure {
    fn named(self, ids: &[&str]) -> Result<Failure, Unusable> {
        let given = self.id.parse::<usize>().ok().and_then(|at| ids.get(at));
        let id = given.ok_or_else(|| Unusable::foreign("it names an entry that was not sent"))?;
        Ok(Failure {
            id: (*id).to_owned(),
            code: self.code,
            message: self.message.unwrap_or_default(),
            sender_fault: self.sender_fault,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: Address<'_> = Address {
        endpoint: "https://sqs.eu-west-1.amazonaws.com",
        region: "eu-west-1",
        resource: "http://q/1/n",
    };

    fn input(request: &Request) -> Value {
        serde_json::from_slice(&request.body).unwrap()
    }

    #[test]
    fn receive_sends_the_queue_url_as_it_is() {
        let request = receive(&QUEUE, 10, Duration::from_secs(20), Duration::from_secs(240));
        let input = input(&request);
        assert_eq!(request.url(), "https://sqs.eu-west-1.amazonaws.com/");
        assert_eq!(input["QueueUrl"], "http://q/1/n");
        assert_eq!((&input["MaxNumberOfMessages"], &input["WaitTimeSeconds"]), (&json!(10), &json!(20)));
        assert_eq!(input["VisibilityTimeout"], 240);
        assert!(request.headers.contains(&("x-amz-target", "AmazonSQS.ReceiveMessage".to_owned())));
        assert_eq!(request.response_timeout, Duration::from_secs(20) + AWS_LONG_POLL_MARGIN);
    }

    #[test]
    fn messages_with_and_without_attributes() {
        let body = br#"{"Messages":[{"MessageId":"m","ReceiptHandle":"h","MD5OfBody":"x","Body":"{\"a\":1}","Attributes":
            {"ApproximateReceiveCount":"3","SentTimestamp":"1700000000123","MessageGroupId":"g"}},
            {"MessageId":"n","ReceiptHandle":"i","Body":""}]}"#;
        let messages = read_receive(body).unwrap();
        assert_eq!(messages[0].body, r#"{"a":1}"#);
        assert_eq!((messages[0].receive_count, messages[0].group.as_deref()), (3, Some("g")));
        let sent = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        assert_eq!(messages[0].sent_at, Some(sent));
        assert_eq!((messages[1].receive_count, messages[1].sent_at), (0, None));
        assert_eq!(read_receive(b"{}").unwrap(), []);
        assert!(read_receive(b"<html>").is_err());
    }

    /// Ids of the callers are numbers too: a failure of nobody's must not become another entry's.
    #[test]
    fn an_answer_about_an_entry_that_was_not_sent_is_not_believed() {
        for id in ["9", "2", "-1", "", "first", "\u{fffd}1"] {
            let failed = json!({"Failed": [{"Id": id, "Code": "InternalError", "SenderFault": false}]});
            let both = json!({"Successful": [{"Id": "0"}, {"Id": "1"}], "Failed": failed["Failed"]});
            for answer in [failed, both] {
                let read = read_batch(answer.to_string().as_bytes(), &["2", "9"]);
                assert!(matches!(read, Err(Unusable::Foreign(_))), "{id:?}: {read:?}");
            }
        }
    }

    #[test]
    fn batches_are_numbered_and_named_back() {
        let request = delete(&QUEUE, &["h0", "h1"]);
        assert_eq!(input(&request)["Entries"][1], json!({"Id": "1", "ReceiptHandle": "h1"}));
        let body = br#"{"Successful":[{"Id":"0"}],"Failed":[{"Id":"1","Code":"ReceiptHandleIsInvalid","SenderFault":true,
            "Message":"gone"}]}"#;
        let failed = read_batch(body, &["first", "second"]).unwrap();
        assert_eq!((failed[0].id.as_str(), failed[0].kind()), ("second", Kind::ReceiptHandle));
        assert_eq!(failed.len(), 1);
        assert!(read_batch(br#"{"Successful":[]}"#, &[]).unwrap().is_empty());
        let of_neither = read_batch(br#"{"Successful":[{"Id":"1"}]}"#, &["first", "second"]).unwrap();
        assert_eq!(
            (of_neither.len(), of_neither[0].id.as_str(), of_neither[0].kind()),
            (1, "first", Kind::Transient)
        );
        assert!(read_batch(br#"{"Failed":[]}"#, &["first"]).unwrap().is_empty(), "an emulator's");
        let request = change_visibility(&QUEUE, &[("h", 0)]);
        assert_eq!(
            input(&request)["Entries"][0],
            json!({"Id": "0", "ReceiptHandle": "h", "VisibilityTimeout": 0})
        );
    }

    #[test]
    fn queue_attributes() {
        let body = br#"{"Attributes":{"VisibilityTimeout":"30","MessageRetentionPeriod":"345600","ApproximateNumberOfMessages":"7",
            "ApproximateNumberOfMessagesNotVisible":"2","RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:d\",\"maxReceiveCount\":\"5\"}"}}"#;
        let found = read_attributes(body).unwrap();
        assert_eq!(found.visibility_timeout, Some(Duration::from_secs(30)));
        assert_eq!((found.available, found.in_flight, found.delayed), (7, 2, 0));
        assert_eq!(found.redrive, Some(Redrive { max_receive_count: 5, dead_letter_arn: "arn:d".into() }));
        assert_eq!(redrive(r#"{"maxReceiveCount":3}"#), None);
        for missing in ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"] {
            let without = String::from_utf8_lossy(body).replace(&format!("\"{missing}\""), "\"Other\"");
            assert!(read_attributes(without.as_bytes()).is_err(), "{missing}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(body in proptest::collection::vec(0u8.., 0..200)) {
            let _ = (read_receive(&body), read_batch(&body, &[]), read_queue_url(&body), read_attributes(&body));
        }

        #[test]
        fn bodies_arrive_byte_for_byte(text in "\\PC{0,60}", handle in "[ -~]{1,30}") {
            let body = json!({"Messages": [{"MessageId": "m", "ReceiptHandle": handle, "Body": text}]}).to_string();
            let messages = read_receive(body.as_bytes()).unwrap();
            proptest::prop_assert_eq!(&messages[0].body, &text);
            proptest::prop_assert_eq!(&messages[0].receipt_handle, &handle);
        }
    }
}
