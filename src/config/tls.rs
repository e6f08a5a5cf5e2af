//! An output's certificate files: they are read and checked here, so that connections do not fail on them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::context::Context;
use super::kind::Kind;
use super::node::Mapping;
use super::permissions;
use crate::base::limits;
use crate::config::files::read_file;
use crate::settings::{Identity, TlsFiles};

const ADVICE: &str = "download the domain's files from Devo: Administration, Credentials, X.509 certificates";

/// The required files.
#[derive(Clone, Copy, PartialEq)]
pub enum Needs {
    /// chain, cert and key.
    Everything,
    /// None are required; cert and key are used together.
    Nothing,
}

/// Reads `chain`, `cert` and `key` of an output. None if one of them has a problem.
pub(super) fn read(config: &Mapping<'_>, needs: Needs, context: &Context<'_>) -> Option<TlsFiles> {
    let file = |key| file(config, key, needs, context);
    let (chain, cert, key) = (file("chain"), file("cert"), file("key"));
    for (one, other, missing) in [(&cert, &key, "key"), (&key, &cert, "cert")] {
        if needs == Needs::Nothing && one.is_some() && other.is_none() {
            let advice = "certificate and key are used together";
            config.report.error(Kind::Missing, config.path_of(missing), "is missing", advice);
        }
    }
    if let Some(chain) = &chain {
        check_chain(config, chain);
    }
    if let (Some(chain), Some(cert), Some(key)) = (&chain, &cert, &key)
        && are_swapped(chain, cert, key)
    {
        let message = format!(
            "{} and {} are swapped: the key belongs to the latter",
            cert.path.display(),
            chain.path.display()
        );
        config.report.error(
            Kind::TlsFile,
            config.path_of("cert"),
            message,
            "exchange the values of cert and chain",
        );
        return None;
    }
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some(check_identity(config, cert, key, context.environment.now)),
        _ => None,
    };
    let identity = identity.map(|(cert, key)| Identity { cert: cert.path, key: key.path });
    Some(TlsFiles { chain: chain.map(|chain| chain.path), identity })
}

/// A file that could be read.
struct Pem {
    path: PathBuf,
    bytes: Vec<u8>,
}

fn file(config: &Mapping<'_>, key: &'static str, needs: Needs, context: &Context<'_>) -> Option<Pem> {
    let name = match needs {
        Needs::Everything => config.required(key, ADVICE)?,
        Needs::Nothing => config.string(key)?,
    };
    let path = context.find(&name, &["certs"], Path::is_file);
    match read_file(&path) {
        Ok(bytes) => Some(Pem { path, bytes }),
        Err(message) => {
            let advice = "paths are relative to the configuration file's folder; a folder certs in it or beside it \
                          is searched too";
            config.report.error(Kind::TlsFile, config.path_of(key), message, advice);
            None
        }
    }
}

fn check_chain(config: &Mapping<'_>, chain: &Pem) {
    let Some(certificates) = certificates(config, "chain", chain) else { return };
    let mut roots = rustls::RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(certificates);
    if usable == 0 {
        let message = format!("{} contains no usable certificate", chain.path.display());
        config.report.error(Kind::TlsFile, config.path_of("chain"), message, ADVICE);
    }
}

fn check_identity(config: &Mapping<'_>, cert: Pem, key: Pem, now: SystemTime) -> (Pem, Pem) {
    let certificates = certificates(config, "cert", &cert);
    let private_key = private_key(config, &key);
    permissions::warn_if_open(&key.path, &config.path_of("key"), config.report);
    if let Some(certificates) = certificates {
        check_dates(config, &certificates, now);
        if let Some(private_key) = private_key {
            check_match(config, certificates, private_key, &cert);
        }
    }
    (cert, key)
}

/// Reads the certificates of a file; reports a file without one.
fn certificates(config: &Mapping<'_>, key: &str, pem: &Pem) -> Option<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.bytes).collect();
    let message = match read {
        Ok(certificates) if !certificates.is_empty() => return Some(certificates),
        Ok(_) => format!("{} contains no certificate in PEM form", pem.path.display()),
        Err(error) => format!("{} is not in PEM form: {error}", pem.path.display()),
    };
    config.report.error(Kind::TlsFile, config.path_of(key), message, ADVICE);
    None
}

fn private_key(config: &Mapping<'_>, pem: &Pem) -> Option<PrivateKeyDer<'static>> {
    let path = pem.path.display();
    if memchr::memmem::find(&pem.bytes, b"ENCRYPTED").is_some() {
        let advice = "decrypt it: openssl pkey -in domain.key -out domain.plain.key";
        let message = format!("{path} is encrypted");
        config.report.error(Kind::TlsFile, config.path_of("key"), message, advice);
        return None;
    }
    PrivateKeyDer::from_pem_slice(&pem.bytes)
        .map_err(|_| {
            let message = format!("{path} contains no private key in PEM form");
            config.report.error(Kind::TlsFile, config.path_of("key"), message, ADVICE);
        })
        .ok()
}

fn check_match(
    config: &Mapping<'_>,
    certificates: Vec<CertificateDer<'static>>,
    private_key: PrivateKeyDer<'static>,
    cert: &Pem,
) {
    let signing_key = match provider().key_provider.load_private_key(private_key) {
        Ok(signing_key) => signing_key,
        Err(error) => {
            let message = format!("the private key cannot be used: {error}");
            config.report.error(Kind::TlsFile, config.path_of("key"), message, ADVICE);
            return;
        }
    };
    match CertifiedKey::new(certificates, signing_key).keys_match() {
        // Unknown: a key whose public half cannot be derived; the handshake will tell.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => (),
        Err(Error::InconsistentKeys(_)) => {
            let message = format!("does not belong to the certificate {}", cert.path.display());
            let advice = "certificate and key must be from the same download";
            config.report.error(Kind::TlsFile, config.path_of("key"), message, advice);
        }
        Err(error) => {
            let message = format!("{} cannot be used: {error}", cert.path.display());
            config.report.error(Kind::TlsFile, config.path_of("cert"), message, ADVICE);
        }
    }
}

/// True if the key belongs to a certificate of the chain, and to none of the client's.
fn are_swapped(chain: &Pem, cert: &Pem, key: &Pem) -> bool {
    let belongs_to = |pem: &Pem| {
        let certificates: Option<Vec<_>> =
            CertificateDer::pem_slice_iter(&pem.bytes).collect::<Result<_, _>>().ok();
        let key = PrivateKeyDer::from_pem_slice(&key.bytes).ok()?;
        let key = provider().key_provider.load_private_key(key).ok()?;
        Some(CertifiedKey::new(certificates?, key).keys_match().is_ok())
    };
    belongs_to(cert) == Some(false) && belongs_to(chain) == Some(true)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Checks the first certificate, which is the client's own.
fn check_dates(config: &Mapping<'_>, certificates: &[CertificateDer<'_>], now: SystemTime) {
    let path = config.path_of("cert");
    let parsed = certificates.first().map(|first| X509Certificate::from_der(first));
    let Some(Ok((_, certificate))) = parsed else {
        config.report.error(Kind::TlsFile, path, "is not an X.509 certificate", ADVICE);
        return;
    };
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let validity = certificate.validity();
    let (from, until) = (validity.not_before, validity.not_after);
    let left = until.timestamp().saturating_sub(now);
    if left < 0 {
        let advice = "create a new one in Devo and replace cert and key";
        config.report.error(Kind::TlsFile, path, format!("has expired: {until}"), advice);
    } else if from.timestamp() > now {
        let advice = "check this machine's clock";
        config.report.error(Kind::TlsFile, path, format!("is not valid before {from}"), advice);
    } else if left.unsigned_abs() < limits::CERTIFICATE_EXPIRY_WARNING.as_secs() {
        let days = left / 86_400;
        let message = format!("expires in {days} {}: {until}", if days == 1 { "day" } else { "days" });
        config.report.warning(Kind::TlsFile, path, message, "create a new one in Devo in time");
    }
}
