//! The start of a pipeline, from its last stage to its first: send, work, fetch, intakes.

mod common;
mod fetch;
mod intakes;
mod send;
mod work;

use std::sync::Arc;

use anyhow::Context as _;

use super::{Job, Outside, Pipeline, Pulse, silence};
use crate::base::crew::Crew;
use crate::base::stop::Stop;
use crate::settings::{Config, Rates};
use crate::telemetry::{Phase, Telemetry};
use common::Common;
use send::Sending;

impl Pipeline {
    /// Starts all stages. `telemetry` is that of `config`.
    ///
    /// # Errors
    /// Unusable files, addresses or environment variables; nothing has been received then.
    pub fn start(config: &Config, job: &Job, telemetry: &Arc<Telemetry>) -> anyhow::Result<Pipeline> {
        Pipeline::start_patiently(&Outside::default(), config, job, telemetry, &Stop::new(), &mut |_| ())
    }

    /// Starts all stages, but waits for temporary obstacles, unless `stop` comes first; `beat` is called meanwhile.
    /// `stop` becomes the pipeline's own; it is raised after an error.
    ///
    /// # Errors
    /// The errors of [`Pipeline::start`]; [`is_temporary`](super::is_temporary) distinguishes those that are not the
    /// configuration's.
    pub fn start_patiently(
        outside: &Outside,
        config: &Config,
        job: &Job,
        telemetry: &Arc<Telemetry>,
        stop: &Stop,
        beat: &mut dyn FnMut(&Pulse),
    ) -> anyhow::Result<Pipeline> {
        let (stop, abort) = (stop.clone(), Stop::new());
        let unfinished = Unfinished(Some([stop.clone(), abort.clone()]));
        let common = Common::new(outside, config, job, telemetry, [&stop, &abort], beat)?;
        let Sending { pool, outputs, internal } = send::start(&common)?;
        let decode = work::start(&common, &outputs)?;
        let (lanes, fetchers) = fetch::start(&common, &decode)?;
        let intakes = intakes::start(&common, lanes, &decode)?;
        let silence = match job {
            Job::Run => silence::start(config, telemetry, &stop).context("cannot start a thread")?,
            Job::Drain | Job::Backfill(_) => Crew::new(),
        };
        telemetry.enter(Phase::Running);
        unfinished.finish();
        let Common { http, ledger, fleet, .. } = common;
        Ok(Pipeline {
            telemetry: Arc::clone(telemetry),
            intakes,
            fetchers,
            internal,
            silence,
            outputs: Some(outputs),
            pool,
            ledger,
            fleet,
            http,
            ends: !matches!(job, Job::Run),
            long_poll: config.inputs.iter().map(|input| input.wait_time).max().unwrap_or_default(),
            is_limited: config.outputs.iter().any(|output| output.rates != Rates::default()),
            shutdown_timeout: config.globals.shutdown_timeout,
            stop,
            abort,
        })
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
