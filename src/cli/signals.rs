//! Signal handling of a run. SIGTERM and SIGINT stop it in good order, a second one at once; SIGHUP calls a handler. A
//! stop that exceeds its time limit, whatever hangs, is cut short.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator;

use super::exit::UNDELIVERED;
use super::notify::ServiceManager;
use crate::base::limits::{GIVE_BACK_TIME, LAST_WORDS_TIME, SHUTDOWN_TIMEOUT_DEFAULT, STOP_MARGIN};
use crate::base::locks::lock;
use crate::base::stop::Stop;

/// Exit status after the second signal, as a shell reports it.
const KILLED: i32 = 130;

/// A thread that listens for signals for the life of the process.
#[derive(Debug, Clone, Default)]
pub struct Signals(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// The stop handle of the running pipeline.
    stop: Stop,
    /// The time limit of its stop.
    patience: Duration,
    is_stopping: bool,
}

impl Default for State {
    fn default() -> State {
        State { stop: Stop::new(), patience: SHUTDOWN_TIMEOUT_DEFAULT, is_stopping: false }
    }
}

/// Makes a write beyond the limit on the size of files (`ulimit -f`) fail with an error, like one to a full disk. The kernel would
/// end the process otherwise.
pub fn outlive_file_limits() {
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, Arc::default()) {
        log::debug!("a file that exceeds its limit will end the process: {error}");
    }
}

impl Signals {
    /// Starts listening; `manager` is notified of a stop. `hangup` is called after a SIGHUP, on its own thread, so that
    /// an unreadable file cannot block the next signal. Without it SIGHUP stops the run like SIGTERM, as the end of a
    /// terminal does, unless `nohup` has made the process ignore it.
    ///
    /// # Errors
    /// If handlers or the thread cannot be created.
    pub fn listen(
        hangup: Option<Box<dyn FnMut() + Send>>,
        manager: &Arc<ServiceManager>,
    ) -> io::Result<Signals> {
        let mut received = iterator::Signals::new([SIGINT, SIGTERM])?;
        if hangup.is_some() || !is_ignored(SIGHUP) {
            received.add_signal(SIGHUP)?;
        }
        let hangups = hangup.map(listen_aside).transpose()?;
        let signals = Signals::default();
        let (own, manager) = (signals.clone(), Arc::clone(manager));
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in received.forever() {
                match &hangups {
                    // A call that is already queued will see the same state.
                    Some(hangups) if signal == SIGHUP => drop(hangups.try_send(())),
                    _ => {
                        manager.stopping();
                        own.stop();
                    }
                }
            }
        })?;
        Ok(signals)
    }

    /// From now on signals stop `stop`, and work in flight may then take `patience`. It is stopped at once if a signal
    /// has come already.
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

    /// Stops first and logs then, because a log without a reader may block its writer.
    fn stop(&self) {
        let patience = {
            let mut state = self.state();
            if state.is_stopping {
                end(
                    "second signal: stopping at once; messages in flight are redelivered after their visibility timeout",
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
                "signal received: receiving stops, work in flight is finished; a second signal stops at once"
            );
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

/// True if the process has been started with this signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Ends the process if its stop takes longer than `limit`. Every wait of a stop has its own deadline. This one is for
/// the unforeseen: a disk or a terminal that does not answer blocks every thread that touches it.
fn cut_short_after(limit: Duration) {
    let watch = move || {
        std::thread::sleep(limit);
        let text = "the stop hangs and is cut short; messages in flight are redelivered after their visibility timeout";
        end(text, UNDELIVERED.into());
    };
    // Without that thread the second signal still works.
    drop(std::thread::Builder::new().name("stop-limit".into()).spawn(watch));
}

/// Ends the process, after a message if that can be written.
#[expect(clippy::exit, reason = "an orderly exit was tried and hangs, or the user has asked twice")]
fn end(text: &'static str, code: i32) -> ! {
    crate::aws::chain::process::end_all();
    say_aside(move || {
        log::error!("{text}");
        std::process::exit(code);
    });
    std::thread::sleep(LAST_WORDS_TIME);
    std::process::exit(code)
}

/// Logs without being blocked by the log.
fn say_aside(say: impl FnOnce() + Send + 'static) {
    drop(std::thread::Builder::new().name("last-words".into()).spawn(say));
}

/// Calls `hangup` for each received item.
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
