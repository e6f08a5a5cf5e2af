#![no_main]

use aws_to_devo::decode::Format;
use aws_to_devo_fuzz::{allow_panics_of, chunks};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: allow_panics_of("/parquet-"), |input: &[u8]| chunks::check(input, |_| Format::Parquet));
