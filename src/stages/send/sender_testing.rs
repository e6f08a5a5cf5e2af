//! A sender without its thread, on a clock that only waiting moves, whose connections are scripted.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use super::connection::Peer;
use super::error::Error;
use super::scripted_testing::{Conduct, Connections};
use super::sender::SenderThread;
use super::session::Desk;
use super::shared::SharedOutput;
use super::throttle::Throttle;
use super::wire::Network;
use crate::ack::{Ack, Outcome};
use crate::base::backoff::Backoff;
use crate::base::buffers::Buffer;
use crate::base::limits::{SEND_BACKOFF_FIRST, SEND_BACKOFF_MAX, SEND_RECORDS_MAX, SEND_WINDOW_BYTES};
use crate::base::locks::lock;
use crate::base::runtime::still::Still;
use crate::base::runtime::{channel, clock, sync};
use crate::base::stop::Stop;
use crate::decode::{Newlines, Record};
use crate::handoff::{Batch, Subject};
use crate::settings::{Confirmation, Rates};
use crate::stages::frame::Frames;
use crate::telemetry;

/// The thread, which only the test moves.
pub struct Lab {
    pub clock: Arc<Still>,
    pub sender: SenderThread,
    /// New work.
    pub work: channel::Sender<Batch>,
    /// The conduct of the next connections.
    pub next: Arc<Mutex<VecDeque<Conduct>>>,
    pub backoff: Backoff,
    /// How objects ended.
    pub settled: (mpsc::Sender<Outcome>, mpsc::Receiver<Outcome>),
}

/// The state of an output's senders, without limits.
pub fn shared(peer: Peer, confirmation: Confirmation) -> SharedOutput {
    let telemetry = Arc::new(telemetry::Output::new("devo_1", peer.to_string()));
    SharedOutput {
        peer,
        throttle: Arc::new(sync::Mutex::new(Throttle::new(Rates::default(), clock::now()))),
        confirmation,
        window_bytes: SEND_WINDOW_BYTES,
        records_max: SEND_RECORDS_MAX,
        gzip: None,
        caution: Arc::default(),
        backlog: Arc::default(),
        telemetry,
        abort: Stop::new(),
    }
}

/// Runs a test with a sender whose connections are scripted.
pub fn with_lab(test: impl FnOnce(Lab) + Send) {
    Still::run(|clock| {
        let next = Arc::new(Mutex::new(VecDeque::new()));
        let peer = Peer {
            address: "localhost".into(),
            port: 1,
            tls: None,
            network: Network::over(Connections(Arc::clone(&clock), Arc::clone(&next))),
            needs_fin: Arc::default(),
        };
        let shared = shared(peer, Confirmation::Acknowledgement);
        let (wake, woken) = channel::bounded(1);
        let (work, batches) = channel::unbounded();
        let sender = SenderThread {
            desk: Arc::new(Desk::new(shared.clone(), wake)),
            woken,
            telemetry: shared.telemetry.add_sender("send-devo_1-0"),
            shared,
            batches,
            lane: channel::never(),
            kept: VecDeque::new(),
            endings: VecDeque::new(),
            wary: false,
            returned: channel::unbounded(),
            standby: None,
        };
        let backoff = Backoff::new(SEND_BACKOFF_FIRST, SEND_BACKOFF_MAX);
        test(Lab { clock, sender, work, next, backoff, settled: mpsc::channel() });
    });
}

impl Lab {
    /// A batch with this number of records, whose object comes again if it `returns`.
    pub fn batch(&self, records: usize, returns: bool) -> Batch {
        let settled = self.settled.0.clone();
        let ack = Ack::open(move |outcome| settled.send(outcome).unwrap());
        let mut frames = Frames::new("h", Timestamp::UNIX_EPOCH, Buffer::default());
        for _ in 0..records {
            frames.push("t", Record::new(b"record", Newlines::Absent));
        }
        let subject = Arc::new(Subject { object: None, name: "o".into(), id: "o".into(), returns });
        let batch = frames.into_batch_of(&subject, 1, ack.share(), None);
        ack.close(Outcome::Delivered);
        batch
    }

    /// A step, whose next connections are these.
    pub fn question(&mut self, suspects: Vec<Batch>, next: &[Conduct]) -> Result<(), Error> {
        lock(&self.next).extend(next);
        let end = self.sender.question(suspects, &mut self.backoff);
        assert!(lock(&self.next).is_empty(), "{:?} were not opened", self.next);
        end
    }

    /// The suspects that wait for their next step, though it may not have come.
    pub fn waiting(&self) -> Vec<Batch> {
        self.clock.pass(2 * SEND_BACKOFF_MAX);
        let all = std::iter::from_fn(|| {
            Some(self.sender.shared.caution().take_due(clock::now())).filter(|due| !due.is_empty())
        });
        all.flatten().collect()
    }

    pub fn sent(&self) -> telemetry::SendTotals {
        self.sender.shared.telemetry.send.totals()
    }

    pub fn keep_probe(&self) {
        self.sender.shared.caution().keep_probe(|| Some(b"frame\n".to_vec()));
    }
}
