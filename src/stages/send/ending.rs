//! Connections to which nothing more is written, while their peers read them to the end.
//!
//! With [`Confirmation::Close`](super::Confirmation::Close) each of a sender's connections carries a bounded amount.
//! Its peer then has to read all of that before it can end the connection, and the sender would have to wait. So the
//! sender leaves the connection, opens the next one, and checks the earlier ones in between.

use super::error::Error;
use super::session::{Next, Session};
use super::shared::SharedOutput;

/// One such connection.
#[derive(Debug)]
pub struct Ending {
    session: Session,
    /// We have closed our side. Before that the connection must live for a while after its last bytes.
    is_closed: bool,
}

impl Ending {
    pub fn new(session: Session) -> Ending {
        Ending { session, is_closed: false }
    }

    /// Does everything possible without waiting. Returns true if the connection has ended, and everything on it is
    /// confirmed.
    ///
    /// # Errors
    /// If it has ended otherwise. [`Ending::into_session`] gives the unconfirmed batches.
    pub fn step(&mut self, shared: &SharedOutput) -> Result<bool, Error> {
        if self.is_closed {
            return self.session.try_end(shared);
        }
        if self.session.attend(shared)?.0 == Next::Close {
            self.session.begin_end(shared)?;
            self.is_closed = true;
        }
        Ok(false)
    }

    pub fn into_session(self) -> Session {
        self.session
    }
}
