//! Work done once per request or message.

use std::hint::black_box;

use aws_to_devo::aws::{s3, sign, sqs};
use aws_to_devo::lab::stages::{GET, credentials, signed_at};
use aws_to_devo::settings::Endpoints;
use aws_to_devo::stages::resolve::resolve;

use crate::clock::Criterion;

/// Objects named in an FDR message.
const FILES: usize = 10;
/// Messages in one SQS answer.
const MESSAGES: usize = 10;

/// A signed request for a part of an object: the target is 10 µs.
pub fn signature(c: &mut Criterion) {
    let (credentials, now, endpoints) = (credentials(), signed_at(), Endpoints::default());
    let sign = || sign::sign(&s3::request(&GET, "eu-west-1", &endpoints).unwrap(), &credentials, now);
    assert!(sign().unwrap().iter().any(|(name, _)| *name == "authorization"));
    c.bench_function("sign/a GetObject", |b| b.iter(|| black_box(sign().unwrap().len())));
}

/// An SQS answer, and the objects that its messages announce.
pub fn messages(c: &mut Criterion) {
    let file =
        |i: usize| format!(r#"{{"path":"data/0e7c/part-{i:05}.gz","size":20000000,"checksum":"00ff"}}"#);
    let files: Vec<String> = (0..FILES).map(file).collect();
    let fdr = format!(
        r#"{{"cid":"5c0e","timestamp":1773480600000,"fileCount":{FILES},"totalSize":1,"bucket":"cs-prod","pathPrefix":"data/0e7c","files":[{}]}}"#,
        files.join(",")
    );
    let s3 = r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-03-14T09:30:00.000Z","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"logs","arn":"arn:aws:s3:::logs"},"object":{"key":"AWSLogs/111122223333/CloudTrail/a.json.gz","size":2048,"sequencer":"0069B52DA1"}}}]}"#;
    let mut group = c.benchmark_group("messages");
    let answer = answer(s3);
    group.bench_function("an answer with ten messages", |b| {
        b.iter(|| assert_eq!(sqs::read_receive(black_box(&answer)).unwrap().len(), MESSAGES));
    });
    for (name, body, objects) in [("fdr, ten files", fdr.as_str(), FILES), ("s3 event", s3, 1)] {
        group.bench_function(name, |b| {
            b.iter(|| assert_eq!(resolve(black_box(body)).unwrap().objects.len(), objects));
        });
    }
    group.finish();
}

fn answer(body: &str) -> Vec<u8> {
    let message = serde_json::json!({
        "MessageId": "6a2b4f2e-6b0e-4f7e-9f0c-1c9d8e7f6a5b",
        "ReceiptHandle": "A".repeat(300),
        "Body": body,
        "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1773480416000"},
    });
    serde_json::to_vec(&serde_json::json!({ "Messages": vec![message; MESSAGES] })).unwrap()
}
