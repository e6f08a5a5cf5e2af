//! Audits while the collector runs, at low priority: with few calls per second and few objects at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::intake::Intake;
use crate::ack::{Ack, Outcome};
use crate::audit::cause::{self, Facts};
use crate::audit::{self, Class, Judge, Knowledge, Missing, Place, Report, Window, places};
use crate::aws::{S3, Sqs};
use crate::base::crew::Crew;
use crate::base::limits::{AUDIT_CALL_PAUSE, AUDIT_FIRST_MAX, AUDIT_FIX_CHECK_INTERVAL};
use crate::base::runtime::clock;
use crate::base::stop::Stop;
use crate::fleet::{self, Table};
use crate::ledger::{self, FILE, Ledger, Look, OpenError, Row};
use crate::settings::{self, Input};
use crate::stages::backfill::{Feeder, object_of};
use crate::telemetry::{Failure, Health, Telemetry};

/// The parts that audits need to run.
pub struct Settings {
    pub audit: settings::Audit,
    pub inputs: Vec<Input>,
    /// The clients, by the index of the input.
    pub s3: Vec<S3>,
    pub queues: Vec<Sqs>,
    pub feeders: Vec<Feeder>,
    pub ledger: Ledger,
    /// The table in which all hosts note their objects.
    pub shared: Option<Table>,
    pub state_directory: PathBuf,
    pub telemetry: Arc<Telemetry>,
    /// Stops starting objects.
    pub stop: Stop,
}

/// The running audits.
pub struct Auditor {
    shared: Arc<Settings>,
    crew: Crew,
}

impl Auditor {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(settings: Settings) -> std::io::Result<Auditor> {
        let shared = Arc::new(settings);
        let (own, mut crew) = (Arc::clone(&shared), Crew::new());
        let health = Arc::new(Health::dispensable("audit"));
        shared.telemetry.adopt(&health);
        crew.spawn("audit", move || own.run(&health))?;
        Ok(Auditor { shared, crew })
    }
}

/// The next audit finds missing objects again that could not be delivered.
impl Intake for Auditor {
    fn is_finished(&self) -> bool {
        self.crew.has_ended() && self.shared.feeders.iter().all(|feeder| feeder.in_work() == 0)
    }

    fn pulling(&self) -> &Crew {
        &self.crew
    }
}

/// The collector's own ledger, with the objects in flight, and what other hosts have noted.
struct Live<'l> {
    looks: Vec<Look>,
    ledger: &'l Ledger,
}

impl Knowledge for Live<'_> {
    fn rows(&self, place: &ledger::Place) -> Result<Vec<Row>, OpenError> {
        let rows = self.looks.iter().map(|look| look.rows(place)).collect::<Result<Vec<_>, _>>()?;
        Ok(rows.concat())
    }

    fn is_in_work(&self, place: &ledger::Place) -> bool {
        self.ledger.is_in_work(place)
    }
}

impl Settings {
    fn run(&self, health: &Health) {
        // The first audit comes soon, so that frequently restarted collectors have audits too.
        let mut wait = self.audit.every.min(AUDIT_FIRST_MAX);
        while !self.stop.wait(wait) {
            let began = clock::now();
            match self.audit_once() {
                Ok(Some(told)) if told.is_empty() => health.works(),
                Ok(Some(told)) => {
                    health.failed(Failure { cause: "missing objects".to_owned(), message: told }, false);
                }
                // It was stopped, or nothing has been delivered yet.
                Ok(None) => (),
                Err(why) => {
                    self.telemetry.audit.update(|audit| audit.failed += 1);
                    health.failed(format!("cannot be finished: {why}"), false);
                }
            }
            wait = self.audit.every.saturating_sub(clock::since(began)).max(Duration::from_secs(1));
        }
    }

    /// Returns the problem, or an empty text. None if it was stopped, or there is no place to audit.
    fn audit_once(&self) -> Result<Option<String>, String> {
        let destinations = self.ledger.destinations();
        let look = Look::open(&self.state_directory.join(FILE), Some(destinations))
            .map_err(|error| error.to_string())?;
        let places = self.places(&look)?;
        if places.is_empty() {
            return Ok(None);
        }
        let window = self.window(clock::timestamp())?;
        let shared =
            self.shared.as_ref().map(|table| fleet::copied(&table.patient(), destinations)).transpose()?;
        let looks = std::iter::once(look).chain(shared).collect();
        let knowledge = Live { looks, ledger: &self.ledger };
        let judge = Judge { inputs: &self.inputs, knowledge: &knowledge };
        let mut report = Report::new(window);
        let sent = Arc::new(AtomicU64::new(0));
        for place in &places {
            let Some(s3) = place.inputs.first().and_then(|index| self.s3.get(*index)) else { continue };
            let mut found = |missing: Missing| {
                if self.audit.fix && missing.class == Class::Missing && !missing.archived {
                    self.send(&missing, &sent);
                }
                Ok(())
            };
            let mut pace = || !self.stop.wait(AUDIT_CALL_PAUSE);
            audit::list(place, s3, &judge, clock::timestamp(), &mut report, &mut found, &mut pace)
                .map_err(|error| error.to_string())?;
        }
        // Only then is it known what is still missing.
        while self.feeders.iter().any(|feeder| feeder.in_work() > 0)
            && !self.stop.wait(AUDIT_FIX_CHECK_INTERVAL)
        {}
        if self.stop.is_stopped() {
            return Ok(None);
        }
        let causes = self.causes(&report.oldest);
        Ok(Some(self.tell(&report, sent.load(Ordering::Acquire), causes)))
    }

    fn window(&self, now: Timestamp) -> Result<Window, String> {
        let ago = |time: Timestamp, span: Duration| time.checked_sub(span).map_err(|error| error.to_string());
        let to = ago(now, self.audit.delay)?;
        Ok(Window { from: ago(to, self.audit.window)?, to })
    }

    fn places(&self, look: &Look) -> Result<Vec<Place>, String> {
        let all = self.inputs.iter().enumerate();
        let meant: Vec<usize> =
            all.filter(|(_, input)| input.can_be_audited()).map(|(index, _)| index).collect();
        if !self.audit.buckets.is_empty() {
            return Ok(places::named(&self.audit.buckets, &self.inputs, &meant));
        }
        let keys = look.keys().map_err(|error| error.to_string())?;
        Ok(places::seen(&keys, &self.inputs, &meant))
    }

    /// Sends an object the way a backfill does.
    fn send(&self, missing: &Missing, sent: &Arc<AtomicU64>) {
        let Some((feeder, input)) = self.feeders.get(missing.input).zip(self.inputs.get(missing.input))
        else {
            return;
        };
        let Some(service) = input.service_of(&missing.key) else { return };
        let (sent, telemetry) = (Arc::clone(sent), Arc::clone(&self.telemetry));
        log::info!("audit: {missing} was never announced; it is sent now");
        let ack = Ack::open(move |outcome| {
            if outcome == Outcome::Delivered {
                sent.fetch_add(1, Ordering::AcqRel);
                telemetry.audit.update(|audit| audit.sent += 1);
            }
        });
        let object = object_of(&missing.bucket, missing.listed());
        feeder.put(object, service.of_object(&missing.key), ack.into_share());
    }

    /// Finds the probable causes, by input and bucket.
    fn causes(&self, oldest: &BTreeMap<(usize, String), Missing>) -> Vec<String> {
        let cause = |((index, _), missing): (&(usize, String), &Missing)| {
            let (s3, queue) = (self.s3.get(*index)?, self.queues.get(*index)?);
            let facts = Facts::ask(s3, queue, missing, clock::timestamp());
            Some(format!("inputs.{}: {}", self.inputs.get(*index)?.key, cause::probable(&facts)))
        };
        oldest.iter().filter_map(cause).collect()
    }

    /// Records the result. Returns the problem, or an empty text.
    fn tell(&self, report: &Report, sent: u64, causes: Vec<String>) -> String {
        let total = |class| report.total(class).objects;
        let (found, rejected) = (total(Class::Missing), total(Class::Refused));
        let missing = found.saturating_sub(sent);
        let sentence = report.sentence();
        self.telemetry.audit.finish(clock::now(), |audit| {
            audit.missing = Some(missing);
            audit.rejected = Some(rejected);
            audit.delivered = Some(total(Class::Delivered) + sent);
            audit.found += found;
            audit.sentence.clone_from(&sentence);
            audit.causes.clone_from(&causes);
        });
        if found == 0 {
            log::info!("audit: {sentence} {} pages were listed", report.calls);
            return String::new();
        }
        let first = report.named.first().map(ToString::to_string).unwrap_or_default();
        let probable = match causes.is_empty() {
            true => String::new(),
            false => format!(" Probable cause: {}", causes.join("; ")),
        };
        if missing == 0 {
            log::warn!(
                "audit: {found} objects had not been announced, such as {first}; all of them have now been sent.{probable}"
            );
            return String::new();
        }
        format!(
            "{missing} objects are missing, such as {first}; {sent} were sent. {sentence}{probable} To send them, run \
             aws-to-devo audit --config FILE --fix"
        )
    }
}
