#![no_main]

//! Any value at any of these places of a sound configuration: read, or its problem is reported.

use std::path::Path;
use std::time::SystemTime;

use aws_to_devo::config::{self, Environment};
use aws_to_devo_fuzz::parts;
use libfuzzer_sys::fuzz_target;

/// Sound files around each group of places; `%` stands for one of them, and `@` in it for the value.
const FILES: &[(&str, &[&str])] = &[
    (
        "outputs: {o: {type: console}}\ninputs: {sqs_collector: {id: '1', base_url: 'https://sqs.eu-west-1.amazonaws.com/111111111111/q', services: {aws_sqs_vpc: {}}}}\nglobals: {%}\n",
        GLOBALS,
    ),
    (
        "inputs: {sqs_collector: {id: '1', base_url: 'https://sqs.eu-west-1.amazonaws.com/111111111111/q', services: {aws_sqs_vpc: {}}}}\noutputs: {o: {%}}\n",
        OUTPUT,
    ),
    ("outputs: {o: {type: console}}\ninputs: {sqs_collector: {id: '1', %}}\n", INPUT),
    (
        "outputs: {o: {type: console}}\ninputs: {sqs_collector: {id: '1', base_url: 'https://sqs.eu-west-1.amazonaws.com/111111111111/q', services: {own: {routing_template: my.app.a.b, %}}}}\n",
        SERVICE,
    ),
    ("outputs: {o: {type: console}}\ninputs: {aws: {id: '1', %}}\n", AWS),
];

const GLOBALS: &[&str] = &[
    "id: @",
    "host: @",
    "memory_limit: @",
    "workers: @",
    "shutdown_timeout: @",
    "persistence: {config: {directory_name: @}}",
    "status: {address: @}",
    "status: {hosts: [@]}",
    "audit: {every: @}",
    "audit: {buckets: [@]}",
    "devo_api: {region: @, token_file: t}",
    "devo_api: {url: @, token_file: t}",
    "internal_events: {tag: @}",
];
const OUTPUT: &[&str] = &[
    "type: @",
    "type: relay, config: {address: @, port: 1}",
    "type: relay, config: {address: a, port: @}",
    "type: relay, config: {address: a, port: 1, compression: gzip, compression_level: @}",
    "type: relay, config: {address: a, port: 1, max_bytes_per_second: @}",
];
const INPUT: &[&str] = &[
    "base_url: @",
    "region: @",
    "sqs_visibility_timeout: @",
    "endpoint_url: @",
    "credentials: {aws_access_key_id: @, aws_secret_access_key: s}",
    "credentials: {aws_cross_account_role: @}",
    "services: {@: {}}",
    "services: {aws_sqs_vpc: @}",
];
const SERVICE: &[&str] = &[
    "object_keys: @",
    "quiet_after: @",
    "encoding: @",
    "routing_template: @",
    "file_format: @",
    "file_format: {type: @}",
    "file_format: {type: text_file_processor, config: @}",
    "file_format: {type: json_object_to_linesplit_processor, config: {key: @}}",
    "filename_filter_rules: @",
    "filename_filter_rules: [[{type: match, pattern: @}]]",
    "line_filter_rules: @",
    "record_field_mapping: @",
    "record_field_mapping: {f: {keys: @}}",
    "record_field_mapping: {f: {keys: [a], operations: @}}",
    "file_field_definitions: @",
    "file_field_definitions: {f: [{operator: split, on: @, element: 0}]}",
    "file_field_definitions: {f: [{operator: regex, pattern: @, element: 0}]}",
    "routing_cases: @",
    "known_by: @",
    "delegates: @",
    "tests: @",
];
const AWS: &[&str] = &[
    "requests_per_second: @",
    "environment: @",
    "services: {audit-events-all: @}",
    "services: {audit-events-all: {types: [audits_api], request_period_in_seconds: @}}",
    "services: {audit-events-all: {types: [audits_api], start_time: @}}",
    "services: {service-events-all: @}",
    "services: {metrics-all: @}",
    "services: {metrics-all: {regions: [eu-west-1], metric_namespaces: @}}",
    "services: {cloudwatch-vpc: {types: [logs], log_group: @, regions: [eu-west-1]}}",
    "services: {aws-guardduty: @}",
    "services: {non-cloudtrail-logs: @}",
];

// The first byte chooses the place, and whether the value is YAML or a text in quotes.
fuzz_target!(|input: &[u8]| {
    let [choice, input @ ..] = input else { return };
    let value = match choice & 0x80 {
        0 => parts::text(input).to_owned(),
        _ => serde_json::Value::from(parts::text(input)).to_string(),
    };
    let text = document(usize::from(choice & 0x7f), &value);
    let environment = Environment {
        host_name: "h".to_owned(),
        cores: 2,
        memory: 8 << 30,
        now: SystemTime::UNIX_EPOCH,
        variable: Box::new(|_| None),
    };
    match config::parse(&text, Path::new("/nonexistent"), &environment) {
        Ok(loaded) => drop(loaded.config.describe()),
        Err(problems) => assert!(!problems.0.is_empty()),
    }
});

fn document(place: usize, value: &str) -> String {
    let all = || FILES.iter().flat_map(|(file, places)| places.iter().map(move |place| (file, place)));
    let (file, place) = all().nth(place % all().count()).expect("a place");
    file.replace('%', &place.replace('@', value))
}
