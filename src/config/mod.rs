//! The configuration file as written (the vendor's keys) -> [`Config`](crate::settings::Config), valid by construction.

mod audit;
pub mod aws;
mod catalog;
mod context;
mod credentials;
mod describe;
mod duration;
pub mod endings;
mod endpoints;
mod environment;
mod files;
mod globals;
pub mod ignored;
mod input;
mod inputs;
mod internal_events;
pub mod keys;
pub mod kind;
mod load;
mod memory;
mod node;
mod numbers;
mod outputs;
mod permissions;
mod persistence;
mod placeholders;
pub mod problem;
pub mod registry;
pub mod schema;
mod secrets;
mod service;
mod service_keys;
mod snapshot;
mod status;
mod substitute;
mod tls;
mod tree;
pub mod trials;
pub mod url;
mod users;
pub mod vendor;

pub use describe::describe_format;
pub use environment::Environment;
pub use load::{Loaded, catalog, load, load_inputs, load_with, parse};
pub use problem::{Problem, Problems, Severity};
pub use snapshot::{Changes, Snapshot};

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
