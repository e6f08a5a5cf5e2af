//! Any event: its bytes stay, and a JSON object stays one.

#![no_main]

use aws_to_devo::handoff::PullingId;
use aws_to_devo::stages::frame::mark;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|event: &[u8]| {
    let id = PullingId::of(Timestamp::UNIX_EPOCH);
    let mut marked = Vec::new();
    let is_object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(event).is_ok();
    let is_marked = mark(event, &id, &mut marked);
    assert!(is_marked || !is_object);
    if !is_marked {
        return;
    }
    let object = event.trim_ascii();
    assert!(marked.starts_with(&object[..object.len() - 1]) && marked.ends_with(b"}"));
    if is_object {
        let read = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&marked).unwrap();
        assert_eq!(read["@devo_pulling_id"], id.as_str());
    }
});
