//! Any message: no panic, it ends in one of three ways, and named objects can be requested.

#![no_main]

use aws_to_devo::base::naming;
use aws_to_devo::stages::resolve::{body_elsewhere, resolve};
use aws_to_devo_fuzz::{chunks, parts};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use libfuzzer_sys::fuzz_target;

// The first byte chooses the envelope of a second look: it changes nothing.
fuzz_target!(|input: &[u8]| {
    let [envelope, input @ ..] = input else { return };
    let body = parts::text(input);
    if let Some(Ok(object)) = body_elsewhere(body) {
        assert!(naming::place(&object.bucket).is_ok() && naming::is_key(&object.key));
    }
    let found = match resolve(body) {
        Ok(found) => found,
        Err(error) => return assert!(!error.to_string().is_empty() && !error.cause().is_empty()),
    };
    // Nothing is acknowledged without a reason.
    assert!(!found.objects.is_empty() || !found.ignored.is_empty());
    for object in &found.objects {
        assert!(naming::place(&object.bucket).is_ok() && naming::is_key(&object.key));
        assert!(object.other_key.as_ref().is_none_or(|key| naming::is_key(key) && *key != object.key));
        assert!(!object.to_string().contains('\n'));
    }
    if let Ok(again) = resolve(&wrapped(*envelope, body)) {
        assert_eq!(again.objects, found.objects);
    }
});

fn wrapped(envelope: u8, body: &str) -> String {
    let text = || serde_json::Value::from(body);
    match envelope % 4 {
        0 => format!("[{}]", text()),
        1 => format!(r#"{{"Type":"Notification","Message":{}}}"#, text()),
        2 => BASE64_STANDARD.encode(body),
        _ => BASE64_STANDARD.encode(chunks::gzip(body.as_bytes())),
    }
}
