//! `run`: the main job.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::live::Live;
use super::log::Level;
use crate::config::{self, Config, Environment, Loaded};
use crate::pipeline::{self, Ending, Job, Pipeline};
use crate::status::Status;
use crate::stop::Stop;
use crate::telemetry::{Reporter, Telemetry};

/// Something could not be delivered.
pub const UNDELIVERED: u8 = 1;
/// The configuration cannot be used.
pub const REFUSED: u8 = 2;
/// Killed by the second signal, as a shell tells it.
const KILLED: i32 = 130;
/// How often the statistics lines are logged.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(60);

/// Runs until a signal comes, or with `drain` until the queues are empty.
pub fn run(path: &Path, drain: bool, live: bool) -> ExitCode {
    let live = Live::new(live);
    let Some(config) = load_around(path, live.writer()) else { return ExitCode::from(REFUSED) };
    let purpose = if drain { " to drain its queues" } else { "" };
    log::info!("aws-to-devo {} starts{purpose}", env!("CARGO_PKG_VERSION"));
    for line in config.describe() {
        log::info!("{line}");
    }
    match start(&config, if drain { &Job::Drain } else { &Job::Run }) {
        Ok(run) => {
            let shown = live.show(&config, run.telemetry());
            let ending = run.run();
            drop(shown);
            report(&ending)
        }
        Err(refused) => refused,
    }
}

/// Reads a configuration, starts logging as it says, to `writer` if there is one, and logs what is wrong.
/// None: it cannot be used.
pub fn load_around(path: &Path, writer: Option<Box<dyn Write + Send>>) -> Option<Config> {
    let Loaded { config, warnings } = match config::load(path, &Environment::here()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            super::log::start_with(Level::Info, writer);
            for problem in &problems.0 {
                log::error!("{problem:#}");
            }
            return None;
        }
    };
    super::log::start_with(if config.globals.debug { Level::Debug } else { Level::Info }, writer);
    for warning in &warnings {
        log::warn!("{warning:#}");
    }
    Some(config)
}

/// A started pipeline and what tells of it.
pub struct Run {
    pipeline: Pipeline,
    /// Served until the end.
    _status: Option<Status>,
}

/// Starts a pipeline, or logs why it cannot be.
pub fn start(config: &Config, job: &Job) -> Result<Run, ExitCode> {
    if let Err(advice) = super::open_files::allow(pipeline::files_needed(config)) {
        log::warn!("{advice}");
    }
    let telemetry = Arc::new(Telemetry::of(config, Arc::clone(super::log::notices())));
    let status = status(config, &telemetry);
    match Pipeline::start(config, job, &telemetry) {
        Ok(pipeline) => Ok(Run { pipeline, _status: status }),
        Err(error) => {
            log::error!("cannot start: {error:#}");
            Err(ExitCode::from(REFUSED))
        }
    }
}

/// Drains the queues of a configuration file, without signals or statistics lines.
///
/// # Errors
/// A configuration that cannot be used, or something that could not be delivered.
pub fn drain(path: &Path) -> anyhow::Result<()> {
    let Loaded { config, .. } = config::load(path, &Environment::here())?;
    let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
    let ending = Pipeline::start(&config, &Job::Drain, &telemetry)?.run();
    anyhow::ensure!(ending.is_clean(), "{ending:?}");
    Ok(())
}

fn status(config: &Config, telemetry: &Arc<Telemetry>) -> Option<Status> {
    let settings = config.globals.status.as_ref()?;
    let started = Status::start(settings, telemetry);
    started.inspect_err(|error| log::error!("the status page cannot be served: {error}")).ok()
}

impl Run {
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        self.pipeline.telemetry()
    }

    /// Runs to the end, with signals and statistics lines.
    pub fn run(self) -> Ending {
        if let Err(error) = obey_signals(self.pipeline.stop()) {
            log::warn!("signals cannot be handled: {error}");
        }
        let (telemetry, ended, started) = (Arc::clone(self.telemetry()), Stop::new(), Instant::now());
        let statistics = {
            let (reporter, ended) = (Reporter::new(Arc::clone(&telemetry), started), ended.clone());
            std::thread::spawn(move || reporter.run(STATISTICS_INTERVAL, &ended))
        };
        let ending = self.pipeline.run();
        ended.stop();
        let _ = statistics.join();
        log_totals(&telemetry, started);
        ending
    }
}

/// The first SIGTERM or SIGINT stops in good order, the second at once.
fn obey_signals(stop: &Stop) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let stop = stop.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            if stop.is_stopped() {
                log::warn!("second signal: stopped at once; what is in work comes again when its visibility timeout is over");
                std::process::exit(KILLED);
            }
            log::info!("signal received: nothing more is received, work in hand is finished; a second signal stops at once");
            stop.stop();
        }
    })?;
    Ok(())
}

fn log_totals(telemetry: &Arc<Telemetry>, started: Instant) {
    for line in Reporter::new(Arc::clone(telemetry), started).lines(Instant::now()) {
        log::info!("total {line}");
    }
}

fn report(ending: &Ending) -> ExitCode {
    if ending.given_back > 0 {
        log::warn!("{} messages were still in work and went back to their queues", ending.given_back);
    }
    if let Some(reason) = &ending.gave_up {
        log::error!("the drain was given up: {reason}");
    }
    if ending.undelivered > 0 {
        log::error!("{} messages could not be delivered; see above for each", ending.undelivered);
    }
    if ending.is_clean() {
        log::info!("stopped");
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNDELIVERED)
    }
}
