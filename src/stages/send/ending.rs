//! Connections to which nothing more is written, while their peers read them to the end.
//!
//! With [`Confirmation::Close`](super::Confirmation::Close) each of a sender's connections carries a bounded amount.
//! Its peer then has to read all of that before it can end the connection, and the sender would have to wait. So the
//! sender leaves the connection, opens the next one, and checks the earlier ones in between.

use std::time::Instant;

use super::error::Error;
use super::session::{Next, Session, Shared};

/// One such connection.
#[derive(Debug)]
pub struct Ending {
    session: Session,
    /// When the peer's close is due; None if the connection has not lived long enough since its last bytes for our
    /// close.
    due: Option<Instant>,
}

impl Ending {
    pub fn new(session: Session) -> Ending {
        Ending { session, due: None }
    }

    /// Does everything possible without waiting. Returns true if the connection has ended, and everything on it is
    /// confirmed.
    ///
    /// # Errors
    /// If it has ended otherwise. [`Ending::into_session`] gives the unconfirmed batches.
    pub fn step(&mut self, shared: &Shared) -> Result<bool, Error> {
        match self.due {
            Some(due) => self.session.try_end(due, shared),
            None if self.session.attend(shared)?.0 == Next::Close => {
                self.due = Some(self.session.begin_end(shared)?);
                Ok(false)
            }
            None => Ok(false),
        }
    }

    pub fn into_session(self) -> Session {
        self.session
    }
}
