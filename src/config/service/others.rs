//! The key `others` of a processor: other shapes of its documents.

use super::fields;
use crate::config::kind::Kind;
use crate::config::node::{Mapping, Node};
use crate::decode::{Bare, Others};

/// Reads the key; None if it is absent.
pub fn read(config: &Mapping<'_>) -> Option<Others> {
    let keys = config.mapping("others")?;
    let paths = keys.list("keys").iter().filter_map(fields::path).collect();
    let empty = keys.list("empty_members").iter().filter_map(Node::text).collect();
    let others = Others { paths, log_events: keys.boolean("log_events", false), bare: bare(&keys), empty };
    keys.finish();
    Some(others)
}

/// Reads how a bare record is recognized.
fn bare(keys: &Mapping<'_>) -> Bare {
    let sets: Vec<Vec<String>> = keys.list("record_members").iter().filter_map(fields::path).collect();
    match (keys.boolean("any_record", false), sets.is_empty()) {
        (true, true) => Bare::Any,
        (true, false) => {
            let path = keys.path_of("any_record");
            keys.report.error(Kind::Invalid, path, "cannot be used with record_members", "keep one of them");
            Bare::Any
        }
        (false, true) => Bare::Unknown,
        (false, false) => Bare::Members(sets),
    }
}
