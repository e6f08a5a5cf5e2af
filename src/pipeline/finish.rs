//! The end of a pipeline. Everything is told to end before anything is waited for, and every wait has a deadline: hung
//! threads are named, and left to the end of the process.

use std::time::{Duration, Instant};

use super::{Ending, Pipeline, Pulse};
use crate::base::limits::{
    DRAIN_WAIT_TIME, FLEET_CLOSE_TIMEOUT, GIVE_BACK_TIME, LEDGER_SAVE_TIMEOUT, LONG_POLL_NOTE,
    STOP_CHECK_INTERVAL,
};
use crate::base::runtime::{clock, thread};
use crate::telemetry::Phase;

impl Pipeline {
    /// Ends all stages: waits for work in flight up to `shutdown_timeout`, then returns the rest.
    pub(super) fn finish(mut self, mut ending: Ending, beat: &mut dyn FnMut(&Pulse)) -> Ending {
        let released = self.telemetry.settle().released;
        self.stop.stop();
        self.telemetry.enter(Phase::Stopping);
        let deadline = clock::now() + self.shutdown_timeout;
        if !self.await_work(deadline, beat) {
            self.abort.stop();
        }
        let deadline = deadline.max(clock::now() + GIVE_BACK_TIME);
        self.end_intakes(deadline, beat);
        ending.undelivered = self.intakes.iter().map(|intake| intake.undelivered()).sum();
        ending.given_back = self.telemetry.settle().released.saturating_sub(released);
        self.end_stages(deadline, beat);
        ending
    }

    /// Waits until nothing is in flight. Returns false if it gave up.
    fn await_work(&self, deadline: Instant, beat: &mut dyn FnMut(&Pulse)) -> bool {
        let (start, mut is_told) = (clock::now(), false);
        await_until(deadline, beat, || {
            if !is_told && clock::since(start) >= LONG_POLL_NOTE && self.intakes.iter().any(|i| i.is_asking())
            {
                is_told = true;
                self.tell_of_long_poll();
            }
            self.abort.is_stopped() || self.intakes.iter().all(|intake| intake.is_finished())
        }) && !self.abort.is_stopped()
    }

    fn tell_of_long_poll(&self) {
        log::info!(
            "a long poll of SQS is still under way, for at most {} s: aborting it could strand messages until their visibility timeout",
            self.long_poll.as_secs()
        );
    }

    /// Tells all inputs to return their messages, and waits for them together.
    fn end_intakes(&mut self, deadline: Instant, beat: &mut dyn FnMut(&Pulse)) {
        if self.ends && self.abort.is_stopped() {
            // A drain's receives are short: messages returned after them cannot be received by this process.
            let end = deadline.min(clock::now() + 2 * DRAIN_WAIT_TIME);
            await_until(end, beat, || !self.intakes.iter().any(|intake| intake.is_asking()));
        }
        // Before another process can receive the returned messages, and with time left to return them.
        self.ledger.save(LEDGER_SAVE_TIMEOUT.min(left(deadline) / 2));
        self.intakes.iter_mut().for_each(|intake| intake.end());
        await_until(deadline, beat, || self.intakes.iter().all(|intake| intake.has_ended()));
    }

    /// Ends the stages behind the inputs, each when the one before it has ended. Dropping the intakes closes the task
    /// channel: fetchers exit and drop their outputs, and the senders exit.
    fn end_stages(mut self, deadline: Instant, beat: &mut dyn FnMut(&Pulse)) {
        let crews: Vec<_> = self.intakes.iter().flat_map(|intake| intake.serving()).collect();
        tell_of_hanging(crews.iter().flat_map(|crew| crew.running()));
        if let Some((fleet, crew)) = &self.fleet {
            // Before calls are aborted, so that other hosts need not wait.
            fleet.close(crew, FLEET_CLOSE_TIMEOUT.min(left(deadline) / 2));
        }
        if self.abort.is_stopped() {
            // Long polls are aborted.
            self.http.shutdown();
        } else {
            self.intakes.clear();
            self.outputs = None;
            let stages = [&self.fetchers, &self.internal, self.pool.senders()];
            await_until(deadline, beat, || stages.iter().all(|crew| crew.has_ended()));
            tell_of_hanging(stages.iter().flat_map(|crew| crew.running()));
        }
        // Threads that still decode leave no note of their objects.
        self.ledger.suspects().end();
        self.ledger.close(LEDGER_SAVE_TIMEOUT.min(left(deadline)));
    }
}

/// Waits until `holds`, and beats meanwhile. Returns false if the deadline came first.
fn await_until(deadline: Instant, beat: &mut dyn FnMut(&Pulse), mut holds: impl FnMut() -> bool) -> bool {
    loop {
        if holds() {
            return true;
        }
        if clock::now() >= deadline {
            return false;
        }
        // Threads end now, and the deadline bounds the wait.
        beat(&Pulse { life: Ok(()), trouble: None });
        thread::sleep(left(deadline).min(STOP_CHECK_INTERVAL / 4));
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(clock::now())
}

fn tell_of_hanging<'a>(threads: impl Iterator<Item = &'a str>) {
    let names: Vec<_> = threads.collect();
    if !names.is_empty() {
        log::warn!("the stop no longer waits for the threads {}", names.join(", "));
    }
}
