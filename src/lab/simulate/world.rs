//! The world that outlives a process: the queue, the bucket, the peer, and the faults of all of them. It is also what the
//! invariants are checked against.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::accounts::Events;
use super::faults::Kind;
use super::leases::Sharing;
use super::objects::{Object, REGIONS};
use super::peer::Peer;
use super::scheduler::{Process, Scheduler};
use super::sqs::Queue;
use crate::base::locks::lock;
use crate::base::runtime::thread;
use crate::base::stop::Stop;

/// Everything outside of the collector. Clones share it.
#[derive(Clone)]
pub struct World(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub scheduler: Arc<Scheduler>,
    pub state: Mutex<State>,
}

/// A process's place in the world.
#[derive(Clone)]
pub struct Seat {
    pub world: World,
    pub process: Process,
    /// Its calls are aborted.
    pub is_shut: Stop,
}

pub struct State {
    pub random: fastrand::Rng,
    pub queue: Queue,
    pub objects: Vec<Object>,
    pub by_key: BTreeMap<String, usize>,
    pub bucket_region: &'static str,
    /// By ETag, without quotes.
    pub by_etag: BTreeMap<String, usize>,
    /// The time at which S3 last did not answer for a key as it should.
    pub object_failed: BTreeMap<String, Duration>,
    /// The time at which S3 last answered as it should.
    pub s3_worked: Duration,
    /// The time at which a message of a FIFO group was last returned.
    pub group_returned: BTreeMap<String, Duration>,
    /// A message has been returned to the queue.
    pub has_returned: bool,
    /// One for each output.
    pub peers: Vec<Peer>,
    /// The events of polled APIs. Empty if nothing is polled.
    pub accounts: Vec<Events>,
    /// The faults that last now, and how often each of them has struck: one in this many times.
    pub active: BTreeMap<Kind, u32>,
    /// Number of strikes of each fault.
    pub struck: BTreeMap<Kind, u64>,
    /// The time at which SQS last did not answer a call as it should.
    pub sqs_failed: Option<Duration>,
    /// The machines that have received a message about a key.
    pub machines: BTreeMap<String, BTreeSet<u64>>,
    /// The ledger of the first machine could not be written.
    pub was_disk_full: bool,
    /// The sessions of the role, by access key, with their ends.
    pub sessions: BTreeMap<String, Duration>,
    /// The time at which STS last did not answer as it should.
    pub sts_failed: Option<Duration>,
    /// The table that hosts share, if they do.
    pub sharing: Option<Sharing>,
    /// The time at which a process last went on after it had stood still.
    pub thawed: BTreeMap<u64, Duration>,
    /// The time at which a polled API last did not answer a process as it should.
    pub api_failed: BTreeMap<u64, Duration>,
    /// Processes that are running and not being stopped, and since when.
    pub working: BTreeMap<u64, Duration>,
    pub violation: Option<Violation>,
    scheduler: Arc<Scheduler>,
    pub deleted: u64,
    /// The time of the last deletion.
    pub deleted_at: Option<Duration>,
    pub calls: u64,
}

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub why: String,
    pub at: Duration,
}

impl World {
    pub fn new(scheduler: &Arc<Scheduler>, state: State) -> World {
        World(Arc::new(Shared { scheduler: Arc::clone(scheduler), state: Mutex::new(state) }))
    }

    /// The state of the world. It must not be held while its holder waits.
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// Time since the beginning.
    pub fn now(&self) -> Duration {
        self.0.scheduler.elapsed()
    }

    /// Lets a time between these two pass.
    pub fn rest(&self, least: Duration, most: Duration) {
        let nanos = self.state().random.u64(least.as_nanos() as u64..most.as_nanos() as u64);
        thread::sleep(Duration::from_nanos(nanos));
    }

    /// Adds a line to the story.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        self.0.scheduler.tell(line);
    }

    /// Lets the peer's programs read on, which checks what they read.
    pub fn check(&self) {
        let (now, mut state) = (self.now(), self.state());
        state.advance_peers(now);
        state.advance_table(now);
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seat({})", self.process.number())
    }
}

impl State {
    pub fn new(seed: u64, scheduler: &Arc<Scheduler>) -> State {
        State {
            random: fastrand::Rng::with_seed(seed),
            queue: Queue::default(),
            objects: Vec::new(),
            by_key: BTreeMap::new(),
            bucket_region: REGIONS[0],
            by_etag: BTreeMap::new(),
            object_failed: BTreeMap::new(),
            s3_worked: Duration::ZERO,
            group_returned: BTreeMap::new(),
            has_returned: false,
            peers: Vec::new(),
            accounts: Vec::new(),
            active: BTreeMap::new(),
            struck: BTreeMap::new(),
            sqs_failed: None,
            machines: BTreeMap::new(),
            was_disk_full: false,
            sessions: BTreeMap::new(),
            sts_failed: None,
            sharing: None,
            thawed: BTreeMap::new(),
            api_failed: BTreeMap::new(),
            working: BTreeMap::new(),
            violation: None,
            scheduler: Arc::clone(scheduler),
            deleted: 0,
            deleted_at: None,
            calls: 0,
        }
    }

    /// True if a fault of this kind lasts and strikes now.
    pub fn strikes(&mut self, kind: Kind) -> bool {
        let Some(of) = self.active.get(&kind).copied() else { return false };
        let strikes = self.random.u32(..of.max(1)) == 0;
        if strikes {
            *self.struck.entry(kind).or_default() += 1;
        }
        strikes
    }

    pub fn tell(&self, line: impl FnOnce() -> String) {
        self.scheduler.tell(line);
    }

    /// Notes that an invariant does not hold; the first one counts.
    pub fn violated(&mut self, invariant: &'static str, why: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { invariant, why, at: self.scheduler.elapsed() });
        }
    }

    /// True if the process has been working since then: it was neither started, nor told to stop or to reload.
    pub fn has_worked(&self, process: u64, since: Duration) -> bool {
        self.working.get(&process).is_some_and(|began| *began <= since)
    }

    /// Bytes that the process must hold, since it may have to send them again. Outputs share them. 0: unknown, because
    /// it is not working, or because acknowledgements are believed: also those of a peer that seems to end no connection.
    pub fn unconfirmed_of(&self, process: u64) -> u64 {
        // After the last two, a record may be sent beside its batch, to show whether anything gets through.
        let may_seem = [
            Kind::PeerStalls,
            Kind::PeerStallsSome,
            Kind::PeerVanishes,
            Kind::RecordPoisoned,
            Kind::PeerCrashes,
        ];
        if !self.working.contains_key(&process) || may_seem.iter().any(|kind| self.struck.contains_key(kind))
        {
            return 0;
        }
        // Over TLS there are more bytes than frames.
        let peers = self.peers.iter().filter(|peer| !peer.believes_kernel && peer.tls.is_none());
        peers.map(|peer| peer.unconfirmed_of(process)).max().unwrap_or(0)
    }

    /// Stores an object, in place of the one that has its key.
    pub fn put(&mut self, object: Object) {
        let number = self.objects.len();
        self.by_key.insert(object.key.clone(), number);
        self.by_etag.insert(object.etag.trim_matches('"').to_owned(), number);
        for peer in &mut self.peers {
            peer.read.push(vec![0; object.records]);
            peer.again.push(vec![0; object.records]);
        }
        self.objects.push(object);
    }

    /// The objects whose records are events of polled APIs.
    pub fn polled(&self) -> Vec<usize> {
        self.accounts.iter().map(|events| events.object).collect()
    }

    /// True if the programs of all peers have read this record.
    pub fn has(&self, object: usize, at: usize) -> bool {
        self.peers.iter().all(|peer| peer.has(object, at))
    }

    /// The first of this many records of an object that the program of a peer has not read.
    pub fn first_unread(&self, object: usize, count: usize) -> Option<usize> {
        (0..count).find(|at| !self.has(object, *at))
    }

    /// A record of these objects that the program of a peer has not read, nor all of one that has replaced it.
    pub fn unread(&self, objects: &[usize]) -> Option<(usize, usize)> {
        self.peers.iter().find_map(|peer| self.unread_by(peer, objects))
    }

    pub fn unread_by(&self, peer: &Peer, objects: &[usize]) -> Option<(usize, usize)> {
        objects.iter().find_map(|object| {
            let known = self.objects.get(*object)?;
            let missing = (0..known.records).find(|at| !peer.has(*object, *at))?;
            known.next.map_or(Some((*object, missing)), |(next, _)| self.unread_by(peer, &[next]))
        })
    }
}
