//! Which input a backfill works for.

use std::sync::Arc;

use super::Options;
use crate::config::Input;
use crate::config::problem::suggestion;
use crate::config::registry::Catalog;

/// The input that has the service; else the only one there is, with the service as the registry has it.
/// The error says what to write.
pub fn input(inputs: &[Input], options: &Options) -> Result<Input, String> {
    let meant = named(inputs, options.input.as_deref())?;
    let has = |input: &&Input| input.services.iter().any(|service| service.name == options.service);
    let having: Vec<&Input> = meant.iter().copied().filter(has).collect();
    match (having.as_slice(), meant.as_slice()) {
        ([input], _) => Ok((*input).clone()),
        ([], [input]) => Ok(with_service(input, options)?),
        ([], _) => Err(format!(
            "no input of the configuration has the service {}: name one with --input ({})",
            options.service,
            keys(&meant)
        )),
        (several, _) => Err(format!(
            "several inputs have the service {}: name one with --input ({})",
            options.service,
            keys(several)
        )),
    }
}

/// The inputs that may be meant.
fn named<'i>(inputs: &'i [Input], key: Option<&str>) -> Result<Vec<&'i Input>, String> {
    let Some(key) = key else { return Ok(inputs.iter().collect()) };
    let found: Vec<_> = inputs.iter().filter(|input| input.key == key).collect();
    if found.is_empty() {
        let keys: Vec<_> = inputs.iter().map(|input| input.key.as_str()).collect();
        return Err(format!("{key:?} is no enabled input: {}", suggestion(key, &keys)));
    }
    Ok(found)
}

fn with_service(input: &Input, options: &Options) -> Result<Input, String> {
    let catalog = Catalog::of_configuration(&options.config).map_err(|problems| problems.to_string())?;
    let Some(row) = catalog.row(&options.service) else {
        let names: Vec<_> = catalog.rows().iter().map(|row| row.name.as_str()).collect();
        return Err(format!("{:?} is no service: {}", options.service, suggestion(&options.service, &names)));
    };
    Ok(Input { services: vec![Arc::clone(&row.definition)], ..input.clone() })
}

fn keys(inputs: &[&Input]) -> String {
    inputs.iter().map(|input| input.key.as_str()).collect::<Vec<_>>().join(", ")
}
