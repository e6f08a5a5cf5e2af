//! The tests of services.

use std::sync::Arc;

use serde_json::Value;

use super::catalog::Catalog;
use super::node::Node;
use super::problem::Report;
use super::service::trials;
use super::{Loaded, service};
use crate::services::Definition;

pub use super::service::trials::{Expected, Input, Trial};

/// Every test of a configuration's enabled services, with the service's definition.
pub fn trials(loaded: &Loaded) -> Vec<(Arc<Definition>, Trial)> {
    // Their problems were reported when the configuration was read.
    let report = Report::default();
    let inputs = loaded.snapshot.value(&["inputs"]).and_then(Value::as_object);
    let services = inputs.into_iter().flatten().flat_map(|(input, keys)| {
        let services = keys.get("services").and_then(Value::as_object);
        services.into_iter().flatten().map(move |(name, keys)| (input, name, keys))
    });
    let mut all = Vec::new();
    for (input, name, keys) in services {
        if let (Some(tests), Some(definition)) = (keys.get(service::TESTS), definition(loaded, input, name)) {
            let node =
                Node::new(format!("inputs.{input}.services.{name}.{}", service::TESTS), tests, &report);
            all.extend(trials::read(&node).into_iter().map(|trial| (Arc::clone(definition), trial)));
        }
    }
    all
}

/// Every test of a definitions file, with the service as it is defined there.
pub fn of_definitions(catalog: &Catalog) -> Vec<(Arc<Definition>, Trial)> {
    let report = Report::default();
    let mut all = Vec::new();
    for (row, tests) in catalog.rows().iter().filter_map(|row| Some((row, row.tests.as_ref()?))) {
        let node = Node::new(format!("{}.{}", row.name, service::TESTS), tests, &report);
        all.extend(trials::read(&node).into_iter().map(|trial| (Arc::clone(&row.definition), trial)));
    }
    all
}

/// The service as an input reads it; of a service of an `aws` input the first feed in its first region. None if it is
/// disabled.
fn definition<'l>(loaded: &'l Loaded, input: &str, name: &str) -> Option<&'l Arc<Definition>> {
    let config = &loaded.config;
    let own = config.inputs.iter().filter(|other| other.key == input).flat_map(|input| &input.services);
    let path = format!("{input}.services.{name}");
    let is_feed = |key: &str| key.strip_prefix(&*path).is_some_and(|rest| rest.starts_with([' ', '/']));
    let queues = config.inputs.iter().filter(|input| is_feed(&input.key)).flat_map(|input| &input.services);
    let path_of_source = format!("inputs.{path}");
    let sources = config.sources.iter().filter(|source| source.path == path_of_source);
    own.filter(|service| service.name == name)
        .chain(queues)
        .chain(sources.map(|source| &source.service))
        .next()
}
