//! A thread that long-polls the queue and sends tasks for the announced objects.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::turns::{Body, Waiting};
use super::{Settings, Settled, SharedInput};
use crate::ack::{Ack, Delivery, Ending, Fate, Outcome, Share, Turn};
use crate::aws::{Kind, Message};
use crate::base::backoff::Backoff;
use crate::base::budget::Permit;
use crate::base::buffers::Buffer;
use crate::base::limits::STOP_CHECK_INTERVAL;
use crate::base::limits::{
    BODY_BYTES_USUAL, DRAIN_WAIT_TIME, FLEET_LOOK_INTERVAL, MESSAGE_BYTES_USUAL, RECEIVE_BACKOFF_FIRST,
    RECEIVE_BACKOFF_MAX,
};
use crate::base::object::Object;
use crate::base::runtime::clock;
use crate::handoff::{PullingId, Task, TaskSource};
use crate::ledger::{Identity, Place, Standing};
use crate::services::Definition;
use crate::stages::resolve::{
    Announcement, IntoIter, Objects, Unreadable, body_elsewhere, is_marker, resolve,
};
use crate::telemetry::{self, Endings, Failed};

pub fn run(shared: &Arc<SharedInput>) {
    let settings = &shared.settings;
    let mut backoff = Backoff::new(RECEIVE_BACKOFF_FIRST, RECEIVE_BACKOFF_MAX);
    loop {
        settings.pause.wait(FLEET_LOOK_INTERVAL, &settings.stop);
        if settings.stop.is_stopped() || shared.drain().is_done() {
            return;
        }
        if !settings.account.learn(&settings.telemetry.health, &settings.stop) {
            return;
        }
        match receive(shared) {
            Ok(()) => {
                backoff.reset();
                settings.telemetry.health.works();
            }
            Err(error) if *error.kind() == Kind::Stopped => return,
            Err(error) => {
                settings.telemetry.receive.failed_calls.increment();
                settings.telemetry.health.failed(&error, !error.is_temporary());
                settings.stop.wait(backoff.pause());
            }
        }
    }
}

/// Waits for room for the next bodies. Returns the number of messages, and their permit.
fn room_for_bodies(shared: &SharedInput) -> Option<(u32, Permit)> {
    let each = shared.largest_body.load(Ordering::Relaxed);
    let (bodies, share) = shared.room_for(each);
    // Half of it is for messages with long lists of objects: the next receive must not wait for their end.
    let most = u32::try_from(share / 2 / each).unwrap_or(u32::MAX).max(1);
    let max = shared.settings.input.messages_per_receive.min(most);
    // Even if others leave room, a queue whose lists of objects fill its own gets no more of them.
    drop(shared.bodies.acquire(1, &shared.settings.stop)?);
    Some((max, bodies.acquire(max as usize * each, &shared.settings.stop)?))
}

/// Learns from received bodies how much room the next receive needs.
fn learn_body(shared: &SharedInput, messages: &[Message]) {
    let before = shared.largest_body.load(Ordering::Relaxed);
    let largest = messages.iter().map(|message| message.body.capacity()).max();
    shared.largest_body.store(expected_body(before, largest, shared.own_share()), Ordering::Relaxed);
}

/// `before` is the expected size of a body; `largest` is the actual one; `own_share` is the room for which no other
/// queue has to wait.
fn expected_body(before: usize, largest: Option<usize>, own_share: usize) -> usize {
    match largest {
        Some(largest) => largest.max(before / 2).max(BODY_BYTES_USUAL),
        // A long poll of an idle queue must not hold room that others wait for.
        None => before.min(own_share),
    }
}

/// One receive, for no more messages than there are free slots and room for.
fn receive(shared: &Arc<SharedInput>) -> Result<(), crate::aws::Error> {
    let (settings, input) = (&shared.settings, &shared.settings.input);
    // Before the look at the pause, until its messages are counted themselves.
    let _held = settings.telemetry.receives.hold();
    let waits = &settings.telemetry.waits;
    let place = || {
        let slots = shared.slots.acquire(input.messages_per_receive as usize, &settings.stop)?;
        Some((slots, room_for_bodies(shared)?))
    };
    let Some((mut slots, (max, mut room))) = waits.receive_place.time(place) else { return Ok(()) };
    if settings.pause.is_on() {
        return Ok(());
    }
    let wait = shared.poll_time();
    let asked = clock::now();
    log::debug!(
        "inputs.{}: Starting a new pulling from \"{}\" queue at \"{}\"",
        input.key,
        input.queue.text(),
        clock::timestamp()
    );
    let receive = || settings.receiving.receive(max, wait, input.visibility_timeout);
    let messages = waits.receive_sqs.time(receive)?;
    settings.telemetry.queue.received(messages.iter().map(|message| message.sent_at));
    if messages.is_empty() {
        settings.telemetry.receive.empty.increment();
        pause_after_nothing(shared, wait, asked)?;
    }
    learn_body(shared, &messages);
    let pulled = input.pulling_id.then(|| PullingId::of(clock::timestamp()));
    let charged = |message: Message| {
        let mut charge = room.split(message.body.capacity());
        charge.set(message.body.capacity());
        (message, charge)
    };
    // All are charged before the first has to wait for a fetcher, and the excess reservation is returned.
    let messages: Vec<_> = messages.into_iter().map(charged).collect();
    drop(room);
    let accept = |(message, charge)| accept(shared, message, charge, slots.split(1), asked, pulled.clone());
    // All have a lease before the first of them waits for a fetcher.
    let accepted: Vec<_> = messages.into_iter().map(accept).collect();
    let count = accepted.len();
    accepted.into_iter().for_each(|(waiting, group)| start(shared, waiting, group));
    log::debug!(
        "inputs.{}: Received 1 response(s), received {count} message(s). Data collection completed. Elapsed time: {:.3} seconds. Waiting for 0.000 second(s) until the next one",
        input.key,
        clock::since(asked).as_secs_f64()
    );
    Ok(())
}

/// A drain checks whether that was all; an immediate answer must not make the loop spin.
fn pause_after_nothing(
    shared: &SharedInput,
    wait: Duration,
    asked: Instant,
) -> Result<(), crate::aws::Error> {
    if shared.settings.drain && shared.queue_is_drained()? {
        return Ok(());
    }
    let least = wait.max(DRAIN_WAIT_TIME);
    shared.settings.stop.wait(least.saturating_sub(clock::since(asked)));
    Ok(())
}

/// Takes a message in flight, with a lease. Returns it with its group, if it has one.
fn accept(
    shared: &SharedInput,
    message: Message,
    charge: Permit,
    slot: Permit,
    asked: Instant,
    pulled: Option<PullingId>,
) -> (Waiting, Option<String>) {
    let telemetry = &shared.settings.telemetry;
    telemetry.receive.messages.increment();
    telemetry.settle.in_work.add(1);
    if message.receive_count > 1 {
        telemetry.receive.returned.increment();
        let max = telemetry.queue.redrive().attempts_max();
        log::info!(
            place = shared.settings.input.key.as_str(), message_id = message.id.as_str(), attempt = message.receive_count;
            "inputs.{}: message {} received again (delivery {}{})",
            shared.settings.input.key,
            message.id,
            message.receive_count,
            match max {
                Some(max) if message.receive_count == max => format!(
                    " of {max}, the last: if this one fails, SQS moves it to the dead-letter queue"
                ),
                Some(max) => format!(" of {max}"),
                None => String::new(),
            }
        );
    }
    let Message { id, receipt_handle, body, receive_count, group, sent_at } = message;
    let sent_at = sent_at.and_then(|time| Timestamp::try_from(time).ok());
    let lease = shared.leases().add((id.clone(), receipt_handle, receive_count), slot, asked);
    let delivery = Arc::new(Delivery { message_id: id, attempt: receive_count });
    let settled = shared.settled.clone();
    // The receiving end lives as long as the input; if it is gone, settling is no longer needed.
    let ack = Ack::open(move |outcome| drop(settled.send(Settled { lease, outcome })));
    let body = Body { text: body, charge };
    (Waiting { delivery, body, sent_at, ack, pulled }, group)
}

/// Starts a message, or queues it for its turn.
fn start(shared: &Arc<SharedInput>, waiting: Waiting, group: Option<String>) {
    // A standard queue's messages may have a group too (fair queues): that promises no order.
    match group.filter(|_| shared.settings.input.queue.is_fifo()) {
        None => begin(shared, waiting, None),
        Some(group) => {
            if let Some((waiting, turn)) = shared.turns.take(&group, waiting) {
                begin(shared, waiting, Some(turn));
            }
        }
    }
}

/// Sends tasks for a message's objects.
fn begin(shared: &Arc<SharedInput>, waiting: Waiting, turn: Option<Turn>) {
    let Waiting { delivery, body, sent_at, ack, pulled } = waiting;
    let ways = Ways { ack: ack.in_turn(turn), delivery, time: sent_at, pulled, age: Age::Young };
    put_on_the_way(shared, body, ways);
}

/// The thread that starts messages when their turn comes.
pub fn run_turns(shared: &Arc<SharedInput>) {
    while !shared.is_finished() {
        if let Some((waiting, turn)) = shared.turns.next_in_turn(STOP_CHECK_INTERVAL) {
            begin(shared, waiting, Some(turn));
        }
    }
}

/// The parts that all tasks of a message share.
struct Ways {
    ack: Ack,
    delivery: Arc<Delivery>,
    /// When the objects were written, according to their notification; else when the message was sent.
    time: Option<Timestamp>,
    pulled: Option<PullingId>,
    age: Age,
}

/// The effect of a service's `start_time` on the objects of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// They are read.
    Young,
    /// They are left out.
    Old,
    /// S3 must say when each was written: the message does not, or only for the first of several.
    Unknown(Timestamp),
}

impl Age {
    /// `written` is the time of the first of `objects` objects in the message.
    fn of(start: Option<Timestamp>, written: Option<Timestamp>, objects: usize) -> Age {
        match (start, written) {
            (None, _) => Age::Young,
            (Some(start), Some(written)) if written >= start => Age::Young,
            (Some(_), Some(_)) if objects == 1 => Age::Old,
            (Some(start), _) => Age::Unknown(start),
        }
    }
}

/// Objects that are counted with their services, from before their tasks are created. The rest of them when this is
/// dropped was never started.
#[derive(Default)]
struct Coming {
    /// When they were written.
    time: Option<Timestamp>,
    services: Vec<(Arc<telemetry::Service>, usize)>,
}

impl Coming {
    fn add(&mut self, service: &Arc<telemetry::Service>) {
        service.begin(self.time);
        match self.count_of(service) {
            Some(count) => *count += 1,
            None => self.services.push((Arc::clone(service), 1)),
        }
    }

    /// One of them is a task now, which counts itself.
    fn is_here(&mut self, service: &Arc<telemetry::Service>) {
        if let Some(count) = self.count_of(service) {
            *count -= 1;
        }
    }

    fn count_of(&mut self, service: &Arc<telemetry::Service>) -> Option<&mut usize> {
        self.services.iter_mut().find(|(known, _)| Arc::ptr_eq(known, service)).map(|(_, count)| count)
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        for (service, count) in &self.services {
            service.never_begun(self.time, *count);
        }
    }
}

/// Sends a task for every object that the message announces.
fn put_on_the_way(shared: &Arc<SharedInput>, body: Body, ways: Ways) {
    let settings = &shared.settings;
    if settings.input.direct_mode {
        return put_body_on_the_way(shared, body, ways);
    }
    let Body { text, charge } = body;
    let found = read(shared, &ways.delivery, &text);
    drop(text);
    match found {
        Some(Ok(Announcement { objects, ignored, written })) => {
            for (what, count) in ignored {
                settings.telemetry.receive.ignored.add(count as u64);
                log::info!(
                    place = settings.input.key.as_str(), cause = what;
                    "inputs.{}: message {}: {count} x {what}, which names no object to collect: acknowledged",
                    settings.input.key,
                    ways.delivery.message_id
                );
            }
            let age = Age::of(settings.input.start_time, written, objects.len());
            let ways = Ways { time: written.or(ways.time), age, ..ways };
            let mut collected = Collected::default();
            collected.coming.time = ways.time;
            let outcomes = objects
                .into_iter()
                .map(|object| add_object(shared, &ways.delivery, &object, age, &mut collected));
            let outcome = outcomes.max().unwrap_or(Outcome::Delivered);
            // The room it takes until its last object is started must not stop other queues from receiving.
            let charge = charge.exchanged_for(&shared.bodies, collected.objects.memory());
            put_up(shared, Announced::new(shared, collected, ways, outcome, charge));
        }
        Some(Err(error)) => ways.ack.close(refuse(shared, &ways.delivery, &error)),
        None => ways.ack.close(Outcome::Reject),
    }
}

/// Reads a message. A large one is noted, in case the process dies over it. None if it died twice, and the message is
/// not read again.
fn read(shared: &SharedInput, delivery: &Delivery, text: &str) -> Option<Result<Announcement, Unreadable>> {
    let Settings { input, ledger, telemetry, .. } = &shared.settings;
    if text.len() <= MESSAGE_BYTES_USUAL {
        return Some(resolve(text));
    }
    let place = Place { input: input.id.clone(), bucket: String::new(), key: delivery.message_id.clone() };
    let case = ledger.case(place, Identity::default());
    if case.standing == Standing::Refused {
        telemetry.receive.unreadable.increment();
        telemetry.failed(&Failed {
            object: None,
            polled: None,
            service: None,
            delivery: Some(delivery),
            ending: Some(Ending::Deaths),
            cause: &format!("the collector died {} times while reading it", case.deaths()),
            kind: "deaths",
        });
        return None;
    }
    Some(ledger.suspects().read_message(&case, || resolve(text)))
}

/// The objects of a message to collect.
#[derive(Default)]
struct Collected {
    objects: Objects,
    coming: Coming,
}

/// The tasks of a message, each created when its turn has come. Dropping it returns the message.
struct Announced {
    shared: Arc<SharedInput>,
    objects: IntoIter,
    coming: Coming,
    /// The last task takes it along.
    ways: Option<Ways>,
    /// The outcome of the message, apart from its tasks.
    outcome: Outcome,
    _charge: Permit,
}

impl Announced {
    fn new(
        shared: &Arc<SharedInput>,
        collected: Collected,
        ways: Ways,
        outcome: Outcome,
        charge: Permit,
    ) -> Announced {
        let Collected { objects, coming } = collected;
        let mut announced = Announced {
            shared: Arc::clone(shared),
            objects: objects.into_iter(),
            coming,
            ways: Some(ways),
            outcome,
            _charge: charge,
        };
        announced.close_if_done();
        announced
    }

    fn close_if_done(&mut self) {
        if self.objects.len() == 0
            && let Some(ways) = self.ways.take()
        {
            ways.ack.close(self.outcome);
        }
    }
}

impl Iterator for Announced {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        let object = self.objects.next()?;
        let input = &self.shared.settings.input;
        let service = input.service_of(&object.key)?.of_object(&object.key);
        let task = task(&self.shared, TaskSource::S3(object), &service, self.ways.as_ref()?);
        self.coming.is_here(self.shared.settings.telemetry.service(&service.name));
        self.close_if_done();
        Some(task)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.objects.size_hint()
    }
}

impl ExactSizeIterator for Announced {}

/// The log is the body, wherever that is.
fn put_body_on_the_way(shared: &SharedInput, body: Body, ways: Ways) {
    let source = match body_elsewhere(&body.text) {
        Some(Ok(object)) => TaskSource::S3(object),
        Some(Err(error)) => return ways.ack.close(refuse(shared, &ways.delivery, &error)),
        None => {
            let bytes = Buffer::holding(body.text.into_bytes(), body.charge);
            TaskSource::Body { message_id: ways.delivery.message_id.clone(), bytes }
        }
    };
    let service = shared.settings.input.services[0].of_object("");
    shared.settings.telemetry.service(&service.name).begin(ways.time);
    let task = task(shared, source, &service, &ways);
    ways.ack.close(Outcome::Delivered);
    put_up(shared, [task]);
}

fn refuse(shared: &SharedInput, delivery: &Delivery, error: &Unreadable) -> Outcome {
    let telemetry = &shared.settings.telemetry;
    telemetry.receive.unreadable.increment();
    telemetry.endings.add(Ending::Message);
    telemetry.failed(&Failed {
        object: None,
        polled: None,
        service: None,
        delivery: Some(delivery),
        ending: Some(Ending::Message),
        cause: &error.to_string(),
        kind: error.cause(),
    });
    Outcome::Reject
}

/// Adds the object to those to collect, if it is one. Returns the outcome apart from that.
fn add_object(
    shared: &SharedInput,
    delivery: &Delivery,
    object: &Object,
    age: Age,
    collected: &mut Collected,
) -> Outcome {
    let settings = &shared.settings;
    let skip = |endings: &Endings, place: &str, ending: Ending| {
        settings.telemetry.receive.skipped.increment();
        endings.add(ending);
        endings.tell(place, object, ending);
        note(settings, object, ending);
        Outcome::Delivered
    };
    let claimed = settings.input.service_of(&object.key);
    if is_marker(&object.key) {
        // An object without a log needs no service.
        let telemetry = &settings.telemetry;
        let (endings, place) = match claimed {
            Some(service) => (&telemetry.service(&service.name).endings, &service.name),
            None => (&telemetry.endings, &settings.input.key),
        };
        return skip(endings, place, Ending::Marker);
    }
    let Some(service) = claimed else {
        settings.telemetry.receive.unreadable.increment();
        settings.telemetry.endings.add(Ending::NoService);
        note(settings, object, Ending::NoService);
        settings.telemetry.failed(&Failed {
            object: Some(object),
            polled: None,
            service: None,
            delivery: Some(delivery),
            ending: Some(Ending::NoService),
            cause: "it belongs to none of the input's services. Add its service, or one without `object_keys`",
            kind: "no service",
        });
        return Outcome::Reject;
    };
    if service.skips(&object.key) || age == Age::Old {
        let ending = if service.skips(&object.key) { Ending::SkipRule } else { Ending::StartTime };
        return skip(&settings.telemetry.service(&service.name).endings, &service.name, ending);
    }
    settings.telemetry.receive.objects.increment();
    let service = service.of_object(&object.key);
    collected.coming.add(settings.telemetry.service(&service.name));
    collected.objects.push(object);
    Outcome::Delivered
}

/// Records an object that is not collected in the ledger.
fn note(settings: &Settings, object: &Object, ending: Ending) {
    if !settings.input.do_not_send {
        settings.ledger.note(&settings.input.id, object, ending);
    }
}

fn task(shared: &SharedInput, source: TaskSource, service: &Arc<Definition>, ways: &Ways) -> Task {
    let fate = Fate::of_delivery(&ways.delivery);
    let share = counted(shared, &source, service, &fate, ways);
    Task {
        source,
        service: Arc::clone(service),
        input: shared.settings.index,
        share,
        fate,
        turn: ways.ack.another_turn(),
        pulled: ways.pulled.clone(),
        not_before: match ways.age {
            Age::Unknown(start) => Some(start),
            Age::Young | Age::Old => None,
        },
    }
}

/// Waits for room among the tasks. Once stopped, unstarted tasks are dropped, which returns the message.
fn put_up(
    shared: &SharedInput,
    tasks: impl IntoIterator<IntoIter: ExactSizeIterator<Item = Task> + Send + 'static>,
) {
    let settings = &shared.settings;
    let tasks = tasks.into_iter();
    let count = tasks.len() as i64;
    settings.telemetry.fetch.waiting.add(count);
    let is_up = settings.telemetry.waits.receive_fetchers.time(|| settings.tasks.put(tasks, &settings.stop));
    if !is_up {
        settings.telemetry.fetch.waiting.add(-count);
    }
}

/// A part of the message that is counted with its service until it ends. It has been counted since before its task was
/// created (see [`Coming`]).
fn counted(
    shared: &SharedInput,
    source: &TaskSource,
    service: &Definition,
    fate: &Fate,
    ways: &Ways,
) -> Share {
    let (of_message, time) = (ways.ack.share(), ways.time);
    let service = Arc::clone(shared.settings.telemetry.service(&service.name));
    let fate = fate.clone();
    // Thousands may be in flight: a name is kept only if the log shows it.
    let name = log::log_enabled!(log::Level::Debug).then(|| source.to_string());
    of_message.after(move |outcome| {
        let ending = service.end(time, &fate, outcome, clock::timestamp());
        if let (Some(name), Some(ending)) = (name, ending) {
            log::debug!("{name}: {} ({})", ending.name(), ending.reason());
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::MIB;

    #[test]
    fn start_time_leaves_out_what_is_known_to_be_older() {
        let time = |second| Timestamp::from_second(second).unwrap();
        for (start, written, objects, expected) in [
            (None, Some(1), 1, Age::Young),
            (Some(2), Some(1), 1, Age::Old),
            (Some(2), Some(2), 1, Age::Young),
            (Some(2), Some(3), 5, Age::Young),
            (Some(2), Some(1), 2, Age::Unknown(time(2))),
            (Some(2), None, 1, Age::Unknown(time(2))),
        ] {
            let age = Age::of(start.map(time), written.map(time), objects);
            assert_eq!(age, expected, "{start:?} {written:?} {objects}");
        }
    }

    #[test]
    fn the_room_for_a_receive_follows_what_the_queue_brings() {
        let share = 100_000;
        assert_eq!(expected_body(BODY_BYTES_USUAL, Some(MIB), share), MIB, "large ones are there");
        assert_eq!(expected_body(MIB, Some(10), share), MIB / 2, "they may come again");
        assert_eq!(expected_body(MIB, None, share), share, "an idle queue keeps nobody from receiving");
        assert_eq!(expected_body(BODY_BYTES_USUAL, None, share), BODY_BYTES_USUAL);
        assert_eq!(expected_body(6000, Some(10), share), BODY_BYTES_USUAL);
    }
}
