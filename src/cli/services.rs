//! `services`: the registry, for people and for programs.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use crate::config::describe_format;
use crate::config::registry::{Catalog, Row};

/// Fits a terminal of 100 columns.
const WIDTH: u16 = 100;
/// The configuration cannot be used.
const REFUSED: u8 = 2;

/// Prints all services: the pre-built ones and, with a configuration, those of its definitions file. As a
/// table, or as a JSON array of objects.
pub fn run(json: bool, configuration: Option<&Path>) -> ExitCode {
    let catalog = match configuration {
        None => Ok(Cow::Borrowed(Catalog::built_in())),
        Some(path) => Catalog::of_configuration(path).map(Cow::Owned),
    };
    let catalog = match catalog {
        Ok(catalog) => catalog,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(REFUSED);
        }
    };
    let text = if json { as_json(catalog.rows()) } else { as_table(catalog.rows()) };
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The key patterns are for programs: they would take three lines each.
fn as_table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["service", "Devo table", "format", "object keys"]);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(WIDTH);
    for row in rows {
        let format = describe_format(&row.definition.format);
        let keys = if row.named.is_empty() { object_keys(row) } else { &row.named };
        table.add_row([row.name.as_str(), &row.table.replace(", ", "\n"), &format, keys]);
    }
    // What is copied into a file must not be broken.
    for column in table.column_iter_mut().take(2) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn as_json(rows: &[Row]) -> String {
    let services: Vec<Value> = rows.iter().map(row_as_json).collect();
    format!("{:#}", Value::Array(services))
}

fn row_as_json(row: &Row) -> Value {
    json!({
        "name": row.name,
        "table": row.table,
        "reads": row.reads,
        "object_keys": object_keys(row),
        "format": describe_format(&row.definition.format),
    })
}

fn object_keys(row: &Row) -> &str {
    row.definition.object_keys.as_ref().map_or("", |pattern| pattern.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::registry::rows;

    #[test]
    fn the_table_fits_its_width_and_names_every_service() {
        let table = as_table(rows());
        for line in table.lines() {
            assert!(line.chars().count() <= usize::from(WIDTH), "{line}");
        }
        assert!(table.lines().count() < rows().len() * 3, "no long wrapping");
        for row in rows() {
            assert!(
                table.contains(&row.name) && row.table.split(", ").all(|tag| table.contains(tag)),
                "{}",
                row.name
            );
        }
    }

    #[test]
    fn the_json_has_the_promised_keys() {
        let Ok(Value::Array(services)) = serde_json::from_str(&as_json(rows())) else { panic!("no array") };
        assert_eq!(services.len(), rows().len());
        for service in services {
            let keys: Vec<&String> = service.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["name", "table", "reads", "object_keys", "format"]);
        }
    }
}
