//! An open connection with what is unconfirmed on it, and the place where workers find it.
//!
//! A worker that has just framed a batch still has it in its core's cache. So it encrypts the batch and writes
//! it itself where a connection is free, without waiting for anything; otherwise the batch goes to the sender
//! threads. All else on a connection is its sender's: opening, what the socket did not take, confirmation,
//! closing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender as Channel;

use super::connection::{Connection, Peer};
use super::error::Error;
use super::throttle::Throttle;
use super::window::Window;
use crate::ack::Outcome;
use crate::frame::Batch;
use crate::limits::{
    SEND_CONFIRM_INTERVAL, SEND_IDLE_TIMEOUT, SEND_RENEWAL, SEND_ROOM_INTERVAL, SEND_STALL_TIMEOUT,
    SEND_WAIT_SLICE,
};
use crate::stop::Stop;
use crate::telemetry;

/// What all senders of an output share, and the workers that send to it.
#[derive(Debug, Clone)]
pub struct Shared {
    pub peer: Peer,
    /// The output's limits.
    pub throttle: Arc<Mutex<Throttle>>,
    /// Unconfirmed bytes that one connection may have.
    pub window_bytes: usize,
    pub telemetry: Arc<telemetry::Output>,
    /// Ends everything at once; what is not confirmed then counts as not delivered.
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
                "outputs.{}: a batch of {} events and {} bytes is far more than the output may send in a second; nothing is sent for the next {} s. The average is what max_events_per_second and max_bytes_per_second say; raise them for an even flow",
                self.telemetry.name,
                batch.events,
                batch.bytes.len(),
                pause.as_secs()
            );
        }
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a sender's session is, while there is one.
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

    /// Nobody writes any more.
    pub fn close(&self) -> Option<Session> {
        self.lock().take()
    }

    /// For the sender, which waits for a worker that is writing. None: there is no session.
    pub fn with<T>(&self, work: impl FnOnce(&mut Session) -> T) -> Option<T> {
        self.lock().as_mut().map(work)
    }

    /// For workers: writes the batch, or gives it back at once, if there is no connection or it is not free.
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
    /// Written into the connection, but the socket has not taken all of it yet.
    unfinished: Vec<Batch>,
    /// Why a write failed, until the sender looks.
    failure: Option<Error>,
    opened: Instant,
    last_work: Instant,
    closing: bool,
}

/// What its sender should do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Write a batch, if one comes within that time.
    Batch(Duration),
    /// Wait: the window is full, or it is the end and all is to be confirmed first.
    Confirmation(Duration),
    /// Wait: the output's rates allow no more for now.
    Rate,
    /// Close the connection: nothing is unconfirmed.
    Close,
}

impl Session {
    pub fn new(connection: Connection, telemetry: Arc<telemetry::Sender>) -> Session {
        let now = Instant::now();
        Session {
            telemetry,
            connection,
            window: Window::default(),
            unfinished: Vec::new(),
            failure: None,
            opened: now,
            last_work: now,
            closing: false,
        }
    }

    /// Nothing more will be written: it ends once all is confirmed.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// The connection, and the batches that are not confirmed, oldest first.
    pub fn into_parts(mut self) -> (Connection, Window) {
        self.finished();
        (self.connection, self.window)
    }

    /// Encrypts the batches, and writes what the socket takes at once; the rest is for [`Session::attend`], and
    /// so is an error.
    pub fn write(&mut self, group: Vec<Batch>, shared: &Shared) {
        for batch in &group {
            shared.telemetry.send.events_written.add(batch.events.into());
            self.telemetry.unconfirmed.add(batch.bytes.len() as i64);
        }
        let connection = &mut self.connection;
        let written = group.iter().try_for_each(|batch| connection.write(&batch.bytes, &shared.abort));
        // Whatever came of it: they are unconfirmed, and go back when the connection has failed.
        self.unfinished.extend(group);
        self.last_work = Instant::now();
        match written.and_then(|()| connection.push()) {
            Ok(true) => self.finished(),
            Ok(false) => (),
            Err(error) => self.failure = Some(error),
        }
    }

    /// The sender's part: brings to an end what was begun, listens to the peer, confirms; says what to do next, and
    /// how many batches have been confirmed.
    ///
    /// # Errors
    /// The connection is of no more use; what was written comes out of [`Session::into_parts`].
    pub fn attend(&mut self, shared: &Shared) -> Result<(Next, usize), Error> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        // A flush may wait for as long as a peer is given.
        self.telemetry.set_owed_since(self.owed_since());
        let flushed = self.connection.flush(&shared.abort);
        shared.telemetry.waits.send_socket.add(self.connection.take_waited());
        flushed?;
        self.finished();
        // Before the look: a thread that is kept from running between the two must not believe that the
        // connection has lived on meanwhile.
        let now = Instant::now();
        self.connection.read()?;
        let confirmed = self.confirm(shared, now)?;
        self.telemetry.set_owed_since(self.owed_since());
        let aborted = shared.abort.is_stopped();
        let idle = self.window.is_empty() && now - self.last_work >= SEND_IDLE_TIMEOUT;
        self.closing |= idle || now - self.opened >= SEND_RENEWAL || aborted;
        self.closing |= !self.connection.is_current(&shared.peer);
        let next = match self.closing {
            true if self.window.is_empty() || aborted => Next::Close,
            true => Next::Confirmation(SEND_CONFIRM_INTERVAL),
            false if self.window.bytes() >= shared.window_bytes => Next::Confirmation(SEND_ROOM_INTERVAL),
            false if !shared.may_send() => Next::Rate,
            false if self.window.is_empty() => Next::Batch(SEND_WAIT_SLICE),
            false => Next::Batch(SEND_CONFIRM_INTERVAL),
        };
        Ok((next, confirmed))
    }

    /// A worker may write: it will not have to wait.
    fn is_free(&self, shared: &Shared) -> bool {
        self.connection.is_buffered()
            && !self.closing
            && !self.needs_its_sender()
            && self.window.bytes() < shared.window_bytes
            && shared.may_send()
    }

    fn needs_its_sender(&self) -> bool {
        self.failure.is_some() || !self.unfinished.is_empty()
    }

    /// What was begun is in the window now, whether the socket has all of it or the connection has failed.
    fn finished(&mut self) {
        let (end, now) = (self.connection.written(), Instant::now());
        self.unfinished.drain(..).for_each(|batch| self.window.push(batch, end, now));
    }

    /// Since when the peer has neither taken nor acknowledged what it should.
    fn owed_since(&self) -> Option<Instant> {
        let unfinished = || (!self.unfinished.is_empty()).then_some(self.last_work);
        self.window.waiting_since().or_else(unfinished)
    }

    /// How many batches have been confirmed. The connection is known to have been alive at `now`.
    fn confirm(&mut self, shared: &Shared, now: Instant) -> Result<usize, Error> {
        let mut confirmed = 0;
        if self.window.is_empty() {
            return Ok(confirmed);
        }
        self.window.acknowledge(self.connection.acknowledged()?, Instant::now());
        while let Some(batch) = self.window.pop_settled(now, self.connection.settle_time(now)) {
            let telemetry = &shared.telemetry.send;
            self.telemetry.unconfirmed.add(-(batch.bytes.len() as i64));
            telemetry.events.add(batch.events.into());
            telemetry.bytes.add(batch.bytes.len() as u64);
            batch.share.resolve(Outcome::Delivered);
            confirmed += 1;
        }
        match self.window.waiting_since() {
            Some(since) if since.elapsed() >= SEND_STALL_TIMEOUT => Err(self.connection.stalled()),
            _ => Ok(confirmed),
        }
    }
}

#[cfg(test)]
mod tests;
