#![no_main]

//! Any key and any record, in every row: no panic, and a tag of allowed characters.

use std::sync::Arc;

use aws_to_devo::config::registry;
use aws_to_devo::decode::{Newlines, Record};
use aws_to_devo::services::{Definition, Route, Verdict};
use aws_to_devo_fuzz::parts;
use libfuzzer_sys::fuzz_target;

// The first byte chooses the row. A zero byte ends the key; the record follows.
fuzz_target!(|input: &[u8]| {
    let [row, input @ ..] = input else { return };
    let rows = registry::rows();
    let [key, record] = parts::of(input);
    check(&rows[usize::from(*row) % rows.len()].definition, parts::text(key), record);
});

fn check(definition: &Arc<Definition>, key: &str, record: &[u8]) {
    definition.claims(key);
    definition.skips(key);
    let definition = definition.of_object(key);
    let mut route = Route::new(&definition, key);
    if let Verdict::Send { tag, .. } = route.verdict(Record::new(record, Newlines::Absent)) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        assert!(!tag.is_empty() && tag.chars().all(allowed), "{}: {tag:?}", definition.name);
    }
}
