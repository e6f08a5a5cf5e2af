//! A peer that acts at given times, and the network to it, on a clock that only waiting moves.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::PollFlags;
use rustls::ServerConnection;

use super::connection::{Connection, Peer};
use super::error::Error;
use super::tls::Certificates;
use super::wire::{Dial, Network, Wire};
use crate::base::locks::lock;
use crate::base::runtime::still::Still;
use crate::lab::testbed::pki::Pki;

const ALL: usize = usize::MAX;

/// Something that the peer, or its kernel, does.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// The socket has room for so many more bytes.
    Room(usize),
    /// Its kernel acknowledges so many more bytes.
    Acknowledge(u64),
    /// The next write, or the next read, fails.
    FailWrite(ErrorKind),
    FailRead(ErrorKind),
    /// An error that no call reports.
    Error(ErrorKind),
    /// With TLS: its program sends so many bytes, or a close_notify.
    Speak(usize),
    Goodbye,
    /// The end of its stream.
    End,
    /// With TLS: an alert that our certificate is not accepted.
    Refuse,
}

/// How a peer behaves besides its acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    Acts,
    /// It takes everything, and ends the connection after us.
    Good,
    /// It resets the connection when something has come.
    EndsWhenSent,
    /// It resets the connection.
    EndsAtOnce,
    /// It takes nothing.
    Stalls,
    /// There is nobody.
    Refuses,
}

/// A peer and the network to it.
#[derive(Debug, Clone)]
pub struct Script(Arc<Mutex<State>>);

#[derive(Debug)]
pub struct State {
    conduct: Conduct,
    clock: Arc<Still>,
    /// Times since the test began.
    acts: VecDeque<(Duration, Act)>,
    pub room: usize,
    pub written: Vec<u8>,
    acknowledged: u64,
    write_failures: VecDeque<ErrorKind>,
    read_failures: VecDeque<ErrorKind>,
    error: Option<ErrorKind>,
    tls: Option<ServerConnection>,
    /// With TLS: it answers handshakes, and what it would say otherwise.
    pub answers: bool,
    incoming: VecDeque<u8>,
    has_ended: bool,
    after_ours: Vec<Act>,
    /// When our FIN came.
    fin: Option<Duration>,
    pub waits: Vec<PollFlags>,
}

impl Script {
    /// Moves to `now` what has happened by then.
    pub fn state(&self) -> std::sync::MutexGuard<'_, State> {
        let mut state = lock(&self.0);
        state.catch_up();
        state
    }

    pub fn then(&self, at: Duration, act: Act) {
        let mut state = lock(&self.0);
        state.acts.push_back((at, act));
        state.acts.make_contiguous().sort_by_key(|(at, _)| *at);
    }

    pub fn now(&self, act: Act) {
        let now = lock(&self.0).clock.passed();
        self.then(now, act);
    }

    /// Acts that follow our close_notify or FIN at once.
    pub fn after_ours(&self, acts: impl IntoIterator<Item = Act>) {
        lock(&self.0).after_ours = acts.into_iter().collect();
    }

    pub fn fin(&self) -> Option<Duration> {
        lock(&self.0).fin
    }
}

impl State {
    fn catch_up(&mut self) {
        while let Some((_, act)) = self.acts.pop_front_if(|(at, _)| *at <= self.clock.passed()) {
            match act {
                Act::Room(bytes) => self.room = self.room.saturating_add(bytes),
                Act::Acknowledge(bytes) => self.acknowledged += bytes,
                Act::FailWrite(kind) => self.write_failures.push_back(kind),
                Act::FailRead(kind) => self.read_failures.push_back(kind),
                Act::Error(kind) => self.error = Some(kind),
                Act::Speak(bytes) => {
                    self.tls().set_buffer_limit(None);
                    self.tls().writer().write_all(&vec![b'x'; bytes]).unwrap();
                }
                Act::Goodbye => self.tls().send_close_notify(),
                Act::End => self.has_ended = true,
                // A client reads encrypted records after its handshake, so this is no alert but noise: it fails in the same way.
                Act::Refuse => self.incoming.extend([0x15, 3, 3, 0, 2, 2, 42]),
            }
            self.say();
        }
    }

    fn answer_ours(&mut self) {
        let now = self.clock.passed();
        self.acts.extend(std::mem::take(&mut self.after_ours).into_iter().map(|act| (now, act)));
        self.acts.make_contiguous().sort_by_key(|(at, _)| *at);
    }

    fn tls(&mut self) -> &mut ServerConnection {
        self.tls.as_mut().unwrap()
    }

    /// The bytes that its TLS has ready arrive.
    fn say(&mut self) {
        if let Some(tls) = self.tls.as_mut().filter(|_| self.answers) {
            while tls.wants_write() {
                tls.write_tls(&mut self.incoming).unwrap();
            }
        }
    }
}

impl Read for Script {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        match state.read_failures.pop_front() {
            Some(kind) => Err(kind.into()),
            None if !state.incoming.is_empty() => state.incoming.read(bytes),
            None if state.has_ended => Ok(0),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        if let Some(kind) = state.write_failures.pop_front() {
            return Err(kind.into());
        }
        let taken = bytes.len().min(state.room);
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        if state.room != ALL {
            state.room -= taken;
        }
        state.written.extend_from_slice(&bytes[..taken]);
        if state.conduct == Conduct::EndsWhenSent {
            state.read_failures.push_back(ErrorKind::ConnectionReset);
        }
        if state.tls.is_some() {
            let mut wire = &bytes[..taken];
            while !wire.is_empty() {
                state.tls().read_tls(&mut wire).unwrap();
                if state.tls().process_new_packets().unwrap().peer_has_closed() {
                    state.answer_ours();
                }
                let _ = state.tls().reader().read_to_end(&mut Vec::new());
            }
            state.say();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Script {
    fn far_end(&self) -> String {
        "192.0.2.1:443".into()
    }

    fn unacknowledged(&self) -> io::Result<u64> {
        let state = self.state();
        if state.conduct != Conduct::Acts {
            return Ok(0);
        }
        Ok((state.written.len() as u64).saturating_sub(state.acknowledged))
    }

    fn end(&self) -> io::Result<()> {
        let mut state = self.state();
        let now = state.clock.passed();
        assert!(state.fin.replace(now).is_none(), "only one FIN is sent");
        state.has_ended |= state.conduct == Conduct::Good;
        state.answer_ours();
        Ok(())
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.state().error.take().map(Into::into))
    }

    /// Ends with the time, or when the peer does the next thing.
    fn wait(&self, events: PollFlags, time: Duration) -> io::Result<()> {
        let mut state = self.state();
        state.waits.push(events);
        let is_readable = state.has_ended || !state.incoming.is_empty() || !state.read_failures.is_empty();
        if (events.contains(PollFlags::IN) && is_readable)
            || (events.contains(PollFlags::OUT) && state.room > 0)
        {
            return Ok(());
        }
        let now = state.clock.passed();
        let next = state.acts.front().map_or(Duration::MAX, |(at, _)| at.saturating_sub(now));
        state.clock.pass(time.min(next));
        Ok(())
    }
}

#[derive(Debug)]
struct Dialled(Script);

impl Dial for Dialled {
    fn dial(&self, _address: &str, _port: u16) -> Result<Box<dyn Wire>, Error> {
        Ok(Box::new(self.0.clone()))
    }
}

/// A network over plain TCP, in which the next connections are these, and all others good ones.
#[derive(Debug)]
pub struct Connections(pub Arc<Still>, pub Arc<Mutex<VecDeque<Conduct>>>);

impl Dial for Connections {
    fn dial(&self, address: &str, _port: u16) -> Result<Box<dyn Wire>, Error> {
        let conduct = lock(&self.1).pop_front().unwrap_or(Conduct::Good);
        if conduct == Conduct::Refuses {
            return Err(Error::Connect {
                peer: address.to_owned(),
                source: ErrorKind::ConnectionRefused.into(),
            });
        }
        let script = script(&self.0, None);
        let mut state = script.state();
        state.conduct = conduct;
        if conduct == Conduct::EndsAtOnce {
            state.read_failures.push_back(ErrorKind::ConnectionReset);
        }
        if conduct != Conduct::Stalls {
            state.room = ALL;
        }
        drop(state);
        Ok(Box::new(script))
    }
}

/// A network with these connections in turn, after which the peer refuses, and the number of its refusals.
#[derive(Debug, Clone, Default)]
pub struct Series(pub Arc<Mutex<VecDeque<Script>>>, pub Arc<AtomicUsize>);

impl Series {
    pub fn of(scripts: impl IntoIterator<Item = Script>) -> Series {
        Series(Arc::new(Mutex::new(scripts.into_iter().collect())), Arc::default())
    }

    pub fn refused(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl Dial for Series {
    fn dial(&self, address: &str, _port: u16) -> Result<Box<dyn Wire>, Error> {
        if let Some(script) = lock(&self.0).pop_front() {
            return Ok(Box::new(script));
        }
        self.1.fetch_add(1, Ordering::Relaxed);
        Err(Error::Connect { peer: address.to_owned(), source: ErrorKind::ConnectionRefused.into() })
    }
}

pub fn script(clock: &Arc<Still>, tls: Option<ServerConnection>) -> Script {
    let (clock, answers) = (Arc::clone(clock), tls.is_some());
    Script(Arc::new(Mutex::new(State {
        conduct: Conduct::Acts,
        clock,
        acts: VecDeque::new(),
        room: 0,
        written: Vec::new(),
        acknowledged: 0,
        write_failures: VecDeque::new(),
        read_failures: VecDeque::new(),
        error: None,
        tls,
        answers,
        incoming: VecDeque::new(),
        has_ended: false,
        after_ours: Vec::new(),
        fin: None,
        waits: Vec::new(),
    })))
}

pub fn peer(script: &Script, tls: Option<Certificates>) -> Peer {
    let network = Network::over(Dialled(script.clone()));
    Peer { address: "localhost".into(), port: 443, tls, network, needs_fin: Arc::default() }
}

/// A connection over plain TCP.
pub fn plain(clock: &Arc<Still>) -> (Connection, Script) {
    let script = script(clock, None);
    (Connection::open(&peer(&script, None)).unwrap(), script)
}

/// A peer that speaks TLS. `tickets`: with TLS 1.3 it sends so many when it has looked at our certificate.
pub fn tls(
    clock: &Arc<Still>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    tickets: usize,
) -> (Script, Peer) {
    let (mut scripts, peer) = several(clock, versions, tickets, 1);
    let script = scripts.remove(0);
    let network = Network::over(Dialled(script.clone()));
    (script, Peer { network, ..peer })
}

/// The same for this many connections.
pub fn several(
    clock: &Arc<Still>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    tickets: usize,
    count: usize,
) -> (Vec<Script>, Peer) {
    let pki = Pki::generate().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let files = pki.write_client_files(directory.path()).unwrap().into();
    let mut config = pki.server_config_of(versions, pki.verifier().unwrap()).unwrap();
    config.send_tls13_tickets = tickets;
    let config = Arc::new(config);
    let connection = || {
        let script = script(clock, Some(ServerConnection::new(Arc::clone(&config)).unwrap()));
        script.now(Act::Room(ALL));
        script
    };
    let scripts: Vec<Script> = (0..count).map(|_| connection()).collect();
    let network = Network::over(Series::of(scripts.clone()));
    let tls = Some(Certificates::read(&files).unwrap());
    let peer = Peer { address: "localhost".into(), port: 443, tls, network, needs_fin: Arc::default() };
    (scripts, peer)
}

/// A connection over TLS 1.3 whose peer has accepted us.
pub fn secure(clock: &Arc<Still>) -> (Connection, Script, Peer) {
    let (script, peer) = tls(clock, rustls::DEFAULT_VERSIONS, 1);
    let connection = Connection::open(&peer).unwrap();
    let handshake = script.state().written.len() as u64;
    script.now(Act::Acknowledge(handshake));
    (connection, script, peer)
}
