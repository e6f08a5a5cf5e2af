//! The `fleet` command: the hosts that share work, who polls what, and requests to them.

mod request;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use self::request::Request;
use super::exit::REFUSED;
use super::table::plain;
use crate::aws::{Error, Http};
use crate::base::limits::{FLEET_LEASE, FLEET_WATCH_INTERVAL};
use crate::base::out::Out;
use crate::base::runtime::{clock, thread};
use crate::base::stop::Stop;
use crate::config::{self, Environment};
use crate::fleet::{Host, Lease, Leases, NOBODY, Table, View};

#[derive(Debug, Args)]
pub struct Options {
    /// Configuration file with `persistence: {type: dynamodb}`
    #[arg(short, long, value_name = "FILE", value_parser = super::files::configuration())]
    config: PathBuf,
    /// Make a host take nothing new and give up its sources; wait until nothing is left in flight there
    #[arg(long, value_name = "HOST", group = "request")]
    drain: Option<String>,
    /// Let a drained host go on
    #[arg(long, value_name = "HOST", group = "request")]
    resume: Option<String>,
    /// Hand a source over to the host that --to names; without it, let the hosts divide it evenly again
    #[arg(long, value_name = "SOURCE", group = "request")]
    hand_over: Option<String>,
    /// The host that is to poll the source, as long as it lives
    #[arg(long, value_name = "HOST", requires = "hand_over")]
    to: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The table, watched since the command has begun.
struct Watch {
    table: Table,
    /// The sources of the configuration.
    sources: Vec<String>,
    view: View,
    began: Instant,
}

/// The table's content, and the hosts whose hearts beat meanwhile.
struct Seen {
    table: String,
    hosts: Vec<(Host, bool)>,
    leases: Leases,
    /// The sources of the configuration.
    sources: Vec<String>,
}

/// Runs the command. Returns exit code 0; 1 if a source of the configuration is polled by nobody, or if what was asked for is not
/// done in time; 2 if it cannot be done, there is no table, or it cannot be used.
pub fn run(options: &Options) -> ExitCode {
    match act(options) {
        Ok((seen, is_done)) => {
            let text = if options.json { seen.json().to_string() } else { seen.text() };
            // A reader that has exited does not change the result.
            let _ = writeln!(Out, "{text}");
            if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => {
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::from(REFUSED)
        }
    }
}

/// Looks at the hosts, and makes the request, if there is one. Returns what is there afterwards, and whether all is well: what was
/// requested is done, or each source is polled.
fn act(options: &Options) -> Result<(Seen, bool), String> {
    let mut watch = open(options)?;
    let seen = watch.look()?;
    match Request::of(options, &seen)? {
        Some(request) => request.carry_out(&mut watch),
        None => {
            let is_all_polled = seen.orphans().is_empty();
            Ok((seen, is_all_polled))
        }
    }
}

fn open(options: &Options) -> Result<Watch, String> {
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
    Ok(Watch { table, sources, view: View::default(), began: clock::now() })
}

impl Watch {
    /// Looks until each host has shown a sign of life, or none for the length of a lease: then others take its sources over.
    fn look(&mut self) -> Result<Seen, String> {
        loop {
            let (hosts, leases) = self.read().map_err(|error| error.to_string())?;
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
    /// The living host that holds a lease.
    fn holder(&self, lease: &Lease) -> Option<&Host> {
        let (host, alive) = self.hosts.iter().find(|(host, _)| host.id == lease.holder)?;
        alive.then_some(host)
    }

    /// Sources of the configuration that no living host polls.
    fn orphans(&self) -> Vec<&String> {
        self.sources.iter().filter(|source| !self.is_held(source)).collect()
    }

    fn is_held(&self, source: &str) -> bool {
        self.leases.known.get(source).is_some_and(|lease| self.holder(lease).is_some())
    }

    fn held_by(&self, host: &Host) -> usize {
        self.leases.known.values().filter(|lease| lease.holder == host.id).count()
    }

    fn text(&self) -> String {
        let mut hosts = plain(&["host", "version", "sources", "events/s", "messages in flight", "state"]);
        for (host, alive) in &self.hosts {
            let state = match (alive, host.drained) {
                (false, _) => "no heartbeat",
                (true, false) => "alive",
                (true, true) => "drained",
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
        for orphan in self.orphans() {
            text.push_str(&format!("\n{orphan} is polled by no host in the table {}", self.table));
        }
        text
    }

    /// Keys may be added; existing ones keep their meaning.
    fn json(&self) -> Value {
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
        })
    }
}
