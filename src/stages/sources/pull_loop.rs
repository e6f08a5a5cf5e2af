//! A source's thread.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::moment::{CLOCK, Moment, Times};
use super::source::{self, BadAnswer, Event, LeftOut, Next, Page, PageSource, Progress, Reaction};
use super::unreadable::Unreadable;
use super::{Delivery, Settings, SharedSource, source_of};
use crate::ack::{self, Ack, Ending, Fate, Outcome};
use crate::aws::{Client, Error, Kind, Request, Sts};
use crate::base::allocator;
use crate::base::backoff::Backoff;
use crate::base::budget::{Budget, Permit};
use crate::base::buffers::Buffer;
use crate::base::limits::{
    CLOCK_RESOLUTION, CLOCK_STEP_MIN, FLEET_LOOK_INTERVAL, OBJECT_BYTES_MIN, POLL_BACKOFF_FIRST,
    POLL_BACKOFF_MAX, POLL_BARREN_PAGES_MAX, POLL_BARREN_PAGES_TOLD, POLL_PAGE_BYTES_KEPT, POLL_PAGE_FACTOR,
    POLL_PAGES_IN_WORK_MAX, POLL_REST_MAX, STOP_CHECK_INTERVAL,
};
use crate::base::runtime::{clock, thread};
use crate::base::text::{one_line, variant};
use crate::decode::{self, Decoder, Record, Scratch, Sink};
use crate::fleet::{Known, Note, Tenure, Trouble};
use crate::handoff::{Payload, PullingId, Work, WorkSource, ending_of};
use crate::ledger::{Mark, Polled};
use crate::services::Definition;
use crate::telemetry;

/// This many misdated answers in a row are no longer explained by a clock step.
const MISDATED_IN_ROW: u32 = 3;
/// Characters that are shown of a checkpoint that cannot be read.
const SHOWN_CHARS_MAX: usize = 80;
/// Events that one line of the log names.
const NAMES_PER_LINE: usize = 50;

pub fn run(shared: &Arc<SharedSource>, settings: Settings) {
    let stop = settings.stop.clone();
    let settings = Arc::new(settings);
    let mut backoff = Backoff::new(POLL_BACKOFF_FIRST, POLL_BACKOFF_MAX);
    let recovers = Arc::new(AtomicBool::new(false));
    let work = || PullLoop::new(shared, &settings, &recovers).run();
    while let Err(_panic) = catch_unwind(AssertUnwindSafe(work)) {
        recovers.store(true, Ordering::Relaxed);
        let message =
            "its thread panicked over a page, and restarts at the checkpoint; the log says where".to_owned();
        shared.telemetry.health.failed(message, true);
        if stop.wait(backoff.pause()) {
            return;
        }
    }
}

struct PullLoop {
    shared: Arc<SharedSource>,
    settings: Arc<Settings>,
    /// Keeps to the source's rate limits; that of the settings does not.
    client: Client,
    source: Box<dyn PageSource>,
    account: String,
    /// Slots for pages in flight.
    slots: Budget,
    backoff: Backoff,
    /// It has panicked, or a listing never ended, and it has not finished a pull since: a successful call is not a sign
    /// of health.
    recovers: Arc<AtomicBool>,
    times: Times,
    /// The start of the last pull.
    moment: Moment,
    /// Number of consecutive answers which showed that their request was made at a wrong time.
    misdated: u32,
    /// Consecutive pages of one listing without anything new.
    barren: u32,
    unreadable: Unreadable,
}

/// How a pull ended.
enum Pulled {
    CaughtUp,
    /// All attempts failed: the next pull resumes there.
    GaveUp,
    /// Its start time was wrong: the next pull starts at once, at the checkpoint.
    Misdated,
    /// This host's lease is over.
    TurnIsOver,
    Stopped,
}

/// A page, with its part of the memory for the pages of all sources until it has been handed over.
struct Read {
    page: Page,
    held: Option<Permit>,
}

/// The reason why a call returned no page.
enum Failed {
    Call(Error),
    /// The pages of the listing form a cycle.
    Circle(Error),
}

/// The counts of a pull.
#[derive(Default)]
struct Tally {
    responses: u64,
    total: u64,
    dropped: u64,
    other_region: u64,
    duplicated: u64,
    generated: u64,
}

impl PullLoop {
    fn new(shared: &Arc<SharedSource>, settings: &Arc<Settings>, recovers: &Arc<AtomicBool>) -> PullLoop {
        PullLoop {
            shared: Arc::clone(shared),
            client: settings.client.paced_by(&settings.paces),
            source: source_of(&settings.source, &settings.client),
            account: String::new(),
            slots: Budget::new(POLL_PAGES_IN_WORK_MAX),
            backoff: Backoff::new(POLL_BACKOFF_FIRST, POLL_BACKOFF_MAX),
            times: Times::default(),
            moment: Moment::from(Timestamp::MIN),
            misdated: 0,
            barren: 0,
            unreadable: Unreadable::default(),
            settings: Arc::clone(settings),
            recovers: Arc::clone(recovers),
        }
    }

    fn run(mut self) {
        loop {
            self.end_turn();
            if !self.prepare() || !self.pull_for_ever() {
                return self.leave();
            }
        }
    }

    /// Nothing of an earlier turn is in flight from now on.
    fn end_turn(&self) {
        self.await_pages();
        if let Some(tenure) = &self.shared.tenure {
            tenure.end();
        }
    }

    /// After a stop, other hosts may have the source as soon as its pages have ended. A drain keeps it, and does not take it
    /// again.
    fn leave(&self) {
        let Settings { stop, abort, .. } = &*self.settings;
        while stop.is_stopped() && !abort.is_stopped() {
            if self.shared.state().delivery.nothing_in_work() {
                return self.shared.tenure.iter().for_each(Tenure::end);
            }
            abort.wait(STOP_CHECK_INTERVAL / 4);
        }
    }

    /// Waits until this host may poll the source. Returns false if stopped, or if another host polls it and this one
    /// only drains.
    fn await_turn(&self) -> bool {
        let Some(tenure) = &self.shared.tenure else { return true };
        let (mut told, mut trouble, mut last_rest) = (None, None, clock::now());
        while !tenure.begin() {
            let now = tenure.trouble().filter(|trouble| trouble.own || self.settings.drain);
            if now != trouble {
                self.cannot_begin(now.as_ref());
                trouble = now;
            }
            let elsewhere = tenure.elsewhere();
            if elsewhere.is_some() && elsewhere != told {
                let holder = elsewhere.as_deref().unwrap_or_default();
                self.say(format_args!("is polled by {holder}; this host stands by"));
                self.works();
                told.clone_from(&elsewhere);
            }
            if self.settings.drain && elsewhere.is_some() {
                return false;
            }
            // A source that stands by is alive.
            if clock::since(last_rest) >= POLL_REST_MAX {
                self.settings.telemetry.poll.rests.increment();
                last_rest = clock::now();
            }
            if self.settings.stop.wait(FLEET_LOOK_INTERVAL) {
                return false;
            }
        }
        true
    }

    /// The lease cannot be taken. Without the table a drain would wait for ever; other runs are told of it by the table's own
    /// health, and go on.
    fn cannot_begin(&self, trouble: Option<&Trouble>) {
        match trouble {
            Some(trouble) => self.shared.telemetry.health.failed(trouble.message.as_str(), trouble.lasting),
            None => self.works(),
        }
    }

    /// True if this host's lease is over: nothing more may be read.
    fn is_turn_over(&self) -> bool {
        self.shared.tenure.as_ref().is_some_and(Tenure::is_over)
    }

    /// Waits for the source's turn, and loads the delivered state and the account of the events. Returns false if
    /// stopped.
    fn prepare(&mut self) -> bool {
        while self.await_turn() {
            match self.learn() {
                Ok(()) => return true,
                // A call aborted because of that is not a trouble.
                Err(_) if self.settings.stop.is_stopped() => return false,
                Err((message, lasting)) => {
                    self.fails(true);
                    self.shared.telemetry.health.failed(message, lasting);
                }
            }
            if self.settings.stop.wait(self.backoff.pause()) {
                return false;
            }
        }
        false
    }

    fn learn(&mut self) -> Result<(), (String, bool)> {
        let (known, is_own) = self.known()?;
        let is_forgotten = known.is_forgotten();
        let Known { mut polled, account, .. } = known;
        self.account = self.account().map_err(|error| (error.to_string(), !error.is_temporary()))?;
        self.refuse_others(account.as_deref())?;
        // A forgotten source starts from the beginning, however far the other sources have read.
        let has_inherited = !is_forgotten && self.inherit(&mut polled.checkpoints, is_own)?;
        if has_inherited {
            self.settings.ledger.mark(Mark { seen: Vec::new(), ..self.whole(&polled) });
        }
        if is_own || has_inherited {
            self.share(&polled);
        }
        self.works();
        self.backoff.reset();
        self.resume(polled);
        Ok(())
    }

    /// The delivered state: that of the shared table if it has checkpoints, else that of this host's own ledger, and true.
    fn known(&self) -> Result<(Known, bool), (String, bool)> {
        let own = self.settings.ledger.polled(&self.shared.name);
        let own = own.map_err(|error| (format!("the ledger cannot be read: {error}"), false))?;
        let (known, is_own, place) = match &self.shared.tenure {
            None => (Known { polled: own, ..Known::default() }, true, "the ledger".to_owned()),
            Some(tenure) => {
                let shared = tenure.load().map_err(|error| (error.to_string(), !error.is_temporary()))?;
                if shared.note == Some(Note::Importing) {
                    return Err((self.half_imported(tenure.table()), true));
                }
                let (known, is_own) = self.either(own, shared);
                (known, is_own, format!("the shared table {} or the ledger", tenure.table()))
            }
        };
        self.refuse_unreadable(&known.polled.checkpoints, &place)?;
        Ok((known, is_own))
    }

    /// Takes over what sources with another number of shards have delivered of the same account's log groups. Returns true if
    /// they are further. Those with the same number have other groups. `is_own`: the state comes
    /// from this host's own ledger, so the ledger's state of the other sources counts, too.
    fn inherit(&self, own: &mut BTreeMap<String, String>, is_own: bool) -> Result<bool, (String, bool)> {
        let Some(undivided) = self.settings.source.undivided() else { return Ok(false) };
        let mut kin = Vec::new();
        if is_own {
            let known = self.settings.ledger.kin(undivided);
            kin = known.map_err(|error| (format!("the ledger cannot be read: {error}"), false))?;
        }
        if let Some(tenure) = &self.shared.tenure {
            let shared = tenure.kin(undivided);
            kin.extend(shared.map_err(|error| (error.to_string(), !error.is_temporary()))?);
        }
        let division = |name: &str| name.rsplit_once("-of-").map(|(_, count)| count.to_owned());
        let others = kin.iter().filter(|kin| {
            let is_of_account = kin.account.as_ref().is_none_or(|account| *account == self.account);
            is_of_account && division(&kin.source) != division(&self.shared.name)
        });
        let further: Vec<&str> = others
            .filter(|kin| self.source.inherit(own, &kin.checkpoints))
            .map(|kin| kin.source.as_str())
            .collect();
        if !further.is_empty() {
            self.say(format_args!("goes on where {} has read its log groups", further.join(", ")));
        }
        Ok(!further.is_empty())
    }

    /// A mark of a whole state.
    fn whole(&self, polled: &Polled) -> Mark {
        let Polled { term, checkpoints, seen } = polled.clone();
        let (source, checkpoints) = (self.shared.name.clone(), checkpoints.into_iter().collect());
        Mark { source, term, checkpoints, seen, forget_before: None }
    }

    /// Tells the other hosts of a state that only the own ledger has. They need all of it: a part that does not move for
    /// a while would begin at the present on the next host.
    fn share(&self, polled: &Polled) {
        if let Some(tenure) = &self.shared.tenure {
            tenure.record(&self.whole(polled));
        }
    }

    fn half_imported(&self, table: &str) -> String {
        let name = &self.shared.name;
        format!(
            "an import of {name} into the shared table {table} has not come to its end. The source stands still, because without the rest events \
             would be left out. Run `aws-to-devo ledger import` again, or make the table forget the source (`aws-to-devo ledger forget --input {name}`)"
        )
    }

    /// The shared state if it has a position, or if the source was forgotten there. Else this host's own state, and true.
    fn either(&self, own: Polled, shared: Known) -> (Known, bool) {
        if shared.is_forgotten() || shared.polled.checkpoints.keys().any(|part| part != CLOCK) {
            return (Known { polled: Polled { term: own.term, ..shared.polled }, ..shared }, false);
        }
        if !shared.polled.seen.is_empty() {
            log::warn!(
                place = self.shared.name.as_str();
                "{}: the shared table has delivered events, but no checkpoint of this source: it was removed. Reading \
                 begins where this host's own ledger says",
                self.shared.name
            );
        }
        let seen = [own.seen, shared.polled.seen].concat();
        (Known { polled: Polled { seen, ..own }, ..Known::default() }, true)
    }

    /// A position that cannot be read is not taken for none: the source would begin at the present.
    fn refuse_unreadable(
        &self,
        checkpoints: &BTreeMap<String, String>,
        place: &str,
    ) -> Result<(), (String, bool)> {
        let is_bad =
            |(part, value): &(&String, &String)| *part != CLOCK && !self.source.can_read(part, value);
        let Some((part, value)) = checkpoints.iter().find(is_bad) else { return Ok(()) };
        let (name, value) = (&self.shared.name, one_line(value));
        let value: String = value.chars().take(SHOWN_CHARS_MAX).collect();
        Err((
            format!(
                "the checkpoint {part:?} of {name} in {place} cannot be read: {value:?}. The source stands still, because without \
                 its position events would be left out. Correct the checkpoint, or make the ledger forget \
                 (`aws-to-devo ledger forget --input {name}`): then the source begins at its start_time"
            ),
            true,
        ))
    }

    /// Checkpoints of another account say nothing about this one's events. `shared` is the account that the shared table
    /// names; checkpoints without one become this account's.
    fn refuse_others(&self, shared: Option<&str>) -> Result<(), (String, bool)> {
        let (name, tenure) = (&self.shared.name, self.shared.tenure.as_ref());
        if let Some(other) = shared.filter(|other| *other != self.account) {
            let table = tenure.map(Tenure::table).unwrap_or_default();
            return Err(self.of_another(&format!("shared table {table}"), other));
        }
        let other = self.settings.ledger.belongs_to(name, &self.account);
        if let Some(other) = other.map_err(|error| (format!("the ledger cannot be used: {error}"), false))? {
            return Err(self.of_another("ledger", &other));
        }
        if shared.is_none() {
            tenure.into_iter().for_each(|tenure| tenure.belongs_to(&self.account));
        }
        Ok(())
    }

    fn of_another(&self, place: &str, other: &str) -> (String, bool) {
        let (name, account) = (&self.shared.name, &self.account);
        let message = format!(
            "the {place}'s checkpoint of {name} is of the account {other}, but the credentials are of {account}: earlier events of this account would be left out. Give the input another id, or make the ledger forget (`aws-to-devo ledger forget --input {name}`)"
        );
        (message, true)
    }

    /// Resumes from the ledger's state.
    fn resume(&mut self, polled: Polled) {
        self.times.resume(&polled.checkpoints);
        let mut state = self.shared.state();
        state.delivery = Delivery::new(self.shared.name.clone(), &polled);
        state.checkpoints = polled.checkpoints;
        drop(state);
        self.resume_source();
    }

    /// Resumes the source after its delivered state, as far as that is not in doubt.
    fn resume_source(&mut self) {
        self.source.resume(&self.shared.state().checkpoints);
        if self.moment.has_come_back {
            let progress = self.source.rewind(&self.moment);
            self.send(Vec::new(), Vec::new(), progress, &PullingId::of(self.moment.now));
        }
    }

    /// Starts a pull.
    fn begin_pull(&mut self) -> PullingId {
        let now = self.now();
        let id = PullingId::of(now);
        let (moment, mark) = self.times.begin(now, clock::timestamp(), clock::now());
        self.record(mark, &id);
        let before = std::mem::replace(&mut self.moment, moment);
        if moment.has_come_back {
            log::warn!(
                place = self.shared.name.as_str();
                "{}: AWS's clock was ahead for a while and has come back; that time is read again",
                self.shared.name
            );
        }
        if moment.has_come_back || now < before.now {
            // A started part would continue up to a time that has not come.
            self.await_pages();
            self.resume_source();
        }
        id
    }

    /// Records the times of pulls, in order.
    fn record(&self, times: Option<String>, id: &PullingId) {
        if let Some(text) = times {
            let progress = Progress { checkpoints: vec![(CLOCK.to_owned(), text)], ..Progress::default() };
            self.send(Vec::new(), Vec::new(), progress, id);
        }
    }

    /// The account from the role's ARN, else from STS, whose answer also has AWS's time: a source that starts now must
    /// not take the time from a machine with a wrong clock.
    fn account(&self) -> Result<String, Error> {
        match self.settings.source.credentials.role_account() {
            Some(account) if self.client.clock().is_known() => Ok(account.to_owned()),
            _ => Ok(Sts::new(self.settings.client.clone()).caller_identity()?.account),
        }
    }

    /// Returns true if the turn is over, and false if there is nothing more to do.
    fn pull_for_ever(&mut self) -> bool {
        let period = self.settings.source.period;
        self.say(format_args!("Starting data collection every {} seconds", period.as_secs()));
        loop {
            let started = clock::now();
            let mut tally = Tally::default();
            let id = self.begin_pull();
            log::debug!(
                "{}: Starting a new pulling from \"{}\" source at \"{}\"",
                self.shared.name,
                self.settings.source.api.name(),
                self.moment.now
            );
            let pulled = self.pull(&id, &mut tally);
            if matches!(pulled, Pulled::CaughtUp) {
                let times = self.times.caught_up();
                self.record(times, &id);
            }
            self.conclude(&tally, &id);
            let wait = period.saturating_sub(clock::since(started));
            if matches!(pulled, Pulled::CaughtUp) && self.recovers.swap(false, Ordering::Relaxed) {
                self.works();
            }
            match pulled {
                Pulled::Stopped => return false,
                Pulled::TurnIsOver => return true,
                Pulled::Misdated => continue,
                Pulled::CaughtUp if tally.responses == 0 && self.clock_has_changed(started) => continue,
                Pulled::CaughtUp if self.settings.drain => {
                    if self.is_delivered() {
                        return false;
                    }
                    continue;
                }
                Pulled::GaveUp if self.settings.drain => {
                    self.settings.stop.wait(self.backoff.pause());
                    continue;
                }
                Pulled::CaughtUp | Pulled::GaveUp => log::debug!(
                    "{}: Data collection completed. Elapsed time: {:.3} seconds. Waiting for {:.3} second(s) until the next one",
                    self.shared.name,
                    clock::since(started).as_secs_f64(),
                    wait.as_secs_f64()
                ),
            }
            if self.rest(wait) {
                return false;
            }
        }
    }

    /// Waits for the next pull, or the turn's end. Returns true if stopped.
    fn rest(&self, wait: Duration) -> bool {
        let until = clock::now() + wait;
        let slice = if self.shared.tenure.is_some() { FLEET_LOOK_INTERVAL } else { POLL_REST_MAX };
        while !self.settings.stop.wait(until.saturating_duration_since(clock::now()).min(slice)) {
            self.settings.telemetry.poll.rests.increment();
            if clock::now() >= until || self.is_turn_over() {
                return false;
            }
        }
        true
    }

    /// Reads until there is nothing more from before its start: events that appear during a long backlog are the next
    /// pull's.
    fn pull(&mut self, id: &PullingId, tally: &mut Tally) -> Pulled {
        let mut tries = 0;
        loop {
            if self.settings.stop.is_stopped() {
                return Pulled::Stopped;
            }
            if self.is_turn_over() {
                return Pulled::TurnIsOver;
            }
            if self.shared.state().delivery.has_failed() {
                self.go_back();
                continue;
            }
            if self.is_forgotten() {
                self.begin_anew();
                continue;
            }
            let next = self.source.next(&self.moment);
            for note in self.source.notes() {
                log::info!(place = self.shared.name.as_str(); "{}: {note}", self.shared.name);
            }
            let request = match next {
                Next::CaughtUp => {
                    self.end_round();
                    return Pulled::CaughtUp;
                }
                Next::Give(page) => {
                    self.hand_over(Read { page, held: None }, id, tally);
                    continue;
                }
                Next::Mark(progress) => {
                    self.hand_over(
                        Read { page: Page { progress, ..Page::default() }, held: None },
                        id,
                        tally,
                    );
                    continue;
                }
                Next::Call(request) => request,
            };
            // A page that is read then does not wait for those before it.
            drop(self.while_waiting(|| self.slots.acquire(1, &self.settings.abort)));
            match self.call(&request) {
                Ok(None) => {
                    self.ask_anew();
                    return Pulled::Misdated;
                }
                // Another host may have read it too.
                Ok(Some(_)) if self.is_turn_over() => return Pulled::TurnIsOver,
                Ok(Some(read)) => {
                    tries = 0;
                    tally.responses += 1;
                    let goes_on = read.page.goes_on;
                    let is_news = self.hand_over(read, id, tally);
                    if self.is_barren(goes_on && !is_news, &request) && self.leave_listing(&barren(&request))
                    {
                        return Pulled::GaveUp;
                    }
                }
                Err(Failed::Circle(error)) => {
                    if self.leave_circle(&error) {
                        return Pulled::GaveUp;
                    }
                }
                Err(Failed::Call(error)) if *error.kind() == Kind::Stopped => return Pulled::Stopped,
                Err(Failed::Call(error)) => {
                    tries += 1;
                    self.settings.telemetry.poll.failed_calls.increment();
                    let exhausted = tries > self.settings.source.retries;
                    match source::after(&mut *self.source, &error, exhausted) {
                        Reaction::AskAnew => log::info!(
                            place = self.shared.name.as_str(), cause = error.cause().as_str();
                            "{}: {error}; the listing restarts", self.shared.name
                        ),
                        Reaction::GoWithout(without) => {
                            tries = 0;
                            log::warn!(
                                place = self.shared.name.as_str(), cause = error.cause().as_str();
                                "{}: {error}; {without}", self.shared.name
                            );
                        }
                        Reaction::LeaveOut(left_out) => {
                            tries = 0;
                            self.pass_over(left_out);
                        }
                        Reaction::TryAgain => {
                            self.fails(true);
                            self.shared.telemetry.health.failed(&error, !error.is_temporary());
                            if exhausted {
                                return Pulled::GaveUp;
                            }
                            self.settings.stop.wait(self.backoff.pause());
                        }
                    }
                }
            }
        }
    }

    fn pass_over(&mut self, left_out: LeftOut) {
        let counts = &self.settings.telemetry.poll;
        counts.left_out.increment();
        let before = self.unreadable.len();
        let line = self.unreadable.add(left_out);
        counts.unreadable.add((self.unreadable.len() - before) as i64);
        if let Some(line) = line {
            log::warn!(place = self.shared.name.as_str(); "{}: {line}", self.shared.name);
        }
    }

    /// Ends the round: all items have had their turn.
    fn end_round(&mut self) {
        if let Some(trouble) = self.unreadable.trouble() {
            self.shared.telemetry.health.failed(trouble, true);
        }
        let before = self.unreadable.len();
        self.unreadable.end_round().iter().for_each(|line| self.say(format_args!("{line}")));
        self.settings.telemetry.poll.unreadable.add(self.unreadable.len() as i64 - before as i64);
    }

    /// Reads an answer. None if AWS's clock has not reached the pull's start, so that the answer cannot be complete up
    /// to it.
    fn call(&mut self, request: &Request) -> Result<Option<Read>, Failed> {
        self.settings.telemetry.poll.calls.increment();
        let reads_items = self.source.reads_items();
        let (shared, source, asked_at) = (&self.shared, &mut self.source, self.moment.now);
        let settings = &self.settings;
        let (mut is_circle, mut held) = (false, None);
        let read = |answer: &[u8]| match shared.now() < asked_at {
            true => Ok(None),
            false => {
                // That of an earlier try goes first: nobody waits for what he has himself.
                held = None;
                held = settings.pages.acquire(answer.len() * POLL_PAGE_FACTOR, &settings.abort);
                source.read(answer).map(Some).map_err(|why| {
                    is_circle = matches!(why, BadAnswer::Circle);
                    why.into()
                })
            }
        };
        let Some(page) = self.client.call_and_read(request, read).map_err(|error| match is_circle {
            true => Failed::Circle(error),
            false => Failed::Call(error),
        })?
        else {
            return Ok(None);
        };
        self.misdated = 0;
        if reads_items {
            self.unreadable.has_read();
        }
        // Items that can be listed may still be unreadable.
        if reads_items || self.unreadable.len() == 0 {
            self.works();
        }
        if !self.recovers.load(Ordering::Relaxed) {
            self.backoff.reset();
        }
        Ok(Some(Read { page, held }))
    }

    /// Counts the pages of a listing without anything new. Returns true if there were so many in a row that others have
    /// waited long enough. CloudWatch has such listings, so the log only says that one is long.
    fn is_barren(&mut self, page_is: bool, request: &Request) -> bool {
        self.barren = if page_is { self.barren + 1 } else { 0 };
        if self.barren == POLL_BARREN_PAGES_TOLD {
            self.say(format_args!(
                "{POLL_BARREN_PAGES_TOLD} pages of {} in a row have brought nothing new and lead to another one; \
                 reading goes on, up to {POLL_BARREN_PAGES_MAX} of them",
                request.action
            ));
        }
        self.barren >= POLL_BARREN_PAGES_MAX
    }

    /// Passes over the item whose listing does not end. Returns true if there is none, and the pull is given up.
    fn leave_listing(&mut self, error: &Error) -> bool {
        self.barren = 0;
        if let Some(item) = self.source.leave_out(error) {
            self.pass_over(LeftOut { item, why: error.to_string() });
            return false;
        }
        self.recovers.store(true, Ordering::Relaxed);
        self.shared.telemetry.health.failed(error, true);
        self.settings.stop.wait(self.backoff.pause());
        true
    }

    /// After a page whose token leads back: the listing restarts when the item, or the source, has its next turn.
    fn leave_circle(&mut self, error: &Error) -> bool {
        self.source.refused(error);
        if !self.leave_listing(error) {
            return false;
        }
        self.await_pages();
        self.resume_source();
        // The checkpoint may contain the token too.
        self.source.refused(error);
        true
    }

    /// Discards an answer that was requested at a wrong time, since it may be incomplete.
    fn ask_anew(&mut self) {
        self.await_pages();
        self.resume_source();
        self.misdated += 1;
        let message = "an answer is discarded: AWS's clock is behind the time of the request. Reading restarts at \
                       the checkpoint";
        if self.misdated < MISDATED_IN_ROW {
            log::warn!(place = self.shared.name.as_str(); "{}: {message}", self.shared.name);
        } else {
            let message =
                format!("{message}; {} times in a row: which server's `Date` is wrong?", self.misdated);
            self.shared.telemetry.health.failed(message, false);
        }
        self.settings.stop.wait(self.backoff.pause());
    }

    /// Tells the other hosts, in a while, that this one cannot poll the source, or that it can.
    fn fails(&self, fails: bool) {
        self.shared.tenure.iter().for_each(|tenure| tenure.fails(fails));
    }

    fn works(&self) {
        self.fails(false);
        if !self.recovers.load(Ordering::Relaxed) {
            self.shared.telemetry.health.works();
        }
    }

    /// Sends the new events of a page. Returns true if there are any.
    fn hand_over(&mut self, read: Read, id: &PullingId, tally: &mut Tally) -> bool {
        let Read { page, held } = read;
        let Page { mut events, place, dropped, other_region, goes_on: _, left_out, progress } = page;
        let is_told = dropped + other_region + left_out.len() as u64 > 0;
        left_out.into_iter().for_each(|left_out| self.pass_over(left_out));
        let total = events.len() as u64;
        let mut state = self.shared.state();
        events.retain(|event| event.key.is_none_or(|key| state.delivery.is_new(key)));
        drop(state);
        let generated = events.len() as u64;
        tally.add(&self.settings, [total, dropped, other_region, generated]);
        let mut passed_over = Vec::new();
        self.send_events(&events, &place, progress, id, &mut passed_over);
        self.tell_of_passed_over(&passed_over);
        drop(events);
        if held.is_some_and(|held| held.amount() >= POLL_PAGE_BYTES_KEPT) {
            // A thread that then waits for its next pull would keep the memory that it has freed.
            allocator::give_back();
        }
        is_told || generated > 0
    }

    /// Sends events in as few parts as the decoder takes. One that it refuses by itself is passed over, because nothing
    /// else would let the source go on, and so counts as delivered. The last part has the progress.
    fn send_events(
        &self,
        events: &[Event],
        place: &str,
        progress: Progress,
        id: &PullingId,
        passed_over: &mut Vec<String>,
    ) {
        let text = lines(events);
        let seen = |events: &[Event]| events.iter().filter_map(|event| event.key).collect::<Vec<_>>();
        match self.judge(&text) {
            // Fewer records than events: one may have swallowed another.
            Ok(records) if records >= events.len() || events.len() <= 1 => {
                self.send(text, seen(events), progress, id);
            }
            Err(error) if events.len() == 1 => {
                passed_over.push(self.refuse(&events[0], place, &error));
                self.send(Vec::new(), seen(events), progress, id);
            }
            _ => {
                drop(text);
                let (first, second) = events.split_at(events.len() / 2);
                self.send_events(first, place, Progress::default(), id, passed_over);
                self.send_events(second, place, progress, id, passed_over);
            }
        }
    }

    /// Decodes a text as a worker will, and counts its records.
    fn judge(&self, text: &[u8]) -> Result<usize, Undecodable> {
        struct Count(usize);
        impl Sink for Count {
            fn record(&mut self, _record: Record<'_>) {
                self.0 += 1;
            }
        }
        let mut records = Count(0);
        if text.is_empty() {
            return Ok(0);
        }
        let mut decoder = Decoder::new(self.settings.source.service.format.clone(), self.settings.bounds);
        let decode = || decoder.push(text, true, &mut Scratch::new(), &mut records);
        match catch_unwind(AssertUnwindSafe(decode)) {
            Ok(result) => result.map(|()| records.0).map_err(Undecodable::Error),
            Err(_panic) => Err(Undecodable::Panic),
        }
    }

    /// Names all of a page's events that are passed over: of the lines about each, the log shows examples only, and nothing
    /// brings them again.
    fn tell_of_passed_over(&self, names: &[String]) {
        if names.len() < 2 {
            return;
        }
        for names in names.chunks(NAMES_PER_LINE) {
            // Lines about the same place would be taken for repeats.
            let place = format!("{}: {}", self.shared.name, names[0]);
            log::warn!(
                place = place.as_str();
                "{}: {} events are passed over and not read again: {}", self.shared.name, names.len(), one_line(&names.join(", "))
            );
        }
    }

    /// Passes over an event, and returns its name.
    fn refuse(&self, event: &Event, place: &str, error: &Undecodable) -> String {
        let (ending, kind) = match error {
            Undecodable::Error(error) => (ending_of(error), variant(error)),
            Undecodable::Panic => (Ending::Other, "Panic".to_owned()),
        };
        let id = event.id.as_ref().map_or_else(|| "an event".to_owned(), |id| format!("event {id}"));
        let place = if place.is_empty() { String::new() } else { format!(" of {place}") };
        let name = format!("{id}{place}");
        self.shared.service.decode.failed.increment();
        self.shared.passed_over.fetch_add(usize::from(self.settings.drain), Ordering::Relaxed);
        self.shared.telemetry.failed(&telemetry::Failed {
            object: None,
            polled: Some(telemetry::Polled::Event(&format!("{name} ({})", self.shared.name))),
            service: Some(&self.settings.source.service.name),
            delivery: None,
            ending: Some(ending),
            cause: &error.to_string(),
            kind: &kind,
        });
        name
    }

    /// A page without events only moves the checkpoint, in order.
    fn send(&self, text: Vec<u8>, seen: Vec<crate::ledger::Seen>, progress: Progress, id: &PullingId) {
        let amount = text.capacity().max(OBJECT_BYTES_MIN);
        let (slot, permit) = self.while_waiting(|| {
            let slot = self.slots.acquire(1, &self.settings.abort);
            (slot, self.settings.budget.acquire(amount, &self.settings.abort))
        });
        let page = self.shared.state().delivery.begin(progress, seen);
        let shared = Arc::clone(&self.shared);
        shared.service.begin(None);
        let fate = Fate::default();
        let noted = fate.clone();
        let ack = Ack::open(move |outcome| {
            shared.service.end(None, &noted, outcome, clock::timestamp());
            shared.end(page, outcome);
            drop(slot);
        });
        // None: everything is ending, and the page counts as not delivered.
        let Some(permit) = permit else { return };
        if text.is_empty() {
            fate.note(Ending::NoRecord);
            return ack.close(Outcome::Delivered);
        }
        let work = Box::new(self.work(ack, fate, id));
        (self.settings.decode)(Payload {
            work,
            chunk: Buffer::holding(text, permit),
            last: true,
            next: None,
            again: None,
        });
    }

    fn work(&self, ack: Ack, fate: Fate, id: &PullingId) -> Work {
        let service = &self.settings.source.service;
        Work {
            source: WorkSource::Page { source: self.shared.name.clone(), key: self.key() },
            service: Arc::<Definition>::clone(service),
            input: self.settings.index,
            ack,
            fate,
            decoder: Decoder::new(service.format.clone(), self.settings.bounds),
            progress: ack::Progress::default(),
            pulled: Some(id.clone()),
            case: None,
        }
    }

    /// The key of a page, from which fields take the account.
    fn key(&self) -> String {
        format!("{}/{}", self.account, self.settings.source.region)
    }

    /// After a page that could not be delivered: goes back to the last checkpoint when nothing is in flight any more.
    fn go_back(&mut self) {
        self.await_pages();
        let mut state = self.shared.state();
        state.delivery.start_over();
        drop(state);
        self.resume_source();
        // A successful call is no sign of health: the page may fail again.
        self.recovers.store(true, Ordering::Relaxed);
        self.fails(true);
        self.shared.telemetry.health.failed(
            "a page could not be delivered; the log says why. Reading restarts at the checkpoint".to_owned(),
            false,
        );
        self.settings.stop.wait(self.backoff.pause());
    }

    /// The operator wants everything again.
    fn is_forgotten(&self) -> bool {
        let term = self.shared.state().delivery.term();
        self.settings.ledger.has_forgotten(&self.shared.name, term)
    }

    /// Pages in flight belong to the forgotten state: their marks are ignored.
    fn begin_anew(&mut self) {
        self.await_pages();
        match self.known() {
            Ok((Known { polled, .. }, _)) => {
                self.say(format_args!("the ledger was made to forget this source; reading restarts"));
                self.resume(polled);
            }
            Err((message, lasting)) => {
                self.shared.telemetry.health.failed(message, lasting);
                self.settings.stop.wait(self.backoff.pause());
            }
        }
    }

    /// Waits for the pages in flight. Returns false if one of them could not be delivered.
    fn is_delivered(&self) -> bool {
        self.await_pages();
        !self.shared.state().delivery.has_failed()
    }

    /// Pages always end: delivered, or given up when everything ends.
    fn await_pages(&self) {
        self.while_waiting(|| {
            while !self.shared.state().delivery.nothing_in_work() {
                thread::sleep(STOP_CHECK_INTERVAL / 4);
            }
        });
    }

    /// Waits for pages in flight, or for room for more. If they cannot be sent, another host may have the source meanwhile.
    fn while_waiting<T>(&self, wait: impl FnOnce() -> T) -> T {
        let waits = |waits| self.shared.tenure.iter().for_each(|tenure| tenure.waits(waits));
        waits(true);
        let done = wait();
        waits(false);
        done
    }

    /// A time that AWS's clock has reached, though it is known only in whole seconds.
    fn now(&self) -> Timestamp {
        let now = self.shared.now();
        if !self.client.clock().is_known() {
            return now;
        }
        now.saturating_sub(CLOCK_RESOLUTION).unwrap_or(now)
    }

    /// A pull without requests learns nothing of AWS's time, and may wait for a time that has long passed, so this
    /// reads the clock. Returns true if it has stepped since the pull began.
    fn clock_has_changed(&self, began: Instant) -> bool {
        // A failing call is reported when it is needed.
        let _ = Sts::new(self.settings.client.tried_once()).caller_identity();
        let passed = SignedDuration::try_from(clock::since(began)).unwrap_or(SignedDuration::ZERO);
        let expected = self.moment.now.saturating_add(passed).unwrap_or(Timestamp::MAX);
        self.now().duration_since(expected).unsigned_abs() > CLOCK_STEP_MIN
    }

    fn conclude(&self, tally: &Tally, id: &PullingId) {
        if tally.responses == 0 {
            return;
        }
        let Tally { responses, total, dropped, other_region, duplicated, generated } = tally;
        self.say(format_args!(
            "Received {responses} response(s), messages (total/dropped/other_region/duplicated/generated): \
             {total}/{dropped}/{other_region}/{duplicated}/{generated}, tag template used: \"{}\"",
            self.settings.source.service.shown_template(&self.key())
        ));
        log::debug!("{}: Total event received: {total}, and sent: {generated}", self.shared.name);
        log::debug!(
            "{}: Statistics for this pull cycle (@devo_pulling_id={id}): Number of requests performed: {responses}; \
             Number of events received: {total}; Number of duplicated events filtered out: {duplicated}; \
             Number of events generated and sent: {generated}",
            self.shared.name
        );
    }

    fn say(&self, what: std::fmt::Arguments<'_>) {
        log::info!(place = self.shared.name.as_str(); "{}: {what}", self.shared.name);
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Call(error)
    }
}

fn barren(request: &Request) -> Error {
    let why = format!(
        "{POLL_BARREN_PAGES_MAX} pages in a row have brought nothing new and lead to another one. The next pull \
         resumes there"
    );
    Error::local(request, Kind::BadRequest, why)
}

impl Drop for PullLoop {
    fn drop(&mut self) {
        self.settings.telemetry.poll.unreadable.add(-(self.unreadable.len() as i64));
    }
}

impl Tally {
    /// `kept` are the events that the source did not leave out.
    fn add(&mut self, settings: &Settings, [kept, dropped, other_region, generated]: [u64; 4]) {
        let duplicated = kept - generated;
        self.total += kept + dropped + other_region;
        self.dropped += dropped;
        self.other_region += other_region;
        self.duplicated += duplicated;
        self.generated += generated;
        let counts = &settings.telemetry.poll;
        counts.events.add(generated);
        counts.dropped.add(dropped);
        counts.other_region.add(other_region);
        counts.duplicated.add(duplicated);
    }
}

/// The reason why a text cannot be decoded.
#[derive(Debug, thiserror::Error)]
enum Undecodable {
    #[error(transparent)]
    Error(decode::Error),
    #[error("the decoder panicked over it, which is a fault of this program; the log says where")]
    Panic,
}

/// The payload of events: a line for each.
fn lines(events: &[Event]) -> Vec<u8> {
    let space = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
    let mut text = Vec::with_capacity(events.iter().map(|event| event.body.len() + 1).sum());
    for event in events {
        text.extend(event.body.iter().map(space));
        text.push(b'\n');
    }
    text
}
