//! Trials that distinguish a bad batch from a peer that ends connections: batches are sent on a separate connection, or
//! a connection is opened with nothing on it.

use std::time::{Duration, Instant};

use super::connection::Connection;
use super::error::Error;
use super::session::Shared;
use crate::base::limits::{SEND_CONFIRM_INTERVAL, SEND_STALL_TIMEOUT, SETTLE_TIME_HASTY};

/// The reason why batches were not confirmed.
#[derive(Debug)]
pub enum Failure {
    /// It is not their fault.
    Outage(Error),
    /// The peer ended the connection, which had lived this long.
    Ended(Error, Duration),
}

/// Sends batches on a new separate connection. It outlives their acknowledgement by the settling time, and ends in good
/// order if only that is a proof.
///
/// # Errors
/// If nothing is confirmed.
pub fn send_apart<'b>(frames: impl Iterator<Item = &'b [u8]>, shared: &Shared) -> Result<(), Failure> {
    let mut connection = Connection::open(&shared.peer).map_err(Failure::Outage)?;
    shared.telemetry.send.connected.increment();
    let opened = Instant::now();
    deliver(&mut connection, frames, shared).map_err(|error| match shared.is_end_of(&connection, &error) {
        true => Failure::Ended(error, opened.elapsed()),
        false => Failure::Outage(error),
    })
}

fn deliver<'b>(
    connection: &mut Connection,
    frames: impl Iterator<Item = &'b [u8]>,
    shared: &Shared,
) -> Result<(), Error> {
    for bytes in frames {
        connection.write(bytes, &shared.abort)?;
    }
    connection.flush(&shared.abort)?;
    connection.balance()?;
    let hasty = shared.caution().is_hasty();
    outlive(connection, hasty, shared)?;
    match connection.close(connection.patience(), &shared.abort) {
        Err(_) if connection.is_proven() && !hasty => Ok(()),
        closed => closed,
    }
}

/// Waits until the connection has outlived the acknowledgement of everything.
fn outlive(connection: &mut Connection, hasty: bool, shared: &Shared) -> Result<(), Error> {
    let (written, mut acknowledged_at) = (Instant::now(), None);
    loop {
        let now = Instant::now();
        connection.read()?;
        if acknowledged_at.is_none() && connection.acknowledged()? >= connection.written() {
            acknowledged_at = Some(now);
        }
        let time = if hasty { SETTLE_TIME_HASTY } else { connection.settle_time(now) };
        if acknowledged_at.is_some_and(|at| now.saturating_duration_since(at) >= time) {
            return Ok(());
        }
        if acknowledged_at.is_none() && written.elapsed() >= SEND_STALL_TIMEOUT {
            return Err(connection.stalled());
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
pub fn idle_lives(time: Duration, shared: &Shared) -> Result<(), Error> {
    let mut connection = Connection::open(&shared.peer)?;
    let end = Instant::now() + time;
    while Instant::now() < end {
        connection.read()?;
        if shared.abort.wait(SEND_CONFIRM_INTERVAL) {
            return Err(Error::Stopped);
        }
    }
    connection.read()?;
    // It has lived; how it ends does not matter.
    let _ = connection.close(connection.patience(), &shared.abort);
    Ok(())
}
