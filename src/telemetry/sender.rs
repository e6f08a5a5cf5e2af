//! The current activity of each sender of an output, and its duration.

use std::time::Instant;

use super::snapshot::SenderSnapshot;
use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::telemetry::model::activity::Activity;
use crate::telemetry::model::counter::Gauge;

/// A sender thread, which has its own connection.
#[derive(Debug)]
pub struct Sender {
    /// The thread's name.
    name: String,
    /// Bytes of frames written but not confirmed by the peer.
    pub unconfirmed: Gauge,
    /// Since when the peer has owed an acknowledgement.
    owed_since: Mutex<Option<Instant>>,
    activity: Mutex<(Activity, Instant)>,
}

/// Resets a sender to idle when dropped, also after a panic.
#[derive(Debug)]
pub struct During<'s>(&'s Sender);

impl Sender {
    pub fn new(name: &str) -> Sender {
        let activity = Mutex::new((Activity::Idle, clock::now()));
        Sender {
            name: name.to_owned(),
            unconfirmed: Gauge::default(),
            owed_since: Mutex::default(),
            activity,
        }
    }

    /// Sets the current activity.
    pub fn during(&self, activity: Activity) -> During<'_> {
        self.enter(activity);
        During(self)
    }

    /// Sets since when the peer owes an acknowledgement; None if it owes none.
    pub fn set_owed_since(&self, since: Option<Instant>) {
        *lock(&self.owed_since) = since;
    }

    pub fn owed_since(&self) -> Option<Instant> {
        *lock(&self.owed_since)
    }

    pub fn snapshot(&self, now: Instant) -> SenderSnapshot {
        let (state, since) = *self.activity();
        SenderSnapshot {
            name: self.name.clone(),
            state,
            seconds: now.saturating_duration_since(since).as_secs_f64(),
            unconfirmed: self.unconfirmed.value().max(0).unsigned_abs(),
        }
    }

    fn enter(&self, activity: Activity) {
        *self.activity() = (activity, clock::now());
    }

    fn activity(&self) -> MutexGuard<'_, (Activity, Instant)> {
        lock(&self.activity)
    }
}

impl Drop for During<'_> {
    fn drop(&mut self) {
        // In any case, a closed connection owes nothing.
        self.0.set_owed_since(None);
        self.0.enter(Activity::Idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_idle_when_it_does_nothing_else() {
        let sender = Sender::new("send-devo_1-0");
        let state = || sender.snapshot(Instant::now()).state;
        assert_eq!(state(), Activity::Idle);
        let connecting = sender.during(Activity::Connecting);
        assert_eq!(state(), Activity::Connecting);
        drop(connecting);
        assert_eq!(state(), Activity::Idle);
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _open = sender.during(Activity::Connected);
            panic!("the connection's end");
        }));
        assert_eq!(state(), Activity::Idle);
    }

    #[test]
    fn names_are_those_of_the_json() {
        for activity in Activity::ALL {
            assert_eq!(serde_json::json!(activity), activity.name());
        }
    }
}
