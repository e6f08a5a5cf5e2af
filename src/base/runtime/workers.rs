//! The pool of threads that compute.

use std::cell::Cell;
use std::io;

use super::channel::{Sender, unbounded};
use super::{simulation, thread};

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads that do jobs in the order in which they were given. They end when it is dropped and
/// everything is done.
pub struct Workers(Kind);

enum Kind {
    Pool(rayon::ThreadPool),
    Simulated(Sender<Job>),
}

thread_local! {
    /// The number of this thread in a simulated pool.
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
}

impl Workers {
    /// Starts `count` threads, named `name-0` and so on.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(name: &'static str, count: usize) -> io::Result<Workers> {
        if simulation().is_some() {
            return Workers::simulated(name, count);
        }
        let named = move |number| format!("{name}-{number}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(named).build();
        // The only reason for a failure is a lack of threads.
        Ok(Workers(Kind::Pool(pool.map_err(|error| io::Error::new(io::ErrorKind::WouldBlock, error))?)))
    }

    /// Gives them one more job. A panic in it ends the process, so it catches its own.
    pub fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        match &self.0 {
            Kind::Pool(pool) => pool.spawn_fifo(job),
            // The threads hold the other end.
            Kind::Simulated(jobs) => drop(jobs.send(Box::new(job))),
        }
    }

    fn simulated(name: &str, count: usize) -> io::Result<Workers> {
        let (sender, jobs) = unbounded::<Job>();
        for number in 0..count {
            let jobs = jobs.clone();
            let work = move || {
                NUMBER.set(Some(number));
                jobs.iter().for_each(|job| job());
            };
            thread::spawn(format!("{name}-{number}"), work)?;
        }
        Ok(Workers(Kind::Simulated(sender)))
    }
}

/// The number of the calling thread among its pool's, from 0. None: it belongs to no pool.
pub fn number() -> Option<usize> {
    NUMBER.get().or_else(rayon::current_thread_index)
}
