//! CloudTrail's LookupEvents, by time slots.
//!
//! Everything up to `now - gap` is read in slots of at most `time_slot_in_hours`, oldest first. Neighbouring slots
//! share a second, because both ends of a lookup are included: repeats are recognized by their EventId. All times are
//! UTC.
//!
//! A busy slot has thousands of pages, latest event first. Each delivered page is a checkpoint inside the slot: the
//! token of the next page, and, in case AWS no longer accepts the token, the time down to which everything has been
//! read. So a collector that is restarted repeatedly still makes progress.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::moment::{GoOn, Moment};
use super::paging::{Circle, begin_anew, follow};
use super::place::{place_text, read_place};
use super::source::{BadAnswer, Event, Next, Page, PageSource, Progress};
use crate::aws::cloudtrail::{self, Lookup};
use crate::aws::request::Address;
use crate::aws::{Error, Kind};
use crate::base::limits::LOOKUP_EVENTS_AGE_MAX;
use crate::base::text::fingerprint;
use crate::ledger::Seen;
use crate::settings;

/// Interval of progress reports for a long backlog, in slots.
const SLOTS_PER_NOTE: u64 = 100;

/// One region's events.
#[derive(Debug)]
pub struct CloudTrail {
    settings: settings::CloudTrail,
    endpoint: String,
    region: String,
    /// Everything before is delivered or in flight. None at the first request.
    from: Option<Timestamp>,
    /// The current slot.
    slot: Option<Slot>,
    /// Slots since the source had caught up.
    slots: u64,
    notes: Vec<String>,
}

/// A time range being read. Its text is the checkpoint inside the slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    #[serde(with = "seconds")]
    from: Timestamp,
    #[serde(with = "seconds")]
    to: Timestamp,
    /// Index in `sources`.
    source: usize,
    /// The settings' sources when the slot began: if they change, it is read again.
    sources: Vec<String>,
    /// The requested end, the same for all pages of a listing.
    #[serde(with = "seconds")]
    end: Timestamp,
    /// Everything later has been read.
    #[serde(with = "seconds")]
    read_down_to: Timestamp,
    /// Whether events come in the documented order, latest first, so that `read_down_to` is right. None while unknown.
    is_ordered: Option<bool>,
    token: Option<String>,
    #[serde(skip)]
    circle: Circle,
    /// Number of refused page tokens.
    #[serde(skip)]
    restarts: u32,
}

/// The checkpoint's part for the position inside a slot.
const SLOT: &str = "slot";

impl CloudTrail {
    /// `endpoint` is CloudTrail's in the region.
    pub fn new(settings: settings::CloudTrail, endpoint: String, region: String) -> CloudTrail {
        CloudTrail { settings, endpoint, region, from: None, slot: None, slots: 0, notes: Vec::new() }
    }

    /// The start of reading when nothing is delivered yet.
    fn first(&mut self, end: Timestamp) -> Timestamp {
        *self.from.insert(self.settings.start_time.map_or(end, whole_second))
    }

    /// The next slot between `from` and `end`, if there is a whole second of it.
    fn begin_slot(&mut self, from: Timestamp, end: Timestamp, now: Timestamp) -> Option<Slot> {
        let from = self.within_reach(from, now);
        if end <= from {
            return None;
        }
        if self.slots == 0 {
            self.announce(from, end);
        }
        self.slots += 1;
        if self.slots.is_multiple_of(SLOTS_PER_NOTE) {
            self.notes.push(format!("Number of processed time slots so far: {}", self.slots));
        }
        let to = end.min(later(from, self.settings.time_slot));
        Some(Slot::new(from, to, &self.settings.sources))
    }

    /// The position after the checkpoint `from`. None if it is too early.
    fn go_on(&mut self, from: Timestamp, moment: &Moment) -> Option<Timestamp> {
        match moment.go_on(from, self.settings.start_time, self.settings.gap) {
            GoOn::There => Some(from),
            GoOn::Later => None,
            GoOn::Back(to) => {
                let to = whole_second(to);
                self.notes.push(format!("the checkpoint {from} is in the future; reading resumes at {to}"));
                Some(*self.from.insert(to))
            }
        }
    }

    /// LookupEvents has nothing older.
    fn within_reach(&mut self, from: Timestamp, now: Timestamp) -> Timestamp {
        let oldest = oldest(now);
        if from < oldest {
            self.notes.push(format!(
                "events from {from} to {oldest} cannot be read: CloudTrail looks up the last 90 days only. Older \
                 ones are in the trail's bucket: collect them with \"types\": [\"audits_s3\"], or with the command \
                 backfill"
            ));
        }
        from.max(oldest)
    }

    fn announce(&mut self, from: Timestamp, end: Timestamp) {
        let slot = self.settings.time_slot.as_secs().max(1);
        let seconds = (end.as_second() - from.as_second()).unsigned_abs();
        self.notes.push(format!(
            "Using {} minutes as \"gap until now\", start_date: \"{from}\", end_date: \"{end}\", time_slot_in_hours: \"{}\"",
            self.settings.gap.as_secs() / 60,
            slot / 3600
        ));
        self.notes.push(format!("Total number of time slots to be processed: {}", seconds.div_ceil(slot)));
    }

    fn request(&self, slot: &Slot) -> Next {
        let resource = format!("events of {} from {} to {}", self.region, slot.from, slot.to);
        let address = Address { endpoint: &self.endpoint, region: &self.region, resource: &resource };
        let lookup = Lookup {
            from: slot.from,
            to: slot.end,
            source: slot.sources.get(slot.source).map(String::as_str),
            token: slot.token.as_deref(),
        };
        Next::Call(Box::new(cloudtrail::lookup(&address, &lookup)))
    }

    /// Ends a page: the next request, and the state once the page is delivered.
    fn advance(&mut self, times: &[i64]) -> Progress {
        let Some(mut slot) = self.slot.take() else { return Progress::default() };
        slot.narrow(times);
        if slot.token.is_none() {
            slot.next_source();
        }
        if slot.source == 0 || slot.source < slot.sources.len() {
            let checkpoints = vec![(SLOT.to_owned(), place_text(&slot))];
            self.slot = Some(slot);
            return Progress { checkpoints, ..Progress::default() };
        }
        self.from = Some(slot.to);
        Progress { forget_before: Some(slot.to.as_second()), ..all_before(slot.to) }
    }

    fn take(&self, page: &mut Page, event: cloudtrail::Event) {
        if event.name.is_some_and(|name| self.settings.drop_event_names.contains(&name)) {
            page.dropped += 1;
        } else if self.is_of_other_region(&event.json) {
            page.other_region += 1;
        } else {
            let known = event.id.as_ref().zip(event.time);
            let key = known.map(|(id, time)| Seen { id: fingerprint(id), time });
            page.events.push(Event { key, id: event.id, body: event.json.into_bytes() });
        }
    }

    /// An event without a region counts as this region's.
    fn is_of_other_region(&self, json: &str) -> bool {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Members {
            aws_region: Value,
        }
        let members = serde_json::from_str::<Members>(json);
        members.is_ok_and(|event| event.aws_region.as_str().is_some_and(|region| region != self.region))
    }
}

impl Slot {
    fn new(from: Timestamp, to: Timestamp, sources: &[String]) -> Slot {
        let (sources, is_ordered, token, circle) = (sources.to_vec(), None, None, Circle::default());
        Slot {
            from,
            to,
            source: 0,
            sources,
            end: to,
            read_down_to: to,
            is_ordered,
            token,
            circle,
            restarts: 0,
        }
    }

    /// The slot of a checkpoint, if it is still the next one to read.
    fn resumed(text: &str, from: Timestamp, sources: &[String]) -> Option<Slot> {
        let slot: Slot = read_place(text)?;
        (slot.from >= from && slot.to > from && slot.sources == sources).then_some(slot)
    }

    /// Notes the times of a page's events.
    fn narrow(&mut self, times: &[i64]) {
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return };
        if *first > self.read_down_to.as_second() || !times.is_sorted_by(|a, b| a >= b) {
            (self.is_ordered, self.read_down_to) = (Some(false), self.to);
        } else if first > last {
            self.is_ordered = self.is_ordered.or(Some(true));
        }
        if self.is_ordered == Some(true) {
            self.read_down_to = Timestamp::from_second(*last).unwrap_or(self.to).max(self.from);
        }
    }

    fn next_source(&mut self) {
        self.source += 1;
        (self.end, self.read_down_to, self.is_ordered) = (self.to, self.to, None);
    }

    /// The token is no longer valid: resumes with the unread rest.
    fn drop_token(&mut self) -> bool {
        self.end = self.read_down_to;
        begin_anew(self.token.take(), &mut self.restarts)
    }

    /// An earlier process's slot may reach further back than CloudTrail does now, or into the future, if the clock was
    /// wrong. Returns false if nothing is left of it.
    fn cut(&mut self, oldest: Timestamp, latest: Timestamp) -> bool {
        if self.to > latest {
            *self = Slot::new(self.from, latest, &self.sources);
        }
        if self.from < oldest {
            (self.from, self.end, self.token) = (oldest, self.read_down_to, None);
        }
        self.from <= self.end && self.from < self.to
    }
}

impl PageSource for CloudTrail {
    fn resume(&mut self, checkpoints: &BTreeMap<String, String>) {
        self.from = checkpoints.get("").and_then(|value| value.parse().ok());
        let inside = self.from.zip(checkpoints.get(SLOT));
        self.slot = inside.and_then(|(from, text)| Slot::resumed(text, from, &self.settings.sources));
        self.slots = 0;
    }

    fn can_read(&self, part: &str, value: &str) -> bool {
        !part.is_empty() || value.parse::<Timestamp>().is_ok()
    }

    fn rewind(&mut self, moment: &Moment) -> Progress {
        let latest = whole_second(moment.latest(self.settings.start_time, self.settings.gap));
        let mut checkpoints = Vec::new();
        if self.slot.take_if(|slot| slot.to > latest).is_some() {
            checkpoints.push((SLOT.to_owned(), String::new()));
        }
        if let Some(from) = self.from.as_mut().filter(|from| **from > latest) {
            *from = latest;
            checkpoints = vec![(String::new(), latest.to_string()), (SLOT.to_owned(), String::new())];
        }
        Progress { checkpoints, ..Progress::default() }
    }

    fn next(&mut self, moment: &Moment) -> Next {
        let now = moment.now;
        let (oldest, end) = (oldest(now), whole_second(earlier(now, self.settings.gap)));
        self.slot.take_if(|slot| !slot.cut(oldest, end));
        if let Some(slot) = &self.slot {
            return self.request(slot);
        }
        let Some(from) = self.from else {
            // Recorded at once, so that events before the first delivered page are not lost if the program ends.
            return Next::Mark(all_before(self.first(end)));
        };
        self.slot = self.go_on(from, moment).and_then(|from| self.begin_slot(from, end, now));
        match &self.slot {
            Some(slot) => self.request(slot),
            None => {
                self.slots = 0;
                Next::CaughtUp
            }
        }
    }

    fn read(&mut self, answer: &[u8]) -> Result<Page, BadAnswer> {
        let cloudtrail::Page { events, token } = cloudtrail::read_lookup(answer)?;
        if let Some(slot) = &mut self.slot {
            follow(&mut slot.token, &mut slot.circle, token)?;
        }
        let goes_on = self.slot.as_ref().is_some_and(|slot| slot.token.is_some());
        let mut page = Page { goes_on, ..Page::default() };
        let times: Vec<i64> = events.iter().filter_map(|event| event.time).collect();
        events.into_iter().for_each(|event| self.take(&mut page, event));
        page.progress = self.advance(&times);
        Ok(page)
    }

    /// A token is short-lived, and valid for the same request only.
    fn refused(&mut self, error: &Error) -> bool {
        let Some(slot) = &mut self.slot else { return false };
        *error.kind() == Kind::BadRequest && slot.drop_token()
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

fn all_before(time: Timestamp) -> Progress {
    Progress { reached: Some(time), ..Progress::up_to(time) }
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_sub(signed(by)).unwrap_or(Timestamp::MIN)
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_add(signed(by)).unwrap_or(Timestamp::MAX)
}

fn oldest(now: Timestamp) -> Timestamp {
    whole_second(earlier(now, LOOKUP_EVENTS_AGE_MAX))
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Lookups use whole seconds.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Times in a checkpoint: whole seconds since 1970.
mod seconds {
    use super::{Deserialize, Timestamp};

    pub fn serialize<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(time.as_second())
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        Timestamp::from_second(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[path = "cloudtrail/tests.rs"]
mod tests;
