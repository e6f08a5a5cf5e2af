//! The thread that looks at the queue from time to time: its depth, its dead letters.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Settings, inspect};
use crate::aws::{Attributes, Kind, Sqs};
use crate::limits::DEPTH_INTERVAL;
use crate::stop::Stop;
use crate::telemetry::{self, Depth};

/// Holds nothing that the end of the input waits for.
pub struct Watch {
    queue: Sqs,
    dead_letters: DeadLetters,
    /// Receives that had brought nothing at the last look.
    empty_receives: u64,
    telemetry: Arc<telemetry::Input>,
    stop: Stop,
}

enum DeadLetters {
    /// Not looked for yet.
    Unknown,
    In(Sqs),
    /// There is no such queue, or it may not be looked at.
    Away,
}

impl Watch {
    pub fn of(settings: &Settings) -> Watch {
        Watch {
            queue: settings.receiving.clone(),
            dead_letters: DeadLetters::Unknown,
            empty_receives: 0,
            telemetry: Arc::clone(&settings.telemetry),
            stop: settings.stop.clone(),
        }
    }

    /// Runs until stopped.
    pub fn run(mut self) {
        loop {
            self.look();
            if self.stop.wait(DEPTH_INTERVAL) {
                return;
            }
        }
    }

    fn look(&mut self) {
        match self.queue.attributes() {
            Ok(queue) => {
                let Attributes { available, in_flight, delayed, .. } = queue;
                self.telemetry.queue.set_depth(Depth { available, in_flight, delayed });
                self.warn_of_depth(&queue);
                self.look_at_dead_letters(&queue);
            }
            // Not fit to make noise: if the queue is away, the receives say so.
            Err(error) => log::debug!("inputs.{}: {error}", self.telemetry.name),
        }
        let expiry = self.queue.credentials_expire_at();
        self.telemetry.set_credentials_expire_at(expiry.and_then(|time| Timestamp::try_from(time).ok()));
    }

    /// Have receives come back empty although the queue is not?
    fn warn_of_depth(&mut self, queue: &Attributes) {
        let empty = self.telemetry.receive.empty.value();
        let came_back_empty = std::mem::replace(&mut self.empty_receives, empty) != empty;
        if let Some(warning) = inspect::depth_warning(queue).filter(|_| came_back_empty) {
            log::warn!(place = self.telemetry.name.as_str(); "inputs.{}: {warning}", self.telemetry.name);
        }
    }

    fn look_at_dead_letters(&mut self, queue: &Attributes) {
        if let DeadLetters::Unknown = self.dead_letters {
            let found = queue.redrive.as_ref().and_then(|redrive| self.queue.dead_letters(redrive));
            self.dead_letters = found.map_or(DeadLetters::Away, DeadLetters::In);
        }
        let DeadLetters::In(dead_letters) = &self.dead_letters else { return };
        let count = match dead_letters.attributes() {
            Ok(queue) => Some(queue.available + queue.in_flight),
            Err(error) if matches!(error.kind(), Kind::Denied | Kind::NotFound) => {
                log::info!(
                    place = self.telemetry.name.as_str();
                    "inputs.{}: how many dead letters there are stays unknown: {error}",
                    self.telemetry.name
                );
                self.dead_letters = DeadLetters::Away;
                None
            }
            Err(_) => return,
        };
        self.telemetry.queue.set_dead_letters(count);
    }
}
