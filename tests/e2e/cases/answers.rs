//! An answer is believed only for what it really says, and a message only within its rights.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::aws;
use crate::rig::fault_proxy::{Call, Fault, FaultProxy, refuse_xml};
use crate::rig::feeds::{self, all_frames};
use crate::rig::lab::Lab;
use crate::rig::notices;

/// Each of these has status 404; none says that an object is missing.
#[test]
fn a_404_that_is_not_s3_s_word_skips_nothing() {
    let lab = Lab::with_few_receives("foreign-404");
    let objects: Vec<_> = (0..12).map(|i| feeds::vpc(&format!("f{i}"), 20)).collect();
    lab.put_and_announce(&objects);
    let proxy = FaultProxy::start(|call| match call.number % 3 {
        _ if call.action != "GetObject" => Fault::Pass,
        0 => Fault::Answer { status: 404, body: "<html><body>404 page not found</body></html>".to_owned() },
        1 => Fault::Answer { status: 404, body: String::new() },
        _ => refuse_xml(404, "NoSuchBucket"),
    });
    let mut config = lab.config_through(&proxy, "aws_sqs_vpc");
    config["inputs"]["sqs_collector"]["missing_object"] = json!("skip");
    let ended = lab.drain(&config);
    assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
    assert!(ended.log.contains("the right endpoint, and does a proxy"), "log:\n{}", ended.log);
    assert!(ended.log.contains("NoSuchBucket"), "log:\n{}", ended.log);
    assert!(!ended.log.contains("skipped:"), "log:\n{}", ended.log);
    assert_eq!((lab.queue.peek().len(), lab.dead_letters.peek().len()), (12, 0), "log:\n{}", ended.log);
    lab.drain_all(&lab.config(json!({"aws_sqs_vpc": {}})));
    lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn versions_that_must_not_be_read_are_read_by_their_keys() {
    let lab = Lab::with_few_receives("versions");
    let objects: Vec<_> = (0..4).map(|i| feeds::vpc(&format!("v{i}"), 20)).collect();
    lab.put(&objects);
    for object in &objects {
        lab.queue.send(&[versioned(&lab, &object.key, &aws::etag(&lab.bucket, &object.key))]);
    }
    // Replaced after it was announced: another object has its key now.
    let replaced = feeds::vpc("replaced", 20);
    lab.put(std::slice::from_ref(&replaced));
    lab.queue.send(&[versioned(&lab, &replaced.key, "0123456789abcdef0123456789abcdef")]);
    let proxy = FaultProxy::start(|call| match call.path.contains("versionId=") {
        true => refuse_xml(403, "AccessDenied"),
        false => Fault::Pass,
    });
    let ended = lab.drain_but(1, &lab.config_through(&proxy, "aws_sqs_vpc"));
    lab.expect_delivered(&all_frames(&objects));
    assert_eq!(ended.log.matches("reading object versions is not allowed").count(), 1, "log:\n{}", ended.log);
    assert!(ended.log.contains("was replaced after it was announced"), "log:\n{}", ended.log);
    assert!(ended.log.contains("s3:GetObjectVersion on arn:aws:s3:::"), "log:\n{}", ended.log);
}

#[test]
fn an_archived_object_says_what_helps() {
    let lab = Lab::with_few_receives("archived");
    let (good, archived) = (feeds::vpc("good", 20), feeds::vpc("archived", 20));
    let key = archived.key.clone();
    let objects = [good, archived];
    lab.put_and_announce(&objects);
    let archived = aws::encode(&key, "/");
    let proxy = FaultProxy::start(move |call| match call.path.ends_with(&archived) {
        true => refuse_xml(403, "InvalidObjectState"),
        false => Fault::Pass,
    });
    let ended = lab.drain_but(1, &lab.config_through(&proxy, "aws_sqs_vpc"));
    lab.expect_delivered(&objects[0].frames);
    assert!(ended.log.contains("restore it, or skip it with `filename_filter_rules`"), "log:\n{}", ended.log);
    assert!(!ended.log.contains("Allow it in the identity's policy"), "log:\n{}", ended.log);
}

/// Two fetchers, sixteen messages that can never be read: the others arrive anyway.
#[test]
fn forbidden_objects_hold_nobody_up() {
    let lab = Lab::new("forbidden");
    let bad: Vec<_> = (0..16).map(|i| feeds::vpc(&format!("bad{i}"), 5)).collect();
    lab.put_and_announce(&bad);
    let proxy = FaultProxy::start(|call| match call.path.contains("bad") {
        true if call.action == "GetObject" => refuse_xml(403, "AccessDenied"),
        _ => Fault::Pass,
    });
    let mut config = lab.config_through(&proxy, "aws_sqs_vpc");
    config["globals"]["fetchers"] = json!(2);
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("each of the forbidden objects to be asked for", || proxy.faults() >= 16);
    let good: Vec<_> = (0..10).map(|i| feeds::vpc(&format!("good{i}"), 20)).collect();
    lab.put_and_announce(&good);
    let frames = all_frames(&good).len();
    let lines = |file: &Vec<u8>| memchr::memchr_iter(b'\n', file).count();
    collector.wait_until("the good ones", || lab.sink.received().iter().map(lines).sum::<usize>() >= frames);
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    lab.expect_delivered(&all_frames(&good));
    assert_eq!(lab.queue.peek().len(), bad.len(), "what waited went back; log:\n{}", ended.log);
}

/// A small message's object is requested while most of a large message's missing files are still waiting.
#[test]
fn messages_take_turns() {
    const FILES: usize = 600;
    let lab = Lab::new("turns-of-messages");
    let good = feeds::fdr("good", 20);
    lab.put(std::slice::from_ref(&good));
    let names: Vec<_> = (0..FILES).map(|i| format!("data/away/part-{i:05}.gz")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), 100)).collect();
    lab.queue.send(&[notices::fdr(&lab.bucket, "data/away", &files)]);
    let order = Arc::<Mutex<Vec<bool>>>::default();
    let (seen, queue, bucket, key) =
        (Arc::clone(&order), lab.queue.clone(), lab.bucket.clone(), good.key.clone());
    let proxy = FaultProxy::start(move |call: &Call| {
        if call.action != "GetObject" {
            return Fault::Pass;
        }
        let is_good = !call.path.contains("/away/");
        let mut seen = seen.lock().unwrap();
        if seen.is_empty() {
            queue.send(&[notices::s3_created(&bucket, &[&key])]);
        }
        seen.push(is_good);
        // Slow until the other message has arrived, so that it arrives while there are many files left.
        if seen.contains(&true) { Fault::Pass } else { Fault::Delay(Duration::from_millis(100)) }
    });
    let mut config = lab.config_through(&proxy, "aws_sqs_fdr");
    config["globals"]["fetchers"] = json!(2);
    let input = &mut config["inputs"]["sqs_collector"];
    (input["missing_object"], input["receivers"]) = (json!("skip"), json!(1));
    let ended = lab.drain_all(&config);
    lab.expect_delivered(&good.frames);
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 3 * FILES + 1, "log:\n{}", ended.log);
    let place = order.iter().position(|is_good| *is_good).unwrap();
    assert!(place < FILES, "the good object was asked for after {place} calls");
}

/// A proxy sees every requested host: all are AWS's, for any messages.
#[test]
fn no_message_leads_to_another_host() {
    let lab = Lab::with_few_receives("regions");
    let hosts = Arc::<Mutex<Vec<String>>>::default();
    let proxy = watching_proxy(&hosts);
    for region in [
        "attacker.example/",
        "attacker.example#",
        "x@attacker.example/",
        "attacker.example:443/",
        "cn-north-1",
    ] {
        lab.queue.send(&[from_region(&lab.bucket, region, &aws::encode(region, ""))]);
    }
    for bucket in ["attacker.example/x", "attacker.example#", "a?acl&x=", "..", ""] {
        lab.queue.send(&[from_region(bucket, "us-east-1", "k")]);
    }
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let input = &mut config["inputs"]["sqs_collector"];
    input["sqs_endpoint_url"] = input["endpoint_url"].take();
    input.as_object_mut().unwrap().remove("endpoint_url");
    let mut collector = lab.run_with(&[("HTTPS_PROXY", &proxy)], &config, &[]);
    collector.wait_until("calls to S3", || hosts.lock().unwrap().len() >= 5);
    collector.wait_for_log("(?s)(names an object that cannot exist.*){5}");
    collector.stop();
    let hosts = hosts.lock().unwrap();
    assert!(hosts.iter().all(|host| host.ends_with(".s3.us-east-1.amazonaws.com:443")), "{hosts:?}");
}

/// Refuses every `CONNECT`, and records its destination. Returns its URL.
fn watching_proxy(hosts: &Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let hosts = Arc::clone(hosts);
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut line = String::new();
            let _ = BufReader::new(&connection).read_line(&mut line);
            hosts.lock().unwrap().extend(line.split(' ').nth(1).map(str::to_owned));
            let _ = connection.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
        }
    });
    url
}

fn from_region(bucket: &str, region: &str, name: &str) -> String {
    let key = format!("AWSLogs/1/vpcflowlogs/us-east-1/2026/11/21/{name}.log.gz");
    let mut event: Value = serde_json::from_str(&notices::s3_created(bucket, &[&key])).unwrap();
    event["Records"][0]["awsRegion"] = json!(region);
    event.to_string()
}

fn versioned(lab: &Lab, key: &str, etag: &str) -> String {
    let mut event: Value = serde_json::from_str(&notices::s3_created(&lab.bucket, &[key])).unwrap();
    event["Records"][0]["s3"]["object"]["versionId"] = json!("3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY");
    event["Records"][0]["s3"]["object"]["eTag"] = json!(etag);
    // The size that goes with an ETag is believed.
    event["Records"][0]["s3"]["object"]["size"] = Value::Null;
    event.to_string()
}

/// A portal in front of AWS says "success" to every kind of call before it lets them through: nothing ends because of
/// it.
#[test]
fn a_success_that_is_not_aws_s_ends_nothing() {
    let lab = Lab::new("foreign-200");
    let objects: Vec<_> = (0..6).map(|i| feeds::vpc(&format!("s{i}"), 20)).collect();
    lab.put_and_announce(&objects);
    let proxy = FaultProxy::start(|call| {
        let body = match call.number % 2 {
            1 => "{}",
            _ => r#"{"status":"ok"}"#,
        };
        let is_first = call.number <= 2;
        if is_first { Fault::Answer { status: 200, body: body.to_owned() } } else { Fault::Pass }
    });
    let ended = lab.drain_all(&lab.config_through(&proxy, "aws_sqs_vpc"));
    lab.expect_delivered(&all_frames(&objects));
    assert!(ended.log.contains("the answer says success, but is not one of AWS's"), "log:\n{}", ended.log);
    for call in ["sqs:ReceiveMessage", "s3:GetObject"] {
        assert!(ended.log.contains(&format!("{call} ")), "{call}; log:\n{}", ended.log);
    }
}
