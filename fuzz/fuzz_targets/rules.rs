//! A rule on a field of a JSON record drops what a naive version with a parser drops.

#![no_main]

use std::sync::LazyLock;

use aws_to_devo::config::registry;
use aws_to_devo::decode::{JsonPath, Newlines, Record};
use aws_to_devo::services::field::{Field, Operation, Place};
use aws_to_devo::services::rules::{FieldSource, LineRule, Rules};
use aws_to_devo::services::{Definition, Route, Verdict};
use aws_to_devo_fuzz::parts;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// A definition whose other fields are those of a built-in service.
static PLAIN: LazyLock<Definition> = LazyLock::new(|| {
    let row = registry::row("aws_sqs_vpc").expect("a row");
    Definition { cases: Vec::new(), delegates: Vec::new(), ..(*row.definition).clone() }
});

// The first byte chooses the rule's form; then come the field's name, the rule's value and the record, each after a zero
// byte.
fuzz_target!(|input: &[u8]| {
    let [form, input @ ..] = input else { return };
    let [name, value, json] = parts::of(input);
    let (name, value) = (parts::text(name), parts::text(value));
    let negated = form & 1 != 0;
    // A rule on a field with operations does not search for the value first.
    let operations = if form & 2 != 0 { vec![Operation::Lowercase] } else { Vec::new() };
    let place = Place::Json(JsonPath::from(vec![name.to_owned()]));
    let field = Field { name: "f".to_owned(), place, operations: operations.clone() };
    let rule = LineRule::new(FieldSource::Record, 0, value.to_owned(), negated);
    let definition =
        Definition { record_fields: vec![field], drop_records: Rules(vec![vec![rule]]), ..PLAIN.clone() };
    let mut route = Route::new(&definition, "k");
    let is_dropped = matches!(route.verdict(Record::new(json, Newlines::Absent)), Verdict::Drop);
    // A tree keeps only the last value of a repeated key.
    let Ok(tree) = serde_json::from_slice::<Value>(json) else { return };
    if tree.to_string().as_bytes() != json {
        return;
    }
    let found = tree.get(name).filter(|_| tree.is_object()).and_then(text);
    let found = found.map(|text| if operations.is_empty() { text } else { text.to_ascii_lowercase() });
    assert_eq!(is_dropped, (found.as_deref() == Some(value)) != negated, "{found:?}");
});

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
