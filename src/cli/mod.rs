//! cli
pub mod check;
pub mod services;
