//! Whole outputs against misbehaving peers.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::ServerConfig;

use super::testing::{Habits, Peer, SlowVerifier};
use super::*;
use crate::ack::{Ack, Outcome};
use crate::base::buffers::Buffer;
use crate::base::limits::{REFUSE_KILLS, SEND_WINDOW_BYTES, SETTLE_TIME, SUSPECT_STRIKES, SUSPECTS_TOGETHER};
use crate::base::stop::Stop;
use crate::decode::{Newlines, Record};
use crate::handoff::Subject;
use crate::lab::testbed::pki::Pki;
use crate::settings;
use crate::settings::Confirmation;
use crate::settings::Destination;
use crate::settings::Rates;
use crate::stages::frame::Frames;
use crate::stages::send::wire::Network;
use crate::telemetry::{self, Telemetry};

/// Time limit of any test; not the expected duration.
const PATIENCE: Duration = Duration::from_secs(120);
const POISON: &str = "poison";

/// An object's name, and how it ended.
type Settled = (String, Outcome);

/// An output with its threads, and a peer.
struct Lab {
    peer: Peer,
    pool: Option<Pool>,
    outputs: Option<Outputs>,
    telemetry: Arc<Telemetry>,
    abort: Stop,
    settled: (mpsc::Sender<Settled>, mpsc::Receiver<Settled>),
}

#[derive(Clone, Copy)]
struct Options {
    senders: usize,
    spares: usize,
    gzip: bool,
    confirmation: Confirmation,
}

const CLOSE: Options = Options { confirmation: Confirmation::Close, ..TWO };
const TWO: Options =
    Options { senders: 2, spares: 0, gzip: false, confirmation: Confirmation::Acknowledgement };

fn pki_tls() -> (Pki, ServerConfig) {
    let pki = Pki::generate().unwrap();
    let config = pki.server_config_of(rustls::DEFAULT_VERSIONS, pki.verifier().unwrap()).unwrap();
    (pki, config)
}

impl Lab {
    fn plain(habits: Habits, options: Options) -> Lab {
        let peer = Peer::start(None, habits);
        let (address, port) = (peer.address.ip().to_string(), peer.address.port());
        Lab::start(peer, Destination::Tcp { address, port }, options)
    }

    fn tls((pki, server): (Pki, ServerConfig), habits: Habits, options: Options) -> Lab {
        let peer = Peer::start(Some(server), habits);
        let directory = tempfile::tempdir().unwrap();
        let files = pki.write_client_files(directory.path()).unwrap().into();
        let (address, port) = (peer.address.ip().to_string(), peer.address.port());
        Lab::start(peer, Destination::Tls { address, port, files }, options)
    }

    fn start(peer: Peer, destination: Destination, options: Options) -> Lab {
        let output = settings::Output {
            name: "devo_1".into(),
            destination,
            senders: options.senders,
            spares: options.spares,
            gzip_level: options.gzip.then_some(1),
            confirmation: options.confirmation,
            rates: Rates::default(),
        };
        let of_output = Arc::new(telemetry::Output::new("devo_1", peer.address.to_string()));
        let mut telemetry = Telemetry::default();
        telemetry.outputs.push(of_output);
        let telemetry = Arc::new(telemetry);
        let abort = Stop::new();
        let (own, window_bytes) = (Arc::clone(&telemetry), SEND_WINDOW_BYTES);
        let settings =
            PoolSettings { window_bytes, telemetry: own, network: Network::default(), abort: abort.clone() };
        let (pool, outputs) = Pool::start(&[output], &settings).unwrap();
        Lab { peer, pool: Some(pool), outputs: Some(outputs), telemetry, abort, settled: mpsc::channel() }
    }

    /// Sends records as one batch of an object of that name.
    fn send(&self, object: &str, records: &[String], lane: Option<u64>) {
        self.send_of(object, true, records, lane);
    }

    fn send_of(&self, object: &str, returns: bool, records: &[String], lane: Option<u64>) {
        let (settled, name) = (self.settled.0.clone(), object.to_owned());
        let ack = Ack::open(move |outcome| settled.send((name, outcome)).unwrap());
        let mut frames = Frames::new("h", Timestamp::UNIX_EPOCH, Buffer::default());
        for record in records {
            frames.push("t", Record::new(record.as_bytes(), Newlines::Significant));
        }
        let subject = Arc::new(Subject { object: None, name: object.into(), id: object.into(), returns });
        let batch = frames.into_batch_of(&subject, 1, ack.share(), lane);
        self.outputs.as_ref().unwrap().send(batch, &ack);
        ack.close(Outcome::Delivered);
    }

    /// The next objects to settle, by name.
    fn settle(&self, count: usize) -> Vec<(String, Outcome)> {
        let mut all: Vec<_> = (0..count).map(|_| self.settled.1.recv_timeout(PATIENCE).unwrap()).collect();
        all.sort();
        all
    }

    fn settles_nothing_for(&self, time: Duration) {
        let settled = self.settled.1.recv_timeout(time);
        assert!(settled.is_err(), "{settled:?}");
    }

    fn sent(&self) -> telemetry::SendTotals {
        self.telemetry.outputs[0].send.totals()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.abort.stop();
        drop(self.outputs.take());
        if let Some(pool) = self.pool.take() {
            while !pool.senders().has_ended() {
                std::thread::yield_now();
            }
        }
    }
}

fn records(object: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{object}-{number}.{}", "x".repeat(number % 90))).collect()
}

/// Sends records with line feeds in some, which are octet-counted then.
fn counted(mut records: Vec<String>) -> Vec<String> {
    records.iter_mut().step_by(3).for_each(|record| record.insert(1, '\n'));
    records
}

/// `all` without the frames that must not be taken, in any order and any number.
fn assert_taken(peer: &Peer, all: &[Vec<String>]) {
    let taken = peer.frames();
    let is_taken = |record: &String| taken.iter().any(|frame| frame.ends_with(&format!(" t: {record}\n")));
    let missing: Vec<_> = all
        .iter()
        .flatten()
        .filter(|record| !record.contains(POISON))
        .filter(|record| !is_taken(record))
        .collect();
    assert!(missing.is_empty(), "{} are missing: {:?}", missing.len(), &missing[..missing.len().min(5)]);
}

fn delivered(objects: &[&str]) -> Vec<(String, Outcome)> {
    objects.iter().map(|name| ((*name).to_owned(), Outcome::Delivered)).collect()
}

fn dislikes() -> Habits {
    Habits { dislikes: Some(POISON), ..Habits::default() }
}

/// One record among many good ones makes the peer close.
fn one_record_is_refused(lab: &Lab, form: impl Fn(Vec<String>) -> Vec<String>) {
    let mut objects: Vec<_> = (0..6).map(|number| form(records(&format!("o{number}"), 200))).collect();
    objects[3][137].push_str(POISON);
    for (number, records) in objects.iter().enumerate() {
        lab.send(&format!("o{number}"), records, None);
    }
    let mut expected = delivered(&["o0", "o1", "o2", "o3", "o4", "o5"]);
    expected[3].1 = Outcome::Reject;
    assert_eq!(lab.settle(6), expected);
    assert_taken(&lab.peer, &objects);
    // Each batch is in company on this many connections; then the one with the record is alone, and half of the rest
    // goes over a connection in vain at each step.
    let (all, batch) = (1200, 200);
    let sent = lab.sent();
    assert_eq!((sent.refused, sent.events), (1, all - 1));
    let company = u64::from(SUSPECT_STRIKES) + SUSPECTS_TOGETHER.len() as u64;
    let most = company * all + 2 * batch + 2 * u64::from(REFUSE_KILLS);
    assert!(sent.repeated <= most, "{} repeats, {most} at most", sent.repeated);
}

#[test]
fn a_record_that_ends_connections_is_refused_and_the_rest_arrives() {
    one_record_is_refused(&Lab::plain(dislikes(), TWO), |records| records);
}

#[test]
fn over_tls_as_well() {
    one_record_is_refused(&Lab::tls(pki_tls(), dislikes(), TWO), |records| records);
}

/// Nothing else shows that such a peer accepts us: the first thing that it gets is what it does not take.
#[test]
fn from_a_peer_that_sends_no_tickets_as_well() {
    let (pki, mut server) = pki_tls();
    server.send_tls13_tickets = 0;
    one_record_is_refused(&Lab::tls((pki, server), dislikes(), CLOSE), |records| records);
}

/// Its end could be a refusal of our certificate, too.
#[test]
fn from_one_that_sends_no_close_notify_either_as_well() {
    let (pki, mut server) = pki_tls();
    server.send_tls13_tickets = 0;
    let habits = Habits { wordless: true, ..dislikes() };
    one_record_is_refused(&Lab::tls((pki, server), habits, CLOSE), |records| records);
}

#[test]
fn where_the_end_of_a_connection_confirms_as_well() {
    one_record_is_refused(&Lab::tls(pki_tls(), dislikes(), CLOSE), |records| records);
}

/// Another program answers at its address, and was never asked whether it does.
#[test]
fn a_peer_that_no_longer_sends_a_close_notify_is_believed_after_a_while() {
    let lab = Lab::tls(pki_tls(), Habits::default(), CLOSE);
    lab.send("before", &records("before", 10), None);
    assert_eq!(lab.settle(1), delivered(&["before"]));
    lab.peer.set(Habits { wordless: true, ..Habits::default() });
    lab.send("after", &records("after", 10), None);
    assert_eq!(lab.settle(1), delivered(&["after"]));
}

/// It has read our end with the record, so that its own comes after ours, and looks as if it had accepted everything.
#[test]
fn where_the_program_reads_late_as_well() {
    let habits = Habits { latency: Some(Duration::from_millis(300)), ..dislikes() };
    let lab = Lab::tls(pki_tls(), habits, CLOSE);
    let objects: Vec<_> = (0..240)
        .map(|number| {
            let mut records = records(&format!("o{number:03}"), 10);
            if number % 80 == 20 {
                records[3].push_str(POISON);
            }
            records
        })
        .collect();
    for (number, records) in objects.iter().enumerate() {
        lab.send(&format!("o{number:03}"), records, None);
        std::thread::sleep(Duration::from_millis(50));
    }
    let is_rejected = |(_, outcome): &Settled| *outcome == Outcome::Reject;
    assert_eq!(lab.settle(240).into_iter().filter(is_rejected).count(), 3);
    assert_taken(&lab.peer, &objects);
    assert_eq!(lab.sent().refused, 3);
}

#[test]
fn among_octet_counted_ones_as_well() {
    one_record_is_refused(&Lab::plain(dislikes(), Options { senders: 1, ..TWO }), counted);
}

#[test]
fn in_gzip_members_as_well() {
    one_record_is_refused(&Lab::plain(dislikes(), Options { gzip: true, ..TWO }), |records| records);
}

#[test]
fn several_such_records_are_refused_wherever_they_are() {
    let lab = Lab::plain(dislikes(), TWO);
    let mut objects: Vec<_> = (0..4).map(|number| records(&format!("o{number}"), 40)).collect();
    for (object, record) in [(0, 0), (0, 1), (2, 39)] {
        objects[object][record].push_str(POISON);
    }
    for (number, records) in objects.iter().enumerate() {
        lab.send(&format!("o{number}"), records, None);
    }
    let settled = lab.settle(4);
    let outcomes: Vec<_> = settled.iter().map(|(_, outcome)| *outcome).collect();
    use Outcome::{Delivered, Reject};
    assert_eq!(outcomes, [Reject, Delivered, Reject, Delivered]);
    assert_taken(&lab.peer, &objects);
    assert_eq!(lab.sent().refused, 3);
}

#[test]
fn the_rest_of_a_lane_stays_in_order() {
    let lab = Lab::plain(dislikes(), Options { senders: 1, ..TWO });
    let groups = [1, 2];
    for batch in 0..12 {
        for group in groups {
            let mut records = records(&format!("g{group}b{batch:02}"), 10);
            if (group, batch) == (1, 5) {
                records[4].push_str(POISON);
            }
            lab.send(&format!("g{group}b{batch:02}"), &records, Some(group));
        }
    }
    let rejected: Vec<_> =
        lab.settle(24).into_iter().filter(|(_, outcome)| *outcome != Outcome::Delivered).collect();
    assert_eq!(rejected, [("g1b05".to_owned(), Outcome::Reject)]);
    for group in groups {
        let mut first: Vec<(usize, usize)> = Vec::new();
        for frame in lab.peer.frames() {
            let Some((_, name)) = frame.split_once(&format!(" t: g{group}b")) else { continue };
            let name = name.split_once('.').unwrap().0;
            let (batch, record) = name.split_once('-').unwrap();
            let place = (batch.parse().unwrap(), record.parse().unwrap());
            if !first.contains(&place) {
                first.push(place);
            }
        }
        assert!(first.is_sorted(), "group {group} came as {first:?}");
        assert_eq!(first.len(), if group == 1 { 119 } else { 120 });
    }
}

#[test]
fn what_nobody_would_bring_again_is_left_out() {
    let lab = Lab::plain(dislikes(), TWO);
    lab.send("good", &records("good", 1), None);
    assert_eq!(lab.settle(1), delivered(&["good"]));
    let mut page = records("page", 30);
    page[7].push_str(POISON);
    lab.send_of("page", false, &page, None);
    assert_eq!(lab.settle(1), delivered(&["page"]));
    assert_eq!(lab.sent().refused, 1);
    assert_taken(&lab.peer, &[page]);
}

/// The peer is good, then ends every connection for a while, then is good again.
fn nothing_is_refused(habits: Habits) {
    let lab = Lab::plain(Habits::default(), TWO);
    let before = records("before", 10);
    lab.send("before", &before, None);
    assert_eq!(lab.settle(1), delivered(&["before"]));
    lab.peer.set(habits);
    let objects: Vec<_> = (0..4).map(|number| records(&format!("o{number}"), 3)).collect();
    for (number, records) in objects.iter().enumerate() {
        lab.send(&format!("o{number}"), records, None);
    }
    lab.settles_nothing_for(Duration::from_secs(8));
    assert_eq!(lab.sent().refused, 0);
    lab.peer.set(Habits::default());
    assert_eq!(lab.settle(4), delivered(&["o0", "o1", "o2", "o3"]));
    assert_taken(&lab.peer, &objects);
}

#[test]
fn nothing_is_refused_by_a_peer_that_takes_nothing() {
    nothing_is_refused(Habits { takes_nothing: true, ..Habits::default() });
}

#[test]
fn nothing_is_refused_by_a_peer_that_closes_at_once() {
    nothing_is_refused(Habits { refuses: true, ..Habits::default() });
}

/// A peer that closes repeatedly gets everything, with a proportionate number of repeats.
fn is_served(lab: &Lab, count: usize) {
    let objects: Vec<_> = (0..count).map(|number| records(&format!("o{number:02}"), 100)).collect();
    for (number, records) in objects.iter().enumerate() {
        lab.send(&format!("o{number:02}"), records, None);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(lab.settle(count).iter().all(|(_, outcome)| *outcome == Outcome::Delivered));
    assert_taken(&lab.peer, &objects);
    let sent = lab.sent();
    assert_eq!(sent.refused, 0);
    assert!(sent.repeated <= 6 * sent.events, "{} repeats of {}", sent.repeated, sent.events);
}

#[test]
fn connections_may_live_for_less_than_the_settling_time() {
    let habits = Habits { lifetime: Some(Duration::from_millis(300)), ..Habits::default() };
    is_served(&Lab::tls(pki_tls(), habits.clone(), TWO), 60);
    is_served(&Lab::plain(habits, TWO), 60);
}

#[test]
fn connections_may_take_a_few_bytes_only() {
    // A batch has some 8 kB.
    let habits = Habits { bytes: Some(20_000), ..Habits::default() };
    is_served(&Lab::tls(pki_tls(), habits.clone(), TWO), 12);
    is_served(&Lab::plain(habits.clone(), TWO), 12);
    is_served(&Lab::tls(pki_tls(), habits, CLOSE), 12);
}

fn tls13(
    change: impl FnOnce(&Pki, &mut ServerConfig),
    verifier: impl FnOnce(SlowVerifier) -> SlowVerifier,
) -> (Pki, ServerConfig) {
    let pki = Pki::generate().unwrap();
    let slow = SlowVerifier { verifier: pki.verifier().unwrap(), time: Duration::ZERO, refuses: false };
    let mut config = pki.server_config_of(&[&rustls::version::TLS13], Arc::new(verifier(slow))).unwrap();
    change(&pki, &mut config);
    (pki, config)
}

#[test]
fn a_late_refusal_of_our_certificate_confirms_nothing() {
    let late = |slow| SlowVerifier { time: Duration::from_secs(3), refuses: true, ..slow };
    let lab = Lab::tls(tls13(|_, _| (), late), Habits::default(), TWO);
    lab.send("o", &records("o", 10), None);
    lab.settles_nothing_for(Duration::from_secs(8));
    assert!(lab.telemetry.outputs[0].health.trouble().is_some_and(|trouble| trouble.is_lasting()));
    assert_eq!(lab.peer.frames().len(), 0);
}

#[test]
fn a_late_acceptance_confirms() {
    let late = |slow| SlowVerifier { time: Duration::from_secs(3), ..slow };
    let lab = Lab::tls(tls13(|_, _| (), late), Habits::default(), TWO);
    lab.send("o", &records("o", 10), None);
    assert_eq!(lab.settle(1), delivered(&["o"]));
    assert_eq!(lab.peer.frames().len(), 10);
}

#[test]
fn a_peer_that_sends_no_tickets_confirms_by_its_orderly_end() {
    let lab = Lab::tls(tls13(|_, config| config.send_tls13_tickets = 0, |slow| slow), Habits::default(), TWO);
    for number in 0..3 {
        let name = format!("o{number}");
        lab.send(&name, &records(&name, 10), None);
        assert_eq!(lab.settle(1), delivered(&[&name]));
    }
    assert!(lab.peer.connections() >= 3, "each was confirmed by a connection's end");
    assert!(lab.telemetry.outputs[0].health.trouble().is_none());
    assert_eq!(lab.sent().repeated, 0);
}

/// Its kernel acknowledges the bytes, but its program reads nothing of them, and dies. Whatever has been confirmed by
/// then is lost.
fn a_dying_program_costs_nothing(lab: &Lab) {
    let objects: Vec<_> = (0..20).map(|number| records(&format!("o{number:02}"), 100)).collect();
    for (number, records) in objects.iter().enumerate() {
        lab.send(&format!("o{number:02}"), records, None);
    }
    lab.settles_nothing_for(2 * SETTLE_TIME);
    lab.peer.set(Habits::default());
    assert!(lab.settle(20).iter().all(|(_, outcome)| *outcome == Outcome::Delivered));
    assert_taken(&lab.peer, &objects);
    assert_eq!(lab.sent().refused, 0);
}

#[test]
fn what_a_program_has_not_read_is_not_confirmed_by_its_kernel() {
    let dies = Habits { dies: Some(3 * SETTLE_TIME), ..Habits::default() };
    a_dying_program_costs_nothing(&Lab::tls(pki_tls(), dies.clone(), CLOSE));
    a_dying_program_costs_nothing(&Lab::plain(dies, CLOSE));
}

/// The program is in a crash loop: it dies again and again, for so long that batches are sent apart from the others.
#[test]
fn what_a_program_never_reads_is_never_confirmed_however_often_it_dies() {
    let dies = Habits { dies: Some(SETTLE_TIME + SETTLE_TIME / 2), ..Habits::default() };
    let one = || Options { senders: 1, ..CLOSE };
    for lab in [Lab::tls(pki_tls(), dies.clone(), one()), Lab::plain(dies.clone(), one())] {
        let records = records("a", 100);
        lab.send("a", &records, None);
        while lab.peer.connections() < 2 * SUSPECT_STRIKES as usize + 4 {
            lab.settles_nothing_for(SETTLE_TIME);
        }
        lab.peer.set(Habits::default());
        assert_eq!(lab.settle(1), delivered(&["a"]));
        assert_taken(&lab.peer, &[records]);
        assert_eq!(lab.sent().refused, 0);
    }
}

#[test]
fn connections_overlap_while_their_ends_are_waited_for() {
    let lab = Lab::tls(pki_tls(), Habits::default(), Options { senders: 1, ..CLOSE });
    for number in 0..40 {
        let name = format!("o{number:02}");
        lab.send(&name, &records(&name, 100), None);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(lab.settle(40).iter().all(|(_, outcome)| *outcome == Outcome::Delivered));
    assert!(lab.peer.connections() >= 3);
    assert_eq!(lab.sent().repeated, 0);
}

/// After an outage its connections carry little, and each that is closed shows that more works.
#[test]
fn a_peer_that_leaves_connections_open_gets_full_ones_again_after_an_outage() {
    let lab = Lab::tls(
        pki_tls(),
        Habits { takes_nothing: true, ..Habits::default() },
        Options { senders: 1, ..TWO },
    );
    lab.send("first", &records("first", 10), None);
    while lab.peer.connections() < 6 {
        lab.settles_nothing_for(SETTLE_TIME);
    }
    lab.peer.set(Habits { keeps: true, ..Habits::default() });
    assert_eq!(lab.settle(1), delivered(&["first"]));
    let before = lab.peer.connections();
    let names = (0..120).map(|number| format!("o{number:03}")).collect::<Vec<_>>();
    names.iter().for_each(|name| lab.send(name, &records(name, 2000), None));
    assert!(lab.settle(names.len()).iter().all(|(_, outcome)| *outcome == Outcome::Delivered));
    // Eight, unless this machine stands still now and then: a pause ends a connection that carries little.
    let opened = lab.peer.connections() - before;
    assert!(opened <= names.len() / 4, "{opened} connections for {} batches", names.len());
    assert!(lab.telemetry.outputs[0].health.trouble().is_none());
}

#[test]
fn the_order_of_a_lane_outlasts_the_ends_of_connections() {
    let lab = Lab::plain(Habits { bytes: Some(4_000), ..Habits::default() }, Options { senders: 1, ..CLOSE });
    for batch in 0..30 {
        lab.send(&format!("b{batch:02}"), &records(&format!("b{batch:02}"), 10), Some(1));
    }
    assert_eq!(lab.settle(30).len(), 30);
    let mut first: Vec<String> = Vec::new();
    for frame in lab.peer.frames() {
        let name = frame.split_once(" t: ").unwrap().1.split_once('.').unwrap().0.to_owned();
        if !first.contains(&name) {
            first.push(name);
        }
    }
    assert!(first.is_sorted(), "{first:?}");
    assert_eq!(first.len(), 300);
}

#[test]
fn a_handshake_that_drips_is_given_up() {
    let lab = Lab::tls(pki_tls(), Habits { drips: true, ..Habits::default() }, Options { senders: 1, ..TWO });
    lab.send("o", &records("o", 10), None);
    let trouble = || lab.telemetry.outputs[0].health.trouble().map(|trouble| trouble.message);
    let told = || trouble().is_some_and(|message| message.contains("did not complete the TLS handshake"));
    let begun = std::time::Instant::now();
    while !told() {
        assert!(begun.elapsed() < PATIENCE, "{:?}", trouble());
        std::thread::sleep(Duration::from_millis(50));
    }
    lab.peer.set(Habits::default());
    assert_eq!(lab.settle(1), delivered(&["o"]));
}
