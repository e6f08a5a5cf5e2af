#![no_main]

use std::sync::Arc;

use aws_to_devo::decode::Format;
use aws_to_devo::decode::text_file::{Fields, Names, TextFile};
use aws_to_devo_fuzz::chunks;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| chunks::check(input, |byte| match byte % 6 {
    0 => text("\n", true, Some(Names::InHeader(b",".to_vec()))),
    1 => text("||", false, Some(Names::Given(vec!["a".to_owned()]))),
    2 => text("\r\n", true, None),
    3 => Format::SeparatedJson { separator: b"},".to_vec() },
    4 => Format::SeparatedJson { separator: b"\n".to_vec() },
    _ => Format::JsonArrayLines,
}));

fn text(separator: &str, header: bool, names: Option<Names>) -> Format {
    let json = names.map(|names| Fields { separator: b",".to_vec(), names });
    Format::TextFile(Arc::new(TextFile { line_separator: separator.into(), header, json }))
}
