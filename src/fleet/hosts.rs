//! The other hosts' heartbeats, by this host's own clock. Pure.

use std::collections::HashMap;
use std::time::Instant;

use super::lease::{Beat, Host};
use crate::base::limits::FLEET_LEASE;

/// The heartbeats, as last read.
#[derive(Debug, Default)]
pub struct Heartbeats {
    heard: HashMap<String, Heard>,
    /// When the latest look was begun.
    asked: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Heard {
    beat: Beat,
    /// When this beat was first seen.
    at: Instant,
}

impl Heartbeats {
    /// Notes the table's hosts. The question was asked at `asked`, and its answer read at `now`.
    pub fn observe(&mut self, hosts: &[Host], asked: Instant, now: Instant) {
        let heard = |host: &Host| {
            let known = self.heard.get(&host.id).filter(|heard| heard.beat == host.beat);
            (host.id.clone(), known.cloned().unwrap_or_else(|| Heard { beat: host.beat.clone(), at: now }))
        };
        self.heard = hosts.iter().map(heard).collect();
        self.asked = Some(asked);
    }

    /// True if the host no longer holds what it was seen to hold at `seen`: it was silent for the length of a lease, up to
    /// the latest look, or it has left since. A look that was begun later decides, so that this host may stand still at
    /// any point.
    pub fn is_gone(&self, host: &str, seen: Instant) -> bool {
        let Some(asked) = self.asked else { return false };
        match self.heard.get(host) {
            Some(heard) => asked.saturating_duration_since(heard.at) >= FLEET_LEASE,
            None => asked > seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    fn host(beat: u64) -> Host {
        Host { id: "other".to_owned(), beat: Beat::Count(beat), ..Host::new("n", BTreeSet::new()) }
    }

    #[test]
    fn a_silent_host_is_gone_after_a_lease() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut hosts = Heartbeats::default();
        assert!(!hosts.is_gone("other", start), "nothing was read");
        hosts.observe(&[host(1)], start, start + second);
        assert!(!hosts.is_gone("other", start));
        hosts.observe(&[host(1)], start + FLEET_LEASE, start + 9 * FLEET_LEASE);
        assert!(!hosts.is_gone("other", start), "the answer came late: it may have beaten since");
        hosts.observe(&[host(1)], start + second + FLEET_LEASE, start + 9 * FLEET_LEASE);
        assert!(hosts.is_gone("other", start));
        hosts.observe(&[host(2)], start + 10 * FLEET_LEASE, start + 10 * FLEET_LEASE);
        assert!(!hosts.is_gone("other", start), "it beats again");
    }

    #[test]
    fn a_host_that_has_left_is_gone_and_one_that_has_just_come_is_not() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut hosts = Heartbeats::default();
        hosts.observe(&[], start, start);
        assert!(!hosts.is_gone("other", start + second), "it may have come since");
        hosts.observe(&[], start + 2 * second, start + 2 * second);
        assert!(hosts.is_gone("other", start + second));
    }
}
