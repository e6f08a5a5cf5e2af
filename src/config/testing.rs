//! Configurations for the tests of modules below.

use std::path::Path;

use super::{Environment, parse};
use crate::settings::Config;

/// Reads a configuration with these inputs, as YAML below `inputs:`, and the console as its output.
pub fn of_inputs(inputs: &str) -> Config {
    let text = format!("outputs: {{console_1: {{type: console}}}}\ninputs:\n{inputs}");
    parse(&text, Path::new(""), &Environment::here()).unwrap_or_else(|problems| panic!("{problems}")).config
}
