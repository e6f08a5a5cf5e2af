//! The demo's report: expected and received records per Devo table, and the verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use crate::lab::testbed::queue::QueueState;
use crate::lab::testbed::tally::{Comparison, Counts, Tally, compare};

/// Number of failures shown; the rest is counted.
const FAILURES_SHOWN: usize = 5;

/// The basis of the verdict.
#[derive(Debug, Clone)]
pub struct Report {
    pub expected: Tally,
    pub received: Tally,
    pub objects_per_tag: BTreeMap<String, u64>,
    pub queues: Vec<QueueState>,
    pub dead_letters: u64,
    pub sink_failures: Vec<String>,
    pub elapsed: Duration,
}

impl Report {
    /// True if each record arrived once, nothing else did, and the queues are empty.
    pub fn is_exact(&self) -> bool {
        let left = self.queue_totals();
        compare(&self.expected, &self.received).is_exact()
            && left.visible + left.in_flight + self.dead_letters == 0
    }

    /// The table and the lines after it, 80 columns wide.
    pub fn text(&self) -> String {
        let comparison = compare(&self.expected, &self.received);
        let mut lines = vec![self.table(&comparison), String::new(), self.speed_line()];
        lines.extend(self.verification_lines(&comparison));
        lines.push(self.queue_line());
        lines.extend(self.failure_lines());
        let verdict =
            if self.is_exact() { "Everything arrived." } else { "NOT everything arrived as expected." };
        lines.push(verdict.to_owned());
        lines.join("\n")
    }

    fn table(&self, comparison: &Comparison) -> String {
        let mut table = Table::new();
        let rule = LineStyle::none().fill('─').junction('─');
        table.load_style(TableStyle::new().header_separator(rule));
        table.set_header([
            "\nDevo table",
            "\nObjects",
            "Events\nin",
            "Events\nout",
            "MB\nin",
            "MB\nout",
            "\nRepeats",
        ]);
        let tags: BTreeSet<&String> =
            self.expected.per_tag.keys().chain(self.received.per_tag.keys()).collect();
        for tag in tags {
            let counts = |tally: &Tally| tally.per_tag.get(tag).copied().unwrap_or_default();
            let objects = self.objects_per_tag.get(tag).copied().unwrap_or(0);
            let repeats = comparison.per_tag.get(tag).map_or(0, |d| d.duplicates);
            let (wanted, got) = (counts(&self.expected), counts(&self.received));
            table.add_row(row(tag, &grouped(objects), wanted, got, repeats));
        }
        let (wanted, got) = (self.expected.total(), self.received.total());
        table.add_row(row("total", "", wanted, got, comparison.total().duplicates));
        for (index, column) in table.column_iter_mut().enumerate() {
            // The rule's junction already sets columns one apart.
            column.set_padding((0, 0));
            column.set_cell_alignment(if index == 0 { CellAlignment::Left } else { CellAlignment::Right });
        }
        table.trim_fmt()
    }

    fn speed_line(&self) -> String {
        let got = self.received.total();
        let seconds = self.elapsed.as_secs_f64().max(0.001);
        format!(
            "In {seconds:.1} s: {} MB/s of log, {} events/s.",
            megabytes((got.bytes as f64 / seconds) as u64),
            grouped((got.events as f64 / seconds) as u64),
        )
    }

    fn verification_lines(&self, comparison: &Comparison) -> Vec<String> {
        let total = comparison.total();
        let mut lines = vec![format!(
            "Verified byte for byte by a digest of each record: {} missing,\n{} unexpected, {} repeats.",
            grouped(total.missing),
            grouped(total.unexpected),
            grouped(total.duplicates),
        )];
        let wrong = comparison.per_tag.iter().filter(|(_, d)| d.missing + d.unexpected > 0);
        lines.extend(wrong.map(|(tag, d)| {
            format!("  {tag}: {} missing, {} unexpected", grouped(d.missing), grouped(d.unexpected))
        }));
        lines
    }

    fn queue_line(&self) -> String {
        let totals = self.queue_totals();
        format!(
            "{} queues: {} messages deleted; {} messages waiting, {} in flight,\n{} in the dead-letter queue.",
            self.queues.len(),
            totals.deleted,
            totals.visible,
            totals.in_flight,
            self.dead_letters,
        )
    }

    fn failure_lines(&self) -> Vec<String> {
        let shown = self.sink_failures.iter().take(FAILURES_SHOWN);
        let mut lines: Vec<String> = shown.map(|failure| format!("The sink saw: {failure}")).collect();
        let more = self.sink_failures.len().saturating_sub(FAILURES_SHOWN);
        lines.extend((more > 0).then(|| format!("… and {more} more.")));
        lines
    }

    fn queue_totals(&self) -> QueueState {
        self.queues.iter().fold(QueueState::default(), |sum, queue| QueueState {
            visible: sum.visible + queue.visible,
            in_flight: sum.in_flight + queue.in_flight,
            deleted: sum.deleted + queue.deleted,
            received: sum.received + queue.received,
        })
    }
}

fn row(name: &str, objects: &str, wanted: Counts, got: Counts, repeats: u64) -> Vec<String> {
    vec![
        name.to_owned(),
        objects.to_owned(),
        grouped(wanted.events),
        grouped(got.events),
        megabytes(wanted.bytes),
        megabytes(got.bytes),
        grouped(repeats),
    ]
}

/// Formats `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut groups: Vec<&str> = Vec::new();
    groups.extend((first > 0).then(|| &digits[..first]));
    groups.extend((first..digits.len()).step_by(3).map(|at| &digits[at..at + 3]));
    groups.join(",")
}

/// Formats bytes in decimal millions.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(received: &[(&str, &str)]) -> Report {
        let mut report = Report {
            expected: Tally::default(),
            received: Tally::default(),
            objects_per_tag: BTreeMap::from([("edr.crowdstrike.insight.aidmaster".to_owned(), 1234)]),
            queues: vec![QueueState { deleted: 3, received: 3, ..QueueState::default() }],
            dead_letters: 0,
            sink_failures: vec![],
            elapsed: Duration::from_secs(2),
        };
        report.expected.record("edr.crowdstrike.insight.aidmaster", b"one");
        received.iter().for_each(|(tag, body)| report.received.record(tag, body.as_bytes()));
        report
    }

    const ALL: &[(&str, &str)] = &[("edr.crowdstrike.insight.aidmaster", "one")];

    #[test]
    fn everything_arrived() {
        let report = report(ALL);
        assert!(report.is_exact());
        let text = report.text();
        assert!(text.contains("0 missing,\n0 unexpected, 0 repeats"), "{text}");
        assert!(text.ends_with("Everything arrived."), "{text}");
    }

    #[test]
    fn every_kind_of_difference_is_told() {
        let missing = report(&[]);
        assert!(missing.text().contains("edr.crowdstrike.insight.aidmaster: 1 missing, 0 unexpected"));
        let repeated = report(&[ALL[0], ALL[0]]);
        assert!(repeated.text().contains("1 repeats"));
        let strange = report(&[ALL[0], ("my.app", "x")]);
        assert!(strange.text().contains("my.app: 0 missing, 1 unexpected"));
        let mut waiting = report(ALL);
        waiting.queues[0].in_flight = 1;
        let mut dead = report(ALL);
        dead.dead_letters = 1;
        for report in [missing, repeated, strange, waiting, dead] {
            assert!(!report.is_exact());
            assert!(report.text().contains("NOT everything"), "{}", report.text());
        }
    }

    #[test]
    fn the_table_fits_a_screen_with_real_figures() {
        let mut report = report(ALL);
        for _ in 0..987_654 {
            report.expected.count("edr.crowdstrike.insight.aidmaster", 999);
        }
        report.received = report.expected.clone();
        report.sink_failures = vec!["x".into(); 9];
        let widest = report.text().lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{widest:?}\n{}", report.text());
    }

    #[test]
    fn numbers_are_grouped() {
        let text: Vec<String> = [0, 12, 123, 1234, 123_456, 1_234_567].map(grouped).to_vec();
        assert_eq!(text, ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
        assert_eq!(megabytes(163_149_999), "163.1");
    }
}
