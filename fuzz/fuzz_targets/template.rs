//! Any template, key and operation: no panic, and a tag contains only allowed characters.

#![no_main]

use aws_to_devo::services::field::{Field, Operation, Place};
use aws_to_devo::services::template::Template;
use aws_to_devo_fuzz::parts;
use libfuzzer_sys::fuzz_target;

// The first byte is the element; the parts are the template, the key and the operations' text.
fuzz_target!(|input: &[u8]| {
    let [element, input @ ..] = input else { return };
    let [template, key, text] = parts::of(input).map(parts::text);
    let element = i64::from(*element as i8);
    let mut operations = Vec::new();
    if !text.is_empty() {
        operations.push(Operation::Split { on: text.to_owned(), element });
        operations.push(Operation::Replace { to_replace: "_".to_owned(), replace_with: text.to_owned() });
    }
    let field = Field { name: "a".to_owned(), place: Place::Key, operations };
    let value = field.of_key(key);
    let fields = [field];
    let Ok(template) = Template::parse(template, &fields, &fields) else { return };
    let mut tag = String::new();
    template.fill(&mut tag, |_, _| value.as_deref());
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    assert!(!tag.is_empty() && tag.chars().all(allowed), "{tag:?}");
    assert!(template.unknown().chars().all(allowed));
});
