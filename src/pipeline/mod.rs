//! Creates the channels and the threads. The last stage is started first and stopped last, so that no stage ever passes
//! work to a missing one.

mod audit;
mod finish;
mod intake;
mod internal;
mod job;
mod ledger;
mod refused;
mod silence;
#[cfg(test)]
mod tests;
mod vitals;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::aws::{AccountId, Client, Http, S3, Sqs, Sts};
use crate::base::budget::Budget;
use crate::base::buffers::Buffers;
use crate::base::crew::Crew;
use crate::base::limits::{
    AUDIT_OBJECTS_IN_WORK_MAX, DECODERS_BYTES_PER_WORKER, DECODERS_BYTES_USUAL, DRAIN_PATIENCE,
    DRAIN_PATIENCE_LASTING, MESSAGES_WAITING_PER_FETCHER, MemoryShares, OBJECTS_BEGUN_PER_INPUT_MIN,
    OTHER_FILES, RECORD_BYTES_MAX, SQS_BATCH, STATUS_CONNECTIONS_MAX, STOP_CHECK_INTERVAL,
};
use crate::base::stop::Stop;
use crate::decode::Bounds;
use crate::handoff::schedule;
use crate::handoff::schedule::Lane;
use crate::handoff::{Payload, Task};
use crate::ledger::Ledger;
use crate::settings::Rates;
use crate::settings::{Config, Input, Output, Source};
use crate::stages::backfill;
use crate::stages::backfill::{Feeder, Lister};
use crate::stages::fetch;
use crate::stages::receive;
use crate::stages::receive::Receiver;
use crate::stages::send::{Outputs, Pool, PoolSettings, Renewal};
use crate::stages::sources;
use crate::stages::sources::{Paces, Poller};
use crate::telemetry::{self, Health, Phase, Telemetry, Trouble};
use intake::Intake;
use internal::Internal;
use vitals::{Signs, Vitals};
use worker::Worker;

pub use job::{Job, Pulse};
pub use ledger::{is_temporary, scope};
pub use vitals::Dead;

/// All stages, running.
pub struct Pipeline {
    telemetry: Arc<Telemetry>,
    intakes: Vec<Box<dyn Intake>>,
    /// The fetcher threads; none if there is nothing to fetch.
    fetchers: Crew,
    /// The thread for internal events, if enabled.
    internal: Crew,
    /// The thread that looks for silent services.
    silence: Crew,
    /// Kept until the end: senders end when nothing can reach them any more.
    outputs: Option<Outputs>,
    pool: Pool,
    ledger: Ledger,
    http: Http,
    /// It ends by itself.
    ends: bool,
    /// How long a pending receive may still take.
    long_poll: Duration,
    /// An output has a rate limit, so standing still is not suspicious.
    is_limited: bool,
    shutdown_timeout: Duration,
    /// Stops receiving; work in flight is finished.
    stop: Stop,
    /// Aborts: nothing is finished, everything is returned.
    abort: Stop,
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Ending {
    /// Messages that failed for good (while draining).
    pub undelivered: usize,
    /// Messages that were not finished because of the stop, and will be redelivered.
    pub given_back: u64,
    /// A drain or a backfill was stopped early.
    pub interrupted: bool,
    /// The reason why the run was aborted, if it was.
    pub gave_up: Option<String>,
}

impl Ending {
    /// True if the job was done: a run ended by a stop, a drain or a backfill that delivered everything.
    pub fn is_clean(&self) -> bool {
        self.undelivered == 0 && self.gave_up.is_none() && !self.interrupted
    }
}

impl Pipeline {
    /// Starts all stages. `telemetry` is that of `config`.
    ///
    /// # Errors
    /// Unusable files, addresses or environment variables; nothing has been received then.
    pub fn start(config: &Config, job: &Job, telemetry: &Arc<Telemetry>) -> anyhow::Result<Pipeline> {
        Pipeline::start_patiently(config, job, telemetry, &Stop::new(), &mut |_| ())
    }

    /// Starts all stages, but waits for temporary obstacles, unless `stop` comes first; `beat` is called meanwhile.
    /// `stop` becomes the pipeline's own; it is raised after an error.
    ///
    /// # Errors
    /// Those of [`Pipeline::start`]; [`is_temporary`] distinguishes those that are not the configuration's.
    pub fn start_patiently(
        config: &Config,
        job: &Job,
        telemetry: &Arc<Telemetry>,
        stop: &Stop,
        beat: &mut dyn FnMut(&Pulse),
    ) -> anyhow::Result<Pipeline> {
        let (stop, abort) = (stop.clone(), Stop::new());
        let unfinished = Unfinished(Some([stop.clone(), abort.clone()]));
        let globals = &config.globals;
        let memory = MemoryShares::of(globals.memory_limit, &config.crew());
        let http = Http::new(threads_that_call(config))?;
        let counted = |(input, telemetry): (&Input, &Arc<telemetry::Input>)| {
            Client::of_input(&http, input, &abort).counted_in(telemetry)
        };
        let clients: Vec<Client> = config.inputs.iter().zip(&telemetry.inputs).map(counted).collect();
        let queues = queues(config, &clients, &stop)?;
        let accounts: Vec<AccountId> =
            config.inputs.iter().zip(&clients).map(|(input, client)| account(input, client, &stop)).collect();
        let ledger = ledger::open(config, job, telemetry, &stop, beat)?;
        clients.iter().for_each(|client| keep_time(&ledger, client));
        let pool_settings = PoolSettings {
            window_bytes: memory.window,
            telemetry: Arc::clone(telemetry),
            abort: abort.clone(),
        };
        let (mut pool, outputs) = Pool::start(&config.outputs, &pool_settings)?;
        if matches!(job, Job::Run) {
            pool.greet(&stop)?;
        }
        let internal = internal(config, &outputs, telemetry, &stop).context("cannot start a thread")?;
        let worker = Arc::new(Worker {
            outputs: outputs_by_index(config, &outputs),
            host: globals.host.clone(),
            buffers: Buffers::new(memory.frames_kept),
            budget: Budget::new(memory.frames),
            abort: abort.clone(),
            suspects: ledger.suspects().clone(),
            refused: Arc::default(),
            ledger: ledger.clone(),
            sources: sources(config),
            telemetry: Arc::clone(telemetry),
            accounts: accounts.clone(),
        });
        let workers = rayon::ThreadPoolBuilder::new()
            .num_threads(globals.workers)
            .thread_name(|number| format!("work-{number}"))
            .build()
            .context("cannot start the worker threads")?;
        let (lanes, schedule) = schedule::new(config.inputs.len(), lane_bounds(config, &memory));
        // One flat job per payload: nothing inside it may be put on the pool again.
        let decode: Arc<dyn Fn(Payload) + Send + Sync> = Arc::new(move |payload| {
            let worker = Arc::clone(&worker);
            worker.telemetry.work.waiting.add(1);
            workers.spawn_fifo(move || worker.process(payload));
        });
        let budget = telemetry.compressed.get_or_init(|| Budget::new(memory.compressed));
        let fetch_settings = fetch::Settings {
            inputs: config
                .inputs
                .iter()
                .zip(&clients)
                .zip(&telemetry.inputs)
                .map(|((input, client), telemetry)| fetch_side(input, client, telemetry, &ledger))
                .collect(),
            budget: budget.clone(),
            buffers: Buffers::new(memory.compressed_kept),
            whole_object_bytes_max: memory.whole_object,
            bounds: bounds(&memory, globals.workers),
            decoders: Budget::new(decoders_bytes(&memory, globals.workers)),
            ledger: ledger.clone(),
            waits: Arc::clone(&telemetry.waits),
            decode: Arc::clone(&decode),
            stop: stop.clone(),
            abort: abort.clone(),
        };
        let fetchers = fetch::start(config.fetchers(), &schedule, fetch_settings)
            .context("cannot start the fetcher threads")?;
        let bodies_large = Budget::new(memory.bodies_large);
        let start_intake = |index: usize, tasks| -> std::io::Result<Box<dyn Intake>> {
            let (input, telemetry) = (config.inputs[index].clone(), Arc::clone(&telemetry.inputs[index]));
            let (stop, abort) = (stop.clone(), abort.clone());
            let account = accounts[index].clone();
            if let Job::Backfill(backfill) = job {
                let s3 = S3::new(clients[index].stopped_by(&stop)).paid_by_caller(input.request_payer);
                let backfill = backfill.clone();
                let ledger = match backfill.listing.is_given() {
                    true => Ledger::none(),
                    false => remembering(&input, &ledger),
                };
                let settings = backfill::Settings {
                    index,
                    input,
                    account,
                    backfill,
                    s3,
                    tasks,
                    ledger,
                    telemetry,
                    stop,
                };
                return Ok(Box::new(Lister::start(settings)?));
            }
            let (receiving, settling) = queues[index].clone();
            let drain = matches!(job, Job::Drain);
            let (messages_max, bodies_bytes, bodies_large) =
                (memory.messages, memory.bodies, bodies_large.clone());
            let settings = receive::Settings {
                index,
                input,
                account,
                receiving,
                settling,
                ledger: ledger.clone(),
                tasks,
                telemetry,
                messages_max,
                bodies_bytes,
                bodies_large,
                drain,
                stop,
                abort,
            };
            Ok(Box::new(Receiver::start(settings)?))
        };
        let feeders = feeders(&lanes, telemetry, &stop);
        let intakes = lanes.into_iter().enumerate().map(|(index, tasks)| start_intake(index, tasks));
        let mut intakes: Vec<Box<dyn Intake>> =
            intakes.collect::<Result<_, _>>().context("cannot start the threads of an input")?;
        if let Some(audit) = globals.audit.clone().filter(|_| matches!(job, Job::Run)) {
            let s3 = |(input, client): (&Input, &Client)| {
                S3::new(client.stopped_by(&stop)).paid_by_caller(input.request_payer)
            };
            let settings = audit::Settings {
                audit,
                inputs: config.inputs.clone(),
                s3: config.inputs.iter().zip(&clients).map(s3).collect(),
                queues: queues.iter().map(|(receiving, _)| receiving.clone()).collect(),
                feeders,
                ledger: ledger.clone(),
                state_directory: globals.state_directory.clone(),
                telemetry: Arc::clone(telemetry),
                stop: stop.clone(),
            };
            intakes.push(Box::new(audit::Auditor::start(settings).context("cannot start a thread")?));
        }
        // A backfill's only input is a listing.
        let sources = if matches!(job, Job::Backfill(_)) { &[] } else { config.sources.as_slice() };
        let paces = Paces::default();
        for (number, source) in sources.iter().enumerate() {
            let index = config.inputs.len() + number;
            let client = source_client(&http, source, &stop).counted_in(&telemetry.inputs[index]);
            keep_time(&ledger, &client);
            let settings = sources::Settings {
                index,
                source: source.clone(),
                client,
                paces: paces.of(source),
                ledger: ledger.clone(),
                budget: budget.clone(),
                bounds: bounds(&memory, globals.workers),
                telemetry: Arc::clone(&telemetry.inputs[index]),
                decode: Arc::clone(&decode),
                drain: matches!(job, Job::Drain),
                stop: stop.clone(),
                abort: abort.clone(),
            };
            intakes.push(Box::new(Poller::start(settings).context("cannot start the threads that poll")?));
        }
        let silence = match job {
            Job::Run => silence::start(config, telemetry, &stop).context("cannot start a thread")?,
            Job::Drain | Job::Backfill(_) => Crew::new(),
        };
        let shutdown_timeout = globals.shutdown_timeout;
        telemetry.enter(Phase::Running);
        unfinished.finish();
        Ok(Pipeline {
            telemetry: Arc::clone(telemetry),
            intakes,
            fetchers,
            internal,
            silence,
            outputs: Some(outputs),
            pool,
            ledger,
            http,
            ends: !matches!(job, Job::Run),
            long_poll: config.inputs.iter().map(|input| input.wait_time).max().unwrap_or_default(),
            is_limited: config.outputs.iter().any(|output| output.rates != Rates::default()),
            shutdown_timeout,
            stop,
            abort,
        })
    }

    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// Stopping this ends [`Pipeline::run`] in good order.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// The outputs' certificates.
    pub fn renewal(&self) -> Renewal {
        self.pool.renewal()
    }

    /// Waits until stopped, or until the job is done, and ends all stages. Meanwhile `beat` gets the pipeline's state
    /// several times a second.
    pub fn run(self, beat: &mut dyn FnMut(&Pulse)) -> Ending {
        let mut ending = Ending::default();
        let mut vitals = Vitals::new(Instant::now());
        loop {
            // In this order: a thread that panics shows the panic before its end, and one that ends because of a stop
            // has not finished its job.
            let is_done = self.is_done() && !self.stop.is_stopped();
            let pulse = self.pulse(&mut vitals);
            ending.gave_up = self.hopeless(&pulse, is_done);
            if ending.gave_up.is_some() {
                self.abort.stop();
            }
            if is_done || ending.gave_up.is_some() {
                break;
            }
            beat(&pulse);
            if self.stop.wait(STOP_CHECK_INTERVAL) {
                ending.interrupted = self.ends;
                break;
            }
        }
        self.finish(ending, beat)
    }

    fn pulse(&self, vitals: &mut Vitals) -> Pulse {
        let trouble = self.troubles().min_by_key(|trouble| trouble.since);
        let signs = Signs {
            lost_thread: self.lost_thread().map(str::to_owned),
            movement: self.telemetry.movement(),
            is_excused: trouble.is_some() || self.is_limited || self.ends,
        };
        let life = vitals.check(signs, Instant::now());
        self.telemetry.collector.lives(&life);
        Pulse { life, trouble }
    }

    /// A thread that has ended unexpectedly.
    fn lost_thread(&self) -> Option<&str> {
        let pulling = self.intakes.iter().map(|intake| intake.pulling());
        // If the job has an end, theirs is not suspicious.
        let pulling = pulling.filter_map(|crew| if self.ends { crew.panicked() } else { crew.ended() });
        let serving = self.intakes.iter().flat_map(|intake| intake.serving());
        let stages = [&self.fetchers, &self.internal, &self.silence]
            .into_iter()
            .chain(self.pool.crews())
            .chain(self.ledger.crew());
        let lost = pulling.chain(serving.chain(stages).filter_map(Crew::ended)).next();
        // A stop that came meanwhile explains it.
        lost.filter(|_| !self.stop.is_stopped())
    }

    fn troubles(&self) -> impl Iterator<Item = Trouble> {
        let of_inputs = self.telemetry.inputs.iter().flat_map(|input| input.healths());
        of_inputs.filter_map(Health::trouble).chain(self.pool.trouble())
    }

    fn is_done(&self) -> bool {
        self.ends && self.intakes.iter().all(|intake| intake.is_finished())
    }

    /// The reason to abort: an output is gone for good or, if the job has an end, it did not end well or a trouble
    /// lasts too long.
    fn hopeless(&self, pulse: &Pulse, is_done: bool) -> Option<String> {
        if let Some(closed) = self.pool.closed() {
            return Some(closed.clone());
        }
        if !self.ends {
            return None;
        }
        if let Err(dead) = &pulse.life {
            return Some(dead.to_string());
        }
        let now = Instant::now();
        let patience =
            |trouble: &Trouble| if trouble.lasting { DRAIN_PATIENCE_LASTING } else { DRAIN_PATIENCE };
        let is_over = |trouble: &Trouble| now.saturating_duration_since(trouble.since) >= patience(trouble);
        self.troubles().filter(|_| !is_done).find(is_over).map(|trouble| trouble.message)
    }
}

/// Ends the threads of a start that fails in the middle: a collector that continues otherwise must not have unknown
/// receivers.
struct Unfinished(Option<[Stop; 2]>);

impl Unfinished {
    fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.iter().flatten().for_each(Stop::stop);
    }
}

/// Open files that a run may need at a time: a connection for every thread that has one, and some more for everything
/// else.
pub fn files_needed(config: &Config) -> u64 {
    let senders: usize = config.outputs.iter().map(Output::connections).sum();
    // Each connection of the status page has two handles.
    let status = if config.globals.status.is_some() { 2 * STATUS_CONNECTIONS_MAX } else { 0 };
    (threads_that_call(config) + senders + status + OTHER_FILES) as u64
}

fn threads_that_call(config: &Config) -> usize {
    // Leases, deletions and returns usually need a thread each, and so does the queue's watch.
    let per_input = |input: &Input| input.receivers + 4;
    let queues = config.inputs.iter().map(per_input).sum::<usize>();
    let audits = usize::from(config.globals.audit.is_some());
    config.fetchers() + queues + config.sources.len() + audits
}

/// Two handles on each queue: waits of the first end when receiving stops, those of the second only at an abort.
fn queues(config: &Config, clients: &[Client], stop: &Stop) -> anyhow::Result<Vec<(Sqs, Sqs)>> {
    let queue = |(input, client): (&Input, &Client)| {
        let receiving = Sqs::new(client.stopped_by(stop), &input.queue)?;
        Ok((receiving, Sqs::new(client.clone(), &input.queue)?))
    };
    config.inputs.iter().zip(clients).map(queue).collect()
}

/// The account for the tags of an input: from a role's ARN, else from STS.
fn account(input: &Input, client: &Client, stop: &Stop) -> AccountId {
    if !input.services.iter().any(|service| service.uses_account()) {
        return AccountId::default();
    }
    let is_needed = input.services.iter().any(|service| service.needs_account());
    AccountId::new(input.credentials.role_account(), is_needed, Sts::new(client.stopped_by(stop)))
}

/// The ledger expires entries by AWS's clock.
fn keep_time(ledger: &Ledger, client: &Client) {
    let clock = client.clock().clone();
    ledger.keep_time_by(move || clock.is_known().then(|| clock.now()));
}

fn source_client(http: &Http, source: &Source, stop: &Stop) -> Client {
    let Source { name, credentials, endpoints, region, .. } = source;
    Client::new(http, name, credentials, endpoints, region, stop)
}

/// Those of the inputs, then of the sources.
fn outputs_by_index(config: &Config, outputs: &Outputs) -> Vec<Outputs> {
    let of_inputs = config.inputs.iter().map(|input| outputs_of(input, outputs));
    of_inputs.chain(config.sources.iter().map(|_| outputs.clone())).collect()
}

/// The names under which sent events are counted in the ledger, by the index of the input. None if they are not sent.
fn sources(config: &Config) -> Vec<Option<String>> {
    let of_inputs = config.inputs.iter().map(|input| (!input.do_not_send).then(|| input.id.clone()));
    of_inputs.chain(config.sources.iter().map(|source| Some(source.name.clone()))).collect()
}

fn outputs_of(input: &Input, outputs: &Outputs) -> Outputs {
    if input.do_not_send { Outputs::none() } else { outputs.clone() }
}

fn fetch_side(
    input: &Input,
    client: &Client,
    telemetry: &Arc<telemetry::Input>,
    ledger: &Ledger,
) -> fetch::InputSettings {
    fetch::InputSettings {
        // Retries wait in another place.
        s3: S3::new(client.without_waits()).paid_by_caller(input.request_payer),
        id: input.id.clone(),
        ledger: remembering(input, ledger),
        missing_object: input.missing_object,
        telemetry: Arc::clone(telemetry),
    }
}

/// The feeders for missing objects, by the index of the input.
fn feeders(lanes: &[Lane<Task>], telemetry: &Telemetry, stop: &Stop) -> Vec<Feeder> {
    let feeder = |((index, tasks), telemetry): ((usize, &Lane<Task>), &Arc<telemetry::Input>)| Feeder {
        index,
        tasks: tasks.clone(),
        slots: Budget::new(AUDIT_OBJECTS_IN_WORK_MAX),
        telemetry: Arc::clone(telemetry),
        stop: stop.clone(),
    };
    lanes.iter().enumerate().zip(&telemetry.inputs).map(feeder).collect()
}

/// The ledger of an input: unsent objects must not be recorded as delivered.
fn remembering(input: &Input, ledger: &Ledger) -> Ledger {
    if input.do_not_send { Ledger::none() } else { ledger.clone() }
}

fn internal(
    config: &Config,
    outputs: &Outputs,
    telemetry: &Arc<Telemetry>,
    stop: &Stop,
) -> std::io::Result<Crew> {
    let Some(settings) = config.globals.internal_events.clone() else { return Ok(Crew::new()) };
    let is_meant = |output: &Output| settings.output.as_ref() == Some(&output.name);
    let internal = Internal {
        output: config.outputs.iter().position(is_meant),
        settings,
        host: config.globals.host.clone(),
        outputs: outputs.clone(),
        telemetry: Arc::clone(telemetry),
        stop: stop.clone(),
    };
    internal.start()
}

/// The bounds of each input's lane. Started objects take memory that no other budget covers, so the inputs share their
/// maximum number. Messages that may be in flight do not wait for each other.
fn lane_bounds(config: &Config, memory: &MemoryShares) -> schedule::Bounds {
    let messages = MESSAGES_WAITING_PER_FETCHER * config.globals.fetchers;
    let receivers = config.inputs.iter().map(|input| input.receivers).max().unwrap_or_default();
    let share = memory.objects / config.inputs.len().max(1);
    let begun = share.max(memory.messages + receivers * SQS_BATCH).max(messages);
    schedule::Bounds { messages, tasks: begun, begun: begun.max(OBJECTS_BEGUN_PER_INPUT_MIN) }
}

/// Bytes that all decoders together may hold. The workers' expanded bytes have two uses: the output of one gzip member,
/// which each worker has separately, and decoder state between chunks, which all share.
fn decoders_bytes(memory: &MemoryShares, workers: usize) -> usize {
    let all = memory.scratch * workers;
    (all / 2).min(DECODERS_BYTES_USUAL.max(DECODERS_BYTES_PER_WORKER * workers))
}

fn bounds(memory: &MemoryShares, workers: usize) -> Bounds {
    let decoders = decoders_bytes(memory, workers);
    Bounds {
        scratch_bytes_max: memory.scratch - decoders / workers,
        record_bytes_max: RECORD_BYTES_MAX.min(memory.scratch).min(decoders),
        held_bytes_max: decoders,
        ..Bounds::default()
    }
}
