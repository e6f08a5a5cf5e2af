//! Trials that distinguish a bad batch from a peer that ends connections: batches are sent on a separate connection, or
//! a connection is opened with nothing on it.

use std::time::Duration;

use super::connection::{Connection, Progress};
use super::error::Error;
use super::shared::SharedOutput;
use crate::base::limits::{
    SEND_CLOSE_TIMEOUT, SEND_CONFIRM_INTERVAL, SEND_GOODBYE_PROBES, SEND_LIFETIME_MIN, SEND_PROMPT_TIME,
    SEND_PROOF_TIMEOUT_MAX, SEND_REFUSAL_TIME, SEND_SILENCE_TIME_TLS, SEND_UNANSWERED_MAX,
    SEND_UNANSWERED_TIME, SETTLE_TIME_HASTY,
};
use crate::base::runtime::clock;

/// The reason why batches were not confirmed.
#[derive(Debug)]
pub enum Failure {
    /// It is not their fault.
    Outage(Error),
    /// The peer ended the connection, which had lived this long.
    Ended(Error, Duration),
}

/// Sends batches on a new separate connection. It outlives their acknowledgement by the settling time, and ends in good
/// order if only that is a proof: the rules are those of every connection, see [`Session`](super::session::Session).
///
/// # Errors
/// If nothing is confirmed.
pub fn send_apart<'b>(frames: impl Iterator<Item = &'b [u8]>, shared: &SharedOutput) -> Result<(), Failure> {
    let mut connection = Connection::open(&shared.peer).map_err(Failure::Outage)?;
    shared.telemetry.send.connected.increment();
    let opened = clock::now();
    deliver(&mut connection, frames, shared).map_err(|error| match shared.is_end_of(&connection, &error) {
        true => Failure::Ended(error, clock::since(opened)),
        false => Failure::Outage(error),
    })
}

fn deliver<'b>(
    connection: &mut Connection,
    frames: impl Iterator<Item = &'b [u8]>,
    shared: &SharedOutput,
) -> Result<(), Error> {
    for bytes in frames {
        connection.write(bytes, &shared.abort)?;
    }
    connection.flush(&shared.abort)?;
    connection.balance()?;
    let hasty = shared.caution().is_hasty();
    outlive(connection, hasty, shared)?;
    let (by_its_end, is_proven) = (shared.confirms_by_end(), !hasty && connection.is_proven());
    let is_proof = by_its_end || !is_proven;
    match connection.close(shared.patience(is_proof), &shared.abort) {
        Ok(()) => shared.check_goodbye(connection, by_its_end),
        Err(_) if !is_proof => Ok(()),
        Err(error @ Error::Unanswered { .. }) => {
            shared.caution().unanswered();
            // It has outlived their acknowledgement, which confirms with a peer that never ends a connection.
            let confirms = by_its_end && is_proven && !is_ever_ended(connection, shared);
            if confirms { Ok(()) } else { Err(error) }
        }
        Err(error) => Err(error),
    }
}

/// Waits until the connection has outlived the acknowledgement of everything.
fn outlive(connection: &mut Connection, hasty: bool, shared: &SharedOutput) -> Result<(), Error> {
    let (mut progress, mut acknowledged_at) = (Progress::begin(), None);
    loop {
        let now = clock::now();
        connection.read()?;
        if acknowledged_at.is_none() && connection.acknowledged()? >= connection.written() {
            acknowledged_at = Some(now);
        }
        let time = if hasty { SETTLE_TIME_HASTY } else { connection.settle_time(now) };
        if acknowledged_at.is_some_and(|at| now.saturating_duration_since(at) >= time) {
            return Ok(());
        }
        if acknowledged_at.is_none() {
            connection.check_progress(&mut progress)?;
        }
        if shared.abort.wait(SEND_CONFIRM_INTERVAL) {
            return Err(Error::Stopped);
        }
    }
}

/// Opens a connection without data, to see whether it lives this long.
///
/// # Errors
/// If it does not, or cannot be opened: the peer ends connections whatever is on them.
pub fn idle_lives(time: Duration, shared: &SharedOutput) -> Result<(), Error> {
    let mut connection = live(time, shared)?;
    // It has lived; how it ends does not matter.
    let _ = connection.close(SEND_CLOSE_TIMEOUT, &shared.abort);
    Ok(())
}

/// Tells whether the peer accepts us: it ends a connection without data in good order after we have. Until something is confirmed, some
/// peers show it in no other way, and what ends their connections could be a refusal of our certificate. Over TLS an end without a
/// close_notify could be that too, unless it comes only after ours on a connection that has lived for a while.
pub fn is_accepted(shared: &SharedOutput) -> bool {
    let said = |connection: &Connection| connection.has_heard_goodbye() || !connection.is_tls();
    let is_accepted = match ends_well_after(Duration::ZERO, shared) {
        Some(connection) => said(&connection) || ends_well_after(SEND_REFUSAL_TIME, shared).is_some(),
        None => false,
    };
    if is_accepted {
        shared.caution().accepted();
    }
    is_accepted
}

/// A connection without data that has ended in good order after our close, which came after this time. None if it has ended
/// otherwise.
fn ends_well_after(time: Duration, shared: &SharedOutput) -> Option<Connection> {
    let mut connection = live(time, shared).ok()?;
    connection.close(shared.patience(true), &shared.abort).ok().map(|()| connection)
}

/// A connection without data that has lived for this long.
///
/// # Errors
/// If it has not, or cannot be opened.
fn live(time: Duration, shared: &SharedOutput) -> Result<Connection, Error> {
    let mut connection = Connection::open(&shared.peer)?;
    let end = clock::now() + time;
    while clock::now() < end {
        connection.read()?;
        if shared.abort.wait(SEND_CONFIRM_INTERVAL) {
            return Err(Error::Stopped);
        }
    }
    connection.read()?;
    Ok(connection)
}

/// Tests whether the peer still ends connections with a close_notify, now that several ends in a row had none. A balancer that
/// passes TLS through cannot know when we send ours, so where several connections without data end right after it, the peer's
/// program has read it. Such a program is another one than before, and its ends count without a close_notify from now on.
pub fn ask_for_goodbye(shared: &SharedOutput) {
    if (0..SEND_GOODBYE_PROBES).all(|_| is_wordless(shared)) {
        shared.caution().forget_goodbye();
        shared.warn_of_no_goodbye();
    }
}

/// True if the peer ends a connection without data right after our close_notify, without its own.
fn is_wordless(shared: &SharedOutput) -> bool {
    ends_well_after(SEND_LIFETIME_MIN, shared).is_some_and(|connection| {
        !connection.has_heard_goodbye() && connection.was_answered_within(SEND_PROMPT_TIME)
    })
}

/// Tells whether the peer ends connections at all after we have, now that it has not ended this one. If none was ever ended,
/// connections without data show it: a program that never closes leaves these open too, while most that are slow or hang end
/// them, or do not even shake hands. One that shakes hands and reads nothing leaves them open as well. So the peer must also have
/// taken more than buffers hold, or it gets more time.
pub fn is_ever_ended(connection: &Connection, shared: &SharedOutput) -> bool {
    if !shared.caution().expects_answers() {
        return false;
    }
    if shared.caution().has_answered() || !(0..SEND_UNANSWERED_MAX).all(|_| is_left_open(shared)) {
        return true;
    }
    let time = if connection.is_tls() { SEND_SILENCE_TIME_TLS } else { SEND_PROOF_TIMEOUT_MAX };
    if !connection.has_taken_much() && connection.silence() < time {
        shared.caution().wait_for(time);
        shared.tell_of_silence(time);
        return true;
    }
    if shared.caution().never_answers() {
        shared.warn_of_no_answers();
    }
    false
}

/// True if the peer keeps a connection without data open after our close.
fn is_left_open(shared: &SharedOutput) -> bool {
    let Ok(mut connection) = Connection::open(&shared.peer) else { return false };
    match connection.close(SEND_UNANSWERED_TIME, &shared.abort) {
        Ok(()) => {
            shared.caution().answered(connection.has_heard_goodbye());
            false
        }
        Err(error) => matches!(error, Error::Unanswered { .. }),
    }
}

#[cfg(test)]
#[cfg(feature = "lab")]
mod tests;
