//! Which source reads which API.

use super::source::PageSource;
use super::{cloudtrail, guardduty, logs, metrics};
use crate::aws::Client;
use crate::settings;
use crate::settings::Api;

/// The configured source.
pub fn source_of(source: &settings::Source, client: &Client) -> Box<dyn PageSource> {
    let (region, endpoint) = (source.region.clone(), client.endpoint(source.api.service()));
    match source.api.clone() {
        Api::CloudTrail(settings) => Box::new(cloudtrail::CloudTrail::new(settings, endpoint, region)),
        Api::Metrics(settings) => Box::new(metrics::Metrics::new(settings, source.period, endpoint, region)),
        Api::Logs(settings) => Box::new(logs::Logs::new(settings, endpoint, region)),
        Api::GuardDuty(settings) => Box::new(guardduty::GuardDuty::new(settings, endpoint, region)),
    }
}
