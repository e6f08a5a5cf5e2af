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

/// The reason why a report is not shown whole.
#[derive(Debug)]
pub enum Unshown {
    /// Standard output does not take it. The process ends with that, as after every command that prints.
    Output(#[expect(dead_code, reason = "standard output notes its own failures")] io::Error),
    /// The list of missing objects cannot be read.
    List(String),
}

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
) -> Result<(), Unshown> {
    let list = |error: io::Error| Unshown::List(format!("the missing objects cannot be listed: {error}"));
    let objects = spool.objects().map_err(list)?;
    let name = |input: usize| input_name(config, input);
    let mut all = report.json(name);
    all["advice"] = json!(advice);
    if let Some(devo) = devo {
        all["devo"] = devo;
    }
    let Value::Object(members) = all else { return Ok(()) };
    writeln!(out, "{{").map_err(Unshown::Output)?;
    for (key, value) in members {
        writeln!(out, "  {}: {value},", Value::from(key)).map_err(Unshown::Output)?;
    }
    write!(out, "  \"missing\": [").map_err(Unshown::Output)?;
    let mut comma = "";
    for missing in objects {
        let missing = missing.map_err(Unshown::List)?;
        if missing.class != Class::Missing {
            continue;
        }
        let Missing { input, service, bucket, key, bytes, etag, modified, archived, .. } = missing;
        let object = json!({"input": name(input), "service": service, "bucket": bucket, "key": key, "bytes": bytes,
                            "etag": etag, "modified": text_of(modified), "archived": archived});
        write!(out, "{comma}\n    {object}").map_err(Unshown::Output)?;
        comma = ",";
    }
    writeln!(out, "\n  ]\n}}").map_err(Unshown::Output)
}

fn input_name(config: &Config, input: usize) -> String {
    config.inputs.get(input).map(|input| input.key.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::audit::Window;

    /// A full disk.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn output_that_cannot_be_written_is_told_from_a_list_that_cannot_be_read() {
        let config = crate::config::testing::of_inputs(
            "  sqs_collector: {id: 1, base_url: 'http://127.0.0.1:1/000000000000/q', region: us-east-1, services: {aws_sqs_vpc: {}}}",
        );
        let report = Report::new(Window { from: Timestamp::UNIX_EPOCH, to: Timestamp::UNIX_EPOCH });
        let shown = json(&mut Full, &config, &report, Spool::new().unwrap(), &[], None);
        assert!(matches!(shown, Err(Unshown::Output(_))), "{shown:?}");
        let shown = json(&mut Vec::new(), &config, &report, Spool::new().unwrap(), &[], None);
        assert!(shown.is_ok(), "{shown:?}");
    }
}
