//! Values under top-level keys -> records that name their key.

use super::outcome::{Outcome, json_record};
use crate::decode::Sink;
use crate::decode::json::scan::Fault;
use crate::decode::json::walk::{self, Member};
use crate::decode::text_file::push_json_string;

/// Passes on the values under the keys, in the order of the document. `object` is a buffer.
pub fn records(
    document: &[u8],
    keys: &[String],
    object: &mut Vec<u8>,
    sink: &mut dyn Sink,
) -> Result<Outcome, Fault> {
    let mut outcome = Outcome::Other;
    for member in walk::members(document).into_iter().flatten() {
        let member = member?;
        let Member { value, .. } = member;
        let Some(key) = keys.iter().find(|key| member.is(key)) else { continue };
        if outcome == Outcome::Other {
            outcome = Outcome::Empty;
        }
        if value == b"null" {
            continue;
        }
        match walk::elements(value) {
            Some(elements) => {
                for element in elements {
                    outcome = Outcome::Read;
                    give(element?, key, object, sink);
                }
            }
            None => {
                outcome = Outcome::Read;
                give(value, key, object, sink);
            }
        }
    }
    Ok(outcome)
}

/// A value without members cannot get one more: it stays unchanged.
fn give(value: &[u8], key: &str, object: &mut Vec<u8>, sink: &mut dyn Sink) {
    let Some(inside) = value.strip_prefix(b"{").and_then(|value| value.strip_suffix(b"}")) else {
        return sink.record(json_record(value));
    };
    object.clear();
    object.push(b'{');
    object.extend_from_slice(inside);
    if !walk::trim(inside).is_empty() {
        object.push(b',');
    }
    object.extend_from_slice(b"\"extraction_key\":");
    push_json_string(object, key.as_bytes());
    object.push(b'}');
    sink.record(json_record(object));
}
