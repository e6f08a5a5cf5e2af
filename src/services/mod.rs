//! The registry of services, and what a service is.
//!
//! Pure.

pub mod definition;
pub mod field;
pub mod route;
pub mod rules;
pub mod tables;
pub mod template;

pub use definition::{Case, Definition};
pub use route::{Route, Verdict};

/// The pre-built services, one row each, in the same keys that a configuration file uses for a service
/// of its own. `config::registry` reads it.
pub const REGISTRY: &str = include_str!("registry.yaml");

/// The services of `aws` inputs, one row for each name and type. `config::aws` reads it.
pub const AWS_COLLECTOR: &str = include_str!("aws_collector.yaml");
