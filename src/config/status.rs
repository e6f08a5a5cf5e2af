//! The key `globals.status`: the status page and the metrics.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::context::Context;
use super::kind::Kind;
use super::node::Mapping;
use super::numbers;
use crate::settings::Status;

const PORT: u16 = 9600;

pub(super) fn default(context: &Context<'_>) -> Status {
    Status {
        address: (Ipv4Addr::LOCALHOST, PORT).into(),
        hosts: vec![context.environment.host_name.to_ascii_lowercase()],
    }
}

/// Reads the key; None if it is disabled.
pub(super) fn read(globals: &Mapping<'_>, context: &Context<'_>) -> Option<Status> {
    let mut status = default(context);
    let Some(keys) = globals.mapping("status") else { return Some(status) };
    let enabled = keys.boolean("enabled", true);
    let port = keys.integer("port", numbers::PORT, PORT.into());
    let address = address(&keys).unwrap_or(status.address.ip());
    status.address = SocketAddr::new(address, u16::try_from(port).unwrap_or(PORT));
    for host in keys.list("hosts") {
        status.hosts.extend(host.text().map(|name| name.trim().to_ascii_lowercase()));
    }
    keys.finish();
    enabled.then_some(status)
}

fn address(keys: &Mapping<'_>) -> Option<IpAddr> {
    let text = keys.string("address")?;
    let path = keys.path_of("address");
    let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() else {
        let advice = "write an IP address of this machine: 127.0.0.1, or 0.0.0.0 for all";
        keys.report.error(Kind::Invalid, path, format!("{text:?} is not an IP address"), advice);
        return None;
    };
    if !address.is_loopback() {
        let message = format!("everyone who can reach {address} can read the status page and the metrics");
        let advice =
            "there is no password and no TLS: leave it at 127.0.0.1, or restrict access with a firewall";
        keys.report.warning(Kind::Doubtful, path, message, advice);
    }
    Some(address)
}
