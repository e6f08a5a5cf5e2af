//! The loop around a source, without threads: for the sources' own tests.
//!
//! [`Bench`] makes single pulls. [`storm`] drives a source through failing calls, restarts and an account that changes
//! between calls, and checks that nothing is lost; [`restarts_until_done`] restarts it every few answers.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value;

use super::moment::{CLOCK, Moment, Times};
use super::source::{self, LeftOut, Next, Page, PageSource, Progress, Reaction};
use crate::aws::failure::Refusal;
use crate::aws::{Error, Request};

/// Midnight, of a year and of a leap day; an hour that Europe skips, and one that America repeats.
pub const CLOCK_CHANGES: [&str; 4] =
    ["2027-01-01T00:00:00Z", "2028-02-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-11-01T06:00:00Z"];

/// A source, its deliveries, and their state in the ledger.
pub struct Bench<S> {
    pub source: S,
    pub checkpoints: BTreeMap<String, String>,
    /// Events known to the ledger.
    seen: HashMap<u128, i64>,
    /// Events known to the ledger, and those in flight.
    told: HashMap<u128, i64>,
    /// Pages in flight, at most `hold`.
    pending: VecDeque<Pending>,
    pub hold: usize,
    /// Bodies, in order of delivery.
    pub delivered: Vec<String>,
    /// The time up to which everything is delivered.
    pub reached: Option<Timestamp>,
    /// Items that were passed over.
    pub left_out: Vec<LeftOut>,
    /// Consecutive failed calls.
    failures: u32,
}

#[derive(Default)]
struct Pending {
    bodies: Vec<String>,
    seen: Vec<(u128, i64)>,
    progress: Progress,
}

/// How a pull ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Pulled {
    CaughtUp,
    /// After the maximum number of answers.
    CutOff,
}

impl<S: PageSource> Bench<S> {
    pub fn new(source: S) -> Bench<S> {
        Bench {
            source,
            checkpoints: BTreeMap::new(),
            seen: HashMap::new(),
            told: HashMap::new(),
            pending: VecDeque::new(),
            hold: 0,
            delivered: Vec::new(),
            reached: None,
            left_out: Vec::new(),
            failures: 0,
        }
    }

    /// Another process resumes from the ledger's state.
    pub fn restart(&mut self, source: S) {
        self.source = source;
        self.go_back();
    }

    /// A page could not be delivered: reading resumes from the ledger's state.
    fn go_back(&mut self) {
        self.pending.clear();
        self.told.clone_from(&self.seen);
        self.source.resume(&self.checkpoints);
    }

    /// Reads until there is nothing more, taking at most `calls` answers from `answer` (the body, or a refusal's code).
    pub fn pull(
        &mut self,
        now: Timestamp,
        calls: usize,
        answer: impl FnMut(&Request) -> Result<Value, &'static str>,
    ) -> Pulled {
        self.pull_at(&Moment::from(now), calls, answer)
    }

    fn pull_at(
        &mut self,
        moment: &Moment,
        calls: usize,
        mut answer: impl FnMut(&Request) -> Result<Value, &'static str>,
    ) -> Pulled {
        for _ in 0..calls {
            if !self.step(moment, &mut answer) {
                return Pulled::CaughtUp;
            }
        }
        let Some(_) = self.request(moment) else { return Pulled::CaughtUp };
        Pulled::CutOff
    }

    /// Makes one call. Returns false if there is nothing more.
    fn step(
        &mut self,
        moment: &Moment,
        answer: &mut impl FnMut(&Request) -> Result<Value, &'static str>,
    ) -> bool {
        let Some(request) = self.request(moment) else { return false };
        match answer(&request) {
            Ok(body) => {
                let page = self.source.read(body.to_string().as_bytes()).unwrap();
                self.failures = 0;
                self.put_on_the_way(page);
            }
            Err(code) => self.react(&refused(&request, code)),
        }
        true
    }

    fn request(&mut self, moment: &Moment) -> Option<Request> {
        loop {
            match self.source.next(moment) {
                Next::CaughtUp => return None,
                Next::Give(page) => self.put_on_the_way(page),
                Next::Mark(progress) => self.put_on_the_way(Page { progress, ..Page::default() }),
                Next::Call(request) => return Some(*request),
            }
        }
    }

    fn react(&mut self, error: &Error) {
        self.failures += 1;
        match source::after(&mut self.source, error, self.failures > 3) {
            Reaction::LeaveOut(left_out) => {
                self.failures = 0;
                self.left_out.push(left_out);
            }
            Reaction::GoWithout(_) => self.failures = 0,
            Reaction::TryAgain | Reaction::AskAnew => (),
        }
    }

    /// Events that can be recognized as repeats.
    pub fn remembered(&self) -> usize {
        self.seen.len()
    }

    pub fn notes(&mut self) -> Vec<String> {
        self.source.notes()
    }

    fn put_on_the_way(&mut self, page: Page) {
        let mut pending = Pending { progress: page.progress, ..Pending::default() };
        for event in page.events {
            if event.key.is_none_or(|key| self.told.insert(key.id, key.time).is_none()) {
                pending.seen.extend(event.key.map(|key| (key.id, key.time)));
                pending.bodies.push(String::from_utf8(event.body).unwrap());
            }
        }
        self.left_out.extend(page.left_out);
        self.pending.push_back(pending);
        while self.pending.len() > self.hold {
            self.deliver();
        }
    }

    fn deliver(&mut self) {
        let Some(Pending { bodies, seen, progress }) = self.pending.pop_front() else { return };
        self.delivered.extend(bodies);
        self.seen.extend(seen);
        self.reached = self.reached.max(progress.reached);
        let can_read =
            |(part, value): &(String, String)| value.is_empty() || self.source.can_read(part, value);
        assert!(
            progress.checkpoints.iter().all(can_read),
            "a source can read what it has written: {progress:?}"
        );
        self.checkpoints.extend(progress.checkpoints);
        self.checkpoints.retain(|_, value| !value.is_empty());
        if let Some(oldest) = progress.forget_before {
            self.seen.retain(|_, time| *time >= oldest);
            self.told.retain(|_, time| *time >= oldest);
        }
    }
}

/// An account that changes while it is read.
pub trait Model {
    type Source: PageSource;

    /// The source as created by a new process.
    fn source(&self) -> Self::Source;

    /// The answer, or the code of the refusal, at this time.
    fn answer(&mut self, request: &Request, now: Timestamp) -> Result<Value, &'static str>;

    /// Something appears, changes, or disappears.
    fn change(&mut self, seed: u32, now: Timestamp);

    /// Everything that must be delivered, formatted by `shown`.
    fn expected(&self) -> BTreeSet<String>;

    fn shown(body: &str) -> String;

    /// Nothing is refused any more.
    fn calm(&mut self) {}
}

/// The next event of a source's test.
#[derive(Debug, Clone)]
pub enum Turn {
    /// A call is answered.
    Answer,
    /// A call is refused with this code.
    Refuse(&'static str),
    Change(u32),
    /// This many seconds pass.
    Wait(u32),
    /// AWS's clock, as seen in its answers, is wrong by this many seconds from now on.
    Clock(i32),
    /// The pull ends before it has caught up, and another one begins.
    GiveUp,
    /// This many pages may be in flight from now on.
    Hold(usize),
    /// A page could not be delivered.
    GoBack,
    /// The process is killed, including its pages in flight; another one resumes.
    Restart,
}

/// Any order of turns, most of them answers.
pub fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let codes = prop::sample::select(vec![
        "ThrottlingException",
        "ServiceUnavailable",
        "InvalidNextTokenException",
        "InvalidOperationException",
        "AccessDeniedException",
        "ResourceNotFoundException",
        "ExpiredTokenException",
    ]);
    let turn = prop_oneof![
        10 => Just(Turn::Answer),
        3 => codes.prop_map(Turn::Refuse),
        4 => any::<u32>().prop_map(Turn::Change),
        2 => (1u32..900).prop_map(Turn::Wait),
        1 => (0usize..4).prop_map(Turn::Hold),
        1 => Just(Turn::GoBack),
        2 => Just(Turn::Restart),
    ];
    prop::collection::vec(turn, 0..80)
}

/// Turns with clocks that are wrong for a while.
pub fn turns_of_clocks() -> impl Strategy<Value = Vec<Turn>> {
    let wrong = prop_oneof![Just(0), -900i32..900, -200_000i32..200_000];
    let turn = prop_oneof![
        8 => Just(Turn::Answer),
        3 => any::<u32>().prop_map(Turn::Change),
        2 => (1u32..900).prop_map(Turn::Wait),
        2 => wrong.prop_map(Turn::Clock),
        1 => Just(Turn::GiveUp),
        1 => Just(Turn::GoBack),
        1 => Just(Turn::Restart),
    ];
    prop::collection::vec(turn, 0..80)
}

/// Drives a source through the turns, then lets it catch up: everything must have been delivered, after any failures
/// and restarts.
pub fn storm<M: Model>(model: M, turns: Vec<Turn>, now: Timestamp) -> Result<(), TestCaseError> {
    let mut run = Run::new(model, now);
    turns.into_iter().for_each(|turn| run.take(turn));
    run.model.calm();
    (run.bench.hold, run.error) = (0, 0);
    // Longer than any delay.
    for _ in 0..6 {
        run.now += SignedDuration::from_mins(10);
        if run.claimed() < run.moment.now {
            run.ask_anew();
        }
        let (model, now) = (&mut run.model, run.now);
        let pulled = run.bench.pull_at(&run.moment, 10_000, |request| model.answer(request, now));
        prop_assert_eq!(pulled, Pulled::CaughtUp);
        run.end();
    }
    let delivered: BTreeSet<String> = run.bench.delivered.iter().map(|body| M::shown(body)).collect();
    let missing: Vec<_> = run.model.expected().difference(&delivered).cloned().collect();
    prop_assert!(missing.is_empty(), "missing {:?}", missing);
    Ok(())
}

/// A source, its account, and the time.
struct Run<M: Model> {
    model: M,
    bench: Bench<M::Source>,
    times: Times,
    moment: Moment,
    began: (Timestamp, Instant),
    now: Timestamp,
    /// Seconds by which AWS's clock is ahead, and for how long it has been wrong.
    error: i64,
    wrong_for: u32,
}

impl<M: Model> Run<M> {
    fn new(model: M, now: Timestamp) -> Run<M> {
        let mut bench = Bench::new(model.source());
        bench.source.resume(&BTreeMap::new());
        let (times, moment, began) = (Times::default(), Moment::from(Timestamp::MIN), (now, Instant::now()));
        let mut run = Run { model, bench, times, moment, began, now, error: 0, wrong_for: 0 };
        run.begin();
        run
    }

    fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Answer if self.claimed() < self.moment.now => self.ask_anew(),
            Turn::Answer => {
                let (model, now) = (&mut self.model, self.now);
                if !self.bench.step(&self.moment, &mut |request: &Request| model.answer(request, now)) {
                    self.end();
                }
            }
            Turn::Refuse(code) => drop(self.bench.step(&self.moment, &mut |_: &Request| Err(code))),
            Turn::Change(seed) => self.model.change(seed, self.now),
            Turn::Wait(seconds) => self.wait(seconds),
            Turn::Clock(error) => self.error = if self.wrong_for < 3600 { error.into() } else { 0 },
            Turn::GiveUp => self.begin(),
            Turn::Hold(pages) => self.bench.hold = pages,
            Turn::GoBack => self.go_back(),
            Turn::Restart => {
                self.bench.restart(self.model.source());
                // As at the start of a process: nothing is known of the time.
                self.times = Times::default();
                self.times.resume(&self.bench.checkpoints);
                self.moment = Moment::from(Timestamp::MIN);
                self.begin();
            }
        }
    }

    /// Wrong clocks are considered right after some hours.
    fn wait(&mut self, seconds: u32) {
        self.now += SignedDuration::from_secs(seconds.into());
        if self.error != 0 {
            self.wrong_for += seconds;
        }
    }

    /// AWS's time, as seen in its answers.
    fn claimed(&self) -> Timestamp {
        self.now + SignedDuration::from_secs(self.error)
    }

    fn begin(&mut self) {
        let passed = self.now.duration_since(self.began.0).unsigned_abs();
        let (moment, mark) = self.times.begin(self.claimed(), self.now, self.began.1 + passed);
        self.record(mark);
        let before = std::mem::replace(&mut self.moment, moment);
        if moment.has_come_back || moment.now < before.now {
            self.resume();
        }
    }

    fn end(&mut self) {
        let mark = self.times.caught_up();
        self.record(mark);
        self.begin();
    }

    fn record(&mut self, times: Option<String>) {
        let checkpoints = times.into_iter().map(|text| (CLOCK.to_owned(), text)).collect();
        let progress = Progress { checkpoints, ..Progress::default() };
        self.bench.put_on_the_way(Page { progress, ..Page::default() });
    }

    /// An answer was requested at a wrong time.
    fn ask_anew(&mut self) {
        self.resume();
        self.begin();
    }

    fn resume(&mut self) {
        while !self.bench.pending.is_empty() {
            self.bench.deliver();
        }
        self.go_back();
    }

    fn go_back(&mut self) {
        self.bench.go_back();
        if self.moment.has_come_back {
            let progress = self.bench.source.rewind(&self.moment);
            self.bench.put_on_the_way(Page { progress, ..Page::default() });
        }
    }
}

/// Restarts a source after every `answers` answers, and returns how often until it has caught up.
pub fn restarts_until_done<M: Model>(mut model: M, answers: usize, now: Timestamp) -> usize {
    let mut bench = Bench::new(model.source());
    bench.source.resume(&BTreeMap::new());
    let most = 10_000;
    let restarts = (0..most).find(|_| {
        let pulled = bench.pull(now, answers, |request| model.answer(request, now));
        bench.restart(model.source());
        pulled == Pulled::CaughtUp
    });
    let delivered: BTreeSet<String> = bench.delivered.iter().map(|body| M::shown(body)).collect();
    assert_eq!(model.expected().difference(&delivered).next(), None, "something is missing");
    restarts.expect("it never gets through")
}

/// The input of a request of the JSON protocols.
pub fn input(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or(Value::Null)
}

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Asserts that both items of an account are delivered, one before and one after `now`, although the ledger's checkpoints
/// are in the future.
pub fn a_future_checkpoint_leaves_out_nothing<M: Model, const N: usize>(
    mut model: M,
    checkpoints: [(String, String); N],
    now: Timestamp,
) {
    let mut bench = Bench::new(model.source());
    bench.checkpoints = checkpoints.into();
    bench.restart(model.source());
    for now in [now, time("2026-11-21T12:05:00Z")] {
        assert_eq!(bench.pull(now, 99, |request| model.answer(request, now)), Pulled::CaughtUp);
    }
    assert_eq!(bench.delivered.len(), 2);
}

pub fn refused(request: &Request, code: &str) -> Error {
    let refusal = Refusal { status: 400, code: code.to_owned(), ..Refusal::default() };
    Error::refused(request, "AKIAIOSFODNN7EXAMPLE", refusal)
}
