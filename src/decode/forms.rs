//! Objects as found in the real world: each difficult form, through the whole decoder, with its result. Text is the
//! same byte for byte; JSON keeps its values and the spelling of its numbers.

use std::sync::Arc;

use proptest::prelude::*;

use super::inflate::samples::{gzip, gzip_small, zlib, zstd};
use super::select::Selection;
use super::text_file::{Fields, Names, TextFile};
use super::*;
use crate::base::limits::{ADDED_HEADER_BYTES_MAX, MIB};

type Decoded = (Vec<(Vec<u8>, Newlines)>, Result<(), Error>);

fn decode_in(object: &[u8], format: &Format, size: usize) -> Decoded {
    let (mut decoder, mut scratch) = (Decoder::new(format.clone(), Bounds::default()), Scratch::new());
    let mut records = Vec::new();
    let mut chunks = object.chunks(size.max(1)).peekable();
    loop {
        let chunk = chunks.next().unwrap_or_default();
        let last = chunks.peek().is_none();
        let mut sink = |record: Record<'_>| records.push((record.bytes.to_vec(), record.newlines));
        let result = decoder.push(chunk, last, &mut scratch, &mut sink);
        if last || result.is_err() {
            return (records, result);
        }
    }
}

/// The bodies; the same in any chunks.
fn bodies(object: &[u8], format: &Format) -> Vec<String> {
    let whole = decode_in(object, format, object.len());
    for size in (1..object.len().min(40)).chain([100]) {
        assert_eq!(decode_in(object, format, size), whole, "{size} bytes at a time");
    }
    assert_eq!(whole.1, Ok(()));
    whole.0.into_iter().map(|(body, _)| String::from_utf8_lossy(&body).into_owned()).collect()
}

const LINES: Format = Format::Lines { header_lines: 0 };
const CSV: Format = Format::Csv { header_lines: 0 };

fn json(path: &[&str]) -> Format {
    Format::Json { path: path.iter().map(|key| key.to_string()).collect() }
}

fn text_file(separator: &str, header: bool, json: Option<Fields>) -> Format {
    Format::TextFile(Arc::new(TextFile { line_separator: separator.into(), header, json }))
}

fn selected(indices: Vec<u64>, substrings: &[&str], patterns: &[&str]) -> Format {
    let substrings: Vec<String> = substrings.iter().map(|text| text.to_string()).collect();
    let patterns = patterns.iter().map(|text| Pattern::new(text).unwrap()).collect();
    let selection = Selection::new(indices, &substrings, patterns).unwrap();
    Format::SelectedLines { header_lines: 1, selection: Arc::new(selection) }
}

/// With the signatures of other logs.
fn known(format: Format) -> Format {
    let sign = |name: &str, line| Sign {
        members: vec![vec![name.to_owned()]],
        line: Some(regex::bytes::Regex::new(line).unwrap()),
    };
    let others =
        vec![("another".to_owned(), sign("a", "^,")), ("a third".to_owned(), sign("logEvents", "^b"))];
    let signs = Signs { own: sign("b", "^1"), others, text_only: !format.may_be_json(), ..Signs::default() };
    Format::Known { format: Box::new(format), signs: Arc::new(signs) }
}

fn or(format: Format, bare: Bare) -> Format {
    let others = Others { paths: vec![vec!["b".into()]], log_events: true, bare, empty: vec!["1".into()] };
    Format::Or { format: Box::new(format), others: Arc::new(others) }
}

/// Every format once or twice.
fn formats() -> Vec<Format> {
    let names = |names| Some(Fields { separator: b",".to_vec(), names });
    let shape = Shape { flat: true, include: vec![], rename: vec![("a".into(), "b".into())] };
    vec![
        LINES,
        Format::Lines { header_lines: 1 },
        selected(vec![0, 2], &["a"], &["^."]),
        json(&[]),
        json(&["a"]),
        Format::ReshapedJson { path: vec![], shape: Arc::new(shape) },
        Format::WholeJson { path: vec!["a".into()] },
        Format::SeparatedJson { separator: b"\n".to_vec() },
        Format::SeparatedJson { separator: b"},".to_vec() },
        Format::JsonArrayLines,
        Format::JsonValues { paths: vec![vec!["a".into()]] },
        Format::ExtractedJson { keys: vec!["a".into()] },
        Format::Detect,
        CSV,
        Format::Csv { header_lines: 1 },
        text_file("\n", true, names(Names::InHeader(b",".to_vec()))),
        text_file("\r\n", false, names(Names::Given(vec!["a".into()]))),
        text_file("a\n", true, None),
        Format::CloudWatch { body: EventBody::Event },
        Format::CloudWatch { body: EventBody::Message },
        Format::Envelopes { detail: vec!["detail".into()] },
        Format::Incapsula,
        Format::JsonLines,
        Format::SnappyBlocks,
        Format::OrJson(Box::new(Format::LinesUnder { prefix: b"a".to_vec() })),
        known(LINES),
        known(Format::JsonLines),
        or(json(&["a"]), Bare::Members(vec![vec!["b".into()]])),
        or(Format::Envelopes { detail: vec!["a".into()] }, Bare::Members(vec![vec!["b".into()]])),
        or(Format::CloudWatch { body: EventBody::Message }, Bare::Any),
        Format::Latin1(Box::new(LINES)),
        Format::Latin1(Box::new(json(&["a"]))),
    ]
}

#[test]
fn pretty_printed_documents() {
    let text = b"{\n  \"Records\": [\n    {\n      \"n\": 1.50\n    },\r\n    {\n    }\n  ]\n}\n";
    let records = bodies(text, &json(&["Records"]));
    assert_eq!(records, ["{\n      \"n\": 1.50\n    }", "{\n    }"]);
    assert_eq!(bodies(&gzip(text), &Format::Detect).len(), 1);
    let (records, _) = decode_in(text, &json(&["Records"]), 7);
    assert!(records.iter().all(|(_, newlines)| *newlines == Newlines::Insignificant));
}

#[test]
fn every_compression_at_every_level() {
    let text = b"\"a\nb\",1\nc\n";
    for object in [
        gzip(text),
        zlib(text),
        zstd(text),
        gzip(&gzip(text)),
        gzip(&zstd(text)),
        [gzip(&text[..3]), gzip(b""), gzip(&text[3..])].concat(),
        gzip(&[gzip(&text[..5]), gzip(&text[5..])].concat()),
    ] {
        assert_eq!(bodies(&object, &CSV), ["\"a\nb\",1", "c"]);
    }
}

#[test]
fn byte_order_marks_line_ends_and_blank_lines() {
    for format in [&LINES, &CSV, &Format::Detect, &text_file("\n", false, None), &Format::Incapsula] {
        let expected = ["a \t", " b"];
        assert_eq!(bodies(b"\xef\xbb\xbfa \t\r\n\r\n\n b", format), expected, "{format:?}");
        assert_eq!(bodies(b"a \t\n\n b\r\n", format), expected, "{format:?}");
    }
    assert_eq!(bodies(b"\xef\xbb\xbf {\"a\":1}\r\n\r\n{\"a\":2}", &json(&[])), ["{\"a\":1}", "{\"a\":2}"]);
    assert_eq!(
        bodies(b"\xef\xbb\xbf{\"a\":1}", &Format::SeparatedJson { separator: b"\n".to_vec() }).len(),
        1
    );
}

/// Files that were put together have one each.
#[test]
fn byte_order_marks_between_records() {
    let named = Arc::new(HeaderNames::new(&["h".to_owned()]));
    for format in [
        LINES,
        CSV,
        Format::LinesWithHeaders { names: named.clone() },
        Format::CsvWithHeaders { names: named },
        Format::LinesUnder { prefix: b"h".to_vec() },
    ] {
        let expected = bodies(b"h 1\na\nh 1\nb", &format);
        assert_eq!(bodies(b"\xef\xbb\xbfh 1\na\n\xef\xbb\xbfh 1\r\nb", &format), expected, "{format:?}");
    }
    for between in ["", "\n", "\r\n\n"] {
        let text = format!("{{\"a\":1}}{between}\u{feff}{{\"a\":2}}{between}");
        for format in [Format::JsonLines, json(&[]), Format::Envelopes { detail: vec!["d".into()] }] {
            assert_eq!(bodies(text.as_bytes(), &format), ["{\"a\":1}", "{\"a\":2}"], "{format:?}");
        }
    }
}

#[test]
fn a_header_without_json_stands_before_each_record() {
    let text = b"\xef\xbb\xbfday,who\r\n\n1,ada\r\nday,who\r\n2,\"b\"";
    let format = text_file("\n", true, None);
    assert_eq!(bodies(text, &format), ["day,who\n1,ada", "day,who\n2,\"b\""]);
    let (records, _) = decode_in(text, &format, 7);
    assert!(records.iter().all(|(_, newlines)| *newlines == Newlines::Significant));
    assert_eq!(bodies(b"h||1||2\n||\n", &text_file("||", true, None)), ["h||1", "h||2\n"]);
    let long = format!("{}\n1\n2\n", "h".repeat(ADDED_HEADER_BYTES_MAX + 1));
    let refused = Err(Error::HeaderTooLarge { max: ADDED_HEADER_BYTES_MAX });
    assert_eq!(decode_in(long.as_bytes(), &format, long.len()), (vec![], refused));
    assert_eq!(bodies(&long.as_bytes()[1..], &format).len(), 2);
}

#[test]
fn the_header_of_another_file_counts_from_there_on() {
    let text = b"day,who\n1,ada\nwho,day\nbob,2\nday,who,where\n3,eve,here\n";
    let names = Names::InHeader(b",".to_vec());
    let named = text_file("\n", true, Some(Fields { separator: b",".to_vec(), names }));
    assert_eq!(
        bodies(text, &named),
        [
            r#"{"day":"1","who":"ada"}"#,
            r#"{"who":"bob","day":"2"}"#,
            r#"{"day":"3","who":"eve","where":"here"}"#
        ]
    );
    let added = bodies(text, &text_file("\n", true, None));
    assert_eq!(added, ["day,who\n1,ada", "who,day\nbob,2", "day,who,where\n3,eve,here"]);
}

#[test]
fn directives_are_no_records_wherever_they_stand() {
    let format = Format::LinesUnder { prefix: b"#".to_vec() };
    let text = b"1\n#Version: 1.0\n#Fields: a\n2\n#Fields\n#tag: 3\n";
    assert_eq!(bodies(text, &format), ["1", "2", "#Fields", "#tag: 3"]);
}

#[test]
fn extracted_messages_may_be_json_and_text() {
    let format = or(Format::CloudWatch { body: EventBody::Message }, Bare::Any);
    let envelope = r#"{"messageType":"DATA_MESSAGE","logGroup":"g","logEvents":[{"message":"in"}]}"#;
    let lines = [
        "{\"a\":1}",
        "text {1}",
        "[INFO] x",
        "{\"a\":2}{\"a\":3}",
        envelope,
        "[{\"a\":4},{\"a\":5}]",
        "[1]",
        "7",
    ];
    let expected = [
        "{\"a\":1}",
        "text {1}",
        "[INFO] x",
        "{\"a\":2}",
        "{\"a\":3}",
        "in",
        "{\"a\":4}",
        "{\"a\":5}",
        "[1]",
        "7",
    ];
    // A first line of several values makes JSON of the text.
    for rotation in [0, 1, 2, 4, 6, 7] {
        let mut text = lines;
        text.rotate_left(rotation);
        let (mut found, mut expected) = (bodies(text.join("\n").as_bytes(), &format), expected);
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{}", text[0]);
    }
}

#[test]
fn envelopes_without_events_and_failed_deliveries_are_no_messages() {
    let format = or(Format::CloudWatch { body: EventBody::Message }, Bare::Any);
    for events in ["null", "[]"] {
        let text = format!(r#"{{"messageType":"DATA_MESSAGE","logGroup":"g","logEvents":{events}}}"#);
        assert!(bodies(text.as_bytes(), &format).is_empty(), "{events}");
    }
    for document in [
        r#"{"messageType":"DATA_MESSAGE","logGroup":"g","logEvents":"x"}"#,
        r#"{"messageType":"DATA_MESSAGE","logGroup":"g","logEvents":["x"]}"#,
        r#"{"attemptsMade":1,"errorCode":"c","rawData":"eA=="}"#,
    ] {
        for before in ["", "a line\n", "{\"a\":1}\n"] {
            let (records, result) = decode_in(format!("{before}{document}").as_bytes(), &format, 9);
            assert!(
                matches!(result, Err(Error::UnexpectedDocuments { count: 1, .. })),
                "{document}: {result:?}"
            );
            assert_eq!(records.len(), before.lines().count(), "{document}");
        }
    }
}

#[test]
fn fields_without_names_are_numbered() {
    let fields = Fields { separator: b"|".to_vec(), names: Names::Given(vec![]) };
    let records = bodies(b"a|\"b|c\"\n\xe9\n", &text_file("\n", false, Some(fields)));
    assert_eq!(records, [r#"{"field_1":"a","field_2":"b|c"}"#, r#"{"field_1":"é"}"#]);
}

#[test]
fn empty_objects_hold_nothing() {
    for format in formats() {
        for object in [vec![], gzip(b""), gzip(&gzip(b"")), b"\n\r\n".to_vec(), b"\xef\xbb\xbf".to_vec()] {
            assert!(bodies(&object, &format).is_empty(), "{format:?}");
        }
    }
}

#[test]
fn files_that_are_a_header_hold_nothing() {
    let header = b"version account\r\n";
    let named = Fields { separator: b" ".to_vec(), names: Names::InHeader(b" ".to_vec()) };
    for format in [
        Format::Lines { header_lines: 1 },
        Format::Csv { header_lines: 1 },
        text_file("\n", true, None),
        text_file("\n", true, Some(named)),
        selected(vec![], &[], &[""]),
    ] {
        assert!(bodies(header, &format).is_empty());
        assert!(bodies(header.trim_ascii_end(), &format).is_empty());
        assert_eq!(bodies(&[&header[..], b"2 1"].concat(), &format).len(), 1);
    }
}

#[test]
fn quoted_csv_is_the_same_byte_for_byte() {
    let record = b" \"2020-06-12\",\"a\r\nb\",,\"url{\"\"x\"\":\"\"y\n\"\"}\"";
    let (records, result) = decode_in(&gzip(&[&record[..], b"\r\n", record].concat()), &CSV, 3);
    let expected = (record.to_vec(), Newlines::Significant);
    assert_eq!((records, result), (vec![expected.clone(), expected], Ok(())));
}

#[test]
fn records_of_16_mib() {
    let text = "x".repeat(16 * MIB);
    let quoted = format!("\"{text}\n\"");
    let document = format!("{{\"a\":\"{text}\"}}");
    let envelope = format!("{{\"logEvents\":[{{\"message\":\"{text}\"}}]}}");
    for (object, format, expected) in [
        (&text, LINES, &text),
        (&text, text_file("\n", false, None), &text),
        (&quoted, CSV, &quoted),
        (&document, Format::Detect, &document),
        (&document, json(&[]), &document),
        (&document, Format::SeparatedJson { separator: b"\n".to_vec() }, &document),
        (&envelope, Format::CloudWatch { body: EventBody::Message }, &text),
    ] {
        for object in [gzip_small(&[object.as_bytes(), b"\n"].concat()), object.clone().into_bytes()] {
            let (records, result) = decode_in(&object, &format, MIB);
            assert_eq!((records.len(), result), (1, Ok(())), "{format:?}");
            assert!(records[0].0 == expected.as_bytes(), "{format:?}");
        }
    }
}

#[test]
fn bytes_that_are_no_utf8_and_nul_bytes_stay() {
    let line = b"a\0b\xff\xfe\xc3(";
    for format in [LINES, CSV, Format::Detect, text_file("\n", false, None), selected(vec![1], &[], &[])] {
        let (records, result) = decode_in(&[b"header\n", &line[..], b"\n"].concat(), &format, 2);
        assert_eq!((&records.last().unwrap().0[..], result), (&line[..], Ok(())), "{format:?}");
    }
    let document = b"{\"a\":\"\0\xff\"}";
    assert_eq!(decode_in(document, &json(&[]), 3).0[0].0, document);
    let envelope = b"{\"logEvents\":[{\"message\":\"\xff\\u0000\"}]}";
    assert_eq!(decode_in(envelope, &Format::CloudWatch { body: EventBody::Message }, 3).0[0].0, b"\xff\0");
}

#[test]
fn latin_1_becomes_utf8() {
    let latin1 = |format| Format::Latin1(Box::new(format));
    assert_eq!(bodies(b"caf\xe9\n\xc3\xa9", &latin1(LINES)), ["café", "Ã©"]);
    assert_eq!(bodies(b"\xef\xbb\xbfa", &latin1(LINES)), ["a"]);
    assert_eq!(bodies(b"{\"a\":\"\xe9\"}", &latin1(json(&["a"]))), ["\"é\""]);
    assert_eq!(bodies(b"\xff\xfe", &latin1(Format::Detect)), ["ÿþ"]);
}

#[test]
fn some_of_the_lines() {
    let text = b"header\nERROR 1\n\nx needle\nother\nERROR 2\n";
    assert_eq!(
        bodies(text, &selected(vec![4, 0, 2], &["needle"], &["2$"])),
        ["x needle", "other", "ERROR 2"]
    );
}

#[test]
fn text_with_named_fields() {
    let names = Names::InHeader(b";".to_vec());
    let format = text_file("\r\n", true, Some(Fields { separator: b"\t".to_vec(), names }));
    let text = b"\r\na;b\r\n1\tx \"y\"\nz\r\n2\t\"q\"\tmore\r\n";
    assert_eq!(
        bodies(text, &format),
        [r#"{"a":"1","b":"x \"y\"\nz"}"#, r#"{"a":"2","b":"q","field_3":"more"}"#]
    );
    let (records, _) = decode_in(b"a\nb||c", &text_file("||", false, None), 1);
    assert_eq!(records[0], (b"a\nb".to_vec(), Newlines::Significant));
}

#[test]
fn json_between_separators() {
    let format = |separator: &str| Format::SeparatedJson { separator: separator.into() };
    let text = b"{\"a\":1}\r\n\n [1, 2]\nno json";
    assert_eq!(bodies(text, &format("\n")), ["{\"a\":1}", "[1, 2]", "no json"]);
    let (records, _) = decode_in(b"{\n}---no\njson---", &format("---"), 2);
    let newlines = [Newlines::Insignificant, Newlines::Significant];
    assert_eq!(records.iter().map(|(_, newlines)| *newlines).collect::<Vec<_>>(), newlines);
}

#[test]
fn an_array_a_line() {
    let text = b"[{\"a\":1},\"x\"]\r\n[]\n{\"b\":2}\n[1\n text\n";
    assert_eq!(bodies(text, &Format::JsonArrayLines), ["{\"a\":1}", "\"x\"", "{\"b\":2}", "[1", " text"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_object_gives_the_same_in_any_chunks(
        text in r#"([ab,:"{}\[\]\r\n1 é\\]|\|==\||"a":|\n\n|"logEvents":\[){0,40}"#,
        which in 0..32usize, size in 1..30usize, packed in any::<bool>(), max in 4..60usize,
    ) {
        let format = &formats()[which];
        let object = if packed { gzip(text.as_bytes()) } else { text.into_bytes() };
        prop_assert_eq!(decode_in(&object, format, size), decode_in(&object, format, object.len()));
        let bounded = |size: usize| {
            let bounds = Bounds { record_bytes_max: max, scratch_bytes_max: 0, ..Bounds::default() };
            let (mut decoder, mut scratch) = (Decoder::new(format.clone(), bounds), Scratch::new());
            let mut records = Vec::new();
            let mut sink = |record: Record<'_>| records.push(record.bytes.to_vec());
            let mut result = object.chunks(size).try_for_each(|c| decoder.push(c, false, &mut scratch, &mut sink));
            if result.is_ok() {
                result = decoder.push(b"", true, &mut scratch, &mut sink);
            }
            (records, result)
        };
        prop_assert_eq!(bounded(size), bounded(object.len().max(1)));
    }
}
