//! Object -> payload, by ranged GETs.
//!
//! A fixed number of threads. Each takes an object, reads its first part, and then decides by the object's size: one
//! that fits is passed on whole, so that it can be inflated in one call; a larger one is passed on as a [`stream`] of
//! parts. All threads share the queue of parts; a thread that waits for its own parts works on queued ones, so that
//! some thread always does.
//!
//! No thread waits for an object to recover: retries wait in [`delay`], in one thread for all, and only a share of the
//! fetchers is ever busy with failing buckets ([`outage`]). While many of them wait for parts that do not arrive, a few
//! spare ones work.

mod delay;
mod fetcher;
mod job;
mod large;
mod object;
mod outage;
mod part;
mod parts;
mod settings;
mod stream;

use std::sync::Arc;

use crate::ack::{Ack, Ending, Fate, Outcome, Progress};
use crate::base::buffers::Buffer;
use crate::base::crew::Crew;
use crate::base::limits::{
    FETCH_SPARE_INTERVAL, FETCH_SPARES_MAX, FETCHERS_PER_SPARE, IDLE_CHECK_INTERVAL, OBJECT_BYTES_MIN,
    STOP_CHECK_INTERVAL,
};
use crate::base::runtime::channel::{Receiver, Source, TryRecvError, never, unbounded};
use crate::base::runtime::{channel, clock};
use crate::decode::Account;
use crate::fleet::Claim;
use crate::handoff::schedule::Schedule;
use crate::handoff::{Payload, Task, TaskSource, Work, WorkSource};
use crate::ledger::{Case, Identity, Place, Standing};
use crate::stages::fetch::part::PartJob;
use crate::telemetry::Failed;
use delay::Delays;
use fetcher::Fetcher;
use job::Job;
use outage::{Attempts, Doubts};
use parts::Parts;

pub use settings::{InputSettings, Settings};

/// Starts `threads` fetchers, and the thread for retries. The fetchers end when all lanes are closed and nothing waits,
/// the other thread at a stop.
///
/// # Errors
/// If a thread cannot be started.
pub fn start(threads: usize, schedule: &Schedule<Task>, settings: Settings) -> std::io::Result<Crew> {
    let settings = Arc::new(settings);
    let parts = Parts::new();
    let doubts = Doubts::new(settings.inputs.len(), threads);
    let (large, begun_again) = unbounded();
    let fetcher = |large| Fetcher {
        schedule: schedule.clone(),
        parts: parts.clone(),
        doubts: doubts.clone(),
        large,
        settings: Arc::clone(&settings),
    };
    let mut crew = Crew::new();
    if threads == 0 {
        return Ok(crew);
    }
    for number in 0..threads {
        let fetcher = fetcher(Some(large.clone()));
        crew.spawn(format!("fetch-{number}"), move || fetcher.run())?;
    }
    for number in 0..threads.div_ceil(FETCHERS_PER_SPARE).min(FETCH_SPARES_MAX) {
        let fetcher = fetcher(Some(large.clone()));
        crew.spawn(format!("spare-{number}"), move || fetcher.help_out())?;
    }
    let (waiter, of_large) = (fetcher(None), fetcher(None));
    crew.spawn("delay", move || waiter.wait_for_all())?;
    crew.spawn("fetch-large", move || of_large.begin_again(&begun_again))?;
    Ok(crew)
}

/// A fetcher's next action.
enum Next {
    Part(PartJob),
    Begin(Task),
    TryAgain(Box<Job>),
    /// Look again.
    Nothing,
    /// No more tasks will come.
    Closed,
}

impl Fetcher {
    pub(super) fn run(self) {
        self.work(|| true);
    }

    /// The spare fetchers: they work while others wait for parts that do not arrive.
    pub(super) fn help_out(self) {
        let doubts = self.doubts.clone();
        self.work(move || doubts.hold_others_up());
    }

    fn work(self, is_wanted: impl Fn() -> bool) {
        let mut tickets = self.schedule.tickets.clone();
        let mut is_closed = false;
        while !(is_closed && self.delays().is_empty()) {
            if !is_wanted() && !self.settings.stop.wait(FETCH_SPARE_INTERVAL) {
                continue;
            }
            match self.next(&tickets, is_closed) {
                Next::Part(part) => part.fetch(&self.settings, self.delays()),
                Next::Begin(task) => {
                    self.settings.inputs[task.input].telemetry.fetch.waiting.add(-1);
                    self.collect(task);
                }
                Next::TryAgain(job) => self.attempt(job),
                Next::Nothing => (),
                Next::Closed => (tickets, is_closed) = (never(), true),
            }
        }
    }

    pub(super) fn delays(&self) -> &Delays {
        &self.parts.delays
    }

    /// Waits for work. Parts come first, because others wait for them. Between new tasks and retries the choice is
    /// random; the schedule orders the new ones.
    fn next(&self, tickets: &Receiver<()>, is_closed: bool) -> Next {
        if let Ok(part) = self.parts.waiting.try_recv() {
            return Next::Part(part);
        }
        let patience = if is_closed { STOP_CHECK_INTERVAL } else { IDLE_CHECK_INTERVAL };
        self.settings.waits.fetch_objects.time(|| {
            let sources: [&dyn Source; 3] = [&self.parts.waiting, &self.delays().due_jobs, tickets];
            if !channel::await_any(&sources, Some(clock::now() + patience)) {
                return Next::Nothing;
            }
            if let Ok(part) = self.parts.waiting.try_recv() {
                return Next::Part(part);
            }
            let (begin, retry) = (|| self.next_task(tickets), || self.try_again());
            let found = if fastrand::bool() { begin().or_else(retry) } else { retry().or_else(begin) };
            found.unwrap_or(Next::Nothing)
        })
    }

    /// None: there is no new task at present.
    fn next_task(&self, tickets: &Receiver<()>) -> Option<Next> {
        match tickets.try_recv() {
            // The object holds its slot in the lane until its end, wherever it waits until then.
            Ok(()) => self
                .schedule
                .take()
                .map(|(task, slot)| Next::Begin(Task { share: task.share.holding(slot), ..task })),
            Err(TryRecvError::Disconnected) => Some(Next::Closed),
            Err(TryRecvError::Empty) => None,
        }
    }

    /// None: no retry is due.
    fn try_again(&self) -> Option<Next> {
        self.delays().due_jobs.try_recv().ok().and_then(|job| job.take()).map(Next::TryAgain)
    }

    /// The retry thread. At a stop it returns everything that has not been started.
    pub(super) fn wait_for_all(&self) {
        self.delays().run(&self.settings.stop);
        for (input, tasks) in self.schedule.clear() {
            self.settings.inputs[input].telemetry.fetch.waiting.add(-(tasks.len() as i64));
        }
    }

    pub(super) fn collect(&self, task: Task) {
        if self.settings.stop.is_stopped() {
            // Dropped without an outcome, so its message is returned.
            return;
        }
        let Task { source, service, input, share, fate, turn, pulled, not_before } = task;
        let case = self.case(&source, input);
        if case.standing == Standing::Refused {
            self.refuse(&source, &case, &service.name, input, &fate);
            fate.note(Ending::Deaths);
            if let TaskSource::S3(object) = &source {
                let InputSettings { ledger, id, .. } = &self.settings.inputs[input];
                ledger.note(id, object, Ending::Deaths);
            }
            return share.work(|_| ()).in_turn(turn).close(Outcome::Reject);
        }
        match source {
            TaskSource::S3(object) => {
                let InputSettings { ledger, id, telemetry, shared, .. } = &self.settings.inputs[input];
                // None: the object is in flight, and its end settles this message too; it may come at once.
                fate.note(Ending::SharedDelivery);
                let claimed = ledger.claim(id, &object, share, turn.as_ref());
                let Some(entry) = claimed.map(Arc::new) else { return };
                fate.forget();
                let settled = Arc::clone(&entry);
                let of_entry = fate.clone();
                let claim = shared.as_ref().map(|objects| Claim::new(objects, &entry));
                let of_claim = claim.clone();
                let settle = move |outcome| {
                    let ending = of_entry.ending(outcome);
                    of_claim.iter().for_each(|claim| claim.end(outcome, ending));
                    settled.settle(outcome, ending);
                };
                let ack = Ack::open(settle).in_turn(turn);
                let attempts = Attempts::new(&telemetry.buckets);
                self.attempt(Box::new(Job {
                    object,
                    service,
                    input,
                    entry,
                    claim,
                    ack,
                    fate,
                    pulled,
                    case,
                    attempts,
                    unreadable: None,
                    not_before,
                }));
            }
            TaskSource::Body { message_id, bytes } => {
                let source = WorkSource::Body { message_id };
                let ack = share.work(|_| ()).in_turn(turn);
                let account = Account::within(&self.settings.decoders);
                let decoder = self.settings.decoder(&service, bytes.len() as u64, account);
                let progress = Progress::default();
                let work =
                    Work { source, service, input, ack, fate, decoder, progress, pulled, case: Some(case) };
                self.hand_over_body(Box::new(work), bytes);
            }
        }
    }

    fn case(&self, source: &TaskSource, input: usize) -> Case {
        let id = &self.settings.inputs[input].id;
        let (place, announced) = match source {
            TaskSource::S3(object) => (Place::of(id, object), Identity::announced(object)),
            TaskSource::Body { message_id, .. } => {
                let place = Place { input: id.clone(), bucket: String::new(), key: message_id.clone() };
                (place, Identity::default())
            }
        };
        self.settings.ledger.case(place, announced)
    }

    fn refuse(&self, source: &TaskSource, case: &Case, service: &str, input: usize, fate: &Fate) {
        let telemetry = &self.settings.inputs[input].telemetry;
        telemetry.service(service).decode.failed.increment();
        telemetry.failed(&Failed {
            object: source.object(),
            polled: None,
            service: Some(service),
            delivery: fate.delivery(),
            ending: Some(Ending::Deaths),
            cause: &format!("the collector died {} times while decoding it", case.deaths()),
            kind: "deaths",
        });
    }

    /// `direct_mode`: the bytes are here already.
    fn hand_over_body(&self, work: Box<Work>, bytes: Buffer) {
        let Some(permit) = self.settings.reserve(bytes.held_bytes().max(OBJECT_BYTES_MIN)) else { return };
        let chunk = bytes.charged_to(permit);
        (self.settings.decode)(Payload { work, chunk, last: true, next: None, again: None });
    }
}

#[cfg(test)]
mod tests;
