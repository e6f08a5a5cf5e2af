//! What people ask of the hosts: to drain one, to let it go on, to hand a source over.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use clap::Args;

use super::seen::{Seen, Watch};
use crate::aws::Error;
use crate::base::limits::{FLEET_LEASE, FLEET_REQUEST_TIMEOUT, FLEET_ROUND, FLEET_WATCH_INTERVAL};
use crate::base::naming::is_under;
use crate::base::runtime::{clock, thread};
use crate::fleet::{Beat, Host, Table, persist, reads_same};

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
    #[arg(long, value_name = "HOST", requires = "hand_over", conflicts_with_all = ["drain", "resume"])]
    to: Option<String>,
}

/// Something that is asked of the hosts.
pub struct Request {
    what: What,
    /// The hosts that must hear of it, each with its heartbeat of before.
    hearers: BTreeMap<String, u64>,
}

/// The parts of a request, with the ids of hosts.
enum What {
    /// The host is to take nothing new, and to give up its sources. `peers` are the hosts that have its name at present.
    Drain { host: String, name: String, peers: Vec<String> },
    /// The host is to go on.
    Resume(String),
    /// A source is to go to a host.
    HandOver { source: String, to: String },
    /// The hosts divide a source evenly again.
    Divide(String),
}

/// The notes of a wait for a drain.
#[derive(Default)]
struct Course {
    /// When the host was first not in the table any more.
    left: Option<Instant>,
    /// The heartbeats when it was first done.
    beats: Option<BTreeMap<String, Beat>>,
}

/// How far the hosts have done what was asked.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Done,
    /// They are at it, and this is not done.
    Open(String),
    /// It will not be done.
    Hopeless(String),
}

impl Request {
    /// The request of the command line, if there is one.
    ///
    /// # Errors
    /// The reason why it cannot be made.
    pub fn of(asked: &Asked, seen: &Seen) -> Result<Option<Request>, String> {
        if let Some(name) = &asked.drain {
            let host = seen.named(name)?;
            seen.can_drain(host)?;
            let peers = seen.hosts.iter().map(|(peer, _)| peer).filter(|peer| peer.name == host.name);
            let peers = peers.map(|peer| peer.id.clone()).collect();
            let what = What::Drain { host: host.id.clone(), name: host.name.clone(), peers };
            return Ok(Some(Request::to_hosts(what, [host])));
        }
        if let Some(name) = &asked.resume {
            let host = seen.named(name)?;
            return Ok(Some(Request::to_hosts(What::Resume(host.id.clone()), [host])));
        }
        let Some(source) = asked.hand_over.clone() else { return Ok(None) };
        seen.can_hand_over(&source)?;
        let Some(name) = &asked.to else {
            let living = seen.hosts.iter().filter(|(_, alive)| *alive).map(|(host, _)| host);
            return Ok(Some(Request::to_hosts(What::Divide(source), living)));
        };
        let host = seen.named(name)?;
        let why = match () {
            () if host.drained => "it is drained",
            () if host.passing => "it ends soon by itself",
            () if !host.sources.contains(&source) => "its configuration does not have it",
            () if host.unable.contains(&source) => "it is unable to at present, and its log says why",
            () => {
                let what = What::HandOver { source, to: host.id.clone() };
                return Ok(Some(Request::to_hosts(what, [])));
            }
        };
        Err(format!("{} cannot poll {source}: {why}", host.id))
    }

    fn to_hosts<'h>(what: What, hearers: impl IntoIterator<Item = &'h Host>) -> Request {
        let hearers = hearers.into_iter().map(|host| (host.id.clone(), host.beat.count())).collect();
        Request { what, hearers }
    }

    /// Makes the request, and waits until it is done. Returns what is there then, and false if it is not done in time.
    ///
    /// # Errors
    /// If it could not be made, or if the table cannot be used.
    pub fn carry_out(&self, watch: &mut Watch) -> Result<(Seen, bool), String> {
        let (began, unsure) = (clock::now(), |error: Error| self.unsure(&error));
        let until = began + FLEET_REQUEST_TIMEOUT;
        if !persist(until, || self.make(&watch.table)).map_err(unsure)? {
            return Err("this host has left meanwhile: `fleet` lists those that are there".to_owned());
        }
        self.withdraw_if_alone(watch, until)?;
        let mut course = Course::default();
        loop {
            thread::sleep(FLEET_WATCH_INTERVAL);
            let seen = persist(until, || watch.look()).map_err(unsure)?;
            let elapsed = clock::since(began);
            let why = match self.standing_by_now(&seen, &mut course) {
                Standing::Done => return Ok((seen, true)),
                Standing::Open(_) if elapsed < FLEET_REQUEST_TIMEOUT => continue,
                Standing::Open(why) | Standing::Hopeless(why) => why,
            };
            let (elapsed, undo) = (elapsed.as_secs(), self.undo());
            let _ = writeln!(
                io::stderr(),
                "not done after {elapsed} s: {why}. The request stands: `fleet` shows how it goes on; {undo}"
            );
            return Ok((seen, false));
        }
    }

    /// Writes the request into the table. Returns false if there is no such host or source.
    fn make(&self, table: &Table) -> Result<bool, Error> {
        match &self.what {
            What::Drain { host, .. } => table.drain(host, true),
            What::Resume(host) => table.drain(host, false),
            What::HandOver { source, to } => table.mean(source, Some(to)),
            What::Divide(source) => table.mean(source, None),
        }
    }

    /// An error after which nobody knows whether the request is in the table.
    fn unsure(&self, error: &Error) -> String {
        format!("{error}. The request may stand: `fleet` shows it; {}", self.undo())
    }

    /// The way to take the request back.
    fn undo(&self) -> String {
        match &self.what {
            What::Drain { host, .. } => format!("`fleet --resume {host}` takes it back"),
            What::Resume(host) => format!("`fleet --drain {host}` takes it back"),
            What::HandOver { source, .. } | What::Divide(source) => {
                format!("`fleet --hand-over {source}`, with or without `--to`, replaces it")
            }
        }
    }

    /// Takes a drain back if nobody is left who could do the work: somebody may have drained another host at the same moment.
    fn withdraw_if_alone(&self, watch: &mut Watch, until: Instant) -> Result<(), String> {
        let What::Drain { host: id, .. } = &self.what else { return Ok(()) };
        let unsure = |error: Error| self.unsure(&error);
        let seen = persist(until, || watch.look()).map_err(unsure)?;
        let Some((host, _)) = seen.host(id) else { return Ok(()) };
        seen.can_do_without(host).or_else(|why| {
            persist(until, || watch.table.drain(id, false)).map_err(unsure)?;
            Err(format!("{why}. The drain is taken back: another one was asked for at the same moment, or another host has left"))
        })
    }

    /// How far it is done by now. A drain is done when every living host has beaten since: one that has died just before looks alive.
    fn standing_by_now(&self, seen: &Seen, course: &mut Course) -> Standing {
        let What::Drain { host, .. } = &self.what else { return self.standing(seen, Duration::ZERO) };
        let absence = match seen.host(host) {
            Some(_) => Duration::ZERO,
            None => clock::since(*course.left.get_or_insert_with(clock::now)),
        };
        let standing = self.standing(seen, absence);
        if standing != Standing::Done {
            return standing;
        }
        let living = || seen.hosts.iter().filter(|(_, alive)| *alive).map(|(host, _)| host);
        let beats = course
            .beats
            .get_or_insert_with(|| living().map(|host| (host.id.clone(), host.beat.clone())).collect());
        match living().find(|host| beats.get(&host.id) == Some(&host.beat)) {
            Some(host) => Standing::Open(format!("{} has shown no sign of life since", host.id)),
            None => Standing::Done,
        }
    }

    /// How far it is done. `absence` is how long the host to be drained has not been in the table.
    fn standing(&self, seen: &Seen, absence: Duration) -> Standing {
        if let What::Drain { host: id, name, peers } = &self.what {
            match seen.host(id) {
                None => return of_absent(id, seen.successor(name, peers), absence),
                Some((_, false)) => {
                    return Standing::Hopeless(format!(
                        "{id} has shown no sign of life for {} s. If it is dead, the others take over what it had; if it only cannot reach the \
                         table, it has not heard of the request and goes on receiving messages",
                        FLEET_LEASE.as_secs()
                    ));
                }
                Some(_) => (),
            }
        }
        if let Some(host) = self.unheard(seen) {
            return Standing::Open(format!("{host} has not heard of it yet"));
        }
        match &self.what {
            What::Resume(_) | What::Divide(_) => Standing::Done,
            What::Drain { host, .. } => {
                seen.host(host).map_or(Standing::Done, |(host, _)| seen.drained(host))
            }
            What::HandOver { source, to } => {
                let holder = seen.leases.known.get(source).and_then(|lease| seen.holder(lease));
                match holder {
                    Some(host) if host.id == *to => Standing::Done,
                    _ => Standing::Open(format!(
                        "{source} is polled by {}",
                        holder.map_or("nobody", |host| &host.id)
                    )),
                }
            }
        }
    }

    /// A living host that may not have heard of it. A host reads the table after each heartbeat, and its next one may have been
    /// under way. Whether it is drained, it says itself.
    fn unheard<'s>(&self, seen: &'s Seen) -> Option<&'s str> {
        let may_not_know = |host: &Host, before: u64| {
            let is_as_before = match &self.what {
                What::Drain { .. } => !host.obeys,
                What::Resume(_) => host.obeys,
                What::HandOver { .. } | What::Divide(_) => false,
            };
            host.beat.count() < before.saturating_add(2) || is_as_before
        };
        let living = seen.hosts.iter().filter(|(_, alive)| *alive).map(|(host, _)| host);
        let mut hearers = living.filter_map(|host| Some((host, *self.hearers.get(&host.id)?)));
        hearers.find(|(host, before)| may_not_know(host, *before)).map(|(host, _)| host.id.as_str())
    }
}

/// The standing of a drain whose host has left. One that starts again, or has loaded a changed file, is there as another host a little later.
fn of_absent(id: &str, successor: Option<&Host>, absence: Duration) -> Standing {
    match successor {
        Some(host) => {
            Standing::Hopeless(format!("{id} has started again as {}, and is not drained", host.id))
        }
        None if absence < FLEET_ROUND => Standing::Open(format!("{id} has just left")),
        None => Standing::Done,
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

    /// The living host that has a name and is none of these.
    fn successor(&self, name: &str, others: &[String]) -> Option<&Host> {
        let is_new = |host: &Host| host.name == name && !host.passing && !others.contains(&host.id);
        self.hosts.iter().find(|(host, alive)| *alive && is_new(host)).map(|(host, _)| host)
    }

    /// How far a living host that has heard of its drain has come.
    fn drained(&self, host: &Host) -> Standing {
        let (held, load) = (self.held_by(host), host.load);
        let orphans = host.sources.iter().filter(|source| !self.is_held(source)).count();
        if held != 0 || load.messages != 0 || load.receives != 0 || orphans != 0 {
            return Standing::Open(format!(
                "{} has {held} sources, {} messages in flight and {} receives under way; {orphans} of its sources are polled by nobody",
                host.id, load.messages, load.receives
            ));
        }
        // The others may have died or left meanwhile.
        self.can_do_without(host).map_or_else(Standing::Hopeless, |()| Standing::Done)
    }

    /// Refuses a source whose lease is not in the table, or cannot be read.
    fn can_hand_over(&self, source: &String) -> Result<(), String> {
        if self.leases.known.contains_key(source) {
            return Ok(());
        }
        if self.leases.unreadable.contains(source) {
            return Err(format!(
                "the lease of {source} cannot be read: `aws-to-devo ledger forget --input {source}` replaces it"
            ));
        }
        let under: Vec<_> =
            self.leases.known.keys().filter(|known| is_under(known, source)).cloned().collect();
        Err(match under.is_empty() {
            true => format!(
                "no host has ever polled {source:?}: `fleet` lists the sources. Queues need no hand-over: all hosts that have one receive from it"
            ),
            false => {
                format!("no host has ever polled {source:?}: is one of these meant? {}", under.join(", "))
            }
        })
    }

    /// Refuses a host that ends by itself, or whose work nobody could take over.
    fn can_drain(&self, host: &Host) -> Result<(), String> {
        match host.passing {
            true => Err(format!(
                "{} ends by itself: it is being stopped, or is a `run --drain` or a backfill. To end it now, stop it",
                host.id
            )),
            false => self.can_do_without(host),
        }
    }

    /// Refuses if nobody could take over what the host does.
    fn can_do_without(&self, host: &Host) -> Result<(), String> {
        let can_work = |other: &Host| other.id != host.id && !other.drained && !other.passing;
        let others = self.hosts.iter().filter(|(other, alive)| *alive && can_work(other));
        let others: Vec<_> = others.map(|(other, _)| other).collect();
        if others.is_empty() {
            return Err(format!(
                "{} is the only host that could work: nobody would read its queues and sources. Stop it instead, if that is meant",
                host.id
            ));
        }
        // What this host cannot poll either does not stand still because of its drain.
        let can_poll = |other: &Host, source: &str, own: &String| {
            reads_same(own, source) && (!other.unable.contains(source) || host.unable.contains(own))
        };
        let is_wanted = |own: &&String| {
            others.iter().any(|other| other.sources.iter().any(|source| can_poll(other, source, own)))
        };
        let lonely: Vec<_> = host.sources.iter().filter(|source| !is_wanted(source)).cloned().collect();
        match lonely.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "{} cannot be drained: no other host has {} in its configuration and can poll it at present, so nobody would poll it",
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
    use crate::aws::Kind;
    use crate::fleet::{Leases, Load};

    fn host(id: &str, beat: u64) -> Host {
        let sources = BTreeSet::from(["1/s/r".to_owned()]);
        Host { id: id.to_owned(), beat: Beat::Count(beat), drained: true, ..Host::new("host", sources) }
    }

    fn seen(hosts: Vec<(Host, bool)>) -> Seen {
        let lease = crate::fleet::Lease { source: "1/s/r".into(), holder: "b".into(), epoch: 1, meant: None };
        let leases = Leases { known: [("1/s/r".to_owned(), lease)].into(), ..Leases::default() };
        Seen { table: "t".to_owned(), hosts, leases, sources: Vec::new() }
    }

    fn drain_of_a() -> Request {
        let what = What::Drain {
            host: "a".to_owned(),
            name: "host".to_owned(),
            peers: vec!["a".to_owned(), "b".to_owned()],
        };
        Request::to_hosts(what, [&host("a", 5)])
    }

    fn open(standing: Standing) -> String {
        match standing {
            Standing::Open(why) => why,
            other => panic!("{other:?}"),
        }
    }

    fn hopeless(standing: Standing) -> String {
        match standing {
            Standing::Hopeless(why) => why,
            other => panic!("{other:?}"),
        }
    }

    /// Its figures are otherwise those of before, which say nothing about what it does now.
    #[test]
    fn a_host_that_does_not_say_that_it_obeys_is_not_drained() {
        let request = drain_of_a();
        let other = || (Host { drained: false, ..host("b", 9) }, true);
        let standing = |own: (Host, bool)| request.standing(&seen(vec![own, other()]), Duration::ZERO);
        let obeys = |beat| Host { obeys: true, ..host("a", beat) };
        for deaf in [obeys(5), obeys(6), host("a", 99)] {
            assert!(open(standing((deaf, true))).contains("has not heard"));
        }
        assert_eq!(standing((obeys(7), true)), Standing::Done);
        for (load, words) in [
            (Load { messages: 1, ..Load::default() }, "1 messages in flight"),
            (Load { receives: 1, ..Load::default() }, "1 receives under way"),
        ] {
            assert!(open(standing((Host { load, ..obeys(7) }, true))).contains(words));
        }
        assert!(hopeless(standing((obeys(7), false))).contains("no sign of life"));
    }

    #[test]
    fn a_drain_is_not_done_if_the_others_are_gone_by_then() {
        let own = || (Host { obeys: true, ..host("a", 7) }, true);
        let working = Host { drained: false, ..host("b", 9) };
        let passing = Host { passing: true, ..working.clone() };
        for others in [vec![], vec![(host("b", 9), true)], vec![(passing, true)]] {
            let mut seen = seen(std::iter::once(own()).chain(others).collect());
            seen.hosts[0].0.sources.clear();
            assert!(
                hopeless(drain_of_a().standing(&seen, Duration::ZERO)).contains("only host that could work")
            );
        }
    }

    #[test]
    fn a_drain_waits_for_a_sign_of_life_of_the_others() {
        let own = |beat| (Host { obeys: true, ..host("a", beat) }, true);
        let other = |beat, alive| (Host { drained: false, ..host("b", beat) }, alive);
        let (request, mut course) = (drain_of_a(), Course::default());
        let mut standing = |hosts| request.standing_by_now(&seen(hosts), &mut course);
        assert!(open(standing(vec![own(7), other(3, true)])).contains("no sign of life since"));
        assert!(open(standing(vec![own(8), other(3, true)])).contains("b has shown no sign of life since"));
        assert!(open(standing(vec![own(12), other(3, false)])).contains("polled by nobody"));
        assert_eq!(standing(vec![own(12), other(4, true)]), Standing::Done);
    }

    #[test]
    fn a_host_that_starts_again_is_not_drained() {
        let (request, other) = (drain_of_a(), || (host("b", 9), true));
        let left = seen(vec![other()]);
        assert!(open(request.standing(&left, Duration::ZERO)).contains("has just left"));
        assert_eq!(request.standing(&left, FLEET_ROUND), Standing::Done, "it has left in good order");
        let again = seen(vec![other(), (host("a2", 2), true)]);
        assert!(hopeless(request.standing(&again, FLEET_ROUND)).contains("started again as a2"));
    }

    /// A command that ends says that the hosts know.
    #[test]
    fn a_host_goes_on_when_it_says_so() {
        let request = Request::to_hosts(What::Resume("a".to_owned()), [&host("a", 5)]);
        let standing = |own: Host| request.standing(&seen(vec![(own, true)]), Duration::ZERO);
        assert!(open(standing(host("a", 6))).contains("has not heard"));
        assert!(open(standing(Host { obeys: true, ..host("a", 7) })).contains("has not heard"));
        assert_eq!(standing(host("a", 7)), Standing::Done);
        let request = Request::to_hosts(What::Divide("1/s/r".to_owned()), [&host("a", 5), &host("b", 5)]);
        let standing =
            |b| request.standing(&seen(vec![(host("a", 7), true), (host("b", b), true)]), Duration::ZERO);
        assert!(open(standing(6)).contains("b has not heard"));
        assert_eq!(standing(7), Standing::Done);
    }

    #[test]
    fn a_call_is_repeated_only_while_its_error_may_go_away() {
        let failing = |kind: Kind| {
            let mut calls = 0;
            let done = persist(clock::now() + Duration::from_secs(60), || {
                calls += 1;
                if calls > 1 {
                    Ok(())
                } else {
                    Err(Error::setup("dynamodb:UpdateItem", "t", kind.clone(), ""))
                }
            });
            (done.is_ok(), calls)
        };
        assert_eq!(failing(Kind::Throttled), (true, 2));
        assert_eq!(failing(Kind::Denied), (false, 1));
    }

    /// Its credentials are refused, or its output does not work.
    #[test]
    fn nothing_is_asked_of_a_host_that_cannot_do_it() {
        let one = BTreeSet::from(["1/s/r".to_owned()]);
        let can = |id: &str, unable: bool| {
            let unable = if unable { one.clone() } else { BTreeSet::new() };
            (Host { drained: false, unable, ..host(id, 1) }, true)
        };
        for (own, other, is_refused) in
            [(false, false, false), (false, true, true), (true, true, false), (true, false, false)]
        {
            let seen = seen(vec![can("a", own), can("b", other)]);
            let refused = seen.can_drain(&seen.hosts[0].0);
            assert_eq!(refused.is_err(), is_refused, "{own} {other}: {refused:?}");
            let to =
                Asked { drain: None, resume: None, hand_over: Some("1/s/r".into()), to: Some("b".into()) };
            assert_eq!(Request::of(&to, &seen).is_err(), other, "{own} {other}");
        }
    }

    #[test]
    fn a_source_that_cannot_be_handed_over_is_refused_with_advice() {
        let mut seen = seen(vec![(host("b", 1), true)]);
        seen.leases.unreadable.insert("2/s/r".to_owned());
        let refused = |source: &str| seen.can_hand_over(&source.to_owned()).unwrap_err();
        assert!(refused("2/s/r").contains("ledger forget --input 2/s/r"));
        assert!(refused("1/s").contains("is one of these meant? 1/s/r"));
        assert!(refused("queue").contains("Queues need no hand-over"));
        assert_eq!(seen.can_hand_over(&"1/s/r".to_owned()), Ok(()));
    }

    #[test]
    fn a_host_is_only_named_with_a_hand_over() {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(flatten)]
            asked: Asked,
        }
        let parsed = |words: &[&str]| <Line as clap::Parser>::try_parse_from([&["fleet"], words].concat());
        assert!(parsed(&["--hand-over", "s", "--to", "b"]).is_ok());
        for words in [["--drain", "a"], ["--resume", "a"]] {
            assert!(parsed(&[&words[..], &["--to", "b"]].concat()).is_err());
        }
    }

    #[test]
    fn somebody_must_be_left_to_do_the_work() {
        let working = |id| Host { drained: false, ..host(id, 1) };
        let alone = seen(vec![(working("a"), true), (host("b", 1), true), (working("c"), false)]);
        assert!(alone.can_do_without(&alone.hosts[0].0).unwrap_err().contains("only host that could work"));
        let elsewhere = Host { sources: BTreeSet::new(), ..working("b") };
        let lonely = seen(vec![(working("a"), true), (elsewhere, true)]);
        assert!(lonely.can_do_without(&lonely.hosts[0].0).unwrap_err().contains("no other host has 1/s/r"));
        let passing = Host { passing: true, ..working("b") };
        let beside = seen(vec![(working("a"), true), (passing, true)]);
        assert!(beside.can_drain(&beside.hosts[0].0).unwrap_err().contains("only host that could work"));
        assert!(beside.can_drain(&beside.hosts[1].0).unwrap_err().contains("ends by itself"));
        let two = seen(vec![(working("a"), true), (working("b"), true)]);
        assert_eq!(two.can_do_without(&two.hosts[0].0), Ok(()));
    }
}
