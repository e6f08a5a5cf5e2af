//! The keys `filename_filter_rules`, `line_filter_rules` and the conditions of `routing_cases`.

use super::fields::Fields;
use super::pattern::pattern;
use crate::config::kind::Kind;
use crate::config::node::{Mapping, Node};
use crate::config::problem::suggestion;
use crate::services::rules::{FieldSource, FileRule, LineRule, Rules};

/// Reads rules on an object's key.
pub fn file_rules(alternatives: &[Node<'_>]) -> Rules<FileRule> {
    rules(alternatives, |keys| {
        let negated = negated(keys);
        let pattern = required(keys, "pattern").and_then(|node| pattern(&node));
        Some(FileRule { pattern: pattern?, negated: negated? })
    })
}

/// Reads rules on the fields of an object's key or of a record.
pub fn line_rules(alternatives: &[Node<'_>], fields: &mut Fields) -> Rules<LineRule> {
    rules(alternatives, |keys| {
        let negated = negated(keys);
        let value = required(keys, "value").and_then(|node| node.text());
        let source = source(keys);
        let name = keys.required("key", "write the name of a field");
        let (source, name) = (source?, name?);
        let field = fields.index(source, &name);
        if field.is_none() {
            let advice = format!("define {name:?} in file_field_definitions");
            keys.report.error(Kind::Invalid, keys.path_of("key"), "names no field", advice);
        }
        Some(LineRule::new(source, field?, value?, negated?))
    })
}

/// The value of a key with rules: none if the key is absent.
pub fn alternatives<'a>(keys: &Mapping<'a>, key: &'static str) -> Vec<Node<'a>> {
    let Some(node) = keys.node(key) else { return Vec::new() };
    if node.value.is_object() {
        node.error(Kind::WrongType, "is a mapping, and must be a list of lists of conditions", BRACKETS);
        return Vec::new();
    }
    node.list().unwrap_or_default()
}

const BRACKETS: &str =
    "write two pairs of brackets, [[{...}]]: one of the inner lists must hold, with all its conditions";

fn rules<T>(alternatives: &[Node<'_>], mut rule: impl FnMut(&Mapping<'_>) -> Option<T>) -> Rules<T> {
    let mut all_of = |alternative: &Node<'_>| -> Option<Vec<T>> {
        if alternative.value.is_object() {
            alternative.error(Kind::WrongType, "is a condition, and must be a list of conditions", BRACKETS);
            return None;
        }
        let conditions = alternative.list()?;
        let read = conditions.iter().filter_map(|node| {
            let keys = node.mapping()?;
            let condition = rule(&keys);
            keys.finish();
            condition
        });
        Some(read.collect())
    };
    Rules(alternatives.iter().filter_map(&mut all_of).collect())
}

fn negated(keys: &Mapping<'_>) -> Option<bool> {
    match keys.required("type", "write match or doesnotmatch")?.as_str() {
        "match" => Some(false),
        "doesnotmatch" => Some(true),
        other => not_among(keys, "type", other, &["match", "doesnotmatch"]),
    }
}

fn source(keys: &Mapping<'_>) -> Option<FieldSource> {
    match keys.required("source", "write record or file")?.as_str() {
        "record" => Some(FieldSource::Record),
        "file" => Some(FieldSource::File),
        other => not_among(keys, "source", other, &["record", "file"]),
    }
}

fn not_among<T>(keys: &Mapping<'_>, key: &str, written: &str, known: &[&str]) -> Option<T> {
    let message = format!("{written:?} is not allowed");
    keys.report.error(Kind::Invalid, keys.path_of(key), message, suggestion(written, known));
    None
}

fn required<'a>(keys: &Mapping<'a>, key: &'static str) -> Option<Node<'a>> {
    let node = keys.node(key);
    if node.is_none() {
        keys.report.error(Kind::Missing, keys.path_of(key), "is missing", "");
    }
    node
}
