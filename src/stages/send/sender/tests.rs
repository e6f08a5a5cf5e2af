//! A sender's steps, on a clock that only waiting moves.

use std::time::Duration;

use super::super::scripted_testing::{self as scripted, Act, Conduct, Series};
use super::super::sender_testing::{Lab, with_lab};
use super::super::throttle::Throttle;
use super::super::wire::Network;
use super::*;
use crate::ack::{Ack, Outcome};
use crate::base::limits::{
    SEND_BARREN_CONNECTIONS, SEND_CUTS_MAX, SEND_GOODBYE_PROBES, SEND_IDLE_TIMEOUT, SEND_VERDICT_TIMEOUT,
    SETTLE_TIME, SUSPECT_STRIKES, SUSPECTS_TOGETHER,
};
use crate::base::locks::lock;
use crate::settings::Rates;

impl Lab {
    /// Serves one connection with some batches of so many records, after which there is no more work.
    fn session(&mut self, batches: &[usize], next: &[Conduct]) -> Result<(), Error> {
        let (work, batches_taken) = channel::unbounded();
        self.sender.batches = batches_taken;
        for records in batches {
            work.send(self.batch(*records, true)).unwrap();
        }
        drop(work);
        self.next.lock().unwrap().extend(next);
        self.sender.session(&mut self.backoff)
    }

    /// A session on the next connection.
    fn open(&self) -> Session {
        let shared = &self.sender.shared;
        let connection = Connection::open(&shared.peer).unwrap();
        Session::new(connection, Arc::clone(&self.sender.telemetry), shared)
    }

    /// Batches that another connection must send.
    fn returned(&self) -> Vec<Batch> {
        std::iter::from_fn(|| self.sender.returned.1.try_recv().ok()).collect()
    }
}

#[test]
fn a_verdict_is_waited_for_unless_earlier_ends_have_confirmed() {
    with_lab(|mut lab| {
        let mut waits = |confirmation, has_confirmed: bool, trouble: Option<bool>| {
            let (_, peer) = scripted::tls(&lab.clock, rustls::DEFAULT_VERSIONS, 0);
            let shared = &mut lab.sender.shared;
            (shared.peer, shared.confirmation) = (peer, confirmation);
            *shared.caution() = Caution::default();
            if has_confirmed {
                shared.caution().outlived(0, false);
            }
            shared.telemetry.health.works();
            if let Some(is_lasting) = trouble {
                shared.telemetry.health.failed("refused", is_lasting);
            }
            let before = lab.clock.passed();
            lab.sender.connect().unwrap();
            lab.clock.passed() - before
        };
        assert_eq!(waits(Confirmation::Close, true, None), Duration::ZERO);
        assert_eq!(waits(Confirmation::Close, true, Some(false)), Duration::ZERO);
        assert_eq!(
            waits(Confirmation::Close, true, Some(true)),
            SEND_VERDICT_TIMEOUT,
            "it may be refused again"
        );
        assert_eq!(waits(Confirmation::Close, false, None), SEND_VERDICT_TIMEOUT);
        assert_eq!(waits(Confirmation::Acknowledgement, true, None), SEND_VERDICT_TIMEOUT);
    });
}

#[test]
fn what_a_good_connection_took_is_confirmed() {
    with_lab(|mut lab| {
        lab.session(&[2, 3], &[Conduct::Good]).unwrap();
        assert_eq!([lab.settled.1.try_recv(), lab.settled.1.try_recv()], [Ok(Outcome::Delivered); 2]);
        assert_eq!((lab.sent().events, lab.returned().len(), lab.sender.shared.caution().ends()), (5, 0, 0));
    });
}

#[test]
fn what_was_on_a_connection_that_the_peer_ended_is_struck_and_sent_again() {
    with_lab(|mut lab| {
        lab.sender.shared.caution().accepted();
        assert!(lab.session(&[2, 3], &[Conduct::EndsWhenSent]).unwrap_err().is_end());
        let returned = lab.returned();
        assert!(!returned.is_empty() && returned.iter().all(|batch| batch.trial.strikes == 1));
        assert_eq!(lab.sender.shared.caution().ends(), 1);
    });
}

#[test]
fn an_outage_strikes_nothing() {
    with_lab(|mut lab| {
        assert!(matches!(lab.session(&[2], &[Conduct::Refuses]), Err(Error::Connect { .. })));
        assert!(lab.session(&[2], &[Conduct::Stalls]).unwrap_err().is_slowness());
        assert!(lab.returned().iter().all(|batch| batch.trial.strikes == 0));
        // Nothing was on it, so that its end says nothing about what is sent.
        assert!(lab.session(&[], &[Conduct::EndsAtOnce]).is_err());
        assert_eq!(lab.sender.shared.caution().ends(), 0);
    });
}

#[test]
fn one_that_stands_by_leaves_a_peer_that_it_cannot_reach_to_the_others() {
    with_lab(|mut lab| {
        let (calls, called) = channel::bounded(1);
        let mut standby = Standby::new(called);
        calls.send(()).unwrap();
        standby.wait().unwrap();
        standby.works(clock::now());
        lab.sender.standby = Some(standby);
        lab.session(&[], &[Conduct::Refuses]).unwrap();
        assert!(!lab.sender.standby.as_ref().unwrap().is_called());
        assert!(lab.sender.shared.telemetry.health.trouble().is_none());
        assert_eq!(lab.sender.shared.telemetry.send.failed_connections.value(), 1);
        assert!(lab.clock.passed() > Duration::ZERO, "it pauses");
        lab.sender.shared.abort.stop();
        lab.session(&[], &[Conduct::Refuses]).unwrap();
    });
}

#[test]
fn work_is_a_batch_or_suspects_that_are_due_and_ends_with_the_last_of_both() {
    with_lab(|mut lab| {
        lab.work.send(lab.batch(1, true)).unwrap();
        assert!(matches!(lab.sender.wait_for_work(&mut lab.backoff), Some(Work::Session)));
        assert_eq!(lab.returned().len(), 1, "it is put where the session takes it");
        let mut later = lab.batch(1, true);
        later.trial.strikes = 100;
        later.trial.not_before = Some(clock::now() + SEND_IDLE_TIMEOUT);
        lab.sender.shared.caution().put(later);
        drop(std::mem::replace(&mut lab.work, channel::unbounded().0));
        let before = lab.clock.passed();
        let Some(Work::Suspects(suspects)) = lab.sender.wait_for_work(&mut lab.backoff) else {
            panic!("suspects")
        };
        assert_eq!(suspects.len(), 1);
        assert_eq!(lab.sender.shared.telemetry.send.waiting.value(), -1, "it waits no longer");
        assert!(lab.clock.passed() - before >= SEND_IDLE_TIMEOUT, "not before they are due");
        assert!(lab.sender.wait_for_work(&mut lab.backoff).is_none());
    });
}

#[test]
fn the_peer_is_asked_whether_it_accepts_us_if_a_connection_ends_with_something_on_it_before_that_shows() {
    with_lab(|mut lab| {
        for (is_sent, asks) in [(false, 0), (true, 1)] {
            let (script, mut peer) = scripted::tls(&lab.clock, rustls::DEFAULT_VERSIONS, 0);
            let series = Series::of([script]);
            peer.network = Network::over(series.clone());
            lab.sender.shared.peer = peer;
            let shared = lab.sender.shared.clone();
            let mut session = lab.open();
            if is_sent {
                session.write(vec![lab.batch(1, true)], &shared);
            }
            let closed = Err(Error::Closed { peer: "the peer".into(), when: "" });
            assert!(lab.sender.dissolve(session, closed).is_err());
            assert_eq!(series.refused(), asks);
            assert_eq!(shared.caution().ends(), 0, "it may be our certificate that the peer does not like");
        }
        assert_eq!(lab.returned().iter().map(|batch| batch.trial.strikes).collect::<Vec<_>>(), [0]);
    });
}

#[test]
fn a_goodbye_is_asked_for_only_after_some_ends_without_one() {
    with_lab(|mut lab| {
        let ends = |lab: &mut Lab, cuts: u32, end: Result<(), Error>| {
            let shared = lab.sender.shared.clone();
            *shared.caution() = Caution::default();
            shared.caution().answered(true);
            for _ in 0..cuts {
                shared.caution().answered(false);
            }
            lab.next.lock().unwrap().clear();
            lab.next.lock().unwrap().extend([Conduct::Good; 1 + SEND_GOODBYE_PROBES as usize]);
            let session = lab.open();
            let _ = lab.sender.dissolve(session, end);
            let forgets = shared.caution().answered(false);
            (SEND_GOODBYE_PROBES as usize - lab.next.lock().unwrap().len(), forgets)
        };
        let cut = || Err(Error::Cut { peer: "the peer".into() });
        assert_eq!(ends(&mut lab, SEND_CUTS_MAX - 1, cut()), (0, false));
        assert_eq!(ends(&mut lab, SEND_CUTS_MAX, Ok(())), (0, false));
        // Over plain TCP, which these connections are, the first one cannot show it.
        assert_eq!(ends(&mut lab, SEND_CUTS_MAX, cut()), (1, false));
    });
}

#[test]
fn whether_idle_connections_live_is_tried_once_nothing_is_confirmed_any_more() {
    with_lab(|mut lab| {
        let tries = |lab: &mut Lab, next: &[Conduct]| {
            let before = lab.clock.passed();
            lab.next.lock().unwrap().extend(next);
            let tried = lab.sender.try_lifetime();
            assert!(lab.next.lock().unwrap().is_empty(), "nothing was tried");
            (tried.is_ok(), lab.clock.passed() - before >= SEND_LIFETIME_MIN)
        };
        assert_eq!(tries(&mut lab, &[]), (true, false), "there is no reason yet");
        let barren = |lab: &Lab| {
            *lab.sender.shared.caution() = Caution::default();
            (0..SEND_BARREN_CONNECTIONS).for_each(|_| lab.sender.shared.caution().ended(true, clock::now()));
        };
        barren(&lab);
        assert_eq!(tries(&mut lab, &[Conduct::Refuses]), (false, false), "which says nothing");
        assert!(lab.sender.shared.caution().wants_trial(clock::now()));
        assert_eq!(tries(&mut lab, &[Conduct::Good]), (true, true));
        let now = clock::now();
        assert!(!lab.sender.shared.caution().is_hasty() && !lab.sender.shared.caution().wants_trial(now));
        barren(&lab);
        assert_eq!(tries(&mut lab, &[Conduct::EndsAtOnce]), (true, false));
        assert!(lab.sender.shared.caution().is_hasty());
        // A session begins with it.
        barren(&lab);
        lab.session(&[1], &[Conduct::EndsAtOnce, Conduct::Good]).unwrap();
    });
}

#[test]
fn one_that_stands_by_sends_when_called_and_rests_after_a_time_without_work() {
    with_lab(|mut lab| {
        assert_eq!(lab.sender.stand_by(), Ok(()), "one that does not stand by");
        lab.sender.rest();
        let (calls, called) = channel::bounded(1);
        let shared = lab.sender.shared.clone();
        lab.sender.standby = Some(Standby::new(called));
        shared.telemetry.leave(&lab.sender.telemetry);
        assert_eq!(lab.sender.stand_by(), Err(RecvTimeoutError::Timeout));
        assert_eq!((shared.telemetry.sending(), lab.clock.passed()), (0, SEND_WAIT_SLICE));
        calls.send(()).unwrap();
        assert_eq!(lab.sender.stand_by(), Ok(()));
        assert_eq!(lab.sender.stand_by(), Ok(()), "it is called once");
        assert_eq!(shared.telemetry.sending(), 1);

        lab.clock.pass(SEND_IDLE_TIMEOUT - Duration::from_millis(1));
        lab.sender.rest();
        assert_eq!(shared.telemetry.sending(), 1);
        lab.clock.pass(Duration::from_millis(1));
        let session = lab.open();
        lab.sender.endings.push_back(Ending::new(session));
        lab.sender.rest();
        assert_eq!(shared.telemetry.sending(), 1, "a connection is still left to its peer");
        lab.sender.endings.clear();
        lab.sender.rest();
        assert_eq!(shared.telemetry.sending(), 0);
        drop(calls);
        assert!(lab.sender.wait_for_work(&mut lab.backoff).is_none(), "nobody will call");
    });
}

#[test]
fn a_lane_keeps_its_order_and_holds_back_no_other() {
    with_lab(|mut lab| {
        let (lane, of_lane) = channel::unbounded();
        lab.sender.lane = of_lane;
        let batch = |lab: &Lab, lane, records, strikes| {
            let mut batch = lab.batch(records, true);
            (batch.lane, batch.trial.strikes) = (lane, strikes);
            batch.trial.not_before = (strikes > 0).then(|| clock::now() + SEND_IDLE_TIMEOUT);
            batch
        };
        for (of, records, strikes) in [(1, 1, SUSPECT_STRIKES), (1, 2, 0), (2, 3, 0), (2, 4, 0)] {
            let kept = batch(&lab, Some(of), records, strikes);
            lab.sender.kept.push_back(kept);
        }
        let take = |lab: &mut Lab| lab.sender.take(SEND_WAIT_SLICE).map(|batch| batch.events);
        assert_eq!(take(&mut lab), Ok(3), "the first of its lane that is no suspect");
        let fourth = lab.sender.take(SEND_WAIT_SLICE).unwrap();
        lab.sender.put_back(fourth);
        assert_eq!(lab.sender.kept.front().map(|batch| batch.events), Some(4));
        lane.send(batch(&lab, Some(1), 5, 0)).unwrap();
        assert_eq!(take(&mut lab), Ok(4));
        assert_eq!(take(&mut lab), Err(RecvTimeoutError::Timeout), "it must not overtake the suspect");
        lane.send(batch(&lab, Some(3), 6, 0)).unwrap();
        assert_eq!(take(&mut lab), Ok(6));
        lab.work.send(batch(&lab, None, 7, 0)).unwrap();
        assert_eq!(take(&mut lab), Ok(7));
        assert_eq!(lab.sender.kept.iter().map(|batch| batch.events).collect::<Vec<_>>(), [1, 2, 5]);

        assert!(!lab.sender.has_due_suspect() && lab.sender.due_suspects().is_empty());
        lab.clock.pass(SEND_IDLE_TIMEOUT);
        assert!(lab.sender.has_due_suspect());
        let due: Vec<_> = lab.sender.due_suspects().iter().map(|batch| batch.events).collect();
        assert_eq!(due, [1]);
        assert_eq!(take(&mut lab), Ok(2), "its lane goes on");
    });
}

#[test]
fn suspects_of_different_lanes_share_a_connection_as_far_as_each_may() {
    with_lab(|mut lab| {
        let [most, few] = SUSPECTS_TOGETHER;
        let mut due = |strikes: &[u32]| {
            for (number, strikes) in strikes.iter().enumerate() {
                let mut batch = lab.batch(1, true);
                (batch.lane, batch.trial.strikes) = (Some(number as u64), *strikes);
                lab.sender.kept.push_back(batch);
            }
            let due = lab.sender.due_suspects().len();
            lab.sender.kept.clear();
            due
        };
        assert_eq!(due(&vec![SUSPECT_STRIKES; most + 5]), most);
        assert_eq!(due(&[SUSPECT_STRIKES; 3]), 3);
        let mut mixed = vec![SUSPECT_STRIKES; most];
        mixed[1] += 1;
        assert_eq!(due(&mixed), few);
    });
}

#[test]
fn work_is_waited_for_until_a_worker_wakes_it_and_only_where_it_may_be_taken() {
    with_lab(|mut lab| {
        let (lane, of_lane) = channel::unbounded();
        let (wake, woken) = channel::bounded(1);
        (lab.sender.lane, lab.sender.woken) = (of_lane, woken);
        let time = Duration::from_secs(7);
        let wait = |lab: &Lab| {
            let before = lab.clock.passed();
            (lab.sender.wait_for_batch(time).map(|batch| batch.events), lab.clock.passed() - before)
        };
        let nothing = Err(RecvTimeoutError::Timeout);
        assert_eq!(wait(&lab), (nothing, time));
        for (records, to) in [(1, &lab.work), (2, &lane), (3, &lab.sender.returned.0)] {
            to.send(lab.batch(records, true)).unwrap();
        }
        wake.send(()).unwrap();
        assert_eq!(wait(&lab), (nothing, Duration::ZERO), "a worker has left something to do");
        for (records, why) in [(3, "what comes back is first"), (2, "its lane"), (1, "what others may take")]
        {
            assert_eq!(wait(&lab), (Ok(records), Duration::ZERO), "{why}");
        }
        // It holds as many of a lane as it may.
        for _ in 0..BATCHES_HELD_MAX {
            let held = lab.batch(1, true);
            lab.sender.kept.push_back(held);
        }
        lane.send(lab.batch(4, true)).unwrap();
        assert_eq!(wait(&lab), (nothing, time));
        lab.sender.kept.pop_back();
        assert_eq!(wait(&lab), (Ok(4), Duration::ZERO));
        drop(lane);
        assert_eq!(wait(&lab).0, Err(RecvTimeoutError::Disconnected));
        assert!(lab.sender.has_suspects());
        lab.sender.kept.clear();
        assert!(!lab.sender.has_suspects());
    });
}

#[test]
fn connections_are_left_to_their_peers_only_while_that_goes_well() {
    with_lab(|mut lab| {
        let shared = lab.sender.shared.clone();
        assert!(lab.sender.may_leave());
        lab.sender.wary = true;
        assert!(!lab.sender.may_leave());
        lab.sender.wary = false;
        shared.caution().crowded(clock::now());
        assert!(!lab.sender.may_leave());
        *shared.caution() = Caution::default();
        for _ in 0..SEND_ENDINGS_MAX {
            assert!(lab.sender.may_leave());
            let session = lab.open();
            lab.sender.endings.push_back(Ending::new(session));
        }
        assert!(!lab.sender.may_leave());
    });
}

#[test]
fn a_sender_goes_on_with_another_connection_where_a_full_one_may_be_left() {
    with_lab(|mut lab| {
        lab.sender.shared.confirmation = Confirmation::Close;
        lab.sender.shared.window_bytes = 1;
        for (wary, left) in [(false, 1), (true, 0)] {
            lab.sender.wary = wary;
            lab.sender.endings.clear();
            lab.session(&[2], &[Conduct::Good]).unwrap();
            assert_eq!(lab.sender.endings.len(), left);
        }
    });
}

#[test]
fn a_confirmation_ends_a_trouble_and_an_empty_connection_does_not() {
    with_lab(|mut lab| {
        let telemetry = Arc::clone(&lab.sender.shared.telemetry);
        let longest = (0..3).map(|_| lab.backoff.pause()).max().unwrap();
        telemetry.health.failed("an outage", false);
        lab.session(&[], &[Conduct::Good]).unwrap();
        assert!(telemetry.health.trouble().is_some());
        lab.session(&[1], &[Conduct::Good]).unwrap();
        assert!(telemetry.health.trouble().is_none());
        assert!(lab.backoff.pause() < longest, "it begins again with a short one");
    });
}

#[test]
fn what_a_connection_confirms_while_it_is_open_ends_a_trouble_too() {
    with_lab(|mut lab| {
        let (connection, script, peer) = scripted::secure(&lab.clock);
        lab.sender.shared.peer = peer;
        let shared = lab.sender.shared.clone();
        let mut session = Session::new(connection, Arc::clone(&lab.sender.telemetry), &shared);
        session.write(vec![lab.batch(1, true)], &shared);
        lab.sender.desk.open(session);
        script.now(Act::Acknowledge(u64::MAX / 2));
        shared.telemetry.health.failed("an outage", false);
        lab.sender.attend(&mut lab.backoff).unwrap();
        assert!(shared.telemetry.health.trouble().is_some());
        lab.clock.pass(SETTLE_TIME);
        lab.sender.attend(&mut lab.backoff).unwrap();
        assert!(shared.telemetry.health.trouble().is_none());
    });
}

#[test]
fn small_batches_share_a_write_up_to_the_size_of_one() {
    with_lab(|mut lab| {
        let shared = lab.sender.shared.clone();
        let batch = |bytes: usize| {
            let ack = Ack::open(|_| ());
            Batch::new(Arc::new(vec![b'x'; bytes].into()), 1, ack.share())
        };
        let mut left = |sizes: &[usize], allowance: Option<u32>, events_per_second: Option<u64>| {
            let rates = Rates { events_per_second, bytes_per_second: None };
            *lock(&shared.throttle) = Throttle::new(rates, clock::now());
            *shared.caution() = Caution::default();
            if allowance.is_some() {
                (0..SEND_BARREN_CONNECTIONS).for_each(|_| shared.caution().ended(true, clock::now()));
            }
            lab.sender.desk.open(lab.open());
            let (work, batches) = channel::unbounded();
            lab.sender.batches = batches;
            sizes[1..].iter().for_each(|size| work.send(batch(*size)).unwrap());
            lab.sender.send(batch(sizes[0]));
            drop(lab.sender.desk.close());
            std::iter::from_fn(|| lab.sender.batches.try_recv().ok()).count()
        };
        assert_eq!(left(&[10, 10, 10], None, None), 0);
        assert_eq!(left(&[1, BATCH_BYTES - 2, 10, 10], None, None), 1);
        assert_eq!(left(&[1, BATCH_BYTES - 1, 10], None, None), 1);
        assert_eq!(left(&[BATCH_BYTES, 10], None, None), 1);
        assert_eq!(left(&[10, 10, 10], Some(1), None), 2, "a connection may carry one");
        assert_eq!(left(&[10, 10, 10, 10, 10], None, Some(1)), 4, "the rate allows one");
    });
}

#[test]
fn a_batch_that_was_on_too_many_connections_waits_to_be_sent_apart() {
    with_lab(|mut lab| {
        for (strikes, is_suspect) in [(SUSPECT_STRIKES - 2, false), (SUSPECT_STRIKES - 1, true)] {
            let mut batch = lab.batch(2, true);
            batch.trial.strikes = strikes;
            let mut window = Window::default();
            window.push(batch, 1, clock::now());
            lab.sender.give_back(window, true);
            assert_eq!(lab.returned().is_empty(), is_suspect);
            assert_eq!(lab.sender.shared.caution().has_suspects(), is_suspect);
        }
    });
}

#[test]
fn what_was_sent_and_returned_is_counted() {
    with_lab(|mut lab| {
        lab.sender.shared.caution().accepted();
        let send = Arc::clone(&lab.sender.shared.telemetry);
        let before = send.send.waiting.value();
        lab.session(&[2, 3], &[Conduct::EndsWhenSent]).unwrap_err();
        assert_eq!(lab.sent().repeated, 5);
        assert_eq!(send.send.waiting.value() - before, 0, "two went, two came back");
        assert_eq!(lab.sender.telemetry.unconfirmed.value(), 0);
    });
}
