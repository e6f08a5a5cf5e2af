//! The `/metrics` page: a snapshot in Prometheus's text format, and the table of all metrics.
//!
//! The crate `prometheus-client` was considered: it writes OpenMetrics only, from metrics that are registered with it. Here
//! one snapshot becomes either format, and it has the values of services and outputs that a reload adds or removes.
//!
//! Formats: Prometheus, "Exposition formats" (text, version 0.0.4), and the OpenMetrics specification 1.0.

use std::fmt::Write as _;

use crate::telemetry::audit::AuditSnapshot;
use crate::telemetry::fleet::{FleetSnapshot, FleetSource};
use crate::telemetry::model::activity::Activity;
use crate::telemetry::model::endings::EndingTotals;
use crate::telemetry::model::groups::{
    CallTotals, DecodeTotals, DeliveredTotals, FetchTotals, InternalTotals, LedgerTotals, PollTotals,
    ReceiveTotals, SendTotals, SettleTotals, WaitTotals, WorkTotals,
};
use crate::telemetry::model::metric::{Kind, Metric};
use crate::telemetry::snapshot::{
    InputSnapshot, OutputSnapshot, Part, SenderSnapshot, ServiceSnapshot, Snapshot,
};
use crate::telemetry::tables::TableSnapshot;

/// Prefix of all metrics except those about the process, which have standard names.
const PREFIX: &str = "aws_to_devo_";
const PROCESS: &str = "process_";
const TOTAL: &str = "_total";

/// A metric with all its values.
#[derive(Debug)]
pub struct Family {
    /// The exposed name.
    pub name: String,
    pub help: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub samples: Vec<Sample>,
}

/// One sample, with a value for each of the family's labels.
#[derive(Debug)]
pub struct Sample {
    pub labels: Vec<String>,
    pub value: f64,
}

/// The two text formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Prometheus,
    OpenMetrics,
}

impl Form {
    /// Chooses the format by the request's `Accept`.
    pub fn accepted(accept: &str) -> Form {
        if accept.contains("application/openmetrics-text") { Form::OpenMetrics } else { Form::Prometheus }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Form::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

const COLLECTOR: &[Metric<Snapshot>] = &[
    gauge("ready", "1 if logs are or could be collected: the state of /readyz.", |s| {
        Some(f64::from(u8::from(s.ready)))
    }),
    gauge("memory_limit_bytes", "The bound on memory (globals.memory_limit).", |s| {
        Some(s.memory.limit as f64)
    }),
    gauge("compressed_held_bytes", "Compressed bytes of objects held now.", |s| {
        Some(s.memory.compressed as f64)
    }),
    gauge("compressed_held_limit_bytes", "Limit on compressed bytes held.", |s| {
        Some(s.memory.compressed_limit as f64)
    }),
    gauge("workers", "Threads that inflate, split and frame.", |s| Some(s.workers as f64)),
    gauge("fetchers", "Threads that GET objects.", |s| Some(s.fetchers as f64)),
    gauge("process_resident_memory_bytes", "Resident memory of the process.", |s| {
        s.process.resident.map(|bytes| bytes as f64)
    }),
    Metric {
        name: "process_cpu_seconds_total",
        help: "CPU time used by the process.",
        kind: Kind::Counter,
        value: |s| s.process.cpu_seconds,
    },
    gauge("process_open_fds", "Files and connections open in the process.", |s| {
        s.process.open_files.map(|count| count as f64)
    }),
    gauge("process_start_time_seconds", "Start time of the process, in seconds since 1970.", |s| {
        Some(s.start_time)
    }),
];

const INPUT: &[Metric<InputSnapshot>] = &[
    gauge("queue_messages", "Messages waiting in the queue, estimated by SQS.", |i| {
        i.queue.available.map(|n| n as f64)
    }),
    gauge("queue_messages_in_flight", "Messages in flight with any collector, estimated by SQS.", |i| {
        i.queue.in_flight.map(|n| n as f64)
    }),
    gauge("queue_messages_delayed", "Messages that SQS does not deliver yet (delay).", |i| {
        i.queue.delayed.map(|n| n as f64)
    }),
    gauge(
        "queue_depth_age_seconds",
        "Age of the queue depth reported by SQS. The depth itself is absent when older than a minute.",
        |i| i.queue.depth_age_seconds,
    ),
    gauge("receive_age_seconds", "Time since SQS last answered a receive.", |i| i.queue.receive_age_seconds),
    gauge(
        "queue_oldest_message_seconds",
        "Age of the oldest message of the latest receive; 0 if it was empty.",
        |i| i.queue.oldest_seconds,
    ),
    gauge("dead_letter_messages", "Messages in the queue's dead-letter queue, estimated by SQS.", |i| {
        i.queue.dead_letters.map(|n| n as f64)
    }),
    gauge(
        "dead_letter_age_seconds",
        "Age of the number of dead letters reported by SQS, which is absent when older than a minute.",
        |i| i.queue.dead_letters_age_seconds,
    ),
    gauge(
        "credentials_expiry_timestamp_seconds",
        "Expiry of the credentials in use, in seconds since 1970; absent if they do not expire.",
        |i| i.credentials_expire_at,
    ),
];

const SERVICE: &[Metric<ServiceSnapshot>] = &[
    gauge(
        "lag_seconds",
        "Age by event time of the oldest object in flight; if none is, the delay of the last delivered object. For a source behind an API: age of the time up to which everything is delivered.",
        |s| s.lag_seconds,
    ),
    gauge(
        "last_delivery_lag_seconds",
        "Time from event to delivery, for the last delivered object, or for the position of a source behind an API.",
        |s| s.last_lag_seconds,
    ),
    gauge(
        "last_delivery_timestamp_seconds",
        "Time of the last delivery of an object, in seconds since 1970; absent before the first.",
        |s| s.last_delivery_at,
    ),
];

const OUTPUT: &[Metric<OutputSnapshot>] = &[
    gauge(
        "output_senders",
        "Threads that send at present, each with its own connection; those that stand by are not among them.",
        |o| Some(o.senders.len() as f64),
    ),
    gauge("output_connections_open", "Open connections.", |o| Some(o.in_state(Activity::Connected) as f64)),
    gauge("output_connections_opening", "Connections being opened.", |o| {
        Some(o.in_state(Activity::Connecting) as f64)
    }),
    gauge("output_senders_backing_off", "Senders in backoff before they reconnect.", |o| {
        Some(o.in_state(Activity::BackingOff) as f64)
    }),
    gauge(
        "output_certificate_expiry_timestamp_seconds",
        "Expiry of the output's client certificate, in seconds since 1970; absent if it has none.",
        |o| o.certificate_expires_at,
    ),
    gauge(
        "output_unacknowledged_seconds",
        "Time that the peer has owed an acknowledgement, on the worst connection; absent if none is owed.",
        |o| o.unacknowledged_seconds,
    ),
    gauge("output_unconfirmed_bytes", "Bytes written but not confirmed by the peer.", |o| {
        Some(o.unconfirmed() as f64)
    }),
];

const SENDER: &[Metric<SenderSnapshot>] = &[
    gauge("sender_unconfirmed_bytes", "Bytes written by this sender but not confirmed by the peer.", |s| {
        Some(s.unconfirmed as f64)
    }),
    gauge("sender_state_seconds", "Time that this sender has been in its current state.", |s| {
        Some(s.seconds)
    }),
];

const SENDER_STATE: &[Metric<bool>] =
    &[gauge("sender_state", "1 for the current state of this sender, 0 for the others.", |is_in| {
        Some(f64::from(u8::from(*is_in)))
    })];

const TABLE: &[Metric<TableSnapshot>] = &[
    Metric {
        name: "table_events_total",
        help: "Events delivered, by Devo table: known to have reached every output. The tables beyond the first 300 count under an empty name.",
        kind: Kind::Counter,
        value: |table| Some(table.events as f64),
    },
    Metric {
        name: "table_bytes_total",
        help: "Bytes of frames delivered, by Devo table.",
        kind: Kind::Counter,
        value: |table| Some(table.bytes as f64),
    },
];

const PART: &[Metric<Part>] = &[
    gauge("trouble", "1 if this part currently fails or does not answer.", |p| {
        Some(f64::from(u8::from(p.trouble.as_ref().is_some_and(|trouble| !trouble.warning))))
    }),
    gauge("warning", "1 if this part has a problem although logs are collected.", |p| {
        Some(f64::from(u8::from(p.trouble.as_ref().is_some_and(|trouble| trouble.warning))))
    }),
];

const ENDING: &[Metric<u64>] = &[Metric {
    name: "objects_ended_total",
    help: "Objects (also message bodies, and pages of API answers) by how they ended and why; a refused one counts each time its message comes back. Without a service: unreadable messages, and objects of no service.",
    kind: Kind::Counter,
    value: |count| Some(*count as f64),
}];

const BUILD: &[Metric<Snapshot>] = &[gauge("build_info", "1; the version is the label.", |_| Some(1.0))];

const fn gauge<T>(name: &'static str, help: &'static str, value: fn(&T) -> Option<f64>) -> Metric<T> {
    Metric { name, help, kind: Kind::Gauge, value }
}

/// Every metric, with the values of a snapshot.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let s = snapshot;
    let none = || vec![Vec::new()];
    let inputs = || s.inputs.iter().map(|i| vec![i.name.clone()]).collect::<Vec<_>>();
    let outputs = || s.outputs.iter().map(|o| vec![o.name.clone()]).collect::<Vec<_>>();
    let services: Vec<&ServiceSnapshot> = s.inputs.iter().flat_map(|i| &i.services).collect();
    let of_service = || {
        s.inputs
            .iter()
            .flat_map(|i| i.services.iter().map(|v| vec![i.name.clone(), v.name.clone()]))
            .collect()
    };
    let senders: Vec<_> = s.outputs.iter().flat_map(|o| o.senders.iter().map(move |one| (o, one))).collect();
    let of_sender = senders.iter().map(|(o, one)| vec![o.name.clone(), one.name.clone()]).collect::<Vec<_>>();
    let is_in: Vec<bool> =
        senders.iter().flat_map(|(_, one)| Activity::ALL.map(|state| one.state == state)).collect();
    let of_state = of_sender.iter().flat_map(|labels| {
        Activity::ALL.map(|state| [labels.as_slice(), &[state.name().to_owned()]].concat())
    });
    let of_state = of_state.collect();
    let (of_ending, ended) = endings(s);
    let parts = s.parts.iter().map(|p| vec![p.name.clone()]).collect();
    let shared = s.fleet.sources.iter().map(|source| vec![source.name.clone()]).collect();
    let tables = s.tables.iter().map(|table| vec![table.name.clone()]).collect();
    const NONE: &[&str] = &[];
    const IN: &[&str] = &["input"];
    const SERVED: &[&str] = &["input", "service"];
    const ENDED: &[&str] = &["input", "service", "ending", "reason"];
    const OUT: &[&str] = &["output"];
    const SENDING: &[&str] = &["output", "sender"];
    const STATED: &[&str] = &["output", "sender", "state"];
    [
        of(BUILD, &["version"], vec![vec![s.version.to_owned()]], vec![s]),
        of(COLLECTOR, NONE, none(), vec![s]),
        of(PART, &["part"], parts, s.parts.iter().collect()),
        of(DeliveredTotals::METRICS, SERVED, of_service(), services.iter().map(|v| &v.delivered).collect()),
        of(ENDING, ENDED, of_ending, ended.iter().collect()),
        of(SERVICE, SERVED, of_service(), services.clone()),
        of(INPUT, IN, inputs(), s.inputs.iter().collect()),
        of(ReceiveTotals::METRICS, IN, inputs(), s.inputs.iter().map(|i| &i.receive).collect()),
        of(PollTotals::METRICS, IN, inputs(), s.inputs.iter().map(|i| &i.poll).collect()),
        of(FetchTotals::METRICS, IN, inputs(), s.inputs.iter().map(|i| &i.fetch).collect()),
        of(WorkTotals::METRICS, NONE, none(), vec![&s.work]),
        of(DecodeTotals::METRICS, SERVED, of_service(), services.iter().map(|v| &v.decode).collect()),
        of(TABLE, &["table"], tables, s.tables.iter().collect()),
        of(OUTPUT, OUT, outputs(), s.outputs.iter().collect()),
        of(SendTotals::METRICS, OUT, outputs(), s.outputs.iter().map(|o| &o.send).collect()),
        of(SENDER, SENDING, of_sender, senders.iter().map(|(_, one)| *one).collect()),
        of(SENDER_STATE, STATED, of_state, is_in.iter().collect()),
        of(SettleTotals::METRICS, IN, inputs(), s.inputs.iter().map(|i| &i.settle).collect()),
        of(CallTotals::METRICS, IN, inputs(), s.inputs.iter().map(|i| &i.calls).collect()),
        of(WaitTotals::METRICS, NONE, none(), vec![&s.waits]),
        of(LedgerTotals::METRICS, NONE, none(), vec![&s.ledger]),
        of(InternalTotals::METRICS, NONE, none(), vec![&s.internal]),
        of(AuditSnapshot::METRICS, NONE, none(), vec![&s.audit]),
        of(FleetSnapshot::METRICS, NONE, none(), vec![&s.fleet]),
        of(FleetSource::METRICS, &["source"], shared, s.fleet.sources.iter().collect()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The labels and counts of all endings.
fn endings(s: &Snapshot) -> (Vec<Vec<String>>, Vec<u64>) {
    let mut all = Vec::new();
    let mut add = |input: &str, service: &str, totals: &EndingTotals, only_some: bool| {
        // Endings without a service are few; the others are omitted.
        let shown = totals.iter().filter(|(ending, count)| *count > 0 || ending.is_of_service() != only_some);
        all.extend(shown.map(|(ending, count)| {
            let labels = [input, service, ending.name(), ending.reason()].map(str::to_owned);
            (labels.to_vec(), count)
        }));
    };
    for input in &s.inputs {
        add(&input.name, "", &input.endings, true);
        input.services.iter().for_each(|service| add(&input.name, &service.name, &service.endings, false));
    }
    all.into_iter().unzip()
}

/// The metrics of several items, with their labels.
fn of<T>(
    metrics: &[Metric<T>],
    labels: &'static [&'static str],
    values: Vec<Vec<String>>,
    things: Vec<&T>,
) -> Vec<Family> {
    let family = |metric: &Metric<T>| Family {
        name: if metric.name.starts_with(PROCESS) {
            metric.name.into()
        } else {
            format!("{PREFIX}{}", metric.name)
        },
        help: metric.help.trim(),
        kind: metric.kind,
        labels,
        samples: things
            .iter()
            .zip(&values)
            .filter_map(|(thing, labels)| {
                Some(Sample { labels: labels.clone(), value: (metric.value)(thing)? })
            })
            .collect(),
    };
    metrics.iter().map(family).collect()
}

/// Returns the text of `/metrics`.
pub fn text(snapshot: &Snapshot, form: Form) -> String {
    let mut text = String::new();
    for family in families(snapshot).iter().filter(|family| !family.samples.is_empty()) {
        write_family(&mut text, family, form);
    }
    if form == Form::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

/// Writing to a String cannot fail.
fn write_family(text: &mut String, family: &Family, form: Form) {
    let kind = if family.kind == Kind::Counter { "counter" } else { "gauge" };
    // OpenMetrics omits the samples' suffix in the family's name.
    let name = match form {
        Form::OpenMetrics => family.name.strip_suffix(TOTAL).unwrap_or(&family.name),
        Form::Prometheus => &family.name,
    };
    let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", family.help);
    for sample in &family.samples {
        text.push_str(&family.name);
        let labels = family.labels.iter().zip(&sample.labels);
        for (number, (label, value)) in labels.enumerate() {
            let _ = write!(text, "{}{label}=\"{}\"", if number == 0 { '{' } else { ',' }, escaped(value));
        }
        let _ = writeln!(text, "{} {}", if family.labels.is_empty() { "" } else { "}" }, sample.value);
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The metrics as a Markdown table, for the documentation.
pub fn table() -> String {
    let mut table = "| metric | kind | labels | what |\n|---|---|---|---|\n".to_owned();
    for Family { name, help, kind, labels, .. } in families(&Snapshot::default()) {
        let kind = if kind == Kind::Counter { "counter" } else { "gauge" };
        let _ = writeln!(table, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Telemetry, testing};

    fn snapshot() -> Snapshot {
        let telemetry: Telemetry = testing::telemetry();
        telemetry.inputs[0].receive.messages.add(3);
        telemetry.inputs[0].services[1].delivered.events.add(42);
        let [first, _second] =
            ["send-devo_1-0", "send-devo_1-1"].map(|name| telemetry.outputs[0].add_sender(name));
        first.unconfirmed.add(7);
        let _open = first.during(Activity::Connected);
        telemetry.snapshot(testing::now())
    }

    #[test]
    fn values_stand_under_their_labels() {
        let text = text(&snapshot(), Form::Prometheus);
        for line in [
            "aws_to_devo_messages_received_total{input=\"sqs_collector\"} 3",
            "aws_to_devo_events_total{input=\"sqs_collector\",service=\"aws_sqs_vpc\"} 42",
            "aws_to_devo_events_total{input=\"sqs_collector\",service=\"a \\\"b\\\\\\n\"} 0",
            "aws_to_devo_output_unconfirmed_bytes{output=\"devo_1\"} 7",
            "aws_to_devo_output_connections_open{output=\"devo_1\"} 1",
            "aws_to_devo_sender_unconfirmed_bytes{output=\"devo_1\",sender=\"send-devo_1-0\"} 7",
            "aws_to_devo_sender_state{output=\"devo_1\",sender=\"send-devo_1-0\",state=\"connected\"} 1",
            "aws_to_devo_sender_state{output=\"devo_1\",sender=\"send-devo_1-1\",state=\"connected\"} 0",
            "aws_to_devo_sender_state{output=\"devo_1\",sender=\"send-devo_1-1\",state=\"idle\"} 1",
            "# TYPE aws_to_devo_events_total counter",
            "aws_to_devo_ready 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("# EOF"));
    }

    #[test]
    fn open_metrics_names_families_without_the_suffix_and_ends() {
        let text = text(&snapshot(), Form::accepted("application/openmetrics-text;version=1.0.0,*/*;q=0.1"));
        assert!(text.contains("# TYPE aws_to_devo_events counter\n"), "{text}");
        assert!(text.contains("\naws_to_devo_events_total{"), "{text}");
        assert!(text.ends_with("# EOF\n"));
        assert_eq!(Form::accepted("text/plain"), Form::Prometheus);
    }

    #[test]
    fn names_are_unique_and_tell_counters_from_gauges() {
        let families = families(&Snapshot::default());
        let mut names: Vec<_> = families.iter().map(|f| f.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), families.len());
        for family in &families {
            assert_eq!(family.name.ends_with(TOTAL), family.kind == Kind::Counter, "{}", family.name);
            assert!(family.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            assert!(
                family.help.ends_with('.') && !family.help.contains(['\n', '\\', '|']),
                "{}",
                family.help
            );
        }
    }
}
