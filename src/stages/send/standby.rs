//! A sender that stands by: it sends only while the others cannot keep up.

use std::time::Instant;

use crate::base::limits::{SEND_IDLE_TIMEOUT, SEND_WAIT_SLICE};
use crate::base::runtime::channel::{Receiver, RecvTimeoutError};

/// Whether such a sender sends at present.
#[derive(Debug)]
pub struct Standby {
    /// Calls for one more sender, shared with the output's others that stand by. Closed with the channel of batches.
    calls: Receiver<()>,
    /// When it last had something to send; None while it stands by.
    worked_at: Option<Instant>,
}

impl Standby {
    pub fn new(calls: Receiver<()>) -> Standby {
        Standby { calls, worked_at: None }
    }

    /// True while it takes part in sending.
    pub fn is_called(&self) -> bool {
        self.worked_at.is_some()
    }

    /// Waits for a call, for a while.
    ///
    /// # Errors
    /// If none came, or none will come.
    pub fn wait(&self) -> Result<(), RecvTimeoutError> {
        self.calls.recv_timeout(SEND_WAIT_SLICE)
    }

    /// Notes that it has been called, or has something to send.
    pub fn works(&mut self, now: Instant) {
        self.worked_at = Some(now);
    }

    /// Stands by again.
    pub fn stop(&mut self) {
        self.worked_at = None;
    }

    /// Stands by again if it has had nothing to send for [`SEND_IDLE_TIMEOUT`]. Returns true if it does.
    pub fn rests(&mut self, now: Instant) -> bool {
        let is_idle = self.worked_at.is_some_and(|at| now.saturating_duration_since(at) >= SEND_IDLE_TIMEOUT);
        if is_idle {
            self.stop();
        }
        is_idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::runtime::channel;

    #[test]
    fn it_stands_by_again_after_a_time_without_work() {
        let (calls, called) = channel::bounded(1);
        let (mut standby, start) = (Standby::new(called), Instant::now());
        assert!(!standby.is_called());
        calls.send(()).unwrap();
        standby.wait().unwrap();
        standby.works(start);
        assert!(!standby.rests(start + SEND_IDLE_TIMEOUT / 2) && standby.is_called());
        standby.works(start + SEND_IDLE_TIMEOUT / 2);
        assert!(!standby.rests(start + SEND_IDLE_TIMEOUT), "it has worked meanwhile");
        assert!(standby.rests(start + SEND_IDLE_TIMEOUT * 3 / 2) && !standby.is_called());
        assert!(!standby.rests(start + SEND_IDLE_TIMEOUT * 3), "it does so once");
        drop(calls);
        assert_eq!(standby.wait(), Err(RecvTimeoutError::Disconnected));
    }
}
