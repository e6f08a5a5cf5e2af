//! The embedded stand-ins behind `demo`, `bench` and the end-to-end tests, all on 127.0.0.1: an S3 + SQS endpoint over
//! plain HTTP (or with TLS in front of it), a TLS sink that requires a client certificate, the throw-away certificates
//! for both sides, a line that makes either of them distant, and objects whose every record is known beforehand.
//!
//! None of it uses the collector's own stages: expected output is computed independently.

pub mod aws;
pub mod frames;
pub mod https;
pub mod line;
pub mod load;
pub mod pki;
pub mod queue;
mod s3;
pub mod scenario;
pub mod sink;
pub mod sqs;
pub mod tally;

use std::net::{Ipv4Addr, SocketAddr};

/// More than a collector ever opens.
const CONNECTIONS_MAX: usize = 10_000;

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
