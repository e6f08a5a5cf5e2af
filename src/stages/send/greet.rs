//! The thread that tries idle outputs, so that a wrong certificate shows at the start and not with the first log, and
//! recovery does not wait for the next one.

use std::sync::Arc;

use super::connection::{Connection, Peer};
use super::error::Error;
use crate::base::limits::{GREET_INTERVAL, SEND_CLOSE_TIMEOUT, SEND_PROOF_TIMEOUT};
use crate::base::stop::Stop;
use crate::telemetry::{self, Link};

/// Makes a connection and closes it: nothing is sent. Returns its far end.
///
/// # Errors
/// Why it cannot be made.
pub fn greet(peer: &Peer) -> Result<Link, Error> {
    let mut connection = Connection::open(peer)?;
    let link = connection.link();
    let patience = if connection.is_proven() { SEND_CLOSE_TIMEOUT } else { SEND_PROOF_TIMEOUT };
    match connection.close(patience, &Stop::new()) {
        // Over plain TCP only the peer's close shows that there is a program which reads.
        Err(error) if error.is_lasting() || peer.tls.is_none() => Err(error),
        _ => Ok(link),
    }
}

/// Checks outputs until stopped.
pub fn run(outputs: &[(Peer, Arc<telemetry::Output>)], stop: &Stop) {
    while !stop.wait(GREET_INTERVAL) {
        for (peer, output) in outputs.iter().filter(|(_, output)| is_due(output)) {
            match greet(peer) {
                Ok(link) => {
                    output.connected(link);
                    output.health.works();
                }
                Err(error) => {
                    output.send.failed_connections.increment();
                    output.health.failed(&error, error.is_lasting());
                }
            }
        }
    }
}

/// Senders with work find out by themselves.
fn is_due(output: &telemetry::Output) -> bool {
    let is_idle = output.send.waiting.value() <= 0 && output.unconfirmed() <= 0;
    let is_in_doubt = output.health.successes() == 0 || output.health.trouble().is_some();
    is_idle && is_in_doubt
}

#[cfg(test)]
#[cfg(feature = "lab")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::limits::SEND_VERDICT_TIMEOUT;
    use crate::base::runtime::still::Still;
    use crate::stages::send::scripted_testing::{self as scripted, Act};

    #[test]
    fn a_peer_that_does_not_answer_the_close_is_well_over_tls_only() {
        Still::run(|clock| {
            let (script, over_tls) = scripted::tls(&clock, rustls::DEFAULT_VERSIONS, 1);
            assert_eq!(greet(&over_tls).unwrap().tls.as_deref(), Some("TLS 1.3"));
            // Everything but its end has shown that it is there.
            assert_eq!((clock.passed(), script.fin().is_some()), (SEND_CLOSE_TIMEOUT, true));
            let plain = scripted::peer(&scripted::script(&clock, None), None);
            let before = clock.passed();
            assert!(matches!(greet(&plain), Err(Error::Unanswered { .. })));
            assert_eq!(clock.passed() - before, SEND_PROOF_TIMEOUT);
        });
    }

    #[test]
    fn a_refusal_of_our_certificate_is_an_error_and_another_end_is_not() {
        Still::run(|clock| {
            let (script, peer) = scripted::tls(&clock, rustls::DEFAULT_VERSIONS, 0);
            script.then(SEND_VERDICT_TIMEOUT, Act::Refuse);
            assert!(greet(&peer).unwrap_err().is_lasting());
            let (script, peer) = scripted::tls(&clock, rustls::DEFAULT_VERSIONS, 0);
            script.then(clock.passed() + SEND_VERDICT_TIMEOUT + Duration::from_millis(1), Act::End);
            greet(&peer).unwrap();
        });
    }

    #[test]
    fn an_output_is_tried_if_it_is_idle_and_in_doubt() {
        let output = || telemetry::Output::new("o", "o:1".into());
        let (new, works, fails, busy, unconfirmed) = (output(), output(), output(), output(), output());
        works.health.works();
        fails.health.works();
        fails.health.failed("refused", false);
        busy.send.waiting.add(1);
        unconfirmed.add_sender("send-o-0").unconfirmed.add(1);
        let due = [&new, &works, &fails, &busy, &unconfirmed].map(is_due);
        assert_eq!(due, [true, false, true, false, false]);
    }
}
