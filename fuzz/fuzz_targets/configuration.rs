#![no_main]

use std::path::Path;
use std::time::SystemTime;

use aws_to_devo::config::{self, Environment};
use aws_to_devo_fuzz::parts;
use libfuzzer_sys::fuzz_target;

// Any text is a configuration, or its problem is reported. `${A}` is the text after a zero byte, `${B}` refers to itself.
fuzz_target!(|input: &[u8]| {
    let [text, value] = parts::of(input).map(parts::text);
    let value = value.to_owned();
    let environment = Environment {
        host_name: "h".to_owned(),
        cores: 2,
        memory: 8 << 30,
        now: SystemTime::UNIX_EPOCH,
        variable: Box::new(move |name| match name {
            "A" => Some(value.clone()),
            "B" => Some("${B}${A}".to_owned()),
            _ => None,
        }),
    };
    match config::parse(text, Path::new("/nonexistent"), &environment) {
        Ok(loaded) => drop(loaded.config.describe()),
        Err(problems) => assert!(!problems.0.is_empty()),
    }
});
