//! Values under some keys -> records.

use super::outcome::{Outcome, json_record};
use crate::decode::json::scan::Fault;
use crate::decode::json::walk;
use crate::decode::{Newlines, Record, Sink};

/// Passes on the values at the paths, in the order of the paths. `text` is a buffer.
pub fn records(
    document: &[u8],
    paths: &[Vec<String>],
    text: &mut Vec<u8>,
    sink: &mut dyn Sink,
) -> Result<Outcome, Fault> {
    let mut outcome = Outcome::Other;
    for path in paths {
        let Some(value) = walk::at(document, path)? else { continue };
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
                    give(element?, text, sink);
                }
            }
            None => {
                outcome = Outcome::Read;
                give(value, text, sink);
            }
        }
    }
    Ok(outcome)
}

/// A string gives the lines of its text, anything else itself.
fn give(value: &[u8], text: &mut Vec<u8>, sink: &mut dyn Sink) {
    let Some(written) = walk::string(value) else { return sink.record(json_record(value)) };
    text.clear();
    walk::unescape(written, text);
    for line in text.split(|&byte| byte == b'\n') {
        let bytes = line.strip_suffix(b"\r").unwrap_or(line);
        if !bytes.is_empty() {
            sink.record(Record::new(bytes, Newlines::Absent));
        }
    }
}
