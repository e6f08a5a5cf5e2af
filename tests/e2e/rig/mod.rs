//! The environment of the cases: stand-ins for AWS and Devo, failing networks, feeds with known frames, and a
//! [`lab`](lab::Lab) that joins them. Nothing here is a case, except that some modules test themselves.

pub mod answerer;
pub mod aws;
pub mod balancer;
pub mod browser;
pub mod collector;
pub mod emulator;
pub mod fault_island;
pub mod fault_line;
pub mod fault_proxy;
pub mod feeds;
pub mod frames;
pub mod lab;
pub mod lookups;
pub mod notices;
pub mod pki;
pub mod process;
pub mod relay;
pub mod slow_line;
pub mod small_disk;
pub mod syslogng;

#[path = "../../raw_parquet/mod.rs"]
pub mod raw;
#[path = "../../samples/mod.rs"]
pub mod samples;
