//! `tests` of a service: samples with expected results. `check` runs them.

use serde_json::Value;

use crate::config::kind::Kind;
use crate::config::node::{Mapping, Node};

const DROPPED: &str = "dropped";

/// One element of `tests`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Its path in the file.
    pub path: String,
    /// The object's key.
    pub key: String,
    pub input: Input,
    /// The expected fate of each record, in order.
    pub expected: Vec<Expected>,
}

/// The object's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Text(String),
    /// Relative to the configuration's folder.
    File(String),
}

/// The expected fate of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    Dropped,
    /// None: any body.
    Sent {
        table: String,
        body: Option<String>,
    },
}

/// Reads the list.
pub fn read(tests: &Node<'_>) -> Vec<Trial> {
    tests.list().unwrap_or_default().iter().filter_map(trial).collect()
}

fn trial(node: &Node<'_>) -> Option<Trial> {
    let keys = node.mapping()?;
    let key = keys.string("key").unwrap_or_else(|| "test".to_owned());
    let (lines, file) = (lines(&keys), keys.string("file"));
    let expected = keys.node("expect");
    if expected.is_none() {
        let advice = "write a list: {table: my.app.a.b, body: ...} or dropped for each record";
        keys.report.error(Kind::Missing, keys.path_of("expect"), "is missing", advice);
    }
    let expected = expected.and_then(|node| node.list()?.iter().map(expectation).collect());
    keys.finish();
    let input = match (lines, file) {
        (Some(text), None) => Input::Text(text),
        (None, Some(file)) => Input::File(file),
        _ => {
            let advice = "write lines (a list), or file (relative to this file's folder)";
            node.error(Kind::Invalid, "needs either lines or file", advice);
            return None;
        }
    };
    Some(Trial { path: node.path.clone(), key, input, expected: expected? })
}

fn lines(keys: &Mapping<'_>) -> Option<String> {
    let lines = keys.node("lines")?.list()?;
    lines.iter().map(|line| Some(text(line)? + "\n")).collect()
}

fn expectation(node: &Node<'_>) -> Option<Expected> {
    if node.value.as_str() == Some(DROPPED) {
        return Some(Expected::Dropped);
    }
    let keys = node.mapping()?;
    let table = keys.required("table", "write the Devo table, or dropped instead of the mapping");
    let body = keys.node("body").and_then(|node| text(&node));
    keys.finish();
    Some(Expected::Sent { table: table?, body })
}

/// Text, or JSON as it is written where no quotes stand around it.
fn text(node: &Node<'_>) -> Option<String> {
    match node.value {
        Value::Object(_) | Value::Array(_) => Some(node.value.to_string()),
        _ => node.text(),
    }
}
