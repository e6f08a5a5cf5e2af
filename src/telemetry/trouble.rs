//! What is wrong with a thing at present.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use super::line::{one_line, span};
use super::snapshot::{Part, TroubleSnapshot};

/// The state of something that can fail: an output, a queue.
#[derive(Debug)]
pub struct Health {
    /// Its path in the configuration.
    name: String,
    /// The collector is not ready before it has worked once.
    required: bool,
    trouble: Mutex<Option<Trouble>>,
    /// How often it has worked.
    successes: AtomicU64,
}

/// It does not work at present.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub since: Instant,
    pub message: String,
    /// Trying again will not help: a certificate or a secret is wrong.
    pub lasting: bool,
    attempts: u32,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What failed and how, in few words that are the same each time: by these the log tells troubles apart.
    pub cause: String,
    /// Cause and advice for people.
    pub message: String,
}

impl From<String> for Failure {
    /// The only way in which its thing fails.
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
        Health { name: name.into(), required: false, trouble: Mutex::new(None), successes: AtomicU64::new(0) }
    }

    /// Of something that must have worked once before the collector is ready.
    pub fn required(name: impl Into<String>) -> Health {
        Health { required: true, ..Health::new(name) }
    }

    pub fn trouble(&self) -> Option<Trouble> {
        self.lock().clone()
    }

    /// Grows with every success: unchanged between two failures, it was not just the one who asks.
    pub fn successes(&self) -> u64 {
        self.successes.load(Ordering::Relaxed)
    }

    /// What a snapshot tells of it.
    pub fn part(&self) -> Part {
        let trouble = self.trouble().map(|trouble| TroubleSnapshot {
            seconds: trouble.since.elapsed().as_secs_f64(),
            message: one_line(&trouble.message).into_owned(),
            lasting: trouble.lasting,
            attempts: trouble.attempts,
        });
        let awaited = self.required && self.successes() == 0;
        Part { name: self.name.clone(), awaited, trouble }
    }

    /// It failed. The log takes care that it is told of once, and again from time to time, not at every attempt.
    pub fn failed(&self, failure: impl Into<Failure>, lasting: bool) {
        let Failure { cause, message } = failure.into();
        log::error!(place = self.name.as_str(), cause = cause.as_str(), turn = "fails"; "{}: {message}", self.name);
        let mut current = self.lock();
        let trouble = current.get_or_insert_with(|| Trouble {
            since: Instant::now(),
            message: String::new(),
            lasting,
            attempts: 0,
        });
        trouble.attempts += 1;
        (trouble.lasting, trouble.message) = (lasting, message);
    }

    /// It works.
    pub fn works(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        let Some(trouble) = self.lock().take() else { return };
        let failures = if trouble.attempts == 1 { "failure" } else { "failures" };
        log::info!(
            place = self.name.as_str(), turn = "works";
            "{}: works again after {} {failures} in {}", self.name, trouble.attempts, span(trouble.since.elapsed())
        );
    }

    fn lock(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
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
        assert_eq!((trouble.since, trouble.message.as_str(), trouble.lasting), (since, "expired", true));
        health.works();
        assert!(health.trouble().is_none());
    }
}
