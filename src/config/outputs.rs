//! `outputs`: where every event goes.

use super::load::Context;
use super::node::{Mapping, Node};
use super::problem::{Kind, suggestion};
use super::{Destination, Output, tls};
use crate::limits;
use crate::send::Rates;

const DEVO_PORT: u16 = 443;
const SENDERS_DEFAULT: i64 = 2;

/// Keys of the vendor's that steer its own senders.
const WITHOUT_EFFECT: &[&str] = &[
    "compression_buffer_in_bytes",
    "compression_level",
    "concurrent_connections",
    "generate_metrics",
    "period_sender_stats_in_seconds",
];

/// The vendor's names for outputs.
const TYPES: &[&str] = &["devo_platform", "DEVO", "syslog", "relay", "console"];

/// Enabled outputs, in the order of the file.
pub(super) fn read(root: &Mapping<'_>, context: &Context<'_>) -> Vec<Output> {
    let Some(outputs) = root.mapping("outputs") else {
        no_output(root);
        return Vec::new();
    };
    let mut enabled = 0;
    let mut read = Vec::new();
    for (name, node) in outputs.entries() {
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
    let advice = "write at least one, such as \"console_1\": {\"type\": \"console\"}";
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
    let senders = config.integer("senders", 1..=limits::SENDERS_MAX as i64, SENDERS_DEFAULT);
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
    compressed_sending(&config);
    config.without_effect(WITHOUT_EFFECT, "remove them; \"senders\" is the number of connections");
    config.finish();
    Some(Output {
        name: name.to_owned(),
        destination: destination?,
        senders: usize::try_from(senders).ok()?,
        rates,
    })
}

/// Devo itself: TLS, and the domain is known by the client certificate.
fn platform(config: &Mapping<'_>, context: &Context<'_>) -> Option<Destination> {
    if transport(config) == Some(Transport::Tcp) {
        let advice = "write \"type\": \"SSL\"; for an in-house relay the output's type is \"syslog\"";
        config.report.error(Kind::Invalid, config.path_of("type"), "Devo takes TLS only", advice);
    }
    let address = address(config, "collector-us.devo.io");
    let port = port(config, Some(DEVO_PORT));
    let files = tls::read(config, tls::Needs::Everything, context);
    Some(Destination::Tls { address: address?, port: port?, files: files? })
}

/// An in-house relay: TLS if it says so or names a chain.
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
            config.report.error(Kind::Invalid, config.path_of(key), "is not used without TLS", advice);
        }
    }
    Some(Destination::Tcp { address: address?, port: port? })
}

/// Absent: no limit.
fn rate(config: &Mapping<'_>, key: &'static str) -> Option<u64> {
    config.has(key).then(|| config.integer(key, 1..=i64::MAX, 1)).and_then(|rate| u64::try_from(rate).ok())
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
    let advice = format!("write the host's name or address alone, such as {example}");
    let address = config.required("address", &advice)?;
    let is_ip = address.parse::<std::net::IpAddr>().is_ok();
    let is_name = address.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    if is_ip || is_name {
        return Some(address);
    }
    let message = format!("{address:?} is not the name or address of a host");
    config.report.error(Kind::Invalid, config.path_of("address"), message, advice);
    None
}

fn port(config: &Mapping<'_>, default: Option<u16>) -> Option<u16> {
    if let Some(port) = config.integer_if_set("port", 1..=65535) {
        return u16::try_from(port).ok();
    }
    if default.is_none() && !config.has("port") {
        let advice = "relays listen on ports from 13000 up";
        config.report.error(Kind::Missing, config.path_of("port"), "is missing", advice);
    }
    default
}

/// The vendor's switches for compressed sending.
fn compressed_sending(config: &Mapping<'_>) {
    for key in ["compression", "threshold_for_using_gzip_in_transport_layer"] {
        if config.node(key).is_some_and(|node| !means_plain(node.value)) {
            let advice = "remove it; events are then sent uncompressed";
            let message = "compressed sending is not supported yet by this version";
            config.report.error(Kind::Unsupported, config.path_of(key), message, advice);
        }
    }
}

fn means_plain(value: &serde_json::Value) -> bool {
    let text = match value {
        serde_json::Value::String(text) => text.trim().to_ascii_lowercase(),
        other => other.to_string(),
    };
    matches!(text.as_str(), "" | "0" | "0.0" | "false" | "no" | "none" | "off")
}
