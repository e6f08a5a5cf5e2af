//! A short description of a configuration, for `check` and for the start of `run`. Shows no secrets.

use jiff::Timestamp;

use super::endpoints::QUEUE_SERVICES;
use super::memory::format_size;
use super::registry;
use crate::base::text::span;
use crate::decode::{EventBody, Format};
use crate::services::Definition;
use crate::settings::Service;
use crate::settings::shown_key_id;
use crate::settings::{
    Api, Audit, CloudTrail, Config, Credentials, Destination, Endpoints, Globals, GuardDuty, Input,
    InternalEvents, Logs, Metrics, Output, Shard, Source,
};

impl Config {
    /// Describes what would happen, with one line per input, service and output; details are indented.
    pub fn describe(&self) -> Vec<String> {
        let services: usize = self.inputs.iter().map(|input| input.services.len()).sum();
        let sources = self.sources.len();
        let counted = [(self.inputs.len(), "input"), (services, "service"), (sources, "polled source")];
        let counted =
            counted.into_iter().filter(|(number, _)| *number > 0).map(|(number, noun)| count(number, noun));
        let mut lines =
            vec![counted.chain([count(self.outputs.len(), "output")]).collect::<Vec<_>>().join(", ")];
        for input in &self.inputs {
            lines.extend(describe_input(input));
            for service in &input.services {
                lines.push(describe_service(service));
                lines.extend(note(service).map(|note| format!("    {note}")));
            }
        }
        lines.extend(self.sources.iter().flat_map(describe_source));
        lines.extend(self.outputs.iter().map(describe_output));
        lines.push(describe_globals(&self.globals));
        lines.extend(self.globals.internal_events.as_ref().map(describe_internal_events));
        lines.extend(self.globals.audit.as_ref().map(describe_audit));
        lines.extend(
            self.globals
                .status
                .as_ref()
                .map(|status| format!("status page and metrics: http://{}/", status.address)),
        );
        lines
    }
}

fn describe_input(input: &Input) -> Vec<String> {
    let receivers = count(input.receivers, "receiver");
    let mut lines = vec![
        format!("input {} (id {}): queue {} in {}", input.key, input.id, input.queue.text(), input.region),
        format!("  {receivers}, {}", describe_credentials(&input.credentials)),
    ];
    lines.extend(describe_endpoints(&input.endpoints, &QUEUE_SERVICES));
    let peculiarities = [
        (input.direct_mode, "the messages themselves are the logs"),
        (input.do_not_send, "nothing is sent (do_not_send)"),
        (!input.ack_messages, "messages stay in the queue"),
        (input.ack_messages && input.do_not_send, "messages are deleted unsent"),
    ];
    lines.extend(peculiarities.iter().filter(|(holds, _)| *holds).map(|(_, text)| format!("  {text}")));
    lines.extend(input.start_time.map(|time| format!("  objects written before {time} are skipped")));
    lines
}

fn describe_source(source: &Source) -> Vec<String> {
    let mut lines = vec![
        format!("source {} in {}: {}", source.name, source.region, source.reads),
        format!(
            "  every {} s, {} retries, {}{}",
            source.period.as_secs(),
            source.retries,
            source.requests_per_second.map_or(String::new(), |rate| {
                format!("at most {rate} requests/s for all sources with id {}, ", source.input)
            }),
            describe_credentials(&source.credentials)
        ),
        format!("  {} -> {}", describe_api(&source.api), source.service.template),
    ];
    lines.extend(describe_endpoints(&source.endpoints, &[source.api.service(), Service::Sts]));
    lines
}

fn describe_api(api: &Api) -> String {
    match api {
        Api::CloudTrail(cloudtrail) => describe_cloudtrail(cloudtrail),
        Api::Metrics(Metrics { namespaces, start_time, units }) => {
            let of = if namespaces.is_empty() { "all namespaces".to_owned() } else { namespaces.join(", ") };
            let units = if *units { "" } else { ", without units" };
            format!("metrics of {of} from {}{units}", describe_start(*start_time))
        }
        Api::Logs(Logs { group, start_time, first_by_streams, shard }) => {
            let by_streams = if *first_by_streams { ", the first time by streams with events" } else { "" };
            let group = match (group, shard) {
                (Some(group), _) => group.clone(),
                (None, None) => "all log groups".to_owned(),
                (None, Some(Shard { number, count })) => {
                    format!("part {number} of {count} of all log groups")
                }
            };
            format!("events of {group} from {}{by_streams}", describe_start(*start_time))
        }
        Api::GuardDuty(GuardDuty { start_time }) => {
            let from = start_time.map_or("as far back as there are any".to_owned(), |time| time.to_string());
            format!("findings updated from {from}")
        }
    }
}

fn describe_start(time: Option<Timestamp>) -> String {
    time.map_or("the first start".to_owned(), |time| time.to_string())
}

fn describe_cloudtrail(settings: &CloudTrail) -> String {
    let from = describe_start(settings.start_time);
    let sources = match settings.sources.as_slice() {
        [] => "all sources".to_owned(),
        some => some.join(", "),
    };
    let left_out = match settings.drop_event_names.as_slice() {
        [] => String::new(),
        names => format!(", without {}", names.join(", ")),
    };
    let (gap, slot) = (settings.gap.as_secs() / 60, settings.time_slot.as_secs() / 3600);
    format!("events of {sources} from {from} to {gap} min ago, {slot} h at a time{left_out}")
}

fn describe_endpoints(endpoints: &Endpoints, services: &[Service]) -> Option<String> {
    let at =
        |service: &Service| Some(format!("{} at {}", service.name().to_uppercase(), endpoints.of(*service)?));
    let variant = match (endpoints.variant.fips, endpoints.variant.dual_stack) {
        (true, true) => Some("AWS at its FIPS and dual-stack endpoints"),
        (true, false) => Some("AWS at its FIPS endpoints"),
        (false, true) => Some("AWS at its dual-stack endpoints"),
        (false, false) => None,
    };
    let variant = variant.map(str::to_owned);
    let set: Vec<String> = services.iter().filter_map(at).chain(variant).collect();
    (!set.is_empty()).then(|| format!("  {}", set.join(", ")))
}

fn describe_credentials(credentials: &Credentials) -> String {
    let mut text = match (&credentials.key, &credentials.profile) {
        (Some(key), _) => format!("access key {}", shown_key_id(&key.id)),
        (None, Some(profile)) => format!("credentials of profile {profile}"),
        (None, None) => "credentials from the standard AWS chain".to_owned(),
    };
    for role in [&credentials.base_role, &credentials.cross_account_role].into_iter().flatten() {
        text.push_str(&format!(", then role {role}"));
    }
    text
}

fn describe_service(service: &Definition) -> String {
    let mut tags: Vec<String> = vec![service.template.to_string()];
    tags.extend(service.cases.iter().map(|case| case.template.to_string()));
    let mut text =
        format!("  {} ({}) -> {}", service.name, describe_format(&service.format), tags.join(", "));
    for delegate in &service.delegates {
        text.push_str(&format!(", or as {}", delegate.name));
    }
    text
}

/// The row's description of a service that sends to the row's own table.
fn note(service: &Definition) -> Option<&'static str> {
    let row = registry::row(&service.name)?;
    let is_usual = row.definition.template == service.template && !row.note.is_empty();
    is_usual.then_some(row.note.as_str())
}

fn describe_output(output: &Output) -> String {
    let destination = match &output.destination {
        Destination::Tls { address, port, files } => {
            let identity = if files.identity.is_some() { "with" } else { "without" };
            format!("{address}:{port} over TLS {identity} a client certificate")
        }
        Destination::Tcp { address, port } => format!("{address}:{port} over plain TCP"),
        Destination::Console => return format!("output {}: the console", output.name),
    };
    let mut line = format!("output {}: {destination}, {}", output.name, count(output.senders, "sender"));
    if output.spares > 0 {
        line.push_str(&format!(", {} while they are the bottleneck", output.senders + output.spares));
    }
    if let Some(level) = output.gzip_level {
        line.push_str(&format!(", gzip level {level} (and a plain connection for events of several lines)"));
    }
    line
}

fn describe_globals(globals: &Globals) -> String {
    format!(
        "as {}: {} of memory, {}, {}, {} s to stop, state in {}",
        globals.host,
        format_size(globals.memory_limit),
        count(globals.workers, "worker"),
        count(globals.fetchers, "fetcher"),
        globals.shutdown_timeout.as_secs(),
        globals.state_directory.display(),
    )
}

fn describe_internal_events(events: &InternalEvents) -> String {
    let to = events.output.as_deref().map(|output| format!(" to {output}")).unwrap_or_default();
    format!("own statistics and warnings every {} s -> {}{to}", events.period.as_secs(), events.tag)
}

fn describe_audit(audit: &Audit) -> String {
    let (every, window, delay) = (span(audit.every), span(audit.window), span(audit.delay));
    let fix = if audit.fix { "sent" } else { "reported" };
    format!("audit every {every} of {window}, ending {delay} ago: missing objects are {fix}")
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A short description of a format.
pub fn describe_format(format: &Format) -> String {
    match format {
        Format::Lines { header_lines } => under("lines", *header_lines),
        Format::LinesWithHeaders { .. } => "lines without header lines".to_owned(),
        Format::CsvWithHeaders { .. } => "CSV records without header lines".to_owned(),
        Format::LinesUnder { prefix } => {
            format!("lines after headers with {}", String::from_utf8_lossy(prefix))
        }
        Format::SelectedLines { header_lines, .. } => under("some of the lines", *header_lines),
        Format::Csv { header_lines } => under("CSV records", *header_lines),
        Format::JsonLines => "JSON values".to_owned(),
        Format::Json { path } | Format::ReshapedJson { path, .. } => at("JSON", "values", path),
        Format::WholeJson { path } => at("whole JSON", "documents", path),
        Format::SeparatedJson { .. } => "JSON values between separators".to_owned(),
        Format::JsonArrayLines => "elements of a JSON array per line".to_owned(),
        Format::JsonValues { paths } => {
            let paths: Vec<String> = paths.iter().map(|path| path.join(".")).collect();
            format!("lines and values under {}", paths.join(", "))
        }
        Format::ExtractedJson { keys } => format!("JSON under {}", keys.join(", ")),
        Format::Parquet => "Parquet".to_owned(),
        Format::Detect => "lines or JSON values".to_owned(),
        Format::TextFile(file) => match (&file.json, file.header) {
            (Some(_), _) => "text whose fields become JSON".to_owned(),
            (None, true) => "text between separators, each preceded by the header".to_owned(),
            (None, false) => "text between separators".to_owned(),
        },
        Format::CloudWatch { body: EventBody::Event } => "CloudWatch log events".to_owned(),
        Format::CloudWatch { body: EventBody::Message } => "messages of CloudWatch log events".to_owned(),
        Format::Envelopes { detail } => {
            format!("JSON, or its value under {} or logEvents", detail.join("."))
        }
        Format::SnappyBlocks => "JSON values, plain or in snappy blocks".to_owned(),
        Format::Incapsula => "lines after an Imperva header".to_owned(),
        Format::Or { format, .. } | Format::Known { format, .. } => describe_format(format),
        Format::OrJson(text) => format!("{}, or JSON values", describe_format(text)),
        Format::Latin1(inner) => format!("{}, Latin-1", describe_format(inner)),
    }
}

fn under(what: &str, header_lines: u32) -> String {
    match header_lines {
        0 => what.to_owned(),
        lines => format!("{what} under {}", count(lines as usize, "header line")),
    }
}

fn at(what: &str, alone: &str, path: &[String]) -> String {
    if path.is_empty() { format!("{what} {alone}") } else { format!("{what} under {}", path.join(".")) }
}
