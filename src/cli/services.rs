//! The `services` command: the services that a configuration can name, for people and for programs.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::exit::REFUSED;
use crate::base::out::Out;
use crate::config::aws::rows::{self as aws, ANY_NAME};
use crate::config::describe_format;
use crate::config::endings::Endings;
use crate::config::problem::closest_service;
use crate::config::registry::{Catalog, Row};

/// Width of a table, for a terminal of 100 columns.
const WIDTH: u16 = 100;

/// Prints all services of both kinds of input: the built-in ones and, with a configuration, those of its definitions
/// file; as tables, or as a JSON array of objects. With a name, prints only that service, in detail.
pub fn run(name: Option<&str>, json: bool, configuration: Option<&Path>) -> ExitCode {
    let catalog = match configuration {
        None => Ok(Cow::Borrowed(Catalog::built_in())),
        Some(path) => crate::config::catalog(path).map(Cow::Owned),
    };
    let catalog = match catalog {
        Ok(catalog) => catalog,
        Err(problems) => {
            let _ = writeln!(io::stderr(), "{problems}");
            return ExitCode::from(REFUSED);
        }
    };
    let text = match name {
        None if json => as_json(catalog.rows()),
        None => as_tables(catalog.rows()),
        Some(name) => {
            let Some(row) = catalog.row(name) else {
                let _ = writeln!(io::stderr(), "{}", unknown(name, &catalog));
                return ExitCode::from(REFUSED);
            };
            if json { format!("{:#}", row_as_json(row)) } else { as_text(row) }
        }
    };
    let _ = writeln!(Out, "{text}");
    ExitCode::SUCCESS
}

fn unknown(name: &str, catalog: &Catalog) -> String {
    let names: Vec<&str> = catalog.rows().iter().map(|row| row.name.as_str()).collect();
    let advice = closest_service(name, &names).map(|meant| format!(": did you mean {meant}?"));
    format!("{name:?} is not a service of an sqs_collector input{}", advice.unwrap_or_default())
}

/// Prints one service in detail.
fn as_text(row: &Row) -> String {
    let Endings { record, empty, refused } = Endings::of(&row.definition);
    let keys = object_keys(row);
    let lines = [
        ("Devo table", row.table.clone()),
        ("reads", row.reads.clone()),
        ("object keys", if keys.is_empty() { "any".to_owned() } else { keys.to_owned() }),
        ("a record is", record),
        ("has no records", listed(&empty)),
        ("refused", listed(&refused)),
    ];
    let lines = lines.map(|(name, text)| format!("{name:<12} {}", text.replace('\n', "\n             ")));
    format!("{}\n\n{}", row.name, lines.join("\n"))
}

fn listed(items: &[String]) -> String {
    if items.is_empty() { "-".to_owned() } else { items.join("\n") }
}

fn as_tables(rows: &[Row]) -> String {
    format!(
        "Services of an sqs_collector input: objects that a queue announces\n\n{}\n\nServices of an aws input: APIs \
         that are polled, and queues given by name\n\n{}\n\nEvery object ends as delivered, empty, left_out or \
         refused, for a reason: the metric\nobjects_ended_total counts them, the log names them, and \
         docs/monitoring.md lists the reasons.",
        sqs_table(rows),
        aws_table(aws::rows())
    )
}

/// Prints the tables. The key patterns are for programs: they would take three lines each.
fn sqs_table(rows: &[Row]) -> String {
    let mut table = new_table(&["service", "Devo table", "format", "object keys"]);
    for row in rows {
        let format = describe_format(&row.definition.format);
        let keys = if row.named.is_empty() { object_keys(row) } else { &row.named };
        table.add_row([row.name.as_str(), &row.table.replace(", ", "\n"), &format, keys]);
    }
    // Text that is copied into a file must not be broken.
    finish(table, 2)
}

fn aws_table(rows: &[aws::Row]) -> String {
    let mut table = new_table(&["service", "types", "Devo table", "reads"]);
    for row in rows {
        let name = if row.service == ANY_NAME { "(any name)" } else { &row.service };
        let tables = row.tables().join("\n");
        table.add_row([name, row.kind.as_deref().unwrap_or_default(), &tables, &row.reads]);
    }
    finish(table, 3)
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(WIDTH);
    table
}

fn finish(mut table: Table, whole_columns: usize) -> String {
    for column in table.column_iter_mut().take(whole_columns) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn as_json(rows: &[Row]) -> String {
    let services = rows.iter().map(row_as_json).chain(aws::rows().iter().map(aws_row_as_json));
    format!("{:#}", Value::Array(services.collect()))
}

fn row_as_json(row: &Row) -> Value {
    let endings = Endings::of(&row.definition);
    json!({
        "input": "sqs_collector",
        "name": row.name,
        "table": row.table,
        "reads": row.reads,
        "object_keys": object_keys(row),
        "format": describe_format(&row.definition.format),
        "record": endings.record,
        "empty": endings.empty,
        "refused": endings.refused,
    })
}

/// Prints a service as JSON. `queue` is the key that names its queue; null if it polls an API.
fn aws_row_as_json(row: &aws::Row) -> Value {
    json!({
        "input": "aws",
        "name": row.service,
        "type": row.kind,
        "table": row.tables().join(", "),
        "reads": row.reads,
        "queue": row.queue,
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
    fn the_tables_fit_their_width_and_name_every_service() {
        let text = as_tables(rows());
        for line in text.lines() {
            assert!(line.chars().count() <= usize::from(WIDTH), "{line}");
        }
        assert!(text.lines().count() < rows().len() * 3 + aws::rows().len() * 3, "no long wrapping");
        let of_queues = rows().iter().map(|row| (row.name.as_str(), row.table.replace(", ", "\n")));
        let of_aws = aws::rows().iter().map(|row| (row.service.as_str(), row.tables().join("\n")));
        for (name, tables) in of_queues.chain(of_aws) {
            let is_there = |part: &str| part == ANY_NAME || text.contains(part);
            assert!(is_there(name) && tables.lines().all(is_there), "{name}");
        }
    }

    #[test]
    fn one_service_says_what_becomes_of_its_objects() {
        let text = as_text(Catalog::built_in().row("aws_sqs_bedrock").unwrap());
        for part in ["my.app.bedrock.invocations", "data/", "anything except JSON", "JSON values"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(unknown("aws_sqs_bedrok", Catalog::built_in()).contains("aws_sqs_bedrock?"));
    }

    #[test]
    fn the_json_has_the_promised_keys() {
        let Ok(Value::Array(services)) = serde_json::from_str(&as_json(rows())) else { panic!("no array") };
        assert_eq!(services.len(), rows().len() + aws::rows().len());
        for service in services {
            let keys: Vec<&String> = service.as_object().unwrap().keys().collect();
            let expected = match service["input"].as_str() {
                Some("aws") => &["input", "name", "type", "table", "reads", "queue"][..],
                _ => &[
                    "input",
                    "name",
                    "table",
                    "reads",
                    "object_keys",
                    "format",
                    "record",
                    "empty",
                    "refused",
                ],
            };
            assert_eq!(keys, expected);
        }
    }
}
