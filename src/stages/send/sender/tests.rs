//! A sender's steps, on a clock that only waiting moves.

use std::time::Duration;

use super::super::scripted::{self, Conduct};
use super::super::sender_testing::{Lab, with_lab};
use super::*;
use crate::ack::Outcome;
use crate::base::limits::{SEND_IDLE_TIMEOUT, SEND_VERDICT_TIMEOUT};

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
        assert!(lab.clock.passed() - before >= SEND_IDLE_TIMEOUT, "not before they are due");
        assert!(lab.sender.wait_for_work(&mut lab.backoff).is_none());
    });
}
