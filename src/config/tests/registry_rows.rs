//! The rows: read without a problem, claiming their keys, overridden part by part.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::registry::Catalog;
use crate::decode::{Bounds, Decoder, Newlines, Record, Scratch};
use crate::services::Definition;
use crate::services::field::Place;
use crate::services::rules::FieldSource;
use crate::services::{Route, Verdict};

/// The vendor's list, and its newer names.
const NAMES: [&str; 41] = [
    "aws_sqs_alb",
    "aws_sqs_bedrock",
    "aws_sqs_cato",
    "aws_sqs_cisco_umbrella",
    "aws_sqs_client_vpn",
    "aws_sqs_cloudflare_audit",
    "aws_sqs_cloudflare_logpush",
    "aws_sqs_cloudfront",
    "aws_sqs_cloudtrail",
    "aws_sqs_cloudtrail_kinesis",
    "aws_sqs_cloudwatch",
    "aws_sqs_cloudwatch_vpc",
    "aws_sqs_config",
    "aws_sqs_control_tower",
    "aws_sqs_elb",
    "aws_sqs_fdr",
    "aws_sqs_fdr_large",
    "aws_sqs_github_audit",
    "aws_sqs_guard_duty",
    "aws_sqs_guard_duty_kinesis",
    "aws_sqs_incapsula",
    "aws_sqs_jamf",
    "aws_sqs_jamf_protect",
    "aws_sqs_kubernetes",
    "aws_sqs_lacework",
    "aws_sqs_netskope",
    "aws_sqs_network_firewall",
    "aws_sqs_okta",
    "aws_sqs_os",
    "aws_sqs_palo_alto",
    "aws_sqs_prisma_access",
    "aws_sqs_rds",
    "aws_sqs_route53",
    "aws_sqs_route53_public",
    "aws_sqs_s1_funnel",
    "aws_sqs_s3_access",
    "aws_sqs_security_hub",
    "aws_sqs_security_lake",
    "aws_sqs_vpc",
    "aws_sqs_waf",
    "aws_sqs_zscaler",
];

fn definition(service: &str) -> &'static Arc<Definition> {
    &registry::row(service).unwrap().definition
}

/// The tag of a record of an object.
fn tag_of(service: &str, key: &str, record: &[u8]) -> String {
    let definition = definition(service).of_object(key);
    match Route::new(&definition, key).verdict(Record::new(record, Newlines::Absent)) {
        Verdict::Send { tag, .. } => tag.to_owned(),
        Verdict::Drop => panic!("dropped"),
    }
}

/// The tag of an object's records, with the given top-level values.
fn tag(service: &str, key: &str, record: &[(&str, &str)]) -> String {
    let record: serde_json::Map<String, serde_json::Value> =
        record.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    tag_of(service, key, serde_json::Value::from(record).to_string().as_bytes())
}

#[test]
fn every_row_is_read_without_a_problem() {
    let report = Report::default();
    let rows = Catalog::read(crate::services::REGISTRY, &report);
    let rows = rows.rows();
    assert_eq!(report.into_problems(), []);
    let mut names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, NAMES);
    for row in rows {
        for text in [&row.table, &row.reads, &row.named] {
            assert!(!text.is_empty(), "{}", row.name);
        }
    }
}

/// The ledger has the name with each of millions of objects.
#[test]
fn formats_have_short_names_that_tell_them_apart() {
    for row in registry::rows() {
        let Definition { format, format_name, .. } = &*row.definition;
        assert_eq!((format_name.len(), format_name), (32, &format.name()), "{}", row.name);
        for other in registry::rows() {
            let are_same = other.definition.format == *format;
            assert_eq!(other.definition.format_name == *format_name, are_same, "{} {}", row.name, other.name);
        }
    }
}

#[test]
fn the_listed_table_is_that_of_the_templates() {
    for row in registry::rows() {
        let definition = &row.definition;
        let listed: Vec<&str> = row.table.split(", ").collect();
        for template in definition.cases.iter().map(|c| &c.template).chain([&definition.template]) {
            let text = template.to_string();
            let is_listed = |table: &str| match table.strip_suffix('*') {
                Some(prefix) => text.starts_with(prefix),
                None => text == table,
            };
            assert!(listed.iter().any(|table| is_listed(table)), "{}: {text}", row.name);
        }
    }
}

#[test]
fn every_row_can_be_overridden() {
    for row in registry::rows() {
        let report = Report::default();
        let value = serde_json::json!({"encoding": "none", "object_keys": "^x"});
        let node = node::Node::new("s", &value, &report);
        let definition = service::read(&row.name, &node, "us-east-1", Catalog::built_in()).unwrap();
        assert_eq!(report.into_problems(), []);
        assert!(definition.claims("xy") && !definition.claims("yx"));
        assert_eq!(definition.template, row.definition.template);
        assert_eq!(definition.format, row.definition.format);
    }
}

/// A user who writes their own format knows the objects' content.
#[test]
fn a_format_of_ones_own_is_not_compared_with_other_logs() {
    let format = serde_json::json!({"type": "single_json_object_processor"});
    let waf = overridden("aws_sqs_waf", serde_json::json!({"file_format": format}));
    assert_eq!(waf.format, Format::WholeJson { path: vec![] });
    let encoded = overridden("aws_sqs_waf", serde_json::json!({"encoding": "latin-1"}));
    assert!(matches!(encoded.format, Format::Known { .. }));
}

/// A built-in service with some of its keys overridden.
fn overridden(service: &str, keys: serde_json::Value) -> Definition {
    let report = Report::default();
    let definition =
        service::read(service, &node::Node::new("s", &keys, &report), "us-east-1", Catalog::built_in());
    assert_eq!(report.into_problems(), []);
    Arc::unwrap_or_clone(definition.unwrap())
}

#[test]
fn fields_are_overridden_one_by_one_and_a_template_with_its_cases() {
    let keys = serde_json::json!({"record_field_mapping": {"more": {"keys": ["a", "b"]}}});
    let trail = overridden("aws_sqs_cloudtrail", keys);
    let names: Vec<&str> = trail.record_fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["event_category", "event_source", "more"]);
    assert_eq!(trail.cases.len(), 1);
    let keys = serde_json::json!({"routing_template": "my.app.[record-event_source]"});
    assert!(overridden("aws_sqs_cloudtrail", keys).cases.is_empty());
}

#[test]
fn a_rule_may_name_a_top_level_key_that_is_not_mapped() {
    let rule = serde_json::json!({"source": "record", "key": "aid", "type": "match", "value": 7});
    let fdr = overridden("aws_sqs_fdr", serde_json::json!({"line_filter_rules": [[rule]]}));
    let rule = &fdr.drop_records.0[0][0];
    assert_eq!((rule.source, rule.value.as_str()), (FieldSource::Record, "7"));
    assert_eq!(fdr.record_fields[rule.field].place, Place::Json(vec!["aid".into()].into()));
}

#[test]
fn cloudtrail_goes_by_event_source() {
    let source = |text| tag("aws_sqs_cloudtrail", "k", &[("eventSource", text)]);
    assert_eq!(source("s3.amazonaws.com"), "cloud.aws.cloudtrail.s3");
    assert_eq!(source("resource-explorer-2.amazonaws.com"), "cloud.aws.cloudtrail.resource_explorer_2");
    assert_eq!(tag("aws_sqs_cloudtrail", "k", &[]), "cloud.aws.cloudtrail.unknown");
    let insight = [("eventCategory", "Insight"), ("eventSource", "x")];
    assert_eq!(tag("aws_sqs_cloudtrail", "k", &insight), "cloud.aws.cloudtrail.insights");
}

#[test]
fn falcon_data_goes_by_folder() {
    for service in ["aws_sqs_fdr", "aws_sqs_fdr_large"] {
        let by_key = |key| tag(service, key, &[]);
        assert_eq!(by_key("data/f0714ca5/part-00000.gz"), "edr.crowdstrike.cannon");
        assert_eq!(by_key("t/fdrv2/aidmaster/u/part-00000.gz"), "edr.crowdstrike.insight.aidmaster");
        assert_eq!(by_key("t/fdrv2/managedassets/u/part-0.gz"), "edr.crowdstrike.insight.managedassets");
        assert_eq!(by_key("t/fdrv2/notmanaged/u/part-0.gz"), "edr.crowdstrike.insight.notmanaged");
        assert_eq!(by_key("t/fdrv2/appinfo/u/part-0.gz"), "edr.crowdstrike.discover.appinfo");
        assert_eq!(by_key("t/fdrv2/userinfo/u/part-0.gz"), "edr.crowdstrike.discover.userinfo");
    }
}

/// Rows whose objects cannot be distinguished by their keys.
const FIREHOSE: [&str; 11] = [
    "aws_sqs_cloudtrail_kinesis",
    "aws_sqs_cloudwatch_vpc",
    "aws_sqs_cloudwatch",
    "aws_sqs_os",
    "aws_sqs_rds",
    "aws_sqs_kubernetes",
    "aws_sqs_guard_duty_kinesis",
    "aws_sqs_client_vpn",
    "aws_sqs_security_hub",
    "aws_sqs_okta",
    "aws_sqs_route53_public",
];

/// The claimants of a key, except rows that accept any key and those that read others' objects.
fn claiming(key: &str) -> Vec<&'static str> {
    let apart = |name: &str| matches!(name, "aws_sqs_fdr_large" | "aws_sqs_control_tower");
    registry::rows()
        .iter()
        .filter(|row| !apart(&row.name) && row.definition.object_keys.is_some() && row.definition.claims(key))
        .map(|row| row.name.as_str())
        .collect()
}

#[test]
fn keys_belong_to_one_service() {
    let elb = "AWSLogs/1/elasticloadbalancing/us-east-1/2023/07/10";
    let keys = [
        ("cloudtrail", "AWSLogs/1/CloudTrail/us-east-1/2023/07/10/1_CloudTrail_us-east-1_x.json.gz"),
        ("cloudtrail", "p/AWSLogs/o-1/1/CloudTrail-Insight/us-east-1/2023/07/10/x.json.gz"),
        ("cloudtrail", "AWSLogs/1/CloudTrail-Digest/us-east-1/2023/07/10/x.json.gz"),
        ("config", "AWSLogs/1/Config/us-east-1/2023/7/1/ConfigHistory/1_Config_us-east-1_x.json.gz"),
        ("config", "p/AWSLogs/o-1/1/Config/ConfigWritabilityCheckFile"),
        ("vpc", "AWSLogs/1/vpcflowlogs/us-east-1/2023/07/10/1_vpcflowlogs_us-east-1_fl-1_x.log.gz"),
        ("vpc", "AWSLogs/aws-account-id=1/aws-service=vpcflowlogs/aws-region=us-east-1/x.log.gz"),
        ("s3_access", "logs/2023-07-10-12-05-33-0123456789ABCDEF"),
        ("s3_access", "2023-07-10-12-05-33-0123456789ABCDEF"),
        ("s3_access", "p/1/us-east-1/bucket/2023/07/10/2023-07-10-12-05-33-0123456789ABCDEF"),
        ("s3_access", "p/1/us-east-1/bucket/2023/07/10/2023-07-10-00-00-00-0123456789ABCDEF"),
        ("s3_access", "access-logs-20232023-07-10-12-05-33-0123456789ABCDEF"),
        ("cloudfront", "EMLARXS9EXAMPLE.2023-07-10-12.a1b2c3d4.gz"),
        ("cloudfront", "cdn-E2EXAMPLE1234/E2EXAMPLE1234.2023-07-10-12.Zq9RtW0xAbCdEfGhIj.gz"),
        ("cloudfront", "AWSLogs/1/CloudFront/E2EXAMPLE1234.2023-07-10-12.0a1b2c3d.parquet"),
        (
            "cloudfront",
            "p/AWSLogs/aws-account-id=1/CloudFront/DistributionId=E2EXAMPLE1234/year=2023/month=07/day=10/hour=12/E2EXAMPLE1234.2023-07-10-12.0a1b2c3d.gz",
        ),
        (
            "cloudfront",
            "AWSLogs/1/CloudFront/E2EXAMPLE1234/2023/07/10/12/E2EXAMPLE1234.2023-07-10-12.0a1b2c3d.gz.parquet",
        ),
        ("waf", "AWSLogs/1/WAFLogs/cloudfront/acl/2023/07/10/12/05/1_waflogs_x.log.gz"),
        ("waf", "2023/07/10/12/aws-waf-logs-main-1-2023-07-10-12-05-33-u.gz"),
        ("elb", &format!("{elb}/1_elasticloadbalancing_us-east-1_my-lb_20230710T1205Z_10.0.0.1_x.log")),
        (
            "alb",
            &format!(
                "{elb}/1_elasticloadbalancing_us-east-1_app.lb.50dc6c49_20230710T1205Z_10.0.0.1_x.log.gz"
            ),
        ),
        (
            "alb",
            &format!("{elb}/conn_log_1_elasticloadbalancing_us-east-1_app.lb.50dc_20230710T1205Z_x.log.gz"),
        ),
        ("route53", "AWSLogs/1/vpcdnsquerylogs/vpc-1/2023/07/10/vpc-1_vpcdnsquerylogs_1_x.log.gz"),
        ("guard_duty", "AWSLogs/1/GuardDuty/us-east-1/2023/07/10/7e1d.jsonl.gz"),
        ("fdr", "data/f0714ca5-3689-448d-b5cc-582a6f7a56b1/part-00000.gz"),
        ("fdr", "t/fdrv2/aidmaster/u/part-00000.gz"),
        ("fdr", "batch=b/year=2023/platform=Win/part-00000.c000.txt.gz"),
        ("cisco_umbrella", "1_9f/dnslogs/2023-07-10/2023-07-10-12-00-a1b2.csv.gz"),
        ("cloudflare_logpush", "http_requests/20230710/20230710T120000Z_20230710T120100Z_5c8e0f1a.log.gz"),
        ("cloudflare_logpush", "http_requests/ownership-challenge-52b7.txt"),
        ("incapsula", "imperva/12345_67890.log"),
        ("cisco_umbrella", "acme/ztnalogs/2023-07-10/2023-07-10-12-00.csv.gz"),
        ("s3_access", "p/123456789012/us-east-1/b/2023/07/10/2023-07-10-00-00-00-9F8E7D6C5B4A3210"),
        (
            "bedrock",
            "AWSLogs/1/BedrockModelInvocationLogs/us-east-1/2023/07/10/12/20230710T120000Z_1a2b.json.gz",
        ),
        ("lacework", "l/DNS_QUERY_V/2023/x.json.gz"),
    ];
    for (service, key) in keys {
        assert_eq!(claiming(key), [format!("aws_sqs_{service}")], "{key}");
    }
}

#[test]
fn some_keys_belong_to_several() {
    let firehose = "2023/07/10/12/s-1-2023-07-10-12-05-33-6f1c0e52-94ab-4d37-8c20-5be1d7a9f034";
    let mut expected = claiming(firehose);
    expected.sort_by_key(|name| FIREHOSE.iter().position(|other| other == name));
    assert_eq!(expected, FIREHOSE);
    // Its own pattern covers all of Logpush, so the audit logs' service must be listed first.
    let audit = "audit_logs/20230710/20230710T120000Z_20230710T120100Z_5c8e0f1a.log.gz";
    assert_eq!(claiming(audit), ["aws_sqs_cloudflare_audit", "aws_sqs_cloudflare_logpush"]);
}

#[test]
fn objects_without_logs_are_skipped() {
    let skipped = [
        ("cloudtrail", "AWSLogs/1/CloudTrail-Digest/us-east-1/2023/07/10/x.json.gz"),
        ("config", "AWSLogs/1/Config/ConfigWritabilityCheckFile"),
        ("bedrock", "AWSLogs/1/BedrockModelInvocationLogs/us-east-1/2023/07/10/12/data/304a_input.json.gz"),
        ("bedrock", "AWSLogs/1/BedrockModelInvocationLogs/amazon-bedrock-logs-permission-check"),
        ("control_tower", "o-1/AWSLogs/o-1/1/CloudTrail-Digest/us-east-1/2023/07/10/x.json.gz"),
        ("control_tower", "o-1/AWSLogs/o-1/1/Config/ConfigWritabilityCheckFile"),
        ("elb", "AWSLogs/1/ELBAccessLogTestFile"),
        ("alb", "AWSLogs/1/ELBAccessLogTestFile"),
        ("alb", "AWSLogs/1/ELBConnectionLogTestFile"),
        ("cloudflare_logpush", "http_requests/ownership-challenge-52b7.txt"),
        ("cloudflare_audit", "audit_logs/ownership-challenge-52b7.txt"),
    ];
    for (service, key) in skipped {
        let definition = definition(&format!("aws_sqs_{service}"));
        assert!(definition.claims(key) && definition.skips(key), "{service}: {key}");
    }
    for row in registry::rows() {
        for key in ["AWSLogs/1/CloudTrail/us-east-1/x.json.gz", "a/b.log", "x"] {
            assert!(!row.definition.skips(key), "{}: {key}", row.name);
        }
    }
}

#[test]
fn control_tower_gives_each_object_to_its_service() {
    let of = |key: &str| definition("aws_sqs_control_tower").of_object(key).name.clone();
    assert_eq!(of("o-1/AWSLogs/o-1/1/CloudTrail/us-east-1/x.json.gz"), "aws_sqs_cloudtrail");
    assert_eq!(of("o-1/AWSLogs/1/vpcflowlogs/us-east-1/x.log.gz"), "aws_sqs_vpc");
    assert_eq!(of("o-1/AWSLogs/1/Config/us-east-1/x.json.gz"), "aws_sqs_config");
    assert_eq!(of("cdn/EMLARXS9EXAMPLE.2026-03-14-09.a1b2c3d4.gz"), "aws_sqs_control_tower");
    let rule =
        serde_json::json!({"source": "record", "key": "eventName", "type": "match", "value": "Decrypt"});
    let filtered = overridden("aws_sqs_control_tower", serde_json::json!({"line_filter_rules": [[rule]]}));
    for delegate in &filtered.delegates {
        assert!(!delegate.drop_records.is_empty(), "{} takes the filter over", delegate.name);
    }
}

#[test]
fn windows_is_told_by_its_name() {
    let system = |name: &str| {
        let fields = &definition("aws_sqs_os").record_fields;
        let context = serde_json::json!({"logGroup": name, "logStream": "x"}).to_string();
        let record = Record { bytes: b"", newlines: Newlines::Absent, context: context.as_bytes().into() };
        fields[0].of_record(record)
    };
    for name in
        ["/aws/ec2/windows/Security", "WIN-7Q2LC4", "prod/win", "ProdWindows", "win2019", "WinEventLogs"]
    {
        assert_eq!(system(name).as_deref(), Some("windows"), "{name}");
    }
    for name in ["/var/log/messages", "darwin-hosts", "twin", "winter-sale", "", "linux"] {
        assert_eq!(system(name), None, "{name}");
    }
}

#[test]
fn load_balancers_go_by_the_objects_name() {
    let of = |name: &str| {
        tag_of("aws_sqs_alb", &format!("AWSLogs/1/elasticloadbalancing/r/2023/07/10/{name}"), b"x")
    };
    let app = "1_elasticloadbalancing_us-east-1_app.lb.50dc_20230710T1205Z_10.0.0.1_x.log.gz";
    assert_eq!(of(app), "web.aws.alb.access");
    assert_eq!(of(&format!("conn_log_{app}")), "web.aws.alb.connection");
    assert_eq!(of(&format!("conn_log.{app}")), "web.aws.alb.connection");
    assert_eq!(of(&format!("health_check_log_{app}")), "web.aws.alb.unknown");
    assert_eq!(of(&app.replace("app.", "net.")), "web.aws.alb.unknown");
    assert_eq!(of(&app.replace("app.lb", "app.my-net")), "web.aws.alb.access");
}

proptest! {
    /// For any key and record: an answer, and a valid tag.
    #[test]
    fn no_key_and_no_record_upsets_a_row(
        key in any_key(),
        record in prop_oneof![any::<Vec<u8>>(), "[{}\",:a-z0-9]{0,40}".prop_map(String::into_bytes)],
    ) {
        for row in registry::rows() {
            row.definition.claims(&key);
            row.definition.skips(&key);
            let tag = tag_of(&row.name, &key, &record);
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            prop_assert!(!tag.is_empty() && tag.chars().all(allowed), "{}: {tag}", row.name);
            let levels = |text: &str| text.split('.').count();
            let templates = [&row.definition.template].into_iter().chain(row.definition.cases.iter().map(|c| &c.template));
            let delegates = row.definition.delegates.iter().flat_map(|d| [&d.template].into_iter().chain(d.cases.iter().map(|c| &c.template)));
            let as_written: Vec<usize> = templates.chain(delegates).map(|t| levels(&t.to_string())).collect();
            prop_assert!(as_written.contains(&levels(&tag)), "{}: no value adds a level: {tag}", row.name);
        }
    }
}

/// Parts of real keys in any order, among anything.
fn any_key() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        proptest::sample::select(vec![
            "AWSLogs/",
            "CloudTrail/",
            "/",
            ".",
            "_",
            "Config/",
            "traffic/",
            "dnslogs/",
            "2026-03-14",
            "DNS_QUERY_V/",
            "conn_log_",
            "_elasticloadbalancing_us-east-1_app.",
            ".csv.gz",
            "aidmaster/",
            "é/",
            "\n",
            "[",
            " ",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

#[test]
fn region_and_account_are_filled_in_when_told_to() {
    let keys =
        serde_json::json!({"routing_template": "cloud.aws.rds.audit.[input-region].[record-account_id]"});
    let report = Report::default();
    let node = node::Node::new("s", &keys, &report);
    let definition = service::read("aws_sqs_rds", &node, "eu-west-3", Catalog::built_in()).unwrap();
    assert_eq!(report.into_problems(), []);
    assert_eq!(definition.template.to_string(), "cloud.aws.rds.audit.eu-west-3.[record-account_id]");
    let envelope = br#"{"messageType":"DATA_MESSAGE","owner":"123456789012","logEvents":[{"id":"1","timestamp":1,"message":"a"}]}"#;
    let mut route = Route::new(&definition, "k");
    let mut tags = Vec::new();
    let mut sink = |record: Record<'_>| {
        if let Verdict::Send { tag, .. } = route.verdict(record) {
            tags.push(tag.to_owned());
        }
    };
    let mut decoder = Decoder::new(definition.format.clone(), Bounds::default());
    decoder.push(envelope, true, &mut Scratch::new(), &mut sink).unwrap();
    assert_eq!(tags, ["cloud.aws.rds.audit.eu-west-3.123456789012"]);
}

/// A user's definition with warnings about tags at their paths.
#[test]
fn a_tag_without_a_table_is_warned_of_where_it_is_written() {
    let text = "{outputs: {c: {type: console}}, globals: {internal_events: {tag: my.ap.stats}}, inputs: {\
        sqs_collector: {id: 1, base_url: 'https://sqs.us-west-1.amazonaws.com/111111111111/q', ack_messages: false, services: {\
            aws_sqs_fdr: {routing_template: edr.crowdstike.cannon}, \
            custom_a: {object_keys: a, file_format: {type: line_split_processor}, routing_template: my.app.a, \
                routing_cases: [{when: [[{source: record, key: x, type: match, value: y}]], template: cloud.aws.vcp.flow}]}}}, \
        aws: {id: 2, services: {metrics-all: {regions: [us-east-1, us-east-2], tag: 'cloud.aws.cloudwatch.metric.{account_id}'}}}}}";
    let warnings = parse(text, Path::new(""), &environment()).unwrap().warnings;
    let said: Vec<(&str, &str)> =
        warnings.iter().map(|warning| (warning.path.as_str(), warning.advice.as_str())).collect();
    assert_eq!(
        said,
        [
            ("globals.internal_events.tag", "did you mean \"my.app\"?"),
            (
                "inputs.sqs_collector.services.aws_sqs_fdr.routing_template",
                "did you mean \"edr.crowdstrike.cannon\"?"
            ),
            (
                "inputs.sqs_collector.services.custom_a.routing_cases[0].template",
                "did you mean \"cloud.aws.vpc.flow\"?"
            ),
            ("inputs.aws.services.metrics-all.tag", "did you mean \"cloud.aws.cloudwatch.metrics\"?"),
        ]
    );
}
