//! A listener with a thread per connection, which ends with the value that owns it.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::base::locks::lock;

/// The listener. Dropping it closes all connections and joins all threads.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Connections>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Connections {
    stopping: AtomicBool,
    open: Mutex<HashMap<u64, Open>>,
}

/// An open connection.
struct Open {
    /// A second handle, to end a thread that blocks in a read.
    stream: TcpStream,
    activity: Activity,
}

/// Whether a connection waits for its client, and since when. Clones refer to the same connection.
#[derive(Debug, Clone, Default)]
pub struct Activity(Arc<Mutex<Option<Instant>>>);

impl Activity {
    /// From now on it waits for its client: for a request, or to take an answer.
    pub fn waits(&self) {
        *lock(&self.0) = Some(Instant::now());
    }

    /// It is processing a request.
    pub fn works(&self) {
        *lock(&self.0) = None;
    }

    fn waiting_since(&self) -> Option<Instant> {
        *lock(&self.0)
    }
}

impl Connections {
    /// Ends the connection that has waited longest for its client, to free a slot for `newcomer`. Returns false if all
    /// others are busy.
    fn make_room_for(&self, newcomer: u64) -> bool {
        let mut open = lock(&self.open);
        let others = open.iter().filter(|(id, _)| **id != newcomer);
        let waiting = others.filter_map(|(id, other)| Some((other.activity.waiting_since()?, *id)));
        let Some((_, id)) = waiting.min() else { return false };
        if let Some(idlest) = open.remove(&id) {
            // Its thread ends when it next uses the stream. An error means that it has ended already.
            let _ = idlest.stream.shutdown(Shutdown::Both);
        }
        true
    }
}

impl Server {
    /// Listens (port 0 selects a free one) and runs `serve` on a separate thread for every connection. At
    /// `connections_max`, a new connection replaces the one that has waited longest for its client; if all of them are
    /// busy, the new one is closed at once. A connection counts as waiting until `serve` says otherwise.
    ///
    /// # Errors
    /// If the address or a thread is not available.
    pub fn start(
        name: &'static str,
        address: SocketAddr,
        connections_max: usize,
        serve: impl Fn(TcpStream, &Activity) + Send + Sync + 'static,
    ) -> io::Result<Server> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Connections::default());
        let for_acceptor = Arc::clone(&shared);
        let acceptor = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || accept_all(&listener, (name, connections_max), &for_acceptor, &Arc::new(serve)))?;
        Ok(Server { address, shared, acceptor: Some(acceptor) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every open connection; new ones are served.
    pub fn cut_connections(&self) {
        for open in lock(&self.shared.open).values() {
            // An error means that it has ended already.
            let _ = open.stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the acceptor; if that fails, the listener is closed already.
        let _ = TcpStream::connect(self.address);
        self.cut_connections();
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept_all<F: Fn(TcpStream, &Activity) + Send + Sync + 'static>(
    listener: &TcpListener,
    (name, connections_max): (&str, usize),
    shared: &Arc<Connections>,
    serve: &Arc<F>,
) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for (id, stream) in (0u64..).zip(listener.incoming()) {
        // Registered before `stopping` is checked, so that none can escape the close in `drop`.
        let stream = stream.ok().and_then(|stream| Some((register(shared, id, &stream)?, stream)));
        if shared.stopping.load(Ordering::SeqCst) {
            break;
        }
        let Some((activity, stream)) = stream else { continue };
        threads.retain(|thread| !thread.is_finished());
        if lock(&shared.open).len() <= connections_max || shared.make_room_for(id) {
            threads.extend(spawn_connection((name, id), (stream, activity), shared, serve));
        } else {
            lock(&shared.open).remove(&id);
        }
    }
    for open in lock(&shared.open).values() {
        let _ = open.stream.shutdown(Shutdown::Both);
    }
    threads.into_iter().for_each(|thread| {
        let _ = thread.join();
    });
}

/// None if the connection is unusable.
fn register(shared: &Connections, id: u64, stream: &TcpStream) -> Option<Activity> {
    // Clients wait for small answers: Nagle's algorithm would add 40 ms to each.
    let second = stream.set_nodelay(true).and_then(|()| stream.try_clone()).ok()?;
    let activity = Activity::default();
    // Before its thread has begun, too; otherwise simultaneous newcomers would find no idle connection.
    activity.waits();
    lock(&shared.open).insert(id, Open { stream: second, activity: activity.clone() });
    Some(activity)
}

/// None if there is no thread; the connection is closed.
fn spawn_connection<F: Fn(TcpStream, &Activity) + Send + Sync + 'static>(
    (name, id): (&str, u64),
    (stream, activity): (TcpStream, Activity),
    shared: &Arc<Connections>,
    serve: &Arc<F>,
) -> Option<JoinHandle<()>> {
    let (serve, for_thread) = (Arc::clone(serve), Arc::clone(shared));
    let spawned = thread::Builder::new().name(format!("{name}-{id}")).spawn(move || {
        let _registration = Registration { shared: for_thread, id };
        serve(stream, &activity);
    });
    if spawned.is_err() {
        lock(&shared.open).remove(&id);
    }
    spawned.ok()
}

/// Unregisters the connection when its thread ends, also by a panic; the peer sees the end then.
struct Registration {
    shared: Arc<Connections>,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.shared.open).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Ipv4Addr;

    use super::*;

    fn echo() -> Server {
        let serve = |mut stream: TcpStream, activity: &Activity| {
            activity.works();
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
        };
        Server::start("echo", (Ipv4Addr::LOCALHOST, 0).into(), 40, serve).unwrap()
    }

    fn ask(stream: &mut TcpStream) -> io::Result<u8> {
        let mut byte = [0];
        stream.write_all(b"x")?;
        stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    #[test]
    fn many_connections_are_served_at_once() {
        let server = echo();
        let mut streams: Vec<_> = (0..40).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        for stream in &mut streams {
            assert_eq!(ask(stream).unwrap(), b'x');
        }
        assert!(ask(&mut TcpStream::connect(server.address()).unwrap()).is_err(), "one too many");
    }

    #[test]
    fn the_idlest_connection_makes_room_for_a_new_one_and_working_ones_stay() {
        let serve = |mut stream: TcpStream, activity: &Activity| {
            let mut byte = [0];
            activity.waits();
            while stream.read_exact(&mut byte).is_ok() {
                if byte[0] == b'w' {
                    activity.works();
                } else {
                    activity.waits();
                }
                if stream.write_all(&byte).is_err() {
                    return;
                }
            }
        };
        let server = Server::start("idle", (Ipv4Addr::LOCALHOST, 0).into(), 3, serve).unwrap();
        let connect = || TcpStream::connect(server.address()).unwrap();
        let says = |stream: &mut TcpStream, byte: u8| {
            let mut back = [0];
            stream.write_all(&[byte]).and_then(|()| stream.read_exact(&mut back)).is_ok()
        };
        let (mut working, mut idle, mut lately) = (connect(), connect(), connect());
        assert!(says(&mut working, b'w') && says(&mut idle, b'x') && says(&mut lately, b'x'));
        let mut new = connect();
        assert!(says(&mut new, b'w'), "there is room for a new one");
        assert!(!says(&mut idle, b'x'), "the idlest went");
        assert!(says(&mut working, b'w') && says(&mut lately, b'w'));
        assert!(!says(&mut connect(), b'x'), "all three work: one too many");
    }

    #[test]
    fn cut_connections_end_and_new_ones_work() {
        let server = echo();
        let mut stream = TcpStream::connect(server.address()).unwrap();
        ask(&mut stream).unwrap();
        server.cut_connections();
        assert!(ask(&mut stream).is_err());
        assert_eq!(ask(&mut TcpStream::connect(server.address()).unwrap()).unwrap(), b'x');
    }

    #[test]
    fn dropping_it_ends_idle_connections() {
        let server = echo();
        let mut stream = TcpStream::connect(server.address()).unwrap();
        ask(&mut stream).unwrap();
        drop(server);
        assert!(ask(&mut stream).is_err());
    }
}
