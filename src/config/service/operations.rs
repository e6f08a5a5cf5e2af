//! The key `operations` of a field: the steps from a raw value to the field's value.

use super::pattern::pattern;
use crate::config::kind::Kind;
use crate::config::node::{Mapping, Node};
use crate::config::problem::suggestion;
use crate::services::field::Operation;

/// The vendor's are split and replace.
const OPERATORS: &[&str] = &["split", "replace", "regex", "lowercase", "map", "set"];

/// Reads a list of operations.
pub fn operations(nodes: Vec<Node<'_>>) -> Vec<Operation> {
    nodes.iter().filter_map(operation).collect()
}

fn operation(node: &Node<'_>) -> Option<Operation> {
    let keys = node.mapping()?;
    let operator = keys.required("operator", &format!("one of {}", OPERATORS.join(", ")));
    let operation = match operator.as_deref()? {
        "split" => split(&keys),
        "replace" => replace(&keys),
        "regex" => regex(&keys),
        "lowercase" => Some(Operation::Lowercase),
        "map" => map(&keys),
        "set" => set(&keys),
        other => {
            let advice = suggestion(other, OPERATORS);
            let message = format!("{other:?} is not a known operator");
            keys.report.error(Kind::Invalid, keys.path_of("operator"), message, advice);
            return None;
        }
    };
    keys.finish();
    operation
}

fn split(keys: &Mapping<'_>) -> Option<Operation> {
    let on = text(keys, "on").filter(|on| !on.is_empty());
    if on.is_none() {
        keys.report.error(Kind::Missing, keys.path_of("on"), "is missing", "write the text to split at");
    }
    let element = required_integer(keys, "element", i64::from(i32::MIN)..=i64::from(i32::MAX));
    Some(Operation::Split { on: on?, element: element? })
}

fn replace(keys: &Mapping<'_>) -> Option<Operation> {
    let to_replace = text(keys, "to_replace").filter(|text| !text.is_empty());
    if to_replace.is_none() {
        let advice = "write the text to be replaced";
        keys.report.error(Kind::Missing, keys.path_of("to_replace"), "is missing", advice);
    }
    let replace_with = text(keys, "replace_with").unwrap_or_default();
    Some(Operation::Replace { to_replace: to_replace?, replace_with })
}

fn regex(keys: &Mapping<'_>) -> Option<Operation> {
    let node = keys.node("pattern");
    if node.is_none() {
        keys.report.error(Kind::Missing, keys.path_of("pattern"), "is missing", "");
    }
    let pattern = node.and_then(|node| pattern(&node));
    // A pattern that does not compile has been reported: its groups are not counted.
    let groups = pattern.as_ref().map_or(usize::MAX, |pattern| pattern.captures_len() - 1);
    let last = i64::try_from(groups).unwrap_or(i64::MAX);
    let element = keys.integer("element", 0..=last, last.min(1));
    Some(Operation::Regex { pattern: pattern?, element: usize::try_from(element).ok()? })
}

fn map(keys: &Mapping<'_>) -> Option<Operation> {
    let Some(values) = keys.mapping("values") else {
        keys.report.error(Kind::Missing, keys.path_of("values"), "is missing", "write {from: to, ...}");
        return None;
    };
    let values = values.entries().filter_map(|(from, to)| Some((from.to_owned(), to.text()?))).collect();
    Some(Operation::Map { values })
}

fn set(keys: &Mapping<'_>) -> Option<Operation> {
    let value = text(keys, "value");
    if value.is_none() {
        keys.report.error(Kind::Missing, keys.path_of("value"), "is missing", "write the field's value");
    }
    Some(Operation::Set { value: value? })
}

/// Reads text that may be empty or white space.
fn text(keys: &Mapping<'_>, key: &'static str) -> Option<String> {
    keys.node(key)?.text()
}

fn required_integer(
    keys: &Mapping<'_>,
    key: &'static str,
    range: std::ops::RangeInclusive<i64>,
) -> Option<i64> {
    if !keys.has(key) {
        keys.node(key);
        keys.report.error(Kind::Missing, keys.path_of(key), "is missing", "write a number; 0 is the first");
        return None;
    }
    keys.integer_if_set(key, range)
}
