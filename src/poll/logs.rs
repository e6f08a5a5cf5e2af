//! CloudWatch Logs: the events of one log group, or of all.
//!
//! In rounds: the groups are listed, page by page, and each is read up to the present, all its streams together, so
//! that new streams are found and their number costs no memory. Events may come late: a group's next reading begins
//! some minutes before the end of the last one, and what is read twice is told by its eventId. A backlog is read in
//! slices of time, each a checkpoint: large where there is little, small where there is much, so that what is
//! remembered of one slice is bounded. All times are milliseconds since 1970.

use std::collections::{BTreeMap, HashSet, VecDeque};

use jiff::Timestamp;
use serde::Serialize;

use super::paging::{begin_anew, follow};
use super::source::{Event, Next, Page, Progress, Source, from_millis};
use crate::aws::logs::{self, Filter, Named};
use crate::aws::request::Address;
use crate::aws::{Error, Kind};
use crate::config;
use crate::ledger::{Seen, fingerprint};
use crate::limits::{
    LOG_LATENESS, LOG_NAMES_PER_PAGE, LOG_SLICE_EVENTS, LOG_SLICE_FIRST, LOG_SLICE_MIN,
    LOG_STREAMS_FRONT_MAX, LOG_STREAMS_LAG, LOG_STREAMS_PER_CALL, POLL_SEEN_MAX,
};

/// One region's log groups.
#[derive(Debug)]
pub struct Logs {
    settings: config::Logs,
    endpoint: String,
    region: String,
    /// Where the reading of a group begins that is not known yet. None: at the first request.
    began: Option<i64>,
    /// By group: where its next reading begins.
    next: BTreeMap<String, i64>,
    /// By group: a first retrieval by streams that has not come to its end.
    begun: BTreeMap<String, Begun>,
    round: Option<Round>,
    /// The round has ended, and nobody was told yet.
    caught_up: bool,
    /// Since the last start: what was remembered of a slice before that is needed until its group has had its turn.
    first_round: bool,
    /// How much is read again, less where so much comes that repeats could not be told.
    late: i64,
    /// How far all groups have been read, if that is news.
    reached: Option<i64>,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Round {
    /// The present, when it began.
    to: i64,
    /// Groups of the page that was listed last, still to be read.
    groups: VecDeque<String>,
    token: Option<String>,
    listed: bool,
    reading: Option<Reading>,
    /// Events that may be read again.
    keyed: usize,
    /// Page tokens that were refused.
    restarts: u32,
}

/// How far a first retrieval by streams is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begun {
    /// It reads up to there.
    to: i64,
    /// Streams with a later last event have been read, but for those that may have got it since.
    read_down_to: i64,
}

/// A group that is being read.
#[derive(Debug)]
struct Reading {
    group: String,
    /// Both ends of the slice that is being read.
    from: i64,
    to: i64,
    /// Pages and events of the slice so far.
    pages: i64,
    events: usize,
    token: Option<String>,
    /// The first retrieval, by streams.
    streams: Option<Streams>,
}

/// Those that hold something, the one with the latest event first. A stream that gets an event while they are listed
/// moves to the front, past the page that is asked for next: so the front is listed again, until nothing new is there.
#[derive(Debug, Default)]
struct Streams {
    /// Listed, and not read yet.
    names: Vec<String>,
    token: Option<String>,
    listed: bool,
    /// Of the first on the page that was listed last: its last event.
    down_to: i64,
    /// What an earlier process has read.
    begun: Option<Begun>,
    /// Pages of this listing.
    pages: u32,
    /// This listing is of the front only …
    again: bool,
    /// … and has found some that had been missed.
    missed: bool,
    /// Those at the front, by their names' fingerprints: they need not be read again.
    front: HashSet<u64>,
}

/// What is sent. The names are those of CloudWatch's subscriptions.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    log_group: &'a str,
    log_stream: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingestion_time: Option<i64>,
    message: &'a str,
}

impl Logs {
    /// `endpoint`: of CloudWatch Logs in the region.
    pub fn new(settings: config::Logs, endpoint: String, region: String) -> Logs {
        Logs {
            settings,
            endpoint,
            region,
            began: None,
            next: BTreeMap::new(),
            begun: BTreeMap::new(),
            round: None,
            caught_up: false,
            first_round: true,
            late: lateness(),
            reached: None,
            notes: Vec::new(),
        }
    }

    fn begin_round(&self, now: Timestamp) -> Round {
        let only = self.settings.group.clone();
        Round {
            to: now.as_millisecond(),
            listed: only.is_some(),
            groups: only.into_iter().collect(),
            token: None,
            reading: None,
            keyed: 0,
            restarts: 0,
        }
    }

    /// The next group, if one waits.
    fn begin_reading(&mut self) {
        let Some(round) = self.round.as_mut().filter(|round| round.reading.is_none()) else { return };
        let Some(group) = round.groups.pop_front() else { return };
        let known = self.next.get(&group).copied();
        let from = known.or(self.began).unwrap_or(round.to).min(round.to);
        let by_streams = known.is_none() && self.settings.first_by_streams;
        if by_streams {
            self.notes.push(format!("Optimized first retrieval of {group}: only streams with events"));
        }
        let begun = self.begun.get(&group).copied();
        // Where all have been read, some may have moved to the front since.
        let again = begun.is_some_and(|begun| begun.read_down_to == 0);
        let streams = by_streams.then(|| Streams { begun, again, ..Streams::default() });
        // Streams cannot be cut by time: that would list them for each slice anew.
        let by_streams_to = begun.map_or(round.to, |begun| begun.to);
        let to = if by_streams { by_streams_to } else { round.to.min(from + first_slice()) };
        round.reading = Some(Reading { group, from, to, pages: 0, events: 0, token: None, streams });
    }

    fn request(&self, round: &Round) -> Next {
        let resource = round.reading.as_ref().map_or("all log groups", |reading| &reading.group);
        let address = Address { endpoint: &self.endpoint, region: &self.region, resource };
        Next::Call(Box::new(match &round.reading {
            None => logs::groups(&address, round.token.as_deref()),
            Some(Reading { group, streams: Some(streams), .. }) if streams.want_more() => {
                logs::streams(&address, group, streams.token.as_deref())
            }
            Some(Reading { group, from, to, token, streams, .. }) => {
                let streams = streams.as_ref().map_or(&[] as &[String], |streams| &streams.names);
                let filter = Filter { group, streams, from: *from, to: *to, token: token.as_deref() };
                logs::events(&address, &filter)
            }
        }))
    }

    fn read_groups(&mut self, answer: &[u8]) -> Result<Page, serde_json::Error> {
        let page = logs::read_groups(answer)?;
        if let Some(round) = &mut self.round {
            follow(&mut round.token, page.token)?;
            round.listed = round.token.is_none();
            round.groups.extend(page.names.into_iter().map(|group| group.name));
        }
        self.end_if_done();
        Ok(Page::default())
    }

    fn read_streams(&mut self, answer: &[u8]) -> Result<Page, serde_json::Error> {
        let page = logs::read_streams(answer)?;
        let Some(round) = &mut self.round else { return Ok(Page::default()) };
        let Some(Reading { from, to, streams: Some(streams), .. }) = &mut round.reading else {
            return Ok(Page::default());
        };
        follow(&mut streams.token, page.token)?;
        streams.take(page.names, *from, *to);
        let progress = if streams.names.is_empty() { self.end_slice() } else { Progress::default() };
        Ok(Page { progress, ..Page::default() })
    }

    fn read_events(&mut self, answer: &[u8]) -> Result<Page, serde_json::Error> {
        let page = logs::read_events(answer)?;
        let Some(round) = &mut self.round else { return Ok(Page::default()) };
        let Some(reading) = &mut round.reading else { return Ok(Page::default()) };
        follow(&mut reading.token, page.token)?;
        reading.events += page.events.len();
        // From there on the next reading begins.
        let edge = reading.streams.as_ref().map_or(round.to, |_| reading.to) - self.late;
        let of_slice = of_slice(round.to, reading.pages);
        reading.pages += 1;
        let time = |at: i64| if at >= edge { at } else { of_slice };
        let events = page.events.iter().map(|event| line(&reading.group, event, time(event.timestamp)));
        let events = events.collect::<Result<Vec<_>, _>>()?;
        round.keyed += page.events.iter().filter(|event| event.timestamp >= edge).count();
        let progress = if reading.token.is_none() { self.end_slice() } else { Progress::default() };
        Ok(Page { events, progress, ..Page::default() })
    }

    /// A slice has been read, or the events of some streams.
    fn end_slice(&mut self) -> Progress {
        let Some(round) = &mut self.round else { return Progress::default() };
        let Some(mut reading) = round.reading.take() else { return Progress::default() };
        if reading.streams.as_mut().is_some_and(Streams::go_on) {
            let progress = reading.progress_by_streams();
            round.reading = Some(reading);
            return progress;
        }
        let began = self.next.get(&reading.group).copied().or(self.began).unwrap_or(reading.from);
        let (present, edge) = (round.to, round.to - self.late);
        // By streams it may have taken long: what came late may be missing from its end on.
        let by_streams = reading.streams.take().is_some();
        let behind = if by_streams { reading.to - self.late } else { reading.to + 1 };
        let next = edge.min(behind).max(began);
        self.next.insert(reading.group.clone(), next);
        let mut checkpoints = vec![(reading.group.clone(), next.to_string())];
        if by_streams {
            self.begun.remove(&reading.group);
            checkpoints.push((streams_of(&reading.group), "read".to_owned()));
        }
        if reading.to < present && by_streams {
            round.groups.push_front(reading.group);
        } else if reading.to < present {
            reading.begin_slice(present);
            round.reading = Some(reading);
        }
        let oldest = self.next.values().min().copied();
        // In the first round there may be groups that are not known yet.
        self.reached = oldest.filter(|_| !self.first_round || self.settings.group.is_some());
        self.end_if_done();
        let forget_before = if self.first_round { Some(of_slice(present, i64::MAX) + 1) } else { oldest };
        Progress { checkpoints, forget_before, ..Progress::default() }
    }

    fn end_if_done(&mut self) {
        let ended = |round: &mut Round| round.listed && round.groups.is_empty() && round.reading.is_none();
        if let Some(round) = self.round.take_if(ended) {
            (self.caught_up, self.first_round, self.reached) = (true, false, Some(round.to));
            self.adapt(round.keyed);
        }
    }

    /// No more is read again than repeats can be told of.
    fn adapt(&mut self, keyed: usize) {
        if keyed > POLL_SEEN_MAX / 4 {
            self.late /= 2;
        } else if keyed < POLL_SEEN_MAX / 16 {
            self.late = (self.late * 2).clamp(1000, lateness());
        }
    }

    /// The group that is being read cannot be: the others go on.
    fn leave_out(&mut self, error: &Error) -> bool {
        let Some(reading) = self.round.as_mut().and_then(|round| round.reading.take()) else { return false };
        if *error.kind() == Kind::NotFound {
            self.next.remove(&reading.group);
        }
        self.notes.push(format!("the log group {} is left out this time: {error}", reading.group));
        self.end_if_done();
        true
    }
}

impl Source for Logs {
    fn resume(&mut self, checkpoints: &BTreeMap<String, String>) {
        let time = |value: &String| value.parse::<i64>().ok();
        self.began = checkpoints.get("").and_then(time);
        let groups = checkpoints.iter().filter(|(part, _)| !part.is_empty());
        self.next = groups.clone().filter_map(|(group, value)| Some((group.clone(), time(value)?))).collect();
        self.begun =
            groups.filter_map(|(part, value)| Some((group_of(part)?, Begun::read(value)?))).collect();
        (self.round, self.caught_up, self.first_round) = (None, false, true);
        self.reached = self.next.values().min().copied().or(self.began);
    }

    fn next(&mut self, now: Timestamp) -> Next {
        if std::mem::take(&mut self.caught_up) {
            return Next::CaughtUp;
        }
        if self.began.is_none() {
            let began = *self.began.insert(self.settings.start_time.unwrap_or(now).as_millisecond());
            // Recorded at once, as for every source.
            return Next::Mark(Progress { reached: from_millis(began), ..Progress::up_to(began) });
        }
        if self.began.is_some_and(|began| began > now.as_millisecond()) {
            return Next::CaughtUp;
        }
        if self.round.is_none() {
            self.round = Some(self.begin_round(now));
        }
        self.begin_reading();
        self.round.as_ref().map_or(Next::CaughtUp, |round| self.request(round))
    }

    fn read(&mut self, answer: &[u8]) -> Result<Page, serde_json::Error> {
        let mut page = match self.round.as_ref().and_then(|round| round.reading.as_ref()) {
            None => self.read_groups(answer),
            Some(Reading { streams: Some(streams), .. }) if streams.want_more() => self.read_streams(answer),
            Some(_) => self.read_events(answer),
        }?;
        page.progress.reached = self.reached.take().and_then(from_millis);
        Ok(page)
    }

    /// A page token that is no longer good: its list, or its slice, begins anew. A group that has gone, or that is not allowed, does not keep the others.
    fn refused(&mut self, error: &Error) -> bool {
        let one_of_all = self.settings.group.is_none();
        match error.kind() {
            Kind::NotFound | Kind::Denied if one_of_all => self.leave_out(error),
            Kind::BadRequest => self.round.as_mut().is_some_and(Round::drop_token),
            _ => false,
        }
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

impl Reading {
    /// Which streams have been read, as far as it is worth being known.
    fn progress_by_streams(&self) -> Progress {
        let Some(streams) = &self.streams else { return Progress::default() };
        let read_down_to = if streams.again { 0 } else { streams.down_to };
        if streams.begun.is_some_and(|begun| begun.read_down_to <= read_down_to) {
            return Progress::default();
        }
        let value = format!("{} {read_down_to}", self.to);
        Progress { checkpoints: vec![(streams_of(&self.group), value)], ..Progress::default() }
    }

    /// Goes on behind the slice, with one for as many events as are wanted, judging by this one. Pages tell nothing:
    /// of a group with very many streams CloudWatch gives thousands of empty ones, however short the slice.
    fn begin_slice(&mut self, to: i64) {
        let span = (self.to - self.from + 1).max(1);
        let events = i64::try_from(self.events.max(1)).unwrap_or(i64::MAX);
        let wanted = span.saturating_mul(LOG_SLICE_EVENTS as i64) / events;
        self.from = self.to + 1;
        self.to = to.min(self.from + wanted.clamp(LOG_SLICE_MIN.as_millis() as i64, 4 * span));
        (self.pages, self.events) = (0, 0);
    }
}

impl Streams {
    /// Takes a page of them: those that may hold something from `from` on. `present`: when the round began.
    fn take(&mut self, page: Vec<Named>, from: i64, present: i64) {
        // What CloudWatch says of a stream's last event may be late by so much.
        let lag = LOG_STREAMS_LAG.as_millis() as i64;
        let (oldest, front) = (from.saturating_sub(lag), present.saturating_sub(lag));
        let oldest = if self.again { oldest.max(front) } else { oldest };
        let is_from = |time: i64| move |stream: &Named| stream.last_event.is_some_and(|last| last >= time);
        self.pages += 1;
        self.listed = self.token.is_none() || !page.iter().all(is_from(oldest));
        self.down_to = page.first().and_then(|stream| stream.last_event).unwrap_or(self.down_to);
        let is_read = |stream: &Named| {
            let begun = self.begun.filter(|_| !is_from(front)(stream));
            begun.is_some_and(|begun| stream.last_event.is_some_and(|last| last > begun.read_down_to))
        };
        let wanted: Vec<Named> =
            page.into_iter().filter(|stream| is_from(oldest)(stream) && !is_read(stream)).collect();
        for stream in wanted {
            let mark = mark_of(&stream.name);
            if self.front.contains(&mark) {
                continue;
            }
            // Those that cannot be told from each other are read with each listing, and are no reason for another.
            let is_told = self.front.len() < LOG_STREAMS_FRONT_MAX;
            self.missed |= self.again && is_told;
            if is_told && is_from(front)(&stream) {
                self.front.insert(mark);
            }
            self.names.push(stream.name);
        }
    }

    /// Those at hand have been read. False: and so have all others.
    fn go_on(&mut self) -> bool {
        self.names.clear();
        if !self.listed {
            return true;
        }
        // On a single page they were all where they were.
        let may_have_moved = self.pages > 1 && (!self.again || self.missed);
        (self.listed, self.again, self.missed, self.pages) = (!may_have_moved, true, false, 0);
        may_have_moved
    }

    /// The listing begins anew, and with it those at hand.
    fn drop_token(&mut self) -> Option<String> {
        for name in self.names.drain(..) {
            self.front.remove(&mark_of(&name));
        }
        self.pages = 0;
        self.token.take()
    }

    /// One more page of them can be read with the same call.
    fn want_more(&self) -> bool {
        !self.listed && self.names.len() + LOG_NAMES_PER_PAGE as usize <= LOG_STREAMS_PER_CALL
    }
}

impl Round {
    /// Drops the token of the list that is being read.
    fn drop_token(&mut self) -> bool {
        let token = match &mut self.reading {
            None => self.token.take(),
            Some(Reading { streams: Some(streams), .. }) if streams.want_more() => streams.drop_token(),
            Some(reading) => reading.token.take(),
        };
        begin_anew(token, &mut self.restarts)
    }
}

impl Begun {
    /// As [`Reading::progress_by_streams`] writes it.
    fn read(value: &str) -> Option<Begun> {
        let (to, read_down_to) = value.split_once(' ')?;
        Some(Begun { to: to.parse().ok()?, read_down_to: read_down_to.parse().ok()? })
    }
}

/// The checkpoint's part of a group that is read by streams. A group's name has no blank.
fn streams_of(group: &str) -> String {
    format!("{group} (streams)")
}

fn group_of(part: &str) -> Option<String> {
    part.strip_suffix(" (streams)").map(str::to_owned)
}

fn mark_of(stream: &str) -> u64 {
    fingerprint(stream) as u64
}

/// The event as it is sent, and how long it is to be remembered (see [`of_slice`]).
fn line(group: &str, event: &logs::Event, time: i64) -> Result<Event, serde_json::Error> {
    let body = serde_json::to_vec(&Line {
        log_group: group,
        log_stream: &event.stream,
        id: event.id.as_deref(),
        timestamp: event.timestamp,
        ingestion_time: event.ingestion_time,
        message: &event.message,
    })?;
    let key = event.id.as_ref().map(|id| Seen { id: fingerprint(&format!("{group}\0{id}")), time });
    Ok(Event { key, body })
}

/// Instead of its own time, that of an event which is to be told from others only until its slice is delivered:
/// before that of any event, and before that of what an earlier process remembered of its slice. Those of earlier
/// pages come first, so that they go first where there are too many.
fn of_slice(round: i64, page: i64) -> i64 {
    const PAGES: i64 = 1 << 20;
    (PAGES - 1).min(page) - round.saturating_add(1).saturating_mul(PAGES)
}

fn first_slice() -> i64 {
    LOG_SLICE_FIRST.as_millis() as i64
}

fn lateness() -> i64 {
    LOG_LATENESS.as_millis() as i64
}

#[cfg(test)]
#[path = "logs/tests.rs"]
mod tests;
