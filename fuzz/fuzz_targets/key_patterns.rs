#![no_main]

//! Any key and any record, in every row: no panic, and a tag of allowed characters.

use std::sync::Arc;

use aws_to_devo::config::registry;
use aws_to_devo::decode::{Newlines, Record};
use aws_to_devo::services::{Definition, Route, Verdict};
use libfuzzer_sys::fuzz_target;

// The first LF ends the key; the record follows.
fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let key = String::from_utf8_lossy(&input[..end]);
    let record = input.get(end + 1..).unwrap_or_default();
    for row in registry::rows() {
        check(&row.definition, &key, record);
    }
});

fn check(definition: &Arc<Definition>, key: &str, record: &[u8]) {
    definition.claims(key);
    definition.skips(key);
    for definition in [definition, &definition.of_object(key)] {
        let mut route = Route::new(definition, key);
        if let Verdict::Send { tag, .. } = route.verdict(Record::new(record, Newlines::Absent)) {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            assert!(!tag.is_empty() && tag.chars().all(allowed), "{}: {tag:?}", definition.name);
        }
    }
}
