//! How far a listing is delivered, as stored in the ledger for the next run.

use std::sync::Arc;

use super::pages::Pages;
use super::{Listing, Plan};
use crate::ack::Ack;
use crate::base::locks::lock;
use crate::base::runtime::sync::Mutex;
use crate::base::text::fingerprint;
use crate::ledger::{Ledger, Mark};
use crate::settings::Input;

/// The source's part with the key after which the listing resumes.
const PART: &str = "";

/// Records how far a listing is delivered, page by page. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Checkpoint(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ledger: Ledger,
    source: String,
    /// See [`crate::ledger::Polled::term`].
    term: i64,
    pages: Mutex<Pages>,
}

impl Checkpoint {
    /// Resumes `listing` after the key up to which an earlier run of the same backfill delivered everything. Returns
    /// that key, if there is one.
    pub fn resume(listing: &mut Listing, input: &Input, ledger: Ledger) -> (Checkpoint, Option<String>) {
        let source = source(listing.plan(), input, ledger.destinations());
        let mut polled = ledger.polled(&source).unwrap_or_else(|error| {
            log::warn!(
                "the ledger cannot be read: {error}. The listing of {} starts at its first key, although an earlier \
                 run may have been further",
                listing.plan().bucket
            );
            crate::ledger::Polled::default()
        });
        let key = polled.checkpoints.remove(PART);
        if let Some(key) = &key {
            listing.resume_after(key);
            log::info!(
                "the listing of {} resumes after {key:?}: an earlier run of this backfill delivered everything up to \
                 there. Objects written since then under earlier keys are not listed; to list from the first key \
                 again, run `aws-to-devo ledger forget --input {}/backfill`, which keeps the entries of objects",
                listing.plan().bucket,
                input.id
            );
        }
        let inner = Inner { ledger, source, term: polled.term, pages: Mutex::default() };
        (Checkpoint(Arc::new(inner)), key)
    }

    /// Begins a page, which is delivered when all shares of the returned work are. `up_to`: see
    /// [`Listing::checkpoint`].
    pub fn page(&self, up_to: String) -> Ack {
        let number = lock(&self.0.pages).begin(up_to);
        let own = Arc::clone(&self.0);
        Ack::open(move |outcome| {
            // Under the lock, which keeps the marks in order.
            let mut pages = lock(&own.pages);
            if let Some(key) = pages.end(number, outcome) {
                own.ledger.mark(Mark {
                    source: own.source.clone(),
                    term: own.term,
                    checkpoints: vec![(PART.to_owned(), key)],
                    ..Mark::default()
                });
            }
        })
    }
}

/// The listing's name in the ledger. It changes with anything that decides which objects are sent, from where, or to
/// where: objects skipped then may be wanted now.
fn source(plan: &Plan, input: &Input, destinations: &str) -> String {
    let Input { id, region, endpoints, services, .. } = input;
    let all = format!("{plan:?} {region} {endpoints:?} {services:?} {destinations}");
    format!("{id}/backfill/{}/{}/{:032x}", plan.bucket, plan.prefix, fingerprint(&all))
}
