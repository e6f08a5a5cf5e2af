//! The policy allows the calls that are made, and no others.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::needs::Needs;
use super::{Identity, Wishes, policy};
use crate::aws::{Client, Http};
use crate::base::stop::Stop;
use crate::config;
use crate::settings;
use crate::settings::Config;
use crate::stages::sources::source::{Next, PageSource};
use crate::stages::sources::source_of;

const START: &str = "2026-11-21T09:00:00Z";
const NOW: &str = "2026-11-21T12:00:00Z";

/// Of an `aws` input with these services.
fn config_of(services: Value) -> Config {
    let text = json!({
        "outputs": {"c": {"type": "console"}},
        "inputs": {"aws": {"id": "1", "services": services}},
    });
    let environment = config::Environment::here();
    config::parse(&text.to_string(), std::path::Path::new(""), &environment).unwrap().config
}

fn services() -> Value {
    let logs = |group: &str, optimized: bool| {
        json!({
            "types": ["logs"], "regions": ["us-east-1"], "start_time": START, "log_group": group,
            "use_first_optimized_retrieval": optimized,
        })
    };
    json!({
        "audit-events-all": {"types": ["audits_api"], "regions": ["us-east-1"], "start_time": START},
        "metrics-all": {"regions": ["us-east-1"], "start_time": START},
        "aws-guardduty": {"regions": ["us-east-1"], "start_time": START},
        "one_group": logs("/g", false),
        "one_group_by_streams": logs("/g", true),
        "all_groups": logs("/", false),
        "all_groups_by_streams": logs("/", true),
    })
}

/// One thing of each kind, so that every kind of call is made.
fn answer(action: &str) -> Value {
    match action {
        "cloudtrail:LookupEvents" => json!({"Events": []}),
        "cloudwatch:ListMetrics" => {
            json!({"Metrics": [{"Namespace": "n", "MetricName": "m", "Dimensions": []}]})
        }
        "cloudwatch:GetMetricData" => {
            json!({"MetricDataResults": [{"Id": "m0_0", "Timestamps": [time(NOW).as_second() / 60 * 60 - 300], "Values": [1.0], "StatusCode": "Complete"}]})
        }
        "cloudwatch:GetMetricStatistics" => json!({"Datapoints": [{"Unit": "Count"}]}),
        "logs:DescribeLogGroups" => json!({"logGroups": [{"logGroupName": "/g"}]}),
        "logs:DescribeLogStreams" => {
            let last = time(NOW).as_millisecond();
            json!({"logStreams": [{"logStreamName": "s", "lastEventTimestamp": last}]})
        }
        "logs:FilterLogEvents" => json!({"events": []}),
        "guardduty:ListDetectors" => json!({"detectorIds": ["d"]}),
        "guardduty:ListFindings" => json!({"findingIds": ["f"]}),
        "guardduty:GetFindings" => json!({"findings": [{"id": "f", "updatedAt": START}]}),
        other => panic!("{other}"),
    }
}

/// The actions of all calls that a source makes until it has caught up.
fn actions_of(source: &mut dyn PageSource) -> BTreeSet<String> {
    let mut actions = BTreeSet::new();
    source.resume(&BTreeMap::new());
    for _ in 0..1000 {
        match source.next(&time(NOW).into()) {
            Next::CaughtUp => return actions,
            Next::Give(_) | Next::Mark(_) => {}
            Next::Call(request) => {
                source.read(answer(request.action).to_string().as_bytes()).unwrap();
                actions.insert(request.action.to_owned());
            }
        }
    }
    panic!("it never catches up: {actions:?}");
}

#[test]
fn a_source_s_calls_are_those_that_its_policy_allows() {
    for (name, service) in services().as_object().unwrap() {
        let config = config_of(json!({name: service}));
        let [source] = config.sources.as_slice() else { panic!("{name} is not one source") };
        let http = Http::new(1).unwrap();
        let settings::Source { credentials, endpoints, region, .. } = source;
        let client = Client::new(&http, name, credentials, endpoints, region, &Stop::new());
        let made = actions_of(source_of(source, &client).as_mut());
        let needs = Needs::of(&config, &[]).unwrap();
        let allowed = actions(&policy(&needs, &Wishes::default(), Identity::Reader).json);
        assert_eq!(made, allowed, "{name}");
    }
}

/// Queues and objects: the names in the modules that make the calls.
#[test]
fn the_policy_of_a_queue_allows_what_its_calls_name() {
    let sources = [
        include_str!("../aws/sqs.rs"),
        include_str!("../aws/s3.rs"),
        include_str!("../aws/listing.rs"),
        include_str!("../aws/notification.rs"),
    ];
    let made: BTreeSet<String> = sources
        .iter()
        .flat_map(|text| text.split("#[cfg(test)]").next().unwrap_or_default().split('"'))
        .filter(|word| is_action(word))
        .map(str::to_owned)
        .collect();
    let config = config_of(json!({
        "audit-events-all": {"types": ["audits_s3"], "regions": ["us-east-1"], "audit_sqs_queue_name": "q"},
    }));
    let everything = Wishes {
        buckets: vec!["my-logs".parse().unwrap()],
        dead_letters: vec!["arn:aws:sqs:us-east-1:123456789012:d".to_owned()],
        versioned: true,
        list: true,
        audit: true,
        ..Wishes::default()
    };
    let needs = Needs::of(&config, &[]).unwrap();
    assert_eq!(made, actions(&policy(&needs, &everything, Identity::Reader).json));
    assert!(made.contains("sqs:DeleteMessage") && made.contains("s3:ListBucket"), "{made:?}");
}

fn is_action(word: &str) -> bool {
    let name = word.strip_prefix("sqs:").or_else(|| word.strip_prefix("s3:"));
    name.is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic()))
}

fn actions(policy: &Value) -> BTreeSet<String> {
    let statements = policy["Statement"].as_array().unwrap().iter();
    let of = |statement: &Value| statement["Action"].as_array().unwrap().clone();
    statements.flat_map(of).map(|action| action.as_str().unwrap().to_owned()).collect()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}
