//! Reads the keys `globals.audit` and `globals.devo_api`: audits, and Devo's query API.

use std::path::Path;
use std::time::Duration;

use super::context::Context;
use super::duration;
use super::kind::Kind;
use super::node::Mapping;
use super::url;
use crate::settings::{Audit, Bucket, DevoApi};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// The documented defaults.
const EVERY: Duration = HOUR;
const WINDOW: Duration = DAY;
const DELAY: Duration = Duration::from_secs(1800);

/// Reads `globals.audit`. None if there are no audits while the collector runs.
pub(super) fn read(globals: &Mapping<'_>) -> Option<Audit> {
    let keys = globals.mapping("audit")?;
    let enabled = keys.boolean("enabled", true);
    let audit = Audit {
        every: duration::read(&keys, "every", 10 * SECOND..=7 * DAY).unwrap_or(EVERY),
        window: duration::read(&keys, "window", 60 * SECOND..=14 * DAY).unwrap_or(WINDOW),
        delay: duration::read(&keys, "delay", Duration::ZERO..=7 * DAY).unwrap_or(DELAY),
        fix: keys.boolean("fix", false),
        buckets: buckets(&keys),
    };
    keys.finish();
    enabled.then_some(audit)
}

fn buckets(keys: &Mapping<'_>) -> Vec<Bucket> {
    let bucket = |node: super::node::Node<'_>| {
        let text = node.text()?;
        text.parse::<Bucket>()
            .map_err(|error| node.error(Kind::Invalid, error.to_string(), "write it like my-logs/AWSLogs/"))
            .ok()
    };
    keys.list("buckets").into_iter().filter_map(bucket).collect()
}

/// Reads `globals.devo_api`. None if Devo is not asked.
pub(super) fn read_devo_api(globals: &Mapping<'_>, context: &Context<'_>) -> Option<DevoApi> {
    let keys = globals.mapping("devo_api")?;
    let region = keys.string("region");
    let written = keys.string("url");
    let token_file = keys.required("token_file", "name a file that contains only the token");
    let url = match (written, region.as_deref()) {
        (Some(url), _) => match url::absolute(&url) {
            Ok(_) => Some(url),
            Err(refusal) => {
                let advice = "write an address such as https://apiv2-eu.devo.com/search/query";
                keys.report.error(Kind::Invalid, keys.path_of("url"), refusal, advice);
                None
            }
        },
        (None, Some(region)) => url_of(region).map(str::to_owned).or_else(|| {
            let message = format!("{region:?} is not a known region");
            let advice = "us, us3, eu, ca or apac; or write \"url\" instead";
            keys.report.error(Kind::Invalid, keys.path_of("region"), message, advice);
            None
        }),
        (None, None) => {
            let advice = "set the region of the Devo domain: us, us3, eu, ca or apac";
            keys.report.error(Kind::Missing, keys.path_of("region"), "is missing", advice);
            None
        }
    };
    keys.finish();
    let token_file = context.find(&token_file?, &[], Path::is_file);
    Some(DevoApi { url: url?, token_file })
}

/// The address of a region, from the vendor's page on its query API.
fn url_of(region: &str) -> Option<&'static str> {
    Some(match region {
        "us" => "https://apiv2-us.devo.com/search/query",
        "us3" => "https://api-us3.devo.com/search/query",
        "eu" => "https://apiv2-eu.devo.com/search/query",
        "ca" => "https://apiv2-ca.devo.com/search/query",
        "apac" | "ap" => "https://api-apac.devo.com/search/query",
        _ => return None,
    })
}
