//! Delayed retries, and the thread that waits with them, so that no fetcher does.

use std::cmp::Ordering as Order;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::job::Job;
use crate::base::limits::DELAY_CHECK_INTERVAL;
use crate::base::locks::lock;
use crate::base::runtime::channel::{Receiver, Sender, unbounded};
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::base::stop::Stop;
use crate::stages::fetch::part::PartJob;
use crate::telemetry;

/// The delayed jobs and parts. Cheap to clone; clones share them. Not bounded by itself: a lane bounds the objects that
/// it has started ([`crate::handoff::schedule`]), and parts hold their memory permit.
#[derive(Clone)]
pub struct Delays {
    waiting: Arc<Mutex<Waiting>>,
    /// Jobs that were added here and have not been taken by a fetcher.
    jobs: Arc<AtomicUsize>,
    due: Sender<Delayed>,
    pub due_jobs: Receiver<Delayed>,
    due_parts: Sender<PartJob>,
}

/// A job waiting for a retry. While it is here, its input's gauges and the end of the fetchers take it into account;
/// dropping it returns its message.
pub struct Delayed {
    job: Option<Box<Job>>,
    jobs: Arc<AtomicUsize>,
    telemetry: Arc<telemetry::Input>,
}

impl Delayed {
    /// Ends its wait.
    pub fn take(mut self) -> Option<Box<Job>> {
        self.job.take()
    }
}

impl Drop for Delayed {
    fn drop(&mut self) {
        self.jobs.fetch_sub(1, Ordering::AcqRel);
        self.telemetry.fetch.delayed.add(-1);
    }
}

#[derive(Default)]
struct Waiting {
    late: BinaryHeap<Late>,
    /// True if nothing is delayed any more.
    is_stopped: bool,
}

struct Late {
    due: Instant,
    what: What,
}

enum What {
    Job(Delayed),
    Part(PartJob),
}

impl Delays {
    /// `due_parts` returns parts to those that wait for a fetcher.
    pub fn new(due_parts: Sender<PartJob>) -> Delays {
        let (due, due_jobs) = unbounded();
        Delays { waiting: Arc::default(), jobs: Arc::default(), due, due_jobs, due_parts }
    }

    /// Delays a job. After a stop it is dropped, which returns its message.
    pub fn put(&self, job: Box<Job>, telemetry: &Arc<telemetry::Input>, wait: Duration) {
        self.jobs.fetch_add(1, Ordering::AcqRel);
        telemetry.fetch.delayed.add(1);
        let (jobs, telemetry) = (Arc::clone(&self.jobs), Arc::clone(telemetry));
        let delayed = Delayed { job: Some(job), jobs, telemetry };
        drop(self.push(What::Job(delayed), wait));
    }

    /// Delays a part. After a stop nothing is delayed any more, and the part is handed back.
    pub fn put_part(&self, part: PartJob, wait: Duration) -> Option<PartJob> {
        match self.push(What::Part(part), wait)? {
            What::Part(part) => Some(part),
            What::Job(_) => None,
        }
    }

    /// True if no job waits.
    pub fn is_empty(&self) -> bool {
        self.jobs.load(Ordering::Acquire) == 0
    }

    /// Passes on due items, until stopped; then jobs are dropped, and parts get a last attempt.
    pub fn run(&self, stop: &Stop) {
        while !stop.wait(DELAY_CHECK_INTERVAL) {
            let now = clock::now();
            while let Some(what) = self.pop_due(now) {
                self.hand_on(what);
            }
        }
        let left = {
            let mut waiting = self.lock();
            waiting.is_stopped = true;
            std::mem::take(&mut waiting.late)
        };
        for late in left {
            match late.what {
                What::Job(job) => drop(job),
                part @ What::Part(_) => self.hand_on(part),
            }
        }
    }

    /// A returned item is not delayed. It must not be dropped under the lock: a job's end may take others.
    fn push(&self, what: What, wait: Duration) -> Option<What> {
        let mut waiting = self.lock();
        if waiting.is_stopped {
            return Some(what);
        }
        waiting.late.push(Late { due: clock::now() + wait, what });
        None
    }

    fn pop_due(&self, now: Instant) -> Option<What> {
        let mut waiting = self.lock();
        let is_due = waiting.late.peek().is_some_and(|late| late.due <= now);
        if is_due { waiting.late.pop().map(|late| late.what) } else { None }
    }

    fn hand_on(&self, what: What) {
        // We hold the other ends of both channels.
        match what {
            What::Job(job) => drop(self.due.send(job)),
            What::Part(part) => drop(self.due_parts.send(part)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }
}

/// The earliest comes first out of the heap.
impl Ord for Late {
    fn cmp(&self, other: &Late) -> Order {
        other.due.cmp(&self.due)
    }
}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Late) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Late {
    fn eq(&self, other: &Late) -> bool {
        self.due == other.due
    }
}

impl Eq for Late {}
