//! Figures of an output and its senders.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::sender::Sender;
use super::snapshot::{OutputSnapshot, Part, TroubleSnapshot, seconds};
use super::trouble::Health;
use crate::base::limits::SEND_OWED_MAX;
use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::base::text::span;
use crate::settings;
use crate::telemetry::model::former::Former;
use crate::telemetry::model::groups::{SendCounts, Waits};
use crate::telemetry::model::link::Link;

/// One entry of `outputs`.
#[derive(Debug)]
pub struct Output {
    /// Its key in the configuration.
    pub name: String,
    /// `host:port`, or `console`.
    pub destination: String,
    /// The far end of its first connection.
    link: OnceLock<Link>,
    senders: Mutex<Vec<Arc<Sender>>>,
    certificate_expires_at: Mutex<Option<Timestamp>>,
    pub send: SendCounts,
    pub waits: Arc<Waits>,
    pub health: Health,
}

impl Output {
    pub(super) fn of(output: &settings::Output) -> Output {
        Output::new(&output.name, output.destination.to_string())
    }

    pub fn new(name: &str, destination: String) -> Output {
        Output {
            name: name.to_owned(),
            destination,
            link: OnceLock::new(),
            senders: Mutex::default(),
            certificate_expires_at: Mutex::default(),
            send: SendCounts::default(),
            waits: Arc::default(),
            health: Health::required(format!("outputs.{name}")),
        }
    }

    /// Creates it with counters that continue from those of an earlier run, if it existed then.
    pub(super) fn after(self, before: Option<&Arc<Output>>, waits: &Arc<Waits>) -> Output {
        let waits = Arc::clone(waits);
        let Some(before) = before else { return Output { waits, ..self } };
        Output { send: before.send.successor(), waits, ..self }
    }

    /// Records a connection. The first is logged.
    pub fn connected(&self, link: Link) {
        if self.link.get().is_some() {
            return;
        }
        let (name, destination) = (&self.name, &self.destination);
        let Link { address, tls } = self.link.get_or_init(|| link);
        let how = tls.as_deref().unwrap_or("no TLS");
        log::info!(
            output = name.as_str(), peer = address.as_str(), tls = how;
            "outputs.{name}: connected to {destination} ({address}), {how}"
        );
    }

    /// Registers a sender that is being started; `name` is its thread's.
    pub fn add_sender(&self, name: &str) -> Arc<Sender> {
        let sender = Arc::new(Sender::new(name));
        self.join(&sender);
        sender
    }

    /// Counts a sender from now on, which stood by.
    pub fn join(&self, sender: &Arc<Sender>) {
        self.senders().push(Arc::clone(sender));
    }

    /// Counts a sender no longer, because it stands by.
    pub fn leave(&self, sender: &Arc<Sender>) {
        self.senders().retain(|one| !Arc::ptr_eq(one, sender));
    }

    /// Senders at present, without those that stand by.
    pub fn sending(&self) -> usize {
        self.senders().len()
    }

    /// Expiry of the client certificate; None if it has none.
    pub fn set_certificate_expires_at(&self, at: Option<Timestamp>) {
        *lock(&self.certificate_expires_at) = at;
    }

    fn certificate_expires_at(&self) -> Option<f64> {
        let at = *lock(&self.certificate_expires_at);
        at.map(seconds)
    }

    pub(super) fn part(&self, now: Instant) -> Part {
        let part = self.health.part(now);
        match self.owed_for(now).filter(|owed| part.trouble.is_none() && *owed >= SEND_OWED_MAX) {
            None => part,
            Some(owed) => {
                let message = format!(
                    "{} has not acknowledged a byte for {}. Is it stopped, or does something in between drop bytes?",
                    self.destination,
                    span(owed)
                );
                let seconds = owed.as_secs_f64();
                let trouble = TroubleSnapshot {
                    seconds,
                    cause: "unacknowledged".to_owned(),
                    message,
                    lasting: false,
                    attempts: 0,
                    warning: false,
                };
                Part { trouble: Some(trouble), ..part }
            }
        }
    }

    /// The time that one of its peers has owed an acknowledgement; None if none is owed.
    fn owed_for(&self, now: Instant) -> Option<Duration> {
        let senders = self.senders();
        let oldest = senders.iter().filter_map(|sender| sender.owed_since()).min();
        oldest.map(|since| now.saturating_duration_since(since))
    }

    /// Bytes written, on all connections, that the peer has not confirmed.
    pub fn unconfirmed(&self) -> i64 {
        self.senders().iter().map(|sender| sender.unconfirmed.value()).sum()
    }

    /// Its counts after a reload that removes it.
    pub(super) fn former(&self) -> Former {
        Former { send: self.send.successor().totals(), ..Former::default() }
    }

    fn senders(&self) -> MutexGuard<'_, Vec<Arc<Sender>>> {
        lock(&self.senders)
    }
}

impl Output {
    pub(super) fn snapshot(&self) -> OutputSnapshot {
        OutputSnapshot {
            name: self.name.clone(),
            destination: self.destination.clone(),
            link: self.link.get().cloned(),
            certificate_expires_at: self.certificate_expires_at(),
            unacknowledged_seconds: self.owed_for(clock::now()).map(|owed| owed.as_secs_f64()),
            senders: self.senders().iter().map(|sender| sender.snapshot(clock::now())).collect(),
            send: self.send.totals(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Activity;

    #[test]
    fn an_acknowledgement_that_is_owed_for_long_is_a_trouble() {
        let (output, now) = (Output::new("devo_1", "localhost:443".into()), Instant::now());
        output.health.works();
        let sender = output.add_sender("send-devo_1-0");
        let open = sender.during(Activity::Connected);
        sender.set_owed_since(Some(now));
        assert!(output.part(now + SEND_OWED_MAX / 2).trouble.is_none());
        let trouble = output.part(now + SEND_OWED_MAX).trouble.unwrap();
        assert!(
            trouble.message.contains("localhost:443 has not acknowledged a byte for 30 s"),
            "{trouble:?}"
        );
        assert!(!trouble.warning);
        drop(open);
        assert!(output.part(now + SEND_OWED_MAX).trouble.is_none(), "a connection that is gone owes nothing");
    }
}
