//! A network line in front of a stand-in: bytes arrive later, only so many are on their way, and only so many pass in a
//! second. It stands in for a distance that the kernel here cannot emulate.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{CONNECTIONS_MAX, local};
use crate::base::budget::{Budget, Permit};
use crate::base::limits::{KIB, MIB};
use crate::base::locks::lock;
use crate::base::stop::Stop;
use crate::http::Server;

/// Bytes of one connection that a sender may have on their way until they are acknowledged: the usual maximum of Linux's
/// `net.ipv4.tcp_wmem`.
const FLIGHT_BYTES_MAX: usize = 4 * MIB;
/// One read of a socket.
const READ_BYTES: usize = 64 * KIB;

/// The properties of a line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Distance {
    /// Time from a byte's departure until an answer to it arrives.
    pub round_trip: Duration,
    /// Bytes that all connections together may take towards the stand-in in a second. None: no limit.
    pub bytes_per_second: Option<u64>,
}

/// The running line. Dropping it closes all connections and joins all threads.
pub struct Line(Server);

/// One connection, in both directions.
struct Carriage {
    client: TcpStream,
    server: TcpStream,
    /// From then on bytes depart: a connection takes a round trip to open.
    open_at: Instant,
    one_way: Duration,
}

/// Bytes on their way.
struct Piece {
    arrives: Instant,
    bytes: Vec<u8>,
    /// Their part of the bytes in flight.
    _room: Permit,
}

/// The time at which the next byte may pass.
type Pace = Mutex<Instant>;

impl Line {
    /// Listens on a free port of 127.0.0.1, and connects each client to `target`.
    ///
    /// # Errors
    /// If no port or thread is available.
    pub fn start(target: SocketAddr, distance: Distance) -> io::Result<Line> {
        let pace = Arc::new(Mutex::new(Instant::now()));
        let server = Server::start("testbed-line", local(0), CONNECTIONS_MAX, move |client, activity| {
            activity.works();
            // A stand-in that cannot be reached is one that has ended.
            if let Ok(server) = TcpStream::connect(target) {
                Carriage::new(client, server, distance).run(distance.bytes_per_second, &pace);
            }
        })?;
        Ok(Line(server))
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }
}

impl Carriage {
    fn new(client: TcpStream, server: TcpStream, distance: Distance) -> Carriage {
        for socket in [&client, &server] {
            // Without it, small pieces would wait longer than the line makes them.
            let _ = socket.set_nodelay(true);
        }
        let Distance { round_trip, .. } = distance;
        Carriage { client, server, open_at: Instant::now() + round_trip, one_way: round_trip / 2 }
    }

    /// Runs until both directions have ended.
    fn run(&self, bytes_per_second: Option<u64>, pace: &Pace) {
        let limited = |bytes| bytes_per_second.map(|rate| pass(pace, bytes, rate));
        thread::scope(|scope| {
            scope.spawn(|| self.carry(&self.server, &self.client, |_| None));
            self.carry(&self.client, &self.server, limited);
        });
    }

    /// Carries one direction to its end. `pass` says when bytes may pass at the earliest.
    fn carry(&self, from: &TcpStream, to: &TcpStream, pass: impl Fn(usize) -> Option<Instant>) {
        let never = Stop::default();
        // An acknowledgement comes back after a whole round trip, and a byte leaves this line after half of it.
        let flight = Budget::new(FLIGHT_BYTES_MAX / 2);
        let (depart, arrive) = channel();
        thread::scope(|scope| {
            scope.spawn(move || self.deliver(&arrive, to));
            let mut buffer = vec![0; READ_BYTES];
            let mut from = from;
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                let departs = Instant::now().max(self.open_at);
                let arrives = (departs + self.one_way).max(pass(read).unwrap_or(departs));
                let Some(room) = flight.acquire(read, &never) else { break };
                let bytes = buffer[..read].to_vec();
                if depart.send(Piece { arrives, bytes, _room: room }).is_err() {
                    break;
                }
            }
            drop(depart);
        });
    }

    fn deliver(&self, arrive: &Receiver<Piece>, mut to: &TcpStream) {
        for piece in arrive {
            thread::sleep(piece.arrives.saturating_duration_since(Instant::now()));
            if to.write_all(&piece.bytes).is_err() {
                // Nobody reads any more: the other end must notice.
                for socket in [&self.client, &self.server] {
                    let _ = socket.shutdown(Shutdown::Both);
                }
                return;
            }
        }
        // The other end's end.
        let _ = to.shutdown(Shutdown::Write);
    }
}

/// The time at which these bytes have passed, after all that came before.
fn pass(pace: &Pace, bytes: usize, bytes_per_second: u64) -> Instant {
    let mut next = lock(pace);
    let takes = Duration::from_secs_f64(bytes as f64 / bytes_per_second.max(1) as f64);
    *next = (*next).max(Instant::now()) + takes;
    *next
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that answers a connection's bytes with the same bytes, once it has read them all.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind(local(0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut all = Vec::new();
                    client.read_to_end(&mut all).unwrap();
                    client.write_all(&all)
                });
            }
        });
        address
    }

    fn exchange(line: &Line, bytes: &[u8]) -> (Vec<u8>, Duration) {
        let start = Instant::now();
        let mut client = TcpStream::connect(line.address()).unwrap();
        client.write_all(bytes).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        (answer, start.elapsed())
    }

    #[test]
    fn all_bytes_arrive_in_order_and_not_before_their_time() {
        let round_trip = Duration::from_millis(60);
        let line = Line::start(echo(), Distance { round_trip, bytes_per_second: None }).unwrap();
        let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let (answer, took) = exchange(&line, &bytes);
        assert!(answer == bytes);
        assert!(took >= 2 * round_trip, "opening and an answer took {took:?}");
    }

    #[test]
    fn connections_share_the_line_s_rate() {
        let distance = Distance { round_trip: Duration::ZERO, bytes_per_second: Some(1_000_000) };
        let line = Line::start(echo(), distance).unwrap();
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| exchange(&line, &[7; 100_000]));
            }
        });
        assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
    }

    #[test]
    fn an_end_ends_the_other_side_too() {
        let listener = TcpListener::bind(local(0)).unwrap();
        let line = Line::start(listener.local_addr().unwrap(), Distance::default()).unwrap();
        let mut client = TcpStream::connect(line.address()).unwrap();
        drop(listener.accept().unwrap());
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    }
}
