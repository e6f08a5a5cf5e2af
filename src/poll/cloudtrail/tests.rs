use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::aws::Request;
use crate::aws::failure::Refusal;
use crate::ledger::Polled;

const HOUR: u64 = 3600;

fn settings() -> config::CloudTrail {
    config::CloudTrail {
        start_time: None,
        gap: Duration::from_secs(15 * 60),
        time_slot: Duration::from_secs(HOUR),
        sources: vec![],
        drop_event_names: vec![],
    }
}

fn source(settings: config::CloudTrail) -> CloudTrail {
    let mut source = CloudTrail::new(settings, "http://e".into(), "us-east-1".into());
    source.resume(&BTreeMap::new());
    source
}

fn from(start: &str) -> CloudTrail {
    source(config::CloudTrail { start_time: Some(time(start)), ..settings() })
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next request; marks on the way to it are passed over.
fn request(source: &mut CloudTrail, now: &str) -> Option<Request> {
    loop {
        match source.next(time(now)) {
            Next::Call(request) => return Some(*request),
            Next::Mark(_) => (),
            Next::CaughtUp => return None,
        }
    }
}

fn input(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// Both ends of a lookup.
fn ends(request: &Request) -> (Timestamp, Timestamp) {
    let second = |name| Timestamp::from_second(input(request)[name].as_i64().unwrap()).unwrap();
    (second("StartTime"), second("EndTime"))
}

fn event(id: &str, name: &str, at: i64, region: &str) -> Value {
    let json = json!({"eventName": name, "awsRegion": region}).to_string();
    json!({"EventId": id, "EventName": name, "EventTime": at, "CloudTrailEvent": json})
}

fn answer(events: &[Value], token: Option<&str>) -> Vec<u8> {
    json!({"Events": events, "NextToken": token}).to_string().into_bytes()
}

/// Reads all slots up to `now` without events; the ends of each.
fn slots(source: &mut CloudTrail, now: &str) -> Vec<(String, String)> {
    let mut slots = Vec::new();
    while let Some(request) = request(source, now) {
        let (from, to) = ends(&request);
        slots.push((from.to_string(), to.to_string()));
        source.read(&answer(&[], None)).unwrap();
    }
    slots
}

fn pairs(slots: &[(String, String)]) -> Vec<(&str, &str)> {
    slots.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect()
}

#[test]
fn slots_go_over_midnight_and_over_the_changes_of_local_clocks() {
    let cases = [
        (
            "2026-12-31T22:45:00Z",
            "2027-01-01T00:30:00Z",
            ["2026-12-31T22:45:00Z", "2026-12-31T23:45:00Z", "2027-01-01T00:15:00Z"],
        ),
        // Europe skips an hour, America repeats one: UTC does neither.
        (
            "2026-03-29T00:30:00Z",
            "2026-03-29T02:30:00Z",
            ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:15:00Z"],
        ),
        (
            "2026-11-01T05:30:00Z",
            "2026-11-01T07:15:00Z",
            ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-01T07:00:00Z"],
        ),
    ];
    for (start, now, [a, b, c]) in cases {
        assert_eq!(pairs(&slots(&mut from(start), now)), [(a, b), (b, c)]);
    }
}

#[test]
fn a_start_time_with_an_offset_is_the_same_moment() {
    let slots = slots(&mut from("2026-03-29T03:30:00+02:00"), "2026-03-29T02:30:00Z");
    assert_eq!(pairs(&slots), [("2026-03-29T01:30:00Z", "2026-03-29T02:15:00Z")]);
}

#[test]
fn without_a_start_time_it_begins_now_and_that_is_recorded() {
    let mut source = source(settings());
    let Next::Mark(progress) = source.next(time("2026-05-01T12:00:00.7Z")) else { panic!("a mark") };
    assert_eq!(progress, all_before(time("2026-05-01T11:45:00Z")));
    assert!(request(&mut source, "2026-05-01T12:00:00.9Z").is_none(), "not a whole second yet");
    let slots = slots(&mut source, "2026-05-01T12:01:00Z");
    assert_eq!(pairs(&slots), [("2026-05-01T11:45:00Z", "2026-05-01T11:46:00Z")]);
}

#[test]
fn a_checkpoint_comes_before_the_start_time() {
    let mut source = from("2026-05-01T00:00:00Z");
    source.resume(&BTreeMap::from([(String::new(), "2026-05-01T11:00:00Z".to_owned())]));
    let slots = slots(&mut source, "2026-05-01T11:30:00Z");
    assert_eq!(pairs(&slots), [("2026-05-01T11:00:00Z", "2026-05-01T11:15:00Z")]);
}

#[test]
fn what_is_older_than_90_days_is_told() {
    let mut source = from("2024-01-01T00:00:00Z");
    let request = request(&mut source, "2026-05-01T12:00:00Z").unwrap();
    assert_eq!(ends(&request).0, time("2026-01-31T12:00:00Z"));
    insta::assert_snapshot!(source.notes().join("\n"), @r#"
    events from 2024-01-01T00:00:00Z to 2026-01-31T12:00:00Z cannot be read: CloudTrail looks up the last 90 days only. Older ones are in the trail's bucket: collect them with "types": ["audits_s3"], or with the command backfill
    Using 15 minutes as "gap until now", start_date: "2026-01-31T12:00:00Z", end_date: "2026-05-01T11:45:00Z", time_slot_in_hours: "1"
    Total number of time slots to be processed: 2160
    "#);
}

#[test]
fn long_backlogs_are_told_every_hundred_slots() {
    let mut source = from("2026-05-01T00:00:00Z");
    slots(&mut source, "2026-05-10T12:00:00Z");
    let notes = source.notes();
    let told = |number| notes.contains(&format!("Number of processed time slots so far: {number}"));
    assert!(told(100) && told(200) && !told(300), "{notes:?}");
}

#[test]
fn pages_of_a_slot_follow_their_tokens_and_only_the_last_moves_the_checkpoint() {
    let mut source = from("2026-05-01T10:00:00Z");
    let now = "2026-05-01T10:30:00Z";
    let first = request(&mut source, now).unwrap();
    assert_eq!(input(&first)["NextToken"], Value::Null);
    let page = source.read(&answer(&[], Some("t1"))).unwrap();
    assert_eq!(page.progress, Progress::default());
    let second = request(&mut source, now).unwrap();
    assert_eq!(input(&second)["NextToken"], "t1");
    assert_eq!(
        input(&request(&mut source, now).unwrap())["NextToken"],
        "t1",
        "asked again, it says the same"
    );
    let end = time("2026-05-01T10:15:00Z");
    let page = source.read(&answer(&[], None)).unwrap();
    assert_eq!(page.progress, Progress { forget_before: Some(end.as_second()), ..all_before(end) });
    assert!(request(&mut source, now).is_none());
}

#[test]
fn each_source_is_looked_up_in_each_slot() {
    let sources = vec!["iam.amazonaws.com".to_owned(), "s3.amazonaws.com".to_owned()];
    let start_time = Some(time("2026-05-01T10:00:00Z"));
    let mut source = source(config::CloudTrail { sources, start_time, ..settings() });
    for name in ["iam.amazonaws.com", "s3.amazonaws.com"] {
        let request = request(&mut source, "2026-05-01T10:30:00Z").unwrap();
        assert_eq!(input(&request)["LookupAttributes"][0]["AttributeValue"], name);
        source.read(&answer(&[], None)).unwrap();
    }
    assert!(request(&mut source, "2026-05-01T10:30:00Z").is_none());
}

#[test]
fn events_left_out_are_counted_by_their_reason() {
    let drop_event_names = vec!["Decrypt".to_owned()];
    let start_time = Some(time("2026-05-01T10:00:00Z"));
    let mut source = source(config::CloudTrail { drop_event_names, start_time, ..settings() });
    request(&mut source, "2026-05-01T10:30:00Z").unwrap();
    let mut odd = event("5", "List", 7, "us-east-1");
    odd["CloudTrailEvent"] = json!("{\"eventName\":\"List\"}");
    let events = [
        event("1", "Decrypt", 9, "us-east-1"),
        event("2", "List", 9, "eu-west-1"),
        event("3", "List", 8, "us-east-1"),
        odd,
    ];
    let page = source.read(&answer(&events, None)).unwrap();
    assert_eq!((page.dropped, page.other_region, page.events.len()), (1, 1, 2));
    assert_eq!(page.events[0].key, Some(Seen { id: fingerprint("3"), time: 8 }));
    assert_eq!(page.events[1].body, b"{\"eventName\":\"List\"}");
}

#[test]
fn a_token_that_is_refused_begins_the_slot_anew() {
    let mut source = from("2026-05-01T10:00:00Z");
    let now = "2026-05-01T10:30:00Z";
    let first = request(&mut source, now).unwrap();
    let refusal = |code: &str, status| Refusal { status, code: code.into(), ..Refusal::default() };
    let expired = Error::refused(&first, "AKIA", refusal("InvalidNextTokenException", 400));
    assert!(!source.refused(&expired), "there was no token");
    source.read(&answer(&[], Some("t1"))).unwrap();
    let throttled = Error::refused(&first, "AKIA", refusal("ThrottlingException", 400));
    assert!(!source.refused(&throttled), "the token is still good");
    assert!(source.refused(&expired));
    assert_eq!(input(&request(&mut source, now).unwrap()), input(&first));
}

#[test]
fn an_unreadable_answer_changes_nothing() {
    let mut source = from("2026-05-01T10:00:00Z");
    let asked = request(&mut source, "2026-05-01T10:30:00Z").unwrap();
    assert!(source.read(b"<html>").is_err());
    assert_eq!(request(&mut source, "2026-05-01T10:30:00Z").unwrap().body, asked.body);
}

proptest! {
    /// Whatever the clock does, every second from the start to the last end has been looked up, and slots are never
    /// longer than they may be.
    #[test]
    fn no_second_is_left_out(steps in prop::collection::vec(0i64..9000, 1..30), slot_hours in 1u64..4) {
        let start = time("2026-03-28T22:17:31Z");
        let time_slot = Duration::from_secs(slot_hours * HOUR);
        let mut source = source(config::CloudTrail { start_time: Some(start), time_slot, ..settings() });
        let (mut now, mut reached) = (start, start);
        for step in steps {
            now += SignedDuration::from_secs(step);
            while let Some(request) = request(&mut source, &now.to_string()) {
                let (from, to) = ends(&request);
                prop_assert_eq!(from, reached);
                prop_assert!(to > from && to.duration_since(from) <= signed(time_slot));
                reached = to;
                source.read(&answer(&[], None)).unwrap();
            }
            prop_assert!(reached >= earlier(now, Duration::from_secs(15 * 60)).max(start));
        }
    }

    /// Naive version: all events, once each, whatever the page size; a crash after any page repeats none that
    /// was delivered.
    #[test]
    fn events_come_once_though_slots_share_a_second_and_the_program_ends(
        seconds in prop::collection::vec(0i64..7200, 0..60), page_size in 1usize..7, crash in 0usize..40,
    ) {
        let start = time("2026-05-01T10:00:00Z");
        let account: Vec<(String, i64)> =
            seconds.iter().enumerate().map(|(n, s)| (n.to_string(), start.as_second() + s)).collect();
        let mut delivered = Vec::new();
        let (mut checkpoints, mut ledger) = (BTreeMap::new(), Vec::<Seen>::new());
        let mut pages = 0;
        'runs: loop {
            let mut source = from("2026-05-01T10:00:00Z");
            source.resume(&checkpoints);
            let polled = Polled { seen: ledger.clone(), ..Polled::default() };
            let mut delivery = super::super::delivery::Delivery::new("s".into(), &polled);
            while let Some(request) = request(&mut source, "2026-05-01T12:15:00Z") {
                let body = input(&request);
                let (from, to) = ends(&request);
                let inside = |at: &i64| (from.as_second()..=to.as_second()).contains(at);
                let found: Vec<_> = account.iter().rev().filter(|(_, at)| inside(at)).collect();
                let at: usize = body["NextToken"].as_str().map_or(0, |token| token.parse().unwrap());
                let end = (at + page_size).min(found.len());
                let events: Vec<_> = found[at..end].iter().map(|(id, at)| event(id, "E", *at, "us-east-1")).collect();
                let token = (end < found.len()).then(|| end.to_string());
                let page = source.read(&answer(&events, token.as_deref())).unwrap();
                let new: Vec<Seen> = page.events.iter().filter_map(|e| e.key).filter(|key| delivery.is_new(*key)).collect();
                delivered.extend(new.iter().map(|seen| seen.id));
                let number = delivery.begin(page.progress, new);
                for mark in delivery.end(number, crate::ack::Outcome::Delivered) {
                    checkpoints.extend(mark.checkpoints);
                    ledger.extend(mark.seen);
                    ledger.retain(|seen| mark.forget_before.is_none_or(|time| seen.time >= time));
                }
                pages += 1;
                if pages == crash {
                    continue 'runs;
                }
            }
            break;
        }
        let expected: BTreeSet<u128> = account.iter().map(|(id, _)| fingerprint(id)).collect();
        prop_assert_eq!(delivered.len(), expected.len(), "repeats");
        prop_assert_eq!(delivered.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}
