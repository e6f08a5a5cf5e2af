//! The tests' direct access to the emulator: buckets, objects, queues, messages, users, roles, topics.
//!
//! Calls are made as the account's root user, whose signatures the emulator does not check; the program under test uses
//! the keys of an IAM user, whose signatures it does.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::emulator;
use crate::rig::process::{PATIENCE, wait_for_value};

pub const REGION: &str = "us-east-1";
pub const ACCOUNT: &str = "000000000000";

/// Keys of an IAM user.
#[derive(Clone)]
pub struct User {
    pub name: String,
    pub key_id: String,
    pub secret: String,
}

/// A queue, by its URL.
#[derive(Clone)]
pub struct Queue {
    pub name: String,
    pub url: String,
}

/// One message in a queue, seen without receiving it.
pub struct Peek {
    pub id: String,
    pub visible: bool,
    pub receive_count: u64,
}

impl Queue {
    /// `dead_letters` is the queue for messages that have been received this many times in vain.
    pub fn create(name: &str, dead_letters: Option<(&Queue, u32)>) -> Queue {
        let mut attributes = json!({ "Policy": json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
        ]}).to_string() });
        if let Some((queue, times)) = dead_letters {
            let policy = json!({"deadLetterTargetArn": queue.arn(), "maxReceiveCount": times});
            attributes["RedrivePolicy"] = policy.to_string().into();
        }
        let answer = sqs("CreateQueue", json!({"QueueName": name, "Attributes": attributes}));
        Queue { name: name.into(), url: answer["QueueUrl"].as_str().unwrap().into() }
    }

    /// A FIFO queue; its name ends with `.fifo`.
    pub fn create_fifo(name: &str) -> Queue {
        let attributes = json!({"FifoQueue": "true", "ContentBasedDeduplication": "true"});
        let answer = sqs("CreateQueue", json!({"QueueName": name, "Attributes": attributes}));
        Queue { name: name.into(), url: answer["QueueUrl"].as_str().unwrap().into() }
    }

    /// Sends a message of a group; returns the message's id.
    pub fn send_in_group(&self, group: &str, body: &str) -> String {
        let message = json!({"QueueUrl": self.url, "MessageBody": body, "MessageGroupId": group});
        sqs("SendMessage", message)["MessageId"].as_str().unwrap().to_owned()
    }

    pub fn arn(&self) -> String {
        format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}", self.name)
    }

    pub fn send(&self, bodies: &[String]) {
        for ten in bodies.chunks(10) {
            let entries: Vec<_> = (0..).zip(ten).map(entry).collect();
            let answer = sqs("SendMessageBatch", json!({"QueueUrl": self.url, "Entries": entries}));
            assert_eq!(answer["Successful"].as_array().map(Vec::len), Some(ten.len()), "{answer}");
        }
    }

    /// Every message in the queue, in flight or not, without affecting it.
    pub fn peek(&self) -> Vec<Peek> {
        let url =
            format!("{}/_ministack/sqs/messages?QueueUrl={}", emulator::endpoint(), encode(&self.url, ""));
        let answer: Value = serde_json::from_str(&call(ureq::get(&url).call())).unwrap();
        let messages = &answer["messages"][ACCOUNT][REGION][&self.url];
        messages
            .as_array()
            .unwrap_or_else(|| panic!("no such queue: {answer}"))
            .iter()
            .map(Peek::read)
            .collect()
    }

    pub fn is_empty(&self) -> bool {
        self.peek().is_empty()
    }
}

impl Peek {
    fn read(message: &Value) -> Peek {
        Peek {
            id: message["MessageId"].as_str().unwrap().to_owned(),
            visible: message["IsVisible"].as_bool().unwrap(),
            receive_count: message["ReceiveCount"].as_u64().unwrap(),
        }
    }
}

pub fn create_bucket(name: &str) {
    put(&format!("/{name}"), &[]);
}

pub fn put_object(bucket: &str, key: &str, bytes: &[u8]) {
    put(&format!("/{bucket}/{}", encode(key, "/")), bytes);
}

/// The ETag of an object, without quotes.
pub fn etag(bucket: &str, key: &str) -> String {
    let url = format!("{}/{bucket}/{}", emulator::endpoint(), encode(key, "/"));
    let answer = ureq::get(url).header("Authorization", root("s3")).call().unwrap();
    answer.headers()["etag"].to_str().unwrap().trim_matches('"').to_owned()
}

/// S3 itself announces the bucket's new objects; beginning with its `s3:TestEvent`.
pub fn notify(bucket: &str, queue: &Queue) {
    let xml = format!(
        "<NotificationConfiguration><QueueConfiguration><Id>all</Id><Queue>{}</Queue>\
         <Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>",
        queue.arn()
    );
    put(&format!("/{bucket}?notification"), xml.as_bytes());
}

/// The same, and EventBridge gets the events too.
pub fn notify_also_by_eventbridge(bucket: &str, queue: &Queue) {
    let xml = format!(
        "<NotificationConfiguration><QueueConfiguration><Id>all</Id><Queue>{}</Queue>\
         <Event>s3:ObjectCreated:*</Event></QueueConfiguration>\
         <EventBridgeConfiguration></EventBridgeConfiguration></NotificationConfiguration>",
        queue.arn()
    );
    put(&format!("/{bucket}?notification"), xml.as_bytes());
}

/// One value of a metric with one dimension, at a time in seconds since 1970.
pub fn put_metric(namespace: &str, name: &str, dimension: (&str, &str), at: i64, value: f64) {
    let (at, value) = (jiff::Timestamp::from_second(at).unwrap().to_string(), value.to_string());
    let datum = |name: &str| format!("MetricData.member.1.{name}");
    let parameters = [
        ("Action", "PutMetricData"),
        ("Namespace", namespace),
        (&datum("MetricName"), name),
        (&datum("Dimensions.member.1.Name"), dimension.0),
        (&datum("Dimensions.member.1.Value"), dimension.1),
        (&datum("Timestamp"), &at),
        (&datum("Value"), &value),
    ];
    form("monitoring", &parameters);
}

pub fn create_log_group(name: &str, region: &str) {
    logs("CreateLogGroup", region, json!({"logGroupName": name}));
}

/// Creates log groups with these names.
pub fn create_log_groups(names: impl Iterator<Item = String>, region: &str) -> Vec<String> {
    names.inspect(|name| create_log_group(name, region)).collect()
}

/// Puts (time in milliseconds since 1970, message) into a stream, which is created if missing.
pub fn put_log_events(group: &str, stream: &str, region: &str, events: &[(i64, String)]) {
    let names = json!({"logGroupName": group, "logStreamNamePrefix": stream});
    let found = logs("DescribeLogStreams", region, names);
    if found["logStreams"].as_array().is_none_or(Vec::is_empty) {
        logs("CreateLogStream", region, json!({"logGroupName": group, "logStreamName": stream}));
    }
    let events: Vec<_> = events.iter().map(|(at, line)| json!({"timestamp": at, "message": line})).collect();
    logs(
        "PutLogEvents",
        region,
        json!({"logGroupName": group, "logStreamName": stream, "logEvents": events}),
    );
}

/// A table with the keys that the collector's template gives it.
pub fn create_table(name: &str) {
    let keys = [("pk", "HASH"), ("sk", "RANGE")];
    let body = json!({
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": keys.map(|(name, _)| json!({"AttributeName": name, "AttributeType": "S"})),
        "KeySchema": keys.map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind})),
    });
    dynamodb("CreateTable", body);
    remove_old_items(name, true);
}

/// Turns a table's time to live on, or off.
pub fn remove_old_items(table: &str, on: bool) {
    let how = json!({"Enabled": on, "AttributeName": "expires"});
    dynamodb("UpdateTimeToLive", json!({"TableName": table, "TimeToLiveSpecification": how}));
}

/// All items of a table, in DynamoDB's form.
pub fn items(table: &str) -> Vec<Value> {
    let answer = dynamodb("Scan", json!({"TableName": table}));
    answer["Items"].as_array().unwrap().clone()
}

/// Writes an item, in DynamoDB's form.
pub fn put_item(table: &str, item: &Value) {
    dynamodb("PutItem", json!({"TableName": table, "Item": item}));
}

fn dynamodb(action: &str, body: Value) -> Value {
    let request = ureq::post(emulator::endpoint())
        .header("Authorization", root("dynamodb"))
        .header("X-Amz-Target", format!("DynamoDB_20120810.{action}"))
        .header("Content-Type", "application/x-amz-json-1.0");
    serde_json::from_str(&call(request.send(body.to_string()))).unwrap()
}

/// A topic that `queue` is subscribed to; its ARN.
pub fn create_topic(name: &str, queue: &Queue, raw_delivery: bool) -> String {
    form("sns", &[("Action", "CreateTopic"), ("Name", name)]);
    let topic = format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}");
    let raw = raw_delivery.to_string();
    form(
        "sns",
        &[
            ("Action", "Subscribe"),
            ("TopicArn", &topic),
            ("Protocol", "sqs"),
            ("Endpoint", &queue.arn()),
            ("Attributes.entry.1.key", "RawMessageDelivery"),
            ("Attributes.entry.1.value", &raw),
        ],
    );
    topic
}

pub fn publish(topic: &str, message: &str) {
    form("sns", &[("Action", "Publish"), ("TopicArn", topic), ("Message", message)]);
}

/// A user that may do everything, shared by all tests.
pub fn user() -> &'static User {
    static USER: OnceLock<User> = OnceLock::new();
    USER.get_or_init(|| create_user("collector", "*"))
}

/// A user that may do `action` and nothing else.
pub fn create_user(name: &str, action: &str) -> User {
    create_user_with(name, &allow(action))
}

/// A user with a policy, a JSON document.
pub fn create_user_with(name: &str, policy: &str) -> User {
    form("iam", &[("Action", "CreateUser"), ("UserName", name)]);
    let answer = form("iam", &[("Action", "CreateAccessKey"), ("UserName", name)]);
    let put =
        [("Action", "PutUserPolicy"), ("UserName", name), ("PolicyName", "it"), ("PolicyDocument", policy)];
    form("iam", &put);
    User {
        name: name.into(),
        key_id: element(&answer, "AccessKeyId"),
        secret: element(&answer, "SecretAccessKey"),
    }
}

/// A role that may do `action`, and that `principal` may assume; its ARN.
pub fn create_role(name: &str, action: &str, principal: &str, external_id: Option<&str>) -> String {
    let mut statement =
        json!({"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"});
    if let Some(id) = external_id {
        statement["Condition"] = json!({"StringEquals": {"sts:ExternalId": id}});
    }
    create_role_with(name, action, &statement)
}

/// A role that may do `action`, for the tokens of `provider`, an OpenID Connect provider's ARN; its ARN.
pub fn create_web_identity_role(name: &str, action: &str, provider: &str) -> String {
    let statement = json!({
        "Effect": "Allow", "Principal": {"Federated": provider}, "Action": "sts:AssumeRoleWithWebIdentity"
    });
    create_role_with(name, action, &statement)
}

/// A role with the given ARN and policy, a JSON document, that `principal` may assume.
pub fn create_role_by(arn: &str, policy: &str, principal: &str) {
    let name = arn.rsplit('/').next().unwrap();
    let trust = json!({"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"});
    let made = create_role_under(name, policy, &trust);
    assert_eq!(made, arn);
}

fn create_role_with(name: &str, action: &str, trust: &Value) -> String {
    create_role_under(name, &allow(action), trust)
}

fn create_role_under(name: &str, policy: &str, trust: &Value) -> String {
    let trust = json!({"Version": "2012-10-17", "Statement": [trust]}).to_string();
    form("iam", &[("Action", "CreateRole"), ("RoleName", name), ("AssumeRolePolicyDocument", &trust)]);
    let put =
        [("Action", "PutRolePolicy"), ("RoleName", name), ("PolicyName", "it"), ("PolicyDocument", policy)];
    form("iam", &put);
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// Makes a stack, waits until it is there, and returns its outputs.
pub fn create_stack(name: &str, template: &str, parameters: &[(&str, &str)]) -> HashMap<String, String> {
    let mut pairs = vec![("Action".to_owned(), "CreateStack"), ("StackName".into(), name)];
    pairs.extend([
        ("TemplateBody".into(), template),
        ("Capabilities.member.1".into(), "CAPABILITY_NAMED_IAM"),
    ]);
    for (number, (key, value)) in (1..).zip(parameters) {
        pairs.push((format!("Parameters.member.{number}.ParameterKey"), key));
        pairs.push((format!("Parameters.member.{number}.ParameterValue"), value));
    }
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    form("cloudformation", &pairs);
    let describe = || form("cloudformation", &[("Action", "DescribeStacks"), ("StackName", name)]);
    let stack = wait_for_value("the stack", PATIENCE, || {
        let stack = describe();
        let status = element(&stack, "StackStatus");
        assert!(!status.contains("FAILED") && !status.contains("ROLLBACK"), "{stack}");
        (status == "CREATE_COMPLETE").then_some(stack)
    });
    let outputs = stack.split("<OutputKey>").skip(1);
    outputs
        .map(|output| (output.split('<').next().unwrap().to_owned(), element(output, "OutputValue")))
        .collect()
}

/// Percent-encodes all but letters, digits, `-._~` and the characters of `keep`.
pub fn encode(text: &str, keep: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c) || keep.contains(c);
    let mut encoded = String::new();
    for c in text.chars() {
        if plain(c) {
            encoded.push(c);
        } else {
            c.to_string().bytes().for_each(|b| encoded.push_str(&format!("%{b:02X}")));
        }
    }
    encoded
}

fn entry((id, body): (usize, &String)) -> Value {
    json!({"Id": id.to_string(), "MessageBody": body})
}

fn allow(action: &str) -> String {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]})
        .to_string()
}

fn sqs(action: &str, body: Value) -> Value {
    let request = ureq::post(emulator::endpoint())
        .header("Authorization", root("sqs"))
        .header("X-Amz-Target", format!("AmazonSQS.{action}"))
        .header("Content-Type", "application/x-amz-json-1.0");
    serde_json::from_str(&call(request.send(body.to_string()))).unwrap()
}

fn logs(action: &str, region: &str, body: Value) -> Value {
    let request = ureq::post(emulator::endpoint())
        .header("Authorization", root("logs").replace(REGION, region))
        .header("X-Amz-Target", format!("Logs_20140328.{action}"))
        .header("Content-Type", "application/x-amz-json-1.1");
    serde_json::from_str(&call(request.send(body.to_string()))).unwrap_or_default()
}

fn form(service: &str, parameters: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = parameters.iter().map(|(k, v)| format!("{k}={}", encode(v, ""))).collect();
    let request = ureq::post(emulator::endpoint())
        .header("Authorization", root(service))
        .header("Content-Type", "application/x-www-form-urlencoded");
    call(request.send(pairs.join("&")))
}

fn put(path: &str, body: &[u8]) {
    let url = format!("{}{path}", emulator::endpoint());
    call(ureq::put(url).header("Authorization", root("s3")).send(body));
}

fn root(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
}

fn call(answer: Result<http::Response<ureq::Body>, ureq::Error>) -> String {
    let mut answer = answer.unwrap_or_else(|e| panic!("the emulator refused a call of the test itself: {e}"));
    let body = answer.body_mut().with_config().limit(1 << 30).read_to_string();
    body.unwrap_or_else(|e| panic!("no answer from the emulator within {:?}: {e}", Duration::ZERO))
}

fn element(xml: &str, name: &str) -> String {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {xml}"));
    rest.split('<').next().unwrap().to_owned()
}
