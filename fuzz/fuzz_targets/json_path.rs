//! The value at a path of keys is the one that a parser finds; other texts cause no panic.

#![no_main]

use aws_to_devo::decode::JsonPath;
use aws_to_devo_fuzz::parts;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

// The parts are the keys and the text.
fuzz_target!(|input: &[u8]| {
    let [first, second, json] = parts::of(input);
    let (first, second) = (parts::text(first), parts::text(second));
    let keys = vec![first.to_owned(), second.to_owned()];
    let found = JsonPath::from(keys.clone()).find(json);
    // Of repeated keys a tree has the last.
    let Ok(tree) = serde_json::from_slice::<Value>(json) else { return };
    if tree.to_string().as_bytes() != json {
        return;
    }
    let value = keys.iter().try_fold(&tree, |tree, key| tree.as_object()?.get(key));
    let found = found.map(|found| serde_json::from_slice::<Value>(found).expect("a value"));
    assert_eq!(found.as_ref(), value.filter(|value| !value.is_null()));
});
