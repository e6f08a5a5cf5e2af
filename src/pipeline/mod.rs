//! The running stages: `start` creates their channels and threads, `finish` ends them. The last stage is started first
//! and stopped last, so that no stage ever passes work to a missing one.

mod audit;
mod finish;
mod framing;
mod handles;
mod intake;
mod internal;
mod job;
mod ledger;
mod refused;
mod silence;
mod start;
#[cfg(test)]
mod tests;
mod vitals;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::aws::Http;
use crate::base::crew::Crew;
use crate::base::limits::{DRAIN_PATIENCE, DRAIN_PATIENCE_LASTING, STOP_CHECK_INTERVAL};
use crate::base::runtime::clock;
use crate::base::stop::Stop;
use crate::fleet::Fleet;
use crate::ledger::Ledger;
use crate::stages::send::wire::Network;
use crate::stages::send::{Outputs, Pool, Renewal};
use crate::telemetry::{Health, Telemetry, Trouble};
use intake::Intake;
use vitals::{Signs, Vitals};

pub use handles::{files_needed, threads_that_call};
pub use job::{Job, Pulse};
pub use ledger::{is_temporary, scope};
pub use vitals::Dead;

/// All stages, running.
pub struct Pipeline {
    telemetry: Arc<Telemetry>,
    intakes: Vec<Box<dyn Intake>>,
    /// The fetcher threads; none if there is nothing to fetch.
    fetchers: Crew,
    /// The thread for internal events, if enabled.
    internal: Crew,
    /// The thread that looks for silent services.
    silence: Crew,
    /// Kept until the end: senders end when nothing can reach them any more.
    outputs: Option<Outputs>,
    pool: Pool,
    ledger: Ledger,
    /// The other hosts that do the same work, and the threads that know of them.
    fleet: Option<(Fleet, Crew)>,
    http: Http,
    /// It ends by itself.
    ends: bool,
    /// How long a pending receive may still take.
    long_poll: Duration,
    /// An output has a rate limit, so standing still is not suspicious.
    is_limited: bool,
    shutdown_timeout: Duration,
    /// Stops receiving; work in flight is finished.
    stop: Stop,
    /// Aborts: nothing is finished, everything is returned.
    abort: Stop,
}

/// The way to what is outside of this program.
#[derive(Clone, Default)]
pub struct Outside {
    /// To AWS. None: the network, by way of the environment's proxies.
    pub http: Option<Http>,
    /// To the outputs' peers.
    pub network: Network,
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Ending {
    /// Messages that failed for good, and events of APIs that were passed over (while draining).
    pub undelivered: usize,
    /// Messages that were not finished because of the stop, and will be redelivered.
    pub given_back: u64,
    /// A drain or a backfill was stopped early.
    pub interrupted: bool,
    /// The reason why the run was aborted, if it was.
    pub gave_up: Option<String>,
}

impl Ending {
    /// True if the job was done: a run ended by a stop, a drain or a backfill that delivered everything.
    pub fn is_clean(&self) -> bool {
        self.undelivered == 0 && self.gave_up.is_none() && !self.interrupted
    }
}

impl Pipeline {
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

    /// Waits until stopped, or until the job is done, and ends all stages. Meanwhile `beat` gets the pipeline's state
    /// several times a second.
    pub fn run(self, beat: &mut dyn FnMut(&Pulse)) -> Ending {
        let mut ending = Ending::default();
        let mut vitals = Vitals::new(clock::now());
        let mut progress = Progress::new(clock::now());
        loop {
            // In this order: a thread that panics shows the panic before its end, and one that ends because of a stop
            // has not finished its job.
            let is_done = self.is_done() && !self.stop.is_stopped();
            let pulse = self.pulse(&mut vitals);
            ending.gave_up = self.hopeless(&pulse, is_done, &mut progress);
            if ending.gave_up.is_some() {
                self.abort.stop();
            }
            if is_done || ending.gave_up.is_some() {
                break;
            }
            beat(&pulse);
            if self.stop.wait(STOP_CHECK_INTERVAL) {
                ending.interrupted = self.ends;
                break;
            }
        }
        self.finish(ending, beat)
    }

    fn pulse(&self, vitals: &mut Vitals) -> Pulse {
        let trouble = self.troubles().min_by_key(|trouble| trouble.since);
        let signs = Signs {
            lost_thread: self.lost_thread().map(str::to_owned),
            movement: self.telemetry.movement(),
            is_excused: trouble.is_some() || self.is_limited || self.ends,
        };
        let life = vitals.check(signs, clock::now());
        self.telemetry.collector.lives(&life);
        Pulse { life, trouble }
    }

    /// A thread that has ended unexpectedly.
    fn lost_thread(&self) -> Option<&str> {
        let pulling = self.intakes.iter().map(|intake| intake.pulling());
        // If the job has an end, theirs is not suspicious.
        let pulling = pulling.filter_map(|crew| if self.ends { crew.panicked() } else { crew.ended() });
        let serving = self.intakes.iter().flat_map(|intake| intake.serving());
        let stages = [&self.fetchers, &self.internal, &self.silence]
            .into_iter()
            .chain(self.pool.crews())
            .chain(self.ledger.crew())
            .chain(self.fleet.iter().map(|(_, crew)| crew));
        let lost = pulling.chain(serving.chain(stages).filter_map(Crew::ended)).next();
        // A stop that came meanwhile explains it.
        lost.filter(|_| !self.stop.is_stopped())
    }

    fn troubles(&self) -> impl Iterator<Item = Trouble> {
        self.of_inputs().flat_map(Health::troubles).chain(self.pool.troubles())
    }

    fn of_inputs(&self) -> impl Iterator<Item = &Health> {
        self.telemetry.inputs.iter().flat_map(|input| input.healths())
    }

    fn is_done(&self) -> bool {
        self.ends && self.intakes.iter().all(|intake| intake.is_finished())
    }

    /// The reason to abort: an output is gone for good or, if the job has an end, it did not end well or a trouble
    /// lasts too long.
    fn hopeless(&self, pulse: &Pulse, is_done: bool, progress: &mut Progress) -> Option<String> {
        if let Some(closed) = self.pool.closed() {
            return Some(closed.clone());
        }
        if !self.ends {
            return None;
        }
        if let Err(dead) = &pulse.life {
            return Some(dead.to_string());
        }
        let now = clock::now();
        progress.look(&self.telemetry, now);
        let has_passed = |since, patience| now.saturating_duration_since(since) >= patience;
        let is_over = |trouble: &Trouble| {
            has_passed(trouble.since, DRAIN_PATIENCE)
                || trouble.lasting_since.is_some_and(|since| has_passed(since, DRAIN_PATIENCE_LASTING))
        };
        // Failures at an input's side are not all that is left as long as other objects are on their way.
        let of_inputs = self.of_inputs().flat_map(|health| [health.troubles(), health.left_over()].concat());
        let of_inputs = of_inputs.map(|trouble| progress.since(trouble));
        let over = self.pool.troubles().chain(of_inputs).filter(|trouble| !is_done && is_over(trouble));
        // A failure that a retry does not help against is told rather than one that only takes long.
        over.min_by_key(|trouble| (!trouble.is_lasting(), trouble.since)).map(|trouble| trouble.message)
    }
}

/// The progress that a drain still makes beside what fails.
struct Progress {
    bytes: u64,
    /// When bytes of objects were read, decoded, sent or confirmed last.
    moved_at: Instant,
    /// When an object that can be read was in work last.
    worked_at: Instant,
}

impl Progress {
    fn new(now: Instant) -> Progress {
        Progress { bytes: 0, moved_at: now, worked_at: now }
    }

    fn look(&mut self, telemetry: &Telemetry, now: Instant) {
        let (fetch, decode, send) = (telemetry.fetch(), telemetry.decode(), telemetry.send());
        let bytes = fetch.bytes + decode.bytes + send.events_written + send.events;
        if bytes != self.bytes {
            (self.bytes, self.moved_at) = (bytes, now);
        }
        if telemetry.objects_on_their_way() > 0 {
            self.worked_at = now;
        }
    }

    /// The trouble, counted from when nothing else could be done any more.
    fn since(&self, trouble: Trouble) -> Trouble {
        trouble.counted_from(self.moved_at, self.worked_at)
    }
}
