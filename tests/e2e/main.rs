//! End-to-end tests: the program as users run it, between an AWS emulator that checks signatures and a
//! syslog server that demands a client certificate.
//!
//! `scripts/test` installs both servers and runs these tests; they are not part of a plain `cargo test`.
//! What must arrive is worked out in [`feeds`], apart from the program's own code; what did arrive is
//! compared byte for byte in [`frames`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test stops at the first thing that is not as it should be"
)]

// The apparatus.
mod answerer;
mod aws;
mod balancer;
mod collector;
mod emulator;
mod fault_island;
mod fault_line;
mod fault_proxy;
mod feeds;
mod frames;
mod lab;
mod log_flood;
mod lookups;
mod notices;
mod pki;
mod process;
#[path = "../raw_parquet/mod.rs"]
mod raw;
mod relay;
#[path = "../samples/mod.rs"]
mod samples;
mod slow_line;
mod small_disk;
mod syslogng;

// The cases.
mod answers;
mod api_sources;
mod apparatus;
mod backfill;
mod commands;
mod credentials;
mod deaths;
mod faults_aws;
mod faults_host;
mod faults_ledger;
mod faults_s3;
mod faults_sink;
mod faults_sqs;
mod groups;
mod hostile;
mod leases;
mod ledger;
mod life_signs;
mod memory;
mod messages;
mod outages;
mod outputs;
mod poison;
mod reload;
mod services;
mod setup;
mod sharing;
mod shutdown;
mod source_faults;
mod sources;
mod state_directory;
mod status;
mod switches;
mod trust;
mod volume;
