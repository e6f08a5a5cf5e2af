//! Objects and messages that were not delivered: which, why, what happens next, and the commands that retry them.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::Serialize;

use crate::ack::{Delivery, Ending};
use crate::base::limits::{FAILED_OBJECT_TEXT_MAX, FAILED_OBJECTS_MAX};
use crate::base::locks::lock;
use crate::base::object::Object;
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::base::text::{one_line, shell_word};

/// A bounded list of failures; the oldest are dropped first. A message that is delivered later takes its failures off.
#[derive(Debug, Default)]
pub struct FailedObjects(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Grows with every change.
    version: u64,
    /// Failures that were dropped because the list was full.
    dropped: u64,
    /// The configuration's file, for the commands.
    config: String,
    all: VecDeque<FailedObject>,
}

/// A failure, as a stage reports it.
#[derive(Debug, Clone, Copy)]
pub struct Failed<'a> {
    /// The object. None: the message itself, or its body, or something of an API.
    pub object: Option<&'a Object>,
    /// A page of an API's answer, or an event on it, by the name that people know it by.
    pub polled: Option<Polled<'a>>,
    /// None if it belongs to no service.
    pub service: Option<&'a str>,
    /// The message that brought it. None for an object of a listing, and a page of an API.
    pub delivery: Option<&'a Delivery>,
    /// None: it will be retried.
    pub ending: Option<Ending>,
    /// The cause, for people.
    pub cause: &'a str,
    /// The same in few constant words, by which the log groups such lines.
    pub kind: &'a str,
}

/// Something that a polled source has read, by name.
#[derive(Debug, Clone, Copy)]
pub enum Polled<'a> {
    /// It is read again.
    Page(&'a str),
    /// The source goes on without it.
    Event(&'a str),
}

/// An object, or a message, that was not delivered.
#[derive(Debug, Clone, Serialize)]
pub struct FailedObject {
    /// `s3://bucket/key`, `message ID`, or what a source has read.
    pub name: String,
    pub input: String,
    /// Empty if it belongs to no service.
    pub service: String,
    /// The id of the message that brought it; empty if none did.
    pub message: String,
    /// The number of this delivery of the message; 0 if unknown.
    pub attempt: u32,
    /// The number of deliveries after which the queue's redrive policy moves the message away. None if unknown.
    pub attempts_max: Option<u32>,
    /// `refused`, or `retried`.
    pub ending: &'static str,
    /// The reason as in the metric `objects_ended_total`; empty for one that is retried.
    pub reason: &'static str,
    /// The cause of the failure.
    pub cause: String,
    /// The next thing that happens to it.
    pub next: String,
    /// RFC 3339 times of its first and its latest failure, and their number.
    pub first: String,
    pub time: String,
    pub times: u64,
    pub commands: Vec<Command>,
}

/// A command that makes the object be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Command {
    /// The command's effect, and when to use it.
    pub about: &'static str,
    /// For a POSIX shell; names from outside are quoted.
    pub command: String,
}

/// The list at one moment. Serialized, it is `/failed.json`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FailedSnapshot {
    pub version: u64,
    /// Failures that are not listed any more, because there were too many.
    pub dropped: u64,
    /// The latest first.
    pub objects: Vec<FailedObject>,
}

/// The version of the list, by which readers notice a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FailedTotals {
    pub version: u64,
    /// Failures on the list.
    pub listed: usize,
}

/// The queue's redrive policy, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Redrive {
    /// It cannot be read, or has not been.
    #[default]
    Unknown,
    /// A message returns until it expires.
    None,
    After {
        /// Number of deliveries.
        attempts_max: u32,
        dead_letter_arn: String,
    },
}

impl Redrive {
    /// The number of deliveries after which SQS moves a message to the dead-letter queue, if that is known.
    pub fn attempts_max(&self) -> Option<u32> {
        match self {
            Redrive::After { attempts_max, .. } => Some(*attempts_max),
            Redrive::Unknown | Redrive::None => None,
        }
    }
}

/// The input of a failure, and its time.
#[derive(Debug)]
pub(super) struct At<'a> {
    /// The input's key and id in the configuration.
    pub input: &'a str,
    pub id: &'a str,
    pub redrive: Redrive,
    pub now: Timestamp,
}

/// The novelty of a failure, which decides how it is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Novelty {
    /// It is news: its first, or that this was the last delivery.
    News,
    /// The same has been logged at an earlier delivery.
    Again,
}

impl FailedObjects {
    /// Sets the configuration's file, for the commands.
    pub fn set_config(&self, path: &str) {
        self.lock().config = path.to_owned();
    }

    /// Adds a failure, or counts it for the same object of the same message. Returns it with its novelty.
    pub(super) fn add(&self, failed: &Failed<'_>, at: &At<'_>) -> (FailedObject, Novelty) {
        let mut state = self.lock();
        state.version += 1;
        let new = FailedObject::new(failed, at, &state.config);
        let earlier =
            state.all.iter().position(|known| known.is_same(&new)).and_then(|at| state.all.remove(at));
        let novelty = match &earlier {
            Some(_) if !new.is_last() => Novelty::Again,
            _ => Novelty::News,
        };
        if state.all.len() >= FAILED_OBJECTS_MAX {
            state.all.pop_front();
            state.dropped += 1;
        }
        let (first, times) = earlier.map_or((new.first.clone(), 0), |earlier| (earlier.first, earlier.times));
        let failed = FailedObject { first, times: times + 1, ..new };
        state.all.push_back(failed.clone());
        (failed, novelty)
    }

    /// Takes the failures of a message off the list, because it has been delivered.
    pub fn delivered(&self, message: &str) {
        self.keep(|failed| failed.message != message);
    }

    /// Takes all other failures off the list.
    pub(super) fn keep(&self, is_kept: impl Fn(&FailedObject) -> bool) {
        let mut state = self.lock();
        let before = state.all.len();
        state.all.retain(is_kept);
        if state.all.len() != before {
            state.version += 1;
        }
    }

    pub fn totals(&self) -> FailedTotals {
        let state = self.lock();
        FailedTotals { version: state.version, listed: state.all.len() }
    }

    pub fn snapshot(&self) -> FailedSnapshot {
        let state = self.lock();
        let objects = state.all.iter().rev().cloned().collect();
        FailedSnapshot { version: state.version, dropped: state.dropped, objects }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl FailedObject {
    fn new(failed: &Failed<'_>, at: &At<'_>, config: &str) -> FailedObject {
        let Failed { object, polled, service, delivery, ending, cause, .. } = *failed;
        let message = delivery.map_or("", |delivery| delivery.message_id.as_str());
        let time = format!("{:.3}", at.now);
        let attempts_max = at.redrive.attempts_max();
        let mut new = FailedObject {
            name: match (object, polled) {
                (Some(object), _) => object.to_string(),
                (None, Some(Polled::Page(name) | Polled::Event(name))) => name.to_owned(),
                (None, None) => format!("message {message}"),
            },
            input: at.input.to_owned(),
            service: service.unwrap_or_default().to_owned(),
            message: message.to_owned(),
            attempt: delivery.map_or(0, |delivery| delivery.attempt),
            attempts_max,
            ending: ending.map_or("retried", Ending::name),
            reason: ending.map_or("", Ending::reason),
            cause: cause.to_owned(),
            next: String::new(),
            first: time.clone(),
            time,
            times: 0,
            commands: commands(failed, at, config),
        };
        new.next = match polled {
            Some(Polled::Page(_)) => "Its source goes back to the checkpoint, and reads it again".to_owned(),
            Some(Polled::Event(_)) => {
                "It is passed over, because everything behind it would wait for it, and is not read again: look it up in AWS".to_owned()
            }
            None => new.next(&at.redrive),
        };
        for text in [&mut new.name, &mut new.message, &mut new.cause] {
            *text = shortened(&one_line(text));
        }
        new
    }

    fn is_same(&self, other: &FailedObject) -> bool {
        (&self.name, &self.message, &self.input) == (&other.name, &other.message, &other.input)
    }

    /// True if the queue's redrive policy moves the message away after this delivery.
    fn is_last(&self) -> bool {
        self.attempts_max.is_some_and(|max| self.attempt >= max)
    }

    /// Describes the fate of its message, in a sentence without its full stop.
    fn next(&self, redrive: &Redrive) -> String {
        if self.message.is_empty() {
            return "The next backfill or audit retries it".to_owned();
        }
        let again = if self.ending == "retried" {
            "Its message is returned to the queue and received again"
        } else {
            "Its message is left to the queue's redrive policy"
        };
        match redrive {
            Redrive::Unknown => again.to_owned(),
            Redrive::None => {
                "Its message is returned to the queue and received again until it expires, because the \
                              queue has no redrive policy"
                    .to_owned()
            }
            Redrive::After { dead_letter_arn, .. } => {
                let name = dead_letter_arn.rsplit(':').next().unwrap_or_default();
                match self.attempts_max.unwrap_or_default() {
                    max if self.attempt > max => format!(
                        "SQS has not moved its message to the dead-letter queue {name} after delivery attempt {max}; \
                         if that goes on, see whether that queue exists and may be used by this one"
                    ),
                    max if self.attempt == max => format!(
                        "This was the last delivery attempt: SQS moves its message to the dead-letter queue {name}"
                    ),
                    max => format!(
                        "Its message is returned to the queue and received again; after delivery attempt {max} SQS \
                         moves it to the dead-letter queue {name}"
                    ),
                }
            }
        }
    }

    /// The line for the log, without its input.
    pub(super) fn line(&self) -> String {
        let FailedObject { name, service, message, attempt, cause, next, .. } = self;
        let what = if self.ending == "retried" { "cannot be fetched now" } else { "refused" };
        let service = if service.is_empty() { String::new() } else { format!("service {service}, ") };
        let of = match self.attempts_max {
            Some(max) => format!(" of {max}"),
            None => String::new(),
        };
        // A message that is no object is named already.
        let id =
            if name.ends_with(message.as_str()) { String::new() } else { format!("message {message}, ") };
        match message.is_empty() {
            true => format!("{name}: {what}: {cause} ({}). {next}", service.trim_end_matches(", ")),
            false => format!("{name}: {what}: {cause} ({service}{id}delivery attempt {attempt}{of}). {next}"),
        }
    }
}

/// The commands that make it be sent again, the most specific first.
fn commands(failed: &Failed<'_>, at: &At<'_>, config: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    let config = if config.is_empty() { "config.yaml" } else { config };
    if failed.ending == Some(Ending::Deaths) {
        // The id of a message is unique.
        let (exact, name) = match (failed.object, failed.delivery) {
            (Some(object), _) => ("--exact ", address(object)),
            (None, delivery) => ("", delivery.map_or_else(String::new, |it| it.message_id.clone())),
        };
        commands.push(Command {
            about: "First, let the collector try it again",
            command: format!(
                "aws-to-devo ledger forget --config {} --input {} {exact}--match {}",
                shell_word(config),
                shell_word(at.id),
                shell_word(&name)
            ),
        });
    }
    if let (Some(object), Some(service)) = (failed.object, failed.service) {
        commands.push(Command {
            about: "Send this object now, without its message",
            command: format!(
                "aws-to-devo backfill --exact {} --config {} --input {} --service {}",
                shell_word(&address(object)),
                shell_word(config),
                shell_word(at.input),
                shell_word(service)
            ),
        });
    }
    if let (Redrive::After { dead_letter_arn, .. }, true) = (&at.redrive, failed.delivery.is_some()) {
        let region = dead_letter_arn.split(':').nth(3).unwrap_or_default();
        commands.push(Command {
            about: "Return all dead letters to the queue, once the cause is gone",
            command: format!(
                "aws sqs start-message-move-task --region {} --source-arn {}",
                shell_word(region),
                shell_word(dead_letter_arn)
            ),
        });
    }
    commands
}

/// The object's address as the command line reads it.
fn address(object: &Object) -> String {
    format!("s3://{}/{}", object.bucket, object.key)
}

fn shortened(text: &str) -> String {
    match text.char_indices().find(|(at, _)| *at >= FAILED_OBJECT_TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(attempt: u32) -> Delivery {
        Delivery { message_id: "m-1".into(), attempt }
    }

    fn at(redrive: Redrive) -> At<'static> {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        At { input: "sqs_collector", id: "1023", redrive, now }
    }

    fn redrive() -> Redrive {
        Redrive::After { attempts_max: 3, dead_letter_arn: "arn:aws:sqs:eu-west-1:1:logs-dead".into() }
    }

    fn damaged<'a>(object: &'a Object, delivery: &'a Delivery) -> Failed<'a> {
        Failed {
            object: Some(object),
            polled: None,
            service: Some("aws_sqs_vpc"),
            delivery: Some(delivery),
            ending: Some(Ending::Damaged),
            cause: "it ends in the middle",
            kind: "Truncated",
        }
    }

    #[test]
    fn an_object_is_news_once_and_when_its_last_delivery_has_failed() {
        let (failed, object) = (FailedObjects::default(), Object::named("b", "k.gz"));
        let added: Vec<_> =
            (1..=3).map(|n| failed.add(&damaged(&object, &delivery(n)), &at(redrive()))).collect();
        assert_eq!(
            added.iter().map(|(_, novelty)| *novelty).collect::<Vec<_>>(),
            [Novelty::News, Novelty::Again, Novelty::News]
        );
        assert_eq!(
            added[0].0.line(),
            "s3://b/k.gz: refused: it ends in the middle (service aws_sqs_vpc, message m-1, delivery attempt 1 of 3). \
             Its message is returned to the queue and received again; after delivery attempt 3 SQS moves it to the \
             dead-letter queue logs-dead"
        );
        assert!(
            added[2].0.line().contains("attempt 3 of 3). This was the last delivery attempt: SQS moves ")
        );
        let listed = failed.snapshot();
        assert_eq!((listed.objects.len(), listed.objects[0].times), (1, 3));
        assert_eq!((listed.objects[0].ending, listed.objects[0].reason), ("refused", "damaged"));
        failed.delivered("m-2");
        assert_eq!(failed.totals(), FailedTotals { version: 3, listed: 1 });
        failed.delivered("m-1");
        assert_eq!(failed.totals(), FailedTotals { version: 4, listed: 0 });
    }

    #[test]
    fn what_happens_next_depends_on_the_redrive_policy() {
        let object = Object::named("b", "k");
        let next = |redrive, ending, message: &Delivery| {
            let failed = Failed { ending, ..damaged(&object, message) };
            FailedObject::new(&failed, &at(redrive), "").next
        };
        let damaged = Some(Ending::Damaged);
        assert_eq!(
            next(Redrive::Unknown, damaged, &delivery(9)),
            "Its message is left to the queue's redrive policy"
        );
        assert!(next(Redrive::Unknown, None, &delivery(9)).ends_with("received again"));
        assert!(next(Redrive::None, damaged, &delivery(9)).ends_with("the queue has no redrive policy"));
        assert!(next(redrive(), None, &delivery(3)).starts_with("This was the last delivery attempt"));
        assert!(next(redrive(), None, &delivery(4)).starts_with("SQS has not moved its message"));
        assert_eq!(next(redrive(), None, &Delivery::default()), "The next backfill or audit retries it");
    }

    #[test]
    fn commands_cannot_be_changed_by_names() {
        let hostile = "a b/'; rm -rf ~ #\n$(reboot)`x`\u{202e}";
        let (object, message) = (Object::named("b", hostile), delivery(1));
        let failed = Failed { ending: Some(Ending::Deaths), ..damaged(&object, &message) };
        let commands = commands(&failed, &at(redrive()), "/etc/my config.yaml");
        let texts: Vec<&str> = commands.iter().map(|command| command.command.as_str()).collect();
        assert_eq!(commands.len(), 3);
        // A shell reads each as the original.
        for (text, words) in texts.iter().zip([10, 10, 7]) {
            let script = format!("printf '%s\\0' {text}");
            let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
            let read: Vec<_> = output.stdout.split(|byte| *byte == 0).collect();
            assert_eq!(read.len() - 1, words, "{text}");
            let has_key = read.iter().any(|word| String::from_utf8_lossy(word).ends_with(hostile));
            assert_eq!(has_key, words == 10, "{text}");
            assert!(!text.contains(['\n', '\u{202e}']), "{text:?}");
            assert!(!has_key || text.contains(" --exact "), "no other object begins like it: {text}");
        }
    }

    #[test]
    fn the_list_and_its_texts_are_bounded() {
        let failed = FailedObjects::default();
        for number in 0..FAILED_OBJECTS_MAX * 2 {
            let object = Object::named("b", &format!("{number}{}", "é".repeat(FAILED_OBJECT_TEXT_MAX)));
            failed.add(&damaged(&object, &delivery(1)), &at(Redrive::None));
        }
        let listed = failed.snapshot();
        assert_eq!((listed.objects.len(), listed.dropped), (FAILED_OBJECTS_MAX, FAILED_OBJECTS_MAX as u64));
        assert!(listed.objects[0].name.starts_with(&format!("s3://b/{}", 2 * FAILED_OBJECTS_MAX - 1)));
        assert!(listed.objects.iter().all(|failed| failed.name.len() < FAILED_OBJECT_TEXT_MAX + 8));
    }
}
