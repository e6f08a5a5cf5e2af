//! Every form of message ends in exactly one of three ways.

use serde_json::{Value, json};

use super::*;
use crate::base::limits::MESSAGE_UNPACKED_BYTES_MAX;
use crate::base::object::Object;

/// How a message ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// These keys, each followed by its other spelling after a bar.
    Read(Vec<String>),
    Nothing(Vec<&'static str>),
    Refused(String),
}

fn end(body: &str) -> End {
    match resolve(body) {
        Ok(found) if found.objects.is_empty() => End::Nothing(found.ignored.into_keys().collect()),
        Ok(found) => End::Read(found.objects.iter().map(|object| spelled(&object)).collect()),
        Err(error) => End::Refused(error.to_string()),
    }
}

fn spelled(object: &Object) -> String {
    let other = object.other_key.as_ref().map(|key| format!("|{key}")).unwrap_or_default();
    format!("{}{other}", object.key)
}

fn event() -> Value {
    serde_json::from_str(&s3_event("ObjectCreated:Put", "k")).unwrap()
}

fn bridge(source: &str, kind: &str, detail: Value) -> Value {
    json!({"version": "0", "source": source, "detail-type": kind, "region": "us-east-2", "detail": detail})
}

fn detail() -> Value {
    json!({"version": "0", "bucket": {"name": "b"}, "object": {"key": "k", "size": 5, "etag": "e"}, "request-id": "r",
           "requester": "1", "reason": "PutObject"})
}

/// The object of SQS's API, of Lambda's event and of a pipe.
fn queued(body: &Value) -> Value {
    json!({"messageId": "m", "receiptHandle": "r", "body": body.to_string(), "attributes": {}, "eventSource": "aws:sqs",
           "eventSourceARN": "arn:aws:sqs:us-east-1:1:q"})
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine;
    ::base64::prelude::BASE64_STANDARD.encode(bytes)
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Each of these announces `k`, and nothing else.
fn of_k() -> Vec<(&'static str, String)> {
    let text = |value: &Value| value.to_string();
    let (event, record) = (event(), event()["Records"][0].clone());
    let without = |member: &str| {
        let mut record = record.clone();
        record.as_object_mut().unwrap().remove(member);
        json!({"Records": [record]})
    };
    let with = |member: &str, value: &str| {
        let mut record = record.clone();
        record[member] = value.into();
        json!({"Records": [record]})
    };
    let notification: Value = serde_json::from_str(&sns(&text(&event))).unwrap();
    let string = |text: &str| serde_json::to_string(text).unwrap();
    let destination = |request: &Value, response: Value| {
        json!({"version": "1.0", "timestamp": "t", "requestContext": {"functionArn": "f", "condition": "Success"},
               "requestPayload": request, "responseContext": {"statusCode": 200}, "responsePayload": response})
    };
    let call = json!({"eventSource": "s3.amazonaws.com", "eventName": "PutObject", "awsRegion": "eu-west-1",
                      "requestParameters": {"bucketName": "b", "key": "k"}});
    vec![
        ("an S3 event", text(&event)),
        ("one that is indented", serde_json::to_string_pretty(&event).unwrap()),
        ("behind a byte order mark", format!("\u{feff}{event}")),
        ("between blanks", format!("\r\n {event}\n\0").replace('\0', "")),
        ("without eventSource", text(&without("eventSource"))),
        ("without eventName", text(&without("eventName"))),
        ("without awsRegion", text(&without("awsRegion"))),
        ("of another source", text(&with("eventSource", "minio:s3"))),
        ("of no known source", text(&with("eventSource", "my.app"))),
        ("with s3: before the name", text(&with("eventName", "s3:ObjectCreated:CompleteMultipartUpload"))),
        ("with EventBridge's name", text(&with("eventName", "Object Created"))),
        ("with CloudTrail's name", text(&with("eventName", "PutObject"))),
        ("Ceph's, from another zone", text(&with("eventName", "s3:ObjectSynced:Create"))),
        (
            "MinIO's",
            text(&json!({"EventName": "s3:ObjectCreated:Put", "Key": "b/k", "Records": [record.clone()]})),
        ),
        ("a record alone", text(&record)),
        ("a list of records", text(&json!([record.clone()]))),
        ("its s3 alone", text(&record["s3"])),
        (
            "the bucket by its ARN",
            text(&json!({"Records": [{"s3": {"bucket": {"arn": "arn:aws:s3:::b"},
                                                                   "object": {"key": "k"}}}]})),
        ),
        ("a JSON string", string(&text(&event))),
        ("a JSON string, twice", string(&string(&text(&event)))),
        ("base64", base64(text(&event).as_bytes())),
        ("gzip in base64", base64(&gzip(&text(&event)))),
        ("SNS", text(&notification)),
        ("SNS in SNS", sns(&text(&notification))),
        ("SNS around a JSON string", sns(&string(&text(&event)))),
        ("SNS around base64", sns(&base64(&gzip(&text(&event))))),
        ("SNS with an object", text(&json!({"Type": "Notification", "Message": event.clone()}))),
        ("a message for several protocols", text(&json!({"default": text(&event)}))),
        ("SNS's Message alone", text(&json!({"Message": text(&event)}))),
        ("SNS through Lambda", text(&json!({"Records": [{"EventSource": "aws:sns", "Sns": notification}]}))),
        ("SQS through Lambda", text(&json!({"Records": [queued(&event)]}))),
        ("SNS through SQS through Lambda", text(&json!({"Records": [queued(&notification)]}))),
        (
            "Kinesis through Lambda",
            text(&json!({"Records": [{"eventSource": "aws:kinesis",
            "kinesis": {"data": base64(text(&event).as_bytes())}}]})),
        ),
        ("SQS through a pipe", text(&json!([queued(&event)]))),
        ("one of SQS through a pipe", text(&queued(&event))),
        ("SQS's own answer", text(&json!({"Messages": [{"MessageId": "m", "Body": text(&event)}]}))),
        ("a Lambda destination", text(&destination(&event, json!(null)))),
        (
            "one of a function that failed",
            text(&destination(&event, json!({"errorMessage": "x", "errorType": "y"}))),
        ),
        (
            "one of a function that answered",
            text(&destination(&event, json!({"statusCode": 200, "body": "OK"}))),
        ),
        (
            "one of a function that names objects",
            text(&destination(
                &serde_json::from_str(&s3_event("ObjectCreated:Put", "raw")).unwrap(),
                event.clone(),
            )),
        ),
        (
            "a Step Function's answer",
            text(&json!({"ExecutedVersion": "$LATEST", "StatusCode": 200, "Payload": event})),
        ),
        ("EventBridge", text(&bridge("aws.s3", "Object Created", detail()))),
        ("EventBridge through SNS", sns(&text(&bridge("aws.s3", "Object Created", detail())))),
        ("EventBridge through a pipe", text(&json!([bridge("aws.s3", "Object Created", detail())]))),
        ("$.detail alone", text(&detail())),
        ("$.detail in a custom event", text(&bridge("my.app", "New log", detail()))),
        ("an S3 event in a custom event", text(&bridge("my.app", "New log", event.clone()))),
        ("a call to S3", text(&bridge("aws.s3", "AWS API Call via CloudTrail", call.clone()))),
        ("a call to S3 alone", text(&call)),
        (
            "S3 Batch Operations",
            text(&json!({"invocationSchemaVersion": "1.0", "job": {"id": "j"}, "tasks": [
            {"taskId": "t", "s3Key": "k", "s3VersionId": "1", "s3BucketArn": "arn:aws:s3:::b"}]})),
        ),
        ("CloudTrail's", text(&json!({"s3Bucket": "b", "s3ObjectKey": ["k"]}))),
        (
            "Config's",
            text(&json!({"s3Bucket": "b", "s3ObjectKey": "k", "configSnapshotId": "c",
                                  "messageType": "ConfigurationSnapshotDeliveryCompleted"})),
        ),
        (
            "Config's of an oversized change",
            sns(&text(&json!({"configurationItemSummary": {"resourceId": "i-1"},
            "s3DeliverySummary": {"s3BucketLocation": "b/k", "errorCode": null, "errorMessage": null},
            "notificationCreationTime": "2026-11-28T10:00:00.000Z",
            "messageType": "OversizedConfigurationItemChangeNotification", "recordVersion": "1.0"}))),
        ),
        ("CrowdStrike's", text(&json!({"bucket": "b", "files": [{"path": "k"}]}))),
        ("a bucket and a key", text(&json!({"bucket": "b", "key": "k"}))),
        ("with capitals", text(&json!({"Bucket": "b", "Key": "k"}))),
        ("by their long names", text(&json!({"bucketName": "b", "objectKey": "k"}))),
    ]
}

#[test]
fn all_that_announce_an_object_are_read() {
    let wrong: Vec<_> = of_k()
        .into_iter()
        .map(|(form, body)| (form, end(&body)))
        .filter(|(_, end)| *end != End::Read(vec!["k".into()]))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (form, body) in of_k() {
        assert_eq!(objects(&body)[0].bucket, "b", "{form}");
    }
}

/// Wherever a message names objects, none is deleted unread.
#[test]
fn two_places_that_name_objects_are_both_read() {
    let text = |value: &Value| value.to_string();
    let detail = |key: &str| json!({"bucket": {"name": "b"}, "object": {"key": key, "size": 5}});
    let record = |key: &str| json!({"eventName": "ObjectCreated:Put", "s3": detail(key)});
    let with = |message: Value, more: Value| {
        let (Value::Object(mut all), Value::Object(more)) = (message, more) else { panic!("two objects") };
        all.extend(more);
        text(&Value::Object(all))
    };
    let none = json!({"Records": []});
    let one = json!({"Records": [record("k")]});
    let event = json!({"source": "aws.s3", "detail-type": "Object Created", "detail": detail("l")});
    for (body, expected) in [
        (with(event.clone(), none.clone()), vec!["l"]),
        (with(record("l"), none.clone()), vec!["l"]),
        (with(json!({"Message": text(&event)}), none.clone()), vec!["l"]),
        (with(json!({"bucket": "b", "key": "l"}), none), vec!["l"]),
        (with(event.clone(), one.clone()), vec!["k", "l"]),
        (with(json!({"body": text(&event)}), one.clone()), vec!["k", "l"]),
        (with(json!({"message": "a text"}), one.clone()), vec!["k"]),
        (with(record("k"), json!({"s3Bucket": "b", "s3ObjectKey": "l"})), vec!["k", "l"]),
        (with(json!({"bucket": "b", "files": [{"path": "k"}]}), json!({"key": "l"})), vec!["k", "l"]),
        (with(json!({"Message": text(&one)}), json!({"body": event})), vec!["k", "l"]),
        // The same object twice is one.
        (with(json!({"bucket": "b", "key": "k"}), one.clone()), vec!["k"]),
        (with(json!({"Message": text(&one)}), json!({"default": one})), vec!["k"]),
    ] {
        let mut found = keys(&body);
        found.sort();
        assert_eq!(found, expected, "{body}");
    }
    let unreadable = with(json!({"Records": [record("k")]}), json!({"s3": {"bucket": {"name": "b"}}}));
    assert!(resolve(&unreadable).is_err());
}

/// The envelopes of an object of any shape are read, and so is each pair of a bucket and a key.
#[test]
fn nothing_hides_what_stands_beside_it() {
    let detail = |key: &str| json!({"bucket": {"name": "b"}, "object": {"key": key}});
    let record = |name: &str| json!({"eventName": name, "s3": detail("k")});
    let schedule = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
    let config = json!({"messageType": "ConfigurationItemChangeNotification"});
    let shapes = [
        (json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}), vec![]),
        (json!({"Records": []}), vec![]),
        (record("ObjectRemoved:Delete"), vec![]),
        (json!({"Records": [record("ObjectRemoved:Delete")]}), vec![]),
        (bridge("aws.s3", "Object Deleted", detail("k")), vec![]),
        (schedule, vec![]),
        (config, vec![]),
        (json!({"bucket": "b", "files": []}), vec![]),
        (record("ObjectCreated:Put"), vec!["k"]),
        (bridge("aws.s3", "Object Created", detail("k")), vec!["k"]),
        (json!({"bucket": "b", "key": "k"}), vec!["k"]),
        (json!({"s3Bucket": "b", "s3ObjectKey": ["k"]}), vec!["k"]),
        (
            json!({"eventSource": "s3.amazonaws.com", "eventName": "PutObject",
                "requestParameters": {"bucketName": "b", "key": "k"}}),
            vec!["k"],
        ),
    ];
    for (shape, named) in &shapes {
        for member in
            ["Message", "body", "detail", "event", "records", "message", "Payload", "responsePayload", "data"]
        {
            if shape.get(member).is_some_and(|inner| *inner != json!({})) {
                continue;
            }
            let with = |inner: Value| {
                let mut whole = shape.clone();
                whole[member] = inner;
                whole.to_string()
            };
            let inner = json!({"Records": [{"eventName": "ObjectCreated:Put", "s3": detail("l")}]});
            for inner in [inner.to_string().into(), inner] {
                let body = with(inner);
                let mut found = keys(&body);
                found.sort();
                assert_eq!(found, [named.as_slice(), &["l"]].concat(), "{body}");
            }
            let body = with(json!({"a": 1}));
            assert_eq!(resolve(&body).is_ok(), !named.is_empty(), "{body}");
            let empty = if member == "detail" { json!({}) } else { json!(" ") };
            assert!(resolve(&with(empty)).is_ok(), "nothing is in it");
        }
    }
    let pairs = json!({"bucket": "b", "key": "k", "s3Bucket": "b", "s3Key": "l", "bucketName": "b", "objectKey": "k"});
    assert_eq!(keys(&pairs.to_string()), ["k", "l"]);
}

/// Any two shapes in one object: both are read, or the message is refused. So is what looks like a shape and is none.
#[test]
fn two_shapes_in_one_object_are_both_read_or_refused() {
    let detail = |key: &str| json!({"bucket": {"name": "b"}, "object": {"key": key}});
    let record = |key: &str| json!({"eventName": "ObjectCreated:Put", "s3": detail(key)});
    let call = |key: &str| json!({"eventSource": "s3.amazonaws.com", "eventName": "PutObject", "requestParameters": {"bucketName": "b", "key": key}});
    let oversized = |key: &str| {
        json!({"messageType": "OversizedConfigurationItemChangeNotification",
            "s3DeliverySummary": {"s3BucketLocation": format!("b/{key}")}})
    };
    // All that name an object, with members of their own.
    let shapes = |key: &str| {
        vec![
            json!({"Records": [record(key)]}),
            json!({"s3": detail(key)}),
            bridge("aws.s3", "Object Created", detail(key)),
            bridge("my.source", "Copied", record(key)),
            json!({"s3Bucket": "b", "s3ObjectKey": key}),
            json!({"bucketName": "b", "objectKey": key}),
            json!({"Bucket": "b", "Key": key}),
            json!({"bucket": "b", "files": [{"path": key}]}),
            json!({"invocationSchemaVersion": "1", "tasks": [{"s3BucketArn": "arn:aws:s3:::b", "s3Key": key}]}),
            json!({"Message": record(key)}),
            detail(key),
            call(key),
            oversized(key),
        ]
    };
    let together = |one: &Value, other: &Value| {
        let (one, other) = (one.as_object().unwrap(), other.as_object().unwrap());
        let are_apart = one.keys().all(|name| !other.contains_key(name));
        are_apart.then(|| Value::Object(one.clone().into_iter().chain(other.clone()).collect()).to_string())
    };
    let mut tried = 0;
    for (at, one) in shapes("k").iter().enumerate() {
        for other in shapes("l").iter().skip(at + 1) {
            let Some(body) = together(one, other) else { continue };
            let Ok(found) = resolve(&body) else { continue };
            let mut found: Vec<String> = found.objects.iter().map(|object| object.key).collect();
            found.sort();
            assert_eq!(found, ["k", "l"], "{body}");
            tried += 1;
        }
        for odd in [
            json!({"Records": {"s3": detail("l")}}),
            json!({"Records": record("l").to_string()}),
            json!({"s3": [detail("l")]}),
            json!({"s3": "s3://b/l"}),
            json!({"bucketName": "b", "key": ["l"]}),
            json!({"bucket_name": {"name": "b"}, "object_key": "l"}),
            json!({"bucket": "b", "files": {"path": "l"}}),
            json!({"awslogs": {"data": "x"}}),
            json!({"eventSource": "aws:ses"}),
            json!({"Type": "SubscriptionConfirmation"}),
            json!({"event": r#"{"Records":[{"s3":"#}),
            json!({"event": r#"{"Records":[]}{"Records":[]}"#}),
        ] {
            let Some(body) = together(one, &odd) else { continue };
            assert!(resolve(&body).is_err(), "{body}");
        }
    }
    assert!(tried >= 60, "{tried} pairs were read");
}

#[test]
fn an_unknown_kind_of_an_s3_event_may_announce_an_object() {
    let named = |kind: &str| {
        bridge("aws.s3", kind, json!({"bucket": {"name": "b"}, "object": {"key": "k"}})).to_string()
    };
    for kind in ["Object Deleted", "Object Tags Added", "AWS Service Event via CloudTrail"] {
        assert_eq!(keys(&named(kind)), [""; 0], "{kind}");
    }
    for kind in ["object created", "ObjectCreated", "Created", ""] {
        assert!(resolve(&named(kind)).is_err(), "{kind}");
    }
}

#[test]
fn a_name_twice_is_refused_in_objects_of_any_size() {
    for members in [0, 40, 400] {
        let more: String = (0..members).map(|n| format!("\"m{n}\":{{\"a\":[1,{{\"a\":2}}]}},")).collect();
        let object = |names: [&str; 2]| {
            let [first, second] = names;
            format!(r#"{{"bucket":"b","{first}":"k",{more}"{second}":"l"}}"#)
        };
        assert_eq!(keys(&object(["key", "other"])), ["k"], "{members}");
        let inner = format!("[{}]", object(["key", "key"]));
        for body in [object(["key", "key"]), inner, sns(&object(["key", "key"]))] {
            assert_eq!(resolve(&body), Err(Unreadable::RepeatedName("\"key\"".into())), "{members}");
        }
    }
}

#[test]
fn what_is_known_to_name_no_object_says_why() {
    let record = |name: &str| s3_event(name, "k");
    let bridge = |kind: &str| {
        bridge("aws.s3", kind, json!({"bucket": {"name": "b"}, "object": {"key": "k"}})).to_string()
    };
    let detail =
        |member: &str| json!({"bucket": {"name": "b"}, "object": {"key": "k"}, member: "x"}).to_string();
    let call = |name: &str, error: Value| {
        json!({"eventSource": "s3.amazonaws.com", "eventName": name, "errorCode": error,
               "requestParameters": {"bucketName": "b", "key": "k"}})
        .to_string()
    };
    let in_event = |call: &str| {
        let call: Value = serde_json::from_str(call).unwrap();
        json!({"source": "aws.s3", "detail-type": "AWS API Call via CloudTrail", "detail": call}).to_string()
    };
    for (body, why) in [
        (
            r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#.to_owned(),
            "test of a notification",
        ),
        (r#"{"Records":[]}"#.to_owned(), "without records"),
        ("CloudTrail validation message.\n".to_owned(), "test of a topic"),
        (record("ObjectRemoved:DeleteMarkerCreated"), "another kind than a new object"),
        (record("s3:ObjectRestore:Post"), "another kind than a new object"),
        (record("s3:Replication:OperationMissedThreshold"), "another kind"),
        (record("LifecycleTransition"), "another kind"),
        (record("IntelligentTiering"), "another kind"),
        (record("ObjectTagging:Put"), "another kind"),
        (record("ObjectAcl:Put"), "another kind"),
        (record("s3:ObjectAccessed:Get"), "another kind"),
        (record("s3:BucketCreated:*"), "another kind"),
        (bridge("Object Deleted"), "another kind"),
        (bridge("Object Tags Added"), "another kind"),
        (detail("deletion-type"), "another kind"),
        (detail("restore-expiry-time"), "another kind"),
        (in_event(&call("GetObject", json!(null))), "wrote no object"),
        (call("PutObject", json!("AccessDenied")), "wrote no object"),
        (r#"{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}"#.to_owned(), "scheduled"),
        (r#"{"messageType":"ConfigRulesEvaluationStarted"}"#.to_owned(), "Config's"),
        (r#"{"bucket":"b","files":[]}"#.to_owned(), "without files"),
        (r#"{"s3Bucket":"b","s3ObjectKey":[]}"#.to_owned(), "without keys"),
    ] {
        for body in [body.clone(), sns(&body), serde_json::to_string(&body).unwrap()] {
            let End::Nothing(reasons) = end(&body) else { panic!("{body}: {:?}", end(&body)) };
            assert!(reasons.len() == 1 && reasons[0].contains(why), "{body}: {reasons:?}");
        }
    }
}

#[test]
fn what_is_refused_is_named_and_its_cure_is_told() {
    let text = |value: Value| value.to_string();
    let confirmation = json!({"Type": "SubscriptionConfirmation", "MessageId": "m", "Token": "secret-token",
        "TopicArn": "arn:aws:sns:us-east-1:1:trail", "Message": "You have chosen to subscribe", "SubscribeURL": "https://x"});
    let finding =
        bridge("aws.guardduty", "GuardDuty Finding", json!({"schemaVersion": "2.0", "id": "f", "type": "t"}));
    let pointer = |class: &str| json!([class, {"s3BucketName": "b", "s3Key": "k"}]);
    let event_in = |bucket: &str| json!({"bucket": bucket, "files": [{"path": "k"}]});
    for (body, words) in [
        (
            text(confirmation.clone()),
            vec![
                "SubscriptionConfirmation",
                "sns:us-east-1:1:trail",
                "waits for its confirmation",
                "confirm-subscription",
            ],
        ),
        (
            text(json!({"Type": "UnsubscribeConfirmation", "TopicArn": "t"})),
            vec!["UnsubscribeConfirmation", "Subscribe it again"],
        ),
        (text(finding), vec!["EventBridge", "GuardDuty Finding of aws.guardduty", "direct_mode"]),
        (
            text(pointer("software.amazon.payloadoffloading.PayloadS3Pointer")),
            vec!["SQS extended client", "s3://b/k"],
        ),
        (
            text(pointer("com.amazon.sqs.javamessaging.MessageS3Pointer")),
            vec!["SQS extended client", "s3://b/k"],
        ),
        (
            text(json!({"messageType": "OversizedConfigurationItemChangeNotification",
            "s3DeliverySummary": {"errorCode": "NoSuchBucket"}})),
            vec!["oversized change", "NoSuchBucket", "delivery channel"],
        ),
        (s3_event("Something:New", "k"), vec!["an S3 event", "Something:New", "s3:ObjectCreated"]),
        (text(json!({"Records": [{"eventSource": "aws:ses", "ses": {}}]})), vec!["SES"]),
        (text(json!({"awslogs": {"data": "H4sI"}})), vec!["CloudWatch Logs", "direct_mode"]),
        (
            text(json!({"messageType": "DATA_MESSAGE", "logGroup": "g", "logEvents": []})),
            vec!["CloudWatch Logs"],
        ),
        (
            text(
                json!({"Records": [{"eventVersion": "1.08", "eventSource": "iam.amazonaws.com", "eventName": "GetUser"}]}),
            ),
            vec!["unknown shape", "\"eventVersion\"", "direct_mode"],
        ),
        (
            text(json!({"eventVersion": "1.08", "eventSource": "s3.amazonaws.com", "eventName": "GetObject",
                        "requestParameters": {"bucketName": "b", "key": "k"}})),
            vec!["unknown shape", "direct_mode"],
        ),
        ("hello".to_owned(), vec!["not JSON", "direct_mode"]),
        ("[]".to_owned(), vec!["an empty list"]),
        ("{}".to_owned(), vec!["an empty object"]),
        ("7".to_owned(), vec!["a single value"]),
        (text(json!({"time": 1, "level": "info"})), vec!["an object with \"time\", \"level\""]),
        (sns("hello"), vec!["a text that is not JSON as \"Message\" of an object with \"Type\""]),
        (base64(&gzip("a log line")), vec!["not JSON"]),
        (base64(&gzip("a log line")[..20]), vec!["damaged"]),
        (base64(&gzip(&" ".repeat(MESSAGE_UNPACKED_BYTES_MAX + 1))), vec!["inflates"]),
        (
            text(event_in("arn:aws:s3::123456789012:accesspoint/m.mrap")),
            vec!["Multi-Region Access Point", "Name one of its buckets"],
        ),
        (
            text(event_in("arn:aws:s3-object-lambda:us-east-1:123456789012:accesspoint/f")),
            vec!["Object Lambda", "Name the bucket"],
        ),
        (
            text(event_in("arn:aws:s3-outposts:us-east-1:123456789012:outpost/op-1/accesspoint/f")),
            vec!["Outposts"],
        ),
        (
            text(
                json!({"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": "k"}, "bucket": {"name": "b",
                "arn": "arn:aws:s3-outposts:us-east-1:123456789012:outpost/op-1/bucket/b"}}}]}),
            ),
            vec!["Outposts"],
        ),
        (text(event_in("b--use1-az4--x-s3")), vec!["Express One Zone"]),
    ] {
        let End::Refused(said) = end(&body) else { panic!("{body}: {:?}", end(&body)) };
        assert!(words.iter().all(|word| said.contains(word)), "{body}: {said}");
        assert!(said.chars().count() < 900 && !said.contains("secret-token"), "{said}");
        assert!(!resolve(&body).unwrap_err().cause().is_empty());
    }
}

/// A part that names nothing does not excuse an unreadable one.
#[test]
fn an_envelope_with_something_unreadable_in_it_is_not_deleted() {
    let (test, unknown) = (json!({"Event": "s3:TestEvent"}), json!({"a": 1}));
    for (envelope, is_known) in [
        (json!({"requestPayload": test, "responsePayload": unknown}), true),
        (json!({"requestPayload": test, "responsePayload": "done"}), true),
        (json!({"requestPayload": unknown, "responsePayload": test}), false),
        (json!({"requestPayload": unknown, "responsePayload": {"Records": []}}), false),
        (json!({"responsePayload": unknown}), false),
        (json!({"detail": test, "message": "a log line"}), false),
        (json!({"Message": test, "body": unknown}), false),
    ] {
        assert_eq!(resolve(&envelope.to_string()).is_ok(), is_known, "{envelope}");
    }
}

/// One unreadable part makes the whole message unreadable: it must not be deleted.
#[test]
fn a_message_is_read_as_a_whole_or_not_at_all() {
    let good = event()["Records"][0].clone();
    for bad in [json!({"a": 1}), json!(7), json!(null), json!("x"), json!({"eventSource": "aws:ses"})] {
        for list in [
            json!([good, bad]),
            json!([bad, good]),
            json!({"Records": [good, bad]}),
            json!({"Messages": [bad, good]}),
        ] {
            assert!(resolve(&list.to_string()).is_err(), "{list}");
        }
    }
}

#[test]
fn a_key_is_tried_as_it_is_where_it_may_not_be_encoded() {
    for (raw, expected) in [
        ("a/b.gz", "a/b.gz"),
        ("a+b", "a b|a+b"),
        ("year%3D2026/a", "year=2026/a|year%3D2026/a"),
        ("100%", "100%"),
        // No sender who encodes keys leaves such characters.
        ("a b+c", "a b+c|a b c"),
        ("größe%20+", "größe%20+|größe  "),
        ("x/a b", "x/a b"),
        // Otherwise it would not be a possible key.
        ("a/%2e%2e/%2e%2e/%2e%2e/x+ y", "a/%2e%2e/%2e%2e/%2e%2e/x+ y"),
    ] {
        assert_eq!(end(&s3_event("ObjectCreated:Put", raw)), End::Read(vec![expected.into()]), "{raw}");
    }
    let pair = json!({"bucket": "b", "key": "a+b%20c"}).to_string();
    assert_eq!(end(&pair), End::Read(vec!["a+b%20c|a b c".into()]));
    let bridge =
        bridge("aws.s3", "Object Created", json!({"bucket": {"name": "b"}, "object": {"key": "a+b%20c"}}));
    assert_eq!(end(&bridge.to_string()), End::Read(vec!["a+b%20c".into()]), "EventBridge never encodes");
}

#[test]
fn a_body_in_s3_is_told_from_a_log() {
    let pointer =
        |class: &str, bucket: &str| json!([class, {"s3BucketName": bucket, "s3Key": "k"}]).to_string();
    let old = "com.amazon.sqs.javamessaging.MessageS3Pointer";
    for class in ["software.amazon.payloadoffloading.PayloadS3Pointer", old] {
        assert_eq!(body_elsewhere(&pointer(class, "b")), Some(Ok(object("b", "k"))));
        assert!(matches!(body_elsewhere(&pointer(class, "..")), Some(Err(Unreadable::Impossible(_)))));
    }
    for log in ["", "[", "[1]", r#"["x",{"s3BucketName":"b","s3Key":"k"}]"#, &pointer(old, "b")[1..], "{}"] {
        assert_eq!(body_elsewhere(log), None, "{log}");
    }
}

#[test]
fn deep_nesting_and_many_envelopes_end() {
    for (open, close) in [("[", "]"), ("{\"Message\":", "}"), ("{\"Records\":[", "]}"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(40_000), close.repeat(40_000));
        assert!(resolve(&deep).is_err(), "{open}");
    }
    let bomb = format!("[{}]", vec![format!("{:?}", base64(&gzip(&"[".repeat(60_000)))); 1000].join(","));
    assert!(resolve(&bomb).is_err());
}

/// An envelope around a message.
fn wrapped(way: usize, body: &str) -> String {
    let parsed = serde_json::from_str::<Value>(body).ok();
    let as_value = || parsed.clone().unwrap_or_else(|| Value::from(body));
    match way {
        0 => sns(body),
        1 => serde_json::to_string(body).unwrap(),
        2 => base64(&gzip(body)),
        3 => json!({"Records": [queued(&as_value())]}).to_string(),
        4 => json!([as_value()]).to_string(),
        5 => json!({"requestPayload": as_value(), "responsePayload": null}).to_string(),
        6 => bridge("my.app", "x", json!({"detail": as_value()})).to_string(),
        7 => json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": body}}]}).to_string(),
        _ => format!("\u{feff}  {body}\n"),
    }
}

proptest! {
    /// Envelopes change nothing, in any combination.
    #[test]
    fn whatever_is_wrapped_around_it_is_read_alike(
        form in any::<proptest::sample::Index>(),
        ways in proptest::collection::vec(0usize..9, 0..6),
    ) {
        let forms = of_k();
        let (name, body) = form.get(&forms);
        let whole = ways.iter().fold(body.clone(), |body, way| wrapped(*way, &body));
        let found = resolve(&whole).map_err(|error| TestCaseError::fail(format!("{name}, {ways:?}: {error}")))?;
        prop_assert_eq!(found.objects, resolve(body).unwrap().objects, "{}", name);
    }

    /// A body that is not an announcement stays so in any envelope: it is never mistaken for one that names nothing.
    #[test]
    fn no_envelope_makes_a_log_look_empty(
        log in "[a-z ]{1,20}|\\{\"[a-z]{1,8}\":(\"[a-z]{0,8}\"|[0-9]{1,5}|\\{\"level\":\"info\"\\})\\}",
        ways in proptest::collection::vec(0usize..9, 0..6),
    ) {
        let whole = ways.iter().fold(log, |body, way| wrapped(*way, &body));
        prop_assert!(resolve(&whole).is_err(), "{}", whole);
    }

    /// Any JSON made of messages' words is read or refused, and named objects can be requested.
    #[test]
    fn no_json_upsets_it(value in any_json()) {
        if let Ok(found) = resolve(&value.to_string()) {
            prop_assert!(!found.objects.is_empty() || !found.ignored.is_empty(), "{}", value);
            for object in found.objects {
                prop_assert!(object.check().is_ok());
                prop_assert!(object.other_key.is_none_or(|key| naming::is_key(&key)));
            }
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &[
        "Records",
        "s3",
        "bucket",
        "object",
        "key",
        "name",
        "eventName",
        "eventSource",
        "detail",
        "detail-type",
        "source",
        "aws.s3",
        "Object Created",
        "Type",
        "Notification",
        "Message",
        "Sns",
        "body",
        "files",
        "path",
        "s3Bucket",
        "s3ObjectKey",
        "messageType",
        "OversizedConfigurationItemChangeNotification",
        "s3DeliverySummary",
        "s3BucketLocation",
        "requestPayload",
        "responsePayload",
        "requestParameters",
        "bucketName",
        "s3.amazonaws.com",
        "PutObject",
        "tasks",
        "invocationSchemaVersion",
        "s3BucketArn",
        "s3Key",
        "s3BucketName",
        "b",
        "a/b",
        "arn:aws:s3:::b",
        "SubscriptionConfirmation",
        "software.amazon.payloadoffloading.PayloadS3Pointer",
        "Event",
        "s3:TestEvent",
        "..",
        "{}",
        "[]",
        "\"x\"",
        "H4sI",
        "e30=",
    ];
    let word = proptest::sample::select(WORDS);
    let leaf = prop_oneof![
        word.clone().prop_map(Value::from),
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        let members = proptest::collection::vec((word.clone(), inner.clone()), 0..6);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            members.prop_map(Value::from_iter),
            inner.prop_map(|value| Value::from(value.to_string())),
        ]
    })
}
