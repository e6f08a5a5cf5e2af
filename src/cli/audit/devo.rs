//! The option `--devo`: compares the events in Devo with those that the ledger recorded as sent.

use std::io::{self, Write};

use comfy_table::CellAlignment;
use serde_json::{Value, json};

use crate::audit::Window;
use crate::audit::compare::{Compared, Verdict, by_table, compare};
use crate::audit::devo::{Api, Problem};
use crate::audit::report::text_of;
use crate::aws::Http;
use crate::base::limits::{AUDIT_GIVERS_MAX, LEDGER_SENT_SLOT};
use crate::base::text::address;
use crate::cli::table::plain;
use crate::ledger::{Look, Row, slot_of};
use crate::settings::Config;

/// The comparison, by table.
#[derive(Debug)]
pub struct Comparison {
    tables: Vec<(String, Result<Compared, Problem>)>,
    /// Events that the collector knows it sent again.
    repeated: u64,
    from: i64,
    to: i64,
}

/// Asks Devo about every table to which events were sent in the window, according to this collector's ledger. Events of
/// other collectors have another `hostchain`.
pub fn ask(config: &Config, ledger: &Look, window: Window) -> Result<Comparison, String> {
    let Some(settings) = &config.globals.devo_api else {
        return Err("--devo needs globals.devo_api: {region, token_file}".to_owned());
    };
    let path = settings.token_file.display();
    let token = std::fs::read_to_string(&settings.token_file)
        .map_err(|error| format!("globals.devo_api.token_file: {path} cannot be read: {error}"))?;
    let token = token.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("globals.devo_api.token_file: {path} must contain only the token"));
    }
    let http = Http::new(1).map_err(|error| error.to_string())?;
    let api = Api::new(http, &settings.url, token.to_owned());
    // Whole slots: an end within a slot includes it.
    let (from, to) =
        (slot_of(window.from.as_second()), slot_of(window.to.as_second() + LEDGER_SENT_SLOT - 1));
    let sent = ledger.sent(from - LEDGER_SENT_SLOT, to + LEDGER_SENT_SLOT);
    let sent = sent.map_err(|error| error.to_string())?;
    let (by_table, repeated) = by_table(&sent, from, to);
    let mut tables = Vec::new();
    for (table, slots) in by_table {
        let host = &config.globals.host;
        let arrived = api.count(&table, host, from - LEDGER_SENT_SLOT, to + LEDGER_SENT_SLOT);
        let compared = match arrived {
            Err(problem) if problem.is_of_all() => return Err(problem.to_string()),
            arrived => arrived.map(|arrived| compare(&slots, &arrived, from, to)),
        };
        tables.push((table, compared));
    }
    Ok(Comparison { tables, repeated, from, to })
}

impl Comparison {
    /// Returns false if Devo lacks events, true if it lacks none, and None if that is unknown for a table.
    pub fn is_complete(&self) -> Option<bool> {
        match (self.short().next(), self.unknown()) {
            (Some(_), _) => Some(false),
            (None, 0) => Some(true),
            (None, _) => None,
        }
    }

    /// The number of tables that could not be compared.
    fn unknown(&self) -> usize {
        self.tables.iter().filter(|(_, compared)| compared.is_err()).count()
    }

    /// The tables that lack events, with the slots that lack them.
    fn short(&self) -> impl Iterator<Item = (&str, &[i64])> {
        self.tables.iter().filter_map(|(table, compared)| match compared {
            Ok(Compared { verdict: Verdict::Fewer(_, slots), .. }) => {
                Some((table.as_str(), slots.as_slice()))
            }
            _ => None,
        })
    }

    /// Objects with events for the tables and slots that lack some.
    pub fn concerned(&self, ledger: &Look) -> Result<Vec<Row>, String> {
        let mut rows: Vec<Row> = Vec::new();
        for (table, slots) in self.short() {
            for slot in slots {
                // An object is recorded when its last event is acknowledged.
                let found = ledger.givers(table, *slot, slot + 2 * LEDGER_SENT_SLOT, AUDIT_GIVERS_MAX);
                for row in found.map_err(|error| error.to_string())? {
                    if rows.len() < AUDIT_GIVERS_MAX && !rows.iter().any(|known| known.place == row.place) {
                        rows.push(row);
                    }
                }
            }
        }
        Ok(rows)
    }

    /// Writes a table and a sentence.
    pub fn text(&self, out: &mut dyn Write, concerned: &[Row]) -> io::Result<()> {
        let mut table = plain(&["Devo table", "sent", "in Devo", "verdict"]);
        for (name, compared) in &self.tables {
            match compared {
                Ok(compared) => table.add_row([
                    name.clone(),
                    compared.sent.to_string(),
                    compared.arrived.to_string(),
                    self.verdict(&compared.verdict),
                ]),
                Err(problem) => {
                    table.add_row([name.clone(), "?".to_owned(), "?".to_owned(), problem.to_string()])
                }
            };
        }
        table.column_iter_mut().skip(1).take(2).for_each(|c| c.set_cell_alignment(CellAlignment::Right));
        writeln!(out, "{}", table.trim_fmt())?;
        for row in concerned.iter().take(crate::audit::report::NAMED_MAX) {
            writeln!(out, "possibly not in Devo: {}", address(&row.place.bucket, &row.place.key))?;
        }
        writeln!(out, "{}\n", self.sentence())
    }

    fn verdict(&self, verdict: &Verdict) -> String {
        match verdict {
            Verdict::Equal => "equal".to_owned(),
            Verdict::More(by) => format!("{by} more ({} are known to have been sent again)", self.repeated),
            Verdict::Fewer(by, slots) => {
                let minutes: Vec<String> = slots.iter().take(5).map(|slot| text_of(*slot)).collect();
                let more = if slots.len() > 5 { ", …" } else { "" };
                format!("{by} FEWER, in the five minutes from {}{more}", minutes.join(", "))
            }
        }
    }

    /// Summarizes the comparison in a sentence.
    pub fn sentence(&self) -> String {
        let span = format!("sent from {} to {}", text_of(self.from), text_of(self.to));
        let (all, unknown) = (self.tables.len(), self.unknown());
        let note = match unknown {
            0 => String::new(),
            count => format!(" {count} of {all} tables could not be compared."),
        };
        match self.short().count() {
            0 if all == 0 => format!("The ledger has no events {span}: there is nothing to compare."),
            0 if unknown == all => format!("Whether Devo has the events {span} is UNKNOWN.{note}"),
            0 if unknown > 0 => format!("Devo has all events of {} tables, {span}.{note}", all - unknown),
            0 => format!("Devo has all events {span}."),
            tables => format!("Devo LACKS events of {tables} tables, {span}.{note}"),
        }
    }

    /// The comparison as JSON.
    pub fn json(&self, concerned: &[Row]) -> Value {
        let table = |(name, compared): &(String, Result<Compared, Problem>)| match compared {
            Ok(Compared { sent, arrived, verdict }) => {
                let (word, by, slots) = match verdict {
                    Verdict::Equal => ("equal", 0, Vec::new()),
                    Verdict::More(by) => ("more", *by, Vec::new()),
                    Verdict::Fewer(by, slots) => {
                        ("fewer", *by, slots.iter().map(|slot| text_of(*slot)).collect())
                    }
                };
                json!({"table": name, "sent": sent, "arrived": arrived, "verdict": word, "by": by, "minutes": slots})
            }
            Err(problem) => json!({"table": name, "verdict": "unknown", "problem": problem.to_string()}),
        };
        let objects: Vec<String> =
            concerned.iter().map(|row| format!("s3://{}/{}", row.place.bucket, row.place.key)).collect();
        json!({
            "from": text_of(self.from), "to": text_of(self.to), "complete": self.is_complete(),
            "sentence": self.sentence(), "tables": self.tables.iter().map(table).collect::<Vec<_>>(),
            "repeated": self.repeated, "objects": objects,
        })
    }
}
