//! What signals ask of a run. SIGTERM and SIGINT stop it in good order, a second one at once; SIGHUP is for
//! whoever wants it. A stop that takes longer than it may, whatever hangs, is cut short.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator;

use super::exit::UNDELIVERED;
use super::notify::ServiceManager;
use crate::base::limits::{GIVE_BACK_TIME, LAST_WORDS_TIME, SHUTDOWN_TIMEOUT_DEFAULT, STOP_MARGIN};
use crate::base::stop::Stop;

/// Killed by the second signal, as a shell tells it.
const KILLED: i32 = 130;

/// A thread that listens as long as the process lives.
#[derive(Debug, Clone, Default)]
pub struct Signals(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Of the pipeline that runs now.
    stop: Stop,
    /// The time that its stop may take.
    patience: Duration,
    is_stopping: bool,
}

impl Default for State {
    fn default() -> State {
        State { stop: Stop::new(), patience: SHUTDOWN_TIMEOUT_DEFAULT, is_stopping: false }
    }
}

impl Signals {
    /// Begins to listen; `manager` is told of a stop. `hangup` is called after a SIGHUP, by a thread of its own: a file
    /// that cannot be read must not keep the next signal from being heard. Without it SIGHUP does what it does to any
    /// process.
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
        let hangups = hangup.map(listen_aside).transpose()?;
        let signals = Signals::default();
        let (own, manager) = (signals.clone(), Arc::clone(manager));
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in received.forever() {
                if signal == SIGHUP {
                    // One that waits already will see what this one would.
                    hangups.as_ref().map(|hangups| hangups.try_send(()));
                } else {
                    manager.stopping();
                    own.stop();
                }
            }
        })?;
        Ok(signals)
    }

    /// From now on signals stop this, and work in hand may then take as long as `patience` says; it is stopped
    /// already if a signal has come.
    pub fn govern(&self, stop: &Stop, patience: Duration) {
        let mut state = self.state();
        (state.stop, state.patience) = (stop.clone(), patience);
        if state.is_stopping {
            stop.stop();
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.state().is_stopping
    }

    /// Stops first and speaks then: a log that nobody reads may hold up whoever writes to it.
    fn stop(&self) {
        let patience = {
            let mut state = self.state();
            if state.is_stopping {
                end(
                    "second signal: stopped at once; what is in work comes again when its visibility timeout is over",
                    KILLED,
                );
            }
            state.is_stopping = true;
            state.stop.stop();
            state.patience
        };
        cut_short_after(patience + GIVE_BACK_TIME + STOP_MARGIN);
        say_aside(|| {
            log::info!(
                "signal received: nothing more is received, work in hand is finished; a second signal stops at once"
            );
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the process when its stop takes longer than `limit`. Every wait of a stop has a deadline of its own. This one
/// is for what nobody thought of: a disk or a terminal that does not answer holds whichever thread touches it.
fn cut_short_after(limit: Duration) {
    let watch = move || {
        std::thread::sleep(limit);
        let text = "the stop hangs and is cut short; what is in work comes again when its visibility timeout is over";
        end(text, UNDELIVERED.into());
    };
    // Without that thread the second signal still works.
    drop(std::thread::Builder::new().name("stop-limit".into()).spawn(watch));
}

/// Ends the process, after a word if that can be written.
#[expect(clippy::exit, reason = "an orderly end was tried and hangs, or the user has asked twice")]
fn end(text: &'static str, code: i32) -> ! {
    crate::aws::chain::process::end_all();
    say_aside(move || {
        log::error!("{text}");
        std::process::exit(code);
    });
    std::thread::sleep(LAST_WORDS_TIME);
    std::process::exit(code)
}

/// Writes to the log without being held up by it.
fn say_aside(say: impl FnOnce() + Send + 'static) {
    drop(std::thread::Builder::new().name("last-words".into()).spawn(say));
}

/// Calls `hangup` for what is sent.
fn listen_aside(mut hangup: Box<dyn FnMut() + Send>) -> io::Result<Sender<()>> {
    let (hangups, received) = bounded(1);
    let listen = move || received.iter().for_each(|()| hangup());
    std::thread::Builder::new().name("reload".into()).spawn(listen)?;
    Ok(hangups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_holds_for_what_starts_after_it() {
        let signals = Signals::default();
        let (first, second) = (Stop::new(), Stop::new());
        signals.govern(&first, Duration::from_secs(3600));
        signals.stop();
        assert!(first.is_stopped() && signals.is_stopping());
        signals.govern(&second, Duration::from_secs(3600));
        assert!(second.is_stopped());
    }
}
