//! The HTTP agent: one connection pool for all threads, every default of `ureq` set on purpose.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::{Agent, Body, Proxy};

use super::error::{Error, Kind};
use super::proxy::Proxies;
use super::request::Request;
use crate::limits::{AWS_BODY_TIMEOUT, AWS_CONNECT_TIMEOUT, AWS_IDLE_AGE, AWS_RESPONSE_TIMEOUT};

/// Sends requests over pooled connections. Clones share the pool.
#[derive(Clone)]
pub struct Http(Arc<Shared>);

struct Shared {
    agent: Agent,
    proxies: Proxies,
    https_proxy: Option<Proxy>,
    http_proxy: Option<Proxy>,
    is_shut: AtomicBool,
}

/// An answer whose head has arrived.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    body: Body,
}

/// Why there is no answer, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    pub message: String,
}

impl Http {
    /// An agent for `threads` threads. Proxies and `AWS_CA_BUNDLE` (a PEM file that replaces the usual
    /// certificate authorities) come from the environment; the error says which of them is wrong.
    pub fn new(threads: usize) -> Result<Self, Error> {
        let env = |name: &str| std::env::var(name).ok();
        let bundle = env("AWS_CA_BUNDLE").filter(|path| !path.is_empty());
        Self::with(threads, Proxies::read(env), bundle.as_deref().map(Path::new))
    }

    /// As [`Http::new`], with the environment given.
    pub fn with(threads: usize, proxies: Proxies, ca_bundle: Option<&Path>) -> Result<Self, Error> {
        let roots = match ca_bundle {
            Some(path) => bundle_roots(path)?,
            None => usual_roots(),
        };
        Ok(Self(Arc::new(Shared {
            agent: agent(threads.max(1), roots),
            https_proxy: proxy("HTTPS_PROXY", proxies.https.as_deref())?,
            http_proxy: proxy("HTTP_PROXY", proxies.http.as_deref())?,
            proxies,
            is_shut: AtomicBool::new(false),
        })))
    }

    /// Sends `request` with its own and the `signed` headers; returns when the answer's head is here.
    pub fn send(&self, request: &Request, signed: &[(&'static str, String)]) -> Result<Answer, Fault> {
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
        let (head, body) = outcome.map_err(|error| self.fault(error))?.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Breaks off every call in flight, long polls among them, and refuses new ones. For the end only.
    pub fn shutdown(&self) {
        self.0.is_shut.store(true, Ordering::Release);
        self.0.agent.clone().shutdown();
    }

    fn run<B: ureq::AsSendBody>(
        &self,
        message: http::Request<B>,
        request: &Request,
    ) -> Result<http::Response<Body>, ureq::Error> {
        let proxy = self.proxy_for(message.uri());
        let message = self.0.agent.configure_request(message);
        let message = message.timeout_recv_response(Some(request.response_timeout)).proxy(proxy).build();
        self.0.agent.run(message)
    }

    fn proxy_for(&self, uri: &http::Uri) -> Option<Proxy> {
        if self.0.proxies.bypasses(uri.host().unwrap_or_default()) {
            return None;
        }
        let of_scheme =
            if uri.scheme_str() == Some("http") { &self.0.http_proxy } else { &self.0.https_proxy };
        of_scheme.clone()
    }

    fn fault(&self, error: ureq::Error) -> Fault {
        if self.0.is_shut.load(Ordering::Acquire) {
            return Fault { kind: Kind::Stopped, message: "stopped".to_owned() };
        }
        Fault::from(error)
    }
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The whole body, if it is no longer than `bytes_max`.
    pub fn read_all(&mut self, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        Ok(self.body.with_config().limit(bytes_max as u64).read_to_vec()?)
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

impl Fault {
    pub fn transient(message: impl Into<String>) -> Self {
        Self { kind: Kind::Transient, message: message.into() }
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
            E::HostNotFound => "the host name is not known (DNS)".to_owned(),
            E::Timeout(which) => format!("timed out ({which})"),
            E::ConnectProxyFailed(why) => format!("the proxy refused: {why}"),
            other => other.to_string(),
        };
        Self { kind, message }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        // A reader wraps ureq's own errors; the conversion takes them out again.
        Self::from(ureq::Error::from(error))
    }
}

/// The defaults that are changed, each with its reason.
fn agent(threads: usize, roots: RootCerts) -> Agent {
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(crypto)
        .root_certs(roots)
        .build();
    Agent::config_builder()
        // The body of an error says what is wrong.
        .http_status_as_error(false)
        // A redirect has to be signed anew, for another region.
        .max_redirects(0)
        // Each request chooses its own.
        .proxy(None)
        .tls_config(tls)
        .no_delay(true)
        // With fewer, threads would shake hands again and again.
        .max_idle_connections(threads)
        .max_idle_connections_per_host(threads)
        .max_idle_age(AWS_IDLE_AGE)
        .user_agent(concat!("aws-to-devo/", env!("CARGO_PKG_VERSION")))
        // Objects arrive as they are stored.
        .accept_encoding("identity")
        .timeout_resolve(Some(AWS_CONNECT_TIMEOUT))
        .timeout_connect(Some(AWS_CONNECT_TIMEOUT))
        .timeout_send_request(Some(AWS_RESPONSE_TIMEOUT))
        .timeout_send_body(Some(AWS_RESPONSE_TIMEOUT))
        .timeout_recv_response(Some(AWS_RESPONSE_TIMEOUT))
        .timeout_recv_body(Some(AWS_BODY_TIMEOUT))
        .build()
        .new_agent()
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
        return Err(wrong("no certificate in it".to_owned()));
    }
    Ok(RootCerts::from(certificates))
}

fn proxy(name: &'static str, url: Option<&str>) -> Result<Option<Proxy>, Error> {
    // The URL may hold a password, so it is not repeated.
    let wrong = |_| Error::setup(name, "(environment)", Kind::BadRequest, "not a proxy's URL");
    url.map(Proxy::new).transpose().map_err(wrong)
}

fn unsendable(error: http::Error) -> Fault {
    Fault { kind: Kind::BadRequest, message: format!("the request cannot be sent: {error}") }
}
