//! All figures at one moment. The statistics lines, `/metrics`, `/status.json`, the status page, the live view and the
//! internal events all read this.

use jiff::Timestamp;
use serde::Serialize;

use super::audit::AuditSnapshot;
use super::failed::FailedTotals;
use super::fleet::FleetSnapshot;
use super::notices::Notice;
use super::tables::TableSnapshot;
use crate::telemetry::model::activity::Activity;
use crate::telemetry::model::endings::EndingTotals;
use crate::telemetry::model::former::Former;
use crate::telemetry::model::groups::{
    CallTotals, DecodeTotals, DeliveredTotals, FetchTotals, InternalTotals, LedgerTotals, PollTotals,
    ReceiveTotals, SendTotals, SettleTotals, WaitTotals, WorkTotals,
};
use crate::telemetry::model::link::Link;
use crate::telemetry::model::process::Process;

/// The collector. Serialized, it is `/status.json`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Snapshot {
    pub version: &'static str,
    /// `globals.id` and `globals.name`.
    pub id: String,
    pub name: String,
    /// RFC 3339.
    pub time: String,
    /// The same time, in seconds since 1970.
    #[serde(skip)]
    pub unix_seconds: f64,
    /// Seconds since 1970.
    pub start_time: f64,
    pub uptime_seconds: f64,
    /// True if logs are or could be collected.
    pub ready: bool,
    /// The reasons why it is not ready.
    pub reasons: Vec<String>,
    /// Problems that do not stop collection.
    pub warnings: Vec<String>,
    pub parts: Vec<Part>,
    pub inputs: Vec<InputSnapshot>,
    pub workers: usize,
    pub fetchers: usize,
    pub work: WorkTotals,
    /// Nanoseconds, summed over all threads.
    pub waits: WaitTotals,
    pub outputs: Vec<OutputSnapshot>,
    /// Counts of what reloads have removed. Totals include them.
    pub former: Former,
    /// Events that every output has confirmed, by Devo table.
    pub tables: Vec<TableSnapshot>,
    /// Objects that were not delivered; `/failed.json` lists them.
    pub failed: FailedTotals,
    /// The number of the next point of `/history.json`.
    pub history_next: u64,
    pub ledger: LedgerTotals,
    pub internal: InternalTotals,
    pub audit: AuditSnapshot,
    /// The hosts that share polled sources.
    pub fleet: FleetSnapshot,
    pub memory: Memory,
    pub process: Process,
    /// The notices, latest first.
    pub notices: Vec<Notice>,
}

/// A part that can fail: a queue, an input's buckets, an output.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    pub name: String,
    /// It must have worked once before the collector is ready, and has not yet.
    pub awaited: bool,
    pub trouble: Option<TroubleSnapshot>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TroubleSnapshot {
    pub seconds: f64,
    /// The failure in few constant words, the same for all parts that fail in this way; may be empty.
    pub cause: String,
    /// Cause and advice.
    pub message: String,
    /// A retry will not help.
    pub lasting: bool,
    /// 0 if nothing has failed yet and an answer is overdue.
    pub attempts: u32,
    /// Logs are still collected.
    pub warning: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct InputSnapshot {
    /// Its key in the configuration.
    pub name: String,
    pub queue: QueueSnapshot,
    /// Seconds since 1970.
    pub credentials_expire_at: Option<f64>,
    pub receive: ReceiveTotals,
    pub poll: PollTotals,
    pub fetch: FetchTotals,
    pub settle: SettleTotals,
    /// Endings without a service.
    pub endings: EndingTotals,
    pub calls: CallTotals,
    pub services: Vec<ServiceSnapshot>,
}

/// Counts estimated by SQS. None if unknown or too old.
#[derive(Debug, Clone, Default, Serialize)]
pub struct QueueSnapshot {
    /// Empty for a source behind an API.
    pub name: String,
    pub available: Option<u64>,
    pub in_flight: Option<u64>,
    pub delayed: Option<u64>,
    /// Age of these figures, even if they are too old to be shown.
    pub depth_age_seconds: Option<f64>,
    pub dead_letters: Option<u64>,
    /// Age of the number of dead letters.
    pub dead_letters_age_seconds: Option<f64>,
    /// Age of the oldest message of the latest receive.
    pub oldest_seconds: Option<f64>,
    /// Time since SQS answered a receive.
    pub receive_age_seconds: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ServiceSnapshot {
    pub name: String,
    pub lag_seconds: Option<f64>,
    pub last_lag_seconds: Option<f64>,
    /// The time of the last delivery, in seconds since 1970.
    pub last_delivery_at: Option<f64>,
    pub decode: DecodeTotals,
    pub delivered: DeliveredTotals,
    pub endings: EndingTotals,
}

#[derive(Debug, Clone, Serialize)]
pub struct OutputSnapshot {
    /// Its key in the configuration.
    pub name: String,
    /// `host:port`, or `console`.
    pub destination: String,
    /// The far end of its first connection. None before it.
    pub link: Option<Link>,
    /// Expiry of the client certificate, in seconds since 1970.
    pub certificate_expires_at: Option<f64>,
    /// Time that the peer has owed an acknowledgement.
    pub unacknowledged_seconds: Option<f64>,
    /// Empty for the console.
    pub senders: Vec<SenderSnapshot>,
    pub send: SendTotals,
}

#[derive(Debug, Clone, Serialize)]
pub struct SenderSnapshot {
    /// The thread's name.
    pub name: String,
    pub state: Activity,
    /// Time in that state.
    pub seconds: f64,
    /// Bytes written but not confirmed by the peer.
    pub unconfirmed: u64,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Memory {
    pub limit: u64,
    /// Bytes of compressed objects.
    pub compressed: u64,
    pub compressed_limit: u64,
}

impl Snapshot {
    /// Sums over all inputs, also of former ones.
    pub fn receive(&self) -> ReceiveTotals {
        self.inputs.iter().map(|input| input.receive).chain([self.former.receive]).sum()
    }

    pub fn poll(&self) -> PollTotals {
        self.inputs.iter().map(|input| input.poll).chain([self.former.poll]).sum()
    }

    pub fn fetch(&self) -> FetchTotals {
        self.inputs.iter().map(|input| input.fetch).chain([self.former.fetch]).sum()
    }

    pub fn settle(&self) -> SettleTotals {
        self.inputs.iter().map(|input| input.settle).chain([self.former.settle]).sum()
    }

    pub fn decode(&self) -> DecodeTotals {
        self.services().map(|service| service.decode).chain([self.former.decode]).sum()
    }

    pub fn delivered(&self) -> DeliveredTotals {
        self.services().map(|service| service.delivered).chain([self.former.delivered]).sum()
    }

    /// Endings of objects, and unreadable messages.
    pub fn endings(&self) -> EndingTotals {
        let of_inputs = self.inputs.iter().map(|input| input.endings);
        let of_services = self.services().map(|service| service.endings);
        of_inputs.chain(of_services).chain([self.former.endings]).sum()
    }

    /// Sums over all outputs, also of former ones: an event that goes to two of them counts twice.
    pub fn send(&self) -> SendTotals {
        self.outputs.iter().map(|output| output.send).chain([self.former.send]).sum()
    }

    /// Sum over all outputs.
    pub fn senders(&self) -> impl Iterator<Item = &SenderSnapshot> {
        self.outputs.iter().flat_map(|output| &output.senders)
    }

    /// Number of senders in this state.
    pub fn in_state(&self, state: Activity) -> usize {
        self.outputs.iter().map(|output| output.in_state(state)).sum()
    }

    /// Bytes written that no peer has confirmed.
    pub fn unconfirmed(&self) -> u64 {
        self.outputs.iter().map(OutputSnapshot::unconfirmed).sum()
    }

    /// The largest of all services, in seconds.
    pub fn lag_seconds(&self) -> Option<f64> {
        self.services().filter_map(|service| service.lag_seconds).max_by(f64::total_cmp)
    }

    pub fn services(&self) -> impl Iterator<Item = &ServiceSnapshot> {
        self.inputs.iter().flat_map(|input| &input.services)
    }
}

impl Part {
    /// Its warning that does not affect readiness.
    pub(super) fn warning(&self) -> Option<String> {
        let trouble = self.trouble.as_ref().filter(|trouble| trouble.warning)?;
        Some(format!("{}: {}", self.name, trouble.message))
    }

    /// Its reason why the collector is not ready.
    pub(super) fn reason(&self) -> Option<String> {
        match &self.trouble {
            Some(trouble) if !trouble.warning => Some(format!("{}: {}", self.name, trouble.message)),
            _ if self.awaited => Some(format!("{}: has not answered yet", self.name)),
            _ => None,
        }
    }
}

impl OutputSnapshot {
    /// Number of its senders in this state.
    pub fn in_state(&self, state: Activity) -> usize {
        self.senders.iter().filter(|sender| sender.state == state).count()
    }

    /// Bytes, on all its connections.
    pub fn unconfirmed(&self) -> u64 {
        self.senders.iter().map(|sender| sender.unconfirmed).sum()
    }
}

pub(super) fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}
