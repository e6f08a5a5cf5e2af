//! The view that one host has of the others, and the plan that follows from it. Pure.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::time::Instant;

use super::lease::{Host, Lease, NOBODY};
use crate::base::limits::FLEET_LEASE;

/// Everything in the table, with the time since when each thing has been as it is, by this host's clock.
#[derive(Debug, Default)]
pub struct View {
    leases: BTreeMap<String, Watched<Lease>>,
    hosts: BTreeMap<String, Watched<Host>>,
}

#[derive(Debug, Clone)]
struct Watched<T> {
    value: T,
    since: Instant,
    /// It has changed in this host's own eyes: what is seen for the first time may be of a host that died long ago.
    has_changed: bool,
}

/// The next steps of a host.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Sources to take, each with the lease as it was seen; None: nobody has ever held it.
    pub take: Vec<(String, Option<Lease>)>,
    /// Sources to hand over, because another host has fewer.
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
}

impl View {
    /// Notes the table's content. What has changed is seen as of `now`.
    pub fn observe(&mut self, leases: Vec<Lease>, hosts: Vec<Host>, now: Instant) {
        let leases = leases.into_iter().map(|lease| (lease.source.clone(), lease)).collect();
        let hosts = hosts.into_iter().map(|host| (host.id.clone(), host)).collect();
        self.leases = renewed(&self.leases, leases, now);
        self.hosts = renewed(&self.hosts, hosts, now);
    }

    /// The name of the host that holds the source and is alive. None: nobody, or `own`.
    pub fn holder(&self, source: &str, own: &str, now: Instant) -> Option<&str> {
        let lease = self.leases.get(source).filter(|lease| !is_free(lease, own, now))?;
        let name = self.hosts.get(&lease.value.holder).map(|host| host.value.name.as_str());
        name.or(Some(&lease.value.holder))
    }

    /// True if the lease has changed since it was first seen.
    pub fn has_changed(&self, source: &str) -> bool {
        self.leases.get(source).is_some_and(|lease| lease.has_changed)
    }

    /// The living hosts, each with the number of sources that it holds.
    pub fn living(&self, now: Instant) -> impl Iterator<Item = (&Host, usize)> {
        let living = self.hosts.values().filter(move |host| is_fresh(host, now));
        living.map(move |host| (&host.value, self.held_by(&host.value.id, now)))
    }

    /// The number of sources that a host holds.
    fn held_by(&self, id: &str, now: Instant) -> usize {
        let is_its = |lease: &&Watched<Lease>| lease.value.holder == id && is_fresh(lease, now);
        self.leases.values().filter(is_its).count()
    }

    /// Plans the next steps: free sources are taken up to a fair share, and some are handed over while another host has
    /// fewer.
    pub fn plan(&self, own: Own<'_>, now: Instant) -> Plan {
        let mut wants = self.wants(own, now);
        wants.insert(own.id, own.wanted);
        let mut loads = self.loads(own, &wants, now);
        let mut plan = Plan::default();
        let mut free: Vec<&String> =
            own.wanted.iter().filter(|source| self.may_take(source, own, now)).collect();
        // Hosts that start together begin with different ones.
        free.sort_by_key(|source| order(own.id, source));
        for source in free {
            if loads[own.id] < fair_share(source, &wants) {
                add(&mut loads, own.id, 1);
                plan.take.push((source.clone(), self.leases.get(source).map(|lease| lease.value.clone())));
            }
        }
        for source in own.held {
            let others = wants.iter().filter(|(id, wanted)| **id != own.id && wanted.contains(source));
            let Some((other, _)) = others.min_by_key(|(id, _)| loads[**id]) else { continue };
            if loads[*other] + 2 <= loads[own.id] {
                let other = *other;
                add(&mut loads, own.id, -1);
                add(&mut loads, other, 1);
                plan.give.push(source.clone());
            }
        }
        plan
    }

    /// The sources that each other living host wants.
    fn wants<'v>(&'v self, own: Own<'_>, now: Instant) -> BTreeMap<&'v str, &'v BTreeSet<String>> {
        let others = self.hosts.values().filter(|host| host.value.id != own.id && is_fresh(host, now));
        others.map(|host| (host.value.id.as_str(), &host.value.sources)).collect()
    }

    /// The number of sources that each living host holds.
    fn loads<'v>(
        &self,
        own: Own<'_>,
        wants: &BTreeMap<&'v str, &BTreeSet<String>>,
        now: Instant,
    ) -> BTreeMap<&'v str, i64> {
        let load = |id: &str| if id == own.id { own.held.len() } else { self.held_by(id, now) } as i64;
        wants.keys().map(|id| (*id, load(id))).collect()
    }

    fn may_take(&self, source: &str, own: Own<'_>, now: Instant) -> bool {
        let is_free = self.leases.get(source).is_none_or(|lease| is_free(lease, own.id, now));
        is_free && !own.held.contains(source) && !own.barred.contains(source)
    }
}

fn renewed<T: Clone + PartialEq>(
    known: &BTreeMap<String, Watched<T>>,
    seen: BTreeMap<String, T>,
    now: Instant,
) -> BTreeMap<String, Watched<T>> {
    let watch = |(name, value): (String, T)| {
        let known = known.get(&name);
        let same = known.filter(|known| known.value == value);
        let (since, has_changed) = same.map_or((now, known.is_some()), |same| (same.since, same.has_changed));
        (name, Watched { value, since, has_changed })
    };
    seen.into_iter().map(watch).collect()
}

/// True if it changed recently.
fn is_fresh<T>(watched: &Watched<T>, now: Instant) -> bool {
    now.saturating_duration_since(watched.since) < FLEET_LEASE
}

/// True if nobody holds it, its holder no longer renews it, or its holder is this host and has lost count.
fn is_free(lease: &Watched<Lease>, own: &str, now: Instant) -> bool {
    [NOBODY, own].contains(&lease.value.holder.as_str()) || !is_fresh(lease, now)
}

/// The number of sources that a host may hold and still take this one: those of all hosts that want it, divided among
/// these hosts.
fn fair_share(source: &str, wants: &BTreeMap<&str, &BTreeSet<String>>) -> i64 {
    let rivals: Vec<_> = wants.values().filter(|wanted| wanted.contains(source)).collect();
    let all: BTreeSet<&String> = rivals.iter().flat_map(|wanted| wanted.iter()).collect();
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

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn host(id: &str, sources: &[&str], beat: u64) -> Host {
        Host {
            id: id.into(),
            name: format!("host {id}"),
            version: String::new(),
            sources: set(sources),
            beat,
        }
    }

    fn lease(source: &str, holder: &str, beat: u64) -> Lease {
        Lease { source: source.into(), holder: holder.into(), epoch: 1, beat }
    }

    fn plan(view: &View, id: &str, wanted: &[&str], held: &[&str], now: Instant) -> Plan {
        let (wanted, held, barred) = (set(wanted), set(held), set(&[]));
        view.plan(Own { id, wanted: &wanted, held: &held, barred: &barred }, now)
    }

    fn taken(plan: &Plan) -> BTreeSet<String> {
        plan.take.iter().map(|(source, _)| source.clone()).collect()
    }

    #[test]
    fn one_host_takes_everything_at_once() {
        let plan = plan(&View::default(), "a", &["1", "2", "3"], &[], Instant::now());
        assert_eq!((taken(&plan), plan.give), (set(&["1", "2", "3"]), vec![]));
    }

    #[test]
    fn a_lease_is_free_only_when_it_has_not_changed_for_its_term_in_the_own_eyes() {
        let (mut view, start) = (View::default(), Instant::now());
        let hosts = || vec![host("b", &["1"], 0)];
        view.observe(vec![lease("1", "b", 0)], hosts(), start);
        let soon = start + FLEET_LEASE - Duration::from_millis(1);
        assert_eq!(view.holder("1", "a", soon), Some("host b"));
        assert!(plan(&view, "a", &["1"], &[], soon).take.is_empty());
        assert_eq!(taken(&plan(&view, "a", &["1"], &[], start + FLEET_LEASE)), set(&["1"]));
        // Renewed: its term begins again when that is seen.
        view.observe(vec![lease("1", "b", 1)], hosts(), soon);
        assert!(plan(&view, "a", &["1"], &[], start + FLEET_LEASE).take.is_empty());
        assert_eq!(view.holder("1", "a", soon + FLEET_LEASE), None);
        view.observe(vec![lease("1", NOBODY, 1)], hosts(), soon);
        assert_eq!(view.holder("1", "a", soon), None);
    }

    #[test]
    fn the_first_look_at_a_lease_is_no_sign_of_life() {
        let (mut view, start) = (View::default(), Instant::now());
        for (beat, is_sign) in [(7, false), (7, false), (8, true), (8, true)] {
            view.observe(vec![lease("1", "b", beat)], vec![host("b", &["1"], beat)], start);
            assert_eq!((view.holder("1", "a", start), view.has_changed("1")), (Some("host b"), is_sign));
        }
    }

    #[test]
    fn a_host_lives_while_its_heart_beats() {
        let (mut view, start) = (View::default(), Instant::now());
        let living = |view: &View, now| {
            view.living(now).map(|(host, held)| (host.id.clone(), held)).collect::<Vec<_>>()
        };
        let leases = || vec![lease("1", "a", 0), lease("2", "b", 0), lease("3", "b", 0)];
        view.observe(leases(), vec![host("a", &[], 0), host("b", &[], 0)], start);
        assert_eq!(living(&view, start), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        view.observe(leases(), vec![host("a", &[], 1), host("b", &[], 0)], start + FLEET_LEASE);
        assert_eq!(living(&view, start + FLEET_LEASE), [("a".to_owned(), 0)], "a beats, but renews nothing");
    }

    #[test]
    fn a_newcomer_gets_its_share_and_nothing_more_is_moved_then() {
        let (mut view, now) = (View::default(), Instant::now());
        let sources = ["1", "2", "3", "4", "5"];
        view.observe(
            sources.iter().map(|source| lease(source, "a", 0)).collect(),
            vec![host("b", &sources, 0)],
            now,
        );
        assert_eq!(plan(&view, "a", &sources, &sources, now).give.len(), 2);
        assert!(plan(&view, "a", &sources, &sources[..3], now).give.len() <= 1, "b will have two");
        view.observe(
            sources
                .iter()
                .enumerate()
                .map(|(n, source)| lease(source, if n < 3 { "a" } else { "b" }, 0))
                .collect(),
            vec![host("b", &sources, 0)],
            now,
        );
        assert_eq!(plan(&view, "a", &sources, &sources[..3], now), Plan::default());
    }

    #[test]
    fn a_source_that_only_one_host_wants_stays_there() {
        let (mut view, now) = (View::default(), Instant::now());
        view.observe(vec![], vec![host("b", &["5"], 0)], now);
        let all = ["1", "2", "3", "4"];
        assert_eq!(taken(&plan(&view, "a", &all, &[], now)), set(&all));
        assert!(plan(&view, "a", &all, &all, now).give.is_empty());
    }

    #[test]
    fn a_host_that_has_lost_count_takes_its_own_lease_again() {
        let (mut view, now) = (View::default(), Instant::now());
        view.observe(vec![lease("1", "a", 4)], vec![], now);
        assert_eq!(plan(&view, "a", &["1"], &[], now).take, [("1".to_owned(), Some(lease("1", "a", 4)))]);
    }

    proptest! {
        /// Hosts that act in turn come to equal shares, from any start, and then stand still.
        #[test]
        fn shares_become_equal(hosts in 1usize..6, sources in 0usize..20, mut owners in proptest::collection::vec(0usize..7, 20)) {
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
                    let leases = names.iter().zip(&held).map(|(name, holder)| lease(name, holder, 0)).collect();
                    let mut view = View::default();
                    let all = (0..hosts).map(|n| Host { sources: wanted.clone(), ..host(&format!("h{n}"), &[], 0) });
                    view.observe(leases, all.collect(), now);
                    let mine = names.iter().zip(&held).filter(|(_, holder)| **holder == id(own)).map(|(name, _)| name.clone()).collect();
                    let none = BTreeSet::new();
                    let plan = view.plan(Own { id: &id(own), wanted: &wanted, held: &mine, barred: &none }, now);
                    let at = |name: &String| names.iter().position(|known| known == name).unwrap();
                    moves += plan.take.len() + plan.give.len();
                    plan.take.iter().for_each(|(name, _)| held[at(name)] = id(own));
                    plan.give.iter().for_each(|name| held[at(name)] = NOBODY.to_owned());
                }
            }
            prop_assert_eq!(moves, 0);
            let counts: Vec<usize> = (0..hosts).map(|n| held.iter().filter(|holder| **holder == id(n)).count()).collect();
            prop_assert_eq!(counts.iter().sum::<usize>(), sources);
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{:?}", counts);
        }
    }
}
