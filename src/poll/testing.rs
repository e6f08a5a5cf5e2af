//! What the loop does with a source, without threads: for the sources' own tests.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::Value;

use super::source::{Next, Page, Source};
use crate::aws::failure::Refusal;
use crate::aws::{Error, Request};

/// Midnight, of a year and of a leap day; an hour that Europe skips, and one that America has twice.
pub const CLOCK_CHANGES: [&str; 4] =
    ["2027-01-01T00:00:00Z", "2028-02-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-11-01T06:00:00Z"];

/// A source, what it has delivered, and what the ledger knows of that.
pub struct Bench<S> {
    pub source: S,
    pub checkpoints: BTreeMap<String, String>,
    seen: HashMap<u128, i64>,
    /// Bodies, in the order in which they were delivered.
    pub delivered: Vec<String>,
    /// Up to when everything is delivered.
    pub reached: Option<Timestamp>,
}

/// How a pull ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Pulled {
    CaughtUp,
    /// After so many answers as were allowed.
    CutOff,
}

impl<S: Source> Bench<S> {
    pub fn new(source: S) -> Bench<S> {
        let (checkpoints, seen) = (BTreeMap::new(), HashMap::new());
        Bench { source, checkpoints, seen, delivered: Vec::new(), reached: None }
    }

    /// Another process goes on with what the ledger knows.
    pub fn restart(&mut self, source: S) {
        self.source = source;
        self.source.resume(&self.checkpoints);
    }

    /// Reads until there is nothing more, asking `answer` (the body, or a refusal's code) for `calls` answers
    /// at the most.
    pub fn pull(
        &mut self,
        now: Timestamp,
        mut calls: usize,
        mut answer: impl FnMut(&Request) -> Result<Value, &'static str>,
    ) -> Pulled {
        loop {
            match self.source.next(now) {
                Next::CaughtUp => return Pulled::CaughtUp,
                Next::Mark(progress) => self.deliver(Page { progress, ..Page::default() }),
                Next::Call(_) if calls == 0 => return Pulled::CutOff,
                Next::Call(request) => {
                    calls -= 1;
                    match answer(&request) {
                        Ok(body) => {
                            let page = self.source.read(body.to_string().as_bytes()).unwrap();
                            self.deliver(page);
                        }
                        Err(code) => drop(self.source.refused(&refused(&request, code))),
                    }
                }
            }
        }
    }

    /// As if so much had come since that nothing is remembered.
    pub fn forget_events(&mut self) {
        self.seen.clear();
    }

    /// Events that may be told as repeats.
    pub fn remembered(&self) -> usize {
        self.seen.len()
    }

    pub fn notes(&mut self) -> Vec<String> {
        self.source.notes()
    }

    fn deliver(&mut self, page: Page) {
        for event in page.events {
            let is_new = event.key.is_none_or(|key| self.seen.insert(key.id, key.time).is_none());
            if is_new {
                self.delivered.push(String::from_utf8(event.body).unwrap());
            }
        }
        self.reached = self.reached.max(page.progress.reached);
        self.checkpoints.extend(page.progress.checkpoints);
        if let Some(oldest) = page.progress.forget_before {
            self.seen.retain(|_, time| *time >= oldest);
        }
    }
}

/// The input of a request of the JSON protocols.
pub fn input(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or(Value::Null)
}

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn refused(request: &Request, code: &str) -> Error {
    let refusal = Refusal { status: 400, code: code.to_owned(), ..Refusal::default() };
    Error::refused(request, "AKIAIOSFODNN7EXAMPLE", refusal)
}
