//! GuardDuty: findings that were updated.
//!
//! In rounds: the region's detectors are listed; of each, the findings that were updated since the checkpoint, the
//! oldest update first, and their details in fifties. A finding that is updated again is sent again. All times are
//! milliseconds since 1970.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use super::paging::{begin_anew, edge, follow};
use super::source::{Event, Next, Page, Progress, Source, from_millis};
use crate::aws::guardduty;
use crate::aws::request::Address;
use crate::aws::{Error, Kind};
use crate::config;
use crate::ledger::{Seen, fingerprint};
use crate::limits::FINDING_LATENESS;

/// One region's findings.
#[derive(Debug)]
pub struct GuardDuty {
    settings: config::GuardDuty,
    endpoint: String,
    region: String,
    /// By detector: where its next reading begins.
    next: BTreeMap<String, i64>,
    round: Option<Round>,
    /// The round has ended, and nobody was told yet.
    caught_up: bool,
}

#[derive(Debug)]
struct Round {
    /// The present, when it began.
    to: i64,
    detectors: VecDeque<String>,
    token: Option<String>,
    listed: bool,
    reading: Option<Reading>,
    /// Page tokens that were refused.
    restarts: u32,
}

/// A detector that is being read.
#[derive(Debug)]
struct Reading {
    detector: String,
    from: i64,
    token: Option<String>,
    listed: bool,
    /// Findings of the page that was listed last, whose details are to be read.
    ids: Vec<String>,
}

impl GuardDuty {
    /// `endpoint`: of GuardDuty in the region.
    pub fn new(settings: config::GuardDuty, endpoint: String, region: String) -> GuardDuty {
        GuardDuty { settings, endpoint, region, next: BTreeMap::new(), round: None, caught_up: false }
    }

    /// Without a start time, everything that GuardDuty has: findings of 90 days.
    fn from(&self, detector: &str) -> i64 {
        let start = self.settings.start_time.map_or(0, Timestamp::as_millisecond);
        self.next.get(detector).copied().unwrap_or(start)
    }

    fn begin_reading(&mut self) {
        let Some(round) = self.round.as_mut().filter(|round| round.reading.is_none()) else { return };
        let Some(detector) = round.detectors.pop_front() else { return };
        let from = self.from(&detector);
        let reading = Reading { detector, from, token: None, listed: false, ids: Vec::new() };
        if let Some(round) = &mut self.round {
            round.reading = Some(reading);
        }
    }

    fn request(&self, round: &Round) -> Next {
        let resource = match &round.reading {
            Some(reading) => format!("detector/{} in {}", reading.detector, self.region),
            None => format!("detectors in {}", self.region),
        };
        let address = Address { endpoint: &self.endpoint, region: &self.region, resource: &resource };
        Next::Call(Box::new(match &round.reading {
            None => guardduty::detectors(&address, round.token.as_deref()),
            Some(Reading { detector, from, token, ids, .. }) if ids.is_empty() => {
                guardduty::findings(&address, detector, *from, token.as_deref())
            }
            Some(Reading { detector, ids, .. }) => guardduty::details(&address, detector, ids),
        }))
    }

    fn read_detectors(&mut self, answer: &[u8]) -> Result<Page, serde_json::Error> {
        let page = guardduty::read_detectors(answer)?;
        if let Some(round) = &mut self.round {
            follow(&mut round.token, page.token)?;
            round.listed = round.token.is_none();
            round.detectors.extend(page.ids);
        }
        Ok(Page { progress: self.end_if_done(Progress::default()), ..Page::default() })
    }

    fn read_findings(&mut self, answer: &[u8]) -> Result<Page, serde_json::Error> {
        let page = guardduty::read_findings(answer)?;
        if let Some(reading) = self.round.as_mut().and_then(|round| round.reading.as_mut()) {
            follow(&mut reading.token, page.token)?;
            reading.listed = reading.token.is_none();
            reading.ids = page.ids;
        }
        Ok(Page { progress: self.end_reading_if_done(), ..Page::default() })
    }

    fn read_details(&mut self, answer: &[u8]) -> Result<Page, serde_json::Error> {
        let findings = guardduty::read_details(answer)?;
        let Some(round) = &mut self.round else { return Ok(Page::default()) };
        let Some(reading) = &mut round.reading else { return Ok(Page::default()) };
        reading.ids.clear();
        let latest = findings.iter().map(|finding| finding.updated).max().unwrap_or(reading.from);
        let next = edge(latest, round.to, lateness()).max(reading.from);
        let checkpoints = vec![(reading.detector.clone(), next.to_string())];
        let progress = Progress { checkpoints, ..Progress::default() };
        self.next.insert(reading.detector.clone(), next);
        let events = findings.into_iter().map(event).collect();
        let ended = self.end_reading_if_done();
        let progress = if ended == Progress::default() { progress } else { ended };
        Ok(Page { events, progress, ..Page::default() })
    }

    /// At the end of a detector's findings: reading goes on some time before the present.
    fn end_reading_if_done(&mut self) -> Progress {
        let Some(round) = &mut self.round else { return Progress::default() };
        let ended = |reading: &mut Reading| reading.listed && reading.ids.is_empty();
        let Some(reading) = round.reading.take_if(ended) else { return Progress::default() };
        let next = (round.to - lateness()).max(reading.from);
        self.next.insert(reading.detector.clone(), next);
        let checkpoints = vec![(reading.detector, next.to_string())];
        self.end_if_done(Progress { checkpoints, ..Progress::default() })
    }

    fn end_if_done(&mut self, progress: Progress) -> Progress {
        let ended = |round: &mut Round| round.listed && round.detectors.is_empty() && round.reading.is_none();
        let Some(round) = self.round.take_if(ended) else { return progress };
        self.caught_up = true;
        let forget_before = self.next.values().min().copied();
        Progress { forget_before, reached: from_millis(round.to), ..progress }
    }
}

impl Source for GuardDuty {
    fn resume(&mut self, checkpoints: &BTreeMap<String, String>) {
        let detector = |(detector, value): (&String, &String)| Some((detector.clone(), value.parse().ok()?));
        self.next = checkpoints.iter().filter_map(detector).collect();
        (self.round, self.caught_up) = (None, false);
    }

    fn next(&mut self, now: Timestamp) -> Next {
        if std::mem::take(&mut self.caught_up) {
            return Next::CaughtUp;
        }
        self.round.get_or_insert_with(|| Round {
            to: now.as_millisecond(),
            detectors: VecDeque::new(),
            token: None,
            listed: false,
            reading: None,
            restarts: 0,
        });
        self.begin_reading();
        self.round.as_ref().map_or(Next::CaughtUp, |round| self.request(round))
    }

    fn read(&mut self, answer: &[u8]) -> Result<Page, serde_json::Error> {
        match self.round.as_ref().and_then(|round| round.reading.as_ref()) {
            None => self.read_detectors(answer),
            Some(reading) if reading.ids.is_empty() => self.read_findings(answer),
            Some(_) => self.read_details(answer),
        }
    }

    /// A page token that is no longer good: the findings are listed from what is delivered on.
    fn refused(&mut self, error: &Error) -> bool {
        let Some(round) = self.round.as_mut().filter(|_| *error.kind() == Kind::BadRequest) else {
            return false;
        };
        let token = match &mut round.reading {
            None => round.token.take(),
            // The details, not the list, were refused.
            Some(reading) if !reading.ids.is_empty() => None,
            Some(reading) => {
                reading.from = self.next.get(&reading.detector).copied().unwrap_or(reading.from);
                reading.token.take()
            }
        };
        begin_anew(token, &mut round.restarts)
    }
}

fn event(finding: guardduty::Finding) -> Event {
    let guardduty::Finding { id, updated, json } = finding;
    let key = Seen { id: fingerprint(&format!("{id}\0{updated}")), time: updated };
    Event { key: Some(key), body: json.into_bytes() }
}

fn lateness() -> i64 {
    FINDING_LATENESS.as_millis() as i64
}

#[cfg(test)]
#[path = "guardduty/tests.rs"]
mod tests;
