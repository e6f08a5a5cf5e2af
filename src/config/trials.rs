//! The tests that stand beside services.

use std::sync::Arc;

use super::node::Node;
use super::problem::Report;
use super::service::trials;
use super::{Loaded, service};
use crate::services::Definition;

pub use super::service::trials::{Expected, Input, Trial};

/// Every test of a configuration's enabled services, with the service as it is read.
pub fn trials(loaded: &Loaded) -> Vec<(Arc<Definition>, Trial)> {
    // What is wrong with them has been told when the configuration was read.
    let report = Report::default();
    let mut all = Vec::new();
    for input in &loaded.config.inputs {
        for definition in &input.services {
            let path = ["inputs", &input.key, "services", &definition.name, service::TESTS];
            if let Some(tests) = loaded.snapshot.value(&path) {
                let node = Node::new(path.join("."), tests, &report);
                all.extend(trials::read(&node).into_iter().map(|trial| (Arc::clone(definition), trial)));
            }
        }
    }
    all
}
