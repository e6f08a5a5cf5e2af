//! Request -> answer. No sockets here.

use std::sync::Arc;

use jiff::Timestamp;

use crate::http::{Body, Request, Response};
use crate::telemetry::Telemetry;
use crate::telemetry::reporters::metrics;
use crate::telemetry::reporters::metrics::Form;

const PAGE: &str = include_str!("page.html");
/// Placeholder in the page for the nonce that allows its own script, and no other.
const NONCE: &str = "NONCE";
const TEXT: &str = "text/plain; charset=utf-8";

/// The data to serve.
pub struct Site {
    pub telemetry: Arc<Telemetry>,
    /// Host names that may be used, in lower case.
    pub hosts: Vec<String>,
}

impl Site {
    pub fn answer(&self, request: &Request) -> Response {
        if let Some(refusal) = self.refusal(request) {
            return refusal;
        }
        let path = request.target.split(['?', '#']).next().unwrap_or_default();
        match path {
            "/" => page(),
            "/status.json" => self.status(),
            "/metrics" => self.metrics(request.header("accept").unwrap_or_default()),
            "/healthz" => self.liveness(),
            "/readyz" => self.readiness(),
            _ => text(404, "There are / and /status.json, /metrics, /healthz and /readyz.\n"),
        }
    }

    /// Accepts only known host names: a page from elsewhere whose domain points at this machine (DNS rebinding) would
    /// use its own.
    fn refusal(&self, request: &Request) -> Option<Response> {
        let host = request.header("host");
        if let Some(foreign) = host.filter(|host| !self.is_ours(host)) {
            let body = format!(
                "{foreign:?} is not a known name of this machine. If it is one, add it to globals.status.hosts.\n"
            );
            return Some(text(403, &body));
        }
        // `null` is a page with a hidden origin: a file, a sandbox.
        let is_foreign =
            |origin: &str| origin.split_once("://").is_none_or(|(_, authority)| Some(authority) != host);
        if request.header("origin").is_some_and(is_foreign) {
            return Some(text(403, "Requests from other sites are refused.\n"));
        }
        (request.method != "GET").then(|| {
            let mut response = text(405, "Only GET is answered.\n");
            response.headers.push(("allow", "GET".to_owned()));
            response
        })
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let is_address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        is_address || name == "localhost" || self.hosts.contains(&name)
    }

    fn status(&self) -> Response {
        match serde_json::to_vec(&self.telemetry.snapshot(Timestamp::now())) {
            Ok(json) => response(200, "application/json", json),
            Err(error) => text(500, &format!("{error}\n")),
        }
    }

    fn metrics(&self, accept: &str) -> Response {
        let form = Form::accepted(accept);
        let body = metrics::text(&self.telemetry.snapshot(Timestamp::now()), form);
        response(200, form.content_type(), body.into_bytes())
    }

    /// The answer for probes that restart the collector when it fails them: an outage is not a reason to.
    fn liveness(&self) -> Response {
        if self.telemetry.collector.is_dead() {
            return text(503, "dead: only a restart of the collector helps, see /readyz\n");
        }
        text(200, "alive\n")
    }

    fn readiness(&self) -> Response {
        let (reasons, warnings) = self.telemetry.readiness();
        if reasons.is_empty() {
            let warnings = warnings.iter().map(|warning| format!("warning: {warning}\n"));
            return text(200, &std::iter::once("ready\n".to_owned()).chain(warnings).collect::<String>());
        }
        let body: String = reasons.iter().map(|reason| format!("{reason}\n")).collect();
        text(503, &body)
    }
}

fn page() -> Response {
    let nonce = format!("{:032x}", fastrand::u128(..));
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut page = response(200, "text/html; charset=utf-8", PAGE.replace(NONCE, &nonce).into_bytes());
    page.headers.push(("content-security-policy", policy));
    page
}

fn text(status: u16, body: &str) -> Response {
    response(status, TEXT, body.as_bytes().to_vec())
}

fn response(status: u16, content_type: &'static str, body: Vec<u8>) -> Response {
    let headers = [
        ("content-type", content_type),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    Response { status, headers, body: Body::Owned(body) }
}

/// Parses `name:1`, `1.2.3.4:1`, `[::1]:1`, each with or without the port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Phase, testing};

    fn site() -> Site {
        Site { telemetry: Arc::new(testing::telemetry()), hosts: vec!["collector-1".into()] }
    }

    fn ask(site: &Site, method: &str, target: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let response = site.answer(&Request::fake(method, target, headers, ""));
        (response.status, String::from_utf8(response.body.bytes().to_vec()).unwrap())
    }

    #[test]
    fn only_our_own_names_are_answered() {
        let site = site();
        for host in [
            "localhost",
            "LOCALHOST:9600",
            "127.0.0.1:9600",
            "[::1]:9600",
            "::1",
            "10.1.2.3",
            "Collector-1:9600",
        ] {
            assert_eq!(ask(&site, "GET", "/healthz", &[("host", host)]).0, 200, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9600",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9600",
            "",
            "a:b",
        ] {
            for target in ["/", "/status.json", "/metrics", "/healthz", "/readyz", "/x"] {
                assert_eq!(ask(&site, "GET", target, &[("host", host)]).0, 403, "{host}");
            }
        }
        assert_eq!(ask(&site, "GET", "/healthz", &[]).0, 200, "a probe over HTTP/1.0");
    }

    #[test]
    fn pages_of_other_sites_get_no_answer() {
        let from =
            |origin| ask(&site(), "GET", "/status.json", &[("host", "localhost:9600"), ("origin", origin)]).0;
        assert_eq!(from("http://localhost:9600"), 200);
        for origin in [
            "http://evil.example",
            "http://localhost:9601",
            "https://127.0.0.1:9600",
            "null",
            "",
            "file://",
            "localhost:9600",
        ] {
            assert_eq!(from(origin), 403, "{origin}");
        }
        assert_eq!(ask(&site(), "GET", "/status.json", &[("origin", "null")]).0, 403, "without a name");
    }

    #[test]
    fn nothing_but_get() {
        for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "get"] {
            assert_eq!(ask(&site(), method, "/", &[]).0, 405);
        }
        assert_eq!(ask(&site(), "GET", "/../etc/passwd", &[]).0, 404);
        assert_eq!(ask(&site(), "GET", "/healthz?x=1", &[]), (200, "alive\n".into()));
    }

    #[test]
    fn it_is_ready_when_all_parts_have_worked_and_none_is_in_trouble() {
        let site = site();
        let (input, output) = (&site.telemetry.inputs[0], &site.telemetry.outputs[0]);
        assert_eq!(ask(&site, "GET", "/readyz", &[]).0, 503);
        site.telemetry.enter(Phase::Running);
        input.health.works();
        assert_eq!(ask(&site, "GET", "/readyz", &[]), (503, "outputs.devo_1: has not answered yet\n".into()));
        output.health.works();
        assert_eq!(ask(&site, "GET", "/readyz", &[]), (200, "ready\n".into()));
        input.buckets.failed("HTTP 403\nforged: ready", true);
        assert_eq!(
            ask(&site, "GET", "/readyz", &[]),
            (503, "inputs.sqs_collector: objects: HTTP 403\\nforged: ready\n".into())
        );
        input.buckets.works();
        site.telemetry.enter(Phase::Stopping);
        assert_eq!(
            ask(&site, "GET", "/readyz", &[]),
            (503, "the collector is being stopped or reloaded\n".into())
        );
    }

    #[test]
    fn the_page_runs_its_own_script_and_no_other() {
        let response = site().answer(&Request::fake("GET", "/", &[], ""));
        let policy =
            response.headers.iter().find(|(name, _)| *name == "content-security-policy").unwrap().1.clone();
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
        let page = String::from_utf8(response.body.bytes().to_vec()).unwrap();
        assert_eq!(
            page.matches("<script").count(),
            page.matches(&format!("<script nonce=\"{nonce}\"")).count()
        );
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("innerHTML"));
    }

    #[test]
    fn the_figures_as_json() {
        let site = site();
        site.telemetry.inputs[0].services[0].delivered.events.add(5);
        let (status, body) = ask(&site, "GET", "/status.json", &[]);
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &json["inputs"][0]["services"][0]["delivered"]["events"]), (200, &5.into()));
    }

    proptest::proptest! {
        #[test]
        fn any_host_is_survived_and_refused_unless_it_is_ours(host in "\\PC{0,40}") {
            let (status, _) = ask(&site(), "GET", "/healthz", &[("host", &host)]);
            let name = without_port(&host).to_ascii_lowercase();
            let ours = name.parse::<std::net::IpAddr>().is_ok() || ["localhost", "collector-1"].contains(&name.as_str());
            proptest::prop_assert!(status == 403 || ours || name.starts_with('['));
        }
    }
}
