use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::testing::{Bench, CLOCK_CHANGES, Pulled, input, time};
use super::*;
use crate::aws::Request;

const NOW: &str = "2026-11-21T12:00:00Z";
const MINUTE: i64 = 60_000;

/// (group, stream, milliseconds since 1970, number).
type Entry = (&'static str, String, i64, usize);

/// What an account's log groups hold.
#[derive(Debug, Clone, Default)]
struct Account {
    entries: Vec<Entry>,
    groups: Vec<&'static str>,
    /// Events or names of a page.
    page: usize,
    /// Every other page of events is empty.
    with_gaps: bool,
    /// By stream, not by time.
    unordered: bool,
}

impl Account {
    fn answer(&self, request: &Request) -> Result<Value, &'static str> {
        let input = input(request);
        match request.action {
            "logs:DescribeLogGroups" => Ok(self.list_groups(&input)),
            "logs:DescribeLogStreams" => Ok(self.list_streams(&input)),
            "logs:FilterLogEvents" if self.has(&input) => Ok(self.list_events(&input)),
            _ => Err("ResourceNotFoundException"),
        }
    }

    fn has(&self, input: &Value) -> bool {
        self.groups.iter().any(|group| input["logGroupName"] == *group)
    }

    fn list_groups(&self, input: &Value) -> Value {
        let names: Vec<Value> = self.groups.iter().map(|group| json!({"logGroupName": group})).collect();
        let (page, token) = self.paged(&names, input);
        json!({"logGroups": page, "nextToken": token})
    }

    fn list_streams(&self, input: &Value) -> Value {
        let mut last: BTreeMap<&str, i64> = BTreeMap::new();
        for (group, stream, at, _) in &self.entries {
            if input["logGroupName"] == *group {
                last.entry(stream).and_modify(|last| *last = (*at).max(*last)).or_insert(*at);
            }
        }
        let mut streams: Vec<_> = last.into_iter().collect();
        streams.sort_by_key(|(_, last)| -last);
        let stream = |(name, last)| json!({"logStreamName": name, "lastEventTimestamp": last});
        let mut streams: Vec<Value> = streams.into_iter().map(stream).collect();
        streams.push(json!({"logStreamName": "empty"}));
        let (page, token) = self.paged(&streams, input);
        json!({"logStreams": page, "nextToken": token})
    }

    fn list_events(&self, input: &Value) -> Value {
        let (from, to) = (input["startTime"].as_i64().unwrap(), input["endTime"].as_i64().unwrap());
        assert!(from <= to, "{input}");
        let streams = input["logStreamNames"].as_array();
        let is_asked = |entry: &&Entry| {
            input["logGroupName"] == entry.0
                && (from..=to).contains(&entry.2)
                && streams.is_none_or(|streams| streams.iter().any(|stream| *stream == entry.1))
        };
        let mut entries: Vec<&Entry> = self.entries.iter().filter(is_asked).collect();
        entries.sort_by_key(|entry| (if self.unordered { entry.3 as i64 % 3 } else { 0 }, entry.2, entry.3));
        let event = |entry: &&Entry| json!({"eventId": entry.3.to_string(), "logStreamName": entry.1, "timestamp": entry.2, "message": entry.3.to_string()});
        let events: Vec<Value> = entries.iter().map(event).collect();
        let token = input["nextToken"].as_str().unwrap_or("0").to_owned();
        if let Some(token) = token.strip_prefix("gap") {
            return json!({"events": [], "nextToken": token});
        }
        let (page, token) = self.paged(&events, input);
        let token = token.map(|token| if self.with_gaps { format!("gap{token}") } else { token });
        json!({"events": page, "nextToken": token})
    }

    fn paged(&self, all: &[Value], input: &Value) -> (Vec<Value>, Option<String>) {
        let start = input["nextToken"].as_str().map_or(0, |token| token.parse::<usize>().unwrap());
        let end = (start + self.page.max(1)).min(all.len());
        (all[start.min(end)..end].to_vec(), (end < all.len()).then(|| end.to_string()))
    }
}

fn source(group: Option<&str>, start: Option<&str>, first_by_streams: bool) -> Logs {
    let group = group.map(str::to_owned);
    let settings = config::Logs { group, start_time: start.map(time), first_by_streams };
    let mut source = Logs::new(settings, "http://e".into(), "us-east-1".into());
    source.resume(&BTreeMap::new());
    source
}

fn at(minutes: i64) -> i64 {
    time(NOW).as_millisecond() + minutes * MINUTE
}

fn entry(number: usize, group: &'static str, minutes: i64) -> Entry {
    (group, format!("stream-{}", number % 3), at(minutes), number)
}

fn account(groups: &[&'static str], entries: Vec<Entry>) -> Account {
    Account { entries, groups: groups.to_vec(), page: 1000, with_gaps: false, unordered: false }
}

fn numbers(bench: &Bench<Logs>) -> Vec<usize> {
    let number = |body: &String| {
        let body: Value = serde_json::from_str(body).unwrap();
        body["message"].as_str().unwrap().parse().unwrap()
    };
    bench.delivered.iter().map(number).collect()
}

#[test]
fn an_event_names_its_group_and_stream() {
    let account = account(&["/g"], vec![entry(7, "/g", -10)]);
    let mut bench = Bench::new(source(Some("/g"), Some("2026-11-21T11:00:00Z"), false));
    assert_eq!(bench.pull(time(NOW), 9, |request| account.answer(request)), Pulled::CaughtUp);
    insta::assert_snapshot!(
        bench.delivered[0],
        @r#"{"logGroup":"/g","logStream":"stream-1","id":"7","timestamp":1795261800000,"message":"7"}"#
    );
}

#[test]
fn without_a_start_time_it_begins_now_and_finds_what_comes_late() {
    let mut account = account(&["/g"], vec![entry(0, "/g", -1)]);
    let mut bench = Bench::new(source(Some("/g"), None, false));
    bench.pull(time(NOW), 9, |request| account.answer(request));
    assert!(bench.delivered.is_empty());
    account.entries.push(entry(1, "/g", 1));
    account.entries.push(entry(2, "/g", 2));
    bench.pull(time("2026-11-21T12:03:00Z"), 9, |request| account.answer(request));
    // Four minutes after its time.
    account.entries.push(entry(3, "/g", 1));
    bench.pull(time("2026-11-21T12:05:00Z"), 9, |request| account.answer(request));
    assert_eq!(numbers(&bench), [1, 2, 3]);
}

#[test]
fn all_groups_and_those_that_are_made_later() {
    let mut account = account(&["a", "b"], (0..4).map(|i| entry(i, ["a", "b"][i % 2], -5)).collect());
    account.page = 1;
    let mut bench = Bench::new(source(None, Some("2026-11-21T11:00:00Z"), false));
    assert_eq!(bench.pull(time(NOW), 99, |request| account.answer(request)), Pulled::CaughtUp);
    account.groups.push("c");
    account.entries.push(entry(9, "c", 1));
    bench.pull(time("2026-11-21T12:03:00Z"), 99, |request| account.answer(request));
    assert_eq!(numbers(&bench).into_iter().collect::<BTreeSet<_>>(), [0, 1, 2, 3, 9].into());
    assert_eq!(bench.delivered.len(), 5);
}

#[test]
fn a_group_that_has_gone_does_not_keep_the_others() {
    let mut account = account(&["a", "b"], vec![entry(0, "a", -5), entry(1, "b", -5)]);
    let mut bench = Bench::new(source(None, Some("2026-11-21T11:00:00Z"), false));
    // It goes while the groups are listed.
    bench.pull(time(NOW), 1, |request| account.answer(request));
    account.groups.remove(0);
    assert_eq!(bench.pull(time(NOW), 9, |request| account.answer(request)), Pulled::CaughtUp);
    assert_eq!(numbers(&bench), [1]);
    assert!(bench.notes().iter().any(|note| note.contains("log group a is left out")));
}

#[test]
fn the_only_group_that_is_not_there_is_an_error() {
    let account = account(&[], vec![]);
    let mut source = source(Some("/g"), Some("2026-11-21T11:00:00Z"), false);
    let Next::Mark(_) = source.next(time(NOW)) else { panic!("a mark") };
    let Next::Call(request) = source.next(time(NOW)) else { panic!("a call") };
    let error = super::super::testing::refused(&request, account.answer(&request).unwrap_err());
    assert!(!source.refused(&error));
    assert!(matches!(source.next(time(NOW)), Next::Call(_)), "it may be made later");
}

#[test]
fn the_first_retrieval_asks_only_streams_with_events() {
    let mut entries: Vec<Entry> = (0..100).map(|i| ("/g", format!("old-{i}"), at(-600), i)).collect();
    entries.extend((0..5).map(|i| ("/g", format!("new-{i}"), at(-10), 100 + i)));
    let account = Account { page: 2, ..account(&["/g"], entries) };
    let mut bench = Bench::new(source(Some("/g"), Some("2026-11-21T11:00:00Z"), true));
    let mut asked = Vec::new();
    bench.pull(time(NOW), 99, |request| {
        if request.action == "logs:FilterLogEvents" && input(request)["nextToken"].is_null() {
            asked.extend(input(request)["logStreamNames"].as_array().unwrap().clone());
        }
        account.answer(request)
    });
    assert_eq!(asked.len(), 5, "{asked:?}");
    assert_eq!(numbers(&bench).into_iter().collect::<BTreeSet<_>>(), (100..105).collect());
    // Then all streams together.
    bench.pull(time("2026-11-21T12:01:00Z"), 99, |request| {
        assert_eq!(input(request)["logStreamNames"], Value::Null);
        account.answer(request)
    });
}

#[test]
fn a_call_names_a_hundred_streams_and_each_once_though_a_token_fails() {
    let entries: Vec<Entry> = (0..240).map(|i| ("/g", format!("s-{i:03}"), at(-10), i)).collect();
    let account = Account { page: 50, ..account(&["/g"], entries) };
    let mut bench = Bench::new(source(Some("/g"), Some("2026-11-21T11:00:00Z"), true));
    let (mut sizes, mut failed) = (Vec::new(), false);
    bench.pull(time(NOW), 99, |request| {
        let input = input(request);
        if let Some(names) = input["logStreamNames"].as_array().filter(|_| input["nextToken"].is_null()) {
            assert_eq!(names.iter().map(Value::to_string).collect::<BTreeSet<_>>().len(), names.len());
            sizes.push(names.len());
        }
        if request.action == "logs:DescribeLogStreams" && input["nextToken"] == "150" && !failed {
            failed = true;
            return Err("InvalidParameterException");
        }
        account.answer(request)
    });
    // The fourth page was refused, and they are listed from the first on again; those that were read are not read again.
    assert_eq!(sizes, [100, 100, 40]);
    assert_eq!(numbers(&bench).len(), 240);
}

#[test]
fn a_stream_that_moves_to_the_front_while_they_are_listed_is_not_missed() {
    let entries: Vec<Entry> = (0..10).map(|i| ("/g", format!("s-{i}"), at(-10 - 20 * i as i64), i)).collect();
    // Two pages, and the streams of the second are asked for while the account changes.
    for moves in 1..5 {
        let mut account = Account { page: 2, ..account(&["/g"], entries.clone()) };
        let mut bench = Bench::new(source(Some("/g"), Some("2026-11-21T08:00:00Z"), true));
        let mut lists = 0;
        let pulled = bench.pull(time(NOW), 999, |request| {
            let answer = account.answer(request);
            if request.action == "logs:DescribeLogStreams" {
                lists += 1;
                if lists <= moves {
                    account.entries.push(("/g", format!("s-{}", 10 - lists), at(1), 100 + lists));
                }
            }
            answer
        });
        assert_eq!(pulled, Pulled::CaughtUp);
        let mut found = numbers(&bench);
        found.sort_unstable();
        assert_eq!(found, (0..10).collect::<Vec<_>>(), "{moves} moves");
    }
}

/// Though it remembers no event; but those with events in the last hour.
#[test]
fn a_first_retrieval_that_is_killed_goes_on_and_does_not_begin_anew() {
    let stream = |i: usize| ("/g", format!("s-{i:03}"), at(if i < 20 { -5 } else { -90 - i as i64 }), i);
    let mut account = Account { page: 50, ..account(&["/g"], (0..600).map(stream).collect()) };
    let new = || source(Some("/g"), Some("2026-11-20T12:00:00Z"), true);
    let mut bench = Bench::new(new());
    let mut now = time(NOW);
    for (number, calls) in (600..).zip([14, 14, 14, 4]) {
        bench.pull(now, calls, |request| account.answer(request));
        // Behind the present that the first process knew: in streams that have been read, and in those that have not.
        account.entries.push((
            "/g",
            format!("s-{:03}", (number - 600) * 199),
            now.as_millisecond() + 1000,
            number,
        ));
        bench.restart(new());
        bench.forget_events();
        now += jiff::SignedDuration::from_mins(20);
    }
    assert_eq!(bench.pull(now, 999, |request| account.answer(request)), Pulled::CaughtUp);
    let found = numbers(&bench);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 604);
    assert!(found.len() < 604 + 4 * (24 + 100), "{} events", found.len());
}

#[test]
fn the_front_is_listed_only_once_more_where_its_streams_are_too_many_to_be_told() {
    let streams = |page: usize| -> Vec<Named> {
        (0..50).map(|i| Named { name: format!("{page}-{i}"), last_event: Some(at(-1)) }).collect()
    };
    let mut all = Streams { front: (0..LOG_STREAMS_FRONT_MAX as u64).collect(), ..Streams::default() };
    let mut listings = 0;
    for page in 0..1000 {
        all.token = (page % 3 < 2).then(|| "t".to_owned());
        all.take(streams(page % 3), at(-60), at(0));
        assert_eq!(all.names.len(), 50);
        listings += usize::from(all.listed);
        if !all.go_on() {
            break;
        }
    }
    assert_eq!(listings, 2);
}

/// Of a group with very many streams CloudWatch gives pages without events, as many for a minute as for a day.
#[test]
fn pages_without_events_do_not_shorten_the_slices() {
    let mut bench = Bench::new(source(Some("/g"), Some("2026-11-20T12:00:00Z"), false));
    let mut calls = 0;
    let pulled = bench.pull(time(NOW), 100_000, |request| {
        calls += 1;
        let page = input(request)["nextToken"].as_str().map_or(0, |token| token.parse::<u32>().unwrap());
        let next = (page < 500).then(|| (page + 1).to_string());
        Ok(json!({"events": [], "nextToken": next}))
    });
    assert_eq!(pulled, Pulled::CaughtUp);
    assert!(calls < 501 * 6, "{calls} calls for a day");
}

#[test]
fn every_event_once_while_clocks_change() {
    for change in CLOCK_CHANGES.map(|change| time(change).as_millisecond()) {
        let entries: Vec<Entry> =
            (0..120).map(|i| ("/g", format!("s{}", i % 3), change + (i as i64 - 60) * MINUTE, i)).collect();
        let start = Timestamp::from_millisecond(change - 60 * MINUTE).unwrap().to_string();
        let mut bench = Bench::new(source(Some("/g"), Some(&start), false));
        for minute in (-59..80).step_by(7) {
            let now = Timestamp::from_millisecond(change + minute * MINUTE).unwrap();
            let written = entries.iter().filter(|entry| entry.2 <= now.as_millisecond()).cloned().collect();
            let account = Account { page: 9, ..account(&["/g"], written) };
            assert_eq!(bench.pull(now, 999, |request| account.answer(request)), Pulled::CaughtUp);
        }
        let mut found = numbers(&bench);
        found.sort_unstable();
        assert_eq!(found, (0..120).collect::<Vec<_>>(), "around {change}");
    }
}

#[test]
fn an_account_without_log_groups() {
    let account = account(&[], vec![]);
    let mut bench = Bench::new(source(None, Some("2026-11-21T11:00:00Z"), true));
    assert_eq!(bench.pull(time(NOW), 1, |request| account.answer(request)), Pulled::CaughtUp);
}

#[test]
fn a_group_without_streams_is_read_at_once() {
    let account = account(&["/g"], vec![]);
    let mut bench = Bench::new(source(Some("/g"), Some("2026-11-21T11:00:00Z"), true));
    assert_eq!(bench.pull(time(NOW), 1, |request| account.answer(request)), Pulled::CaughtUp);
    assert!(bench.checkpoints.contains_key("/g"));
}

#[test]
fn a_long_backlog_is_not_remembered() {
    let entries = (0..5000).map(|i| ("/g", "s".to_owned(), at(-600) + 1000 * i as i64, i)).collect();
    let account = Account { page: 100, ..account(&["/g"], entries) };
    let mut bench = Bench::new(source(Some("/g"), Some("2026-11-20T00:00:00Z"), false));
    bench.pull(time(NOW), 999, |request| account.answer(request));
    assert_eq!(bench.delivered.len(), 5000);
    assert!(bench.remembered() < 100, "{} events", bench.remembered());
}

#[test]
fn it_tells_how_far_all_groups_are_read() {
    let entries = [("/a", 1), ("/b", 2), ("/b", 3)];
    let entries = entries.map(|(group, n)| entry(n, group, -60 * n as i64)).to_vec();
    let account = account(&["/a", "/b"], entries);
    let start = "2026-11-21T00:00:00Z";
    let mut bench = Bench::new(source(None, Some(start), false));
    // The first group is read, the second is not.
    while !bench.checkpoints.contains_key("/b") {
        assert_eq!(bench.reached.unwrap_or(time(start)), time(start));
        assert_eq!(bench.pull(time(NOW), 1, |request| account.answer(request)), Pulled::CutOff);
    }
    bench.pull(time(NOW), 999, |request| account.answer(request));
    assert_eq!(bench.reached, Some(time(NOW)));
}

#[test]
fn less_is_read_again_where_much_comes() {
    let mut source = source(Some("/g"), None, false);
    let late = source.late;
    source.adapt(POLL_SEEN_MAX / 2);
    assert_eq!(source.late, late / 2);
    (0..40).for_each(|_| source.adapt(POLL_SEEN_MAX));
    assert_eq!(source.late, 0);
    (0..40).for_each(|_| source.adapt(0));
    assert_eq!(source.late, late);
}

#[test]
fn a_page_token_that_fails_costs_nothing() {
    let entries = (0..40).map(|i| entry(i, "/g", i as i64 - 50)).collect();
    let account = Account { page: 7, ..account(&["/g"], entries) };
    for (failing, by_streams) in
        [("logs:DescribeLogGroups", false), ("logs:FilterLogEvents", false), ("logs:FilterLogEvents", true)]
    {
        let account =
            Account { groups: vec!["/g", "b", "c", "d", "e", "f", "h", "i", "j"], ..account.clone() };
        let mut bench = Bench::new(source(None, Some("2026-11-21T11:00:00Z"), by_streams));
        let mut failed = false;
        let pulled = bench.pull(time(NOW), 99, |request| {
            if request.action == failing && !failed && !input(request)["nextToken"].is_null() {
                failed = true;
                return Err("InvalidParameterException");
            }
            account.answer(request)
        });
        assert_eq!((pulled, failed), (Pulled::CaughtUp, true), "{failing}");
        assert_eq!(numbers(&bench).len(), 40, "{failing}");
    }
}

proptest! {
    /// However events are spread and paged, and wherever the process is killed: every event once.
    #[test]
    fn every_event_is_delivered_once(
        times in prop::collection::vec((0usize..3, -120i64..0), 0..60),
        page in 1usize..9,
        with_gaps: bool,
        by_streams: bool,
        unordered: bool,
        kills in prop::collection::vec((0usize..20, 0i64..40), 0..6),
    ) {
        let groups = ["a", "b", "c"];
        let entries: Vec<Entry> =
            times.iter().enumerate().map(|(i, (group, minutes))| entry(i, groups[*group], *minutes)).collect();
        let account = Account { page, with_gaps, unordered, ..account(&groups, entries) };
        let new = || source(None, Some("2026-11-21T10:00:00Z"), by_streams);
        let mut bench = Bench::new(new());
        let mut now = time(NOW);
        for (calls, minutes) in kills {
            bench.pull(now, calls, |request| account.answer(request));
            bench.restart(new());
            now += jiff::SignedDuration::from_secs(1 + 60 * minutes);
        }
        prop_assert_eq!(bench.pull(now, 100_000, |request| account.answer(request)), Pulled::CaughtUp);
        let mut found = numbers(&bench);
        found.sort_unstable();
        prop_assert_eq!(found, (0..times.len()).collect::<Vec<_>>());
    }
}
