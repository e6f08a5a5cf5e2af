//! The middle stages, on the rayon workers: payload -> records -> frames -> batches.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::framing::{Framed, Framing, Halt, Memory, Sending};
use super::refused::Refused;
use crate::ack::{Ending, Outcome};
use crate::aws::AccountId;
use crate::base::budget::Budget;
use crate::base::buffers::Buffers;
use crate::base::limits::BATCH_BYTES;
use crate::base::runtime::workers;
use crate::base::stop::Stop;
use crate::base::text::variant;
use crate::decode::{Error, Scratch};
use crate::handoff::{Payload, Subject, Work, WorkSource, ending_of};
use crate::ledger::{Ledger, Suspects};
use crate::services::Route;
use crate::stages::send::Outputs;
use crate::telemetry::{Failed, Polled, Service, Telemetry};

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
        if work.progress.is_revoked() {
            return leave(*work);
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| self.decode(&mut work, &chunk, last)));
        drop(chunk);
        match outcome {
            Ok(Ok(Some(Halt::LacksAccount))) => self.lacks_account(*work),
            Ok(Ok(Some(Halt::Revoked))) => leave(*work),
            Ok(Ok(None)) => match next {
                // A fetcher that is gone leaves the work here: dropped, it counts as not delivered.
                Some(next) => drop(next.send(work)),
                None if work.progress.is_past_the_end() => begin_again(*work),
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

    /// Returns the reason if the rest of the object is not sent.
    fn decode(&self, work: &mut Work, chunk: &[u8], last: bool) -> Result<Option<Halt>, Error> {
        let telemetry = Arc::clone(self.service(work));
        let Work { source, service, input, ack, fate, decoder, progress, pulled, case } = work;
        let number = workers::number().unwrap_or(0);
        let decoding = self.suspects.begin(number, case.as_ref());
        let account = self.accounts.get(*input).and_then(AccountId::known);
        let sending = Sending {
            decoding: &decoding,
            outputs: &self.outputs[*input],
            lane: ack.lane(),
            subject: Arc::new(subject(source)),
            service: &telemetry,
            tables: &self.telemetry.tables,
            input: &self.telemetry.inputs[*input],
            refused: &self.refused,
            ledger: &self.ledger,
            source: self.sources[*input].as_deref(),
            name: &service.name,
            fate,
        };
        let counts = &telemetry.decode;
        let (expanded_before, empty_before) = (decoder.expanded_bytes(), decoder.empty_documents());
        let held_back_before = progress.held_back();
        let route = Route::of_account(account, service, source.key());
        let memory = Memory {
            host: &self.host,
            buffers: &self.buffers,
            budget: &self.budget,
            abort: &self.abort,
            waits: &self.telemetry.waits.work_senders,
            // The usual size of this many compressed bytes.
            usual_room: chunk.len().saturating_mul(8).min(BATCH_BYTES),
        };
        let mut framing = Framing::new(memory, sending, route, progress, ack, pulled.as_ref());
        let result =
            SCRATCH.with(|scratch| decoder.push(chunk, last, &mut scratch.borrow_mut(), &mut framing));
        let Framed { halted, types } = framing.finish();
        counts.resumed.add(progress.held_back() - held_back_before);
        counts.bytes.add(decoder.expanded_bytes() - expanded_before);
        counts.recordless.add(decoder.empty_documents() - empty_before);
        if !matches!(source, WorkSource::Page { .. }) {
            types.show(&self.telemetry.inputs[*input].name, source);
        }
        if halted.is_some() { Ok(halted) } else { result.map(|()| None) }
    }

    fn service(&self, work: &Work) -> &Arc<Service> {
        self.telemetry.inputs[work.input].service(&work.service.name)
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
        let sent = if work.progress.decoded() == 0 {
            "Nothing of it was sent"
        } else {
            "Its records before that were sent"
        };
        let ending = ending_of(error);
        work.fate.note(ending);
        let page = matches!(work.source, WorkSource::Page { .. }).then(|| work.source.to_string());
        self.telemetry.inputs[work.input].failed(&Failed {
            object: work.source.object(),
            polled: page.as_deref().map(Polled::Page),
            service: Some(&work.service.name),
            delivery: work.fate.delivery(),
            ending: Some(ending),
            cause: &format!("{error}. {sent}. It begins with \"{}\"", beginning.escape_debug()),
            kind: &variant(error),
        });
        work.ack.close(Outcome::Reject);
    }
}

/// Returns an object of which the ledger, or the shared table, says that more records are confirmed than it has: which of
/// them are is unknown.
fn begin_again(work: Work) {
    survived(&work);
    log::error!(
        place = work.service.name.as_str();
        "{}: the ledger says that its first {} records are confirmed, but it has only {}, so the entry is wrong. It is corrected, and all records are sent when the object's message comes again",
        work.source,
        work.progress.resumed(),
        work.progress.decoded()
    );
    work.progress.disown();
    work.ack.close(Outcome::Retry);
}

/// Drops an object that another host sends. Its message is not settled here.
fn leave(work: Work) {
    survived(&work);
    log::debug!("{}: its rest is left to another host", work.source);
}

/// Notes that the object was decoded, or refused with a cause: it was not what killed the process before.
fn survived(work: &Work) {
    if let Some(case) = &work.case {
        case.survived();
    }
}

/// The object's name in the log, and the identity of its content.
fn subject(source: &WorkSource) -> Subject {
    let (name, returns) = (source.to_string(), !matches!(source, WorkSource::Page { .. }));
    let id = match source {
        WorkSource::S3(object) => format!("{name} {:?} {:?}", object.version_id, object.etag),
        WorkSource::Body { .. } | WorkSource::Page { .. } => name.clone(),
    };
    Subject { object: source.object().cloned(), name, id, returns }
}
