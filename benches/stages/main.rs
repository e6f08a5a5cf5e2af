//! The speed of each stage, and of all of them together. Every bench asserts its counts.
//!
//! It measures CPU time. One program for all, because linking takes the time. `cargo bench --bench stages -- route`
//! runs a part.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark stops at the first failure"
)]

mod aws;
mod clock;
mod decode;
mod frame;
mod route;
mod send;
mod whole;

use clock::CpuTime;
use criterion::{Criterion, criterion_group, criterion_main};

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets =
        aws::signature,
        aws::messages,
        decode::lines,
        decode::array,
        route::route,
        frame::frames,
        send::gzip,
        send::window,
        whole::whole
}
criterion_main!(benches);
