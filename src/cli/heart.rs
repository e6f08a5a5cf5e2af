//! Heartbeats: while the pipeline lives, and only then, it pings the service manager.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::notify::ServiceManager;
use crate::base::limits::STATUS_INTERVAL;
use crate::pipeline::Pulse;
use crate::telemetry::{Phase, Telemetry};

/// Beats in the pipeline's own loop, so it stops when the loop does.
#[derive(Debug)]
pub struct Heart<'a> {
    manager: &'a ServiceManager,
    telemetry: Arc<Telemetry>,
    ping: Option<Duration>,
    last_ping: Option<Instant>,
    last_status: Option<Instant>,
    last_phase: Phase,
}

impl<'a> Heart<'a> {
    pub fn new(manager: &'a ServiceManager, telemetry: &Arc<Telemetry>) -> Heart<'a> {
        Heart {
            manager,
            telemetry: Arc::clone(telemetry),
            ping: manager.ping_interval(),
            last_ping: None,
            last_status: None,
            last_phase: telemetry.phase(),
        }
    }

    pub fn beat(&mut self, pulse: &Pulse) {
        let now = Instant::now();
        // Without a ping, a service manager with a watchdog restarts the program.
        if pulse.life.is_ok() && self.ping.is_some_and(|interval| is_due(self.last_ping, interval, now)) {
            self.last_ping = Some(now);
            self.manager.ping();
        }
        let phase = self.telemetry.phase();
        if phase != self.last_phase || is_due(self.last_status, STATUS_INTERVAL, now) {
            (self.last_status, self.last_phase) = (Some(now), phase);
            self.manager.status(&self.status(pulse));
        }
    }

    fn status(&self, pulse: &Pulse) -> String {
        let progress = progress(&self.telemetry);
        match (&pulse.life, &pulse.trouble) {
            (Err(dead), _) => format!("{progress}; {dead}"),
            (Ok(()), Some(trouble)) => format!("{progress}; {}", trouble.message),
            (Ok(()), None) => progress,
        }
    }
}

fn progress(telemetry: &Telemetry) -> String {
    let mut text = format!("{} events delivered", telemetry.send().events);
    // Polled sources and listings have no messages.
    let in_work = telemetry.settle().in_work;
    if in_work > 0 {
        text.push_str(&format!(", {in_work} messages in flight"));
    }
    if telemetry.phase() == Phase::Stopping {
        text.push_str("; work in flight is being finished");
    }
    text
}

fn is_due(last: Option<Instant>, interval: Duration, now: Instant) -> bool {
    last.is_none_or(|last| now.saturating_duration_since(last) >= interval)
}
