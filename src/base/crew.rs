//! A crew of threads that are watched together: which of them have ended, and how.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::runtime::thread::{self, Thread};

/// Named threads. A join would block for as long as a call hangs, so they are not joined: to stop a crew, poll whether
/// it [has ended](Crew::has_ended) until a deadline, and leave the rest to the end of the process.
#[derive(Debug, Default)]
pub struct Crew(Vec<Member>);

#[derive(Debug)]
struct Member {
    name: String,
    thread: Thread,
    /// Set before the thread ends.
    panicked: Arc<AtomicBool>,
}

impl Crew {
    pub fn new() -> Crew {
        Crew::default()
    }

    /// Starts one more thread.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn spawn(&mut self, name: impl Into<String>, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let (name, panicked) = (name.into(), Arc::new(AtomicBool::new(false)));
        let flag = Arc::clone(&panicked);
        // The hook has logged the panic itself.
        let watched = move || flag.store(catch_unwind(AssertUnwindSafe(body)).is_err(), Ordering::Release);
        let thread = thread::spawn(name.clone(), watched)?;
        self.0.push(Member { name, thread, panicked });
        Ok(())
    }

    /// True if every thread has ended, in any way.
    pub fn has_ended(&self) -> bool {
        self.0.iter().all(|member| member.thread.is_finished())
    }

    /// The name of a thread that has ended.
    pub fn ended(&self) -> Option<&str> {
        self.first(|member| member.thread.is_finished())
    }

    /// The name of a thread that has panicked.
    pub fn panicked(&self) -> Option<&str> {
        self.first(|member| member.panicked.load(Ordering::Acquire))
    }

    /// The names of the threads that have not ended.
    pub fn running(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|member| !member.thread.is_finished()).map(|member| member.name.as_str())
    }

    fn first(&self, holds: impl Fn(&Member) -> bool) -> Option<&str> {
        self.0.iter().find(|member| holds(member)).map(|member| member.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::stop::Stop;

    fn crew(bodies: Vec<Box<dyn FnOnce() + Send>>) -> Crew {
        let mut crew = Crew::new();
        for (number, body) in bodies.into_iter().enumerate() {
            crew.spawn(format!("thread-{number}"), body).unwrap();
        }
        crew
    }

    fn await_end(crew: &Crew) {
        while !crew.has_ended() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_thread_that_panicked_is_told_from_one_that_is_done() {
        let done = crew(vec![Box::new(|| ()), Box::new(|| ())]);
        await_end(&done);
        assert_eq!((done.ended(), done.panicked()), (Some("thread-0"), None));
        let torn = crew(vec![Box::new(|| ()), Box::new(|| panic!("on purpose"))]);
        await_end(&torn);
        assert_eq!(torn.panicked(), Some("thread-1"));
    }

    #[test]
    fn a_thread_that_goes_on_is_named() {
        let stop = Stop::new();
        let waits = stop.clone();
        let crew = crew(vec![Box::new(|| ()), Box::new(move || waits.wait_until_stopped())]);
        while crew.ended().is_none() {
            std::thread::yield_now();
        }
        assert!(!crew.has_ended());
        assert_eq!(crew.running().collect::<Vec<_>>(), ["thread-1"]);
        stop.stop();
        await_end(&crew);
        assert_eq!(crew.running().count(), 0);
    }

    #[test]
    fn an_empty_crew_has_ended_and_nobody_in_it_has() {
        let crew = Crew::new();
        assert!(crew.has_ended() && crew.ended().is_none() && crew.panicked().is_none());
    }
}
