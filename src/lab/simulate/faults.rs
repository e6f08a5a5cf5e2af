//! The faults: their names, and the plan of a run.

use std::time::Duration;

use Shape::{Lasts, Moment, Strikes};

/// A kind of fault. Those that last begin and end; the others happen at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Kill,
    Stop,
    Reload,
    Freeze,
    Clock,
    DiskFull,
    DiskSlow,
    SecondCollector,
    SqsUnavailable,
    SqsThrottles,
    SqsDenies,
    SqsHangs,
    SqsLosesAnswers,
    SqsTwice,
    SqsForgets,
    S3Unavailable,
    S3SlowsDown,
    S3Denies,
    S3Cuts,
    S3Hangs,
    S3Redirects,
    ObjectVanishes,
    ObjectLate,
    ObjectReplaced,
    ObjectDamaged,
    RecordPoisoned,
    StsUnavailable,
    StsDenies,
    StsHangs,
    TableUnavailable,
    TableThrottles,
    TableSlow,
    TableLosesAnswers,
    TableCut,
    HostDrained,
    HandOver,
    ApiUnavailable,
    ApiThrottles,
    ApiHangs,
    ApiForgetsTokens,
    ApiPartial,
    ApiOdd,
    PeerCloses,
    PeerResets,
    PeerVanishes,
    PeerRefuses,
    PeerStalls,
    PeerStallsSome,
    PeerSlow,
    PeerLate,
    PeerCut,
    PeerRefusesLate,
    PeerCrashes,
}

/// The effect of each fault, one per row.
struct Row {
    kind: Kind,
    name: &'static str,
    what: &'static str,
    shape: Shape,
}

/// How long a fault lasts, and how it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// It happens at a moment.
    Moment,
    /// It lasts, and counts once.
    Lasts,
    /// While it lasts, calls, messages, objects or records are struck, and each of them counts.
    Strikes,
}

const fn row(kind: Kind, name: &'static str, shape: Shape, what: &'static str) -> Row {
    Row { kind, name, what, shape }
}

const ROWS: &[Row] = &[
    row(
        Kind::Kill,
        "kill",
        Moment,
        "the process dies between two steps, with all that it has not written to disk",
    ),
    row(Kind::Stop, "stop", Moment, "SIGTERM, then a new process"),
    row(Kind::Reload, "reload", Moment, "another configuration is loaded while work is in flight"),
    row(Kind::Freeze, "freeze", Lasts, "the process stands still (SIGSTOP), and then goes on"),
    row(Kind::Clock, "clock", Moment, "the machine's clock is set forwards or backwards, by up to two days"),
    row(Kind::DiskFull, "disk-full", Lasts, "the ledger cannot be written"),
    row(Kind::DiskSlow, "disk-slow", Lasts, "each write of the ledger takes one to ten seconds"),
    row(
        Kind::SecondCollector,
        "second",
        Lasts,
        "another collector on the same queue, with a ledger of its own",
    ),
    row(Kind::SqsUnavailable, "sqs-503", Strikes, "SQS answers 503"),
    row(Kind::SqsThrottles, "sqs-throttle", Strikes, "SQS throttles calls"),
    row(Kind::SqsDenies, "sqs-403", Strikes, "SQS answers AccessDenied"),
    row(Kind::SqsHangs, "sqs-hang", Strikes, "SQS's answers do not come"),
    row(Kind::SqsLosesAnswers, "sqs-lost", Strikes, "SQS does what it is asked, but the answer is lost"),
    row(Kind::SqsTwice, "sqs-twice", Strikes, "SQS delivers messages that are in flight"),
    row(Kind::SqsForgets, "sqs-forget", Strikes, "SQS confirms deletions that it does not keep"),
    row(Kind::S3Unavailable, "s3-500", Strikes, "S3 answers 500"),
    row(Kind::S3SlowsDown, "s3-503", Strikes, "S3 answers 503 SlowDown"),
    row(Kind::S3Denies, "s3-403", Strikes, "S3 answers AccessDenied"),
    row(Kind::S3Cuts, "s3-cut", Strikes, "S3's bodies end early"),
    row(Kind::S3Hangs, "s3-hang", Strikes, "S3's answers or bodies do not come"),
    row(
        Kind::S3Redirects,
        "s3-redirect",
        Strikes,
        "S3 answers 307 and names a region in which the bucket is not",
    ),
    row(Kind::ObjectVanishes, "object-vanish", Moment, "objects are deleted before they are delivered"),
    row(Kind::ObjectLate, "object-late", Strikes, "objects do not exist yet when they are announced"),
    row(Kind::ObjectReplaced, "object-replace", Moment, "objects get other content under the same key"),
    row(Kind::ObjectDamaged, "object-damage", Strikes, "objects are stored cut off, for good"),
    row(
        Kind::RecordPoisoned,
        "record-poison",
        Strikes,
        "the peer's program closes when it reads a certain record",
    ),
    row(Kind::StsUnavailable, "sts-503", Strikes, "STS answers 503"),
    row(Kind::StsDenies, "sts-403", Strikes, "STS answers AccessDenied"),
    row(Kind::StsHangs, "sts-hang", Strikes, "STS's answers do not come"),
    row(Kind::TableUnavailable, "table-503", Strikes, "the shared table answers 503"),
    row(
        Kind::TableThrottles,
        "table-throttle",
        Strikes,
        "the shared table throttles calls, or a transaction conflicts",
    ),
    row(
        Kind::TableSlow,
        "table-slow",
        Strikes,
        "calls take up to 8 s to the shared table: they are carried out, also if nobody waits any more",
    ),
    row(
        Kind::TableLosesAnswers,
        "table-lost",
        Strikes,
        "the shared table does what it is asked, but the answer is lost, or is 500",
    ),
    row(
        Kind::TableCut,
        "table-cut",
        Lasts,
        "a host gets no answer from the shared table; some of its calls arrive",
    ),
    row(
        Kind::HostDrained,
        "host-drain",
        Lasts,
        "somebody drains one of the hosts that share the table, and lets it go on",
    ),
    row(
        Kind::HandOver,
        "hand-over",
        Lasts,
        "somebody says which host is to have the sources, and then that any may have them",
    ),
    row(Kind::ApiUnavailable, "api-503", Strikes, "CloudTrail, CloudWatch Logs and GuardDuty answer 503"),
    row(Kind::ApiThrottles, "api-throttle", Strikes, "they throttle calls"),
    row(Kind::ApiHangs, "api-hang", Strikes, "their answers do not come"),
    row(Kind::ApiForgetsTokens, "api-token", Strikes, "they no longer accept the token of a page"),
    row(
        Kind::ApiPartial,
        "api-partial",
        Strikes,
        "CloudWatch returns the values of metrics in part, and says so",
    ),
    row(
        Kind::ApiOdd,
        "api-odd",
        Strikes,
        "pages of CloudTrail and GuardDuty have an event that cannot be decoded",
    ),
    row(Kind::PeerCloses, "peer-close", Moment, "the peer's program closes connections"),
    row(
        Kind::PeerResets,
        "peer-reset",
        Moment,
        "the peer's program dies; what its kernel has acknowledged is lost",
    ),
    row(
        Kind::PeerVanishes,
        "peer-vanish",
        Moment,
        "the peer's machine loses its connections, and no reset comes",
    ),
    row(Kind::PeerRefuses, "peer-refuse", Lasts, "nobody listens at the peer's address"),
    row(
        Kind::PeerStalls,
        "peer-stall",
        Lasts,
        "the peer's program hangs; its kernel acknowledges until it is full",
    ),
    row(
        Kind::PeerStallsSome,
        "peer-stall-some",
        Strikes,
        "the peer's program no longer reads some connections",
    ),
    row(Kind::PeerSlow, "peer-slow", Lasts, "the peer's program reads slowly"),
    row(
        Kind::PeerLate,
        "peer-late",
        Lasts,
        "the peer's program reads up to 300 ms after something has come, all that is there by then",
    ),
    row(
        Kind::PeerCut,
        "peer-cut",
        Moment,
        "the peer's program dies, and a balancer before it ends TLS connections without a close_notify",
    ),
    row(
        Kind::PeerRefusesLate,
        "peer-refuse-late",
        Strikes,
        "the peer refuses our certificate, up to 20 s after it came",
    ),
    row(
        Kind::PeerCrashes,
        "peer-crash",
        Lasts,
        "the peer's program shakes hands and hangs, and dies every few seconds; its kernel acknowledges meanwhile",
    ),
];

/// The time between two deaths of a program that crashes: longer than the settling time.
const CRASHES_EVERY: Duration = Duration::from_millis(2_500);

/// A fault of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    pub from: Duration,
    pub until: Duration,
    /// It strikes one in this many times.
    pub of: u32,
    /// The index of the peer, or the host, that it is about, modulo their number.
    pub of_which: usize,
}

impl Kind {
    fn row(self) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.kind == self)
    }

    /// Its name in `--faults`.
    pub fn name(self) -> &'static str {
        self.row().map_or("", |row| row.name)
    }

    /// True if it concerns the table that hosts share.
    pub fn is_of_table(self) -> bool {
        use Kind::{
            HandOver, HostDrained, TableCut, TableLosesAnswers, TableSlow, TableThrottles, TableUnavailable,
        };
        matches!(
            self,
            TableUnavailable
                | TableThrottles
                | TableSlow
                | TableLosesAnswers
                | TableCut
                | HostDrained
                | HandOver
        )
    }

    /// True if it concerns an output's peer.
    pub fn is_of_peer(self) -> bool {
        self.name().starts_with("peer-")
    }

    /// True if it counts once, when it begins; what others strike is counted.
    pub fn counts_once(self) -> bool {
        self.row().is_some_and(|row| row.shape != Strikes)
    }

    pub fn lasts(self) -> bool {
        self.row().is_some_and(|row| row.shape != Moment)
    }
}

/// The kinds with these names, separated by commas.
///
/// # Errors
/// The name that is none.
pub fn named(names: &str) -> Result<Vec<Kind>, String> {
    let find = |name: &str| {
        let row = ROWS.iter().find(|row| row.name == name.trim());
        row.map(|row| row.kind).ok_or_else(|| format!("{name:?} is no fault; there are {}", all_names()))
    };
    names.split(',').map(find).collect()
}

pub fn all() -> Vec<Kind> {
    ROWS.iter().map(|row| row.kind).collect()
}

/// Names and meanings, one a line.
pub fn table() -> String {
    ROWS.iter().map(|row| format!("{:<15} {}\n", row.name, row.what)).collect()
}

fn all_names() -> String {
    let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
    names.join(", ")
}

/// A plan of up to `max` faults of these kinds within `span`.
pub fn plan(random: &mut fastrand::Rng, kinds: &[Kind], max: usize, span: Duration) -> Vec<Fault> {
    if kinds.is_empty() {
        return Vec::new();
    }
    let count = random.usize(1..=max);
    let mut moment = |most: Duration| Duration::from_millis(random.u64(..=most.as_millis() as u64));
    let times: Vec<(Duration, Duration)> = (0..count).map(|_| (moment(span), moment(span / 3))).collect();
    let mut faults: Vec<Fault> = times
        .into_iter()
        .map(|(from, time)| {
            let kind = kinds[random.usize(..kinds.len())];
            let until = if kind.lasts() { from + time } else { from };
            let of = [1, 1, 2, 3, 10][random.usize(..5)];
            Fault { kind, from, until, of, of_which: from.subsec_millis() as usize }
        })
        .collect();
    // A backlog is read at once: what is lost of later times is found when it is read again.
    let is_of_backlog =
        |fault: &&mut Fault| fault.kind == Kind::ApiPartial && fault.of_which.is_multiple_of(2);
    faults.iter_mut().filter(is_of_backlog).for_each(|fault| fault.from = Duration::ZERO);
    let deaths = |fault: &Fault| {
        let (until, of_which) = (fault.until, fault.of_which);
        let times = std::iter::successors(Some(fault.from), |at| Some(*at + CRASHES_EVERY)).skip(1);
        let death = move |at| Fault { kind: Kind::PeerResets, from: at, until: at, of: 1, of_which };
        times.take_while(move |at| *at < until).map(death).collect::<Vec<_>>()
    };
    let crashes = faults.iter().filter(|fault| fault.kind == Kind::PeerCrashes);
    let deaths: Vec<Fault> = crashes.flat_map(deaths).collect();
    faults.extend(deaths);
    faults.sort_by_key(|fault| fault.from);
    faults
}
