//! The place where a sender leaves its session for workers, without what a session is: `tests/memory.rs` tries every order
//! of accesses to it.

use crate::base::locks::lock;
use crate::base::runtime::channel::Sender;
use crate::base::runtime::sync::{Mutex, MutexGuard};

/// The place of a session, if there is one.
#[derive(Debug)]
pub struct Place<S> {
    session: Mutex<Option<S>>,
    /// Wakes the sender.
    wake: Sender<()>,
}

impl<S> Place<S> {
    pub fn new(wake: Sender<()>) -> Place<S> {
        Place { session: Mutex::new(None), wake }
    }

    /// From here on workers may use the session.
    pub fn open(&self, session: S) {
        *self.lock() = Some(session);
    }

    /// Takes the session away: no worker uses it any more.
    pub fn close(&self) -> Option<S> {
        self.lock().take()
    }

    /// For the sender, which waits for a worker that uses the session. None if there is no session.
    pub fn with<T>(&self, work: impl FnOnce(&mut S) -> T) -> Option<T> {
        self.lock().as_mut().map(work)
    }

    /// For workers: lets the session `take` a batch, or returns it at once if there is no session or it is not free. `take`
    /// says whether the sender is to be woken.
    ///
    /// # Errors
    /// The batch, untouched.
    pub fn offer<B>(
        &self,
        batch: B,
        is_free: impl FnOnce(&S) -> bool,
        take: impl FnOnce(&mut S, B) -> bool,
    ) -> Result<(), B> {
        let Ok(mut session) = self.session.try_lock() else { return Err(batch) };
        let Some(session) = session.as_mut().filter(|session| is_free(session)) else { return Err(batch) };
        if take(session, batch) {
            // Full: it is about to wake anyway.
            let _ = self.wake.try_send(());
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<S>> {
        lock(&self.session)
    }
}
