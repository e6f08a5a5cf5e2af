//! An open connection with its unconfirmed batches, and the place where workers find it.
//!
//! A worker that has just framed a batch still has it in its core's cache. So it encrypts and writes the batch itself
//! if a connection is free, without waiting for anything; otherwise the batch goes to the sender threads. Everything
//! else on a connection is its sender's: opening, what the socket did not take, confirmation, closing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender as Channel;

use super::caution::Caution;
use super::connection::{Connection, Peer};
use super::error::Error;
use super::throttle::Throttle;
use super::window::Window;
use crate::ack::Outcome;
use crate::base::limits::{
    PROBE_BYTES_MAX, SEND_CAREFUL_PAUSE, SEND_CONFIRM_INTERVAL, SEND_IDLE_TIMEOUT, SEND_PROOF_TIMEOUT,
    SEND_RENEWAL, SEND_ROOM_INTERVAL, SEND_STALL_TIMEOUT, SEND_WAIT_SLICE, SETTLE_TIME, SETTLE_TIME_HASTY,
};
use crate::base::stop::Stop;
use crate::handoff::{Batch, Gzip};
use crate::settings::Confirmation;
use crate::telemetry;

/// State shared by all senders of an output, and the workers that send to it.
#[derive(Debug, Clone)]
pub struct Shared {
    pub peer: Peer,
    /// The output's limits.
    pub throttle: Arc<Mutex<Throttle>>,
    pub confirmation: Confirmation,
    /// Maximum unconfirmed bytes of one connection.
    pub window_bytes: usize,
    /// TLS records on one connection before it is renewed.
    pub records_max: u64,
    /// The compressor of the batches' bytes, if they are compressed.
    pub gzip: Option<Arc<Gzip>>,
    /// The senders' shared knowledge about a peer that ends connections.
    pub caution: Arc<Mutex<Caution>>,
    pub telemetry: Arc<telemetry::Output>,
    /// Ends everything at once; unconfirmed batches then count as not delivered.
    pub abort: Stop,
}

impl Shared {
    pub fn may_send(&self) -> bool {
        self.throttle().is_open(Instant::now())
    }

    /// A batch has been taken.
    pub fn pay_for(&self, batch: &Batch) {
        let (now, mut throttle) = (Instant::now(), self.throttle());
        throttle.take(batch.events.into(), batch.bytes.len() as u64, now);
        if let Some(pause) = throttle.long_pause(now) {
            log::warn!(
                "outputs.{}: a batch of {} events and {} bytes is far more than the output may send in a second; nothing is sent for the next {} s. This keeps the average of max_events_per_second and max_bytes_per_second; raise them for an even flow",
                self.telemetry.name,
                batch.events,
                batch.bytes.len(),
                pause.as_secs()
            );
        }
    }

    pub fn caution(&self) -> MutexGuard<'_, Caution> {
        self.caution.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer has ended the connection for a reason that may be its input, not our certificate.
    pub fn is_end_of(&self, connection: &Connection, error: &Error) -> bool {
        error.is_end() && (connection.is_complete() || self.caution().has_confirmed())
    }

    /// A batch has reached the peer.
    pub fn confirm(&self, batch: Batch) {
        self.caution().keep_probe(|| batch.first_frame(self.gzip.as_deref(), PROBE_BYTES_MAX));
        let telemetry = &self.telemetry.send;
        telemetry.events.add(batch.events.into());
        telemetry.bytes.add(batch.bytes.len() as u64);
        batch.share.resolve(Outcome::Delivered);
    }

    fn warn_of_no_answers(&self) {
        log::warn!(
            "outputs.{}: {} does not end connections after the collector has, which \"confirmation\": \"close\" needs; from now on its TCP acknowledgements confirm what is sent. Use a relay that closes its connections, or write \"confirmation\": \"acknowledgement\"",
            self.telemetry.name,
            self.peer
        );
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a sender's session, if there is one.
#[derive(Debug)]
pub struct Desk {
    session: Mutex<Option<Session>>,
    shared: Shared,
    /// Wakes the sender.
    wake: Channel<()>,
}

impl Desk {
    pub fn new(shared: Shared, wake: Channel<()>) -> Desk {
        Desk { session: Mutex::default(), shared, wake }
    }

    /// From here on workers may write.
    pub fn open(&self, session: Session) {
        *self.lock() = Some(session);
    }

    /// Nothing writes any more.
    pub fn close(&self) -> Option<Session> {
        self.lock().take()
    }

    /// For the sender, which waits for a worker that is writing. None if there is no session.
    pub fn with<T>(&self, work: impl FnOnce(&mut Session) -> T) -> Option<T> {
        self.lock().as_mut().map(work)
    }

    /// For workers: writes the batch, or returns it at once if there is no connection or it is not free.
    ///
    /// # Errors
    /// The batch, untouched.
    pub fn write(&self, batch: Batch) -> Result<(), Batch> {
        let shared = &self.shared;
        let Ok(mut session) = self.session.try_lock() else { return Err(batch) };
        let Some(session) = session.as_mut().filter(|session| session.is_free(shared)) else {
            return Err(batch);
        };
        let was_idle = session.window.is_empty();
        shared.pay_for(&batch);
        shared.telemetry.waits.work_writes.time_cpu(|| session.write(vec![batch], shared));
        if was_idle || session.needs_its_sender() {
            // Full: it is about to wake anyway.
            let _ = self.wake.try_send(());
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// See [`Confirmation::Close`].
    by_its_end: bool,
    /// Number of written batches.
    carried: u32,
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
    pub fn new(connection: Connection, telemetry: Arc<telemetry::Sender>, shared: &Shared) -> Session {
        let (now, caution) = (Instant::now(), shared.caution());
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
            by_its_end: shared.confirmation == Confirmation::Close && caution.expects_answers(),
            carried: 0,
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
    pub fn end(&mut self, shared: &Shared) -> Result<(), Error> {
        let closed = self.connection.close(self.patience(), &shared.abort);
        self.has_ended(closed, shared)
    }

    /// Closes our side without waiting, and returns when the peer's close is due.
    ///
    /// # Errors
    /// If the connection is unusable.
    pub fn begin_end(&mut self, shared: &Shared) -> Result<Instant, Error> {
        self.connection.say_goodbye(self.patience(), &shared.abort)
    }

    /// Checks whether the pending end has come; then all remaining batches are confirmed.
    ///
    /// # Errors
    /// Those of [`Session::end`].
    pub fn try_end(&mut self, deadline: Instant, shared: &Shared) -> Result<bool, Error> {
        match self.connection.is_answered(self.patience(), deadline) {
            Ok(false) => Ok(false),
            Ok(true) => self.has_ended(Ok(()), shared).map(|()| true),
            Err(error) => self.has_ended(Err(error), shared).map(|()| false),
        }
    }

    /// How long the peer may take to end the connection after we did.
    fn patience(&self) -> Duration {
        if self.by_its_end { SEND_PROOF_TIMEOUT } else { self.connection.patience() }
    }

    fn has_ended(&mut self, closed: Result<(), Error>, shared: &Shared) -> Result<(), Error> {
        let closed = closed.and_then(|()| self.check_goodbye(shared));
        match &closed {
            Ok(()) => {
                let ends = self.window.written_after();
                while let Some(batch) = self.window.pop() {
                    self.confirm_one(batch, shared);
                }
                shared.caution().ended_well(self.carried, ends);
            }
            Err(Error::Unanswered { .. }) => {
                if self.by_its_end && shared.caution().unanswered() {
                    shared.warn_of_no_answers();
                }
                self.confirm(shared, Instant::now())?;
            }
            Err(_) => (),
        }
        closed
    }

    fn check_goodbye(&self, shared: &Shared) -> Result<(), Error> {
        let said = self.connection.has_heard_goodbye();
        let as_usual = shared.caution().answered(said) || !self.connection.is_tls();
        if as_usual || !self.by_its_end { Ok(()) } else { Err(self.connection.cut()) }
    }

    /// The peer has ended it for a reason that may be its input.
    pub fn was_ended_by(&self, error: &Error, shared: &Shared) -> bool {
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
    pub fn write(&mut self, mut group: Vec<Batch>, shared: &Shared) {
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
        self.last_work = Instant::now();
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
    pub fn attend(&mut self, shared: &Shared) -> Result<(Next, u32), Error> {
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
        let now = Instant::now();
        self.connection.read()?;
        let confirmed = self.confirm(shared, now)?;
        self.telemetry.set_owed_since(self.owed_since());
        self.ends = shared.caution().ends();
        let aborted = shared.abort.is_stopped();
        self.closing |= aborted || self.is_over(shared, now);
        let next = match self.closing {
            true if aborted || self.may_end(now) => Next::Close,
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

    /// True if nothing needs to wait for its end: the order of the next batches does not depend on it, and the peer is
    /// not suspected of ending connections.
    fn may_be_left(&self) -> bool {
        self.by_its_end && !self.hasty && self.allowance.is_none() && !self.window.has_lanes()
    }

    /// True if there is nothing left to wait for before it is closed. A peer that closes because of what it has read
    /// must have done so by then: after our close, its own would look like an orderly one.
    fn may_end(&self, now: Instant) -> bool {
        let hasty = self.hasty || self.by_its_end;
        let time = if hasty { SETTLE_TIME_HASTY } else { self.connection.settle_time(now) };
        self.window.is_empty() || (self.needs_its_end() && self.window.is_outlived(now, time))
    }

    /// True if it must be closed, so that another one replaces it when there is something to send.
    fn is_over(&self, shared: &Shared, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.last_work);
        (self.window.is_empty() && idle >= SEND_IDLE_TIMEOUT)
            || now.saturating_duration_since(self.opened) >= SEND_RENEWAL
            || !self.connection.is_current(&shared.peer)
            || self.connection.is_worn(shared.records_max)
            || (self.allowance.is_some() && (self.allowed() == 0 || idle >= SEND_CAREFUL_PAUSE))
            || (self.needs_its_end() && self.has_enough(shared, now))
    }

    /// True if the window is full, or its content would have settled elsewhere by now.
    fn has_enough(&self, shared: &Shared, now: Instant) -> bool {
        let time = if self.hasty { SETTLE_TIME_HASTY } else { SETTLE_TIME };
        let since = self.window.acknowledged_since();
        self.window.bytes() >= shared.window_bytes
            || since.is_some_and(|since| now.saturating_duration_since(since) >= time)
    }

    /// True if a worker may write without waiting.
    fn is_free(&self, shared: &Shared) -> bool {
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
        let (end, now) = (self.connection.written(), Instant::now());
        self.unfinished.drain(..).for_each(|batch| self.window.push(batch, end, now));
    }

    /// Since when the peer has neither taken nor acknowledged the bytes it should.
    fn owed_since(&self) -> Option<Instant> {
        let unfinished = || (!self.unfinished.is_empty()).then_some(self.last_work);
        self.window.waiting_since().or_else(unfinished)
    }

    /// The number of confirmed batches. The connection is known to have been alive at `now`.
    fn confirm(&mut self, shared: &Shared, now: Instant) -> Result<u32, Error> {
        let (mut confirmed, mut ends) = (0, 0);
        if self.window.is_empty() {
            return Ok(confirmed);
        }
        self.window.acknowledge(self.connection.acknowledged()?, Instant::now());
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
            Some(since) if since.elapsed() >= SEND_STALL_TIMEOUT => Err(self.connection.stalled()),
            _ => Ok(0),
        }
    }

    fn confirm_one(&mut self, batch: Batch, shared: &Shared) {
        self.telemetry.unconfirmed.add(-(batch.bytes.len() as i64));
        self.confirmed += 1;
        shared.confirm(batch);
    }
}

#[cfg(test)]
mod tests;
