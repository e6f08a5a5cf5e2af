//! The report on standard output.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};

use super::spool::Spool;
use crate::ack::Ending;
use crate::audit::report::{NAMED_MAX, Reason, text_of};
use crate::audit::{Class, Missing, Report};
use crate::cli::table::plain;
use crate::settings::Config;
use crate::telemetry::size;

/// Writes the report for people: services and hours, reasons, the first missing objects, advice, a sentence.
pub fn text(out: &mut dyn Write, config: &Config, report: &Report, advice: &[String]) -> io::Result<()> {
    let name = |input: usize| input_name(config, input);
    if report.hours().next().is_some() {
        writeln!(out, "{}\n", hours(report, name).trim_fmt())?;
    }
    for class in [Class::Refused, Class::Skipped] {
        for (input, service, reason, Reason { counts, example }) in report.reasons(class) {
            writeln!(
                out,
                "{}: {}/{service}: {} objects ({}): {}, such as {example}",
                class.name(),
                name(input),
                counts.objects,
                size(counts.bytes),
                explained(reason),
            )?;
        }
    }
    if report.of_no_service.objects > 0 {
        let counts = report.of_no_service;
        writeln!(out, "of no configured service: {} objects ({})", counts.objects, size(counts.bytes))?;
    }
    let missing = report.total(Class::Missing).objects;
    for object in &report.named {
        let archived = if object.archived { "  (in an archive: restore it first)" } else { "" };
        let modified = text_of(object.modified);
        writeln!(out, "missing: {modified}  {:>10}  {object}{archived}", size(object.bytes))?;
    }
    if missing > NAMED_MAX as u64 {
        writeln!(out, "missing: and {} more (all of them with --json)", missing - NAMED_MAX as u64)?;
    }
    for line in advice {
        writeln!(out, "{line}")?;
    }
    for gap in &report.gaps {
        writeln!(out, "not seen: {gap}")?;
    }
    writeln!(out, "{}", report.sentence())
}

fn hours(report: &Report, name: impl Fn(usize) -> String) -> Table {
    let classes = Class::ALL.iter().map(|class| class.name());
    let mut table = plain(&["input", "service", "hour"].into_iter().chain(classes).collect::<Vec<_>>());
    for (input, service, hour, counts) in report.hours() {
        let mut row = vec![name(input), service.to_owned(), text_of(hour)];
        row.extend(counts.iter().map(|counts| match counts.objects {
            0 => "-".to_owned(),
            objects => format!("{objects} ({})", size(counts.bytes)),
        }));
        table.add_row(row);
    }
    table.column_iter_mut().skip(3).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// A reason with its explanation.
fn explained(reason: &str) -> String {
    let word = reason.split(':').next().unwrap_or_default();
    match Ending::ALL.iter().find(|ending| ending.reason() == word) {
        Some(ending) => format!("{reason} ({})", ending.what()),
        None => reason.to_owned(),
    }
}

/// Writes the report as one JSON object. The list of missing objects is written while it is read.
pub fn json(
    out: &mut dyn Write,
    config: &Config,
    report: &Report,
    mut spool: Spool,
    advice: &[String],
    devo: Option<Value>,
) -> io::Result<()> {
    let name = |input: usize| input_name(config, input);
    let mut all = report.json(name);
    all["advice"] = json!(advice);
    if let Some(devo) = devo {
        all["devo"] = devo;
    }
    let Value::Object(members) = all else { return Ok(()) };
    writeln!(out, "{{")?;
    for (key, value) in members {
        writeln!(out, "  {}: {value},", Value::from(key))?;
    }
    write!(out, "  \"missing\": [")?;
    let mut comma = "";
    for missing in spool.objects()? {
        let missing = missing.map_err(io::Error::other)?;
        if missing.class != Class::Missing {
            continue;
        }
        let Missing { input, service, bucket, key, bytes, etag, modified, archived, .. } = missing;
        let object = json!({"input": name(input), "service": service, "bucket": bucket, "key": key, "bytes": bytes,
                            "etag": etag, "modified": text_of(modified), "archived": archived});
        write!(out, "{comma}\n    {object}")?;
        comma = ",";
    }
    writeln!(out, "\n  ]\n}}")
}

fn input_name(config: &Config, input: usize) -> String {
    config.inputs.get(input).map(|input| input.key.clone()).unwrap_or_default()
}
