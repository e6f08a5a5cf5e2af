//! Notifications to a service manager with systemd's protocol `sd_notify(3)`: datagrams of `NAME=value` lines to the
//! socket in `NOTIFY_SOCKET`. Without that variable nothing is sent.
//!
//! The crate `sd-notify` was considered (0.5): it writes to a socket that blocks while the service manager does not read,
//! and the pings are sent by the pipeline's own loop, which nothing may hold up.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::base::text::one_line;

/// The connection to the service manager, if there is one.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Interval at which it expects a ping.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Reads the environment (`NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`).
    pub fn of_environment() -> ServiceManager {
        let variable = |name| env::var(name).ok();
        let socket = variable("NOTIFY_SOCKET").and_then(|name| match open(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                log::warn!("cannot notify the service manager: NOTIFY_SOCKET={name}: {error}");
                None
            }
        });
        let own_id = std::process::id().to_string();
        let is_ours = variable("WATCHDOG_PID").is_none_or(|id| id == own_id);
        let interval = variable("WATCHDOG_USEC").filter(|_| is_ours).and_then(|micros| micros.parse().ok());
        ServiceManager { socket, watchdog: interval.map(Duration::from_micros) }
    }

    /// Interval between pings: half of the watchdog's, so that one may be late. None without a watchdog.
    pub fn ping_interval(&self) -> Option<Duration> {
        self.socket.as_ref().and(self.watchdog).map(|interval| interval / 2)
    }

    /// Reports that everything has started, or that a reload has ended.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    pub fn reloading(&self) {
        self.say("RELOADING=1");
    }

    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// Sends a watchdog ping.
    pub fn ping(&self) {
        self.say("WATCHDOG=1");
    }

    /// Sends the line that `systemctl status` shows.
    pub fn status(&self, text: &str) {
        self.say(&format!("STATUS={}", one_line(text)));
    }

    /// Errors are ignored: a service manager that does not listen changes nothing.
    fn say(&self, text: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(text.as_bytes(), address)
        {
            log::debug!("cannot notify the service manager of {text}: {error}");
        }
    }
}

/// The socket's address: a path, or after `@` the name of an abstract socket.
fn open(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, listener: &UnixDatagram) -> String {
        let manager =
            ServiceManager { socket: Some(open(name).unwrap()), watchdog: Some(Duration::from_secs(4)) };
        assert_eq!(manager.ping_interval(), Some(Duration::from_secs(2)));
        manager.status("two\nlines");
        let mut text = [0; 100];
        let length = listener.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    #[test]
    fn both_kinds_of_socket_are_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        assert_eq!(told(path.to_str().unwrap(), &listener), r"STATUS=two\nlines");
        let name = format!("aws-to-devo-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        assert_eq!(told(&format!("@{name}"), &listener), r"STATUS=two\nlines");
    }

    #[test]
    fn a_socket_that_is_gone_does_no_harm() {
        let socket = open("/nonexistent/notify").unwrap();
        ServiceManager { socket: Some(socket), watchdog: None }.ready();
        let nobody = ServiceManager { socket: None, watchdog: Some(Duration::from_secs(1)) };
        nobody.ready();
        assert_eq!(nobody.ping_interval(), None);
    }
}
