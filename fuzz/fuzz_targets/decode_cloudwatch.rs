#![no_main]

use aws_to_devo::decode::{EventBody, Format};
use aws_to_devo_fuzz::chunks;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| chunks::check(input, |byte| match byte % 3 {
    0 => Format::CloudWatch { body: EventBody::Event },
    1 => Format::CloudWatch { body: EventBody::Message },
    _ => Format::Envelopes { detail: vec!["detail".to_owned()] },
}));
