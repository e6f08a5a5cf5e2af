//! The vendor's sample configurations: every documented key is in one of them, and each of them is read.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::config::kind::Kind;

/// Keys of the vendor's pages, in the order of its configuration.
#[rustfmt::skip]
const KEYS: &[&str] = &[
    // The whole
    "global_overrides", "globals", "inputs", "outputs", "debug", "debug_status", "id", "name", "enabled",
    "persistence", "type", "config", "directory_name", "generate_collector_details", "multiprocessing",
    "queue_generate_metrics", "queue_max_elapsed_time_in_sec", "queue_max_size_in_mb", "queue_max_size_in_messages",
    "queue_wrap_max_size_in_messages", "debug_md5", "debug_mode", "run_for_in_secs",
    // Outputs
    "address", "port", "chain", "cert", "key", "compression_buffer_in_bytes", "compression_level",
    "concurrent_connections", "generate_metrics", "period_sender_stats_in_seconds",
    "threshold_for_using_gzip_in_transport_layer",
    // The SQS collector
    "sqs_collector", "autoconfig", "credentials", "aws_access_key_id", "aws_secret_access_key", "aws_base_account_role",
    "aws_cross_account_role", "aws_external_id", "ack_messages", "direct_mode", "do_not_send", "compressed_events",
    "base_url", "region", "sqs_visibility_timeout", "sqs_wait_timeout", "sqs_max_messages", "services",
    "custom_service", "file_field_definitions", "operator", "on", "element", "to_replace", "replace_with",
    "filename_filter_rules", "pattern", "encoding", "send_filtered_out_to_unknown", "file_format", "json",
    "record_field_mapping", "keys", "operations", "routing_template", "line_filter_rules", "source", "value",
    // Its processors
    "chunks", "indices", "substrings", "regex", "line_separator", "header", "header_field_separator", "field_names",
    "field_separator", "use_json", "include", "rename", "flat", "separator",
    // The AWS collector
    "aws", "access_key", "access_secret", "base_assume_role", "target_assume_role", "assume_role_external_id",
    "requests_per_second", "regions", "request_period_in_seconds", "pull_retries", "tag", "types", "start_time",
    "auto_event_type", "event_type_processor_mapping", "processor_class", "tagging", "event_type_file_regex_patterns",
    "cloudwatch_sqs_queue_name", "audit_sqs_queue_name", "vpcflowlogs_sqs_queue_name", "cloudfrontlogs_sqs_queue_name",
    "cisco_umbrella_sqs_queue_name", "gap_until_now_in_minutes", "time_slot_in_hours", "sources", "drop_event_names",
    "metric_namespaces", "log_group", "use_first_optimized_retrieval", "service-events-all", "sqs-cloudwatch-consumer",
    "audit-events-all", "metrics-all", "cwl_1", "non-cloudwatch-logs", "aws-guardduty", "cisco-umbrella",
];

fn keys_of(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| {
            keys.insert(key.clone());
            keys_of(value, keys);
        }),
        Value::Array(items) => items.iter().for_each(|item| keys_of(item, keys)),
        _ => {}
    }
}

#[test]
fn the_vendor_s_samples_are_read_and_have_every_key_of_its_documents() {
    let folder = certificates(-1, 300);
    let mut keys = BTreeSet::new();
    each_example("valid", |name, text| {
        keys_of(&tree::read(&text, &Report::default()).unwrap(), &mut keys);
        let loaded =
            parse(&text, folder.path(), &environment()).unwrap_or_else(|error| panic!("{name}: {error}"));
        // A key without effect is named; otherwise a sample may only have warnings about what it omits.
        for warning in
            loaded.warnings.iter().filter(|_| name.starts_with("vendor") || name.starts_with("migration"))
        {
            let is_expected = warning.message.starts_with("has no effect here")
                || warning.message.starts_with("is missing; ")
                || warning.kind == Kind::Missing
                || warning.path.ends_with(".start_time")
                || warning.message.starts_with("no output goes to Devo");
            assert!(is_expected && !warning.advice.is_empty(), "{name}: {warning}");
        }
    });
    let missing: Vec<_> = KEYS.iter().filter(|key| !keys.contains(**key)).collect();
    assert!(missing.is_empty(), "in no sample: {missing:?}");
}
