//! A configuration in a few lines, for `check` and for the start of `run`. Shows no secret.

use super::memory::format_size;
use super::{Config, Credentials, Destination, Globals, Input, Output};
use crate::decode::Format;
use crate::services::Definition;

impl Config {
    /// What would happen, one line per input, service and output; details are indented.
    pub fn describe(&self) -> Vec<String> {
        let services: usize = self.inputs.iter().map(|input| input.services.len()).sum();
        let mut lines = vec![format!(
            "{}, {}, {}",
            count(self.inputs.len(), "input"),
            count(services, "service"),
            count(self.outputs.len(), "output"),
        )];
        for input in &self.inputs {
            lines.push(describe_input(input));
            lines.extend(input.services.iter().map(|service| describe_service(service)));
        }
        lines.extend(self.outputs.iter().map(describe_output));
        lines.push(describe_globals(&self.globals));
        lines
    }
}

fn describe_input(input: &Input) -> String {
    let mut line = format!(
        "input {} (id {}): queue {} in {}, {}, {}",
        input.key,
        input.id,
        input.queue_url,
        input.region,
        count(input.receivers, "receiver"),
        describe_credentials(&input.credentials),
    );
    let endpoints =
        [("SQS", &input.endpoints.sqs), ("S3", &input.endpoints.s3), ("STS", &input.endpoints.sts)];
    for (service, endpoint) in endpoints {
        if let Some(endpoint) = endpoint {
            line.push_str(&format!(", {service} at {endpoint}"));
        }
    }
    if input.direct_mode {
        line.push_str(", the messages are the logs");
    }
    if input.do_not_send {
        line.push_str(", nothing is sent");
    }
    if !input.ack_messages {
        line.push_str(", messages stay in the queue");
    }
    line
}

fn describe_credentials(credentials: &Credentials) -> String {
    let mut text = match &credentials.key {
        Some(key) => format!("access key {}", key.id),
        None => "credentials from the environment".to_owned(),
    };
    for role in [&credentials.base_role, &credentials.cross_account_role].into_iter().flatten() {
        text.push_str(&format!(", then role {role}"));
    }
    text
}

fn describe_service(service: &Definition) -> String {
    let mut tags: Vec<String> = vec![service.template.to_string()];
    tags.extend(service.cases.iter().map(|case| case.template.to_string()));
    format!("  {} ({}) -> {}", service.name, describe_format(&service.format), tags.join(", "))
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
    format!("output {}: {destination}, {}", output.name, count(output.senders, "sender"))
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

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A format in a few words.
pub fn describe_format(format: &Format) -> String {
    match format {
        Format::Lines { header_lines: 0 } => "lines".to_owned(),
        Format::Lines { header_lines } => {
            format!("lines under {}", count(*header_lines as usize, "header line"))
        }
        Format::Json { path } if path.is_empty() => "JSON values".to_owned(),
        Format::Json { path } => format!("JSON under {}", path.join(".")),
        Format::Detect => "lines or JSON values".to_owned(),
    }
}
