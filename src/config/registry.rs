//! The rows of services, parsed from their text: the registry's, and those of a definitions file.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use super::kind::Kind;
use super::node::Node;
use super::problem::Report;
use super::{service, tree};
use crate::config::files::read_text;
use crate::services::REGISTRY;

pub use super::catalog::{Catalog, Row};

/// The registry's name in problems.
const BUILT_IN: &str = "the built-in services";

/// Keys for listings; a user's entry does not have them.
const FOR_PEOPLE: [&str; 4] = ["table", "reads", "named", "note"];

/// All built-in services, in the order of the listing.
pub fn rows() -> &'static [Row] {
    BUILT_IN_ROWS.rows()
}

/// The built-in service of that name.
pub fn row(name: &str) -> Option<&'static Row> {
    BUILT_IN_ROWS.row(name)
}

/// Parses the built-in text: a row that cannot be parsed is missing, and a test fails.
static BUILT_IN_ROWS: LazyLock<Catalog> = LazyLock::new(|| Catalog::read(REGISTRY, &Report::default()));

impl Catalog {
    /// The built-in services.
    pub fn built_in() -> &'static Catalog {
        &BUILT_IN_ROWS
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// True if the name is defined, but invalid.
    pub(super) fn is_refused(&self, name: &str) -> bool {
        self.refused.iter().any(|refused| refused == name)
    }

    /// Reads the registry's text.
    pub(super) fn read(text: &str, report: &Report) -> Catalog {
        let mut catalog = Catalog { rows: Vec::new(), refused: Vec::new() };
        catalog.add(text, BUILT_IN, report);
        catalog
    }

    /// Adds the rows of a definitions file; its problems name it.
    pub(super) fn add_file(&mut self, path: &Path, report: &Report) {
        let name = path.display().to_string();
        let own = Report::default();
        match read_text(path) {
            Ok(text) => self.add(&text, &name, &own),
            Err(message) => own.error(Kind::Syntax, "", message, "globals.definitions names it"),
        }
        report.absorb(own, &name);
    }

    fn add(&mut self, text: &str, file: &str, report: &Report) {
        let Some(tree) = tree::read(text, report) else { return };
        let Some(rows) = Node::new("", &tree, report).mapping() else { return };
        for (name, node) in rows.named() {
            if self.row(name).is_some() {
                let message = format!("is defined in {BUILT_IN} and in {file}");
                let advice = "give your service another name; to change a built-in one, override its keys under the \
                              input's services";
                node.error(Kind::Invalid, message, advice);
                continue;
            }
            match self.read_row(name, &node) {
                Some(row) => self.rows.push(row),
                None => self.refused.push(name.to_owned()),
            }
        }
    }

    fn read_row(&self, name: &str, node: &Node<'_>) -> Option<Row> {
        let keys = node.mapping()?;
        let template = keys.string("routing_template").unwrap_or_default();
        let table = keys.string("table").unwrap_or(template);
        let reads = keys.string("reads").unwrap_or_default();
        let named = keys.string("named").unwrap_or_default();
        let note = keys.string("note").unwrap_or_default();
        // They are run by `check`; here only their form matters.
        keys.node(service::TESTS).iter().for_each(|tests| drop(service::trials::read(tests)));
        let definition = service::definition(name, &keys, self);
        keys.finish();
        if let Some(definition) = &definition {
            service::warn_of_tables(definition, name, node.report);
        }
        let mut keys = node.value.as_object()?.clone();
        keys.retain(|key, _| !FOR_PEOPLE.contains(&key.as_str()));
        let tests = keys.shift_remove(service::TESTS);
        Some(Row {
            name: name.to_owned(),
            table,
            reads,
            named,
            note,
            definition: Arc::new(definition?),
            tests,
            keys,
        })
    }
}
