//! Between the program and the sink: a line that lets through a limited number of bytes per second.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PIECE: usize = 16 * 1024;

/// Listens until the test process ends.
pub struct SlowLine {
    pub port: u16,
}

impl SlowLine {
    /// All connections together get `first` bytes through at once, then `bytes_per_second`; with 0 of them, nothing
    /// more is ever read.
    pub fn start(sink: SocketAddr, first: u64, bytes_per_second: u64) -> SlowLine {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let pace =
            Arc::new(Pace { began: Instant::now(), first, bytes_per_second, passed: AtomicU64::new(0) });
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(sink) else { continue };
                let pace = Arc::clone(&pace);
                let (back, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || copy(back, to, |_| ()));
                std::thread::spawn(move || copy(client, server, |bytes| pace.wait(bytes)));
            }
        });
        SlowLine { port }
    }
}

struct Pace {
    began: Instant,
    first: u64,
    bytes_per_second: u64,
    passed: AtomicU64,
}

impl Pace {
    fn wait(&self, bytes: usize) {
        let passed = self.passed.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        while passed > self.first + self.began.elapsed().as_millis() as u64 * self.bytes_per_second / 1000 {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, mut wait: impl FnMut(usize)) {
    let mut piece = vec![0; PIECE];
    while let Ok(n @ 1..) = from.read(&mut piece) {
        wait(n);
        if to.write_all(&piece[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
