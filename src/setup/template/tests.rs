//! The content of some configurations' templates. The end-to-end tests check that CloudFormation accepts them.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::*;
use crate::config::{self, Environment};
use crate::settings::{Bucket, Credentials, Endpoints, SharedTable};
use crate::setup::Extras;

/// Needs of inputs, written in YAML under `inputs:`.
fn needs(inputs: &str) -> Needs {
    let environment = Environment {
        host_name: "host".into(),
        cores: 1,
        memory: 1 << 30,
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        variable: Box::new(|_| None),
    };
    let text = format!("inputs:\n{inputs}\noutputs: {{console_1: {{type: console}}}}\n");
    let loaded = config::parse(&text, Path::new(""), &environment).unwrap_or_else(|p| panic!("{p}"));
    Needs::of(&loaded.config, &[]).unwrap()
}

const QUEUE: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012";

fn input(key: &str, queue: &str, more: &str) -> String {
    format!("  {key}: {{id: {key}, base_url: {QUEUE}/{queue}, {more}}}\n")
}

fn resources(document: &Document) -> Vec<String> {
    document.json["Resources"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_new_bucket_announces_to_its_queue() {
    let needs = needs(&input("sqs_collector", "trail", "services: {aws_sqs_cloudtrail: {}}"));
    let made = template(&needs, &Wishes::default()).unwrap();
    assert_eq!(
        resources(&made),
        [
            "SqsCollectorDeadLetters",
            "SqsCollectorQueue",
            "SqsCollectorDeadLettersAlarm",
            "SqsCollectorQueuePolicy",
            "SqsCollectorBucket",
            "SqsCollectorBucketPolicy",
            "ReaderPolicy"
        ]
    );
    let all = made.json.to_string();
    assert!(all.contains("cloudtrail.amazonaws.com") && all.contains(r#""QueueName":"trail""#), "{all}");
    assert!(made.notes[0].contains("--region eu-west-1"), "{:?}", made.notes);
}

#[test]
fn a_bucket_that_is_there_gets_a_rule() {
    let needs = needs(&input("sqs_collector", "vpc.fifo", "services: {aws_sqs_vpc: {}}"));
    let buckets = vec!["logs/AWSLogs/".parse().unwrap(), "other=unused".parse().unwrap()];
    let made = template(&needs, &Wishes { buckets, list: true, ..Wishes::default() }).unwrap();
    let rule = &made.json["Resources"]["SqsCollectorRule"]["Properties"];
    assert_eq!(rule["EventPattern"]["detail"]["bucket"]["name"][0], "logs");
    assert_eq!(rule["EventPattern"]["detail"]["object"]["key"][0]["prefix"], "AWSLogs/");
    assert_eq!(rule["Targets"][0]["SqsParameters"]["MessageGroupId"], "aws-to-devo");
    let all = made.json.to_string();
    assert!(all.contains("arn:aws:s3:::logs/AWSLogs/*") && all.contains("s3:ListBucket"), "{all}");
    assert!(!all.contains("unused") && !all.contains("AWS::S3::Bucket"), "{all}");
    assert!(made.notes.iter().any(|note| note.contains("EventBridge")), "{:?}", made.notes);
}

#[test]
fn extras_are_made_on_request() {
    let needs = needs(&input("sqs_collector", "trail", "services: {aws_sqs_cloudtrail: {}}"));
    let topic = "arn:aws:sns:eu-west-1:123456789012:on-call";
    let extras = Extras { expire_days: Some(30), trail: true, alarm_topic: Some(topic.into()) };
    let made = template(&needs, &Wishes { extras, ..Wishes::default() }).unwrap();
    let properties = |id: &str| &made.json["Resources"][id]["Properties"];
    assert_eq!(
        properties("SqsCollectorBucket")["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"],
        30
    );
    assert_eq!(properties("SqsCollectorTrail")["S3BucketName"]["Ref"], "SqsCollectorBucket");
    assert_eq!(properties("SqsCollectorDeadLettersAlarm")["AlarmActions"][0], topic);
    for tagged in ["SqsCollectorQueue", "SqsCollectorDeadLetters", "SqsCollectorBucket", "SqsCollectorTrail"]
    {
        assert_eq!(properties(tagged)["Tags"][0]["Key"], "usedBy", "{tagged}");
    }
}

#[test]
fn a_description_is_never_too_long() {
    let needs = needs(&input("sqs_collector", "vpc", "services: {aws_sqs_vpc: {}}"));
    let buckets: Vec<Bucket> =
        (0..100).map(|n| format!("bucket-with-a-long-name-{n}").parse().unwrap()).collect();
    let made = template(&needs, &Wishes { buckets, ..Wishes::default() }).unwrap();
    let description = made.json["Description"].as_str().unwrap();
    assert!(description.contains("Turn on EventBridge") && description.len() <= 1024, "{description}");
}

#[test]
fn roles_that_are_written_are_made() {
    let credentials = "credentials: {aws_base_account_role: 'arn:aws:iam::837131528613:role/base', \
                       aws_cross_account_role: 'arn:aws:iam::123456789012:role/logs/reader', \
                       aws_external_id: never-shown}";
    let inputs = input("sqs_collector_a", "a", &format!("{credentials}, services: {{aws_sqs_waf: {{}}}}"))
        + &input("sqs_collector_b", "b", &format!("{credentials}, services: {{aws_sqs_fdr: {{}}}}"));
    let made = template(&needs(&inputs), &Wishes::default()).unwrap();
    let role = &made.json["Resources"]["ReaderRole"]["Properties"];
    assert_eq!((&role["RoleName"], &role["Path"]), (&Value::from("reader"), &Value::from("/logs/")));
    let trust = &role["AssumeRolePolicyDocument"]["Statement"][0];
    assert_eq!(trust["Principal"]["AWS"], "arn:aws:iam::837131528613:role/base");
    assert_eq!(trust["Condition"]["StringEquals"]["sts:ExternalId"]["Ref"], "ExternalId");
    assert_eq!(made.json["Parameters"]["ExternalId"]["NoEcho"], true);
    assert!(!made.json.to_string().contains("never-shown"));
    let statements =
        made.json["Resources"]["ReaderPolicy"]["Properties"]["PolicyDocument"]["Statement"].clone();
    assert_eq!(statements[0]["Resource"].as_array().map(Vec::len), Some(2));
}

#[test]
fn what_no_stack_can_make_is_refused() {
    let regions = input("sqs_collector_a", "a", "services: {aws_sqs_waf: {}}")
        + &input("sqs_collector_b", "b", "services: {aws_sqs_waf: {}}").replace("eu-west-1", "us-east-1");
    let refused = |needs: &Needs| template(needs, &Wishes::default()).unwrap_err().to_string();
    assert!(refused(&needs(&regions)).contains("eu-west-1, us-east-1"));
    assert_eq!(refused(&Needs::default()), TemplateError::Nothing.to_string());
    // AWS itself has no such queue; other servers may.
    let odd =
        input("sqs_collector", "a.b", "services: {aws_sqs_waf: {}}").replace("amazonaws.com", "localhost");
    assert!(refused(&needs(&odd)).contains("a.b"));
}

#[test]
fn the_aws_collectors_services_get_what_they_read() {
    let credentials = "credentials: {base_assume_role: 'arn:aws:iam::123456789012:role/reader'}";
    let inputs = format!(
        "  aws:
    id: 7
    {credentials}
    services:
      service-events-all: {{regions: [eu-west-1], cloudwatch_sqs_queue_name: events.fifo}}
      audit-events-all: {{regions: [eu-west-1, us-east-1], types: [audits_api]}}
"
    );
    let made = template(&needs(&inputs), &Wishes::default()).unwrap();
    let all = made.json.to_string();
    for part in
        ["cloudtrail:LookupEvents", "sqs:GetQueueUrl", r#""QueueName":"events.fifo""#, "AWS::Events::Rule"]
    {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert!(!all.contains("AWS::S3::Bucket") && !all.contains("s3:GetObject"), "{all}");
    assert_eq!(made.json["Resources"]["ReaderRole"]["Properties"]["RoleName"], "reader");
    let elsewhere = needs(&inputs).in_regions(&["us-east-1".to_owned()]).unwrap();
    let made = template(&elsewhere, &Wishes::default()).unwrap();
    assert_eq!(resources(&made), ["ReaderPolicy", "ReaderRole"]);
    let policy = crate::setup::policy(&elsewhere, &Wishes::default(), crate::setup::Identity::Reader);
    assert_eq!(policy.json["Statement"][0]["Action"], serde_json::json!(["cloudtrail:LookupEvents"]));
}

#[test]
fn every_api_has_its_rights() {
    let inputs = "  aws:
    id: 7
    services:
      metrics-all: {regions: [eu-west-1], metric_namespaces: [AWS/EC2]}
      aws-guardduty: {regions: [eu-west-1, cn-north-1]}
      cwl_1: {types: [logs], regions: [eu-west-1], log_group: /aws/a}
      cwl_2: {types: [logs], regions: [eu-west-1], log_group: /}
";
    let policy = crate::setup::policy(&needs(inputs), &Wishes::default(), crate::setup::Identity::Reader);
    let sids: Vec<&str> =
        policy.json["Statement"].as_array().unwrap().iter().filter_map(|s| s["Sid"].as_str()).collect();
    assert_eq!(sids, ["ReadMetrics", "ReadFindings", "ReadLogGroups", "ListLogGroups"]);
    let all = policy.json.to_string();
    for part in [
        r#"["arn:aws:guardduty:eu-west-1:*:detector/*","arn:aws-cn:guardduty:cn-north-1:*:detector/*"]"#,
        r#"["arn:aws:logs:eu-west-1:*:log-group:/aws/a:*","arn:aws:logs:eu-west-1:*:log-group:*:*"]"#,
        "cloudwatch:GetMetricData",
        "cloudwatch:GetMetricStatistics",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
}

#[test]
fn a_shared_table_is_created_where_the_stack_is_and_allowed_everywhere() {
    let shared = |region: &str| {
        let mut needs = needs("  aws: {id: 7, services: {aws-guardduty: {regions: [eu-west-1]}}}\n");
        needs.table = Some(SharedTable {
            name: "fleet".into(),
            region: region.into(),
            claims: true,
            credentials: Credentials::default(),
            endpoints: Endpoints::default(),
        });
        needs
    };
    let made = template(&shared("eu-west-1"), &Wishes::default()).unwrap();
    let table = &made.json["Resources"]["SharedTable"];
    assert_eq!(
        (&table["Type"], &table["DeletionPolicy"]),
        (&"AWS::DynamoDB::Table".into(), &"Retain".into())
    );
    assert_eq!(table["Properties"]["TableName"], "fleet");
    let elsewhere = template(&shared("us-east-1"), &Wishes::default()).unwrap();
    assert!(!resources(&elsewhere).contains(&"SharedTable".to_owned()));
    assert!(
        elsewhere.notes.iter().any(|note| note.starts_with("the table fleet is in us-east-1")),
        "{:?}",
        elsewhere.notes
    );
    for made in [&made, &elsewhere] {
        let all = made.json.to_string();
        assert!(all.contains("dynamodb:UpdateItem") && all.contains(":table/fleet"), "{all}");
    }
    let other = shared("eu-west-1").in_regions(&["eu-west-1".to_owned()]).unwrap();
    assert!(other.table.is_some());
}

/// The options that the notes say change nothing.
fn unused(document: &Document) -> Vec<&str> {
    let notes = document.notes.iter().filter_map(|note| note.split_once(" changes nothing here"));
    notes.map(|(option, _)| option.split(' ').next().unwrap_or_default()).collect()
}

fn everything() -> Wishes {
    Wishes {
        buckets: Vec::new(),
        kms_keys: vec!["arn:aws:kms:eu-west-1:123456789012:key/1".into()],
        dead_letters: vec!["arn:aws:sqs:eu-west-1:123456789012:dead".into()],
        versioned: true,
        list: true,
        audit: false,
        extras: Extras {
            expire_days: Some(30),
            trail: true,
            alarm_topic: Some("arn:aws:sns:eu-west-1:123456789012:on-call".into()),
        },
    }
}

#[test]
fn an_option_that_changes_nothing_is_named() {
    let needs_of =
        |service: &str| needs(&input("sqs_collector", "q", &format!("services: {{{service}: {{}}}}")));
    let made = |needs: &Needs, wishes: &Wishes| template(needs, wishes).unwrap();
    let trail = needs_of("aws_sqs_cloudtrail");
    assert_eq!(unused(&made(&trail, &everything())), ["--dead-letter-queue"]);
    let elsewhere = Wishes { buckets: vec!["other=logs".parse().unwrap()], ..everything() };
    assert_eq!(unused(&made(&trail, &elsewhere)), ["--bucket", "--dead-letter-queue"]);
    assert_eq!(unused(&made(&needs_of("aws_sqs_vpc"), &everything())), ["--dead-letter-queue", "--trail"]);
    let existing = Wishes { buckets: vec!["logs".parse().unwrap()], ..everything() };
    let expected = ["--dead-letter-queue", "--expire-days", "--trail"];
    assert_eq!(unused(&made(&trail, &existing)), expected);
    let api = needs("  aws: {id: 7, services: {aws-guardduty: {regions: [eu-west-1]}}}\n");
    let expected = [
        "--bucket",
        "--dead-letter-queue",
        "--versioned",
        "--list",
        "--expire-days",
        "--trail",
        "--alarm-topic",
    ];
    assert_eq!(unused(&made(&api, &existing)), expected);
}

#[test]
fn an_option_that_changes_nothing_in_a_policy_is_named() {
    let needs = needs(&input("sqs_collector", "q", "services: {aws_sqs_vpc: {}}"));
    let policy = |wishes: &Wishes, identity| crate::setup::policy(&needs, wishes, identity);
    let wishes = Wishes { extras: Extras::default(), ..everything() };
    use crate::setup::Identity::{Reader, Start};
    assert_eq!(unused(&policy(&wishes, Reader)), ["--list"], "no bucket is named");
    let wishes = Wishes { buckets: vec!["logs".parse().unwrap()], audit: true, ..wishes };
    assert!(unused(&policy(&wishes, Reader)).is_empty());
    let all = ["--bucket", "--kms-key", "--dead-letter-queue", "--versioned", "--audit"];
    assert_eq!(unused(&policy(&wishes, Start)), all, "it only assumes the role");
}

#[test]
fn a_region_without_anything_is_refused_by_its_name() {
    let needs = needs(&input("sqs_collector", "q", "services: {aws_sqs_cloudtrail: {}}"));
    let error = needs.in_regions(&["eu-west-1".to_owned(), "us-east-1".to_owned()]).unwrap_err().to_string();
    assert_eq!(error, "nothing is read in the region \"us-east-1\"; these inputs read in eu-west-1");
}
