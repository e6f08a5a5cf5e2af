//! A configurable misbehaving peer, for tests.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::write::MultiGzDecoder;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, ServerConnection,
    SignatureScheme,
};
use socket2::SockRef;

use crate::base::stop::Stop;

/// The reasons for which the peer ends connections that the sender would have kept.
#[derive(Debug, Clone, Default)]
pub struct Habits {
    /// A frame contains these bytes; it is not taken.
    pub dislikes: Option<&'static str>,
    /// Anything has come.
    pub takes_nothing: bool,
    /// They have lived for this long.
    pub lifetime: Option<Duration>,
    /// This many bytes of frames have arrived.
    pub bytes: Option<usize>,
    /// They have been opened: each ends at once.
    pub refuses: bool,
    /// A client connects: the peer sends an occasional byte of a handshake, never all of it.
    pub drips: bool,
    /// Frames have arrived: its program reads nothing of them, and dies after this time.
    pub dies: Option<Duration>,
    /// With `dislikes`: its program reads this long after something has come, all that is there by then, and ends in good order.
    pub latency: Option<Duration>,
    /// Without a close_notify.
    pub wordless: bool,
    /// Never: it also leaves open what the client has ended.
    pub keeps: bool,
}

/// Listens until dropped.
pub struct Peer {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    tls: Option<Arc<ServerConfig>>,
    habits: Mutex<Habits>,
    /// Every whole frame, in order of arrival.
    frames: Mutex<Vec<String>>,
    connections: AtomicUsize,
    stop: Stop,
}

impl Peer {
    pub fn start(tls: Option<ServerConfig>, habits: Habits) -> Peer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            tls: tls.map(Arc::new),
            habits: Mutex::new(habits),
            frames: Mutex::default(),
            connections: AtomicUsize::new(0),
            stop: Stop::new(),
        });
        let own = Arc::clone(&state);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if own.stop.is_stopped() {
                    return;
                }
                own.connections.fetch_add(1, Ordering::Relaxed);
                let own = Arc::clone(&own);
                std::thread::spawn(move || drop(own.serve(socket)));
            }
        });
        Peer { address, state }
    }

    pub fn set(&self, habits: Habits) {
        *self.state.habits.lock().unwrap() = habits;
    }

    pub fn frames(&self) -> Vec<String> {
        self.state.frames.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.state.stop.stop();
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn serve(&self, mut socket: TcpStream) -> std::io::Result<()> {
        let opened = Instant::now();
        let mut tls = self.tls.clone().map(|config| ServerConnection::new(config).unwrap());
        let (mut stream, mut taken, mut wire) = (Stream::default(), 0, vec![0; 1 << 16]);
        if self.habits.lock().unwrap().refuses {
            return Ok(());
        }
        if self.habits.lock().unwrap().drips {
            // A record of a handshake that claims 16 KiB.
            socket.write_all(&[0x16, 3, 3, 0x40, 0])?;
            while !self.stop.is_stopped() {
                socket.write_all(&[0])?;
                std::thread::sleep(Duration::from_secs(1));
            }
            return Ok(());
        }
        socket.set_read_timeout(Some(Duration::from_millis(5)))?;
        while !self.stop.is_stopped() {
            let Habits { lifetime, dies, latency, .. } = *self.habits.lock().unwrap();
            if lifetime.is_some_and(|lifetime| opened.elapsed() >= lifetime) {
                break;
            }
            let ready = tls.as_ref().is_none_or(|tls| !tls.is_handshaking());
            if let Some(time) = dies.filter(|_| ready) {
                match socket.peek(&mut [0]) {
                    Ok(0) => break,
                    Ok(_) => std::thread::sleep(time),
                    Err(e) if is_slow(&e) => continue,
                    Err(e) => return Err(e),
                }
                // Unread data makes its kernel send a reset.
                return Ok(());
            }
            if let Some(latency) = latency.filter(|_| ready)
                && socket.peek(&mut [0]).is_ok_and(|waiting| waiting > 0)
            {
                std::thread::sleep(latency);
            }
            // One byte at a time, so that it has read nothing of the frames when the handshake has ended.
            let room = if dies.is_some() { 1 } else { wire.len() };
            let read = match socket.read(&mut wire[..room]) {
                Ok(0) => break,
                Ok(read) => &wire[..read],
                Err(e) if is_slow(&e) => continue,
                Err(e) => return Err(e),
            };
            let (plain, end) = match &mut tls {
                None => (read.to_vec(), false),
                Some(tls) => decrypt(tls, &mut socket, read)?,
            };
            taken += plain.len();
            let habits = self.habits.lock().unwrap().clone();
            if (habits.takes_nothing || habits.refuses) && !plain.is_empty() {
                return Ok(());
            }
            let mut is_disliked = false;
            for frame in stream.push(&plain) {
                is_disliked |=
                    habits.latency.is_some() && habits.dislikes.is_some_and(|bytes| frame.contains(bytes));
                if is_disliked {
                    // The rest is lost, and its kernel has nothing unread.
                    continue;
                }
                if habits.dislikes.is_some_and(|bytes| frame.contains(bytes)) {
                    // A reset, as if something were unread: on a busy machine our end may be here already, and an orderly
                    // one would look like its answer.
                    return SockRef::from(&socket).set_linger(Some(Duration::ZERO));
                }
                self.frames.lock().unwrap().push(frame);
            }
            if end || is_disliked || habits.bytes.is_some_and(|bytes| taken >= bytes) {
                break;
            }
        }
        if self.habits.lock().unwrap().keeps {
            while !self.stop.wait(Duration::from_millis(100)) {}
        }
        if let Some(tls) = tls.as_mut().filter(|_| !self.habits.lock().unwrap().wordless) {
            tls.send_close_notify();
            flush(tls, &mut socket)?;
        }
        socket.shutdown(Shutdown::Write)
    }
}

/// Nothing has arrived yet.
fn is_slow(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Decrypts what the client has sent, and returns true if it will send no more.
fn decrypt(
    tls: &mut ServerConnection,
    socket: &mut TcpStream,
    mut wire: &[u8],
) -> std::io::Result<(Vec<u8>, bool)> {
    let (mut plain, mut end) = (Vec::new(), false);
    while !wire.is_empty() && !end {
        tls.read_tls(&mut wire)?;
        let processed = tls.process_new_packets();
        flush(tls, socket)?;
        end = processed.map_err(std::io::Error::other)?.peer_has_closed();
        let _ = tls.reader().read_to_end(&mut plain);
    }
    Ok((plain, end))
}

fn flush(tls: &mut ServerConnection, socket: &mut TcpStream) -> std::io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(socket)?;
    }
    Ok(())
}

/// Frames, or gzip members of frames.
#[derive(Default)]
struct Stream {
    gzip: Option<MultiGzDecoder<Vec<u8>>>,
    rest: Vec<u8>,
}

impl Stream {
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        if self.gzip.is_none() && bytes.starts_with(b"\x1f\x8b") {
            self.gzip = Some(MultiGzDecoder::new(Vec::new()));
        }
        match &mut self.gzip {
            None => self.rest.extend_from_slice(bytes),
            Some(gzip) => {
                gzip.write_all(bytes).unwrap();
                gzip.flush().unwrap();
                self.rest.append(gzip.get_mut());
            }
        }
        let mut frames = Vec::new();
        while let Some(length) = whole(&self.rest) {
            frames.push(String::from_utf8(self.rest.drain(..length).collect()).unwrap());
        }
        frames
    }
}

/// Length of the first frame, if all of it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let find = |byte: u8| bytes.iter().position(|b| *b == byte);
    if !bytes.first()?.is_ascii_digit() {
        return find(b'\n').map(|at| at + 1);
    }
    let digits = find(b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..digits]).unwrap().parse().unwrap();
    Some(digits + 1 + length).filter(|length| *length <= bytes.len())
}

/// Checks a client's certificate slowly.
#[derive(Debug)]
pub struct SlowVerifier {
    pub verifier: Arc<dyn ClientCertVerifier>,
    pub time: Duration,
    pub refuses: bool,
}

impl ClientCertVerifier for SlowVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        std::thread::sleep(self.time);
        if self.refuses {
            return Err(CertificateError::Revoked.into());
        }
        self.verifier.verify_client_cert(certificate, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
