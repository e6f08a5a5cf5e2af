//! The parameters of a run: the collector's settings, the amount of work, and the plan of faults.

use std::time::Duration;

use super::faults::{self, Fault, Kind};
use super::objects::REGIONS;
use super::tls::Habits;

/// Visibility timeouts. None of them is a delay of a returned message, which tells the two apart.
pub const VISIBILITIES: [u64; 4] = [31, 45, 62, 121];
const CONFIRMATIONS: [&str; 2] = ["acknowledgement", "close"];
const RATES: [u64; 4] = [100_000, 300_000, 3_000_000, 50_000_000];
const KERNELS_BYTES: [usize; 3] = [256 * 1024, 256 * 1024, 4 * 1024 * 1024];
/// Memory limits, in MiB.
const MEMORIES_MIB: [u64; 3] = [64, 96, 256];

/// The parameters of a run.
#[derive(Debug, Clone)]
pub struct Options {
    pub kinds: Vec<Kind>,
    /// The most faults of one run.
    pub faults_max: usize,
    pub traces: bool,
}

/// Settings that differ between runs, besides the faults.
#[derive(Debug, Clone)]
pub struct Setup {
    pub workers: usize,
    pub fetchers: usize,
    pub outputs: Vec<Outlet>,
    /// Events of polled APIs: CloudTrail, two groups of CloudWatch Logs, GuardDuty, CloudWatch metrics. 0: it is not polled.
    pub events: [usize; 5],
    /// Hosts that share the polled APIs through a table. 0: one, without a table.
    pub hosts: usize,
    /// The collector assumes a role.
    pub has_role: bool,
    pub visibility: u64,
    /// A message received this often goes to the dead-letter queue.
    pub receives_max: u32,
    pub wait: u64,
    pub is_fifo: bool,
    /// Messages come many at a time.
    pub has_bursts: bool,
    /// Everything is in the queue at the start, and the collector drains it.
    pub drains: bool,
    pub memory_mib: u64,
    pub shutdown: u64,
    pub objects: usize,
    pub span: Duration,
    pub plan: Vec<Fault>,
    /// The bucket's region.
    pub region: &'static str,
    pub pause_every: u32,
}

/// An output, and its peer.
#[derive(Debug, Clone)]
pub struct Outlet {
    pub senders: usize,
    pub confirmation: &'static str,
    /// Bytes that the peer's program reads in a second, per connection.
    pub rate: u64,
    /// Bytes that the peer's kernel holds for its program, per connection.
    pub kernel_bytes: usize,
    /// None: plain TCP.
    pub tls: Option<Habits>,
}

impl Outlet {
    fn new(random: &mut fastrand::Rng) -> Outlet {
        Outlet {
            senders: random.usize(1..=3),
            confirmation: CONFIRMATIONS[random.usize(..2)],
            rate: RATES[random.usize(..4)],
            kernel_bytes: KERNELS_BYTES[random.usize(..3)],
            tls: None,
        }
    }
}

/// The number of hosts of a seed that share sources. A choice of its own, so that other choices stay as they are.
fn hosts(seed: u64, drains: bool) -> usize {
    let mut random = fastrand::Rng::with_seed(seed ^ 0xf1ee_7000);
    let shares = random.u32(..4) == 0 && !drains;
    if shares { random.usize(1..=3) } else { 0 }
}

/// The number of datapoints of a seed: another choice of its own.
fn datapoints(seed: u64, drains: bool) -> usize {
    let mut random = fastrand::Rng::with_seed(seed ^ 0x3e7_1c00);
    if random.u32(..4) == 0 && !drains { random.usize(1..500) } else { 0 }
}

fn habits(random: &mut fastrand::Rng) -> Option<Habits> {
    let habits = Habits { is_old: random.u32(..4) == 0, tickets: [0, 2][random.usize(..2)] };
    random.bool().then_some(habits)
}

impl Setup {
    /// The setup of a seed.
    pub fn of(seed: u64, options: &Options) -> Setup {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x5e70_0000);
        let span = Duration::from_secs([20, 60, 180, 400][random.usize(..4)]);
        let is_fifo = random.u32(..5) == 0;
        let drains = random.u32(..6) == 0;
        let polls = !drains && random.u32(..3) == 0;
        // The order of these choices decides what a seed means.
        let (workers, fetchers, senders) = (random.usize(1..=3), random.usize(1..=4), random.usize(1..=3));
        let (visibility, receives_max) = (VISIBILITIES[random.usize(..4)], [3, 4, 6][random.usize(..3)]);
        let (wait, has_bursts) = ([1, 5, 20][random.usize(..3)], random.bool());
        let has_role = random.u32(..3) == 0;
        let events = if polls { random.usize(1..1_500) } else { 0 };
        let confirmation = CONFIRMATIONS[random.usize(..2)];
        let memory_mib = MEMORIES_MIB[random.usize(..3)];
        let (shutdown, objects) = ([1, 5, 25][random.usize(..3)], random.usize(1..=40));
        let hosts = hosts(seed, drains);
        let kinds: Vec<Kind> =
            options.kinds.iter().copied().filter(|kind| hosts > 0 || !kind.is_of_table()).collect();
        let plan = faults::plan(&mut random, &kinds, options.faults_max, span);
        let (rate, pause_every) = (RATES[random.usize(..4)], [0, 3, 10, 50][random.usize(..4)]);
        let kernel_bytes = KERNELS_BYTES[random.usize(..3)];
        let mut outputs = vec![Outlet { senders, confirmation, rate, kernel_bytes, tls: None }];
        if random.u32(..3) == 0 {
            outputs.push(Outlet::new(&mut random));
        }
        outputs.iter_mut().for_each(|outlet| outlet.tls = habits(&mut random));
        let mut events = [events, 0, 0, 0, datapoints(seed, drains)];
        let polls_more = !drains && random.u32(..3) == 0 || hosts > 0;
        for count in events[1..4].iter_mut().filter(|_| polls_more) {
            *count = random.usize(1..500);
        }
        let region = REGIONS[usize::from(random.u32(..4) == 0)];
        Setup {
            region,
            workers,
            fetchers,
            outputs,
            hosts,
            events,
            has_role,
            visibility,
            receives_max,
            wait,
            is_fifo,
            has_bursts,
            drains,
            memory_mib,
            shutdown,
            objects,
            span,
            plan,
            pause_every,
        }
    }

    /// The setup after a reload.
    pub fn reloaded(&self, random: &mut fastrand::Rng) -> Setup {
        let (workers, fetchers, senders) = (random.usize(1..=3), random.usize(1..=4), random.usize(1..=3));
        let outputs = self.outputs.iter().map(|outlet| Outlet { senders, ..outlet.clone() }).collect();
        Setup {
            workers,
            fetchers,
            outputs,
            visibility: VISIBILITIES[random.usize(..4)],
            memory_mib: MEMORIES_MIB[random.usize(..3)],
            ..self.clone()
        }
    }

    /// The rate of the slowest peer.
    pub fn rate(&self) -> u64 {
        self.outputs.iter().map(|outlet| outlet.rate).min().unwrap_or(0)
    }

    /// The queue's name.
    pub fn queue(&self) -> &'static str {
        if self.is_fifo { "simulated.fifo" } else { "simulated" }
    }
}
