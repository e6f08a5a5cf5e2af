#![no_main]

use std::time::Duration;

use aws_to_devo::aws::failure::Refusal;
use aws_to_devo::aws::{
    GetObject, ListObjects, cloudwatch, guardduty, listing, logs, notification, s3, sqs, sts, success,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

// Answers of AWS's APIs, from any sender: read, or refused.
fuzz_target!(|input: &[u8]| {
    let list = ListObjects { bucket: "b", prefix: "", start_after: "k" };
    if let Ok(page) = listing::read(&list, input) {
        assert!(page.objects.iter().all(|object| object.key.as_str() > "k"));
        assert!(page.objects.is_sorted_by(|one, other| one.key < other.key));
    }
    if let Ok(data) = cloudwatch::read_metric_data(input) {
        assert!(data.points.iter().all(|point| point.statistic < cloudwatch::STATISTICS.len()));
        assert_ne!(data.token.as_deref(), Some(""));
    }
    if let Ok(findings) = guardduty::read_details(input) {
        assert!(findings.iter().all(|finding| finding.json.starts_with('{')));
    }
    if let Ok(found) = notification::read(input) {
        let announced = found.rules.iter().filter(|rule| rule.announces("a/k.gz"));
        assert!(announced.clone().all(|rule| "a/k.gz".starts_with(&rule.prefix)));
    }
    let _ = cloudwatch::read_list_metrics(input);
    let _ = (guardduty::read_detectors(input), guardduty::read_findings(input));
    let _ = (logs::read_groups(input), logs::read_streams(input), logs::read_events(input));
    let _ = (sqs::read_receive(input), sqs::read_queue_url(input), sqs::read_attributes(input));
    let _ = (sts::read_assume_role(input), sts::read_caller_identity(input));
    // One text in two forms: a repaired text is text, and what was JSON before still is.
    let text = success::mended(input);
    if serde_json::from_slice::<serde_json::Value>(input).is_ok() {
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
    }
    let _ = success::is_credible(&HeaderMap::new(), input);
    if let Ok(failures) = sqs::read_batch(input, &["a", "b"]) {
        assert!(failures.iter().all(|failure| ["a", "b"].contains(&&*failure.id)));
    }
    heads(input);
});

/// Lines of `name: value` are the headers, the text after an empty line is the body; the first two bytes are the
/// status.
fn heads(input: &[u8]) {
    let Some((status, rest)) = input.split_first_chunk::<2>() else { return };
    let status = u16::from_be_bytes(*status);
    let end = rest.windows(2).position(|two| two == b"\n\n").unwrap_or(rest.len());
    let mut headers = HeaderMap::new();
    for line in rest[..end].split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.insert(name, value);
        }
    }
    let refusal = Refusal::read(status, &headers, rest.get(end + 2..).unwrap_or_default());
    let _ = refusal.kind();
    assert!(refusal.retry_after.is_none_or(|after| after <= Duration::MAX));
    for (start, len, by_key) in [(0, 10, false), (10, 20, true), (u64::MAX - 5, 5, false)] {
        let etag = by_key.then_some("d41d8cd98f00b204e9800998ecf8427e");
        let (version_id, if_match, size) = (None, None, by_key.then_some(10));
        let get = GetObject { bucket: "b", key: "k", version_id, etag, by_key, start, len, if_match, size };
        for status in [200, 206, status] {
            if let Ok(head) = s3::head(&get, status, &headers) {
                assert!(head.take.is_none_or(|take| take <= len), "{head:?}");
                assert!(!head.etag.is_empty(), "S3 says an object's ETag");
                let _ = s3::is_as_known(&get, &head.etag, head.total.unwrap_or_default());
            }
        }
    }
}
