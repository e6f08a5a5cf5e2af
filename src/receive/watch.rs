//! The thread that looks at the queue from time to time: its settings, its depth, its dead letters.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use super::drain::Drain;
use super::{Settings, inspect};
use crate::aws::{Attributes, Kind, Sqs};
use crate::config;
use crate::limits::DEPTH_INTERVAL;
use crate::stop::Stop;
use crate::telemetry::{self, Depth};

/// Holds nothing that the end of the input waits for.
pub struct Watch {
    queue: Sqs,
    input: config::Input,
    /// Learns the queue's redrive policy.
    drain: Arc<Mutex<Drain>>,
    /// The settings have been looked at.
    inspected: bool,
    /// The first look has failed, and the log says so.
    warned: bool,
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
    pub fn of(settings: &Settings, drain: &Arc<Mutex<Drain>>) -> Watch {
        Watch {
            queue: settings.receiving.clone(),
            input: settings.input.clone(),
            drain: Arc::clone(drain),
            inspected: false,
            warned: false,
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
                if !std::mem::replace(&mut self.inspected, true) {
                    self.inspect(&queue);
                }
                let Attributes { available, in_flight, delayed, .. } = queue;
                self.telemetry.queue.set_depth(Depth { available, in_flight, delayed });
                self.warn_of_depth(&queue);
                self.look_at_dead_letters(&queue);
            }
            Err(error) if !self.inspected && !self.warned && *error.kind() != Kind::Stopped => {
                self.warned = true;
                log::warn!("inputs.{}: the queue's settings cannot be read: {error}", self.telemetry.name);
            }
            // Not fit to make noise: if the queue is away, the receives say so.
            Err(error) => log::debug!("inputs.{}: {error}", self.telemetry.name),
        }
        let expiry = self.queue.credentials_expire_at();
        self.telemetry.set_credentials_expire_at(expiry.and_then(|time| Timestamp::try_from(time).ok()));
    }

    /// Tells what the queue's settings mean.
    fn inspect(&self, queue: &Attributes) {
        let (name, Attributes { available, in_flight, .. }) = (&self.telemetry.name, queue);
        log::info!("inputs.{name}: {available} messages wait in the queue, {in_flight} are in flight");
        for warning in inspect::warnings(queue, &self.input) {
            log::warn!("inputs.{name}: {warning}");
        }
        self.drain.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).learn(queue);
    }

    /// Have receives come back empty although the queue is not?
    fn warn_of_depth(&mut self, queue: &Attributes) {
        let empty = self.telemetry.receive.empty.value();
        let came_back_empty = std::mem::replace(&mut self.empty_receives, empty) != empty;
        if let Some(warning) = inspect::depth_warning(queue).filter(|_| came_back_empty) {
            log::warn!("inputs.{}: {warning}", self.telemetry.name);
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
