//! Any message: no panic, it ends in one of three ways, and named objects can be requested.

#![no_main]

use aws_to_devo::base::naming;
use aws_to_devo::stages::resolve::{body_elsewhere, resolve};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &str| {
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
    // An envelope changes nothing.
    let wrapped = format!("[{}]", serde_json::Value::from(body));
    if let Ok(again) = resolve(&wrapped) {
        assert_eq!(again.objects, found.objects);
    }
});
