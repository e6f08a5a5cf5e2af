//! object -> payload: ranged GETs.
//!
//! A fixed number of threads. Each takes an object, reads its first part, and then decides by the
//! object's size: what fits goes on whole, so that it can be inflated in one call; what does not goes
//! on as a [`stream`] of parts. The parts of a stream are put up for all threads; a thread that waits for
//! its own parts works on those that are up, so that there is always someone to do them.

mod large;
mod object;
mod outage;
mod parts;
mod stream;

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError, unbounded};

use crate::ack::{Ack, Outcome, Progress};
use crate::aws::S3;
use crate::budget::{Budget, Permit};
use crate::buffers::Buffers;
use crate::config::MissingObject;
use crate::decode::{Account, Bounds, Decoder, Payload, Work};
use crate::ledger::{Case, Identity, Ledger, Place, Standing};
use crate::limits::OBJECT_BYTES_MIN;
use crate::resolve::{Source, Task};
use crate::stop::Stop;
use crate::telemetry::{self, Waits};
use large::Large;
use parts::Parts;

/// What the threads share.
pub struct Settings {
    /// By the index of the input.
    pub inputs: Vec<InputSettings>,
    /// Compressed bytes that may be held.
    pub budget: Budget,
    /// Where these are held.
    pub buffers: Buffers,
    /// Largest object that is held whole, in bytes.
    pub whole_object_bytes_max: usize,
    pub bounds: Bounds,
    /// What all decoders together may hold.
    pub decoders: Budget,
    /// Knows the objects over which the process died before.
    pub ledger: Ledger,
    pub waits: Arc<Waits>,
    /// Takes a payload over. May wait, but only for what lies downstream.
    pub decode: Arc<dyn Fn(Payload) + Send + Sync>,
    /// Begin no more objects.
    pub stop: Stop,
    /// Ends waits; what is in hand then counts as not delivered.
    pub abort: Stop,
}

/// One input's side of it.
pub struct InputSettings {
    pub s3: S3,
    /// `id` of the input.
    pub id: String,
    /// What it has delivered before.
    pub ledger: Ledger,
    pub missing_object: MissingObject,
    pub telemetry: Arc<telemetry::Input>,
}

/// Starts `threads` threads. `tasks` are the inputs' channels; the threads end when all are closed and
/// empty.
///
/// # Errors
/// When the machine will not start another thread.
pub fn start(
    threads: usize,
    tasks: &[Receiver<Task>],
    settings: Settings,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let settings = Arc::new(settings);
    let parts = Parts::new();
    let (large, begun_again) = unbounded();
    let start = |number| {
        let fetcher = Fetcher {
            tasks: tasks.to_vec(),
            parts: parts.clone(),
            large: Some(large.clone()),
            settings: Arc::clone(&settings),
        };
        std::thread::Builder::new().name(format!("fetch-{number}")).spawn(move || fetcher.run())
    };
    let mut started: Vec<JoinHandle<()>> = (0..threads).map(start).collect::<std::io::Result<_>>()?;
    let of_large =
        Fetcher { tasks: Vec::new(), parts: parts.clone(), large: None, settings: Arc::clone(&settings) };
    let run = move || of_large.begin_again(&begun_again);
    started.push(std::thread::Builder::new().name("fetch-large".into()).spawn(run)?);
    Ok(started)
}

impl Settings {
    /// Waits for room in the memory budget. None when aborted.
    fn reserve(&self, amount: usize) -> Option<Permit> {
        self.waits.fetch_memory.time(|| self.budget.acquire(amount, &self.abort))
    }
}

struct Fetcher {
    /// One for each input that is still open.
    tasks: Vec<Receiver<Task>>,
    parts: Parts,
    /// Where objects go that are to be begun again. None: this is where they go.
    large: Option<Sender<Large>>,
    settings: Arc<Settings>,
}

impl Fetcher {
    fn run(mut self) {
        while !self.tasks.is_empty() {
            if let Ok(part) = self.parts.waiting.try_recv() {
                part.fetch(&self.settings);
            } else if let Some(task) = self.next_task() {
                self.collect(task);
            }
        }
    }

    /// Waits for a task or a part. Among inputs that have tasks the choice is random, so that a flood on
    /// one does not starve the others. None: look again.
    fn next_task(&mut self) -> Option<Task> {
        let ready = {
            let mut select = Select::new();
            for tasks in &self.tasks {
                select.recv(tasks);
            }
            select.recv(&self.parts.waiting);
            self.settings.waits.fetch_objects.time(|| select.ready())
        };
        match self.tasks.get(ready)?.try_recv() {
            Ok(task) => {
                self.settings.inputs[task.input].telemetry.fetch.waiting.add(-1);
                Some(task)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.tasks.swap_remove(ready);
                None
            }
        }
    }

    fn collect(&self, task: Task) {
        if self.settings.stop.is_stopped() {
            // Dropped without a word: its message goes back.
            return;
        }
        let Task { source, service, input, share, turn, pulled } = task;
        let _active = self.settings.inputs[input].telemetry.fetch.active.hold();
        let account = Account::within(&self.settings.decoders);
        let decoder = Decoder::within(service.format.clone(), self.settings.bounds, account);
        let progress = Progress::default();
        let case = self.case(&source, input);
        if let Some(case) = case.as_ref().filter(|case| case.standing == Standing::Refused) {
            self.refuse(&source, case, &service.name, input);
            return share.resolve(Outcome::Reject);
        }
        let work = |source, ack| {
            Box::new(Work { source, service, input, ack, decoder, progress, turn, pulled, case })
        };
        match source {
            Source::S3(object) => {
                let InputSettings { ledger, id, .. } = &self.settings.inputs[input];
                // None: the object is in work, and its end answers for this message too.
                let Some(entry) = ledger.claim(id, &object, share).map(Arc::new) else { return };
                let settled = Arc::clone(&entry);
                let ack = Ack::open(move |outcome| settled.settle(outcome));
                self.collect_object(work(Source::S3(object.clone()), ack), &object, &entry);
            }
            // Pages come with their bytes; none is ever put up for fetching.
            Source::Page { .. } => (),
            Source::Body { message_id, bytes } => {
                let ack = Ack::open(move |outcome: Outcome| share.resolve(outcome));
                self.hand_over_body(work(Source::Body { message_id, bytes: Vec::new() }, ack), bytes);
            }
        }
    }

    /// None: it has no name.
    fn case(&self, source: &Source, input: usize) -> Option<Case> {
        let id = &self.settings.inputs[input].id;
        let (place, announced) = match source {
            Source::S3(object) => (Place::of(id, object), Identity::announced(object)),
            Source::Body { message_id, .. } => {
                let place = Place { input: id.clone(), bucket: String::new(), key: message_id.clone() };
                (place, Identity::default())
            }
            Source::Page { .. } => return None,
        };
        Some(self.settings.ledger.case(place, announced))
    }

    fn refuse(&self, source: &Source, case: &Case, service: &str, input: usize) {
        let InputSettings { telemetry, id, .. } = &self.settings.inputs[input];
        telemetry.service(service).decode.failed.increment();
        log::error!(
            "{source}: is refused, because the collector died {} times while it decoded it. Its message is left to \
             the queue's redrive policy. To try it again: aws-to-devo ledger forget --input {id} --match {}",
            case.deaths(),
            case.key().escape_debug()
        );
    }

    /// `direct_mode`: the bytes are here already.
    fn hand_over_body(&self, work: Box<Work>, chunk: Vec<u8>) {
        let amount = chunk.len().max(OBJECT_BYTES_MIN);
        let Some(permit) = self.settings.reserve(amount) else { return };
        (self.settings.decode)(Payload {
            work,
            chunk: chunk.into(),
            last: true,
            permit,
            next: None,
            again: None,
        });
    }
}
