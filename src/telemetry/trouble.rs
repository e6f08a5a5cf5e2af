//! What is wrong with a thing at present: logged once, and again from time to time, not at every
//! attempt.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::line::one_line;
use super::snapshot::{Part, TroubleSnapshot};

/// A trouble that goes on is logged again so often.
const REMINDER: Duration = Duration::from_secs(60);

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
    logged: Instant,
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

    /// It failed.
    pub fn failed(&self, message: String, lasting: bool) {
        let now = Instant::now();
        let mut current = self.lock();
        let first = current.is_none();
        let trouble = current.get_or_insert_with(|| Trouble {
            since: now,
            message: String::new(),
            lasting,
            attempts: 0,
            logged: now,
        });
        trouble.attempts += 1;
        trouble.lasting = lasting;
        if first || now - trouble.logged >= REMINDER || trouble.message != message {
            let times = if trouble.attempts == 1 { "once" } else { &format!("{} times", trouble.attempts) };
            log::error!("{}: {message} (failed {times})", self.name);
            (trouble.message, trouble.logged) = (message, now);
        }
    }

    /// It works.
    pub fn works(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        if let Some(trouble) = self.lock().take() {
            log::info!("{}: works again after {} failures", self.name, trouble.attempts);
        }
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
        health.failed("refused".into(), false);
        let since = health.trouble().unwrap().since;
        health.failed("expired".into(), true);
        let trouble = health.trouble().unwrap();
        assert_eq!((trouble.since, trouble.message.as_str(), trouble.lasting), (since, "expired", true));
        health.works();
        assert!(health.trouble().is_none());
    }
}
