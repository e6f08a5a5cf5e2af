//! The middle of the way, on the rayon workers: payload -> records -> frames -> batches.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use jiff::Timestamp;

use super::refused::Refused;
use crate::ack::{Ack, Outcome, Progress, Turn};
use crate::buffers::Buffers;
use crate::decode::{Error, Payload, Record, Scratch, Work};
use crate::frame::{self, Frames, Subject};
use crate::limits::BATCH_BYTES;
use crate::resolve::Source;
use crate::send::Outputs;
use crate::services::{Route, Verdict};
use crate::telemetry::{Service, Telemetry};

/// What all workers share.
pub struct Worker {
    /// By the index of the input.
    pub outputs: Vec<Outputs>,
    /// The syslog HOST field.
    pub host: String,
    /// Where the frames are written.
    pub buffers: Buffers,
    /// Objects with records that an output refuses.
    pub refused: Arc<Refused>,
    pub telemetry: Arc<Telemetry>,
}

thread_local! {
    /// Each worker's own buffers, kept from object to object.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

impl Worker {
    /// Decodes a payload and sends what it holds. The work is then closed, or goes back to its fetcher.
    pub fn process(&self, payload: Payload) {
        self.telemetry.waits.work_payloads.time(|| self.process_payload(payload));
    }

    fn process_payload(&self, payload: Payload) {
        let Payload { mut work, chunk, last, permit, next } = payload;
        self.telemetry.work.waiting.add(-1);
        let _busy = self.telemetry.work.busy.hold();
        let counts = &self.service(&work).decode;
        counts.compressed.add(chunk.len() as u64);
        if work.progress.decoded() == 0 && self.refused.is_settled(|| subject(&work.source).id) {
            return self.refuse_again(*work);
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| self.decode(&mut work, &chunk, last)));
        drop(chunk);
        drop(permit);
        match outcome {
            Ok(Ok(())) => match next {
                // A fetcher that has gone away leaves the work here: dropped, it counts as not delivered.
                Some(next) => drop(next.send(work)),
                None => {
                    counts.objects.increment();
                    work.progress.complete();
                    if let Some(turn) = &work.turn {
                        turn.finished();
                    }
                    work.ack.close(Outcome::Delivered);
                }
            },
            Ok(Err(error)) => self.refuse(*work, &error),
            Err(_) => {
                SCRATCH.with(|scratch| scratch.replace(Scratch::new()));
                counts.failed.increment();
                let source = &work.source;
                log::error!("{source}: a worker panicked over it; it is not acknowledged and comes again");
            }
        }
    }

    fn decode(&self, work: &mut Work, chunk: &[u8], last: bool) -> Result<(), Error> {
        let telemetry = Arc::clone(self.service(work));
        let Work { source, service, input, ack, decoder, turn, progress, pulled } = work;
        let mut route = Route::new(service, source.key());
        let sending = Sending {
            outputs: &self.outputs[*input],
            lane: turn.as_ref().map(Turn::lane),
            subject: Arc::new(subject(source)),
            service: &telemetry,
            refused: &self.refused,
        };
        let counts = &telemetry.decode;
        let (expanded_before, skipped_before) = (decoder.expanded_bytes(), decoder.skipped_documents());
        let mut first_record = progress.decoded() + 1;
        let mut frames = self.frames(chunk.len());
        let held_back_before = progress.held_back();
        let mut marked = Vec::new();
        let mut sink = |record: Record<'_>| {
            if !progress.admit_next() {
                frames.leave_out();
                return;
            }
            let Verdict::Send { tag, missing_field } = route.verdict(record) else {
                counts.filtered.increment();
                frames.leave_out();
                return;
            };
            if missing_field {
                counts.unrouted.increment();
            }
            match pulled {
                Some(id) if frame::mark(record.bytes, id, &mut marked) => {
                    frames.push(tag, Record { bytes: &marked, ..record });
                }
                _ => frames.push(tag, record),
            }
            if frames.len() >= BATCH_BYTES {
                let full = std::mem::replace(&mut frames, self.frames(BATCH_BYTES));
                sending.send(full, first_record, progress, ack);
                first_record = progress.decoded() + 1;
            }
        };
        let result = SCRATCH.with(|scratch| decoder.push(chunk, last, &mut scratch.borrow_mut(), &mut sink));
        if !frames.is_empty() {
            sending.send(frames, first_record, progress, ack);
        }
        counts.resumed.add(progress.held_back() - held_back_before);
        counts.bytes.add(decoder.expanded_bytes() - expanded_before);
        counts.recordless.add(decoder.skipped_documents() - skipped_before);
        result
    }

    fn service(&self, work: &Work) -> &Arc<Service> {
        self.telemetry.inputs[work.input].service(&work.service.name)
    }

    /// Room for what so many compressed bytes usually become, for a batch at the most.
    fn frames(&self, compressed_bytes: usize) -> Frames {
        let capacity = compressed_bytes.saturating_mul(8).min(BATCH_BYTES + BATCH_BYTES / 16);
        Frames::new(&self.host, Timestamp::now(), self.buffers.take(capacity))
    }

    /// An output refuses a record of it, and everything else of it has been delivered.
    fn refuse_again(&self, work: Work) {
        log::debug!("{}: an output refuses a record of it; nothing else of it is left to send", work.source);
        if let Some(turn) = &work.turn {
            turn.finished();
        }
        work.ack.close(Outcome::Reject);
    }

    /// What was whole has been sent. A message is not ours to delete.
    fn refuse(&self, work: Work, error: &Error) {
        self.service(&work).decode.failed.increment();
        log::error!(
            "{}: {error}. The records before the damage were sent; a message that names it is left to the queue's redrive policy",
            work.source
        );
        work.ack.close(Outcome::Reject);
    }
}

/// Where a payload's batches go, and what they are counted for.
struct Sending<'a> {
    outputs: &'a Outputs,
    lane: Option<u64>,
    subject: Arc<Subject>,
    service: &'a Arc<Service>,
    refused: &'a Arc<Refused>,
}

impl Sending<'_> {
    /// Sends a batch that begins with record number `first_record`, and counts it once every output has it.
    fn send(&self, frames: Frames, first_record: u64, progress: &Progress, object: &Ack) {
        let (events, bytes, batch) = (frames.events(), frames.len(), progress.batch(object));
        self.service.decode.events.add(events.into());
        let (share, confirmed) = (batch.share(), progress.confirmed());
        let (service, subject) = (Arc::clone(self.service), Arc::clone(&self.subject));
        let refused = Arc::clone(self.refused);
        let counted = Ack::open(move |outcome| {
            match outcome {
                Outcome::Delivered => {
                    service.delivered.events.add(events.into());
                    service.delivered.bytes.add(bytes as u64);
                }
                Outcome::Reject => refused.add(&subject.id, &confirmed),
                Outcome::Retry => (),
            }
            share.resolve(outcome);
        });
        batch.close(Outcome::Delivered);
        self.outputs
            .send(frames.into_batch_of(&self.subject, first_record, counted.share(), self.lane), &counted);
        counted.close(Outcome::Delivered);
    }
}

/// How the log names the object, and how its content is told from another under the same name.
fn subject(source: &Source) -> Subject {
    let (name, returns) = (source.to_string(), !matches!(source, Source::Page { .. }));
    let id = match source {
        Source::S3(object) => format!("{name} {:?} {:?}", object.version_id, object.etag),
        Source::Body { .. } | Source::Page { .. } => name.clone(),
    };
    Subject { name, id, returns }
}
