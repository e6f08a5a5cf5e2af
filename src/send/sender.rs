//! A sender thread: connects when there is something to send, writes, confirms, reconnects.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender as Channel, TryRecvError, select_biased};

use super::connection::{Connection, Peer};
use super::error::Error;
use super::throttle::Throttle;
use super::window::Window;
use crate::ack::Outcome;
use crate::backoff::Backoff;
use crate::frame::Batch;
use crate::limits::{
    BATCH_BYTES, SEND_BACKOFF_FIRST, SEND_BACKOFF_MAX, SEND_CONFIRM_INTERVAL, SEND_IDLE_TIMEOUT,
    SEND_RENEWAL, SEND_ROOM_INTERVAL, SEND_STALL_TIMEOUT, SEND_WAIT_SLICE,
};
use crate::stop::Stop;
use crate::telemetry::{self, Activity};

/// What all senders of an output share.
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

/// One of an output's threads.
#[derive(Debug)]
pub struct Sender {
    pub shared: Shared,
    pub telemetry: Arc<telemetry::Sender>,
    /// New work, shared with the output's other senders.
    pub batches: Receiver<Batch>,
    /// New work that must stay in order, for this sender alone.
    pub lane: Receiver<Batch>,
    /// Such work that was on a broken connection: it may not overtake, nor be overtaken.
    pub kept: VecDeque<Batch>,
    /// Other work that was on a broken connection, shared as well, and done first.
    pub returned: (Channel<Batch>, Receiver<Batch>),
}

impl Sender {
    /// Runs until the channel of batches is closed and everything is confirmed, or until aborted.
    pub fn run(mut self) {
        let mut backoff = Backoff::new(SEND_BACKOFF_FIRST, SEND_BACKOFF_MAX);
        while self.wait_for_work() {
            let Err(error) = self.session(&mut backoff) else { continue };
            let telemetry = &self.shared.telemetry;
            telemetry.send.failed_connections.increment();
            telemetry.health.failed(error.to_string(), error.is_lasting());
            let _backing_off = self.telemetry.during(Activity::BackingOff);
            self.shared.abort.wait(backoff.pause());
        }
    }

    /// The life of one connection.
    fn session(&mut self, backoff: &mut Backoff) -> Result<(), Error> {
        let own = Arc::clone(&self.telemetry);
        let connecting = own.during(Activity::Connecting);
        let mut connection = Connection::open(&self.shared.peer)?;
        drop(connecting);
        self.shared.telemetry.send.connected.increment();
        let open = own.during(Activity::Connected);
        let mut window = Window::default();
        let end = self.converse(&mut connection, &mut window, backoff);
        if end.is_ok() {
            self.say_goodbye(connection);
        }
        drop(open);
        self.give_back(window);
        end
    }

    /// Waits until there is a batch to send, without taking it for good: true, unless all is done.
    fn wait_for_work(&mut self) -> bool {
        while !self.shared.abort.is_stopped() {
            match self.take(SEND_WAIT_SLICE) {
                Ok(batch) => {
                    self.put_back(batch);
                    return true;
                }
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        false
    }

    /// A batch, those that came back first.
    fn take(&mut self, timeout: Duration) -> Result<Batch, RecvTimeoutError> {
        if let Some(batch) = self.kept.pop_front() {
            return Ok(batch);
        }
        let waited = Instant::now();
        let taken = self.wait_for_batch(timeout);
        self.shared.telemetry.waits.send_batches.add(waited.elapsed());
        taken
    }

    fn wait_for_batch(&self, timeout: Duration) -> Result<Batch, RecvTimeoutError> {
        // Both channels of new work are closed together, when the last worker has gone.
        let last = |channel: &Receiver<Batch>| channel.try_recv().map_err(|_| RecvTimeoutError::Disconnected);
        select_biased! {
            recv(self.returned.1) -> batch => batch.map_err(|_| RecvTimeoutError::Disconnected),
            recv(self.lane) -> batch => batch.or_else(|_| last(&self.batches)),
            recv(self.batches) -> batch => batch.or_else(|_| last(&self.lane)),
            default(timeout) => Err(RecvTimeoutError::Timeout),
        }
    }

    fn put_back(&mut self, batch: Batch) {
        match batch.lane {
            Some(_) => self.kept.push_front(batch),
            None => drop(self.returned.0.send(batch)),
        }
    }

    /// Sends and confirms. Ok when the connection is to be closed and everything on it is confirmed.
    fn converse(
        &mut self,
        connection: &mut Connection,
        window: &mut Window,
        backoff: &mut Backoff,
    ) -> Result<(), Error> {
        let opened = Instant::now();
        let mut last_work = opened;
        let mut closing = false;
        loop {
            connection.read()?;
            let waits = &self.shared.telemetry.waits;
            if closing || window.bytes() >= self.shared.window_bytes {
                let interval = if closing { SEND_CONFIRM_INTERVAL } else { SEND_ROOM_INTERVAL };
                waits.send_confirmation.time(|| self.shared.abort.wait(interval));
            } else if !self.may_send() {
                waits.send_rate.time(|| self.shared.abort.wait(SEND_CONFIRM_INTERVAL));
            } else {
                let patience = if window.is_empty() { SEND_WAIT_SLICE } else { SEND_CONFIRM_INTERVAL };
                match self.take(patience) {
                    Ok(batch) => {
                        self.send(batch, connection, window)?;
                        last_work = Instant::now();
                    }
                    Err(RecvTimeoutError::Timeout) => (),
                    Err(RecvTimeoutError::Disconnected) => closing = true,
                }
            }
            let now = Instant::now();
            if self.confirm(connection, window, now)? > 0 {
                backoff.reset();
                self.shared.telemetry.health.works();
            }
            let idle = window.is_empty() && now - last_work >= SEND_IDLE_TIMEOUT;
            closing |= idle || now - opened >= SEND_RENEWAL || self.shared.abort.is_stopped();
            closing |= !connection.is_current(&self.shared.peer);
            if closing && (window.is_empty() || self.shared.abort.is_stopped()) {
                return Ok(());
            }
        }
    }

    fn may_send(&self) -> bool {
        self.throttle().is_open(Instant::now())
    }

    fn pay_for(&self, batch: &Batch) {
        self.throttle().take(batch.events.into(), batch.bytes.len() as u64, Instant::now());
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.shared.throttle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Writes a batch, and as many more as are waiting, up to one batch's size: small ones share a
    /// system call. They are in the window before the socket is touched, so that a failure returns them.
    fn send(&self, first: Batch, connection: &mut Connection, window: &mut Window) -> Result<(), Error> {
        let mut group = vec![first];
        let mut bytes = group[0].bytes.len();
        self.pay_for(&group[0]);
        while bytes < BATCH_BYTES && self.may_send() {
            match self.batches.try_recv() {
                Ok(batch) => {
                    bytes += batch.bytes.len();
                    self.pay_for(&batch);
                    group.push(batch);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        let abort = &self.shared.abort;
        let telemetry = &self.shared.telemetry.send;
        let written = group
            .iter()
            .try_for_each(|batch| connection.write(&batch.bytes, abort))
            .and_then(|()| connection.flush(abort));
        self.shared.telemetry.waits.send_socket.add(connection.take_waited());
        let (end, now) = (connection.written(), Instant::now());
        for batch in group {
            telemetry.events_written.add(batch.events.into());
            telemetry.waiting.add(-1);
            self.telemetry.unconfirmed.add(batch.bytes.len() as i64);
            // After a failed write `end` is too low, but then the window is only emptied again.
            window.push(batch, end, now);
        }
        written
    }

    /// How many batches have been confirmed.
    fn confirm(&self, connection: &Connection, window: &mut Window, now: Instant) -> Result<usize, Error> {
        let mut confirmed = 0;
        if window.is_empty() {
            return Ok(confirmed);
        }
        window.acknowledge(connection.acknowledged()?, now);
        while let Some(batch) = window.pop_settled(now, connection.settle_time(now)) {
            let telemetry = &self.shared.telemetry.send;
            self.telemetry.unconfirmed.add(-(batch.bytes.len() as i64));
            telemetry.events.add(batch.events.into());
            telemetry.bytes.add(batch.bytes.len() as u64);
            batch.share.resolve(Outcome::Delivered);
            confirmed += 1;
        }
        match window.waiting_since() {
            Some(since) if now - since >= SEND_STALL_TIMEOUT => Err(connection.stalled()),
            _ => Ok(confirmed),
        }
    }

    fn say_goodbye(&self, connection: Connection) {
        if let Err(error) = connection.close(&self.shared.abort) {
            log::debug!("{}: closing: {error}", self.shared.peer);
        }
    }

    /// What is not confirmed is sent again: by whichever sender is free, or here if it must stay in order.
    fn give_back(&mut self, mut window: Window) {
        let mut in_order = VecDeque::new();
        while let Some(batch) = window.pop() {
            let telemetry = &self.shared.telemetry.send;
            telemetry.waiting.add(1);
            self.telemetry.unconfirmed.add(-(batch.bytes.len() as i64));
            telemetry.repeated.add(batch.events.into());
            match batch.lane {
                Some(_) => in_order.push_back(batch),
                None => drop(self.returned.0.send(batch)),
            }
        }
        in_order.append(&mut self.kept);
        self.kept = in_order;
    }
}
