//! GuardDuty: updated findings.
//!
//! In rounds: the region's detectors are listed; for each, the findings updated since the checkpoint, oldest update
//! first, and their details in batches of fifty. A finding that is updated again is sent again. All times are
//! milliseconds since 1970.
//!
//! Findings change while they are read: an updated one moves to the end of the list, and those behind it move up, past
//! the page that is requested next. So after each page the findings are listed again from the latest update read; page
//! tokens are followed only among findings with the very same time and in the last minutes, which the next round reads
//! again. And the details of a finding that was updated after it had been listed do not show how far the list has been
//! read.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use super::moment::{GoOn, Moment};
use super::paging::{Circle, begin_anew, follow, rewound};
use super::source::{BadAnswer, Event, Next, Page, PageSource, Progress, from_millis};
use crate::aws::guardduty;
use crate::aws::request::Address;
use crate::aws::{Error, Kind};
use crate::base::limits::{FINDING_LATENESS, FINDINGS_PER_CALL, POLL_RESTARTS_MAX};
use crate::base::text::fingerprint;
use crate::ledger::Seen;
use crate::settings;

/// One region's findings.
#[derive(Debug)]
pub struct GuardDuty {
    settings: settings::GuardDuty,
    endpoint: String,
    region: String,
    /// By detector: the start of its next reading.
    next: BTreeMap<String, i64>,
    /// By detector: unreadable findings, which are requested again in every round.
    refused: BTreeMap<String, Vec<String>>,
    round: Option<Round>,
    /// The progress from passing over an item, to be recorded next.
    mark: Option<Progress>,
    /// The round has ended, which has not been reported yet.
    caught_up: bool,
    notes: Vec<String>,
}

/// The checkpoint's part for a detector's unreadable findings: its id with this suffix.
const REFUSED: &str = " (refused)";

#[derive(Debug)]
struct Round {
    /// The time when it began. The list itself has no end.
    to: i64,
    detectors: VecDeque<String>,
    token: Option<String>,
    circle: Circle,
    listed: bool,
    reading: Option<Reading>,
    /// Number of refused page tokens.
    restarts: u32,
}

/// The current detector.
#[derive(Debug, Default)]
struct Reading {
    detector: String,
    /// All findings with earlier updates have been read: the listing begins here.
    from: i64,
    token: Option<String>,
    circle: Circle,
    /// Pages of this listing.
    pages: u32,
    /// The last page has been listed.
    listed: bool,
    /// Findings of the last listed page, whose details are requested next …
    ids: Vec<String>,
    /// … and after that, because not all of them could be read in one call.
    waiting: Vec<String>,
    /// The latest update on this page that the listing has surely shown.
    latest: Option<i64>,
    /// Times of the findings read since `from` has changed.
    read: BTreeMap<String, i64>,
    /// Number of repeated listings.
    passes: u32,
    /// This pass has shown a finding at its start that the previous one did not, or one is gone.
    has_news: bool,
}

/// The step after a page.
enum After {
    MorePages,
    /// Everything up to the present has been read.
    Done,
    /// The list changes too fast: the next round resumes here.
    Unfinished,
}

impl GuardDuty {
    /// `endpoint` is GuardDuty's in the region.
    pub fn new(settings: settings::GuardDuty, endpoint: String, region: String) -> GuardDuty {
        let (next, refused, notes) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        GuardDuty {
            settings,
            endpoint,
            region,
            next,
            refused,
            round: None,
            mark: None,
            caught_up: false,
            notes,
        }
    }

    /// Without a start time, everything that GuardDuty has: findings of 90 days.
    fn from(&self, detector: &str) -> i64 {
        let start = self.settings.start_time.map_or(0, Timestamp::as_millisecond);
        self.next.get(detector).copied().unwrap_or(start)
    }

    /// The next detector, unless its time has not come yet.
    fn begin_reading(&mut self, moment: &Moment) {
        let Some(round) = self.round.as_mut().filter(|round| round.reading.is_none()) else { return };
        let Some(detector) = round.detectors.pop_front() else { return };
        let mut from = self.from(&detector);
        let position = from_millis(from).unwrap_or(Timestamp::MAX);
        match moment.go_on(position, self.settings.start_time, FINDING_LATENESS) {
            GoOn::There => (),
            GoOn::Later => return self.begin_reading(moment),
            GoOn::Back(to) => {
                self.notes.push(format!(
                    "the checkpoint of detector {detector} is in the future; reading resumes at {to}"
                ));
                from = to.as_millisecond();
                self.next.insert(detector.clone(), from);
            }
        }
        // Unreadable ones come first.
        let ids = self.refused.get(&detector).cloned().unwrap_or_default();
        if let Some(round) = &mut self.round {
            round.reading = Some(Reading { detector, from, ids, ..Reading::default() });
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

    fn read_detectors(&mut self, answer: &[u8]) -> Result<Page, BadAnswer> {
        let page = guardduty::read_detectors(answer)?;
        let mut goes_on = false;
        if let Some(round) = &mut self.round {
            follow(&mut round.token, &mut round.circle, page.token)?;
            goes_on = page.ids.is_empty() && round.token.is_some();
            round.listed = round.token.is_none();
            round.detectors.extend(page.ids);
            // The one furthest behind comes first, also if the program is restarted repeatedly.
            let next = &self.next;
            round.detectors.make_contiguous().sort_by_key(|detector| next.get(detector).copied());
        }
        Ok(Page { goes_on, progress: self.end_if_done(Progress::default()), ..Page::default() })
    }

    fn read_findings(&mut self, answer: &[u8]) -> Result<Page, BadAnswer> {
        let page = guardduty::read_findings(answer)?;
        let to = self.round.as_ref().map_or(0, |round| round.to);
        if let Some(reading) = self.round.as_mut().and_then(|round| round.reading.as_mut()) {
            follow(&mut reading.token, &mut reading.circle, page.token)?;
            reading.take(page.ids, to);
        }
        // Findings that were listed before bring nothing new.
        let reading = self.round.as_ref().and_then(|round| round.reading.as_ref());
        let goes_on = reading.is_some_and(|reading| reading.ids.is_empty() && reading.token.is_some());
        Ok(Page { goes_on, progress: self.go_on(), ..Page::default() })
    }

    fn read_details(&mut self, answer: &[u8]) -> Result<Page, BadAnswer> {
        let findings = guardduty::read_details(answer)?;
        let Some(round) = &mut self.round else { return Ok(Page::default()) };
        let Some(reading) = &mut round.reading else { return Ok(Page::default()) };
        let ids = std::mem::take(&mut reading.ids);
        if reading.pages > 0 {
            reading.judge(&findings, ids.len(), round.to);
        }
        let refused = self.refused.get_mut(&reading.detector);
        refused.into_iter().for_each(|refused| refused.retain(|id| !ids.contains(id)));
        let to = round.to;
        let events = findings.into_iter().map(|finding| event(finding, to)).collect();
        Ok(Page { events, progress: self.go_on(), ..Page::default() })
    }

    /// Ends a page, or a part of it: the next request, and the state once it is delivered.
    fn go_on(&mut self) -> Progress {
        let Some(round) = &mut self.round else { return Progress::default() };
        let Some(mut reading) = round.reading.take() else { return Progress::default() };
        if reading.ids.is_empty() {
            reading.ids = std::mem::take(&mut reading.waiting);
        }
        let is_whole_page = reading.ids.is_empty() && reading.pages > 0;
        let after = if is_whole_page { reading.end_page(round.to) } else { After::MorePages };
        let next = match after {
            After::Done => (round.to - lateness()).max(reading.from),
            After::MorePages | After::Unfinished => reading.from,
        };
        let progress = self.progress(&reading.detector, next);
        if !matches!(after, After::MorePages) {
            return self.end_if_done(progress);
        }
        if let Some(round) = &mut self.round {
            round.reading = Some(reading);
        }
        progress
    }

    fn progress(&mut self, detector: &str, next: i64) -> Progress {
        let mut checkpoints = Vec::new();
        if self.next.insert(detector.to_owned(), next) != Some(next) {
            checkpoints.push((detector.to_owned(), next.to_string()));
        }
        if let Some(refused) = self.refused.get(detector) {
            checkpoints.push((format!("{detector}{REFUSED}"), refused.join(" ")));
        }
        self.refused.retain(|_, refused| !refused.is_empty());
        Progress { checkpoints, ..Progress::default() }
    }

    fn end_if_done(&mut self, progress: Progress) -> Progress {
        let Some(round) = self.round.take_if(|round| round.is_done()) else { return progress };
        self.caught_up = true;
        let forget_before = Some(round.to - lateness());
        Progress { forget_before, reached: from_millis(round.to), ..progress }
    }
}

impl Round {
    /// Ends the round: all detectors have been read.
    fn is_done(&self) -> bool {
        self.listed && self.detectors.is_empty() && self.reading.is_none()
    }
}

impl Reading {
    /// Handles a listed page. Findings of an earlier pass need not be read again.
    fn take(&mut self, ids: Vec<String>, to: i64) {
        self.pages += 1;
        self.listed = self.token.is_none();
        let read = ids.iter().filter_map(|id| self.read.get(id).copied());
        self.latest = read.filter(|updated| *updated < to - lateness()).max();
        self.ids = ids.into_iter().filter(|id| !self.read.contains_key(id)).collect();
    }

    /// How far the list has been read, according to the details. A finding that was updated after it had been listed
    /// shows a later time than the list did: only times that were long past when it was listed are its own. Fewer than
    /// `asked` means that some are gone.
    fn judge(&mut self, findings: &[guardduty::Finding], asked: usize, to: i64) {
        self.has_news |= findings.len() < asked;
        for finding in findings {
            let updated = finding.updated.unwrap_or(to);
            self.has_news |= updated <= self.from;
            self.read.insert(finding.id.clone(), updated);
            if updated < to - lateness() {
                self.latest = self.latest.max(Some(updated));
            }
        }
    }

    /// Ends a page.
    fn end_page(&mut self, to: i64) -> After {
        let latest = self.latest.take().filter(|latest| *latest > self.from);
        if latest.is_none() && !self.listed {
            return After::MorePages;
        }
        // A finding that was updated meanwhile may have pulled another past a token: everything is listed again until
        // that shows nothing new. The next round reads very new findings again anyway.
        let may_miss = (self.passes == 0 || self.has_news) && self.pages > 1 && self.from < to - lateness();
        match latest {
            _ if may_miss && self.passes >= POLL_RESTARTS_MAX => return After::Unfinished,
            _ if may_miss => {
                self.passes += 1;
                self.list_again();
            }
            _ if self.listed => return After::Done,
            Some(latest) => {
                (self.from, self.passes) = (latest, 0);
                self.read.clear();
                self.list_again();
            }
            None => (),
        }
        After::MorePages
    }

    fn list_again(&mut self) {
        (self.token, self.pages, self.listed, self.has_news) = (None, 0, false, false);
    }

    /// Requests fewer findings at once. Returns false if it is only one.
    fn split(&mut self) -> bool {
        let half = self.ids.len() / 2;
        if half > 0 {
            self.waiting.extend(self.ids.drain(half..));
        }
        half > 0
    }
}

impl PageSource for GuardDuty {
    fn resume(&mut self, checkpoints: &BTreeMap<String, String>) {
        let detector = |(detector, value): (&String, &String)| Some((detector.clone(), value.parse().ok()?));
        let times = checkpoints.iter().filter(|(part, _)| !part.ends_with(REFUSED));
        self.next = times.filter_map(detector).collect();
        let refused = |(part, value): (&String, &String)| {
            let ids: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
            Some((part.strip_suffix(REFUSED)?.to_owned(), ids)).filter(|(_, ids)| !ids.is_empty())
        };
        self.refused = checkpoints.iter().filter_map(refused).collect();
        (self.round, self.caught_up, self.mark) = (None, false, None);
    }

    fn can_read(&self, part: &str, value: &str) -> bool {
        // A detector's id has no blank.
        part.contains(' ') || value.parse::<i64>().is_ok()
    }

    fn rewind(&mut self, moment: &Moment) -> Progress {
        let latest = moment.latest(self.settings.start_time, FINDING_LATENESS).as_millisecond();
        Progress { checkpoints: rewound(&mut self.next, latest), ..Progress::default() }
    }

    fn next(&mut self, moment: &Moment) -> Next {
        if let Some(progress) = self.mark.take() {
            return Next::Mark(progress);
        }
        if std::mem::take(&mut self.caught_up) {
            return Next::CaughtUp;
        }
        self.round.get_or_insert_with(|| Round {
            to: moment.settled.as_millisecond(),
            detectors: VecDeque::new(),
            token: None,
            circle: Circle::default(),
            listed: false,
            reading: None,
            restarts: 0,
        });
        self.begin_reading(moment);
        self.round.take_if(|round| round.is_done());
        self.round.as_ref().map_or(Next::CaughtUp, |round| self.request(round))
    }

    fn read(&mut self, answer: &[u8]) -> Result<Page, BadAnswer> {
        match self.round.as_ref().and_then(|round| round.reading.as_ref()) {
            None => self.read_detectors(answer),
            Some(reading) if reading.ids.is_empty() => self.read_findings(answer),
            Some(_) => self.read_details(answer),
        }
    }

    /// Reacts to a page token that is no longer valid: the findings are listed from the read position on. Or to refused
    /// details: fewer of them.
    fn refused(&mut self, error: &Error) -> bool {
        let is_wrong = matches!(error.kind(), Kind::BadRequest | Kind::NotFound);
        let Some(round) = self.round.as_mut().filter(|_| is_wrong) else { return false };
        match &mut round.reading {
            Some(reading) if !reading.ids.is_empty() => reading.split(),
            Some(reading) => {
                let token = reading.token.take();
                reading.list_again();
                begin_anew(token, &mut round.restarts)
            }
            None => begin_anew(round.token.take(), &mut round.restarts),
        }
    }

    fn reads_items(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.reading.is_some())
    }

    /// Passes over one bad finding, else the detector. A detector's unreadable findings are bounded: beyond that its
    /// checkpoint stays.
    fn leave_out(&mut self, error: &Error) -> Option<String> {
        let round = self.round.as_mut()?;
        let mut reading = round.reading.take()?;
        let refused = self.refused.entry(reading.detector.clone()).or_default();
        let is_wrong = matches!(error.kind(), Kind::BadRequest | Kind::NotFound);
        let finding = reading.ids.pop().filter(|_| is_wrong && reading.ids.is_empty());
        let Some(finding) = finding.filter(|id| refused.contains(id) || refused.len() < FINDINGS_PER_CALL)
        else {
            self.refused.retain(|_, refused| !refused.is_empty());
            self.mark = Some(self.end_if_done(Progress::default()));
            return Some(format!("detector {} in {}", reading.detector, self.region));
        };
        if !refused.contains(&finding) {
            refused.push(finding.clone());
        }
        let name = format!("finding {finding} of detector {} in {}", reading.detector, self.region);
        round.reading = Some(reading);
        self.mark = Some(self.go_on());
        Some(name)
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

fn event(finding: guardduty::Finding, present: i64) -> Event {
    let guardduty::Finding { id, updated, json } = finding;
    let key = match updated {
        Some(updated) => Seen { id: fingerprint(&format!("{id}\0{updated}")), time: updated },
        None => Seen { id: fingerprint(&json), time: present },
    };
    Event { key: Some(key), id: Some(id).filter(|id| !id.is_empty()), body: json.into_bytes() }
}

fn lateness() -> i64 {
    FINDING_LATENESS.as_millis() as i64
}

#[cfg(test)]
#[path = "guardduty/tests.rs"]
mod tests;
