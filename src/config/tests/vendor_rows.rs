//! Every row of the vendor's errors that `check` can produce: a bad file, and its message.

use super::*;
use crate::config::kind::Kind;
use crate::config::vendor::{ROWS, Row};

/// A file's inputs (YAML in one line), the problem's path, and the vendor's message with the path filled in.
type Case = (&'static str, &'static str, &'static str);

const SQS: &str = "sqs_collector: {id: 1, base_url: https://sqs.us-west-1.amazonaws.com/111111111111/q";

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("{}", "inputs", r#"AwsInputConfigurationError 1: "inputs" mandatory property is missing or empty"#),
    ("[]", "inputs", r#"AwsInputConfigurationError 2: "inputs" property must be a dictionary"#),
    ("{sqs_collector: 7}", "inputs.sqs_collector",
        r#"AwsInputConfigurationError 2: "inputs.sqs_collector" property must be a dictionary"#),
    ("{SQS}}", "inputs.sqs_collector.services",
        r#"AwsServiceConfigurationError 1: "inputs.sqs_collector.services" mandatory property is missing or empty"#),
    ("{SQS, services: [aws_sqs_vpc]}}", "inputs.sqs_collector.services",
        r#"AwsServiceConfigurationError 2: "inputs.sqs_collector.services" property must be a dictionary"#),
    ("{SQS, services: {aws_sqs_vpc: on}}}", "inputs.sqs_collector.services.aws_sqs_vpc",
        r#"AwsServiceConfigurationError 2: "inputs.sqs_collector.services.aws_sqs_vpc" property must be a dictionary"#),
    ("{aws: {id: 1, services: {metrics-all: [us-east-1]}}}", "inputs.aws.services.metrics-all",
        r#"AwsServiceConfigurationError 8: "inputs.aws.services.metrics-all" property must be a dictionary"#),
    ("{aws: {id: 1, services: {sqs-cloudwatch-consumer: {regions: [us-east-1]}}}}",
        "inputs.aws.services.sqs-cloudwatch-consumer.cloudwatch_sqs_queue_name",
        r#"AwsServiceConfigurationError 4: "inputs.aws.services.sqs-cloudwatch-consumer.cloudwatch_sqs_queue_name" mandatory property is missing or empty"#),
    ("{aws_2: {id: 1, services: {cisco-umbrella: {regions: [us-east-1], cisco_umbrella_sqs_queue_name: [q]}}}}",
        "inputs.aws_2.services.cisco-umbrella.cisco_umbrella_sqs_queue_name",
        r#"AwsServiceConfigurationError 5: "inputs.aws_2.services.cisco-umbrella.cisco_umbrella_sqs_queue_name" property must be a string"#),
    ("{AUDIT, sources: {ec2: true}}}}}", "inputs.aws.services.audit-events-all.sources",
        r#"AwsServiceConfigurationError 4: "inputs.aws.services.audit-events-all.sources" property exists but with wrong format, only "str" or "list" values are allowed"#),
    ("{AUDIT, gap_until_now_in_minutes: ten}}}}", "inputs.aws.services.audit-events-all.gap_until_now_in_minutes",
        r#"AwsServiceConfigurationError 5: "inputs.aws.services.audit-events-all.gap_until_now_in_minutes" property must be an integer"#),
    ("{AUDIT, start_time: [2026-01-31]}}}}", "inputs.aws.services.audit-events-all.start_time",
        r#"AwsServiceConfigurationError 6: "inputs.aws.services.audit-events-all.start_time" property must be a string"#),
    ("{AUDIT, start_time: yesterday}}}}", "inputs.aws.services.audit-events-all.start_time",
        r#"AwsServiceConfigurationError 7: The property "inputs.aws.services.audit-events-all.start_time" from configuration is having a wrong format, expected pattern: "YYYY-mm-ddTHH:MM:SSZ""#),
    ("{AUDIT, drop_event_names: {Decrypt: true}}}}}", "inputs.aws.services.audit-events-all.drop_event_names",
        r#"AwsServiceConfigurationError 8: "inputs.aws.services.audit-events-all.drop_event_names" property must be a list"#),
    ("{AUDIT, auto_event_type: perhaps}}}}", "inputs.aws.services.audit-events-all.auto_event_type",
        r#"AwsServiceConfigurationError 9: "inputs.aws.services.audit-events-all.auto_event_type" property must be a string"#),
    ("{AUDIT, time_slot_in_hours: one}}}}", "inputs.aws.services.audit-events-all.time_slot_in_hours",
        r#"AwsServiceConfigurationError 10: "inputs.aws.services.audit-events-all.time_slot_in_hours" property must be integer"#),
    ("{METRICS, metric_namespaces: {AWS/EC2: true}}}}}", "inputs.aws.services.metrics-all.metric_namespaces",
        r#"AwsServiceConfigurationError 0: Mandatory property "metric_namespaces" property must be a list"#),
    ("{METRICS, request_period_in_seconds: 7}}}}", "inputs.aws.services.metrics-all.request_period_in_seconds",
        r#"AwsServiceConfigurationError 1: When a service uses "metrics" type, the property "request_period_in_seconds" must have one of the following values: 1, 5, 10, 30, 60, or any multiple of 60"#),
    ("{METRICS, start_time: {year: 2026}}}}}", "inputs.aws.services.metrics-all.start_time",
        r#"AwsServiceConfigurationError 4: "inputs.aws.services.metrics-all.start_time" property must be a string"#),
    ("{METRICS, start_time: 31/01/2026}}}}", "inputs.aws.services.metrics-all.start_time",
        r#"AwsServiceConfigurationError 4: The property "inputs.aws.services.metrics-all.start_time" from configuration is having a wrong format, expected pattern: "YYYY-mm-ddTHH:MM:SSZ""#),
    ("{METRICS, tag: [my.app.aws.metrics]}}}}", "inputs.aws.services.metrics-all.tag",
        r#"AwsServiceConfigurationError 8: "inputs.aws.services.metrics-all.tag" property must be a string"#),
    ("{LOGS}}}}", "inputs.aws.services.groups.log_group",
        r#"AwsServiceConfigurationError 1: "inputs.aws.services.groups.log_group" mandatory property is missing or empty"#),
    ("{LOGS, log_group: [/a, /b]}}}}", "inputs.aws.services.groups.log_group",
        r#"AwsServiceConfigurationError 1: "inputs.aws.services.groups.log_group" property must be a string"#),
    ("{LOGS, log_group: /, use_first_optimized_retrieval: perhaps}}}}",
        "inputs.aws.services.groups.use_first_optimized_retrieval",
        r#"AwsServiceConfigurationError 43: "inputs.aws.services.groups.use_first_optimized_retrieval" property must be a boolean"#),
    ("{LOGS, log_group: /, tag: {my: app}}}}}", "inputs.aws.services.groups.tag",
        r#"AwsServiceConfigurationError 3: "inputs.aws.services.groups.tag" property must be a string"#),
    ("{aws: {id: 1, services: {service-events-all: {regions: [us-east-1], cloudwatch_sqs_queue_name: q, auto_event_type: perhaps}}}}",
        "inputs.aws.services.service-events-all.auto_event_type",
        r#"AwsServiceConfigurationError 7: "inputs.aws.services.service-events-all.auto_event_type" property must be a string"#),
    ("{LOGS, log_group: /, start_time: [2026]}}}}", "inputs.aws.services.groups.start_time",
        r#"AwsServiceConfigurationError 7: "inputs.aws.services.groups.start_time" property must be a string"#),
    ("{aws: {id: 1, services: {aws-guardduty: {regions: [us-east-1], start_time: 2026-13-01T00:00:00Z}}}}",
        "inputs.aws.services.aws-guardduty.start_time",
        r#"AwsServiceConfigurationError 8: The property "inputs.aws.services.aws-guardduty.start_time" from configuration is having a wrong format, expected pattern: "YYYY-mm-ddTHH:MM:SSZ""#),
];

/// A definitions file and the path in it.
#[rustfmt::skip]
const DEFINITIONS: &[Case] = &[
    ("{shop: [1]}", "shop", r#"AwsModuleDefinitionError 2: "shop" property must be a dictionary"#),
    ("{shop: {FORMAT}}", "shop.routing_template",
        r#"AwsModuleDefinitionError 3: "shop.routing_template" mandatory property is missing or empty"#),
    ("{shop: {FORMAT, routing_template: [my.app]}}", "shop.routing_template",
        r#"AwsModuleDefinitionError 4: "shop.routing_template" property must be a string"#),
    ("{shop: {FORMAT, routing_template: 'my.app.[record-kind]'}}", "shop.routing_template",
        r#"AwsModuleDefinitionError 6: "shop.routing_template" property is containing some unexpected placeholders"#),
    ("{shop: {routing_template: my.app.shop}}", "shop.file_format",
        r#"AwsModuleDefinitionError 21: "shop.file_format" mandatory property is missing or empty"#),
    ("{shop: {routing_template: my.app.shop, file_format: line_split_processor}}", "shop.file_format",
        r#"AwsModuleDefinitionError 22: "shop.file_format" property must be a dictionary"#),
    ("{shop: {routing_template: my.app.shop, file_format: {config: {}}}}", "shop.file_format.type",
        r#"AwsModuleDefinitionError 26: "shop.file_format.type" mandatory property is missing or empty"#),
    ("{shop: {routing_template: my.app.shop, file_format: {type: [line_split_processor]}}}", "shop.file_format.type",
        r#"AwsModuleDefinitionError 27: "shop.file_format.type" property must be a string"#),
];

/// Expands the abbreviations in a case.
fn written(case: &str) -> String {
    let of_source = |name, types| format!("aws: {{id: 1, services: {{{name}: {{{types}regions: [us-east-1]");
    case.replace("SQS", SQS)
        .replace("AUDIT", &of_source("audit-events-all", "types: [audits_api], "))
        .replace("METRICS", &of_source("metrics-all", ""))
        .replace("LOGS", &of_source("groups", "types: [logs], "))
        .replace("FORMAT", "file_format: {type: line_split_processor}")
}

/// The row of the problem with this path and text.
fn row_of((case, path, words): &Case, problems: &[Problem], file: &str) -> &'static Row {
    let path = format!("{file}{path}");
    let found =
        problems.iter().find(|problem| problem.path == path && problem.vendor.as_deref() == Some(words));
    let found = found.unwrap_or_else(|| panic!("{case}: {path} in these words is not among\n{problems:#?}"));
    assert_eq!(found.severity, Severity::Error, "{case}");
    assert!(!found.advice.is_empty(), "{case}: no advice\n{found:#?}");
    assert!(found.to_string().ends_with(words), "{case}: {found}");
    vendor::row(found.kind, &path).unwrap()
}

#[test]
fn a_bad_file_for_every_row() {
    let mut rows: Vec<&Row> = Vec::new();
    for case in CASES {
        let text = format!("outputs: {{c: {{type: console}}}}\ninputs: {}\n", written(case.0));
        let problems = parse(&text, Path::new(""), &environment()).unwrap_err().0;
        rows.push(row_of(case, &problems, ""));
    }
    for case in DEFINITIONS {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.yaml");
        std::fs::write(&file, written(case.0)).unwrap();
        let service = "services: {aws_sqs_vpc: {}}";
        let text = format!(
            "globals: {{definitions: own.yaml}}\noutputs: {{c: {{type: console}}}}\ninputs: {{{SQS}, {service}}}}}\n"
        );
        let problems = parse(&text, folder.path(), &environment()).unwrap_err().0;
        rows.push(row_of(case, &problems, &format!("{}: ", file.display())));
    }
    for row in ROWS.iter().filter(|row| row.kind != Kind::Queue) {
        assert!(rows.iter().any(|hit| std::ptr::eq(*hit, row)), "no bad file for {row:?}");
    }
}
