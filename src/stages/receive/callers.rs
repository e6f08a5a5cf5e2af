//! Threads that make calls concurrently, so that a hung call blocks nothing but itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::base::limits::CALLER_REST;
use crate::base::runtime::channel::{Receiver, Sender, bounded};
use crate::base::runtime::thread;

/// A group of threads for one kind of call. They start when needed, end when idle, and are never joined: they must not
/// keep anything else alive.
pub struct Callers(Arc<Inner>);

struct Inner {
    name: String,
    max: usize,
    /// Makes one call. Returns false if there was none to make.
    call: Box<dyn Fn() -> bool + Send + Sync>,
    /// To idle threads: a message passes only while there is one.
    wake: Sender<()>,
    woken: Receiver<()>,
    running: AtomicUsize,
    has_panicked: AtomicBool,
    /// The log has reported that no thread could be started.
    is_told: AtomicBool,
}

impl Callers {
    /// Creates a group of up to `max` threads, none of which runs yet. Each makes calls until `call` says that there is
    /// none to make.
    pub fn new(name: String, max: usize, call: impl Fn() -> bool + Send + Sync + 'static) -> Callers {
        let (wake, woken) = bounded(0);
        Callers(Arc::new(Inner {
            name,
            max,
            call: Box::new(call),
            wake,
            woken,
            running: AtomicUsize::new(0),
            has_panicked: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
        }))
    }

    /// Announces calls: an idle thread makes them, or else a new one, if allowed. Call it again as long as there are
    /// any.
    pub fn begin(&self) {
        if self.0.wake.try_send(()).is_ok() || self.0.running.load(Ordering::Acquire) >= self.0.max {
            return;
        }
        let running = Running::one_more(&self.0);
        if let Err(error) = thread::spawn(self.0.name.clone(), move || running.run()) {
            self.call_without(&error);
        }
    }

    /// Better late than never: the owner makes the call, which may hang.
    fn call_without(&self, error: &std::io::Error) {
        if !self.0.is_told.swap(true, Ordering::Relaxed) {
            log::warn!("{}: cannot start another thread ({error}); calls are made one by one", self.0.name);
        }
        if self.0.running.load(Ordering::Acquire) == 0 {
            (self.0.call)();
        }
    }

    /// True if no thread has panicked.
    pub fn is_whole(&self) -> bool {
        !self.0.has_panicked.load(Ordering::Acquire)
    }
}

/// A thread of the group; counted until it is dropped.
struct Running(Arc<Inner>);

impl Running {
    fn one_more(inner: &Arc<Inner>) -> Running {
        inner.running.fetch_add(1, Ordering::AcqRel);
        Running(Arc::clone(inner))
    }

    fn run(self) {
        loop {
            while (self.0.call)() {}
            if self.0.woken.recv_timeout(CALLER_REST).is_err() {
                return;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
        if std::thread::panicking() {
            self.0.has_panicked.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    /// Asks for calls, as its owner does, until it is so.
    fn begin_until(callers: &Callers, is_so: impl Fn() -> bool) {
        while !is_so() {
            callers.begin();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn calls_that_hang_do_not_hold_up_the_others() {
        let (hang, hung) = bounded::<()>(0);
        let made = Arc::new(Mutex::new(Vec::new()));
        let (next, log) = (AtomicUsize::new(0), Arc::clone(&made));
        let callers = Callers::new("test".into(), 4, move || {
            match next.fetch_add(1, Ordering::Relaxed) {
                // The first three hang until the end of the test.
                0..3 => drop(hung.recv()),
                number @ 3..100 => log.lock().unwrap().push(number),
                _ => return false,
            }
            true
        });
        begin_until(&callers, || made.lock().unwrap().len() == 97);
        assert!(callers.0.running.load(Ordering::Acquire) <= 4);
        drop(hang);
    }

    #[test]
    fn a_thread_that_panics_is_noticed() {
        let callers = Callers::new("test".into(), 1, || panic!("on purpose"));
        assert!(callers.is_whole());
        begin_until(&callers, || !callers.is_whole());
    }
}
