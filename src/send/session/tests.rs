use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread::{JoinHandle, spawn};

use crossbeam_channel::Receiver;
use rustls::{ServerConnection, StreamOwned};

use super::*;
use crate::ack::Ack;
use crate::config::{Identity, TlsFiles};
use crate::send::tls::Certificates;
use crate::testbed::pki::Pki;

const BATCH: usize = 256 << 10;

/// A peer that reads only when told to, and then to the end.
struct Peer {
    read: mpsc::Sender<()>,
    thread: JoinHandle<Vec<u8>>,
}

/// An open session with such a peer. `tls`: over TLS.
fn session(tls: bool, window_bytes: usize) -> (Session, Shared, Peer) {
    let pki = Pki::generate().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let files = pki.write_client_files(directory.path()).unwrap();
    let files =
        TlsFiles { chain: Some(files.chain), identity: Some(Identity { cert: files.cert, key: files.key }) };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = pki.server_config().unwrap();
    let (read, told) = mpsc::channel();
    let thread = spawn(move || {
        let mut socket = listener.accept().unwrap().0;
        let mut bytes = Vec::new();
        if tls {
            let mut tls = ServerConnection::new(config).unwrap();
            while tls.is_handshaking() || tls.wants_write() {
                tls.complete_io(&mut socket).unwrap();
            }
            told.recv().unwrap();
            StreamOwned::new(tls, socket).read_to_end(&mut bytes).unwrap();
        } else {
            socket.read_to_end(&mut bytes).unwrap();
        }
        bytes
    });
    let shared = Shared {
        peer: super::Peer {
            address: address.ip().to_string(),
            port: address.port(),
            tls: tls.then(|| Certificates::read(&files).unwrap()),
        },
        throttle: Arc::new(Mutex::new(Throttle::new(crate::send::Rates::default(), Instant::now()))),
        window_bytes,
        telemetry: Arc::new(telemetry::Output::new("devo_1", address.to_string())),
        abort: Stop::new(),
    };
    let connection = Connection::open(&shared.peer).unwrap();
    let session = Session::new(connection, shared.telemetry.add_sender("send-devo_1-0"));
    (session, shared, Peer { read, thread })
}

/// An open desk over TLS, and what its sender is woken by.
fn desk(window_bytes: usize) -> (Desk, Receiver<()>, Shared, Peer) {
    let (session, shared, peer) = session(true, window_bytes);
    let (wake, woken) = crossbeam_channel::bounded(1);
    let desk = Desk::new(shared.clone(), wake);
    desk.open(session);
    (desk, woken, shared, peer)
}

/// The sender's part, until the socket has all.
fn finish(desk: &Desk, shared: &Shared) {
    while desk.with(|session| session.needs_its_sender()).unwrap() {
        desk.with(|session| session.attend(shared)).unwrap().unwrap();
    }
}

fn batch(ack: &Ack, number: usize) -> Batch {
    Batch { bytes: Arc::new(content(number).into()), events: 1, share: ack.share(), lane: None }
}

fn content(number: usize) -> Vec<u8> {
    (0..BATCH).map(|i| (i * 31 + number * 7) as u8).collect()
}

#[test]
fn a_batch_comes_back_where_nobody_can_write_it() {
    let ack = Ack::open(|_| ());
    let (session, shared, peer) = session(false, usize::MAX);
    let (wake, _woken) = crossbeam_channel::bounded(1);
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
    let (connection, window) = desk.close().unwrap().into_parts();
    assert_eq!(window.bytes(), 2 * BATCH);
    connection.close(&shared.abort).unwrap();
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
    // The sender may have had a batch in hand already.
    desk.with(|session| session.write(vec![batch(&ack, written)], &shared));
    peer.read.send(()).unwrap();
    desk.with(|session| session.attend(&shared)).unwrap().unwrap();
    assert!(!desk.with(|session| session.needs_its_sender()).unwrap());
    let (connection, mut window) = desk.close().unwrap().into_parts();
    let kept = std::iter::from_fn(|| window.pop()).map(|batch| batch.bytes.to_vec()).collect::<Vec<_>>();
    let all: Vec<Vec<u8>> = (0..=written).map(content).collect();
    assert!(kept == all, "{} batches are kept of {}", kept.len(), all.len());
    connection.close(&shared.abort).unwrap();
    assert!(peer.thread.join().unwrap() == all.concat());
}

#[test]
fn a_broken_connection_gives_every_batch_back() {
    let ack = Ack::open(|_| ());
    let (desk, _woken, shared, peer) = desk(usize::MAX);
    // Its thread ends by a panic, and the socket is closed with bytes unread.
    drop(peer.read);
    assert!(peer.thread.join().is_err());
    let mut written = 0;
    while desk.write(batch(&ack, written)).is_ok() {
        written += 1;
    }
    assert!(desk.with(|session| session.attend(&shared)).unwrap().is_err());
    let (_, mut window) = desk.close().unwrap().into_parts();
    assert_eq!(std::iter::from_fn(|| window.pop()).count(), written);
}
