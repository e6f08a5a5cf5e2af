//! Between the program and the sink: a line that is reset at a given byte.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use socket2::SockRef;

/// Forwards connections until the test process ends.
pub struct FaultLine {
    pub port: u16,
    resets: Arc<AtomicU32>,
}

impl FaultLine {
    /// The first connection is reset when it has carried `limits[0]` bytes to `sink`, and so on; those beyond the list
    /// are not touched.
    pub fn start(sink: u16, limits: &[u64]) -> FaultLine {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let resets = Arc::new(AtomicU32::new(0));
        let (mut limits, counter) = (Vec::from(limits).into_iter(), Arc::clone(&resets));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (limit, counter) = (limits.next().unwrap_or(u64::MAX), Arc::clone(&counter));
                std::thread::spawn(move || {
                    if forward(&client, sink, limit) {
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        FaultLine { port, resets }
    }

    pub fn resets(&self) -> u32 {
        self.resets.load(Ordering::Relaxed)
    }
}

fn forward(client: &TcpStream, sink: u16, limit: u64) -> bool {
    TcpStream::connect(("127.0.0.1", sink)).is_ok_and(|sink| join(client, &sink, limit))
}

/// Copies both ways until either side ends, or the limit is reached: then true, and the client will see a
/// reset when it is dropped.
pub fn join(client: &TcpStream, server: &TcpStream, limit: u64) -> bool {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            copy(server, client, u64::MAX);
            let _ = client.shutdown(Shutdown::Write);
        });
        let is_reset = copy(client, server, limit);
        if is_reset {
            SockRef::from(client).set_linger(Some(Duration::ZERO)).unwrap();
        }
        // What the server has read stays read; the rest of the record never comes.
        let _ = server.shutdown(if is_reset { Shutdown::Both } else { Shutdown::Write });
        is_reset
    })
}

/// True when `limit` bytes have been copied.
fn copy(mut from: &TcpStream, mut to: &TcpStream, limit: u64) -> bool {
    let (mut buffer, mut left) = (vec![0; 1 << 16], limit);
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match from.read(&mut buffer[..most]) {
            Ok(n) if n > 0 && to.write_all(&buffer[..n]).is_ok() => left -= n as u64,
            _ => return false,
        }
    }
    true
}
