//! Values that one stage passes to the next, and the channel that takes turns.
//!
//! | from → to | what |
//! |---|---|
//! | receive, backfill → fetch | [`Task`], through [`schedule`] |
//! | fetch, sources → decode | [`Payload`] |
//! | frame → send | [`Batch`] |

pub mod batch;
pub mod ending;
pub mod gzip;
pub mod parts;
pub mod pulling_id;
pub mod schedule;
pub mod task;
pub mod work;

pub use batch::{Batch, Origin, Subject, Trial};
pub use ending::ending_of;
pub use gzip::Gzip;
pub use pulling_id::PullingId;
pub use task::{Task, TaskSource};
pub use work::{Again, Payload, Work, WorkSource};
