//! Audits: a comparison of the buckets with the ledger, which finds missing objects.
//!
//! An SQS consumer can only vouch for objects that were announced. An audit lists the objects of a window of time, with as
//! many calls as the window has pages, and looks each of them up in the ledger: delivered, in flight, refused with a
//! reason, skipped by a rule, or unknown. Unknown objects are missing, and can be sent the way a backfill sends.
//!
//! ```text
//! S3 listing ──► walk ────┐
//! S3 Inventory ► inventory ┴─► judge ──► report, missing objects ──► backfill
//!                               ▲
//!                            ledger(s)
//! ```

pub mod cause;
pub mod compare;
pub mod dates;
pub mod devo;
pub mod inventory;
pub mod judge;
pub mod places;
pub mod report;
pub mod walk;

use jiff::Timestamp;

pub use judge::{Class, Judge, Judged, Knowledge, Ledgers};
pub use places::Place;
pub use report::{Missing, Report};
pub use walk::{Timed, Walk, Window};

use crate::aws::{self, S3};
use crate::ledger::OpenError;

/// The reason why an audit could not be finished. Then it has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Aws(#[from] aws::Error),
    #[error(transparent)]
    Ledger(#[from] OpenError),
    #[error("{0}")]
    Inventory(String),
    #[error("missing objects cannot be written to a temporary file: {0}")]
    Notes(#[from] std::io::Error),
}

/// Compares a listing of one place with the ledger, and adds the results to `report`. `missing` gets every object that is
/// missing or was refused. `pace` is called before each call, and ends the audit by returning false.
///
/// # Errors
/// [`Error`].
pub fn list(
    place: &Place,
    s3: &S3,
    judge: &Judge<'_>,
    now: Timestamp,
    report: &mut Report,
    missing: &mut dyn FnMut(Missing) -> std::io::Result<()>,
    pace: &mut dyn FnMut() -> bool,
) -> Result<(), Error> {
    let mut walk = Walk::new(&place.bucket, &place.prefix, report.window, now);
    while pace() {
        let before = walk.calls;
        let Some(page) = walk.next_page(s3)? else { break };
        report.calls += walk.calls - before;
        judge_all(place, page, judge, report, missing)?;
    }
    Ok(())
}

/// Compares objects of one place with the ledger.
///
/// # Errors
/// [`Error`].
pub fn judge_all(
    place: &Place,
    objects: Vec<Timed>,
    judge: &Judge<'_>,
    report: &mut Report,
    missing: &mut dyn FnMut(Missing) -> std::io::Result<()>,
) -> Result<(), Error> {
    for timed in objects {
        let Some(judged) = judge.judge(place, &timed)? else {
            report.add_of_no_service(timed.listed.size);
            continue;
        };
        let is_undelivered = matches!(judged.class, Class::Missing | Class::Refused);
        report.add(&place.bucket, &judged, &timed);
        if is_undelivered {
            missing(Missing::new(&place.bucket, judged, timed))?;
        }
    }
    Ok(())
}
