//! The announcements themselves: one function per shape.

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use simd_json::BorrowedValue;
use simd_json::prelude::*;

use super::{Announcement, Objects, Result, Unreadable};
use crate::base::object::Object;

/// Names of S3's events about an object's content: `s3:` may precede them, and a colon with the kind of call may
/// follow. `ObjectSynced` is Ceph's, for an object from another zone; the others are EventBridge's and CloudTrail's
/// names, for messages derived from theirs.
const CREATIONS: [&str; 8] = [
    "ObjectCreated",
    "ObjectSynced",
    "Object Created",
    "PutObject",
    "CopyObject",
    "CompleteMultipartUpload",
    "PostObject",
    "POST Object",
];

/// Names of S3's other events, in the same form. From `ObjectAccessed` on they are MinIO's and Ceph's.
const OTHERS: [&str; 17] = [
    "DeleteObject",
    "DeleteObjects",
    "Lifecycle Expiration",
    "ObjectRemoved",
    "ObjectRestore",
    "ObjectTagging",
    "ObjectAcl",
    "LifecycleExpiration",
    "LifecycleTransition",
    "IntelligentTiering",
    "Replication",
    "ReducedRedundancyLostObject",
    "ObjectAccessed",
    "ObjectReplication",
    "ObjectTransition",
    "ObjectLifecycle",
    "ObjectManyVersions",
];

/// Members for a bucket and a key side by side, as input transformers and functions write them.
const PAIRS: [(&str, &str); 8] = [
    ("bucket", "key"),
    ("Bucket", "Key"),
    ("bucket", "object_key"),
    ("bucketName", "key"),
    ("bucketName", "objectKey"),
    ("bucket_name", "object_key"),
    ("s3Bucket", "s3Key"),
    ("s3BucketName", "s3Key"),
];

const UNCLEAR: &str = "it is unclear whether it announces an object. Restrict the notification to s3:ObjectCreated:*, or the rule to \
                       the detail-type Object Created";
const NOT_CREATED: &str = "an S3 event of another kind than a new object";
const DIRECT: &str = "it contains logs and names no object. If the messages are the logs, set `direct_mode: true` \
                      for the input; else stop this sender from using the queue";

/// Reads the announcement in one place of an object.
pub type Read = fn(&BorrowedValue<'_>) -> Result<Announcement>;

/// The readers of all places in an object that name objects, or show that it is known to name none: not of a list of
/// records, and not of envelopes. What looks like such a place and cannot be one is an error, so that a sound place beside
/// it does not hide it.
pub fn places(value: &BorrowedValue<'_>) -> Vec<Read> {
    let has = |name| value.contains_key(name);
    let is_object = |name| value.get(name).is_some_and(|v| v.is_object());
    let is_array = |name| value.get(name).is_some_and(|v| v.is_array());
    let text = |name| value.get_str(name);
    let is_odd = |name, is_sound: bool| !is_sound && value.get(name).is_some_and(says_something);
    let is_confirmation =
        matches!(text("Type"), Some("SubscriptionConfirmation" | "UnsubscribeConfirmation"));
    let all: [(bool, Read); 17] = [
        (is_odd("Records", is_array("Records")), |_| Err(lacks("an S3 event", "a list as Records"))),
        (is_event_of_s3(value), event_of_s3),
        (is_scheduled(value), |_| Ok(Announcement::nothing("a scheduled event"))),
        (text("Event") == Some("s3:TestEvent"), |_| Ok(Announcement::nothing("S3's test of a notification"))),
        (is_confirmation, |value| Err(confirmation(value))),
        (is_object("s3"), s3_record),
        (is_odd("s3", is_object("s3")), |_| Err(lacks("an S3 event", "an object as s3"))),
        (is_array("files") && has("bucket"), crowdstrike),
        (has("bucket") && is_odd("files", is_array("files")), |_| {
            Err(lacks("a CrowdStrike FDR message", "a list as files"))
        }),
        (has("s3Bucket") && has("s3ObjectKey"), delivery_notice),
        (text("messageType").is_some_and(is_config_message), config_message),
        (has("invocationSchemaVersion") && is_array("tasks"), batch_operation),
        (is_detail(value), |value| detail_of_s3(value, Object::named_or_encoded)),
        // Other calls may be in a log.
        (text("eventSource") == Some("s3.amazonaws.com") && is_write(value), call_to_s3),
        (is_object("awslogs") || is_array("logEvents"), |_| {
            Err(Unreadable::refused("an envelope of CloudWatch Logs", "", DIRECT))
        }),
        (text("eventSource") == Some("aws:ses"), |_| {
            Err(Unreadable::refused(
                "an SES event",
                "",
                "SES does not announce objects to a queue. Have S3 announce them",
            ))
        }),
        (PAIRS.iter().any(|pair| is_pair(value, pair)), pairs),
    ];
    all.into_iter().filter_map(|(is_there, read)| is_there.then_some(read)).collect()
}

/// The list of records, each of which is a message.
pub fn records<'a>(value: &'a BorrowedValue<'a>) -> Option<&'a [BorrowedValue<'a>]> {
    value.get_array("Records").map(|records| records.as_slice())
}

/// The name of an EventBridge event that is not S3's: its `detail` may be any message.
pub fn other_event(value: &BorrowedValue<'_>) -> Option<String> {
    let part = |name| value.get_str(name).unwrap_or("?");
    let is_other = is_event(value) && !is_event_of_s3(value) && !is_scheduled(value);
    is_other.then(|| format!("{} of {}", part("detail-type"), part("source")))
}

/// False for what contains nothing.
pub fn says_something(value: &BorrowedValue<'_>) -> bool {
    match value {
        BorrowedValue::String(text) => !text.trim().is_empty(),
        BorrowedValue::Array(list) => !list.is_empty(),
        BorrowedValue::Object(members) => !members.is_empty(),
        BorrowedValue::Static(_) => false,
    }
}

/// Reads one element of `{"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {…}}]}`. Keys
/// are form-URL-encoded. Other servers and input transformers write another source, or omit it and the name.
fn s3_record(record: &BorrowedValue<'_>) -> Result<Announcement> {
    const SHAPE: &str = "an S3 event";
    let name = record.get_str("eventName").unwrap_or("ObjectCreated");
    if !is_creation(SHAPE, name)? {
        return Ok(Announcement::nothing(NOT_CREATED));
    }
    let s3 = record.get("s3").ok_or(lacks(SHAPE, "s3"))?;
    let object = s3.get("object").ok_or(lacks(SHAPE, "s3.object"))?;
    let bucket = s3.get("bucket").and_then(bucket_name).ok_or(lacks(SHAPE, "s3.bucket.name"))?;
    let key = object.get_str("key").ok_or(lacks(SHAPE, "s3.object.key"))?;
    let object = Object {
        region: text(record, "awsRegion"),
        size: object.get_u64("size"),
        version_id: text(object, "versionId"),
        etag: text(object, "eTag"),
        ..Object::encoded(bucket, key)
    };
    Ok(Announcement::of(object).written(time(record, "eventTime")))
}

/// True if an event of this name announces a new object. An unknown name may, and is refused.
fn is_creation(shape: &'static str, name: &str) -> Result<bool> {
    let kind = name.strip_prefix("s3:").unwrap_or(name).split(':').next().unwrap_or_default();
    match () {
        () if CREATIONS.contains(&kind) => Ok(true),
        () if OTHERS.contains(&kind) || kind.starts_with("Object ") || kind.starts_with("Bucket") => {
            Ok(false)
        }
        () => Err(Unreadable::refused(shape, name, UNCLEAR)),
    }
}

/// Reads Security Lake's events: EventBridge events of S3 without their type, which are all about new objects.
fn is_event(value: &BorrowedValue<'_>) -> bool {
    value.get("detail").is_some_and(|detail| detail.is_object())
        && (value.contains_key("detail-type") || value.get_str("source") == Some("aws.s3"))
}

/// True for an EventBridge event of S3, whose `detail` is not an envelope.
pub fn is_event_of_s3(value: &BorrowedValue<'_>) -> bool {
    is_event(value) && value.get_str("source") == Some("aws.s3")
}

/// Reads EventBridge's events, whose keys are not encoded. All except writes are acknowledged: the rule's owner
/// selected more than objects.
fn event_of_s3(value: &BorrowedValue<'_>) -> Result<Announcement> {
    let detail = value.get("detail").ok_or(lacks("an EventBridge event", "detail"))?;
    let (region, written) = (text(value, "region"), time(value, "time"));
    let found = match value.get_str("detail-type") {
        Some("Object Created") | None => detail_of_s3(detail, Object::named),
        Some("AWS API Call via CloudTrail") => call_to_s3(detail),
        Some(kind) if kind.starts_with("Object ") || kind.ends_with(" via CloudTrail") => {
            Ok(Announcement::nothing(NOT_CREATED))
        }
        Some(kind) => Err(Unreadable::refused("an EventBridge event of S3", kind, UNCLEAR)),
    };
    Ok(found?.in_region(region.as_deref()).written(written))
}

/// A schedule's event contains nothing.
fn is_scheduled(value: &BorrowedValue<'_>) -> bool {
    is_event(value)
        && value.get_str("detail-type") == Some("Scheduled Event")
        && value.get_str("source") == Some("aws.events")
}

/// The error for an EventBridge event without an announcement.
pub fn refused_event(named: &str) -> Unreadable {
    Unreadable::refused(
        "an EventBridge event",
        named,
        "it names no object. If the events are the logs, set `direct_mode: true` for the input; else narrow the rule to \
         source aws.s3, detail-type Object Created",
    )
}

/// Reads `detail` of an EventBridge event of S3, or that alone. Events other than those of new objects name their kind.
fn detail_of_s3(detail: &BorrowedValue<'_>, name: fn(&str, &str) -> Object) -> Result<Announcement> {
    const SHAPE: &str = "an EventBridge event of S3";
    const OF_OTHERS: [&str; 5] = [
        "deletion-type",
        "restore-expiry-time",
        "source-storage-class",
        "destination-storage-class",
        "destination-access-tier",
    ];
    if OF_OTHERS.iter().any(|member| detail.contains_key(*member)) {
        return Ok(Announcement::nothing(NOT_CREATED));
    }
    let object = detail.get("object").ok_or(lacks(SHAPE, "detail.object"))?;
    let bucket = detail.get("bucket").and_then(bucket_name).ok_or(lacks(SHAPE, "detail.bucket.name"))?;
    let key = text(object, "key").ok_or(lacks(SHAPE, "detail.object.key"))?;
    Ok(Announcement::of(Object {
        size: object.get_u64("size"),
        version_id: text(object, "version-id").or_else(|| text(object, "versionId")),
        etag: text(object, "etag").or_else(|| text(object, "eTag")),
        ..name(bucket, &key)
    }))
}

/// Reads a call to S3 as CloudTrail reports it.
fn call_to_s3(call: &BorrowedValue<'_>) -> Result<Announcement> {
    const SHAPE: &str = "CloudTrail's report of a call to S3";
    if !is_write(call) || call.get_str("errorCode").is_some() {
        return Ok(Announcement::nothing("a call to S3 that wrote no object"));
    }
    let parameters = call.get("requestParameters").ok_or(lacks(SHAPE, "requestParameters"))?;
    let bucket = text(parameters, "bucketName").ok_or(lacks(SHAPE, "requestParameters.bucketName"))?;
    let key = text(parameters, "key").ok_or(lacks(SHAPE, "requestParameters.key"))?;
    let region = text(call, "awsRegion");
    Ok(Announcement::of(Object { region, ..Object::named(&bucket, &key) }).written(time(call, "eventTime")))
}

fn is_write(call: &BorrowedValue<'_>) -> bool {
    call.get_str("eventName").is_some_and(|name| CREATIONS.contains(&name))
}

/// Reads CrowdStrike's own message: `{"bucket": …, "files": [{"path": …, "size": …}]}`. Paths are unencoded keys,
/// `timestamp` is in milliseconds. A size of 0 is not believed: the files are worth a GET.
fn crowdstrike(value: &BorrowedValue<'_>) -> Result<Announcement> {
    const SHAPE: &str = "a CrowdStrike FDR message";
    let bucket = text(value, "bucket").ok_or(lacks(SHAPE, "bucket"))?;
    let written = value.get_i64("timestamp").and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let files = value.get_array("files").map_or(0, |files| files.len() as u64);
    if value.get_u64("fileCount").is_some_and(|count| count > files) {
        return Err(lacks(SHAPE, "as many files as its fileCount says"));
    }
    let file = |file: &BorrowedValue<'_>| {
        let path = text(file, "path").ok_or(lacks(SHAPE, "a file's path"))?;
        let size = file.get_u64("size").filter(|size| *size > 0);
        Ok(Object { size, checksum: text(file, "checksum"), ..Object::named(&bucket, &path) })
    };
    all(
        value.get_array("files").into_iter().flatten().map(file),
        "a CrowdStrike FDR message without files",
        written,
    )
}

/// Reads what CloudTrail (a list of keys) and Config (one key) send to their topics after a delivery.
fn delivery_notice(value: &BorrowedValue<'_>) -> Result<Announcement> {
    const SHAPE: &str = "a CloudTrail or Config notification";
    let bucket = text(value, "s3Bucket").ok_or(lacks(SHAPE, "s3Bucket"))?;
    let keys = value.get("s3ObjectKey").ok_or(lacks(SHAPE, "s3ObjectKey"))?;
    let key = |key: &BorrowedValue<'_>| {
        let key = key.as_str().filter(|key| !key.is_empty()).ok_or(lacks(SHAPE, "a key"))?;
        Ok(Object::named(&bucket, key))
    };
    let keys = keys.as_array().map_or(std::slice::from_ref(keys), |list| list.as_slice());
    all(keys.iter().map(key), "a CloudTrail notification without keys", None)
}

fn is_config_message(message_type: &str) -> bool {
    ["Config", "Compliance", "OversizedConfig"].iter().any(|prefix| message_type.starts_with(prefix))
}

/// Reads Config's other messages, which name no object, except those of a change that is too large for a message.
fn config_message(value: &BorrowedValue<'_>) -> Result<Announcement> {
    const SHAPE: &str = "Config's notification of an oversized change";
    if value.get_str("messageType") != Some("OversizedConfigurationItemChangeNotification") {
        return Ok(Announcement::nothing(
            "a message of Config's whose content comes with the configuration history",
        ));
    }
    let summary = value.get("s3DeliverySummary").ok_or(lacks(SHAPE, "s3DeliverySummary"))?;
    if let Some(code) = text(summary, "errorCode") {
        let cure = "Config could not write the change to its bucket. Fix its delivery channel";
        return Err(Unreadable::refused(SHAPE, &code, cure));
    }
    let place =
        text(summary, "s3BucketLocation").ok_or(lacks(SHAPE, "s3DeliverySummary.s3BucketLocation"))?;
    let place = place.strip_prefix("s3://").unwrap_or(&place);
    let (bucket, key) = place.split_once('/').ok_or(lacks(SHAPE, "a key in s3BucketLocation"))?;
    Ok(Announcement::of(Object::named(bucket, key)).written(time(value, "notificationCreationTime")))
}

/// Reads what S3 Batch Operations sends to a function: `{"tasks": [{"s3BucketArn": …, "s3Key": …}]}`, with URL-encoded
/// keys.
fn batch_operation(value: &BorrowedValue<'_>) -> Result<Announcement> {
    const SHAPE: &str = "a message of S3 Batch Operations";
    let task = |task: &BorrowedValue<'_>| {
        let bucket = text(task, "s3BucketArn").or_else(|| text(task, "s3Bucket"));
        let bucket = bucket.ok_or(lacks(SHAPE, "a task's s3BucketArn"))?;
        let key = text(task, "s3Key").ok_or(lacks(SHAPE, "a task's s3Key"))?;
        Ok(Object { version_id: text(task, "s3VersionId"), ..Object::encoded(&bucket, &key) })
    };
    all(value.get_array("tasks").into_iter().flatten().map(task), "a message without tasks", None)
}

/// Reads all pairs of a bucket and a key side by side. Whether a key is encoded is unknown.
fn pairs(value: &BorrowedValue<'_>) -> Result<Announcement> {
    let mut there = PAIRS.iter().filter(|pair| is_pair(value, pair));
    there.try_fold(Announcement::default(), |found, (bucket, key)| {
        let (Some(bucket), Some(key)) = (text(value, bucket), text(value, key)) else {
            return Err(lacks("a message with a bucket and a key", "texts for both"));
        };
        Ok(found.and_beside(Announcement::of(Object::named_or_encoded(&bucket, &key))))
    })
}

/// True if both members of a pair say something. A bucket that is an object may belong to S3's `detail`.
fn is_pair(value: &BorrowedValue<'_>, (bucket, key): &(&str, &str)) -> bool {
    let says = |name: &str| value.get(name).is_some_and(says_something);
    says(bucket) && says(key) && !(*bucket == "bucket" && is_detail(value))
}

/// True for S3's `detail` alone.
fn is_detail(value: &BorrowedValue<'_>) -> bool {
    ["bucket", "object"].iter().all(|name| value.get(*name).is_some_and(|v| v.is_object()))
}

/// SNS asks before it sends anything. The token that answers it is in the message and not in the log.
fn confirmation(value: &BorrowedValue<'_>) -> Unreadable {
    let topic = text(value, "TopicArn").unwrap_or_else(|| "a topic without a name".to_owned());
    match value.get_str("Type") {
        Some("SubscriptionConfirmation") => Unreadable::refused(
            "an SNS SubscriptionConfirmation",
            &topic,
            "the topic waits for its confirmation, and sends nothing to this queue before that. Confirm it with `aws \
             sns confirm-subscription --topic-arn … --token …` and the Token of this message, or subscribe the queue \
             again as its owner, which needs no confirmation",
        ),
        _ => Unreadable::refused(
            "an SNS UnsubscribeConfirmation",
            &topic,
            "the queue is no longer subscribed, and the topic sends nothing more. Subscribe it again if that was not \
             intended",
        ),
    }
}

fn all(
    mut objects: impl Iterator<Item = Result<Object>>,
    none: &'static str,
    written: Option<Timestamp>,
) -> Result<Announcement> {
    let mut found = Objects::default();
    // A name that they share may be long, and cannot be valid then: it is not copied again for each of them.
    while !found.is_refused()
        && let Some(object) = objects.next()
    {
        found.push(&object?);
    }
    if found.is_empty() {
        return Ok(Announcement::nothing(none).written(written));
    }
    Ok(Announcement { objects: found, ..Announcement::default() }.written(written))
}

/// A bucket's name from an object that has it, or from its ARN. A bucket on an Outpost has a name that could be
/// another's.
fn bucket_name<'a>(bucket: &'a BorrowedValue<'_>) -> Option<&'a str> {
    let filled = |name: &str| bucket.get_str(name).filter(|text| !text.is_empty());
    let arn = filled("arn");
    arn.filter(|arn| arn.contains(":s3-outposts:")).or_else(|| filled("name")).or(arn)
}

fn lacks(shape: &'static str, what: &'static str) -> Unreadable {
    Unreadable::Incomplete { shape, what }
}

fn time(value: &BorrowedValue<'_>, name: &str) -> Option<Timestamp> {
    value.get_str(name)?.parse().ok()
}

fn text(value: &BorrowedValue<'_>, name: &str) -> Option<String> {
    value.get_str(name).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Decodes `application/x-www-form-urlencoded`: `+` is a space, then percent-decoding. Bytes that are not UTF-8 cannot
/// occur in an S3 key; they are replaced, and S3 will answer that there is no such key.
pub fn form_decoded(key: &str) -> String {
    percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
}
