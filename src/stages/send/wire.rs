//! The carrier of a connection's bytes: a TCP socket, or a model of one.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use socket2::{SockRef, TcpKeepalive};

use super::error::Error;
use super::outq;
use crate::base::limits::{
    KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, SEND_CONNECT_TIMEOUT, SEND_CONNECT_TIMEOUT_EACH, SEND_OWED_MAX,
};
use crate::base::locks::lock;
use crate::base::runtime::sync::Mutex;

/// The bytes of a connection in both directions. Reading and writing do not wait: they fail with
/// [`ErrorKind::WouldBlock`] instead.
pub trait Wire: Read + Write + Debug + Send {
    /// The peer's address, for people. Empty if the connection is broken.
    fn far_end(&self) -> String;

    /// Written bytes that the peer's TCP has not acknowledged yet.
    ///
    /// # Errors
    /// If the connection is broken.
    fn unacknowledged(&self) -> io::Result<u64>;

    /// Ends our side: the peer reads to the end of what was written.
    ///
    /// # Errors
    /// If the connection is broken.
    fn end(&self) -> io::Result<()>;

    /// An error that no call has reported yet, such as a reset after the peer's end.
    ///
    /// # Errors
    /// If it cannot be asked for.
    fn take_error(&self) -> io::Result<Option<io::Error>>;

    /// Waits until one of the `events` comes, at most for `time`; it may return sooner.
    ///
    /// # Errors
    /// If waiting is impossible.
    fn wait(&self, events: PollFlags, time: Duration) -> io::Result<()>;
}

/// Opens wires to the peers of outputs.
pub trait Dial: Debug + Send + Sync {
    /// # Errors
    /// [`Error::Resolve`] or [`Error::Connect`].
    fn dial(&self, address: &str, port: u16) -> Result<Box<dyn Wire>, Error>;
}

/// The way to peers: TCP, unless it is made of another one. Clones share it.
#[derive(Debug, Clone)]
pub struct Network(Arc<dyn Dial>);

impl Network {
    /// Reaches peers by another way than TCP.
    pub fn over(dial: impl Dial + 'static) -> Network {
        Network(Arc::new(dial))
    }

    /// # Errors
    /// The errors of [`Dial::dial`].
    pub fn dial(&self, address: &str, port: u16) -> Result<Box<dyn Wire>, Error> {
        self.0.dial(address, port)
    }
}

impl Default for Network {
    fn default() -> Network {
        Network::over(Tcp::default())
    }
}

#[derive(Debug, Default)]
struct Tcp {
    /// The latest address of each name at which a connection could be made.
    reached: Mutex<HashMap<String, SocketAddr>>,
}

impl Dial for Tcp {
    fn dial(&self, address: &str, port: u16) -> Result<Box<dyn Wire>, Error> {
        let refused = |source| Error::Connect { peer: format!("{address}:{port}"), source };
        let socket = self.connect(address, port)?;
        tune(&socket).map_err(refused)?;
        Ok(Box::new(socket))
    }
}

impl Wire for TcpStream {
    fn far_end(&self) -> String {
        self.peer_addr().map_or_else(|_| String::new(), |address| address.to_string())
    }

    fn unacknowledged(&self) -> io::Result<u64> {
        outq::unacknowledged_bytes(self)
    }

    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        TcpStream::take_error(self)
    }

    fn wait(&self, events: PollFlags, time: Duration) -> io::Result<()> {
        let time = time.try_into().map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        match poll(&mut [PollFd::new(self, events)], Some(&time)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

impl Tcp {
    /// Tries each of the name's addresses, first the one that worked last.
    fn connect(&self, address: &str, port: u16) -> Result<TcpStream, Error> {
        let peer = format!("{address}:{port}");
        let addresses = (address, port)
            .to_socket_addrs()
            .map_err(|source| Error::Resolve { address: address.to_owned(), source })?;
        let reached = lock(&self.reached).get(&peer).copied();
        let mut addresses: Vec<SocketAddr> = addresses.collect();
        addresses.sort_by_key(|address| Some(*address) != reached);
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for (number, address) in addresses.iter().enumerate() {
            let is_last = number + 1 == addresses.len();
            let time = if is_last { SEND_CONNECT_TIMEOUT } else { SEND_CONNECT_TIMEOUT_EACH };
            match TcpStream::connect_timeout(address, time) {
                Ok(socket) => {
                    lock(&self.reached).insert(peer, *address);
                    return Ok(socket);
                }
                Err(e) => last = e,
            }
        }
        Err(Error::Connect { peer, source: last })
    }
}

/// Small batches are sent at once; a peer that vanished silently is noticed on an idle connection. While bytes are owed, the
/// sender watches the peer's progress. The kernel's own limit (`TCP_USER_TIMEOUT`) also counts while a peer with a small
/// buffer reads slowly and steadily, and ended its connections.
fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let options = SockRef::from(socket);
    let keepalive = TcpKeepalive::new().with_time(SEND_OWED_MAX);
    options.set_tcp_keepalive(&keepalive.with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES))?;
    socket.set_nonblocking(true)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_address_that_worked_last_is_tried_first() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (tcp, port) = (Tcp::default(), listener.local_addr().unwrap().port());
        tcp.connect("localhost", port).unwrap();
        let reached = lock(&tcp.reached).clone();
        assert_eq!(
            reached.into_iter().collect::<Vec<_>>(),
            [(format!("localhost:{port}"), listener.local_addr().unwrap())]
        );
    }

    #[test]
    fn a_socket_tells_what_its_peer_has_not_acknowledged_and_waits_for_as_long_as_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let network = Network::default();
        let mut wire = network.dial("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(wire.unacknowledged().unwrap(), 0);
        // Nobody reads: the peer's buffer fills, then ours.
        while wire.write(&[0; 1 << 16]).is_ok() {}
        assert!(wire.unacknowledged().unwrap() > 0);
        let (began, time) = (std::time::Instant::now(), Duration::from_millis(30));
        wire.wait(PollFlags::IN, time).unwrap();
        assert!(began.elapsed() >= time);
    }

    #[test]
    fn only_the_sender_decides_when_a_slow_peer_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        tune(&socket).unwrap();
        let options = SockRef::from(&socket);
        assert_eq!(options.tcp_user_timeout().unwrap().unwrap_or_default(), Duration::ZERO);
        assert!(options.keepalive().unwrap() && options.tcp_nodelay().unwrap());
    }
}
