//! The TLS client configuration from an output's PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, ClientConfig, RootCertStore};

use crate::base::certificate::expiry;
use crate::base::limits::TLS_RECORD_BYTES;
use crate::base::locks::lock;
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::settings::TlsFiles;

/// A file that TLS needs cannot be used. `check` reports the same before anything runs.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    #[error("{path}: {cause}", path = path.display())]
    File { path: PathBuf, cause: String },
    #[error("the machine has no trusted certificate authorities; set `chain` of the output")]
    NoRoots,
    #[error("client certificate and key do not go together: {0}")]
    Identity(rustls::Error),
}

/// The configuration for an output's next connection, shared by its senders; open connections are renewed when it
/// changes.
#[derive(Debug, Clone)]
pub struct Certificates(Arc<Mutex<Current>>);

/// The files' last read contents.
#[derive(Debug, Clone)]
struct Current {
    config: Arc<ClientConfig>,
    /// Expiry of the client certificate.
    expires_at: Option<Timestamp>,
}

impl Certificates {
    /// # Errors
    /// The errors of [`client_config`].
    pub fn read(files: &TlsFiles) -> Result<Certificates, TlsFileError> {
        Ok(Certificates(Arc::new(Mutex::new(read(files)?))))
    }

    /// Reads them again.
    ///
    /// # Errors
    /// The errors of [`client_config`]; the current ones stay.
    pub fn renew(&self, files: &TlsFiles) -> Result<(), TlsFileError> {
        let new = read(files)?;
        *self.lock() = new;
        Ok(())
    }

    pub fn current(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.lock().config)
    }

    /// Expiry of the client certificate; None if there is none.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.lock().expires_at
    }

    /// Uses this configuration for all connections, whatever the files say.
    #[cfg(test)]
    pub fn set(&self, config: ClientConfig) {
        self.lock().config = Arc::new(config);
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        lock(&self.0)
    }
}

/// TLS 1.2 and 1.3; only the files' authority is trusted, and the peer's name is always checked.
///
/// # Errors
/// If a file is missing, has no PEM of its kind, or a key of another certificate.
pub fn client_config(files: &TlsFiles) -> Result<Arc<ClientConfig>, TlsFileError> {
    read(files).map(|current| current.config)
}

fn read(files: &TlsFiles) -> Result<Current, TlsFileError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsFileError::Identity)?
        .with_root_certificates(roots(files.chain.as_deref())?);
    let mut expires_at = None;
    let mut config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let certificates = certificates(&identity.cert)?;
            expires_at = expiry(&certificates[0]);
            let key = key(&identity.key)?;
            builder.with_client_auth_cert(certificates, key).map_err(TlsFileError::Identity)?
        }
    };
    config.max_fragment_size = Some(TLS_RECORD_BYTES);
    Ok(Current { config: Arc::new(config), expires_at })
}

/// AES with keys of 128 bits first, if the peer lets us choose: ten rounds instead of fourteen.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        !matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    });
    provider
}

pub(super) fn roots(chain: Option<&Path>) -> Result<RootCertStore, TlsFileError> {
    let mut roots = RootCertStore::empty();
    match chain {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|e| file_error(path, e))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() { Err(TlsFileError::NoRoots) } else { Ok(roots) }
}

/// At least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|e| file_error(path, e))?;
    if certificates.is_empty() {
        return Err(file_error(path, "it contains no PEM certificate"));
    }
    Ok(certificates)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFileError> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| file_error(path, e))
}

fn file_error(path: &Path, cause: impl ToString) -> TlsFileError {
    TlsFileError::File { path: path.to_owned(), cause: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cipher_suite_is_lost_and_the_short_key_comes_first() {
        let (ours, all) = (provider(), rustls::crypto::ring::default_provider());
        assert_eq!(ours.cipher_suites.len(), all.cipher_suites.len());
        assert!(all.cipher_suites.iter().all(|suite| ours.cipher_suites.contains(suite)));
        assert_eq!(ours.cipher_suites[0].suite(), CipherSuite::TLS13_AES_128_GCM_SHA256);
    }

    #[cfg(feature = "lab")]
    #[test]
    fn the_expiry_is_the_client_certificates() {
        let pki = crate::lab::testbed::pki::Pki::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let files = pki.write_client_files(directory.path()).unwrap().into();
        let expires_at = Certificates::read(&files).unwrap().expires_at().unwrap();
        assert!(expires_at > Timestamp::now());
    }
}
