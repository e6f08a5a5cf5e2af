//! The ledger at the start of a pipeline: its scope, and the wait for it.

use std::sync::Arc;

use super::{Job, Pulse};
use crate::base::backoff::Backoff;
use crate::base::limits::{LEDGER_START_BACKOFF_FIRST, LEDGER_START_BACKOFF_MAX};
use crate::base::runtime::clock;
use crate::base::stop::Stop;
use crate::base::text::span;
use crate::ledger::{Ledger, OpenError, Role, Scope};
use crate::settings::Config;
use crate::stages::send::PoolError;
use crate::telemetry::Telemetry;

/// The place of its lines in the log: a wait ends when the ledger is open, and the next one is logged again.
const LEDGER: &str = "ledger";

/// A start failed for a temporary reason that no change of the configuration fixes.
pub fn is_temporary(error: &anyhow::Error) -> bool {
    let of_machine = error.root_cause().downcast_ref::<std::io::Error>();
    let is_short_of_threads = of_machine.is_some_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        || matches!(error.downcast_ref(), Some(PoolError::Thread(_)));
    is_short_of_threads || error.downcast_ref::<OpenError>().is_some_and(OpenError::is_temporary)
}

/// The queues and outputs whose deliveries a collector of this configuration records.
pub fn scope(config: &Config) -> Scope {
    // Unrecorded deliveries have no scope.
    let remembered = config.inputs.iter().filter(|input| !input.do_not_send && !input.direct_mode);
    let queue = |input: &crate::settings::Input| {
        (input.id.clone(), format!("{} in {}", input.queue.identity(), input.region))
    };
    Scope {
        role: Role::Collector,
        queues: remembered.map(queue).collect(),
        outputs: config.outputs.iter().map(|output| output.destination.to_string()).collect(),
    }
}

/// Opens the ledger, or continues without one if the configuration allows that.
pub fn open(
    config: &Config,
    job: &Job,
    telemetry: &Arc<Telemetry>,
    stop: &Stop,
    beat: &mut dyn FnMut(&Pulse),
) -> Result<Ledger, OpenError> {
    let scope = match job {
        // A listing has no queue.
        Job::Backfill(_) => Scope { role: Role::Backfill, queues: Vec::new(), ..scope(config) },
        Job::Run | Job::Drain => scope(config),
    };
    let directory = &config.globals.state_directory;
    match patiently(|| Ledger::open(directory, &scope, telemetry), stop, beat) {
        Err(error) if !config.globals.state_required => {
            log::error!("{error}. Continuing without a ledger, because of `persistence.required: false`");
            Ok(Ledger::none())
        }
        opened => opened,
    }
}

/// Retries while the obstacle may go away by itself.
fn patiently(
    mut open: impl FnMut() -> Result<Ledger, OpenError>,
    stop: &Stop,
    beat: &mut dyn FnMut(&Pulse),
) -> Result<Ledger, OpenError> {
    let (began, mut is_told) = (clock::now(), false);
    let mut backoff = Backoff::new(LEDGER_START_BACKOFF_FIRST, LEDGER_START_BACKOFF_MAX);
    loop {
        let error = match open() {
            Ok(ledger) => {
                if is_told {
                    log::info!(place = LEDGER, turn = "works"; "the ledger is open, after {}", span(clock::since(began)));
                }
                return Ok(ledger);
            }
            Err(error) => error,
        };
        if clock::since(began) >= error.patience() || stop.is_stopped() {
            return Err(error);
        }
        if !std::mem::replace(&mut is_told, true) {
            log::warn!(place = LEDGER, turn = "fails"; "{error}. Retrying for {} s", error.patience().as_secs());
        }
        beat(&Pulse { life: Ok(()), trouble: None });
        stop.wait(backoff.pause());
    }
}
