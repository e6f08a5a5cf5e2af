//! A sender thread: connects when there is something to send, writes, confirms, reconnects.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender as Channel, select_biased};

use super::connection::Connection;
use super::error::Error;
use super::session::{Desk, Next, Session, Shared};
use super::window::Window;
use crate::backoff::Backoff;
use crate::frame::Batch;
use crate::limits::{
    BATCH_BYTES, SEND_BACKOFF_FIRST, SEND_BACKOFF_MAX, SEND_CONFIRM_INTERVAL, SEND_WAIT_SLICE,
};
use crate::telemetry::{self, Activity};

/// One of an output's threads.
#[derive(Debug)]
pub struct Sender {
    pub shared: Shared,
    /// Where its session is while it is open; workers write there too.
    pub desk: Arc<Desk>,
    /// A worker has left something to do.
    pub woken: Receiver<()>,
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
            telemetry.health.failed(&error, error.is_lasting());
            let _backing_off = self.telemetry.during(Activity::BackingOff);
            self.shared.abort.wait(backoff.pause());
        }
    }

    /// The life of one connection.
    fn session(&mut self, backoff: &mut Backoff) -> Result<(), Error> {
        let own = Arc::clone(&self.telemetry);
        let connecting = own.during(Activity::Connecting);
        let connection = Connection::open(&self.shared.peer)?;
        drop(connecting);
        self.shared.telemetry.send.connected.increment();
        let open = own.during(Activity::Connected);
        self.desk.open(Session::new(connection, Arc::clone(&own)));
        let end = self.converse(backoff);
        let Some((connection, window)) = self.desk.close().map(Session::into_parts) else { return end };
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
            recv(self.woken) -> _ => Err(RecvTimeoutError::Timeout),
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
    fn converse(&mut self, backoff: &mut Backoff) -> Result<(), Error> {
        loop {
            let (abort, waits) = (&self.shared.abort, &self.shared.telemetry.waits);
            match self.attend(backoff)? {
                Next::Batch(patience) => match self.take(patience) {
                    Ok(batch) => self.send(batch),
                    Err(RecvTimeoutError::Timeout) => (),
                    Err(RecvTimeoutError::Disconnected) => drop(self.desk.with(Session::close)),
                },
                Next::Confirmation(interval) => drop(waits.send_confirmation.time(|| abort.wait(interval))),
                Next::Rate => drop(waits.send_rate.time(|| abort.wait(SEND_CONFIRM_INTERVAL))),
                Next::Close => return Ok(()),
            }
        }
    }

    fn attend(&self, backoff: &mut Backoff) -> Result<Next, Error> {
        let attended = self.desk.with(|session| session.attend(&self.shared));
        let Some((next, confirmed)) = attended.transpose()? else { return Ok(Next::Close) };
        if confirmed > 0 {
            backoff.reset();
            self.shared.telemetry.health.works();
        }
        Ok(next)
    }

    /// Writes a batch, and as many more as are waiting, up to one batch's size: small ones share a
    /// system call.
    fn send(&self, first: Batch) {
        let mut bytes = first.bytes.len();
        self.shared.pay_for(&first);
        let mut group = vec![first];
        while bytes < BATCH_BYTES && self.shared.may_send() {
            let Ok(batch) = self.batches.try_recv() else { break };
            bytes += batch.bytes.len();
            self.shared.pay_for(&batch);
            group.push(batch);
        }
        self.shared.telemetry.send.waiting.add(-(group.len() as i64));
        self.desk.with(|session| session.write(group, &self.shared));
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
