//! Makes the channels and the threads. The last stage is started first and stopped last, so that no
//! stage ever hands on to one that is not there.

mod intake;
mod internal;
mod refused;
mod vitals;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::aws::{Client, Http, S3, Sqs};
use crate::backfill::{self, Backfill, Lister};
use crate::budget::Budget;
use crate::buffers::Buffers;
use crate::config::{Config, Globals, Input, Output, Source};
use crate::decode::{Bounds, Payload};
use crate::fetch;
use crate::ledger::{Ledger, OpenError};
use crate::limits::{
    DRAIN_PATIENCE, DRAIN_PATIENCE_LASTING, DRAIN_WAIT_TIME, LONG_POLL_NOTE, MemoryShares,
    OBJECTS_WAITING_PER_FETCHER, OTHER_FILES, RECORD_BYTES_MAX, STOP_CHECK_INTERVAL,
};
use crate::poll::{self, Paces, Poller};
use crate::receive::{self, Receiver};
use crate::send::{Outputs, Pool, PoolSettings, Rates, Renewal};
use crate::stop::Stop;
use crate::telemetry::{self, Health, Phase, Telemetry, Trouble};
use intake::Intake;
use internal::Internal;
use vitals::{Signs, Vitals};
use worker::Worker;

pub use vitals::Dead;

/// All stages, running.
pub struct Pipeline {
    telemetry: Arc<Telemetry>,
    intakes: Vec<Box<dyn Intake>>,
    fetchers: Vec<JoinHandle<()>>,
    /// Of the collector's own events.
    internal: Option<JoinHandle<()>>,
    pool: Pool,
    ledger: Ledger,
    http: Http,
    /// It ends by itself.
    ends: bool,
    /// How long a receive that is under way may still take.
    long_poll: Duration,
    /// An output may send only so much: that nothing moves is no sign of anything.
    is_limited: bool,
    shutdown_timeout: Duration,
    /// Receive no more, finish what is in work.
    stop: Stop,
    /// Finish nothing, give everything back.
    abort: Stop,
}

/// What is collected, and until when.
#[derive(Debug, Clone)]
pub enum Job {
    /// The inputs' queues, until stopped.
    Run,
    /// The inputs' queues, until they are empty.
    Drain,
    /// A listing, read as the configuration's only input, until its end.
    Backfill(Backfill),
}

/// How a running pipeline does.
#[derive(Debug)]
pub struct Pulse {
    /// An error: only a restart will help.
    pub life: Result<(), Dead>,
    /// What has been wrong for longest.
    pub trouble: Option<Trouble>,
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct Ending {
    /// Messages that failed for good (when draining).
    pub undelivered: usize,
    /// Messages that were still in work and went back to their queues; objects of a backfill.
    pub given_back: usize,
    /// Why the run was given up, if it was.
    pub gave_up: Option<String>,
}

impl Ending {
    /// Everything that was received has been delivered, or has gone back because of a stop.
    pub fn is_clean(&self) -> bool {
        self.undelivered == 0 && self.gave_up.is_none()
    }
}

impl Pipeline {
    /// Starts all stages. `telemetry` is that of `config`.
    ///
    /// # Errors
    /// Files, addresses or environment variables that cannot be used; nothing has been received then.
    pub fn start(config: &Config, job: &Job, telemetry: &Arc<Telemetry>) -> anyhow::Result<Pipeline> {
        let (stop, abort) = (Stop::new(), Stop::new());
        let globals = &config.globals;
        let senders = config.outputs.iter().map(Output::connections).sum();
        let memory = MemoryShares::of(globals.memory_limit, globals.fetchers, globals.workers, senders);
        let http = Http::new(threads_that_call(config))?;
        let counted = |(input, telemetry): (&Input, &Arc<telemetry::Input>)| {
            Client::of_input(&http, input, &abort).counted_in(&telemetry.calls)
        };
        let clients: Vec<Client> = config.inputs.iter().zip(&telemetry.inputs).map(counted).collect();
        let queues = queues(config, &clients, &stop)?;
        let ledger = open_ledger(globals, telemetry)?;
        let pool_settings = PoolSettings {
            window_bytes: memory.window,
            telemetry: Arc::clone(telemetry),
            abort: abort.clone(),
        };
        let (pool, outputs) = Pool::start(&config.outputs, &pool_settings)?;
        if matches!(job, Job::Run) {
            pool.greet(&stop)?;
        }
        let internal = internal(config, &outputs, telemetry, &stop).context("cannot start a thread")?;
        let worker = Arc::new(Worker {
            outputs: outputs_by_index(config, &outputs),
            host: globals.host.clone(),
            buffers: Buffers::new(memory.frames_kept),
            refused: Arc::default(),
            telemetry: Arc::clone(telemetry),
        });
        let workers = rayon::ThreadPoolBuilder::new()
            .num_threads(globals.workers)
            .thread_name(|number| format!("work-{number}"))
            .build()
            .context("cannot start the worker threads")?;
        let capacity = OBJECTS_WAITING_PER_FETCHER * globals.fetchers;
        let (tasks, waiting): (Vec<_>, Vec<_>) =
            config.inputs.iter().map(|_| crossbeam_channel::bounded(capacity)).unzip();
        // One flat job a payload: nothing inside it may be put on the pool again.
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
            bounds: bounds(&memory),
            waits: Arc::clone(&telemetry.waits),
            decode: Arc::clone(&decode),
            stop: stop.clone(),
            abort: abort.clone(),
        };
        let fetchers = fetch::start(globals.fetchers, &waiting, fetch_settings)
            .context("cannot start the fetcher threads")?;
        let start_intake = |index: usize, tasks| -> std::io::Result<Box<dyn Intake>> {
            let (input, telemetry) = (config.inputs[index].clone(), Arc::clone(&telemetry.inputs[index]));
            let (stop, abort) = (stop.clone(), abort.clone());
            if let Job::Backfill(backfill) = job {
                let (backfill, s3) = (backfill.clone(), S3::new(clients[index].stopped_by(&stop)));
                let settings = backfill::Settings { index, input, backfill, s3, tasks, telemetry, stop };
                return Ok(Box::new(Lister::start(settings)?));
            }
            let (receiving, settling) = queues[index].clone();
            let drain = matches!(job, Job::Drain);
            let settings =
                receive::Settings { index, input, receiving, settling, tasks, telemetry, drain, stop, abort };
            Ok(Box::new(Receiver::start(settings)?))
        };
        let intakes = tasks.into_iter().enumerate().map(|(index, tasks)| start_intake(index, tasks));
        let mut intakes: Vec<Box<dyn Intake>> =
            intakes.collect::<Result<_, _>>().context("cannot start the threads of an input")?;
        // A backfill has a listing for its only input.
        let sources = if matches!(job, Job::Backfill(_)) { &[] } else { config.sources.as_slice() };
        let paces = Paces::default();
        for (number, source) in sources.iter().enumerate() {
            let index = config.inputs.len() + number;
            let settings = poll::Settings {
                index,
                source: source.clone(),
                client: source_client(&http, source, &stop).counted_in(&telemetry.inputs[index].calls),
                paces: paces.of(source),
                ledger: ledger.clone(),
                budget: budget.clone(),
                bounds: bounds(&memory),
                telemetry: Arc::clone(&telemetry.inputs[index]),
                decode: Arc::clone(&decode),
                drain: matches!(job, Job::Drain),
                stop: stop.clone(),
                abort: abort.clone(),
            };
            intakes.push(Box::new(Poller::start(settings).context("cannot start the threads that poll")?));
        }
        let shutdown_timeout = globals.shutdown_timeout;
        telemetry.enter(Phase::Running);
        Ok(Pipeline {
            telemetry: Arc::clone(telemetry),
            intakes,
            fetchers,
            internal,
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

    /// Waits until stopped, or until the job is done, and ends all stages. All the while `beat` is told, several
    /// times a second, how the pipeline does.
    pub fn run(self, beat: &mut dyn FnMut(&Pulse)) -> Ending {
        let mut ending = Ending::default();
        let mut vitals = Vitals::new(Instant::now());
        while !self.stop.wait(STOP_CHECK_INTERVAL) && !self.is_done() {
            beat(&self.pulse(&mut vitals));
            ending.gave_up = self.hopeless();
            if ending.gave_up.is_some() {
                self.abort.stop();
                break;
            }
        }
        self.finish(ending, beat)
    }

    fn pulse(&self, vitals: &mut Vitals) -> Pulse {
        let trouble = self.troubles().min_by_key(|trouble| trouble.since);
        let is_whole = self.ends
            || (self.intakes.iter().all(|intake| intake.is_whole())
                && !self.fetchers.iter().any(JoinHandle::is_finished)
                && self.pool.is_whole());
        let signs = Signs {
            is_whole,
            movement: self.telemetry.movement(),
            is_excused: trouble.is_some() || self.is_limited || self.ends,
        };
        Pulse { life: vitals.check(signs, Instant::now()), trouble }
    }

    fn troubles(&self) -> impl Iterator<Item = Trouble> {
        let of_inputs = self.telemetry.inputs.iter().flat_map(|input| input.healths());
        of_inputs.filter_map(Health::trouble).chain(self.pool.trouble())
    }

    fn is_done(&self) -> bool {
        self.ends && self.intakes.iter().all(|intake| intake.is_finished())
    }

    /// Why going on is of no use: an output has gone for good or, if the job has an end, a trouble lasts too long.
    fn hopeless(&self) -> Option<String> {
        if let Some(closed) = self.pool.closed() {
            return Some(closed.clone());
        }
        let now = Instant::now();
        let patience =
            |trouble: &Trouble| if trouble.lasting { DRAIN_PATIENCE_LASTING } else { DRAIN_PATIENCE };
        let given_up =
            self.troubles().find(|trouble| now.saturating_duration_since(trouble.since) >= patience(trouble));
        given_up.filter(|_| self.ends).map(|trouble| trouble.message)
    }

    fn finish(self, mut ending: Ending, beat: &mut dyn FnMut(&Pulse)) -> Ending {
        self.stop.stop();
        self.telemetry.enter(Phase::Stopping);
        let begun = Instant::now();
        let deadline = begun + self.shutdown_timeout;
        let mut is_told = false;
        while !self.intakes.iter().all(|intake| intake.is_finished()) {
            // Threads end now, and the deadline bounds it.
            beat(&Pulse { life: Ok(()), trouble: None });
            if !is_told && begun.elapsed() >= LONG_POLL_NOTE && self.intakes.iter().any(|i| i.is_asking()) {
                is_told = true;
                log::info!(
                    "a long poll of SQS is still under way, for {} s at the most: broken off, it would be handed messages that nobody sees before their visibility timeout",
                    self.long_poll.as_secs()
                );
            }
            if Instant::now() >= deadline || self.abort.wait(STOP_CHECK_INTERVAL / 2) {
                self.abort.stop();
                break;
            }
        }
        if self.ends && self.abort.is_stopped() {
            self.await_pollers();
        }
        // Before anybody else can have what goes back.
        self.ledger.save();
        ending.undelivered = self.intakes.iter().map(|intake| intake.undelivered()).sum();
        ending.given_back = self.intakes.into_iter().map(|intake| intake.finish()).sum();
        if self.abort.is_stopped() {
            // Long polls are broken off; threads that still work are left to the end of the process.
            self.http.shutdown();
            return ending;
        }
        // With the intakes went the tasks' channel, which ends the fetchers, with whom go the
        // outputs, which ends the senders.
        for fetcher in self.fetchers {
            let _ = fetcher.join();
        }
        if let Some(internal) = self.internal {
            let _ = internal.join();
        }
        self.pool.join();
        self.ledger.close();
        ending
    }

    /// A drain's receives are short: what is given back after them does not come to ourselves.
    fn await_pollers(&self) {
        let deadline = Instant::now() + 2 * DRAIN_WAIT_TIME;
        while self.intakes.iter().any(|intake| intake.is_asking()) && Instant::now() < deadline {
            std::thread::sleep(STOP_CHECK_INTERVAL / 2);
        }
    }
}

/// Open files that a run may need at a time: a connection for every thread that has one, and some more
/// for everything else.
pub fn files_needed(config: &Config) -> u64 {
    let senders: usize = config.outputs.iter().map(Output::connections).sum();
    (threads_that_call(config) + senders + OTHER_FILES) as u64
}

fn threads_that_call(config: &Config) -> usize {
    let per_input = |input: &Input| input.receivers + 2;
    let queues = config.inputs.iter().map(per_input).sum::<usize>();
    config.globals.fetchers + queues + config.sources.len()
}

/// Two handles on each queue: waits of the first end when nothing more is to be received, those of
/// the second only when everything is to end.
fn queues(config: &Config, clients: &[Client], stop: &Stop) -> anyhow::Result<Vec<(Sqs, Sqs)>> {
    let queue = |(input, client): (&Input, &Client)| {
        let receiving = Sqs::new(client.stopped_by(stop), &input.queue)?;
        Ok((receiving, Sqs::new(client.clone(), &input.queue)?))
    };
    config.inputs.iter().zip(clients).map(queue).collect()
}

fn source_client(http: &Http, source: &Source, stop: &Stop) -> Client {
    let Source { name, credentials, endpoints, region, .. } = source;
    Client::new(http, name, credentials, endpoints, region, stop)
}

/// Of the inputs, then of the sources.
fn outputs_by_index(config: &Config, outputs: &Outputs) -> Vec<Outputs> {
    let of_inputs = config.inputs.iter().map(|input| outputs_of(input, outputs));
    of_inputs.chain(config.sources.iter().map(|_| outputs.clone())).collect()
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
        s3: S3::new(client.clone()),
        id: input.id.clone(),
        // What was not sent must not be remembered as delivered.
        ledger: if input.do_not_send { Ledger::none() } else { ledger.clone() },
        missing_object: input.missing_object,
        telemetry: Arc::clone(telemetry),
    }
}

fn internal(
    config: &Config,
    outputs: &Outputs,
    telemetry: &Arc<Telemetry>,
    stop: &Stop,
) -> std::io::Result<Option<JoinHandle<()>>> {
    let Some(settings) = config.globals.internal_events.clone() else { return Ok(None) };
    let is_meant = |output: &Output| settings.output.as_ref() == Some(&output.name);
    let internal = Internal {
        output: config.outputs.iter().position(is_meant),
        settings,
        host: config.globals.host.clone(),
        outputs: outputs.clone(),
        telemetry: Arc::clone(telemetry),
        stop: stop.clone(),
    };
    internal.start().map(Some)
}

fn open_ledger(globals: &Globals, telemetry: &Arc<Telemetry>) -> Result<Ledger, OpenError> {
    match Ledger::open(&globals.state_directory, telemetry) {
        Err(error) if !globals.state_required => {
            log::error!("{error}. Going on without a ledger, as `persistence.required: false` says");
            Ok(Ledger::none())
        }
        opened => opened,
    }
}

fn bounds(memory: &MemoryShares) -> Bounds {
    Bounds {
        scratch_bytes_max: memory.scratch,
        record_bytes_max: RECORD_BYTES_MAX.min(memory.scratch),
        held_bytes_max: memory.scratch,
        ..Bounds::default()
    }
}
