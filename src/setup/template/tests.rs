//! The content of some configurations' templates. The end-to-end tests check that CloudFormation accepts them.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::*;
use crate::config::{self, Environment};

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
    assert!(made.json["Parameters"]["ExternalId"].is_object());
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
    assert_eq!(refused(&Needs::default()), TemplateError::NoQueue.to_string());
    let odd = needs(&input("sqs_collector", "a.b", "services: {aws_sqs_waf: {}}"));
    assert!(refused(&odd).contains("a.b"));
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
    let elsewhere = needs(&inputs).in_regions(&["us-east-1".to_owned()]);
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
