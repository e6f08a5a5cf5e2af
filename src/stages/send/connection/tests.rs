//! A connection to a peer that acts at given times, on a clock that only waiting moves.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::PollFlags;
use rustls::ServerConnection;

use super::*;
use crate::base::limits::SEND_PROOF_TIMEOUT;
use crate::base::locks::lock;
use crate::base::runtime::still::Still;
use crate::lab::testbed::pki::{ClientFiles, Pki};
use crate::settings::{Identity, TlsFiles};
use crate::stages::send::wire::Dial;

const MS: Duration = Duration::from_millis(1);
const ALL: usize = usize::MAX;

/// Something that the peer, or its kernel, does.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// The socket has room for so many more bytes.
    Room(usize),
    /// Its kernel acknowledges so many more bytes.
    Acknowledge(u64),
    /// The next write, or the next read, fails.
    FailWrite(ErrorKind),
    FailRead(ErrorKind),
    /// An error that no call reports.
    Error(ErrorKind),
    /// With TLS: its program sends data, or a close_notify.
    Speak,
    Goodbye,
    /// The end of its stream.
    End,
}

/// A peer and the network to it.
#[derive(Debug, Clone)]
struct Script(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    clock: Arc<Still>,
    /// Times since the test began.
    acts: VecDeque<(Duration, Act)>,
    room: usize,
    written: Vec<u8>,
    acknowledged: u64,
    write_failures: VecDeque<ErrorKind>,
    read_failures: VecDeque<ErrorKind>,
    error: Option<ErrorKind>,
    tls: Option<ServerConnection>,
    /// With TLS: it answers handshakes, and what it would say otherwise.
    answers: bool,
    incoming: VecDeque<u8>,
    has_ended: bool,
    /// When our FIN came.
    fin: Option<Duration>,
    waits: Vec<PollFlags>,
}

impl Script {
    /// Moves to `now` what has happened by then.
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        let mut state = lock(&self.0);
        state.catch_up();
        state
    }

    fn then(&self, at: Duration, act: Act) {
        let mut state = lock(&self.0);
        state.acts.push_back((at, act));
        state.acts.make_contiguous().sort_by_key(|(at, _)| *at);
    }

    fn now(&self, act: Act) {
        let now = lock(&self.0).clock.passed();
        self.then(now, act);
    }

    fn fin(&self) -> Option<Duration> {
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
                Act::Speak => self.tls().writer().write_all(b"hello").unwrap(),
                Act::Goodbye => self.tls().send_close_notify(),
                Act::End => self.has_ended = true,
            }
            self.say();
        }
    }

    fn tls(&mut self) -> &mut ServerConnection {
        self.tls.as_mut().unwrap()
    }

    /// What its TLS has to say arrives.
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
        if state.tls.is_some() {
            let mut wire = &bytes[..taken];
            while !wire.is_empty() {
                state.tls().read_tls(&mut wire).unwrap();
                state.tls().process_new_packets().unwrap();
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
        Ok((state.written.len() as u64).saturating_sub(state.acknowledged))
    }

    fn end(&self) -> io::Result<()> {
        let mut state = self.state();
        let now = state.clock.passed();
        assert!(state.fin.replace(now).is_none(), "only one FIN is sent");
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

fn script(clock: &Arc<Still>, tls: Option<ServerConnection>) -> Script {
    let (clock, answers) = (Arc::clone(clock), tls.is_some());
    Script(Arc::new(Mutex::new(State {
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
        fin: None,
        waits: Vec::new(),
    })))
}

fn peer(script: &Script, tls: Option<Certificates>) -> Peer {
    let network = Network::over(Dialled(script.clone()));
    Peer { address: "localhost".into(), port: 443, tls, network, needs_fin: Arc::default() }
}

/// A connection over plain TCP.
fn plain(clock: &Arc<Still>) -> (Connection, Script) {
    let script = script(clock, None);
    (Connection::open(&peer(&script, None)).unwrap(), script)
}

/// A peer that speaks TLS. `tickets`: with TLS 1.3 it sends so many when it has looked at our certificate.
fn tls(
    clock: &Arc<Still>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    tickets: usize,
) -> (Script, Peer) {
    let pki = Pki::generate().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ClientFiles { chain, cert, key } = pki.write_client_files(directory.path()).unwrap();
    let files = TlsFiles { chain: Some(chain), identity: Some(Identity { cert, key }) };
    let mut config = pki.server_config_of(versions, pki.verifier().unwrap()).unwrap();
    config.send_tls13_tickets = tickets;
    let script = script(clock, Some(ServerConnection::new(Arc::new(config)).unwrap()));
    script.now(Act::Room(ALL));
    let peer = peer(&script, Some(Certificates::read(&files).unwrap()));
    (script, peer)
}

/// A connection over TLS 1.3 whose peer has accepted us.
fn secure(clock: &Arc<Still>) -> (Connection, Script, Peer) {
    let (script, peer) = tls(clock, rustls::DEFAULT_VERSIONS, 1);
    let connection = Connection::open(&peer).unwrap();
    let handshake = script.state().written.len() as u64;
    script.now(Act::Acknowledge(handshake));
    (connection, script, peer)
}

#[test]
fn a_peer_that_takes_nothing_is_given_up_at_the_stall_time() {
    Still::run(|clock| {
        let (mut connection, script) = plain(&clock);
        let error = connection.write(b"0123456789", &Stop::new()).unwrap_err();
        assert!(matches!(error, Error::Stalled { .. }), "{error}");
        assert_eq!(clock.passed(), SEND_STALL_TIMEOUT);
        assert_eq!(
            (connection.take_waited(), connection.take_waited()),
            (SEND_STALL_TIMEOUT, Duration::ZERO)
        );
        assert!(script.state().waits.iter().all(|events| *events == PollFlags::OUT));
    });
}

#[test]
fn each_byte_that_is_taken_begins_the_stall_time_again() {
    Still::run(|clock| {
        let (mut connection, script) = plain(&clock);
        for number in 1..4 {
            script.then(number * (SEND_STALL_TIMEOUT - MS), Act::Room(1));
        }
        assert!(connection.write(b"0123", &Stop::new()).is_err());
        assert_eq!(script.state().written, b"012");
        assert_eq!(clock.passed(), 3 * (SEND_STALL_TIMEOUT - MS) + SEND_STALL_TIMEOUT);
    });
}

#[test]
fn each_byte_that_is_acknowledged_begins_the_stall_time_again() {
    Still::run(|clock| {
        let (mut connection, script) = plain(&clock);
        script.now(Act::Room(10));
        connection.write(b"0123456789", &Stop::new()).unwrap();
        let mut progress = Progress::begin();
        connection.check_progress(&mut progress).unwrap();
        for _ in 0..3 {
            clock.pass(SEND_STALL_TIMEOUT - MS);
            script.now(Act::Acknowledge(1));
            connection.check_progress(&mut progress).unwrap();
        }
        clock.pass(SEND_STALL_TIMEOUT - MS);
        connection.check_progress(&mut progress).unwrap();
        clock.pass(MS);
        assert!(connection.check_progress(&mut progress).is_err());
    });
}

#[test]
fn a_write_ends_with_the_stop_and_hears_the_peer_s_end_while_it_waits() {
    Still::run(|clock| {
        let (mut connection, _script) = plain(&clock);
        let stop = Stop::new();
        stop.stop();
        assert!(matches!(connection.write(b"0", &stop), Err(Error::Stopped)));
        assert_eq!(clock.passed(), Duration::ZERO);
        let (mut connection, script) = plain(&clock);
        script.then(SEND_WAIT_SLICE * 3 / 2, Act::End);
        assert!(matches!(connection.write(b"0", &Stop::new()), Err(Error::Closed { .. })));
        assert_eq!(clock.passed(), SEND_WAIT_SLICE * 3 / 2);
    });
}

#[test]
fn an_interrupted_call_is_made_again_and_another_failure_breaks_the_connection() {
    Still::run(|clock| {
        let (mut connection, script) = plain(&clock);
        script.now(Act::Room(ALL));
        script.now(Act::FailWrite(ErrorKind::Interrupted));
        script.now(Act::FailRead(ErrorKind::Interrupted));
        connection.write(b"0", &Stop::new()).unwrap();
        connection.read().unwrap();
        script.now(Act::FailWrite(ErrorKind::ConnectionReset));
        assert!(matches!(connection.write(b"0", &Stop::new()), Err(Error::Broken { .. })));
        script.now(Act::FailRead(ErrorKind::ConnectionReset));
        assert!(matches!(connection.read(), Err(Error::Broken { .. })));

        let (mut connection, script, _) = secure(&clock);
        script.now(Act::FailWrite(ErrorKind::Interrupted));
        script.now(Act::FailRead(ErrorKind::Interrupted));
        connection.write(b"0", &Stop::new()).unwrap();
        assert!(connection.push().unwrap());
        connection.read().unwrap();
        connection.write(b"0", &Stop::new()).unwrap();
        script.now(Act::FailWrite(ErrorKind::ConnectionReset));
        assert!(matches!(connection.push(), Err(Error::Broken { .. })));
    });
}

#[test]
fn a_socket_without_room_makes_the_settle_time_longer_for_a_while() {
    Still::run(|clock| {
        let (mut connection, script, _) = secure(&clock);
        let settle_time = |connection: &Connection| connection.settle_time(clock::now());
        assert_eq!(settle_time(&connection), SETTLE_TIME);
        script.state().room = 0;
        connection.write(b"0", &Stop::new()).unwrap();
        assert!(!connection.push().unwrap());
        assert_eq!(settle_time(&connection), SETTLE_TIME_SLOW);
        clock.pass(SETTLE_TIME_SLOW - MS);
        assert_eq!(settle_time(&connection), SETTLE_TIME_SLOW);
        clock.pass(MS);
        assert_eq!(settle_time(&connection), SETTLE_TIME);

        // A wait for room, without TLS.
        let (mut connection, script) = plain(&clock);
        script.then(clock.passed() + MS, Act::Room(1));
        connection.write(b"0", &Stop::new()).unwrap();
        assert_eq!(settle_time(&connection), SETTLE_TIME_SLOW);
    });
}

#[test]
fn a_program_is_known_to_read_when_more_than_buffers_hold_was_acknowledged() {
    Still::run(|clock| {
        let (mut connection, script) = plain(&clock);
        script.now(Act::Room(ALL));
        connection.write(&vec![0; SETTLE_BYTES + 1], &Stop::new()).unwrap();
        script.now(Act::Acknowledge(SETTLE_BYTES as u64 - 1));
        assert_eq!(connection.acknowledged().unwrap(), SETTLE_BYTES as u64 - 1);
        assert!(!connection.is_proven() && connection.is_complete());
        script.now(Act::Acknowledge(1));
        connection.acknowledged().unwrap();
        assert!(connection.is_proven() && connection.has_taken_much());
    });
}

#[test]
fn a_key_is_worn_with_its_last_record() {
    Still::run(|clock| {
        let (mut connection, _, _) = secure(&clock);
        connection.write(&vec![0; 2 * RECORD_PLAINTEXT], &Stop::new()).unwrap();
        assert!(!connection.is_worn(3) && connection.is_worn(2));
        connection.write(b"0", &Stop::new()).unwrap();
        assert!(connection.is_worn(3) && !connection.is_worn(4));
        let (mut connection, script) = plain(&clock);
        script.now(Act::Room(ALL));
        connection.write(b"0", &Stop::new()).unwrap();
        assert!(!connection.is_worn(0), "plain TCP has no key");
    });
}

#[test]
fn a_handshake_that_nobody_answers_ends_at_its_deadline() {
    Still::run(|clock| {
        let (script, peer) = tls(&clock, rustls::DEFAULT_VERSIONS, 1);
        script.state().answers = false;
        let error = Connection::open(&peer).unwrap_err();
        assert!(matches!(error, Error::Handshake { .. }), "{error}");
        assert_eq!(clock.passed(), SEND_HANDSHAKE_TIMEOUT);
        assert_eq!(script.state().waits, [PollFlags::IN]);
    });
}

#[test]
fn a_handshake_waits_for_room_too() {
    Still::run(|clock| {
        let (script, peer) = tls(&clock, rustls::DEFAULT_VERSIONS, 1);
        script.state().room = 0;
        script.then(MS, Act::Room(ALL));
        Connection::open(&peer).unwrap();
        assert_eq!(script.state().waits[0], PollFlags::IN | PollFlags::OUT);
    });
}

#[test]
fn an_end_during_the_handshake_asks_whether_the_port_speaks_tls() {
    Still::run(|clock| {
        let (script, peer) = tls(&clock, rustls::DEFAULT_VERSIONS, 1);
        script.state().answers = false;
        script.then(MS, Act::End);
        let error = Connection::open(&peer).unwrap_err().to_string();
        assert!(error.ends_with("during the TLS handshake; does this port speak TLS?"), "{error}");
    });
}

/// With TLS 1.3 our handshake ends before the peer has looked at our certificate.
#[test]
fn a_verdict_is_waited_for_for_a_moment() {
    Still::run(|clock| {
        let (script, peer) = tls(&clock, rustls::DEFAULT_VERSIONS, 0);
        let mut connection = Connection::open(&peer).unwrap();
        assert_eq!(clock.passed(), SEND_VERDICT_TIMEOUT);
        assert!(!connection.is_proven() && !connection.is_complete(), "nothing shows yet that it accepts us");
        script.then(clock.passed() + MS, Act::End);
        let error = connection.await_verdict().unwrap_err().to_string();
        assert!(error.ends_with("it may have refused our client certificate"), "{error}");
    });
}

#[test]
fn a_ticket_or_data_or_the_end_of_an_older_handshake_proves_that_we_are_accepted() {
    Still::run(|clock| {
        let (_, peer) = tls(&clock, rustls::DEFAULT_VERSIONS, 1);
        assert!(Connection::open(&peer).unwrap().is_proven());
        let (script, peer) = tls(&clock, rustls::DEFAULT_VERSIONS, 0);
        let mut connection = Connection::open_unheard(&peer).unwrap();
        assert!(!connection.is_proven());
        script.now(Act::Speak);
        connection.read().unwrap();
        assert!(connection.is_proven());
        let (_, peer) = tls(&clock, &[&rustls::version::TLS12], 0);
        let connection = Connection::open(&peer).unwrap();
        assert!(connection.is_proven());
        assert_eq!(clock.passed(), Duration::ZERO, "no verdict is waited for");
        let link = connection.link();
        assert_eq!((&*link.address, link.tls.as_deref()), ("192.0.2.1:443", Some("TLS 1.2")));
    });
}

#[test]
fn an_end_that_follows_ours_confirms_once_a_reset_would_have_come() {
    Still::run(|clock| {
        let (mut connection, script, _) = secure(&clock);
        connection.write(b"0", &Stop::new()).unwrap();
        connection.say_goodbye(&Stop::new()).unwrap();
        assert_eq!(script.fin(), None, "a FIN would hide a reset");
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        clock.pass(MS);
        script.now(Act::Goodbye);
        script.now(Act::End);
        script.now(Act::Acknowledge(1 << 20));
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        assert!(connection.has_heard_goodbye() && connection.was_answered_within(2 * MS));
        clock.pass(SEND_RESET_TIMEOUT - MS);
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        clock.pass(MS);
        assert!(connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        assert_eq!(script.fin(), None);
    });
}

#[test]
fn an_end_with_unacknowledged_bytes_confirms_nothing() {
    Still::run(|clock| {
        let (mut connection, script, _) = secure(&clock);
        connection.say_goodbye(&Stop::new()).unwrap();
        script.now(Act::End);
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        clock.pass(SEND_RESET_TIMEOUT);
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        script.now(Act::Acknowledge(1 << 20));
        assert!(connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
    });
}

#[test]
fn a_reset_after_our_end_is_heard_although_nothing_is_read() {
    Still::run(|clock| {
        let (mut connection, script, _) = secure(&clock);
        connection.say_goodbye(&Stop::new()).unwrap();
        script.now(Act::Goodbye);
        script.now(Act::End);
        script.now(Act::Acknowledge(1 << 20));
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        script.now(Act::Error(ErrorKind::ConnectionReset));
        assert!(matches!(connection.is_answered(SEND_PROOF_TIMEOUT), Err(Error::BrokenAtEnd { .. })));
    });
}

#[test]
fn a_peer_that_does_not_answer_gets_a_fin_as_the_last_chance_and_is_then_given_up() {
    Still::run(|clock| {
        let (mut connection, script, _) = secure(&clock);
        let error = connection.close(SEND_PROOF_TIMEOUT, &Stop::new()).unwrap_err();
        assert!(matches!(error, Error::Unanswered { .. }), "{error}");
        assert_eq!(clock.passed(), SEND_PROOF_TIMEOUT);
        assert_eq!(script.fin(), Some(SEND_PROOF_TIMEOUT - SEND_CLOSE_TIMEOUT));
    });
}

#[test]
fn each_byte_that_it_takes_after_our_end_is_a_sign_of_life() {
    Still::run(|clock| {
        let (mut connection, script, _) = secure(&clock);
        connection.write(&[0; 100], &Stop::new()).unwrap();
        let last = 2 * (SEND_CLOSE_TIMEOUT - MS);
        script.then(SEND_CLOSE_TIMEOUT - MS, Act::Acknowledge(1));
        script.then(last, Act::Acknowledge(1));
        let error = connection.close(SEND_CLOSE_TIMEOUT, &Stop::new()).unwrap_err();
        assert!(matches!(error, Error::Unanswered { .. }), "{error}");
        assert_eq!(clock.passed(), last + SEND_CLOSE_TIMEOUT);
    });
}

#[test]
fn a_peer_that_says_goodbye_and_waits_for_a_fin_gets_it_soon() {
    Still::run(|clock| {
        let (mut connection, script, peer) = secure(&clock);
        script.then(MS, Act::Goodbye);
        script.now(Act::Acknowledge(1 << 20));
        connection.say_goodbye(&Stop::new()).unwrap();
        clock.pass(MS);
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        clock.pass(SEND_FIN_TIMEOUT - MS);
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        assert_eq!(script.fin(), None);
        clock.pass(MS);
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        assert_eq!(script.fin(), Some(MS + SEND_FIN_TIMEOUT));
        script.now(Act::End);
        // With our FIN sent, no reset can come any more.
        assert!(connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        assert!(!connection.was_answered_within(SEND_PROOF_TIMEOUT), "it needed a FIN");
        assert!(peer.needs_fin.load(Ordering::Relaxed), "the next connection sends it at once");
    });
}

#[test]
fn a_peer_that_answers_a_close_notify_never_gets_a_fin() {
    Still::run(|clock| {
        let (mut connection, script, peer) = secure(&clock);
        script.now(Act::Acknowledge(1 << 20));
        script.then(MS, Act::Goodbye);
        script.then(2 * MS, Act::End);
        connection.close(SEND_PROOF_TIMEOUT, &Stop::new()).unwrap();
        assert_eq!((script.fin(), peer.needs_fin.load(Ordering::Relaxed)), (None, false));
        assert!(
            clock.passed() >= 2 * MS + SEND_RESET_TIMEOUT && clock.passed() < 3 * MS + SEND_RESET_TIMEOUT
        );
    });
}

#[test]
fn an_end_before_ours_confirms_nothing() {
    Still::run(|clock| {
        let (mut connection, script, _) = secure(&clock);
        script.now(Act::Goodbye);
        script.now(Act::End);
        assert!(matches!(connection.close(SEND_PROOF_TIMEOUT, &Stop::new()), Err(Error::Closed { .. })));
    });
}

#[test]
fn plain_tcp_ends_with_a_fin_at_once_and_with_the_stop() {
    Still::run(|clock| {
        let (mut connection, script) = plain(&clock);
        connection.say_goodbye(&Stop::new()).unwrap();
        assert_eq!(script.fin(), Some(Duration::ZERO));
        script.now(Act::End);
        assert!(connection.is_answered(SEND_CLOSE_TIMEOUT).unwrap());
        assert!(!connection.is_tls() && !connection.is_buffered());
        let (mut connection, _) = plain(&clock);
        let stop = Stop::new();
        stop.stop();
        assert!(matches!(connection.close(SEND_CLOSE_TIMEOUT, &stop), Err(Error::Stopped)));
    });
}
