//! Common to every call: an answer from another server is never mistaken for AWS's.

use std::time::Duration;

use serde_json::json;

use super::cloudtrail::Lookup;
use super::cloudwatch::{List, Metric, Query};
use super::guardduty;
use super::logs::Filter;
use super::request::Address;
use super::testing::{Server, answer};
use super::{
    AssumeRole, Client, Error, GetObject, Kind, ListObjects, Request, S3, Sqs, Sts, Unusable, cloudtrail,
    cloudwatch, dynamodb, logs,
};
use crate::base::buffers::Buffer;
use crate::base::stop::Stop;
use crate::settings::Queue;

type Call = fn(&Client) -> Result<(), Error>;

/// Every call, by its name in messages.
const CALLS: [(&str, Call); 19] = [
    ("s3:GetObject", get_object),
    ("s3:ListBucket", list_objects),
    ("sqs:ReceiveMessage", |client| queue(client)?.receive(10, Duration::ZERO, Duration::ZERO).map(drop)),
    ("sqs:DeleteMessage", |client| queue(client)?.delete(&[("a", "h")]).map(drop)),
    ("sqs:ChangeMessageVisibility", |client| queue(client)?.change_visibility(&[("a", "h", 0)]).map(drop)),
    ("sqs:GetQueueAttributes", |client| queue(client)?.attributes().map(drop)),
    ("sqs:GetQueueUrl", |client| Sqs::queue_url(client, "q").map(drop)),
    ("sts:GetCallerIdentity", |client| Sts::new(client.clone()).caller_identity().map(drop)),
    ("sts:AssumeRole", assume_role),
    ("logs:DescribeLogGroups", |client| ask(client, |at| logs::groups(at, None), logs::read_groups)),
    ("logs:DescribeLogStreams", |client| ask(client, |at| logs::streams(at, "g", None), logs::read_streams)),
    ("logs:FilterLogEvents", |client| ask(client, |at| logs::events(at, &FILTER), logs::read_events)),
    ("cloudtrail:LookupEvents", look_up),
    ("cloudwatch:ListMetrics", list_metrics),
    ("cloudwatch:GetMetricData", metric_data),
    ("guardduty:ListFindings", |client| {
        ask(client, |at| guardduty::findings(at, "d", 0, None), guardduty::read_findings)
    }),
    ("guardduty:GetFindings", |client| {
        ask(client, |at| guardduty::details(at, "d", &["f".to_owned()]), guardduty::read_details)
    }),
    ("dynamodb:Query", |client| {
        ask(client, |at| dynamodb::query(at, "t", "k", None), |body| dynamodb::read_items(body, None))
    }),
    ("dynamodb:UpdateItem", |client| {
        ask(client, |at| dynamodb::update(at, "t", json!({})), dynamodb::read_updated)
    }),
];

const FILTER: Filter<'_> = Filter { group: "g", streams: &[], from: 0, to: 1, token: None };

fn queue(client: &Client) -> Result<Sqs, Error> {
    Sqs::new(client.clone(), &Queue::Url("http://q/1/n".to_owned()))
}

fn ask<T>(
    client: &Client,
    request: impl Fn(&Address<'_>) -> Request,
    read: fn(&[u8]) -> Result<T, Unusable>,
) -> Result<(), Error> {
    let endpoint = client.endpoint(crate::settings::Service::Logs);
    let address = Address { endpoint: &endpoint, region: "us-east-1", resource: "r" };
    client.call_and_read(&request(&address), read).map(drop)
}

fn get_object(client: &Client) -> Result<(), Error> {
    let (version_id, etag, size, if_match) = (None, Some("e"), Some(100), None);
    let get = GetObject {
        bucket: "b",
        key: "k",
        version_id,
        etag,
        size,
        by_key: false,
        start: 0,
        len: 1000,
        if_match,
    };
    S3::new(client.clone()).get(&get, None, &mut Buffer::default()).map(drop)
}

fn list_objects(client: &Client) -> Result<(), Error> {
    S3::new(client.clone()).list(&ListObjects { bucket: "b", prefix: "", start_after: "" }).map(drop)
}

fn assume_role(client: &Client) -> Result<(), Error> {
    let duration = Duration::from_secs(900);
    let role = AssumeRole { role_arn: "arn:r", session_name: "me", external_id: None, duration };
    Sts::new(client.clone()).assume_role(&role).map(drop)
}

fn look_up(client: &Client) -> Result<(), Error> {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let lookup = Lookup { from: now, to: now, source: None, token: None };
    ask(client, |at| cloudtrail::lookup(at, &lookup), cloudtrail::read_lookup)
}

fn list_metrics(client: &Client) -> Result<(), Error> {
    ask(client, |at| cloudwatch::list_metrics(at, &List::default()), cloudwatch::read_list_metrics)
}

fn metric_data(client: &Client) -> Result<(), Error> {
    let metrics = [Metric { namespace: "N".into(), name: "m".into(), dimensions: Vec::new() }];
    let query = Query { metrics: &metrics, period: 60, from: 0, to: 60, token: None };
    ask(client, |at| cloudwatch::metric_data(at, &query), cloudwatch::read_metric_data)
}

/// Successes of proxies, portals, health checks and other services.
const FOREIGN: [(&str, &str); 16] = [
    ("content-type: application/json\r\n", "{}"),
    ("content-type: application/json\r\n", " { } "),
    ("content-type: application/json\r\n", r#"{"status":"ok"}"#),
    ("x-amzn-requestid: 1\r\ncontent-type: application/x-amz-json-1.1\r\n", r#"{"status":"ok"}"#),
    ("content-type: application/x-amz-json-1.0\r\n", r#"{"__type":"InternalFailure","message":"m"}"#),
    (
        "x-amzn-requestid: 1\r\n",
        r#"{"Messages":null,"Events":null,"events":null,"logGroups":null,"logStreams":null}"#,
    ),
    (
        "x-amzn-requestid: 1\r\n",
        r#"{"Attributes":null,"Metrics":null,"MetricDataResults":null,"findings":null,"findingIds":null}"#,
    ),
    ("", "[]"),
    ("", "null"),
    ("", ""),
    ("", "ok\n"),
    ("content-type: text/html\r\n", "<html><body>log in</body></html>"),
    ("content-type: text/html\r\n", "<!DOCTYPE html><html><head><meta charset=\"utf-8\"></head></html>"),
    ("content-type: application/xml\r\n", "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>"),
    ("content-type: application/xml\r\n", "<?xml version=\"1.0\"?><Status>ok</Status>"),
    ("content-type: application/octet-stream\r\n", "\u{1}\u{2}"),
];

#[test]
fn no_success_of_something_else_is_believed() {
    for (name, call) in CALLS {
        // SQS says so when there is nothing, and a proxy may drop its headers.
        let is_nothing =
            |body: &str| name == "sqs:ReceiveMessage" && super::success::is_bare(body.as_bytes());
        for (headers, body) in FOREIGN.into_iter().filter(|(_, body)| !is_nothing(body)) {
            let server = Server::play(vec![answer(200, headers, body)]);
            let error = call(&server.client(&Stop::new())).expect_err(&format!("{name}: {headers}{body}"));
            assert_eq!((error.action(), error.kind()), (name, &Kind::Foreign), "{headers}{body}: {error}");
            let text = error.to_string();
            assert!(text.contains("the right endpoint") && text.contains("proxy"), "{text}");
            assert!(!error.may_be_of_item() && server.seen().len() == 1, "{text}");
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// An object with any members, but without AWS's own, is not AWS's.
    #[test]
    fn no_object_of_other_members_is_read(
        names in proptest::collection::btree_set("[b-z_]{1,12}", 1..4),
        value in "(null|1|\"x\"|\\[\\]|\\{\\}|\\[\\{\\}\\])",
    ) {
        let members: Vec<_> = names.iter().map(|name| format!("\"{name}\":{value}")).collect();
        let body = format!("{{{}}}", members.join(","));
        let body = body.as_bytes();
        let foreign = |read: Result<(), Unusable>| matches!(read, Err(Unusable::Foreign(_)));
        proptest::prop_assert!(foreign(super::sqs::read_receive(body).map(drop)));
        proptest::prop_assert!(foreign(super::sqs::read_batch(body, &["a"]).map(drop)));
        proptest::prop_assert!(foreign(super::sqs::read_attributes(body).map(drop)));
        proptest::prop_assert!(foreign(super::sqs::read_queue_url(body).map(drop)));
        proptest::prop_assert!(foreign(logs::read_groups(body).map(drop)));
        proptest::prop_assert!(foreign(logs::read_streams(body).map(drop)));
        proptest::prop_assert!(names.contains("events") || foreign(logs::read_events(body).map(drop)));
        proptest::prop_assert!(foreign(cloudtrail::read_lookup(body).map(drop)));
        proptest::prop_assert!(foreign(cloudwatch::read_list_metrics(body).map(drop)));
        proptest::prop_assert!(foreign(cloudwatch::read_metric_data(body).map(drop)));
        proptest::prop_assert!(foreign(guardduty::read_detectors(body).map(drop)));
        proptest::prop_assert!(foreign(guardduty::read_findings(body).map(drop)));
        proptest::prop_assert!(names.contains("findings") || foreign(guardduty::read_details(body).map(drop)));
    }
}

#[test]
fn what_aws_leaves_out_is_nothing() {
    let of_aws = "x-amzn-requestid: 1\r\ncontent-type: application/x-amz-json-1.0\r\n";
    for (name, call) in
        CALLS.iter().filter(|(name, _)| ["sqs:ReceiveMessage", "cloudwatch:ListMetrics"].contains(name))
    {
        let server = Server::play(vec![answer(200, of_aws, "{}")]);
        call(&server.client(&Stop::new())).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
