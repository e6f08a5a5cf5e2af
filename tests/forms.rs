//! Every service of the registry on every form of object: its records arrive, all of them and nothing else, or it is
//! known to have none, or it is refused. No form delivers garbage, and none vanishes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first failure"
)]

mod samples;

use std::collections::BTreeSet;
use std::io::Write;

use aws_to_devo::config::registry::{self, Row};
use aws_to_devo::decode::{Bounds, Decoder, Format, Newlines, Record, Scratch};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use samples::Sample;

/// The outcome of an object.
#[derive(Debug, Clone, PartialEq)]
enum Ending {
    /// The records; JSON without its white space.
    Delivered(Vec<String>),
    /// No record, and no error.
    Empty,
    /// After this many records.
    Refused(usize),
}

use Ending::{Delivered, Empty, Refused};

fn ending_in(row: &Row, key: &str, object: &[u8], size: usize) -> Ending {
    let definition = row.definition.of_object(key);
    let mut decoder = Decoder::new(definition.format.clone(), Bounds::default());
    let (mut scratch, mut records) = (Scratch::new(), Vec::new());
    let mut chunks = object.chunks(size.max(1)).peekable();
    loop {
        let chunk = chunks.next().unwrap_or_default();
        let last = chunks.peek().is_none();
        let mut sink = |record: Record<'_>| records.push(text(record));
        match decoder.push(chunk, last, &mut scratch, &mut sink) {
            Err(error) => {
                let message = error.to_string();
                assert!(!message.contains('\n') && !message.is_empty(), "{message}");
                return Refused(records.len());
            }
            Ok(()) if last && records.is_empty() => return Empty,
            Ok(()) if last => return Delivered(records),
            Ok(()) => (),
        }
    }
}

fn text(record: Record<'_>) -> String {
    let text = String::from_utf8_lossy(record.bytes).into_owned();
    match record.newlines {
        Newlines::Significant => text,
        _ => serde_json::from_str::<serde_json::Value>(&text).map_or(text, |value| value.to_string()),
    }
}

/// The same in any chunks.
fn ending(row: &Row, key: &str, object: &[u8]) -> Ending {
    let whole = ending_in(row, key, object, object.len());
    for size in [1, 2, 3, 7, 64, 1000] {
        assert_eq!(ending_in(row, key, object, size), whole, "{}, {key}, {size} bytes at a time", row.name);
    }
    whole
}

/// The content of a service's objects.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Json,
    /// And no JSON.
    Text,
    /// Lines of text, or JSON.
    Either,
    Parquet,
}

fn kind(format: &Format) -> Kind {
    match format {
        Format::Known { format, .. } => kind(format),
        Format::Parquet => Kind::Parquet,
        _ if !format.may_be_json() => Kind::Text,
        _ if format.may_be_text() => Kind::Either,
        _ => Kind::Json,
    }
}

/// Accepts any content, because it is not documented.
const TAKE_ANYTHING: [&str; 4] = ["aws_sqs_jamf", "aws_sqs_os", "aws_sqs_kubernetes", "aws_sqs_cloudwatch"];

struct Case {
    row: &'static Row,
    kind: Kind,
    sample: Sample,
    expected: Ending,
}

/// Each service with each of its samples.
fn cases() -> Vec<Case> {
    let cases =
        registry::rows().iter().flat_map(|row| samples::of(&row.name).into_iter().map(move |s| (row, s)));
    let case = |(row, sample): (&'static Row, Sample)| {
        let kind = kind(&row.definition.of_object(&sample.key).format);
        let expected = ending(row, &sample.key, &sample.object);
        assert!(!matches!(expected, Refused(_)), "{}", sample.path.display());
        assert_eq!(sample.expected.is_empty(), expected == Empty, "{}", sample.path.display());
        Case { row, kind, sample, expected }
    };
    cases.map(case).collect()
}

impl Case {
    fn ending(&self, object: &[u8]) -> Ending {
        ending(self.row, &self.sample.key, object)
    }

    /// It is text that can be written in other ways.
    fn is_plain(&self) -> bool {
        self.sample.object.is_ascii() && !self.sample.object.starts_with(b"PAR1")
    }

    /// Its JSON documents. Empty if it is not JSON.
    fn documents(&self) -> Vec<serde_json::Value> {
        let values = serde_json::Deserializer::from_slice(&self.sample.object).into_iter();
        values.collect::<Result<_, _>>().unwrap_or_default()
    }
}

/// Fails with all problems.
fn all_right(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::bulk::compress(bytes, 1).unwrap()
}

#[test]
fn a_packing_changes_nothing() {
    let skippable = [&0x184d_2a50u32.to_le_bytes()[..], &2u32.to_le_bytes(), b"xy"].concat();
    let mut wrong = Vec::new();
    for case in cases() {
        let object = &case.sample.object;
        let (start, end) = object.split_at(object.len() / 2);
        for (form, packed) in [
            ("gzip", gzip(object)),
            ("zlib", zlib(object)),
            ("zstd", zstd(object)),
            ("gzip in gzip", gzip(&gzip(object))),
            ("zstd in gzip", gzip(&zstd(object))),
            ("gzip members", [gzip(start), gzip(b""), gzip(end)].concat()),
            ("padded gzip members", [&gzip(start)[..], b"\r\n", &gzip(end), &[0; 9]].concat()),
            ("zlib streams", [&zlib(start)[..], b"\n", &zlib(end)].concat()),
            ("zstd frames", [&skippable[..], &zstd(start), &skippable, &zstd(end)].concat()),
            ("gzip members in gzip", gzip(&[gzip(start), gzip(end)].concat())),
        ] {
            if case.ending(&packed) != case.expected {
                wrong.push(format!("{}: {form}", case.sample.path.display()));
            }
        }
    }
    all_right(wrong);
}

#[test]
fn a_way_of_writing_text_changes_nothing() {
    let mut wrong = Vec::new();
    for case in cases().into_iter().filter(Case::is_plain) {
        let text = std::str::from_utf8(&case.sample.object).unwrap();
        let utf16 = |order: fn(u16) -> [u8; 2]| {
            "\u{feff}".chars().chain(text.chars()).flat_map(|c| order(c as u16)).collect::<Vec<u8>>()
        };
        let has_inner_lines =
            matches!(&case.expected, Delivered(records) if records.iter().any(|r| r.contains('\n')));
        let lines = text.replace("\r\n", "\n");
        let mut forms = vec![
            ("a byte order mark", format!("\u{feff}{text}").into_bytes()),
            ("UTF-16LE", utf16(u16::to_le_bytes)),
            ("UTF-16BE", utf16(u16::to_be_bytes)),
            ("blank lines at both ends", format!("\n\r\n{text}\n\r\n\n").into_bytes()),
            ("no last line end", text.trim_end().to_owned().into_bytes()),
        ];
        // A record keeps its line ends.
        if !has_inner_lines {
            forms.push(("CR LF", lines.replace('\n', "\r\n").into_bytes()));
            forms.push(("blank lines", lines.replace('\n', "\n\n").into_bytes()));
            // Imperva's header consists of lines; all JSON treats CR as white space.
            if case.row.name != "aws_sqs_incapsula" {
                forms.push(("CR", lines.replace('\n', "\r").into_bytes()));
            }
        }
        for (form, object) in forms {
            let ending = case.ending(&object);
            if ending != case.expected {
                wrong.push(format!("{}: {form}: {ending:?}", case.sample.path.display()));
            }
        }
    }
    all_right(wrong);
}

#[test]
fn a_way_of_writing_json_changes_nothing() {
    let mut wrong = Vec::new();
    for case in cases().into_iter().filter(|case| case.kind != Kind::Text && case.kind != Kind::Parquet) {
        let documents = case.documents();
        if documents.is_empty() {
            continue;
        }
        let written: Vec<String> = documents.iter().map(|document| document.to_string()).collect();
        let pretty: Vec<String> =
            documents.iter().map(|document| serde_json::to_string_pretty(document).unwrap()).collect();
        let whole = written.iter().map(String::as_str);
        for (form, text) in [
            ("a line each", written.join("\n")),
            ("back to back", written.concat()),
            ("between commas", written.join(",")),
            ("between commas and line ends", written.join(",\n")),
            ("between blank lines", written.join("\n\n \r\n")),
            ("RFC 7464", whole.map(|text| format!("\u{1e}{text}\n")).collect()),
            ("an array", format!("[{}]", written.join(","))),
            ("an array over lines", format!("[\n{}\n]\n", written.join(",\n"))),
            ("arrays", written.iter().map(|text| format!("[{text}]\n")).collect()),
            ("pretty-printed", pretty.join("\n")),
            ("pretty-printed, back to back", pretty.concat()),
            ("a pretty-printed array", format!("[\n{}\n]", pretty.join(",\n"))),
            ("lines, then pretty-printed", [written.join("\n"), pretty.join("\n")].join("\n")),
        ] {
            let expected = match (&case.expected, form.starts_with("lines, then")) {
                (Delivered(records), true) => Delivered([&records[..], records].concat()),
                (expected, _) => expected.clone(),
            };
            let ending = case.ending(text.as_bytes());
            if ending != expected {
                wrong.push(format!("{}: {form}: {ending:?}", case.sample.path.display()));
            }
        }
    }
    all_right(wrong);
}

/// Packed as no service writes it, from the bytes of the cases if there are some.
fn foreign() -> Vec<(&'static str, Vec<u8>)> {
    let case = |name: &str| std::fs::read(samples::root().join("cases").join(name).join("object0")).unwrap();
    let mut noise = 7_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (noise >> 33) as u8
    })
    .take(3000)
    .collect();
    let signed = |signature: &[u8]| [signature, &noise].concat();
    let tar = [&b"a.log"[..], &[0; 252], b"ustar\x0000", &[0; 247], b"a line\n", &[0; 505]].concat();
    let lines = "2026-11-28 10:00:00 host program[1]: a line of a log\n".repeat(60);
    vec![
        ("zip", case("f07-zip")),
        ("bzip2", case("f07b-bz2")),
        ("a tar archive in gzip", case("g03-targz")),
        ("a tar archive", tar),
        ("Avro", case("g04c-avro")),
        ("framed snappy", case("g04-snappy-framed")),
        ("encrypted Parquet", case("p08b-encrypted-vpc")),
        ("raw snappy of lines", snap::raw::Encoder::new().compress_vec(lines.as_bytes()).unwrap()),
        ("raw snappy of noise", snap::raw::Encoder::new().compress_vec(&noise).unwrap()),
        ("xz", signed(b"\xfd7zXZ\0")),
        ("lz4", signed(b"\x04\x22\x4d\x18")),
        ("7z", signed(b"7z\xbc\xaf\x27\x1c")),
        ("rar", signed(b"Rar!\x1a\x07\x01\0")),
        ("ORC", signed(b"ORC\x0a")),
        ("compress", signed(b"\x1f\x9d")),
        ("noise", noise.clone()),
        ("noise in gzip", gzip(&noise)),
        ("a cut Parquet object", signed(b"PAR1\x15\x04")),
    ]
}

#[test]
fn what_is_packed_in_another_way_is_refused() {
    let mut wrong = Vec::new();
    for case in cases() {
        for (form, object) in foreign() {
            let ending = case.ending(&object);
            if ending != Refused(0) {
                wrong.push(format!("{}: {form}: {ending:?}", case.sample.path.display()));
            }
        }
        let cut = gzip(&case.sample.object);
        for object in [&cut[..cut.len() - 9], &cut[..12]] {
            if !matches!(case.ending(object), Refused(_)) {
                wrong.push(format!("{}: cut gzip", case.sample.path.display()));
            }
        }
    }
    all_right(wrong);
}

#[test]
fn what_is_no_record_in_json_is_refused() {
    let mut wrong = Vec::new();
    for case in cases().into_iter().filter(|case| case.kind == Kind::Json) {
        for text in [
            "42",
            "\"text\"",
            "true",
            "null",
            "[1,2,3]",
            "[\"a\",\"b\"]",
            "[[{\"a\":1}],[{\"a\":2}]]",
            "[null]",
            "# a comment\n{\"a\":1}",
            "a line of text",
            "2026-11-28T10:00:00Z {\"a\":1}",
            "{\"a\":1",
            "{'a':1}",
            "{\"Records\":[1,\"a\",[{}]]}",
        ] {
            let ending = case.ending(text.as_bytes());
            if ending != Refused(0) {
                wrong.push(format!("{}: {text}: {ending:?}", case.row.name));
            }
        }
    }
    all_right(wrong);
}

/// Two writers of one file, of which one finishes its line inside the other's.
#[test]
fn a_line_within_another_is_refused() {
    let mut wrong = Vec::new();
    for case in cases().into_iter().filter(|case| case.kind == Kind::Json) {
        let Some(line) = case.documents().first().map(ToString::to_string) else { continue };
        let cuts = line.match_indices(['{', '[', ':', ',', '}', ']']).map(|(at, _)| at).filter(|at| *at > 0);
        // Some fifty of them.
        let step = cuts.clone().count().div_ceil(50);
        for (cut, between) in cuts.step_by(step).flat_map(|cut| [(cut, ""), (cut, "\n")]) {
            let text = format!("{}{between}{line}\n{}\n", &line[..cut], &line[cut..]);
            // Only an empty list can have it.
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
                continue;
            }
            let endings =
                [7, text.len()].map(|size| ending_in(case.row, &case.sample.key, text.as_bytes(), size));
            if endings[0] != endings[1] || !matches!(endings[0], Refused(_)) {
                wrong.push(format!("{}: cut at {cut}: {text}: {endings:?}", case.sample.path.display()));
            }
        }
    }
    all_right(wrong);
}

#[test]
fn empty_objects_are_empty_everywhere() {
    for case in cases() {
        for object in
            [&b""[..], b"\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"\xff\xfe", b" \n", &gzip(b""), &zstd(b"")]
        {
            let takes_blanks = case.kind != Kind::Json && object == b" \n";
            let is_no_parquet = case.kind == Kind::Parquet
                && !matches!(ending_in(case.row, &case.sample.key, object, 9), Empty);
            if !takes_blanks && !is_no_parquet {
                assert_eq!(case.ending(object), Empty, "{}: {object:?}", case.row.name);
            }
        }
    }
}

/// Objects without records of any service, or of one other.
fn odd_objects() -> Vec<(&'static str, &'static str)> {
    vec![
        (
            "Firehose's processing-failed",
            r#"{"attemptsMade":4,"arrivalTimestamp":1,"errorCode":"Lambda.FunctionError","errorMessage":"x","attemptEndingTimestamp":2,"rawData":"eyJhIjoxfQ==","lambdaArn":"arn"}"#,
        ),
        (
            "an error page of S3",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code></Error>",
        ),
        ("a page of HTML", "<!DOCTYPE html>\n<html><body>503</body></html>\n"),
        ("CloudTrail Lake's CSV", "eventVersion,userIdentity,eventTime\n1.08,\"{type=Root}\",2026-01-01\n"),
        (
            "a notification",
            r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","s3":{"bucket":{"name":"b"}}}]}"#,
        ),
        (
            "an event of EventBridge",
            r#"{"version":"0","id":"1","detail-type":"Scheduled Event","source":"aws.events","detail":{}}"#,
        ),
        (
            "a CloudWatch envelope",
            r#"{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","subscriptionFilters":[],"logEvents":[{"id":"1","timestamp":1,"message":"a line"}]}"#,
        ),
    ]
}

/// Services that read more than one log.
const FAMILIES: [&[&str]; 9] = [
    &["aws_sqs_cloudtrail", "aws_sqs_cloudtrail_kinesis", "aws_sqs_control_tower"],
    &["aws_sqs_vpc", "aws_sqs_cloudwatch_vpc", "aws_sqs_control_tower"],
    &["aws_sqs_config", "aws_sqs_control_tower"],
    &["aws_sqs_cloudfront", "aws_sqs_control_tower"],
    &["aws_sqs_guard_duty", "aws_sqs_guard_duty_kinesis"],
    &["aws_sqs_fdr", "aws_sqs_fdr_large"],
    &["aws_sqs_cloudflare_audit", "aws_sqs_cloudflare_logpush"],
    &["aws_sqs_palo_alto", "aws_sqs_prisma_access"],
    &["aws_sqs_elb", "aws_sqs_alb"],
];

fn are_relatives(one: &str, other: &str) -> bool {
    one == other || FAMILIES.iter().any(|family| family.contains(&one) && family.contains(&other))
}

#[test]
fn blocks_of_snappy_are_no_palo_alto_lines() {
    let palo_alto = registry::row("aws_sqs_palo_alto").unwrap();
    for sample in
        samples::of("aws_sqs_prisma_access").iter().filter(|sample| sample.object.starts_with(b"{\"num_"))
    {
        assert_eq!(ending(palo_alto, "pan/x", &sample.object), Refused(0));
    }
}

#[test]
fn header_lines_are_dropped_wherever_they_stand() {
    let headers = [
        ("aws_sqs_vpc", "version account-id interface-id srcaddr dstaddr srcport dstport"),
        ("aws_sqs_cisco_umbrella", "timestamp,\"policy identity\",\"identities\""),
        ("aws_sqs_cisco_umbrella", "\"Timestamp\",\"Most Granular Identity\""),
        ("aws_sqs_cloudfront", "#Version: 1.0\n#Fields: date time x-edge-location"),
        ("aws_sqs_control_tower", "#Version: 1.0\n#Fields: date time x-edge-location"),
    ];
    let is_own = |case: &Case| case.row.definition.of_object(&case.sample.key).name == case.row.name;
    let of = |name| cases().into_iter().filter(move |case| case.row.name == name && is_own(case));
    for (name, header) in headers {
        for case in
            of(name).filter(|case| case.is_plain() && case.documents().is_empty() && case.kind != Kind::Json)
        {
            let text = std::str::from_utf8(&case.sample.object).unwrap().trim_end();
            let Delivered(records) = &case.expected else { continue };
            let twice = Delivered([&records[..], records].concat());
            assert_eq!(
                case.ending(format!("{header}\n{text}\n{header}\n{text}\n").as_bytes()),
                twice,
                "{name}"
            );
            assert_eq!(case.ending(header.as_bytes()), Empty, "{name}: {header}");
        }
    }
}

#[test]
fn lists_of_nothing_are_empty_for_their_own_service_and_nobodys_else() {
    let empty = [
        ("aws_sqs_cloudtrail", r#"{"Records":[]}"#),
        ("aws_sqs_cloudtrail", r#"{"Records":null}"#),
        ("aws_sqs_cloudtrail", r#"{"digestS3Bucket":"b","digestS3Object":"k","logFiles":[]}"#),
        ("aws_sqs_config", r#"{"fileVersion":"1.0","configurationItems":[]}"#),
        ("aws_sqs_config", r#"{"fileVersion":"1.0","configurationItems":null}"#),
    ];
    for case in cases().iter().filter(|case| !TAKE_ANYTHING.contains(&case.row.name.as_str())) {
        for (owner, text) in empty {
            let reads = case.row.definition.of_object(&case.sample.key).name.clone();
            let expected = if are_relatives(&reads, owner) && reads != "aws_sqs_control_tower" {
                Empty
            } else {
                Refused(0)
            };
            assert_eq!(case.ending(text.as_bytes()), expected, "{}: {text}", case.sample.path.display());
        }
    }
}

/// True if the object has the signature of its service's log.
fn bears_signs(case: &Case) -> bool {
    let Format::Known { signs, .. } = &case.row.definition.format else { return false };
    let document = match (&case.expected, case.kind, case.documents().first()) {
        (Delivered(records), Kind::Parquet, _) => serde_json::from_str(&records[0]).ok(),
        (_, _, document) => document.cloned(),
    };
    let has_all =
        |set: &Vec<String>| document.as_ref().is_some_and(|d| set.iter().all(|name| d.get(name).is_some()));
    let line =
        case.sample.object.split(|byte| *byte == b'\n').find(|line| !line.is_empty()).unwrap_or_default();
    signs.own.members.iter().any(has_all)
        || signs.own.line.as_ref().is_some_and(|pattern| pattern.is_match(line))
}

#[test]
fn what_is_nobodys_log_is_refused() {
    let mut wrong = Vec::new();
    for case in cases().into_iter().filter(|case| !TAKE_ANYTHING.contains(&case.row.name.as_str())) {
        for (form, object) in odd_objects() {
            let ending = case.ending(object.as_bytes());
            let is_own = match form {
                "a CloudWatch envelope" => case.row.reads.contains("subscription envelopes"),
                // Its records look like CloudTrail's.
                "a notification" => case.row.reads.contains("CloudTrail"),
                _ => false,
            };
            if !is_own && ending != Refused(0) {
                wrong.push(format!("{}: {form}: {ending:?}", case.sample.path.display()));
            }
        }
    }
    all_right(wrong);
}

/// If neither of the two logs can be distinguished from others, it is unknown whether it is the wrong one; it does not
/// vanish.
#[test]
fn another_services_log_is_refused_and_never_vanishes() {
    let cases = cases();
    let (mut wrong, mut refused) = (BTreeSet::new(), 0);
    for case in cases.iter().filter(|case| !TAKE_ANYTHING.contains(&case.row.name.as_str())) {
        let others = cases.iter().filter(|other| !are_relatives(&other.row.name, &case.row.name));
        for other in others.filter(|other| other.expected != Empty) {
            let ending = ending_in(case.row, &case.sample.key, &other.sample.object, usize::MAX);
            let is_right = if bears_signs(other) { ending == Refused(0) } else { ending != Empty };
            refused += usize::from(ending == Refused(0));
            if !is_right {
                let name = other.sample.path.strip_prefix(samples::root()).unwrap().display();
                wrong.insert(format!("{} <- {name}: {ending:.80?}", case.row.name));
            }
        }
    }
    assert!(refused > 2000, "{refused}");
    all_right(wrong.into_iter().collect());
}

#[test]
fn most_services_are_known_by_signs_which_their_samples_bear() {
    let cases = cases();
    for row in registry::rows() {
        let Format::Known { signs, .. } = &row.definition.format else { continue };
        // Samples of services that read documents have envelopes around their records.
        let has_signs = !row.definition.format.reads_documents()
            && (!signs.own.members.is_empty() || signs.own.line.is_some());
        let of_row = |case: &&Case| {
            case.row.name == row.name && case.row.definition.of_object(&case.sample.key).name == row.name
        };
        assert!(!has_signs || cases.iter().filter(of_row).any(bears_signs), "{}", row.name);
    }
}
