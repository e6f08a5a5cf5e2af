//! The stages of the pipeline, and its sources. Each takes its settings as [`settings`](crate::settings), and
//! passes on what [`handoff`](crate::handoff) describes; receiving, fetching and sending know nothing of each other.

pub mod backfill;
pub mod fetch;
pub mod frame;
pub mod receive;
pub mod resolve;
pub mod send;
pub mod sources;
