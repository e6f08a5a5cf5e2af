//! The splitter against a naive one that parses everything.

use proptest::prelude::*;
use serde_json::Value as Tree;

use super::path::JsonPath;
use super::seams::LINE_END_IN_STRING;
use super::*;

#[derive(Debug, PartialEq)]
struct Splitted {
    records: Vec<String>,
    /// Documents without the path.
    others: Vec<String>,
    /// Documents with nothing at the path.
    empty: Vec<String>,
    result: Result<(), Error>,
}

fn split_in(text: &[u8], path: &[&str], size: usize) -> Splitted {
    split_within(1 << 20, text, path, size)
}

fn split_within(max: usize, text: &[u8], path: &[&str], size: usize) -> Splitted {
    let mut json = Json::new(path.iter().map(|&key| key.to_owned()).collect(), max);
    let (mut records, mut others, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    let text_of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut sink = |found: Found<'_>| match found {
        Found::Record(record) => records.push(text_of(record.bytes)),
        Found::Other(document) => others.push(text_of(document)),
        Found::Empty(document) => empty.push(text_of(document)),
    };
    let mut offset = 0;
    let pushed = text.chunks(size).try_for_each(|chunk| {
        offset += chunk.len();
        json.push(chunk, (offset - chunk.len()) as u64, &mut sink)
    });
    let result = pushed.and_then(|()| json.finish(text.len() as u64, &mut sink));
    Splitted { records, others, empty, result }
}

/// The same whatever the chunks.
fn split(text: &str, path: &[&str]) -> Splitted {
    let whole = split_in(text.as_bytes(), path, text.len().max(1));
    for size in 1..text.len() {
        assert_eq!(split_in(text.as_bytes(), path, size), whole, "{size}");
    }
    whole
}

fn records_of(text: &str, path: &[&str]) -> Vec<String> {
    let splitted = split(text, path);
    assert_eq!(splitted.result, Ok(()), "{text}");
    splitted.records
}

/// JSON has no raw line end in a string: a line was cut off, or the text is not escaped.
#[test]
fn a_line_end_inside_a_string_is_refused() {
    for (path, text) in [
        (&[][..], "{\"a\":\"x\ny\"}"),
        (&[], "{\"a\":\"x\ry\"}"),
        (&[], "[{\"a\":1},{\"a\":{\"b\n\":1}}]"),
        (&["r"], "{\"r\":[\"x\\\"\ny\"]}"),
        (&["r"], "{\"x\":\"\n\"}"),
        (&["r"], "{\"r\":[{\"a\":1}],\"x\":[\"\n\"]}"),
        (&["r"], "[[\"\n\"]]"),
        (&[], "{\"a\":1}\n{\"b\":\"cut\n{\"a\":2}\n{\"c\":3}\n{\"d\":\"\"}"),
        // A backslash also hides a quote that is outside strings, as it may be behind such a line.
        (&[], r#"{"a":1}|{"b":"cut{"c":"\"d"}|"}"#.replace('|', "\n").as_str()),
        (&["r"], r#"{"b":["cut{"c":"\"d"}|"]}"#.replace('|', "\n").as_str()),
    ] {
        let splitted = split(text, path);
        assert!(matches!(splitted.result, Err(Error::BadJson { cause: LINE_END_IN_STRING, .. })), "{text}");
        assert!(splitted.records.iter().all(|record| record == "{\"a\":1}"), "{text}");
    }
    assert_eq!(records_of("{\n\"a\\\"\":\r\n\"\\n\"\n}", &[]).len(), 1);
}

/// Two writers of one file, of which one finishes its line inside the other's.
#[test]
fn a_line_within_another_is_refused_wherever_it_stands() {
    let line = r#"{"v":{"a":[10,{"b":"c"},[]]},"r":[{"x":[12,true]},{"s":[[3],{"y":{}}]}],"w":[{"y":"z"}]}"#;
    let object = format!(r#"{{"r":{line}}}"#);
    for (path, line) in [(&[][..], line), (&["r"], line), (&["r", "s"], &object), (&["none"], line)] {
        for (cut, between, other) in (1..line.len()).flat_map(|cut| {
            let others = ["{\"r\":[{\"s\":1}]}\n", "{\"r\":{}}\r\n{\"s\":1}\n", "[{\"s\":1}]\n"];
            others.into_iter().flat_map(move |other| ["", "\n"].map(|between| (cut, between, other)))
        }) {
            let text = format!("{}{between}{other}{}\n", &line[..cut], &line[cut..]);
            // Only an empty list can have it.
            if serde_json::from_str::<Tree>(&text).is_ok() {
                assert_eq!((&line[cut - 1..=cut], split_in(text.as_bytes(), path, 3).result), ("[]", Ok(())));
                continue;
            }
            let whole = split_in(text.as_bytes(), path, text.len());
            assert!(matches!(whole.result, Err(Error::BadJson { .. })), "{path:?}: {text}: {whole:?}");
            for size in [1, 2, 7, cut] {
                assert_eq!(split_in(text.as_bytes(), path, size), whole, "{path:?}, {size}: {text}");
            }
        }
    }
}

/// The place is the first token that cannot follow the line before it.
#[test]
fn a_torn_line_is_told_after_the_records_before_it() {
    for (path, text) in [
        (&[][..], r#"{"a":1}{"b":{"c":1|^{"x":2}|,"d":3}}"#),
        (&[], r#"{"a":1}|{"b":{"c":1{"x":2}|^,"d":3}}"#),
        (&[], r#"[{"a":1},|{"x":[|{"y":1}|^{"z":1}]}]"#),
        (&[], r#"[{"a":1}|^{"x":2}]"#),
        (&[], r#"[{"a":1},{"x":2}|^[{"y":1}]|]"#),
        (&[], r#"[{"a":1}|^7]"#),
        (&[], r#"[{"a":1}|,|^,]"#),
        (&["r"], r#"{"r":[{"a":1}|^{"r":[{"x":2}]}|,{"b":1}]}"#),
        (&["r"], r#"{"r":[{"a":1}],"s":{"t":1|^{"r":[{"x":2}]}|}}"#),
        (&["r"], r#"{"r":[{"a":1}],"s":[1,|{"r":[{"x":2}]}|^2]}"#),
        (&["r"], r#"{"r":[{"a":1}],|^,"s":1}"#),
        (&["r"], r#"{"s":{"t":1,|"u":1}}{"r":[{"a":1}]}{"s":[1|^2]}"#),
        (&["r"], r#"[{"r":[{"a":1}]}|^{"r":[{"x":2}]}|]"#),
        (&["r"], r#"[{"r":[{"a":1}]},[1|^{"r":[{"x":2}]}|]]"#),
        // Without an end.
        (&[], r#"{"a":1}{"b":{"c":1|^{"x":2}|{"y":3}"#),
        (&["r"], r#"{"r":[{"a":1},{"b":1|^{"r":[{"x":2}]}|]}"#),
        (&["r"], r#"{"r":[{"a":1}],"s":{"b":1|^{"r":[{"x":2}]}|"#),
        (&["r", "s"], r#"{"r":{"t":[1|,2]|,|"s":[{"a":1}]|,|},|}{"r":{"t":[1|^:2]}}"#),
    ] {
        let at = text.find('^').unwrap() as u64;
        let splitted = split(&text.replace('^', "").replace('|', "\n"), path);
        let found: Vec<&String> = splitted.records.iter().filter(|record| *record != r#"{"x":2}"#).collect();
        assert_eq!(found, [r#"{"a":1}"#], "{text}");
        assert_eq!(splitted.result, Err(Error::BadJson { offset: at, cause: TORN }), "{text}");
    }
}

#[test]
fn values_continue_in_the_next_line_as_before() {
    for (path, text, count) in [
        (&[][..], "{\"a\":1}\n,\n{\"a\"\n:\n1\n}\n{}\n[\n]\n[\n{}\n,\n{}\n,\n[]\n,\n]\n", 6),
        (&[], "[{} {},\n{}]\n[1 true\n, null\n]", 6),
        (&["r"], "{\n\"a\"\n:\n{\n}\n,\n\"r\"\n:\n[\n1\n,\n{\n}\n,\n]\n,\n\"b\"\n:\n[1,,\n2]\n,\n}\n", 2),
        (&["r", "s"], "[\n{\"r\":\n{\"a\":1\n,\n\"s\":\n2\n}\n}\n,\n{\n\"r\":{\"s\":[\n]\n}\n}\n]\n{}", 1),
    ] {
        assert_eq!(records_of(text, path).len(), count, "{text}");
    }
}

/// Whatever comes before the path, and whatever is wrong behind it.
#[test]
fn a_long_beginning_of_a_document_is_refused_however_it_is_cut() {
    let member = r#""another":{"x":[1,2]}"#;
    for path in [&["r"][..], &["r", "s"]] {
        for end in [
            r#"[1,"x",{}]}"#,
            r#""value"}"#,
            "null}",
            "{}}",
            r#"{"s":[1]}}"#,
            r#"{"s":"v"}}"#,
            "[1",
            "tru",
            "]",
        ] {
            let text = format!(r#"{{"a":1}}{{{member},"r":{end}"#);
            for max in 8..text.len() {
                let whole = split_within(max, text.as_bytes(), path, text.len());
                for size in 1..text.len() {
                    assert_eq!(
                        split_within(max, text.as_bytes(), path, size),
                        whole,
                        "{text} within {max} by {size}"
                    );
                }
            }
        }
    }
}

#[test]
fn values_one_after_another() {
    assert_eq!(
        records_of(r#"{"a":1}{"b":[2]} , [3,"x"] "#, &[]),
        [r#"{"a":1}"#, r#"{"b":[2]}"#, "3", r#""x""#]
    );
    assert_eq!(records_of("\u{1e}{\"a\":1}\n\u{1e}{}\n", &[]), [r#"{"a":1}"#, "{}"]);
    assert_eq!(
        records_of("[1 true\nnull \"a\\\"b\" -2.5e1]", &[]),
        ["1", "true", "null", r#""a\"b""#, "-2.5e1"]
    );
    assert_eq!(records_of("[[1,2],{}][]", &[]), ["[1,2]", "{}"]);
    assert!(records_of(" \n", &[]).is_empty());
}

#[test]
fn a_path_leads_to_the_elements() {
    let text = r#" {"Records":[{"Records":[1]},{"x":"]}"}],"next":{"Records":[9]}}"#;
    assert_eq!(records_of(text, &["Records"]), [r#"{"Records":[1]}"#, r#"{"x":"]}"}"#]);
    let text = r#"{"v":1,"a":{"b":{"c":0}},"Records":[1]}{"a":{"z":[],"b":[5,6]},"b":[7]}"#;
    assert_eq!(records_of(text, &["a", "b"]), [r#"{"c":0}"#, "5", "6"]);
    assert_eq!(records_of(r#"{"\u0052ecords" : [ 1 , 2 ] }"#, &["Records"]), ["1", "2"]);
    assert_eq!(records_of(r#"[{"r":[1]},{"r":2}]"#, &["r"]), ["1", "2"]);
}

#[test]
fn documents_without_the_path_are_given_whole() {
    let text = r#"{"a":1} {"r":[]} {"r":null} 5 [7] {"x":{"r":[1]}} {"r":{}}"#;
    let splitted = split(text, &["r"]);
    assert_eq!((splitted.records, splitted.empty.len()), (vec!["{}".to_owned()], 2));
    assert_eq!(splitted.others, [r#"{"a":1}"#, "5", "7", r#"{"x":{"r":[1]}}"#]);
}

#[test]
fn line_ends_in_a_record_are_told_to_be_insignificant() {
    let mut json = Json::new(Vec::new(), 100);
    let mut newlines = Vec::new();
    json.push(b"{\n\"a\":1}", 0, &mut records(&mut |record: Record<'_>| newlines.push(record.newlines)))
        .unwrap();
    assert_eq!(newlines, [Newlines::Insignificant]);
}

#[test]
fn damage_is_told_after_the_records_before_it() {
    for (text, path, offset) in [
        (r#"{"a":1}}"#, &[][..], 7),
        (r#"{"a":1} x"#, &[], 8),
        (r#"{"a":1}{"b":[}"#, &[], 14),
        (r#"{"a":1}{"b""#, &[], 11),
        (r#"[{"a":1},"#, &[], 9),
        (r#"[{"a":1} nul "#, &[], 12),
        (r#"[{"a":1} 1x"#, &[], 11),
        (r#"{"a":1} 1 {}"#, &[], 8),
        (r#"{"a":1} "a""#, &[], 8),
        (r#"{"r":[{"a":1}}"#, &["r"], 13),
        (r#"{"r":[{"a":1}],5}"#, &["r"], 15),
        (r#"{"r":[{"a":1}],"b" 5}"#, &["r"], 19),
        (r#"{"r":[{"a":1}]"#, &["r"], 14),
    ] {
        let splitted = split(text, path);
        assert_eq!(splitted.records, [r#"{"a":1}"#], "{text}");
        let Err(Error::BadJson { offset: at, .. }) = splitted.result else { panic!("{text}") };
        assert_eq!(at, offset, "{text}");
    }
}

#[test]
fn a_record_over_the_bound() {
    for size in [3, 100] {
        let mut json = Json::new(Vec::new(), 10);
        let text = br#"[{"a":1},{"long":"record"}]"#;
        let mut count = 0;
        let result = text.chunks(size).try_for_each(|chunk| json.push(chunk, 0, &mut |_| count += 1));
        assert_eq!((count, result), (1, Err(Error::RecordTooLarge { max: 10 })));
    }
}

#[test]
fn the_bound_comes_before_a_fault_behind_it() {
    for size in [1, 100] {
        let mut json = Json::new(Vec::new(), 10);
        let result =
            br#"{"a":"0123456789"]"#.chunks(size).try_for_each(|chunk| json.push(chunk, 0, &mut |_| {}));
        assert_eq!(result, Err(Error::RecordTooLarge { max: 10 }));
    }
}

/// Documents as a log source might write them, with keys that are hard to distinguish.
fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::from),
        any::<i32>().prop_map(Tree::from),
        "[a-z\"\\\\{}\\[\\],:\u{e9}\u{1F600}\n]{0,8}".prop_map(Tree::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Tree::from),
            proptest::collection::vec((key(), inner), 0..5)
                .prop_map(|members| Tree::Object(members.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![Just("r".to_owned()), Just("s".to_owned()), Just("r\"".to_owned()), "[a-z\\\\]{0,3}"]
}

fn written(tree: &Tree, pretty: bool) -> String {
    if pretty { serde_json::to_string_pretty(tree).unwrap() } else { tree.to_string() }
}

/// The records of one document, by its tree; None: it does not have the path.
fn naive(document: &Tree, path: &[&str]) -> Option<Vec<Tree>> {
    let Some((key, rest)) = path.split_first() else { return Some(vec![document.clone()]) };
    match (document.as_object()?.get(*key)?, rest) {
        (Tree::Null, []) => Some(Vec::new()),
        (Tree::Array(elements), []) => Some(elements.clone()),
        (value, []) => Some(vec![value.clone()]),
        (value, rest) => naive(value, rest),
    }
}

/// The records, and the other documents.
fn naive_all(values: &[Tree], path: &[&str]) -> (Vec<Tree>, Vec<Tree>) {
    let documents = values.iter().flat_map(|value| match value {
        Tree::Array(elements) => elements.clone(),
        other => vec![other.clone()],
    });
    let (mut records, mut others) = (Vec::new(), Vec::new());
    for document in documents {
        match naive(&document, path) {
            Some(found) => records.extend(found),
            None => others.push(document),
        }
    }
    (records, others)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn equals_the_tree(
        values in proptest::collection::vec(tree(), 0..5),
        pretty in any::<bool>(),
        separator in prop_oneof![Just("\n"), Just(" , "), Just("\r\n\u{1e}")],
        depth in 0..3usize,
        size in 1..80usize,
    ) {
        let path = &["r", "s"][..depth];
        // A bare scalar is refused.
        let array = |value| if depth == 0 { serde_json::json!([value]) } else { value };
        let values: Vec<Tree> = values.into_iter().map(array).collect();
        let text: Vec<String> = values.iter().map(|value| written(value, pretty)).collect();
        let splitted = split_in(text.join(separator).as_bytes(), path, size);
        let parsed = |texts: &[String]| -> Vec<Tree> {
            texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
        };
        prop_assert_eq!(splitted.result, Ok(()));
        prop_assert_eq!((parsed(&splitted.records), parsed(&splitted.others)), naive_all(&values, path));
        prop_assert!(splitted.records.iter().all(|record| record.trim() == record));
    }

    /// Naive version: the search without an outline.
    #[test]
    fn an_outline_changes_nothing_of_what_is_found(
        values in proptest::collection::vec((0..200usize, tree()), 1..5),
        key in prop::sample::select(vec!["a", "r", "s", "\"", "b"]),
        size in 1..2000usize,
    ) {
        let record = |(before, value): &(usize, Tree)| match value {
            Tree::Object(members) => {
                let members: Vec<_> = members.iter().map(|(key, value)| format!("{}:{value}", Tree::from(key.as_str()))).collect();
                format!(r#"{{"before":"{}"{}{}}}"#, "{".repeat(*before), if members.is_empty() { "" } else { "," }, members.join(","))
            }
            other => other.to_string(),
        };
        let text = format!("[{}]", values.iter().map(record).collect::<Vec<_>>().join(","));
        let paths = [JsonPath::from(vec![key.to_owned()]), JsonPath::from(vec![key.to_owned(), "r".to_owned()])];
        let mut sink = |found: Found<'_>| {
            if let Found::Record(record) = found {
                for path in &paths {
                    assert_eq!(path.find(record.context), path.find(record.bytes), "{path:?}");
                }
            }
        };
        let (mut json, mut offset) = (Json::new(Vec::new(), 1 << 20), 0);
        for chunk in text.as_bytes().chunks(size) {
            if json.push(chunk, offset, &mut sink).is_err() {
                break;
            }
            offset += chunk.len() as u64;
        }
    }

    #[test]
    fn any_bytes_give_the_same_in_any_chunks(
        text in "[\\[\\]{}\",:a1 rtrue\\\\\n]{0,60}", size in 1..10usize, depth in 0..2usize,
    ) {
        let path = &["r"][..depth];
        let whole = split_in(text.as_bytes(), path, 100);
        prop_assert_eq!(split_in(text.as_bytes(), path, size), whole);
    }
}
