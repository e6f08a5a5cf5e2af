//! Life signs: while the pipeline lives, and only then, the service manager hears of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::notify::ServiceManager;
use crate::limits::STATUS_INTERVAL;
use crate::pipeline::Pulse;
use crate::telemetry::{Health, Telemetry};

/// Beats with the pipeline's own loop: it stops when that does.
#[derive(Debug)]
pub struct Heart<'a> {
    manager: &'a ServiceManager,
    telemetry: Arc<Telemetry>,
    ping: Option<Duration>,
    last_ping: Option<Instant>,
    last_status: Option<Instant>,
    health: Health,
}

impl<'a> Heart<'a> {
    pub fn new(manager: &'a ServiceManager, telemetry: &Arc<Telemetry>) -> Heart<'a> {
        Heart {
            manager,
            telemetry: Arc::clone(telemetry),
            ping: manager.ping_interval(),
            last_ping: None,
            last_status: None,
            health: Health::new("the collector itself"),
        }
    }

    pub fn beat(&mut self, pulse: &Pulse) {
        let now = Instant::now();
        if let Err(dead) = pulse.life {
            // Without a ping, a service manager with a watchdog starts the program anew.
            self.health.failed(dead.to_string(), true);
        } else if self.ping.is_some_and(|interval| is_due(self.last_ping, interval, now)) {
            self.last_ping = Some(now);
            self.manager.ping();
        }
        if is_due(self.last_status, STATUS_INTERVAL, now) {
            self.last_status = Some(now);
            self.manager.status(&self.status(pulse));
        }
    }

    fn status(&self, pulse: &Pulse) -> String {
        let (delivered, in_work) = (self.telemetry.send().events, self.telemetry.settle().in_work);
        let progress = format!("{delivered} events delivered, {in_work} messages in work");
        match (&pulse.life, &pulse.trouble) {
            (Err(dead), _) => format!("{progress}; {dead}"),
            (Ok(()), Some(trouble)) => format!("{progress}; {}", trouble.message),
            (Ok(()), None) => progress,
        }
    }
}

fn is_due(last: Option<Instant>, interval: Duration, now: Instant) -> bool {
    last.is_none_or(|last| now.saturating_duration_since(last) >= interval)
}
