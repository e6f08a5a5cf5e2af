//! Starting threads, and sleeping.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Point, clock, simulation, wait};

/// A started thread. It is never joined.
#[derive(Debug)]
pub struct Thread {
    has_ended: Arc<AtomicBool>,
}

/// Set when it is dropped.
struct End(Arc<AtomicBool>);

impl Thread {
    /// True if it has ended, in any way.
    pub fn is_finished(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }
}

/// Starts a thread.
///
/// # Errors
/// If it cannot be started.
pub fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<Thread> {
    let has_ended = Arc::new(AtomicBool::new(false));
    let end = End(Arc::clone(&has_ended));
    let body = move || {
        let _end = end;
        body();
    };
    match simulation() {
        Some(simulation) => simulation.spawn(name, Box::new(body))?,
        None => drop(std::thread::Builder::new().name(name).spawn(body)?),
    }
    Ok(Thread { has_ended })
}

/// Waits for that long, whatever happens.
pub fn sleep(time: Duration) {
    let Some(simulation) = simulation() else { return std::thread::sleep(time) };
    let until = clock::now() + time;
    while simulation.now() < until && wait(&*simulation, &[&Point::none()], Some(until)) {}
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
