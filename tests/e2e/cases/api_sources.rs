//! The AWS collector's services: polled APIs, and queues given by name.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use regex::bytes::Regex;
use serde_json::{Value, json};

use crate::cases::status::{try_status, with_page};
use crate::rig::aws::{self, Queue};
use crate::rig::fault_proxy::{Fault, FaultProxy, refuse_xml};
use crate::rig::frames::{Frame, assert_at_least_once, assert_exactly, frame};
use crate::rig::lab::Lab;
use crate::rig::lookups::Trail;
use crate::rig::{emulator, feeds};

const HOUR: i64 = 3600;

#[test]
fn slots_and_pages_bring_every_event_once() {
    let (lab, trail) = (Lab::new("lookup-pages"), Trail::start());
    // A minute short of three hours: the last slot does not overflow while the program starts.
    let start = now() - 3 * HOUR + 60;
    // More than two pages in the first slot, one event on the slots' common second.
    let times = (0..120).map(|n| start + n * 20).chain([start + HOUR, start + HOUR + 1, start + 2 * HOUR]);
    let frames = record(&trail, times);
    trail.record("dropped", "Decrypt", start + 5, "{\"eventName\":\"Decrypt\"}");
    trail.record("elsewhere", "List", start + 6, "{\"awsRegion\":\"eu-west-1\"}");
    let ended = lab.drain_all(&config(&lab, &trail, start, json!({"drop_event_names": ["Decrypt"]})));
    assert_exactly(&frames, &unmarked(&lab));
    assert!(ended.log.contains("Total number of time slots to be processed: 3"), "log:\n{}", ended.log);
    // The two events on the common seconds are read twice.
    assert!(
        ended.log.contains("messages (total/dropped/other_region/duplicated/generated): 127/1/1/2/123"),
        "log:\n{}",
        ended.log
    );
    // What is delivered is known after a restart.
    lab.drain_all(&config(&lab, &trail, start, json!({"drop_event_names": ["Decrypt"]})));
    assert_exactly(&frames, &unmarked(&lab));
}

#[test]
fn all_events_of_a_pull_name_it() {
    let (lab, trail) = (Lab::new("lookup-mark"), Trail::start());
    let start = now() - 2 * HOUR;
    record(&trail, (0..60).map(|n| start + n));
    lab.drain_all(&config(&lab, &trail, start, json!({})));
    let ids: std::collections::BTreeSet<_> = marks(&lab).into_iter().collect();
    assert_eq!((marks(&lab).len(), ids.len()), (60, 1), "{ids:?}");
}

#[test]
fn tables_follow_the_event_source_when_asked() {
    let (lab, trail) = (Lab::new("lookup-auto"), Trail::start());
    let start = now() - HOUR;
    trail.record("1", "A", start, "{\"eventSource\":\"s3.amazonaws.com\",\n\"n\":1}");
    trail.record("2", "B", start, "{\"eventSource\":\"cognito-idp.amazonaws.com\"}");
    trail.record("3", "C", start, "{\"n\":3}");
    lab.drain_all(&config(&lab, &trail, start, json!({"auto_event_type": true})));
    let tag = |name| format!("cloud.aws.cloudtrail.{name}.{}.us-east-1.1", aws::ACCOUNT);
    let expected = [
        frame(&tag("s3"), "{\"eventSource\":\"s3.amazonaws.com\", \"n\":1}"),
        frame(&tag("cognito_idp"), "{\"eventSource\":\"cognito-idp.amazonaws.com\"}"),
        frame(&tag("unknown"), "{\"n\":3}"),
    ];
    assert_exactly(&expected, &unmarked(&lab));
}

#[test]
fn throttling_refused_tokens_and_broken_answers_lose_and_repeat_nothing() {
    let (lab, trail) = (Lab::new("lookup-faults"), Trail::start());
    let start = now() - 2 * HOUR;
    let frames = record(&trail, (0..130).map(|n| start + n * 10));
    trail.fail(&[
        (400, "ThrottlingException"),
        (500, "InternalFailure"),
        (400, "ExpiredTokenException"),
        (400, "LimitExceededException"),
        (400, "InvalidNextTokenException"),
        (503, "ServiceUnavailable"),
    ]);
    let ended = lab.drain_all(&config(&lab, &trail, start, json!({})));
    assert_exactly(&frames, &unmarked(&lab));
    assert!(ended.log.contains("the listing restarts"), "log:\n{}", ended.log);
}

#[test]
fn an_account_without_events_is_drained() {
    let (lab, trail) = (Lab::new("lookup-empty"), Trail::start());
    lab.drain_all(&config(&lab, &trail, now() - HOUR - HOUR / 2, json!({})));
    lab.expect_delivered(&[]);
    assert_eq!(trail.requests().len(), 2, "one for each slot");
}

#[test]
fn a_missing_permission_ends_a_drain_with_its_name() {
    let (lab, trail) = (Lab::new("lookup-denied"), Trail::start());
    trail.fail(&[(400, "AccessDeniedException"); 100]);
    let ended = lab.drain(&config(&lab, &trail, now() - HOUR, json!({})));
    assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
    assert!(ended.log.contains("cloudtrail:LookupEvents"), "log:\n{}", ended.log);
}

#[test]
fn check_makes_each_source_s_first_call() {
    let (lab, trail) = (Lab::new("lookup-check"), Trail::start());
    let config = config(&lab, &trail, now() - HOUR, json!({}));
    let check = || lab.command(&config, &["check", "--online"]);
    assert_eq!(check().code, Some(0));
    assert_eq!(trail.requests().len(), 1);
    trail.fail(&[(400, "AccessDeniedException")]);
    let denied = check();
    let said = String::from_utf8(denied.stdout).unwrap();
    assert_eq!(denied.code, Some(2), "{said}");
    assert!(
        said.contains(
            "✗ inputs.aws.services.audit-events-all in us-east-1: CloudTrail: cloudtrail:LookupEvents"
        ),
        "{said}"
    );
}

#[test]
fn what_comes_up_while_it_runs_is_read_in_a_later_pull() {
    let (mut lab, trail) = (Lab::new("lookup-runs"), Trail::start());
    let start = now() - 60;
    let (config, port) = with_page(config(&lab, &trail, start, json!({"request_period_in_seconds": 1})));
    let lag =
        || try_status(port).and_then(|status| status["inputs"][0]["services"][0]["lag_seconds"].as_f64());
    let mut frames = record(&trail, [start].into_iter());
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("the first event", || lab.sink.received_text().contains("\"n\":0,"));
    // The sink is down while the next one appears.
    lab.sink.stop();
    let later = "{\"awsRegion\":\"us-east-1\",\"later\":true}";
    trail.record("later", "List", now(), later);
    let lookups = trail.requests().len();
    collector.wait_until("two more pulls", || trail.requests().len() > lookups + 2);
    collector.wait_until("the lag to grow", || lag().is_some_and(|lag| lag > 3.0));
    lab.sink.restart();
    collector.wait_until("the second event", || lab.sink.received_text().contains("later"));
    collector.wait_until("the lag to be over", || lag().is_some_and(|lag| lag < 3.0));
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    frames.push(frame(&frames[0].tag.clone(), later));
    assert_at_least_once("polled through an outage of the sink", &frames, &unmarked(&lab));
}

#[test]
fn a_killed_collector_goes_on_at_its_checkpoint() {
    let (lab, trail) = (Lab::new("lookup-killed"), Trail::start());
    let start = now() - 8 * HOUR;
    // Two pages per slot: at two requests a second this takes eight seconds.
    let frames = record(&trail, (0..8).flat_map(|slot| (0..80).map(move |n| start + slot * HOUR + 40 * n)));
    let mut collector = lab.run(&config(&lab, &trail, start, json!({})), &[]);
    collector.wait_until("the fourth slot", || trail.requests().len() >= 8);
    collector.kill();
    let before = trail.requests().len();
    lab.drain_all(&config(&lab, &trail, start, json!({})));
    let from = trail.requests()[before]["StartTime"].as_i64().unwrap();
    assert!(from > start, "the first slots are not read again");
    let repeats = assert_at_least_once("killed while polling", &frames, &unmarked(&lab));
    assert!(repeats < frames.len() / 2, "{repeats}");
}

#[test]
fn a_signed_lookup_is_accepted() {
    let lab = Lab::new("lookup-signed");
    let answer = ureq::post(format!("{}/_ministack/config", emulator::endpoint()))
        .send(json!({"cloudtrail._recording_enabled": "true"}).to_string());
    answer.unwrap();
    let user = aws::create_user("seen-in-cloudtrail", "*");
    // Lookups end with the last whole second.
    std::thread::sleep(Duration::from_secs(2));
    let endpoint = emulator::endpoint();
    let service = json!({"start_time": time(now() - HOUR), "sources": ["iam"], "auto_event_type": true});
    lab.drain_all(&config_at(&lab, endpoint, service));
    let received = lab.sink.received_text();
    let tag = format!("cloud.aws.cloudtrail.iam.{}.us-east-1.1: ", aws::ACCOUNT);
    assert!(
        received.lines().any(|l| l.contains(&tag) && l.contains("CreateUser") && l.contains(&user.name)),
        "{received}"
    );

    let mut config = config_at(&lab, endpoint, json!({"start_time": time(now() - HOUR)}));
    config["inputs"]["aws"]["id"] = "another".into();
    config["inputs"]["aws"]["credentials"]["access_secret"] = "wrong".into();
    let ended = lab.drain(&config);
    assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
}

#[test]
fn events_of_a_fifo_queue_that_is_given_by_its_name() {
    let lab = Lab::new("service-events");
    let queue = Queue::create_fifo("service-events-all.fifo");
    let event = |n: usize, source: &str| {
        json!({"version": "0", "id": n.to_string(), "source": source, "account": "123456789012", "detail": {"n": n}}).to_string()
    };
    let events: Vec<_> = (0..30).map(|n| event(n, ["aws.ssm", "aws.s3", "my.shop"][n % 3])).collect();
    events.iter().for_each(|event| drop(queue.send_in_group("devo-collector", event)));
    let service = json!({
        "cloudwatch_sqs_queue_name": queue.name, "auto_event_type": true, "regions": [aws::REGION],
        "event_type_processor_mapping": {"my.shop": {"tagging": "my.app.shop"}}
    });
    lab.drain_all(&services(&lab, emulator::endpoint(), json!({"service-events-all": service})));
    let tag = |n: usize| match n % 3 {
        0 => "cloud.aws.cloudwatch.ssm.123456789012.us-east-1.1",
        1 => "cloud.aws.cloudwatch.s3.123456789012.us-east-1.1",
        _ => "my.app.shop",
    };
    let expected: Vec<_> = events.iter().enumerate().map(|(n, event)| frame(tag(n), event)).collect();
    let received = unmarked(&lab);
    assert_exactly(&expected, &received);
    assert_eq!(marks(&lab).len(), 30);
    let order: Vec<_> = received.concat().split(|b| *b == b'\n').filter_map(number).collect();
    assert_eq!(order, (0..30).collect::<Vec<_>>(), "order within the group");
    assert!(queue.is_empty());
}

#[test]
fn findings_of_security_hub_are_events_of_their_own() {
    let lab = Lab::new("security-hub");
    let finding = |n: usize| json!({"Id": n.to_string(), "AwsAccountId": "210987654321", "Title": "é"});
    let findings: Vec<_> = (0..3).map(finding).collect();
    lab.queue.send(&[
        json!({"source": "aws.securityhub", "detail": {"findings": findings}}).to_string(),
        json!({"source": "aws.securityhub", "detail": {"findings": []}}).to_string(),
    ]);
    let service = json!({"cloudwatch_sqs_queue_name": lab.queue.name, "regions": [aws::REGION]});
    lab.drain_all(&services(&lab, emulator::endpoint(), json!({"sqs-cloudwatch-consumer": service})));
    let tag = "cloud.aws.securityhub.findings.210987654321.us-east-1.1";
    let expected: Vec<_> = findings.iter().map(|finding| frame(tag, finding.to_string())).collect();
    assert_exactly(&expected, &unmarked(&lab));
}

#[test]
fn objects_of_queues_that_are_given_by_their_names() {
    let lab = Lab::new("named-objects");
    let (trail, flow) = (feeds::cloudtrail("named", 10), feeds::vpc("named", 10));
    lab.put_and_announce(std::slice::from_ref(&trail));
    let flows = Queue::create("named-flows", None);
    lab.put(std::slice::from_ref(&flow));
    flows.send(&[crate::rig::notices::s3_created(&lab.bucket, &[&flow.key])]);
    let both = json!({
        "audit-events-all": {"types": ["audits_s3"], "audit_sqs_queue_name": lab.queue.name, "regions": [aws::REGION],
                             "tag": "cloud.aws.cloudtrail.{event_type}"},
        "non-cloudwatch-logs": {"types": ["flowlogs"], "vpcflowlogs_sqs_queue_name": flows.name, "regions": [aws::REGION],
                                "auto_event_type": true, "tag": "cloud.aws.vpc.{event_type}"}
    });
    lab.drain_all(&services(&lab, emulator::endpoint(), both));
    let expected =
        trail.frames.iter().map(|f| frame("cloud.aws.cloudtrail.events", &f.message)).chain(flow.frames);
    assert_exactly(&expected.collect::<Vec<_>>(), &unmarked(&lab));
    assert!(flows.is_empty());
}

#[test]
fn umbrella_and_cloudfront_objects_of_named_queues() {
    let lab = Lab::new("named-others");
    let (umbrella, cloudfront) =
        (Queue::create("named-umbrella", None), Queue::create("named-cloudfront", None));
    let objects = [
        feeds::umbrella("dnslogs", "dns"),
        feeds::umbrella("proxylogs", "proxy"),
        feeds::umbrella("iplogs", "ip"),
        feeds::umbrella("newlogs", "unknown"),
        // Named by the user's pattern.
        feeds::umbrella("resolverlogs", "dns"),
    ];
    let access = feeds::cloudfront(&format!("cloud.aws.cloudfront.web_1.{}.us-east-1.1.prod", aws::ACCOUNT));
    for (queue, objects) in [(&umbrella, objects.as_slice()), (&cloudfront, std::slice::from_ref(&access))] {
        lab.put(objects);
        let notice = |object: &feeds::Object| crate::rig::notices::s3_created(&lab.bucket, &[&object.key]);
        queue.send(&objects.iter().map(notice).collect::<Vec<_>>());
    }
    let both = json!({
        "cisco-umbrella": {"cisco_umbrella_sqs_queue_name": umbrella.name, "regions": [aws::REGION],
                           "event_type_file_regex_patterns": {"dns": "/resolverlogs/"}},
        "non-cloudwatch-logs": {"types": ["cloudfrontlogs"], "cloudfrontlogs_sqs_queue_name": cloudfront.name,
                                "regions": [aws::REGION], "auto_event_type": true}
    });
    let mut config = services(&lab, emulator::endpoint(), both);
    config["inputs"]["aws"]["environment"] = "prod".into();
    lab.drain_all(&config);
    let expected = [feeds::all_frames(&objects), access.frames].concat();
    lab.expect_delivered(&expected);
    assert!(umbrella.is_empty() && cloudfront.is_empty());
}

/// A flow log of an account that its key says.
fn flow_log(name: &str) -> feeds::Object {
    let lines: Vec<_> = (0..10).map(|i| format!("2 123456789012 eni-{name}-{i} ACCEPT OK")).collect();
    feeds::Object {
        key: format!("AWSLogs/123456789012/vpcflowlogs/us-east-1/2026/11/21/{name}.log.gz"),
        bytes: feeds::gzip((lines.join("\n") + "\n").as_bytes()),
        frames: feeds::frames("cloud.aws.vpc.unknown.123456789012.us-east-1.1", &lines),
    }
}

/// The account of CloudFront's tag is known from STS alone.
#[test]
fn nothing_is_received_for_a_wrong_table_while_sts_refuses() {
    let lab = Lab::new("account-sts");
    let (front, flows) = (Queue::create("account-front", None), Queue::create("account-flows", None));
    let access = feeds::cloudfront(&format!("cloud.aws.cloudfront.unknown.{}.us-east-1.1", aws::ACCOUNT));
    let flow = flow_log("flow");
    front.send(&[crate::rig::notices::s3_created(&lab.bucket, &[&access.key])]);
    flows.send(&[crate::rig::notices::s3_created(&lab.bucket, &[&flow.key])]);
    let expected = [flow.frames.clone(), access.frames.clone()].concat();
    lab.put(&[access, flow]);
    let refuses = Arc::new(AtomicBool::new(true));
    let shared = Arc::clone(&refuses);
    let proxy = FaultProxy::start(move |call| match call.action.as_str() {
        "GetCallerIdentity" if shared.load(Ordering::SeqCst) => refuse_xml(403, "AccessDenied"),
        _ => Fault::Pass,
    });
    let both = json!({"non-cloudwatch-logs": {
        "types": ["cloudfrontlogs", "flowlogs"], "regions": [aws::REGION],
        "cloudfrontlogs_sqs_queue_name": front.name, "vpcflowlogs_sqs_queue_name": flows.name
    }});
    let mut config = services(&lab, emulator::endpoint(), both);
    config["inputs"]["aws"]["sts_endpoint_url"] = proxy.endpoint().into();
    let mut collector = lab.run(&config, &[]);
    collector.wait_for_log("the account, which is a level of its tags, is not known");
    collector.wait_until("the flow logs, whose key says the account", || flows.is_empty());
    assert!(front.peek().iter().all(|message| message.receive_count == 0));
    refuses.store(false, Ordering::SeqCst);
    collector.wait_until("CloudFront's lines", || front.is_empty());
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    lab.expect_delivered(&expected);
}

/// STS is asked once something needs it: the event is returned once, and nothing of it was sent.
#[test]
fn an_event_that_does_not_say_its_account_gets_that_of_the_credentials() {
    let lab = Lab::new("account-event");
    let queue = Queue::create("account-event-queue", None);
    let event = |n: usize| json!({"source": "aws.ssm", "n": n}).to_string();
    let whole = json!({"source": "aws.ssm", "account": "123456789012"}).to_string();
    queue.send(&[whole.clone(), event(1), event(2)]);
    let service = json!({"cloudwatch_sqs_queue_name": queue.name, "regions": [aws::REGION]});
    let ended = lab.drain_all(&services(&lab, emulator::endpoint(), json!({"service-events-all": service})));
    assert!(ended.log.contains("names its account, which is a level of the tag"), "log:\n{}", ended.log);
    assert!(queue.is_empty());
    let tag = |account: &str| format!("cloud.aws.cloudwatch.events.{account}.{}.1", aws::REGION);
    let mut expected = vec![frame(&tag("123456789012"), whole)];
    expected.extend([1, 2].map(|n| frame(&tag(aws::ACCOUNT), event(n))));
    assert_exactly(&expected, &unmarked(&lab));
}

#[test]
fn objects_from_before_start_time_are_left_out() {
    let lab = Lab::new("start-time");
    let queue = Queue::create("start-time-queue", None);
    let [old, new, unknown] = ["old", "new", "unknown"].map(flow_log);
    let keys = [&old, &new, &unknown].map(|object| object.key.clone());
    let expected = [new.frames.clone(), unknown.frames.clone()].concat();
    lab.put(&[old, new, unknown]);
    // S3's events are of 2026-11-21, at ten o'clock; CloudTrail's own notifications say no time.
    let at = |time: &str, key: &str| {
        crate::rig::notices::s3_created(&lab.bucket, &[key]).replace("2026-11-21T10:00:00.000Z", time)
    };
    queue.send(&[
        at("2020-01-30T23:59:59.999Z", &keys[0]),
        at("2020-01-31T00:00:00.000Z", &keys[1]),
        crate::rig::notices::cloudtrail_delivery(&lab.bucket, &[&keys[2]]),
    ]);
    let from = |start: &str| {
        let service = json!({"types": ["flowlogs"], "vpcflowlogs_sqs_queue_name": queue.name,
                             "regions": [aws::REGION], "start_time": start});
        services(&lab, emulator::endpoint(), json!({"non-cloudwatch-logs": service}))
    };
    let ended = lab.drain_all(&from("2020-01-31T00:00:00Z"));
    assert!(queue.is_empty());
    let said = ended.log.matches("it was written before the service's start_time").count();
    assert_eq!(said, 1, "log:\n{}", ended.log);
    let line = format!("{}: skipped, left_out (start_time)", keys[0]);
    assert!(ended.log.contains(&line), "log:\n{}", ended.log);
    lab.expect_delivered(&expected);
    // S3's time counts if the message has none: the object was written before tomorrow.
    queue.send(&[crate::rig::notices::cloudtrail_delivery(&lab.bucket, &[&keys[0]])]);
    let ended = lab.drain_all(&from(&time(now() + 86_400)));
    assert!(ended.log.contains(&line), "log:\n{}", ended.log);
    lab.expect_delivered(&expected);
}

#[test]
fn a_running_source_that_is_forgotten_begins_anew() {
    let (lab, trail) = (Lab::new("lookup-forgotten"), Trail::start());
    let start = now() - 600;
    let frames = record(&trail, (0..60).map(|n| start + n));
    let config = config(&lab, &trail, start, json!({"request_period_in_seconds": 1}));
    let mut collector = lab.run(&config, &[]);
    let arrived = |times: usize| {
        let text = lab.sink.received_text();
        text.matches("\"n\":").count() >= times * frames.len()
    };
    collector.wait_until("all events", || arrived(1));
    let forgotten = lab.command(&config, &["ledger", "forget", "--input", "1"]);
    assert_eq!(forgotten.code, Some(0), "log:\n{}", forgotten.log);
    let said = String::from_utf8_lossy(&forgotten.stdout).into_owned();
    assert!(said.contains("they restart, sources of a running collector"), "{said}");
    collector.wait_until("all events again", || arrived(2));
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(ended.log.contains("the ledger was made to forget this source"), "log:\n{}", ended.log);
    assert_exactly(&[frames.clone(), frames].concat(), &unmarked(&lab));
    // What it has delivered since is known.
    lab.drain_all(&config);
    assert_eq!(marks(&lab).len(), 120);
}

#[test]
fn a_queue_that_is_not_there_is_named() {
    let lab = Lab::new("no-such-queue");
    let service = json!({"cloudwatch_sqs_queue_name": "nobody-made-this.fifo", "regions": [aws::REGION]});
    let config = services(&lab, emulator::endpoint(), json!({"service-events-all": service}));
    let ended = lab.drain(&config);
    assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
    assert!(ended.log.contains("nobody-made-this.fifo"), "log:\n{}", ended.log);
}

/// Records an event for each time; returns the expected frames.
pub fn record(trail: &Trail, times: impl Iterator<Item = i64>) -> Vec<Frame> {
    let tag = format!("cloud.aws.cloudtrail.events.{}.us-east-1.1", aws::ACCOUNT);
    let one = |(n, at): (usize, i64)| {
        let json = format!(
            "{{\"eventSource\":\"s3.amazonaws.com\",\"awsRegion\":\"us-east-1\",\"n\":{n},\"say\":\"é \\\"x\\\"\"}}"
        );
        trail.record(&format!("00000000-0000-0000-0000-{n:012}"), "List", at, &json);
        frame(&tag, json)
    };
    times.enumerate().map(one).collect()
}

/// Lookups from `start` to an hour ago, with `more` keys.
pub fn config(lab: &Lab, trail: &Trail, start: i64, mut more: Value) -> Value {
    more["start_time"] = time(start).into();
    more["gap_until_now_in_minutes"] = 0.into();
    config_at(lab, &trail.endpoint, more)
}

fn config_at(lab: &Lab, endpoint: &str, mut service: Value) -> Value {
    service["types"] = json!(["audits_api"]);
    service["regions"] = json!([aws::REGION]);
    service["gap_until_now_in_minutes"] = 0.into();
    services(lab, endpoint, json!({"audit-events-all": service}))
}

fn services(lab: &Lab, cloudtrail: &str, services: Value) -> Value {
    let mut config = lab.config(json!({}));
    let user = aws::user();
    config["inputs"] = json!({"aws": {
        "id": "1",
        "credentials": {"access_key": user.key_id, "access_secret": user.secret},
        "endpoint_url": emulator::endpoint(),
        "cloudtrail_endpoint_url": cloudtrail,
        "services": services
    }});
    config
}

/// What arrived, without the pulls' ids.
pub fn unmarked(lab: &Lab) -> Vec<Vec<u8>> {
    lab.sink_is_quiet();
    let without = |bytes: Vec<u8>| mark().replace_all(&bytes, &b"}"[..]).into_owned();
    lab.sink.received().into_iter().map(without).collect()
}

fn marks(lab: &Lab) -> Vec<Vec<u8>> {
    let received = lab.sink.received().concat();
    mark().captures_iter(&received).map(|found| found[1].to_vec()).collect()
}

fn mark() -> Regex {
    Regex::new(r#",?"@devo_pulling_id":"(\d+\.\d{6})"\}"#).unwrap()
}

fn number(line: &[u8]) -> Option<u64> {
    let found = Regex::new(r#""detail":\{"n":(\d+)\}"#).unwrap().captures(line)?;
    std::str::from_utf8(&found[1]).unwrap().parse().ok()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap().to_string()
}
