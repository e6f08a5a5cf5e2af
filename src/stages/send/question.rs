//! The investigation of a batch that was on several connections which the peer ended: it is sent alone, halved, and
//! finally refused.

use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use super::sender::SenderThread;
use super::trial::{self, Failure};
use crate::ack::Outcome;
use crate::base::backoff::Backoff;
use crate::base::limits::{
    IDLE_TRIAL_MAX, IDLE_TRIAL_MIN, REFUSE_KILLS, SEND_BACKOFF_MAX, SUSPECT_STRIKES, SUSPECTS_TOGETHER,
};
use crate::base::runtime::clock;
use crate::handoff::Batch;
use crate::telemetry::Activity;

impl SenderThread {
    /// Takes one step with suspect batches. Afterwards they are confirmed, refused, or wait for their next step.
    ///
    /// # Errors
    /// If the peer is down, or ends connections whatever is on them.
    pub(super) fn question(&mut self, mut suspects: Vec<Batch>, backoff: &mut Backoff) -> Result<(), Error> {
        let Some(lived) = suspects.first().and_then(|first| first.trial.suspected) else {
            return self.send_apart(suspects, backoff);
        };
        let first = suspects.remove(0);
        self.wait_with(suspects);
        self.verify(first, lived, backoff)
    }

    fn send_apart(&mut self, mut suspects: Vec<Batch>, backoff: &mut Backoff) -> Result<(), Error> {
        if let Err(error) = self.try_lifetime() {
            self.wait_with(suspects);
            return Err(error);
        }
        let (shared, own) = (self.shared.clone(), Arc::clone(&self.telemetry));
        let connected = own.during(Activity::Connected);
        let ends = shared.caution().ends();
        for batch in &suspects {
            shared.pay_for(batch);
            shared.telemetry.send.events_written.add(batch.events.into());
        }
        let Err(failure) = trial::send_apart(suspects.iter().map(|batch| batch.bytes.as_slice()), &shared)
        else {
            shared.caution().outlived(ends, true);
            suspects.into_iter().for_each(|batch| shared.confirm(batch));
            self.works(backoff);
            return Ok(());
        };
        drop(connected);
        shared.telemetry.send.repeated.add(suspects.iter().map(|batch| u64::from(batch.events)).sum());
        let (error, lived) = match failure {
            Failure::Outage(error) => {
                if error.is_slowness() && suspects.len() > 1 {
                    // Fewer need less time.
                    suspects.iter_mut().for_each(|batch| shared.caution().strike(&mut batch.trial));
                }
                self.wait_with(suspects);
                return Err(error);
            }
            Failure::Ended(error, lived) => (error, lived),
        };
        if suspects.len() == 1 {
            return suspects.into_iter().try_for_each(|batch| self.accuse(batch, &error, lived, backoff));
        }
        shared.caution().ended(true, clock::now());
        suspects.iter_mut().for_each(|batch| shared.caution().strike(&mut batch.trial));
        self.wait_with(suspects);
        self.back_off(backoff);
        Ok(())
    }

    /// Accuses a batch that was alone on a connection which the peer has ended. It is halved if something else got
    /// through meanwhile; otherwise, and before a record is blamed, another connection must be seen to survive.
    fn accuse(
        &mut self,
        mut batch: Batch,
        error: &Error,
        lived: Duration,
        backoff: &mut Backoff,
    ) -> Result<(), Error> {
        let witnessed = self.shared.caution().strike_alone(&mut batch.trial, clock::now());
        let noted = self.note_end(&batch, error);
        if witnessed && batch.events > 1 {
            self.blame(batch);
        } else {
            batch.trial.suspected = Some(lived);
            self.wait_with(vec![batch]);
        }
        noted?;
        self.back_off(backoff);
        Ok(())
    }

    /// Checks whether the peer ends other connections too; if it does, the batch is not to blame.
    fn verify(&mut self, mut batch: Batch, lived: Duration, backoff: &mut Backoff) -> Result<(), Error> {
        let single = batch.events <= 1;
        let probe = self.shared.caution().probe().filter(|_| single);
        let time = (2 * lived).clamp(IDLE_TRIAL_MIN, IDLE_TRIAL_MAX);
        let verified = match &probe {
            Some(probe) => self.send_probe(probe),
            None => trial::idle_lives(time, &self.shared),
        };
        if let Err(error) = verified {
            if error.is_end() && probe.is_none() {
                // It ends whatever is on a connection.
                batch.trial.suspected = None;
                self.shared.caution().tried(false, clock::now());
            }
            self.shared.caution().ended(true, clock::now());
            self.wait_with(vec![batch]);
            return Err(error);
        }
        backoff.reset();
        batch.trial.suspected = None;
        if single && probe.is_none() {
            // The peer may accept nothing at all: something else must show that.
            batch.trial.not_before = Some(clock::now() + SEND_BACKOFF_MAX);
            self.wait_with(vec![batch]);
            return Ok(());
        }
        self.blame(batch);
        Ok(())
    }

    /// Sends a frame again that the peer has accepted before.
    fn send_probe(&self, frame: &[u8]) -> Result<(), Error> {
        let ends = self.shared.caution().ends();
        self.shared.telemetry.send.repeated.add(1);
        match trial::send_apart(std::iter::once(frame), &self.shared) {
            Ok(()) => self.shared.caution().outlived(ends, true),
            Err(Failure::Outage(error)) => return Err(error),
            Err(Failure::Ended(error, _)) => {
                self.shared.caution().drop_probe();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Halves the batch, or refuses its only record.
    fn blame(&mut self, mut batch: Batch) {
        batch.trial.kills += 1;
        let gzip = self.shared.gzip.clone();
        match batch.halve(gzip.as_deref()) {
            Ok(halves) => self.wait_with(halves.into()),
            Err(single) if single.trial.kills >= REFUSE_KILLS => self.refuse(single),
            Err(single) => self.wait_with(vec![single]),
        }
    }

    /// Delays suspects until their next step, before all others if they stay in order.
    fn wait_with(&mut self, suspects: Vec<Batch>) {
        self.shared.telemetry.send.waiting.add(suspects.len() as i64);
        for batch in suspects.into_iter().rev() {
            match batch.lane {
                Some(_) => self.kept.push_front(batch),
                None => self.shared.caution().put(batch),
            }
        }
    }

    fn back_off(&self, backoff: &mut Backoff) {
        self.shared.telemetry.send.failed_connections.increment();
        let _backing_off = self.telemetry.during(Activity::BackingOff);
        self.shared.abort.wait(backoff.pause());
    }

    /// Notes that the peer has ended the connection of a lone batch. That is a trouble while nothing shows yet whether
    /// the peer accepts anything.
    fn note_end(&self, batch: &Batch, error: &Error) -> Result<(), Error> {
        if batch.events <= 1 && self.shared.caution().probe().is_none() {
            return Err(self.accusation(batch, error));
        }
        let (output, what) = (&self.shared.telemetry.name, batch.describe(self.shared.gzip.as_deref()));
        let is_first = batch.trial.strikes as usize == SUSPECT_STRIKES as usize + SUSPECTS_TOGETHER.len() + 1;
        let level = if is_first { log::Level::Warn } else { log::Level::Debug };
        log::log!(
            level,
            "outputs.{output}: {error}, and only {what} was on the connection. The batch is now searched for a record that the peer does not accept"
        );
        Ok(())
    }

    fn accusation(&self, batch: &Batch, error: &Error) -> Error {
        Error::Killed {
            peer: self.shared.peer.to_string(),
            batch: batch.describe(self.shared.gzip.as_deref()),
            times: batch.trial.kills + 1,
            cause: error.to_string(),
        }
    }

    /// Refuses the batch's only record. A queue's redrive policy takes care of the object. An API's page has none, and
    /// would block its source forever.
    fn refuse(&self, batch: Batch) {
        let shared = &self.shared;
        let returns = batch.origin.as_ref().is_some_and(|origin| origin.object.returns);
        let (what, fate) = match returns {
            true => (
                Outcome::Reject,
                "its message is left to the queue's redrive policy, and its other records continue",
            ),
            false => (
                Outcome::Delivered,
                "it is dropped, since nothing would bring it again, and the rest continues",
            ),
        };
        log::error!(
            "outputs.{}: {} ended the connection each of the {} times that {} was sent alone, while others got through. The record is refused: {fate}. Does the peer limit the size of a message?",
            shared.telemetry.name,
            shared.peer,
            batch.trial.kills,
            batch.describe(shared.gzip.as_deref()),
        );
        shared.telemetry.send.refused.add(batch.events.into());
        batch.share.resolve(what);
    }
}

#[cfg(test)]
#[cfg(feature = "lab")]
mod tests;
