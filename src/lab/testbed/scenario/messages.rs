//! SQS message bodies as AWS and CrowdStrike write them (Amazon S3 user guide, "Event message
//! structure" and "EventBridge"; Amazon SNS developer guide, "HTTP/HTTPS notification"; CrowdStrike's
//! public FDR sample).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::objects::Made;

const REGION: &str = "us-east-1";
const TIME: &str = "2026-03-14T09:30:00.000Z";

/// An object as named in a message.
#[derive(Debug, Clone, Copy)]
pub struct Announced<'m> {
    pub bucket: &'m str,
    pub key: &'m str,
    pub size: usize,
}

impl<'m> Announced<'m> {
    pub fn of(made: &'m Made) -> Announced<'m> {
        let object = &made.object;
        Announced { bucket: &object.bucket, key: &object.key, size: object.bytes.len() }
    }
}

/// Notifications of up to `per_message` objects each, after the test event that S3 sends first, and a removal, which
/// announces nothing.
pub fn s3_events(bucket: &str, objects: &[Announced<'_>], per_message: usize) -> Vec<String> {
    let mut messages = vec![test_event(bucket)];
    messages.extend(objects.chunks(per_message.max(1)).map(|chunk| s3_event("ObjectCreated:Put", chunk)));
    let removed = Announced { bucket, key: "gone/for good.gz", size: 0 };
    messages.push(s3_event("ObjectRemoved:Delete", &[removed]));
    messages
}

/// The notifications, each in an SNS envelope.
pub fn sns_events(bucket: &str, objects: &[Announced<'_>]) -> Vec<String> {
    s3_events(bucket, objects, 1).into_iter().map(|message| sns(&message)).collect()
}

/// EventBridge's `Object Created`; its keys are not encoded.
pub fn eventbridge_events(objects: &[Announced<'_>]) -> Vec<String> {
    objects.iter().map(eventbridge).collect()
}

/// A message per folder.
pub fn fdr_messages(objects: &[Announced<'_>]) -> Vec<String> {
    let folder = |object: &Announced<'_>| object.key.rsplit_once('/').map_or("", |(f, _)| f).to_owned();
    objects.chunk_by(|a, b| folder(a) == folder(b)).map(|files| fdr(&folder(&files[0]), files)).collect()
}

fn test_event(bucket: &str) -> String {
    json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": TIME,
        "Bucket": bucket,
        "RequestId": "7F3A9C2E51D8B604",
        "HostId": "q8Rk2vXn5TzL0mWc7YdBf3HsJ6pG9aUe",
    })
    .to_string()
}

pub fn s3_event(name: &str, objects: &[Announced<'_>]) -> String {
    let record = |object: &Announced<'_>| {
        json!({
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": REGION,
            "eventTime": TIME,
            "eventName": name,
            "userIdentity": { "principalId": "AWS:AROAEXAMPLE6M2X8C4DJ" },
            "requestParameters": { "sourceIPAddress": "198.51.100.23" },
            "responseElements": { "x-amz-request-id": "B25D08F7C4E3916A" },
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "to-sqs",
                "bucket": {
                    "name": object.bucket,
                    "ownerIdentity": { "principalId": "A1EXAMPLE" },
                    "arn": format!("arn:aws:s3:::{}", object.bucket),
                },
                "object": { "key": form_encode(object.key), "size": object.size, "sequencer": "0069B52DA1" },
            },
        })
    };
    json!({ "Records": objects.iter().map(record).collect::<Vec<Value>>() }).to_string()
}

fn sns(message: &str) -> String {
    json!({
        "Type": "Notification",
        "MessageId": "5d70e9b3-64fa-4182-8c9b-7a2e3d1f06c5",
        "TopicArn": "arn:aws:sns:us-east-1:111122223333:logs",
        "Subject": "Amazon S3 Notification",
        "Message": message,
        "Timestamp": TIME,
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService.pem",
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
    })
    .to_string()
}

fn eventbridge(object: &Announced<'_>) -> String {
    json!({
        "version": "0",
        "id": "16e0a8d7-f94b-4c3e-a5b2-d7f39c81e064",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-03-14T09:30:00Z",
        "region": REGION,
        "resources": [format!("arn:aws:s3:::{}", object.bucket)],
        "detail": {
            "version": "0",
            "bucket": { "name": object.bucket },
            "object": { "key": object.key, "size": object.size, "sequencer": "0069B52DA1" },
            "request-id": "B25D08F7C4E3916A",
            "requester": "111122223333",
            "source-ip-address": "198.51.100.23",
            "reason": "PutObject",
        },
    })
    .to_string()
}

fn fdr(folder: &str, files: &[Announced<'_>]) -> String {
    let file = |f: &Announced<'_>| json!({ "path": f.key, "size": f.size });
    json!({
        "cid": super::TENANT,
        "timestamp": 1_773_480_600_000u64,
        "fileCount": files.len(),
        "totalSize": files.iter().map(|f| f.size).sum::<usize>(),
        "bucket": files.first().map_or("", |f| f.bucket),
        "pathPrefix": folder,
        "files": files.iter().map(file).collect::<Vec<Value>>(),
    })
    .to_string()
}

/// Encodes keys as S3 does in notifications: form-URL-encoded, except slashes.
fn form_encode(key: &str) -> String {
    const ENCODED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b' ');
    utf8_percent_encode(key, ENCODED).to_string().replace(' ', "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_as_s3_does() {
        assert_eq!(form_encode("a b/größe=1+2.gz"), "a+b/gr%C3%B6%C3%9Fe%3D1%2B2.gz");
    }

    #[test]
    fn a_folder_of_fdr_is_one_message() {
        let file = |key| Announced { bucket: "b", key, size: 5 };
        let messages = fdr_messages(&[file("x/1/part-0"), file("x/1/part-1"), file("x/2/part-0")]);
        let counts: Vec<u64> = messages
            .iter()
            .map(|m| serde_json::from_str::<Value>(m).unwrap()["fileCount"].as_u64().unwrap())
            .collect();
        assert_eq!(counts, [2, 1]);
    }

    #[test]
    fn an_sns_envelope_holds_the_notification_as_text() {
        let objects = [Announced { bucket: "b", key: "k", size: 1 }];
        let envelope: Value = serde_json::from_str(&sns_events("b", &objects)[1]).unwrap();
        let inner: Value = serde_json::from_str(envelope["Message"].as_str().unwrap()).unwrap();
        assert_eq!(inner["Records"][0]["s3"]["object"]["key"], "k");
    }
}
