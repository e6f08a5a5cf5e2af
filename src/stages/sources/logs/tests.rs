use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::testing::{
    Bench, CLOCK_CHANGES, Model, Pulled, a_future_checkpoint_leaves_out_nothing, input, restarts_until_done,
    storm, time, turns, turns_of_clocks,
};
use super::*;
use crate::aws::Request;
use crate::settings;

const NOW: &str = "2026-11-21T12:00:00Z";
const MINUTE: i64 = 60_000;

/// (group, stream, milliseconds since 1970, number).
type Entry = (&'static str, String, i64, usize);

/// The content of an account's log groups.
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
        let streams: Vec<_> = last.into_iter().collect();
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
    let settings = settings::Logs { group, start_time: start.map(time), first_by_streams, shard: None };
    let mut source = Logs::new(settings, "http://e".into(), "us-east-1".into());
    source.resume(&BTreeMap::new());
    source
}

#[test]
fn another_division_s_progress_is_taken_over_where_it_is_further() {
    let shard = settings::Shard { number: 1, count: 2 };
    let (mine, theirs) = {
        let (mine, theirs): (Vec<_>, Vec<_>) =
            (0..20).map(|n| format!("/g/{n}")).partition(|group| shard.has(group));
        (mine, theirs)
    };
    let mut source = source(None, None, false);
    source.settings.shard = Some(shard);
    let own = BTreeMap::from([(String::new(), "50".to_owned()), (mine[0].clone(), "90".to_owned())]);
    let other = |first: &str, second: &str| {
        BTreeMap::from([
            (String::new(), "40".to_owned()),
            (mine[0].clone(), first.to_owned()),
            (mine[1].clone(), second.to_owned()),
            (theirs[0].clone(), "99".to_owned()),
            (place::part(&mine[2]), "{}".to_owned()),
            (LIST.to_owned(), "{}".to_owned()),
        ])
    };
    let mut known = own.clone();
    assert!(source.inherit(&mut known, &other("80", "70")));
    let expected = [("", "40"), (&mine[0], "90"), (&mine[1], "70")];
    assert_eq!(known, expected.map(|(part, value)| (part.to_owned(), value.to_owned())).into());
    assert!(!source.inherit(&mut known, &other("80", "70")), "nothing is further");
    assert!(!source.inherit(&mut known, &other("rubbish", "70")));
    assert!(source.inherit(&mut known, &other("91", "70")));
    assert_eq!(known[&mine[0]], "91");
    let mut none = BTreeMap::new();
    assert!(source.inherit(&mut none, &own));
    assert_eq!(none, own);
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

/// The first slice of a group that is read from now on is a moment long. A process that ends inside of it leaves a
/// position from which the next one continues.
#[test]
fn a_slice_of_a_millisecond_is_continued_by_another_process() {
    let account = account(&["/g"], vec![entry(0, "/g", 1)]);
    let (from, token, streams) = (at(0), None, None);
    let place = Place { from, to: from, present: from, token, streams };
    let checkpoints = [(String::new(), from.to_string()), (place::part("/g"), place_text(&place))];
    let mut source = source(Some("/g"), None, false);
    source.resume(&checkpoints.into());
    let mut bench = Bench::new(source);
    let pulled = bench.pull(time("2026-11-21T12:03:00Z"), 9, |request| account.answer(request));
    assert_eq!(pulled, Pulled::CaughtUp);
    assert_eq!(numbers(&bench), [0]);
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
    // It disappears while the groups are listed.
    bench.pull(time(NOW), 1, |request| account.answer(request));
    account.groups.remove(0);
    assert_eq!(bench.pull(time(NOW), 9, |request| account.answer(request)), Pulled::CaughtUp);
    assert_eq!(numbers(&bench), [1]);
    assert_eq!(bench.left_out[0].item, "log group a");
}

#[test]
fn the_only_group_that_is_not_there_is_an_error() {
    let account = account(&[], vec![]);
    let mut source = source(Some("/g"), Some("2026-11-21T11:00:00Z"), false);
    let Next::Mark(_) = source.next(&time(NOW).into()) else { panic!("a mark") };
    let Next::Call(request) = source.next(&time(NOW).into()) else { panic!("a call") };
    let error = super::super::testing::refused(&request, account.answer(&request).unwrap_err());
    assert!(!source.refused(&error));
    assert!(matches!(source.next(&time(NOW).into()), Next::Call(_)), "it may be made later");
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
    assert_eq!(asked.len(), 6, "{asked:?}");
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
    // The fourth page was refused, and they are listed from the first again.
    assert_eq!(sizes, [100, 100, 100, 41]);
    assert_eq!(numbers(&bench).len(), 240);
}

/// For a group with very many streams CloudWatch returns pages without events, as many for a minute as for a day.
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
    assert_eq!(bench.pull(time(NOW), 2, |request| account.answer(request)), Pulled::CaughtUp);
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

/// An event of a region whose groups and streams come and go.
#[derive(Debug, Clone)]
struct Written {
    group: String,
    stream: String,
    at: i64,
    appears: i64,
    number: usize,
}

#[derive(Debug, Clone, Default)]
struct Region {
    events: Vec<Written>,
    groups: BTreeSet<String>,
    infrequent: BTreeSet<String>,
    refused: BTreeSet<String>,
    gone: BTreeSet<(String, String)>,
    page: usize,
    by_streams: bool,
    /// CloudWatch's time of a stream's last event is an hour late.
    knows_late: bool,
}

impl Region {
    fn new(groups: usize, events: impl IntoIterator<Item = (usize, usize, i64)>, page: usize) -> Region {
        let mut region = Region { page, groups: (0..groups).map(name).collect(), ..Region::default() };
        for (group, stream, seconds) in events {
            region.write(name(group), format!("s-{stream:04}"), at(0) + 1000 * seconds, i64::MIN);
        }
        region
    }

    fn write(&mut self, group: String, stream: String, at: i64, appears: i64) {
        self.events.push(Written { group, stream, at, appears, number: self.events.len() });
    }

    fn is_there(&self, event: &Written) -> bool {
        self.groups.contains(&event.group)
            && !self.gone.contains(&(event.group.clone(), event.stream.clone()))
    }

    fn of_group(&self, input: &Value, now: i64) -> Vec<&Written> {
        let of_group = |event: &&Written| input["logGroupName"] == *event.group && event.appears <= now;
        self.events.iter().filter(of_group).filter(|event| self.is_there(event)).collect()
    }

    fn list_groups(&self, input: &Value) -> Value {
        let group = |name: &String| {
            let class = if self.infrequent.contains(name) { "INFREQUENT_ACCESS" } else { "STANDARD" };
            json!({"logGroupName": name, "logGroupClass": class})
        };
        let after = input["nextToken"].as_str().unwrap_or("");
        let names: Vec<&String> = self.groups.iter().filter(|name| name.as_str() > after).collect();
        let page = &names[..names.len().min(self.page)];
        let token = page.last().filter(|_| page.len() < names.len());
        json!({"logGroups": page.iter().map(|name| group(name)).collect::<Vec<_>>(), "nextToken": token})
    }

    fn list_streams(&self, input: &Value, now: i64) -> Value {
        let mut last: BTreeMap<&str, Option<i64>> = BTreeMap::new();
        for event in self.of_group(input, now) {
            let known = (!self.knows_late || event.appears < now - 60 * MINUTE).then_some(event.at);
            let last = last.entry(&event.stream).or_default();
            *last = (*last).max(known);
        }
        let after = input["nextToken"].as_str().unwrap_or("");
        let streams: Vec<_> = last.into_iter().filter(|(name, _)| *name > after).collect();
        let page = &streams[..streams.len().min(self.page)];
        let token = page.last().filter(|_| page.len() < streams.len()).map(|(name, _)| *name);
        let stream =
            |(name, last): &(&str, Option<i64>)| json!({"logStreamName": name, "lastEventTimestamp": last});
        json!({"logStreams": page.iter().map(stream).collect::<Vec<_>>(), "nextToken": token})
    }

    fn filter(&self, input: &Value, now: i64) -> Result<Value, &'static str> {
        let mut events = self.of_group(input, now);
        let between = input["startTime"].as_i64().unwrap()..=input["endTime"].as_i64().unwrap();
        if let Some(names) = input["logStreamNames"].as_array() {
            assert!(names.len() <= 100);
            let group = input["logGroupName"].as_str().unwrap().to_owned();
            if names
                .iter()
                .any(|name| self.gone.contains(&(group.clone(), name.as_str().unwrap().to_owned())))
            {
                return Err("ResourceNotFoundException");
            }
            events.retain(|event| names.iter().any(|name| *name == *event.stream));
        }
        events.retain(|event| between.contains(&event.at));
        events.sort_by_key(|event| (event.at, event.number));
        // It is valid for the same request only.
        let place = format!("{between:?} {} ", input["logStreamNames"]);
        if let Some(token) = input["nextToken"].as_str() {
            let token = token.strip_prefix(&place).ok_or("InvalidParameterException")?;
            let (at, number) = token.split_once(' ').unwrap();
            let after: (i64, usize) = (at.parse().unwrap(), number.parse().unwrap());
            events.retain(|event| (event.at, event.number) > after);
        }
        let page = &events[..events.len().min(self.page)];
        let token = page.last().filter(|_| page.len() < events.len());
        let token = token.map(|event| format!("{place}{} {}", event.at, event.number));
        let event = |event: &&Written| {
            let Written { stream, at, number, .. } = event;
            json!({"eventId": number.to_string(), "logStreamName": stream, "timestamp": at, "message": number.to_string()})
        };
        Ok(json!({"events": page.iter().map(event).collect::<Vec<_>>(), "nextToken": token}))
    }
}

fn name(group: usize) -> String {
    format!("/g-{group:03}")
}

impl Model for Region {
    type Source = Logs;

    fn source(&self) -> Logs {
        let settings = settings::Logs {
            group: None,
            start_time: Some(time("2026-11-20T12:00:00Z")),
            first_by_streams: self.by_streams,
            shard: None,
        };
        Logs::new(settings, "http://e".into(), "us-east-1".into())
    }

    fn answer(&mut self, request: &Request, now: Timestamp) -> Result<Value, &'static str> {
        let (input, now) = (input(request), now.as_millisecond());
        let group = input["logGroupName"].as_str().unwrap_or_default();
        match request.action {
            "logs:DescribeLogGroups" => Ok(self.list_groups(&input)),
            _ if !self.groups.contains(group) => Err("ResourceNotFoundException"),
            _ if self.refused.contains(group) || self.infrequent.contains(group) => {
                Err("InvalidOperationException")
            }
            "logs:DescribeLogStreams" => Ok(self.list_streams(&input, now)),
            _ => self.filter(&input, now),
        }
    }

    /// Usually an event, which appears up to five minutes late.
    fn change(&mut self, seed: u32, now: Timestamp) {
        let (kind, seed) = (seed % 9, seed as usize / 9);
        let now = now.as_millisecond();
        let group =
            self.groups.iter().nth(seed % self.groups.len().max(1)).cloned().unwrap_or_else(|| name(0));
        match kind {
            0 => drop(self.groups.insert(name(seed % 40))),
            1 => drop(self.refused.insert(group)),
            2 => self.refused.clear(),
            3 => drop(self.infrequent.insert(format!("/infrequent-{seed}"))),
            4 => drop(self.gone.insert((group, format!("s-{:04}", seed % 5)))),
            5 if self.groups.len() > 2 => drop(self.groups.remove(&group)),
            _ => self.write(group, format!("s-{:04}", seed % 7), now - (seed as i64 % 300) * 1000, now),
        }
        self.groups.extend(self.infrequent.iter().cloned());
    }

    fn expected(&self) -> BTreeSet<String> {
        let expected = self
            .events
            .iter()
            .filter(|event| self.is_there(event) && !self.infrequent.contains(&event.group));
        expected.map(|event| event.number.to_string()).collect()
    }

    fn shown(body: &str) -> String {
        serde_json::from_str::<Value>(body).unwrap()["message"].as_str().unwrap().to_owned()
    }

    fn calm(&mut self) {
        self.refused.clear();
    }
}

#[test]
fn everything_is_read_though_the_program_ends_every_few_pages() {
    // Many groups; one slice with many pages; many streams.
    let groups = Region::new(40, (0..400).map(|i| (i % 40, i % 3, -60 - i as i64)), 50);
    let slice = Region::new(1, (0..3000).map(|i| (0, i % 3, -60 - i as i64 / 10)), 50);
    let streams = Region {
        by_streams: true,
        ..Region::new(2, (0..3000).map(|i| (i % 2, i / 2 % 700, -60 - i as i64)), 50)
    };
    for (name, region) in [("groups", groups), ("slice", slice), ("streams", streams)] {
        let mut undisturbed = 0;
        let mut calm = region.clone();
        let mut bench = Bench::new(calm.source());
        bench.source.resume(&BTreeMap::new());
        bench.pull(time(NOW), 100_000, |request| {
            undisturbed += 1;
            calm.answer(request, time(NOW))
        });
        // With three a restart lists the groups and two pages of streams, and has one page of events.
        for answers in [4, 7] {
            let restarts = restarts_until_done(region.clone(), answers, time(NOW));
            assert!(restarts <= undisturbed, "{name}: {restarts} restarts after every {answers} answers");
        }
    }
}

#[test]
fn a_group_that_refuses_holds_nobody_up_and_is_read_when_it_does_no_longer() {
    for code in
        ["InvalidOperationException", "InvalidParameterException", "AccessDeniedException", "InternalFailure"]
    {
        let mut region = Region::new(5, (0..100).map(|i| (i % 5, 0, -60 - i as i64)), 50);
        region.infrequent.insert(name(4));
        let mut bench = Bench::new(region.source());
        bench.source.resume(&BTreeMap::new());
        let mut now = time(NOW);
        let mut pull = |bench: &mut Bench<Logs>, refuses: bool| {
            now += jiff::SignedDuration::from_mins(30);
            let pulled = bench.pull(now, 999, |request| {
                assert_ne!(input(request)["logGroupName"], name(4), "its class says that it cannot be read");
                if refuses && input(request)["logGroupName"] == name(1) {
                    Err(code)
                } else {
                    region.answer(request, now)
                }
            });
            assert_eq!(pulled, Pulled::CaughtUp);
        };
        pull(&mut bench, true);
        assert_eq!(bench.delivered.len(), 60, "{code}");
        let named: BTreeSet<_> = bench.left_out.iter().map(|left_out| left_out.item.as_str()).collect();
        assert_eq!(named, ["log group /g-001", "log group /g-004"].into(), "{code}");
        pull(&mut bench, true);
        pull(&mut bench, false);
        assert_eq!(bench.delivered.len(), 80, "{code}");
    }
}

#[test]
fn throttling_and_wrong_credentials_pass_over_nothing() {
    for code in ["ThrottlingException", "UnrecognizedClientException", "ExpiredTokenException"] {
        let mut region = Region::new(2, [(0, 0, -60), (1, 0, -60)], 50);
        let mut bench = Bench::new(region.source());
        bench.source.resume(&BTreeMap::new());
        let pulled = bench.pull(time(NOW), 50, |request| match request.action {
            "logs:FilterLogEvents" => Err(code),
            _ => region.answer(request, time(NOW)),
        });
        assert_eq!((pulled, bench.left_out.len()), (Pulled::CutOff, 0), "{code}");
    }
}

#[test]
fn streams_without_a_last_event_are_read_and_those_that_go_hold_up_nothing() {
    let mut region = Region::new(1, (0..120).map(|i| (0, i, -1200 - i as i64)), 50);
    (region.by_streams, region.knows_late) = (true, true);
    region.events.iter_mut().for_each(|event| event.appears = event.at);
    for gone in [&[] as &[&str], &["s-0007", "s-0063"]] {
        let mut bench = Bench::new(region.source());
        bench.source.resume(&BTreeMap::new());
        let pulled = bench.pull(time(NOW), 999, |request| {
            // They disappear after they have been listed.
            if request.action == "logs:FilterLogEvents" {
                region.gone = gone.iter().map(|stream| (name(0), (*stream).to_owned())).collect();
            }
            region.answer(request, time(NOW))
        });
        assert_eq!(
            (pulled, bench.delivered.len(), bench.left_out.len()),
            (Pulled::CaughtUp, 120 - gone.len(), 0)
        );
    }
}

#[test]
fn streams_that_may_not_be_listed_or_named_are_read_all_the_same() {
    let mut region = Region { by_streams: true, ..Region::new(1, (0..50).map(|i| (0, i, -1200)), 50) };
    let refusals = [
        ("logs:DescribeLogStreams", "AccessDeniedException"),
        ("logs:FilterLogEvents", "InvalidParameterException"),
    ];
    for (action, code) in refusals {
        let mut bench = Bench::new(region.source());
        bench.source.resume(&BTreeMap::new());
        let pulled = bench.pull(time(NOW), 999, |request| {
            let is_by_streams =
                action == "logs:DescribeLogStreams" || !input(request)["logStreamNames"].is_null();
            if request.action == action && is_by_streams {
                Err(code)
            } else {
                region.answer(request, time(NOW))
            }
        });
        assert_eq!((pulled, bench.delivered.len(), bench.left_out.len()), (Pulled::CaughtUp, 50, 0));
    }
}

#[test]
fn a_checkpoint_in_the_future_does_not_leave_out_what_comes_until_then() {
    let region = Region::new(1, [(0, 0, -60), (0, 0, 60)], 50);
    a_future_checkpoint_leaves_out_nothing(
        region,
        [("".into(), "0".into()), (name(0), at(600).to_string())],
        time(NOW),
    );
}

proptest! {
    #[test]
    fn nothing_is_lost_whatever_happens(
        events in prop::collection::vec((0usize..4, 0usize..5, -4000i64..0), 0..50),
        page in 1usize..8,
        by_streams: bool,
        knows_late: bool,
        turns in prop_oneof![turns(), turns_of_clocks()],
    ) {
        let region = Region { by_streams, knows_late, ..Region::new(4, events, page) };
        storm(region, turns, time(NOW))?;
    }

    /// For any distribution, paging and kills: every event once.
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
