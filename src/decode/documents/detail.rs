//! EventBridge envelopes, CloudWatch envelopes, or the records themselves.

use super::events::Events;
use super::{Outcome, json_record};
use crate::decode::Record;
use crate::decode::json::scan::Fault;
use crate::decode::json::walk;

/// Each document decides for itself. `path` leads to the record in an EventBridge envelope.
pub fn records(
    document: &[u8],
    path: &[String],
    events: &mut Events,
    sink: &mut dyn FnMut(Record<'_>),
) -> Result<Outcome, Fault> {
    if is_envelope_of_events(document)? {
        return events.inner_records(document, sink);
    }
    let record = walk::at(document, path)?.unwrap_or(document);
    sink(json_record(record));
    Ok(Outcome::Read)
}

fn is_envelope_of_events(document: &[u8]) -> Result<bool, Fault> {
    for member in walk::members(document).into_iter().flatten() {
        let member = member?;
        if member.is("logEvents") && member.value.starts_with(b"[") {
            return Ok(true);
        }
    }
    Ok(false)
}
