//! The view that one host has of the others, and the plan that follows from it. Pure.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::time::Instant;

use super::lease::{Host, Lease, Leases, NOBODY, Silent, Taking, divide_otherwise, yields_to};
use crate::base::limits::FLEET_LEASE;

/// The leases and hosts in the table, with the time since when each host has been silent, by this host's clock.
#[derive(Debug, Default)]
pub struct View {
    leases: BTreeMap<String, Lease>,
    hosts: BTreeMap<String, Watched>,
}

#[derive(Debug, Clone)]
struct Watched {
    host: Host,
    since: Instant,
    /// It has beaten in this host's own eyes: one that is seen for the first time may have died long ago.
    has_changed: bool,
}

/// The next steps of a host.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub take: Vec<Taking>,
    /// Sources to hand over.
    pub give: Vec<String>,
}

/// The question to a [`View`].
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// The host's id.
    pub id: &'a str,
    /// The sources of its configuration.
    pub wanted: &'a BTreeSet<String>,
    /// Those that it holds.
    pub held: &'a BTreeSet<String>,
    /// Those that it may not take at present.
    pub barred: &'a BTreeSet<String>,
    /// Those that it cannot poll at present.
    pub unable: &'a BTreeSet<String>,
}

/// The sources that each host wants.
type Wants<'v> = BTreeMap<&'v str, BTreeSet<&'v str>>;

impl View {
    /// Notes the table's content. A heartbeat that has changed is seen as of `now`.
    pub fn observe(&mut self, leases: Leases, hosts: Vec<Host>, now: Instant) {
        let watch = |host: Host| {
            let known = self.hosts.get(&host.id);
            let same = known.filter(|known| known.host.beat == host.beat);
            let (since, has_changed) =
                same.map_or((now, known.is_some()), |same| (same.since, same.has_changed));
            (host.id.clone(), Watched { host, since, has_changed })
        };
        self.hosts = hosts.into_iter().map(watch).collect();
        self.leases = leases.known;
    }

    /// The name of the living host that holds the source, or its log groups in another division. None: nobody, or `own`.
    pub fn holder(&self, source: &str, own: &str, now: Instant) -> Option<&str> {
        self.elsewhere(source, own, now).map(|watched| watched.host.name.as_str())
    }

    /// The same, if that host can poll it at present.
    pub fn poller(&self, source: &str, own: &str, now: Instant) -> Option<&str> {
        let able = self.elsewhere(source, own, now).filter(|watched| !watched.host.unable.contains(source));
        able.map(|watched| watched.host.name.as_str())
    }

    /// True if that host has shown a sign of life since it was first seen.
    pub fn is_proven(&self, source: &str, own: &str, now: Instant) -> bool {
        self.elsewhere(source, own, now).is_some_and(|watched| watched.has_changed)
    }

    fn elsewhere(&self, source: &str, own: &str, now: Instant) -> Option<&Watched> {
        let is_held = |lease: &&Lease| !self.is_free(lease, own, now);
        let lease = self.leases.get(source).filter(is_held);
        let lease = lease.or_else(|| self.divided_otherwise(source).find(is_held))?;
        self.hosts.get(&lease.holder)
    }

    /// The leases of the same log groups in other divisions.
    fn divided_otherwise(&self, source: &str) -> impl Iterator<Item = &Lease> {
        self.leases.values().filter(move |lease| divide_otherwise(&lease.source, source))
    }

    /// The living hosts, each with the moment since when it has been silent.
    pub fn living(&self, now: Instant) -> impl Iterator<Item = (&Host, Instant)> {
        let living = self.hosts.values().filter(move |watched| watched.is_fresh(now));
        living.map(|watched| (&watched.host, watched.since))
    }

    /// All hosts in the table, each with true if it has shown a sign of life since it was first seen, and lately.
    pub fn hosts(&self, now: Instant) -> impl Iterator<Item = (&Host, bool)> {
        self.hosts.values().map(move |watched| (&watched.host, watched.has_changed && watched.is_fresh(now)))
    }

    /// The leases that name a host.
    pub fn leases_of(&self, id: &str) -> impl Iterator<Item = &Lease> {
        self.leases.values().filter(move |lease| lease.holder == id)
    }

    /// The number of sources that a host holds.
    pub fn held_by(&self, id: &str) -> usize {
        self.leases_of(id).count()
    }

    /// True if somebody has asked the host to take nothing new.
    pub fn is_drained(&self, id: &str) -> bool {
        self.hosts.get(id).is_some_and(|watched| watched.host.drained)
    }

    /// Plans the next steps: free sources are taken up to a fair share, and some are handed over while another host has
    /// fewer, or because only another host can poll them. A source that is meant for a host goes there, and a drained host keeps
    /// nothing. Of two divisions of log groups that came to be polled at once, one ends.
    pub fn plan(&self, own: Own<'_>, now: Instant) -> Plan {
        if self.is_drained(own.id) {
            return Plan { take: Vec::new(), give: own.held.iter().cloned().collect() };
        }
        let wants = self.wants(own, now);
        let mut loads = self.loads(own, &wants);
        let mut plan = Plan::default();
        let mut free: Vec<&String> =
            own.wanted.iter().filter(|source| self.may_take(source, own, now)).collect();
        // Hosts that start together begin with different ones.
        free.sort_by_key(|source| order(own.id, source));
        for source in free {
            let is_own = match self.meant(source, &wants) {
                Some(host) => host == own.id,
                None => wants[own.id].contains(source.as_str()) && loads[own.id] < fair_share(source, &wants),
            };
            if is_own {
                add(&mut loads, own.id, 1);
                plan.take.push(self.taking(source, own.id));
            }
        }
        // One that is seen for the first time may be dead.
        let beats = |id: &str| self.hosts.get(id).is_some_and(|watched| watched.has_changed);
        let ends = |lease: &Lease, source: &str| {
            yields_to(source, &lease.source) && !self.is_free(lease, own.id, now) && beats(&lease.holder)
        };
        // A host that cannot poll what another one may be able to is often unable to poll more than it has tried. In an outage,
        // that is so for all hosts, and nothing is moved.
        let is_sound = |id: &str| {
            let unable = |watched: &Watched| {
                watched.host.unable.iter().any(|source| !wants[id].contains(source.as_str()))
            };
            !self.hosts.get(id).is_some_and(unable)
        };
        for source in own.held {
            if self.divided_otherwise(source).any(|lease| ends(lease, source)) {
                plan.give.push(source.clone());
                continue;
            }
            let takers = wants.iter().filter(|(id, wanted)| beats(id) && wanted.contains(source.as_str()));
            let mut takers = takers.map(|(id, _)| *id);
            let is_able = wants[own.id].contains(source.as_str());
            let other = match self.meant(source, &wants) {
                Some(meant) => takers.find(|id| *id == meant && meant != own.id),
                None => takers
                    .filter(|id| *id == own.id || is_sound(id))
                    .min_by_key(|id| loads[*id])
                    .filter(|id| !is_able || loads[*id] + 2 <= loads[own.id]),
            };
            if let Some(other) = other {
                add(&mut loads, own.id, -1);
                add(&mut loads, other, 1);
                plan.give.push(source.clone());
            }
        }
        plan
    }

    /// The host that is to have the source, if that one lives and wants it.
    fn meant(&self, source: &str, wants: &Wants<'_>) -> Option<&str> {
        let meant = self.leases.get(source)?.meant.as_deref()?;
        wants.get(meant)?.contains(source).then_some(meant)
    }

    /// The sources that each living host wants, without those that it cannot poll while another one can.
    fn wants<'v>(&'v self, own: Own<'v>, now: Instant) -> Wants<'v> {
        let others = self.living(now).map(|(host, _)| host);
        let others = others.filter(|host| host.id != own.id && !host.drained);
        let others = others.map(|host| (host.id.as_str(), &host.sources, &host.unable));
        let all: Vec<_> = others.chain([(own.id, own.wanted, own.unable)]).collect();
        let is_possible = |source: &String| {
            all.iter().any(|(_, wanted, unable)| wanted.contains(source) && !unable.contains(source))
        };
        let wants = |wanted: &'v BTreeSet<String>, unable: &BTreeSet<String>| {
            let wanted = wanted.iter().filter(|source| !unable.contains(*source) || !is_possible(source));
            wanted.map(String::as_str).collect()
        };
        all.iter().map(|(id, wanted, unable)| (*id, wants(wanted, unable))).collect()
    }

    /// The number of sources that each living host holds.
    fn loads<'v>(&self, own: Own<'_>, wants: &Wants<'v>) -> BTreeMap<&'v str, i64> {
        let load = |id: &str| if id == own.id { own.held.len() } else { self.held_by(id) } as i64;
        wants.keys().map(|id| (*id, load(id))).collect()
    }

    fn may_take(&self, source: &str, own: Own<'_>, now: Instant) -> bool {
        let is_free = |lease: &Lease| self.is_free(lease, own.id, now);
        self.leases.get(source).is_none_or(is_free)
            && self.divided_otherwise(source).all(is_free)
            && !own.held.contains(source)
            && !own.barred.contains(source)
    }

    /// True if nobody holds it, its holder is silent or gone, or its holder is this host and has lost count.
    fn is_free(&self, lease: &Lease, own: &str, now: Instant) -> bool {
        let lives = || self.hosts.get(&lease.holder).is_some_and(|watched| watched.is_fresh(now));
        is_unheld(lease, own) || !lives()
    }

    fn taking(&self, source: &str, own: &str) -> Taking {
        let seen = self.leases.get(source).cloned();
        let silent = seen.as_ref().filter(|lease| !is_unheld(lease, own)).map(|lease| Silent {
            host: lease.holder.clone(),
            beat: self.hosts.get(&lease.holder).map(|watched| watched.host.beat.clone()),
        });
        Taking { source: source.to_owned(), seen, silent }
    }
}

impl Watched {
    /// True if it has beaten recently.
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < FLEET_LEASE
    }
}

/// True if no other host holds it.
fn is_unheld(lease: &Lease, own: &str) -> bool {
    [NOBODY, own].contains(&lease.holder.as_str())
}

/// The number of sources that a host may hold and still take this one: those of all hosts that want it, divided among
/// these hosts.
fn fair_share(source: &str, wants: &Wants<'_>) -> i64 {
    let rivals: Vec<_> = wants.values().filter(|wanted| wanted.contains(source)).collect();
    let all: BTreeSet<&&str> = rivals.iter().flat_map(|wanted| wanted.iter()).collect();
    all.len().div_ceil(rivals.len().max(1)) as i64
}

fn add(loads: &mut BTreeMap<&str, i64>, id: &str, number: i64) {
    if let Some(load) = loads.get_mut(id) {
        *load += number;
    }
}

fn order(own: &str, source: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (own, source).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::fleet::lease::Beat;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn host(id: &str, sources: &[&str], beat: u64) -> Host {
        Host { id: id.into(), beat: Beat::Count(beat), ..Host::new(&format!("host {id}"), set(sources)) }
    }

    fn lease(source: &str, holder: &str) -> Lease {
        Lease { source: source.into(), holder: holder.into(), epoch: 1, meant: None }
    }

    fn leases(held: &[(&str, &str)]) -> Leases {
        let known = held.iter().map(|(source, holder)| ((*source).to_owned(), lease(source, holder)));
        Leases { known: known.collect(), ..Leases::default() }
    }

    fn plan(view: &View, id: &str, wanted: &[&str], held: &[&str], now: Instant) -> Plan {
        let (wanted, held, none) = (set(wanted), set(held), set(&[]));
        view.plan(Own { id, wanted: &wanted, held: &held, barred: &none, unable: &none }, now)
    }

    fn taken(plan: &Plan) -> BTreeSet<String> {
        plan.take.iter().map(|taking| taking.source.clone()).collect()
    }

    #[test]
    fn one_host_takes_everything_at_once() {
        let plan = plan(&View::default(), "a", &["1", "2", "3"], &[], Instant::now());
        assert_eq!((taken(&plan), plan.give), (set(&["1", "2", "3"]), vec![]));
    }

    #[test]
    fn a_lease_is_free_only_when_its_holder_was_silent_for_its_term_in_the_own_eyes() {
        let (mut view, start) = (View::default(), Instant::now());
        let held = || leases(&[("1", "b")]);
        view.observe(held(), vec![host("b", &["1"], 6)], start);
        let soon = start + FLEET_LEASE - Duration::from_millis(1);
        assert_eq!(view.holder("1", "a", soon), Some("host b"));
        assert!(plan(&view, "a", &["1"], &[], soon).take.is_empty());
        let silent = Some(Silent { host: "b".into(), beat: Some(Beat::Count(6)) });
        let taking = Taking { source: "1".into(), seen: Some(lease("1", "b")), silent };
        assert_eq!(plan(&view, "a", &["1"], &[], start + FLEET_LEASE).take, [taking]);
        // It beats: its term begins again when that is seen.
        view.observe(held(), vec![host("b", &["1"], 7)], soon);
        assert!(plan(&view, "a", &["1"], &[], start + FLEET_LEASE).take.is_empty());
        assert_eq!(view.holder("1", "a", soon + FLEET_LEASE), None);
        view.observe(leases(&[("1", NOBODY)]), vec![host("b", &["1"], 7)], soon);
        assert_eq!(view.holder("1", "a", soon), None);
        assert_eq!(plan(&view, "a", &["1"], &[], soon).take[0].silent, None, "nobody's heart counts");
    }

    #[test]
    fn the_lease_of_a_host_that_is_not_there_is_free_while_it_stays_away() {
        let (mut view, now) = (View::default(), Instant::now());
        view.observe(leases(&[("1", "b")]), vec![], now);
        let silent = Some(Silent { host: "b".into(), beat: None });
        assert_eq!(plan(&view, "a", &["1"], &[], now).take[0].silent, silent);
    }

    #[test]
    fn the_first_look_at_a_host_is_no_sign_of_life() {
        let (mut view, start) = (View::default(), Instant::now());
        for (beat, is_sign) in [(7, false), (7, false), (8, true), (8, true)] {
            view.observe(leases(&[("1", "b")]), vec![host("b", &["1"], beat)], start);
            assert_eq!(
                (view.holder("1", "a", start), view.is_proven("1", "a", start)),
                (Some("host b"), is_sign)
            );
        }
    }

    /// One of both stood still or was cut off, or both began at the same moment.
    #[test]
    fn of_two_divisions_that_are_polled_at_once_the_coarser_one_ends() {
        let parts = |count: usize| -> Vec<String> {
            (1..=count).map(|number| format!("1/all/logs/r/shard-{number}-of-{count}")).collect()
        };
        let (two, three, now) = (parts(2), parts(3), Instant::now());
        let (two, three): (Vec<&str>, Vec<&str>) =
            (two.iter().map(String::as_str).collect(), three.iter().map(String::as_str).collect());
        let all = || {
            leases(
                &[
                    two.iter().map(|s| (*s, "a")).collect::<Vec<_>>(),
                    three.iter().map(|s| (*s, "b")).collect(),
                ]
                .concat(),
            )
        };
        let mut view = View::default();
        view.observe(all(), vec![host("a", &two, 1), host("b", &three, 1)], now);
        assert_eq!(plan(&view, "a", &two, &two, now), Plan::default(), "b may have died long ago");
        view.observe(all(), vec![host("a", &two, 2), host("b", &three, 2)], now);
        assert_eq!(plan(&view, "a", &two, &two, now).give, two);
        assert_eq!(plan(&view, "b", &three, &three, now), Plan::default());
        assert!(plan(&view, "a", &two, &[], now).take.is_empty());
        assert_eq!(plan(&view, "a", &two, &two, now + FLEET_LEASE).give.len(), 0, "b is silent");
    }

    fn unable(id: &str, sources: &[&str], unable: &[&str], beat: u64) -> Host {
        Host { unable: set(unable), ..host(id, sources, beat) }
    }

    /// A plan of `a`, which wants and holds "1" and "2", and cannot poll "1". The others want both, and cannot poll some.
    fn plan_of_one_that_cannot(others: &[(&str, &[&str])]) -> Plan {
        let (mut view, now) = (View::default(), Instant::now());
        for beat in 1..3 {
            let hosts = others.iter().map(|(id, bad)| unable(id, &["1", "2"], bad, beat)).collect();
            view.observe(leases(&[("1", "a"), ("2", "a")]), hosts, now);
        }
        let (wanted, bad, none) = (set(&["1", "2"]), set(&["1"]), set(&[]));
        view.plan(Own { id: "a", wanted: &wanted, held: &wanted, barred: &none, unable: &bad }, now)
    }

    #[test]
    fn a_source_goes_to_a_host_that_can_poll_it_if_there_is_one() {
        assert_eq!(plan_of_one_that_cannot(&[]).give, [""; 0]);
        assert_eq!(plan_of_one_that_cannot(&[("b", &[])]).give, ["1"]);
        // Then nobody is better off.
        assert_eq!(plan_of_one_that_cannot(&[("b", &["1"])]).give.len(), 1, "an even share, as ever");
        assert_eq!(plan_of_one_that_cannot(&[("b", &["1", "2"])]).give, [""; 0], "a can poll one of them");
        assert!(plan_of_one_that_cannot(&[("b", &["1"]), ("c", &[])]).give.contains(&"1".to_owned()));
        let both = ["1", "2", "3"];
        let (mut view, now, none) = (View::default(), Instant::now(), set(&[]));
        for beat in 1..3 {
            view.observe(
                leases(&[("1", "a"), ("2", "a"), ("3", "b")]),
                vec![unable("b", &both, &["3"], beat)],
                now,
            );
        }
        let (wanted, held) = (set(&both), set(&["1", "2"]));
        let own = Own { id: "a", wanted: &wanted, held: &held, barred: &none, unable: &held };
        assert_eq!(view.plan(own, now), Plan::default(), "an outage for both");
        // The failure of b shows that more would fail there.
        let (mut view, now, none) = (View::default(), Instant::now(), set(&[]));
        for beat in 1..3 {
            view.observe(
                leases(&[("1", "a"), ("2", "a")]),
                vec![unable("b", &["1", "2"], &["1"], beat)],
                now,
            );
        }
        assert_eq!(plan(&view, "a", &["1", "2"], &["1", "2"], now), Plan::default());
        let (all, bad) = (set(&["1", "2"]), set(&["1"]));
        let own = Own { id: "a", wanted: &all, held: &all, barred: &none, unable: &bad };
        assert_eq!(
            view.plan(own, now).give.len(),
            1,
            "nobody can poll it, and that says nothing about a host"
        );
    }

    #[test]
    fn a_host_does_not_take_what_only_another_one_can_poll() {
        let (mut view, now) = (View::default(), Instant::now());
        view.observe(leases(&[("1", NOBODY)]), vec![unable("b", &["1"], &[], 1)], now);
        let (wanted, bad, none) = (set(&["1"]), set(&["1"]), set(&[]));
        let own = Own { id: "a", wanted: &wanted, held: &none, barred: &none, unable: &bad };
        assert_eq!(view.plan(own, now), Plan::default());
        view.observe(leases(&[("1", NOBODY)]), vec![unable("b", &["1"], &["1"], 1)], now);
        assert_eq!(view.plan(own, now).take.len(), 1, "neither can: one of them tries");
    }

    #[test]
    fn a_host_lives_while_its_heart_beats() {
        let (mut view, start) = (View::default(), Instant::now());
        let living = |view: &View, now| {
            view.living(now).map(|(host, _)| (host.id.clone(), view.held_by(&host.id))).collect::<Vec<_>>()
        };
        let held = || leases(&[("1", "a"), ("2", "b"), ("3", "b")]);
        view.observe(held(), vec![host("a", &[], 0), host("b", &[], 0)], start);
        assert_eq!(living(&view, start), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        view.observe(held(), vec![host("a", &[], 1), host("b", &[], 0)], start + FLEET_LEASE);
        assert_eq!(living(&view, start + FLEET_LEASE), [("a".to_owned(), 1)]);
    }

    #[test]
    fn a_newcomer_gets_its_share_and_nothing_more_is_moved_then() {
        let (mut view, now) = (View::default(), Instant::now());
        let sources = ["1", "2", "3", "4", "5"];
        let all = || leases(&sources.map(|source| (source, "a")));
        view.observe(all(), vec![host("b", &sources, 0)], now);
        assert_eq!(plan(&view, "a", &sources, &sources, now).give.len(), 0, "it may have died long ago");
        view.observe(all(), vec![host("b", &sources, 1)], now);
        assert_eq!(plan(&view, "a", &sources, &sources, now).give.len(), 2);
        assert!(plan(&view, "a", &sources, &sources[..3], now).give.len() <= 1, "b will have two");
        view.observe(
            leases(&[("1", "a"), ("2", "a"), ("3", "a"), ("4", "b"), ("5", "b")]),
            vec![host("b", &sources, 2)],
            now,
        );
        assert_eq!(plan(&view, "a", &sources, &sources[..3], now), Plan::default());
    }

    #[test]
    fn a_source_that_only_one_host_wants_stays_there() {
        let (mut view, now) = (View::default(), Instant::now());
        view.observe(Leases::default(), vec![host("b", &["5"], 0)], now);
        let all = ["1", "2", "3", "4"];
        assert_eq!(taken(&plan(&view, "a", &all, &[], now)), set(&all));
        assert!(plan(&view, "a", &all, &all, now).give.is_empty());
    }

    #[test]
    fn a_host_that_has_lost_count_takes_its_own_lease_again() {
        let (mut view, now) = (View::default(), Instant::now());
        view.observe(leases(&[("1", "a")]), vec![], now);
        let taking = Taking { source: "1".into(), seen: Some(lease("1", "a")), silent: None };
        assert_eq!(plan(&view, "a", &["1"], &[], now).take, [taking]);
    }

    /// Both hosts have shown a sign of life; `drained` are drained.
    fn of_two(
        sources: &[&str],
        held: &[(&str, &str)],
        drained: &[&str],
        meant: &[(&str, &str)],
        now: Instant,
    ) -> View {
        let mut view = View::default();
        let mut leases = leases(held);
        for (source, host) in meant {
            leases.known.get_mut(*source).unwrap().meant = Some((*host).to_owned());
        }
        for beat in 0..2 {
            let host = |id| Host { drained: drained.contains(&id), ..host(id, sources, beat) };
            view.observe(leases.clone(), vec![host("a"), host("b")], now);
        }
        view
    }

    #[test]
    fn a_drained_host_gives_everything_and_gets_nothing() {
        let (now, all) = (Instant::now(), ["1", "2", "3"]);
        let held = [("1", "a"), ("2", "a"), ("3", NOBODY)];
        let view = of_two(&all, &held, &["a"], &[("3", "a")], now);
        let own = plan(&view, "a", &all, &["1", "2"], now);
        assert_eq!((own.take.len(), own.give), (0, vec!["1".to_owned(), "2".to_owned()]));
        assert_eq!(taken(&plan(&view, "b", &all, &[], now)), set(&["3"]), "although it was meant for a");
        let view = of_two(&all, &all.map(|source| (source, "b")), &["a"], &[], now);
        assert_eq!(plan(&view, "b", &all, &all, now), Plan::default(), "a has fewer, and stays so");
    }

    #[test]
    fn a_source_goes_to_the_host_it_is_meant_for_and_stays_there() {
        let (now, all) = (Instant::now(), ["1", "2", "3"]);
        let held = [("1", "a"), ("2", "b"), ("3", "b")];
        let view = of_two(&all, &held, &[], &[("1", "b")], now);
        assert_eq!(plan(&view, "a", &all, &["1"], now).give, ["1"], "although b has more");
        let held = [("1", NOBODY), ("2", "b"), ("3", "b")];
        let view = of_two(&all, &held, &[], &[("1", "b")], now);
        assert!(plan(&view, "a", &all, &[], now).take.is_empty());
        assert_eq!(taken(&plan(&view, "b", &all, &["2", "3"], now)), set(&["1"]));
        let view = of_two(&all, &all.map(|source| (source, "b")), &[], &all.map(|source| (source, "b")), now);
        assert!(plan(&view, "b", &all, &all, now).give.is_empty());
        let view = of_two(&all, &[("1", NOBODY)], &[], &[("1", "long gone")], now);
        assert_eq!(plan(&view, "a", &["1"], &[], now).take.len(), 1, "for a host that is gone");
    }

    #[test]
    fn a_source_waits_while_a_living_host_has_its_log_groups_in_another_division() {
        let (mut view, start) = (View::default(), Instant::now());
        let (parts, gone) = (["g/shard-1-of-2", "g/shard-2-of-2"], start + FLEET_LEASE);
        for beat in 0..2 {
            view.observe(leases(&[("g", "b")]), vec![host("b", &["g"], beat)], start);
        }
        assert_eq!(plan(&view, "a", &parts, &[], start).take, []);
        assert_eq!(
            (view.holder(parts[0], "a", start), view.is_proven(parts[0], "a", start)),
            (Some("host b"), true)
        );
        assert_eq!(taken(&plan(&view, "a", &parts, &[], gone)), set(&parts));
        view.observe(leases(&[("g", NOBODY), (parts[0], "c")]), vec![host("c", &parts, 0)], start);
        assert_eq!(plan(&view, "b", &["g"], &[], start).take, []);
        assert_eq!(taken(&plan(&view, "a", &parts, &[], start)), set(&parts[1..]));
    }

    #[test]
    fn a_request_is_no_sign_of_life() {
        let (mut view, start) = (View::default(), Instant::now());
        view.observe(leases(&[]), vec![host("b", &[], 5)], start);
        view.observe(leases(&[]), vec![Host { drained: true, ..host("b", &[], 5) }], start + FLEET_LEASE);
        assert!(view.is_drained("b"));
        assert_eq!(view.living(start + FLEET_LEASE).count(), 0);
    }

    proptest! {
        /// Hosts that act in turn come to equal shares, from any start, and then stand still. Drained hosts end with nothing, and each
        /// source that is meant for a host ends there.
        #[test]
        fn shares_become_equal(
            hosts in 1usize..6,
            sources in 0usize..20,
            mut owners in proptest::collection::vec(0usize..7, 20),
            drained in proptest::collection::vec(proptest::bool::weighted(0.2), 6),
            meant in proptest::collection::vec(0usize..24, 20),
        ) {
            let now = Instant::now();
            let names: Vec<String> = (0..sources).map(|n| n.to_string()).collect();
            let wanted: BTreeSet<String> = names.iter().cloned().collect();
            owners.truncate(sources);
            // Some begin with nobody, or with a host that is gone; both are free here.
            let id = |owner: usize| if owner < hosts { format!("h{owner}") } else { NOBODY.to_owned() };
            let mut held: Vec<String> = owners.iter().map(|owner| id(*owner)).collect();
            let mut moves = usize::MAX;
            for _round in 0..30 {
                moves = 0;
                for own in 0..hosts {
                    let pairs: Vec<_> = names.iter().zip(&held).map(|(name, holder)| (name.as_str(), holder.as_str())).collect();
                    let mut view = View::default();
                    let mut leases = leases(&pairs);
                    leases.known.values_mut().zip(&meant).for_each(|(lease, host)| lease.meant = Some(format!("h{host}")));
                    for beat in 0..2 {
                        let all = (0..hosts).map(|n| Host { sources: wanted.clone(), drained: drained[n], ..host(&format!("h{n}"), &[], beat) });
                        view.observe(leases.clone(), all.collect(), now);
                    }
                    let mine = names.iter().zip(&held).filter(|(_, holder)| **holder == id(own)).map(|(name, _)| name.clone()).collect();
                    let none = BTreeSet::new();
                    let plan = view.plan(Own { id: &id(own), wanted: &wanted, held: &mine, barred: &none, unable: &none }, now);
                    let at = |name: &String| names.iter().position(|known| known == name).unwrap();
                    moves += plan.take.len() + plan.give.len();
                    plan.take.iter().for_each(|taking| held[at(&taking.source)] = id(own));
                    plan.give.iter().for_each(|name| held[at(name)] = NOBODY.to_owned());
                }
            }
            prop_assert_eq!(moves, 0);
            let counts: Vec<usize> = (0..hosts).map(|n| held.iter().filter(|holder| **holder == id(n)).count()).collect();
            let working: Vec<usize> = (0..hosts).filter(|n| !drained[*n]).collect();
            prop_assert_eq!(counts.iter().sum::<usize>(), if working.is_empty() { 0 } else { sources });
            // In the order of the leases in the table.
            let sorted: BTreeSet<&String> = names.iter().collect();
            let pinned = sorted.into_iter().zip(&meant).filter(|(_, host)| working.contains(host));
            let mut pins = vec![0; hosts];
            for (name, host) in pinned {
                let at = names.iter().position(|known| known == name).unwrap();
                prop_assert_eq!(&held[at], &id(*host));
                pins[*host] += 1;
            }
            // A host with more than another one has only what is meant for it, or one more.
            let least = working.iter().map(|n| counts[*n]).min().unwrap_or_default();
            for n in 0..hosts {
                prop_assert!(counts[n] <= pins[n].max(least + 1), "{:?} {:?}", counts, pins);
            }
        }
    }
}
