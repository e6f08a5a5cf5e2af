//! A request to take nothing new for a while.

use std::time::Duration;

use super::runtime::atomic::{Arc, AtomicBool, Ordering};
use super::stop::Stop;

/// A request to take nothing new, which can be withdrawn. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Pause(Arc<AtomicBool>);

impl Pause {
    /// Makes the request, or withdraws it.
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }

    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until the request is withdrawn, or until `stop`. It looks after each `interval`.
    pub fn wait(&self, interval: Duration, stop: &Stop) {
        while self.is_on() && !stop.wait(interval) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_when_it_is_withdrawn_or_with_the_stop() {
        let (pause, stop, long) = (Pause::default(), Stop::new(), Duration::from_secs(3600));
        pause.wait(long, &stop);
        pause.set(true);
        let other = pause.clone();
        let waiter = std::thread::spawn({
            let stop = stop.clone();
            move || other.wait(Duration::from_millis(1), &stop)
        });
        pause.set(false);
        waiter.join().unwrap();
        pause.set(true);
        stop.stop();
        pause.wait(long, &stop);
        assert!(pause.is_on());
    }
}
