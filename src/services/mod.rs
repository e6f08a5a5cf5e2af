//! The registry of services, and what a service is.
//!
//! Pure.

pub mod definition;
pub mod route;
pub mod rules;
pub mod template;

pub use definition::{Case, Definition};
pub use route::{Route, Verdict};
