//! HTTPS in front of the embedded S3 and SQS, as AWS has it.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection};

use super::pki::{Pki, PkiError};
use super::{CONNECTIONS_MAX, local};
use crate::base::limits::KIB;
use crate::http::Server;

const READ_BYTES: usize = 256 * KIB;

/// The running front. Dropping it closes all connections and joins all threads.
pub struct Https(Server);

/// The reason why the front could not start.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("cannot listen on 127.0.0.1: {0}")]
    Listen(#[from] io::Error),
}

impl Https {
    /// Listens on a free port of 127.0.0.1 with the server's certificate of `pki`, and passes on to `plain`, which
    /// speaks HTTP.
    ///
    /// # Errors
    /// If the certificate cannot be used, or no port or thread is available.
    pub fn start(pki: &Pki, plain: SocketAddr) -> Result<Https, HttpsError> {
        let verifier = WebPkiClientVerifier::no_client_auth();
        let config = Arc::new(pki.server_config_of(rustls::DEFAULT_VERSIONS, verifier)?);
        let server = Server::start("testbed-https", local(0), CONNECTIONS_MAX, move |client, activity| {
            activity.works();
            // Errors are the client's: it disconnected, or does not trust the certificate.
            let _ = converse(client, plain, Arc::clone(&config));
        })?;
        Ok(Https(server))
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }
}

/// One connection. Requests and answers alternate, so blocking writes cannot wait for each other.
fn converse(mut client: TcpStream, plain: SocketAddr, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut plain = TcpStream::connect(plain)?;
    let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
    tls.set_buffer_limit(None);
    for socket in [&client, &plain] {
        socket.set_nodelay(true)?;
    }
    let mut buffer = vec![0; READ_BYTES];
    loop {
        while tls.wants_write() {
            tls.write_tls(&mut client)?;
        }
        let mut sockets = [PollFd::new(&client, PollFlags::IN), PollFd::new(&plain, PollFlags::IN)];
        poll(&mut sockets, None)?;
        let [from_client, from_plain] = sockets.map(|socket| !socket.revents().is_empty());
        if from_client
            && (tls.read_tls(&mut client)? == 0 || !pass_request(&mut tls, &mut plain, &mut buffer)?)
        {
            return Ok(());
        }
        if from_plain {
            match plain.read(&mut buffer)? {
                0 => tls.send_close_notify(),
                read => tls.writer().write_all(&buffer[..read])?,
            }
        }
    }
}

/// Passes on what has been decrypted. Returns false if the client has announced the end.
fn pass_request(tls: &mut ServerConnection, plain: &mut TcpStream, buffer: &mut [u8]) -> io::Result<bool> {
    tls.process_new_packets().map_err(io::Error::other)?;
    loop {
        match tls.reader().read(buffer) {
            Ok(0) => return Ok(false),
            Ok(read) => plain.write_all(&buffer[..read])?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}
