//! The keys `file_field_definitions` and `record_field_mapping`: the named values of a service.

use super::operations::operations;
use crate::config::kind::Kind;
use crate::config::node::{Mapping, Node};
use crate::config::numbers;
use crate::decode::Step;
use crate::services::field::{Field, Place};
use crate::services::rules::FieldSource;

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

    /// The index of a field. An unmapped field of a record is the top-level key of that name.
    pub fn index(&mut self, source: FieldSource, name: &str) -> Option<usize> {
        let fields = match source {
            FieldSource::File => &mut self.file,
            FieldSource::Record => &mut self.record,
        };
        let found = fields.iter().position(|field| field.name == name);
        if found.is_some() || source == FieldSource::File {
            return found;
        }
        fields.push(Field {
            name: name.into(),
            place: Place::Json(vec![name.into()].into()),
            operations: vec![],
        });
        Some(fields.len() - 1)
    }
}

fn file_field(name: &str, node: &Node<'_>) -> Option<Field> {
    let operations = operations(node.list()?);
    Some(Field { name: name.to_owned(), place: Place::Key, operations })
}

fn record_field(name: &str, node: &Node<'_>) -> Option<Field> {
    let keys = node.mapping()?;
    let place = place(&keys);
    let operations = operations(keys.list("operations"));
    keys.finish();
    Some(Field { name: name.to_owned(), place: place?, operations })
}

/// Reads `keys` or `column`.
fn place(keys: &Mapping<'_>) -> Option<Place> {
    let json = keys.node("keys").and_then(|node| steps(&node)).filter(|steps| !steps.is_empty());
    let column = keys.integer_if_set("column", numbers::COLUMN);
    let places = [
        json.map(|steps| Place::Json(steps.into_iter().collect())),
        column.and_then(|column| usize::try_from(column).ok()).map(Place::Column),
    ];
    let mut places = places.into_iter().flatten();
    match (places.next(), places.next()) {
        (Some(place), None) => Some(place),
        (None, _) => {
            let advice =
                "write the path to the value in the JSON record, such as [\"userIdentity\", \"type\"]";
            keys.report.error(Kind::Missing, keys.path_of("keys"), "names no key", advice);
            None
        }
        (Some(_), Some(_)) => {
            let advice = "keep \"keys\" (JSON) or \"column\" (comma-separated values)";
            keys.report.error(Kind::Invalid, keys.path.as_str(), "names more than one place", advice);
            None
        }
    }
}

/// Reads the path to a record's value: keys, and integers for array elements.
fn steps(node: &Node<'_>) -> Option<Vec<Step>> {
    let step = |node: &Node<'_>| match node.value.as_i64() {
        Some(number) => Some(Step::Element(number)),
        None => node.text().map(Step::Key),
    };
    if node.value.is_array() {
        return node.list()?.iter().map(step).collect();
    }
    step(node).filter(|step| *step != Step::Key(String::new())).map(|step| vec![step])
}

/// Reads keys into a JSON document: a list, or a single key.
pub fn path(node: &Node<'_>) -> Option<Vec<String>> {
    if node.value.is_array() {
        node.list()?.iter().map(Node::text).collect()
    } else {
        node.text().filter(|key| !key.is_empty()).map(|key| vec![key])
    }
}
