//! What people ask of the hosts: to drain one, to let it go on, to hand a source over.

use std::io::{self, Write as _};

use clap::Args;

use super::seen::{Seen, Watch};
use crate::aws::Error;
use crate::base::limits::{FLEET_DRAIN_TIME, FLEET_LEASE, FLEET_REQUEST_TIMEOUT, FLEET_WATCH_INTERVAL};
use crate::base::runtime::{clock, thread};
use crate::fleet::{Host, Table};

/// The options that ask for something.
#[derive(Debug, Args)]
pub struct Asked {
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
}

/// Something that is asked of the hosts, by their ids.
pub enum Request {
    /// The host, which had this heartbeat, is to take nothing new, and to give up its sources.
    Drain { host: String, beat: u64 },
    /// The host is to go on.
    Resume(String),
    /// A source is to go to a host.
    HandOver { source: String, to: String },
    /// The hosts divide a source evenly again.
    Divide(String),
}

impl Request {
    /// The request of the command line, if there is one.
    ///
    /// # Errors
    /// The reason why it cannot be made.
    pub fn of(asked: &Asked, seen: &Seen) -> Result<Option<Request>, String> {
        if let Some(name) = &asked.drain {
            let host = seen.named(name)?;
            seen.can_do_without(host)?;
            return Ok(Some(Request::Drain { host: host.id.clone(), beat: host.beat }));
        }
        if let Some(name) = &asked.resume {
            return Ok(Some(Request::Resume(seen.named(name)?.id.clone())));
        }
        let Some(source) = asked.hand_over.clone() else { return Ok(None) };
        if !seen.leases.known.contains_key(&source) {
            return Err(format!("no host has ever polled {source:?}: `fleet` lists the sources"));
        }
        let Some(name) = &asked.to else { return Ok(Some(Request::Divide(source))) };
        let host = seen.named(name)?;
        let why = match () {
            () if host.drained => "it is drained",
            () if !host.sources.contains(&source) => "its configuration does not have it",
            () => return Ok(Some(Request::HandOver { source, to: host.id.clone() })),
        };
        Err(format!("{} cannot poll {source}: {why}", host.id))
    }

    /// Makes the request, and waits until it is done. Returns what is there then, and false if it is not done in time.
    ///
    /// # Errors
    /// If it could not be made.
    pub fn carry_out(&self, watch: &mut Watch) -> Result<(Seen, bool), String> {
        if !self.make(&watch.table).map_err(|error| error.to_string())? {
            return Err("this host has left meanwhile: `fleet` lists those that are there".to_owned());
        }
        self.withdraw_if_alone(watch)?;
        let began = clock::now();
        loop {
            thread::sleep(FLEET_WATCH_INTERVAL);
            let (looked, elapsed) = (watch.look(), clock::since(began));
            // Its figures do not have those messages yet that it was receiving when it was asked.
            let is_early = matches!(self, Request::Drain { .. }) && elapsed < FLEET_DRAIN_TIME;
            let is_late = elapsed >= FLEET_REQUEST_TIMEOUT;
            let why = match &looked {
                Ok(seen) => self.unfinished(seen),
                Err(error) => Some(error.clone()),
            };
            let is_hopeless = looked.as_ref().is_ok_and(|seen| self.is_of_silent_host(seen));
            match (looked, why) {
                (Ok(seen), None) if !is_early => return Ok((seen, true)),
                (looked, Some(why)) if is_late || is_hopeless => {
                    let _ = writeln!(
                        io::stderr(),
                        "not done after {} s: {why}. The request stands; `fleet` shows how it goes on",
                        elapsed.as_secs()
                    );
                    return looked.map(|seen| (seen, false));
                }
                _ => (),
            }
        }
    }

    /// Writes the request into the table. Returns false if there is no such host or source.
    fn make(&self, table: &Table) -> Result<bool, Error> {
        match self {
            Request::Drain { host, .. } => table.drain(host, true),
            Request::Resume(host) => table.drain(host, false),
            Request::HandOver { source, to } => table.mean(source, Some(to)),
            Request::Divide(source) => table.mean(source, None),
        }
    }

    /// Takes a drain back if nobody is left who could do the work: somebody may have drained another host at the same moment.
    fn withdraw_if_alone(&self, watch: &mut Watch) -> Result<(), String> {
        let Request::Drain { host: id, .. } = self else { return Ok(()) };
        let seen = watch.look()?;
        let Some((host, _)) = seen.host(id) else { return Ok(()) };
        seen.can_do_without(host).or_else(|why| {
            watch.table.drain(id, false).map_err(|error| error.to_string())?;
            Err(format!("{why} The drain is taken back: another one was asked for at the same moment, or another host has left"))
        })
    }

    /// True if it is about a host that shows no sign of life: nothing more will happen.
    fn is_of_silent_host(&self, seen: &Seen) -> bool {
        let Request::Drain { host: id, .. } = self else { return false };
        seen.host(id).is_some_and(|(_, alive)| !alive)
    }

    /// The reason why the hosts have not done it.
    fn unfinished(&self, seen: &Seen) -> Option<String> {
        match self {
            Request::Resume(_) | Request::Divide(_) => None,
            Request::Drain { host: id, beat } => {
                let (host, alive) = seen.host(id)?;
                if !alive {
                    return Some(format!(
                        "{id} has shown no sign of life for {} s. If it is dead, the others take over what it had; if it only cannot reach the \
                         table, it has not heard of the request and goes on receiving messages",
                        FLEET_LEASE.as_secs()
                    ));
                }
                // It reads the table after each heartbeat; the next one may have been under way.
                if host.beat < beat + 2 {
                    return Some(format!("{id} has not heard of it yet"));
                }
                let (held, messages) = (seen.held_by(host), host.load.messages);
                let orphans = host.sources.iter().filter(|source| !seen.is_held(source)).count();
                (held != 0 || messages != 0 || orphans != 0).then(|| {
                    format!("{id} has {held} sources and {messages} messages in flight; {orphans} of its sources are polled by nobody")
                })
            }
            Request::HandOver { source, to } => {
                let holder = seen.leases.known.get(source).and_then(|lease| seen.holder(lease));
                let is_there = holder.is_some_and(|host| host.id == *to);
                (!is_there)
                    .then(|| format!("{source} is polled by {}", holder.map_or("nobody", |host| &host.id)))
            }
        }
    }
}

impl Seen {
    /// The host with this id, or the living one with this name.
    fn named(&self, name: &str) -> Result<&Host, String> {
        let alive = || self.hosts.iter().filter(|(_, alive)| *alive).map(|(host, _)| host);
        if let Some(host) = alive().find(|host| host.id == name) {
            return Ok(host);
        }
        let mut others = alive().filter(|host| host.name == name);
        match (others.next(), others.count()) {
            (Some(host), 0) => Ok(host),
            (Some(_), more) => Err(format!(
                "{} living hosts have the name {name:?}: give the id of one, as `fleet` shows it",
                more + 1
            )),
            (None, _) => Err(format!("no living host has the name or the id {name:?}: `fleet` lists them")),
        }
    }

    /// Refuses if nobody could take over what the host does.
    fn can_do_without(&self, host: &Host) -> Result<(), String> {
        let others =
            self.hosts.iter().filter(|(other, alive)| *alive && other.id != host.id && !other.drained);
        let others: Vec<_> = others.map(|(other, _)| other).collect();
        if others.is_empty() {
            return Err(format!(
                "{} is the only host that could work: nobody would read its queues and sources. Stop it instead, if that is meant.",
                host.id
            ));
        }
        let is_wanted = |source: &&String| others.iter().any(|other| other.sources.contains(*source));
        let lonely: Vec<_> = host.sources.iter().filter(|source| !is_wanted(source)).cloned().collect();
        match lonely.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "{} cannot be drained: no other host has {} in its configuration, so nobody would poll it.",
                host.id,
                lonely.join(", ")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fleet::{Leases, Load};

    fn host(id: &str, beat: u64) -> Host {
        let sources = BTreeSet::from(["1/s/r".to_owned()]);
        Host { id: id.to_owned(), beat, drained: true, ..Host::new("host", sources) }
    }

    fn seen(hosts: Vec<(Host, bool)>) -> Seen {
        let lease = crate::fleet::Lease { source: "1/s/r".into(), holder: "b".into(), epoch: 1, meant: None };
        let leases = Leases { known: [("1/s/r".to_owned(), lease)].into(), ..Leases::default() };
        Seen { table: "t".to_owned(), hosts, leases, sources: Vec::new() }
    }

    /// Its figures are then those of before, which say nothing about what it does now.
    #[test]
    fn a_host_that_may_not_have_heard_of_it_is_not_drained() {
        let request = Request::Drain { host: "a".to_owned(), beat: 5 };
        let other = || (host("b", 9), true);
        let why = |own: (Host, bool)| request.unfinished(&seen(vec![own, other()]));
        for beat in [5, 6] {
            assert!(why((host("a", beat), true)).unwrap().contains("has not heard"));
        }
        assert_eq!(why((host("a", 7), true)), None);
        let busy = Host { load: Load { messages: 1, ..Load::default() }, ..host("a", 7) };
        assert!(why((busy, true)).unwrap().contains("1 messages in flight"));
        assert!(why((host("a", 7), false)).unwrap().contains("no sign of life"));
        assert!(request.is_of_silent_host(&seen(vec![(host("a", 7), false), other()])));
        assert_eq!(request.unfinished(&seen(vec![other()])), None, "it has left in good order");
    }

    #[test]
    fn somebody_must_be_left_to_do_the_work() {
        let working = |id| Host { drained: false, ..host(id, 1) };
        let alone = seen(vec![(working("a"), true), (host("b", 1), true), (working("c"), false)]);
        assert!(alone.can_do_without(&alone.hosts[0].0).unwrap_err().contains("only host that could work"));
        let elsewhere = Host { sources: BTreeSet::new(), ..working("b") };
        let lonely = seen(vec![(working("a"), true), (elsewhere, true)]);
        assert!(lonely.can_do_without(&lonely.hosts[0].0).unwrap_err().contains("no other host has 1/s/r"));
        let two = seen(vec![(working("a"), true), (working("b"), true)]);
        assert_eq!(two.can_do_without(&two.hosts[0].0), Ok(()));
    }
}
