//! The summary of an object, as text or JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::object::Object;
use crate::cli::sample::{Outcome, Sample, Sent};
use crate::services::Definition;

/// Records and bytes of their frames.
#[derive(Default)]
struct Count {
    records: u64,
    bytes: u64,
}

pub struct Summary {
    service: String,
    key: String,
    /// Bytes as stored in S3.
    object_bytes: u64,
    /// Bytes after inflating.
    log_bytes: u64,
    /// Records by Devo table.
    tables: BTreeMap<String, Count>,
    /// Dropped records by the index of the rule.
    dropped: BTreeMap<usize, u64>,
    /// Records that lack a field of their tag, by the field.
    missing: BTreeMap<String, u64>,
    frames: Vec<String>,
    /// The rule of `filename_filter_rules` that skips the object.
    left_out_by: Option<usize>,
    /// True if the key would lead to another service where several share a queue.
    unclaimed: bool,
    /// The reason why the object is refused.
    pub error: Option<String>,
}

impl Summary {
    /// # Errors
    /// The object's bytes cannot be read.
    pub fn of(
        service: &Arc<Definition>,
        key: &str,
        host: &str,
        frames: usize,
        object: &mut Object,
    ) -> Result<Summary, String> {
        let mut summary = Summary {
            service: service.name.clone(),
            key: key.to_owned(),
            object_bytes: 0,
            log_bytes: 0,
            tables: BTreeMap::new(),
            dropped: BTreeMap::new(),
            missing: BTreeMap::new(),
            frames: Vec::new(),
            left_out_by: service.skip_objects.first(|rule| rule.holds(key)),
            unclaimed: !service.claims(key),
            error: None,
        };
        if summary.left_out_by.is_some() {
            return Ok(summary);
        }
        let definition = service.of_object(key);
        let (mut object_bytes, mut chunk) = (0, object.next()?);
        let mut sample = Sample::new(&definition, key, object.len(), host);
        let mut see = |outcome: Outcome<'_>| summary.see(outcome, frames);
        let result = loop {
            let next = if chunk.is_empty() { Vec::new() } else { object.next()? };
            object_bytes += chunk.len() as u64;
            let last = next.is_empty();
            match sample.push(&chunk, last, &mut see) {
                Ok(()) if !last => chunk = next,
                result => break result,
            }
        };
        (summary.object_bytes, summary.log_bytes) = (object_bytes, sample.log_bytes());
        summary.error = result.err().map(|error| error.to_string());
        Ok(summary)
    }

    fn see(&mut self, outcome: Outcome<'_>, frames: usize) {
        match outcome {
            Outcome::Dropped { rule } => *self.dropped.entry(rule).or_default() += 1,
            Outcome::Sent(Sent { tag, frame, missing, .. }) => {
                if !self.tables.contains_key(tag) {
                    self.tables.insert(tag.to_owned(), Count::default());
                }
                if let Some(count) = self.tables.get_mut(tag) {
                    count.records += 1;
                    count.bytes += frame.len() as u64;
                }
                for field in missing {
                    *self.missing.entry(field).or_default() += 1;
                }
                if self.frames.len() < frames {
                    self.frames.push(String::from_utf8_lossy(frame).into_owned());
                }
            }
        }
    }

    pub fn json(&self) -> Value {
        let tables = self
            .tables
            .iter()
            .map(|(table, count)| json!({"table": table, "records": count.records, "bytes": count.bytes}));
        let dropped =
            self.dropped.iter().map(|(rule, records)| json!({"rule": rule_name(*rule), "records": records}));
        let missing = self.missing.iter().map(|(field, records)| json!({"field": field, "records": records}));
        json!({
            "service": self.service,
            "key": self.key,
            "object_bytes": self.object_bytes,
            "log_bytes": self.log_bytes,
            "sent_bytes": self.tables.values().map(|count| count.bytes).sum::<u64>(),
            "tables": tables.collect::<Value>(),
            "dropped": dropped.collect::<Value>(),
            "missing": missing.collect::<Value>(),
            "left_out_by": self.left_out_by.map(key_rule_name),
            "claimed": !self.unclaimed,
            "error": self.error,
            "frames": self.frames,
        })
    }

    pub fn text(&self) -> String {
        let mut lines = vec![format!("{} reads {}", self.service, shown(&self.key))];
        if self.unclaimed {
            lines.push(
                "  its object_keys do not match this key: on a shared queue the object would go to another service"
                    .to_owned(),
            );
        }
        if let Some(rule) = self.left_out_by {
            lines.push(format!(
                "  {} skips it: its message is acknowledged, and the object is not read",
                key_rule_name(rule)
            ));
            return lines.join("\n") + "\n";
        }
        lines.push(format!("  {} bytes in S3, {} bytes of log", self.object_bytes, self.log_bytes));
        if let Some(error) = &self.error {
            lines.push(format!("  refused: {}", shown(error)));
            lines.push("  records before the damage are sent; the message stays in its queue".to_owned());
        }
        lines.push(String::new());
        lines.push(self.table());
        for (rule, records) in &self.dropped {
            lines.push(format!("{} drops {records}", rule_name(*rule)));
        }
        for (field, records) in &self.missing {
            lines
                .push(format!("[{field}] has no value in {records}: that level of their tag is \"unknown\""));
        }
        if !self.frames.is_empty() {
            lines.push(format!("\nThe first {}:", self.frames.len()));
        }
        // A log must not control the terminal.
        lines.extend(self.frames.iter().map(|frame| shown(frame.strip_suffix('\n').unwrap_or(frame))));
        lines.join("\n") + "\n"
    }

    fn table(&self) -> String {
        if self.tables.is_empty() {
            return "No record is sent.".to_owned();
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["Devo table", "records", "bytes sent"]);
        for (name, count) in &self.tables {
            table.add_row([name.clone(), count.records.to_string(), count.bytes.to_string()]);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.trim_fmt()
    }
}

fn rule_name(rule: usize) -> String {
    format!("line_filter_rules[{rule}]")
}

fn key_rule_name(rule: usize) -> String {
    format!("filename_filter_rules[{rule}]")
}

/// Replaces control characters.
fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\t' { c.escape_debug().to_string() } else { c.to_string() })
        .collect()
}
