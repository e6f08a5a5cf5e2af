//! Reporters of a [`Snapshot`](super::Snapshot): the statistics lines of the log, `/metrics`, and the collector's
//! own events.

pub mod events;
pub mod metrics;
pub mod statistics;
