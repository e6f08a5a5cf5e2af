//! The embedded receiver: TLS with a required client certificate, frames read strictly and counted. A stream that
//! begins with a gzip member consists of members only, and its frames are read out of them.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use flate2::write::MultiGzDecoder;
use rustls::{ServerConfig, ServerConnection};

use super::frames::{Frame, FrameError, FrameReader};
use super::pki::{Pki, PkiError};
use super::tally::{Counts, Tally};
use super::{CONNECTIONS_MAX, local};
use crate::base::limits::KIB;
use crate::base::locks::lock;
use crate::http::Server;

/// One read of a socket: many TLS records at once, so that system calls are not the bottleneck.
const READ_BYTES: usize = 256 * KIB;
/// Failures kept for the report; a sender that keeps failing must not fill the memory.
const FAILURES_MAX: usize = 100;
/// The start of a gzip member (RFC 1952).
const GZIP: &[u8] = b"\x1f\x8b";

/// The reason why the sink could not start.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("cannot listen on 127.0.0.1: {0}")]
    Listen(#[from] io::Error),
}

/// The amount kept of each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// A digest, so that missing and repeated records are found.
    Digests,
    /// Nothing: records are only counted. For benchmarks.
    Counts,
}

/// The running sink. Dropping it closes all connections and joins all threads.
pub struct Sink {
    state: Arc<State>,
    server: Server,
}

struct State {
    config: Arc<ServerConfig>,
    keep: Keep,
    /// One per connection so far, so that connections do not wait for each other.
    tallies: Mutex<Vec<Arc<Mutex<Tally>>>>,
    failures: Mutex<Vec<String>>,
    events: AtomicU64,
    bytes: AtomicU64,
}

impl Sink {
    /// Listens on a free port and keeps digests.
    pub fn start(pki: &Pki) -> Result<Sink, SinkError> {
        Sink::start_on(pki, 0, Keep::Digests)
    }

    /// Listens on a port, 0 for a free one: a sink can be restarted at the address of another one.
    pub fn start_on(pki: &Pki, port: u16, keep: Keep) -> Result<Sink, SinkError> {
        let state = Arc::new(State {
            config: pki.server_config()?,
            keep,
            tallies: Mutex::default(),
            failures: Mutex::default(),
            events: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let for_server = Arc::clone(&state);
        let server = Server::start("testbed-sink", local(port), CONNECTIONS_MAX, move |stream, activity| {
            activity.works();
            for_server.serve(stream);
        })?;
        Ok(Sink { state, server })
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Everything received so far, over all connections.
    pub fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for tally in lock(&self.state.tallies).iter() {
            sum.merge(&lock(tally));
        }
        sum
    }

    /// The totals of [`Sink::tally`], cheaply.
    pub fn progress(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts { events: read(&self.state.events), bytes: read(&self.state.bytes) }
    }

    /// Number of connections so far, including refused ones.
    pub fn connections(&self) -> usize {
        lock(&self.state.tallies).len()
    }

    /// Failed handshakes, bytes that are not frames, connections that ended within a frame: the first hundred of them.
    pub fn failures(&self) -> Vec<String> {
        lock(&self.state.failures).clone()
    }

    /// Closes every open connection, like a failing balancer.
    pub fn cut_connections(&self) {
        self.server.cut_connections();
    }
}

#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl State {
    fn serve(&self, mut stream: TcpStream) {
        let tally = Arc::new(Mutex::new(Tally::default()));
        lock(&self.tallies).push(Arc::clone(&tally));
        if let Err(error) = self.receive(&mut stream, &tally) {
            let mut failures = lock(&self.failures);
            if failures.len() < FAILURES_MAX {
                failures.push(error.to_string());
            }
        }
    }

    fn receive(&self, stream: &mut TcpStream, tally: &Mutex<Tally>) -> Result<(), ConnectionError> {
        let mut tls = ServerConnection::new(Arc::clone(&self.config))?;
        let mut frames = Stream::default();
        let mut wire = vec![0; READ_BYTES];
        loop {
            flush(&mut tls, stream)?;
            let read = stream.read(&mut wire)?;
            if read == 0 || self.take(&mut tls, stream, &wire[..read], &mut frames, tally)? {
                tls.send_close_notify();
                // The peer may be gone already: everything that counts has been read.
                let _ = flush(&mut tls, stream).and_then(|()| stream.shutdown(Shutdown::Write));
                return frames.finish();
            }
        }
    }

    /// Takes bytes from the wire; returns true if the peer has announced the end.
    fn take(
        &self,
        tls: &mut ServerConnection,
        stream: &mut TcpStream,
        mut wire: &[u8],
        frames: &mut Stream,
        tally: &Mutex<Tally>,
    ) -> Result<bool, ConnectionError> {
        while !wire.is_empty() {
            tls.read_tls(&mut wire)?;
            if let Err(error) = tls.process_new_packets() {
                // The alert says why; if it cannot be sent, the error is reported anyway.
                let _ = flush(tls, stream);
                return Err(error.into());
            }
            if self.take_plaintext(tls, frames, &mut lock(tally))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn take_plaintext(
        &self,
        tls: &mut ServerConnection,
        frames: &mut Stream,
        tally: &mut Tally,
    ) -> Result<bool, ConnectionError> {
        let mut reader = tls.reader();
        loop {
            let bytes = match reader.fill_buf() {
                Ok([]) => return Ok(true),
                Ok(chunk) => {
                    frames.push(chunk, |frame| self.count(&frame, tally))?;
                    chunk.len()
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            reader.consume(bytes);
        }
    }

    fn count(&self, frame: &Frame<'_>, tally: &mut Tally) {
        match self.keep {
            Keep::Digests => tally.record(frame.tag, frame.body),
            Keep::Counts => tally.count(frame.tag, frame.body.len()),
        }
        self.events.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(frame.body.len() as u64, Ordering::Relaxed);
    }
}

/// The content of a connection: frames, or gzip members of them.
#[derive(Default)]
struct Stream {
    frames: FrameReader,
    /// None before the stream has begun.
    inflate: Option<Inflate>,
}

/// None if nothing is compressed.
type Inflate = Option<MultiGzDecoder<Vec<u8>>>;

impl Stream {
    fn push(&mut self, bytes: &[u8], each: impl FnMut(Frame<'_>)) -> Result<(), ConnectionError> {
        // No frame begins like this.
        let begin = || bytes.starts_with(GZIP).then(|| MultiGzDecoder::new(Vec::new()));
        let Some(inflate) = self.inflate.get_or_insert_with(begin) else {
            return Ok(self.frames.push(bytes, each)?);
        };
        inflate.write_all(bytes)?;
        // It buffers some of its output.
        inflate.flush()?;
        self.frames.push(inflate.get_ref(), each)?;
        inflate.get_mut().clear();
        Ok(())
    }

    /// True if everything was complete.
    fn finish(mut self) -> Result<(), ConnectionError> {
        if let Some(Some(inflate)) = &mut self.inflate {
            inflate.try_finish()?;
        }
        Ok(self.frames.finish()?)
    }
}

fn flush(tls: &mut ServerConnection, stream: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(stream)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

    type Client = StreamOwned<ClientConnection, TcpStream>;

    fn client(sink: &Sink, trusted: &Pki, identity: Option<&Pki>) -> Client {
        let directory = tempfile::tempdir().unwrap();
        let mut roots = RootCertStore::empty();
        let files = trusted.write_client_files(directory.path()).unwrap();
        roots.add(CertificateDer::from_pem_file(&files.chain).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(pki) => {
                let directory = tempfile::tempdir().unwrap();
                let files = pki.write_client_files(directory.path()).unwrap();
                let cert = CertificateDer::from_pem_file(&files.cert).unwrap();
                config
                    .with_client_auth_cert(vec![cert], PrivateKeyDer::from_pem_file(&files.key).unwrap())
                    .unwrap()
            }
        };
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(connection, TcpStream::connect(sink.address()).unwrap())
    }

    /// Closes its side and waits for the sink's close, so that everything is counted afterwards.
    fn close(mut client: Client) -> io::Result<usize> {
        client.conn.send_close_notify();
        client.flush()?;
        client.sock.shutdown(Shutdown::Write)?;
        client.read(&mut [0; 16])
    }

    #[test]
    fn frames_are_counted_per_tag_over_several_connections() {
        let pki = Pki::generate().unwrap();
        let sink = Sink::start(&pki).unwrap();
        let mut expected = Tally::default();
        for i in 0..3 {
            let mut client = client(&sink, &pki, Some(&pki));
            let body = format!("record {i}");
            expected.record("a.b", body.as_bytes());
            expected.record("c", b"two\nlines");
            write!(client, "<14>Jan  1 00:00:00 h a.b: {body}\n35 <14>Jan  1 00:00:00 h c: two\nlines\n")
                .unwrap();
            assert_eq!(close(client).unwrap(), 0, "answered with close_notify");
        }
        assert_eq!(sink.tally(), expected);
        assert_eq!(sink.progress(), expected.total());
        assert_eq!((sink.connections(), sink.failures()), (3, vec![]));
    }

    #[test]
    fn large_records_pass_through() {
        let pki = Pki::generate().unwrap();
        let sink = Sink::start_on(&pki, 0, Keep::Counts).unwrap();
        let mut client = client(&sink, &pki, Some(&pki));
        client.write_all(b"<14>Jan  1 00:00:00 h big: ").unwrap();
        client.write_all(&vec![b'x'; 3_000_000]).unwrap();
        client.write_all(b"\n").unwrap();
        assert_eq!(close(client).unwrap(), 0);
        assert_eq!(sink.tally().per_tag["big"], Counts { events: 1, bytes: 3_000_000 });
    }

    #[test]
    fn gzip_members_hold_frames() {
        let pki = Pki::generate().unwrap();
        let sink = Sink::start(&pki).unwrap();
        let member = |text: &str| {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let mut client = client(&sink, &pki, Some(&pki));
        let mut expected = Tally::default();
        for number in 0..200 {
            let body = format!("record {number}");
            expected.record("t", body.as_bytes());
            client.write_all(&member(&format!("<14>Jan  1 00:00:00 h t: {body}\n"))).unwrap();
        }
        assert_eq!(close(client).unwrap(), 0);
        assert_eq!((sink.tally(), sink.failures()), (expected, vec![]));
    }

    #[test]
    fn a_member_cut_short_is_told() {
        let pki = Pki::generate().unwrap();
        let sink = Sink::start(&pki).unwrap();
        let mut client = client(&sink, &pki, Some(&pki));
        client.write_all(b"\x1f\x8b\x08\0\0\0\0\0").unwrap();
        close(client).unwrap();
        drop_and_wait(sink, |failures| assert!(failures[0].starts_with("connection: "), "{failures:?}"));
    }

    #[test]
    fn strangers_are_refused() {
        let (pki, other) = (Pki::generate().unwrap(), Pki::generate().unwrap());
        let sink = Sink::start(&pki).unwrap();
        for identity in [None, Some(&other)] {
            let mut client = client(&sink, &pki, identity);
            // With TLS 1.3 the refusal comes after the client's part of the handshake: read it.
            let _ = client.write_all(b"<14>Jan  1 00:00:00 h t: x\n");
            assert!(client.read(&mut [0; 16]).is_err());
        }
        assert!(
            client(&sink, &other, Some(&pki)).write_all(b"x").is_err(),
            "the server is not the other CA's"
        );
        assert_eq!(sink.progress(), Counts::default());
    }

    #[test]
    fn a_frame_cut_short_is_told() {
        let pki = Pki::generate().unwrap();
        let sink = Sink::start(&pki).unwrap();
        let mut client = client(&sink, &pki, Some(&pki));
        client.write_all(b"<14>Jan  1 00:00:00 h t: half").unwrap();
        close(client).unwrap();
        // The failure is recorded after the close_notify that `close` has waited for.
        drop_and_wait(sink, |failures| assert!(failures[0].contains("within a frame")));
    }

    fn drop_and_wait(sink: Sink, look: impl FnOnce(Vec<String>)) {
        let state = Arc::clone(&sink.state);
        drop(sink);
        look(lock(&state.failures).clone());
    }
}
