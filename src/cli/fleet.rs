//! The `fleet` command: the hosts that share polled sources, and who polls what.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::exit::REFUSED;
use super::table::plain;
use crate::aws::{Error, Http};
use crate::base::limits::{FLEET_LEASE, FLEET_WATCH_INTERVAL};
use crate::base::out::Out;
use crate::base::runtime::{clock, thread};
use crate::base::stop::Stop;
use crate::config::{self, Environment};
use crate::fleet::{Host, Lease, Leases, NOBODY, Table};

#[derive(Debug, Args)]
pub struct Options {
    /// Configuration file with `persistence: {type: dynamodb}`
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The table's content, and the hosts whose hearts beat meanwhile.
struct Seen {
    table: String,
    hosts: Vec<(Host, bool)>,
    leases: Leases,
    /// The sources of the configuration.
    sources: Vec<String>,
}

/// Runs the command. Returns exit code 0; 1 if a source of the configuration is polled by nobody; 2 if there is no
/// table, or it cannot be read.
pub fn run(options: &Options) -> ExitCode {
    match look(options) {
        Ok(seen) => {
            let text = if options.json { seen.json().to_string() } else { seen.text() };
            // A reader that has exited does not change the result.
            let _ = writeln!(Out, "{text}");
            if seen.orphans().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => {
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::from(REFUSED)
        }
    }
}

fn look(options: &Options) -> Result<Seen, String> {
    let loaded =
        config::load(&options.config, &Environment::here()).map_err(|problems| problems.to_string())?;
    let config = loaded.config;
    let Some(settings) = &config.globals.shared else {
        return Err(
            "this configuration shares nothing with other hosts: `persistence: {type: dynamodb}` is not set"
                .to_owned(),
        );
    };
    let sources = config.sources.iter().map(|source| source.name.clone()).collect();
    let http = Http::new(1).map_err(|error| error.to_string())?;
    let table = Table::new(&http, settings, &Stop::new());
    seen(&table, sources).map_err(|error| error.to_string())
}

/// Looks until each host has shown a sign of life, or none for the length of a lease: then others take its sources over.
fn seen(table: &Table, sources: Vec<String>) -> Result<Seen, Error> {
    let before: BTreeMap<String, u64> = table.hosts()?.into_iter().map(|host| (host.id, host.beat)).collect();
    let is_alive = |host: &Host| before.get(&host.id) != Some(&host.beat);
    let deadline = clock::now() + FLEET_LEASE;
    loop {
        let is_last = clock::now() >= deadline;
        let hosts = table.hosts()?;
        if is_last || hosts.iter().all(is_alive) {
            let hosts = hosts.into_iter().map(|host| (is_alive(&host), host));
            let hosts = hosts.map(|(alive, host)| (host, alive)).collect();
            return Ok(Seen { table: table.name().to_owned(), hosts, leases: table.leases()?, sources });
        }
        thread::sleep(FLEET_WATCH_INTERVAL);
    }
}

impl Seen {
    /// The living host that holds a lease.
    fn holder(&self, lease: &Lease) -> Option<&Host> {
        let (host, alive) = self.hosts.iter().find(|(host, _)| host.id == lease.holder)?;
        alive.then_some(host)
    }

    /// Sources of the configuration that no living host polls.
    fn orphans(&self) -> Vec<&String> {
        let is_held = |source: &&String| {
            self.leases.known.get(*source).is_some_and(|lease| self.holder(lease).is_some())
        };
        self.sources.iter().filter(|source| !is_held(source)).collect()
    }

    fn held_by(&self, host: &Host) -> usize {
        self.leases.known.values().filter(|lease| lease.holder == host.id).count()
    }

    fn text(&self) -> String {
        let mut hosts = plain(&["host", "version", "sources", "state"]);
        for (host, alive) in &self.hosts {
            let state = if *alive { "alive" } else { "no heartbeat" };
            hosts.add_row([&host.id, &host.version, &self.held_by(host).to_string(), state]);
        }
        let mut sources = plain(&["source", "polled by", "epoch"]);
        for lease in self.leases.known.values() {
            let holder = self.holder(lease).map_or_else(|| "nobody".to_owned(), |host| host.id.clone());
            sources.add_row([&lease.source, &holder, &lease.epoch.to_string()]);
        }
        let mut text = format!("{}\n\n{}", hosts.trim_fmt(), sources.trim_fmt());
        for source in &self.leases.unreadable {
            text.push_str(&format!(
                "\nthe lease of {source} cannot be read: `aws-to-devo ledger forget --input {source}` replaces it"
            ));
        }
        for orphan in self.orphans() {
            text.push_str(&format!("\n{orphan} is polled by no host in the table {}", self.table));
        }
        text
    }

    /// Keys may be added; existing ones keep their meaning.
    fn json(&self) -> Value {
        let host = |(host, alive): &(Host, bool)| {
            let (id, name, version) = (&host.id, &host.name, &host.version);
            json!({"id": id, "name": name, "version": version, "alive": alive, "sources": self.held_by(host)})
        };
        let lease = |lease: &Lease| {
            let held = Some(&lease.holder).filter(|holder| *holder != NOBODY);
            json!({"source": lease.source, "holder": held, "alive": self.holder(lease).is_some(), "epoch": lease.epoch})
        };
        json!({
            "table": self.table,
            "hosts": self.hosts.iter().map(host).collect::<Vec<_>>(),
            "sources": self.leases.known.values().map(lease).collect::<Vec<_>>(),
            "unreadable": self.leases.unreadable,
            "polled_by_nobody": self.orphans(),
        })
    }
}
