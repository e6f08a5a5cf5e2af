//! A thread that long-polls the queue and puts the announced objects on their way.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::turns::{Body, Waiting};
use super::{Settled, Shared};
use crate::ack::{Ack, Ending, Fate, Outcome, Share, Turn};
use crate::aws::{Kind, Message};
use crate::backoff::Backoff;
use crate::budget::Permit;
use crate::buffers::Buffer;
use crate::limits::{BODY_BYTES_USUAL, DRAIN_WAIT_TIME, RECEIVE_BACKOFF_FIRST, RECEIVE_BACKOFF_MAX};
use crate::resolve::{
    Announcement, Object, PullingId, Source, Task, Unreadable, body_elsewhere, is_marker, resolve,
};
use crate::services::Definition;
use crate::telemetry::Endings;

pub fn run(shared: &Shared) {
    let settings = &shared.settings;
    let mut backoff = Backoff::new(RECEIVE_BACKOFF_FIRST, RECEIVE_BACKOFF_MAX);
    while !settings.stop.is_stopped() && !shared.drain().is_done() {
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

/// Waits for room for the next bodies. Returns for how many messages that is, and their share.
fn room_for_bodies(shared: &Shared) -> Option<(u32, Permit)> {
    let each = shared.largest_body.load(Ordering::Relaxed);
    let (bodies, share) = shared.room_for(each);
    let most = u32::try_from(share / each).unwrap_or(u32::MAX).max(1);
    let max = shared.settings.input.messages_per_receive.min(most);
    Some((max, bodies.acquire(max as usize * each, &shared.settings.stop)?))
}

/// Learns from what has come how much room the next receive needs.
fn learn_body(shared: &Shared, messages: &[Message]) {
    let before = shared.largest_body.load(Ordering::Relaxed);
    let largest = messages.iter().map(|message| message.body.capacity()).max();
    shared.largest_body.store(expected_body(before, largest, shared.own_share()), Ordering::Relaxed);
}

/// `before`: what was expected of a body; `largest`: what has come; `own_share`: for what no other queue has to wait.
fn expected_body(before: usize, largest: Option<usize>, own_share: usize) -> usize {
    match largest {
        Some(largest) => largest.max(before / 2).max(BODY_BYTES_USUAL),
        // A long poll of an idle queue must not hold room that others wait for.
        None => before.min(own_share),
    }
}

/// One receive, for no more messages than there are free places and than there is room for.
fn receive(shared: &Shared) -> Result<(), crate::aws::Error> {
    let (settings, input) = (&shared.settings, &shared.settings.input);
    let waits = &settings.telemetry.waits;
    let place = || {
        let slots = shared.slots.acquire(input.messages_per_receive as usize, &settings.stop)?;
        Some((slots, room_for_bodies(shared)?))
    };
    let Some((mut slots, (max, mut room))) = waits.receive_place.time(place) else { return Ok(()) };
    let wait = shared.poll_time();
    let asked = Instant::now();
    log::debug!(
        "inputs.{}: Starting a new pulling from \"{}\" queue at \"{}\"",
        input.key,
        input.queue.text(),
        Timestamp::now()
    );
    let receive = || settings.receiving.receive(max, wait, input.visibility_timeout);
    let messages = waits.receive_sqs.time(receive)?;
    settings.telemetry.queue.received(messages.iter().map(|message| message.sent_at));
    if messages.is_empty() {
        settings.telemetry.receive.empty.increment();
        pause_after_nothing(shared, wait, asked)?;
    }
    learn_body(shared, &messages);
    let pulled = input.pulling_id.then(|| PullingId::of(Timestamp::now()));
    let charged = |message: Message| {
        let mut charge = room.split(message.body.capacity());
        charge.set(message.body.capacity());
        (message, charge)
    };
    // All are charged before the first has to wait for a fetcher, and what was reserved beyond that goes back.
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
        asked.elapsed().as_secs_f64()
    );
    Ok(())
}

/// A drain asks whether that was all; an answer that came at once must not make the loop spin.
fn pause_after_nothing(shared: &Shared, wait: Duration, asked: Instant) -> Result<(), crate::aws::Error> {
    if shared.settings.drain && shared.queue_is_drained()? {
        return Ok(());
    }
    let least = wait.max(DRAIN_WAIT_TIME);
    shared.settings.stop.wait(least.saturating_sub(asked.elapsed()));
    Ok(())
}

/// Takes a message into work, with a lease. Returns it with its group, if it has one.
fn accept(
    shared: &Shared,
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
        log::info!(
            place = shared.settings.input.key.as_str();
            "inputs.{}: message {} is received for the {}. time",
            shared.settings.input.key,
            message.id,
            message.receive_count
        );
    }
    let Message { id, receipt_handle, body, receive_count, group, sent_at } = message;
    let sent_at = sent_at.and_then(|time| Timestamp::try_from(time).ok());
    let lease = shared.leases().add((id.clone(), receipt_handle, receive_count), slot, asked);
    let settled = shared.settled.clone();
    // The receiving end lives as long as the input; if it is gone, so is the need to settle.
    let ack = Ack::open(move |outcome| drop(settled.send(Settled { lease, outcome })));
    let body = Body { text: body, charge };
    (Waiting { message_id: id, body, sent_at, ack, pulled }, group)
}

/// Begins a message, or has it wait for its turn.
fn start(shared: &Shared, waiting: Waiting, group: Option<String>) {
    // A standard queue's messages may bear a group, too (fair queues): that promises no order.
    match group.filter(|_| shared.settings.input.queue.is_fifo()) {
        None => begin(shared, waiting, None),
        Some(group) => {
            if let Some((waiting, turn)) = shared.turns.take(&group, waiting) {
                begin(shared, waiting, Some(turn));
            }
        }
    }
}

/// Puts a message's objects on their way.
pub fn begin(shared: &Shared, waiting: Waiting, turn: Option<Turn>) {
    let Waiting { message_id, body, sent_at, ack, pulled } = waiting;
    let ack = ack.in_turn(turn.clone());
    let ways = Ways { ack: &ack, turn: turn.as_ref(), time: sent_at, pulled, age: Age::Young };
    let outcome = put_on_the_way(shared, &message_id, body, &ways);
    ack.close(outcome);
}

/// What every task of a message gets a part of.
struct Ways<'a> {
    ack: &'a Ack,
    turn: Option<&'a Turn>,
    /// When the objects were written, as their notification says; else when the message was sent.
    time: Option<Timestamp>,
    pulled: Option<PullingId>,
    age: Age,
}

/// What a service's `start_time` means for the objects of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// They are read.
    Young,
    /// They are left out.
    Old,
    /// S3 has to say when each was written: the message does not, or only for the first of several.
    Unknown(Timestamp),
}

impl Age {
    /// `written`: the first of `objects` objects, as the message says.
    fn of(start: Option<Timestamp>, written: Option<Timestamp>, objects: usize) -> Age {
        match (start, written) {
            (None, _) => Age::Young,
            (Some(start), Some(written)) if written >= start => Age::Young,
            (Some(_), Some(_)) if objects == 1 => Age::Old,
            (Some(start), _) => Age::Unknown(start),
        }
    }
}

/// Sends a task for every object that the message announces. What is returned is the outcome of the
/// message apart from these.
fn put_on_the_way(shared: &Shared, message_id: &str, body: Body, ways: &Ways<'_>) -> Outcome {
    let settings = &shared.settings;
    if settings.input.direct_mode {
        return put_body_on_the_way(shared, message_id, body, ways);
    }
    match resolve(&body.text) {
        Ok(Announcement { objects, ignored, written }) => {
            for (what, count) in ignored {
                settings.telemetry.receive.ignored.add(count as u64);
                log::info!(
                    place = settings.input.key.as_str(), cause = what;
                    "inputs.{}: message {message_id}: {count} x {what}, which names no object to collect: acknowledged",
                    settings.input.key
                );
            }
            let time = written.or(ways.time);
            let age = Age::of(settings.input.start_time, written, objects.len());
            let ways = &Ways { ack: ways.ack, turn: ways.turn, time, pulled: ways.pulled.clone(), age };
            let mut tasks = Vec::new();
            let outcomes =
                objects.into_iter().map(|object| add_object(shared, message_id, object, ways, &mut tasks));
            let outcome = outcomes.max().unwrap_or(Outcome::Delivered);
            put_up(shared, tasks);
            outcome
        }
        Err(error) => refuse(shared, message_id, &error),
    }
}

/// The log is the body, wherever that lies.
fn put_body_on_the_way(shared: &Shared, message_id: &str, body: Body, ways: &Ways<'_>) -> Outcome {
    let source = match body_elsewhere(&body.text) {
        Some(Ok(object)) => Source::S3(object),
        Some(Err(error)) => return refuse(shared, message_id, &error),
        None => {
            let bytes = Buffer::holding(body.text.into_bytes(), body.charge);
            Source::Body { message_id: message_id.to_owned(), bytes }
        }
    };
    let service = &shared.settings.input.services[0];
    put_up(shared, vec![task(shared, source, &service.of_object(""), ways)]);
    Outcome::Delivered
}

fn refuse(shared: &Shared, message_id: &str, error: &Unreadable) -> Outcome {
    let settings = &shared.settings;
    settings.telemetry.receive.unreadable.increment();
    settings.telemetry.endings.add(Ending::Message);
    log::warn!(
        place = settings.input.key.as_str(), cause = error.cause();
        "inputs.{}: message {message_id}: refused: {error}; it is left to the queue's redrive policy",
        settings.input.key
    );
    Outcome::Reject
}

/// Adds the object's task, if it has one. Returns the outcome apart from that.
fn add_object(
    shared: &Shared,
    message_id: &str,
    object: Object,
    ways: &Ways<'_>,
    tasks: &mut Vec<Task>,
) -> Outcome {
    let settings = &shared.settings;
    let skip = |endings: &Endings, place: &str, ending: Ending| {
        settings.telemetry.receive.skipped.increment();
        endings.add(ending);
        endings.tell(place, &object, ending);
        Outcome::Delivered
    };
    let claimed = settings.input.service_of(&object.key);
    if is_marker(&object.key) {
        // Nobody needs to claim what is nobody's log.
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
        log::warn!(
            place = settings.input.key.as_str();
            "inputs.{}: message {message_id}: {object}: refused: it belongs to none of the input's services; it is left to the queue's redrive policy. Add its service, or one without `object_keys`",
            settings.input.key
        );
        return Outcome::Reject;
    };
    if service.skips(&object.key) || ways.age == Age::Old {
        let ending = if service.skips(&object.key) { Ending::SkipRule } else { Ending::StartTime };
        return skip(&settings.telemetry.service(&service.name).endings, &service.name, ending);
    }
    settings.telemetry.receive.objects.increment();
    let service = service.of_object(&object.key);
    tasks.push(task(shared, Source::S3(object), &service, ways));
    Outcome::Delivered
}

fn task(shared: &Shared, source: Source, service: &Arc<Definition>, ways: &Ways<'_>) -> Task {
    let fate = Fate::default();
    let share = counted(shared, &source, service, &fate, ways);
    Task {
        source,
        service: Arc::clone(service),
        input: shared.settings.index,
        share,
        fate,
        turn: ways.turn.map(Turn::of_object),
        pulled: ways.pulled.clone(),
        not_before: match ways.age {
            Age::Unknown(start) => Some(start),
            Age::Young | Age::Old => None,
        },
    }
}

/// Waits for room among the tasks. Once stopped, what has not been begun is dropped, which gives it back.
fn put_up(shared: &Shared, tasks: Vec<Task>) {
    let settings = &shared.settings;
    let count = tasks.len() as i64;
    settings.telemetry.fetch.waiting.add(count);
    let is_up = settings.telemetry.waits.receive_fetchers.time(|| settings.tasks.put(tasks, &settings.stop));
    if !is_up {
        settings.telemetry.fetch.waiting.add(-count);
    }
}

/// A part of the message that is counted with its service until it ends.
fn counted(shared: &Shared, source: &Source, service: &Definition, fate: &Fate, ways: &Ways<'_>) -> Share {
    let (of_message, time) = (ways.ack.share(), ways.time);
    let service = Arc::clone(shared.settings.telemetry.service(&service.name));
    service.begin(time);
    let fate = fate.clone();
    // Thousands may be in work: a name is kept only for a log that shows it.
    let name = log::log_enabled!(log::Level::Debug).then(|| source.to_string());
    let object = Ack::open(move |outcome| {
        let ending = service.end(time, &fate, outcome, Timestamp::now());
        if let (Some(name), Some(ending)) = (name, ending) {
            log::debug!("{name}: {} ({})", ending.name(), ending.reason());
        }
        of_message.resolve(outcome);
    });
    let share = object.share();
    object.close(Outcome::Delivered);
    share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MIB;

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
