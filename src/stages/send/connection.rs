//! One connection to a peer: outgoing bytes, the peer's messages, and how far it has acknowledged.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion};

use super::error::Error;
use super::tls::Certificates;
use super::wire::{Network, Wire};
use crate::base::limits::{
    SEND_CLOSE_TIMEOUT, SEND_FIN_TIMEOUT, SEND_HANDSHAKE_TIMEOUT, SEND_RESET_TIMEOUT, SEND_ROOM_INTERVAL,
    SEND_STALL_TIMEOUT, SEND_VERDICT_TIMEOUT, SEND_WAIT_SLICE, SETTLE_BYTES, SETTLE_TIME, SETTLE_TIME_SLOW,
    TLS_RECORD_BYTES,
};
use crate::base::runtime::clock;
use crate::base::stop::Stop;
use crate::telemetry::Link;

/// The destination.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: String,
    pub port: u16,
    /// None: plain TCP.
    pub tls: Option<Certificates>,
    pub network: Network,
    /// Set once it has answered a FIN, and not the close_notify before it.
    pub needs_fin: Arc<AtomicBool>,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.address, self.port)
    }
}

/// A connection ready for frames. The wire does not block; every wait is bounded.
#[derive(Debug)]
pub struct Connection {
    peer: String,
    wire: Box<dyn Wire>,
    tls: Option<ClientConnection>,
    /// The certificates it was opened with.
    config: Option<Arc<ClientConfig>>,
    /// Bytes given to the socket so far; with TLS, of ciphertext.
    written: u64,
    /// Highest offset that the peer's TCP was seen to have acknowledged.
    acknowledged: u64,
    /// Bytes handed over since the socket last had everything, and `written` at that time.
    account: (u64, u64),
    /// TLS records needed for the handed-over bytes.
    records: u64,
    /// The signs received from the peer.
    heard: Heard,
    /// Time spent waiting for room in the socket.
    waited: Duration,
    /// When the socket last did not take everything.
    last_wait: Option<Instant>,
    /// After our close: the latest sign that the peer still takes what it was sent.
    taking: Option<Instant>,
    /// Our FIN is sent.
    is_shut: bool,
    /// It was sent because the peer had not answered the close_notify alone.
    was_in_vain: bool,
    /// See [`Peer::needs_fin`].
    needs_fin: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Heard {
    /// Data from its program.
    data: bool,
    /// TLS: no more data will come.
    goodbye: bool,
    /// The time at which that was seen, after our close.
    goodbye_at: Option<Instant>,
    /// The end of its stream.
    end: bool,
    /// The time at which the end was seen.
    end_at: Option<Instant>,
}

/// The latest sign that a peer takes what it is sent, while it is waited for.
#[derive(Debug)]
pub struct Progress {
    /// Bytes that it had taken, and acknowledged, by then.
    bytes: u64,
    at: Instant,
}

impl Progress {
    /// Waiting begins now.
    pub fn begin() -> Progress {
        Progress { bytes: 0, at: clock::now() }
    }
}

impl Connection {
    /// Connects, shakes hands, and waits a moment for a late refusal.
    ///
    /// # Errors
    /// The errors of [`Error`]; nothing of the caller's has been sent yet.
    pub fn open(peer: &Peer) -> Result<Connection, Error> {
        let mut connection = Connection::open_unheard(peer)?;
        connection.await_verdict()?;
        Ok(connection)
    }

    /// Connects and shakes hands. A late refusal is noticed when the connection is next read.
    ///
    /// # Errors
    /// The errors of [`Connection::open`].
    pub fn open_unheard(peer: &Peer) -> Result<Connection, Error> {
        let name = peer.to_string();
        let wire = peer.network.dial(&peer.address, peer.port)?;
        let config = peer.tls.as_ref().map(Certificates::current);
        let mut connection = Connection {
            peer: name,
            wire,
            tls: None,
            config: config.clone(),
            written: 0,
            acknowledged: 0,
            account: (0, 0),
            records: 0,
            heard: Heard::default(),
            waited: Duration::ZERO,
            last_wait: None,
            taking: None,
            is_shut: false,
            was_in_vain: false,
            needs_fin: Arc::clone(&peer.needs_fin),
        };
        if let Some(config) = &config {
            connection.shake_hands(config, &peer.address)?;
        }
        Ok(connection)
    }

    /// Its far end.
    pub fn link(&self) -> Link {
        Link { address: self.wire.far_end(), tls: self.tls_version() }
    }

    /// `TLS 1.3`; None: there is no TLS.
    fn tls_version(&self) -> Option<String> {
        match self.tls.as_ref()?.protocol_version()? {
            ProtocolVersion::TLSv1_3 => Some("TLS 1.3".to_owned()),
            ProtocolVersion::TLSv1_2 => Some("TLS 1.2".to_owned()),
            other => Some(format!("{other:?}")),
        }
    }

    /// False if the peer's certificates have been renewed since.
    pub fn is_current(&self, peer: &Peer) -> bool {
        match (&self.config, &peer.tls) {
            (Some(config), Some(certificates)) => Arc::ptr_eq(config, &certificates.current()),
            _ => true,
        }
    }

    /// True if [`Connection::write`] never waits, because it keeps what the socket does not take. Plain TCP has nothing
    /// to compute, and no such buffer.
    pub fn is_buffered(&self) -> bool {
        self.tls.is_some()
    }

    /// Hands bytes over for sending. Call [`Connection::push`] or [`Connection::flush`] to write them to the socket.
    pub fn write(&mut self, bytes: &[u8], abort: &Stop) -> Result<(), Error> {
        self.account.0 += bytes.len() as u64;
        self.records += bytes.len().div_ceil(RECORD_PLAINTEXT) as u64;
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes).map_err(|e| Error::broken(&self.peer, e)),
            None => self.drain(bytes, abort),
        }
    }

    /// Writes everything handed over to the socket.
    ///
    /// # Errors
    /// If the connection breaks, stalls for [`SEND_STALL_TIMEOUT`], or on `abort`.
    pub fn flush(&mut self, abort: &Stop) -> Result<(), Error> {
        let mut progress = Progress::begin();
        while !self.push()? {
            self.await_writable(&mut progress, abort)?;
        }
        Ok(())
    }

    /// Notes whether the peer has taken or acknowledged something since the last call.
    ///
    /// # Errors
    /// If it has not for [`SEND_STALL_TIMEOUT`], or the connection breaks.
    pub fn check_progress(&mut self, progress: &mut Progress) -> Result<(), Error> {
        let bytes = self.written + self.acknowledged()?;
        if bytes > progress.bytes {
            *progress = Progress { bytes, at: clock::now() };
        }
        if clock::since(progress.at) >= SEND_STALL_TIMEOUT { Err(self.stalled()) } else { Ok(()) }
    }

    /// Writes what the socket takes at once; returns true if that is everything.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn push(&mut self) -> Result<bool, Error> {
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.wants_write()) {
            match tls.write_tls(&mut self.wire) {
                Ok(n) => self.written += n as u64,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.last_wait = Some(clock::now());
                    return Ok(false);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => (),
                Err(e) => return Err(self.broken(e)),
            }
        }
        Ok(true)
    }

    /// Checks, when the socket has everything, that this is at least as much as was handed over.
    ///
    /// # Errors
    /// If TLS has silently dropped something, as rustls does with writes after a key is used up.
    pub fn balance(&mut self) -> Result<(), Error> {
        let (handed_over, before) = std::mem::replace(&mut self.account, (0, self.written));
        if self.written - before < handed_over {
            return Err(Error::Dropped { peer: self.peer.clone() });
        }
        Ok(())
    }

    /// True if so many TLS records have been written that it should be renewed.
    pub fn is_worn(&self, records_max: u64) -> bool {
        self.tls.is_some() && self.records >= records_max
    }

    /// True if the peer's program is known to have accepted the connection and us: from then on acknowledgements count.
    /// With TLS 1.3 our handshake ends before the peer has looked at our certificate. With plain TCP the kernel accepts
    /// and acknowledges whatever the program does.
    pub fn is_proven(&self) -> bool {
        self.has_taken_much() || self.tls.as_ref().is_some_and(|tls| self.heard.data || is_accepted(tls))
    }

    /// True if the peer has taken more than buffers hold: its program reads.
    pub fn has_taken_much(&self) -> bool {
        self.acknowledged >= SETTLE_BYTES as u64
    }

    /// True if the peer's end would not be a late refusal of our certificate.
    pub fn is_complete(&self) -> bool {
        self.tls.is_none() || self.is_proven()
    }

    /// Handles the peer's messages: tickets, key updates, alerts, its end of the connection.
    ///
    /// # Errors
    /// On an alert, a reset, or the end: a peer that collects logs has no other reason to speak.
    pub fn read(&mut self) -> Result<(), Error> {
        if self.hears_end()? { Err(self.closed("")) } else { Ok(()) }
    }

    /// Offset of the last byte given to the socket, plus one.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Time that writes have waited for room in the socket since the last call.
    pub fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }

    /// How long the connection must outlive an acknowledgement for it to count.
    pub fn settle_time(&self, now: Instant) -> Duration {
        match self.last_wait {
            Some(wait) if now.saturating_duration_since(wait) < SETTLE_TIME_SLOW => SETTLE_TIME_SLOW,
            _ => SETTLE_TIME,
        }
    }

    /// Offset below which the peer's TCP has acknowledged everything.
    pub fn acknowledged(&mut self) -> Result<u64, Error> {
        self.acknowledged = self.acknowledged.max(self.written.saturating_sub(self.unacknowledged()?));
        Ok(self.acknowledged)
    }

    /// Bytes given to the socket that the peer's TCP has not acknowledged.
    fn unacknowledged(&self) -> Result<u64, Error> {
        self.wire.unacknowledged().map_err(|e| self.broken(e))
    }

    /// Closes our side and waits for the peer's close, as the vendor's SDK does "to avoid losing events". Ok if the
    /// peer closed in good order after that: its program has then read every byte.
    ///
    /// # Errors
    /// If the peer ended the connection before, or with unread bytes, or did not answer in time.
    pub fn close(&mut self, patience: Duration, abort: &Stop) -> Result<(), Error> {
        self.say_goodbye(abort)?;
        while !self.is_answered(patience)? {
            if abort.is_stopped() {
                return Err(Error::Stopped);
            }
            self.await_answer(abort)?;
        }
        Ok(())
    }

    /// Closes our side: nothing more can be written.
    ///
    /// With TLS only the close_notify is sent, which the peer's program reads like everything before it. Our FIN would
    /// hide a loss: a program that shuts the connection down and closes it with unread data makes its kernel send a FIN
    /// and then a reset, and nobody sees a reset after two FINs (RFC 9293, TIME-WAIT).
    ///
    /// # Errors
    /// If the peer has ended the connection already, or it breaks or stalls.
    pub fn say_goodbye(&mut self, abort: &Stop) -> Result<(), Error> {
        self.read()?;
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        self.flush(abort)?;
        self.balance()?;
        self.taking = Some(clock::now());
        if self.tls.is_none() || self.needs_fin.load(Ordering::Relaxed) { self.shut() } else { Ok(()) }
    }

    /// Sends our FIN.
    fn shut(&mut self) -> Result<(), Error> {
        self.is_shut = true;
        self.wire.end().map_err(|e| self.broken(e))
    }

    /// After our close: whether the peer has ended the connection in good order. It does not wait.
    ///
    /// # Errors
    /// If the peer has not read everything, or has neither taken more of it nor answered for this long.
    pub fn is_answered(&mut self, patience: Duration) -> Result<bool, Error> {
        if self.has_answered()? {
            return Ok(true);
        }
        let before = self.acknowledged;
        if self.acknowledged()? > before {
            self.taking = Some(clock::now());
        }
        // Some programs do nothing before a FIN, and some say goodbye but wait for one.
        let is_last_chance = self.silence() + SEND_CLOSE_TIMEOUT >= patience;
        if !self.is_shut && (is_last_chance || self.is_waited_for()) {
            self.was_in_vain = self.silence() >= SEND_FIN_TIMEOUT;
            self.shut()?;
        }
        if self.silence() >= patience {
            return Err(Error::Unanswered { peer: self.peer.clone(), seconds: patience.as_secs() });
        }
        Ok(false)
    }

    /// True if the peer said goodbye a while ago. Its FIN usually follows at once.
    fn is_waited_for(&mut self) -> bool {
        self.heard.goodbye
            && clock::since(*self.heard.goodbye_at.get_or_insert_with(clock::now)) >= SEND_FIN_TIMEOUT
    }

    /// After our close: how long ago the peer's kernel last took something.
    pub fn silence(&self) -> Duration {
        self.taking.map(clock::since).unwrap_or_default()
    }

    /// True if the peer's end has come within this time after our close_notify, without our FIN.
    pub fn was_answered_within(&self, time: Duration) -> bool {
        !self.is_shut && self.heard.end && self.silence() < time
    }

    /// True if the peer has sent a TLS close_notify, which no balancer in between can send for it.
    pub fn has_heard_goodbye(&self) -> bool {
        self.heard.goodbye
    }

    /// True for a TLS connection, on which a close_notify can be received.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// True if, after our close, the peer's has come, and its TCP has acknowledged ours. A program that closes with
    /// unread data makes its kernel send a reset, instead or soon after.
    fn has_answered(&mut self) -> Result<bool, Error> {
        self.hears_end()?;
        if !self.heard.end {
            return Ok(false);
        }
        let ended_at = *self.heard.end_at.get_or_insert_with(clock::now);
        if let Some(error) = self.wire.take_error().map_err(|e| self.broken(e))? {
            return Err(self.broken(error));
        }
        self.needs_fin.fetch_or(self.was_in_vain, Ordering::Relaxed);
        let may_be_reset = !self.is_shut && clock::since(ended_at) < SEND_RESET_TIMEOUT;
        Ok(!may_be_reset && self.unacknowledged()? == 0)
    }

    /// After our close: waits for a sign of the peer, for a moment.
    pub fn await_answer(&self, abort: &Stop) -> Result<(), Error> {
        if self.heard.end {
            // The socket stays readable from now on.
            abort.wait(SEND_ROOM_INTERVAL);
            return Ok(());
        }
        self.poll(PollFlags::IN, SEND_WAIT_SLICE)
    }

    fn shake_hands(&mut self, config: &Arc<ClientConfig>, address: &str) -> Result<(), Error> {
        let name = ServerName::try_from(address.to_owned())
            .map_err(|e| self.broken(io::Error::new(ErrorKind::InvalidInput, e)))?;
        let mut tls =
            ClientConnection::new(Arc::clone(config), name).map_err(|e| Error::tls(&self.peer, e))?;
        tls.set_buffer_limit(None);
        let deadline = clock::now() + SEND_HANDSHAKE_TIMEOUT;
        while tls.is_handshaking() {
            match tls.complete_io(&mut self.wire) {
                Ok(_) => (),
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.await_handshake(&tls, deadline)?,
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                    return Err(self.closed(" during the TLS handshake; does this port speak TLS?"));
                }
                Err(e) => return Err(Error::broken(&self.peer, e)),
            }
        }
        self.tls = Some(tls);
        Ok(())
    }

    /// Waits for the peer's next part. The deadline is that of the whole handshake: a peer that trickles bytes must not
    /// block a sender forever.
    fn await_handshake(&self, tls: &ClientConnection, deadline: Instant) -> Result<(), Error> {
        let left = deadline.saturating_duration_since(clock::now());
        if left.is_zero() {
            let seconds = SEND_HANDSHAKE_TIMEOUT.as_secs();
            return Err(Error::Handshake { peer: self.peer.clone(), seconds });
        }
        let writes = if tls.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
        self.poll(PollFlags::IN | writes, left)
    }

    /// TLS 1.3 ends our handshake before the peer has looked at our certificate: wait for its ticket, or its refusal,
    /// or long enough.
    fn await_verdict(&mut self) -> Result<(), Error> {
        let deadline = clock::now() + SEND_VERDICT_TIMEOUT;
        while self.verdict_is_out() {
            let left = deadline.saturating_duration_since(clock::now());
            if left.is_zero() {
                break;
            }
            self.poll(PollFlags::IN, left)?;
            if self.hears_end()? {
                return Err(
                    self.closed(" right after the TLS handshake; it may have refused our client certificate")
                );
            }
        }
        Ok(())
    }

    fn verdict_is_out(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !is_accepted(tls))
    }

    /// Reads everything available. Returns true if the peer will send no more.
    fn hears_end(&mut self) -> Result<bool, Error> {
        let mut scrap = [0; 1024];
        while !self.heard.end {
            let n = match &mut self.tls {
                // After a close_notify TLS reads no more; the end of the stream, or a reset, follows.
                Some(tls) if !self.heard.goodbye => tls.read_tls(&mut self.wire),
                _ => self.wire.read(&mut scrap),
            };
            match n {
                Ok(0) => self.heard.end = true,
                Ok(_) => self.digest(&mut scrap)?,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => (),
                Err(e) => return Err(self.broken(e)),
            }
        }
        Ok(self.heard.goodbye || self.heard.end)
    }

    /// Lets TLS process what was read; data from the peer's program is read and discarded.
    fn digest(&mut self, scrap: &mut [u8]) -> Result<(), Error> {
        let Some(tls) = self.tls.as_mut().filter(|_| !self.heard.goodbye) else { return Ok(()) };
        let state = tls.process_new_packets().map_err(|e| Error::tls(&self.peer, e))?;
        self.heard.goodbye = state.peer_has_closed();
        while let Ok(1..) = tls.reader().read(scrap) {
            self.heard.data = true;
        }
        Ok(())
    }

    /// Plain TCP: directly to the socket.
    fn drain(&mut self, mut bytes: &[u8], abort: &Stop) -> Result<(), Error> {
        let mut progress = Progress::begin();
        while !bytes.is_empty() {
            match self.wire.write(bytes) {
                Ok(n) => {
                    self.written += n as u64;
                    bytes = &bytes[n..];
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.await_writable(&mut progress, abort)?,
                Err(e) if e.kind() == ErrorKind::Interrupted => (),
                Err(e) => return Err(self.broken(e)),
            }
        }
        Ok(())
    }

    /// After a blocked write: waits until it may continue, watching for the peer's messages meanwhile.
    fn await_writable(&mut self, progress: &mut Progress, abort: &Stop) -> Result<(), Error> {
        let asked = clock::now();
        self.last_wait = Some(asked);
        if abort.is_stopped() {
            return Err(Error::Stopped);
        }
        self.check_progress(progress)?;
        let polled = self.poll(PollFlags::OUT, SEND_WAIT_SLICE);
        self.waited += clock::since(asked);
        polled?;
        self.read()
    }

    fn poll(&self, events: PollFlags, timeout: Duration) -> Result<(), Error> {
        self.wire.wait(events, timeout).map_err(|e| self.broken(e))
    }

    pub(super) fn stalled(&self) -> Error {
        Error::Stalled { peer: self.peer.clone(), seconds: SEND_STALL_TIMEOUT.as_secs() }
    }

    pub(super) fn cut(&self) -> Error {
        Error::Cut { peer: self.peer.clone() }
    }

    fn closed(&self, when: &'static str) -> Error {
        Error::Closed { peer: self.peer.clone(), when }
    }

    fn broken(&self, source: io::Error) -> Error {
        let peer = self.peer.clone();
        // Not before our close.
        if self.taking.is_some() {
            Error::BrokenAtEnd { peer, source }
        } else {
            Error::Broken { peer, source }
        }
    }
}

/// Payload bytes of one TLS record: its header takes five.
const RECORD_PLAINTEXT: usize = TLS_RECORD_BYTES - 5;

/// True if the peer has looked at our certificate. With TLS 1.2 its part of the handshake ends after that; with TLS 1.3
/// it sends its tickets then, and a resumed session was accepted when it began.
fn is_accepted(tls: &ClientConnection) -> bool {
    tls.protocol_version() != Some(ProtocolVersion::TLSv1_3)
        || tls.tls13_tickets_received() > 0
        || tls.handshake_kind() == Some(HandshakeKind::Resumed)
}

#[cfg(test)]
#[cfg(feature = "lab")]
mod tests;
