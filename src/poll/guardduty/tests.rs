use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::testing::{Bench, CLOCK_CHANGES, Pulled, input, time};
use super::*;
use crate::aws::Request;

const NOW: &str = "2026-11-21T12:00:00Z";

/// Findings by id, with their updates in seconds before now.
#[derive(Debug, Clone, Default)]
struct Account {
    detectors: Vec<&'static str>,
    findings: BTreeMap<String, i64>,
    page: usize,
}

impl Account {
    fn answer(&self, request: &Request) -> Result<Value, &'static str> {
        let input = input(request);
        match request.action {
            "guardduty:ListDetectors" => Ok(json!({"detectorIds": self.detectors})),
            "guardduty:ListFindings" => Ok(self.list(&input)),
            "guardduty:GetFindings" => Ok(self.details(&input)),
            other => panic!("{other}"),
        }
    }

    fn list(&self, input: &Value) -> Value {
        let from = input["findingCriteria"]["criterion"]["updatedAt"]["greaterThanOrEqual"].as_i64().unwrap();
        let mut ids: Vec<_> = self.findings.iter().filter(|(_, age)| updated(**age) >= from).collect();
        ids.sort_by_key(|(id, age)| (-**age, (*id).clone()));
        let start = input["nextToken"].as_str().map_or(0, |token| token.parse::<usize>().unwrap());
        let end = (start + self.page.max(1)).min(ids.len());
        let page: Vec<_> = ids[start.min(end)..end].iter().map(|(id, _)| (*id).clone()).collect();
        let token = if end < ids.len() { end.to_string() } else { String::new() };
        json!({"findingIds": page, "nextToken": token})
    }

    fn details(&self, input: &Value) -> Value {
        let ids = input["findingIds"].as_array().unwrap();
        assert!((1..=50).contains(&ids.len()));
        let finding = |id: &Value| {
            let id = id.as_str().unwrap();
            let at = Timestamp::from_millisecond(updated(self.findings[id])).unwrap();
            json!({"id": id, "updatedAt": at.to_string(), "severity": 5})
        };
        json!({"findings": ids.iter().map(finding).collect::<Vec<_>>()})
    }
}

fn updated(age: i64) -> i64 {
    time(NOW).as_millisecond() - age * 1000
}

fn source(start: Option<&str>) -> GuardDuty {
    let settings = config::GuardDuty { start_time: start.map(time) };
    let mut source = GuardDuty::new(settings, "http://e".into(), "us-east-1".into());
    source.resume(&BTreeMap::new());
    source
}

fn account(ages: &[i64]) -> Account {
    let findings = ages.iter().enumerate().map(|(i, age)| (format!("f{i:03}"), *age)).collect();
    Account { detectors: vec!["d"], findings, page: 50 }
}

fn ids(bench: &Bench<GuardDuty>) -> Vec<String> {
    let id = |body: &String| serde_json::from_str::<Value>(body).unwrap()["id"].as_str().unwrap().to_owned();
    bench.delivered.iter().map(id).collect()
}

#[test]
fn a_region_without_guardduty() {
    let account = Account::default();
    let mut bench = Bench::new(source(None));
    assert_eq!(bench.pull(time(NOW), 1, |request| account.answer(request)), Pulled::CaughtUp);
    assert_eq!(bench.pull(time(NOW), 1, |request| account.answer(request)), Pulled::CaughtUp, "and again");
    assert_eq!(bench.reached, Some(time(NOW)));
}

#[test]
fn findings_come_in_fifties_and_again_when_they_are_updated() {
    let mut account = account(&(0..120).map(|i| 10_000 - i).collect::<Vec<_>>());
    let mut bench = Bench::new(source(None));
    let mut sizes = Vec::new();
    bench.pull(time(NOW), 99, |request| {
        sizes.extend(input(request)["findingIds"].as_array().map(Vec::len));
        account.answer(request)
    });
    assert_eq!((sizes, ids(&bench).len()), (vec![50, 50, 20], 120));
    // One minute later.
    account.findings.insert("f007".into(), -30);
    bench.pull(time("2026-11-21T12:01:00Z"), 99, |request| account.answer(request));
    assert_eq!(ids(&bench)[120..], ["f007"]);
}

#[test]
fn every_finding_once_while_clocks_change() {
    let now = time(NOW).as_second();
    for change in CLOCK_CHANGES.map(|change| time(change).as_second()) {
        let times: Vec<i64> = (-60..60).map(|minute| change + minute * 60).collect();
        let start = Timestamp::from_second(change - 3600).unwrap().to_string();
        let mut bench = Bench::new(source(Some(&start)));
        for minute in (-59..80).step_by(7) {
            let moment = change + minute * 60;
            let ages: Vec<i64> = times.iter().filter(|at| **at <= moment).map(|at| now - at).collect();
            let account = Account { page: 9, ..account(&ages) };
            let moment = Timestamp::from_second(moment).unwrap();
            assert_eq!(bench.pull(moment, 999, |request| account.answer(request)), Pulled::CaughtUp);
        }
        assert_eq!(ids(&bench).into_iter().collect::<BTreeSet<_>>().len(), 120, "around {change}");
        assert_eq!(bench.delivered.len(), 120, "around {change}");
    }
}

#[test]
fn an_update_that_appears_late_is_found() {
    let mut account = account(&[600, 60]);
    let mut bench = Bench::new(source(None));
    bench.pull(time(NOW), 99, |request| account.answer(request));
    // Four minutes after its update, which was before the latest that is known.
    account.findings.insert("late".into(), 180);
    bench.pull(time("2026-11-21T12:01:00Z"), 99, |request| account.answer(request));
    assert_eq!(ids(&bench), ["f000", "f001", "late"]);
}

#[test]
fn only_what_was_updated_since_the_start() {
    let account = account(&[7200, 3600, 60]);
    let mut bench = Bench::new(source(Some("2026-11-21T11:00:00Z")));
    bench.pull(time(NOW), 99, |request| account.answer(request));
    assert_eq!(ids(&bench), ["f001", "f002"]);
}

#[test]
fn a_page_token_that_fails_costs_nothing() {
    let account = Account { page: 10, ..account(&(0..35).collect::<Vec<_>>()) };
    let mut bench = Bench::new(source(None));
    let mut failed = 0;
    let pulled = bench.pull(time(NOW), 99, |request| {
        if !input(request)["nextToken"].is_null() && failed < 2 {
            failed += 1;
            return Err("BadRequestException");
        }
        account.answer(request)
    });
    assert_eq!((pulled, ids(&bench).len()), (Pulled::CaughtUp, 35));
}

proptest! {
    /// However findings are spread and paged, and wherever the process is killed: every update once.
    #[test]
    fn every_finding_is_delivered_once(
        ages in prop::collection::vec(0i64..2000, 0..40),
        page in 1usize..9,
        kills in prop::collection::vec(0usize..12, 0..5),
    ) {
        let account = Account { page, ..account(&ages) };
        let mut bench = Bench::new(source(None));
        for calls in kills {
            bench.pull(time(NOW), calls, |request| account.answer(request));
            bench.restart(source(None));
        }
        prop_assert_eq!(bench.pull(time(NOW), 100_000, |request| account.answer(request)), Pulled::CaughtUp);
        let found = ids(&bench);
        prop_assert_eq!(found.len(), ages.len());
        prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>().len(), ages.len());
    }
}
