#![no_main]

use std::time::Duration;

use aws_to_devo::aws::failure::Refusal;
use aws_to_devo::aws::{
    GetObject, ListObjects, cloudwatch, dynamodb, guardduty, listing, logs, notification, s3, sqs, sts,
    success,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

const READERS: &[fn(&[u8])] = &[
    |body| check_listing(body),
    |body| {
        let Ok(data) = cloudwatch::read_metric_data(body) else { return };
        assert!(data.points.iter().all(|point| point.statistic < cloudwatch::STATISTICS.len()));
        assert_ne!(data.token.as_deref(), Some(""));
    },
    |body| drop(cloudwatch::read_list_metrics(body)),
    |body| drop(cloudwatch::read_metric_unit(body)),
    |body| {
        let Ok(findings) = guardduty::read_details(body) else { return };
        assert!(findings.iter().all(|finding| finding.json.starts_with('{')));
    },
    |body| drop(guardduty::read_detectors(body)),
    |body| drop(guardduty::read_findings(body)),
    |body| {
        let Ok(found) = notification::read(body) else { return };
        let mut announced = found.rules.iter().filter(|rule| rule.announces("a/k.gz"));
        assert!(announced.all(|rule| "a/k.gz".starts_with(&rule.prefix)));
    },
    |body| drop(logs::read_groups(body)),
    |body| drop(logs::read_streams(body)),
    |body| drop(logs::read_events(body)),
    |body| drop(sqs::read_receive(body)),
    |body| drop(sqs::read_queue_url(body)),
    |body| drop(sqs::read_attributes(body)),
    |body| {
        let Ok(failures) = sqs::read_batch(body, &["a", "b"]) else { return };
        assert!(failures.iter().all(|failure| ["a", "b"].contains(&&*failure.id)));
    },
    |body| drop(sts::read_assume_role(body)),
    |body| drop(sts::read_caller_identity(body)),
    |body| drop(success::is_credible(&HeaderMap::new(), body)),
    |body| {
        // One text in two forms: a repaired text is text, and what was JSON before still is.
        let text = success::mended(body);
        if serde_json::from_slice::<serde_json::Value>(body).is_ok() {
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
        }
    },
    |body| check_refusal(body),
    |body| check_head(body),
    |body| {
        let Ok(page) = dynamodb::read_items(body, None) else { return };
        let Some(next) = page.next else { return };
        assert!(dynamodb::read_items(body, Some(&next)).is_err(), "a page that leads to itself");
        assert!(dynamodb::read_scanned(body, Some(&next)).is_err(), "a page that leads to itself");
    },
    |body| drop((dynamodb::read_item(body), dynamodb::read_updated(body), dynamodb::read_done(body))),
    |body| drop(dynamodb::read_unprocessed(body)),
];

// Answers of AWS's APIs, from any sender: read, or refused. The first byte chooses the reader.
fuzz_target!(|input: &[u8]| {
    let [kind, body @ ..] = input else { return };
    READERS[usize::from(*kind) % READERS.len()](body);
});

fn check_listing(body: &[u8]) {
    let list = ListObjects { bucket: "b", prefix: "", start_after: "k" };
    let Ok(page) = listing::read(&list, body) else { return };
    assert!(page.objects.iter().all(|object| object.key.as_str() > "k"));
    assert!(page.objects.is_sorted_by(|one, other| one.key < other.key));
}

fn check_refusal(input: &[u8]) {
    let Some((status, headers, body)) = answer(input) else { return };
    let refusal = Refusal::read(status, &headers, body);
    let _ = refusal.kind();
    assert!(refusal.retry_after.is_none_or(|after| after <= Duration::MAX));
}

/// The head of an object's part.
fn check_head(input: &[u8]) {
    let Some((status, headers, _)) = answer(input) else { return };
    for (start, len, by_key) in [(0, 10, false), (10, 20, true), (u64::MAX - 5, 5, false)] {
        let etag = by_key.then_some("d41d8cd98f00b204e9800998ecf8427e");
        let (version_id, if_match, size) = (None, None, by_key.then_some(10));
        let get = GetObject { bucket: "b", key: "k", version_id, etag, by_key, start, len, if_match, size };
        if let Ok(head) = s3::head(&get, status, &headers) {
            assert!(head.take.is_none_or(|take| take <= len), "{head:?}");
            assert!(!head.etag.is_empty(), "S3 says an object's ETag");
            let _ = s3::is_as_known(&get, &head.etag, head.total.unwrap_or_default());
        }
    }
}

/// Status, headers and body: a byte that chooses the status, lines of `name: value`, an empty line, and the rest.
fn answer(input: &[u8]) -> Option<(u16, HeaderMap, &[u8])> {
    const STATUSES: [u16; 14] = [200, 206, 204, 301, 307, 400, 403, 404, 409, 412, 416, 429, 500, 503];
    let (status, rest) = input.split_first()?;
    let end = rest.windows(2).position(|two| two == b"\n\n").unwrap_or(rest.len());
    let mut headers = HeaderMap::new();
    for line in rest[..end].split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.insert(name, value);
        }
    }
    let status = STATUSES[usize::from(*status) % STATUSES.len()];
    Some((status, headers, rest.get(end + 2..).unwrap_or_default()))
}
