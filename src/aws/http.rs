//! The HTTP agent: one connection pool for all threads, with every default of `ureq` set explicitly.

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Proxy, ProxyProtocol};

use super::error::Error;
use super::failure::{header, http_time};
use super::kind::Kind;
use super::names::Names;
use super::proxy::{Proxies, Setting, Stage, Via};
use super::request::Request;
use super::success::Unusable;
use crate::base::budget::Budget;
use crate::base::buffers::{Buffer, Buffers};
use crate::base::limits::{
    ANSWER_BYTES_FREE, ANSWER_BYTES_UNKNOWN, ANSWERS_BYTES, AWS_BODY_TIMEOUT, AWS_CONNECT_TIMEOUT,
    AWS_IDLE_AGE, AWS_INPUT_BYTES, AWS_OUTPUT_BYTES, AWS_RESPONSE_TIMEOUT, READ_BYTES,
};
use crate::base::stop::Stop;

/// Sends requests over pooled connections. Clones share the pool.
#[derive(Clone)]
pub struct Http(Arc<Shared>);

struct Shared {
    transport: Box<dyn Transport>,
    room: Room,
}

/// The carrier of requests to AWS and of their answers: the network, or a model of it.
pub trait Transport: Send + Sync {
    /// Sends `request` with its own and the `signed` headers; returns when the answer's head has arrived.
    ///
    /// # Errors
    /// The reason why there is no answer.
    fn send(
        &self,
        request: &Request,
        signed: &[(&'static str, String)],
    ) -> Result<http::Response<Body>, Fault>;

    /// Aborts every call in flight and refuses new ones.
    fn shutdown(&self);
}

/// A proxy that calls go through, and the agent for it.
struct Route {
    agent: Agent,
    /// `host:port`, without user name and password.
    place: String,
    /// The variable that names it.
    variable: &'static str,
}

/// One agent per proxy or direct route. Setting the proxy per request would work, but then `ureq` would parse all
/// certificate authorities for each connection and never resume a TLS session.
struct Agents {
    proxies: Proxies,
    direct: Agent,
    /// For https addresses.
    by_https_proxy: Option<Route>,
    /// For http addresses.
    by_http_proxy: Option<Route>,
}

/// An answer whose head has arrived.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    body: Body,
    room: Room,
}

/// The memory of answers that are read as a whole, until they have been parsed.
#[derive(Debug, Clone)]
struct Room {
    budget: Budget,
    buffers: Buffers,
    is_shut: Stop,
}

/// The reason why there is no answer, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    pub message: String,
    /// The proxy that the call was to go through.
    pub via: Option<Box<Via>>,
}

impl Http {
    /// Creates an agent for `threads` threads. Proxies and `AWS_CA_BUNDLE` (a PEM file that replaces the usual
    /// certificate authorities) come from the environment; the error says which of them is wrong.
    pub fn new(threads: usize) -> Result<Self, Error> {
        let env = |name: &str| std::env::var(name).ok();
        let bundle = env("AWS_CA_BUNDLE").filter(|path| !path.is_empty());
        Self::with(threads, Proxies::read(env), bundle.as_deref().map(Path::new))
    }

    /// Does the same as [`Http::new`], with the given environment.
    pub fn with(threads: usize, proxies: Proxies, ca_bundle: Option<&Path>) -> Result<Self, Error> {
        let roots = match ca_bundle {
            Some(path) => bundle_roots(path)?,
            None => usual_roots(),
        };
        let tls = tls(roots);
        let by = |setting: Option<&Setting>| {
            let Some(setting) = setting else { return Ok(None) };
            let proxy = proxy(setting)?;
            let place = format!("{}:{}", proxy.host(), proxy.port());
            Ok(Some(Route { agent: agent(threads, &tls, Some(proxy)), place, variable: setting.variable }))
        };
        Ok(Self::over(Agents {
            direct: agent(threads, &tls, None),
            by_https_proxy: by(proxies.https.as_ref())?,
            by_http_proxy: by(proxies.http.as_ref())?,
            proxies,
        }))
    }

    /// Sends requests by another way than over the network.
    pub fn over(transport: impl Transport + 'static) -> Self {
        Self(Arc::new(Shared { transport: Box::new(transport), room: Room::new() }))
    }

    /// Sends `request` with its own and the `signed` headers; returns when the answer's head has arrived.
    pub fn send(&self, request: &Request, signed: &[(&'static str, String)]) -> Result<Answer, Fault> {
        let outcome = self.0.transport.send(request, signed);
        let (head, body) = outcome.map_err(|fault| self.fault(fault))?.into_parts();
        if !has_one_end(&head.headers) {
            return Err(Fault::transient(
                "the answer says in two ways where it ends (Content-Length and Transfer-Encoding, or two lengths), so it \
                 may be cut off; a proxy in between may be at fault",
            ));
        }
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, room: self.0.room.clone() })
    }

    /// Aborts every call in flight, including long polls, and refuses new ones. Only for the end.
    pub fn shutdown(&self) {
        self.0.room.is_shut.stop();
        self.0.transport.shutdown();
    }

    fn fault(&self, fault: Fault) -> Fault {
        if self.0.room.is_shut.is_stopped() {
            return Fault::new(Kind::Stopped, "stopped");
        }
        fault
    }
}

/// True unless an answer's head gives its body two ends (RFC 9112, section 6.3).
fn has_one_end(headers: &HeaderMap) -> bool {
    let lengths = headers.get_all("content-length").into_iter();
    let mut lengths =
        lengths.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let length = lengths.next();
    lengths.all(|other| Some(other) == length)
        && (length.is_none() || !headers.contains_key("transfer-encoding"))
}

impl Transport for Agents {
    fn send(
        &self,
        request: &Request,
        signed: &[(&'static str, String)],
    ) -> Result<http::Response<Body>, Fault> {
        let own = request.headers.iter().chain(signed);
        let mut builder = http::Request::builder().method(request.method).uri(request.url());
        for (name, value) in own {
            builder = builder.header(*name, value);
        }
        let outcome = if request.method == "GET" {
            self.run(builder.body(()).map_err(unsendable)?, request)
        } else {
            self.run(builder.body(request.body.as_slice()).map_err(unsendable)?, request)
        };
        outcome.map_err(|error| {
            let route = request.url().parse().ok().and_then(|uri| self.route_for(&uri));
            Fault::through(route, error)
        })
    }

    fn shutdown(&self) {
        let by_proxy = [&self.by_https_proxy, &self.by_http_proxy].into_iter().flatten();
        by_proxy.map(|route| &route.agent).chain([&self.direct]).for_each(|agent| agent.clone().shutdown());
    }
}

impl Agents {
    fn run<B: ureq::AsSendBody>(
        &self,
        message: http::Request<B>,
        request: &Request,
    ) -> Result<http::Response<Body>, ureq::Error> {
        let agent = self.agent_for(message.uri());
        if request.response_timeout == AWS_RESPONSE_TIMEOUT && request.time_limit.is_none() {
            return agent.run(message);
        }
        let message = agent.configure_request(message).timeout_global(request.time_limit);
        // The body of a call with an overall limit needs no limit of its own.
        let body = request.time_limit.unwrap_or(AWS_BODY_TIMEOUT);
        let message = message.timeout_recv_body(Some(body));
        agent.run(message.timeout_recv_response(Some(request.response_timeout)).build())
    }

    fn agent_for(&self, uri: &http::Uri) -> &Agent {
        self.route_for(uri).map_or(&self.direct, |route| &route.agent)
    }

    /// The proxy for an address. None if it is reached directly.
    fn route_for(&self, uri: &http::Uri) -> Option<&Route> {
        let Agents { proxies, by_https_proxy, by_http_proxy, .. } = self;
        let by_proxy = if uri.scheme_str() == Some("http") { by_http_proxy } else { by_https_proxy };
        by_proxy.as_ref().filter(|_| !proxies.bypasses(uri.host().unwrap_or_default()))
    }
}

impl Room {
    fn new() -> Room {
        Room { budget: Budget::new(ANSWERS_BYTES), buffers: Buffers::new(0), is_shut: Stop::new() }
    }

    /// A buffer for an answer of that length. Its holder only reads and parses the answer, waiting for nothing but the
    /// network, so this wait is short.
    fn take(&self, length: usize) -> Result<Buffer, Fault> {
        if length <= ANSWER_BYTES_FREE {
            return Ok(self.buffers.take(0));
        }
        match self.budget.acquire(length, &self.is_shut) {
            Some(permit) => Ok(self.buffers.charged(permit)),
            None => Err(Fault::new(Kind::Stopped, "stopped")),
        }
    }
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The server's time. None if it has none, or if the answer comes from a cache and has its original time.
    pub fn date(&self) -> Option<SystemTime> {
        header(&self.headers, "date").filter(|_| header(&self.headers, "age").is_none()).and_then(http_time)
    }

    /// The whole body, if it is no longer than `bytes_max`. A large one waits until there is room for it among the
    /// answers being read; drop it as soon as it has been parsed.
    pub fn read_all(&mut self, bytes_max: usize) -> Result<Buffer, Fault> {
        let length = header(&self.headers, "content-length").and_then(|length| length.parse().ok());
        let length: Option<usize> = length.filter(|length| *length <= bytes_max);
        let mut body = self.room.take(length.unwrap_or(ANSWER_BYTES_UNKNOWN))?;
        // One byte more than allowed, so that the limit's own error occurs.
        let wanted = length.unwrap_or(bytes_max.saturating_add(1)) as u64;
        let mut reader = self.body.with_config().limit(bytes_max as u64).reader();
        let taken = append(&mut reader, wanted, length.is_some(), &mut body)?;
        // Reading to the end returns the connection to the pool.
        std::io::copy(&mut reader, &mut std::io::sink())?;
        match length {
            Some(length) if taken < length as u64 => {
                Err(Fault::transient(format!("the answer ended after {taken} of {length} bytes")))
            }
            _ => Ok(body),
        }
    }

    /// Up to `bytes_max` of the body, without an error if there is more or if it breaks off.
    pub fn read_some(&mut self, bytes_max: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.body.as_reader().take(bytes_max as u64).read_to_end(&mut bytes);
        bytes
    }

    /// The body as it arrives.
    pub fn reader(&mut self) -> impl Read + '_ {
        self.body.as_reader()
    }
}

/// Appends up to `wanted` bytes, directly from the connection's buffer, and returns how many came. `is_announced` means
/// that this many will come; without it, memory is allocated as they come.
pub(super) fn append(
    reader: &mut impl Read,
    wanted: u64,
    is_announced: bool,
    into: &mut Buffer,
) -> Result<u64, Fault> {
    let before = into.len();
    let room = usize::try_from(wanted)
        .map_err(|_| Fault::transient("an answer larger than the available memory"))?;
    if is_announced {
        into.make_room(room);
    }
    let (mut filled, end) = (before, before.saturating_add(room));
    while filled < end {
        // In pieces, so that cleared memory is overwritten while it is in the cache.
        let next = end.min(filled + READ_BYTES);
        if next > into.capacity() {
            let length = into.len();
            into.make_room(end.min(next + filled) - length);
        }
        into.resize(next, 0);
        match reader.read(&mut into[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                into.truncate(filled);
                return Err(Fault::from(error));
            }
        }
    }
    into.truncate(filled);
    Ok((filled - before) as u64)
}

impl Fault {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), via: None }
    }

    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(Kind::Transient, message)
    }

    /// A failure of a call that was to go through a proxy.
    fn through(route: Option<&Route>, error: ureq::Error) -> Self {
        let stage = stage_of(&error);
        let mut fault = Self::from(error);
        if let Some(Route { place, variable, .. }) = route {
            fault.message = format!("{}, through the proxy {place}", fault.message);
            fault.via = Some(Box::new(Via { place: place.clone(), variable, stage }));
        }
        fault
    }
}

fn stage_of(error: &ureq::Error) -> Stage {
    use ureq::{Error as E, Timeout};
    match error {
        E::ConnectProxyFailed(why) => Stage::Refused(proxy_status(why)),
        E::HostNotFound | E::ConnectionFailed | E::Timeout(Timeout::Resolve | Timeout::Connect) => {
            Stage::Unreached
        }
        E::Io(inner) if is_unreached(inner.kind()) => Stage::Unreached,
        _ => Stage::Later,
    }
}

fn is_unreached(kind: ErrorKind) -> bool {
    use ErrorKind as K;
    matches!(kind, K::ConnectionRefused | K::HostUnreachable | K::NetworkUnreachable | K::AddrNotAvailable)
}

/// The status in `ureq`'s words: `proxy server responded 407/407`.
fn proxy_status(why: &str) -> Option<u16> {
    why.rsplit_once('/')?.1.parse().ok()
}

impl From<Unusable> for Fault {
    fn from(unusable: Unusable) -> Self {
        let kind = match &unusable {
            Unusable::Foreign(_) => Kind::Foreign,
            Unusable::Odd(_) => Kind::BadRequest,
        };
        Self::new(kind, unusable.to_string())
    }
}

impl From<ureq::Error> for Fault {
    fn from(error: ureq::Error) -> Self {
        use ureq::Error as E;
        let kind = match &error {
            E::Http(_) | E::BadUri(_) | E::InvalidProxyUrl | E::BodyExceedsLimit(_) => Kind::BadRequest,
            _ => Kind::Transient,
        };
        let message = match &error {
            E::Io(inner) => inner.to_string(),
            E::HostNotFound => "the host name does not resolve (DNS)".to_owned(),
            E::Timeout(which) => format!("timed out ({which})"),
            E::ConnectProxyFailed(why) => match proxy_status(why) {
                Some(status) => format!("the proxy refused (HTTP {status})"),
                None => format!("the proxy refused: {why}"),
            },
            other => other.to_string(),
        };
        Self::new(kind, message)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        // A reader wraps ureq's own errors; the conversion unwraps them.
        Self::from(ureq::Error::from(error))
    }
}

fn tls(roots: RootCerts) -> TlsConfig {
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(roots)
        .build()
}

/// TLS as for AWS without a bundle: for endpoints that are not AWS's.
pub(super) fn usual_tls() -> TlsConfig {
    tls(usual_roots())
}

/// The changed defaults, each with its reason.
fn agent(threads: usize, tls: &TlsConfig, proxy: Option<Proxy>) -> Agent {
    // With fewer, threads would repeat handshakes.
    let idle = threads.max(1);
    let config = Agent::config_builder()
        // The body of an error says what is wrong.
        .http_status_as_error(false)
        // A redirect must be signed again, for another region.
        .max_redirects(0)
        .proxy(proxy)
        .tls_config(tls.clone())
        .no_delay(true)
        .max_idle_connections(idle)
        .max_idle_connections_per_host(idle)
        .max_idle_age(AWS_IDLE_AGE)
        .input_buffer_size(AWS_INPUT_BYTES)
        .output_buffer_size(AWS_OUTPUT_BYTES)
        .user_agent(concat!("aws-to-devo/", env!("CARGO_PKG_VERSION")))
        // Objects must arrive as they are stored.
        .accept_encoding("identity")
        .timeout_resolve(Some(AWS_CONNECT_TIMEOUT))
        .timeout_connect(Some(AWS_CONNECT_TIMEOUT))
        .timeout_send_request(Some(AWS_RESPONSE_TIMEOUT))
        .timeout_send_body(Some(AWS_RESPONSE_TIMEOUT))
        .timeout_recv_response(Some(AWS_RESPONSE_TIMEOUT))
        .timeout_recv_body(Some(AWS_BODY_TIMEOUT))
        .build();
    Agent::with_parts(config, DefaultConnector::default(), Names::<DefaultResolver>::default())
}

/// Mozilla's list, for a machine or a container without one, and the machine's own, for a company's proxy.
fn usual_roots() -> RootCerts {
    let own = rustls_native_certs::load_native_certs().certs;
    let all = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .map(AsRef::as_ref)
        .chain(own.iter().map(AsRef::as_ref));
    RootCerts::from(all.map(|der: &[u8]| Certificate::from_der(der).to_owned()))
}

fn bundle_roots(path: &Path) -> Result<RootCerts, Error> {
    let wrong = |why: String| {
        let resource = path.display().to_string();
        Error::setup("AWS_CA_BUNDLE", &resource, Kind::BadRequest, why)
    };
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let items = parse_pem(&pem).collect::<Result<Vec<_>, _>>().map_err(|error| wrong(error.to_string()))?;
    let certificates = items.into_iter().filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    let certificates = certificates.collect::<Vec<_>>();
    if certificates.is_empty() {
        return Err(wrong("it contains no certificate".to_owned()));
    }
    Ok(RootCerts::from(certificates))
}

fn proxy(setting: &Setting) -> Result<Proxy, Error> {
    // The URL may contain a password, so it is not repeated.
    let wrong = |why: &str| {
        let message = format!(
            "{why}: write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with special characters of the user name \
             and the password percent-encoded"
        );
        Error::setup(setting.variable, "(environment)", Kind::BadRequest, message)
    };
    let proxy = Proxy::new(&setting.url).map_err(|_| wrong("it is not a valid proxy URL"))?;
    match unusable_part(&proxy) {
        Some(why) => Err(wrong(why)),
        None => Ok(proxy),
    }
}

/// The part of a proxy's address that `ureq` would pass over: it would call the usual port, or connect without a proxy.
fn unusable_part(proxy: &Proxy) -> Option<&'static str> {
    let authority = proxy.uri().authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    if !matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) {
        return Some("it names a SOCKS proxy, and only HTTP proxies can be used");
    }
    if proxy.host().is_empty() {
        return Some("it names no host");
    }
    let written = place.strip_prefix(proxy.host())?.strip_prefix(':')?;
    let is_port = written.parse::<u16>().is_ok_and(|port| port > 0);
    (!is_port).then_some("its port is not a number from 1 to 65535")
}

fn unsendable(error: http::Error) -> Fault {
    Fault::new(Kind::BadRequest, format!("the request cannot be sent: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::aws::request::Address;
    use crate::aws::testing::{Server, Step, answer};
    use crate::base::testing::refusing;

    fn request(endpoint: &str) -> Request {
        Request::post("sqs:Test", "sqs", &Address { endpoint, region: "r", resource: "q" }, b"{}".to_vec())
    }

    #[test]
    fn a_connection_is_used_again_even_with_another_time_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            // A second connection would be refused.
            drop(listener);
            let mut reader = BufReader::new(&stream);
            for _ in 0..3 {
                let body_follows = |line: &String| line != "\r\n";
                let mut line = String::new();
                while {
                    line.clear();
                    reader.read_line(&mut line).unwrap();
                    body_follows(&line)
                } {}
                Read::read_exact(&mut reader, &mut [0; 2]).unwrap();
                (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
            }
        });
        let http = Http::with(1, Proxies::default(), None).unwrap();
        for seconds in [30, 7, 30] {
            let mut request = request(&endpoint);
            request.response_timeout = std::time::Duration::from_secs(seconds);
            assert_eq!(http.send(&request, &[]).unwrap().read_all(10).unwrap().as_slice(), b"ok");
        }
        server.join().unwrap();
    }

    #[test]
    fn a_proxy_is_asked_for_other_hosts_and_not_for_this_one() {
        let proxy = Server::play(vec![answer(502, "", "")]);
        let url = proxy.endpoint.clone();
        let proxies = Proxies::read(|name| (name == "HTTP_PROXY").then(|| url.clone()));
        let http = Http::with(1, proxies, None).unwrap();
        let fault = http.send(&request("http://aws.example"), &[]).unwrap_err();
        assert!(fault.message.contains("proxy"), "{}", fault.message);
        assert!(proxy.seen()[0].head.starts_with("CONNECT aws.example:80 HTTP/1.1"));
        let here = Server::play(vec![answer(200, "", "ok")]);
        assert_eq!(http.send(&request(&here.endpoint), &[]).unwrap().read_all(10).unwrap().as_slice(), b"ok");
    }

    fn by_proxy(url: &str) -> Result<Http, Error> {
        Http::with(1, Proxies::read(|name| (name == "http_proxy").then(|| url.to_owned())), None)
    }

    fn failure(proxy: &str) -> String {
        let request = request("http://aws.example");
        let fault = by_proxy(proxy).unwrap().send(&request, &[]).err().unwrap();
        Error::local(&request, fault.kind, fault.message).through(fault.via).to_string()
    }

    #[test]
    fn a_proxy_that_fails_is_named_with_its_cure_and_without_its_password() {
        let (_refuses, place) = refusing();
        let error = failure(&format!("http://user:hunter2@{place}"));
        let cure = format!("Is the proxy {place} (http_proxy) right, and reachable from here");
        assert!(error.contains(&cure) && !error.contains("hunter2"), "{error}");
        for (status, cure) in
            [(407, "user name and password in http_proxy"), (403, "NO_PROXY"), (502, "NO_PROXY")]
        {
            let proxy = Server::play(vec![answer(status, "", "")]);
            let place = proxy.endpoint.trim_start_matches("http://").to_owned();
            let error = failure(&format!("http://user:hunter2@{place}"));
            assert!(error.contains(&format!("the proxy refused (HTTP {status})")), "{error}");
            assert!(error.contains(&place) && error.contains(cure) && !error.contains("hunter2"), "{error}");
            assert!(!error.contains("Is http://aws.example right"), "{error}");
        }
        // The connection ends without an answer.
        let proxy = Server::play(vec![Step::Answer(Vec::new())]);
        let error = failure(&proxy.endpoint);
        assert!(error.contains(proxy.endpoint.trim_start_matches("http://")), "{error}");
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused() {
        for (url, why) in [
            ("http://user:hunter2@127.0.0.1:notaport", "port"),
            ("http://127.0.0.1:99999", "port"),
            ("http://127.0.0.1:0", "port"),
            ("http://127.0.0.1:", "port"),
            ("127.0.0.1:x", "port"),
            ("http://[::1]:x", "port"),
            ("http://user:hunter2/x@127.0.0.1:1", "port"),
            ("socks5://user:hunter2@127.0.0.1:1", "SOCKS"),
            ("http://user:hunter2@:1", "host"),
            ("ftp://user:hunter2@h", "not a valid proxy URL"),
            ("::", "not a valid proxy URL"),
        ] {
            let error = by_proxy(url).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.starts_with("http_proxy") && error.contains(why), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        for url in ["127.0.0.1:3128", "proxy", "http://u:p%40@proxy:1/", "https://[::1]:1", "http://[::1]"] {
            assert!(by_proxy(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn an_answer_that_is_being_read_is_charged_whether_or_not_it_says_its_length() {
        let long = "x".repeat(3 * ANSWER_BYTES_UNKNOWN);
        let chunked = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
            long.len()
        );
        for step in [answer(200, "", long.clone()), Step::Answer(chunked.into_bytes())] {
            let server = Server::play(vec![step]);
            let http = Http::with(1, Proxies::default(), None).unwrap();
            let budget = http.0.room.budget.clone();
            let body = http.send(&request(&server.endpoint), &[]).unwrap().read_all(1 << 20).unwrap();
            assert_eq!(body.len(), long.len());
            assert_eq!(budget.total() - budget.free(), body.held_bytes());
            drop(body);
            assert_eq!(budget.free(), budget.total());
        }
    }

    #[test]
    fn an_answer_that_is_too_long_is_refused() {
        let server = Server::play(vec![answer(200, "", "0123456789")]);
        let http = Http::with(1, Proxies::default(), None).unwrap();
        let fault = http.send(&request(&server.endpoint), &[]).unwrap().read_all(9).unwrap_err();
        assert_eq!(fault.kind, Kind::BadRequest);
    }

    /// One TLS handshake with a self-signed certificate for `localhost`, then one answer.
    fn tls_server() -> (String, String, std::thread::JoinHandle<()>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let thread = std::thread::spawn(move || {
            let (tcp, _) = listener.accept().unwrap();
            let mut tls =
                rustls::StreamOwned::new(rustls::ServerConnection::new(Arc::new(config)).unwrap(), tcp);
            let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
            while !seen.ends_with(b"{}") {
                // A client that refuses the certificate ends here.
                let Ok(count) = tls.read(&mut piece) else { return };
                seen.extend_from_slice(&piece[..count]);
            }
            tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        });
        (endpoint, made.cert.pem(), thread)
    }

    #[test]
    fn the_bundle_is_trusted_and_nothing_else() {
        let (endpoint, pem, thread) = tls_server();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(pem.as_bytes()).unwrap();
        let http = Http::with(1, Proxies::default(), Some(file.path())).unwrap();
        assert_eq!(http.send(&request(&endpoint), &[]).unwrap().read_all(10).unwrap().as_slice(), b"ok");
        thread.join().unwrap();

        let (endpoint, _, thread) = tls_server();
        let fault = http.send(&request(&endpoint), &[]).unwrap_err();
        assert!(fault.message.contains("certificate"), "{}", fault.message);
        thread.join().unwrap();
    }

    #[test]
    fn a_wrong_bundle_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Http::with(1, Proxies::default(), Some(file.path())).err().unwrap().to_string();
        assert!(error.contains("AWS_CA_BUNDLE") && error.contains("no certificate"), "{error}");
        let proxies = Proxies::read(|name| (name == "HTTPS_PROXY").then(|| "::".to_owned()));
        let error = Http::with(1, proxies, None).err().unwrap().to_string();
        assert!(error.contains("HTTPS_PROXY"), "{error}");
    }
}
