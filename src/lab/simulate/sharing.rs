//! The table that hosts share, as they call it, and what must hold of it: checkpoints, leases and objects at every change, and
//! who polls at every call of a polled API.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::accounts::{Events, LAGGING};
use super::aws::Said;
use super::expression::{Item, Refusal};
use super::faults::Kind;
use super::leases::{Call, TERM, Term};
use super::machine::MACHINES;
use super::table::{Change, Table, cancelled, text_of};
use super::world::{Seat, State};
use crate::aws::http::Fault;
use crate::aws::request::Request;
use crate::base::limits::FLEET_CLAIM_LAPSE;
use crate::fleet::NOBODY;

/// The longest time that a call takes to a slow table: more than twice as long as its caller waits.
const SLOW_MAX: Duration = Duration::from_secs(8);
/// A source's call arrives this long after its thread has looked at the lease: a rate limit, and the way.
const POLL_MARGIN: Duration = Duration::from_secs(1);
/// For this long after a polled API has failed, or the process has stood still, a call may be an earlier one's repetition.
const RETRIES: Duration = Duration::from_secs(60);
/// Time within which each source is polled while nothing fails: the pause between two pulls, several times.
const POLLED_WITHIN: Duration = Duration::from_secs(45);
/// Items of a query's page, at most.
const PAGE_MAX: usize = 20;

/// The way of a call. None: it, or its answer, never arrives.
struct Way {
    arrives: Option<Duration>,
    answered: Option<Duration>,
}

impl Seat {
    /// A call of the table that began at `asked`.
    pub(super) fn shared_table(&self, request: &Request, asked: Duration) -> Result<Said, Fault> {
        let limit = request.time_limit.unwrap_or(request.response_timeout).min(request.response_timeout);
        let call = Call {
            by: self.process.number(),
            asked,
            operation: operation_of(request).to_owned(),
            input: serde_json::from_slice(&request.body).unwrap_or_default(),
        };
        if let Some(refusal) = self.world.state().table_refusal(&call) {
            return Ok(refusal);
        }
        let Way { arrives, answered } = self.world.state().way_of(&call);
        let answered = answered.filter(|time| *time < limit);
        let lost = || Fault::transient("timed out (as planned)");
        let Some(arrives) = arrives.filter(|time| *time < limit) else {
            let at = arrives.map(|late| self.world.now() + late);
            if let (Some(sharing), Some(at)) = (&mut self.world.state().sharing, at) {
                sharing.delay(at, call);
            }
            self.pass(limit)?;
            return Err(lost());
        };
        self.pass(arrives)?;
        let now = self.world.now();
        let is_lost = self.world.state().strikes(Kind::TableLosesAnswers);
        let said = self.world.state().carry_out(&call, answered.is_some() && !is_lost, now);
        if is_lost {
            if self.world.state().random.bool() {
                return Ok(Said::refusal(500, "InternalServerError"));
            }
            self.pass(limit.saturating_sub(arrives))?;
            return Err(lost());
        }
        self.pass(answered.unwrap_or(limit).saturating_sub(arrives))?;
        answered.map(|_| said).ok_or_else(lost)
    }
}

impl State {
    fn table_refusal(&mut self, call: &Call) -> Option<Said> {
        if self.strikes(Kind::TableUnavailable) {
            return Some(Said::refusal(503, "ServiceUnavailable"));
        }
        let is_throttled = self.strikes(Kind::TableThrottles);
        is_throttled.then(|| match call.operation == "TransactWriteItems" {
            true => refused(&cancelled("TransactionConflict, None")),
            false => Said::refusal(400, "ProvisionedThroughputExceededException"),
        })
    }

    fn way_of(&mut self, call: &Call) -> Way {
        let is_cut_off =
            self.sharing.as_ref().is_some_and(|sharing| sharing.cut_off == Some(call.by % MACHINES));
        if !is_cut_off && !self.strikes(Kind::TableSlow) {
            return Way { arrives: Some(Duration::ZERO), answered: Some(Duration::ZERO) };
        }
        let mut time = |most: Duration| Duration::from_millis(self.random.u64(..most.as_millis() as u64));
        let arrives = time(SLOW_MAX);
        let answered = arrives + time(SLOW_MAX / 4);
        // What is cut off may still get through, but nothing comes back.
        let gets_through = !is_cut_off || self.random.u32(..4) == 0;
        Way { arrives: gets_through.then_some(arrives), answered: (!is_cut_off).then_some(answered) }
    }

    /// Lets calls arrive that have been on their way for long.
    pub(super) fn advance_table(&mut self, now: Duration) {
        while let Some(call) = self.sharing.as_mut().and_then(|sharing| sharing.arrival(now)) {
            self.tell(|| format!("DynamoDB: {} of process {} arrives late", call.operation, call.by));
            self.execute(&call, false, now);
        }
    }

    fn carry_out(&mut self, call: &Call, is_answered: bool, now: Duration) -> Said {
        self.advance_table(now);
        self.execute(call, is_answered, now)
    }

    fn execute(&mut self, call: &Call, is_answered: bool, now: Duration) -> Said {
        let page_max = self.random.usize(1..=PAGE_MAX);
        let Some(sharing) = &mut self.sharing else { return Said::refusal(400, "ResourceNotFoundException") };
        match sharing.table.call(&call.operation, &call.input, page_max) {
            Err(refusal) => refused(&refusal),
            Ok(done) => {
                done.changes.iter().for_each(|change| self.changed(change, call, is_answered, now));
                Said::json(&done.answer)
            }
        }
    }

    fn changed(&mut self, change: &Change, call: &Call, is_answered: bool, now: Duration) {
        let (pk, sk) = (change.key.0.as_str(), change.key.1.as_str());
        if pk == "leases" {
            return self.lease_changed(sk, change, call, now);
        }
        if pk == "hosts" && is_answered && change.before != change.after {
            return self.host_beat(sk, call);
        }
        if pk.starts_with("object/") {
            return self.object_changed(sk, change, call, now);
        }
        if let Some((source, part)) = pk.strip_prefix("source/").zip(sk.strip_prefix("checkpoint/")) {
            self.checkpoint_changed(source, part, change, call, now);
        }
    }

    /// Somebody asks the host with this number, of those in the table, to take nothing new. None: no host is asked any more.
    pub(super) fn ask_to_drain(&mut self, which: Option<usize>) {
        let Some(sharing) = &mut self.sharing else { return };
        let hosts = sharing.table.keys("hosts");
        let asked = which.map(|which| which % hosts.len().max(1));
        for (number, host) in hosts.iter().enumerate() {
            let drained = u8::from(asked == Some(number));
            sharing.table.set("hosts", host, "drained", json!({"N": drained.to_string()}));
        }
    }

    /// Somebody says which host of those in the table is to have all sources. None: any.
    pub(super) fn mean_sources_for(&mut self, which: Option<usize>) {
        let Some(sharing) = &mut self.sharing else { return };
        let hosts = sharing.table.keys("hosts");
        let meant = which.and_then(|which| hosts.get(which % hosts.len().max(1)));
        let meant = json!({"S": meant.map_or(NOBODY, String::as_str)});
        for source in sharing.table.keys("leases") {
            sharing.table.set("leases", &source, "meant", meant.clone());
        }
    }

    /// A heartbeat renews all leases of its host.
    fn host_beat(&mut self, host: &str, call: &Call) {
        let Some(sharing) = &mut self.sharing else { return };
        sharing.beaten.insert(host.to_owned(), (call.by, call.asked));
        let held = sharing.terms.values_mut().filter(|term| term.host == host);
        held.for_each(|term| term.until = term.until.max(call.asked + TERM));
    }

    fn lease_changed(&mut self, source: &str, change: &Change, call: &Call, now: Duration) {
        let of = |item: &Option<Item>, name| text_of(item.as_ref(), name).map(str::to_owned);
        let is_free = |item: &Option<Item>| of(item, "holder").is_none_or(|holder| holder == NOBODY);
        let Some(sharing) = &mut self.sharing else { return };
        let host = of(&change.after, "holder").unwrap_or_default();
        let until = sharing.beaten.get(&host).map_or(now, |(_, beaten)| *beaten + TERM);
        if is_free(&change.after) {
            sharing.terms.remove(source);
            // Pages that its holder cannot send are in flight still.
            if self.struck.keys().any(|kind| kind.is_of_peer()) {
                self.may_be_polled_again(source);
            }
            return self.tell(|| format!("DynamoDB: process {} gives {source} up", call.by));
        }
        let term = sharing.terms.get_mut(source);
        if of(&change.before, "epoch") == of(&change.after, "epoch") {
            return;
        }
        let early = term.filter(|term| term.host != host && term.until > now).cloned();
        if let Some(Term { by, until, .. }) = early {
            let why = format!(
                "process {} takes {source}, which process {by} holds until {:.3} s",
                call.by,
                until.as_secs_f64()
            );
            self.violated("a lease is taken only when nobody else has it", why);
        }
        let epoch = of(&change.after, "epoch").unwrap_or_default();
        self.tell(|| format!("DynamoDB: process {} takes {source} (epoch {epoch})", call.by));
        if !is_free(&change.before) {
            self.may_be_polled_again(source);
        }
        if let Some(sharing) = &mut self.sharing {
            sharing.terms.insert(source.to_owned(), Term { by: call.by, host, until, polled: now });
        }
    }

    /// Checks a change of an object's entry, whose second key is the ETag.
    fn object_changed(&mut self, etag: &str, change: &Change, call: &Call, now: Duration) {
        let Some(object) = self.by_etag.get(etag).copied() else { return };
        let of = |item: &Option<Item>, name| text_of(item.as_ref(), name).unwrap_or_default().to_owned();
        let (before, after) = (of(&change.before, "holder"), of(&change.after, "holder"));
        let is_taken = of(&change.before, "epoch") != of(&change.after, "epoch");
        let written = self.sharing.as_mut().and_then(|sharing| sharing.written.insert(etag.to_owned(), now));
        let has_lapsed = written.is_some_and(|written| written + FLEET_CLAIM_LAPSE <= now);
        let holds = !has_lapsed
            && self.sharing.as_ref().is_some_and(|sharing| {
                let is_there = sharing.table.has("hosts", &before);
                // A process that has become another host takes what was its own.
                let is_anothers = |(by, beaten): &(u64, Duration)| *by != call.by && *beaten + TERM > now;
                is_there && sharing.beaten.get(&before).is_some_and(is_anothers)
            });
        if is_taken && holds && before != after {
            let why = format!("process {} takes object {object}, which {before} holds", call.by);
            self.violated("an object is taken only when no other host has it", why);
        }
        self.advance_peers(now);
        let all = self.objects[object].records;
        let records = of(&change.after, "records").parse().unwrap_or(0);
        let known = if of(&change.after, "delivered") == "1" { all } else { all.min(records) };
        if let Some(at) = self.first_unread(object, known) {
            let why = format!(
                "the table has {known} records of object {object}, and record {at} has not been read"
            );
            self.violated("an object's entry means read by the peer's program", why);
        }
    }

    /// The holder before may have sent, or may still send, what the checkpoint does not say.
    fn may_be_polled_again(&mut self, source: &str) {
        let State { accounts, sharing, peers, .. } = self;
        for events in accounts.iter().filter(|events| events.api.source() == source) {
            let table = sharing.as_ref().map(|sharing| &sharing.table);
            let (pk, sk) = (format!("source/{source}"), format!("checkpoint/{}", events.part()));
            let lags = |table: &&Table| table.has(&pk, &format!("checkpoint/{LAGGING}"));
            let value = table.filter(|table| !lags(table)).and_then(|table| table.text(&pk, &sk, "value"));
            let known = value.and_then(|value| events.known(value)).unwrap_or(0);
            for peer in peers.iter_mut() {
                peer.again[events.object].iter_mut().skip(known).for_each(|again| *again += 1);
            }
        }
    }

    fn checkpoint_changed(&mut self, source: &str, part: &str, change: &Change, call: &Call, now: Duration) {
        let holder = self.sharing.as_ref().and_then(|sharing| sharing.terms.get(source)).map(|term| term.by);
        if holder != Some(call.by) {
            let why =
                format!("process {} moves {source}'s {part:?}, and {holder:?} holds its lease", call.by);
            self.violated("only the holder of its lease moves a source's checkpoint", why);
        }
        self.advance_peers(now);
        let of = |events: &&Events| events.api.source() == source && events.part() == part;
        let Some(events) = self.accounts.iter().find(of) else { return };
        let known =
            |item: &Option<Item>| text_of(item.as_ref(), "value").and_then(|value| events.known(value));
        let (before, after) = (known(&change.before).unwrap_or(0), known(&change.after).unwrap_or(0));
        let object = events.object;
        let shown = text_of(change.after.as_ref(), "value").unwrap_or_default().to_owned();
        if after < before {
            let why = format!(
                "process {} moves {source}'s checkpoint back to {shown}: {after} of {before} events",
                call.by
            );
            self.violated("a checkpoint never moves back", why);
        }
        let table = self.sharing.as_ref().map(|sharing| &sharing.table);
        if table.is_some_and(|table| table.has(&format!("source/{source}"), &format!("checkpoint/{LAGGING}")))
        {
            return;
        }
        if let Some(at) = self.first_unread(object, after) {
            let why = format!(
                "the table's checkpoint of {source} is {shown}, and event {at} of object {object}, which is older, has not been read"
            );
            self.violated("a checkpoint means read by the peer's program", why);
        }
    }

    /// Checks that a process that polls an API has the lease of its source.
    pub(super) fn check_poll(&mut self, source: &str, by: u64, now: Duration) {
        let lately = |at: Option<&Duration>| at.is_some_and(|at| *at + RETRIES > now);
        let is_excused = lately(self.api_failed.get(&by)) || lately(self.thawed.get(&by));
        let Some(sharing) = &mut self.sharing else { return };
        let term = sharing.terms.get_mut(source).filter(|term| term.by == by);
        if let Some(term) = term.filter(|term| now <= term.until + POLL_MARGIN) {
            term.polled = now;
            return;
        }
        let term = sharing.terms.get(source).cloned();
        if !is_excused {
            let why = format!("process {by} polls {source}, whose lease is {term:?}");
            self.violated("a source is polled only by the holder of its lease", why);
        }
    }

    /// Checks that somebody polls each source, and that `hosts` share them evenly, when nothing has failed for a while. For ten
    /// minutes a host takes nothing more if it could not poll a source that another one may be able to poll.
    pub(super) fn check_shares(&mut self, hosts: usize, now: Duration) {
        let Some(sharing) = &self.sharing else { return };
        let sources: BTreeSet<String> = self.accounts.iter().map(|events| events.api.source()).collect();
        let is_polled = |source: &&String| {
            sharing.terms.get(*source).is_some_and(|term| term.polled + POLLED_WITHIN > now)
        };
        let unpolled = sources.iter().find(|source| !is_polled(source));
        let held = |by: u64| sharing.terms.values().filter(|term| term.by == by).count();
        let most = sharing.terms.values().map(|term| held(term.by)).max().unwrap_or(0);
        let table = &sharing.table;
        let was_unable =
            |host: &String| table.text("hosts", host, "unable").is_some_and(|names| !names.is_empty());
        let is_even = most <= sources.len().div_ceil(hosts) || table.keys("hosts").iter().any(was_unable);
        let shown = format!("{:?}", sharing.terms);
        if let Some(source) = unpolled {
            let why = format!("nobody polls {source}: {shown}");
            self.violated("each source is polled by a host", why);
        } else if !is_even {
            self.violated("hosts share the sources evenly", shown);
        }
    }
}

fn operation_of(request: &Request) -> &str {
    let target = request.headers.iter().find(|(name, _)| *name == "x-amz-target");
    target.and_then(|(_, target)| target.split_once('.')).map_or("", |(_, operation)| operation)
}

fn refused(Refusal(code, message): &Refusal) -> Said {
    let body: Value =
        json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": message});
    Said::json_with(400, &body)
}
