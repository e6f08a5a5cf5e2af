//! An in-house relay over plain TCP that keeps every byte.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Listens until the test process ends.
pub struct Relay {
    pub port: u16,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Relay {
    pub fn start() -> Relay {
        Relay::that_dislikes(None)
    }

    /// Closes a connection as soon as these bytes come.
    pub fn that_dislikes(bytes: Option<&'static str>) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&received);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || record(connection, &shared, bytes));
            }
        });
        Relay { port, received }
    }

    /// The bytes of each connection so far.
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.received.lock().unwrap().clone()
    }
}

fn record(mut connection: TcpStream, received: &Mutex<Vec<Vec<u8>>>, dislikes: Option<&str>) {
    let index = {
        let mut all = received.lock().unwrap();
        all.push(Vec::new());
        all.len() - 1
    };
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n) = connection.read(&mut buffer) {
        if n == 0 {
            return;
        }
        let mut all = received.lock().unwrap();
        let own = &mut all[index];
        own.extend_from_slice(&buffer[..n]);
        let disliked = dislikes.and_then(|bytes| memchr::memmem::find(own, bytes.as_bytes()));
        if let Some(at) = disliked {
            // Data before it is kept as far as it is whole.
            let whole = own[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            own.truncate(whole);
            return;
        }
    }
}
