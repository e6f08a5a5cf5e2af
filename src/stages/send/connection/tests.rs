//! A connection on a clock that only waiting moves, to a peer that acts at given times.

use std::io::ErrorKind;
use std::time::Duration;

use rustix::event::PollFlags;

use super::super::scripted_testing::{Act, plain, secure, tls};
use super::*;
use crate::base::limits::SEND_PROOF_TIMEOUT;
use crate::base::runtime::still::Still;

const MS: Duration = Duration::from_millis(1);
const ALL: usize = usize::MAX;

#[test]
fn a_peer_that_takes_nothing_is_given_up_at_the_stall_time() {
    Still::run(|clock| {
        let (mut connection, script) = plain(&clock);
        let error = connection.write(b"0123456789", &Stop::new()).unwrap_err();
        assert!(matches!(error, Error::Stalled { .. }), "{error}");
        assert_eq!(clock.passed(), SEND_STALL_TIMEOUT);
        assert_eq!(
            (connection.take_waited(), connection.take_waited()),
            (SEND_STALL_TIMEOUT, Duration::ZERO)
        );
        assert!(script.state().waits.iter().all(|events| *events == PollFlags::OUT));
    });
}

#[test]
fn each_byte_that_is_taken_begins_the_stall_time_again() {
    Still::run(|clock| {
        let (mut connection, script) = plain(&clock);
        for number in 1..4 {
            script.then(number * (SEND_STALL_TIMEOUT - MS), Act::Room(1));
        }
        assert!(connection.write(b"0123", &Stop::new()).is_err());
        assert_eq!(script.state().written, b"012");
        assert_eq!(clock.passed(), 3 * (SEND_STALL_TIMEOUT - MS) + SEND_STALL_TIMEOUT);
    });
}

#[test]
fn each_byte_that_is_acknowledged_begins_the_stall_time_again() {
    Still::run(|clock| {
        let (mut connection, script) = plain(&clock);
        script.now(Act::Room(10));
        connection.write(b"0123456789", &Stop::new()).unwrap();
        let mut progress = Progress::begin();
        connection.check_progress(&mut progress).unwrap();
        for _ in 0..3 {
            clock.pass(SEND_STALL_TIMEOUT - MS);
            script.now(Act::Acknowledge(1));
            connection.check_progress(&mut progress).unwrap();
        }
        clock.pass(SEND_STALL_TIMEOUT - MS);
        connection.check_progress(&mut progress).unwrap();
        clock.pass(MS);
        assert!(connection.check_progress(&mut progress).is_err());
    });
}

#[test]
fn a_write_ends_with_the_stop_and_hears_the_peer_s_end_while_it_waits() {
    Still::run(|clock| {
        let (mut connection, _script) = plain(&clock);
        let stop = Stop::new();
        stop.stop();
        assert!(matches!(connection.write(b"0", &stop), Err(Error::Stopped)));
        assert_eq!(clock.passed(), Duration::ZERO);
        let (mut connection, script) = plain(&clock);
        script.then(SEND_WAIT_SLICE * 3 / 2, Act::End);
        assert!(matches!(connection.write(b"0", &Stop::new()), Err(Error::Closed { .. })));
        assert_eq!(clock.passed(), SEND_WAIT_SLICE * 3 / 2);
    });
}

#[test]
fn an_interrupted_call_is_made_again_and_another_failure_breaks_the_connection() {
    Still::run(|clock| {
        let (mut connection, script) = plain(&clock);
        script.now(Act::Room(ALL));
        script.now(Act::FailWrite(ErrorKind::Interrupted));
        script.now(Act::FailRead(ErrorKind::Interrupted));
        connection.write(b"0", &Stop::new()).unwrap();
        connection.read().unwrap();
        script.now(Act::FailWrite(ErrorKind::ConnectionReset));
        assert!(matches!(connection.write(b"0", &Stop::new()), Err(Error::Broken { .. })));
        script.now(Act::FailRead(ErrorKind::ConnectionReset));
        assert!(matches!(connection.read(), Err(Error::Broken { .. })));

        let (mut connection, script, _) = secure(&clock);
        script.now(Act::FailWrite(ErrorKind::Interrupted));
        script.now(Act::FailRead(ErrorKind::Interrupted));
        connection.write(b"0", &Stop::new()).unwrap();
        assert!(connection.push().unwrap());
        connection.read().unwrap();
        connection.write(b"0", &Stop::new()).unwrap();
        script.now(Act::FailWrite(ErrorKind::ConnectionReset));
        assert!(matches!(connection.push(), Err(Error::Broken { .. })));
    });
}

#[test]
fn a_socket_without_room_makes_the_settle_time_longer_for_a_while() {
    Still::run(|clock| {
        let (mut connection, script, _) = secure(&clock);
        let settle_time = |connection: &Connection| connection.settle_time(clock::now());
        assert_eq!(settle_time(&connection), SETTLE_TIME);
        script.state().room = 0;
        connection.write(b"0", &Stop::new()).unwrap();
        assert!(!connection.push().unwrap());
        assert_eq!(settle_time(&connection), SETTLE_TIME_SLOW);
        clock.pass(SETTLE_TIME_SLOW - MS);
        assert_eq!(settle_time(&connection), SETTLE_TIME_SLOW);
        clock.pass(MS);
        assert_eq!(settle_time(&connection), SETTLE_TIME);

        // A wait for room, without TLS.
        let (mut connection, script) = plain(&clock);
        script.then(clock.passed() + MS, Act::Room(1));
        connection.write(b"0", &Stop::new()).unwrap();
        assert_eq!(settle_time(&connection), SETTLE_TIME_SLOW);
    });
}

#[test]
fn a_program_is_known_to_read_when_more_than_buffers_hold_was_acknowledged() {
    Still::run(|clock| {
        let (mut connection, script) = plain(&clock);
        script.now(Act::Room(ALL));
        connection.write(&vec![0; SETTLE_BYTES + 1], &Stop::new()).unwrap();
        script.now(Act::Acknowledge(SETTLE_BYTES as u64 - 1));
        assert_eq!(connection.acknowledged().unwrap(), SETTLE_BYTES as u64 - 1);
        assert!(!connection.is_proven() && connection.is_complete());
        script.now(Act::Acknowledge(1));
        connection.acknowledged().unwrap();
        assert!(connection.is_proven() && connection.has_taken_much());
    });
}

#[test]
fn a_key_is_worn_with_its_last_record() {
    Still::run(|clock| {
        let (mut connection, _, _) = secure(&clock);
        connection.write(&vec![0; 2 * RECORD_PLAINTEXT], &Stop::new()).unwrap();
        assert!(!connection.is_worn(3) && connection.is_worn(2));
        connection.write(b"0", &Stop::new()).unwrap();
        assert!(connection.is_worn(3) && !connection.is_worn(4));
        let (mut connection, script) = plain(&clock);
        script.now(Act::Room(ALL));
        connection.write(b"0", &Stop::new()).unwrap();
        assert!(!connection.is_worn(0), "plain TCP has no key");
    });
}

#[test]
fn a_handshake_that_nobody_answers_ends_at_its_deadline() {
    Still::run(|clock| {
        let (script, peer) = tls(&clock, rustls::DEFAULT_VERSIONS, 1);
        script.state().answers = false;
        let error = Connection::open(&peer).unwrap_err();
        assert!(matches!(error, Error::Handshake { .. }), "{error}");
        assert_eq!(clock.passed(), SEND_HANDSHAKE_TIMEOUT);
        assert_eq!(script.state().waits, [PollFlags::IN]);
    });
}

#[test]
fn a_handshake_waits_for_room_too() {
    Still::run(|clock| {
        let (script, peer) = tls(&clock, rustls::DEFAULT_VERSIONS, 1);
        script.state().room = 0;
        script.then(MS, Act::Room(ALL));
        Connection::open(&peer).unwrap();
        assert_eq!(script.state().waits[0], PollFlags::IN | PollFlags::OUT);
    });
}

#[test]
fn an_end_during_the_handshake_asks_whether_the_port_speaks_tls() {
    Still::run(|clock| {
        let (script, peer) = tls(&clock, rustls::DEFAULT_VERSIONS, 1);
        script.state().answers = false;
        script.then(MS, Act::End);
        let error = Connection::open(&peer).unwrap_err().to_string();
        assert!(error.ends_with("during the TLS handshake; does this port speak TLS?"), "{error}");
    });
}

/// With TLS 1.3 our handshake ends before the peer has looked at our certificate.
#[test]
fn a_verdict_is_waited_for_for_a_moment() {
    Still::run(|clock| {
        let (script, peer) = tls(&clock, rustls::DEFAULT_VERSIONS, 0);
        let mut connection = Connection::open(&peer).unwrap();
        assert_eq!(clock.passed(), SEND_VERDICT_TIMEOUT);
        assert!(!connection.is_proven() && !connection.is_complete(), "nothing shows yet that it accepts us");
        script.then(clock.passed() + MS, Act::End);
        let error = connection.await_verdict().unwrap_err().to_string();
        assert!(error.ends_with("it may have refused our client certificate"), "{error}");
    });
}

#[test]
fn a_ticket_or_data_or_the_end_of_an_older_handshake_proves_that_we_are_accepted() {
    Still::run(|clock| {
        let (_, peer) = tls(&clock, rustls::DEFAULT_VERSIONS, 1);
        assert!(Connection::open(&peer).unwrap().is_proven());
        let (script, peer) = tls(&clock, rustls::DEFAULT_VERSIONS, 0);
        let mut connection = Connection::open_unheard(&peer).unwrap();
        assert!(!connection.is_proven());
        script.now(Act::Speak(5));
        connection.read().unwrap();
        assert!(connection.is_proven());
        let (_, peer) = tls(&clock, &[&rustls::version::TLS12], 0);
        let connection = Connection::open(&peer).unwrap();
        assert!(connection.is_proven());
        assert_eq!(clock.passed(), Duration::ZERO, "no verdict is waited for");
        let link = connection.link();
        assert_eq!((&*link.address, link.tls.as_deref()), ("192.0.2.1:443", Some("TLS 1.2")));
    });
}

#[test]
fn an_end_that_follows_ours_confirms_once_a_reset_would_have_come() {
    Still::run(|clock| {
        let (mut connection, script, _) = secure(&clock);
        connection.write(b"0", &Stop::new()).unwrap();
        connection.say_goodbye(&Stop::new()).unwrap();
        assert_eq!(script.fin(), None, "a FIN would hide a reset");
        assert!(connection.is_tls() && !connection.has_heard_goodbye());
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        clock.pass(MS);
        script.now(Act::Goodbye);
        script.now(Act::End);
        script.now(Act::Acknowledge(1 << 20));
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        assert!(connection.has_heard_goodbye() && connection.was_answered_within(MS));
        assert!(!connection.was_answered_within(Duration::ZERO));
        clock.pass(SEND_RESET_TIMEOUT - MS);
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        clock.pass(MS);
        assert!(connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        assert_eq!(script.fin(), None);
    });
}

#[test]
fn an_end_with_unacknowledged_bytes_confirms_nothing() {
    Still::run(|clock| {
        let (mut connection, script, _) = secure(&clock);
        connection.say_goodbye(&Stop::new()).unwrap();
        script.now(Act::End);
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        clock.pass(SEND_RESET_TIMEOUT);
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        script.now(Act::Acknowledge(1 << 20));
        assert!(connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
    });
}

#[test]
fn a_reset_after_our_end_is_heard_although_nothing_is_read() {
    Still::run(|clock| {
        let (mut connection, script, _) = secure(&clock);
        connection.say_goodbye(&Stop::new()).unwrap();
        script.now(Act::Goodbye);
        script.now(Act::End);
        script.now(Act::Acknowledge(1 << 20));
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        script.now(Act::Error(ErrorKind::ConnectionReset));
        assert!(matches!(connection.is_answered(SEND_PROOF_TIMEOUT), Err(Error::BrokenAtEnd { .. })));
    });
}

#[test]
fn a_peer_that_does_not_answer_gets_a_fin_as_the_last_chance_and_is_then_given_up() {
    Still::run(|clock| {
        let (mut connection, script, _) = secure(&clock);
        let error = connection.close(SEND_PROOF_TIMEOUT, &Stop::new()).unwrap_err();
        assert!(matches!(error, Error::Unanswered { .. }), "{error}");
        assert_eq!(clock.passed(), SEND_PROOF_TIMEOUT);
        assert_eq!(script.fin(), Some(SEND_PROOF_TIMEOUT - SEND_CLOSE_TIMEOUT));
    });
}

#[test]
fn each_byte_that_it_takes_after_our_end_is_a_sign_of_life() {
    Still::run(|clock| {
        let (mut connection, script, _) = secure(&clock);
        connection.write(&[0; 100], &Stop::new()).unwrap();
        let last = 2 * (SEND_CLOSE_TIMEOUT - MS);
        script.then(SEND_CLOSE_TIMEOUT - MS, Act::Acknowledge(1));
        script.then(last, Act::Acknowledge(1));
        let error = connection.close(SEND_CLOSE_TIMEOUT, &Stop::new()).unwrap_err();
        assert!(matches!(error, Error::Unanswered { .. }), "{error}");
        assert_eq!(clock.passed(), last + SEND_CLOSE_TIMEOUT);
    });
}

#[test]
fn a_peer_that_says_goodbye_and_waits_for_a_fin_gets_it_soon() {
    Still::run(|clock| {
        let (mut connection, script, peer) = secure(&clock);
        script.then(MS, Act::Goodbye);
        script.now(Act::Acknowledge(1 << 20));
        connection.say_goodbye(&Stop::new()).unwrap();
        clock.pass(MS);
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        clock.pass(SEND_FIN_TIMEOUT - MS);
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        assert_eq!(script.fin(), None);
        clock.pass(MS);
        assert!(!connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        assert_eq!(script.fin(), Some(MS + SEND_FIN_TIMEOUT));
        script.now(Act::End);
        // With our FIN sent, no reset can come any more.
        assert!(connection.is_answered(SEND_PROOF_TIMEOUT).unwrap());
        assert!(!connection.was_answered_within(SEND_PROOF_TIMEOUT), "it needed a FIN");
        assert!(peer.needs_fin.load(Ordering::Relaxed), "the next connection sends it at once");
    });
}

#[test]
fn a_peer_that_answers_a_close_notify_never_gets_a_fin() {
    Still::run(|clock| {
        let (mut connection, script, peer) = secure(&clock);
        script.now(Act::Acknowledge(1 << 20));
        script.then(MS, Act::Goodbye);
        script.then(2 * MS, Act::End);
        connection.close(SEND_PROOF_TIMEOUT, &Stop::new()).unwrap();
        assert_eq!((script.fin(), peer.needs_fin.load(Ordering::Relaxed)), (None, false));
        assert!(
            clock.passed() >= 2 * MS + SEND_RESET_TIMEOUT && clock.passed() < 3 * MS + SEND_RESET_TIMEOUT
        );
    });
}

#[test]
fn an_end_before_ours_confirms_nothing() {
    Still::run(|clock| {
        let (mut connection, script, _) = secure(&clock);
        script.now(Act::Goodbye);
        script.now(Act::End);
        assert!(matches!(connection.close(SEND_PROOF_TIMEOUT, &Stop::new()), Err(Error::Closed { .. })));
    });
}

#[test]
fn plain_tcp_ends_with_a_fin_at_once_and_with_the_stop() {
    Still::run(|clock| {
        let (mut connection, script) = plain(&clock);
        connection.say_goodbye(&Stop::new()).unwrap();
        assert_eq!(script.fin(), Some(Duration::ZERO));
        script.now(Act::End);
        assert!(connection.is_answered(SEND_CLOSE_TIMEOUT).unwrap());
        assert!(!connection.is_tls() && !connection.is_buffered());
        let (mut connection, _) = plain(&clock);
        let stop = Stop::new();
        stop.stop();
        assert!(matches!(connection.close(SEND_CLOSE_TIMEOUT, &stop), Err(Error::Stopped)));
    });
}

#[test]
fn whatever_the_peer_says_is_read_and_forgotten() {
    Still::run(|clock| {
        let (mut connection, script, _) = secure(&clock);
        // More than rustls keeps of what nobody reads.
        for bytes in [1, 1024, 1025, 300_000, 300_000] {
            script.now(Act::Speak(bytes));
            connection.read().unwrap();
        }
        script.now(Act::Goodbye);
        assert!(matches!(connection.read(), Err(Error::Closed { .. })));
    });
}

#[test]
fn a_reset_during_the_handshake_is_not_waited_out() {
    Still::run(|clock| {
        let (script, peer) = tls(&clock, rustls::DEFAULT_VERSIONS, 1);
        script.state().answers = false;
        script.now(Act::FailRead(ErrorKind::ConnectionReset));
        assert!(matches!(Connection::open(&peer), Err(Error::Broken { .. })));
        assert_eq!(clock.passed(), Duration::ZERO);
    });
}
