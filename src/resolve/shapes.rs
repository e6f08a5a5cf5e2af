//! One function a shape.

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use simd_json::BorrowedValue;
use simd_json::prelude::*;

use super::{Announcement, Object, Unreadable};
use crate::limits::MESSAGE_VALUES_MAX;

/// SNS in SNS is met where topics are chained; deeper than this is not.
pub const ENVELOPES_MAX: u32 = 3;

/// What CloudTrail sends, as plain text, to a topic that is given to a trail.
const CLOUDTRAIL_VALIDATION: &str = "CloudTrail validation message.";

/// EventBridge types that name an object which was written: `detail.eventName` of S3's data events.
const WRITING_CALLS: [&str; 4] = ["PutObject", "CopyObject", "CompleteMultipartUpload", "PostObject"];

type Result<T> = std::result::Result<T, Unreadable>;

pub fn read(body: &str, envelopes: u32) -> Result<Announcement> {
    if body.trim() == CLOUDTRAIL_VALIDATION {
        return Ok(ignored());
    }
    if values(body) > MESSAGE_VALUES_MAX {
        return Err(Unreadable::TooManyValues { max: MESSAGE_VALUES_MAX });
    }
    let mut bytes = body.as_bytes().to_vec();
    let value = simd_json::to_borrowed_value(&mut bytes).map_err(|e| Unreadable::NotJson(e.to_string()))?;
    let object = |name| value.get(name).is_some_and(|v| v.is_object());
    let array = |name| value.get(name).is_some_and(|v| v.is_array());
    match () {
        _ if array("Records") => s3_event(&value),
        _ if value.get_str("Event") == Some("s3:TestEvent") => Ok(ignored()),
        _ if value.get_str("Type") == Some("Notification") => sns(&value, envelopes),
        _ if object("detail") && is_event_bridge(&value) => event_bridge(&value),
        _ if array("files") && value.contains_key("bucket") => crowdstrike(&value),
        _ if value.contains_key("s3Bucket") && value.contains_key("s3ObjectKey") => delivery_notice(&value),
        _ if value.get_str("messageType").is_some_and(is_config_message) => Ok(ignored()),
        _ => Err(Unreadable::UnknownShape),
    }
}

/// How many values a text may have as JSON, at the most.
fn values(body: &str) -> usize {
    // A shorter text cannot have more, and need not be searched.
    if body.len() <= MESSAGE_VALUES_MAX {
        return body.len();
    }
    body.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count()
}

/// `{"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {…}}]}`; several
/// records may stand in one event. Keys are form-url-encoded.
fn s3_event(value: &BorrowedValue<'_>) -> Result<Announcement> {
    const SHAPE: &str = "an S3 event";
    let mut found = Announcement::default();
    for record in value.get_array("Records").into_iter().flatten() {
        if !record.get_str("eventSource").is_some_and(|source| source.ends_with(":s3")) {
            return Err(Unreadable::UnknownShape);
        }
        let name = record.get_str("eventName").ok_or(lacks(SHAPE, "eventName"))?;
        if !name.trim_start_matches("s3:").starts_with("ObjectCreated:") {
            found.ignored += 1;
            continue;
        }
        let written = record.get_str("eventTime").and_then(|time| time.parse().ok());
        found.written = [found.written, written].into_iter().flatten().min();
        let s3 = record.get("s3").ok_or(lacks(SHAPE, "s3"))?;
        let object = s3.get("object").ok_or(lacks(SHAPE, "s3.object"))?;
        let bucket =
            s3.get("bucket").and_then(|b| b.get_str("name")).ok_or(lacks(SHAPE, "s3.bucket.name"))?;
        let key = object.get_str("key").ok_or(lacks(SHAPE, "s3.object.key"))?;
        found.objects.push(Object {
            bucket: bucket.to_owned(),
            key: form_decoded(key),
            region: record.get_str("awsRegion").filter(|r| !r.is_empty()).map(str::to_owned),
            size: object.get_u64("size"),
            version_id: text(object, "versionId"),
            etag: text(object, "eTag"),
            checksum: None,
        });
    }
    Ok(found)
}

/// `{"Type": "Notification", "Message": "<the message as text>"}`. Raw delivery has no envelope.
fn sns(value: &BorrowedValue<'_>, envelopes: u32) -> Result<Announcement> {
    let message = value.get_str("Message").ok_or(lacks("an SNS notification", "Message"))?;
    if envelopes == 0 {
        return Err(Unreadable::UnknownShape);
    }
    read(message, envelopes - 1)
}

/// Security Lake's queues get EventBridge events of S3 that have lost their type: all tell of new objects.
fn is_event_bridge(value: &BorrowedValue<'_>) -> bool {
    value.contains_key("detail-type") || value.get_str("source") == Some("aws.s3")
}

/// EventBridge: keys are not encoded. All but writes are acknowledged: the rule's owner asked for
/// more than objects.
fn event_bridge(value: &BorrowedValue<'_>) -> Result<Announcement> {
    const SHAPE: &str = "an EventBridge event";
    let detail = value.get("detail").ok_or(lacks(SHAPE, "detail"))?;
    let from_s3 = value.get_str("source") == Some("aws.s3");
    let region = text(value, "region");
    let object = match value.get_str("detail-type") {
        Some("Object Created") | None if from_s3 => {
            let object = detail.get("object").ok_or(lacks(SHAPE, "detail.object"))?;
            Object {
                bucket: detail
                    .get("bucket")
                    .and_then(|b| text(b, "name"))
                    .ok_or(lacks(SHAPE, "detail.bucket.name"))?,
                key: text(object, "key").ok_or(lacks(SHAPE, "detail.object.key"))?,
                region,
                size: object.get_u64("size"),
                version_id: text(object, "version-id"),
                etag: text(object, "etag"),
                checksum: None,
            }
        }
        Some("AWS API Call via CloudTrail") if from_s3 && is_write(detail) => {
            let call = detail.get("requestParameters").ok_or(lacks(SHAPE, "detail.requestParameters"))?;
            Object {
                bucket: text(call, "bucketName").ok_or(lacks(SHAPE, "requestParameters.bucketName"))?,
                key: text(call, "key").ok_or(lacks(SHAPE, "requestParameters.key"))?,
                region,
                size: None,
                version_id: None,
                etag: None,
                checksum: None,
            }
        }
        _ => return Ok(ignored()),
    };
    let written = value.get_str("time").and_then(|time| time.parse().ok());
    Ok(Announcement { objects: vec![object], ignored: 0, written })
}

fn is_write(detail: &BorrowedValue<'_>) -> bool {
    detail.get_str("eventName").is_some_and(|name| WRITING_CALLS.contains(&name))
        && detail.get_str("errorCode").is_none()
}

/// CrowdStrike's own message: `{"bucket": …, "files": [{"path": …, "size": …}]}`. Paths are keys as
/// they are, `timestamp` is in milliseconds. A size of 0 is not believed: the files are worth a GET.
fn crowdstrike(value: &BorrowedValue<'_>) -> Result<Announcement> {
    const SHAPE: &str = "a CrowdStrike FDR message";
    let bucket = text(value, "bucket").ok_or(lacks(SHAPE, "bucket"))?;
    let written = value.get_i64("timestamp").and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let mut found = Announcement { written, ..Announcement::default() };
    for file in value.get_array("files").into_iter().flatten() {
        found.objects.push(Object {
            bucket: bucket.clone(),
            key: text(file, "path").ok_or(lacks(SHAPE, "a file's path"))?,
            region: None,
            size: file.get_u64("size").filter(|size| *size > 0),
            version_id: None,
            etag: None,
            checksum: text(file, "checksum"),
        });
    }
    Ok(found)
}

/// What CloudTrail (a list of keys) and Config (one key) tell their topics after a delivery.
fn delivery_notice(value: &BorrowedValue<'_>) -> Result<Announcement> {
    const SHAPE: &str = "a CloudTrail or Config notification";
    let bucket = text(value, "s3Bucket").ok_or(lacks(SHAPE, "s3Bucket"))?;
    let keys = value.get("s3ObjectKey").ok_or(lacks(SHAPE, "s3ObjectKey"))?;
    let keys: Vec<&str> = match keys.as_array() {
        Some(list) => list.iter().map(|k| k.as_str().ok_or(lacks(SHAPE, "a key"))).collect::<Result<_>>()?,
        None => vec![keys.as_str().ok_or(lacks(SHAPE, "s3ObjectKey"))?],
    };
    let object = |key: &&str| Object {
        bucket: bucket.clone(),
        key: (*key).to_owned(),
        region: None,
        size: None,
        version_id: None,
        etag: None,
        checksum: None,
    };
    Ok(Announcement { objects: keys.iter().map(object).collect(), ..Announcement::default() })
}

/// Config's other messages (changes, compliance, snapshot started) name no object.
fn is_config_message(message_type: &str) -> bool {
    ["Config", "Compliance", "OversizedConfig"].iter().any(|prefix| message_type.starts_with(prefix))
}

fn ignored() -> Announcement {
    Announcement { ignored: 1, ..Announcement::default() }
}

fn lacks(shape: &'static str, what: &'static str) -> Unreadable {
    Unreadable::Incomplete { shape, what }
}

fn text(value: &BorrowedValue<'_>, name: &str) -> Option<String> {
    value.get_str(name).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// `application/x-www-form-urlencoded`: `+` is a space, then percent-decoding. Bytes that are no
/// UTF-8 cannot stand in an S3 key; they are replaced, and S3 will answer that there is no such key.
fn form_decoded(key: &str) -> String {
    percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
}
