//! `run`: the main job.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::log::Level;
use crate::config::{self, Config, Environment, Loaded};
use crate::pipeline::{self, Ending, Pipeline};
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
pub fn run(path: &Path, drain: bool) -> ExitCode {
    let Loaded { config, warnings } = match config::load(path, &Environment::here()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            super::log::start(Level::Info);
            for problem in &problems.0 {
                log::error!("{problem:#}");
            }
            return ExitCode::from(REFUSED);
        }
    };
    super::log::start(if config.globals.debug { Level::Debug } else { Level::Info });
    for warning in &warnings {
        log::warn!("{warning:#}");
    }
    log::info!(
        "aws-to-devo {} starts{}",
        env!("CARGO_PKG_VERSION"),
        if drain { " to drain its queues" } else { "" }
    );
    for line in config.describe() {
        log::info!("{line}");
    }
    if let Err(advice) = super::open_files::allow(pipeline::files_needed(&config)) {
        log::warn!("{advice}");
    }
    let telemetry = Arc::new(Telemetry::of(&config, Arc::clone(super::log::notices())));
    let _status = status(&config, &telemetry);
    match Pipeline::start(&config, drain, &telemetry) {
        Ok(pipeline) => report(&run_pipeline(pipeline)),
        Err(error) => {
            log::error!("cannot start: {error:#}");
            ExitCode::from(REFUSED)
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
    let ending = Pipeline::start(&config, true, &telemetry)?.run();
    anyhow::ensure!(ending.is_clean(), "{ending:?}");
    Ok(())
}

fn status(config: &Config, telemetry: &Arc<Telemetry>) -> Option<Status> {
    let settings = config.globals.status.as_ref()?;
    let started = Status::start(settings, telemetry);
    started.inspect_err(|error| log::error!("the status page cannot be served: {error}")).ok()
}

/// Runs a started pipeline with signals and statistics lines.
fn run_pipeline(pipeline: Pipeline) -> Ending {
    if let Err(error) = obey_signals(pipeline.stop()) {
        log::warn!("signals cannot be handled: {error}");
    }
    let (telemetry, ended, started) = (Arc::clone(pipeline.telemetry()), Stop::new(), Instant::now());
    let statistics = {
        let (reporter, ended) = (Reporter::new(Arc::clone(&telemetry), started), ended.clone());
        std::thread::spawn(move || reporter.run(STATISTICS_INTERVAL, &ended))
    };
    let ending = pipeline.run();
    ended.stop();
    let _ = statistics.join();
    log_totals(&telemetry, started);
    ending
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
