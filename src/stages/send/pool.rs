//! The sender threads of all outputs, and the handle for sending batches to them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::connection::Peer;
use super::console::Console;
use super::greet;
use super::sender::SenderThread;
use super::session::Desk;
use super::shared::SharedOutput;
use super::standby::Standby;
use super::throttle::Throttle;
use super::tls::{Certificates, TlsFileError};
use super::wire::Network;
use crate::ack::{Ack, Outcome};
use crate::base::crew::Crew;
use crate::base::limits::{BATCHES_WAITING_PER_SENDER, SEND_RECORDS_MAX};
use crate::base::runtime::channel::Sender;
use crate::base::runtime::sync::Mutex;
use crate::base::runtime::{channel, clock};
use crate::base::stop::Stop;
use crate::handoff::{Batch, Gzip};
use crate::settings::{Destination, Output, TlsFiles};
use crate::stages::frame::Frames;
use crate::telemetry::{self, Telemetry, Trouble};

/// The state shared by all senders.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Maximum unconfirmed bytes of one connection.
    pub window_bytes: usize,
    pub telemetry: Arc<Telemetry>,
    /// The way to the outputs' peers.
    pub network: Network,
    /// Ends everything at once; unconfirmed batches then count as not delivered.
    pub abort: Stop,
}

/// The reason why the pool cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    #[error("outputs.{output}: {source}")]
    Tls { output: String, source: TlsFileError },
    #[error("cannot start a sender thread: {0}")]
    Thread(std::io::Error),
}

/// The running sender threads.
#[derive(Debug)]
pub struct Pool {
    senders: Crew,
    /// Never joined.
    greeter: Crew,
    peers: Vec<(Peer, Arc<telemetry::Output>)>,
    renewal: Renewal,
    /// The reason why standard output takes no more.
    closed: Arc<OnceLock<String>>,
    telemetry: Arc<Telemetry>,
}

/// The certificates of all outputs, for reloading. Outlives the pool.
#[derive(Debug, Clone, Default)]
pub struct Renewal(Vec<(Arc<telemetry::Output>, TlsFiles, Certificates)>);

impl Renewal {
    /// Reads all files again; connections are renewed one by one, each when it has nothing unconfirmed.
    ///
    /// # Errors
    /// The first output with unusable files; it keeps its current ones.
    pub fn renew(&self) -> Result<(), PoolError> {
        for (output, files, certificates) in &self.0 {
            let refused = |source| PoolError::Tls { output: output.name.clone(), source };
            certificates.renew(files).map_err(refused)?;
            output.set_certificate_expires_at(certificates.expires_at());
        }
        Ok(())
    }
}

/// Takes batches for every output. Cheap to clone; when the last clone is gone, the senders finish their work and exit.
#[derive(Debug, Clone)]
pub struct Outputs(Arc<[Way]>);

/// The channels of one output.
#[derive(Debug)]
enum Way {
    Plain(Senders),
    /// Compressed sending, with separate senders for uncompressible batches.
    Gzip {
        gzip: Arc<Gzip>,
        compressed: Senders,
        plain: Senders,
    },
}

impl Way {
    /// Octet-counted frames are sent plain, over a separate connection: inside gzip nothing counts. So are batches that
    /// must stay in order, otherwise such frames would leave it.
    fn send(&self, batch: Batch) {
        let (senders, batch) = self.choose(batch);
        senders.send(batch);
    }

    /// Without waiting: a batch that is not taken at once is dropped.
    fn offer(&self, batch: Batch) {
        let (senders, batch) = self.choose(batch);
        senders.offer(batch);
    }

    fn choose(&self, batch: Batch) -> (&Senders, Batch) {
        match self {
            Way::Gzip { gzip, compressed, .. } if !batch.counted && batch.lane.is_none() => {
                let member = batch.bytes.beside(gzip.member(&batch.bytes));
                (compressed, Batch { bytes: Arc::new(member), ..batch })
            }
            Way::Plain(senders) | Way::Gzip { plain: senders, .. } => (senders, batch),
        }
    }
}

/// The channels to some senders that share their work.
#[derive(Debug)]
struct Senders {
    telemetry: Arc<telemetry::Output>,
    /// One per sender, those that stand by last; none for the console.
    desks: Vec<Arc<Desk>>,
    /// The index of the desk to try first.
    turn: AtomicUsize,
    /// None for the console.
    standby: Option<Box<Calls>>,
    /// For any free sender.
    any: Sender<Batch>,
    /// For one sender each: batches that must stay in order.
    lanes: Vec<Sender<Batch>>,
}

/// The way to call a sender that stands by.
#[derive(Debug)]
struct Calls {
    shared: SharedOutput,
    /// Taken by one that stands by at that moment.
    calls: Sender<()>,
}

impl Senders {
    /// A closed channel drops the batch: its share then counts as not delivered.
    fn send(&self, batch: Batch) {
        match batch.lane {
            Some(lane) if !self.lanes.is_empty() => {
                self.queue(batch, &self.lanes[(lane % self.lanes.len() as u64) as usize]);
            }
            _ => {
                if let Err(batch) = self.write(batch) {
                    let queued = clock::now();
                    self.queue(batch, &self.any);
                    self.call(clock::since(queued));
                }
            }
        }
    }

    /// After a worker has waited for this long: calls a sender that stands by if the others cannot keep up.
    fn call(&self, waited: Duration) {
        if let Some(standby) = self.standby.as_ref().filter(|standby| standby.shared.needs_sender(waited)) {
            // There may be none.
            let _ = standby.calls.try_send(());
        }
    }

    /// Writes to a connection that is free now, or returns the batch. Those of senders that stand by come last, so that
    /// they become idle when the others suffice.
    fn write(&self, mut batch: Batch) -> Result<(), Batch> {
        let (first, usual) = (self.turn.fetch_add(1, Ordering::Relaxed), self.lanes.len());
        let in_turn = (0..usual).map(|number| first.wrapping_add(number) % usual);
        for number in in_turn.chain(usual..self.desks.len()) {
            match self.desks[number].write(batch) {
                Ok(()) => return Ok(()),
                Err(refused) => batch = refused,
            }
        }
        Err(batch)
    }

    fn queue(&self, batch: Batch, channel: &Sender<Batch>) {
        if self.telemetry.waits.work_senders.time(|| channel.send(batch)).is_ok() {
            self.telemetry.send.waiting.add(1);
        }
    }

    fn offer(&self, batch: Batch) {
        if self.any.try_send(batch).is_ok() {
            self.telemetry.send.waiting.add(1);
        }
    }
}

impl Pool {
    /// Starts the threads. Connections are opened when there is something to send.
    ///
    /// # Errors
    /// If a certificate file cannot be used, or a thread cannot be started.
    pub fn start(outputs: &[Output], settings: &PoolSettings) -> Result<(Pool, Outputs), PoolError> {
        let telemetry = Arc::clone(&settings.telemetry);
        let mut pool = Pool {
            senders: Crew::new(),
            greeter: Crew::new(),
            peers: Vec::new(),
            renewal: Renewal::default(),
            closed: Arc::default(),
            telemetry,
        };
        let ways = outputs
            .iter()
            .zip(&settings.telemetry.outputs)
            .map(|(output, telemetry)| pool.start_output(output, telemetry, settings))
            .collect::<Result<_, _>>()?;
        Ok((pool, Outputs(ways)))
    }

    /// Tries idle outputs periodically, until stopped. Nothing waits for that thread's end.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn greet(&mut self, stop: &Stop) -> Result<(), PoolError> {
        let (peers, stop) = (self.peers.clone(), stop.clone());
        self.greeter.spawn("greet", move || greet::run(&peers, &stop)).map_err(PoolError::Thread)
    }

    /// The troubles of all outputs.
    pub fn troubles(&self) -> impl Iterator<Item = Trouble> {
        self.telemetry.outputs.iter().flat_map(|output| output.health.troubles())
    }

    /// The reason why an output will never take anything again, which must end the run.
    pub fn closed(&self) -> Option<&String> {
        self.closed.get()
    }

    /// The threads, which exit when all [`Outputs`] are dropped.
    pub fn crews(&self) -> [&Crew; 2] {
        [&self.senders, &self.greeter]
    }

    /// The senders. When they have exited, everything has been sent; drop all [`Outputs`] first.
    pub fn senders(&self) -> &Crew {
        &self.senders
    }

    pub fn renewal(&self) -> Renewal {
        self.renewal.clone()
    }

    fn start_output(
        &mut self,
        output: &Output,
        telemetry: &Arc<telemetry::Output>,
        settings: &PoolSettings,
    ) -> Result<Way, PoolError> {
        let Some(peer) = peer(output, &settings.network)? else {
            return self.start_console(output, telemetry, settings);
        };
        self.peers.push((peer.clone(), Arc::clone(telemetry)));
        if let (Destination::Tls { files, .. }, Some(certificates)) = (&output.destination, &peer.tls) {
            telemetry.set_certificate_expires_at(certificates.expires_at());
            self.renewal.0.push((Arc::clone(telemetry), files.clone(), certificates.clone()));
        }
        let shared = SharedOutput {
            peer,
            throttle: Arc::new(Mutex::new(Throttle::new(output.rates, clock::now()))),
            confirmation: output.confirmation,
            window_bytes: settings.window_bytes,
            records_max: SEND_RECORDS_MAX,
            gzip: None,
            caution: Arc::default(),
            backlog: Arc::default(),
            telemetry: Arc::clone(telemetry),
            abort: settings.abort.clone(),
        };
        let name = format!("send-{}", output.name);
        let gzip = output.gzip_level.map(|level| Arc::new(Gzip::new(level)));
        let compressed = SharedOutput { gzip: gzip.clone(), ..shared.clone() };
        let senders = self.start_senders(&name, output.senders, output.spares, &compressed)?;
        let Some(gzip) = gzip else { return Ok(Way::Plain(senders)) };
        // The suspicions of one kind of sender are of no use to the other.
        let shared = SharedOutput { caution: Arc::default(), backlog: Arc::default(), ..shared };
        let plain = self.start_senders(&format!("{name}-plain"), 1, 0, &shared)?;
        Ok(Way::Gzip { gzip, compressed: senders, plain })
    }

    fn start_console(
        &mut self,
        output: &Output,
        telemetry: &Arc<telemetry::Output>,
        settings: &PoolSettings,
    ) -> Result<Way, PoolError> {
        let (any, batches) = channel::bounded(BATCHES_WAITING_PER_SENDER * output.senders);
        let console = Console {
            batches,
            telemetry: Arc::clone(telemetry),
            abort: settings.abort.clone(),
            closed: Arc::clone(&self.closed),
        };
        self.spawn(format!("send-{}", output.name), move || console.run())?;
        let (desks, lanes, turn) = (Vec::new(), Vec::new(), AtomicUsize::default());
        let telemetry = Arc::clone(telemetry);
        Ok(Way::Plain(Senders { telemetry, desks, turn, standby: None, any, lanes }))
    }

    /// Starts `count` senders, and `spares` that stand by.
    fn start_senders(
        &mut self,
        name: &str,
        count: usize,
        spares: usize,
        shared: &SharedOutput,
    ) -> Result<Senders, PoolError> {
        let (any, batches) = channel::bounded(BATCHES_WAITING_PER_SENDER * count);
        // A call that nobody waits for is forgotten.
        let (calls, called) = channel::bounded(0);
        let returned = channel::unbounded();
        let (mut desks, mut lanes) = (Vec::new(), Vec::new());
        for number in 0..count + spares {
            let (wake, woken) = channel::bounded(1);
            let desk = Arc::new(Desk::new(shared.clone(), wake));
            desks.push(Arc::clone(&desk));
            let name = format!("{name}-{number}");
            let telemetry = Arc::new(telemetry::Sender::new(&name));
            let (lane, standby) = if number < count {
                shared.telemetry.join(&telemetry);
                let (lane, in_order) = channel::bounded(BATCHES_WAITING_PER_SENDER);
                lanes.push(lane);
                (in_order, None)
            } else {
                (channel::never(), Some(Standby::new(called.clone())))
            };
            let sender = SenderThread {
                telemetry,
                shared: shared.clone(),
                desk,
                woken,
                batches: batches.clone(),
                lane,
                kept: VecDeque::new(),
                endings: VecDeque::new(),
                wary: false,
                returned: returned.clone(),
                standby,
            };
            self.spawn(name, move || sender.run())?;
        }
        let (telemetry, turn) = (Arc::clone(&shared.telemetry), AtomicUsize::default());
        let standby = (spares > 0).then(|| Box::new(Calls { shared: shared.clone(), calls }));
        Ok(Senders { telemetry, desks, turn, standby, any, lanes })
    }

    fn spawn(&mut self, name: String, body: impl FnOnce() + Send + 'static) -> Result<(), PoolError> {
        self.senders.spawn(name, body).map_err(PoolError::Thread)
    }
}

/// Makes one connection to an output and closes it: nothing is sent. The version of TLS, if there is any.
///
/// # Errors
/// Why it cannot be made, in the same words that the log would use.
pub fn probe(output: &Output) -> Result<Option<String>, String> {
    let Some(peer) = peer(output, &Network::default()).map_err(|e| e.to_string())? else { return Ok(None) };
    greet::greet(&peer).map(|link| link.tls).map_err(|e| e.to_string())
}

/// None for the console.
fn peer(output: &Output, network: &Network) -> Result<Option<Peer>, PoolError> {
    let (address, port, files) = match &output.destination {
        Destination::Console => return Ok(None),
        Destination::Tcp { address, port } => (address, port, None),
        Destination::Tls { address, port, files } => (address, port, Some(files)),
    };
    let tls_error = |source| PoolError::Tls { output: output.name.clone(), source };
    let tls = files.map(Certificates::read).transpose().map_err(tls_error)?;
    let needs_fin = Arc::default();
    Ok(Some(Peer { address: address.clone(), port: *port, tls, network: network.clone(), needs_fin }))
}

impl Outputs {
    /// Gives the batch to every output; it is a share of `whole`. Waits while an output's senders are busy.
    pub fn send(&self, batch: Batch, whole: &Ack) {
        let Some((last, others)) = self.0.split_last() else {
            return batch.share.resolve(Outcome::Delivered);
        };
        for output in others {
            output.send(batch.copy(whole.share()));
        }
        last.send(batch);
    }

    /// Offers the frames, as one batch, to every output, or to one only. An output with busy senders does not get them:
    /// its share then counts as not delivered.
    pub fn offer(&self, frames: Frames, whole: &Ack, only: Option<usize>) {
        let batch = frames.into_batch(whole.share());
        for (_, output) in self.0.iter().enumerate().filter(|(index, _)| only.is_none_or(|o| o == *index)) {
            output.offer(batch.copy(whole.share()));
        }
        batch.share.resolve(Outcome::Delivered);
    }

    /// No output at all: every batch counts as delivered (`do_not_send`).
    pub fn none() -> Outputs {
        Outputs(Arc::new([]))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use jiff::Timestamp;

    use super::*;
    use crate::base::buffers::Buffer;
    use crate::base::limits::{SEND_BACKLOG_TIME, SEND_BARREN_CONNECTIONS};
    use crate::base::runtime::channel::Receiver;
    use crate::base::testing::refusing;
    use crate::decode::{Newlines, Record};
    use crate::settings::{Confirmation, Rates};
    use crate::stages::send::caution::Caution;

    /// Senders without threads, and what they would send.
    fn senders(room: usize) -> (Senders, Receiver<Batch>) {
        let telemetry = Arc::new(telemetry::Output::new("devo_1", "devo:1".into()));
        let (any, batches) = channel::bounded(room);
        let (desks, lanes, turn) = (Vec::new(), Vec::new(), AtomicUsize::default());
        (Senders { telemetry, desks, turn, standby: None, any, lanes }, batches)
    }

    fn frames() -> Frames {
        let mut frames = Frames::new("h", Timestamp::UNIX_EPOCH, Buffer::default());
        frames.push("t", Record::new(b"record", Newlines::Absent));
        frames
    }

    fn output(destination: Destination) -> Output {
        Output {
            name: "devo_1".into(),
            destination,
            senders: 1,
            spares: 0,
            gzip_level: None,
            confirmation: Confirmation::default(),
            rates: Rates::default(),
        }
    }

    #[test]
    fn only_what_neither_counts_nor_must_stay_in_order_is_compressed() {
        let ((compressed, packed), (plain, unpacked)) = (senders(9), senders(9));
        let way = Way::Gzip { gzip: Arc::new(Gzip::new(1)), compressed, plain };
        let ack = Ack::open(|_| ());
        let batch = || frames().into_batch(ack.share());
        let whole = batch();
        way.send(Batch { counted: true, ..batch() });
        way.send(Batch { lane: Some(3), ..batch() });
        way.send(Batch { counted: true, lane: Some(3), ..batch() });
        way.send(batch());
        let packed: Vec<Batch> = std::iter::from_fn(|| packed.try_recv().ok()).collect();
        assert!(packed.len() == 1 && packed[0].bytes.starts_with(b"\x1f\x8b") && packed[0].events == 1);
        assert!(!packed[0].counted && packed[0].lane.is_none());
        let unpacked: Vec<Batch> = std::iter::from_fn(|| unpacked.try_recv().ok()).collect();
        assert!(
            unpacked.len() == 3
                && unpacked.iter().all(|batch| batch.bytes.as_slice() == whole.bytes.as_slice())
        );
    }

    #[test]
    fn an_offer_is_for_one_output_or_for_all_and_waits_for_none() {
        let (first, of_first) = senders(1);
        let (second, of_second) = senders(1);
        let (waiting, of_second_waiting) = (Arc::clone(&first.telemetry), Arc::clone(&second.telemetry));
        let outputs = Outputs(Arc::new([Way::Plain(first), Way::Plain(second)]));
        let offer = |only| {
            let outcome = Arc::new(OnceLock::new());
            let noted = Arc::clone(&outcome);
            let ack = Ack::open(move |outcome| noted.set(outcome).unwrap());
            outputs.offer(frames(), &ack, only);
            ack.close(Outcome::Delivered);
            outcome
        };
        let of_one = offer(Some(1));
        assert!(of_first.try_recv().is_err() && of_one.get().is_none());
        of_second.try_recv().unwrap().share.resolve(Outcome::Delivered);
        assert_eq!(of_one.get(), Some(&Outcome::Delivered));
        let of_all = offer(None);
        // Both have one now, and no room for more.
        assert_eq!(offer(None).get(), Some(&Outcome::Retry), "nobody waits for it");
        for batches in [&of_first, &of_second] {
            batches.try_recv().unwrap().share.resolve(Outcome::Delivered);
            assert!(batches.try_recv().is_err());
        }
        assert_eq!(of_all.get(), Some(&Outcome::Delivered));
        assert_eq!((waiting.send.waiting.value(), of_second_waiting.send.waiting.value()), (1, 2));
    }

    #[test]
    fn a_probe_connects_and_says_why_it_cannot() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, port) = ("127.0.0.1".to_owned(), listener.local_addr().unwrap().port());
        // A peer that closes first would be one that refuses.
        let closes = std::thread::spawn(move || {
            std::io::Read::read_to_end(&mut listener.accept().unwrap().0, &mut Vec::new()).unwrap()
        });
        let tcp = output(Destination::Tcp { address, port });
        assert_eq!(probe(&tcp), Ok(None));
        closes.join().unwrap();
        let (_refuses, refusing) = refusing();
        let port = refusing.port();
        let error = probe(&output(Destination::Tcp { address: "127.0.0.1".into(), port })).unwrap_err();
        assert!(error.starts_with(&format!("cannot connect to 127.0.0.1:{port}")), "{error}");
        assert_eq!(probe(&output(Destination::Console)), Ok(None));
    }

    fn pool(output: &Output) -> (Pool, Outputs) {
        let mut telemetry = Telemetry::default();
        telemetry.outputs.push(Arc::new(telemetry::Output::new("devo_1", "devo:1".into())));
        let settings = PoolSettings {
            window_bytes: 1 << 20,
            telemetry: Arc::new(telemetry),
            network: Network::default(),
            abort: Stop::new(),
        };
        Pool::start(std::slice::from_ref(output), &settings).unwrap()
    }

    fn end((pool, outputs): (Pool, Outputs)) {
        drop(outputs);
        while !pool.senders().has_ended() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn an_output_has_its_senders_and_some_that_stand_by() {
        let tcp = Destination::Tcp { address: "127.0.0.1".into(), port: 1 };
        for spares in [2, 0] {
            let (pool, outputs) = pool(&Output { senders: 3, spares, ..output(tcp.clone()) });
            let Way::Plain(senders) = &outputs.0[0] else { panic!("nothing is compressed") };
            assert_eq!((senders.desks.len(), senders.lanes.len()), (3 + spares, 3));
            assert_eq!((senders.standby.is_some(), senders.telemetry.sending()), (spares > 0, 3));
            end((pool, outputs));
        }
    }

    #[cfg(feature = "lab")]
    #[test]
    fn one_that_stands_by_is_called_when_workers_have_waited_for_long() {
        let (mut senders, _batches) = senders(1);
        let (calls, called) = channel::bounded(1);
        let peer = Peer {
            address: "127.0.0.1".into(),
            port: 1,
            tls: None,
            network: Network::default(),
            needs_fin: Arc::default(),
        };
        let shared = crate::stages::send::sender_testing::shared(peer, Confirmation::default());
        senders.standby = Some(Box::new(Calls { shared: shared.clone(), calls }));
        senders.call(SEND_BACKLOG_TIME / 2);
        assert!(called.try_recv().is_err());
        shared.has_other_limit();
        senders.call(2 * SEND_BACKLOG_TIME);
        assert!(called.try_recv().is_ok());
        // Not while another thing is the limit.
        shared.caution().crowded(clock::now());
        assert!(!shared.needs_sender(2 * SEND_BACKLOG_TIME));
        *shared.caution() = Caution::default();
        (0..SEND_BARREN_CONNECTIONS).for_each(|_| shared.caution().ended(true, clock::now()));
        assert!(!shared.needs_sender(2 * SEND_BACKLOG_TIME));
        *shared.caution() = Caution::default();
        assert!(shared.needs_sender(2 * SEND_BACKLOG_TIME));
        assert!(!shared.needs_sender(SEND_BACKLOG_TIME / 2));
        std::thread::sleep(SEND_BACKLOG_TIME / 2);
        shared.has_other_limit();
        assert!(!shared.needs_sender(SEND_BACKLOG_TIME - Duration::from_millis(1)), "it begins again");
    }

    #[cfg(feature = "lab")]
    #[test]
    fn certificates_are_read_again_and_kept_if_that_fails() {
        let pki = crate::lab::testbed::pki::Pki::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let files = pki.write_client_files(directory.path()).unwrap();
        let tls =
            output(Destination::Tls { address: "localhost".into(), port: 1, files: files.clone().into() });
        let (pool, outputs) = pool(&tls);
        let renewal = pool.renewal();
        renewal.renew().unwrap();
        std::fs::write(files.cert, "no certificate").unwrap();
        let error = renewal.renew().unwrap_err().to_string();
        assert!(error.starts_with("outputs.devo_1: "), "{error}");
        end((pool, outputs));
    }
}
