#![no_main]

use aws_to_devo::decode::Format;
use aws_to_devo_fuzz::chunks;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| chunks::check(input, |_| Format::Incapsula));
