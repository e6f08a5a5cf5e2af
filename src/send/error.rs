//! Why a connection failed, in the words of the person who has to mend it.

use std::io;

use rustls::{AlertDescription, CertificateError};

use crate::telemetry::{Failure, variant};

/// A connection could not be made, or broke. Nothing is lost: what was not confirmed is sent again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot resolve {address:?}: {source}. Check the output's address and the host's DNS")]
    Resolve { address: String, source: io::Error },
    #[error("cannot connect to {peer}: {source}. Is it listening, and is the port open in the firewall?")]
    Connect { peer: String, source: io::Error },
    #[error("TLS with {peer} failed: {source}.{advice}")]
    Tls { peer: String, source: rustls::Error, advice: &'static str },
    #[error("{peer} closed the connection{when}")]
    Closed { peer: String, when: &'static str },
    #[error("{peer} has neither taken nor acknowledged a byte for {seconds} s")]
    Stalled { peer: String, seconds: u64 },
    #[error("the connection with {peer} broke: {source}")]
    Broken { peer: String, source: io::Error },
}

impl Error {
    /// Trying again will not help: a certificate is wrong on one of the two sides.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Error::Tls { .. })
    }

    fn cause(&self) -> String {
        match self {
            Error::Tls { source, .. } => format!("TLS: {source}"),
            Error::Resolve { source, .. } | Error::Connect { source, .. } | Error::Broken { source, .. } => {
                format!("{}: {}", variant(self), source.kind())
            }
            other => variant(other),
        }
    }

    pub(super) fn tls(peer: &str, source: rustls::Error) -> Error {
        let advice = advice(&source);
        Error::Tls { peer: peer.to_owned(), source, advice }
    }

    /// An I/O error that may hide a TLS one: rustls reports both through `io::Error`.
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

fn advice(error: &rustls::Error) -> &'static str {
    use rustls::Error::{AlertReceived, InvalidCertificate};
    match error {
        AlertReceived(alert) => match alert {
            AlertDescription::CertificateExpired => {
                " The peer says that our client certificate (`cert`) has expired: get a new one from the domain"
            }
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure => {
                " The peer wants a client certificate: set `cert` and `key` of the output"
            }
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate => {
                " The peer refused our client certificate (`cert`): is it the one of this domain, and of the authority that the peer trusts?"
            }
            _ => "",
        },
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
        _ => "",
    }
}
