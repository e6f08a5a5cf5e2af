//! `services`: the registry, for people and for programs.

use std::io::{self, Write};
use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table};
use serde_json::{Value, json};

use crate::config::describe_format;
use crate::config::registry::{Row, rows};

/// Fits a terminal of 100 columns.
const WIDTH: u16 = 100;

/// Prints all pre-built services: as a table, or as a JSON array of objects.
pub fn run(json: bool) -> ExitCode {
    let text = if json { as_json() } else { as_table() };
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn as_table() -> String {
    let mut table = Table::new();
    table.set_header(["service", "Devo table", "format", "object keys"]);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(WIDTH);
    for row in rows() {
        let format = describe_format(&row.definition.format);
        let tables = row.table.replace(", ", "\n");
        table.add_row([row.name.as_str(), &tables, &format, object_keys(row)]);
    }
    table.trim_fmt()
}

fn as_json() -> String {
    let services: Vec<Value> = rows().iter().map(row_as_json).collect();
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

    #[test]
    fn the_table_fits_its_width_and_names_every_service() {
        let table = as_table();
        for line in table.lines() {
            assert!(line.chars().count() <= usize::from(WIDTH), "{line}");
        }
        for row in rows() {
            assert!(table.contains(&row.name), "{}", row.name);
        }
    }

    #[test]
    fn the_json_has_the_promised_keys() {
        let Ok(Value::Array(services)) = serde_json::from_str(&as_json()) else { panic!("no array") };
        assert_eq!(services.len(), rows().len());
        for service in services {
            let keys: Vec<&String> = service.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["name", "table", "reads", "object_keys", "format"]);
        }
    }
}
