#![no_main]

use aws_to_devo::aws::{ListObjects, cloudwatch, guardduty, listing, logs};
use libfuzzer_sys::fuzz_target;

// Answers of AWS's APIs, whoever wrote them: read, or refused.
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
    let _ = cloudwatch::read_list_metrics(input);
    let _ = (guardduty::read_detectors(input), guardduty::read_findings(input));
    let _ = (logs::read_groups(input), logs::read_streams(input), logs::read_events(input));
});
