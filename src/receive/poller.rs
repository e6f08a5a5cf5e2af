//! A thread that long-polls the queue and puts the announced objects on their way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::SendTimeoutError;
use jiff::Timestamp;

use super::turns::Waiting;
use super::{Settled, Shared};
use crate::ack::{Ack, Outcome, Share, Turn};
use crate::aws::{Kind, Message};
use crate::backoff::Backoff;
use crate::budget::Permit;
use crate::limits::{DRAIN_WAIT_TIME, RECEIVE_BACKOFF_FIRST, RECEIVE_BACKOFF_MAX, STOP_CHECK_INTERVAL};
use crate::resolve::{Announcement, Body, Object, PullingId, Source, Task, resolve};
use crate::services::Definition;

pub fn run(shared: &Shared) {
    let settings = &shared.settings;
    let mut backoff = Backoff::new(RECEIVE_BACKOFF_FIRST, RECEIVE_BACKOFF_MAX);
    while !settings.stop.is_stopped() && !shared.drain().is_done() {
        match receive(shared) {
            Ok(()) => {
                backoff.reset();
                settings.telemetry.health.works();
            }
            Err(error) if *error.kind() == Kind::Stopped => return,
            Err(error) => {
                settings.telemetry.receive.failed_calls.increment();
                settings.telemetry.health.failed(error.to_string(), !error.is_temporary());
                settings.stop.wait(backoff.pause());
            }
        }
    }
}

/// One receive, for no more messages than there are free places and than there is room for.
fn receive(shared: &Shared) -> Result<(), crate::aws::Error> {
    let (settings, input) = (&shared.settings, &shared.settings.input);
    let max = input.messages_per_receive;
    let waits = &settings.telemetry.waits;
    let places = || {
        let slots = shared.slots.acquire(max as usize, &settings.stop)?;
        Some((slots, shared.bodies.await_room(max as usize, &settings.stop)?))
    };
    let Some((mut slots, room)) = waits.receive_place.time(places) else { return Ok(()) };
    let wait = shared.poll_time();
    let asked = Instant::now();
    let receive = || settings.receiving.receive(max, wait, input.visibility_timeout);
    let messages = waits.receive_sqs.time(receive)?;
    let rooms = shared.bodies.charge(messages.iter().map(|message| &message.body));
    drop(room);
    settings.telemetry.queue.received(messages.iter().map(|message| message.sent_at));
    if messages.is_empty() {
        settings.telemetry.receive.empty.increment();
        pause_after_nothing(shared, wait, asked);
    }
    let pulled = input.pulling_id.then(|| PullingId::of(Timestamp::now()));
    let accept = |(message, room)| accept(shared, message, room, slots.split(1), asked, pulled.clone());
    // All have a lease before the first of them waits for a fetcher.
    let accepted: Vec<_> = messages.into_iter().zip(rooms).map(accept).collect();
    accepted.into_iter().for_each(|(waiting, group)| start(shared, waiting, group));
    Ok(())
}

/// A drain asks whether that was all; an answer that came at once must not make the loop spin.
fn pause_after_nothing(shared: &Shared, wait: Duration, asked: Instant) {
    if shared.settings.drain && shared.queue_is_drained() {
        return;
    }
    let least = wait.max(DRAIN_WAIT_TIME);
    shared.settings.stop.wait(least.saturating_sub(asked.elapsed()));
}

/// Takes a message into work, with a lease. Returns it with its group, if it has one.
fn accept(
    shared: &Shared,
    message: Message,
    room: Permit,
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
    (Waiting { message_id: id, body, room, sent_at, ack, pulled }, group)
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
    let Waiting { message_id, body, room, sent_at, ack, pulled } = waiting;
    let ack = ack.in_turn(turn.clone());
    let ways = Ways { ack: &ack, turn: turn.as_ref(), time: sent_at, pulled };
    let outcome = if shared.settings.input.direct_mode {
        put_body(shared, message_id, Body { bytes: body.into_bytes(), permit: room }, &ways)
    } else {
        // The room is kept while the objects wait for fetchers: they take about as much as the body.
        put_objects(shared, &message_id, &body, &ways)
    };
    ack.close(outcome);
}

/// What every task of a message gets a part of.
struct Ways<'a> {
    ack: &'a Ack,
    turn: Option<&'a Turn>,
    /// When the objects were written, as their notification says; else when the message was sent.
    time: Option<Timestamp>,
    pulled: Option<PullingId>,
}

/// Sends the message itself as a task (`direct_mode`).
fn put_body(shared: &Shared, message_id: String, body: Body, ways: &Ways<'_>) -> Outcome {
    let service = shared.settings.input.services[0].of_object("");
    send(shared, Source::Body { message_id }, Some(body), &service, ways);
    Outcome::Delivered
}

/// Sends a task for every object that the message announces. What is returned is the outcome of the
/// message apart from these.
fn put_objects(shared: &Shared, message_id: &str, body: &str, ways: &Ways<'_>) -> Outcome {
    let settings = &shared.settings;
    match resolve(body) {
        Ok(Announcement { objects, ignored, written }) => {
            settings.telemetry.receive.ignored.add(ignored as u64);
            let time = written.or(ways.time);
            let ways = &Ways { ack: ways.ack, turn: ways.turn, time, pulled: ways.pulled.clone() };
            objects
                .into_iter()
                .map(|object| put_object(shared, message_id, object, ways))
                .max()
                .unwrap_or(Outcome::Delivered)
        }
        Err(error) => {
            settings.telemetry.receive.unreadable.increment();
            log::warn!(
                "inputs.{}: message {message_id}: {error}; it is left to the queue's redrive policy",
                settings.input.key
            );
            Outcome::Reject
        }
    }
}

fn put_object(shared: &Shared, message_id: &str, object: Object, ways: &Ways<'_>) -> Outcome {
    let settings = &shared.settings;
    let Some(service) = settings.input.service_of(&object.key) else {
        settings.telemetry.receive.unreadable.increment();
        log::warn!(
            "inputs.{}: message {message_id}: {object} belongs to none of the input's services; it is left to the queue's redrive policy. Add its service, or one without `object_keys`",
            settings.input.key
        );
        return Outcome::Reject;
    };
    if object.is_marker() || service.skips(&object.key) {
        settings.telemetry.receive.skipped.increment();
        log::debug!("{object}: skipped");
        return Outcome::Delivered;
    }
    settings.telemetry.receive.objects.increment();
    let service = service.of_object(&object.key);
    send(shared, Source::S3(object), None, &service, ways);
    Outcome::Delivered
}

/// Waits for room among the tasks. Once stopped, what has not been begun is dropped, which gives it back.
fn send(shared: &Shared, source: Source, body: Option<Body>, service: &Arc<Definition>, ways: &Ways<'_>) {
    let settings = &shared.settings;
    let mut task = Task {
        source,
        service: Arc::clone(service),
        input: settings.index,
        share: counted(shared, service, ways),
        turn: ways.turn.map(Turn::of_object),
        pulled: ways.pulled.clone(),
        body,
    };
    while !settings.stop.is_stopped() {
        let offered = Instant::now();
        let sent = settings.tasks.send_timeout(task, STOP_CHECK_INTERVAL);
        settings.telemetry.waits.receive_fetchers.add(offered.elapsed());
        match sent {
            Ok(()) => return settings.telemetry.fetch.waiting.add(1),
            Err(SendTimeoutError::Disconnected(_)) => return,
            Err(SendTimeoutError::Timeout(back)) => task = back,
        }
    }
}

/// A part of the message that is counted with its service until it ends.
fn counted(shared: &Shared, service: &Definition, ways: &Ways<'_>) -> Share {
    let (of_message, time) = (ways.ack.share(), ways.time);
    let service = Arc::clone(shared.settings.telemetry.service(&service.name));
    service.begin(time);
    let object = Ack::open(move |outcome| {
        service.end(time, outcome, Timestamp::now());
        of_message.resolve(outcome);
    });
    let share = object.share();
    object.close(Outcome::Delivered);
    share
}
