//! The rows as a whole: from a configuration to the tags and bodies of records.

use std::path::Path;

use serde_json::{Value, json};

use crate::config::{Environment, parse};
use crate::decode::{Bounds, Decoder, Record, Scratch};
use crate::services::{Definition, Route, Verdict};
use crate::settings::Config;

fn environment() -> Environment {
    Environment {
        variable: Box::new(|_| None),
        host_name: "here".into(),
        cores: 2,
        memory: 1 << 33,
        now: std::time::SystemTime::UNIX_EPOCH,
    }
}

/// An input with these services in us-east-2, and `more` keys.
fn config(services: Value, more: Value) -> Config {
    let mut services = services;
    for service in services.as_object_mut().unwrap().values_mut() {
        service["regions"] = json!(["us-east-2"]);
    }
    let mut input = json!({"id": "7", "services": services});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let text = json!({"outputs": {"console_1": {"type": "console"}}, "inputs": {"aws": input}}).to_string();
    parse(&text, Path::new(""), &environment()).unwrap_or_else(|problems| panic!("{problems}")).config
}

/// The definition of the only service.
fn of_queue(service: &str, keys: Value, more: Value) -> std::sync::Arc<Definition> {
    config(json!({service: keys}), more).inputs.remove(0).services.remove(0)
}

/// Tag and body of each record of an object.
fn records(definition: &Definition, key: &str, object: &str) -> Vec<(String, String)> {
    let mut decoder = Decoder::new(definition.format.clone(), Bounds::default());
    let mut route = Route::new(definition, key);
    let mut found = Vec::new();
    let mut sink = |record: Record<'_>| {
        if let Verdict::Send { tag, .. } = route.verdict(record) {
            found.push((tag.to_owned(), String::from_utf8(record.bytes.to_vec()).unwrap()));
        }
    };
    decoder.push(object.as_bytes(), true, &mut Scratch::new(), &mut sink).unwrap();
    found
}

fn tags(definition: &Definition, key: &str, object: &str) -> Vec<String> {
    records(definition, key, object).into_iter().map(|(tag, _)| tag).collect()
}

#[test]
fn events_of_cloudtrails_objects_and_insights() {
    let object = json!({"Records": [
        {"eventSource": "cognito-idp.amazonaws.com", "recipientAccountId": "123456789012"},
        {"eventCategory": "Insight", "recipientAccountId": "123456789012"},
        {"eventSource": "s3.amazonaws.com", "recipientAccountId": "210987654321"},
    ]})
    .to_string();
    let keys = |auto| json!({"types": ["audits_s3"], "audit_sqs_queue_name": "q", "auto_event_type": auto});
    let definition = of_queue("audit-events-all", keys(true), json!({"environment": "prod"}));
    assert_eq!(
        tags(&definition, "k", &object),
        [
            "cloud.aws.cloudtrail.cognito_idp.123456789012.us-east-2.1.prod",
            "cloud.aws.cloudtrail.insights.123456789012.us-east-2.1.prod",
            "cloud.aws.cloudtrail.s3.210987654321.us-east-2.1.prod",
        ]
    );
    let definition = of_queue("audit-events-all", keys(false), json!({}));
    assert_eq!(tags(&definition, "k", &object)[2], "cloud.aws.cloudtrail.events.210987654321.us-east-2.1");
    assert!(definition.skips("AWSLogs/1/CloudTrail-Digest/x.json.gz"));
}

#[test]
fn flow_logs_know_their_account_by_their_key() {
    let keys =
        |auto| json!({"types": ["flowlogs"], "vpcflowlogs_sqs_queue_name": "q", "auto_event_type": auto});
    let object = "version account-id\n2 123456789012\n";
    for key in [
        "p/AWSLogs/123456789012/vpcflowlogs/x.gz",
        "AWSLogs/o-abc1/123456789012/vpcflowlogs/x.gz",
        "AWSLogs/aws-account-id=123456789012/x.gz",
    ] {
        let definition = of_queue("non-cloudwatch-logs", keys(true), json!({}));
        let expected =
            ("cloud.aws.vpc.flow.123456789012.us-east-2.1".to_owned(), "2 123456789012".to_owned());
        assert_eq!(records(&definition, key, object), [expected]);
    }
    let definition = of_queue("non-cloudwatch-logs", keys(false), json!({}));
    assert_eq!(tags(&definition, "elsewhere", object), ["cloud.aws.vpc.unknown.unknown.us-east-2.1"]);
    let mut route = Route::of_account(Some("210987654321"), &definition, "elsewhere");
    let Verdict::Send { tag, filled } = route.verdict(Record::new(b"2", crate::decode::Newlines::Absent))
    else {
        panic!("dropped")
    };
    assert_eq!((tag, filled.missing), ("cloud.aws.vpc.unknown.210987654321.us-east-2.1", false));
    assert!(!definition.needs_account(), "most keys say it");
}

#[test]
fn cloudfront_lines_stand_under_two_comments_and_belong_to_the_role_s_account() {
    let keys =
        json!({"types": ["cloudfrontlogs"], "cloudfrontlogs_sqs_queue_name": "q", "auto_event_type": true});
    let role = json!({"credentials": {"base_assume_role": "arn:aws:iam::210987654321:role/r"}});
    let definition = of_queue("non-cloudwatch-logs", keys, role);
    let found =
        records(&definition, "E1.2026-01-31-10.0a1b2c3d.gz", "#Version: 1.0\n#Fields: date\n2026-01-31\tx\n");
    assert_eq!(
        found,
        [("cloud.aws.cloudfront.web_1.210987654321.us-east-2.1".into(), "2026-01-31\tx".into())]
    );
}

#[test]
fn cloudfront_lines_belong_to_the_account_of_the_credentials() {
    let keys = json!({"types": ["cloudfrontlogs"], "cloudfrontlogs_sqs_queue_name": "q"});
    let definition = of_queue("non-cloudwatch-logs", keys, json!({}));
    assert!(definition.needs_account());
    let record = Record::new(b"x", crate::decode::Newlines::Absent);
    for (account, expected) in [(Some("123456789012"), "123456789012"), (None, "unknown")] {
        let mut route = Route::of_account(account, &definition, "E1.2026-01-31-10.0a1b2c3d.gz");
        let Verdict::Send { tag, filled } = route.verdict(record) else { panic!("dropped") };
        assert_eq!(tag, format!("cloud.aws.cloudfront.unknown.{expected}.us-east-2.1"));
        assert_eq!(filled.lacks_account, account.is_none());
    }
}

#[test]
fn the_start_time_of_a_queue_s_objects_is_the_input_s() {
    let of =
        |service: &str, keys: Value| config(json!({service: keys}), json!({})).inputs.remove(0).start_time;
    let start = json!("2026-01-31T00:00:00Z");
    let keys = json!({"types": ["audits_s3"], "audit_sqs_queue_name": "q", "start_time": start});
    assert_eq!(of("audit-events-all", keys), Some("2026-01-31T00:00:00Z".parse().unwrap()));
    let keys = json!({"cisco_umbrella_sqs_queue_name": "q"});
    assert_eq!(of("cisco-umbrella", keys), None);
    let keys = json!({"cloudwatch_sqs_queue_name": "q", "start_time": start});
    assert_eq!(of("service-events-all", keys), None, "the messages are the logs");
}

#[test]
fn the_template_for_people_shows_a_page_s_account() {
    let keys = json!({"types": ["audits_api"], "auto_event_type": true});
    let source = config(json!({"audit-events-all": keys}), json!({})).sources.remove(0);
    let shown = source.service.shown_template("123456789012/us-east-2");
    assert_eq!(shown, "cloud.aws.cloudtrail.[record-event_source].123456789012.us-east-2.1");
}

#[test]
fn umbrellas_types_are_told_by_folder_or_by_the_users_patterns() {
    let keys = json!({
        "cisco_umbrella_sqs_queue_name": "q",
        "event_type_file_regex_patterns": {"dns": "/of-ours/", "own": "^x/"}
    });
    let definition = of_queue("cisco-umbrella", keys, json!({}));
    let tag = |key: &str| tags(&definition, key, "\"a\",\"b\"\n").remove(0);
    assert_eq!(tag("x/of-ours/1.csv.gz"), "sig.cisco.umbrella.dns", "the first pattern wins");
    assert_eq!(tag("x/proxylogs/1.csv.gz"), "sig.cisco.umbrella.own");
    assert_eq!(tag("p/proxylogs/1.csv.gz"), "sig.cisco.umbrella.proxy");
    assert_eq!(tag("p/iplogs/1.csv.gz"), "sig.cisco.umbrella.ip");
    assert_eq!(tag("p/other/1.csv.gz"), "sig.cisco.umbrella.unknown");
}

#[test]
fn event_types_of_eventbridge_are_their_sources() {
    let keys = json!({
        "cloudwatch_sqs_queue_name": "q.fifo", "auto_event_type": true,
        "event_type_processor_mapping": {"backup": "my.app.{event_type}.{region_id}.{service_name}"}
    });
    let definition = of_queue("service-events-all", keys, json!({}));
    let event = |source: &str| json!({"source": source, "account": "123456789012"}).to_string();
    let tag = |source: &str| tags(&definition, "", &event(source)).remove(0);
    assert_eq!(tag("aws.ssm"), "cloud.aws.cloudwatch.ssm.123456789012.us-east-2.1");
    assert_eq!(tag("com.example.shop"), "cloud.aws.cloudwatch.com_example_shop.123456789012.us-east-2.1");
    assert_eq!(tag("aws.backup"), "my.app.backup.us-east-2.service-events-all");
    assert_eq!(records(&definition, "", &event("aws.ssm"))[0].1, event("aws.ssm"), "whole");
}

#[test]
fn a_lookup_s_account_comes_from_its_page() {
    let keys = json!({"types": ["audits_api"], "tag": "a.{event_type}.{account_id}.{format_version}"});
    let source = config(json!({"audit-events-all": keys}), json!({})).sources.remove(0);
    assert_eq!(source.name, "7/audit-events-all/audits_api/us-east-2");
    let found =
        records(&source.service, "123456789012/us-east-2", "{\"eventSource\":\"s3.amazonaws.com\"}\n");
    assert_eq!(found[0].0, "a.events.123456789012.1");
}

#[test]
fn each_region_is_on_its_own() {
    let mut services =
        json!({"audit-events-all": {"types": ["audits_api", "audits_s3"], "audit_sqs_queue_name": "q"}});
    services["audit-events-all"]["regions"] = json!(["us-east-1", "eu-west-3"]);
    let input = json!({"id": "7", "requests_per_second": "0.5", "services": services});
    let text = json!({"outputs": {"c": {"type": "console"}}, "inputs": {"aws": input}}).to_string();
    let config = parse(&text, Path::new(""), &environment()).unwrap().config;
    let regions: Vec<_> = config.sources.iter().map(|source| source.region.as_str()).collect();
    assert_eq!((regions.as_slice(), config.inputs.len()), (["us-east-1", "eu-west-3"].as_slice(), 2));
    assert_eq!(config.sources[1].requests_per_second, Some(0.5));
    let ids: std::collections::BTreeSet<_> = config.inputs.iter().map(|input| &input.id).collect();
    assert_eq!(ids.len(), 2);
}

/// Queues and sources of a service, by what they read.
fn read_by(service: &str, keys: Value) -> Vec<String> {
    let config = config(json!({service: keys}), json!({}));
    let queues =
        config.inputs.iter().map(|input| format!("{} {}", input.services[0].name, input.queue.text()));
    let sources =
        config.sources.iter().map(|source| format!("{} {}", source.service.name, source.api.name()));
    queues.chain(sources).collect()
}

#[test]
fn types_are_the_vendor_s_words_on_every_service_or_none() {
    for (service, types) in [
        ("service-events-all", json!(["events"])),
        ("metrics-all", json!(["metrics"])),
        ("aws-guardduty", json!(["findings"])),
    ] {
        assert_eq!(read_by(service, json!({"types": types})), read_by(service, json!({})), "{service}");
    }
    for types in
        [json!(["audits"]), json!(["audit_apis"]), json!(["audits_api"]), json!(["audits", "audits_api"])]
    {
        assert_eq!(
            read_by("audit-events-all", json!({"types": types})),
            ["audit-events-all/audits_api CloudTrail"]
        );
    }
    assert_eq!(read_by("audit-events-all", json!({})), ["audit-events-all/audits_api CloudTrail"]);
    for types in [json!(["logs"]), json!([])] {
        let read = |queue: &str| read_by("non-cloudwatch-logs", json!({"types": types, queue: "q"}));
        assert_eq!(read("vpcflowlogs_sqs_queue_name"), ["non-cloudwatch-logs/flowlogs q"]);
        assert_eq!(read("cloudfront_sqs_queue_name"), ["non-cloudwatch-logs/cloudfrontlogs q"]);
    }
    assert_eq!(read_by("cwl_x", json!({"log_group": "/a"})), ["cwl_x/logs CloudWatch Logs"]);
    assert_eq!(read_by("orders", json!({"log_group": "/a"})), ["orders/logs CloudWatch Logs"]);
    let types = json!({"types": ["events", "audits", "metrics"], "cloudwatch_sqs_queue_name": "q"});
    assert_eq!(
        read_by("ec2", types),
        ["ec2/events q", "ec2/audits_api CloudTrail", "ec2/metrics CloudWatch"]
    );
}

#[test]
fn a_queue_is_named_by_any_key_of_its_kind_or_by_the_vendor_s_default() {
    assert_eq!(read_by("service-events-all", json!({})), ["service-events-all dc-aws-cloudwatch-7.fifo"]);
    for key in ["cloudwatch_sqs_queue_name", "events_sqs_queue_name", "sqs_queue_name"] {
        assert_eq!(read_by("service-events-all", json!({key: "q"})), ["service-events-all q"]);
        assert_eq!(read_by("cisco-umbrella", json!({key: "q"})), ["cisco-umbrella q"]);
        let keys = json!({"types": ["flowlogs"], key: "q"});
        assert_eq!(read_by("non-cloudwatch-logs", keys), ["non-cloudwatch-logs/flowlogs q"]);
    }
    let refused = |service: &str, mut keys: Value| {
        keys["regions"] = json!(["us-east-2"]);
        let input = json!({"id": "7", "services": {service: keys}});
        let text = json!({"outputs": {"c": {"type": "console"}}, "inputs": {"aws": input}}).to_string();
        parse(&text, Path::new(""), &environment()).unwrap_err().to_string()
    };
    let two = refused("cisco-umbrella", json!({"a_sqs_queue_name": "q", "b_sqs_queue_name": "p"}));
    assert!(two.contains("services.cisco-umbrella.b_sqs_queue_name: names a second queue"), "{two}");
    let two =
        refused("cisco-umbrella", json!({"cisco_umbrella_sqs_queue_name": "q", "b_sqs_queue_name": "p"}));
    assert!(two.contains("services.cisco-umbrella.b_sqs_queue_name: names a second queue"), "{two}");
    let unclear = refused("non-cloudwatch-logs", json!({"types": ["logs"], "sqs_queue_name": "q"}));
    assert!(unclear.contains("sqs_queue_name: is not a known key"), "{unclear}");
    let unclear = refused("audit-events-all", json!({"audit_sqs_queue_name": "q"}));
    assert!(unclear.contains("services.audit-events-all.types: is missing"), "{unclear}");
}

#[test]
fn a_slip_in_a_service_s_name_is_warned_of() {
    let text = "{outputs: {c: {type: console}}, inputs: {aws: {id: 7, services: {\
        audit-event-all: {types: [audits_api], sources: [iam], regions: [us-east-1]}, \
        cwl_1: {log_group: /a, regions: [us-east-1]}}}}}";
    let warnings = parse(text, Path::new(""), &environment()).unwrap().warnings;
    let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("did you mean \"audit-events-all\"?"), "{said:?}");
}
