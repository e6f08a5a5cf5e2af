//! The intakes: receivers of queues, or the listing of a backfill; pullers of sources behind an API; the running audit.

use std::sync::Arc;

use anyhow::Context as _;

use super::common::{Common, Decode, QueueHandles};
use crate::aws::Client;
use crate::base::budget::Budget;
use crate::base::limits::AUDIT_OBJECTS_IN_WORK_MAX;
use crate::handoff::Task;
use crate::handoff::schedule::Lane;
use crate::ledger::Ledger;
use crate::pipeline::intake::Intake;
use crate::pipeline::{Job, audit};
use crate::settings::{Audit, Source};
use crate::stages::backfill::{self, Backfill, Feeder, Lister};
use crate::stages::receive::{self, Receiver};
use crate::stages::sources::{self, Paces, Puller};

type Intakes = Vec<Box<dyn Intake>>;

/// Starts them. `lanes` has one for each input.
pub fn start(common: &Common<'_>, lanes: Vec<Lane<Task>>, decode: &Decode) -> anyhow::Result<Intakes> {
    let audit = common.config.globals.audit.clone().filter(|_| matches!(common.job, Job::Run));
    let feeders = audit.is_some().then(|| feeders(common, &lanes));
    let mut intakes = inputs(common, lanes).context("cannot start the threads of an input")?;
    if let Some((audit, feeders)) = audit.zip(feeders) {
        intakes.push(auditor(common, audit, feeders).context("cannot start a thread")?);
    }
    // A backfill's only input is a listing.
    if !matches!(common.job, Job::Backfill(_)) {
        intakes.extend(pullers(common, decode).context("cannot start the threads that poll")?);
    }
    Ok(intakes)
}

fn inputs(common: &Common<'_>, lanes: Vec<Lane<Task>>) -> std::io::Result<Intakes> {
    // The inputs share the memory for large bodies.
    let bodies_large = Budget::new(common.memory.bodies_large);
    let start = |(index, tasks)| match common.job {
        Job::Backfill(backfill) => lister(common, index, tasks, backfill),
        Job::Run | Job::Drain => receiver(common, index, tasks, &bodies_large),
    };
    lanes.into_iter().enumerate().map(start).collect()
}

fn receiver(
    common: &Common<'_>,
    index: usize,
    tasks: Lane<Task>,
    bodies_large: &Budget,
) -> std::io::Result<Box<dyn Intake>> {
    let QueueHandles { receiving, settling } = common.queues[index].clone();
    let settings = receive::Settings {
        index,
        input: common.config.inputs[index].clone(),
        account: common.accounts[index].clone(),
        receiving,
        settling,
        ledger: common.ledger.clone(),
        tasks,
        telemetry: Arc::clone(&common.telemetry.inputs[index]),
        messages_max: common.memory.messages,
        bodies_bytes: common.memory.bodies,
        bodies_large: bodies_large.clone(),
        drain: matches!(common.job, Job::Drain),
        pause: common.pause.clone(),
        stop: common.stop.clone(),
        abort: common.abort.clone(),
    };
    Ok(Box::new(Receiver::start(settings)?))
}

fn lister(
    common: &Common<'_>,
    index: usize,
    tasks: Lane<Task>,
    backfill: &Backfill,
) -> std::io::Result<Box<dyn Intake>> {
    let input = &common.config.inputs[index];
    let ledger = if backfill.listing.is_given() { Ledger::none() } else { common.ledger_of(input) };
    let settings = backfill::Settings {
        index,
        input: input.clone(),
        account: common.accounts[index].clone(),
        backfill: backfill.clone(),
        s3: common.listing(index),
        tasks,
        ledger,
        telemetry: Arc::clone(&common.telemetry.inputs[index]),
        stop: common.stop.clone(),
    };
    Ok(Box::new(Lister::start(settings)?))
}

/// The feeders for missing objects, by the index of the input.
fn feeders(common: &Common<'_>, lanes: &[Lane<Task>]) -> Vec<Feeder> {
    let feeder = |(index, tasks): (usize, &Lane<Task>)| Feeder {
        index,
        tasks: tasks.clone(),
        slots: Budget::new(AUDIT_OBJECTS_IN_WORK_MAX),
        telemetry: Arc::clone(&common.telemetry.inputs[index]),
        stop: common.stop.clone(),
    };
    lanes.iter().enumerate().map(feeder).collect()
}

fn auditor(common: &Common<'_>, audit: Audit, feeders: Vec<Feeder>) -> std::io::Result<Box<dyn Intake>> {
    let settings = audit::Settings {
        audit,
        inputs: common.config.inputs.clone(),
        s3: (0..common.config.inputs.len()).map(|index| common.listing(index)).collect(),
        queues: common.queues.iter().map(|queue| queue.receiving.clone()).collect(),
        feeders,
        ledger: common.ledger.clone(),
        shared: common.fleet.as_ref().map(|(fleet, _)| fleet.table().clone()),
        state_directory: common.config.globals.state_directory.clone(),
        telemetry: Arc::clone(common.telemetry),
        stop: common.stop.clone(),
    };
    Ok(Box::new(audit::Auditor::start(settings)?))
}

fn pullers(common: &Common<'_>, decode: &Decode) -> std::io::Result<Intakes> {
    let paces = Paces::default();
    let pages = Budget::new(common.memory.pages);
    let first = common.config.inputs.len();
    let start = |(number, source): (usize, &Source)| -> std::io::Result<Box<dyn Intake>> {
        let index = first + number;
        let telemetry = &common.telemetry.inputs[index];
        let client = source_client(common, source).counted_in(telemetry);
        common.keep_time_by(&client);
        let tenure = common.fleet.as_ref().and_then(|(fleet, _)| fleet.tenure(&source.name));
        let settings = sources::Settings {
            index,
            source: source.clone(),
            client,
            paces: paces.of(source, tenure.as_ref()),
            ledger: common.ledger.clone(),
            tenure,
            budget: common.compressed().clone(),
            pages: pages.clone(),
            bounds: common.bounds(),
            telemetry: Arc::clone(telemetry),
            decode: Arc::clone(decode),
            drain: matches!(common.job, Job::Drain),
            stop: common.stop.clone(),
            abort: common.abort.clone(),
        };
        Ok(Box::new(Puller::start(settings)?))
    };
    common.config.sources.iter().enumerate().map(start).collect()
}

fn source_client(common: &Common<'_>, source: &Source) -> Client {
    let Source { name, credentials, endpoints, region, .. } = source;
    Client::new(&common.http, name, credentials, endpoints, region, &common.stop)
}
