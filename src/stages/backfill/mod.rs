//! Objects that no queue announced: those of a listing, sent as if a message had named each of them.
//!
//! A thread lists a bucket and sends tasks to the fetchers, no faster than they are delivered, so that memory does not
//! grow with the number of keys. Each object has its own [`Ack`]. Objects that the ledger knows as delivered are not
//! sent again: that is also how a stopped backfill resumes. So that its listing resumes too, each page has an [`Ack`]
//! of its objects, and the ledger stores the key up to which all pages are delivered.

mod checkpoint;
mod feeder;
mod listing;
mod pages;
mod plan;
mod tally;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::ack::{Ack, Ending, Outcome, Share};
use crate::aws::{AccountId, Kind, Listed, S3};
use crate::base::backoff::Backoff;
use crate::base::budget::Budget;
use crate::base::crew::Crew;
use crate::base::limits::{
    ARCHIVED_NAMED_MAX, OBJECTS_IN_WORK_MAX, RECEIVE_BACKOFF_FIRST, RECEIVE_BACKOFF_MAX,
};
use crate::base::object::Object;
use crate::base::stop::Stop;
use crate::handoff::Task;
use crate::handoff::schedule::Lane;
use crate::ledger::Ledger;
use crate::services::Definition;
use crate::settings::Input;
use crate::stages::resolve::is_marker;
use crate::telemetry;
use checkpoint::Checkpoint;

pub use feeder::Feeder;
pub use listing::Listing;
pub use plan::{Plan, Verdict};
pub use tally::Tally;

/// A listing from its first page on, and its counts.
#[derive(Debug, Clone)]
pub struct Backfill {
    pub listing: Listing,
    pub tally: Arc<Tally>,
}

/// The parts that a listing needs to run.
pub struct Settings {
    /// The input's index in the configuration.
    pub index: usize,
    pub input: Input,
    /// The account of its credentials, which some tags need.
    pub account: AccountId,
    pub backfill: Backfill,
    /// Its waits end with `stop`.
    pub s3: S3,
    /// The channel to the fetchers.
    pub tasks: Lane<Task>,
    /// Records how far the listing is.
    pub ledger: Ledger,
    pub telemetry: Arc<telemetry::Input>,
    /// Stops starting objects.
    pub stop: Stop,
}

/// A running listing.
pub struct Lister {
    shared: Arc<SharedListing>,
    lister: Crew,
}

struct SharedListing {
    settings: Settings,
    checkpoint: Checkpoint,
    feeder: Feeder,
}

impl Lister {
    /// Starts the thread, which resumes where an earlier run of the same backfill ended.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(mut settings: Settings) -> std::io::Result<Lister> {
        let Settings { backfill: Backfill { listing, tally }, input, ledger, .. } = &mut settings;
        let (checkpoint, resumed_after) = Checkpoint::resume(listing, input, ledger.clone());
        if let Some(key) = resumed_after {
            tally.resumed_after(key);
        }
        let feeder = Feeder {
            index: settings.index,
            tasks: settings.tasks.clone(),
            slots: Budget::new(OBJECTS_IN_WORK_MAX),
            telemetry: Arc::clone(&settings.telemetry),
            stop: settings.stop.clone(),
        };
        let shared = Arc::new(SharedListing { settings, checkpoint, feeder });
        let own = Arc::clone(&shared);
        let mut lister = Crew::new();
        lister.spawn("list", move || run(&own))?;
        Ok(Lister { shared, lister })
    }

    /// True if the listing has ended, and so has everything that it named.
    pub fn is_finished(&self) -> bool {
        self.lister.has_ended() && self.in_work() == 0
    }

    /// The listing thread. It ends with the listing.
    pub fn lister(&self) -> &Crew {
        &self.lister
    }

    /// Objects that were started and have not ended.
    fn in_work(&self) -> usize {
        self.shared.feeder.in_work()
    }
}

fn run(shared: &SharedListing) {
    let Settings { s3, stop, backfill, account, telemetry, .. } = &shared.settings;
    // Objects that need the account would fail without it, and not be retried by themselves.
    account.ask();
    let mut listing = backfill.listing.clone();
    let mut backoff = Backoff::new(RECEIVE_BACKOFF_FIRST, RECEIVE_BACKOFF_MAX);
    while account.learn(&telemetry.health, stop) && !stop.is_stopped() {
        match listing.next_page(s3) {
            Ok(Some(page)) => {
                backoff.reset();
                shared.settings.telemetry.health.works();
                let ack = shared.checkpoint.page(listing.checkpoint());
                if !page.into_iter().all(|listed| put_on_the_way(shared, listed, &ack)) {
                    return;
                }
                ack.close(Outcome::Delivered);
            }
            Ok(None) => return backfill.tally.listed_all(),
            Err(error) if *error.kind() == Kind::Stopped => return,
            Err(error) => {
                shared.settings.telemetry.receive.failed_calls.increment();
                shared.settings.telemetry.health.failed(&error, !error.is_temporary());
                stop.wait(backoff.pause());
            }
        }
    }
}

/// Starts the objects of `page`, which is delivered when they are. Returns false if stopped.
fn put_on_the_way(shared: &SharedListing, listed: Listed, page: &Ack) -> bool {
    let Settings { input, backfill, telemetry, .. } = &shared.settings;
    let verdict = backfill.listing.plan().verdict(&listed, input);
    backfill.tally.listed(&verdict, &listed);
    match verdict {
        Verdict::Collect(service) => {
            telemetry.receive.objects.increment();
            collect(shared, listed, service, page.share())
        }
        Verdict::Skip => {
            let ending = match () {
                () if listed.size == 0 => Ending::NoBytes,
                () if is_marker(&listed.key) => Ending::Marker,
                () => Ending::SkipRule,
            };
            telemetry.service(&backfill.listing.plan().service).endings.add(ending);
            true
        }
        Verdict::Archived => {
            // The next run retries it, so it must list it again.
            page.share().resolve(Outcome::Reject);
            if backfill.tally.archived.value() <= ARCHIVED_NAMED_MAX {
                let object = object_of(&backfill.listing.plan().bucket, listed);
                log::warn!("{object} is archived: restore it and run the backfill again");
            }
            true
        }
        _ => true,
    }
}

/// Passes an object on. Returns false if stopped.
fn collect(shared: &SharedListing, listed: Listed, service: Arc<Definition>, of_page: Share) -> bool {
    let backfill = &shared.settings.backfill;
    let (size, tally) = (listed.size, Arc::clone(&backfill.tally));
    let object = object_of(&backfill.listing.plan().bucket, listed);
    shared.feeder.put(object, service, of_page.after(move |outcome| tally.ended(outcome, size)))
}

/// The object as an announcement would name it, so that the ledger recognizes it without a GET.
pub fn object_of(bucket: &str, listed: Listed) -> Object {
    let etag = Some(listed.etag).filter(|etag| !etag.is_empty());
    Object { size: Some(listed.size), etag, ..Object::named(bucket, &listed.key) }
}
