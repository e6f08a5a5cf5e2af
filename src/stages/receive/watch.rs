//! The thread that periodically reads the queue's settings, depth and dead letters.

use std::sync::Arc;

use jiff::Timestamp;

use super::drain::Drain;
use super::growth::Growth;
use super::{Settings, inspect};
use crate::aws::{Attributes, Error, Kind, Sqs};
use crate::base::limits::DEPTH_INTERVAL;
use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::Mutex;
use crate::base::stop::Stop;
use crate::settings;
use crate::telemetry::{self, Depth, Redrive};

/// Keeps nothing alive that the end of the input waits for.
pub struct Watch {
    queue: Sqs,
    input: settings::Input,
    /// Learns the queue's redrive policy.
    drain: Arc<Mutex<Drain>>,
    /// The settings have been checked.
    inspected: bool,
    /// The first read has failed, and the log says so.
    warned: bool,
    dead_letters: DeadLetters,
    growth: Growth,
    /// The growth of the dead letters at the last read.
    grown: u64,
    /// Number of empty receives at the last read.
    empty_receives: u64,
    telemetry: Arc<telemetry::Input>,
    stop: Stop,
}

enum DeadLetters {
    /// Not looked for yet.
    Unknown,
    In(Sqs),
    /// There is no such queue, or it may not be read.
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
            growth: Growth::default(),
            grown: 0,
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
        let expiry = self.queue.credentials_expire_at();
        self.telemetry.set_credentials_expire_at(expiry.and_then(|time| Timestamp::try_from(time).ok()));
        match self.queue.attributes() {
            Ok(queue) => {
                if !std::mem::replace(&mut self.inspected, true) {
                    self.inspect(&queue);
                }
                let Attributes { available, in_flight, delayed, .. } = queue;
                self.telemetry.queue.set_redrive(redrive(&queue));
                self.telemetry.queue.set_depth(Depth { available, in_flight, delayed }, clock::now());
                self.telemetry.looks.works();
                self.warn_of_depth(&queue);
                self.look_at_dead_letters(&queue);
            }
            Err(error) => self.cannot_look(&error),
        }
    }

    /// Handles a failed read. A collector without the permission does without the figures; for one that could read them
    /// before, it is a trouble.
    fn cannot_look(&mut self, error: &Error) {
        let is_refused = matches!(error.kind(), Kind::Denied | Kind::NotFound);
        if *error.kind() == Kind::Stopped {
            return;
        }
        if is_refused && self.telemetry.looks.successes() == 0 {
            if !std::mem::replace(&mut self.warned, true) {
                log::warn!(
                    place = self.telemetry.name.as_str();
                    "inputs.{}: the queue's settings cannot be read: {error}", self.telemetry.name
                );
            }
            return;
        }
        self.telemetry.looks.failed(error, !error.is_temporary());
    }

    /// Logs the meaning of the queue's settings.
    fn inspect(&self, queue: &Attributes) {
        let (name, Attributes { available, in_flight, .. }) = (&self.telemetry.name, queue);
        log::info!(place = name.as_str(); "inputs.{name}: {available} messages wait in the queue, {in_flight} are in flight");
        for warning in inspect::at_start(queue, &self.input) {
            log::warn!(place = name.as_str(); "inputs.{name}: {warning}");
        }
        lock(&self.drain).learn(queue);
    }

    /// True if receives were empty although the queue is not.
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
                    "inputs.{}: the number of dead letters cannot be read: {error}",
                    self.telemetry.name
                );
                self.dead_letters = DeadLetters::Away;
                None
            }
            Err(error) => return self.cannot_look(&error),
        };
        self.telemetry.queue.set_dead_letters(count, clock::now());
        self.tell_growth(count);
    }

    /// An increase in dead letters is a warning: logs are collected, but some are left behind.
    fn tell_growth(&mut self, count: Option<u64>) {
        let (health, count) = (&self.telemetry.dead_letters, count.unwrap_or(0));
        let before = std::mem::take(&mut self.grown);
        self.grown = self.growth.look(count, clock::now());
        if self.grown > before {
            let message = format!(
                "{} messages became dead letters lately, and {count} are in the dead-letter queue. The log says what \
                 is wrong with them; fix that and redrive them",
                self.grown
            );
            health.failed(message, true);
        } else if self.grown == 0 && before > 0 {
            health.calms_down();
        }
    }
}

fn redrive(queue: &Attributes) -> Redrive {
    match queue.redrive.clone() {
        None => Redrive::None,
        Some(redrive) => Redrive::After {
            attempts_max: redrive.max_receive_count,
            dead_letter_arn: redrive.dead_letter_arn,
        },
    }
}
