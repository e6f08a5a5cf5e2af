//! The floor: the bare operations that every collector needs, on the same bytes, on one thread: inflate, newline scan,
//! one copy, TLS write to the same sink.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use libdeflater::{DecompressionError, Decompressor};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::outside::Outside;
use crate::base::limits::{BATCH_BYTES, SCRATCH_BYTES_MAX};
use crate::settings::{Identity, TlsFiles};
use crate::stages::send::tls::client_config;
use crate::telemetry::model::process::thread_cpu;

/// Log bytes to measure at least, however few objects there are, so that the clock can resolve them …
const LOG_BYTES_MIN: u64 = 1_000_000_000;
/// … or objects to measure at least, however small they are.
const CPU_MAX: Duration = Duration::from_secs(4);

/// The cost of the bare operations.
#[derive(Debug, Clone, Copy, Default)]
pub struct Floor {
    pub log_bytes: u64,
    /// Inflating, scanning and copying.
    pub decode_cpu: Duration,
    /// Encrypting and writing.
    pub write_cpu: Duration,
}

impl Floor {
    pub fn cpu_seconds_per_gb(&self) -> f64 {
        self.of(self.decode_cpu + self.write_cpu)
    }

    pub fn decode_cpu_seconds_per_gb(&self) -> f64 {
        self.of(self.decode_cpu)
    }

    pub fn write_cpu_seconds_per_gb(&self) -> f64 {
        self.of(self.write_cpu)
    }

    /// Encrypting and writing as many bytes as the frames have, including their headers.
    pub fn cpu_seconds_per_gb_framed(&self, framed_bytes: u64, log_bytes: u64) -> f64 {
        self.of(self.decode_cpu) + self.of(self.write_cpu) * framed_bytes as f64 / log_bytes.max(1) as f64
    }

    fn of(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() / (self.log_bytes.max(1) as f64 / 1e9)
    }
}

/// Measures the floor. `directory` has the certificates.
pub fn measure(outside: &Outside, directory: &Path) -> anyhow::Result<Floor> {
    let objects = outside.s3.objects.iter().map(|object| {
        let path = object.path.as_ref().context("an object was not saved")?;
        std::fs::read(path).with_context(|| path.display().to_string())
    });
    let objects: Vec<Vec<u8>> = objects.collect::<anyhow::Result<_>>()?;
    let mut bare = Bare {
        inflater: Decompressor::new(),
        text: Vec::new(),
        batch: Vec::new(),
        peer: Peer::connect(outside, directory)?,
        floor: Floor::default(),
        lines: 0,
    };
    // One warm-up run: buffers are allocated, pages are mapped.
    objects.iter().take(1).try_for_each(|object| bare.process(object))?;
    bare.floor = Floor::default();
    for object in objects.iter().cycle() {
        bare.process(object)?;
        let Floor { log_bytes, decode_cpu, write_cpu } = bare.floor;
        if log_bytes >= LOG_BYTES_MIN || decode_cpu + write_cpu >= CPU_MAX {
            break;
        }
    }
    anyhow::ensure!(bare.lines > 0 || bare.floor.log_bytes > 0, "the objects are empty");
    Ok(bare.floor)
}

struct Bare {
    inflater: Decompressor,
    text: Vec<u8>,
    batch: Vec<u8>,
    peer: Peer,
    floor: Floor,
    lines: u64,
}

impl Bare {
    fn process(&mut self, object: &[u8]) -> anyhow::Result<()> {
        let started = thread_cpu();
        let mut writing = Duration::ZERO;
        let text = if object.starts_with(b"\x1f\x8b") {
            let length = inflate(&mut self.inflater, object, &mut self.text)?;
            &self.text[..length]
        } else {
            object
        };
        for piece in text.chunks(BATCH_BYTES) {
            self.lines += memchr::memchr_iter(b'\n', piece).count() as u64;
            self.batch.clear();
            // One octet-counted frame per batch, because the sink reads frames.
            const HEADER: &str = "<14>Jan  1 00:00:00 bench bench.floor: ";
            write!(self.batch, "{} {HEADER}", HEADER.len() + piece.len() + 1)?;
            self.batch.extend_from_slice(piece);
            self.batch.push(b'\n');
            let before = thread_cpu();
            self.peer.write(&self.batch)?;
            writing += thread_cpu() - before;
        }
        self.floor.log_bytes += text.len() as u64;
        self.floor.write_cpu += writing;
        self.floor.decode_cpu += thread_cpu() - started - writing;
        Ok(())
    }
}

/// Inflates into a buffer that grows until the object fits.
fn inflate(inflater: &mut Decompressor, object: &[u8], text: &mut Vec<u8>) -> anyhow::Result<usize> {
    let announced = object.last_chunk::<4>().map_or(0, |isize| u32::from_le_bytes(*isize) as usize);
    if text.len() < announced {
        text.resize(announced.min(SCRATCH_BYTES_MAX), 0);
    }
    loop {
        match inflater.gzip_decompress(object, text) {
            Ok(length) => return Ok(length),
            Err(DecompressionError::InsufficientSpace) if text.len() < SCRATCH_BYTES_MAX => {
                text.resize((text.len() * 2).clamp(BATCH_BYTES, SCRATCH_BYTES_MAX), 0);
            }
            Err(error) => anyhow::bail!("the floor is measured on whole gzip objects only: {error}"),
        }
    }
}

/// A blocking TLS connection.
struct Peer {
    tls: ClientConnection,
    socket: TcpStream,
}

impl Peer {
    fn connect(outside: &Outside, directory: &Path) -> anyhow::Result<Peer> {
        let identity = Identity { cert: directory.join("domain.crt"), key: directory.join("domain.key") };
        let files = TlsFiles { chain: Some(directory.join("chain.crt")), identity: Some(identity) };
        let config: Arc<ClientConfig> = client_config(&files)?;
        let peer = &outside.peer;
        let mut tls = ClientConnection::new(config, ServerName::try_from(peer.address.clone())?)?;
        tls.set_buffer_limit(None);
        let mut socket = TcpStream::connect((peer.address.as_str(), peer.port))?;
        socket.set_nodelay(true)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Peer { tls, socket })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tls.writer().write_all(bytes)?;
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}
