//! CloudTrail's LookupEvents, by time slots.
//!
//! Everything up to `now - gap` is read in slots of at most `time_slot_in_hours`, the oldest first. Neighbouring
//! slots share a second, because both ends of a lookup are included: what is read twice is told by its EventId.
//! All times are UTC.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::source::{Event, Next, Page, Progress, Source};
use crate::aws::cloudtrail::{self, Lookup};
use crate::aws::request::Address;
use crate::aws::{Error, Kind};
use crate::config;
use crate::ledger::{Seen, fingerprint};
use crate::limits::LOOKUP_EVENTS_AGE_MAX;

/// How often the progress of a long backlog is told, in slots.
const SLOTS_PER_NOTE: u64 = 100;

/// One region's events.
#[derive(Debug)]
pub struct CloudTrail {
    settings: config::CloudTrail,
    endpoint: String,
    region: String,
    /// Everything before is delivered or on its way. None: at the first request.
    from: Option<Timestamp>,
    /// The slot that is being read.
    slot: Option<Slot>,
    /// Slots since the source had caught up.
    slots: u64,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Slot {
    from: Timestamp,
    to: Timestamp,
    /// Index in `settings.sources`.
    source: usize,
    token: Option<String>,
}

impl CloudTrail {
    /// `endpoint`: of CloudTrail in the region.
    pub fn new(settings: config::CloudTrail, endpoint: String, region: String) -> CloudTrail {
        CloudTrail { settings, endpoint, region, from: None, slot: None, slots: 0, notes: Vec::new() }
    }

    /// Where reading begins when nothing is delivered yet.
    fn first(&mut self, end: Timestamp) -> Timestamp {
        *self.from.insert(self.settings.start_time.map_or(end, whole_second))
    }

    /// The next slot of what lies between `from` and `end`, if there is a whole second of it.
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
        Some(Slot { from, to, source: 0, token: None })
    }

    /// LookupEvents knows nothing older.
    fn within_reach(&mut self, from: Timestamp, now: Timestamp) -> Timestamp {
        let oldest = whole_second(earlier(now, LOOKUP_EVENTS_AGE_MAX));
        if from < oldest {
            self.notes.push(format!(
                "events from {from} to {oldest} cannot be read: CloudTrail looks up the last 90 days only. Older ones are \
                 in the trail's bucket: collect them with \"types\": [\"audits_s3\"], or with the command backfill"
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
            to: slot.to,
            source: self.settings.sources.get(slot.source).map(String::as_str),
            token: slot.token.as_deref(),
        };
        Next::Call(Box::new(cloudtrail::lookup(&address, &lookup)))
    }

    /// The page has been read: what comes after it, and what is known once it is delivered.
    fn advance(&mut self, token: Option<String>) -> Progress {
        let Some(slot) = &mut self.slot else { return Progress::default() };
        slot.token = token;
        if slot.token.is_none() {
            slot.source += 1;
        }
        if slot.token.is_some() || slot.source < self.settings.sources.len() {
            return Progress::default();
        }
        let to = slot.to;
        (self.slot, self.from) = (None, Some(to));
        Progress { forget_before: Some(to.as_second()), ..all_before(to) }
    }

    fn take(&self, page: &mut Page, event: cloudtrail::Event) {
        if event.name.is_some_and(|name| self.settings.drop_event_names.contains(&name)) {
            page.dropped += 1;
        } else if self.is_of_other_region(&event.json) {
            page.other_region += 1;
        } else {
            let key = event.id.zip(event.time).map(|(id, time)| Seen { id: fingerprint(&id), time });
            page.events.push(Event { key, body: event.json.into_bytes() });
        }
    }

    /// An event that names no region is taken as this one's.
    fn is_of_other_region(&self, json: &str) -> bool {
        use sonic_rs::JsonValueTrait;
        let region = sonic_rs::get(json, ["awsRegion"]);
        region.is_ok_and(|region| region.as_str().is_some_and(|region| region != self.region))
    }
}

impl Source for CloudTrail {
    fn resume(&mut self, checkpoints: &BTreeMap<String, String>) {
        self.from = checkpoints.get("").and_then(|value| value.parse().ok());
        (self.slot, self.slots) = (None, 0);
    }

    fn next(&mut self, now: Timestamp) -> Next {
        if let Some(slot) = &self.slot {
            return self.request(slot);
        }
        let end = whole_second(earlier(now, self.settings.gap));
        let Some(from) = self.from else {
            // Recorded at once: what happens before the first page is delivered must not be left out if the
            // program ends.
            return Next::Mark(all_before(self.first(end)));
        };
        self.slot = self.begin_slot(from, end, now);
        match &self.slot {
            Some(slot) => self.request(slot),
            None => {
                self.slots = 0;
                Next::CaughtUp
            }
        }
    }

    fn read(&mut self, answer: &[u8]) -> Result<Page, serde_json::Error> {
        let cloudtrail::Page { events, token } = cloudtrail::read_lookup(answer)?;
        let mut page = Page::default();
        events.into_iter().for_each(|event| self.take(&mut page, event));
        page.progress = self.advance(token);
        Ok(page)
    }

    /// A token does not live long, and it holds for the same request only.
    fn refused(&mut self, error: &Error) -> bool {
        let Some(slot) = &mut self.slot else { return false };
        *error.kind() == Kind::BadRequest && slot.token.take().is_some()
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

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Lookups are in whole seconds.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
#[path = "cloudtrail/tests.rs"]
mod tests;
