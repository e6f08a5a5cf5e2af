//! Adds `@devo_pulling_id` to a JSON event, whose own bytes do not change.

use crate::handoff::PullingId;

/// Writes the event into `marked` with one more member at its end. Returns false if the event is not a JSON object, and
/// nothing was written.
pub fn mark(event: &[u8], id: &PullingId, marked: &mut Vec<u8>) -> bool {
    let object = event.trim_ascii();
    let Some(members) = object.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")) else {
        return false;
    };
    let joint: &[u8] = if members.trim_ascii().is_empty() { b"" } else { b"," };
    marked.clear();
    for part in [b"{", members, joint, b"\"@devo_pulling_id\":\"", id.as_str().as_bytes(), b"\"}"] {
        marked.extend_from_slice(part);
    }
    true
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn id() -> PullingId {
        PullingId::of(Timestamp::from_microsecond(1_655_983_326_290_848).unwrap())
    }

    fn marked(event: &str) -> Option<String> {
        let mut marked = b"left over".to_vec();
        mark(event.as_bytes(), &id(), &mut marked).then(|| String::from_utf8(marked).unwrap())
    }

    #[test]
    fn the_member_comes_last() {
        let cases = [
            ("{}", r#"{"@devo_pulling_id":"1655983326.290848"}"#),
            (" { } ", r#"{ "@devo_pulling_id":"1655983326.290848"}"#),
            (r#"{"a":{}}"#, r#"{"a":{},"@devo_pulling_id":"1655983326.290848"}"#),
            ("{\"a\" : 1.50\n}\n", "{\"a\" : 1.50\n,\"@devo_pulling_id\":\"1655983326.290848\"}"),
        ];
        for (event, expected) in cases {
            assert_eq!(marked(event).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_no_object_stays_as_it_is() {
        for event in ["", "{", "}", "[{}]", "\"{}\"", "a,b", "{}x", "2 123456789012 eni-1 {}"] {
            assert_eq!(marked(event), None, "{event}");
        }
    }

    #[test]
    fn times_before_the_epoch_are_taken_as_the_epoch() {
        assert_eq!(PullingId::of(Timestamp::MIN).as_str(), "0.000000");
        assert_eq!(PullingId::of(Timestamp::from_microsecond(1_000_007).unwrap()).as_str(), "1.000007");
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\PC\"\\\\}{]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-z\"}]{0,4}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        /// The version that re-serialises: serde's map with one more member.
        #[test]
        fn agrees_with_serde(value in json(), pretty in any::<bool>()) {
            let text = if pretty { format!("{value:#}\n") } else { value.to_string() };
            let expected = value.as_object().map(|object| {
                let mut object = object.clone();
                object.insert("@devo_pulling_id".into(), id().as_str().into());
                Value::Object(object)
            });
            let found = marked(&text).map(|text| serde_json::from_str::<Value>(&text).unwrap());
            prop_assert_eq!(found, expected);
        }
    }
}
