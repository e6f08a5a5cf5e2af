//! The workers, which decode and frame.

use std::sync::Arc;

use anyhow::Context as _;

use super::common::{Common, Decode};
use crate::base::budget::Budget;
use crate::base::buffers::Buffers;
use crate::base::runtime::workers::Workers;
use crate::handoff::Payload;
use crate::pipeline::worker::Worker;
use crate::settings::{Config, Input};
use crate::stages::send::Outputs;

/// Starts them. They end when the returned function is dropped.
pub fn start(common: &Common<'_>, outputs: &Outputs) -> anyhow::Result<Decode> {
    let Common { config, memory, ledger, .. } = common;
    let worker = Arc::new(Worker {
        outputs: outputs_by_index(config, outputs),
        host: config.globals.host.clone(),
        buffers: Buffers::new(memory.frames_kept),
        budget: common.telemetry.frames.get_or_init(|| Budget::new(memory.frames)).clone(),
        abort: common.abort.clone(),
        suspects: ledger.suspects().clone(),
        refused: Arc::default(),
        ledger: ledger.clone(),
        sources: sources(config),
        telemetry: Arc::clone(common.telemetry),
        accounts: common.accounts.clone(),
    });
    let workers =
        Workers::start("work", config.globals.workers).context("cannot start the worker threads")?;
    // One flat job per payload: nothing inside it may be put on the pool again.
    Ok(Arc::new(move |payload: Payload| {
        let worker = Arc::clone(&worker);
        worker.telemetry.work.waiting.add(1);
        workers.spawn(move || worker.process(payload));
    }))
}

/// The outputs of the inputs, then of the sources.
fn outputs_by_index(config: &Config, outputs: &Outputs) -> Vec<Outputs> {
    let of_inputs = config.inputs.iter().map(|input| outputs_of(input, outputs));
    of_inputs.chain(config.sources.iter().map(|_| outputs.clone())).collect()
}

fn outputs_of(input: &Input, outputs: &Outputs) -> Outputs {
    if input.do_not_send { Outputs::none() } else { outputs.clone() }
}

/// The names under which sent events are counted in the ledger, by the index of the input. None if they are not sent.
fn sources(config: &Config) -> Vec<Option<String>> {
    let of_inputs = config.inputs.iter().map(|input| (!input.do_not_send).then(|| input.id.clone()));
    of_inputs.chain(config.sources.iter().map(|source| Some(source.name.clone()))).collect()
}
