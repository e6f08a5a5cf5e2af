//! STS refuses for a while; this machine's clock is wrong.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::rig::aws::{self, ACCOUNT};
use crate::rig::fault_proxy::{Call, Fault, FaultProxy, refuse_xml};
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::lab::{self, Lab};
use crate::rig::process::PATIENCE;

#[test]
fn sts_refuses_at_first() {
    let lab = Lab::with_few_receives("sts-first");
    let objects = objects(0..20);
    lab.put_and_announce(&objects);
    let began = Instant::now();
    let proxy = FaultProxy::start(move |call| match call.action.as_str() {
        "AssumeRole" if began.elapsed() < Duration::from_secs(15) => refuse_sts(call),
        _ => Fault::Pass,
    });
    let mut collector = lab.run(&with_role(&lab, &proxy), &[]);
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(ended.log.contains("sts:AssumeRole"), "log:\n{}", ended.log);
    assert!(lab.dead_letters.is_empty());
    lab.expect_delivered_at_least_once("STS refuses for 15 s at the start", &all_frames(&objects));
}

#[test]
fn sts_refuses_while_sessions_run_out() {
    let lab = Lab::with_few_receives("sts-later");
    let began = Instant::now();
    // Sessions of 6 s; from 5 s to 20 s there is no new one.
    let proxy = FaultProxy::start(move |call| match call.action.as_str() {
        "AssumeRole" if (5..20).contains(&began.elapsed().as_secs()) => refuse_sts(call),
        "AssumeRole" => Fault::Alter(Box::new(shortened)),
        // The emulator does not know that the previous session has ended.
        _ if (12..20).contains(&began.elapsed().as_secs()) => refuse_expired(call),
        _ => Fault::Pass,
    });
    let mut collector = lab.run(&with_role(&lab, &proxy), &[]);
    let mut all = Vec::new();
    for round in 0..25 {
        let some = objects(round * 4..round * 4 + 4);
        lab.put_and_announce(&some);
        all.extend(some);
        std::thread::sleep(Duration::from_secs(1));
    }
    collector.wait_until("the queue's end", || lab.queue.is_empty());
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(lab.dead_letters.is_empty(), "log:\n{}", ended.log);
    assert!(proxy.calls("AssumeRole") > 4, "log:\n{}", ended.log);
    lab.expect_delivered_at_least_once("STS refuses for 15 s while sessions run out", &all_frames(&all));
}

#[test]
fn a_session_ends_in_the_middle_of_a_large_object() {
    session_ends("session-whole", "session ends in mid-object, held whole", "4GiB");
}

#[test]
fn a_session_ends_in_the_middle_of_a_stream() {
    session_ends("session-stream", "session ends in mid-object, streamed", "64MiB");
}

/// The session that reads the first range of an object is refused from its second range on, for all objects.
fn session_ends(name: &str, case: &str, memory_limit: &str) {
    let lab = Lab::with_few_receives(name);
    let lines: Vec<_> = (0..50_000).map(|i| feeds::fdr_event(name, i)).collect();
    let object = Object {
        key: "data/session/part-00000".into(),
        // Not compressed, so that it takes several ranges.
        bytes: (lines.join("\n") + "\n").into_bytes(),
        frames: feeds::frames("edr.crowdstrike.cannon", &lines),
    };
    assert!(object.bytes.len() > 32 << 20);
    lab.put_and_announce(std::slice::from_ref(&object));
    let starts = Arc::new(Mutex::new(Vec::new()));
    let (seen, mut ended) = (Arc::clone(&starts), None);
    let proxy = FaultProxy::start(move |call| {
        if call.action == "GetObject" && call.range_start > 0 {
            ended.get_or_insert_with(|| call.key_id.clone());
        }
        if ended.as_ref().is_some_and(|key_id| *key_id == call.key_id) {
            return refuse_expired(call);
        }
        if call.action == "GetObject" {
            seen.lock().unwrap().push(call.range_start);
        }
        Fault::Pass
    });
    let mut config = with_role(&lab, &proxy);
    config["globals"]["memory_limit"] = json!(memory_limit);
    config["inputs"]["sqs_collector"]["services"] = json!({"aws_sqs_fdr": {}});
    let log = lab.drain_all(&config).log;
    assert!(proxy.faults() > 0 && log.contains("expired before their time"), "log:\n{log}");
    assert_eq!(proxy.calls("AssumeRole"), 2, "renewed once; log:\n{log}");
    // Every range was read once, the first one too.
    let mut starts = std::mem::take(&mut *starts.lock().unwrap());
    let reads = starts.len();
    starts.sort_unstable();
    starts.dedup();
    assert_eq!((starts.len(), starts[0]), (reads, 0), "log:\n{log}");
    assert_eq!(lab.expect_delivered_at_least_once(case, &object.frames), 0);
}

#[test]
fn the_clock_is_twenty_minutes_slow() {
    clock("clock-slow", "clock 20 minutes slow", "-20m");
}

#[test]
fn the_clock_is_twenty_minutes_fast() {
    clock("clock-fast", "clock 20 minutes fast", "+20m");
}

/// The emulator refuses signatures that differ by more than 15 minutes, as AWS does.
fn clock(name: &str, case: &str, offset: &str) {
    let lab = Lab::with_few_receives(name);
    let objects = objects(0..20);
    lab.put_and_announce(&objects);
    // Counts calls, nothing else.
    let proxy = FaultProxy::start(|_| Fault::Pass);
    let library = ("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1");
    let environment = [library, ("FAKETIME", offset), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    let ended = lab.run_with(&environment, &with_role(&lab, &proxy), &["--drain"]).end(PATIENCE);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    let corrections = ended.log.matches("clock differs from AWS's by").count();
    assert!((1..100).contains(&corrections), "is libfaketime installed? log:\n{}", ended.log);
    assert!(proxy.calls("GetObject") < 3 * objects.len() as u32, "log:\n{}", ended.log);
    assert!(lab.queue.is_empty() && lab.dead_letters.is_empty(), "log:\n{}", ended.log);
    lab.expect_delivered_at_least_once(case, &all_frames(&objects));
}

fn refuse_sts(call: &Call) -> Fault {
    if call.number.is_multiple_of(3) { Fault::Reset } else { refuse_xml(403, "AccessDenied") }
}

fn refuse_expired(call: &Call) -> Fault {
    if call.action == "GetObject" {
        return refuse_xml(400, "ExpiredToken");
    }
    crate::rig::fault_proxy::refuse_json(400, "ExpiredTokenException")
}

/// The session ends in six seconds.
fn shortened(answer: Vec<u8>) -> Vec<u8> {
    let answer = String::from_utf8(answer).unwrap();
    let (before, rest) = answer.split_once("<Expiration>").expect("an answer of AssumeRole");
    let (_, after) = rest.split_once("</Expiration>").unwrap();
    let end = Timestamp::from_second(now() + 6).unwrap();
    format!("{before}<Expiration>{end}</Expiration>{after}").into_bytes()
}

fn now() -> i64 {
    Timestamp::try_from(SystemTime::now()).unwrap().as_second()
}

fn objects(numbers: std::ops::Range<usize>) -> Vec<Object> {
    numbers.map(|i| feeds::vpc(&format!("a{i}"), 100)).collect()
}

fn with_role(lab: &Lab, proxy: &FaultProxy) -> Value {
    let name = &lab.queue.name;
    let user = aws::create_user(&format!("user-{name}"), "sts:AssumeRole");
    let principal = format!("arn:aws:iam::{ACCOUNT}:user/{}", user.name);
    let role = aws::create_role(&format!("role-{name}"), "*", &principal, None);
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let input = &mut config["inputs"]["sqs_collector"];
    input["endpoint_url"] = json!(proxy.endpoint());
    input["credentials"] = lab::credentials(&user);
    input["credentials"]["aws_base_account_role"] = json!(role);
    config
}
