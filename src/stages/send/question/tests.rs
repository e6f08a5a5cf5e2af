//! The steps of an investigation, on a clock that only waiting moves.

use super::super::scripted_testing::Conduct;
use super::super::sender_testing::{Lab, with_lab};
use super::*;
use crate::base::limits::{SEND_BACKOFF_FIRST, SEND_STALL_TIMEOUT, SETTLE_TIME};

#[test]
fn what_gets_through_is_confirmed() {
    with_lab(|mut lab| {
        let suspects = vec![lab.batch(2, true), lab.batch(3, true)];
        lab.question(suspects, &[Conduct::Good]).unwrap();
        assert_eq!([lab.settled.1.recv(), lab.settled.1.recv()], [Ok(Outcome::Delivered); 2]);
        assert_eq!((lab.sent().events, lab.sent().repeated, lab.waiting().len()), (5, 0, 0));
        assert!(lab.sender.shared.caution().probe().is_some() && lab.clock.passed() >= SETTLE_TIME);
    });
}

#[test]
fn company_is_divided() {
    with_lab(|mut lab| {
        let suspects = vec![lab.batch(2, true), lab.batch(3, true)];
        lab.question(suspects, &[Conduct::EndsWhenSent]).unwrap();
        assert!((SEND_BACKOFF_FIRST / 2..=SEND_BACKOFF_FIRST).contains(&lab.clock.passed()), "it has paused");
        assert_eq!(
            (lab.sent().repeated, lab.sender.shared.telemetry.send.failed_connections.value()),
            (5, 1)
        );
        let waiting = lab.waiting();
        assert!(waiting.len() == 2 && waiting.iter().all(|batch| batch.trial.strikes == 1));
        assert_eq!((lab.sender.shared.caution().ends(), waiting[0].trial.since), (1, 1));
    });
}

#[test]
fn an_outage_accuses_nobody_and_slowness_only_company() {
    with_lab(|mut lab| {
        let strikes = |lab: &mut Lab, count, conduct, error: fn(&Error) -> bool| {
            let suspects = (0..count).map(|_| lab.batch(1, true)).collect();
            assert!(error(&lab.question(suspects, &[conduct]).unwrap_err()));
            lab.waiting().iter().map(|batch| batch.trial.strikes).collect::<Vec<_>>()
        };
        let is_refused: fn(&Error) -> bool = |error| matches!(error, Error::Connect { .. });
        assert_eq!(strikes(&mut lab, 2, Conduct::Refuses, is_refused), [0, 0]);
        let before = lab.clock.passed();
        assert_eq!(strikes(&mut lab, 2, Conduct::Stalls, Error::is_slowness), [1, 1]);
        assert!(lab.clock.passed() - before >= SEND_STALL_TIMEOUT);
        assert_eq!(strikes(&mut lab, 1, Conduct::Stalls, Error::is_slowness), [0]);
    });
}

#[test]
fn suspects_of_a_lane_wait_before_all_others_in_order() {
    with_lab(|mut lab| {
        let suspects: Vec<Batch> =
            (1..3).map(|records| Batch { lane: Some(1), ..lab.batch(records, true) }).collect();
        assert!(lab.question(suspects, &[Conduct::Refuses]).is_err());
        let kept: Vec<u32> = lab.sender.kept.iter().map(|batch| batch.events).collect();
        assert_eq!((kept, lab.sent().waiting), (vec![1, 2], 2));
    });
}

/// Several records are searched at once if something else has got through since the last time.
#[test]
fn a_batch_is_halved_when_another_connection_has_lived() {
    with_lab(|mut lab| {
        let witnessed = lab.batch(5, true);
        lab.question(vec![witnessed], &[Conduct::EndsWhenSent]).unwrap();
        let halves = lab.waiting();
        assert_eq!(
            halves.iter().map(|batch| (batch.events, batch.trial.kills)).collect::<Vec<_>>(),
            [(3, 0), (2, 0)]
        );

        let mut alone = lab.batch(4, true);
        alone.trial.since = 100;
        lab.question(vec![alone], &[Conduct::EndsWhenSent]).unwrap();
        let alone = lab.waiting();
        assert!(alone.len() == 1 && alone[0].trial.suspected.is_some() && alone[0].trial.kills == 0);
        lab.question(alone, &[Conduct::Good]).unwrap();
        let halves = lab.waiting();
        assert!(
            halves.len() == 2 && halves.iter().all(|half| half.events == 2 && half.trial.suspected.is_none())
        );
    });
}

#[test]
fn a_peer_that_ends_whatever_comes_blames_no_batch() {
    with_lab(|mut lab| {
        let mut alone = lab.batch(4, true);
        alone.trial.since = 100;
        lab.question(vec![alone], &[Conduct::EndsWhenSent]).unwrap();
        let alone = lab.waiting();
        assert!(lab.question(alone, &[Conduct::EndsAtOnce]).unwrap_err().is_end());
        let alone = lab.waiting();
        assert!(alone.len() == 1 && alone[0].trial.suspected.is_none() && alone[0].events == 4);
        assert!(lab.sender.shared.caution().is_hasty());
        lab.settled.1.try_recv().unwrap_err();
    });
}

#[test]
fn a_lone_record_is_not_refused_before_the_peer_has_accepted_anything() {
    with_lab(|mut lab| {
        let suspects = vec![lab.batch(1, true)];
        let error = lab.question(suspects, &[Conduct::EndsWhenSent]).unwrap_err();
        assert!(matches!(error, Error::Killed { times: 1, .. }), "{error}");
        let waiting = lab.waiting();
        lab.question(waiting, &[Conduct::Good]).unwrap();
        let now = clock::now();
        assert!(
            lab.sender.shared.caution().take_due(now).is_empty(),
            "something else must get through first"
        );
        let waiting = lab.sender.shared.caution().take_due(now + SEND_BACKOFF_MAX);
        assert_eq!((waiting[0].trial.kills, waiting[0].trial.suspected), (0, None));
    });
}

#[test]
fn a_record_is_refused_when_a_known_one_got_through_each_time() {
    for (returns, outcome) in [(true, Outcome::Reject), (false, Outcome::Delivered)] {
        with_lab(|mut lab| {
            lab.keep_probe();
            let mut suspects = vec![lab.batch(1, returns)];
            for kills in 1..=REFUSE_KILLS {
                lab.question(suspects, &[Conduct::EndsWhenSent]).unwrap();
                let before = lab.sent().repeated;
                let waiting = lab.waiting();
                lab.question(waiting, &[Conduct::Good]).unwrap();
                assert_eq!(lab.sent().repeated - before, 1, "the known frame");
                suspects = lab.waiting();
                let is_refused = kills == REFUSE_KILLS;
                assert_eq!(suspects.is_empty(), is_refused, "{kills}");
                assert!(suspects.iter().all(|batch| batch.trial.kills == kills));
            }
            assert_eq!((lab.settled.1.try_recv(), lab.sent().refused), (Ok(outcome), 1));
        });
    }
}

#[test]
fn a_known_frame_that_is_no_longer_accepted_is_dropped_and_one_that_does_not_arrive_is_kept() {
    with_lab(|mut lab| {
        for (conduct, is_kept) in [(Conduct::Refuses, true), (Conduct::EndsWhenSent, false)] {
            lab.keep_probe();
            let suspects = vec![lab.batch(1, true)];
            lab.question(suspects, &[Conduct::EndsWhenSent]).unwrap();
            let waiting = lab.waiting();
            assert!(lab.question(waiting, &[conduct]).is_err());
            assert_eq!(lab.sender.shared.caution().probe().is_some(), is_kept);
            let waiting = lab.waiting();
            assert!(
                waiting.len() == 1 && waiting[0].trial.kills == 0 && waiting[0].trial.suspected.is_some()
            );
        }
    });
}
