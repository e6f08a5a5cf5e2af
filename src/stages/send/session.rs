//! An open connection with its unconfirmed batches, and the place where workers find it.
//!
//! A worker that has just framed a batch still has it in its core's cache. So it encrypts and writes the batch itself
//! if a connection is free, without waiting for anything; otherwise the batch goes to the sender threads. Everything
//! else on a connection is its sender's: opening, what the socket did not take, confirmation, closing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::error::Error;
use super::place::Place;
use super::shared::SharedOutput;
use super::trial;
use super::window::Window;
use crate::base::limits::{
    BATCH_BYTES, SEND_CAREFUL_PAUSE, SEND_CONFIRM_INTERVAL, SEND_IDLE_TIMEOUT, SEND_RENEWAL,
    SEND_ROOM_INTERVAL, SEND_STALL_TIMEOUT, SEND_WAIT_SLICE, SETTLE_TIME, SETTLE_TIME_HASTY,
};
use crate::base::runtime::channel::Sender;
use crate::base::runtime::clock;
use crate::handoff::Batch;
use crate::telemetry;

/// The place of a sender's session, if there is one.
#[derive(Debug)]
pub struct Desk {
    place: Place<Session>,
    shared: SharedOutput,
}

impl Desk {
    pub fn new(shared: SharedOutput, wake: Sender<()>) -> Desk {
        Desk { place: Place::new(wake), shared }
    }

    /// From here on workers may write.
    pub fn open(&self, session: Session) {
        self.place.open(session);
    }

    /// Nothing writes any more.
    pub fn close(&self) -> Option<Session> {
        self.place.close()
    }

    /// For the sender, which waits for a worker that is writing. None if there is no session.
    pub fn with<T>(&self, work: impl FnOnce(&mut Session) -> T) -> Option<T> {
        self.place.with(work)
    }

    /// For workers: writes the batch, or returns it at once if there is no connection or it is not free.
    ///
    /// # Errors
    /// The batch, untouched.
    pub fn write(&self, batch: Batch) -> Result<(), Batch> {
        let shared = &self.shared;
        let write = |session: &mut Session, batch| {
            let was_idle = session.window.is_empty();
            shared.pay_for(&batch);
            shared.telemetry.waits.work_writes.time_cpu(|| session.write(vec![batch], shared));
            was_idle || session.needs_its_sender()
        };
        self.place.offer(batch, |session| session.is_free(shared), write)
    }
}

/// One connection's life between its opening and its closing.
#[derive(Debug)]
pub struct Session {
    telemetry: Arc<telemetry::Sender>,
    connection: Connection,
    window: Window,
    /// Written to the connection, but the socket has not taken all of it yet.
    unfinished: Vec<Batch>,
    /// The error of a failed write, until the sender looks.
    failure: Option<Error>,
    opened: Instant,
    last_work: Instant,
    closing: bool,
    /// Maximum number of batches; None for no limit.
    allowance: Option<u32>,
    /// The peer's connections do not live for the settling time.
    hasty: bool,
    /// See [`SharedOutput::confirms_by_end`].
    by_its_end: bool,
    /// Number of written batches.
    carried: u32,
    /// It ended because it had carried as much as an unlimited one.
    is_full: bool,
    /// Number of confirmed batches.
    confirmed: u32,
    /// The value of [`Caution::ends`] at the sender's last check.
    ends: u64,
}

/// The sender's next action.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Write a batch, if one comes within that time.
    Batch(Duration),
    /// Wait: the window is full, or it is the end and everything must be confirmed first.
    Confirmation(Duration),
    /// Wait: the output's rates allow no more for now.
    Rate,
    /// Nothing: the connection may be left to its peer, which reads it to its end.
    Leave,
    /// Close the connection: nothing is unconfirmed, or its end confirms the rest.
    Close,
}

impl Session {
    pub fn new(connection: Connection, telemetry: Arc<telemetry::Sender>, shared: &SharedOutput) -> Session {
        let by_its_end = shared.confirms_by_end();
        let (now, caution) = (clock::now(), shared.caution());
        Session {
            telemetry,
            connection,
            window: Window::default(),
            unfinished: Vec::new(),
            failure: None,
            opened: now,
            last_work: now,
            closing: false,
            allowance: caution.allowance(),
            hasty: caution.is_hasty(),
            by_its_end,
            carried: 0,
            is_full: false,
            confirmed: 0,
            ends: caution.ends(),
        }
    }

    /// Stops writing: it ends once everything is confirmed.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Remaining number of batches.
    pub fn allowed(&self) -> u32 {
        self.allowance.map_or(u32::MAX, |allowance| allowance.saturating_sub(self.carried))
    }

    /// Closes our side when its sender is done with it, and takes the peer's orderly end as the confirmation of all
    /// remaining batches. Only [`Session::into_window`] may follow.
    ///
    /// # Errors
    /// If the peer did not end the connection in good order. [`Session::into_window`] gives the unconfirmed batches.
    pub fn end(&mut self, shared: &SharedOutput) -> Result<(), Error> {
        self.begin_end(shared)?;
        while !self.try_end(shared)? {
            if shared.abort.is_stopped() {
                return Err(Error::Stopped);
            }
            self.connection.await_answer(&shared.abort)?;
        }
        Ok(())
    }

    /// Closes our side without waiting for the peer's close.
    ///
    /// # Errors
    /// If the connection is unusable.
    pub fn begin_end(&mut self, shared: &SharedOutput) -> Result<(), Error> {
        self.connection.say_goodbye(&shared.abort)
    }

    /// Checks whether the pending end has come; then all remaining batches are confirmed.
    ///
    /// # Errors
    /// The errors of [`Session::end`].
    pub fn try_end(&mut self, shared: &SharedOutput) -> Result<bool, Error> {
        match self.connection.is_answered(self.patience(shared)) {
            Ok(false) => {
                // Noted when it comes, because it may have to be outlived.
                self.window.acknowledge(self.connection.acknowledged()?, clock::now());
                Ok(false)
            }
            Err(Error::Unanswered { .. }) if self.may_be_answered(shared) => Ok(false),
            closed => self.has_ended(closed.map(drop), shared).map(|()| true),
        }
    }

    /// True if the peer has more time for its end than it was given at first. Notes whether it ends connections at all.
    fn may_be_answered(&mut self, shared: &SharedOutput) -> bool {
        self.by_its_end = self.by_its_end && trial::is_ever_ended(&self.connection, shared);
        self.by_its_end && self.connection.silence() < shared.caution().patience()
    }

    /// How long the peer may take to end the connection after we did.
    fn patience(&self, shared: &SharedOutput) -> Duration {
        match self.needs_its_end() {
            true if self.by_its_end && !shared.caution().expects_answers() => Duration::ZERO,
            is_proof => shared.patience(is_proof),
        }
    }

    fn has_ended(&mut self, closed: Result<(), Error>, shared: &SharedOutput) -> Result<(), Error> {
        let closed = closed.and_then(|()| shared.check_goodbye(&self.connection, self.by_its_end));
        match &closed {
            Ok(()) => {
                let ends = self.window.written_after();
                while let Some(batch) = self.window.pop() {
                    self.confirm_one(batch, shared);
                }
                shared.caution().ended_well(self.carried, self.is_full, ends);
                shared.caution().took(self.connection.silence());
            }
            Err(Error::Unanswered { .. }) => {
                if self.needs_its_end() {
                    shared.caution().unanswered();
                }
                self.confirm(shared, clock::now())?;
                let is_no_proof = !self.needs_its_end() || !shared.caution().expects_answers();
                if self.window.is_empty() && is_no_proof {
                    shared.caution().ended_well(self.carried, self.is_full, None);
                    return Ok(());
                }
            }
            Err(_) => (),
        }
        closed
    }

    /// The peer has ended it for a reason that may be its input.
    pub fn was_ended_by(&self, error: &Error, shared: &SharedOutput) -> bool {
        shared.is_end_of(&self.connection, error)
    }

    /// True if everything written has been confirmed.
    pub fn is_empty(&self) -> bool {
        self.window.is_empty() && self.unfinished.is_empty()
    }

    /// True if nothing written has been confirmed.
    pub fn is_barren(&self) -> bool {
        self.confirmed == 0
    }

    /// The unconfirmed batches, oldest first.
    pub fn into_window(mut self) -> Window {
        self.move_to_window();
        self.window
    }

    /// Encrypts the batches, and writes what the socket takes at once; [`Session::attend`] handles the rest, and an
    /// error.
    pub fn write(&mut self, mut group: Vec<Batch>, shared: &SharedOutput) {
        for batch in &mut group {
            shared.telemetry.send.events_written.add(batch.events.into());
            self.telemetry.unconfirmed.add(batch.bytes.len() as i64);
            batch.trial.written_after = self.ends;
        }
        let connection = &mut self.connection;
        let written = group.iter().try_for_each(|batch| connection.write(&batch.bytes, &shared.abort));
        self.carried = self.carried.saturating_add(group.len() as u32);
        // In any case they are unconfirmed, and are returned when the connection has failed.
        self.unfinished.extend(group);
        self.last_work = clock::now();
        let finished = match written.and_then(|()| connection.push()) {
            Ok(true) => self.finished(),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = finished {
            self.failure = Some(error);
        }
    }

    /// The sender's part: finishes pending writes, reads from the peer, confirms; returns the next action, and the
    /// number of confirmed batches.
    ///
    /// # Errors
    /// If the connection is unusable; [`Session::into_window`] gives the written batches.
    pub fn attend(&mut self, shared: &SharedOutput) -> Result<(Next, u32), Error> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        // A flush may wait for as long as the peer's time limit.
        self.telemetry.set_owed_since(self.owed_since());
        let flushed = self.connection.flush(&shared.abort);
        shared.telemetry.waits.send_socket.add(self.connection.take_waited());
        flushed?;
        self.finished()?;
        // Taken before the check: a thread that is suspended between the two must not believe that the connection has
        // lived on meanwhile.
        let now = clock::now();
        self.connection.read()?;
        let confirmed = self.confirm(shared, now)?;
        self.telemetry.set_owed_since(self.owed_since());
        self.ends = shared.caution().ends();
        let aborted = shared.abort.is_stopped();
        let is_full = self.needs_its_end() && self.has_enough(shared, now);
        self.is_full |= is_full && !self.closing;
        self.closing |= aborted || is_full || self.is_over(shared, now);
        let next = match self.closing {
            true if aborted || self.may_end(shared, now) => Next::Close,
            true if self.may_be_left() => Next::Leave,
            true => Next::Confirmation(SEND_CONFIRM_INTERVAL),
            false if self.window.bytes() >= shared.window_bytes => Next::Confirmation(SEND_ROOM_INTERVAL),
            false if !shared.may_send() => Next::Rate,
            false if self.window.is_empty() => Next::Batch(SEND_WAIT_SLICE),
            false => Next::Batch(SEND_CONFIRM_INTERVAL),
        };
        Ok((next, confirmed))
    }

    /// True if only its orderly end confirms its batches.
    fn needs_its_end(&self) -> bool {
        self.hasty || self.by_its_end || !self.connection.is_proven()
    }

    /// True if nothing needs to wait for its end: the order of the next batches does not depend on it, and the peer's connections
    /// live for long enough.
    fn may_be_left(&self) -> bool {
        self.by_its_end && !self.hasty && !self.window.has_lanes()
    }

    /// True if there is nothing left to wait for before it is closed. A peer that closes because of what it has read
    /// must have done so by then: after our close, its own would look like an orderly one.
    fn may_end(&self, shared: &SharedOutput, now: Instant) -> bool {
        let hasty = self.hasty || (self.by_its_end && self.is_urgent() && !self.is_doubted(shared, now));
        let time = if hasty { SETTLE_TIME_HASTY } else { self.connection.settle_time(now) };
        self.window.is_empty() || (self.needs_its_end() && self.window.is_outlived(now, time))
    }

    /// True if waiting would cost speed: it carries much, or what comes next waits for its end.
    fn is_urgent(&self) -> bool {
        self.window.bytes() >= BATCH_BYTES || self.window.has_lanes()
    }

    /// True if the peer may end it because of its content: it has done so lately, or with a batch that is on it.
    fn is_doubted(&self, shared: &SharedOutput, now: Instant) -> bool {
        self.allowance.is_some() || self.window.has_strikes() || shared.caution().has_ended_lately(now)
    }

    /// True if it must be closed, so that another one replaces it when there is something to send.
    fn is_over(&self, shared: &SharedOutput, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.last_work);
        (self.window.is_empty() && idle >= SEND_IDLE_TIMEOUT)
            || now.saturating_duration_since(self.opened) >= SEND_RENEWAL
            || !self.connection.is_current(&shared.peer)
            || self.connection.is_worn(shared.records_max)
            || (self.allowance.is_some() && (self.allowed() == 0 || idle >= SEND_CAREFUL_PAUSE))
    }

    /// True if the window is full, or its content would have settled elsewhere by now.
    fn has_enough(&self, shared: &SharedOutput, now: Instant) -> bool {
        let time = if self.hasty { SETTLE_TIME_HASTY } else { SETTLE_TIME };
        let since = self.window.acknowledged_since();
        self.window.bytes() >= shared.window_bytes
            || since.is_some_and(|since| now.saturating_duration_since(since) >= time)
    }

    /// True if a worker may write without waiting.
    fn is_free(&self, shared: &SharedOutput) -> bool {
        self.connection.is_buffered()
            && !self.closing
            && !self.needs_its_sender()
            && self.window.bytes() < shared.window_bytes
            && self.allowed() > 0
            && !self.connection.is_worn(shared.records_max)
            && shared.may_send()
    }

    fn needs_its_sender(&self) -> bool {
        self.failure.is_some() || !self.unfinished.is_empty()
    }

    /// True if the socket has all pending writes.
    fn finished(&mut self) -> Result<(), Error> {
        self.connection.balance()?;
        self.move_to_window();
        Ok(())
    }

    fn move_to_window(&mut self) {
        let (end, now) = (self.connection.written(), clock::now());
        self.unfinished.drain(..).for_each(|batch| self.window.push(batch, end, now));
    }

    /// Since when the peer has neither taken nor acknowledged the bytes it should.
    fn owed_since(&self) -> Option<Instant> {
        let unfinished = || (!self.unfinished.is_empty()).then_some(self.last_work);
        self.window.waiting_since().or_else(unfinished)
    }

    /// The number of confirmed batches. The connection is known to have been alive at `now`.
    fn confirm(&mut self, shared: &SharedOutput, now: Instant) -> Result<u32, Error> {
        let (mut confirmed, mut ends) = (0, 0);
        if self.window.is_empty() {
            return Ok(confirmed);
        }
        self.window.acknowledge(self.connection.acknowledged()?, clock::now());
        if self.by_its_end {
            return self.check_progress();
        }
        let settle_time = self.connection.is_proven().then(|| self.connection.settle_time(now));
        while let Some(batch) = self.window.pop_settled(now, settle_time) {
            ends = batch.trial.written_after;
            self.confirm_one(batch, shared);
            confirmed += 1;
        }
        if confirmed > 0 {
            let limited = self.allowance.is_some();
            shared.caution().outlived(ends, limited);
        }
        self.check_progress().map(|_| confirmed)
    }

    /// True if the peer acknowledges what it should; that confirms nothing.
    fn check_progress(&self) -> Result<u32, Error> {
        match self.window.waiting_since() {
            Some(since) if clock::since(since) >= SEND_STALL_TIMEOUT => Err(self.connection.stalled()),
            _ => Ok(0),
        }
    }

    fn confirm_one(&mut self, batch: Batch, shared: &SharedOutput) {
        self.telemetry.unconfirmed.add(-(batch.bytes.len() as i64));
        self.confirmed += 1;
        shared.confirm(batch);
    }
}

#[cfg(test)]
#[cfg(feature = "lab")]
mod tests;
