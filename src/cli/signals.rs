//! What signals ask of a run. SIGTERM and SIGINT stop it in good order, a second one at once; SIGHUP is for
//! whoever wants it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator;

use super::notify::ServiceManager;
use crate::stop::Stop;

/// Killed by the second signal, as a shell tells it.
const KILLED: i32 = 130;

/// A thread that listens as long as the process lives.
#[derive(Debug, Clone, Default)]
pub struct Signals(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Of the pipeline that runs now.
    stop: Stop,
    is_stopping: bool,
}

impl Signals {
    /// Begins to listen; `manager` is told of a stop. `hangup` is called at each SIGHUP, by the listening thread; without it SIGHUP does
    /// what it does to any process.
    ///
    /// # Errors
    /// When handlers or the thread cannot be made.
    pub fn listen(
        hangup: Option<Box<dyn FnMut() + Send>>,
        manager: &Arc<ServiceManager>,
    ) -> io::Result<Signals> {
        let mut received = iterator::Signals::new([SIGINT, SIGTERM])?;
        if hangup.is_some() {
            received.add_signal(SIGHUP)?;
        }
        let mut hangup = hangup.unwrap_or_else(|| Box::new(|| ()));
        let signals = Signals::default();
        let (own, manager) = (signals.clone(), Arc::clone(manager));
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in received.forever() {
                if signal == SIGHUP {
                    hangup();
                } else {
                    manager.stopping();
                    own.stop();
                }
            }
        })?;
        Ok(signals)
    }

    /// From now on signals stop this; it is stopped already if one has come.
    pub fn govern(&self, stop: &Stop) {
        let mut state = self.state();
        state.stop = stop.clone();
        if state.is_stopping {
            stop.stop();
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.state().is_stopping
    }

    fn stop(&self) {
        let mut state = self.state();
        if state.is_stopping {
            log::warn!(
                "second signal: stopped at once; what is in work comes again when its visibility timeout is over"
            );
            std::process::exit(KILLED);
        }
        log::info!(
            "signal received: nothing more is received, work in hand is finished; a second signal stops at once"
        );
        state.is_stopping = true;
        state.stop.stop();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_holds_for_what_starts_after_it() {
        let signals = Signals::default();
        let (first, second) = (Stop::new(), Stop::new());
        signals.govern(&first);
        signals.stop();
        assert!(first.is_stopped() && signals.is_stopping());
        signals.govern(&second);
        assert!(second.is_stopped());
    }
}
