//! A sender thread: connects when there is something to send, writes, confirms, reconnects.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::caution::{Caution, is_due};
use super::connection::Connection;
use super::ending::Ending;
use super::error::Error;
use super::session::{Desk, Next, Session};
use super::shared::SharedOutput;
use super::standby::Standby;
use super::trial;
use super::window::Window;
use crate::base::backoff::Backoff;
use crate::base::limits::{
    BATCH_BYTES, BATCHES_HELD_MAX, SEND_BACKOFF_FIRST, SEND_BACKOFF_MAX, SEND_CONFIRM_INTERVAL,
    SEND_ENDINGS_MAX, SEND_LIFETIME_MIN, SEND_ROOM_INTERVAL, SEND_WAIT_SLICE,
};
use crate::base::runtime::channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use crate::base::runtime::{channel, clock};
use crate::handoff::Batch;
use crate::settings::Confirmation;
use crate::telemetry::{self, Activity};

/// One of an output's threads.
#[derive(Debug)]
pub struct SenderThread {
    pub shared: SharedOutput,
    /// The place of its open session; workers write there too.
    pub desk: Arc<Desk>,
    /// A worker has left something to do.
    pub woken: Receiver<()>,
    pub telemetry: Arc<telemetry::Sender>,
    /// New work, shared with the output's other senders.
    pub batches: Receiver<Batch>,
    /// New work that must stay in order, for this sender alone.
    pub lane: Receiver<Batch>,
    /// Such work from a broken connection: it must not overtake, nor be overtaken.
    pub kept: VecDeque<Batch>,
    /// Connections left to their peers, oldest first.
    pub endings: VecDeque<Ending>,
    /// The latest connection did not end well, perhaps because the peer allows only so many: no more are left until one
    /// has.
    pub wary: bool,
    /// Other work from a broken connection, also shared, and done first.
    pub returned: (Sender<Batch>, Receiver<Batch>),
    /// It sends only while the output's others cannot keep up. None: always.
    pub standby: Option<Standby>,
}

/// A sender's next action.
enum Work {
    /// There is a batch to send.
    Session,
    /// Batches must go over a separate connection.
    Suspects(Vec<Batch>),
}

/// How a sender ends its use of a connection.
enum Farewell {
    /// It waits for the connection's end.
    Close,
    /// It continues with another connection meanwhile.
    Leave,
}

impl SenderThread {
    /// Runs until the channel of batches is closed and everything is confirmed, or until aborted.
    pub fn run(mut self) {
        let mut backoff = Backoff::new(SEND_BACKOFF_FIRST, SEND_BACKOFF_MAX);
        while let Some(work) = self.wait_for_work(&mut backoff) {
            let end = match work {
                Work::Session => self.session(&mut backoff),
                Work::Suspects(suspects) => self.question(suspects, &mut backoff),
            };
            let Err(error) = end else { continue };
            if matches!(error, Error::Stopped) {
                break;
            }
            self.has_failed(&error);
            let _backing_off = self.telemetry.during(Activity::BackingOff);
            self.shared.abort.wait(backoff.pause());
        }
        for ending in std::mem::take(&mut self.endings) {
            // Unconfirmed batches count as not delivered, which is all that is left to do.
            let _ = self.dissolve(ending.into_session(), Err(Error::Stopped));
        }
    }

    fn has_failed(&mut self, error: &Error) {
        self.wary = true;
        self.shared.has_other_limit();
        let telemetry = &self.shared.telemetry;
        telemetry.send.failed_connections.increment();
        telemetry.health.failed(error, error.is_lasting());
    }

    /// The life of one connection, or its part with writes.
    fn session(&mut self, backoff: &mut Backoff) -> Result<(), Error> {
        self.try_lifetime()?;
        let own = Arc::clone(&self.telemetry);
        let connecting = own.during(Activity::Connecting);
        let connected = self.connect();
        drop(connecting);
        if matches!(connected, Err(Error::Handshake { .. })) {
            self.shared.caution().crowded(clock::now());
        }
        let connection = match connected {
            Err(error) if self.standby.is_some() && !matches!(error, Error::Stopped) => {
                self.stand_down(&error, backoff);
                return Ok(());
            }
            connected => connected?,
        };
        self.shared.telemetry.send.connected.increment();
        self.shared.telemetry.connected(connection.link());
        if connection.is_complete() {
            self.shared.telemetry.health.gets_further();
        }
        let open = own.during(Activity::Connected);
        let session = Session::new(connection, Arc::clone(&own), &self.shared);
        self.desk.open(session);
        let conversed = self.converse(backoff);
        let Some(mut session) = self.desk.close() else { return conversed.map(drop) };
        let end = match conversed {
            Ok(Farewell::Leave) => {
                self.endings.push_back(Ending::new(session));
                return Ok(());
            }
            Ok(Farewell::Close) => self.say_goodbye(&mut session, backoff),
            Err(error) => Err(error),
        };
        drop(open);
        self.dissolve(session, end)
    }

    /// Nothing needs to wait for a late refusal of our certificate if an earlier connection has been confirmed, none has been
    /// refused since, and this one will be confirmed by its end.
    fn connect(&self) -> Result<Connection, Error> {
        let is_refused =
            || self.shared.telemetry.health.trouble().is_some_and(|trouble| trouble.is_lasting());
        let is_known = self.shared.confirmation == Confirmation::Close
            && self.shared.caution().has_confirmed()
            && !is_refused();
        let open = if is_known { Connection::open_unheard } else { Connection::open };
        open(&self.shared.peer)
    }

    /// Returns the unconfirmed batches of a connection that has ended like this.
    fn dissolve(&mut self, session: Session, end: Result<(), Error>) -> Result<(), Error> {
        let is_end = end.as_ref().is_err_and(Error::is_end) && !session.is_empty();
        let ended_by_peer = end.as_ref().is_err_and(|error| session.was_ended_by(error, &self.shared))
            || (is_end && trial::is_accepted(&self.shared));
        let barren = session.is_barren();
        let window = session.into_window();
        let strikes = ended_by_peer && !window.is_empty();
        if strikes {
            self.shared.caution().ended(barren, clock::now());
        }
        self.give_back(window, strikes);
        if matches!(end, Err(Error::Cut { .. })) && self.shared.caution().takes_goodbye_test() {
            trial::ask_for_goodbye(&self.shared);
        }
        end
    }

    /// Tests, after some connections that confirmed nothing, whether those without data live longer.
    pub(super) fn try_lifetime(&self) -> Result<(), Error> {
        if !self.shared.caution().wants_trial(clock::now()) {
            return Ok(());
        }
        match trial::idle_lives(SEND_LIFETIME_MIN, &self.shared) {
            Ok(()) => self.shared.caution().tried(true, clock::now()),
            Err(error) if error.is_end() => self.shared.caution().tried(false, clock::now()),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Checks the connections that are left to their peers.
    fn attend_endings(&mut self, backoff: &mut Backoff) {
        for _ in 0..self.endings.len() {
            let Some(mut ending) = self.endings.pop_front() else { break };
            let end = match ending.step(&self.shared) {
                Ok(false) => {
                    self.endings.push_back(ending);
                    continue;
                }
                Ok(true) => {
                    self.works(backoff);
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if let Err(error) = self.dissolve(ending.into_session(), end) {
                self.has_failed(&error);
            }
        }
    }

    /// How long to wait for work before other duties.
    fn slice(&self) -> Duration {
        if self.endings.is_empty() { SEND_WAIT_SLICE } else { SEND_CONFIRM_INTERVAL }
    }

    /// Waits for work. None if everything is done.
    fn wait_for_work(&mut self, backoff: &mut Backoff) -> Option<Work> {
        while !self.shared.abort.is_stopped() {
            self.attend_endings(backoff);
            match self.stand_by() {
                Ok(()) => (),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return None,
            }
            let suspects = self.due_suspects();
            if !suspects.is_empty() {
                self.shared.telemetry.send.waiting.add(-(suspects.len() as i64));
                return Some(Work::Suspects(suspects));
            }
            match self.take(self.slice()) {
                Ok(batch) => {
                    self.put_back(batch);
                    self.standby.iter_mut().for_each(|standby| standby.works(clock::now()));
                    return Some(Work::Session);
                }
                Err(RecvTimeoutError::Timeout) => self.rest(),
                Err(RecvTimeoutError::Disconnected) if self.has_suspects() || !self.endings.is_empty() => {
                    self.shared.abort.wait(self.slice());
                }
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        None
    }

    /// Waits, as one that stands by, for a call. With connections left to their peers it does not stand by.
    ///
    /// # Errors
    /// If none came, or none will come.
    fn stand_by(&mut self) -> Result<(), RecvTimeoutError> {
        let Some(standby) = self.standby.as_mut().filter(|standby| !standby.is_called()) else {
            return Ok(());
        };
        standby.wait()?;
        standby.works(clock::now());
        self.shared.telemetry.join(&self.telemetry);
        let name = &self.shared.telemetry.name;
        log::debug!(
            "outputs.{name}: batches have been waiting for senders, so one more sends: {} do now",
            self.shared.telemetry.sending()
        );
        Ok(())
    }

    /// Stands by again after a time without work.
    fn rest(&mut self) {
        let now = clock::now();
        if self.endings.is_empty() && self.standby.as_mut().is_some_and(|standby| standby.rests(now)) {
            self.shared.telemetry.leave(&self.telemetry);
        }
    }

    /// Stands by again because it cannot connect. That is no trouble of the output: the peer may allow only so many
    /// connections, and if it is down, the others say so.
    fn stand_down(&mut self, error: &Error, backoff: &mut Backoff) {
        let name = &self.shared.telemetry.name;
        log::debug!("outputs.{name}: one more sender cannot connect, and stands by again: {error}");
        self.shared.telemetry.send.failed_connections.increment();
        if let Some(standby) = &mut self.standby {
            standby.stop();
            self.shared.telemetry.leave(&self.telemetry);
        }
        let _backing_off = self.telemetry.during(Activity::BackingOff);
        self.shared.abort.wait(backoff.pause());
    }

    /// A batch, returned ones first.
    fn take(&mut self, timeout: Duration) -> Result<Batch, RecvTimeoutError> {
        if let Some(batch) = self.next_kept() {
            return Ok(batch);
        }
        let waited = clock::now();
        let taken = self.wait_for_batch(timeout);
        self.shared.telemetry.waits.send_batches.add(clock::since(waited));
        match taken {
            Ok(batch) if self.must_stay_behind(&batch) => {
                self.kept.push_back(batch);
                Err(RecvTimeoutError::Timeout)
            }
            taken => taken,
        }
    }

    fn wait_for_batch(&self, timeout: Duration) -> Result<Batch, RecvTimeoutError> {
        let until = clock::now() + timeout;
        let nothing = channel::never();
        let lane = if self.kept.len() < BATCHES_HELD_MAX { &self.lane } else { &nothing };
        // One that was called takes what is there, but leaves what comes to the others.
        let awaited = if self.standby.is_none() { &self.batches } else { &nothing };
        loop {
            if self.woken.try_recv() != Err(TryRecvError::Empty) {
                return Err(RecvTimeoutError::Timeout);
            }
            let (mut closed, news) = (0, [lane, &self.batches]);
            for source in [&self.returned.1].into_iter().chain(news) {
                match source.try_recv() {
                    Ok(batch) => return Ok(batch),
                    Err(TryRecvError::Disconnected) => closed += 1,
                    Err(TryRecvError::Empty) => (),
                }
            }
            // Both channels of new work are closed together, when the last worker is gone.
            if closed > 0 {
                return Err(RecvTimeoutError::Disconnected);
            }
            if !channel::await_any(&[&self.woken, &self.returned.1, lane, awaited], Some(until)) {
                return Err(RecvTimeoutError::Timeout);
            }
        }
    }

    fn put_back(&mut self, batch: Batch) {
        match batch.lane {
            Some(_) => self.kept.push_front(batch),
            None => drop(self.returned.0.send(batch)),
        }
    }

    /// The first kept batch that may be sent with others: nothing of its lane comes before it.
    fn next_kept(&mut self) -> Option<Batch> {
        let at = self.position_in_turn(|batch| !Caution::is_suspect(&batch.trial))?;
        self.kept.remove(at)
    }

    /// True if an earlier batch of its lane waits, so it must not overtake.
    fn must_stay_behind(&self, batch: &Batch) -> bool {
        batch.lane.is_some() && self.kept.iter().any(|kept| kept.lane == batch.lane)
    }

    /// Batches to send over a separate connection now, first those that this sender keeps in order.
    fn due_suspects(&mut self) -> Vec<Batch> {
        let now = clock::now();
        let mut taken: Vec<Batch> = Vec::new();
        let mut room = usize::MAX;
        while let Some(at) = self.position_of_due(now) {
            room = room.min(Caution::together(&self.kept[at].trial));
            if taken.len() >= room {
                break;
            }
            taken.extend(self.kept.remove(at));
        }
        if taken.is_empty() { self.shared.caution().take_due(now) } else { taken }
    }

    fn has_due_suspect(&self) -> bool {
        let now = clock::now();
        self.shared.caution().has_due(now) || self.position_of_due(now).is_some()
    }

    fn has_suspects(&self) -> bool {
        !self.kept.is_empty() || self.shared.caution().has_suspects()
    }

    /// The position of the first kept suspect that should be sent now and is the first of its lane.
    fn position_of_due(&self, now: Instant) -> Option<usize> {
        self.position_in_turn(|batch| Caution::is_suspect(&batch.trial) && is_due(&batch.trial, now))
    }

    /// The position of the first kept batch that is `wanted` and is the first of its lane.
    fn position_in_turn(&self, wanted: impl Fn(&Batch) -> bool) -> Option<usize> {
        let mut blocked = Vec::new();
        self.kept.iter().position(|batch| {
            let is_first = !blocked.contains(&batch.lane);
            blocked.push(batch.lane);
            is_first && wanted(batch)
        })
    }

    /// Sends and confirms, until nothing more needs to be written: everything is confirmed, or will be by the orderly
    /// end of the connection.
    fn converse(&mut self, backoff: &mut Backoff) -> Result<Farewell, Error> {
        loop {
            self.attend_endings(backoff);
            if self.has_due_suspect() {
                self.desk.with(Session::close);
            }
            let (abort, waits) = (&self.shared.abort, &self.shared.telemetry.waits);
            match self.attend(backoff)? {
                Next::Batch(patience) => match self.take(patience) {
                    Ok(batch) => self.send(batch),
                    Err(RecvTimeoutError::Timeout) => (),
                    Err(RecvTimeoutError::Disconnected) => drop(self.desk.with(Session::close)),
                },
                Next::Confirmation(interval) => drop(waits.send_confirmation.time(|| abort.wait(interval))),
                Next::Rate => {
                    self.shared.has_other_limit();
                    waits.send_rate.time(|| abort.wait(SEND_CONFIRM_INTERVAL));
                }
                Next::Leave if self.may_leave() => return Ok(Farewell::Leave),
                Next::Leave => drop(waits.send_confirmation.time(|| abort.wait(SEND_ROOM_INTERVAL))),
                Next::Close => return Ok(Farewell::Close),
            }
        }
    }

    /// True if one more connection may be left to the peer while the next one is opened.
    fn may_leave(&self) -> bool {
        let is_crowded = self.shared.caution().is_crowded(clock::now());
        !self.wary && !is_crowded && self.endings.len() < SEND_ENDINGS_MAX
    }

    fn attend(&self, backoff: &mut Backoff) -> Result<Next, Error> {
        let attended = self.desk.with(|session| session.attend(&self.shared));
        let Some((next, confirmed)) = attended.transpose()? else { return Ok(Next::Close) };
        if confirmed > 0 {
            self.works(backoff);
        }
        Ok(next)
    }

    pub(super) fn works(&self, backoff: &mut Backoff) {
        backoff.reset();
        self.shared.telemetry.health.works();
    }

    /// Writes a batch, and as many more as are waiting, up to one batch's size: small ones share a system call.
    fn send(&self, first: Batch) {
        let mut bytes = first.bytes.len();
        let allowed = self.desk.with(|session| session.allowed()).unwrap_or(1) as usize;
        self.shared.pay_for(&first);
        let mut group = vec![first];
        while bytes < BATCH_BYTES && group.len() < allowed && self.shared.may_send() {
            let Ok(batch) = self.batches.try_recv() else { break };
            bytes += batch.bytes.len();
            self.shared.pay_for(&batch);
            group.push(batch);
        }
        self.shared.telemetry.send.waiting.add(-(group.len() as i64));
        self.desk.with(|session| session.write(group, &self.shared));
    }

    /// Closes the connection; its unconfirmed batches are confirmed by the peer's orderly end.
    fn say_goodbye(&mut self, session: &mut Session, backoff: &mut Backoff) -> Result<(), Error> {
        if self.shared.abort.is_stopped() {
            return Err(Error::Stopped);
        }
        let was_empty = session.is_empty();
        session.end(&self.shared)?;
        self.wary = false;
        if !was_empty {
            self.works(backoff);
        }
        Ok(())
    }

    /// Returns unconfirmed batches for resending: by any free sender, or here if they must stay in order. `strike`
    /// means that the peer has ended the connection, perhaps because of one of them.
    fn give_back(&mut self, mut window: Window, strike: bool) {
        let mut in_order = VecDeque::new();
        while let Some(mut batch) = window.pop() {
            let telemetry = &self.shared.telemetry.send;
            telemetry.waiting.add(1);
            self.telemetry.unconfirmed.add(-(batch.bytes.len() as i64));
            telemetry.repeated.add(batch.events.into());
            if strike {
                self.shared.caution().strike(&mut batch.trial);
            }
            match batch.lane {
                Some(_) => in_order.push_back(batch),
                None if Caution::is_suspect(&batch.trial) => self.shared.caution().put(batch),
                None => drop(self.returned.0.send(batch)),
            }
        }
        in_order.append(&mut self.kept);
        self.kept = in_order;
    }
}

#[cfg(test)]
#[cfg(feature = "lab")]
mod tests;
