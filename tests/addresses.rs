//! For any message, the collector only calls a bucket of AWS, and requests exactly the named object.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first failure"
)]

use std::sync::LazyLock;

use aws_to_devo::aws::endpoint::is_region_beside;
use aws_to_devo::aws::{GetObject, s3};
use aws_to_devo::base::naming;
use aws_to_devo::base::naming::{AccessPoint, Place};
use aws_to_devo::base::object::Object;
use aws_to_devo::settings::Endpoints;
use aws_to_devo::stages::resolve::resolve;
use percent_encoding::percent_decode_str;
use proptest::prelude::*;
use serde_json::{Value, json};

const OWN_REGION: &str = "eu-west-1";

/// Every shape that names objects, with the given names in place.
fn bodies(bucket: &str, key: &str, region: &str, version: &str) -> Vec<String> {
    let encoded = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string();
    let record = |key: &str| {
        json!({"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "awsRegion": region,
            "s3": {"bucket": {"name": bucket}, "object": {"key": key, "versionId": version, "eTag": version}}})
    };
    let event_bridge = |kind: &str, detail: Value| json!({"source": "aws.s3", "detail-type": kind, "region": region, "detail": detail});
    let plain = [
        json!({"Records": [record(&encoded)]}),
        json!({"Records": [record(key)]}),
        event_bridge(
            "Object Created",
            json!({"bucket": {"name": bucket}, "object": {"key": key, "version-id": version}}),
        ),
        event_bridge(
            "AWS API Call via CloudTrail",
            json!({"eventName": "PutObject", "requestParameters": {"bucketName": bucket, "key": key}}),
        ),
        json!({"bucket": bucket, "files": [{"path": key, "size": 1}]}),
        json!({"s3Bucket": bucket, "s3ObjectKey": key}),
        json!({"s3Bucket": bucket, "s3ObjectKey": [key]}),
        json!({"bucket": {"name": bucket}, "object": {"key": key, "version-id": version}}),
        json!({"bucket": bucket, "key": key}),
        json!({"invocationSchemaVersion": "1.0", "tasks": [{"s3BucketArn": bucket, "s3Key": encoded}]}),
        json!({"messageType": "OversizedConfigurationItemChangeNotification",
            "s3DeliverySummary": {"s3BucketLocation": format!("{}/{key}", bucket.replace('/', "?"))}}),
    ];
    let wrapped = plain.iter().map(|body| json!({"Type": "Notification", "Message": body.to_string()}));
    let handed_on = plain.iter().map(|body| json!({"requestPayload": body, "responsePayload": null}));
    plain.iter().cloned().chain(wrapped).chain(handed_on).map(|body| body.to_string()).collect()
}

/// Checks the address of a resolved object, in the requested region, on AWS and at a custom endpoint.
fn check(object: &Object) -> Result<(), TestCaseError> {
    let named = object.region.as_deref().filter(|region| is_region_beside(region, OWN_REGION));
    // An unchecked region must not lead away either.
    for region in [named, object.region.as_deref(), Some(OWN_REGION)].into_iter().flatten() {
        check_in(object, region, None)?;
        check_in(object, region, Some("http://127.0.0.1:9000"))?;
    }
    Ok(())
}

fn check_in(object: &Object, region: &str, over: Option<&str>) -> Result<(), TestCaseError> {
    let get = GetObject {
        bucket: &object.bucket,
        key: &object.key,
        version_id: object.version_id.as_deref(),
        etag: object.etag.as_deref(),
        by_key: false,
        start: 0,
        len: 8,
        if_match: None,
        size: object.size,
    };
    let endpoints = Endpoints::each(|_| over.map(str::to_owned));
    let point = match naming::place(&object.bucket) {
        Ok(Place::AccessPoint(point)) => Some(point),
        _ => None,
    };
    let Ok(request) = s3::request(&get, region, &endpoints) else {
        let may_have_none = region != OWN_REGION || point.is_some();
        prop_assert!(may_have_none, "resolve lets nothing pass that has no address");
        return Ok(());
    };
    if let Some(AccessPoint { name, account, region }) = point {
        let host = format!("https://{name}-{account}.s3-accesspoint.{region}.amazonaws.com");
        prop_assert_eq!(&request.endpoint, &host);
        prop_assert_eq!(&request.region, region);
        let path = percent_decode_str(&request.path).decode_utf8().unwrap().into_owned();
        prop_assert_eq!(path, format!("/{}", object.key));
        return Ok(());
    }
    let uri: http::Uri =
        request.url().parse().map_err(|error| TestCaseError::fail(format!("{error}: {request:?}")))?;
    let host = uri.host().unwrap_or_default();
    let path = percent_decode_str(uri.path()).decode_utf8().unwrap().into_owned();
    let whole = format!("/{}/{}", object.bucket, object.key);
    match (over, host.strip_suffix(".amazonaws.com").or(host.strip_suffix(".amazonaws.com.cn"))) {
        (Some(over), _) => {
            prop_assert_eq!(format!("http://{}", uri.authority().unwrap()), over);
            prop_assert_eq!(path, whole);
        }
        (None, Some(labels)) if labels == format!("s3.{region}") => prop_assert_eq!(path, whole),
        (None, Some(labels)) => {
            prop_assert_eq!(labels, format!("{}.s3.{region}", object.bucket));
            prop_assert_eq!(path, format!("/{}", object.key));
        }
        (None, None) => prop_assert!(false, "leads to {host:?}"),
    }
    prop_assert!(uri.port().is_none() || over.is_some());
    let version = uri.query().map(|query| query.strip_prefix("versionId=").unwrap_or_default());
    let version = version.map(|text| percent_decode_str(text).decode_utf8().unwrap().into_owned());
    prop_assert_eq!(version.as_deref(), object.version_id.as_deref());
    prop_assert!(request.headers.iter().all(|(_, value)| !value.contains(['\r', '\n'])));
    Ok(())
}

fn all_are_safe(bucket: &str, key: &str, region: &str, version: &str) -> Result<(), TestCaseError> {
    for body in bodies(bucket, key, region, version) {
        let Ok(found) = resolve(&body) else { continue };
        for object in &found.objects {
            check(&object)?;
            if let Some(key) = object.other_key.clone() {
                check(&Object { key, ..object.clone() })?;
            }
        }
    }
    Ok(())
}

/// An attacker's attempts; each is tried in every place.
static HOSTILE: LazyLock<Vec<String>> = LazyLock::new(|| {
    let short = [
        "",
        ".",
        "..",
        "/",
        "//",
        "../",
        "a/b",
        "../b",
        "a/../../b",
        "./..",
        "a?acl&x=",
        "a#b",
        "a@evil.example",
        "evil.example/",
        "evil.example#",
        "evil.example?",
        "evil.example:80",
        "evil.example\\",
        "@evil.example/",
        "a b",
        "a\r\nHost: evil",
        "a\u{0}b",
        "\u{7f}",
        "%2e%2e",
        "%2F",
        "a%00",
        "A",
        "Upper_Case",
        "my.logs",
        "xn--a",
        "é",
        "\u{202e}",
        "..a",
        "a..b",
        "eu-west-1",
        "cn-north-1",
        "us-gov-west-1",
        "eu-west-1.evil",
        "localhost",
        "127.0.0.1",
        "[::1]",
        "s3",
        "?versionId=x",
        "x&versionId=y",
        "\"",
        "+",
        "a;b",
        "arn:aws:s3:::b",
        "arn:aws:s3:::evil.example/#",
        "arn:aws:s3:eu-west-1:123456789012:accesspoint/point",
        "arn:aws:s3:us-west-2:123456789012:accesspoint:point",
        "arn:aws-cn:s3:cn-north-1:123456789012:accesspoint/point",
        "arn:aws:s3:eu-west-1:123456789012:accesspoint/evil.example/",
        "arn:aws:s3:eu-west-1:123456789012:accesspoint/a@evil",
        "arn:aws:s3:eu-west-1.evil.example/:123456789012:accesspoint/point",
        "arn:aws:s3:eu-west-1:evil.example#:accesspoint/point",
        "arn:aws:s3::123456789012:accesspoint/m.mrap",
    ];
    let mut all: Vec<String> = short.map(str::to_owned).to_vec();
    all.extend(["a".repeat(64), "a".repeat(256), "k".repeat(1025)]);
    all
});

#[test]
fn hostile_names_lead_nowhere_else() {
    for text in HOSTILE.iter() {
        let rows =
            [[text, "k", "eu-west-1"], ["logs", text, "eu-west-1"], ["logs", "k", text], [text, text, text]];
        for [bucket, key, region] in rows {
            all_are_safe(bucket, key, region, text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        }
    }
}

#[test]
fn what_cannot_be_a_name_is_refused_as_a_message() {
    let buckets = ["a?acl&x=", "..", "a/b", "", "a@evil.example", "a b", "a\r\nb"];
    let keys = ["../x", "a/../../b", ".."];
    let named = buckets.map(|bucket| (bucket, "k")).into_iter().chain(keys.map(|key| ("logs", key)));
    for (bucket, key) in named {
        for body in bodies(bucket, key, "eu-west-1", "v") {
            let refused = resolve(&body).unwrap_err().to_string();
            let says_why =
                ["cannot exist", "lacks", "unknown shape"].iter().any(|words| refused.contains(words));
            assert!(says_why && !refused.contains(['\r', '\n']), "{body}: {refused}");
        }
    }
}

proptest! {
    #[test]
    fn any_names_lead_to_the_object_that_they_name(
        bucket in "\\PC{0,12}|[a-z0-9.-]{1,20}|[a-z/?#@:.%]{1,12}|arn:aws(-cn)?:s3:(eu|us)-west-[0-9.]{1,2}:[0-9/]{12}:accesspoint[/:][a-z.-]{1,6}",
        key in "\\PC{0,30}|[a./?#%\\x00-\\x1f]{1,20}",
        region in "\\PC{0,20}|[a-z]{2}-[a-z]{2,9}-[0-9]|[a-z0-9./?#@:-]{0,20}",
        version in "\\PC{0,20}|[&=?#%\r\n]{1,6}",
    ) {
        all_are_safe(&bucket, &key, &region, &version)?;
    }
}
