//! The peer's side of TLS: rustls, fed with what the peer's program reads.
//!
//! Keys, nonces and tickets are random, but all lengths are the same in each run, since the keys are of Ed25519; and only
//! lengths have an effect on the order of events.

use std::collections::VecDeque;
use std::fmt;
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::{ProtocolVersion, ServerConfig, ServerConnection};

use crate::lab::testbed::pki::{ClientFiles, Pki};

/// How a peer speaks TLS.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// TLS 1.2 only, in which a client's certificate is looked at before the handshake ends.
    pub is_old: bool,
    /// Session tickets after each handshake of TLS 1.3; syslog-ng sends none.
    pub tickets: usize,
}

/// The certificates of a simulation.
pub struct Certificates {
    pki: Pki,
    /// Another authority, to which our certificate is unknown.
    stranger: Pki,
}

impl Certificates {
    /// Certificates for peers with these names.
    ///
    /// # Errors
    /// If they cannot be made.
    pub fn new(names: &[String]) -> anyhow::Result<Certificates> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let make = || Pki::of(&names, &rcgen::PKCS_ED25519).context("certificates");
        Ok(Certificates { pki: make()?, stranger: make()? })
    }

    /// Writes those of the collectors.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&self, directory: &Path) -> anyhow::Result<ClientFiles> {
        self.pki.write_client_files(directory).context("certificates")
    }

    /// The peer's side of connections.
    ///
    /// # Errors
    /// If the certificates cannot be used.
    pub fn acceptor(&self, habits: Habits) -> anyhow::Result<Acceptor> {
        let versions =
            if habits.is_old { &[&rustls::version::TLS12][..] } else { &[&rustls::version::TLS13][..] };
        let config = |verifier: &Pki| -> anyhow::Result<Arc<ServerConfig>> {
            let mut config = self.pki.server_config_of(versions, verifier.verifier()?)?;
            config.send_tls13_tickets = habits.tickets;
            Ok(Arc::new(config))
        };
        Ok(Acceptor { good: config(&self.pki)?, refusing: config(&self.stranger)? })
    }
}

/// Accepts connections.
pub struct Acceptor {
    good: Arc<ServerConfig>,
    /// Does not accept our certificate.
    refusing: Arc<ServerConfig>,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Acceptor {
    /// The peer's side of a new connection. If it `refuses`, it does so at that time, when it has looked at our certificate.
    pub fn accept(&self, refuses: Option<Duration>) -> Option<Tls> {
        let config = if refuses.is_some() { &self.refusing } else { &self.good };
        let connection = ServerConnection::new(Arc::clone(config)).ok()?;
        let tickets = config.send_tls13_tickets;
        Some(Tls {
            connection,
            outbox: VecDeque::new(),
            refuses,
            tickets,
            has_spoken: false,
            has_heard_end: false,
        })
    }
}

/// One connection.
#[derive(Debug)]
pub struct Tls {
    connection: ServerConnection,
    /// Bytes for our side.
    pub outbox: VecDeque<u8>,
    refuses: Option<Duration>,
    tickets: usize,
    has_spoken: bool,
    has_heard_end: bool,
}

/// The peer's program gives the connection up.
pub struct Refused;

impl Tls {
    /// Takes bytes that the peer's program has read. Returns the text in them.
    ///
    /// # Errors
    /// If it does not accept the client.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut text = Vec::new();
        while !bytes.is_empty() {
            match self.connection.read_tls(&mut bytes) {
                // After a close_notify there is nothing more to read.
                Ok(0) | Err(_) => break,
                Ok(_) => (),
            }
            let processed = self.connection.process_new_packets();
            self.flush();
            self.has_heard_end |= processed.map_err(|_| Refused)?.peer_has_closed();
            match self.connection.reader().read_to_end(&mut text) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(Refused),
                _ => (),
            }
        }
        Ok(text)
    }

    /// It has read that no more will come.
    pub fn has_heard_end(&self) -> bool {
        self.has_heard_end
    }

    /// Says that no more will come.
    pub fn say_goodbye(&mut self) {
        self.connection.send_close_notify();
        self.flush();
    }

    /// It looks at our certificate, and reads nothing meanwhile.
    pub fn is_thinking(&self, now: Duration) -> bool {
        self.has_spoken && self.refuses.is_some_and(|at| now < at)
    }

    /// Our side knows that it has been accepted.
    pub fn is_known_to_accept(&self) -> bool {
        let is_old = self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_2);
        !self.connection.is_handshaking() && (is_old || self.tickets > 0)
    }

    fn flush(&mut self) {
        while self.connection.wants_write() {
            // Memory cannot fail.
            let Ok(1..) = self.connection.write_tls(&mut self.outbox) else { break };
            self.has_spoken = true;
        }
    }
}
