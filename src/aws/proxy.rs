//! The proxy for a host, from the variables that curl and the AWS command line read. Pure.
//!
//! `ureq`'s own reading uses one variable for all schemes, matches `NO_PROXY` names exactly and sends 127.0.0.1 to the
//! proxy; hence this.

use std::fmt;
use std::net::IpAddr;

/// A proxy as the environment names it.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// The variable's name.
    pub variable: &'static str,
    /// A URL, possibly without a scheme. It may contain a password.
    pub url: String,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.variable)
    }
}

/// A proxy through which there came no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// `host:port`, without user name and password.
    pub place: String,
    /// The variable that names it.
    pub variable: &'static str,
    pub stage: Stage,
}

/// How far a call through a proxy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// There is no connection to the proxy.
    Unreached,
    /// The proxy has refused the connection, with this status if it gave one.
    Refused(Option<u16>),
    /// Anything later, or unknown.
    Later,
}

/// The names of a variable, the first before the second.
type Names = [&'static str; 2];

const HTTPS: Names = ["https_proxy", "HTTPS_PROXY"];
const HTTP: Names = ["http_proxy", "HTTP_PROXY"];
const ALL: Names = ["all_proxy", "ALL_PROXY"];
const NONE: Names = ["no_proxy", "NO_PROXY"];

/// The environment's proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For https addresses.
    pub https: Option<Setting>,
    /// For http addresses.
    pub http: Option<Setting>,
    /// Hosts that are reached directly, in lower case.
    exceptions: Vec<String>,
}

impl Proxies {
    /// Reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, each also in lower case.
    pub fn read(env: impl Fn(&str) -> Option<String>) -> Self {
        let either = |names: Names| {
            let setting =
                |variable| env(variable).map(|url| Setting { variable, url: url.trim().to_owned() });
            names.into_iter().find_map(setting)
        };
        let proxy = |names| either(names).or_else(|| either(ALL)).filter(|setting| !setting.url.is_empty());
        let exceptions = either(NONE).map(|setting| setting.url.to_lowercase()).unwrap_or_default();
        Self {
            https: proxy(HTTPS),
            http: proxy(HTTP),
            exceptions: exceptions.split([',', ' ']).filter(|e| !e.is_empty()).map(str::to_owned).collect(),
        }
    }

    /// True if `host` (a name or an address, without port) is reached directly. This machine always is.
    pub fn bypasses(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_lowercase();
        let address = host.parse::<IpAddr>().ok();
        let is_here = host == "localhost" || address.is_some_and(|ip| ip.is_loopback());
        is_here || self.exceptions.iter().any(|exception| excepts(exception, &host, address))
    }
}

/// Matches `*`, `host`, `.domain`, `*.domain`, `domain` (including its sub-domains), `10.0.0.0/8`; a port is ignored.
fn excepts(exception: &str, host: &str, address: Option<IpAddr>) -> bool {
    if exception == "*" {
        return true;
    }
    if let Some(inside) = address.and_then(|ip| in_network(exception, ip)) {
        return inside;
    }
    let name = exception.rsplit_once(':').map_or(exception, |(name, _port)| name);
    let name = name.trim_start_matches('*').trim_start_matches('.');
    let parent = host.strip_suffix(name).unwrap_or_default();
    !name.is_empty() && (host == name || parent.ends_with('.'))
}

/// True if `ip` is in a network written as `address/bits`, or is the address; None if it is neither.
fn in_network(network: &str, ip: IpAddr) -> Option<bool> {
    let (base, bits) = network.split_once('/').unwrap_or((network, "128"));
    let base = base.parse::<IpAddr>().ok()?;
    let bits = bits.parse::<u32>().ok()?;
    Some(match (base, ip) {
        (IpAddr::V4(base), IpAddr::V4(ip)) => (base.to_bits() ^ ip.to_bits()).leading_zeros() >= bits.min(32),
        (IpAddr::V6(base), IpAddr::V6(ip)) => {
            (base.to_bits() ^ ip.to_bits()).leading_zeros() >= bits.min(128)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Proxies {
        Proxies::read(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn each_scheme_has_its_own() {
        let found = read(&[("HTTPS_PROXY", "http://s:1"), ("all_proxy", "http://a:2")]);
        let told = |setting: &Option<Setting>| setting.clone().map(|it| (it.variable, it.url));
        assert_eq!(told(&found.https), Some(("HTTPS_PROXY", "http://s:1".to_owned())));
        assert_eq!(told(&found.http), Some(("all_proxy", "http://a:2".to_owned())));
        assert!(!format!("{found:?}").contains("a:2"), "it may contain a password");
        assert_eq!(read(&[("HTTPS_PROXY", " ")]), Proxies::default());
    }

    #[test]
    fn exceptions() {
        let found =
            read(&[("NO_PROXY", "amazonaws.com, .corp,*.lan,10.0.0.0/8,host:8080,192.168.1.1,fd00::/8")]);
        for direct in [
            "sqs.eu-west-1.amazonaws.com",
            "AMAZONAWS.com",
            "a.corp",
            "b.lan",
            "10.1.2.3",
            "host",
            "192.168.1.1",
            "[fd12::1]",
            "127.0.0.1",
            "[::1]",
            "localhost",
        ] {
            assert!(found.bypasses(direct), "{direct}");
        }
        for proxied in ["myamazonaws.com", "amazonaws.com.cn", "11.0.0.1", "192.168.1.2", "fe80::1", "host2"]
        {
            assert!(!found.bypasses(proxied), "{proxied}");
        }
        assert!(read(&[("no_proxy", "*")]).bypasses("anything"));
        assert!(read(&[]).bypasses("127.1.2.3"));
    }

    proptest::proptest! {
        #[test]
        fn any_list_is_read_without_a_panic(list in "\\PC{0,40}", host in "\\PC{0,20}") {
            let _ = read(&[("NO_PROXY", &list)]).bypasses(&host);
        }
    }
}
