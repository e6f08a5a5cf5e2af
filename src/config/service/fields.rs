//! `file_field_definitions` and `record_field_mapping`: the named values of a service.

use crate::config::node::{Mapping, Node};
use crate::config::problem::{Kind, suggestion};
use crate::services::rules::Source;
use crate::services::template::{Field, Operation, Pattern};

use super::filters;

/// The fields of one service; rules refer to them by index.
pub struct Fields {
    pub file: Vec<Field>,
    pub record: Vec<Field>,
}

impl Fields {
    pub fn read(keys: &Mapping<'_>) -> Fields {
        let named = |key| keys.mapping(key).map(|fields| fields.entries().collect()).unwrap_or_default();
        let file: Vec<(&str, Node<'_>)> = named("file_field_definitions");
        let record: Vec<(&str, Node<'_>)> = named("record_field_mapping");
        Fields {
            file: file.into_iter().filter_map(|(name, node)| file_field(name, &node)).collect(),
            record: record.into_iter().filter_map(|(name, node)| record_field(name, &node)).collect(),
        }
    }

    /// The index of a field. A record's field that nobody mapped is the top-level key of that name.
    pub fn index(&mut self, source: Source, name: &str) -> Option<usize> {
        let fields = match source {
            Source::File => &mut self.file,
            Source::Record => &mut self.record,
        };
        let found = fields.iter().position(|field| field.name == name);
        if found.is_some() || source == Source::File {
            return found;
        }
        fields.push(Field { name: name.into(), path: vec![name.into()], operations: vec![] });
        Some(fields.len() - 1)
    }
}

fn file_field(name: &str, node: &Node<'_>) -> Option<Field> {
    let operations = operations(node.list()?);
    Some(Field { name: name.to_owned(), path: vec![], operations })
}

fn record_field(name: &str, node: &Node<'_>) -> Option<Field> {
    let keys = node.mapping()?;
    let path = keys.node("keys").and_then(|node| path(&node)).unwrap_or_default();
    if path.is_empty() {
        let advice = "write the way to the value in the JSON record, such as [\"userIdentity\", \"type\"]";
        keys.report.error(Kind::Missing, keys.path_of("keys"), "names no key", advice);
    }
    let operations = operations(keys.list("operations"));
    keys.finish();
    Some(Field { name: name.to_owned(), path, operations })
}

/// Keys into a JSON document: a list, or one key by itself.
pub fn path(node: &Node<'_>) -> Option<Vec<String>> {
    if node.value.is_array() {
        node.list()?.iter().map(Node::text).collect()
    } else {
        node.text().filter(|key| !key.is_empty()).map(|key| vec![key])
    }
}

fn operations(nodes: Vec<Node<'_>>) -> Vec<Operation> {
    nodes.iter().filter_map(operation).collect()
}

fn operation(node: &Node<'_>) -> Option<Operation> {
    let keys = node.mapping()?;
    let operator = keys.required("operator", "write split, replace or regex");
    let operation = match operator.as_deref()? {
        "split" => split(&keys),
        "replace" => replace(&keys),
        "regex" => regex(&keys),
        other => {
            let advice = suggestion(other, &["split", "replace", "regex"]);
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
    let Some(node) = keys.node("pattern") else {
        keys.report.error(Kind::Missing, keys.path_of("pattern"), "is missing", "");
        return None;
    };
    let pattern = filters::pattern(&node);
    // A pattern that does not compile has a problem already: its groups are not counted.
    let groups = pattern.as_ref().map_or(usize::MAX, |pattern| pattern.captures_len() - 1);
    let last = i64::try_from(groups).unwrap_or(i64::MAX);
    let element = keys.integer("element", 0..=last, last.min(1));
    Some(Operation::Regex { pattern: Pattern(pattern?), element: usize::try_from(element).ok()? })
}

/// Text that may be empty or consist of white space.
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
