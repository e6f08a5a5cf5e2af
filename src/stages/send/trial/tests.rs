//! Trials, on a clock that only waiting moves.

use std::sync::Arc;

use super::super::scripted_testing::{Act, Script, several};
use super::super::sender_testing;
use super::*;
use crate::base::limits::{SEND_PROOF_TIMEOUT, SEND_STALL_TIMEOUT, SETTLE_TIME};
use crate::base::runtime::still::Still;
use crate::settings::Confirmation;

const FRAME: &[u8] = b"<14>frame\n";

/// The end of a connection, after the peer has taken everything.
#[derive(Debug, Clone, Copy)]
enum End {
    /// It comes with a close_notify.
    Goodbye,
    /// Without one.
    Plain,
    /// None: the connection is left open.
    Open,
}

/// A peer over TLS that has accepted us, whose next connections end like this when we have ended them, a moment later.
fn peer(clock: &Arc<Still>, confirmation: Confirmation, ends: &[End]) -> (Vec<Script>, SharedOutput) {
    let (scripts, peer) = several(clock, rustls::DEFAULT_VERSIONS, 1, ends.len());
    for (script, end) in scripts.iter().zip(ends) {
        script.now(Act::Acknowledge(u64::MAX / 2));
        match end {
            End::Goodbye => script.after_ours([Act::Goodbye, Act::End]),
            End::Plain => script.after_ours([Act::End]),
            End::Open => (),
        }
    }
    (scripts, sender_testing::shared(peer, confirmation))
}

fn passed<T>(clock: &Still, work: impl FnOnce() -> T) -> (T, Duration) {
    let before = clock.passed();
    let done = work();
    (done, clock.passed() - before)
}

fn apart(shared: &SharedOutput) -> Result<(), Failure> {
    send_apart([FRAME].into_iter(), shared)
}

#[test]
fn what_is_sent_apart_is_confirmed_as_on_every_connection() {
    Still::run(|clock| {
        let sent = |confirmation, end, hasty: bool| {
            let (_, shared) = peer(&clock, confirmation, &[end]);
            if hasty {
                shared.caution().tried(false, clock::now());
            }
            let (sent, time) = passed(&clock, || apart(&shared));
            let patience = shared.caution().patience();
            (sent.is_ok(), time >= SETTLE_TIME, patience > SEND_PROOF_TIMEOUT)
        };
        use Confirmation::{Acknowledgement, Close};
        assert_eq!(sent(Acknowledgement, End::Goodbye, false), (true, true, false));
        assert_eq!(sent(Acknowledgement, End::Open, false), (true, true, false), "it has outlived that");
        assert_eq!(sent(Acknowledgement, End::Open, true), (false, true, true), "only its end is a proof");
        assert_eq!(sent(Close, End::Goodbye, false), (true, true, false));
        assert_eq!(sent(Close, End::Plain, false), (true, true, false));
        assert_eq!(sent(Close, End::Open, false), (false, true, true));
        assert_eq!(sent(Close, End::Goodbye, true), (true, false, false), "connections live shortly");
    });
}

#[test]
fn a_peer_that_never_ends_a_connection_confirms_by_acknowledgement() {
    Still::run(|clock| {
        let (_, shared) = peer(&clock, Confirmation::Close, &[End::Open; 1 + SEND_UNANSWERED_MAX as usize]);
        // So much has been waited for already.
        shared.caution().wait_for(SEND_SILENCE_TIME_TLS);
        assert!(apart(&shared).is_ok());
        assert!(!shared.caution().expects_answers());
        let (_, shared) = peer(&clock, Confirmation::Close, &[End::Open; 1 + SEND_UNANSWERED_MAX as usize]);
        shared.caution().wait_for(SEND_SILENCE_TIME_TLS);
        shared.caution().tried(false, clock::now());
        assert!(apart(&shared).is_err(), "its connections live shortly");
        let one_is_ended = [End::Open, End::Open, End::Goodbye];
        let (_, shared) = peer(&clock, Confirmation::Close, &one_is_ended);
        shared.caution().wait_for(SEND_SILENCE_TIME_TLS);
        assert!(apart(&shared).is_err() && shared.caution().has_answered());
    });
}

#[test]
fn a_connection_is_outlived_from_the_acknowledgement_of_everything_on() {
    Still::run(|clock| {
        let (scripts, peer) = several(&clock, rustls::DEFAULT_VERSIONS, 1, 2);
        let shared = sender_testing::shared(peer, Confirmation::Acknowledgement);
        let mut connection = Connection::open(&shared.peer).unwrap();
        connection.write(FRAME, &shared.abort).unwrap();
        connection.flush(&shared.abort).unwrap();
        let later = 7 * SEND_CONFIRM_INTERVAL;
        let written = scripts[0].state().written.len() as u64;
        scripts[0].now(Act::Acknowledge(written - 1));
        scripts[0].then(clock.passed() + later, Act::Acknowledge(1));
        let (outlived, time) = passed(&clock, || outlive(&mut connection, false, &shared));
        assert!(outlived.is_ok());
        assert_eq!(time, later + SETTLE_TIME);
        let (_, time) = passed(&clock, || outlive(&mut connection, true, &shared));
        assert_eq!(time, SETTLE_TIME_HASTY);
        shared.abort.stop();
        assert!(matches!(outlive(&mut connection, false, &shared), Err(Error::Stopped)));

        let shared = SharedOutput { abort: crate::base::stop::Stop::new(), ..shared };
        let mut owed = Connection::open(&shared.peer).unwrap();
        owed.write(FRAME, &shared.abort).unwrap();
        owed.flush(&shared.abort).unwrap();
        let (outlived, time) = passed(&clock, || outlive(&mut owed, false, &shared));
        assert!(matches!(outlived, Err(Error::Stalled { .. })) && time >= SEND_STALL_TIMEOUT);
    });
}

#[test]
fn a_peer_accepts_us_if_it_ends_a_connection_without_data_after_us() {
    Still::run(|clock| {
        let accepted = |ends: &[End]| {
            let (_, shared) = peer(&clock, Confirmation::Close, ends);
            let (accepted, time) = passed(&clock, || is_accepted(&shared));
            assert_eq!(accepted, shared.caution().has_accepted());
            (accepted, time >= SEND_REFUSAL_TIME)
        };
        assert_eq!(accepted(&[End::Goodbye]), (true, false));
        assert_eq!(accepted(&[End::Plain]), (false, false), "it may be a refusal, and there is no other");
        assert_eq!(accepted(&[End::Plain, End::Plain]), (true, true));
        assert_eq!(accepted(&[]), (false, false));
    });
}

#[test]
fn a_connection_without_data_must_live_for_its_time() {
    Still::run(|clock| {
        let (scripts, shared) = peer(&clock, Confirmation::Close, &[End::Goodbye; 2]);
        let (lives, time) = passed(&clock, || live(SEND_LIFETIME_MIN, &shared));
        assert!(lives.is_ok());
        assert_eq!(time, SEND_LIFETIME_MIN);
        scripts[1].then(clock.passed() + SEND_LIFETIME_MIN / 2, Act::End);
        let (lives, time) = passed(&clock, || live(SEND_LIFETIME_MIN, &shared));
        assert!(lives.is_err());
        assert_eq!(time, SEND_LIFETIME_MIN / 2);
    });
}

#[test]
fn goodbyes_are_forgotten_if_no_probe_gets_one() {
    Still::run(|clock| {
        let probes = SEND_GOODBYE_PROBES as usize;
        let forgets = |ends: &[End]| {
            let (_, shared) = peer(&clock, Confirmation::Close, ends);
            shared.caution().answered(true);
            ask_for_goodbye(&shared);
            shared.caution().answered(false)
        };
        assert!(forgets(&vec![End::Plain; probes]));
        assert!(!forgets(&vec![End::Plain; probes - 1]));
        let mut one_says_it = vec![End::Plain; probes];
        one_says_it[probes - 1] = End::Goodbye;
        assert!(!forgets(&one_says_it));
        assert!(!forgets(&vec![End::Open; probes]));
    });
}

#[test]
fn a_lone_failure_is_an_end_or_an_outage() {
    Still::run(|clock| {
        let (_, shared) = peer(&clock, Confirmation::Close, &[]);
        assert!(matches!(apart(&shared), Err(Failure::Outage(Error::Connect { .. }))));
        let (scripts, shared) = peer(&clock, Confirmation::Close, &[End::Open]);
        let lives = Duration::from_millis(300);
        scripts[0].then(clock.passed() + lives, Act::End);
        assert!(matches!(apart(&shared), Err(Failure::Ended(_, lived)) if lived == lives));
    });
}
