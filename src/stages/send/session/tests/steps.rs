//! A session's decisions, on a clock that only waiting moves, with a peer that acts at given times.

use std::sync::mpsc;
use std::time::Duration;

use super::super::*;
use crate::ack::{Ack, Outcome};
use crate::base::limits::{
    SEND_BARREN_CONNECTIONS, SEND_CLOSE_TIMEOUT, SEND_PROOF_TIMEOUT, SEND_RESET_TIMEOUT,
};
use crate::base::locks::lock;
use crate::base::runtime::still::Still;
use crate::settings::{Confirmation, Rates};
use crate::stages::send::ending::Ending;
use crate::stages::send::scripted_testing::{self as scripted, Act, Script, plain, secure, tls};
use crate::stages::send::sender_testing;
use crate::stages::send::throttle::Throttle;

const MOMENT: Duration = Duration::from_millis(1);

struct Lab {
    clock: Arc<Still>,
    session: Session,
    script: Script,
    shared: SharedOutput,
    acknowledged: u64,
    settled: (mpsc::Sender<Outcome>, mpsc::Receiver<Outcome>),
}

impl Lab {
    /// A session whose peer is known to have accepted us.
    fn proven(clock: &Arc<Still>, confirmation: Confirmation) -> Lab {
        let (connection, script, peer) = secure(clock);
        Lab::of(clock, connection, script, sender_testing::shared(peer, confirmation))
    }

    /// One over plain TCP, whose peer's program has shown nothing yet.
    fn unproven(clock: &Arc<Still>, confirmation: Confirmation) -> Lab {
        let (connection, script) = plain(clock);
        script.now(Act::Room(usize::MAX));
        let peer = scripted::peer(&script, None);
        Lab::of(clock, connection, script, sender_testing::shared(peer, confirmation))
    }

    fn of(clock: &Arc<Still>, connection: Connection, script: Script, shared: SharedOutput) -> Lab {
        let session = Session::new(connection, shared.telemetry.add_sender("send-devo_1-0"), &shared);
        let acknowledged = script.state().written.len() as u64;
        Lab { clock: Arc::clone(clock), session, script, shared, acknowledged, settled: mpsc::channel() }
    }

    fn batch(&self, bytes: usize) -> Batch {
        let settled = self.settled.0.clone();
        let ack = Ack::open(move |outcome| settled.send(outcome).unwrap());
        let batch = Batch::new(Arc::new(vec![b'x'; bytes].into()), 1, ack.share());
        ack.close(Outcome::Delivered);
        batch
    }

    fn write(&mut self, bytes: usize) {
        let batch = self.batch(bytes);
        self.session.write(vec![batch], &self.shared);
    }

    /// The peer's kernel acknowledges everything.
    fn acknowledge(&mut self) {
        let written = self.script.state().written.len() as u64;
        self.script.now(Act::Acknowledge(written - std::mem::replace(&mut self.acknowledged, written)));
    }

    fn attend(&mut self) -> (Next, u32) {
        self.session.attend(&self.shared).unwrap()
    }

    /// The next action after a time in which nothing happens.
    fn next_after(&mut self, time: Duration) -> Next {
        self.clock.pass(time);
        self.attend().0
    }

    fn unconfirmed(&self) -> i64 {
        self.session.telemetry.unconfirmed.value()
    }
}

#[test]
fn batches_are_confirmed_when_their_connection_has_outlived_their_acknowledgement() {
    Still::run(|clock| {
        let mut lab = Lab::proven(&clock, Confirmation::Acknowledgement);
        assert_eq!(lab.attend(), (Next::Batch(SEND_WAIT_SLICE), 0));
        lab.write(1000);
        lab.write(500);
        assert_eq!(lab.attend(), (Next::Batch(SEND_CONFIRM_INTERVAL), 0));
        assert_eq!((lab.unconfirmed(), lab.session.owed_since().is_some()), (1500, true));
        lab.acknowledge();
        assert_eq!(lab.attend(), (Next::Batch(SEND_CONFIRM_INTERVAL), 0));
        assert!(lab.session.owed_since().is_none());
        assert_eq!(lab.next_after(SETTLE_TIME - MOMENT), Next::Batch(SEND_CONFIRM_INTERVAL));
        assert!(!lab.shared.caution().has_confirmed() && lab.session.is_barren());
        clock.pass(MOMENT);
        assert_eq!(lab.attend(), (Next::Batch(SEND_WAIT_SLICE), 2));
        assert_eq!([lab.settled.1.try_recv(), lab.settled.1.try_recv()], [Ok(Outcome::Delivered); 2]);
        assert!(lab.shared.caution().has_confirmed() && !lab.session.is_barren());
        assert_eq!((lab.unconfirmed(), lab.session.confirmed), (0, 2));
    });
}

#[test]
fn a_peer_that_owes_an_acknowledgement_for_too_long_has_stalled() {
    for confirmation in [Confirmation::Acknowledgement, Confirmation::Close] {
        Still::run(|clock| {
            let mut lab = Lab::proven(&clock, confirmation);
            lab.write(10);
            lab.next_after(SEND_STALL_TIMEOUT - MOMENT);
            clock.pass(MOMENT);
            assert!(matches!(lab.session.attend(&lab.shared), Err(Error::Stalled { .. })));
            let mut lab = Lab::proven(&clock, confirmation);
            lab.write(10);
            lab.acknowledge();
            lab.attend();
            lab.next_after(2 * SEND_STALL_TIMEOUT);
        });
    }
}

#[test]
fn bytes_that_the_socket_did_not_take_are_owed_since_they_were_handed_over() {
    Still::run(|clock| {
        let (connection, script) = plain(&clock);
        let peer = scripted::peer(&script, None);
        let shared = sender_testing::shared(peer, Confirmation::Acknowledgement);
        let mut lab = Lab::of(&clock, connection, script, shared);
        assert!(lab.session.owed_since().is_none());
        let since = clock::now();
        let batch = lab.batch(10);
        lab.session.unfinished.push(batch);
        clock.pass(MOMENT);
        assert_eq!(lab.session.owed_since(), Some(since));
    });
}

#[test]
fn nothing_is_written_beyond_the_window_and_the_rates() {
    Still::run(|clock| {
        let mut lab = Lab::proven(&clock, Confirmation::Acknowledgement);
        lab.shared.window_bytes = 1000;
        lab.write(999);
        assert_eq!(lab.attend().0, Next::Batch(SEND_CONFIRM_INTERVAL));
        assert!(lab.session.is_free(&lab.shared));
        lab.write(1);
        assert_eq!(lab.attend().0, Next::Confirmation(SEND_ROOM_INTERVAL));
        assert!(!lab.session.is_free(&lab.shared));
        lab.acknowledge();
        lab.attend();
        assert_eq!(lab.next_after(SETTLE_TIME), Next::Batch(SEND_WAIT_SLICE));

        let rates = Rates { events_per_second: Some(1), bytes_per_second: None };
        *lock(&lab.shared.throttle) = Throttle::new(rates, clock::now());
        let mut waits = 0;
        for _ in 0..3 {
            assert!(lab.shared.may_send());
            let batch = lab.batch(10);
            lab.shared.pay_for(&batch);
            if lab.shared.may_send() {
                continue;
            }
            waits += 1;
            assert_eq!(lab.attend().0, Next::Rate);
            assert!(!lab.session.is_free(&lab.shared));
            assert_eq!(lab.next_after(SETTLE_TIME), Next::Batch(SEND_WAIT_SLICE));
        }
        assert!(waits > 0);
    });
}

#[test]
fn silence_is_told_of_in_minutes() {
    Still::run(|clock| {
        let lab = Lab::proven(&clock, Confirmation::Close);
        lab.shared.tell_of_silence(Duration::from_secs(120));
        let trouble = lab.shared.telemetry.health.trouble().unwrap();
        assert!(trouble.message.contains("for 2 min"), "{}", trouble.message);
    });
}

#[test]
fn a_connection_whose_end_confirms_is_closed_when_it_would_have_settled() {
    Still::run(|clock| {
        let mut lab = Lab::proven(&clock, Confirmation::Close);
        lab.write(1000);
        lab.acknowledge();
        assert_eq!(lab.attend(), (Next::Batch(SEND_CONFIRM_INTERVAL), 0));
        assert_eq!(lab.next_after(SETTLE_TIME - MOMENT), Next::Batch(SEND_CONFIRM_INTERVAL));
        assert!(!lab.session.is_full);
        assert_eq!(lab.next_after(MOMENT), Next::Close);
        assert!(lab.session.is_full && !lab.session.is_free(&lab.shared));
        assert!(!lab.session.is_empty(), "only its end confirms it");
    });
}

#[test]
fn a_full_window_is_left_to_its_peer_and_ended_soon_unless_it_is_doubted() {
    let full = |clock: &Arc<Still>, prepare: fn(&mut Lab), bytes: usize, lane: Option<u64>, strikes: u32| {
        let mut lab = Lab::proven(clock, Confirmation::Close);
        lab.shared.window_bytes = bytes;
        prepare(&mut lab);
        let mut batch = lab.batch(bytes);
        (batch.lane, batch.trial.strikes) = (lane, strikes);
        lab.session.write(vec![batch], &lab.shared);
        let left = lab.attend().0;
        assert!(lab.session.is_full);
        lab.acknowledge();
        lab.attend();
        let soon = [lab.next_after(SETTLE_TIME_HASTY - MOMENT), lab.next_after(MOMENT)];
        assert_ne!(soon[0], Next::Close);
        let later = lab.next_after(SETTLE_TIME - SETTLE_TIME_HASTY);
        assert_eq!(later, Next::Close);
        (left, soon[1] == Next::Close)
    };
    Still::run(|clock| {
        assert_eq!(full(&clock, |_| (), BATCH_BYTES, None, 0), (Next::Leave, true));
        assert_eq!(full(&clock, |_| (), BATCH_BYTES - 1, None, 0), (Next::Leave, false), "nothing is urgent");
        let waits = Next::Confirmation(SEND_CONFIRM_INTERVAL);
        assert_eq!(full(&clock, |_| (), 10, Some(1), 0), (waits, true), "the next of the lane waits");
        assert_eq!(full(&clock, |_| (), BATCH_BYTES, None, 1), (Next::Leave, false), "a batch is struck");
        let ended = |lab: &mut Lab| lab.shared.caution().ended(false, clock::now());
        assert_eq!(full(&clock, ended, BATCH_BYTES, None, 0), (Next::Leave, false), "the peer has ended one");
        let careful = |lab: &mut Lab| lab.session.allowance = Some(5);
        assert_eq!(full(&clock, careful, BATCH_BYTES, None, 0), (Next::Leave, false), "few are allowed");
        let hasty = |lab: &mut Lab| lab.session.hasty = true;
        let waits = Next::Confirmation(SEND_CONFIRM_INTERVAL);
        assert_eq!(full(&clock, hasty, BATCH_BYTES, None, 0), (waits, true), "connections live shortly");
    });
}

#[test]
fn a_hasty_connection_has_enough_as_soon_as_it_may_settle() {
    Still::run(|clock| {
        let mut lab = Lab::proven(&clock, Confirmation::Close);
        lab.session.hasty = true;
        lab.write(10);
        lab.acknowledge();
        lab.attend();
        assert_eq!(lab.next_after(SETTLE_TIME_HASTY - MOMENT), Next::Batch(SEND_CONFIRM_INTERVAL));
        assert_eq!(lab.next_after(MOMENT), Next::Close);
    });
}

#[test]
fn a_stop_closes_at_once() {
    Still::run(|clock| {
        let mut lab = Lab::proven(&clock, Confirmation::Acknowledgement);
        lab.write(10);
        lab.shared.abort.stop();
        assert_eq!(lab.attend().0, Next::Close);
    });
}

#[test]
fn a_connection_is_over_when_it_is_idle_or_old_or_has_carried_what_it_may() {
    Still::run(|clock| {
        let mut lab = Lab::proven(&clock, Confirmation::Acknowledgement);
        assert_eq!(lab.next_after(SEND_IDLE_TIMEOUT - MOMENT), Next::Batch(SEND_WAIT_SLICE));
        assert_eq!(lab.next_after(MOMENT), Next::Close);
        assert!(!lab.session.is_full, "more could have come");

        let mut lab = Lab::proven(&clock, Confirmation::Acknowledgement);
        lab.write(10);
        assert_eq!(lab.next_after(SEND_IDLE_TIMEOUT), Next::Batch(SEND_CONFIRM_INTERVAL), "it is not idle");

        let mut lab = Lab::proven(&clock, Confirmation::Acknowledgement);
        clock.pass(SEND_RENEWAL - MOMENT);
        lab.session.last_work = clock::now();
        assert_eq!(lab.attend().0, Next::Batch(SEND_WAIT_SLICE));
        assert_eq!(lab.next_after(MOMENT), Next::Close);

        let careful = |clock| {
            let mut lab = Lab::proven(clock, Confirmation::Acknowledgement);
            lab.session.allowance = Some(2);
            assert_eq!(lab.session.allowed(), 2);
            lab.write(10);
            assert_eq!(lab.session.allowed(), 1);
            lab
        };
        let mut lab = careful(&clock);
        assert!(lab.session.is_free(&lab.shared));
        assert_eq!(lab.next_after(SEND_CAREFUL_PAUSE - MOMENT), Next::Batch(SEND_CONFIRM_INTERVAL));
        assert_eq!(lab.next_after(MOMENT), Next::Confirmation(SEND_CONFIRM_INTERVAL));
        let mut lab = careful(&clock);
        lab.write(10);
        assert!(!lab.session.is_free(&lab.shared), "it has carried what it may");
        assert_eq!(lab.attend().0, Next::Confirmation(SEND_CONFIRM_INTERVAL));
    });
}

#[test]
fn what_few_may_carry_is_not_limited_any_more_only_after_an_unlimited_connection() {
    Still::run(|clock| {
        for (limited, allowance) in [(true, Some(1)), (false, None)] {
            let mut lab = Lab::proven(&clock, Confirmation::Acknowledgement);
            (0..SEND_BARREN_CONNECTIONS).for_each(|_| lab.shared.caution().ended(true, clock::now()));
            lab.session.allowance = limited.then_some(5);
            lab.write(10);
            lab.acknowledge();
            lab.attend();
            assert_eq!(lab.shared.caution().allowance(), Some(1), "nothing is confirmed yet");
            lab.next_after(SETTLE_TIME);
            assert_eq!(lab.shared.caution().allowance(), allowance);
        }
    });
}

#[test]
fn an_orderly_end_confirms_the_rest() {
    Still::run(|clock| {
        let mut lab = Lab::proven(&clock, Confirmation::Close);
        lab.write(10);
        lab.acknowledge();
        lab.attend();
        lab.session.begin_end(&lab.shared).unwrap();
        assert!(!lab.session.try_end(&lab.shared).unwrap());
        lab.acknowledge();
        lab.script.now(Act::Goodbye);
        lab.script.now(Act::End);
        clock.pass(MOMENT);
        assert!(!lab.session.try_end(&lab.shared).unwrap(), "a reset could still follow");
        clock.pass(SEND_RESET_TIMEOUT);
        assert!(lab.session.try_end(&lab.shared).unwrap());
        assert_eq!(lab.settled.1.try_recv(), Ok(Outcome::Delivered));
        assert!(lab.shared.caution().has_answered());
    });
}

#[test]
fn a_connection_that_is_left_to_its_peer_is_ended_once_it_has_lived_for_long_enough() {
    Still::run(|clock| {
        let mut lab = Lab::proven(&clock, Confirmation::Close);
        lab.script.after_ours([Act::Goodbye, Act::End]);
        lab.write(10);
        lab.acknowledge();
        lab.attend();
        let Lab { script, shared, session, settled, .. } = lab;
        script.now(Act::Acknowledge(u64::MAX / 2));
        let written = script.state().written.len();
        let mut ending = Ending::new(session);
        clock.pass(SETTLE_TIME - MOMENT);
        assert!(!ending.step(&shared).unwrap());
        assert_eq!(script.state().written.len(), written);
        clock.pass(MOMENT);
        assert!(!ending.step(&shared).unwrap());
        assert!(script.state().written.len() > written, "our close_notify");
        assert!(!ending.step(&shared).unwrap());
        clock.pass(SEND_RESET_TIMEOUT);
        assert!(ending.step(&shared).unwrap());
        assert_eq!(settled.1.try_recv(), Ok(Outcome::Delivered));
    });
}

#[test]
fn an_end_without_a_close_notify_counts_until_the_peer_has_sent_one() {
    Still::run(|clock| {
        let check = |has_said: bool, by_its_end: bool, over_tls: bool| {
            let of = if over_tls { Lab::proven } else { Lab::unproven };
            let lab = of(&clock, Confirmation::Close);
            if has_said {
                lab.shared.caution().answered(true);
            }
            lab.shared.check_goodbye(&lab.session.connection, by_its_end).is_ok()
        };
        assert!(check(false, true, true) && check(true, false, true) && check(true, true, false));
        assert!(!check(true, true, true));
    });
}

#[test]
fn silence_after_our_end_is_no_matter_if_everything_is_confirmed() {
    Still::run(|clock| {
        let silence = |lab: &mut Lab| {
            let silent = Error::Unanswered { peer: "the peer".into(), seconds: 1 };
            let is_well = lab.session.has_ended(Err(silent), &lab.shared).is_ok();
            (is_well, lab.shared.caution().patience() > SEND_PROOF_TIMEOUT)
        };
        let mut lab = Lab::proven(&clock, Confirmation::Acknowledgement);
        assert_eq!(lab.session.patience(&lab.shared), SEND_CLOSE_TIMEOUT);
        assert_eq!(silence(&mut lab), (true, false));
        lab.write(10);
        lab.attend();
        assert_eq!(silence(&mut lab), (false, false), "it is not confirmed");
        // Only an end shows that a program is there.
        let mut lab = Lab::unproven(&clock, Confirmation::Acknowledgement);
        assert_eq!(silence(&mut lab), (false, true));
        assert_eq!(lab.session.patience(&lab.shared), 2 * SEND_PROOF_TIMEOUT);
        lab.shared.caution().never_answers();
        assert!(silence(&mut lab).0);
    });
}

#[test]
fn a_peer_that_turns_out_to_end_no_connections_is_not_waited_for() {
    Still::run(|clock| {
        let mut lab = Lab::proven(&clock, Confirmation::Close);
        lab.write(10);
        lab.acknowledge();
        lab.attend();
        assert_eq!(lab.session.patience(&lab.shared), SEND_PROOF_TIMEOUT);
        // Another connection has shown it.
        lab.shared.caution().never_answers();
        assert_eq!(lab.session.patience(&lab.shared), Duration::ZERO);
        assert!(!lab.session.may_be_answered(&lab.shared) && !lab.session.by_its_end);
        clock.pass(SETTLE_TIME);
        lab.session.begin_end(&lab.shared).unwrap();
        clock.pass(MOMENT);
        assert!(lab.session.end(&lab.shared).is_ok(), "its acknowledgement confirms");
        assert_eq!(lab.settled.1.try_recv(), Ok(Outcome::Delivered));
    });
}

#[test]
fn a_peer_that_has_answered_before_gets_its_patience_and_no_more() {
    Still::run(|clock| {
        let mut lab = Lab::proven(&clock, Confirmation::Close);
        lab.shared.caution().answered(true);
        lab.session.begin_end(&lab.shared).unwrap();
        let patience = lab.shared.caution().patience();
        clock.pass(patience - MOMENT);
        assert!(lab.session.may_be_answered(&lab.shared));
        clock.pass(MOMENT);
        assert!(!lab.session.may_be_answered(&lab.shared) && lab.session.by_its_end);
        let mut lab = Lab::proven(&clock, Confirmation::Acknowledgement);
        assert!(!lab.session.may_be_answered(&lab.shared), "its end confirms nothing");
    });
}

#[test]
fn an_end_is_the_peers_answer_to_its_input_only_if_it_has_accepted_us() {
    Still::run(|clock| {
        let closed = Error::Closed { peer: "the peer".into(), when: "" };
        let stalled = Error::Stalled { peer: "the peer".into(), seconds: 1 };
        let lab = Lab::proven(&clock, Confirmation::Close);
        assert!(lab.session.was_ended_by(&closed, &lab.shared));
        assert!(!lab.session.was_ended_by(&stalled, &lab.shared));
        let (script, peer) = tls(&clock, rustls::DEFAULT_VERSIONS, 0);
        let connection = Connection::open(&peer).unwrap();
        let lab = Lab::of(&clock, connection, script, sender_testing::shared(peer, Confirmation::Close));
        assert!(!lab.session.was_ended_by(&closed, &lab.shared));
        lab.shared.caution().accepted();
        assert!(lab.session.was_ended_by(&closed, &lab.shared));
    });
}
