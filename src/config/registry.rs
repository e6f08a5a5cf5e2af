//! The registry's rows, read from their text once.

use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use super::node::Node;
use super::problem::Report;
use super::{service, tree};
use crate::services::{Definition, REGISTRY};

/// A pre-built service.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    /// The Devo table, for people: it may hold several, and `*`.
    pub table: String,
    /// What the objects are, for people.
    pub reads: String,
    pub definition: Arc<Definition>,
    /// What a user's entry overrides.
    pub(super) keys: Map<String, Value>,
}

/// All pre-built services, in the order of the listing.
pub fn rows() -> &'static [Row] {
    &ROWS
}

/// The pre-built service of that name.
pub fn row(name: &str) -> Option<&'static Row> {
    rows().iter().find(|row| row.name == name)
}

/// The text is compiled in: a row that cannot be read is missing, and a test fails.
static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| read(REGISTRY, &Report::default()));

pub(super) fn read(text: &str, report: &Report) -> Vec<Row> {
    let Some(Value::Object(rows)) = tree::read(text, report) else { return Vec::new() };
    rows.into_iter().filter_map(|(name, value)| read_row(name, value, report)).collect()
}

fn read_row(name: String, value: Value, report: &Report) -> Option<Row> {
    let keys = Node::new(name.as_str(), &value, report).mapping()?;
    let table = keys.required("table", "");
    let reads = keys.required("reads", "");
    let definition = service::definition(&name, &keys);
    keys.finish();
    let Value::Object(mut keys) = value else { return None };
    keys.retain(|key, _| key != "table" && key != "reads");
    Some(Row { name, table: table?, reads: reads?, definition: Arc::new(definition?), keys })
}
