//! The middle stages, on the rayon workers: payload -> records -> frames -> batches.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use jiff::Timestamp;

use super::refused::Refused;
use crate::ack::{Ack, Ending, Fate, Outcome, Progress};
use crate::aws::AccountId;
use crate::base::budget::Budget;
use crate::base::buffers::{Buffer, Buffers};
use crate::base::limits::{BATCH_BYTES, EVENT_TYPES_SHOWN_MAX};
use crate::base::stop::Stop;
use crate::base::text::variant;
use crate::decode::{Error, Record, Scratch};
use crate::handoff::Source;
use crate::handoff::Subject;
use crate::handoff::{Payload, Work};
use crate::ledger::{Ledger, Suspects};
use crate::services::{Route, Verdict};
use crate::stages::frame;
use crate::stages::frame::Frames;
use crate::stages::send::Outputs;
use crate::telemetry::{Service, Telemetry};

/// The workers' shared state.
pub struct Worker {
    /// By the index of the input.
    pub outputs: Vec<Outputs>,
    /// The syslog HOST field.
    pub host: String,
    /// The pool of frame buffers.
    pub buffers: Buffers,
    /// Bytes of frames that may be held until they are confirmed.
    pub budget: Budget,
    /// Ends waits for it.
    pub abort: Stop,
    /// Notes of the objects in each worker's decoder.
    pub suspects: Suspects,
    /// Objects with records that an output refuses.
    pub refused: Arc<Refused>,
    pub ledger: Ledger,
    /// The names under which events are counted in the ledger, by the index of the input. None if they are not sent.
    pub sources: Vec<Option<String>>,
    pub telemetry: Arc<Telemetry>,
    /// By the index of the input, for tags that need it. Pages of sources know theirs.
    pub accounts: Vec<AccountId>,
}

/// The result of decoding.
enum Decoded {
    Whole,
    /// A record's tag needs the account of the input's credentials, which is not known. Nothing from that record on was
    /// sent.
    LacksAccount,
}

thread_local! {
    /// Each worker's own buffers, kept from object to object.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

impl Worker {
    /// Decodes a payload and sends its records. The work is then closed, or returned to its fetcher.
    pub fn process(&self, payload: Payload) {
        self.telemetry.waits.work_payloads.time(|| self.process_payload(payload));
    }

    fn process_payload(&self, payload: Payload) {
        let Payload { mut work, chunk, last, next, again } = payload;
        self.telemetry.work.waiting.add(-1);
        let _busy = self.telemetry.work.busy.hold();
        let counts = &self.service(&work).decode;
        counts.compressed.add(chunk.len() as u64);
        if work.progress.decoded() == 0 && self.refused.is_settled(|| subject(&work.source).id) {
            return self.refuse_again(*work);
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| self.decode(&mut work, &chunk, last)));
        drop(chunk);
        match outcome {
            Ok(Ok(Decoded::LacksAccount)) => self.lacks_account(*work),
            Ok(Ok(Decoded::Whole)) => match next {
                // A fetcher that is gone leaves the work here: dropped, it counts as not delivered.
                Some(next) => drop(next.send(work)),
                None => {
                    survived(&work);
                    counts.objects.increment();
                    self.note_without_records(&work);
                    work.progress.complete();
                    work.ack.close(Outcome::Delivered);
                }
            },
            Ok(Err(Error::MemoryBusy)) => match again {
                Some(again) => again(work),
                None => log::warn!(
                    "{}: other objects hold the memory that it needs; it is not acknowledged and will be retried",
                    work.source
                ),
            },
            Ok(Err(error)) => self.refuse(*work, &error),
            Err(_) => {
                SCRATCH.with(|scratch| scratch.replace(Scratch::new()));
                counts.failed.increment();
                let source = &work.source;
                log::error!(place = work.service.name.as_str(); "{source}: a worker panicked over it; it is not acknowledged and will be retried");
            }
        }
    }

    fn decode(&self, work: &mut Work, chunk: &[u8], last: bool) -> Result<Decoded, Error> {
        let telemetry = Arc::clone(self.service(work));
        let Work { source, service, input, ack, fate, decoder, progress, pulled, case } = work;
        let number = rayon::current_thread_index().unwrap_or(0);
        let decoding = self.suspects.begin(number, case.as_ref());
        let account = self.accounts.get(*input).and_then(AccountId::known);
        let mut route = Route::of_account(account, service, source.key());
        let mut lacks_account = false;
        let mut types = EventTypes::if_shown();
        let sending = Sending {
            outputs: &self.outputs[*input],
            lane: ack.lane(),
            subject: Arc::new(subject(source)),
            service: &telemetry,
            refused: &self.refused,
            ledger: &self.ledger,
            source: self.sources[*input].as_deref(),
            name: &service.name,
            fate,
        };
        let counts = &telemetry.decode;
        let (expanded_before, empty_before) = (decoder.expanded_bytes(), decoder.empty_documents());
        // With the number of their first possible record.
        let mut frames: Option<Frames> = None;
        let mut first_record = 0;
        let held_back_before = progress.held_back();
        let mut marked = Vec::new();
        // The usual size of this many compressed bytes.
        let mut usual_room = chunk.len().saturating_mul(8).min(BATCH_BYTES);
        let mut sink = |record: Record<'_>| {
            if lacks_account {
                return;
            }
            if !progress.admit_next() {
                if let Some(frames) = &mut frames {
                    frames.leave_out();
                }
                return;
            }
            let Verdict::Send { tag, filled } = route.verdict(record) else {
                counts.filtered.increment();
                if let Some(frames) = &mut frames {
                    frames.leave_out();
                }
                return;
            };
            if filled.lacks_account {
                lacks_account = true;
                return;
            }
            types.see(tag);
            if filled.missing {
                counts.unrouted.increment();
            }
            if filled.cut {
                counts.cut.increment();
            }
            let record = match pulled {
                Some(id) if frame::mark(record.bytes, id, &mut marked) => Record { bytes: &marked, ..record },
                _ => record,
            };
            let room = |frames: &Frames| frames.room_for(tag, record.bytes.len());
            if let Some(full) = frames.take_if(|frames| !frames.try_make_room(room(frames))) {
                // The current record goes with the next batch: nothing is held while waiting for that one's memory.
                let batch = progress.batch_before_last(ack);
                decoding.pause(|| sending.send(full, first_record, progress, batch));
            }
            let filling = frames.get_or_insert_with(|| {
                first_record = progress.decoded();
                decoding.pause(|| self.frames(usual_room, tag, record.bytes.len()))
            });
            filling.push(tag, record);
            if filling.len() >= BATCH_BYTES
                && let Some(full) = frames.take()
            {
                usual_room = BATCH_BYTES;
                decoding.pause(|| sending.send(full, first_record, progress, progress.batch(ack)));
            }
        };
        let result = SCRATCH.with(|scratch| decoder.push(chunk, last, &mut scratch.borrow_mut(), &mut sink));
        // Unsent records come again with the record that cannot be tagged yet.
        if let Some(rest) = frames.filter(|_| !lacks_account) {
            decoding.pause(|| sending.send(rest, first_record, progress, progress.batch(ack)));
        }
        counts.resumed.add(progress.held_back() - held_back_before);
        counts.bytes.add(decoder.expanded_bytes() - expanded_before);
        counts.recordless.add(decoder.empty_documents() - empty_before);
        if !matches!(source, Source::Page { .. }) {
            types.show(&self.telemetry.inputs[*input].name, source);
        }
        if lacks_account { Ok(Decoded::LacksAccount) } else { result.map(|()| Decoded::Whole) }
    }

    fn service(&self, work: &Work) -> &Arc<Service> {
        self.telemetry.inputs[work.input].service(&work.service.name)
    }

    /// Empty frames, with room for this many bytes, or for one record if that takes more. Waits for the memory.
    fn frames(&self, usual_room: usize, tag: &str, record_bytes: usize) -> Frames {
        let mut frames = Frames::new(&self.host, Timestamp::now(), Buffer::default());
        let room = usual_room.max(frames.room_for(tag, record_bytes));
        // A batch ends with the record that makes it long enough.
        let room = if room >= BATCH_BYTES { room + BATCH_BYTES / 16 } else { room };
        let waits = &self.telemetry.waits.work_senders;
        if let Some(permit) = waits.time(|| self.budget.acquire(room, &self.abort)) {
            let mut buffer = self.buffers.charged(permit);
            buffer.make_room(room);
            frames.write_into(buffer);
        }
        // Without a permit everything ends, and no output will take these.
        frames
    }

    /// Returns the object until the account is known. The input asks for it before it receives anything more.
    fn lacks_account(&self, work: Work) {
        survived(&work);
        if let Some(account) = self.accounts.get(work.input) {
            account.want();
        }
        log::warn!(
            place = work.service.name.as_str(), cause = "account";
            "{}: neither the object nor one of its records names its account, which is a level of the tag, and STS has not been asked yet for that of the credentials. It is not acknowledged and will be retried",
            work.source
        );
    }

    /// An output refuses one of its records, and everything else of it has been delivered.
    fn refuse_again(&self, work: Work) {
        log::debug!(
            "{}: an output refuses one of its records; nothing else of it is left to send",
            work.source
        );
        work.fate.note(Ending::Output);
        work.ack.close(Outcome::Reject);
    }

    /// Notes why nothing of an object that was decoded to its end was sent.
    fn note_without_records(&self, work: &Work) {
        let ending = match &work.progress {
            progress if progress.held_back() > 0 || work.fate.noted().is_some() => return,
            progress if progress.decoded() > 0 => Ending::FilterRules,
            _ if work.decoder.expanded_bytes() == 0 => Ending::NoBytes,
            _ => Ending::NoRecord,
        };
        work.fate.note(ending);
        self.service(work).endings.tell(&work.service.name, &work.source, ending);
    }

    /// Complete records have been sent. The message must not be deleted.
    fn refuse(&self, work: Work, error: &Error) {
        survived(&work);
        self.service(&work).decode.failed.increment();
        let beginning = String::from_utf8_lossy(work.decoder.beginning());
        work.fate.note(ending_of(error));
        log::warn!(
            place = work.service.name.as_str(), cause = variant(error).as_str();
            "{}: refused: {error}. {}; a message that names it is left to the queue's redrive policy. It begins with \"{}\"",
            work.source,
            if work.progress.decoded() == 0 { "Nothing of it was sent" } else { "Its records before that were sent" },
            beginning.escape_debug()
        );
        work.ack.close(Outcome::Reject);
    }
}

/// The ending of an object that cannot be decoded.
fn ending_of(error: &Error) -> Ending {
    match error {
        Error::Corrupt { .. }
        | Error::Truncated { .. }
        | Error::TrailingGarbage { .. }
        | Error::BadBlock { .. } => Ending::Damaged,
        Error::TooManyLevels { .. }
        | Error::Foreign { .. }
        | Error::Binary
        | Error::Encrypted
        | Error::WithoutParquet => Ending::Unsupported,
        Error::BadJson { .. } | Error::BadDocument { .. } | Error::BadParquet { .. } => Ending::BadContent,
        Error::UnexpectedDocuments { .. } | Error::AnotherLog { .. } => Ending::OtherService,
        Error::Bomb { .. }
        | Error::Copies { .. }
        | Error::HeaderTooLarge { .. }
        | Error::RecordTooLarge { .. }
        | Error::ObjectTooLarge { .. }
        | Error::FooterTooLarge { .. }
        | Error::PagesTooLarge { .. }
        | Error::MemoryTooSmall { .. }
        | Error::WindowTooLarge { .. } => Ending::TooLarge,
        Error::MemoryBusy | Error::SetUp { .. } | Error::Spent => Ending::Other,
    }
}

/// Notes that the object was decoded, or refused with a cause: it was not what killed the process before.
fn survived(work: &Work) {
    if let Some(case) = &work.case {
        case.survived();
    }
}

/// The event types of some records, as the vendor's collector logs them. They are collected only if the log shows them.
struct EventTypes(Option<(u64, BTreeSet<String>)>);

impl EventTypes {
    fn if_shown() -> EventTypes {
        EventTypes(log::log_enabled!(log::Level::Debug).then(Default::default))
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

    fn show(&self, input: &str, source: &Source) {
        if let Some((events, types)) = &self.0 {
            let types: Vec<_> = types.iter().collect();
            log::debug!(
                "inputs.{input}: received 1 message(s), generated {events} message(s), detected_event_types: {types:?} ({source})"
            );
        }
    }
}

/// The destination of a payload's batches, and their counters.
struct Sending<'a> {
    outputs: &'a Outputs,
    lane: Option<u64>,
    subject: Arc<Subject>,
    service: &'a Arc<Service>,
    refused: &'a Arc<Refused>,
    ledger: &'a Ledger,
    /// The name under which events are counted in the ledger.
    source: Option<&'a str>,
    /// The service's name.
    name: &'a str,
    fate: &'a Fate,
}

impl Sending<'_> {
    /// Sends a batch that begins with record number `first_record`, and counts it once every output has it.
    fn send(&self, mut frames: Frames, first_record: u64, progress: &Progress, batch: Ack) {
        let (events, bytes, tables) = (frames.events(), frames.len(), frames.take_tables());
        self.service.decode.events.add(events.into());
        let (share, confirmed) = (batch.share(), progress.confirmed());
        let (service, subject) = (Arc::clone(self.service), Arc::clone(&self.subject));
        let (refused, fate) = (Arc::clone(self.refused), self.fate.clone());
        let ledger = self.ledger.clone();
        let source = self.source.map(|source| source_of(source, self.name));
        fate.note_first(Ending::Sent);
        let counted = share.work(move |outcome| match outcome {
            Outcome::Delivered => {
                service.delivered.events.add(events.into());
                service.delivered.bytes.add(bytes as u64);
                confirmed.gives(&tables);
                if let Some(source) = source {
                    ledger.sent(&source, &tables, Timestamp::now().as_second());
                }
            }
            Outcome::Reject => {
                fate.note(Ending::Output);
                refused.add(&subject.id, &confirmed);
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
fn source_of(source: &str, service: &str) -> String {
    if source.contains('/') { source.to_owned() } else { format!("{source}/{service}") }
}

/// The object's name in the log, and the identity of its content.
fn subject(source: &Source) -> Subject {
    let (name, returns) = (source.to_string(), !matches!(source, Source::Page { .. }));
    let id = match source {
        Source::S3(object) => format!("{name} {:?} {:?}", object.version_id, object.etag),
        Source::Body { .. } | Source::Page { .. } => name.clone(),
    };
    Subject { name, id, returns }
}
