//! CloudWatch Logs: the events of one log group, or of all.
//!
//! In rounds: the groups are listed, page by page, and each is read up to the present, all its streams together, so
//! that new streams are found and their number costs no memory. Events may come late: a group's next reading begins
//! some minutes before the end of the last one, and repeats are recognized by their eventId. A backlog is read in
//! slices of time, each a checkpoint: long where there is little, short where there is much, so that the remembered
//! part of one slice is bounded. Inside a slice, and inside the list of groups, page tokens are checkpoints. All times
//! are milliseconds since 1970.

mod place;
mod streams;

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::Serialize;

use super::moment::{GoOn, Moment};
use super::paging::{Circle, begin_anew, follow, rewound};
use super::place::{place_text, read_place};
use super::source::{BadAnswer, Event, LeftOut, Next, Page, PageSource, Progress, from_millis};
use crate::aws::logs::{self, Filter};
use crate::aws::request::Address;
use crate::aws::{Error, Kind, Unusable};
use crate::base::limits::{LOG_LATENESS, LOG_SLICE_EVENTS, LOG_SLICE_FIRST, LOG_SLICE_MIN, POLL_SEEN_MAX};
use crate::base::text::fingerprint;
use crate::ledger::Seen;
use crate::settings;
use place::{LIST, ListPlace, Place};
use streams::Streams;

/// One region's log groups.
#[derive(Debug)]
pub struct Logs {
    settings: settings::Logs,
    endpoint: String,
    region: String,
    /// The start of reading for a new group. None at the first request.
    began: Option<i64>,
    /// By group: the start of its next reading.
    next: BTreeMap<String, i64>,
    /// By group: an earlier process's position inside a slice.
    places: BTreeMap<String, Place>,
    /// An earlier process's position in the list of groups.
    list: Option<ListPlace>,
    round: Option<Round>,
    /// The progress from passing over an item, to be recorded next.
    mark: Option<Progress>,
    /// The round has ended, which has not been reported yet.
    caught_up: bool,
    /// Since the last start: events of an earlier slice are needed until their group has had its turn.
    first_round: bool,
    /// The time range that is read again, shortened if so many events come that repeats could not be recognized.
    late: i64,
    /// How far all groups have been read, if that is news.
    reached: Option<i64>,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Round {
    /// The time when it began.
    to: i64,
    /// Remaining groups of the last listed page.
    groups: VecDeque<String>,
    /// Their page of the list.
    page: Option<String>,
    /// The next page.
    token: Option<String>,
    circle: Circle,
    listed: bool,
    /// An earlier process read the groups up to this one.
    after: Option<String>,
    reading: Option<Reading>,
    /// Events that may be read again.
    keyed: usize,
    /// Number of refused page tokens.
    restarts: u32,
}

/// The current group.
#[derive(Debug)]
struct Reading {
    group: String,
    /// Both ends of the current slice.
    from: i64,
    to: i64,
    /// When the slice was started.
    present: i64,
    /// Pages and events of the slice so far.
    pages: i64,
    events: usize,
    token: Option<String>,
    circle: Circle,
    /// The first retrieval, by streams.
    streams: Option<Streams>,
    /// An earlier process's position, while its validity is unknown.
    place: Option<Place>,
    /// A checkpoint exists for a position inside the slice.
    has_place: bool,
}

/// The sent event. The names are those of CloudWatch's subscriptions.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    log_group: &'a str,
    log_stream: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingestion_time: Option<i64>,
    message: &'a str,
}

impl Logs {
    /// `endpoint` is CloudWatch Logs' in the region.
    pub fn new(settings: settings::Logs, endpoint: String, region: String) -> Logs {
        Logs {
            settings,
            endpoint,
            region,
            began: None,
            next: BTreeMap::new(),
            places: BTreeMap::new(),
            list: None,
            round: None,
            mark: None,
            caught_up: false,
            first_round: true,
            late: lateness(),
            reached: None,
            notes: Vec::new(),
        }
    }

    fn begin_round(&mut self, now: Timestamp) -> Round {
        let only = self.settings.group.clone();
        let ListPlace { token, after } = self.list.take().unwrap_or_default();
        Round {
            to: now.as_millisecond(),
            listed: only.is_some(),
            groups: only.into_iter().collect(),
            page: token.clone(),
            token,
            circle: Circle::default(),
            after: Some(after),
            reading: None,
            keyed: 0,
            restarts: 0,
        }
    }

    /// The next group, if one waits and its time has come.
    fn begin_reading(&mut self, moment: &Moment) {
        let Some(round) = self.round.as_mut().filter(|round| round.reading.is_none()) else { return };
        let Some(group) = round.groups.pop_front() else { return };
        let to = round.to;
        if let Some(next) = self.next.get_mut(&group) {
            let position = from_millis(*next).unwrap_or(Timestamp::MAX);
            match moment.go_on(position, self.settings.start_time, LOG_LATENESS) {
                GoOn::There => (),
                GoOn::Later => return self.begin_reading(moment),
                GoOn::Back(to) => {
                    self.notes
                        .push(format!("the checkpoint of {group} is in the future; reading resumes at {to}"));
                    *next = to.as_millisecond();
                }
            }
        }
        let known = self.next.get(&group).copied();
        let from = known.or(self.began).unwrap_or(to).min(to);
        let by_streams = known.is_none() && self.settings.first_by_streams;
        let is_good =
            |place: &Place| place.from == from && place.to <= to && (by_streams || place.streams.is_none());
        let reading = match self.places.remove(&group).filter(is_good) {
            Some(place) => Reading::at(group, place),
            None if by_streams => {
                self.notes.push(format!("Optimized first retrieval of {group}: only streams with events"));
                // Streams are not sliced by time: that would list them for each slice.
                Reading::new(group, from, to, to, Some(Streams::default()))
            }
            None => Reading::new(group, from, to.min(from + first_slice()), to, None),
        };
        if let Some(round) = &mut self.round {
            round.reading = Some(reading);
        }
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

    fn read_groups(&mut self, answer: &[u8]) -> Result<Page, BadAnswer> {
        let page = logs::read_groups(answer)?;
        let Some(round) = &mut self.round else { return Ok(Page::default()) };
        let this_page = round.token.clone();
        follow(&mut round.token, &mut round.circle, page.token)?;
        round.page = this_page;
        round.listed = round.token.is_none();
        let goes_on = page.names.is_empty() && !round.listed;
        let after = round.after.take().unwrap_or_default();
        let begin = page.names.iter().position(|group| group.name == after).map_or(0, |at| at + 1);
        let shard = self.settings.shard;
        let own = page.names.into_iter().skip(begin).filter(|group| is_in(shard, &group.name));
        let (refusing, groups): (Vec<_>, Vec<_>) = own.partition(logs::Named::cannot_be_filtered);
        round.groups.extend(groups.into_iter().map(|group| group.name));
        let left_out = refusing.into_iter().map(|group| LeftOut {
            why: format!(
                "FilterLogEvents does not support groups of the class {}",
                group.class.unwrap_or_default()
            ),
            item: format!("log group {}", group.name),
        });
        Ok(Page {
            goes_on,
            left_out: left_out.collect(),
            progress: self.end_if_done(Progress::default()),
            ..Page::default()
        })
    }

    fn read_streams(&mut self, answer: &[u8]) -> Result<Page, BadAnswer> {
        let page = logs::read_streams(answer)?;
        let Some(round) = &mut self.round else { return Ok(Page::default()) };
        let Some(reading) = &mut round.reading else { return Ok(Page::default()) };
        let Some(streams) = &mut reading.streams else { return Ok(Page::default()) };
        follow(&mut streams.token, &mut streams.circle, page.token)?;
        let goes_on = page.names.is_empty() && streams.token.is_some();
        streams.take(page.names, reading.from);
        if streams.want_more() {
            return Ok(Page { goes_on, ..Page::default() });
        }
        reading.find_place();
        let is_empty = reading.streams.as_ref().is_some_and(|streams| streams.names.is_empty());
        let progress = if is_empty { self.end_slice() } else { Progress::default() };
        Ok(Page { progress, ..Page::default() })
    }

    fn read_events(&mut self, answer: &[u8]) -> Result<Page, BadAnswer> {
        let page = logs::read_events(answer)?;
        let Some(round) = &mut self.round else { return Ok(Page::default()) };
        let Some(reading) = &mut round.reading else { return Ok(Page::default()) };
        follow(&mut reading.token, &mut reading.circle, page.token)?;
        reading.events += page.events.len();
        // The next reading begins there.
        let edge = reading.edge(self.late);
        let of_slice = of_slice(round.to, reading.pages);
        reading.pages += 1;
        // An event with an unreadable time may be read again.
        let present = round.to;
        let at = |event: &logs::Event| event.timestamp.unwrap_or(present);
        let time = |at: i64| if at >= edge { at } else { of_slice };
        round.keyed += page.events.iter().filter(|event| at(event) >= edge).count();
        let events = page.events.into_iter().map(|event| {
            let time = time(at(&event));
            line(&reading.group, event, time)
        });
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let place = format!("log group {}", reading.group);
        let goes_on = reading.token.is_some();
        let progress = if goes_on { reading.progress() } else { self.end_slice() };
        Ok(Page { events, place, goes_on, progress, ..Page::default() })
    }

    /// Ends a slice, or the events of some streams.
    fn end_slice(&mut self) -> Progress {
        let Some(round) = &mut self.round else { return Progress::default() };
        let Some(mut reading) = round.reading.take() else { return Progress::default() };
        if reading.streams.as_mut().is_some_and(Streams::go_on) {
            let progress = reading.progress();
            round.reading = Some(reading);
            return progress;
        }
        let began = self.next.get(&reading.group).copied().or(self.began).unwrap_or(reading.from);
        let (present, edge) = (round.to, reading.edge(self.late));
        let by_streams = reading.streams.take().is_some();
        let next = edge.min(reading.to + 1).max(began);
        self.next.insert(reading.group.clone(), next);
        let mut checkpoints = vec![(reading.group.clone(), next.to_string())];
        if reading.has_place {
            checkpoints.push((place::part(&reading.group), String::new()));
        }
        if reading.to < present && by_streams {
            round.groups.push_front(reading.group);
        } else if reading.to < present {
            // Late events of a slice that was started long ago are read with the next one.
            let from = if reading.present < present { next } else { reading.to + 1 };
            reading.begin_slice(from, present);
            round.reading = Some(reading);
        } else {
            checkpoints.extend(round.place_after(reading.group));
        }
        let oldest = self.next.values().min().copied();
        // In the first round there may be unknown groups.
        self.reached = oldest.filter(|_| !self.first_round || self.settings.group.is_some());
        let forget_before = if self.first_round { Some(of_slice(present, i64::MAX) + 1) } else { oldest };
        self.end_if_done(Progress { checkpoints, forget_before, ..Progress::default() })
    }

    fn end_if_done(&mut self, mut progress: Progress) -> Progress {
        if let Some(round) = self.round.take_if(|round| round.is_done()) {
            (self.caught_up, self.first_round, self.reached) = (true, false, Some(round.to));
            self.adapt(round.keyed);
            if self.settings.group.is_none() {
                progress.checkpoints.push((LIST.to_owned(), String::new()));
            }
        }
        progress
    }

    /// No more is read again than repeats can be recognized.
    fn adapt(&mut self, keyed: usize) {
        if keyed > POLL_SEEN_MAX / 4 {
            self.late /= 2;
        } else if keyed < POLL_SEEN_MAX / 16 {
            self.late = (self.late * 2).clamp(1000, lateness());
        }
    }

    /// Searches all streams of the group instead of naming them, so that none of them blocks the group.
    fn read_without_streams(&mut self) -> bool {
        let Some(round) = &mut self.round else { return false };
        let to = round.to;
        let Some(reading) = round.reading.as_mut().filter(|reading| reading.streams.is_some()) else {
            return false;
        };
        self.notes.push(format!(
            "{}: its streams cannot be read by name, so all of them are searched",
            reading.group
        ));
        let (group, from) = (std::mem::take(&mut reading.group), reading.from);
        *reading = Reading::new(group, from, to.min(from + first_slice()), to, None);
        true
    }
}

impl PageSource for Logs {
    fn resume(&mut self, checkpoints: &BTreeMap<String, String>) {
        let time = |value: &String| value.parse::<i64>().ok();
        self.began = checkpoints.get("").and_then(time);
        let groups = checkpoints.iter().filter(|(part, _)| !part.is_empty());
        self.next = groups.filter_map(|(group, value)| Some((group.clone(), time(value)?))).collect();
        self.places = place::places(checkpoints);
        self.list = checkpoints.get(LIST).and_then(|value| read_place(value));
        (self.round, self.mark, self.caught_up, self.first_round) = (None, None, false, true);
        self.reached = self.next.values().min().copied().or(self.began);
    }

    /// Takes over how far other divisions of the same groups have read: each group was read by one of them at a time.
    fn inherit(&self, own: &mut BTreeMap<String, String>, others: &BTreeMap<String, String>) -> bool {
        let time = |value: &String| value.parse::<i64>().ok();
        let before = own.clone();
        for (part, value) in others.iter().filter(|(part, _)| !part.contains(' ')) {
            let Some(theirs) = time(value) else { continue };
            let known = own.get(part).and_then(time);
            let is_news = match part.as_str() {
                // When it began to read: a group that nobody has read yet begins there.
                "" => known.is_none_or(|known| theirs < known),
                group => is_in(self.settings.shard, group) && known.is_none_or(|known| theirs > known),
            };
            if is_news {
                own.insert(part.clone(), value.clone());
            }
        }
        *own != before
    }

    fn can_read(&self, part: &str, value: &str) -> bool {
        // A group's name has no blank.
        part.contains(' ') || value.parse::<i64>().is_ok()
    }

    fn rewind(&mut self, moment: &Moment) -> Progress {
        let latest = moment.latest(self.settings.start_time, LOG_LATENESS).as_millisecond();
        let mut checkpoints = rewound(&mut self.next, latest);
        let too_far = self.places.extract_if(.., |_, place| place.present > latest);
        checkpoints.extend(too_far.map(|(group, _)| (place::part(&group), String::new())));
        if let Some(began) = self.began.as_mut().filter(|began| **began > latest) {
            *began = latest;
            checkpoints.push((String::new(), latest.to_string()));
        }
        // Groups that were read in this round count as unread.
        checkpoints.extend(self.list.take().map(|_| (LIST.to_owned(), String::new())));
        Progress { checkpoints, ..Progress::default() }
    }

    fn next(&mut self, moment: &Moment) -> Next {
        let now = moment.now;
        if let Some(progress) = self.mark.take() {
            return Next::Mark(progress);
        }
        if std::mem::take(&mut self.caught_up) {
            return Next::CaughtUp;
        }
        if self.began.is_none() {
            let began = *self.began.insert(self.settings.start_time.unwrap_or(now).as_millisecond());
            // Recorded at once, as for every source.
            return Next::Mark(Progress { reached: from_millis(began), ..Progress::up_to(began) });
        }
        let began = self.began.and_then(from_millis).unwrap_or(now);
        match moment.go_on(began, self.settings.start_time, LOG_LATENESS) {
            GoOn::There => (),
            GoOn::Later => return Next::CaughtUp,
            GoOn::Back(to) => self.began = Some(to.as_millisecond()),
        }
        if self.round.is_none() {
            self.round = Some(self.begin_round(now));
        }
        self.begin_reading(moment);
        // If the time of the last groups has not come.
        self.round.take_if(|round| round.is_done());
        self.round.as_ref().map_or(Next::CaughtUp, |round| self.request(round))
    }

    fn read(&mut self, answer: &[u8]) -> Result<Page, BadAnswer> {
        let mut page = match self.round.as_ref().and_then(|round| round.reading.as_ref()) {
            None => self.read_groups(answer),
            Some(Reading { streams: Some(streams), .. }) if streams.want_more() => self.read_streams(answer),
            Some(_) => self.read_events(answer),
        }?;
        page.progress.reached = self.reached.take().and_then(from_millis);
        Ok(page)
    }

    /// Reacts to a page token that is no longer valid: its list, or its slice, restarts. Or to refused streams (one of
    /// them may be gone): all streams of the group are searched, without naming them.
    fn refused(&mut self, error: &Error) -> bool {
        let may_be_the_token = *error.kind() == Kind::BadRequest;
        if self.round.is_none() {
            // It was resumed.
            self.list = None;
        }
        match self.round.as_mut().filter(|round| may_be_the_token && round.has_token()) {
            Some(round) => round.drop_token(),
            None => error.may_be_of_item() && self.read_without_streams(),
        }
    }

    fn reads_items(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.reading.is_some())
    }

    /// The group, unless it is the only one.
    fn leave_out(&mut self, error: &Error) -> Option<String> {
        let one_of_all = self.settings.group.is_none();
        let round = self.round.as_mut()?;
        let reading = round.reading.take_if(|_| one_of_all)?;
        if *error.kind() == Kind::NotFound {
            self.next.remove(&reading.group);
        } else {
            self.places.insert(reading.group.clone(), reading.place());
        }
        let checkpoints = round.place_after(reading.group.clone()).into_iter().collect();
        self.mark = Some(self.end_if_done(Progress { checkpoints, ..Progress::default() }));
        Some(format!("log group {}", reading.group))
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

impl Reading {
    fn new(group: String, from: i64, to: i64, present: i64, streams: Option<Streams>) -> Reading {
        let (pages, events, token, circle) = (0, 0, None, Circle::default());
        let (place, has_place) = (None, false);
        Reading { group, from, to, present, pages, events, token, circle, streams, place, has_place }
    }

    /// Resumes at an earlier process's position.
    fn at(group: String, place: Place) -> Reading {
        let streams = place.streams.as_ref().map(Streams::at);
        let token = place.token.clone().filter(|_| streams.is_none());
        let begun = Reading::new(group, place.from, place.to, place.present, streams);
        Reading { token, place: Some(place), has_place: true, ..begun }
    }

    /// The time up to which all events existed when the reading began. By streams it may take long: late events may be
    /// missing from its end on.
    fn edge(&self, late: i64) -> i64 {
        self.streams.as_ref().map_or(self.present, |_| self.to) - late
    }

    /// Checks whether the streams that are read first are those that an earlier process was reading.
    fn find_place(&mut self) {
        let Some((place, streams)) = self.place.take().zip(self.streams.as_ref()) else { return };
        let is_the_same = place.streams.is_some_and(|place| place.names == streams.mark());
        self.token = place.token.filter(|_| is_the_same);
    }

    /// A checkpoint inside the slice.
    fn progress(&mut self) -> Progress {
        self.has_place = true;
        let checkpoints = vec![(place::part(&self.group), place_text(&self.place()))];
        Progress { checkpoints, ..Progress::default() }
    }

    fn place(&self) -> Place {
        let streams = self.streams.as_ref().map(Streams::place);
        Place { from: self.from, to: self.to, present: self.present, token: self.token.clone(), streams }
    }

    /// Continues after the slice, with one sized for the target number of events, judging by this one. The number of
    /// pages says nothing: for a group with very many streams CloudWatch returns thousands of empty ones, however short
    /// the slice.
    fn begin_slice(&mut self, from: i64, to: i64) {
        let span = (self.to - self.from + 1).max(1);
        let events = i64::try_from(self.events.max(1)).unwrap_or(i64::MAX);
        let wanted = span.saturating_mul(LOG_SLICE_EVENTS as i64) / events;
        (self.from, self.present) = (from, to);
        self.to = to.min(self.from + wanted.min(4 * span).max(slice_min()));
        (self.pages, self.events, self.has_place) = (0, 0, false);
    }

    /// Restarts the slice, or the current streams. A shorter slice gets further with one process.
    fn drop_token(&mut self) -> Option<String> {
        let token = self.token.take();
        if token.is_some() && self.streams.is_none() {
            self.to = self.from + ((self.to - self.from) / 4).max(slice_min()).min(self.to - self.from);
        }
        token
    }
}

impl Round {
    /// Ends the round: all groups have been read.
    fn is_done(&self) -> bool {
        self.listed && self.groups.is_empty() && self.reading.is_none()
    }

    /// The checkpoint that all groups up to this one have been read; nothing if it is not one of a list.
    fn place_after(&self, group: String) -> Option<(String, String)> {
        let is_listed = self.after.is_none();
        is_listed
            .then(|| (LIST.to_owned(), place_text(&ListPlace { token: self.page.clone(), after: group })))
    }

    fn has_token(&self) -> bool {
        match &self.reading {
            None => self.token.is_some(),
            Some(reading) => match &reading.streams {
                Some(streams) if streams.want_more() => streams.token.is_some(),
                _ => reading.token.is_some(),
            },
        }
    }

    /// Drops the token of the current list.
    fn drop_token(&mut self) -> bool {
        let token = match &mut self.reading {
            None => self.token.take(),
            Some(reading) => match &mut reading.streams {
                Some(streams) if streams.want_more() => streams.drop_token(),
                _ => reading.drop_token(),
            },
        };
        begin_anew(token, &mut self.restarts)
    }
}

/// The sent event, and how long to remember it (see [`of_slice`]).
fn line(group: &str, event: logs::Event, time: i64) -> Result<Event, Unusable> {
    let body = serde_json::to_vec(&Line {
        log_group: group,
        log_stream: &event.stream,
        id: event.id.as_deref(),
        timestamp: event.timestamp,
        ingestion_time: event.ingestion_time,
        message: &event.message,
    });
    let body = body.map_err(Unusable::odd)?;
    let key = event.id.as_ref().map(|id| Seen { id: fingerprint(&format!("{group}\0{id}")), time });
    Ok(Event { key, id: event.id, body })
}

/// Replaces the time of an event that is only needed until its slice is delivered: by one before any event's, and
/// before those of an earlier process's slice. Earlier pages sort first, so that they are dropped first if there are
/// too many.
fn of_slice(round: i64, page: i64) -> i64 {
    const PAGES: i64 = 1 << 20;
    (PAGES - 1).min(page) - round.saturating_add(1).saturating_mul(PAGES)
}

fn is_in(shard: Option<settings::Shard>, group: &str) -> bool {
    shard.is_none_or(|shard| shard.has(group))
}

fn slice_min() -> i64 {
    LOG_SLICE_MIN.as_millis() as i64
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
