//! Channels between threads, with the interface of `crossbeam_channel`.

use std::fmt;
use std::time::{Duration, Instant};

use crossbeam_channel as real;
pub use crossbeam_channel::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

use super::{Point, Simulation, clock, wait};

/// The end that sends. Clones share the channel.
pub struct Sender<T> {
    inner: real::Sender<T>,
    point: Point,
    /// A message passes only while somebody waits for one.
    meets: bool,
}

/// The end that receives. Clones share the channel: each message goes to one of them.
pub struct Receiver<T> {
    inner: real::Receiver<T>,
    point: Point,
}

/// A channel that holds any number of messages.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    ends(real::unbounded(), false)
}

/// A channel that holds `max` messages. With none at all, a message passes only while somebody waits for one.
pub fn bounded<T>(max: usize) -> (Sender<T>, Receiver<T>) {
    let point = Point::new();
    if max == 0 && point.0.is_some() {
        // A simulated thread that waits is not inside of the channel, so the sender counts those that wait.
        return ends(real::unbounded(), true);
    }
    ends(real::bounded(max), false)
}

/// A channel on which nothing ever comes.
pub fn never<T>() -> Receiver<T> {
    Receiver { inner: real::never(), point: Point::none() }
}

fn ends<T>(
    (sender, receiver): (real::Sender<T>, real::Receiver<T>),
    meets: bool,
) -> (Sender<T>, Receiver<T>) {
    let point = Point::new();
    (Sender { inner: sender, point: point.clone(), meets }, Receiver { inner: receiver, point })
}

impl<T> Sender<T> {
    /// Waits for room.
    ///
    /// # Errors
    /// If no receiver is left.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        let Some(simulation) = self.point.simulation() else { return self.inner.send(message) };
        simulation.pause();
        let mut message = message;
        loop {
            match self.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(message)) => return Err(SendError(message)),
                Err(TrySendError::Full(back)) => message = back,
            }
            if !wait(&*simulation, &[&self.point], None) {
                return Err(SendError(message));
            }
        }
    }

    /// Does not wait.
    ///
    /// # Errors
    /// If there is no room, or no receiver is left.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        if self.meets && self.point.waiting() <= self.inner.len() {
            return Err(TrySendError::Full(message));
        }
        self.inner.try_send(message)?;
        self.point.notify();
        Ok(())
    }
}

impl<T> Sender<T> {
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// Messages that are there now.
    pub fn len(&self) -> usize {
        self.inner.len()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender { inner: self.inner.clone(), point: self.point.clone(), meets: self.meets }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.point.waiting() > 0 {
            // Receivers must see the channel closed when they are woken.
            self.inner = real::bounded(0).0;
            self.point.notify();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T> Receiver<T> {
    /// Waits for a message.
    ///
    /// # Errors
    /// If the channel is empty and no sender is left.
    pub fn recv(&self) -> Result<T, RecvError> {
        let Some(simulation) = self.point.simulation() else { return self.inner.recv() };
        self.simulated(&*simulation, None).map_err(|_| RecvError)
    }

    /// Waits for a message, at most for `time`.
    ///
    /// # Errors
    /// If none came, or the channel is empty and no sender is left.
    pub fn recv_timeout(&self, time: Duration) -> Result<T, RecvTimeoutError> {
        let Some(simulation) = self.point.simulation() else { return self.inner.recv_timeout(time) };
        self.simulated(&*simulation, clock::now().checked_add(time))
    }

    /// Waits for a message, at most until then.
    ///
    /// # Errors
    /// If none came, or the channel is empty and no sender is left.
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        let Some(simulation) = self.point.simulation() else { return self.inner.recv_deadline(deadline) };
        self.simulated(&*simulation, Some(deadline))
    }

    /// Does not wait.
    ///
    /// # Errors
    /// If there is none now, or will never be one.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let message = self.inner.try_recv()?;
        self.point.notify();
        Ok(message)
    }

    /// The messages that are there now.
    pub fn try_iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.try_recv().ok())
    }

    /// Messages that come, until no sender is left.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.recv().ok())
    }

    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// Messages that are there now.
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    fn simulated(&self, simulation: &dyn Simulation, until: Option<Instant>) -> Result<T, RecvTimeoutError> {
        simulation.pause();
        loop {
            match self.try_recv() {
                Ok(message) => return Ok(message),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) if until.is_some_and(|until| simulation.now() >= until) => {
                    return Err(RecvTimeoutError::Timeout);
                }
                Err(TryRecvError::Empty) => (),
            }
            if !wait(simulation, &[&self.point], until) {
                return Err(RecvTimeoutError::Disconnected);
            }
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        Receiver { inner: self.inner.clone(), point: self.point.clone() }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.point.waiting() > 0 {
            self.inner = real::never();
            self.point.notify();
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A receiver of any kind of message, to wait for several.
pub trait Source {
    #[doc(hidden)]
    fn add_to<'a>(&'a self, select: &mut real::Select<'a>);

    #[doc(hidden)]
    fn point(&self) -> Waited<'_>;
}

/// One of the receivers that a wait for several waits for.
pub struct Waited<'a>(&'a Point);

impl<T> Source for Receiver<T> {
    fn add_to<'a>(&'a self, select: &mut real::Select<'a>) {
        select.recv(&self.inner);
    }

    fn point(&self) -> Waited<'_> {
        Waited(&self.point)
    }
}

/// Waits until one of the `sources` has a message or is closed, at most until then (None: forever), and returns false
/// if none has. Another thread may take that message first.
pub fn await_any(sources: &[&dyn Source], until: Option<Instant>) -> bool {
    let mut select = real::Select::new();
    sources.iter().for_each(|source| source.add_to(&mut select));
    let simulated = sources.iter().find_map(|source| source.point().0.simulation());
    if let Some(simulation) = simulated {
        if select.try_ready().is_ok() {
            return true;
        }
        let points: Vec<&Point> = sources.iter().map(|source| source.point().0).collect();
        return until.is_none_or(|until| simulation.now() < until) && wait(&*simulation, &points, until);
    }
    match until {
        Some(until) => select.ready_deadline(until).is_ok(),
        None => {
            select.ready();
            true
        }
    }
}
