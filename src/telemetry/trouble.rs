//! Health of parts that can fail, and their current problems.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::answers::{Answers, News, Waiting};
use super::snapshot::{Part, TroubleSnapshot};
use crate::base::limits::{LOG_REMINDER, LOG_TROUBLE_FORGOTTEN, TROUBLES_MAX};
use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::base::text::{one_line, span};

/// Health of a part that can fail: an output, a queue, an input's buckets.
#[derive(Debug)]
pub struct Health {
    /// Its path in the configuration.
    name: String,
    /// The collector is not ready before it has worked once.
    required: bool,
    /// The collector is ready even if it fails.
    dispensable: bool,
    /// Its troubles, by the failing member, such as a bucket; empty for the part itself.
    troubles: Mutex<BTreeMap<String, Trouble>>,
    /// Number of successes.
    successes: AtomicU64,
    answers: Answers,
}

/// A current failure.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub since: Instant,
    /// See [`Failure::cause`].
    pub cause: String,
    pub message: String,
    /// The beginning of what a retry will not help against: a certificate or a secret is wrong. Other failures may have come
    /// before it.
    pub lasting_since: Option<Instant>,
    attempts: u32,
    latest: Instant,
    /// Number of successes of the part when this began.
    successes: u64,
    /// Number of successes of the part at the latest attempt, and the first attempt since which there were no more.
    alone: (u64, Instant),
}

impl Trouble {
    /// A retry will not help.
    pub fn is_lasting(&self) -> bool {
        self.lasting_since.is_some()
    }

    /// The same trouble, counted from `time` on if it began earlier, and as a lasting one from `lasting`.
    pub fn counted_from(self, time: Instant, lasting: Instant) -> Trouble {
        let lasting_since = self.lasting_since.map(|since| since.max(lasting));
        Trouble { since: self.since.max(time), lasting_since, ..self }
    }
}

/// The reason why something failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The failure in few constant words (what failed, and how), by which the log groups troubles.
    pub cause: String,
    /// Cause and advice for people.
    pub message: String,
}

impl From<String> for Failure {
    /// A failure of a part that fails in one way only.
    fn from(message: String) -> Failure {
        Failure { cause: String::new(), message }
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Failure {
        Failure::from(message.to_owned())
    }
}

impl Health {
    pub fn new(name: impl Into<String>) -> Health {
        Health {
            name: name.into(),
            required: false,
            dispensable: false,
            troubles: Mutex::default(),
            successes: AtomicU64::new(0),
            answers: Answers::default(),
        }
    }

    /// Health of a part that must have worked once before the collector is ready.
    pub fn required(name: impl Into<String>) -> Health {
        Health { required: true, ..Health::new(name) }
    }

    /// Health of a part that collection does not need: its failures are warnings.
    pub fn dispensable(name: impl Into<String>) -> Health {
        Health { dispensable: true, ..Health::new(name) }
    }

    /// The oldest trouble that stops the part from working. Members that fail while others work are not such a trouble.
    pub fn trouble(&self) -> Option<Trouble> {
        self.troubles().into_iter().min_by_key(|trouble| trouble.since)
    }

    /// All troubles that stop the part from working.
    pub fn troubles(&self) -> Vec<Trouble> {
        let troubles = self.lock();
        let whole = troubles.iter().filter(|(member, trouble)| !self.is_partial(member, trouble));
        whole.map(|(_, trouble)| trouble.clone()).collect()
    }

    /// The troubles of members beside which others have worked, but do no more: they are all that is left. Each counts from
    /// the first attempt after the last success of another.
    pub fn left_over(&self) -> Vec<Trouble> {
        let troubles = self.lock();
        let partial = troubles.iter().filter(|(member, trouble)| self.is_partial(member, trouble));
        let left = partial.filter(|(_, trouble)| trouble.alone.0 == self.successes());
        left.map(|(_, trouble)| trouble.clone().counted_from(trouble.alone.1, trouble.alone.1)).collect()
    }

    /// Grows with every success. If it is unchanged between two failures, the caller is not the only one that fails.
    pub fn successes(&self) -> u64 {
        self.successes.load(Ordering::Relaxed)
    }

    /// Its entry in a snapshot.
    pub fn part(&self, now: Instant) -> Part {
        self.forget(now);
        let awaited = self.required && self.successes() == 0;
        let trouble = self.told(now);
        let trouble =
            trouble.map(|told| TroubleSnapshot { message: one_line(&told.message).into_owned(), ..told });
        Part { name: self.name.clone(), awaited, trouble }
    }

    /// The worst first: the part fails, does not answer, a member fails.
    fn told(&self, now: Instant) -> Option<TroubleSnapshot> {
        let told = |trouble: &Trouble, warning| TroubleSnapshot {
            seconds: now.saturating_duration_since(trouble.since).as_secs_f64(),
            cause: trouble.cause.clone(),
            message: trouble.message.clone(),
            lasting: trouble.is_lasting(),
            attempts: trouble.attempts,
            warning,
        };
        if let Some(whole) = self.trouble() {
            return Some(told(&whole, self.dispensable));
        }
        if let Some(overdue) = self.answers.overdue(now) {
            let waited = now.saturating_duration_since(overdue.asked);
            let message = no_answer(&overdue.what, waited);
            let seconds = waited.as_secs_f64();
            let cause = "no answer".to_owned();
            return Some(TroubleSnapshot {
                seconds,
                cause,
                message,
                lasting: false,
                attempts: 0,
                warning: false,
            });
        }
        let troubles = self.lock();
        troubles.values().min_by_key(|trouble| trouble.since).map(|trouble| told(trouble, true))
    }

    /// Records a failure. The log reports it once and then periodically, not at every attempt.
    pub fn failed(&self, failure: impl Into<Failure>, lasting: bool) {
        self.failed_at("", failure, lasting);
    }

    /// Records a failure of a member: a bucket of an input.
    pub fn failed_at(&self, member: &str, failure: impl Into<Failure>, lasting: bool) {
        let Failure { cause, message } = failure.into();
        log::error!(place = self.name.as_str(), cause = cause.as_str(), turn = "fails"; "{}: {message}", self.name);
        let now = clock::now();
        let mut troubles = self.lock();
        // Others may choose names of members.
        let is_known = troubles.contains_key(member) || troubles.len() < TROUBLES_MAX;
        let trouble =
            troubles.entry(if is_known { member } else { "" }.to_owned()).or_insert_with(|| Trouble {
                since: now,
                cause: String::new(),
                message: String::new(),
                lasting_since: None,
                attempts: 0,
                latest: now,
                successes: self.successes(),
                alone: (self.successes(), now),
            });
        trouble.attempts += 1;
        if trouble.alone.0 != self.successes() {
            trouble.alone = (self.successes(), now);
        }
        trouble.lasting_since = lasting.then(|| trouble.lasting_since.unwrap_or(now));
        trouble.latest = now;
        (trouble.cause, trouble.message) = (cause, message);
    }

    /// Records that a retry has got further: the trouble goes on until the part works, and does not last.
    pub fn gets_further(&self) {
        self.lock().values_mut().for_each(|trouble| trouble.lasting_since = None);
    }

    /// Records a success.
    pub fn works(&self) {
        self.works_at("");
    }

    /// Records a success of a member.
    pub fn works_at(&self, member: &str) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        let Some(trouble) = self.end(member) else { return };
        let failures = if trouble.attempts == 1 { "failure" } else { "failures" };
        log::info!(
            place = self.name.as_str(), turn = "works";
            "{}: works again after {} {failures} in {}", self.name, trouble.attempts, span(clock::since(trouble.since))
        );
    }

    /// Ends the warning, since its cause has not occurred for a while.
    pub fn calms_down(&self) {
        let Some(trouble) = self.end("") else { return };
        let lasted = span(clock::since(trouble.since));
        log::info!(place = self.name.as_str(), turn = "works"; "{}: no more of it; it began {lasted} ago", self.name);
    }

    fn end(&self, member: &str) -> Option<Trouble> {
        let mut troubles = self.lock();
        troubles.remove(member).or_else(|| troubles.remove(""))
    }

    /// Registers that an answer to `what` should come within `patience`; a longer wait is a trouble.
    pub fn asks(&self, what: String, patience: Duration) -> Waiting<'_> {
        self.answers.ask(what, patience, clock::now())
    }

    /// Logs overdue answers; called periodically.
    pub fn look(&self, now: Instant) {
        match self.answers.news(LOG_REMINDER, now) {
            Some(News::Overdue(overdue)) => {
                let message = no_answer(&overdue.what, now.saturating_duration_since(overdue.asked));
                log::error!(place = self.name.as_str(), cause = "no answer", turn = "fails"; "{}: {message}", self.name);
            }
            Some(News::Over(lasted)) => log::info!(
                place = self.name.as_str(), turn = "works"; "{}: nothing is overdue any more, after {}", self.name, span(lasted)
            ),
            None => (),
        }
    }

    /// Forgets a member's trouble when nothing has used it for long: it may be gone for good.
    fn forget(&self, now: Instant) {
        let is_recent =
            |trouble: &Trouble| now.saturating_duration_since(trouble.latest) < LOG_TROUBLE_FORGOTTEN;
        self.lock().retain(|member, trouble| member.is_empty() || is_recent(trouble));
    }

    /// Other members have worked since this one's trouble began.
    fn is_partial(&self, member: &str, trouble: &Trouble) -> bool {
        !member.is_empty() && self.successes() != trouble.successes
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Trouble>> {
        lock(&self.troubles)
    }
}

fn no_answer(what: &str, waited: Duration) -> String {
    format!("no answer for {} to {what}. It is waited for, and retried when it times out", span(waited))
}

/// Adds a part, unless it is present.
pub(super) fn adopt(adopted: &Mutex<Vec<Arc<Health>>>, health: &Arc<Health>) {
    let mut adopted = lock(adopted);
    adopted.retain(|other| !Arc::ptr_eq(other, health));
    adopted.push(Arc::clone(health));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_lasts_until_it_works_again() {
        let health = Health::new("outputs.devo_1");
        assert!(health.trouble().is_none());
        health.failed("refused", false);
        let since = health.trouble().unwrap().since;
        health.failed("expired", true);
        let trouble = health.trouble().unwrap();
        assert_eq!((trouble.since, trouble.message.as_str(), trouble.is_lasting()), (since, "expired", true));
        health.works();
        assert!(health.trouble().is_none());
    }

    /// A bucket that fails beside others is the whole trouble when they have nothing left.
    #[test]
    fn a_member_is_left_over_when_no_other_works_any_more() {
        let health = Health::new("inputs.i: objects");
        health.failed_at("bad", "denied", true);
        assert_eq!((health.troubles().len(), health.left_over().len()), (1, 0), "nothing else has worked");
        health.works_at("good");
        assert_eq!((health.troubles().len(), health.left_over().len()), (0, 0), "another one works");
        let before = clock::now();
        health.failed_at("bad", "denied", true);
        let left = health.left_over();
        assert!(
            left.len() == 1 && left[0].since >= before && left[0].lasting_since >= Some(before),
            "{left:?}"
        );
        health.failed_at("bad", "denied", true);
        assert_eq!(health.left_over()[0].since, left[0].since);
        health.works_at("good");
        assert!(health.left_over().is_empty());
    }

    #[test]
    fn all_troubles_are_there_besides_the_oldest() {
        let health = Health::new("inputs.i: objects");
        health.failed_at("slow", "503", false);
        health.failed_at("denied", "403", true);
        assert_eq!(health.trouble().unwrap().message, "503");
        assert_eq!(health.troubles().iter().filter(|trouble| trouble.is_lasting()).count(), 1);
    }

    #[test]
    fn a_trouble_lasts_from_the_first_failure_that_does_until_a_retry_gets_further() {
        let health = Health::new("outputs.devo_1");
        let lasting_since = || health.trouble().unwrap().lasting_since;
        health.failed("reset", false);
        assert_eq!(lasting_since(), None);
        health.failed("expired", true);
        let first = lasting_since();
        health.failed("expired", true);
        assert!(first.is_some() && lasting_since() == first);
        health.gets_further();
        assert_eq!(lasting_since(), None);
        health.failed("expired", true);
        assert!(lasting_since() >= first && health.trouble().unwrap().is_lasting());
        health.failed("reset", false);
        assert_eq!(lasting_since(), None);
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn part(health: &Health, now: Instant) -> Option<(String, bool)> {
        health.part(now).trouble.map(|trouble| (trouble.message, trouble.warning))
    }

    #[test]
    fn a_member_that_fails_while_others_work_is_a_warning_and_alone_it_is_a_trouble() {
        let (health, now) = (Health::new("inputs.a: objects"), Instant::now());
        health.works_at("good");
        health.failed_at("bad", "deleted", true);
        assert!(health.trouble().is_some());
        assert_eq!(part(&health, now), Some(("deleted".into(), false)));
        health.works_at("good");
        assert!(health.trouble().is_none(), "others can be read");
        assert_eq!(part(&health, now), Some(("deleted".into(), true)), "it stays to be seen");
        health.works_at("bad");
        assert_eq!(part(&health, now), None);
    }

    #[test]
    fn a_member_that_nobody_asks_for_is_forgotten_and_members_are_bounded() {
        let (health, now) = (Health::new("inputs.a: objects"), Instant::now());
        for number in 0..10 * TROUBLES_MAX {
            health.failed_at(&format!("bucket {number}"), "deleted", true);
        }
        assert!(health.lock().len() <= TROUBLES_MAX + 1);
        health.works();
        assert!(part(&health, now).is_some());
        assert_eq!(part(&health, now + LOG_TROUBLE_FORGOTTEN + SECOND), None);
    }

    #[test]
    fn what_does_not_answer_is_a_trouble() {
        let health = Health::new("inputs.a");
        let waiting = health.asks("sqs:ReceiveMessage".into(), 40 * SECOND);
        let now = Instant::now();
        assert_eq!(part(&health, now), None);
        let (message, warning) = part(&health, now + 143 * SECOND).unwrap();
        assert!(message.starts_with("no answer for 2 m 23 s to sqs:ReceiveMessage"), "{message}");
        assert!(!warning && health.trouble().is_none(), "no call has failed yet");
        drop(waiting);
        assert_eq!(part(&health, now + 143 * SECOND), None);
    }

    #[test]
    fn what_can_be_done_without_is_a_warning() {
        let health = Health::dispensable("inputs.a: dead letters");
        health.failed("2 more", false);
        assert_eq!(part(&health, Instant::now()), Some(("2 more".into(), true)));
    }
}
