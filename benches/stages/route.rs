//! Records per second through `services`: filters that drop nine records of ten, a tag from one field.

use std::hint::black_box;

use aws_to_devo::decode::{Format, Newlines, Record};
use aws_to_devo::services::field::{Field, Place};
use aws_to_devo::services::rules::{FieldSource, LineRule, Rules};
use aws_to_devo::services::template::Template;
use aws_to_devo::services::{Definition, Route, Verdict};
use criterion::Throughput;

use crate::clock::Criterion;

const RECORDS: usize = 20_000;
const KEY: &str = "data/f0714ca5/part-00000.gz";

pub fn route(c: &mut Criterion) {
    let records = records();
    let bytes: usize = records.iter().map(String::len).sum();
    let mut group = c.benchmark_group("route");
    group.throughput(Throughput::Bytes(bytes as u64)).sample_size(20);
    let all = definition(vec![], "edr.crowdstrike.cannon");
    group.bench_function("nothing to decide", |b| b.iter(|| count(&all, &records, RECORDS)));
    let by_field = definition(vec![], "edr.crowdstrike.[record-event_simpleName]");
    group.bench_function("a tag from one field", |b| b.iter(|| count(&by_field, &records, RECORDS)));
    let drop = definition(vec![vec![rule("EndOfProcess", false)]], "edr.crowdstrike.cannon");
    group.bench_function("a match drops 90 %", |b| b.iter(|| count(&drop, &records, RECORDS / 10)));
    let keep = definition(vec![vec![rule("DnsRequest", true)]], "edr.crowdstrike.cannon");
    group.bench_function("a doesnotmatch drops 90 %", |b| b.iter(|| count(&keep, &records, RECORDS / 10)));
    let none = definition(vec![vec![rule("SensorHeartbeat", false)]], "edr.crowdstrike.cannon");
    group.bench_function("a match drops nothing", |b| b.iter(|| count(&none, &records, RECORDS)));
    group.finish();
}

fn count(definition: &Definition, records: &[String], expected: usize) {
    let mut route = Route::new(definition, KEY);
    let mut sent = 0;
    for record in records {
        sent += usize::from(
            black_box(route.verdict(Record::new(record.as_bytes(), Newlines::Absent))) != Verdict::Drop,
        );
    }
    assert_eq!(sent, expected);
}

fn rule(value: &str, negated: bool) -> LineRule {
    LineRule::new(FieldSource::Record, 0, value.to_owned(), negated)
}

fn definition(drop: Vec<Vec<LineRule>>, template: &str) -> Definition {
    let name = "event_simpleName".to_owned();
    let fields = vec![Field { place: Place::Json(vec![name.clone()].into()), name, operations: vec![] }];
    Definition {
        name: "custom_service".to_owned(),
        object_keys: None,
        format: Format::Lines { header_lines: 0 },
        format_name: String::new(),
        skip_objects: Rules::default(),
        file_fields: vec![],
        template: Template::parse(template, &[], &fields).unwrap(),
        record_fields: fields,
        drop_records: Rules(drop),
        send_dropped_to_unknown: false,
        cases: vec![],
        delegates: vec![],
        quiet_after: None,
    }
}

/// JSON lines of about 860 bytes, with the field in the middle.
fn records() -> Vec<String> {
    (0..RECORDS)
        .map(|number| {
            let event = if number % 10 == 0 { "DnsRequest" } else { "EndOfProcess" };
            let path = "\\\\Device\\\\HarddiskVolume3\\\\Windows\\\\System32\\\\svchost.exe".replace('\\', "\\\\");
            format!(
                "{{\"ConfigBuild\":\"1007.3.0017312.1\",\"aid\":\"{number:032x}\",\"CommandLine\":\"{}\",\
                 \"event_simpleName\":\"{event}\",\"ImageFileName\":\"{path}\",\"timestamp\":\"{number:013}\",\
                 \"SHA256HashData\":\"{:064x}\",\"Tags\":\"{}\"}}",
                "-k netsvcs -p -s Schedule ".repeat(8),
                number * 7919,
                "27, 874, 924, 12094627905582, ".repeat(8),
            )
        })
        .collect()
}
