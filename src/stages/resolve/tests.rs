mod forms;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::base::limits::MESSAGE_ENVELOPES_MAX;
use crate::base::object::Object;

fn object(bucket: &str, key: &str) -> Object {
    Object::named(bucket, key)
}

/// The number of things in a message that are not new objects; it names no others.
fn ignored(body: &str) -> usize {
    let found = resolve(body).unwrap();
    assert_eq!((found.objects.len(), found.written), (0, None), "{body}");
    found.ignored.values().sum()
}

fn keys(body: &str) -> Vec<String> {
    objects(body).into_iter().map(|o| o.key).collect()
}

fn objects(body: &str) -> Vec<Object> {
    resolve(body).unwrap().objects.into_iter().collect()
}

fn s3_event(event_name: &str, key: &str) -> String {
    format!(
        r#"{{"Records":[{{"eventSource":"aws:s3","awsRegion":"eu-west-1","eventName":"{event_name}",
        "s3":{{"bucket":{{"name":"b"}},"object":{{"key":"{key}","size":7,"eTag":"e1","versionId":"v1"}}}}}}]}}"#
    )
}

fn sns(message: &str) -> String {
    format!(
        r#"{{"Type":"Notification","TopicArn":"arn:aws:sns:us-east-1:1:t","Message":{}}}"#,
        serde_json::to_string(message).unwrap()
    )
}

#[test]
fn an_s3_event() {
    let expected = Object {
        region: Some("eu-west-1".into()),
        size: Some(7),
        version_id: Some("v1".into()),
        etag: Some("e1".into()),
        ..object("b", "k.gz")
    };
    let found = resolve(&s3_event("ObjectCreated:Put", "k.gz")).unwrap();
    assert_eq!(found, Announcement { objects: [expected].into_iter().collect(), ..Announcement::default() });
}

#[test]
fn several_records_in_one_event() {
    let (a, b) = (s3_event("ObjectCreated:Put", "a"), s3_event("ObjectCreated:Copy", "b"));
    let c = s3_event("ObjectRemoved:Delete", "c");
    let record = |e: &str| e.trim_start_matches(r#"{"Records":["#).trim_end_matches("]}").to_owned();
    let body = format!(r#"{{"Records":[{},{},{}]}}"#, record(&a), record(&b), record(&c));
    let found = resolve(&body).unwrap();
    assert_eq!(found.objects.iter().map(|o| o.key).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(found.ignored.values().sum::<usize>(), 1);
}

#[test]
fn the_time_of_writing_is_that_of_the_first_object() {
    let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
    let timed = |time: &str| {
        s3_event("ObjectCreated:Put", "k")
            .replace(r#""eventName""#, &format!(r#""eventTime":"{time}","eventName""#))
    };
    let record = |e: &str| e.trim_start_matches(r#"{"Records":["#).trim_end_matches("]}").to_owned();
    let (later, earlier) = (timed("2026-11-21T10:00:00.500Z"), timed("2026-11-21T09:59:59.000Z"));
    let both = format!(r#"{{"Records":[{},{}]}}"#, record(&later), record(&earlier));
    let bridge = r#"{"detail-type":"Object Created","source":"aws.s3","time":"2026-11-21T10:00:00Z",
        "detail":{"bucket":{"name":"b"},"object":{"key":"k"}}}"#;
    for (body, written) in [
        (later.as_str(), at("2026-11-21T10:00:00.5Z")),
        (&sns(&both), at("2026-11-21T09:59:59Z")),
        (&timed("yesterday"), None),
        (bridge, at("2026-11-21T10:00:00Z")),
        (r#"{"timestamp":1795255200000,"bucket":"b","files":[{"path":"k"}]}"#, at("2026-11-21T10:00:00Z")),
        (r#"{"timestamp":99999999999999999,"bucket":"b","files":[]}"#, None),
        (r#"{"s3Bucket":"b","s3ObjectKey":"k"}"#, None),
    ] {
        assert_eq!(resolve(body).unwrap().written, written, "{body}");
    }
}

#[test]
fn keys_of_s3_events_are_form_url_encoded() {
    assert_eq!(keys(&s3_event("ObjectCreated:Put", "a+b%2Bc%20%C3%A9%25/x%3Dy")), ["a b+c é%/x=y"]);
}

#[test]
fn what_is_not_created_is_ignored() {
    for name in [
        "ObjectRemoved:Delete",
        "ObjectRemoved:DeleteMarkerCreated",
        "ObjectRestore:Completed",
        "LifecycleExpiration:Delete",
        "Replication:OperationFailedReplication",
        "ReducedRedundancyLostObject",
    ] {
        assert_eq!(ignored(&s3_event(name, "k")), 1, "{name}");
    }
}

#[test]
fn a_removal_with_null_size_is_ignored() {
    let body = s3_event("ObjectRemoved:Delete", "k").replace(r#""size":7"#, r#""size":null"#);
    assert_eq!(ignored(&body), 1);
}

#[test]
fn a_test_event_bare_and_in_sns() {
    let body = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#;
    assert_eq!((ignored(body), ignored(&sns(body))), (1, 1));
}

#[test]
fn sns_around_an_event_and_around_sns() {
    let event = s3_event("ObjectCreated:Put", "a+b");
    assert_eq!(keys(&sns(&event)), ["a b"]);
    assert_eq!(keys(&sns(&sns(&event))), ["a b"]);
}

#[test]
fn envelopes_without_end_are_refused() {
    let mut body = "[]".to_owned();
    for _ in 0..=MESSAGE_ENVELOPES_MAX {
        body = format!("[{body}]");
    }
    assert_eq!(resolve(&body), Err(Unreadable::TooManyEnvelopes { max: MESSAGE_ENVELOPES_MAX }));
}

#[test]
fn event_bridge_keys_are_not_encoded() {
    let body = r#"{"version":"0","detail-type":"Object Created","source":"aws.s3","region":"us-east-2",
        "detail":{"bucket":{"name":"b"},"object":{"key":"a+b%20c","size":100,"etag":"e","version-id":"v"}}}"#;
    let expected = Object {
        region: Some("us-east-2".into()),
        size: Some(100),
        version_id: Some("v".into()),
        etag: Some("e".into()),
        ..object("b", "a+b%20c")
    };
    assert_eq!(objects(body), [expected]);
}

#[test]
fn a_security_lake_notification() {
    let body = r#"{"source":"aws.s3","time":"2026-11-21T10:00:00Z","account":"123456789012","region":"eu-west-1",
        "resources":["arn:aws:s3:::lake"],"detail":{"bucket":{"name":"lake"},"object":{"key":"ext/region=eu-west-1/a.gz.parquet",
        "size":9,"etag":"e"},"request-id":"R","requester":"securitylake.amazonaws.com"}}"#;
    let expected = Object {
        region: Some("eu-west-1".into()),
        size: Some(9),
        etag: Some("e".into()),
        ..object("lake", "ext/region=eu-west-1/a.gz.parquet")
    };
    assert_eq!(objects(body), [expected]);
    let without_object = r#"{"source":"aws.s3","detail":{"bucket":{"name":"lake"}}}"#;
    assert!(matches!(resolve(without_object), Err(Unreadable::Incomplete { .. })));
}

#[test]
fn event_bridge_events_that_write_nothing_are_ignored() {
    for (source, kind) in [
        ("aws.s3", "Object Deleted"),
        ("aws.s3", "Object Restore Completed"),
        ("aws.events", "Scheduled Event"),
    ] {
        let body = format!(r#"{{"source":"{source}","detail-type":"{kind}","detail":{{}}}}"#);
        assert_eq!(ignored(&body), 1, "{kind}");
    }
}

#[test]
fn an_s3_write_that_cloudtrail_reports() {
    let body = |name: &str, extra: &str| {
        format!(
            r#"{{"source":"aws.s3","detail-type":"AWS API Call via CloudTrail","region":"us-east-1","detail":{{
            "eventName":"{name}"{extra},"requestParameters":{{"bucketName":"b","key":"k+1"}}}}}}"#
        )
    };
    assert_eq!(keys(&body("PutObject", "")), ["k+1"]);
    assert_eq!(keys(&body("GetObject", "")), [""; 0]);
    assert_eq!(keys(&body("PutObject", r#","errorCode":"AccessDenied""#)), [""; 0]);
}

#[test]
fn a_crowdstrike_message_with_fewer_files_than_it_says_is_refused() {
    let message = |count: u64, files: &str| {
        resolve(&format!(r#"{{"bucket":"b","fileCount":{count},"files":[{files}]}}"#))
    };
    for (count, files) in [(4, ""), (3, r#"{"path":"a","size":1}"#)] {
        let refused = message(count, files).map(drop).unwrap_err().to_string();
        assert!(refused.contains("as many files as its fileCount says"), "{refused}");
    }
    assert!(message(0, "").is_ok());
    assert_eq!(message(1, r#"{"path":"a"},{"path":"b"}"#).unwrap().objects.len(), 2);
}

#[test]
fn a_crowdstrike_message_names_many_files() {
    let body = r#"{"cid":"c","timestamp":1,"fileCount":2,"totalSize":9,"bucket":"cs-prod-s3alias","pathPrefix":"data/x",
        "files":[{"path":"data/x/part-00000.gz","size":9,"checksum":"aa"},{"path":"data/x/a+b%20.gz","size":0}]}"#;
    let expected = [
        Object {
            size: Some(9),
            checksum: Some("aa".into()),
            ..object("cs-prod-s3alias", "data/x/part-00000.gz")
        },
        object("cs-prod-s3alias", "data/x/a+b%20.gz"),
    ];
    assert_eq!(objects(body), expected);
}

#[test]
fn cloudtrails_and_configs_own_notifications() {
    let trail = r#"{"s3Bucket":"b","s3ObjectKey":["k1","k2"]}"#;
    assert_eq!(objects(&sns(trail)), [object("b", "k1"), object("b", "k2")]);
    let config = r#"{"s3ObjectKey":"k","s3Bucket":"b","notificationCreationTime":"t",
        "messageType":"ConfigurationHistoryDeliveryCompleted","recordVersion":"1.1"}"#;
    assert_eq!(objects(config), [object("b", "k")]);
    assert_eq!(ignored(&sns("CloudTrail validation message.")), 1);
    assert_eq!(ignored(r#"{"messageType":"ConfigurationItemChangeNotification"}"#), 1);
}

#[test]
fn unknown_and_broken_bodies_are_errors() {
    for body in [
        "",
        "hello",
        "{}",
        "[]",
        "null",
        "7",
        r#"{"a":1}"#,
        r#"{"Records":[{"eventSource":"aws:ses"}]}"#,
        r#"{"Records":[1]}"#,
        r#"{"Type":"Notification"}"#,
        r#"{"Type":"SubscriptionConfirmation","Message":"x"}"#,
        r#"{"bucket":"b","files":[{"size":1}]}"#,
        r#"{"bucket":"b","files":["x"]}"#,
        r#"{"s3Bucket":"b","s3ObjectKey":7}"#,
        r#"{"s3Bucket":"b","s3ObjectKey":[7]}"#,
        r#"{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put"}]}"#,
        r#"{"detail-type":"Object Created","source":"aws.s3","detail":{"bucket":{"name":"b"}}}"#,
    ] {
        assert!(resolve(body).is_err(), "{body}");
    }
}

/// Another reader of the same message may take the other value.
#[test]
fn a_name_that_stands_twice_is_no_end_of_an_object() {
    let event = s3_event("ObjectCreated:Put", "a");
    let (records, key) = ("\"Records\"", "\"key\"");
    assert!(event.contains(records) && event.contains(key), "{event}");
    for body in [
        event.replacen(records, "\"Records\": [], \"Records\"", 1),
        event.replacen(key, "\"key\": \"b\", \"key\"", 1),
        sns(&event.replacen(key, "\"key\": \"a\", \"key\"", 1)),
        format!("[{}]", event.replacen(key, "\"key\": null, \"key\"", 1)),
    ] {
        let error = resolve(&body).unwrap_err();
        assert!(matches!(error, Unreadable::RepeatedName(_)), "{error}: {body}");
    }
    assert_eq!(keys(&event), ["a"]);
}

#[test]
fn markers_are_told_from_logs() {
    assert!(is_marker("a/_SUCCESS") && is_marker("_SUCCESS"));
    assert!(["folder/", "a/_SUCCESS.gz", "a.gz", "a_SUCCESS", "_SUCCESS/"].iter().all(|key| !is_marker(key)));
}

#[test]
fn a_key_cannot_break_a_log_line() {
    assert_eq!(object("b", "a\nb\u{1b}[2J").to_string(), "s3://b/a\\nb\\u{1b}[2J");
}

proptest! {
    /// Any key survives S3's encoding.
    #[test]
    fn form_encoding_round_trips(key in "\\PC{1,40}") {
        let encoded: String = key.bytes().map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => (b as char).to_string(),
            b' ' => "+".to_owned(),
            other => format!("%{other:02X}"),
        }).collect();
        prop_assert_eq!(keys(&s3_event("ObjectCreated:Put", &encoded)), [key]);
    }

    #[test]
    fn no_body_panics(body in "\\PC*") {
        let _ = resolve(&body);
    }

    /// Cut or altered real bodies are read or refused, never a panic.
    #[test]
    fn no_damaged_body_panics(cut in 0usize..300, at in 0usize..300, byte in 32u8..127) {
        let mut body = sns(&s3_event("ObjectCreated:Put", "k"));
        body.truncate(body.len().saturating_sub(cut));
        if let Some((i, _)) = body.char_indices().nth(at) { body.replace_range(i..i + 1, &(byte as char).to_string()); }
        let _ = resolve(&body);
    }
}
