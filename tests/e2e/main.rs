//! End-to-end tests: the program as users run it, between an AWS emulator that checks signatures and a syslog server
//! that requires a client certificate.
//!
//! `scripts/test` installs both servers and runs these tests; they are not part of a plain `cargo test`. `cases/` has
//! the cases; `rig/` has their apparatus. Expected frames are computed in [`feeds`](rig::feeds), apart from the
//! program's own code; received ones are compared byte for byte in [`frames`](rig::frames).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test stops at the first failure"
)]

mod cases;
mod rig;
