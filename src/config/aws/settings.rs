//! Readers of the AWS collector's service keys.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::tag;
use crate::base::limits;
use crate::config::kind::Kind;
use crate::config::node::{Mapping, Node};
use crate::config::{ignored, numbers, service};
use crate::settings::{CloudTrail, Logs, Metrics, Shard};

/// The vendor's value for "no filter by source".
const ALL_SOURCES: &str = "all_sources";
/// Means all log groups, since no log group can have this name.
const ALL_GROUPS: &str = "/";

/// Reads `request_period_in_seconds`.
pub fn period(keys: &Mapping<'_>) -> Duration {
    seconds(keys.number("request_period_in_seconds", &numbers::REQUEST_PERIOD))
}

/// Reads `pull_retries`.
pub fn retries(keys: &Mapping<'_>) -> u32 {
    u32::try_from(keys.number("pull_retries", &numbers::PULL_RETRIES)).unwrap_or_default()
}

/// Reads the input's `requests_per_second`, which may be a fraction.
pub fn requests_per_second(keys: &Mapping<'_>) -> Option<f64> {
    let text = keys.string("requests_per_second")?;
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && number.is_finite());
    if number.is_none() {
        let message = format!("{text:?} is not a number of requests");
        let advice = "write a number above 0, such as 5 or 0.5; omit it for no limit of your own";
        keys.report.error(Kind::Invalid, keys.path_of("requests_per_second"), message, advice);
    }
    number
}

/// Reads the keys of `audits_api`.
pub fn cloudtrail(keys: &Mapping<'_>, now: Timestamp) -> Option<CloudTrail> {
    let start_time = start_time(keys, now);
    if let Some(start) = start_time {
        warn_of_old_events(start, now, keys);
    }
    Some(CloudTrail {
        start_time,
        gap: seconds(60 * keys.number("gap_until_now_in_minutes", &numbers::GAP)),
        time_slot: seconds(3600 * keys.number("time_slot_in_hours", &numbers::TIME_SLOT)),
        sources: sources(keys),
        drop_event_names: keys.list("drop_event_names").iter().filter_map(Node::text).collect(),
    })
}

/// Reads the keys of `metrics-all`. CloudWatch accepts only these periods.
pub fn metrics(keys: &Mapping<'_>, period: Duration, now: Timestamp) -> Option<Metrics> {
    let namespaces = keys.list("metric_namespaces").iter().filter_map(Node::text).collect();
    let (start_time, seconds) = (start_time(keys, now), period.as_secs());
    let units = keys.boolean("metric_units", true);
    if !matches!(seconds, 1 | 5 | 10 | 30) && !seconds.is_multiple_of(60) {
        let message = format!("{seconds} s is not a valid period for metrics");
        let advice = "write 1, 5, 10, 30, 60 or a multiple of 60: it is also the metrics' period";
        keys.report.error(Kind::Invalid, keys.path_of("request_period_in_seconds"), message, advice);
        return None;
    }
    Some(Metrics { namespaces, start_time, units })
}

/// Reads the keys of `types: [logs]`.
pub fn logs(keys: &Mapping<'_>, now: Timestamp) -> Option<Logs> {
    let group = keys.required("log_group", "write the log group's name, or \"/\" for all log groups");
    let start_time = start_time(keys, now);
    let first_by_streams = keys.boolean("use_first_optimized_retrieval", false);
    // It is used later, if everything else can be.
    keys.number("shards", &numbers::LOG_SHARDS);
    let group = Some(group?).filter(|group| group != ALL_GROUPS);
    Some(Logs { group, start_time, first_by_streams, shard: None })
}

/// Reads `shards`, and divides the log groups. One group cannot be divided.
pub fn shards(logs: Logs, keys: &Mapping<'_>) -> Vec<Logs> {
    let count = keys.number("shards", &numbers::LOG_SHARDS) as u32;
    match (count, &logs.group) {
        (1, _) => vec![logs],
        (_, Some(_)) => {
            let advice = "remove it, or write \"/\" as log_group to read all log groups";
            keys.report.error(Kind::Invalid, keys.path_of("shards"), "divides a single log group", advice);
            Vec::new()
        }
        (_, None) => {
            let shard = |number| Logs { shard: Some(Shard { number, count }), ..logs.clone() };
            (1..=count).map(shard).collect()
        }
    }
}

/// Reads `start_time`: a time in UTC, or with an offset.
pub fn start_time(keys: &Mapping<'_>, now: Timestamp) -> Option<Timestamp> {
    let text = keys.string("start_time")?;
    match text.parse() {
        Ok(time) => {
            if time > now {
                let advice = "earlier events are skipped; omit the key to begin now";
                keys.report.warning(Kind::Doubtful, keys.path_of("start_time"), "is in the future", advice);
            }
            Some(time)
        }
        Err(_) => {
            let message = format!("{text:?} is not a point in time");
            let advice = "write it as 2026-01-31T00:00:00Z";
            keys.report.error(Kind::Invalid, keys.path_of("start_time"), message, advice);
            None
        }
    }
}

/// Warns of times that LookupEvents does not reach.
fn warn_of_old_events(start: Timestamp, now: Timestamp, keys: &Mapping<'_>) {
    let age = now.duration_since(start).unsigned_abs();
    if start < now && age > limits::LOOKUP_EVENTS_AGE_MAX {
        let message = "is more than 90 days ago, but CloudTrail looks up only the last 90 days";
        let advice = "older events are in the trail's bucket: the command backfill sends them";
        keys.report.warning(Kind::Doubtful, keys.path_of("start_time"), message, advice);
    }
}

/// Reads one name or a list of names; `iam` stands for `iam.amazonaws.com`.
fn sources(keys: &Mapping<'_>) -> Vec<String> {
    let Some(node) = keys.node("sources") else { return Vec::new() };
    let names = if node.value.is_array() {
        node.list().unwrap_or_default().iter().filter_map(Node::text).collect()
    } else {
        node.text().into_iter().collect::<Vec<_>>()
    };
    if names.iter().any(|name| name == ALL_SOURCES) {
        return Vec::new();
    }
    let whole = |name: String| if name.contains('.') { name } else { format!("{name}.amazonaws.com") };
    names.into_iter().filter(|name| !name.is_empty()).map(whole).collect()
}

/// Reads `event_type_file_regex_patterns`: pairs of an event type and a regular expression for the object's key.
pub fn file_patterns(keys: &Mapping<'_>) -> Vec<(String, String)> {
    let Some(patterns) = keys.mapping("event_type_file_regex_patterns") else { return Vec::new() };
    let pattern = |(name, node): (&str, Node<'_>)| {
        Some((name.to_owned(), service::pattern(&node)?.as_str().to_owned()))
    };
    patterns.entries().filter_map(pattern).collect()
}

/// Reads `event_type_processor_mapping`: events of a type get their own tag, as text or under `tagging`.
pub fn processor_mapping(keys: &Mapping<'_>, values: &tag::Values<'_>, own: &mut Map<String, Value>) {
    let Some(mapping) = keys.mapping("event_type_processor_mapping") else { return };
    let mut cases = Vec::new();
    for (event_type, node) in mapping.entries() {
        let Some(tagging) = tagging(&node) else { continue };
        let values = tag::Values { event_type, ..*values };
        let Some(template) = tag::fill(&tagging, event_type, &mapping, &values) else { continue };
        service::warn_of_table(&template, &mapping.path_of(event_type), keys.report);
        let when = json!([[{"source": "record", "key": "event_type", "type": "match", "value": event_type}]]);
        cases.push(json!({"when": when, "template": template}));
    }
    if !cases.is_empty() {
        own.insert("routing_cases".to_owned(), cases.into());
    }
}

fn tagging(node: &Node<'_>) -> Option<String> {
    if !node.value.is_object() {
        return node.text();
    }
    let keys = node.mapping()?;
    keys.ignore(ignored::EVENT_TYPE);
    let tagging = keys.required("tagging", "write the Devo tag of these events");
    keys.finish();
    tagging
}

fn seconds(number: i64) -> Duration {
    Duration::from_secs(number.unsigned_abs())
}
