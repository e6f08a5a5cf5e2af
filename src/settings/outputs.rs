//! Outputs: the destinations of events, and the proof of their arrival.

use std::fmt;
use std::path::PathBuf;

use crate::base::limits::SEND_ENDINGS_MAX;

/// One entry of `outputs`.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its key in the file: `devo_1`.
    pub name: String,
    pub destination: Destination,
    /// Sender threads, each with its own connection.
    pub senders: usize,
    /// `max_senders`: threads that send only while those are the bottleneck; not for the console.
    pub spares: usize,
    /// `compression: gzip`, `compression_level`: libdeflate's, 1 to 12. None: uncompressed.
    pub gzip_level: Option<u8>,
    /// `confirmation`; not for the console.
    pub confirmation: Confirmation,
    /// `max_events_per_second`, `max_bytes_per_second`; not for the console.
    pub rates: Rates,
}

impl Output {
    /// Maximum number of simultaneous connections.
    pub fn connections(&self) -> usize {
        let senders = self.senders_of(self.senders) + self.spares;
        senders + self.endings_of(senders)
    }

    /// Simultaneous senders, each with its connection, of `senders` configured ones. Uncompressible batches have their own.
    pub fn senders_of(&self, senders: usize) -> usize {
        senders + usize::from(self.gzip_level.is_some())
    }

    /// Maximum number of earlier connections of this many senders, which the peer still reads: see [`Confirmation::Close`].
    pub fn endings_of(&self, senders: usize) -> usize {
        match self.confirmation {
            Confirmation::Acknowledgement => 0,
            Confirmation::Close => senders * SEND_ENDINGS_MAX,
        }
    }
}

/// The destination of an output.
#[derive(Debug, Clone)]
pub enum Destination {
    Tls { address: String, port: u16, files: TlsFiles },
    Tcp { address: String, port: u16 },
    Console,
}

/// `host:port`, or `console`.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Tls { address, port, .. } | Destination::Tcp { address, port } => {
                write!(f, "{address}:{port}")
            }
            Destination::Console => f.write_str("console"),
        }
    }
}

/// PEM files of a mutual-TLS connection; they exist and parse, and key and certificate match.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The only trusted certificate authority; None for the machine's own (a relay without a chain).
    pub chain: Option<PathBuf>,
    /// Client certificate and its key; None for a relay that does not require one.
    pub identity: Option<Identity>,
}

#[derive(Debug, Clone)]
pub struct Identity {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// The proof that an output's peer has a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Confirmation {
    /// The peer's TCP has acknowledged it, and the connection has outlived that by the settling time.
    Acknowledgement,
    /// The peer's program has read the connection to its end, and has ended it in good order after we did.
    #[default]
    Close,
}

/// The limits of one output, for all its connections together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    pub events_per_second: Option<u64>,
    pub bytes_per_second: Option<u64>,
}
