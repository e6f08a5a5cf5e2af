#![no_main]

use std::sync::Arc;

use aws_to_devo::decode::{Bare, EventBody, Format, Others, Shape, Sign, Signs};
use aws_to_devo_fuzz::chunks;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| chunks::check(input, |byte| {
    let name = |name: &str| name.to_owned();
    let format = match byte % 9 {
        0 => Format::JsonValues { paths: vec![vec![name("a")], vec![name("b"), name("a")]] },
        1 => Format::ExtractedJson { keys: vec![name("a"), name("b")] },
        2 => Format::WholeJson { path: vec![name("a")] },
        3 => reshaped(vec![]),
        4 => or(Format::Json { path: vec![name("a")] }, Bare::Members(vec![vec![name("b")]])),
        5 => {
            or(Format::Envelopes { detail: vec![name("a")] }, Bare::Members(vec![vec![name("b"), name("c")]]))
        }
        6 => or(Format::CloudWatch { body: EventBody::Message }, Bare::Any),
        7 => known(Format::OrJson(Box::new(Format::LinesUnder { prefix: b"a".to_vec() }))),
        _ => reshaped(vec![(name("a_a"), name("c")), (name("b"), name("d"))]),
    };
    if byte & 0x20 == 0 { format } else { Format::Latin1(Box::new(format)) }
}));

fn reshaped(include: Vec<(String, String)>) -> Format {
    let rename = vec![("a".to_owned(), "b".to_owned())];
    Format::ReshapedJson { path: vec![], shape: Arc::new(Shape { flat: true, include, rename }) }
}

fn or(format: Format, bare: Bare) -> Format {
    let others =
        Others { paths: vec![vec!["b".to_owned()]], log_events: true, bare, empty: vec!["c".to_owned()] };
    Format::Or { format: Box::new(format), others: Arc::new(others) }
}

fn known(format: Format) -> Format {
    let sign = |name: &str| Sign { members: vec![vec![name.to_owned()]], line: None };
    let others = vec![("another".to_owned(), sign("c"))];
    let signs = Signs { own: sign("b"), others, must_have: vec![vec!["a".to_owned()]], ..Signs::default() };
    Format::Known { format: Box::new(format), signs: Arc::new(signs) }
}
