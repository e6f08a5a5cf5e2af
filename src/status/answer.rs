//! Request -> answer. No sockets here.

use std::sync::Arc;

use jiff::Timestamp;

use super::docs;
use crate::http::{Body, Request, Response};
use crate::telemetry::Telemetry;
use crate::telemetry::reporters::metrics;
use crate::telemetry::reporters::metrics::Form;

/// The pages, with placeholders for their style, script and contents, and for the nonce that allows these and no others.
const PAGE: &str = include_str!("page.html");
const DOCS: &str = include_str!("docs.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
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
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        match path {
            "/" => page(PAGE, &[("SCRIPT", SCRIPT)]),
            "/status.json" => json(&self.telemetry.snapshot(Timestamp::now())),
            "/history.json" => self.history(query),
            "/failed.json" => json(&self.telemetry.failed.snapshot()),
            "/metrics" => self.metrics(request.header("accept").unwrap_or_default()),
            "/healthz" => self.liveness(),
            "/readyz" => self.readiness(),
            "/docs" => documentation(""),
            _ if path.starts_with("/docs/") => documentation(&path["/docs/".len()..]),
            _ => text(
                404,
                "There are / and /docs, and /status.json, /history.json, /failed.json, /metrics, /healthz and /readyz.\n",
            ),
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
        (!["GET", "HEAD"].contains(&request.method.as_str())).then(|| {
            let mut response = text(405, "Only GET and HEAD are answered.\n");
            response.headers.push(("allow", "GET, HEAD".to_owned()));
            response
        })
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let is_address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        is_address || name == "localhost" || self.hosts.contains(&name)
    }

    /// `from=N`: only the points from number N on, so that a reader gets each point once.
    fn history(&self, query: &str) -> Response {
        let from = query.split('&').find_map(|pair| pair.strip_prefix("from="));
        match from.map_or(Ok(0), str::parse) {
            Ok(from) => json(&self.telemetry.history().since(from)),
            Err(_) => text(400, "from is the number of a point: /history.json?from=42\n"),
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

fn json(value: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(json) => response(200, "application/json", json),
        Err(error) => text(500, &format!("{error}\n")),
    }
}

fn documentation(name: &str) -> Response {
    match docs::page(name) {
        Some((title, body)) => page(DOCS, &[("TITLE", &title), ("BODY", &body)]),
        None => text(404, "/docs lists the pages of the documentation.\n"),
    }
}

/// A page with these texts in place of its placeholders.
fn page(page: &str, parts: &[(&str, &str)]) -> Response {
    let nonce = format!("{:032x}", fastrand::u128(..));
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut html = page.replace("NONCE", &nonce).replace("STYLE", STYLE);
    parts.iter().for_each(|(placeholder, part)| html = html.replacen(placeholder, part, 1));
    let mut page = response(200, "text/html; charset=utf-8", html.into_bytes());
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
    fn nothing_but_get_and_its_head() {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
            assert_eq!(ask(&site(), method, "/", &[]).0, 405);
        }
        assert_eq!(ask(&site(), "HEAD", "/healthz", &[]).0, 200);
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
        assert_eq!(
            page.matches("<style").count(),
            page.matches(&format!("<style nonce=\"{nonce}\"")).count()
        );
        for word in [
            "http://",
            "https://",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            " style=",
            "NONCE",
            "SCRIPT",
            "STYLE",
        ] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn the_documentation_is_served() {
        let (status, list) = ask(&site(), "GET", "/docs/", &[]);
        assert!(status == 200 && list.contains("<a href=\"/docs/delivery\">"), "{list}");
        let (status, page) = ask(&site(), "GET", "/docs/monitoring", &[]);
        assert!(status == 200 && page.contains("<h1 id=\"monitoring\">Monitoring</h1>"), "{page}");
        assert!(!page.contains("<script") && !page.contains(">STYLE"), "{page}");
        assert_eq!(ask(&site(), "GET", "/docs/../../etc/passwd", &[]).0, 404);
    }

    #[test]
    fn the_figures_as_json() {
        let site = site();
        site.telemetry.inputs[0].services[0].delivered.events.add(5);
        let (status, body) = ask(&site, "GET", "/status.json", &[]);
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &json["inputs"][0]["services"][0]["delivered"]["events"]), (200, &5.into()));
    }

    #[test]
    fn the_history_from_a_point_on() {
        let site = site();
        let start = std::time::Instant::now();
        for step in 0..4 {
            site.telemetry.remember(start + step * crate::base::limits::HISTORY_STEP, testing::now());
        }
        let get = |target: &str| ask(&site, "GET", target, &[]);
        let points = |target: &str| {
            let json: serde_json::Value = serde_json::from_str(&get(target).1).unwrap();
            (json["first"].as_u64(), json["times"].as_array().unwrap().len())
        };
        assert_eq!(points("/history.json"), (Some(0), 3));
        assert_eq!(points("/history.json?from=2"), (Some(2), 1));
        assert_eq!(points("/history.json?from=99"), (Some(3), 0));
        for bad in ["x", "", "-1", "1e3", "99999999999999999999"] {
            assert_eq!(get(&format!("/history.json?from={bad}")).0, 400, "{bad}");
        }
        assert!(get("/status.json").1.contains("\"history_next\":3"));
    }

    #[test]
    fn failed_objects_have_an_answer_of_their_own() {
        let site = site();
        let object = crate::base::object::Object::named("b", "<script>");
        site.telemetry.inputs[0].failed(&crate::telemetry::Failed {
            object: Some(&object),
            polled: None,
            service: Some("aws_sqs_vpc"),
            delivery: None,
            ending: Some(crate::ack::Ending::Damaged),
            cause: "it ends in the middle",
            kind: "Truncated",
        });
        // In a run, inputs share the list.
        let json = serde_json::to_value(site.telemetry.inputs[0].failures.snapshot()).unwrap();
        assert_eq!(json["objects"][0]["name"], "s3://b/<script>");
        assert_eq!(ask(&site, "GET", "/failed.json", &[]).1, "{\"version\":0,\"dropped\":0,\"objects\":[]}");
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
