#![no_main]

mod chunks;

use std::sync::Arc;

use aws_to_devo::decode::{Format, Shape};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| chunks::check(input, |byte| {
    let name = |name: &str| name.to_owned();
    let format = match byte % 5 {
        0 => Format::JsonValues { paths: vec![vec![name("a")], vec![name("b"), name("a")]] },
        1 => Format::ExtractedJson { keys: vec![name("a"), name("b")] },
        2 => Format::WholeJson { path: vec![name("a")] },
        3 => reshaped(vec![]),
        _ => reshaped(vec![(name("a_a"), name("c")), (name("b"), name("d"))]),
    };
    if byte & 0x20 == 0 { format } else { Format::Latin1(Box::new(format)) }
}));

fn reshaped(include: Vec<(String, String)>) -> Format {
    let rename = vec![("a".to_owned(), "b".to_owned())];
    Format::ReshapedJson { path: vec![], shape: Arc::new(Shape { flat: true, include, rename }) }
}
