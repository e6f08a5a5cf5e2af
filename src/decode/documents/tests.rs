//! Documents through the whole decoder, in any chunks.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value as Tree, json};

use crate::decode::{
    Bare, Bounds, Decoder, Error, EventBody, Format, Newlines, Others, Record, Scratch, Shape, Sign, Signs,
};

#[derive(Debug, PartialEq)]
struct Decoded {
    records: Vec<(String, Newlines, String)>,
    empty: u64,
    result: Result<(), Error>,
}

fn decode_in(text: &[u8], format: &Format, size: usize, record_bytes_max: usize) -> Decoded {
    let bounds = Bounds { record_bytes_max, ..Bounds::default() };
    let (mut decoder, mut scratch) = (Decoder::new(format.clone(), bounds), Scratch::new());
    let mut records = Vec::new();
    let string = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut sink = |record: Record<'_>| {
        records.push((string(record.bytes), record.newlines, string(record.context.json)));
    };
    let mut chunks = text.chunks(size.max(1)).peekable();
    loop {
        let chunk = chunks.next().unwrap_or_default();
        let last = chunks.peek().is_none();
        let result = decoder.push(chunk, last, &mut scratch, &mut sink);
        if last || result.is_err() {
            return Decoded { records, empty: decoder.empty_documents(), result };
        }
    }
}

fn decode(text: &str, format: &Format) -> Decoded {
    let whole = decode_in(text.as_bytes(), format, text.len(), 1 << 20);
    for size in 1..text.len().min(50) {
        let parts = decode_in(text.as_bytes(), format, size, 1 << 20);
        assert_eq!((&parts.records, &parts.result), (&whole.records, &whole.result), "{size}");
    }
    whole
}

/// The bodies of an intact object.
fn bodies(text: &str, format: &Format) -> Vec<String> {
    let decoded = decode(text, format);
    assert_eq!(decoded.result, Ok(()), "{text}");
    decoded.records.into_iter().map(|(body, ..)| body).collect()
}

const EVENTS: Format = Format::CloudWatch { body: EventBody::Event };
const MESSAGES: Format = Format::CloudWatch { body: EventBody::Message };

fn envelope(events: &str) -> String {
    format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","subscriptionFilters":["f"],"logEvents":[{events}]}}"#
    )
}

fn path(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| key.to_string()).collect()
}

#[test]
fn a_log_event_is_one_object_with_its_envelopes_members() {
    let event = r#"{"id":"9","timestamp":1.620e3,"message":"a\nb","extra":{"x":1}}"#;
    let text = [envelope(event), envelope(""), envelope(&[event, "{}"].join(",\n"))].concat();
    let head = r#""messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","subscriptionFilters":["f"]"#;
    let full =
        format!("{{{head},\"id\":\"9\",\"timestamp\":1.620e3,\"message\":\"a\\nb\",\"extra\":{{\"x\":1}}}}");
    assert_eq!(bodies(&text, &EVENTS), [full.clone(), full, format!("{{{head}}}")]);
}

#[test]
fn a_message_is_text_and_its_envelope_is_known() {
    let text = envelope(r#"{"id":"9","message":"a\n\"b\"\u00e9\ud83d\ude00"},{"message":""},{"message":7}"#);
    let decoded = decode(&text, &MESSAGES);
    assert_eq!(decoded.result, Ok(()));
    let (body, newlines, context) = &decoded.records[0];
    assert_eq!((body.as_str(), *newlines), ("a\n\"b\"é😀", Newlines::Significant));
    let context: Tree = serde_json::from_str(context).unwrap();
    assert_eq!((&context["logGroup"], &context["id"]), (&json!("g"), &json!("9")));
    assert_eq!(context.get("logEvents"), None);
    assert_eq!(decoded.records[1].0, "7");
    assert_eq!(decoded.records.len(), 2);
}

#[test]
fn an_escape_that_is_no_character_stays_as_it_is_written() {
    let text = envelope(r#"{"message":"a\ud800b\qc\n"}"#);
    assert_eq!(bodies(&text, &MESSAGES), ["a\\ud800b\\qc\n"]);
}

#[test]
fn an_event_without_a_message_is_sent_as_an_object() {
    let bodies = bodies(&envelope(r#"{"id":"9"},{"message":null}"#), &MESSAGES);
    assert!(bodies[0].ends_with(r#""id":"9"}"#) && bodies[1].ends_with(r#""message":null}"#), "{bodies:?}");
}

/// An envelope's first message tells whose log it has. Inside a log, a page is a message.
#[test]
fn an_envelope_with_another_services_log_is_refused() {
    let sign = |line: &str| Sign { members: Vec::new(), line: Some(regex::bytes::Regex::new(line).unwrap()) };
    let signs = Signs {
        own: sign("^own"),
        others: vec![("the log of another".to_owned(), sign("^(2|own) "))],
        no_logs: vec![("a page".to_owned(), sign("^<"))],
        ..Signs::default()
    };
    let others = Others { bare: Bare::Any, ..Others::default() };
    let format = Format::Or { format: Box::new(MESSAGES), others: Arc::new(others) };
    let format = Format::Known { format: Box::new(format), signs: Arc::new(signs) };
    let of = |message: &str| envelope(&format!(r#"{{"message":"{message}"}},{{"message":"2 x"}}"#));
    for message in ["own x", "<xml>", "free text"] {
        assert_eq!(bodies(&of(message), &format), [message, "2 x"]);
    }
    let refused = Err(Error::AnotherLog { log: "the log of another".to_owned() });
    let behind_blanks = envelope(r#"{"message":""},{"id":1},{"message":" "},{"message":"2 y"}"#);
    assert_eq!(decode(&behind_blanks, &format).result, refused);
    assert_eq!(decode(&of("2 y"), &format).result, refused);
    let second = of("free text") + &of("2 y");
    let decoded = decode(&second, &format);
    assert_eq!((decoded.records.len(), decoded.result), (2, refused));
}

/// A record stays one if a list in it is empty.
#[test]
fn a_record_with_an_empty_list_beside_its_members_is_a_record() {
    let others =
        |bare| Others { paths: vec![path(&["detail"])], bare, empty: path(&["digest"]), ..Others::default() };
    let format = |bare| Format::Or {
        format: Box::new(Format::Json { path: path(&["Records"]) }),
        others: Arc::new(others(bare)),
    };
    let of_ids = format(Bare::Members(vec![path(&["id"])]));
    for empty in
        [r#""Records":[]"#, r#""Records":null"#, r#""detail":null"#, r#""detail":[]"#, r#""digest":1"#]
    {
        for record in [format!(r#"{{"id":1,{empty}}}"#), format!(r#"{{{empty},"id":1}}"#)] {
            assert_eq!(bodies(&record, &of_ids), [record]);
        }
        let without = format!(r#"{{"a":1,{empty}}}"#);
        for format in [&of_ids, &format(Bare::Unknown), &format(Bare::Any)] {
            let decoded = decode(&without, format);
            assert_eq!((decoded.records.len(), decoded.empty, decoded.result), (0, 1, Ok(())), "{without}");
        }
    }
    assert_eq!(bodies(r#"{"id":1,"Records":[{"id":2}]}"#, &of_ids), [r#"{"id":2}"#]);
}

#[test]
fn control_messages_are_dropped_and_counted() {
    let control = envelope(r#"{"id":"","timestamp":1,"message":"CWL CONTROL MESSAGE: Checking health"}"#)
        .replace("DATA_MESSAGE", "CONTROL_MESSAGE");
    for format in [&EVENTS, &MESSAGES] {
        let decoded = decode(&[control.as_str(), "{}", &envelope("")].concat(), format);
        assert_eq!((decoded.records.len(), decoded.empty, decoded.result), (0, 3, Ok(())));
    }
    let detail = Format::Envelopes { detail: path(&["detail"]) };
    assert!(bodies(&control, &detail).is_empty());
}

#[test]
fn each_document_of_a_stream_is_what_it_is() {
    let format = Format::Envelopes { detail: path(&["detail"]) };
    let event = r#"{"message":"{\"eventSource\":\"s3\",\"n\":1.0}"},{"message":"no\njson"}"#;
    let text =
        [r#"{"source":"aws.s3","detail":{"a":1}}{"b":2}"#, &envelope(event), r#"{"detail":null}"#].concat();
    let decoded = decode(&text, &format);
    assert_eq!(decoded.result, Ok(()));
    let bodies: Vec<(&str, Newlines)> =
        decoded.records.iter().map(|(body, newlines, _)| (body.as_str(), *newlines)).collect();
    let json = Newlines::Insignificant;
    let expected = [
        (r#"{"a":1}"#, json),
        (r#"{"b":2}"#, json),
        (r#"{"eventSource":"s3","n":1.0}"#, json),
        ("no\njson", Newlines::Significant),
    ];
    assert_eq!(bodies, expected);
    assert!(decoded.records.iter().all(|(body, _, context)| body == context));
}

#[test]
fn values_and_lines_under_keys() {
    let format = Format::JsonValues { paths: vec![path(&["b"]), path(&["a"])] };
    let text = r#"{"a":"x\r\n\ny","b":[1,{"c":2},"z\nw"]}{"a":null}{"a":null,"b":true}"#;
    let decoded = decode(text, &format);
    let bodies: Vec<&str> = decoded.records.iter().map(|(body, ..)| body.as_str()).collect();
    assert_eq!(bodies, ["1", r#"{"c":2}"#, "z", "w", "x", "y", "true"]);
    assert_eq!(decoded.empty, 1);
}

/// A key that leads to records may not occur twice unless the records of both are sent.
#[test]
fn a_key_that_occurs_twice_loses_no_record() {
    let detail = Format::Envelopes { detail: path(&["detail"]) };
    let lines = Format::JsonValues { paths: vec![path(&["m"])] };
    let nested = Format::JsonValues { paths: vec![path(&["a", "m"])] };
    let control =
        r#"{"messageType":"CONTROL_MESSAGE","messageType":"DATA_MESSAGE","logEvents":[{"message":"A"}]}"#;
    for (text, format) in [
        (r#"{"logEvents":[{"message":"A"}],"logEvents":[{"message":"B"}]}"#, &MESSAGES),
        (r#"{"logEvents":[{"message":"A"}],"\u006cogEvents":[{"message":"B"}]}"#, &EVENTS),
        (r#"{"logEvents":null,"logEvents":[{"message":"B"}]}"#, &MESSAGES),
        (r#"{"logEvents":[{"message":"A","message":"B"}]}"#, &MESSAGES),
        (control, &MESSAGES),
        (r#"{"detail":{"x":"A"},"detail":{"x":"B"}}"#, &detail),
        (r#"{"detail":null,"detail":{"x":"B"}}"#, &detail),
        (r#"{"m":"A","m":"B"}"#, &lines),
        (r#"{"a":{"m":"A"},"a":{"m":"B"}}"#, &nested),
    ] {
        let decoded = decode(text, format);
        assert!(
            matches!(decoded.result, Err(Error::BadDocument { number: 1, .. })),
            "{text}: {:?}",
            decoded.result
        );
        assert_eq!((decoded.records.len(), decoded.empty), (0, 0), "{text}");
    }
    // Keys beside the records may.
    assert_eq!(bodies(r#"{"n":1,"detail":{"x":1,"x":2},"n":2}"#, &detail), [r#"{"x":1,"x":2}"#]);
    for format in [
        Format::ExtractedJson { keys: path(&["m"]) },
        Format::Json { path: path(&["m"]) },
        Format::WholeJson { path: path(&["m"]) },
    ] {
        assert_eq!(decode(r#"{"m":["A"],"m":["B"]}"#, &format).records.len(), 2, "{format:?}");
    }
}

#[test]
fn the_records_at_all_paths_are_read() {
    let others = Others {
        paths: vec![path(&["detail"]), path(&["Records"]), path(&["detail", "x"])],
        ..Others::default()
    };
    let format = Format::Or { format: Format::Json { path: path(&["none"]) }.into(), others: others.into() };
    assert_eq!(
        bodies(r#"{"Records":[{"x":1},{"x":2}],"detail":{"x":3}}"#, &format),
        [r#"{"x":3}"#, r#"{"x":1}"#, r#"{"x":2}"#]
    );
    assert_eq!(bodies(r#"{"Records":[{"x":1}],"detail":null}"#, &format), [r#"{"x":1}"#]);
}

#[test]
fn records_that_name_their_key() {
    let format = Format::ExtractedJson { keys: path(&["users", "g\"s"]) };
    let text = r#"{"g\"s":{"b":1.0},"users":[{"a":1 },{ }, 7],"other":[{}]}"#;
    assert_eq!(
        bodies(text, &format),
        [
            r#"{"b":1.0,"extraction_key":"g\"s"}"#,
            r#"{"a":1 ,"extraction_key":"users"}"#,
            r#"{ "extraction_key":"users"}"#,
            "7"
        ]
    );
}

#[test]
fn whole_documents_keep_their_arrays() {
    let whole = |keys| Format::WholeJson { path: path(keys) };
    assert_eq!(bodies("[1,{}]\n", &whole(&[])), ["[1,{}]"]);
    assert_eq!(bodies(r#"{"a":{"b":[1, 2]},"c":3}"#, &whole(&["a", "b"])), ["[1, 2]"]);
    assert_eq!(bodies(r#"{"a":{"b":{}}}"#, &whole(&["a"])), [r#"{"b":{}}"#]);
    let expected = "records under a".to_owned();
    let example = "[[1]]".to_owned();
    let refused = Error::UnexpectedDocuments { count: 1, expected, example };
    assert_eq!(decode("[[1]]{}", &whole(&["a"])).result, Err(refused));
}

fn shaped(text: &str, flat: bool, include: &[(&str, &str)], rename: &[(&str, &str)]) -> Vec<String> {
    let names = |names: &[(&str, &str)]| names.iter().map(|(o, n)| (o.to_string(), n.to_string())).collect();
    let shape = Shape { flat, include: names(include), rename: names(rename) };
    bodies(text, &Format::ReshapedJson { path: vec![], shape: shape.into() })
}

#[test]
fn other_shapes() {
    let text = r#"{"a":{"b":1.50,"c":{"d":[{"e":1}],"e":{}}},"f\"":"x\u0041","g":1e400} [5] []"#;
    assert_eq!(
        shaped(text, true, &[], &[]),
        [r#"{"a_b":1.50,"a_c_d":[{"e":1}],"a_c_e":{},"f\"":"x\u0041","g":1e400}"#, "5"]
    );
    assert_eq!(
        shaped(text, false, &[("g", "G"), ("f\"", "q\"")], &[]),
        [r#"{"q\"":"x\u0041","G":1e400}"#, "5"]
    );
    assert_eq!(
        shaped(text, true, &[("a_b", "h"), ("g", "g")], &[("h", "i")]),
        [r#"{"i":1.50,"g":1e400}"#, "5"]
    );
    assert_eq!(shaped(r#"{"a":1,"b":2}"#, false, &[], &[("b", "c")]), [r#"{"a":1,"c":2}"#]);
}

#[test]
fn what_is_too_deep_stays_an_object_and_what_grows_too_large_is_an_error() {
    let deep = [r#"{"a":"#.repeat(40), "1".to_owned(), "}".repeat(40)].concat();
    let key = "a_".repeat(31);
    assert_eq!(
        shaped(&deep, true, &[], &[])[0],
        format!("{{\"{key}a\":{}}}", &deep[32 * 5..deep.len() - 32])
    );
    let wide = [r#"{"kkkkkkkkkkkk":{"#, &["\"v\":1"; 10].join(","), "}}"].concat();
    let shape = Shape { flat: true, ..Shape::default() };
    let format = Format::ReshapedJson { path: vec![], shape: shape.into() };
    for size in [1, 7, 1000] {
        let decoded = decode_in(wide.as_bytes(), &format, size, wide.len());
        assert_eq!(decoded.result, Err(Error::RecordTooLarge { max: wide.len() }));
    }
}

#[test]
fn a_document_that_is_no_json_ends_the_object_after_the_records_before_it() {
    let text = [envelope(r#"{"message":"a"}"#), r#"{"x" 1}"#.to_owned(), envelope("")].concat();
    let decoded = decode(&text, &MESSAGES);
    assert_eq!(decoded.records.len(), 1);
    assert_eq!(decoded.result, Err(Error::BadDocument { number: 2, cause: "a key without a colon" }));
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<i64>().prop_map(Tree::from),
        "[a\"\\\\\n\u{e9}]{0,4}".prop_map(Tree::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Tree::from),
            proptest::collection::vec(("[ab\"]{1,2}", inner), 0..4)
                .prop_map(|entries| Tree::Object(entries.into_iter().collect())),
        ]
    })
}

/// `flat` on trees; None if two members would have one key.
fn flattened(tree: &Tree) -> Option<Tree> {
    fn add(prefix: &str, tree: &Tree, to: &mut serde_json::Map<String, Tree>) -> Option<()> {
        for (key, value) in tree.as_object()? {
            let key = format!("{prefix}{key}");
            if value.as_object().is_some_and(|members| !members.is_empty()) {
                add(&format!("{key}_"), value, to)?;
            } else if to.insert(key, value.clone()).is_some() {
                return None;
            }
        }
        Some(())
    }
    let mut flat = serde_json::Map::new();
    if !tree.is_object() {
        return Some(tree.clone());
    }
    add("", tree, &mut flat).map(|()| Tree::Object(flat))
}

proptest! {
    #[test]
    fn flattening_is_what_it_is_on_trees(tree in tree(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) }.unwrap();
        let document = format!("[{text}]");
        if let Some(expected) = flattened(&tree) {
            let found = shaped(&document, true, &[], &[]);
            prop_assert_eq!(serde_json::from_str::<Tree>(&found[0]).unwrap(), expected);
        }
    }

    #[test]
    fn events_are_what_they_are_on_trees(messages in proptest::collection::vec(any::<String>(), 0..5), size in 1..40usize) {
        let events: Vec<Tree> = messages.iter().map(|message| json!({"id": "1", "message": message})).collect();
        let envelope = json!({"owner": "1", "logEvents": events, "logGroup": "g"});
        let text = serde_json::to_string_pretty(&envelope).unwrap();
        let decoded = decode_in(text.as_bytes(), &MESSAGES, size, 1 << 20);
        let bodies: Vec<&str> = decoded.records.iter().map(|(body, ..)| body.as_str()).collect();
        let expected: Vec<&str> = messages.iter().map(String::as_str).filter(|m| !m.is_empty()).collect();
        prop_assert_eq!(bodies, expected);
        let decoded = decode_in(text.as_bytes(), &EVENTS, size, 1 << 20);
        for ((body, ..), message) in decoded.records.iter().zip(&messages) {
            let tree: Tree = serde_json::from_str(body).unwrap();
            prop_assert_eq!(tree, json!({"owner": "1", "logGroup": "g", "id": "1", "message": message}));
        }
    }

    #[test]
    fn any_text_gives_the_same_in_any_chunks(
        text in r#"([\[\]{}:,"a1 \\]|"a":|"logEvents":\[|"message":"a\\n"|"detail":|\{"b":1\}){0,30}"#,
        size in 1..20usize, max in 8..60usize, which in 0..6usize,
    ) {
        let format = &[
            EVENTS,
            MESSAGES,
            Format::Envelopes { detail: path(&["detail"]) },
            Format::JsonValues { paths: vec![path(&["a"])] },
            Format::ExtractedJson { keys: path(&["a"]) },
            Format::ReshapedJson { path: vec![], shape: Shape { flat: true, ..Shape::default() }.into() },
        ][which];
        let whole = decode_in(text.as_bytes(), format, text.len(), max);
        let parts = decode_in(text.as_bytes(), format, size, max);
        prop_assert_eq!((parts.records, parts.result), (whole.records, whole.result));
    }
}
