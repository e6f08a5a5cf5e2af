use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{JoinHandle, spawn};

use rustls::{
    CipherSuiteCommon, ClientConfig, ServerConfig, ServerConnection, StreamOwned, SupportedCipherSuite,
    Tls12CipherSuite,
};

use super::*;
use crate::ack::Ack;
use crate::base::limits::{SEND_CLOSE_TIMEOUT, SEND_FIN_TIMEOUT, SETTLE_BYTES};
use crate::base::runtime::channel::{self, Receiver};
use crate::base::stop::Stop;
use crate::lab::testbed::pki::Pki;
use crate::settings::{Confirmation, TlsFiles};
use crate::stages::send::connection;
use crate::stages::send::sender_testing;
use crate::stages::send::tls::Certificates;
use crate::stages::send::wire::Network;

mod steps;

const BATCH: usize = 256 << 10;

/// A peer that reads only when told to, and then to the end.
struct Peer {
    read: mpsc::Sender<()>,
    thread: JoinHandle<Vec<u8>>,
}

/// An open session with such a peer. `tls`: over TLS.
fn session(tls: bool, window_bytes: usize) -> (Session, SharedOutput, Peer) {
    session_of(tls, window_bytes, None)
}

/// An open session over TLS 1.2, with a key that may encrypt this many records.
fn session_of(tls: bool, window_bytes: usize, key_records: Option<u64>) -> (Session, SharedOutput, Peer) {
    let (pki, _directory, files) = certified();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = pki.server_config().unwrap();
    let (read, told) = mpsc::channel();
    let thread = spawn(move || {
        let mut socket = listener.accept().unwrap().0;
        let mut bytes = Vec::new();
        if tls {
            let tls = greeted(&mut socket, config);
            told.recv().unwrap();
            StreamOwned::new(tls, socket).read_to_end(&mut bytes).unwrap();
        } else {
            socket.read_to_end(&mut bytes).unwrap();
        }
        bytes
    });
    let shared = shared(address, tls.then(|| Certificates::read(&files).unwrap()), window_bytes);
    if let (Some(records), Some(certificates)) = (key_records, &shared.peer.tls) {
        certificates.set(short_lived(&certificates.current(), &files, records));
    }
    (open(&shared), shared, Peer { read, thread })
}

/// New certificates, and the files of the client's, in a folder that is kept with them.
fn certified() -> (Pki, tempfile::TempDir, TlsFiles) {
    let pki = Pki::generate().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let files = pki.write_client_files(directory.path()).unwrap().into();
    (pki, directory, files)
}

/// The peer's side of a connection after the handshake.
fn greeted(socket: &mut TcpStream, config: Arc<ServerConfig>) -> ServerConnection {
    let mut tls = ServerConnection::new(config).unwrap();
    while tls.is_handshaking() || tls.wants_write() {
        tls.complete_io(socket).unwrap();
    }
    tls
}

/// The settings of an output whose peer is at this address.
fn shared(address: SocketAddr, tls: Option<Certificates>, window_bytes: usize) -> SharedOutput {
    let peer = connection::Peer {
        address: address.ip().to_string(),
        port: address.port(),
        tls,
        network: Network::default(),
        needs_fin: Arc::default(),
    };
    SharedOutput { window_bytes, ..sender_testing::shared(peer, Confirmation::default()) }
}

fn open(shared: &SharedOutput) -> Session {
    let connection = Connection::open(&shared.peer).unwrap();
    Session::new(connection, shared.telemetry.add_sender("send-devo_1-0"), shared)
}

fn short_lived(config: &ClientConfig, files: &TlsFiles, records: u64) -> ClientConfig {
    let mut provider = (**config.crypto_provider()).clone();
    let limited = |suite: &SupportedCipherSuite| {
        let SupportedCipherSuite::Tls12(suite) = suite else { return None };
        let common = CipherSuiteCommon { confidentiality_limit: records, ..copy(&suite.common) };
        let suite = Tls12CipherSuite { common, ..**suite };
        Some(SupportedCipherSuite::Tls12(Box::leak(Box::new(suite))))
    };
    provider.cipher_suites = provider.cipher_suites.iter().filter_map(limited).collect();
    let roots = crate::stages::send::tls::roots(files.chain.as_deref()).unwrap();
    let mut limited = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    limited.client_auth_cert_resolver = Arc::clone(&config.client_auth_cert_resolver);
    limited.max_fragment_size = config.max_fragment_size;
    limited
}

fn copy(common: &CipherSuiteCommon) -> CipherSuiteCommon {
    let CipherSuiteCommon { suite, hash_provider, confidentiality_limit } = *common;
    CipherSuiteCommon { suite, hash_provider, confidentiality_limit }
}

/// An open desk over TLS, and its sender's wake-up channel.
fn desk(window_bytes: usize) -> (Desk, Receiver<()>, SharedOutput, Peer) {
    let (session, shared, peer) = session(true, window_bytes);
    let (wake, woken) = channel::bounded(1);
    let desk = Desk::new(shared.clone(), wake);
    desk.open(session);
    (desk, woken, shared, peer)
}

/// The sender's part, until the socket has everything.
fn finish(desk: &Desk, shared: &SharedOutput) {
    while desk.with(|session| session.needs_its_sender()).unwrap() {
        desk.with(|session| session.attend(shared)).unwrap().unwrap();
    }
}

fn batch(ack: &Ack, number: usize) -> Batch {
    Batch::new(Arc::new(content(number).into()), 1, ack.share())
}

fn content(number: usize) -> Vec<u8> {
    (0..BATCH).map(|i| (i * 31 + number * 7) as u8).collect()
}

#[test]
fn a_batch_comes_back_where_nobody_can_write_it() {
    let ack = Ack::open(|_| ());
    let (session, shared, peer) = session(false, usize::MAX);
    let (wake, _woken) = channel::bounded(1);
    let desk = Desk::new(shared, wake);
    assert!(desk.write(batch(&ack, 0)).is_err(), "there is no connection");
    desk.open(session);
    assert!(desk.write(batch(&ack, 0)).is_err(), "plain TCP would wait for the socket");
    drop(desk.close());
    assert_eq!(peer.thread.join().unwrap(), b"");
}

#[test]
fn a_worker_writes_until_the_window_is_full() {
    let ack = Ack::open(|_| ());
    let (desk, woken, shared, peer) = desk(2 * BATCH);
    peer.read.send(()).unwrap();
    assert!(desk.write(batch(&ack, 0)).is_ok());
    assert!(woken.try_recv().is_ok(), "its sender slept, with nothing to confirm");
    finish(&desk, &shared);
    assert!(desk.write(batch(&ack, 1)).is_ok());
    finish(&desk, &shared);
    assert!(desk.write(batch(&ack, 2)).is_err(), "the window is full");
    let mut session = desk.close().unwrap();
    assert_eq!(session.window.bytes(), 2 * BATCH);
    session.end(&shared).unwrap();
    assert_eq!(peer.thread.join().unwrap(), [content(0), content(1)].concat());
}

#[test]
fn what_the_socket_did_not_take_is_finished_by_the_sender_and_nothing_is_written_twice() {
    let ack = Ack::open(|_| ());
    let (desk, woken, shared, peer) = desk(usize::MAX);
    let mut written = 0;
    while desk.write(batch(&ack, written)).is_ok() {
        written += 1;
        if desk.with(|session| session.needs_its_sender()).unwrap() {
            assert!(woken.try_recv().is_ok());
        }
    }
    assert!(desk.with(|session| session.needs_its_sender()).unwrap(), "the socket is full");
    // The sender may have taken a batch already.
    desk.with(|session| session.write(vec![batch(&ack, written)], &shared));
    peer.read.send(()).unwrap();
    desk.with(|session| session.attend(&shared)).unwrap().unwrap();
    assert!(!desk.with(|session| session.needs_its_sender()).unwrap());
    let Session { mut connection, mut window, .. } = desk.close().unwrap();
    let kept = std::iter::from_fn(|| window.pop()).map(|batch| batch.bytes.to_vec()).collect::<Vec<_>>();
    let all: Vec<Vec<u8>> = (0..=written).map(content).collect();
    assert!(kept == all, "{} batches are kept of {}", kept.len(), all.len());
    connection.close(shared.patience(true), &shared.abort).unwrap();
    assert!(peer.thread.join().unwrap() == all.concat());
}

#[test]
fn a_broken_connection_gives_every_batch_back() {
    let ack = Ack::open(|_| ());
    let (desk, _woken, shared, peer) = desk(usize::MAX);
    // Its thread panics, and the socket is closed with unread bytes.
    drop(peer.read);
    assert!(peer.thread.join().is_err());
    let mut written = 0;
    while desk.write(batch(&ack, written)).is_ok() {
        written += 1;
    }
    assert!(desk.with(|session| session.attend(&shared)).unwrap().is_err());
    let mut window = desk.close().unwrap().into_window();
    assert_eq!(std::iter::from_fn(|| window.pop()).count(), written);
}

/// Plays worker and sender until the session is to be closed, or fails.
fn write_until_closed(session: &mut Session, shared: &SharedOutput, ack: &Ack) -> Result<usize, Error> {
    let mut written = 0;
    loop {
        match session.attend(shared)?.0 {
            Next::Close => return Ok(written),
            Next::Batch(_) => session.write(vec![batch(ack, written)], shared),
            Next::Confirmation(_) | Next::Rate | Next::Leave => continue,
        }
        written += 1;
    }
}

#[test]
fn a_connection_is_renewed_before_its_key_is_used_up() {
    let ack = Ack::open(|_| ());
    // A batch takes 17 records.
    let (mut session, mut shared, peer) = session_of(true, usize::MAX, Some(200));
    shared.records_max = 100;
    peer.read.send(()).unwrap();
    let written = write_until_closed(&mut session, &shared, &ack).unwrap();
    assert!((6..=7).contains(&written), "{written} batches before it is renewed");
    session.end(&shared).unwrap();
    assert!(session.is_empty());
    assert!(peer.thread.join().unwrap() == (0..written).map(content).collect::<Vec<_>>().concat());
}

#[test]
fn a_connection_names_its_far_end_and_its_tls() {
    for (tls, key_records, version) in
        [(false, None, None), (true, None, Some("TLS 1.3")), (true, Some(1 << 20), Some("TLS 1.2"))]
    {
        let (mut session, shared, peer) = session_of(tls, usize::MAX, key_records);
        let link = session.connection.link();
        assert_eq!(link.tls.as_deref(), version);
        assert!(link.address.ends_with(&format!(":{}", shared.peer.port)), "{}", link.address);
        let _ = peer.read.send(());
        session.end(&shared).unwrap();
        assert_eq!(peer.thread.join().unwrap(), b"");
    }
}

#[test]
fn a_connection_is_renewed_with_its_certificates() {
    let ack = Ack::open(|_| ());
    let (mut session, shared, peer) = session(true, usize::MAX);
    assert!(session.connection.is_current(&shared.peer));
    let certificates = shared.peer.tls.as_ref().unwrap();
    certificates.set(ClientConfig::clone(&certificates.current()));
    assert!(!session.connection.is_current(&shared.peer));
    peer.read.send(()).unwrap();
    assert_eq!(write_until_closed(&mut session, &shared, &ack).unwrap(), 0);
    session.end(&shared).unwrap();
    assert_eq!(peer.thread.join().unwrap(), b"");
}

#[test]
fn what_tls_drops_is_not_confirmed() {
    let ack = Ack::open(|_| ());
    let (mut session, shared, peer) = session_of(true, usize::MAX, Some(100));
    peer.read.send(()).unwrap();
    let error = write_until_closed(&mut session, &shared, &ack).unwrap_err();
    assert!(matches!(error, Error::Dropped { .. } | Error::Closed { .. }), "{error}");
    let kept: usize = session.into_window().bytes();
    let confirmed = shared.telemetry.send.bytes.value() as usize;
    let received = peer.thread.join().unwrap().len();
    assert!(confirmed <= received && kept > 0, "{confirmed} bytes are confirmed of {received} that arrived");
}

#[test]
fn a_connection_whose_tls_drops_bytes_is_out_of_balance() {
    let (session, shared, peer) = session_of(true, usize::MAX, Some(100));
    peer.read.send(()).unwrap();
    let Session { mut connection, .. } = session;
    let mut balances = (0..20).map(|number| {
        connection.write(&content(number), &shared.abort).unwrap();
        connection.flush(&shared.abort).unwrap();
        connection.balance()
    });
    assert!(balances.next().unwrap().is_ok());
    assert!(balances.any(|balance| matches!(balance, Err(Error::Dropped { .. }))));
    drop(connection);
    peer.thread.join().unwrap();
}

#[test]
fn what_a_peer_has_not_read_is_not_confirmed_by_its_end() {
    let ack = Ack::open(|_| ());
    for ours_first in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut session, shared) = plain_session(&listener);
        let mut socket = listener.accept().unwrap().0;
        session.write(vec![batch(&ack, 0), batch(&ack, 1)], &shared);
        if !ours_first {
            // It still takes bytes, but announces that it will send no more.
            socket.shutdown(std::net::Shutdown::Write).unwrap();
        }
        socket.read_exact(&mut [0; 1000]).unwrap();
        drop(socket);
        let ended = loop {
            match session.attend(&shared) {
                Ok((Next::Close, _)) => break session.end(&shared),
                Ok(_) => (),
                Err(error) => break Err(error),
            }
        };
        assert!(ended.is_err());
        assert_eq!(session.into_window().bytes(), 2 * BATCH);
        assert_eq!(shared.telemetry.send.events.value(), 0);
    }
}

#[test]
fn a_connection_that_no_program_accepts_confirms_nothing() {
    let ack = Ack::open(|_| ());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut session, shared) = plain_session(&listener);
    let small = Batch::new(Arc::new(b"<14>frame\n".to_vec().into()), 1, ack.share());
    session.write(vec![small], &shared);
    // The kernel acknowledges it from the backlog.
    while session.attend(&shared).unwrap().0 != Next::Close {}
    let abort = shared.abort.clone();
    let stopper = spawn(move || {
        std::thread::sleep(Duration::from_millis(1500));
        abort.stop();
    });
    assert!(matches!(session.end(&shared), Err(Error::Stopped)), "nobody answers its end");
    assert_eq!((session.is_empty(), shared.telemetry.send.events.value()), (false, 0));
    stopper.join().unwrap();
}

#[test]
fn a_stop_is_no_stall() {
    let ack = Ack::open(|_| ());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut session, shared) = plain_session(&listener);
    shared.abort.stop();
    // More than buffers hold.
    session.write((0..64).map(|number| batch(&ack, number)).collect(), &shared);
    assert!(matches!(session.attend(&shared), Err(Error::Stopped)));
}

fn plain_session(listener: &TcpListener) -> (Session, SharedOutput) {
    let shared = shared(listener.local_addr().unwrap(), None, usize::MAX);
    (open(&shared), shared)
}

/// A TLS peer that shakes hands and then leaves each connection to `rest`, once it is told to. Returns the settings of
/// an output with this peer.
fn raw_peer(
    connections: usize,
    rest: impl Fn(TcpStream, ServerConnection) + Send + 'static,
) -> (SharedOutput, mpsc::Sender<()>, JoinHandle<()>) {
    let (pki, _directory, files) = certified();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let shared =
        shared(listener.local_addr().unwrap(), Some(Certificates::read(&files).unwrap()), usize::MAX);
    let (go, told) = mpsc::channel();
    let thread = spawn(move || {
        for _ in 0..connections {
            let mut socket = listener.accept().unwrap().0;
            let tls = greeted(&mut socket, pki.server_config().unwrap());
            told.recv().unwrap();
            rest(socket, tls);
        }
    });
    (shared, go, thread)
}

const UNREAD: usize = 20_000;

/// Servers stop like this: the connection is shut down, and closed with unread data.
#[test]
fn a_peer_that_stops_with_unread_data_confirms_nothing() {
    for says_goodbye in [false, true] {
        let (shared, go, thread) = raw_peer(1, move |mut socket, mut tls| {
            if says_goodbye {
                // Long after our close, and seen before the rest comes.
                std::thread::sleep(SEND_FIN_TIMEOUT);
                tls.send_close_notify();
                tls.write_tls(&mut socket).unwrap();
                std::thread::sleep(Duration::from_millis(50));
            }
            socket.shutdown(std::net::Shutdown::Both).unwrap();
        });
        let ack = Ack::open(|_| ());
        let mut session = open(&shared);
        // Less than its kernel takes without its program.
        session.write(vec![Batch::new(Arc::new(vec![b'x'; UNREAD].into()), 1, ack.share())], &shared);
        while session.needs_its_sender() {
            session.attend(&shared).unwrap();
        }
        session.begin_end(&shared).unwrap();
        // Everything is in its kernel.
        while session.connection.acknowledged().unwrap() < session.connection.written() {
            std::thread::yield_now();
        }
        go.send(()).unwrap();
        let end = loop {
            match session.try_end(&shared) {
                Ok(false) => std::thread::sleep(Duration::from_millis(1)),
                end => break end,
            }
        };
        assert!(end.is_err(), "it has read nothing");
        assert_eq!(session.into_window().bytes(), UNREAD);
        thread.join().unwrap();
    }
}

#[test]
fn a_peer_that_answers_only_a_fin_gets_one_and_is_remembered() {
    let (shared, go, thread) = raw_peer(2, |mut socket, _tls| {
        // It takes the close_notify for data.
        while socket.read(&mut [0; 100]).is_ok_and(|read| read > 0) {}
    });
    for needs_fin in [false, true] {
        assert_eq!(shared.peer.needs_fin.load(std::sync::atomic::Ordering::Relaxed), needs_fin);
        let mut connection = Connection::open(&shared.peer).unwrap();
        go.send(()).unwrap();
        let patience = SEND_CLOSE_TIMEOUT + SEND_FIN_TIMEOUT;
        connection.close(patience, &shared.abort).unwrap();
        assert_eq!(connection.silence() < SEND_FIN_TIMEOUT, needs_fin);
    }
    thread.join().unwrap();
}

/// A peer that reads everything, and leaves its connections open. After so many bytes it reads no more until `go_on` stops.
fn keeping_peer(first: usize, go_on: &Arc<Stop>) -> (SharedOutput, JoinHandle<()>) {
    const CONNECTIONS: usize = 3;
    let go_on = Arc::clone(go_on);
    let (shared, go, thread) = raw_peer(CONNECTIONS, move |mut socket, _tls| {
        let go_on = Arc::clone(&go_on);
        let keep = move || {
            let (mut bytes, mut taken) = (vec![0; 1 << 16], 0);
            while let Ok(more @ 1..) = socket.read(&mut bytes) {
                taken += more;
                if taken >= first {
                    go_on.wait_until_stopped();
                }
            }
            loop {
                std::thread::park();
            }
        };
        drop(spawn(keep));
    });
    for _ in 0..CONNECTIONS {
        go.send(()).unwrap();
    }
    (shared, thread)
}

#[test]
fn a_peer_that_reads_and_ends_no_connection_confirms_by_acknowledgements() {
    let (ack, go_on) = (Ack::open(|_| ()), Arc::new(Stop::new()));
    let (shared, thread) = keeping_peer(SETTLE_BYTES, &go_on);
    let mut session = open(&shared);
    // Until its buffers are full.
    while session.connection.written() <= SETTLE_BYTES as u64
        || session.connection.acknowledged().unwrap() == session.connection.written()
    {
        session.write(vec![batch(&ack, 0)], &shared);
        session.attend(&shared).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    session.begin_end(&shared).unwrap();
    // Its last acknowledgement comes after our close.
    go_on.stop();
    while !session.try_end(&shared).unwrap() {
        session.connection.await_answer(&shared.abort).unwrap();
    }
    assert!(session.is_empty() && !shared.caution().expects_answers());
    thread.join().unwrap();
}

/// Its program may read nothing at all: nothing but time tells it from one that never ends a connection.
#[test]
fn one_that_may_not_read_is_waited_for_on_the_same_connection() {
    let ack = Ack::open(|_| ());
    let (shared, thread) = keeping_peer(usize::MAX, &Arc::new(Stop::new()));
    let mut session = open(&shared);
    session.write(vec![Batch::new(Arc::new(b"<14>frame\n".to_vec().into()), 1, ack.share())], &shared);
    while session.attend(&shared).unwrap().0 != Next::Close {}
    session.begin_end(&shared).unwrap();
    while shared.telemetry.health.trouble().is_none() {
        assert!(!session.try_end(&shared).unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!session.try_end(&shared).unwrap() && shared.caution().expects_answers());
    assert_eq!((session.is_empty(), shared.telemetry.send.events.value()), (false, 0));
    thread.join().unwrap();
}
