use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::testing::{Bench, Model, Pulled, restarts_until_done, storm, turns, turns_of_clocks};
use super::*;
use crate::aws::Request;
use crate::aws::failure::Refusal;
use crate::ledger::Polled;
use crate::settings;

const HOUR: u64 = 3600;

fn settings() -> settings::CloudTrail {
    settings::CloudTrail {
        start_time: None,
        gap: Duration::from_secs(15 * 60),
        time_slot: Duration::from_secs(HOUR),
        sources: vec![],
        drop_event_names: vec![],
    }
}

fn source(settings: settings::CloudTrail) -> CloudTrail {
    let mut source = CloudTrail::new(settings, "http://e".into(), "us-east-1".into());
    source.resume(&BTreeMap::new());
    source
}

fn from(start: &str) -> CloudTrail {
    source(settings::CloudTrail { start_time: Some(time(start)), ..settings() })
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next request; marks before it are skipped.
fn request(source: &mut CloudTrail, now: &str) -> Option<Request> {
    loop {
        match source.next(&time(now).into()) {
            Next::Call(request) => return Some(*request),
            Next::Give(_) | Next::Mark(_) => (),
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
    let Next::Mark(progress) = source.next(&time("2026-05-01T12:00:00.7Z").into()) else { panic!("a mark") };
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
fn pages_of_a_slot_follow_their_tokens_and_the_last_moves_the_checkpoint() {
    let mut source = from("2026-05-01T10:00:00Z");
    let now = "2026-05-01T10:30:00Z";
    let first = request(&mut source, now).unwrap();
    assert_eq!(input(&first)["NextToken"], Value::Null);
    let page = source.read(&answer(&[], Some("t1"))).unwrap();
    assert!(page.progress.reached.is_none() && page.progress.checkpoints[0].0 == SLOT, "{:?}", page.progress);
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
    let mut source = source(settings::CloudTrail { sources, start_time, ..settings() });
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
    let mut source = source(settings::CloudTrail { drop_event_names, start_time, ..settings() });
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

/// An account's events: id, time, and when they become visible.
#[derive(Debug, Clone)]
struct Account {
    events: Vec<(u32, i64, i64)>,
    page: usize,
    sources: Vec<String>,
}

const START: &str = "2026-05-01T10:00:00Z";

impl Account {
    fn seconds(from: &str, seconds: impl IntoIterator<Item = i64>, page: usize) -> Account {
        let from = time(from).as_second();
        let events = (0..).zip(seconds).map(|(id, second)| (id, from + second, 0)).collect();
        Account { events, page, sources: vec![] }
    }
}

impl Model for Account {
    type Source = CloudTrail;

    fn source(&self) -> CloudTrail {
        let sources = self.sources.clone();
        CloudTrail::new(
            settings::CloudTrail { start_time: Some(time(START)), sources, ..settings() },
            "http://e".into(),
            "us-east-1".into(),
        )
    }

    fn answer(&mut self, request: &Request, now: Timestamp) -> Result<Value, &'static str> {
        let input = input(request);
        let (from, to) = ends(request);
        assert!(from <= to, "{input}");
        let of_source = |id: u32| match input["LookupAttributes"][0]["AttributeValue"].as_str() {
            Some(name) => {
                self.sources.iter().position(|source| source == name)
                    == Some(id as usize % self.sources.len())
            }
            None => true,
        };
        let inside = |(id, at, visible): &&(u32, i64, i64)| {
            (from.as_second()..=to.as_second()).contains(at) && *visible <= now.as_second() && of_source(*id)
        };
        let mut found: Vec<_> = self.events.iter().filter(inside).collect();
        found.sort_by_key(|(id, at, _)| (-at, *id));
        // It is valid for the same request only.
        let place = format!("{from} {to} ");
        let begin: usize = match input["NextToken"].as_str() {
            Some(token) => token.strip_prefix(&place).ok_or("InvalidNextTokenException")?.parse().unwrap(),
            None => 0,
        };
        let end = (begin + self.page).min(found.len());
        let page: Vec<Value> = found[begin.min(end)..end]
            .iter()
            .map(|(id, at, _)| event(&id.to_string(), &id.to_string(), *at, "us-east-1"))
            .collect();
        Ok(json!({"Events": page, "NextToken": (end < found.len()).then(|| format!("{place}{end}"))}))
    }

    fn change(&mut self, seed: u32, now: Timestamp) {
        let age = i64::from(seed % 900);
        let (at, late) = (now.as_second() - age, i64::from(seed / 900 % 900));
        let visible = now.as_second().max(at + late);
        self.events.push((self.events.len() as u32, at, visible));
    }

    fn expected(&self) -> BTreeSet<String> {
        self.events.iter().map(|(id, ..)| id.to_string()).collect()
    }

    fn shown(body: &str) -> String {
        serde_json::from_str::<Value>(body).unwrap()["eventName"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_busy_slot_is_read_though_the_program_ends_every_few_pages() {
    // 2,000 events in one slot, 40 pages; 300 of them in one second.
    let seconds = (0..1700).chain(std::iter::repeat_n(900, 300));
    let account = Account::seconds(START, seconds, 50);
    for answers in [1, 2, 3] {
        let restarts = restarts_until_done(account.clone(), answers, time("2026-05-01T10:50:00Z"));
        assert!(restarts <= 42 / answers, "{restarts} restarts after every {answers} answers");
    }
    let sources = vec!["iam.amazonaws.com".to_owned(), "s3.amazonaws.com".to_owned()];
    let restarts = restarts_until_done(Account { sources, ..account }, 2, time("2026-05-01T10:50:00Z"));
    assert!(restarts <= 25, "{restarts} restarts");
}

#[test]
fn a_busy_slot_is_read_though_no_token_outlives_the_program() {
    let mut account = Account::seconds(START, (0..2000).chain(std::iter::repeat_n(900, 100)), 50);
    let now = time("2026-05-01T10:50:00Z");
    let mut bench = Bench::new(account.source());
    bench.source.resume(&BTreeMap::new());
    let mut restarts = 0;
    loop {
        // Tokens of the previous process are refused.
        let mut good = BTreeSet::new();
        let pulled = bench.pull(now, 5, |request| {
            if input(request)["NextToken"].as_str().is_some_and(|token| !good.contains(token)) {
                return Err("InvalidNextTokenException");
            }
            let answer = account.answer(request, now)?;
            good.extend(answer["NextToken"].as_str().map(str::to_owned));
            Ok(answer)
        });
        if pulled == Pulled::CaughtUp {
            break;
        }
        restarts += 1;
        assert!(restarts < 30, "it never gets through");
        bench.restart(account.source());
    }
    assert_eq!(bench.delivered.len(), 2100, "each once");
}

#[test]
fn events_in_another_order_than_documented_are_not_lost() {
    let mut source = from(START);
    let now = "2026-05-01T10:30:00Z";
    let first = request(&mut source, now).unwrap();
    let page = |times: &[i64], token| {
        let base = time(START).as_second();
        let events: Vec<_> =
            times.iter().map(|at| event(&at.to_string(), "E", base + at, "us-east-1")).collect();
        answer(&events, token)
    };
    source.read(&page(&[9, 5], Some("t1"))).unwrap();
    source.read(&page(&[7, 3], Some("t2"))).unwrap();
    source.read(&page(&[3, 1], Some("t3"))).unwrap();
    assert!(source.refused(&super::super::testing::refused(&first, "InvalidNextTokenException")));
    assert_eq!(input(&request(&mut source, now).unwrap()), input(&first), "the slot begins anew");
}

#[test]
fn a_checkpoint_in_the_future_does_not_leave_out_what_comes_until_then() {
    let mut source = from(START);
    source.resume(&BTreeMap::from([(String::new(), "2026-05-01T18:00:00Z".to_owned())]));
    assert!(request(&mut source, "2026-05-01T12:00:00Z").is_none());
    assert!(source.notes()[0].contains("is in the future"));
    let slots = slots(&mut source, "2026-05-01T12:10:00Z");
    assert_eq!(pairs(&slots), [("2026-05-01T11:45:00Z", "2026-05-01T11:55:00Z")]);
}

#[test]
fn a_slot_that_is_older_than_what_can_be_looked_up_is_cut() {
    let mut source = from(START);
    let slot = Slot { token: Some("t".into()), ..Slot::new(time(START), time("2026-05-01T11:00:00Z"), &[]) };
    let checkpoints = [(String::new(), START.to_owned()), (SLOT.to_owned(), place_text(&slot))];
    source.resume(&checkpoints.clone().into());
    let request_now = request(&mut source, "2026-07-30T10:20:00Z").unwrap();
    assert_eq!(
        (ends(&request_now).0, input(&request_now)["NextToken"].clone()),
        (time("2026-05-01T10:20:00Z"), Value::Null)
    );
    source.resume(&checkpoints.into());
    let request_now = request(&mut source, "2026-07-30T12:00:00Z").unwrap();
    assert_eq!(ends(&request_now).0, time("2026-05-01T12:00:00Z"));
}

proptest! {
    #[test]
    fn nothing_is_lost_whatever_happens(seconds in prop::collection::vec(0i64..5000, 0..60), page in 1usize..6, two: bool, turns in prop_oneof![turns(), turns_of_clocks()]) {
        let mut account = Account::seconds(START, seconds, page);
        if two {
            account.sources = vec!["iam.amazonaws.com".to_owned(), "s3.amazonaws.com".to_owned()];
        }
        storm(account, turns, time("2026-05-01T11:00:00Z"))?;
    }

    /// For any clock, every second from the start to the last end has been looked up, and slots never exceed their
    /// maximum.
    #[test]
    fn no_second_is_left_out(steps in prop::collection::vec(0i64..9000, 1..30), slot_hours in 1u64..4) {
        let start = time("2026-03-28T22:17:31Z");
        let time_slot = Duration::from_secs(slot_hours * HOUR);
        let mut source = source(settings::CloudTrail { start_time: Some(start), time_slot, ..settings() });
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
