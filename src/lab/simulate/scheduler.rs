//! The scheduler: one thread runs, all others wait for their turn, and time passes when nobody can run.
//!
//! Each simulated thread is a thread of the operating system with a gate. Whoever waits picks the next one, by the seed,
//! opens its gate and closes its own. Since only one thread is ever between two gates, everything that follows from the
//! order of events is a function of the seed. If all wait, the clock jumps to the next time limit.
//!
//! A process that dies takes no further step: its threads are severed from the simulation, and unwound outside of it to
//! free their memory.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use crate::base::locks::{intact, lock};
use crate::base::runtime::{self, Simulation};

/// Real time after which a thread that neither waits nor ends is reported as hanging.
const HANG: Duration = Duration::from_secs(60);

/// Real time between two looks at a running simulation.
const GLANCE: Duration = Duration::from_millis(500);

/// The longest time that a step takes by itself, in nanoseconds.
const STEP_NANOS_MAX: u64 = 20_000;

/// True time at the start of a simulation, in seconds since 1970: twelve minutes before midnight on 28 February of a
/// leap year.
pub const BEGINNING: u64 = 1_709_163_480;

/// Runs the threads of one simulation.
pub struct Scheduler {
    state: Mutex<State>,
    start: Instant,
    /// Threads of dead processes that have not been unwound yet.
    remains: AtomicUsize,
    processes: Mutex<Vec<Process>>,
    /// The story, if it is traced.
    story: Mutex<Option<Vec<String>>>,
}

struct State {
    now: Duration,
    random: fastrand::Rng,
    threads: BTreeMap<u64, Slot>,
    /// Processes that stand still.
    frozen: BTreeSet<u64>,
    next_thread: u64,
    next_key: u64,
    steps: u64,
    /// A digest of all choices.
    digest: u64,
    /// One in this many pauses lets another thread run; none does if it is 0.
    pause_every: u32,
    /// No thread can ever run again.
    stuck: Option<String>,
    /// Steps and digest when the first thread ended.
    end: Option<(u64, u64, Duration)>,
}

struct Slot {
    name: String,
    process: u64,
    gate: Arc<Gate>,
    standing: Standing,
}

#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Ready,
    Waits { keys: Vec<u64>, until: Option<Duration> },
}

/// The gate at which a thread waits for its turn.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

/// A process: threads that die together. Clones share it.
#[derive(Clone)]
pub struct Process(Arc<Life>);

struct Life {
    number: u64,
    is_dead: AtomicBool,
    hardware: Arc<Hardware>,
}

/// The clock and the disk that the processes of a machine share.
#[derive(Default)]
pub struct Hardware {
    /// The machine's clock minus true time, in nanoseconds.
    pub skew_nanos: Mutex<i128>,
    /// The time that a write to the disk takes.
    pub disk_time: Mutex<Duration>,
}

/// A thread's way to the scheduler.
struct Place {
    scheduler: Arc<Scheduler>,
    process: Process,
    thread: u64,
}

/// The payload with which a severed thread is unwound.
struct Severed;

thread_local! {
    /// The scheduler and the process of the calling thread.
    static OWN: RefCell<Option<(Arc<Scheduler>, Process)>> = const { RefCell::new(None) };
    static IS_SEVERED: Cell<bool> = const { Cell::new(false) };
}

/// True if the calling thread belongs to a process that has died: it must not touch the world.
pub fn is_severed() -> bool {
    IS_SEVERED.get()
}

/// A logger that adds lines of simulated threads to their story.
#[derive(Debug)]
pub struct Teller;

impl log::Log for Teller {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let own = OWN.try_with(|own| own.borrow().clone()).ok().flatten();
        if let Some((scheduler, process)) = own.filter(|(_, process)| !process.is_dead()) {
            scheduler.tell(|| format!("{} {} {}", process.number(), record.level(), record.args()));
        }
    }

    fn flush(&self) {}
}

impl Process {
    pub fn is_dead(&self) -> bool {
        self.0.is_dead.load(Ordering::Acquire)
    }

    pub fn number(&self) -> u64 {
        self.0.number
    }
}

impl Scheduler {
    /// A scheduler whose choices follow from `seed`. One in `pause_every` moments at which a thread may be interrupted
    /// is used; 0: none.
    pub fn new(seed: u64, pause_every: u32, traces: bool) -> Arc<Scheduler> {
        let state = State {
            now: Duration::ZERO,
            random: fastrand::Rng::with_seed(seed),
            threads: BTreeMap::new(),
            frozen: BTreeSet::new(),
            next_thread: 0,
            next_key: 0,
            steps: 0,
            digest: 0xcbf2_9ce4_8422_2325,
            pause_every,
            stuck: None,
            end: None,
        };
        Arc::new(Scheduler {
            state: Mutex::new(state),
            start: Instant::now(),
            remains: AtomicUsize::new(0),
            processes: Mutex::default(),
            story: Mutex::new(traces.then(Vec::new)),
        })
    }

    /// A new process on a machine.
    pub fn process(&self, number: u64, hardware: &Arc<Hardware>) -> Process {
        let (is_dead, hardware) = (AtomicBool::new(false), Arc::clone(hardware));
        let process = Process(Arc::new(Life { number, is_dead, hardware }));
        lock(&self.processes).push(process.clone());
        process
    }

    /// Runs `body` as the first thread of `process`, and the simulation until that thread ends. Returns its panic, if it
    /// panicked.
    pub fn run(
        self: &Arc<Self>,
        process: &Process,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), String> {
        let (told, heard) = crossbeam_channel::bounded(1);
        let (scheduler, first) = (Arc::clone(self), process.number());
        let ended = move || {
            let outcome = catch_unwind(AssertUnwindSafe(body));
            scheduler.kill_all_but(Some(first));
            let _ = told.send(outcome.map_err(|panic| text_of(&*panic)));
        };
        if let Err(error) = self.spawn(process, "world".to_owned(), Box::new(ended)) {
            return Err(error.to_string());
        }
        let first = self.lock().threads.first_key_value().map(|(_, slot)| Arc::clone(&slot.gate));
        first.iter().for_each(|gate| gate.open());
        let (mut steps, mut moved) = (0, Instant::now());
        loop {
            match heard.recv_timeout(GLANCE) {
                Ok(outcome) => return outcome,
                Err(_) => {
                    let state = self.lock();
                    if steps != state.steps {
                        (steps, moved) = (state.steps, Instant::now());
                    }
                    let hangs = || format!("a thread neither waits nor ends: {}", state.running());
                    let why = state.stuck.clone().or_else(|| (moved.elapsed() > HANG).then(hangs));
                    drop(state);
                    if let Some(why) = why {
                        self.kill_all_but(None);
                        return Err(why);
                    }
                }
            }
        }
    }

    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.lock().now
    }

    /// Steps taken so far, a digest of all of them, and the time since the beginning; once the run has ended, those of its
    /// end.
    pub fn trace(&self) -> (u64, u64, Duration) {
        let state = self.lock();
        state.end.unwrap_or((state.steps, state.digest, state.now))
    }

    /// Adds a line to the story.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        let mut story = lock(&self.story);
        if let Some(story) = story.as_mut() {
            story.push(format!("{:>10.3} s  {}", self.elapsed().as_secs_f64(), line()));
        }
    }

    /// The story so far.
    pub fn story(&self) -> Vec<String> {
        lock(&self.story).clone().unwrap_or_default()
    }

    /// Ends a process between two steps of its threads: none of them does anything any more. `meanwhile` runs while all
    /// of them stand still.
    pub fn kill(&self, process: &Process, meanwhile: impl FnOnce()) {
        process.0.is_dead.store(true, Ordering::Release);
        meanwhile();
        let mut state = self.lock();
        let number = process.number();
        let dead: Vec<u64> =
            state.threads.iter().filter(|(_, slot)| slot.process == number).map(|(id, _)| *id).collect();
        for thread in dead {
            if let Some(slot) = state.threads.remove(&thread) {
                self.remains.fetch_add(1, Ordering::AcqRel);
                slot.gate.open();
            }
        }
    }

    /// Lets a process stand still, while time passes for all others, or go on. Returns true if it stood still before.
    pub fn freeze(&self, process: &Process, is_frozen: bool) -> bool {
        let (number, mut state) = (process.number(), self.lock());
        match is_frozen {
            true => !state.frozen.insert(number),
            false => state.frozen.remove(&number),
        }
    }

    fn kill_all_but(&self, first: Option<u64>) {
        let mut state = self.lock();
        state.end = Some((state.steps, state.digest, state.now));
        drop(state);
        let processes = std::mem::take(&mut *lock(&self.processes));
        for process in
            processes.iter().filter(|process| Some(process.number()) != first && !process.is_dead())
        {
            self.kill(process, || ());
        }
    }

    /// Waits until the memory of dead processes is free again. Returns false if a thread of theirs does not end.
    pub fn bury(&self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.remains.load(Ordering::Acquire) > 0 {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Starts a thread of `process`; it runs when it is its turn.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn spawn(
        self: &Arc<Self>,
        process: &Process,
        name: String,
        body: Box<dyn FnOnce() + Send>,
    ) -> io::Result<()> {
        let mut state = self.lock();
        state.next_thread += 1;
        let (thread, gate, seed) = (state.next_thread, Arc::new(Gate::default()), state.random.u64(..));
        let slot = Slot {
            name: name.clone(),
            process: process.number(),
            gate: Arc::clone(&gate),
            standing: Standing::Ready,
        };
        state.threads.insert(thread, slot);
        drop(state);
        let place = Place { scheduler: Arc::clone(self), process: process.clone(), thread };
        let run = move || {
            fastrand::seed(seed);
            let (scheduler, process) = (Arc::clone(&place.scheduler), place.process.clone());
            OWN.set(Some((Arc::clone(&scheduler), process.clone())));
            runtime::enter(Arc::new(place));
            gate.pass();
            let run = || {
                sever_if(&process);
                body();
            };
            let outcome = catch_unwind(AssertUnwindSafe(run));
            scheduler.leave(thread, &process, outcome.err().filter(|panic| !panic.is::<Severed>()));
        };
        std::thread::Builder::new().name(name).stack_size(1 << 20).spawn(run).map(drop)
    }

    fn leave(&self, thread: u64, process: &Process, panic: Option<Box<dyn Any + Send>>) {
        if process.is_dead() {
            self.remains.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        let mut state = self.lock();
        state.threads.remove(&thread);
        if let Some(panic) = panic {
            state.stuck = Some(format!("a thread panicked: {}", text_of(&*panic)));
        }
        let next = state.next();
        drop(state);
        next.iter().for_each(|gate| gate.open());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Picks the next thread. None if no thread can ever run.
    fn next(&mut self) -> Option<Arc<Gate>> {
        self.steps += 1;
        self.now += Duration::from_nanos(self.random.u64(1..STEP_NANOS_MAX));
        loop {
            let now = self.now;
            let is_due = |slot: &Slot| matches!(slot.standing, Standing::Waits { until: Some(until), .. } if until <= now);
            let ready: Vec<u64> = self
                .threads
                .iter()
                .filter(|(_, slot)| !self.frozen.contains(&slot.process))
                .filter(|(_, slot)| slot.standing == Standing::Ready || is_due(slot))
                .map(|(thread, _)| *thread)
                .collect();
            if !ready.is_empty() {
                let thread = ready[self.random.usize(..ready.len())];
                self.mix(thread);
                self.mix(now.as_nanos() as u64);
                let slot = self.threads.get_mut(&thread)?;
                slot.standing = Standing::Ready;
                return Some(Arc::clone(&slot.gate));
            }
            let moving = self.threads.values().filter(|slot| !self.frozen.contains(&slot.process));
            let untils = moving.filter_map(|slot| match &slot.standing {
                Standing::Waits { until, .. } => *until,
                Standing::Ready => None,
            });
            match untils.min() {
                Some(until) => self.now = until,
                None => {
                    self.stuck = Some(format!("no thread can ever run again: {}", self.running()));
                    return None;
                }
            }
        }
    }

    fn mix(&mut self, value: u64) {
        self.digest = (self.digest ^ value).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5);
    }

    fn running(&self) -> String {
        let names: Vec<&str> = self.threads.values().map(|slot| slot.name.as_str()).collect();
        names.join(", ")
    }
}

impl Gate {
    fn open(&self) {
        *lock(&self.is_open) = true;
        self.opened.notify_one();
    }

    fn pass(&self) {
        let mut is_open = lock(&self.is_open);
        while !*is_open {
            is_open = intact(self.opened.wait(is_open));
        }
        *is_open = false;
    }
}

impl Place {
    /// Gives the turn to the next thread and waits for the next own one.
    fn yield_as(&self, standing: Standing) -> bool {
        if self.process.is_dead() {
            return sever_if(&self.process);
        }
        let mut state = self.scheduler.lock();
        let Some(slot) = state.threads.get_mut(&self.thread) else { return sever_if(&self.process) };
        slot.standing = standing;
        let own = Arc::clone(&slot.gate);
        let next = state.next();
        drop(state);
        match next {
            Some(next) if Arc::ptr_eq(&next, &own) => return true,
            Some(next) => next.open(),
            None => (),
        }
        own.pass();
        sever_if(&self.process)
    }
}

/// Unwinds a thread whose process has died, unless it is being unwound already: then it returns false.
fn sever_if(process: &Process) -> bool {
    if !process.is_dead() {
        return true;
    }
    IS_SEVERED.set(true);
    if !std::thread::panicking() {
        resume_unwind(Box::new(Severed));
    }
    false
}

impl Simulation for Place {
    fn now(&self) -> Instant {
        let mut state = self.scheduler.lock();
        if !self.process.is_dead() {
            // Whoever looks at the clock all the time sees it move.
            state.now += Duration::from_nanos(100);
        }
        self.scheduler.start + state.now
    }

    fn wall(&self) -> SystemTime {
        let now = Duration::from_secs(BEGINNING) + self.scheduler.lock().now;
        let skew = *lock(&self.process.0.hardware.skew_nanos);
        let nanos = u64::try_from(now.as_nanos() as i128 + skew).unwrap_or(0);
        SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
    }

    fn disk_time(&self) -> Duration {
        *lock(&self.process.0.hardware.disk_time)
    }

    fn key(&self) -> u64 {
        let mut state = self.scheduler.lock();
        state.next_key += u64::from(!self.process.is_dead());
        state.next_key
    }

    fn wait(&self, keys: &[u64], until: Option<Instant>) -> bool {
        let until = until.map(|until| until.saturating_duration_since(self.scheduler.start));
        self.yield_as(Standing::Waits { keys: keys.to_vec(), until })
    }

    fn notify(&self, key: u64) {
        if self.process.is_dead() {
            return;
        }
        for slot in self.scheduler.lock().threads.values_mut() {
            if matches!(&slot.standing, Standing::Waits { keys, .. } if keys.contains(&key)) {
                slot.standing = Standing::Ready;
            }
        }
    }

    fn pause(&self) {
        if self.process.is_dead() {
            return;
        }
        let mut state = self.scheduler.lock();
        let every = state.pause_every;
        if every > 0 && state.random.u32(..every) == 0 {
            drop(state);
            self.yield_as(Standing::Ready);
        }
    }

    fn spawn(&self, name: String, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        if self.process.is_dead() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.scheduler.spawn(&self.process, name, body)
    }
}

/// A panic's message.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}
