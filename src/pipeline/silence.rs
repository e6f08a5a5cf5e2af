//! Detection of silent services. A feed that has stopped causes no error, no retry and no dead letter.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::base::crew::Crew;
use crate::base::limits::{
    QUIET_CHECK_INTERVAL, QUIET_LEARNT_MIN, QUIET_LEARNT_SLOTS_MIN, QUIET_LEARNT_SPAN, QUIET_MARGIN,
};
use crate::base::stop::Stop;
use crate::base::text::span;
use crate::ledger::{FILE, Look, seconds};
use crate::settings::Config;
use crate::telemetry::{self, Failure, Health, Telemetry};

/// A watched service of an input.
struct Watched {
    health: Arc<Health>,
    service: Arc<telemetry::Service>,
    /// `quiet_after`.
    written: Option<Duration>,
    learnt: Option<Duration>,
}

/// Starts the thread that watches all services of the inputs that send.
///
/// # Errors
/// If the thread cannot be started.
pub fn start(config: &Config, telemetry: &Arc<Telemetry>, stop: &Stop) -> std::io::Result<Crew> {
    let path = config.globals.state_directory.join(FILE);
    let sources = history(Look::open(&path, None).ok().as_ref(), Timestamp::now());
    let mut watched = Vec::new();
    for (input, counts) in config.inputs.iter().zip(&telemetry.inputs).filter(|(input, _)| !input.do_not_send)
    {
        for service in &input.services {
            let counts = counts.service(&service.name);
            let slots = sources.get(&format!("{}/{}", input.id, service.name));
            let slots = slots.or_else(|| sources.get(&input.id));
            if let Some(last) = slots.and_then(|slots| slots.last()) {
                counts.delivered_at(*last);
            }
            let health = Arc::new(Health::dispensable(format!("inputs.{}: {}", input.key, service.name)));
            telemetry.adopt(&health);
            watched.push(Watched {
                health,
                service: Arc::clone(counts),
                written: service.quiet_after,
                learnt: slots.and_then(|slots| learn(slots)),
            });
        }
    }
    let (mut crew, stop) = (Crew::new(), stop.clone());
    crew.spawn("silence", move || {
        while !stop.wait(QUIET_CHECK_INTERVAL) {
            watched.iter().for_each(|watched| watched.look(Timestamp::now().as_second()));
        }
    })?;
    Ok(crew)
}

/// The slots in which each source has delivered events, in order, in seconds since 1970.
fn history(look: Option<&Look>, now: Timestamp) -> std::collections::BTreeMap<String, Vec<i64>> {
    let from = now.as_second() - seconds(QUIET_LEARNT_SPAN);
    let mut slots: std::collections::BTreeMap<String, Vec<i64>> = std::collections::BTreeMap::new();
    // Nothing is learnt without a ledger.
    for sent in look.and_then(|look| look.sent(from, i64::MAX).ok()).unwrap_or_default() {
        let own = slots.entry(sent.source).or_default();
        if own.last() != Some(&sent.slot) {
            own.push(sent.slot);
        }
    }
    slots
}

/// The longest pause of a source, times [`QUIET_MARGIN`]. None if it has not delivered often enough.
fn learn(slots: &[i64]) -> Option<Duration> {
    if slots.len() < QUIET_LEARNT_SLOTS_MIN {
        return None;
    }
    let longest = slots.windows(2).map(|pair| pair[1] - pair[0]).max()?;
    let longest = Duration::from_secs(longest.max(0).unsigned_abs());
    Some(longest.mul_f64(QUIET_MARGIN).max(QUIET_LEARNT_MIN))
}

impl Watched {
    fn look(&self, now: i64) {
        let Some(last) = self.service.last_delivery() else { return };
        let Some(allowed) = self.written.or(self.learnt) else { return };
        let quiet = Duration::from_secs((now - last).max(0).unsigned_abs());
        if quiet <= allowed {
            if self.health.trouble().is_some() {
                self.health.works();
            }
            return;
        }
        let why = match self.written {
            Some(_) => format!("quiet_after is {}", span(allowed)),
            None => {
                format!("its longest pause of the last two weeks was {}", span(allowed.div_f64(QUIET_MARGIN)))
            }
        };
        let message = format!(
            "nothing has been delivered for {}, and {why}. Check that its logs are still written and that the bucket still \
             announces them to the queue: `aws-to-devo audit` finds missing objects",
            span(quiet)
        );
        self.health.failed(Failure { cause: "quiet".to_owned(), message }, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_learnt_from_those_that_there_were() {
        let every = |minutes: i64, count: i64| (0..count).map(|i| i * minutes * 60).collect::<Vec<_>>();
        assert_eq!(learn(&every(5, 10)), None, "too few to tell");
        assert_eq!(learn(&every(5, 1000)), Some(QUIET_LEARNT_MIN));
        assert_eq!(learn(&every(240, 80)), Some(Duration::from_secs(6 * 3600)));
        let mut nightly = every(5, 100);
        nightly.extend(every(5, 100).iter().map(|slot| slot + 10 * 3600 + 99 * 300));
        assert_eq!(learn(&nightly), Some(Duration::from_secs(15 * 3600)));
    }

    #[test]
    fn silence_is_told_until_something_comes() {
        let telemetry = telemetry::testing::telemetry();
        let service = Arc::clone(telemetry.inputs[0].service("aws_sqs_vpc"));
        let hour = Duration::from_secs(3600);
        let watched = |written, learnt| Watched {
            health: Arc::new(Health::dispensable("s")),
            service: Arc::clone(&service),
            written,
            learnt,
        };
        let troubled = |watched: &Watched, now| {
            watched.look(now);
            watched.health.trouble().map(|trouble| trouble.message)
        };
        let set = watched(Some(hour), Some(2 * hour));
        assert_eq!(troubled(&set, 1_000_000), None, "nothing was ever delivered");
        service.delivered_at(1000);
        assert_eq!(troubled(&set, 1000 + 3600), None);
        assert!(troubled(&set, 1000 + 3601).unwrap().contains("quiet_after is 1 h"));
        service.delivered_at(6000);
        service.delivered_at(2000);
        assert_eq!(troubled(&set, 6001), None, "an older delivery is not the last");
        assert!(troubled(&watched(None, Some(3 * hour)), 6000 + 11_000).unwrap().contains("was 2 h"));
        assert_eq!(troubled(&watched(None, None), i64::MAX), None);
    }
}
