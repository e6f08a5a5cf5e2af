//! One connection to a peer: outgoing bytes, the peer's messages, and how far it has acknowledged.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion};
use socket2::{SockRef, TcpKeepalive};

use super::error::Error;
use super::outq;
use super::tls::Certificates;
use crate::base::limits::{
    SEND_CLOSE_TIMEOUT, SEND_CONNECT_TIMEOUT, SEND_HANDSHAKE_TIMEOUT, SEND_PROOF_TIMEOUT, SEND_ROOM_INTERVAL,
    SEND_STALL_TIMEOUT, SEND_VERDICT_TIMEOUT, SEND_WAIT_SLICE, SETTLE_BYTES, SETTLE_TIME, SETTLE_TIME_SLOW,
    TLS_RECORD_BYTES,
};
use crate::base::stop::Stop;

/// The destination.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: String,
    pub port: u16,
    /// None: plain TCP.
    pub tls: Option<Certificates>,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.address, self.port)
    }
}

/// A connection ready for frames. The socket does not block; every wait is bounded.
#[derive(Debug)]
pub struct Connection {
    peer: String,
    socket: TcpStream,
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
}

#[derive(Debug, Default)]
struct Heard {
    /// Data from its program.
    data: bool,
    /// TLS: no more data will come.
    goodbye: bool,
    /// The end of its stream.
    end: bool,
}

impl Connection {
    /// Connects, shakes hands, and waits a moment for a late refusal.
    ///
    /// # Errors
    /// Those of [`Error`]; nothing of the caller's has been sent yet.
    pub fn open(peer: &Peer) -> Result<Connection, Error> {
        let mut connection = Connection::open_unheard(peer)?;
        connection.await_verdict()?;
        Ok(connection)
    }

    /// Connects and shakes hands. A late refusal is noticed when the connection is next read.
    ///
    /// # Errors
    /// Those of [`Connection::open`].
    pub fn open_unheard(peer: &Peer) -> Result<Connection, Error> {
        let name = peer.to_string();
        let socket = connect(peer, &name)?;
        tune(&socket).map_err(|source| Error::Connect { peer: name.clone(), source })?;
        let config = peer.tls.as_ref().map(Certificates::current);
        let mut connection = Connection {
            peer: name,
            socket,
            tls: None,
            config: config.clone(),
            written: 0,
            acknowledged: 0,
            account: (0, 0),
            records: 0,
            heard: Heard::default(),
            waited: Duration::ZERO,
            last_wait: None,
        };
        connection.socket.set_nonblocking(true).map_err(|e| connection.broken(e))?;
        if let Some(config) = &config {
            connection.shake_hands(config, &peer.address)?;
        }
        Ok(connection)
    }

    /// `TLS 1.3`; None: there is no TLS.
    pub fn tls_version(&self) -> Option<String> {
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
        let mut progress = (self.written, Instant::now());
        while !self.push()? {
            if self.written > progress.0 {
                progress = (self.written, Instant::now());
            }
            self.await_writable(progress.1 + SEND_STALL_TIMEOUT, abort)?;
        }
        Ok(())
    }

    /// Writes what the socket takes at once; returns true if that is everything.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn push(&mut self) -> Result<bool, Error> {
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.wants_write()) {
            match tls.write_tls(&mut self.socket) {
                Ok(n) => self.written += n as u64,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.last_wait = Some(Instant::now());
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
        let has_read = self.acknowledged >= SETTLE_BYTES as u64;
        has_read || self.tls.as_ref().is_some_and(|tls| self.heard.data || is_accepted(tls))
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
        outq::unacknowledged_bytes(&self.socket).map_err(|e| self.broken(e))
    }

    /// Closes our side and waits for the peer's close, as the vendor's SDK does "to avoid losing events". Ok if the
    /// peer closed in good order after that: its program has then read every byte.
    ///
    /// # Errors
    /// If the peer ended the connection before, or with unread bytes, or did not answer in time.
    pub fn close(&mut self, patience: Duration, abort: &Stop) -> Result<(), Error> {
        let deadline = self.say_goodbye(patience, abort)?;
        while !self.is_answered(patience, deadline)? {
            if abort.is_stopped() {
                return Err(Error::Stopped);
            }
            self.await_answer(abort)?;
        }
        Ok(())
    }

    /// How long the peer may take to end the connection after we did.
    pub fn patience(&self) -> Duration {
        if self.is_proven() { SEND_CLOSE_TIMEOUT } else { SEND_PROOF_TIMEOUT }
    }

    /// Closes our side: nothing more can be written. Returns the deadline for the peer's close.
    ///
    /// # Errors
    /// If the peer has ended the connection already, or it breaks or stalls.
    pub fn say_goodbye(&mut self, patience: Duration, abort: &Stop) -> Result<Instant, Error> {
        self.read()?;
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        self.flush(abort)?;
        self.balance()?;
        self.socket.shutdown(Shutdown::Write).map_err(|e| self.broken(e))?;
        Ok(Instant::now() + patience)
    }

    /// After our close: whether the peer has ended the connection in good order. It does not wait.
    ///
    /// # Errors
    /// If the peer has not read everything, or the deadline has passed without an answer.
    pub fn is_answered(&mut self, patience: Duration, deadline: Instant) -> Result<bool, Error> {
        if self.has_answered()? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Err(Error::Unanswered { peer: self.peer.clone(), seconds: patience.as_secs() });
        }
        Ok(false)
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
    /// unread data makes its kernel send a reset instead.
    fn has_answered(&mut self) -> Result<bool, Error> {
        self.hears_end()?;
        if !self.heard.end {
            return Ok(false);
        }
        if let Some(error) = self.socket.take_error().map_err(|e| self.broken(e))? {
            return Err(self.broken(error));
        }
        Ok(self.unacknowledged()? == 0)
    }

    fn await_answer(&self, abort: &Stop) -> Result<(), Error> {
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
        let deadline = Instant::now() + SEND_HANDSHAKE_TIMEOUT;
        while tls.is_handshaking() {
            match tls.complete_io(&mut self.socket) {
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
        let left = deadline.saturating_duration_since(Instant::now());
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
        let deadline = Instant::now() + SEND_VERDICT_TIMEOUT;
        while self.verdict_is_out() {
            let left = deadline.saturating_duration_since(Instant::now());
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
                Some(tls) if !self.heard.goodbye => tls.read_tls(&mut self.socket),
                _ => self.socket.read(&mut scrap),
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
        let mut plain = state.plaintext_bytes_to_read();
        self.heard.data |= plain > 0;
        while plain > 0 {
            match tls.reader().read(scrap) {
                Ok(n) if n > 0 => plain = plain.saturating_sub(n),
                _ => break,
            }
        }
        Ok(())
    }

    /// Plain TCP: directly to the socket.
    fn drain(&mut self, mut bytes: &[u8], abort: &Stop) -> Result<(), Error> {
        let mut deadline = Instant::now() + SEND_STALL_TIMEOUT;
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(n) => {
                    self.written += n as u64;
                    bytes = &bytes[n..];
                    deadline = Instant::now() + SEND_STALL_TIMEOUT;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.await_writable(deadline, abort)?,
                Err(e) if e.kind() == ErrorKind::Interrupted => (),
                Err(e) => return Err(self.broken(e)),
            }
        }
        Ok(())
    }

    /// After a blocked write: waits until it may continue, watching for the peer's messages meanwhile.
    fn await_writable(&mut self, deadline: Instant, abort: &Stop) -> Result<(), Error> {
        let asked = Instant::now();
        self.last_wait = Some(asked);
        if abort.is_stopped() {
            return Err(Error::Stopped);
        }
        if asked >= deadline {
            return Err(self.stalled());
        }
        let polled = self.poll(PollFlags::OUT, SEND_WAIT_SLICE);
        self.waited += asked.elapsed();
        polled?;
        self.read()
    }

    fn poll(&self, events: PollFlags, timeout: Duration) -> Result<(), Error> {
        let timeout = timeout.try_into().map_err(|_| self.broken(ErrorKind::InvalidInput.into()))?;
        match poll(&mut [PollFd::new(&self.socket, events)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(self.broken(e.into())),
        }
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
        Error::Broken { peer: self.peer.clone(), source }
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

/// Tries each of the name's addresses.
fn connect(peer: &Peer, name: &str) -> Result<TcpStream, Error> {
    let addresses = (peer.address.as_str(), peer.port)
        .to_socket_addrs()
        .map_err(|source| Error::Resolve { address: peer.address.clone(), source })?;
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, SEND_CONNECT_TIMEOUT) {
            Ok(socket) => return Ok(socket),
            Err(e) => last = e,
        }
    }
    Err(Error::Connect { peer: name.to_owned(), source: last })
}

/// Small batches are sent at once; a peer that vanished silently is noticed.
fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let options = SockRef::from(socket);
    options.set_tcp_keepalive(&TcpKeepalive::new().with_time(SEND_STALL_TIMEOUT / 2))?;
    options.set_tcp_user_timeout(Some(SEND_STALL_TIMEOUT))
}
