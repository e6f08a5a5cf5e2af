//! The hosts and leases in the shared table, and which hosts live.

use std::time::Instant;

use serde_json::{Value, json};

use crate::aws::Error;
use crate::base::limits::{FLEET_LEASE, FLEET_WATCH_INTERVAL};
use crate::base::runtime::{clock, thread};
use crate::cli::table::plain;
use crate::fleet::{Host, Lease, Leases, NOBODY, Table, View, reads_same};

/// The shared table, as this command watches it.
pub struct Watch {
    pub table: Table,
    /// The sources of the configuration.
    sources: Vec<String>,
    view: View,
    began: Instant,
}

/// The table's content, and the hosts whose hearts beat meanwhile.
pub struct Seen {
    pub table: String,
    pub hosts: Vec<(Host, bool)>,
    pub leases: Leases,
    /// The sources of the configuration.
    pub sources: Vec<String>,
}

impl Watch {
    /// Begins to watch the table, for a configuration with these sources.
    pub fn new(table: Table, sources: Vec<String>) -> Watch {
        Watch { table, sources, view: View::default(), began: clock::now() }
    }

    /// Looks until each host has shown a sign of life, or none for the length of a lease: then others take its sources over.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn look(&mut self) -> Result<Seen, Error> {
        loop {
            let (hosts, leases) = self.read()?;
            let now = clock::now();
            self.view.observe(leases.clone(), hosts, now);
            let hosts: Vec<_> = self.view.hosts(now).map(|(host, alive)| (host.clone(), alive)).collect();
            if hosts.iter().all(|(_, alive)| *alive) || clock::since(self.began) >= FLEET_LEASE {
                let (table, sources) = (self.table.name().to_owned(), self.sources.clone());
                return Ok(Seen { table, hosts, leases, sources });
            }
            thread::sleep(FLEET_WATCH_INTERVAL);
        }
    }

    fn read(&self) -> Result<(Vec<Host>, Leases), Error> {
        Ok((self.table.hosts()?, self.table.leases()?))
    }
}

impl Seen {
    /// The host with this id, and whether it lives.
    pub fn host(&self, id: &str) -> Option<&(Host, bool)> {
        self.hosts.iter().find(|(host, _)| host.id == id)
    }

    /// The living host that holds a lease.
    pub fn holder(&self, lease: &Lease) -> Option<&Host> {
        self.host(&lease.holder).filter(|(_, alive)| *alive).map(|(host, _)| host)
    }

    /// Sources of the configuration that no living host polls.
    pub fn orphans(&self) -> Vec<&String> {
        self.sources.iter().filter(|source| !self.is_held(source)).collect()
    }

    /// True if a living host polls the source, or its log groups in another division.
    pub fn is_held(&self, source: &str) -> bool {
        let is_of = |lease: &&Lease| reads_same(&lease.source, source);
        self.leases.known.values().filter(is_of).any(|lease| self.holder(lease).is_some())
    }

    /// Sources of the configuration whose holder lives, and cannot poll them at present.
    pub fn unable(&self) -> Vec<(&String, &Host)> {
        let holder = |source: &String| self.leases.known.get(source).and_then(|lease| self.holder(lease));
        let unable = |source| Some((source, holder(source).filter(|host| host.unable.contains(source))?));
        self.sources.iter().filter_map(unable).collect()
    }

    pub fn held_by(&self, host: &Host) -> usize {
        self.leases.known.values().filter(|lease| lease.holder == host.id).count()
    }

    pub fn text(&self) -> String {
        let mut hosts = plain(&["host", "version", "sources", "events/s", "messages in flight", "state"]);
        for (host, alive) in &self.hosts {
            let state = match () {
                () if !alive => "no heartbeat",
                () if host.drained => "drained",
                () if host.passing => "ends by itself",
                () => "alive",
            };
            let figures =
                [self.held_by(host).to_string(), host.load.rate.to_string(), host.load.messages.to_string()];
            let [held, rate, messages] = &figures;
            hosts.add_row([&host.id, &host.version, held, rate, messages, state]);
        }
        let mut sources = plain(&["source", "polled by", "epoch", "meant for"]);
        for lease in self.leases.known.values() {
            let holder = self.holder(lease).map_or("nobody", |host| &host.id);
            sources.add_row([
                &lease.source,
                holder,
                &lease.epoch.to_string(),
                lease.meant.as_deref().unwrap_or(""),
            ]);
        }
        let mut text = format!("{}\n\n{}", hosts.trim_fmt(), sources.trim_fmt());
        for source in &self.leases.unreadable {
            text.push_str(&format!(
                "\nthe lease of {source} cannot be read: `aws-to-devo ledger forget --input {source}` replaces it"
            ));
        }
        for (source, host) in self.unable() {
            text.push_str(&format!(
                "\n{source} is held by {}, which cannot poll it, or not send what it reads: the log there says why. Another host takes it \
                 over soon, if there is one that can",
                host.id
            ));
        }
        for orphan in self.orphans() {
            text.push_str(&format!("\n{orphan} is polled by no host in the table {}", self.table));
        }
        text
    }

    /// Keys may be added; existing ones keep their meaning.
    pub fn json(&self) -> Value {
        let host = |(host, alive): &(Host, bool)| {
            let (id, name, version) = (&host.id, &host.name, &host.version);
            json!({
                "id": id,
                "name": name,
                "version": version,
                "alive": alive,
                "sources": self.held_by(host),
                "drained": host.drained,
                "events_per_second": host.load.rate,
                "messages_in_flight": host.load.messages,
                "receives_under_way": host.load.receives,
                "ends_by_itself": host.passing,
            })
        };
        let lease = |lease: &Lease| {
            let held = Some(&lease.holder).filter(|holder| *holder != NOBODY);
            json!({"source": lease.source, "holder": held, "alive": self.holder(lease).is_some(), "epoch": lease.epoch, "meant_for": lease.meant})
        };
        json!({
            "table": self.table,
            "hosts": self.hosts.iter().map(host).collect::<Vec<_>>(),
            "sources": self.leases.known.values().map(lease).collect::<Vec<_>>(),
            "unreadable": self.leases.unreadable,
            "polled_by_nobody": self.orphans(),
            "unable": self.unable().iter().map(|(source, _)| source).collect::<Vec<_>>(),
        })
    }
}
