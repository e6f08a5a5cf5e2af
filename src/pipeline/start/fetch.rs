//! The fetchers, and the lanes through which the inputs pass them tasks.

use std::sync::Arc;

use anyhow::Context as _;

use super::common::{Common, Decode};
use crate::aws::S3;
use crate::base::budget::Budget;
use crate::base::buffers::Buffers;
use crate::base::crew::Crew;
use crate::base::limits::{
    MESSAGES_WAITING_PER_FETCHER, MemoryShares, OBJECTS_BEGUN_PER_INPUT_MIN, SQS_BATCH,
};
use crate::handoff::Task;
use crate::handoff::schedule::{self, Lane};
use crate::settings::Config;
use crate::stages::fetch;

/// Starts them. Returns a lane for each input. The fetchers end when all lanes are dropped.
pub fn start(common: &Common<'_>, decode: &Decode) -> anyhow::Result<(Vec<Lane<Task>>, Crew)> {
    let Common { config, memory, telemetry, .. } = common;
    let (lanes, schedule) = schedule::new(config.inputs.len(), lane_bounds(config, memory));
    let settings = fetch::Settings {
        inputs: (0..config.inputs.len()).map(|index| input(common, index)).collect(),
        budget: common.compressed().clone(),
        buffers: Buffers::new(memory.compressed_kept),
        whole_object_bytes_max: memory.whole_object,
        bounds: common.bounds(),
        decoders: Budget::new(common.decoders_bytes()),
        ledger: common.ledger.clone(),
        waits: Arc::clone(&telemetry.waits),
        decode: Arc::clone(decode),
        stop: common.stop.clone(),
        abort: common.abort.clone(),
    };
    let fetchers =
        fetch::start(config.fetchers(), &schedule, settings).context("cannot start the fetcher threads")?;
    Ok((lanes, fetchers))
}

fn input(common: &Common<'_>, index: usize) -> fetch::InputSettings {
    let input = &common.config.inputs[index];
    fetch::InputSettings {
        // Retries wait in another place.
        s3: S3::new(common.clients[index].without_waits()).paid_by_caller(input.request_payer),
        id: input.id.clone(),
        ledger: common.ledger_of(input),
        shared: common.shared_by(input),
        missing_object: input.missing_object,
        telemetry: Arc::clone(&common.telemetry.inputs[index]),
    }
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
