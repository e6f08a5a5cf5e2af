//! The state that the senders of an output share: its peer, its limits, and their knowledge of the peer.

use std::sync::Arc;
use std::time::Duration;

use super::backlog::Backlog;
use super::caution::Caution;
use super::connection::{Connection, Peer};
use super::error::Error;
use super::throttle::Throttle;
use crate::ack::Outcome;
use crate::base::limits::{PROBE_BYTES_MAX, SEND_CLOSE_TIMEOUT};
use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::base::stop::Stop;
use crate::handoff::{Batch, Gzip};
use crate::settings::Confirmation;
use crate::telemetry;

/// State shared by all senders of an output, and the workers that send to it.
#[derive(Debug, Clone)]
pub struct SharedOutput {
    pub peer: Peer,
    /// The output's limits.
    pub throttle: Arc<Mutex<Throttle>>,
    pub confirmation: Confirmation,
    /// Maximum unconfirmed bytes of one connection.
    pub window_bytes: usize,
    /// TLS records on one connection before it is renewed.
    pub records_max: u64,
    /// The compressor of the batches' bytes, if they are compressed.
    pub gzip: Option<Arc<Gzip>>,
    /// The senders' shared knowledge about a peer that ends connections.
    pub caution: Arc<Mutex<Caution>>,
    /// How long workers have been waiting for them.
    pub backlog: Arc<Mutex<Backlog>>,
    pub telemetry: Arc<telemetry::Output>,
    /// Ends everything at once; unconfirmed batches then count as not delivered.
    pub abort: Stop,
}

impl SharedOutput {
    pub fn may_send(&self) -> bool {
        self.throttle().is_open(clock::now())
    }

    /// A batch has been taken.
    pub fn pay_for(&self, batch: &Batch) {
        let (now, mut throttle) = (clock::now(), self.throttle());
        throttle.take(batch.events.into(), batch.bytes.len() as u64, now);
        if let Some(pause) = throttle.long_pause(now) {
            log::warn!(
                "outputs.{}: a batch of {} events and {} bytes is far more than the output may send in a second; nothing is sent for the next {} s. This keeps the average of max_events_per_second and max_bytes_per_second; raise them for an even flow",
                self.telemetry.name,
                batch.events,
                batch.bytes.len(),
                pause.as_secs()
            );
        }
    }

    /// How long the peer may take to end a connection after we did; longer if that is the only proof that it has read
    /// everything.
    pub fn patience(&self, is_proof: bool) -> Duration {
        if is_proof { self.caution().patience() } else { SEND_CLOSE_TIMEOUT }
    }

    pub fn caution(&self) -> MutexGuard<'_, Caution> {
        lock(&self.caution)
    }

    /// The peer has ended the connection for a reason that may be its input, not our certificate.
    pub fn is_end_of(&self, connection: &Connection, error: &Error) -> bool {
        error.is_end() && (connection.is_complete() || self.caution().has_accepted())
    }

    /// Notes that a worker has waited for this long. Returns true if another sender would help: not if connections may
    /// carry little only, because the peer ends them, or if it leaves some waiting.
    pub fn needs_sender(&self, waited: Duration) -> bool {
        let now = clock::now();
        let grows = self.backlog().grows(waited, now);
        let caution = self.caution();
        grows && caution.allowance().is_none() && !caution.is_crowded(now)
    }

    /// Notes that workers wait for another reason than that there are too few senders.
    pub fn has_other_limit(&self) {
        self.backlog().ends();
    }

    /// A batch has reached the peer.
    pub fn confirm(&self, batch: Batch) {
        self.caution().keep_probe(|| batch.first_frame(self.gzip.as_deref(), PROBE_BYTES_MAX));
        let telemetry = &self.telemetry.send;
        telemetry.events.add(batch.events.into());
        telemetry.bytes.add(batch.bytes.len() as u64);
        batch.share.resolve(Outcome::Delivered);
    }

    /// True if only a connection's orderly end confirms what is on it (see [`Confirmation::Close`]). Some peers never end one.
    pub fn confirms_by_end(&self) -> bool {
        self.confirmation == Confirmation::Close && self.caution().expects_answers()
    }

    /// Checks how the peer has ended a connection after we had. `by_its_end`: that is to confirm what was on it.
    ///
    /// # Errors
    /// If the end may not be the peer's own.
    pub fn check_goodbye(&self, connection: &Connection, by_its_end: bool) -> Result<(), Error> {
        let said = connection.has_heard_goodbye();
        let as_usual = self.caution().answered(said) || !connection.is_tls();
        if as_usual || !by_its_end { Ok(()) } else { Err(connection.cut()) }
    }

    /// Tells that from now on acknowledgements confirm.
    pub fn warn_of_no_answers(&self) {
        log::warn!(
            "outputs.{}: {} does not end connections after the collector has, which \"confirmation\": \"close\" needs; from now on its TCP acknowledgements confirm what is sent. Use a relay that closes its connections, or write \"confirmation\": \"acknowledgement\"",
            self.telemetry.name,
            self.peer
        );
    }

    /// Tells that the peer has not ended any connection yet, so that nothing is confirmed for this time.
    pub fn tell_of_silence(&self, time: Duration) {
        let minutes = time.as_secs() / 60;
        let error = Error::Silent { peer: self.peer.to_string(), minutes };
        self.telemetry.health.failed(&error, false);
    }

    /// Tells that from now on ends without a close_notify count.
    pub fn warn_of_no_goodbye(&self) {
        log::warn!(
            "outputs.{}: {} no longer ends TLS connections with a close_notify, as it did before: another program seems to answer there. From now on its end of a connection confirms without one. If a balancer passes TLS through to several programs, let all of them send a close_notify, or none",
            self.telemetry.name,
            self.peer
        );
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        lock(&self.backlog)
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        lock(&self.throttle)
    }
}
