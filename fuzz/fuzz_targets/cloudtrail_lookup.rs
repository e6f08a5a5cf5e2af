//! Any answer of CloudTrail: no panic, and no event without a body.

#![no_main]

use aws_to_devo::aws::cloudtrail::read_lookup;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(page) = read_lookup(body) else { return };
    assert!(page.events.iter().all(|event| !event.json.trim().is_empty()));
    assert!(page.token.is_none_or(|token| !token.is_empty()));
});
