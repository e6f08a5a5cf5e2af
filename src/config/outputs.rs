//! The key `outputs`: the destinations of every event.

use super::context::Context;
use super::kind::Kind;
use super::memory::format_size;
use super::node::{Mapping, Node, means_off};
use super::numbers;
use super::problem::{Report, suggestion};
use super::{ignored, tls, url};
use crate::base::limits;
use crate::settings::{Confirmation, Rates};
use crate::settings::{Destination, Input, Output};

const DEVO_PORT: u16 = 443;

/// The vendor's names for outputs.
const TYPES: &[&str] = &["devo_platform", "DEVO", "syslog", "relay", "console"];

/// Reads the enabled outputs, in the order of the file.
pub(super) fn read(root: &Mapping<'_>, context: &Context<'_>) -> Vec<Output> {
    let Some(outputs) = root.mapping("outputs") else {
        no_output(root);
        return Vec::new();
    };
    let mut enabled = 0;
    let mut read = Vec::new();
    for (name, node) in outputs.named() {
        let Some(keys) = node.mapping() else { continue };
        if keys.boolean("enabled", true) {
            enabled += 1;
            read.extend(read_output(name, &node, keys, context));
        }
    }
    if enabled == 0 {
        no_output(root);
    }
    read
}

fn no_output(root: &Mapping<'_>) {
    // The console is no advice: printing counts as delivery, and the messages would be deleted.
    let advice = "write one to Devo: \"devo_1\": {\"type\": \"devo_platform\", \"config\": {\"address\": \"collector-us.devo.io\", \
                  \"chain\": \"chain.crt\", \"cert\": \"domain.crt\", \"key\": \"domain.key\"}}; a file without outputs, as the vendor's \
                  cloud server writes it, can stay as it is: --output FILE names one that has them";
    root.report.error(Kind::Missing, "outputs", "no output is enabled", advice);
}

fn read_output(name: &str, node: &Node<'_>, keys: Mapping<'_>, context: &Context<'_>) -> Option<Output> {
    let kind = keys.required("type", &format!("one of {}", TYPES.join(", ")));
    let empty = serde_json::Value::Object(serde_json::Map::new());
    let config = match keys.node("config") {
        Some(config) => config.mapping(),
        None => Node::new(keys.path_of("config"), &empty, node.report).mapping(),
    };
    keys.finish();
    let (kind, config) = (kind?, config?);
    let (senders, spares) = senders(&config);
    let destination = match kind.to_ascii_lowercase().as_str() {
        "devo_platform" | "devo" => platform(&config, context),
        "syslog" | "relay" => relay(&config, context),
        "console" => Some(Destination::Console),
        _ => {
            let path = format!("{}.type", node.path);
            let message = format!("{kind:?} is not a known type of output");
            node.report.error(Kind::Invalid, path, message, suggestion(&kind, TYPES));
            return None;
        }
    };
    let rates = Rates {
        events_per_second: rate(&config, "max_events_per_second"),
        bytes_per_second: rate(&config, "max_bytes_per_second"),
    };
    warn_of_rates_below_a_batch(&config, &rates);
    let gzip_level = gzip_level(&config, &kind);
    let confirmation = confirmation(&config, &destination);
    config.ignore(ignored::OUTPUT);
    config.finish();
    Some(Output {
        name: name.to_owned(),
        destination: destination?,
        senders,
        spares,
        gzip_level,
        confirmation,
        rates,
    })
}

/// Reads the numbers of senders, and of those that stand by. A written number of senders is a fixed one.
fn senders(config: &Mapping<'_>) -> (usize, usize) {
    let (is_written, mut senders) =
        (config.is_written("senders"), config.number("senders", &numbers::SENDERS));
    let most = config.integer_if_set("max_senders", numbers::MAX_SENDERS.range);
    let most = most.unwrap_or(if is_written { senders } else { numbers::MAX_SENDERS.default });
    if !is_written {
        senders = senders.min(most);
    }
    if most < senders {
        let message = format!("{most} is less than \"senders\", which is {senders}");
        let advice = "write a larger number, or omit it to keep the number of senders fixed";
        config.report.error(Kind::OutOfRange, config.path_of("max_senders"), message, advice);
    }
    let number = |count: i64| usize::try_from(count).unwrap_or_default();
    (number(senders), number(most - senders))
}

/// Reads Devo's own settings: TLS, with the domain identified by the client certificate.
fn platform(config: &Mapping<'_>, context: &Context<'_>) -> Option<Destination> {
    if transport(config) == Some(Transport::Tcp) {
        let advice = "write \"type\": \"SSL\"; for an in-house relay the output's type is \"syslog\"";
        config.report.error(Kind::Invalid, config.path_of("type"), "Devo accepts only TLS", advice);
    }
    let address = address(config, "collector-us.devo.io");
    let port = port(config, Some(DEVO_PORT));
    let files = tls::read(config, tls::Needs::Everything, context);
    Some(Destination::Tls { address: address?, port: port?, files: files? })
}

/// Reads an in-house relay's settings: TLS if it says so or names a chain.
fn relay(config: &Mapping<'_>, context: &Context<'_>) -> Option<Destination> {
    let transport = transport(config);
    let address = address(config, "relay.local");
    let port = port(config, None);
    if transport == Some(Transport::Tls) || (transport.is_none() && config.has("chain")) {
        let files = tls::read(config, tls::Needs::Nothing, context);
        return Some(Destination::Tls { address: address?, port: port?, files: files? });
    }
    for key in ["chain", "cert", "key"] {
        if config.string(key).is_some() {
            let advice = "write \"type\": \"SSL\" to use TLS, or remove it";
            config.report.error(Kind::Invalid, config.path_of(key), "has no effect without TLS", advice);
        }
    }
    Some(Destination::Tcp { address: address?, port: port? })
}

/// Reads the rates; absent means no limit.
fn rate(config: &Mapping<'_>, key: &'static str) -> Option<u64> {
    config.integer_if_set(key, 1..=i64::MAX).and_then(|rate| u64::try_from(rate).ok())
}

/// Warns of rates below one batch: a batch is sent whole, followed by a pause until the average is kept.
fn warn_of_rates_below_a_batch(config: &Mapping<'_>, rates: &Rates) {
    let batch = limits::BATCH_BYTES as u64;
    if let Some(rate) = rates.bytes_per_second.filter(|rate| *rate < batch) {
        let message = format!(
            "is less than one batch ({}): a batch is sent at once, followed by a pause of up to {} s",
            format_size(batch),
            batch.div_ceil(rate)
        );
        let advice = format!("the average is kept; for an even flow allow {batch} or more");
        config.report.warning(Kind::Doubtful, config.path_of("max_bytes_per_second"), message, advice);
    }
}

/// Warns of outputs that do not suit the inputs.
pub(super) fn check_with(inputs: &[Input], outputs: &[Output], report: &Report) {
    warn_of_deletion(inputs, outputs, report);
    warn_of_the_same_peer(outputs, report);
    let Some(fifo) = inputs.iter().find(|input| input.queue.is_fifo()) else { return };
    for output in outputs.iter().filter(|output| output.gzip_level.is_some()) {
        let path = format!("outputs.{}.config.compression", output.name);
        let message = format!(
            "does not apply to inputs.{}: events of a FIFO queue must stay in order and are sent uncompressed, over one connection",
            fifo.key
        );
        let advice = "omit \"compression\" if this is the only input, or use a standard queue";
        report.warning(Kind::Doubtful, path, message, advice);
    }
}

/// Warns of outputs that deliver to the same place. Two domains of Devo have one host, and are told apart by certificates.
fn warn_of_the_same_peer(outputs: &[Output], report: &Report) {
    for (index, later) in outputs.iter().enumerate() {
        let Some(first) =
            outputs[..index].iter().find(|first| is_same_peer(&first.destination, &later.destination))
        else {
            continue;
        };
        let message = format!(
            "delivers to the same place as outputs.{} ({}): every record is sent there once more",
            first.name, first.destination
        );
        let advice = "remove one of the two; for more connections write \"max_senders\"";
        report.warning(Kind::Doubtful, format!("outputs.{}", later.name), message, advice);
    }
}

fn is_same_peer(one: &Destination, other: &Destination) -> bool {
    let certificate = |destination: &Destination| match destination {
        Destination::Tls { files, .. } => files.identity.as_ref().map(|identity| identity.cert.clone()),
        Destination::Tcp { .. } | Destination::Console => None,
    };
    let text = |destination: &Destination| destination.to_string().to_ascii_lowercase();
    text(one) == text(other) && certificate(one) == certificate(other)
}

/// Warns if messages are deleted although their records are only printed.
fn warn_of_deletion(inputs: &[Input], outputs: &[Output], report: &Report) {
    let is_console = |output: &Output| matches!(output.destination, Destination::Console);
    if outputs.is_empty() || !outputs.iter().all(is_console) {
        return;
    }
    let deleting = inputs.iter().filter(|input| input.ack_messages && !input.queue.identity().is_empty());
    let queues: Vec<&str> = deleting.map(|input| input.queue.identity()).collect();
    if !queues.is_empty() {
        let message = format!(
            "no output goes to Devo, and messages are deleted once their records are printed: those of {}",
            queues.join(", ")
        );
        let advice = "write \"ack_messages\": false under the input to keep them (a service of an aws input has no such key: \
                      give it a queue of its own), or add an output of the type devo_platform";
        report.warning(Kind::Doubtful, "outputs", message, advice);
    }
}

#[derive(PartialEq)]
enum Transport {
    Tls,
    Tcp,
}

fn transport(config: &Mapping<'_>) -> Option<Transport> {
    let written = config.string("type")?;
    match written.to_ascii_uppercase().as_str() {
        "SSL" | "TLS" => Some(Transport::Tls),
        "TCP" | "CLEAR" => Some(Transport::Tcp),
        _ => {
            let message = format!("{written:?} is not a known transport");
            let advice = suggestion(&written, &["SSL", "TCP", "CLEAR"]);
            config.report.error(Kind::Invalid, config.path_of("type"), message, advice);
            None
        }
    }
}

fn address(config: &Mapping<'_>, example: &str) -> Option<String> {
    let advice = format!("write only the host's name or address, such as {example}");
    let address = config.required("address", &advice)?;
    let is_ip = address.parse::<std::net::IpAddr>().is_ok();
    let is_name = address.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    if is_ip || is_name {
        return Some(address);
    }
    let message = match address.contains('@') {
        true => url::LOGIN.to_owned(),
        false => format!("{address:?} is not a host name or address"),
    };
    config.report.error(Kind::Invalid, config.path_of("address"), message, advice);
    None
}

fn port(config: &Mapping<'_>, default: Option<u16>) -> Option<u16> {
    if let Some(port) = config.integer_if_set("port", numbers::PORT) {
        return u16::try_from(port).ok();
    }
    if default.is_none() && !config.has("port") {
        let advice = "relays listen on ports from 13000 up";
        config.report.error(Kind::Missing, config.path_of("port"), "is missing", advice);
    }
    default
}

/// Reads the console's settings; it has no peer.
fn confirmation(config: &Mapping<'_>, destination: &Option<Destination>) -> Confirmation {
    const KEY: &str = "confirmation";
    if matches!(destination, Some(Destination::Console)) {
        config.without_effect(
            &[KEY],
            "remove it: for the console, data that the kernel has taken counts as confirmed",
        );
        return Confirmation::default();
    }
    match config.string(KEY).as_deref() {
        None => Confirmation::default(),
        Some("acknowledgement") => Confirmation::Acknowledgement,
        Some("close") => Confirmation::Close,
        Some(other) => {
            let message = format!("{other:?} is not a known confirmation");
            let advice = suggestion(other, &["acknowledgement", "close"]);
            config.report.error(Kind::Invalid, config.path_of(KEY), message, advice);
            Confirmation::default()
        }
    }
}

/// Reads the compression. The vendor's threshold, above which its sender compresses, has no equivalent here: it is
/// always or never.
fn gzip_level(config: &Mapping<'_>, kind: &str) -> Option<u8> {
    const LEVEL: &str = "compression_level";
    if !wants_gzip(config, kind) {
        config.without_effect(&[LEVEL], "remove it, or write \"compression\": \"gzip\" beside it");
        return None;
    }
    u8::try_from(config.number(LEVEL, &numbers::COMPRESSION_LEVEL)).ok()
}

fn wants_gzip(config: &Mapping<'_>, kind: &str) -> bool {
    const KEY: &str = "compression";
    let Some(node) = config.node(KEY).filter(|node| !means_off(node.value)) else { return false };
    let problem = |message: String, advice: String| {
        config.report.error(Kind::Invalid, config.path_of(KEY), message, advice);
    };
    match node.text() {
        Some(written) if !written.eq_ignore_ascii_case("gzip") => {
            let message = format!("{written:?} is not a known compression");
            problem(message, suggestion(&written, &["gzip", "none"]));
        }
        Some(_) if kind.eq_ignore_ascii_case("console") => {
            problem("the console is not compressed".to_owned(), "remove it".to_owned());
        }
        Some(_) => return true,
        None => (),
    }
    false
}
