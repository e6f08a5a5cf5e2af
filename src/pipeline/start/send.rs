//! The senders, and the thread for internal events, which sends beside the workers.

use std::sync::Arc;

use anyhow::Context as _;

use super::common::Common;
use crate::base::crew::Crew;
use crate::pipeline::Job;
use crate::pipeline::internal::Internal;
use crate::settings::Output;
use crate::stages::send::{Outputs, Pool, PoolSettings};

/// The started senders.
pub struct Sending {
    pub pool: Pool,
    pub outputs: Outputs,
    /// The thread for internal events, if enabled.
    pub internal: Crew,
}

/// Starts them; a run greets its peers first.
pub fn start(common: &Common<'_>) -> anyhow::Result<Sending> {
    let settings = PoolSettings {
        window_bytes: common.memory.window,
        telemetry: Arc::clone(common.telemetry),
        network: common.network.clone(),
        abort: common.abort.clone(),
    };
    let (mut pool, outputs) = Pool::start(&common.config.outputs, &settings)?;
    if matches!(common.job, Job::Run) {
        pool.greet(&common.stop)?;
    }
    let internal = internal(common, &outputs).context("cannot start a thread")?;
    Ok(Sending { pool, outputs, internal })
}

fn internal(common: &Common<'_>, outputs: &Outputs) -> std::io::Result<Crew> {
    let config = common.config;
    let Some(settings) = config.globals.internal_events.clone() else { return Ok(Crew::new()) };
    let is_meant = |output: &Output| settings.output.as_ref() == Some(&output.name);
    let internal = Internal {
        output: config.outputs.iter().position(is_meant),
        settings,
        host: config.globals.host.clone(),
        outputs: outputs.clone(),
        telemetry: Arc::clone(common.telemetry),
        stop: common.stop.clone(),
    };
    internal.start()
}
