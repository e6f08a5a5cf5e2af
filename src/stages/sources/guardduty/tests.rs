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
    let settings = settings::GuardDuty { start_time: start.map(time) };
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
    assert_eq!((sizes, ids(&bench).len()), (vec![50, 50, 22], 120));
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
    // Four minutes after its update, which was before the latest known one.
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

/// Age of findings that were updated at the very same time, and fill more than a page.
const CROWD: i64 = 90_000;

/// Findings that are updated while they are read.
#[derive(Debug, Clone, Default)]
struct Region {
    detectors: Vec<&'static str>,
    /// By id: its versions, each with the time of its update and of its appearance, in milliseconds.
    findings: BTreeMap<String, Vec<(i64, i64)>>,
    gone: BTreeSet<String>,
    page: usize,
    /// GuardDuty's refusals: detectors, and findings by their ids.
    refused: BTreeSet<String>,
    crowd_has_changed: bool,
}

impl Region {
    fn new(detectors: &[&'static str], ages: impl IntoIterator<Item = i64>, page: usize) -> Region {
        let version = |age| vec![(updated(age), i64::MIN)];
        let id = |number: usize| format!("{}-{number:03}", detectors[number % detectors.len()]);
        let findings = ages.into_iter().enumerate().map(|(number, age)| (id(number), version(age))).collect();
        Region { detectors: detectors.to_vec(), findings, page, ..Region::default() }
    }

    /// The version visible at this time.
    fn seen(&self, id: &str, now: i64) -> Option<i64> {
        let versions = self.findings.get(id).filter(|_| !self.gone.contains(id))?;
        versions.iter().filter(|(_, appears)| *appears <= now).map(|(at, _)| *at).max()
    }

    fn list(&self, detector: &str, input: &Value, now: i64) -> Result<Value, &'static str> {
        let from = input["findingCriteria"]["criterion"]["updatedAt"]["greaterThanOrEqual"].as_i64().unwrap();
        let mut found: Vec<(i64, &String)> = self
            .findings
            .keys()
            .filter(|id| id.starts_with(detector))
            .filter_map(|id| Some((self.seen(id, now)?, id)))
            .collect();
        found.retain(|(at, _)| *at >= from);
        found.sort();
        // A position in a list that changes.
        let start =
            input["nextToken"].as_str().map_or(0, |token| token.parse::<usize>().unwrap()).min(found.len());
        let end = (start + self.page).min(found.len());
        let page: Vec<_> = found[start..end].iter().map(|(_, id)| (*id).clone()).collect();
        let token = if end < found.len() { end.to_string() } else { String::new() };
        Ok(json!({"findingIds": page, "nextToken": token}))
    }

    fn details(&self, input: &Value, now: i64) -> Result<Value, &'static str> {
        let ids: Vec<&str> =
            input["findingIds"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        assert!((1..=50).contains(&ids.len()));
        if ids.iter().any(|id| self.refused.contains(*id)) {
            return Err("BadRequestException");
        }
        let finding = |id: &&str| {
            let at = Timestamp::from_millisecond(self.seen(id, now)?).unwrap();
            Some(json!({"id": id, "updatedAt": at.to_string()}))
        };
        Ok(json!({"findings": ids.iter().filter_map(finding).collect::<Vec<_>>()}))
    }
}

impl Model for Region {
    type Source = GuardDuty;

    fn source(&self) -> GuardDuty {
        GuardDuty::new(settings::GuardDuty { start_time: None }, "http://e".into(), "us-east-1".into())
    }

    fn answer(&mut self, request: &Request, now: Timestamp) -> Result<Value, &'static str> {
        let input = input(request);
        let detector = request.path.split('/').nth(2).unwrap_or_default().to_owned();
        if self.refused.contains(&detector) {
            return Err("BadRequestException");
        }
        match request.action {
            "guardduty:ListDetectors" => Ok(json!({"detectorIds": self.detectors})),
            "guardduty:ListFindings" => self.list(&detector, &input, now.as_millisecond()),
            _ => self.details(&input, now.as_millisecond()),
        }
    }

    /// Usually an update, which appears up to five minutes late.
    fn change(&mut self, seed: u32, now: Timestamp) {
        let (kind, seed) = (seed % 8, seed / 8);
        let id = self.findings.keys().nth(seed as usize % self.findings.len().max(1)).cloned();
        let now = now.as_millisecond();
        let late = i64::from(seed % 300) * 1000;
        let first = |id: &String| self.findings[id][0].0;
        match (kind, id) {
            // If GuardDuty counts positions, a crowd with one time that loses two cannot be detected.
            (_, Some(id)) if first(&id) == updated(CROWD) && self.crowd_has_changed => {}
            (0, Some(id)) => {
                self.crowd_has_changed |= first(&id) == updated(CROWD);
                self.gone.insert(id);
            }
            (1, Some(id)) => {
                self.refused.insert(id);
            }
            (2, _) => {
                self.refused.insert(self.detectors[seed as usize % self.detectors.len()].to_owned());
            }
            (3, _) => self.refused.clear(),
            (4, _) | (_, None) => {
                let id = format!("{}-new-{}", self.detectors[0], self.findings.len());
                self.findings.insert(id, vec![(now - late, now)]);
            }
            (_, Some(id)) => {
                self.crowd_has_changed |= first(&id) == updated(CROWD);
                self.findings.get_mut(&id).unwrap().push((now - late, now));
            }
        }
    }

    /// The last version of all existing ones.
    fn expected(&self) -> BTreeSet<String> {
        let there = self.findings.iter().filter(|(id, _)| !self.gone.contains(*id));
        there
            .map(|(id, versions)| format!("{id} {}", versions.iter().map(|(at, _)| *at).max().unwrap()))
            .collect()
    }

    fn shown(body: &str) -> String {
        let finding: Value = serde_json::from_str(body).unwrap();
        let updated = time(finding["updatedAt"].as_str().unwrap()).as_millisecond();
        format!("{} {updated}", finding["id"].as_str().unwrap())
    }

    fn calm(&mut self) {
        self.refused.clear();
    }
}

#[test]
fn a_finding_that_is_updated_while_others_are_read_does_not_move_the_checkpoint_over_them() {
    let mut region = Region::new(&["d"], (0..400).map(|i| 864_000 - 60 * i), 50);
    let now = time(NOW);
    let mut bench = Bench::new(region.source());
    bench.source.resume(&BTreeMap::new());
    // The third call reads the first details.
    bench.pull(now, 3, |request| {
        if request.action == "guardduty:GetFindings" {
            region.findings.get_mut("d-003").unwrap().push((now.as_millisecond(), i64::MIN));
        }
        region.answer(request, now)
    });
    bench.restart(region.source());
    assert_eq!(bench.pull(now, 99, |request| region.answer(request, now)), Pulled::CaughtUp);
    let delivered: BTreeSet<String> = bench.delivered.iter().map(|body| Region::shown(body)).collect();
    assert!(region.expected().is_subset(&delivered), "{} of 400", delivered.len());
}

#[test]
fn findings_are_read_though_the_program_ends_every_few_pages() {
    let region = Region::new(&["d", "e"], (0..1000).map(|i| 864_000 - 60 * i), 50);
    // Detectors, list, details: with fewer calls not a single finding can be read.
    for answers in [3, 4] {
        let restarts = restarts_until_done(region.clone(), answers, time(NOW));
        assert!(restarts <= 30, "{restarts} restarts after every {answers} answers");
    }
}

#[test]
fn what_is_refused_is_named_tried_again_and_holds_nobody_up() {
    let mut region = Region::new(&["d", "e", "f"], (0..300).map(|i| 864_000 - 60 * i), 50);
    region.refused = ["e".to_owned(), "f-062".to_owned(), "f-200".to_owned()].into();
    let mut bench = Bench::new(region.source());
    bench.source.resume(&BTreeMap::new());
    let mut now = time(NOW);
    assert_eq!(bench.pull(now, 200, |request| region.answer(request, now)), Pulled::CaughtUp);
    assert_eq!(bench.delivered.len(), 198);
    let named: BTreeSet<String> = bench.left_out.iter().map(|left_out| left_out.item.clone()).collect();
    let expected = [
        "detector e in us-east-1",
        "finding f-062 of detector f in us-east-1",
        "finding f-200 of detector f in us-east-1",
    ];
    assert_eq!(named, expected.map(str::to_owned).into());
    // Also after a restart, and long after they were updated.
    region.refused.clear();
    bench.restart(region.source());
    now += jiff::SignedDuration::from_hours(5);
    assert_eq!(bench.pull(now, 200, |request| region.answer(request, now)), Pulled::CaughtUp);
    assert_eq!(bench.delivered.len(), 300);
    assert!(!bench.checkpoints.contains_key("f (refused)"));
}

#[test]
fn a_permission_that_is_missing_passes_over_no_finding() {
    let mut region = Region::new(&["d"], (0..100).map(|i| 864_000 - 60 * i), 50);
    let now = time(NOW);
    let mut bench = Bench::new(region.source());
    bench.source.resume(&BTreeMap::new());
    let pulled = bench.pull(now, 99, |request| match request.action {
        "guardduty:GetFindings" => Err("AccessDeniedException"),
        _ => region.answer(request, now),
    });
    assert_eq!((pulled, bench.left_out.len()), (Pulled::CaughtUp, 1));
    bench.pull(now, 99, |request| region.answer(request, now));
    assert_eq!(bench.delivered.len(), 100);
}

#[test]
fn a_checkpoint_in_the_future_does_not_leave_out_what_comes_until_then() {
    let region = Region::new(&["d"], [60, -60], 50);
    a_future_checkpoint_leaves_out_nothing(
        region,
        [("d".into(), (time(NOW).as_millisecond() + 36_000_000).to_string())],
        time(NOW),
    );
}

proptest! {
    #[test]
    fn nothing_is_lost_whatever_happens(
        ages in prop::collection::vec(prop_oneof![0i64..2000, Just(CROWD)], 0..40), page in 1usize..9, two: bool, turns in prop_oneof![turns(), turns_of_clocks()],
    ) {
        let detectors: &[&str] = if two { &["d", "e"] } else { &["d"] };
        storm(Region::new(detectors, ages, page), turns, time(NOW))?;
    }

    /// For any distribution, paging and kills: every update once.
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
