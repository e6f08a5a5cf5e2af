//! No more calls than are allowed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::config;
use crate::limits::POLL_PERIOD_MAX;
use crate::stop::Stop;

/// Calls at least an interval apart, whoever makes them. Clones share it.
#[derive(Debug, Clone)]
pub struct Pace {
    interval: Duration,
    next: Arc<Mutex<Instant>>,
}

/// The paces of a run, shared by the sources that they hold for.
#[derive(Debug, Default)]
pub struct Paces(Mutex<HashMap<String, Pace>>);

impl Paces {
    /// What a source has to keep to: its input's own limit, and AWS's for the account, region and API.
    pub fn of(&self, source: &config::Source) -> Vec<Pace> {
        let own = source.requests_per_second.map(|rate| (format!("input {}", source.input), 1.0 / rate));
        let caller = || format!("{} {:?} in {}", source.api.name(), source.credentials, source.region);
        let of_api = source.api.interval().map(|interval| (caller(), interval.as_secs_f64()));
        own.into_iter().chain(of_api).map(|(name, seconds)| self.shared(name, seconds)).collect()
    }

    fn shared(&self, name: String, seconds: f64) -> Pace {
        let mut paces = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let interval = Duration::try_from_secs_f64(seconds).unwrap_or(POLL_PERIOD_MAX).min(POLL_PERIOD_MAX);
        paces.entry(name).or_insert_with(|| Pace::every(interval)).clone()
    }
}

impl Pace {
    /// The first call may be made at once.
    pub fn every(interval: Duration) -> Pace {
        Pace { interval, next: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Waits for this caller's turn. True: stopped.
    pub fn wait(&self, stop: &Stop) -> bool {
        let now = Instant::now();
        let turn = self.take_turn(now);
        stop.wait(turn.saturating_duration_since(now))
    }

    fn take_turn(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let turn = (*next).max(now);
        *next = turn + self.interval;
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(input: &str, region: &str, requests_per_second: Option<f64>) -> config::Source {
        let text = format!(
            "{{\"outputs\": {{\"c\": {{\"type\": \"console\"}}}}, \"inputs\": {{\"aws\": {{\"id\": \"{input}\", \"services\": \
             {{\"audit-events-all\": {{\"types\": [\"audits_api\"], \"regions\": [\"{region}\"]}}}}}}}}}}"
        );
        let loaded = config::parse(&text, std::path::Path::new(""), &config::Environment::here()).unwrap();
        let mut source = loaded.config.sources[0].clone();
        source.requests_per_second = requests_per_second;
        source
    }

    #[test]
    fn an_input_s_sources_share_its_limit_and_callers_share_awss() {
        let paces = Paces::default();
        let shared = |one: &config::Source, other: &config::Source| {
            let (one, other) = (paces.of(one), paces.of(other));
            one.iter()
                .flat_map(|pace| other.iter().map(|other| Arc::ptr_eq(&pace.next, &other.next)))
                .filter(|same| *same)
                .count()
        };
        let here = source("1", "us-east-1", Some(0.25));
        assert_eq!(shared(&here, &source("1", "eu-west-3", Some(0.25))), 1, "the input's own");
        assert_eq!(shared(&here, &source("2", "us-east-1", None)), 1, "the account's and region's");
        assert_eq!(shared(&here, &source("2", "eu-west-3", None)), 0);
        let intervals: Vec<_> = paces.of(&here).iter().map(|pace| pace.interval.as_millis()).collect();
        assert_eq!(intervals, [4000, 500]);
    }

    #[test]
    fn turns_are_an_interval_apart_and_are_not_saved_up() {
        let pace = Pace::every(Duration::from_millis(500));
        let start = Instant::now() + Duration::from_secs(1);
        let ms = Duration::from_millis;
        let turns = [start, start, start + ms(100)].map(|now| pace.clone().take_turn(now) - start);
        assert_eq!(turns, [ms(0), ms(500), ms(1000)]);
        assert_eq!(pace.take_turn(start + ms(9000)), start + ms(9000));
        assert_eq!(pace.take_turn(start + ms(9000)), start + ms(9500));
    }
}
