//! receive
pub mod leases;
