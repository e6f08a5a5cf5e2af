//! Errors of connections, in the words of the person who has to fix them.

use std::io;

use rustls::{AlertDescription, CertificateError, InvalidMessage};

use crate::base::text::variant;
use crate::telemetry::Failure;

/// A connection could not be opened, or broke. Nothing is lost: unconfirmed batches are sent again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot resolve {address:?}: {source}. Check the output's address and the host's DNS")]
    Resolve { address: String, source: io::Error },
    #[error("cannot connect to {peer}: {source}. Is it listening, and is the port open in the firewall?")]
    Connect { peer: String, source: io::Error },
    #[error("TLS with {peer} failed: {}.{advice}", told(.source))]
    Tls { peer: String, source: rustls::Error, advice: &'static str },
    #[error(
        "{peer} did not complete the TLS handshake within {seconds} s. Does this port speak TLS, and is the peer overloaded?"
    )]
    Handshake { peer: String, seconds: u64 },
    #[error("{peer} closed the connection{when}")]
    Closed { peer: String, when: &'static str },
    #[error("{peer} has neither taken nor acknowledged a byte for {seconds} s")]
    Stalled { peer: String, seconds: u64 },
    #[error("the connection with {peer} broke: {source}")]
    Broken { peer: String, source: io::Error },
    #[error(
        "{peer} broke the connection after we had ended it: {source}. Its program may have closed with unread data. If it always ends connections like this, no end confirms: let it read to our end and close in good order, or write \"confirmation\": \"acknowledgement\""
    )]
    BrokenAtEnd { peer: String, source: io::Error },
    #[error(
        "{peer} did not end the connection within {seconds} s after we did; its program may not be reading. Unconfirmed batches are sent again"
    )]
    Unanswered { peer: String, seconds: u64 },
    #[error(
        "{peer} has not ended any connection after we did, not even one without data: its program does not read, or never ends connections. Nothing is confirmed until it ends one, or for {minutes} min; after that its TCP acknowledgements confirm. Is its program alive? If it is one that never ends connections, write \"confirmation\": \"acknowledgement\""
    )]
    Silent { peer: String, minutes: u64 },
    #[error(
        "the connection with {peer} ended after our close_notify, but without the peer's own, which it usually sends; a balancer in between may have lost its backend, or another program answers there. Unconfirmed batches are sent again"
    )]
    Cut { peer: String },
    #[error("TLS with {peer} dropped bytes that were written; they are sent again on a new connection")]
    Dropped { peer: String },
    #[error(
        "{peer} closed the connection each time that {batch} was sent alone ({times} times so far): {cause}"
    )]
    Killed { peer: String, batch: String, times: u32, cause: String },
    #[error("the collector is being stopped")]
    Stopped,
}

impl Error {
    /// True if a retry will not help: a certificate is wrong on one of the two sides.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Error::Tls { .. }) && !self.is_end()
    }

    /// True if the peer has ended a working connection, possibly because of its input.
    pub fn is_end(&self) -> bool {
        match self {
            Error::Closed { .. } | Error::Broken { .. } | Error::BrokenAtEnd { .. } => true,
            // A complaint about our certificate concerns the connection, not its content.
            Error::Tls { source: rustls::Error::AlertReceived(alert), .. } => {
                identity_advice(*alert).is_none()
            }
            _ => false,
        }
    }

    /// True if the peer has not read everything in its time: less may be read.
    pub fn is_slowness(&self) -> bool {
        matches!(self, Error::Stalled { .. } | Error::Unanswered { .. })
    }

    fn cause(&self) -> String {
        match self {
            Error::Tls { source, .. } => format!("TLS: {}", told(source)),
            Error::Resolve { source, .. }
            | Error::Connect { source, .. }
            | Error::Broken { source, .. }
            | Error::BrokenAtEnd { source, .. } => {
                format!("{}: {}", variant(self), source.kind())
            }
            other => variant(other),
        }
    }

    pub(super) fn tls(peer: &str, source: rustls::Error) -> Error {
        let advice = advice(&source);
        Error::Tls { peer: peer.to_owned(), source, advice }
    }

    /// Converts an I/O error that may wrap a TLS one: rustls reports both through `io::Error`.
    pub(super) fn broken(peer: &str, source: io::Error) -> Error {
        match source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => Error::tls(peer, tls.clone()),
            None => Error::Broken { peer: peer.to_owned(), source },
        }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Failure {
        Failure { cause: error.cause(), message: error.to_string() }
    }
}

/// Advice for an alert about our certificate. None if the alert is about something else.
fn identity_advice(alert: AlertDescription) -> Option<&'static str> {
    let advice = match alert {
        AlertDescription::CertificateExpired => {
            " The peer says that our client certificate (`cert`) has expired: get a new one from the domain"
        }
        AlertDescription::CertificateRequired => {
            " The peer wants a client certificate: set `cert` and `key` of the output"
        }
        AlertDescription::HandshakeFailure => {
            " The peer and we have no protocol, cipher or kind of certificate in common. It may want a client certificate (`cert` and `key` of the output), or one with another kind of key; its own log says which"
        }
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied
        | AlertDescription::CertificateRevoked
        | AlertDescription::UnsupportedCertificate => {
            " The peer refused our client certificate (`cert`): is it for this domain, and signed by an authority that the peer trusts?"
        }
        _ => return None,
    };
    Some(advice)
}

/// The error in words that are the same at each attempt. Some of its own contain the present time.
fn told(error: &rustls::Error) -> String {
    let without_time = match error {
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { .. }) => {
            CertificateError::Expired
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { .. }) => {
            CertificateError::NotValidYet
        }
        other => return other.to_string(),
    };
    rustls::Error::InvalidCertificate(without_time).to_string()
}

fn advice(error: &rustls::Error) -> &'static str {
    use rustls::Error::{AlertReceived, InvalidCertificate};
    match error {
        AlertReceived(alert) => identity_advice(*alert).unwrap_or_default(),
        InvalidCertificate(CertificateError::UnknownIssuer) => {
            " The peer's certificate is not signed by the authority in `chain`: is it the right file for this address?"
        }
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            " The peer's certificate has expired; if it has not, check this host's clock"
        }
        InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => " The peer's certificate is for another name: check the output's `address`",
        InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            " The peer's certificate is not valid yet: check this host's clock"
        }
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            " What answers at this port does not speak TLS: check the output's `address` and `port`, or write `type: TCP` for a relay without TLS"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn a_port_without_tls_is_told_as_one() {
        let error = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        let shown = Error::tls("localhost:1", error).to_string();
        assert!(shown.contains("does not speak TLS"), "{shown}");
    }

    fn alert(alert: AlertDescription) -> Error {
        Error::tls("localhost:1", rustls::Error::AlertReceived(alert))
    }

    #[test]
    fn each_refusal_of_a_certificate_names_its_cure() {
        let ours = |what| alert(what).to_string();
        for (shown, cure) in [
            (ours(AlertDescription::CertificateExpired), "has expired: get a new one"),
            (ours(AlertDescription::CertificateRequired), "set `cert` and `key`"),
            (ours(AlertDescription::HandshakeFailure), "in common"),
            (ours(AlertDescription::AccessDenied), "is it for this domain"),
            (theirs(CertificateError::UnknownIssuer).to_string(), "the authority in `chain`"),
            (theirs(CertificateError::Expired).to_string(), "certificate has expired; if it has not"),
            (expired_at(1).to_string(), "certificate has expired; if it has not"),
            (theirs(CertificateError::NotValidForName).to_string(), "for another name"),
            (theirs(CertificateError::NotValidYet).to_string(), "not valid yet"),
        ] {
            assert!(shown.contains(cure), "{shown}");
        }
        assert!(ours(AlertDescription::InternalError).ends_with('.'), "nothing is advised");
    }

    fn theirs(error: CertificateError) -> Error {
        Error::tls("localhost:1", rustls::Error::InvalidCertificate(error))
    }

    /// Each attempt finds it at another time.
    fn expired_at(seconds: u64) -> Error {
        let time = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        theirs(CertificateError::ExpiredContext { time: time(seconds), not_after: time(0) })
    }

    #[test]
    fn an_expired_certificate_is_one_failure_at_any_time() {
        assert_eq!(Failure::from(&expired_at(1)), Failure::from(&expired_at(2)));
    }

    #[test]
    fn the_log_groups_errors_by_their_kind_whoever_the_peer_is() {
        let peer = || "localhost:1".to_owned();
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        for (error, cause) in [
            (Error::Connect { peer: peer(), source: refused() }, "Connect: connection refused"),
            (Error::Stalled { peer: peer(), seconds: 60 }, "Stalled"),
            (alert(AlertDescription::InternalError), "TLS: received fatal alert: InternalError"),
        ] {
            assert_eq!(Failure::from(&error).cause, cause);
        }
    }

    #[test]
    fn only_a_peer_that_has_not_read_in_its_time_is_slow() {
        let peer = || "localhost:1".to_owned();
        assert!(Error::Stalled { peer: peer(), seconds: 60 }.is_slowness());
        assert!(Error::Unanswered { peer: peer(), seconds: 30 }.is_slowness());
        assert!(!Error::Closed { peer: peer(), when: "" }.is_slowness() && !Error::Stopped.is_slowness());
    }

    #[test]
    fn a_complaint_about_the_certificate_lasts_and_another_alert_may_be_about_what_was_sent() {
        for ours in [AlertDescription::UnknownCA, AlertDescription::CertificateExpired] {
            assert!(alert(ours).is_lasting() && !alert(ours).is_end());
        }
        for other in [AlertDescription::RecordOverflow, AlertDescription::InternalError] {
            assert!(!alert(other).is_lasting() && alert(other).is_end());
        }
        let invalid = rustls::Error::InvalidCertificate(CertificateError::Expired);
        assert!(Error::tls("localhost:1", invalid).is_lasting());
    }
}
