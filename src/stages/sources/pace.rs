//! The rate limits of sources.

use std::collections::HashMap;
use std::time::Duration;

use crate::aws::Pace;
use crate::base::limits::POLL_PERIOD_MAX;
use crate::base::locks::lock;
use crate::base::runtime::sync::Mutex;
use crate::fleet::Tenure;
use crate::settings;

/// The rate limits of a run, shared by their sources.
#[derive(Debug, Default)]
pub struct Paces(Mutex<HashMap<String, Pace>>);

impl Paces {
    /// The rate limits of a source: its input's own, and AWS's for the account, region and API. If hosts share the sources, each limit
    /// holds for all of them together.
    pub fn of(&self, source: &settings::Source, tenure: Option<&Tenure>) -> Vec<Pace> {
        let own = source.requests_per_second.map(|rate| (format!("input {}", source.input), 1.0 / rate));
        let caller = || format!("{} {:?} in {}", source.api.name(), source.credentials, source.region);
        let of_api = source.api.interval().map(|interval| (caller(), interval.as_secs_f64()));
        let all: Vec<_> =
            own.into_iter().chain(of_api).map(|(name, seconds)| self.shared(name, seconds)).collect();
        for (pace, tenure) in all.iter().flat_map(|pace| tenure.map(|tenure| (pace, tenure.clone()))) {
            pace.divide(move || tenure.caller());
        }
        all
    }

    fn shared(&self, name: String, seconds: f64) -> Pace {
        let mut paces = lock(&self.0);
        let interval = Duration::try_from_secs_f64(seconds).unwrap_or(POLL_PERIOD_MAX).min(POLL_PERIOD_MAX);
        paces.entry(name).or_insert_with(|| Pace::every(interval)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn source(input: &str, region: &str, requests_per_second: Option<f64>) -> settings::Source {
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
        let shared = |one: &settings::Source, other: &settings::Source| {
            let (one, other) = (paces.of(one, None), paces.of(other, None));
            one.iter().filter(|pace| other.iter().any(|other| pace.is(other))).count()
        };
        let here = source("1", "us-east-1", Some(0.25));
        assert_eq!(shared(&here, &source("1", "eu-west-3", Some(0.25))), 1, "the input's own");
        assert_eq!(shared(&here, &source("2", "us-east-1", None)), 1, "the account's and region's");
        assert_eq!(shared(&here, &source("2", "eu-west-3", None)), 0);
        let intervals: Vec<_> =
            paces.of(&here, None).iter().map(|pace| pace.interval().as_millis()).collect();
        assert_eq!(intervals, [4000, 500]);
    }
}
