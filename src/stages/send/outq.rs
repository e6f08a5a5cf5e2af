//! The number of bytes of a socket that its peer has not acknowledged yet.

use std::io;
use std::net::TcpStream;

/// `SIOCOUTQ` (tcp(7)): bytes in the send queue, sent or not, that the peer's TCP has not acknowledged. The same number
/// as `TIOCOUTQ` on every Linux architecture that Rust supports with this value.
const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;

/// # Errors
/// The errors of ioctl(2); none is expected on a connected TCP socket.
pub fn unacknowledged_bytes(socket: &TcpStream) -> io::Result<u64> {
    // SAFETY: SIOCOUTQ writes one int to the given address, and nothing else; the getter owns such an int.
    let getter = unsafe { rustix::ioctl::Getter::<SIOCOUTQ, i32>::new() };
    // SAFETY: the getter's opcode and type belong together, as explained above.
    let queued = unsafe { rustix::ioctl::ioctl(socket, getter) }?;
    Ok(u64::try_from(queued).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn counts_what_the_peers_tcp_has_not_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut theirs = listener.accept().unwrap().0;
        ours.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(n) = ours.write(&[0; 65536]) {
            written += n;
        }
        let waiting = unacknowledged_bytes(&ours).unwrap();
        assert!(waiting > 0 && waiting < written as u64, "{waiting} of {written}: the peer never read");
        theirs.read_exact(&mut vec![0; written]).unwrap();
        while unacknowledged_bytes(&ours).unwrap() > 0 {
            std::thread::yield_now();
        }
    }
}
