//! The operator's view over HTTP: true figures, and readiness that follows events.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use regex::Regex;
use serde_json::{Value, json};

use crate::rig::collector::{self, Collector};
use crate::rig::fault_proxy::{Fault, FaultProxy, refuse_xml};
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::frames::message_bytes;
use crate::rig::lab::Lab;
use crate::rig::notices;
use crate::rig::process::{self, PATIENCE, Process, free_port, wait_for_value};

#[test]
fn metrics_tell_what_was_delivered() {
    let lab = Lab::new("metrics");
    let objects: Vec<_> = (0..6).map(|i| feeds::vpc(&format!("m{i}"), 500)).collect();
    let frames = all_frames(&objects);
    lab.put_and_announce(&objects);
    let (config, port) = with_page(lab.config(json!({"aws_sqs_vpc": {}})));
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    let text = get(port, "/metrics").1;
    let service = "{input=\"sqs_collector\",service=\"aws_sqs_vpc\"}";
    for (name, labels, value) in [
        ("events_total", service, frames.len()),
        ("objects_total", service, objects.len()),
        ("events_framed_total", service, frames.len()),
        ("objects_in_work", service, 0),
        ("messages_received_total", "{input=\"sqs_collector\"}", objects.len()),
        ("messages_deleted_total", "{input=\"sqs_collector\"}", objects.len()),
        ("messages_in_work", "{input=\"sqs_collector\"}", 0),
        ("objects_waiting", "{input=\"sqs_collector\"}", 0),
        ("dead_letter_messages", "{input=\"sqs_collector\"}", 0),
        ("output_events_total", "{output=\"devo_1\"}", frames.len()),
        ("output_unconfirmed_bytes", "{output=\"devo_1\"}", 0),
        ("sender_unconfirmed_bytes", "{output=\"devo_1\",sender=\"send-devo_1-0\"}", 0),
        ("output_batches_waiting", "{output=\"devo_1\"}", 0),
        ("payloads_waiting", "", 0),
        ("workers_busy", "", 0),
        ("compressed_held_bytes", "", 0),
        ("ready", "", 1),
    ] {
        assert_eq!(value_of(&text, name, labels), Some(value as f64), "{name} in\n{text}");
    }
    // The count of frames comes before them.
    let bytes = value_of(&text, "bytes_total", service).unwrap() as u64;
    assert!(bytes >= message_bytes(&frames), "{text}");
    let lag = value_of(&text, "last_delivery_lag_seconds", service).unwrap();
    let written: Value = serde_json::from_str(&notices::s3_created("b", &["k"])).unwrap();
    let written: Timestamp = written["Records"][0]["eventTime"].as_str().unwrap().parse().unwrap();
    let age = Timestamp::now().duration_since(written).as_secs_f64();
    assert!((age - PATIENCE.as_secs_f64()..age).contains(&lag), "a lag of {lag} s instead of about {age} s");
    promtool_accepts(&text);
    for accept in ["application/openmetrics-text; version=1.0.0", "text/plain"] {
        let (status, body) =
            ask(port, &format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}"));
        assert_eq!((status, body.ends_with("# EOF\n")), (200, accept.contains("openmetrics")));
    }
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    lab.expect_delivered(&frames);
}

/// Delivered, empty or refused: a metric and a log line distinguish the endings of objects.
#[test]
fn the_endings_of_objects_are_told_apart() {
    let lab = Lab::new("endings");
    let object = |key: &str, bytes: &[u8]| Object { key: key.into(), bytes: bytes.into(), frames: vec![] };
    let mut damaged = feeds::fdr("damaged", 300);
    damaged.bytes.truncate(damaged.bytes.len() / 2);
    let noise = feeds::gzip(b"{\"event_simpleName\":\"Noise\"}\n");
    let whole = feeds::fdr("whole", 10);
    let whole_key = regex::escape(&whole.key);
    let objects = [
        object("data/empty/0.gz", b""),
        object("data/blank/0.gz", &feeds::gzip(b"\n\n")),
        object("data/zip/0.gz", b"PK\x03\x04 and so on"),
        object("data/noise/0.gz", &noise),
        damaged,
        whole,
    ];
    lab.put(&objects);
    let keys = objects.iter().map(|object| object.key.as_str());
    lab.announce(keys.chain(["data/job/_SUCCESS", "elsewhere/0.gz", "data/not-this-one/0.gz"]));
    lab.queue.send(&["not JSON at all".to_owned()]);
    let (mut config, port) = with_page(lab.config(json!({"aws_sqs_fdr": {
        "object_keys": "^data/",
        "filename_filter_rules": [[{"type": "match", "pattern": "not-this-one"}]],
        "line_filter_rules": [[{"source": "record", "key": "event_simpleName", "type": "match", "value": "Noise"}]],
        "record_field_mapping": {"event_simpleName": {"keys": ["event_simpleName"]}}
    }, "aws_sqs_vpc": {"object_keys": "^flows/"}})));
    config["globals"]["debug"] = true.into();
    let mut collector = lab.run(&config, &[]);
    let endings = [
        ("aws_sqs_fdr", "delivered", "sent"),
        ("aws_sqs_fdr", "empty", "no_bytes"),
        ("aws_sqs_fdr", "empty", "no_record"),
        ("aws_sqs_fdr", "empty", "marker"),
        ("aws_sqs_fdr", "empty", "skip_rule"),
        ("aws_sqs_fdr", "left_out", "filter_rules"),
        ("aws_sqs_fdr", "refused", "unsupported"),
        ("aws_sqs_fdr", "refused", "damaged"),
        ("", "refused", "no_service"),
        ("", "refused", "message"),
    ];
    for (service, ending, reason) in endings {
        let labels = format!(
            "{{input=\"sqs_collector\",service=\"{service}\",ending=\"{ending}\",reason=\"{reason}\"}}"
        );
        collector.wait_until(&labels, || {
            value_of(&get(port, "/metrics").1, "objects_ended_total", &labels)
                .is_some_and(|count| count >= 1.0)
        });
    }
    let of_fdr = status(port)["inputs"][0]["services"][0]["endings"].clone();
    assert_eq!(of_fdr["delivered"]["sent"], 1, "{of_fdr}");
    assert_eq!(of_fdr["empty"], json!({"no_bytes": 1, "no_record": 1, "marker": 1, "skip_rule": 1}));
    let ended = collector.stop();
    for line in [
        "INFO.*data/empty/0.gz: skipped, empty \\(no_bytes\\)".to_owned(),
        "INFO.*data/noise/0.gz: skipped, left_out \\(filter_rules\\)".to_owned(),
        "WARN.*data/zip/0.gz: refused: the object is a zip archive".to_owned(),
        format!("DEBUG.*{whole_key}: delivered \\(sent\\)"),
        "DEBUG.*Acked message receiptHandle: .+".to_owned(),
        "DEBUG.*generated 10 message\\(s\\), detected_event_types: \\[".to_owned(),
        "DEBUG.*Data collection completed. Elapsed time: .* seconds".to_owned(),
    ] {
        assert!(Regex::new(&line).unwrap().is_match(&ended.log), "{line}; log:\n{}", ended.log);
    }
}

#[test]
fn readiness_follows_an_outage_of_the_sink() {
    let mut lab = Lab::new("readiness");
    let object = feeds::vpc("r1", 100);
    let (config, port) = with_page(lab.config(json!({"aws_sqs_vpc": {}})));
    let mut collector = lab.run(&config, &[]);
    await_readiness(&mut collector, port, 200, "ready");
    lab.sink.stop();
    lab.put_and_announce(std::slice::from_ref(&object));
    await_readiness(&mut collector, port, 503, "outputs.devo_1: cannot connect to localhost:");
    assert_eq!(get(port, "/healthz"), (200, "alive\n".to_owned()));
    let status = status(port);
    let trouble = status["parts"].as_array().unwrap().iter().find(|part| !part["trouble"].is_null()).unwrap();
    assert_eq!(trouble["name"], "outputs.devo_1");
    assert!(status["notices"][0]["message"].as_str().unwrap().contains("firewall"), "no advice: {status}");
    lab.sink.restart();
    await_readiness(&mut collector, port, 200, "ready");
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    assert_eq!(collector.stop().code, Some(0));
    lab.expect_delivered_at_least_once("after the outage", &object.frames);
}

/// A silent queue and a missing bucket are reported, and so are dead letters.
#[test]
fn what_does_not_answer_is_not_healthy() {
    let lab = Lab::new("no-answer");
    let (hangs, gone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (hang, no_bucket) = (Arc::clone(&hangs), Arc::clone(&gone));
    let proxy = FaultProxy::start(move |call| match call.action.as_str() {
        "ReceiveMessage" if hang.load(Ordering::Relaxed) => Fault::Delay(Duration::from_secs(25)),
        "GetObject" if no_bucket.load(Ordering::Relaxed) => refuse_xml(404, "NoSuchBucket"),
        _ => Fault::Pass,
    });
    let (config, port) = with_page(lab.config_through(&proxy, "aws_sqs_vpc"));
    let mut collector = lab.run(&config, &[]);
    await_readiness(&mut collector, port, 200, "ready");
    let value = |name, labels| value_of(&get(port, "/metrics").1, name, labels);
    let input = "{input=\"sqs_collector\"}";
    collector.wait_until("a look at the queues", || value("dead_letter_messages", input) == Some(0.0));
    assert!(value("queue_depth_age_seconds", input).is_some_and(|age| age < 60.0));
    assert!(value("receive_age_seconds", input).is_some_and(|age| age < 60.0));
    // For the next reading, half a minute later.
    lab.dead_letters.send(&["given up".into()]);

    gone.store(true, Ordering::Relaxed);
    let object = feeds::vpc("g1", 10);
    lab.put_and_announce(std::slice::from_ref(&object));
    await_readiness(&mut collector, port, 503, "inputs.sqs_collector: objects: s3:GetObject");
    assert_eq!(value("trouble", "{part=\"inputs.sqs_collector: objects\"}"), Some(1.0));
    gone.store(false, Ordering::Relaxed);
    await_readiness(&mut collector, port, 200, "ready");

    hangs.store(true, Ordering::Relaxed);
    await_readiness(&mut collector, port, 503, "inputs.sqs_collector: answers of AWS: no answer for ");
    assert_eq!(value("trouble", "{part=\"inputs.sqs_collector: answers of AWS\"}"), Some(1.0));
    collector.wait_for_log("no answer for .*sqs:ReceiveMessage");
    hangs.store(false, Ordering::Relaxed);
    await_readiness(&mut collector, port, 200, "ready\nwarning: inputs.sqs_collector: dead letters: 1 ");
    assert_eq!(value("warning", "{part=\"inputs.sqs_collector: dead letters\"}"), Some(1.0));
    assert_eq!(value("trouble", "{part=\"inputs.sqs_collector: dead letters\"}"), Some(0.0));
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    assert_eq!(collector.stop().code, Some(0));
    lab.expect_delivered(&object.frames);
}

/// Long before its connection is given up.
#[test]
fn a_sink_that_takes_nothing_is_not_healthy() {
    let lab = Lab::new("no-acknowledgement");
    let objects: Vec<_> = (0..30).map(|i| feeds::fdr(&format!("f{i}"), 2500)).collect();
    let (config, port) = with_page(lab.config(json!({"aws_sqs_fdr": {}})));
    lab.put_and_announce(&objects);
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("the stream's beginning", || lab.sink.received_bytes() > 0);
    lab.sink.freeze();
    let silent = format!("outputs.devo_1: localhost:{} has not acknowledged a byte for ", lab.sink.port);
    await_readiness(&mut collector, port, 503, &silent);
    let owed = value_of(&get(port, "/metrics").1, "output_unacknowledged_seconds", "{output=\"devo_1\"}");
    assert!(owed.is_some_and(|seconds| seconds >= 30.0), "{owed:?}");
    lab.sink.thaw();
    await_readiness(&mut collector, port, 200, "ready");
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    assert_eq!(collector.stop().code, Some(0));
    lab.expect_delivered_at_least_once("sink frozen for half a minute", &all_frames(&objects));
}

#[test]
fn a_port_that_is_taken_keeps_nobody_from_collecting() {
    let lab = Lab::new("port-taken");
    let object = feeds::vpc("t1", 10);
    lab.put_and_announce(std::slice::from_ref(&object));
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let port = taken.local_addr().unwrap().port();
    config["globals"]["status"] = json!({"port": port});
    let ended = lab.drain_all(&config);
    assert!(
        ended.log.contains(&port.to_string()) && ended.log.contains("globals.status.port"),
        "{}",
        ended.log
    );
    lab.expect_delivered(&object.frames);
}

#[test]
fn the_page_shows_figures_in_a_browser() {
    let lab = Lab::new("page");
    let object = feeds::vpc("p1", 1234);
    lab.put_and_announce(std::slice::from_ref(&object));
    let (config, port) = with_page(lab.config(json!({"aws_sqs_vpc": {}})));
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    await_readiness(&mut collector, port, 200, "ready");
    let page = dump_page(lab.directory(), port);
    for part in [
        "<h1 id=\"name\">end-to-end</h1>",
        "role=\"status\" class=\"pill good\">collecting<",
        "1,234 since the start",
        ">aws_sqs_vpc<",
        ">devo_1<",
        &format!(">localhost:{} · TLS 1.3 · ", lab.sink.port),
        ">cloud.aws.vpc.flow<",
        ">page<",
        ">send-devo_1-0<",
        ">connected<",
    ] {
        assert!(page.contains(part), "{part:?} is not on the page:\n{page}");
    }
    collector.stop();
}

/// The page rendered by Chromium, after some seconds of its time.
pub fn dump_page(directory: &std::path::Path, port: u16) -> String {
    let (out, log) = (directory.join("page.html"), directory.join("chromium.log"));
    let profile = format!("--user-data-dir={}", directory.join("chromium").display());
    let url = format!("http://127.0.0.1:{port}/");
    let switches = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync \
        --disable-background-networking --disable-component-update --virtual-time-budget=5000 --dump-dom";
    let mut arguments: Vec<&str> = switches.split_whitespace().collect();
    arguments.extend([profile.as_str(), url.as_str()]);
    Process::start("chromium".as_ref(), &arguments, &out, &log).wait("chromium", PATIENCE);
    std::fs::read_to_string(out).unwrap()
}

#[test]
fn log_lines_are_json_objects_whatever_they_name() {
    let lab = Lab::new("json-log");
    let object = feeds::vpc("j1", 10);
    lab.put_and_announce(std::slice::from_ref(&object));
    lab.announce(["gone\n{\"level\":\"INFO\"}\u{1b}[2J\"\\.gz"]);
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["inputs"]["sqs_collector"]["missing_object"] = json!("skip");
    let ended = lab.run(&config, &["--drain", "--log-format", "json"]).end(PATIENCE);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let (mut levels, mut lines) = (Vec::new(), Vec::new());
    for line in ended.log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let text = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("no {key} in {line}")).to_owned();
        text("time").parse::<Timestamp>().unwrap();
        assert!(!text("target").is_empty() && !text("message").contains(char::is_control), "{line}");
        levels.push(text("level"));
        lines.push(line);
    }
    assert!(levels.iter().any(|l| l == "INFO") && levels.iter().any(|l| l == "WARN"), "{levels:?}");
    assert!(ended.log.contains("gone\\\\n"), "the key is not named: {}", ended.log);
    // Figures are numbers in fields.
    let figures = |about: &str| {
        let line = lines.iter().rfind(|line| line["statistics"] == about);
        line.unwrap_or_else(|| panic!("no {about} in {}", ended.log))["figures"].clone()
    };
    assert_eq!((&figures("send")["events"], &figures("decode")["objects"]), (&json!(10), &json!(1)));
    let service = figures("service");
    assert_eq!((&service["name"], &service["delivered"]["events"]), (&json!("aws_sqs_vpc"), &json!(10)));
    let connected: Vec<_> =
        lines.iter().filter(|line| line["output"] == "devo_1" && line["tls"] == "TLS 1.3").collect();
    assert_eq!(connected.len(), 1, "told once: {connected:?}");
    let text = connected[0]["message"].as_str().unwrap();
    assert!(
        text.starts_with("outputs.devo_1: connected to localhost:")
            && text.contains(connected[0]["peer"].as_str().unwrap())
    );
}

#[test]
fn on_a_terminal_there_are_figures_below_the_log() {
    let lab = Lab::new("live");
    let objects: Vec<_> = (0..4).map(|i| feeds::vpc(&format!("t{i}"), 100)).collect();
    lab.put_and_announce(&objects);
    let file = lab.write_config(&lab.config(json!({"aws_sqs_vpc": {}})));
    let shown = |more: &str| {
        let command = format!(
            "stty cols 140 rows 40; exec {} run --drain --config {file} {more}",
            collector::program().display()
        );
        let out = lab.directory().join("terminal");
        let mut script = process::command(
            "script".as_ref(),
            &["-qfec", &command, "/dev/null"],
            &out,
            &lab.directory().join("script.log"),
        );
        script.env("TERM", "xterm").env_remove("NO_COLOR");
        let status = Process::spawn(script).wait("script", PATIENCE);
        assert!(status.success(), "{status}");
        String::from_utf8_lossy(&std::fs::read(out).unwrap()).into_owned()
    };
    let text = shown("");
    assert!(text.contains("workers busy") && text.contains("end-to-end"), "no figures: {text:?}");
    let plain = Regex::new("\u{1b}\\[[0-9;?]*[A-Za-z]").unwrap().replace_all(&text, "").into_owned();
    let ends: Vec<_> = plain.lines().map(|line| line.rsplit('\r').next().unwrap_or_default()).collect();
    for part in
        ["INFO ] aws-to-devo", "INFO ] total send: total number of events sent: 400", "INFO ] stopped"]
    {
        assert!(ends.iter().any(|line| line.starts_with('[') && line.contains(part)), "{part}: {ends:#?}");
    }
    assert!(!shown("--no-live").contains("workers busy"));
}

#[test]
fn own_events_reach_a_table_of_ones_own() {
    let lab = Lab::new("internal");
    let object = feeds::vpc("i1", 50);
    lab.put_and_announce(std::slice::from_ref(&object));
    let (mut config, port) = with_page(lab.config(json!({"aws_sqs_vpc": {}})));
    config["globals"]["internal_events"] = json!({"tag": "my.app.collector.stats", "period": 5});
    let mut collector = lab.run(&config, &[]);
    let own = || -> Vec<Value> {
        let text = lab.sink.received_text();
        let bodies = text.lines().filter_map(|line| line.split_once(" my.app.collector.stats: "));
        bodies.map(|(_, body)| serde_json::from_str(body).unwrap()).collect()
    };
    let delivered = |event: &Value| event["event"] == "service" && event["delivered"]["events"] == 50;
    collector.wait_until("an event that tells of the delivery", || own().iter().any(delivered));
    assert!(lab.queue.is_empty());
    let events = own();
    for kind in ["collector", "input", "service", "output", "warning"] {
        assert!(events.iter().any(|event| event["event"] == kind), "no {kind}: {events:#?}");
    }
    assert!(events.iter().all(|event| event["collector_id"] == "e2e"));
    // What has arrived counts once it is confirmed.
    let counted = |what: &str| status(port)["internal"][what].as_u64().unwrap();
    collector.wait_until("the count of these events", || counted("events") >= events.len() as u64);
    assert!(own().len() as u64 >= counted("events"));
    assert_eq!(collector.stop().code, Some(0));
}

#[test]
fn the_alert_rules_can_be_used() {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/aws-to-devo.rules.yml");
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/rig/alerts.yml");
    for (command, file) in [("check", rules), ("test", examples)] {
        let output = Command::new("promtool").args([command, "rules", file]).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

/// Every question of the dashboard, as a rule that promtool reads.
#[test]
fn the_dashboard_asks_what_prometheus_understands() {
    let lab = Lab::new("dashboard");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/grafana/aws-to-devo.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let targets = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|panel| panel["targets"].as_array())
        .flatten();
    let rules: Vec<_> = targets
        .enumerate()
        .map(|(number, target)| {
            let expression = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
            json!({"record": format!("panel:{number}"), "expr": expression})
        })
        .collect();
    assert!(rules.len() > 120, "{}", rules.len());
    let rules = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    let file = lab.directory().join("dashboard.rules.yml");
    std::fs::write(&file, rules.to_string()).unwrap();
    let output = Command::new("promtool").args(["check", "rules"]).arg(&file).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

fn promtool_accepts(text: &str) {
    let mut promtool = Command::new("promtool");
    let mut child = promtool
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("promtool is installed by scripts/test");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

fn await_readiness(collector: &mut Collector, port: u16, status: u16, beginning: &str) {
    collector.wait_until(&format!("/readyz to say {beginning:?}"), || {
        try_ask(port, "GET /readyz HTTP/1.1\r\nHost: localhost")
            .is_some_and(|(code, body)| code == status && body.starts_with(beginning))
    });
}

/// The configuration with a status page, and its port.
pub fn with_page(mut config: Value) -> (Value, u16) {
    let port = free_port();
    config["globals"]["status"] = json!({"port": port});
    (config, port)
}

pub fn status(port: u16) -> Value {
    serde_json::from_str(&get(port, "/status.json").1).unwrap()
}

/// None if there is no answer at the moment.
pub fn try_status(port: u16) -> Option<Value> {
    let (_, body) = try_ask(port, "GET /status.json HTTP/1.1\r\nHost: localhost")?;
    serde_json::from_str(&body).ok()
}

pub fn get(port: u16, path: &str) -> (u16, String) {
    ask(port, &format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}"))
}

/// Status and body of the answer, as soon as there is one.
fn ask(port: u16, head: &str) -> (u16, String) {
    wait_for_value("an answer of the status page", PATIENCE, || try_ask(port, head))
}

pub fn try_ask(port: u16, head: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    write!(stream, "{head}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// The value of a metric, with its labels as they are written.
pub fn value_of(metrics: &str, name: &str, labels: &str) -> Option<f64> {
    let beginning = format!("aws_to_devo_{name}{labels} ");
    metrics.lines().find_map(|line| line.strip_prefix(&beginning)?.parse().ok())
}
