//! Amazon SQS over the AWS JSON 1.0 protocol (Amazon SQS API reference): a consumer's calls.
//!
//! Pure: a call is a function of the queues and the time. The caller waits for messages.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::queue::{HandleError, Queue, QueueState, Received, Redrive, Settings};

/// SQS's own limits.
const MESSAGES_PER_RECEIVE_MAX: usize = 10;
const ENTRIES_PER_BATCH_MAX: usize = 10;
const VISIBILITY_SECONDS_MAX: u64 = 12 * 60 * 60;
const WAIT_SECONDS_MAX: u64 = 20;

/// The queues by name.
#[derive(Debug, Default)]
pub struct Queues {
    queues: BTreeMap<String, Queue>,
}

/// An error answer: HTTP status 400, `__type` and `message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub code: &'static str,
    pub message: String,
}

/// A pending ReceiveMessage; retried until it returns messages or its wait is over.
#[derive(Debug)]
pub struct Receive {
    queue: String,
    max: usize,
    visibility: Option<Duration>,
    pub wait: Duration,
    attributes: Vec<String>,
}

/// The content of a request.
#[derive(Debug)]
pub enum Call {
    Receive(Receive),
    /// Answered already.
    Done(Value),
}

impl Queues {
    /// Creates a queue, or resets an existing one without its messages.
    pub fn create(&mut self, name: &str, settings: Settings) {
        self.queues.insert(name.to_owned(), Queue::new(settings));
    }

    /// Adds a message; the queue is created if missing.
    pub fn send(&mut self, name: &str, body: String, now: Duration) {
        self.queues.entry(name.to_owned()).or_default().send(body, now);
    }

    pub fn state(&mut self, name: &str, now: Duration) -> QueueState {
        self.queues.get_mut(name).map(|queue| queue.state(now)).unwrap_or_default()
    }

    /// When a message may become visible without being sent.
    pub fn next_visible_at(&self) -> Option<Duration> {
        self.queues.values().filter_map(Queue::next_visible_at).min()
    }

    /// Reads and, unless it has to wait, answers a request. `target` is the `X-Amz-Target` header, `base` the
    /// endpoint's URL for clients.
    pub fn call(&mut self, target: &str, body: &[u8], base: &str, now: Duration) -> Result<Call, ApiError> {
        match target.strip_prefix("AmazonSQS.").unwrap_or_default() {
            "ReceiveMessage" => self.parse_receive(parse(body)?).map(Call::Receive),
            "DeleteMessageBatch" => self.delete_batch(parse(body)?).map(Call::Done),
            "ChangeMessageVisibilityBatch" => self.visibility_batch(parse(body)?, now).map(Call::Done),
            "GetQueueAttributes" => self.attributes(parse(body)?, now).map(Call::Done),
            "GetQueueUrl" => self.url(parse(body)?, base).map(Call::Done),
            _ => Err(error("UnknownOperationException", format!("{target:?} is not served here."))),
        }
    }

    /// Takes the messages visible now; None if there are none.
    pub fn receive(&mut self, ask: &Receive, now: Duration) -> Option<Value> {
        let queue = self.queues.get_mut(&ask.queue)?;
        let received = queue.receive(ask.max, ask.visibility, now);
        let (dead, redrive) = (queue.take_dead(), queue.settings().redrive.clone());
        if let Some(redrive) = redrive {
            dead.into_iter().for_each(|body| self.send(&redrive.dead_letter_queue, body, now));
        }
        let messages: Vec<Value> = received.iter().map(|m| message(m, &ask.attributes)).collect();
        (!messages.is_empty()).then(|| json!({ "Messages": messages }))
    }

    fn parse_receive(&self, ask: ReceiveMessage) -> Result<Receive, ApiError> {
        let max = ask.max_number_of_messages.unwrap_or(1);
        let wait = ask.wait_time_seconds.unwrap_or(0);
        if !(1..=MESSAGES_PER_RECEIVE_MAX).contains(&max) || wait > WAIT_SECONDS_MAX {
            return Err(error(
                "InvalidParameterValue",
                "MaxNumberOfMessages or WaitTimeSeconds is out of range.",
            ));
        }
        let queue = queue_name(&ask.queue_url);
        self.queue(queue)?;
        Ok(Receive {
            queue: queue.to_owned(),
            max,
            visibility: ask.visibility_timeout.map(visibility).transpose()?,
            wait: Duration::from_secs(wait),
            attributes: [ask.attribute_names, ask.message_system_attribute_names].concat(),
        })
    }

    fn delete_batch(&mut self, ask: Batch) -> Result<Value, ApiError> {
        self.batch(ask, |queue, entry| queue.delete(&entry.receipt_handle).map_err(handle_error))
    }

    fn visibility_batch(&mut self, ask: Batch, now: Duration) -> Result<Value, ApiError> {
        self.batch(ask, |queue, entry| {
            let timeout = visibility(entry.visibility_timeout.unwrap_or(0))?;
            queue.change_visibility(&entry.receipt_handle, timeout, now).map_err(handle_error)
        })
    }

    fn batch(
        &mut self,
        ask: Batch,
        mut run: impl FnMut(&mut Queue, &Entry) -> Result<(), ApiError>,
    ) -> Result<Value, ApiError> {
        let queue = self.queue_mut(queue_name(&ask.queue_url))?;
        check_batch(&ask.entries)?;
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in &ask.entries {
            match run(queue, entry) {
                Ok(()) => successful.push(json!({ "Id": entry.id })),
                Err(e) => failed.push(
                    json!({ "Id": entry.id, "SenderFault": true, "Code": e.code, "Message": e.message }),
                ),
            }
        }
        Ok(json!({ "Successful": successful, "Failed": failed }))
    }

    fn attributes(&mut self, ask: GetQueueAttributes, now: Duration) -> Result<Value, ApiError> {
        let name = queue_name(&ask.queue_url);
        let queue = self.queue_mut(name)?;
        let state = queue.state(now);
        let settings = queue.settings();
        let mut all = vec![
            ("QueueArn", arn(name)),
            ("ApproximateNumberOfMessages", state.visible.to_string()),
            ("ApproximateNumberOfMessagesNotVisible", state.in_flight.to_string()),
            ("ApproximateNumberOfMessagesDelayed", "0".to_owned()),
            ("VisibilityTimeout", settings.visibility_timeout.as_secs().to_string()),
        ];
        all.extend(settings.redrive.as_ref().map(|redrive| ("RedrivePolicy", redrive_policy(redrive))));
        let wanted: Map<String, Value> = all
            .into_iter()
            .filter(|(name, _)| is_asked_for(name, &ask.attribute_names))
            .map(|(name, value)| (name.to_owned(), Value::String(value)))
            .collect();
        Ok(json!({ "Attributes": wanted }))
    }

    fn url(&self, ask: GetQueueUrl, base: &str) -> Result<Value, ApiError> {
        self.queue(&ask.queue_name)?;
        Ok(json!({ "QueueUrl": queue_url(base, &ask.queue_name) }))
    }

    fn queue(&self, name: &str) -> Result<&Queue, ApiError> {
        self.queues.get(name).ok_or_else(no_such_queue)
    }

    fn queue_mut(&mut self, name: &str) -> Result<&mut Queue, ApiError> {
        self.queues.get_mut(name).ok_or_else(no_such_queue)
    }
}

/// A queue's URL under an endpoint.
pub fn queue_url(base: &str, name: &str) -> String {
    format!("{base}/{ACCOUNT}/{name}")
}

/// The account that owns everything here.
const ACCOUNT: &str = "123456789012";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReceiveMessage {
    queue_url: String,
    max_number_of_messages: Option<usize>,
    visibility_timeout: Option<u64>,
    wait_time_seconds: Option<u64>,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    queue_url: String,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    receipt_handle: String,
    visibility_timeout: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueAttributes {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueUrl {
    queue_name: String,
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|e| error("SerializationException", e.to_string()))
}

fn message(received: &Received, attributes: &[String]) -> Value {
    let all = [
        ("ApproximateReceiveCount", received.receive_count.to_string()),
        ("SentTimestamp", received.sent_at.as_millis().to_string()),
    ];
    let wanted: Map<String, Value> = all
        .into_iter()
        .filter(|(name, _)| is_asked_for(name, attributes))
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect();
    let mut message = json!({
        "MessageId": format!("00000000-0000-4000-8000-{:012x}", received.id),
        "ReceiptHandle": received.handle,
        "Body": received.body,
    });
    if !wanted.is_empty() {
        message["Attributes"] = Value::Object(wanted);
    }
    message
}

fn is_asked_for(name: &str, asked: &[String]) -> bool {
    asked.iter().any(|a| a == name || a == "All")
}

/// The last segment of a queue URL, whatever host it names.
fn queue_name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

fn visibility(seconds: u64) -> Result<Duration, ApiError> {
    if seconds > VISIBILITY_SECONDS_MAX {
        return Err(error("InvalidParameterValue", "VisibilityTimeout is over 12 hours."));
    }
    Ok(Duration::from_secs(seconds))
}

fn check_batch(entries: &[Entry]) -> Result<(), ApiError> {
    if entries.is_empty() {
        return Err(error("EmptyBatchRequest", "The batch has no entries."));
    }
    if entries.len() > ENTRIES_PER_BATCH_MAX {
        return Err(error("TooManyEntriesInBatchRequest", "The batch has more than ten entries."));
    }
    let ids: HashSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    if ids.len() < entries.len() {
        return Err(error("BatchEntryIdsNotDistinct", "Two entries have the same id."));
    }
    Ok(())
}

fn redrive_policy(redrive: &Redrive) -> String {
    let target = arn(&redrive.dead_letter_queue);
    json!({ "deadLetterTargetArn": target, "maxReceiveCount": redrive.max_receives }).to_string()
}

fn arn(queue: &str) -> String {
    format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{queue}")
}

fn handle_error(e: HandleError) -> ApiError {
    let code = match e {
        HandleError::Invalid => "ReceiptHandleIsInvalid",
        HandleError::Gone => "InvalidParameterValue",
        HandleError::NotInFlight => "MessageNotInflight",
    };
    error(code, e.to_string())
}

fn no_such_queue() -> ApiError {
    error("QueueDoesNotExist", "The specified queue does not exist.")
}

fn error(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError { code, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: fn(u64) -> Duration = Duration::from_secs;
    const BASE: &str = "http://127.0.0.1:1";

    fn queues() -> Queues {
        let mut queues = Queues::default();
        (0..3).for_each(|i| queues.send("q", format!("body {i}"), T(100)));
        queues
    }

    fn call(queues: &mut Queues, operation: &str, mut body: Value, now: u64) -> Result<Value, &'static str> {
        if body.get("QueueName").is_none() && body.get("QueueUrl").is_none() {
            body["QueueUrl"] = json!("https://sqs.us-east-1.amazonaws.com/111111111111/q");
        }
        let target = format!("AmazonSQS.{operation}");
        match queues.call(&target, body.to_string().as_bytes(), BASE, T(now)) {
            Ok(Call::Done(value)) => Ok(value),
            Ok(Call::Receive(ask)) => Ok(queues.receive(&ask, T(now)).unwrap_or(json!({}))),
            Err(error) => Err(error.code),
        }
    }

    #[test]
    fn messages_carry_what_was_asked_for() {
        let mut queues = queues();
        let ask =
            json!({ "MessageSystemAttributeNames": ["ApproximateReceiveCount"], "VisibilityTimeout": 1 });
        let got = call(&mut queues, "ReceiveMessage", ask, 100).unwrap();
        assert_eq!(got["Messages"][0]["Body"], "body 0");
        assert_eq!(got["Messages"][0]["Attributes"], json!({ "ApproximateReceiveCount": "1" }));
        let ask = json!({ "AttributeNames": ["All"], "MaxNumberOfMessages": 10 });
        let got = call(&mut queues, "ReceiveMessage", ask, 101).unwrap();
        let counts: Vec<_> = got["Messages"].as_array().unwrap().iter().map(|m| &m["Attributes"]).collect();
        let expected = |n: &str| json!({ "ApproximateReceiveCount": n, "SentTimestamp": "100000" });
        assert_eq!(counts, [&expected("1"), &expected("1"), &expected("2")]);
        assert_eq!(call(&mut queues, "ReceiveMessage", json!({}), 101), Ok(json!({})));
    }

    #[test]
    fn batches_answer_for_each_entry() {
        let mut queues = queues();
        let got = call(&mut queues, "ReceiveMessage", json!({}), 100).unwrap();
        let handle = &got["Messages"][0]["ReceiptHandle"];
        let entries = json!([{ "Id": "a", "ReceiptHandle": handle }, { "Id": "b", "ReceiptHandle": "zz" }]);
        let extended =
            call(&mut queues, "ChangeMessageVisibilityBatch", json!({ "Entries": entries }), 100).unwrap();
        assert_eq!(extended["Successful"], json!([{ "Id": "a" }]));
        assert_eq!(extended["Failed"][0]["Code"], "ReceiptHandleIsInvalid");
        let deleted = call(&mut queues, "DeleteMessageBatch", json!({ "Entries": entries }), 100).unwrap();
        assert_eq!(deleted["Successful"], json!([{ "Id": "a" }]));
        assert_eq!((deleted["Failed"][0]["Id"].as_str(), queues.state("q", T(100)).deleted), (Some("b"), 1));
    }

    #[test]
    fn attributes_tell_the_queues_state() {
        let mut queues = queues();
        call(&mut queues, "ReceiveMessage", json!({}), 100).unwrap();
        let got = call(&mut queues, "GetQueueAttributes", json!({ "AttributeNames": ["All"] }), 100).unwrap();
        assert_eq!(got["Attributes"]["ApproximateNumberOfMessages"], "2");
        assert_eq!(got["Attributes"]["ApproximateNumberOfMessagesNotVisible"], "1");
        assert!(got["Attributes"].get("RedrivePolicy").is_none());
        let redrive = Some(Redrive { dead_letter_queue: "dead".into(), max_receives: 3 });
        queues.create("q", Settings { redrive, ..Settings::default() });
        let ask = json!({ "AttributeNames": ["RedrivePolicy"] });
        let got = call(&mut queues, "GetQueueAttributes", ask, 100).unwrap();
        assert_eq!(got["Attributes"].as_object().unwrap().len(), 1);
        assert!(got["Attributes"]["RedrivePolicy"].as_str().unwrap().contains("\"maxReceiveCount\":3"));
    }

    #[test]
    fn what_comes_too_often_moves_to_the_dead_letter_queue() {
        let mut queues = Queues::default();
        let redrive = Some(Redrive { dead_letter_queue: "dead".into(), max_receives: 1 });
        queues.create("q", Settings { redrive, ..Settings::default() });
        queues.send("q", "poison".into(), T(1));
        let ask = || json!({ "VisibilityTimeout": 0 });
        assert!(call(&mut queues, "ReceiveMessage", ask(), 1).unwrap().get("Messages").is_some());
        assert_eq!(call(&mut queues, "ReceiveMessage", ask(), 1), Ok(json!({})));
        assert_eq!(queues.state("dead", T(1)).visible, 1);
    }

    #[test]
    fn a_queue_is_found_by_its_name() {
        let mut queues = queues();
        let got = call(&mut queues, "GetQueueUrl", json!({ "QueueName": "q" }), 100).unwrap();
        assert_eq!(got["QueueUrl"], "http://127.0.0.1:1/123456789012/q");
    }

    #[test]
    fn bad_requests_are_refused_as_sqs_does() {
        let mut queues = queues();
        let entry = |id: &str| json!({ "Id": id, "ReceiptHandle": "r1.1" });
        let many: Vec<_> = (0..11).map(|i| entry(&i.to_string())).collect();
        let long = json!([{ "Id": "a", "ReceiptHandle": "r1.1", "VisibilityTimeout": 43201 }]);
        for (operation, body, code) in [
            ("DeleteMessageBatch", json!({ "Entries": [] }), "EmptyBatchRequest"),
            ("DeleteMessageBatch", json!({ "Entries": many }), "TooManyEntriesInBatchRequest"),
            (
                "DeleteMessageBatch",
                json!({ "Entries": [entry("a"), entry("a")] }),
                "BatchEntryIdsNotDistinct",
            ),
            ("DeleteMessageBatch", json!({}), "SerializationException"),
            ("ReceiveMessage", json!({ "MaxNumberOfMessages": 11 }), "InvalidParameterValue"),
            ("ReceiveMessage", json!({ "WaitTimeSeconds": 21 }), "InvalidParameterValue"),
            ("ReceiveMessage", json!({ "QueueUrl": "x/nope" }), "QueueDoesNotExist"),
            ("GetQueueUrl", json!({ "QueueName": "nope" }), "QueueDoesNotExist"),
            ("Nope", json!({}), "UnknownOperationException"),
        ] {
            assert_eq!(call(&mut queues, operation, body, 100), Err(code), "{operation}");
        }
        let got = call(&mut queues, "ChangeMessageVisibilityBatch", json!({ "Entries": long }), 100).unwrap();
        assert_eq!(got["Failed"][0]["Code"], "InvalidParameterValue");
    }
}
