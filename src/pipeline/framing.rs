//! Records -> frames -> batches, on a worker.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::refused::Refused;
use crate::ack::{Ack, Ending, Fate, Outcome, Progress};
use crate::base::budget::Budget;
use crate::base::buffers::{Buffer, Buffers};
use crate::base::limits::{BATCH_BYTES, EVENT_TYPES_SHOWN_MAX};
use crate::base::runtime::clock;
use crate::base::stop::Stop;
use crate::decode::{LineBlock, Newlines, Record, Sink};
use crate::handoff::{PullingId, Subject, WorkSource};
use crate::ledger::{Decoding, Ledger};
use crate::services::{Route, Verdict};
use crate::stages::frame::{self, Frames};
use crate::stages::send::Outputs;
use crate::telemetry::{self, Failed, Service};

/// Takes the records of a payload, and sends them in batches.
pub struct Framing<'w> {
    memory: Memory<'w>,
    sending: Sending<'w>,
    route: Route<'w>,
    progress: &'w mut Progress,
    ack: &'w Ack,
    /// The pull that brought the records, if they should name it.
    pulled: Option<&'w PullingId>,
    frames: Option<Frames>,
    /// The number of the first possible record of `frames`.
    first_record: u64,
    /// Nothing more of the object is sent.
    halted: Option<Halt>,
    types: EventTypes,
    marked: Vec<u8>,
    counts: Counts,
}

/// Records of a payload that ended in special ways. All workers share the service's counters, so a change per record would
/// move their cache line from core to core.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    filtered: u64,
    unrouted: u64,
    cut: u64,
}

/// The reason why the rest of an object is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// A record's tag needs an account that is not known.
    LacksAccount,
    /// Another host sends the object.
    Revoked,
}

/// The end of a payload.
pub struct Framed {
    pub halted: Option<Halt>,
    pub types: EventTypes,
}

impl<'w> Framing<'w> {
    pub fn new(
        memory: Memory<'w>,
        sending: Sending<'w>,
        route: Route<'w>,
        progress: &'w mut Progress,
        ack: &'w Ack,
        pulled: Option<&'w PullingId>,
    ) -> Framing<'w> {
        Framing {
            memory,
            sending,
            route,
            progress,
            ack,
            pulled,
            frames: None,
            first_record: 0,
            halted: None,
            types: EventTypes::if_shown(),
            marked: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Sends the last batch.
    pub fn finish(mut self) -> Framed {
        // Unsent records come again with the record that cannot be tagged yet, or are sent by another host.
        if let Some(rest) = self.frames.take().filter(|_| self.halted.is_none()) {
            self.send(rest);
        }
        let (Counts { filtered, unrouted, cut }, counts) = (self.counts, &self.sending.service.decode);
        counts.filtered.add(filtered);
        counts.unrouted.add(unrouted);
        counts.cut.add(cut);
        Framed { halted: self.halted, types: self.types }
    }

    fn send(&mut self, frames: Frames) {
        if self.progress.is_revoked() {
            self.halted = Some(Halt::Revoked);
            return;
        }
        let batch = self.progress.batch(self.ack);
        self.sending.send(frames, self.first_record, self.progress, batch);
    }

    fn send_if_full(&mut self) {
        if let Some(full) = self.frames.take_if(|frames| frames.len() >= BATCH_BYTES) {
            self.memory.usual_room = BATCH_BYTES;
            self.send(full);
        }
    }

    fn leave_out(&mut self) {
        if let Some(frames) = &mut self.frames {
            frames.leave_out();
        }
    }

    /// True if every next record is sent, as it is, under the same tag.
    fn takes_all_alike(&self) -> bool {
        let has_tag = self.route.fixed().is_some_and(|filled| !filled.lacks_account);
        has_tag && self.progress.admits_all() && self.pulled.is_none() && !self.types.are_shown()
    }
}

impl Sink for Framing<'_> {
    fn record(&mut self, record: Record<'_>) {
        if self.halted.is_some() {
            return;
        }
        if !self.progress.admit_next() {
            return self.leave_out();
        }
        let Verdict::Send { tag, filled } = self.route.verdict(record) else {
            self.counts.filtered += 1;
            return self.leave_out();
        };
        if filled.lacks_account {
            self.halted = Some(Halt::LacksAccount);
            return;
        }
        self.types.see(tag);
        self.counts.unrouted += u64::from(filled.missing);
        self.counts.cut += u64::from(filled.cut);
        let record = match self.pulled {
            Some(id) if frame::mark(record.bytes, id, &mut self.marked) => {
                Record { bytes: &self.marked, ..record }
            }
            _ => record,
        };
        let room = |frames: &Frames| frames.room_for(tag, record.bytes.len());
        if let Some(full) = self.frames.take_if(|frames| !frames.try_make_room(room(frames))) {
            // The current record goes with the next batch: nothing is held while waiting for that one's memory.
            if self.progress.is_revoked() {
                self.halted = Some(Halt::Revoked);
                return;
            }
            let batch = self.progress.batch_before_last(self.ack);
            self.sending.send(full, self.first_record, self.progress, batch);
        }
        let filling = self.frames.get_or_insert_with(|| {
            self.first_record = self.progress.decoded();
            self.memory.frames(tag, record.bytes.len(), self.sending.decoding)
        });
        filling.push(tag, record);
        self.send_if_full();
    }

    fn lines(&mut self, mut lines: LineBlock<'_>) {
        let alike = self.takes_all_alike();
        // The first one opens a batch, or makes room in it.
        while let Some(line) = lines.next() {
            self.record(Record::new(line, Newlines::Absent));
            let Some(frames) = self.frames.as_mut().filter(|_| alike) else { continue };
            let taken = u64::from(frames.push_lines(&mut lines));
            self.progress.admit(taken);
            let filled = self.route.fixed().unwrap_or_default();
            self.counts.unrouted += if filled.missing { taken } else { 0 };
            self.counts.cut += if filled.cut { taken } else { 0 };
            self.send_if_full();
        }
    }
}

/// The memory of frames.
pub struct Memory<'w> {
    /// The syslog HOST field.
    pub host: &'w str,
    pub buffers: &'w Buffers,
    pub budget: &'w Budget,
    /// Ends waits for it.
    pub abort: &'w Stop,
    pub waits: &'w telemetry::Stopwatch,
    /// Bytes for which a new batch has room at first.
    pub usual_room: usize,
}

impl Memory<'_> {
    /// Empty frames, with the usual room, or for one record if that takes more. Waits for the memory if it is not free,
    /// which is not decoding.
    fn frames(&self, tag: &str, record_bytes: usize, decoding: &Decoding<'_>) -> Frames {
        let mut frames = Frames::new(self.host, clock::timestamp(), Buffer::default());
        let room = self.usual_room.max(frames.room_for(tag, record_bytes));
        // A batch ends with the record that makes it long enough.
        let room = if room >= BATCH_BYTES { room + BATCH_BYTES / 16 } else { room };
        let wait = || decoding.pause(|| self.waits.time(|| self.budget.acquire(room, self.abort)));
        if let Some(permit) = self.budget.try_acquire(room).or_else(wait) {
            let mut buffer = self.buffers.charged(permit);
            buffer.make_room(room);
            frames.write_into(buffer);
        }
        // Without a permit everything ends, and no output will take these.
        frames
    }
}

/// The event types of some records, as the vendor's collector logs them. They are collected only if the log shows them.
pub struct EventTypes(Option<(u64, BTreeSet<String>)>);

impl EventTypes {
    fn if_shown() -> EventTypes {
        EventTypes(log::log_enabled!(log::Level::Debug).then(Default::default))
    }

    fn are_shown(&self) -> bool {
        self.0.is_some()
    }

    /// The type is the fourth level of a tag, or the last of a shorter one.
    fn see(&mut self, tag: &str) {
        let Some((events, types)) = &mut self.0 else { return };
        *events += 1;
        let found = tag.split('.').take(4).last().unwrap_or_default();
        if types.len() < EVENT_TYPES_SHOWN_MAX && !types.contains(found) {
            types.insert(found.to_owned());
        }
    }

    pub fn show(&self, input: &str, source: &WorkSource) {
        if let Some((events, types)) = &self.0 {
            let types: Vec<_> = types.iter().collect();
            log::debug!(
                "inputs.{input}: received 1 message(s), generated {events} message(s), detected_event_types: {types:?} ({source})"
            );
        }
    }
}

/// The destination of a payload's batches, and their counters.
pub struct Sending<'a> {
    /// It pauses while a batch is sent.
    pub decoding: &'a Decoding<'a>,
    pub outputs: &'a Outputs,
    pub lane: Option<u64>,
    pub subject: Arc<Subject>,
    pub service: &'a Arc<Service>,
    pub tables: &'a Arc<telemetry::Tables>,
    pub input: &'a Arc<telemetry::Input>,
    pub refused: &'a Arc<Refused>,
    pub ledger: &'a Ledger,
    /// The name under which events are counted in the ledger.
    pub source: Option<&'a str>,
    /// The service's name.
    pub name: &'a str,
    pub fate: &'a Fate,
}

impl Sending<'_> {
    /// Sends a batch that begins with record number `first_record`, and counts it once every output has it.
    fn send(&self, frames: Frames, first_record: u64, progress: &Progress, batch: Ack) {
        self.decoding.pause(|| self.send_now(frames, first_record, progress, batch));
    }

    fn send_now(&self, mut frames: Frames, first_record: u64, progress: &Progress, batch: Ack) {
        let (events, bytes, tables) = (frames.events(), frames.len(), frames.take_tables());
        self.service.decode.events.add(events.into());
        let (share, confirmed) = (batch.share(), progress.confirmed());
        let (service, subject) = (Arc::clone(self.service), Arc::clone(&self.subject));
        let (refused, fate) = (Arc::clone(self.refused), self.fate.clone());
        let ledger = self.ledger.clone();
        let source = self.source.map(|source| source_of(source, self.name));
        let (all_tables, input) = (Arc::clone(self.tables), Arc::clone(self.input));
        fate.note_first(Ending::Sent);
        let counted = share.work(move |outcome| match outcome {
            Outcome::Delivered => {
                service.delivered.events.add(events.into());
                service.delivered.bytes.add(bytes as u64);
                let now = clock::now();
                all_tables.add(&tables, now);
                confirmed.gives(&tables);
                service.last_delivery.happened(now);
                if let Some(source) = source {
                    ledger.sent(&source, &tables, clock::timestamp().as_second());
                }
            }
            Outcome::Reject => {
                fate.note(Ending::Output);
                refused.add(&subject.id, &confirmed);
                input.failed(&Failed {
                    object: subject.object.as_ref(),
                    polled: None,
                    service: Some(&service.name),
                    delivery: fate.delivery(),
                    ending: Some(Ending::Output),
                    cause: "an output does not accept one of its records, and everything else of it is sent",
                    kind: "output",
                });
            }
            Outcome::Retry => (),
        });
        batch.close(Outcome::Delivered);
        self.outputs
            .send(frames.into_batch_of(&self.subject, first_record, counted.share(), self.lane), &counted);
        counted.close(Outcome::Delivered);
    }
}

/// The source's name in the ledger. The name of a polled source contains its service.
pub fn source_of(source: &str, service: &str) -> String {
    if source.contains('/') { source.to_owned() } else { format!("{source}/{service}") }
}
