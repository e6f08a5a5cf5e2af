//! Chooses the input, and the service, for an object named on the command line.

use std::path::Path;
use std::sync::Arc;

use crate::base::naming::is_under;
use crate::config::problem::{closest_service, suggestion};
use crate::settings::{Config, Input};

/// The choices made on the command line.
pub struct Wanted<'a> {
    /// The configuration.
    pub config: &'a Path,
    pub service: &'a str,
    /// Key of the input.
    pub input: Option<&'a str>,
}

/// Returns the input that has the service, and the service's full name there; otherwise the only input, with the service from
/// the registry. The error says what to write.
pub fn input(config: &Config, wanted: &Wanted<'_>) -> Result<(Input, String), String> {
    let meant = named(candidates(config), wanted.input)?;
    let having: Vec<(&Input, &str)> =
        meant.iter().filter_map(|input| Some((*input, service_of(input, wanted.service)?))).collect();
    match (having.as_slice(), meant.as_slice()) {
        ([(input, service)], _) => Ok(((*input).clone(), (*service).to_owned())),
        ([], []) => {
            Err("no input of the configuration reads objects: credentials, region and endpoints are \
                         taken from one"
                .to_owned())
        }
        ([], [input]) => Ok((with_service(input, wanted)?, wanted.service.to_owned())),
        ([], _) => Err(format!(
            "no input of the configuration has the service {}: name one with --input ({})",
            wanted.service,
            keys(&meant)
        )),
        (several, _) => Err(format!(
            "several inputs have the service {}: name one with --input ({})",
            wanted.service,
            keys(&several.iter().map(|(input, _)| *input).collect::<Vec<_>>())
        )),
    }
}

fn candidates(config: &Config) -> Vec<&Input> {
    let is_new = |input: &&Input| config.inputs.iter().all(|other| other.key != input.key);
    config.inputs.iter().chain(config.listings.iter().filter(is_new)).collect()
}

/// The inputs that match.
fn named<'i>(inputs: Vec<&'i Input>, key: Option<&str>) -> Result<Vec<&'i Input>, String> {
    let Some(key) = key else { return Ok(inputs) };
    let found: Vec<_> = inputs.iter().copied().filter(|input| input.key == key).collect();
    if found.is_empty() {
        let keys: Vec<_> = inputs.iter().map(|input| input.key.as_str()).collect();
        return Err(format!("{key:?} is not an enabled input: {}", suggestion(key, &keys)));
    }
    Ok(found)
}

/// The full name of an `aws` input's service, whose type may be omitted: `audit-events-all` is its `audits_s3`.
fn service_of<'i>(input: &'i Input, wanted: &str) -> Option<&'i str> {
    input.services.iter().map(|service| service.name.as_str()).find(|name| is_under(name, wanted))
}

fn with_service(input: &Input, wanted: &Wanted<'_>) -> Result<Input, String> {
    let catalog = crate::config::catalog(wanted.config).map_err(|problems| problems.to_string())?;
    let Some(row) = catalog.row(wanted.service) else {
        let names: Vec<_> = catalog.rows().iter().map(|row| row.name.as_str()).collect();
        let advice = closest_service(wanted.service, &names).map_or_else(
            || "`services` lists the built-in ones".to_owned(),
            |meant| format!("did you mean {meant:?}?"),
        );
        return Err(format!("{:?} is no service: {advice}", wanted.service));
    };
    Ok(Input { services: vec![Arc::clone(&row.definition)], ..input.clone() })
}

fn keys(inputs: &[&Input]) -> String {
    inputs.iter().map(|input| input.key.as_str()).collect::<Vec<_>>().join(", ")
}
