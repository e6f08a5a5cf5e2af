//! Whatever a message says: no panic, and what is named can be asked for.

#![no_main]

use aws_to_devo::resolve::resolve;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &str| {
    let Ok(announcement) = resolve(body) else { return };
    for object in &announcement.objects {
        assert!(!object.bucket.is_empty() && !object.key.is_empty());
        assert!(!object.to_string().contains('\n'));
    }
});
