//! Counters and health. Every reporter reads one [`Snapshot`].
//!
//! ```text
//! Telemetry ─┬─ Input ──┬─ receive, fetch, settle, calls     counted by the stages, per batch or per object
//!            │          ├─ queue, health (queue, buckets)
//!            │          └─ Service ── decode, delivered, lag
//!            ├─ Output ──┬─ send, health
//!            │           └─ Sender ─── activity, unconfirmed
//!            └─ tables, failed objects, work, ledger, fleet, internal, notices
//!                          │ snapshot()
//!                          ▼
//!            statistics lines · /metrics · /status.json and the page · live view · internal events · history
//! ```

mod answers;
mod audit;
mod failed;
mod fleet;
mod history;
mod input;
pub mod model;
mod notices;
mod output;
mod queue;
mod repeats;
pub mod reporters;
mod run;
mod sender;
mod snapshot;
mod tables;
mod trouble;

pub use answers::Waiting;
pub use audit::{Audit, AuditSnapshot};
pub use failed::{Failed, FailedObjects, FailedSnapshot, Polled, Redrive};
pub use fleet::{Fleet, FleetHost, FleetSnapshot, FleetSource};
pub use history::{History, HistorySnapshot};
pub use input::{Input, Service};
pub use model::activity::Activity;
pub use model::counter::{Counter, Gauge, Held};
pub use model::endings::{EndingTotals, Endings};
pub use model::former::Former;
pub use model::groups::{Calls, SendTotals, Waits};
pub use model::lag::Lag;
pub use model::link::Link;
pub use model::wait::Stopwatch;
pub use notices::{Notice, Notices};
pub use output::Output;
pub use queue::{Depth, Queue};
pub use repeats::{Line, Repeats, Said, Turn};
pub use reporters::statistics::{Reporter, size};
pub use run::{Collector, Phase, Telemetry};
pub use sender::Sender;
pub use snapshot::{InputSnapshot, OutputSnapshot, Part, SenderSnapshot, ServiceSnapshot, Snapshot};
pub use tables::{TableSnapshot, Tables};
pub use trouble::{Failure, Health, Trouble};

#[cfg(test)]
pub use run::testing;
