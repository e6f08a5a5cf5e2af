//! The `run` command.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::exit::{REFUSED, TRY_AGAIN, UNDELIVERED};
use super::files::Files;
use super::heart::Heart;
use super::level::level;
use super::live::Live;
use super::notify::ServiceManager;
use super::reload::Reload;
use super::signals::Signals;
use crate::base::backoff::Backoff;
use crate::base::limits::{RESTART_BACKOFF_FIRST, RESTART_BACKOFF_MAX};
use crate::base::stop::Stop;
use crate::config::Loaded;
use crate::pipeline::{self, Ending, Job, Outside, Pipeline};
use crate::settings::Config;
use crate::status::Status;
use crate::telemetry::{Reporter, Telemetry};

/// Interval between statistics lines.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(60);

/// Runs until a signal, or with `drain` until the queues are empty.
pub fn run(files: &Files, drain: bool, live: bool) -> ExitCode {
    let live = Live::new(live);
    let Some(loaded) = load_around(files, live.writer()) else { return ExitCode::from(REFUSED) };
    let purpose = if drain { " to drain its queues" } else { "" };
    log::info!("aws-to-devo {} starts{purpose}", super::version::line());
    let manager = Arc::new(ServiceManager::of_environment());
    match run_loaded(loaded, files, drain, &manager, &live) {
        Ok(ending) => report(&ending),
        Err(refused) => refused,
    }
}

/// Runs one pipeline after the other: a reload that changes more than certificates ends one and starts the next. Once a
/// pipeline has run, the process does not exit because a restart fails: it keeps retrying.
fn run_loaded(
    mut loaded: Loaded,
    files: &Files,
    drain: bool,
    manager: &Arc<ServiceManager>,
    live: &Live,
) -> Result<Ending, ExitCode> {
    let job = if drain { Job::Drain } else { Job::Run };
    let reload = Reload::new(files, loaded.snapshot.clone(), manager);
    let hangup = reload.clone();
    let signals = listen((!drain).then(|| Box::new(move || hangup.hangup()) as _), manager);
    let mut old: Option<Loaded> = None;
    let mut before: Option<Arc<Telemetry>> = None;
    let mut backoff = Backoff::new(RESTART_BACKOFF_FIRST, RESTART_BACKOFF_MAX);
    let mut is_described = false;
    loop {
        if !std::mem::replace(&mut is_described, true) {
            describe(&loaded.config);
        }
        let stop = Stop::new();
        signals.govern(&stop, loaded.config.globals.shutdown_timeout);
        let run = match start_after(before.as_deref(), &loaded.config, &job, &stop, manager) {
            Ok(run) => run,
            Err(_) if signals.is_stopping() => return Ok(Ending { interrupted: drain, ..Ending::default() }),
            Err(refused) if before.is_none() => return Err(refused),
            Err(_) => {
                if let Some(old) = old.take() {
                    log::error!("the old configuration runs again");
                    reload.goes_back(old.snapshot.clone());
                    (loaded, is_described) = (old, false);
                } else {
                    let rested = Stop::new();
                    signals.govern(&rested, loaded.config.globals.shutdown_timeout);
                    // The process is alive, and says so.
                    let resting = before.as_ref().map(|before| Arc::new(before.successor(&loaded.config)));
                    let _status =
                        resting.as_ref().and_then(|telemetry| status(&loaded.config, &job, telemetry));
                    rest(backoff.pause(), &rested, manager);
                }
                if let Some(next) = reload.next() {
                    (old, is_described) = (Some(std::mem::replace(&mut loaded, next)), false);
                }
                continue;
            }
        };
        backoff.reset();
        run.is_of(files);
        reload.govern(run.pipeline.stop(), run.pipeline.renewal());
        manager.ready();
        let shown = live.show(&loaded.config, run.telemetry());
        before = Some(Arc::clone(run.telemetry()));
        let ending = run.attend(manager);
        drop(shown);
        match reload.next().filter(|_| !signals.is_stopping()) {
            None => return Ok(ending),
            Some(next) => {
                warn_of_given_back(&ending);
                (old, is_described) = (Some(std::mem::replace(&mut loaded, next)), false);
            }
        }
    }
}

fn describe(config: &Config) {
    super::log::set_level(level(config));
    for line in config.describe() {
        log::info!("{line}");
    }
}

/// Waits for the next start attempt, while still answering probes.
fn rest(pause: Duration, stop: &Stop, manager: &ServiceManager) {
    let text = format!("cannot start again, retrying every {} s: see the log", RESTART_BACKOFF_MAX.as_secs());
    log::error!("the previous configuration cannot be started again; it is retried until it can");
    manager.status(&text);
    let until = Instant::now() + pause;
    let slice = manager.ping_interval().unwrap_or(pause);
    loop {
        manager.ping();
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || stop.wait(left.min(slice)) {
            return;
        }
    }
}

/// Reads a configuration, starts logging accordingly (to `writer`, if given), and logs its problems. Returns None if it
/// cannot be used.
pub fn load_around(files: &Files, writer: Option<Box<dyn Write + Send>>) -> Option<Loaded> {
    let loaded = match files.load() {
        Ok(loaded) => loaded,
        Err(problems) => {
            super::log::start_with(log::LevelFilter::Info, writer);
            super::log::problems(&problems.0);
            log::error!("the configuration cannot be used");
            return None;
        }
    };
    super::log::start_with(level(&loaded.config), writer);
    super::log::problems(&loaded.warnings);
    Some(loaded)
}

/// A started pipeline and its reporters.
pub struct Run {
    pipeline: Pipeline,
    /// The status page, served until the end.
    _status: Option<Status>,
}

/// Starts a pipeline, or logs why it cannot start.
pub fn start(config: &Config, job: &Job) -> Result<Run, ExitCode> {
    start_after(None, config, job, &Stop::new(), &ServiceManager::of_environment())
}

/// Starts a pipeline whose counters continue from an earlier pipeline of this process.
fn start_after(
    before: Option<&Telemetry>,
    config: &Config,
    job: &Job,
    stop: &Stop,
    manager: &ServiceManager,
) -> Result<Run, ExitCode> {
    if let Err(advice) = super::open_files::allow(pipeline::files_needed(config)) {
        log::warn!("{advice}");
    }
    let telemetry = Arc::new(match before {
        Some(before) => before.successor(config),
        None => Telemetry::of(config, Arc::clone(super::log::notices())),
    });
    let status = status(config, job, &telemetry);
    let (outside, mut heart) = (Outside::default(), Heart::new(manager, &telemetry));
    match Pipeline::start_patiently(&outside, config, job, &telemetry, stop, &mut |pulse| heart.beat(pulse)) {
        Ok(pipeline) => Ok(Run { pipeline, _status: status }),
        Err(error) => {
            log::error!("cannot start: {error:#}");
            Err(ExitCode::from(if pipeline::is_temporary(&error) { TRY_AGAIN } else { REFUSED }))
        }
    }
}

/// Serves the status page, unless this is a backfill: it would hold the collector's port, so that probes of the collector would be
/// answered while that is dead.
fn status(config: &Config, job: &Job, telemetry: &Arc<Telemetry>) -> Option<Status> {
    let settings = config.globals.status.as_ref().filter(|_| !matches!(job, Job::Backfill(_)))?;
    let started = Status::start(settings, telemetry);
    started.inspect_err(|error| log::error!("the status page cannot be served: {error}")).ok()
}

impl Run {
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        self.pipeline.telemetry()
    }

    /// Sets the files of its configuration, for the commands that the status page advises.
    pub fn is_of(&self, files: &Files) {
        let path = std::path::absolute(&files.config).unwrap_or_else(|_| files.config.clone());
        self.telemetry().failed.set_config(&path.to_string_lossy());
    }

    /// Runs to the end, with signals, statistics lines and notifications to the service manager.
    pub fn run(self, config: &Config) -> Ending {
        let manager = Arc::new(ServiceManager::of_environment());
        listen(None, &manager).govern(self.pipeline.stop(), config.globals.shutdown_timeout);
        manager.ready();
        self.attend(&manager)
    }

    /// Runs to the end with statistics lines and heartbeats.
    fn attend(self, manager: &ServiceManager) -> Ending {
        let (telemetry, ended, started) = (Arc::clone(self.telemetry()), Stop::new(), Instant::now());
        let reporter = || Reporter::new(Arc::clone(&telemetry), started);
        let mut of_all = reporter();
        let statistics = {
            let (reporter, ended) = (reporter(), ended.clone());
            std::thread::spawn(move || reporter.run(STATISTICS_INTERVAL, &ended))
        };
        let mut heart = Heart::new(manager, &telemetry);
        let ending = self.pipeline.run(&mut |pulse| heart.beat(pulse));
        ended.stop();
        let _ = statistics.join();
        of_all.last_lines(Instant::now()).iter().for_each(|line| line.log("total "));
        ending
    }
}

fn listen(hangup: Option<Box<dyn FnMut() + Send>>, manager: &Arc<ServiceManager>) -> Signals {
    Signals::listen(hangup, manager).unwrap_or_else(|error| {
        log::warn!("signals cannot be handled: {error}");
        Signals::default()
    })
}

fn warn_of_given_back(ending: &Ending) {
    if ending.given_back > 0 {
        log::warn!("because of the stop, {}", unfinished(ending.given_back));
    }
}

fn unfinished(messages: u64) -> String {
    match messages {
        0 => "no message was in work".to_owned(),
        1 => "one message in work was not finished; it is redelivered after its visibility timeout at the latest"
            .to_owned(),
        count => format!(
            "{count} messages in work were not finished; they are redelivered after their visibility timeout at the latest"
        ),
    }
}

fn report(ending: &Ending) -> ExitCode {
    super::log::settle();
    if let Some(reason) = &ending.gave_up {
        log::error!("the run was aborted: {reason}");
    }
    match ending.undelivered {
        0 => (),
        1 => log::error!("one message, or event of an API, could not be delivered; the log above names it"),
        count => log::error!(
            "{count} messages, or events of an API, could not be delivered; the log above names them, or examples of them"
        ),
    }
    if ending.interrupted {
        log::error!(
            "the drain was stopped before its queues were known to be empty; {}",
            unfinished(ending.given_back)
        );
    } else {
        warn_of_given_back(ending);
    }
    if ending.is_clean() {
        log::info!("stopped");
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNDELIVERED)
    }
}
