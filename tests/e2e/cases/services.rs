//! Each service's objects arrive under its tag, byte for byte, exactly once.

use aws_to_devo::config::registry;
use serde_json::{Value, json};

use crate::rig::aws::{self, Queue};
use crate::rig::feeds::{self, Object, all_frames, gzip};
use crate::rig::frames::{self, assert_exactly, frame};
use crate::rig::lab::Lab;
use crate::rig::{notices, samples};

#[test]
fn cloudtrail() {
    arrives("cloudtrail", json!({"aws_sqs_cloudtrail": {}}), objects(feeds::cloudtrail));
}

#[test]
fn vpc() {
    arrives("vpc", json!({"aws_sqs_vpc": {}}), objects(feeds::vpc));
}

#[test]
fn s3_access() {
    arrives("s3-access", json!({"aws_sqs_s3_access": {}}), objects(feeds::s3_access));
}

#[test]
fn waf() {
    arrives("waf", json!({"aws_sqs_waf": {}}), objects(feeds::waf));
}

#[test]
fn fdr_and_its_side_sets() {
    for service in ["aws_sqs_fdr", "aws_sqs_fdr_large"] {
        let name = service.replace('_', "-");
        let lab = Lab::new(&name);
        let mut objects = objects(feeds::fdr);
        objects.push(side_set("fdrv2/aidmaster/0f/part-00000.gz", "edr.crowdstrike.insight.aidmaster"));
        objects.push(side_set("fdrv2/userinfo/0f/part-00000.gz", "edr.crowdstrike.discover.userinfo"));
        // An event of more than a mebibyte.
        let large = format!(
            r#"{{"event_simpleName":"ScriptControlScanInfo","ScriptContent":"{}"}}"#,
            "ab\\n".repeat(300_000)
        );
        let frames = vec![frame("edr.crowdstrike.cannon", &large)];
        objects.push(Object {
            key: "data/large/part-00001.gz".into(),
            bytes: gzip(large.as_bytes()),
            frames,
        });
        lab.put(&objects);
        let files: Vec<_> = objects.iter().map(|o| (o.key.as_str(), o.bytes.len())).collect();
        lab.queue.send(&[notices::fdr(&lab.bucket, "data/0f", &files)]);
        lab.drain_all(&lab.config(json!({ service: {} })));
        lab.expect_delivered(&all_frames(&objects));
    }
}

/// Nothing of it is sent, the log names the service that it belongs to, and the exit code reports it.
#[test]
fn the_log_of_another_service_is_refused_by_name() {
    let lab = Lab::new("another-log");
    let failed = br#"{"attemptsMade":4,"errorCode":"Lambda.FunctionError","rawData":"eyJhIjoxfQ=="}"#;
    let failed =
        Object { key: "processing-failed/2026/11/21/x".into(), bytes: failed.to_vec(), frames: vec![] };
    let own = feeds::s3_access("own", 20);
    let others = [feeds::vpc("other", 20), feeds::waf("other", 20), failed];
    lab.put_and_announce(&others);
    lab.put_and_announce(std::slice::from_ref(&own));
    let ended = lab.drain(&lab.config(json!({"aws_sqs_s3_access": {}})));
    assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
    lab.expect_delivered(&own.frames);
    for log in ["the log of aws_sqs_vpc", "the object is JSON", "data that Firehose failed to process"] {
        assert!(ended.log.contains(log), "{log}; log:\n{}", ended.log);
    }
}

/// An input, a queue and a bucket for each, in one configuration.
#[test]
fn every_service_of_the_registry_at_once() {
    let lab = Lab::new("every-service");
    let mut config = lab.config(json!({}));
    let template = config["inputs"]["sqs_collector"].take();
    config["inputs"] = json!({});
    config["outputs"] = json!({"console_1": {"type": "console"}});
    let (mut queues, mut expected) = (Vec::new(), Vec::new());
    for row in registry::rows() {
        let name = row.name.replace('_', "-");
        let (bucket, queue) = (format!("bucket-every-{name}"), Queue::create(&format!("every-{name}"), None));
        aws::create_bucket(&bucket);
        for sample in samples::of(&row.name) {
            expected.extend(frames::of_sample(&sample));
            let is_compressed = sample.key.ends_with(".gz");
            let bytes = if is_compressed { gzip(&sample.object) } else { sample.object };
            aws::put_object(&bucket, &sample.key, &bytes);
            queue.send(&[notices::s3_created(&bucket, &[&sample.key])]);
        }
        let mut input = template.clone();
        input["id"] = json!(row.name);
        input["base_url"] = json!(queue.url);
        input["services"] = json!({row.name.as_str(): {}});
        config["inputs"][format!("sqs_collector_{}", row.name)] = input;
        queues.push(queue);
    }
    let ended = lab.drain(&config);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(queues.iter().all(Queue::is_empty), "log:\n{}", ended.log);
    assert!(queues.len() >= 27 && expected.len() > 100, "{} frames", expected.len());
    assert_exactly(&expected, &[ended.stdout]);
}

#[test]
fn two_services_share_a_queue_by_their_keys() {
    let mixed = [feeds::cloudtrail("both", 20), feeds::vpc("both", 20)];
    arrives("two-services", json!({"aws_sqs_cloudtrail": {}, "aws_sqs_vpc": {}}), mixed.into());
}

#[test]
fn every_compression_is_told_by_its_bytes() {
    let lines: Vec<_> = (0..400).map(|i| feeds::fdr_event("compression", i)).collect();
    let text = |part: usize| lines[part * 100..(part + 1) * 100].join("\n") + "\n";
    let members = [gzip(text(0).as_bytes()), gzip(text(1).as_bytes())].concat();
    let zstd = zstd::encode_all(text(2).as_bytes(), 1).unwrap();
    let object = |range: std::ops::Range<usize>, key: &str, bytes| Object {
        key: key.into(),
        bytes,
        frames: feeds::frames("edr.crowdstrike.cannon", &lines[range]),
    };
    arrives(
        "compression",
        json!({"aws_sqs_fdr": {}}),
        vec![
            object(0..200, "two-members.gz", members),
            object(200..300, "zstd-in-truth.gz", zstd),
            object(300..400, "plain-in-truth.gz", text(3).into_bytes()),
        ],
    );
}

#[test]
fn a_service_of_the_users_own() {
    let service = json!({"custom_service": {
        "file_field_definitions": {"kind": [{"operator": "split", "on": "/", "element": 1},
                                            {"operator": "replace", "to_replace": "_", "replace_with": ""}]},
        "filename_filter_rules": [[{"type": "match", "pattern": "not-this-one"}]],
        "encoding": "gzip",
        "file_format": {"type": "line_split_processor", "config": {"json": true}},
        "record_field_mapping": {"name": {"keys": ["event", "name"]}},
        "routing_template": "my.app.[file-kind].[record-name]",
        "line_filter_rules": [[{"source": "record", "key": "name", "type": "match", "value": "noise"}]]
    }});
    let lines = [
        r#"{"event":{"name":"login"},"n":1}"#,
        r#"{"event":{"name":"noise"},"n":2}"#,
        r#"{"event":{"name":"log out, éh"},"n":3}"#,
        r#"{"event":{},"n":4}"#,
    ];
    let expected = vec![
        frame("my.app.webfront.login", lines[0]),
        frame("my.app.webfront.log_out___h", lines[2]),
        frame("my.app.webfront.unknown", lines[3]),
    ];
    let object =
        |key: &str, frames| Object { key: key.into(), bytes: gzip(lines.join("\n").as_bytes()), frames };
    let objects =
        vec![object("logs/web_front/1.gz", expected), object("logs/web_front/not-this-one.gz", vec![])];
    arrives("custom", service, objects);
}

#[test]
fn json_documents_of_the_users_own() {
    let service = json!({"custom_service": {
        "file_format": {"type": "unseparated_json_processor", "config": {"key": "events"}},
        "routing_template": "my.app.json.doc"
    }});
    let text = r#"{"events":[{"a":1},{"a":[2,"]}"]}],"next":null}{"events":[{"a":3}]}"#;
    let frames =
        [r#"{"a":1}"#, r#"{"a":[2,"]}"]}"#, r#"{"a":3}"#].map(|r| frame("my.app.json.doc", r)).into();
    arrives("custom-json", service, vec![Object { key: "doc.json".into(), bytes: text.into(), frames }]);
}

#[test]
fn lines_or_json_are_told_apart() {
    let service = json!({"custom_service": {
        "file_format": {"type": "split_or_unseparated_processor"},
        "routing_template": "my.app.either"
    }});
    let object = |key: &str, text: &str, records: &[&str]| Object {
        key: key.into(),
        bytes: text.as_bytes().into(),
        frames: records.iter().map(|r| frame("my.app.either", r)).collect(),
    };
    let objects = vec![
        object("lines", "one line\nanother\n", &["one line", "another"]),
        object("values", r#"{"a":1}{"a":2}"#, &[r#"{"a":1}"#, r#"{"a":2}"#]),
        object("json-lines", "{\"a\":3}\n{\"a\":4}\n", &[r#"{"a":3}"#, r#"{"a":4}"#]),
    ];
    arrives("either", service, objects);
}

/// Several objects of a feed, of different sizes.
fn objects(feed: fn(&str, usize) -> Object) -> Vec<Object> {
    [("a1", 1), ("a2", 250), ("a3", 2000)].map(|(label, records)| feed(label, records)).into()
}

fn arrives(name: &str, services: Value, objects: Vec<Object>) {
    let lab = Lab::new(name);
    lab.put_and_announce(&objects);
    lab.drain_all(&lab.config(services));
    lab.expect_delivered(&all_frames(&objects));
}

fn side_set(key: &str, tag: &str) -> Object {
    let lines: Vec<_> = (0..50).map(|i| format!(r#"{{"aid":"{i}","ComputerName":"{tag}"}}"#)).collect();
    Object { key: key.into(), bytes: gzip(lines.join("\n").as_bytes()), frames: feeds::frames(tag, &lines) }
}
