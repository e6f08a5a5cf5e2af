//! `demo`, `bench`, and the stand-ins for AWS and Devo that both run against. All of it is there only with the cargo
//! feature `lab`, which is on by default: a build for production can leave it out.

pub mod bench;
pub mod demo;
pub mod simulate;
pub mod stages;
pub mod testbed;
