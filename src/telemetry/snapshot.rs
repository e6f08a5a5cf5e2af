//! All figures at one moment. The statistics lines, `/metrics`, `/status.json`, the status page, the live
//! view and the internal events all tell of this.

use jiff::Timestamp;
use serde::Serialize;

use super::notices::Notice;
use crate::telemetry::model::activity::Activity;
use crate::telemetry::model::endings::EndingTotals;
use crate::telemetry::model::groups::*;
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
    /// Seconds since 1970.
    pub start_time: f64,
    pub uptime_seconds: f64,
    /// Logs are being collected, or could be.
    pub ready: bool,
    /// The reasons why it is not ready.
    pub reasons: Vec<String>,
    /// Things that are wrong although logs are collected.
    pub warnings: Vec<String>,
    pub parts: Vec<Part>,
    pub inputs: Vec<InputSnapshot>,
    pub workers: usize,
    pub fetchers: usize,
    pub work: WorkTotals,
    /// In nanoseconds, of all threads together.
    pub waits: WaitTotals,
    pub outputs: Vec<OutputSnapshot>,
    pub ledger: LedgerTotals,
    pub internal: InternalTotals,
    pub memory: Memory,
    pub process: Process,
    /// The latest first.
    pub notices: Vec<Notice>,
}

/// Something that can fail: a queue, an input's buckets, an output.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    pub name: String,
    /// It must have worked once before the collector is ready, and has not.
    pub awaited: bool,
    pub trouble: Option<TroubleSnapshot>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TroubleSnapshot {
    pub seconds: f64,
    /// Cause and advice.
    pub message: String,
    /// Trying again will not help.
    pub lasting: bool,
    /// 0: nothing has failed yet, an answer is overdue.
    pub attempts: u32,
    /// Logs are collected all the same.
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
    /// Of what is no service's.
    pub endings: EndingTotals,
    pub calls: CallTotals,
    pub services: Vec<ServiceSnapshot>,
}

/// Counts as SQS estimates them. None: not known, or not known any more.
#[derive(Debug, Clone, Default, Serialize)]
pub struct QueueSnapshot {
    /// Empty: a source behind an API, which has none.
    pub name: String,
    pub available: Option<u64>,
    pub in_flight: Option<u64>,
    pub delayed: Option<u64>,
    /// How long ago SQS told these, also if that is too long ago for them to be shown.
    pub depth_age_seconds: Option<f64>,
    pub dead_letters: Option<u64>,
    /// The same of the dead letters.
    pub dead_letters_age_seconds: Option<f64>,
    /// Age of the oldest message of the latest receive.
    pub oldest_seconds: Option<f64>,
    /// How long ago SQS answered a receive.
    pub receive_age_seconds: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ServiceSnapshot {
    pub name: String,
    pub lag_seconds: Option<f64>,
    pub last_lag_seconds: Option<f64>,
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
    /// Of the client certificate, in seconds since 1970.
    pub certificate_expires_at: Option<f64>,
    /// For how long the peer has owed an acknowledgement.
    pub unacknowledged_seconds: Option<f64>,
    /// Empty: the console.
    pub senders: Vec<SenderSnapshot>,
    pub send: SendTotals,
}

#[derive(Debug, Clone, Serialize)]
pub struct SenderSnapshot {
    /// Its thread's.
    pub name: String,
    pub state: Activity,
    /// For how long it has been in that state.
    pub seconds: f64,
    /// Bytes written that the peer has not confirmed.
    pub unconfirmed: u64,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Memory {
    pub limit: u64,
    /// Of compressed objects.
    pub compressed: u64,
    pub compressed_limit: u64,
}

impl Snapshot {
    /// What all inputs have in common, added up.
    pub fn receive(&self) -> ReceiveTotals {
        self.inputs.iter().map(|input| input.receive).sum()
    }

    pub fn poll(&self) -> PollTotals {
        self.inputs.iter().map(|input| input.poll).sum()
    }

    pub fn fetch(&self) -> FetchTotals {
        self.inputs.iter().map(|input| input.fetch).sum()
    }

    pub fn settle(&self) -> SettleTotals {
        self.inputs.iter().map(|input| input.settle).sum()
    }

    pub fn decode(&self) -> DecodeTotals {
        self.services().map(|service| service.decode).sum()
    }

    pub fn delivered(&self) -> DeliveredTotals {
        self.services().map(|service| service.delivered).sum()
    }

    /// How objects ended, and messages that nobody can read.
    pub fn endings(&self) -> EndingTotals {
        let of_inputs = self.inputs.iter().map(|input| input.endings);
        of_inputs.chain(self.services().map(|service| service.endings)).sum()
    }

    /// All outputs together: an event that goes to two of them counts twice.
    pub fn send(&self) -> SendTotals {
        self.outputs.iter().map(|output| output.send).sum()
    }

    /// Of all outputs.
    pub fn senders(&self) -> impl Iterator<Item = &SenderSnapshot> {
        self.outputs.iter().flat_map(|output| &output.senders)
    }

    /// How many senders are.
    pub fn in_state(&self, state: Activity) -> usize {
        self.outputs.iter().map(|output| output.in_state(state)).sum()
    }

    /// Bytes written that no peer has confirmed.
    pub fn unconfirmed(&self) -> u64 {
        self.outputs.iter().map(OutputSnapshot::unconfirmed).sum()
    }

    /// The greatest of all services, in seconds.
    pub fn lag_seconds(&self) -> Option<f64> {
        self.services().filter_map(|service| service.lag_seconds).max_by(f64::total_cmp)
    }

    pub fn services(&self) -> impl Iterator<Item = &ServiceSnapshot> {
        self.inputs.iter().flat_map(|input| &input.services)
    }
}

impl Part {
    /// The warning about it that does not keep the collector from being ready.
    pub(super) fn warning(&self) -> Option<String> {
        let trouble = self.trouble.as_ref().filter(|trouble| trouble.warning)?;
        Some(format!("{}: {}", self.name, trouble.message))
    }

    /// The reason why the collector is not ready because of it.
    pub(super) fn reason(&self) -> Option<String> {
        match &self.trouble {
            Some(trouble) if !trouble.warning => Some(format!("{}: {}", self.name, trouble.message)),
            _ if self.awaited => Some(format!("{}: has not answered yet", self.name)),
            _ => None,
        }
    }
}

impl OutputSnapshot {
    /// How many of its senders are.
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
