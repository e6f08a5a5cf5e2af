//! The registry of services, and the definition of a service.
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

/// The built-in services, one row each, in the same keys as a custom service in a configuration file.
/// `config::registry` reads it.
pub const REGISTRY: &str = include_str!("registry.yaml");

/// The services of `aws` inputs, one row per name and type. `config::aws` reads it.
pub const AWS_COLLECTOR: &str = include_str!("aws_collector.yaml");
