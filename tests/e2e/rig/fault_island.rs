//! A network namespace for the program alone, where packets can be dropped without harm to the machine.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::rig::fault_line;
use crate::rig::process::{PATIENCE, Process, wait_for};

/// Its loopback interface leads only to the bridges.
pub struct Island {
    /// What `nsenter` wants.
    namespace: String,
    _keeper: Process,
}

/// A port of the island that leads to the same port outside.
pub struct Bridge {
    clients: Arc<Mutex<Vec<SocketAddr>>>,
}

/// Namespaces need root; says so if there is none.
pub fn is_root(case: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("fault | {case} | skipped: needs root");
    }
    is_root
}

impl Island {
    pub fn new() -> Island {
        let null = "/dev/null".as_ref();
        let keeper = Process::start("unshare".as_ref(), &["--net", "sleep", "infinity"], null, null);
        let path = format!("/proc/{}/ns/net", keeper.pid().as_raw_nonzero());
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        wait_for("the namespace", PATIENCE, || std::fs::read_link(&path).is_ok_and(|link| link != own));
        let island = Island { namespace: format!("--net={path}"), _keeper: keeper };
        island.call(&["ip", "link", "set", "lo", "up"]);
        island
    }

    /// For a command to run there.
    pub fn wrapper(&self) -> [&str; 2] {
        ["nsenter", &self.namespace]
    }

    pub fn bridge(&self, port: u16) -> Bridge {
        let namespace = File::open(self.namespace.trim_start_matches("--net=")).unwrap();
        // A socket belongs to the namespace of the thread that makes it, for good.
        let bind = move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            TcpListener::bind(("127.0.0.1", port)).unwrap()
        };
        let listener = std::thread::spawn(bind).join().unwrap();
        let clients = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&clients);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                seen.lock().unwrap().push(client.peer_addr().unwrap());
                std::thread::spawn(move || forward(&client, port));
            }
        });
        Bridge { clients }
    }

    /// From now on packets between `port` and these clients are lost; others are not.
    pub fn drop_packets(&self, port: u16, clients: &[SocketAddr]) {
        let clients: Vec<_> = clients.iter().map(|client| client.port().to_string()).collect();
        let clients = clients.join(", ");
        let rules = format!(
            "table inet faults {{\nchain in {{\ntype filter hook input priority 0;\n\
             tcp sport {port} tcp dport {{ {clients} }} drop\n\
             tcp dport {port} tcp sport {{ {clients} }} drop\n}}\n}}"
        );
        self.call(&["nft", &rules]);
    }

    fn call(&self, command: &[&str]) {
        let status = Command::new("nsenter").arg(&self.namespace).args(command).status().unwrap();
        assert!(status.success(), "{command:?}");
    }
}

impl Bridge {
    /// Of all connections so far.
    pub fn clients(&self) -> Vec<SocketAddr> {
        self.clients.lock().unwrap().clone()
    }
}

fn forward(client: &TcpStream, port: u16) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
    fault_line::join(client, &server, u64::MAX);
}
