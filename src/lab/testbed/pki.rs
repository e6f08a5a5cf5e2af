//! Throw-away certificates for mutual TLS on this machine: a CA, a server, a client.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::settings::{Identity, TlsFiles};

/// The reason why certificates could not be created or written.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("cannot create a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("cannot use a certificate: {0}")]
    Use(#[from] rustls::Error),
    #[error("cannot verify clients: {0}")]
    Verifier(#[from] VerifierBuilderError),
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

/// A CA and its two certificates. Nothing else trusts them.
pub struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
    server: Leaf,
    client: Leaf,
}

/// The files of the client's side of a [`Pki`], under the names that Devo gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// The CA, `chain.crt`.
    pub chain: PathBuf,
    /// The client's certificate, `domain.crt`.
    pub cert: PathBuf,
    /// Its key, `domain.key`, which only its owner may read.
    pub key: PathBuf,
}

impl From<ClientFiles> for TlsFiles {
    fn from(ClientFiles { chain, cert, key }: ClientFiles) -> TlsFiles {
        TlsFiles { chain: Some(chain), identity: Some(Identity { cert, key }) }
    }
}

struct Leaf {
    certificate: Certificate,
    key: KeyPair,
}

impl Pki {
    /// Creates new keys and certificates (EC P-256). The server is `localhost` and `127.0.0.1`.
    pub fn generate() -> Result<Pki, PkiError> {
        Pki::of(&["localhost", "127.0.0.1"], &PKCS_ECDSA_P256_SHA256)
    }

    /// Creates new keys and certificates for a server with these names, the first of which is its common name.
    pub fn of(names: &[&str], algorithm: &'static SignatureAlgorithm) -> Result<Pki, PkiError> {
        let key = || KeyPair::generate_for(algorithm);
        let mut params = named("aws-to-devo throw-away CA", &[], 1)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(params, key()?)?;
        let name = names.first().copied().unwrap_or_default();
        let server = leaf(&ca, named(name, names, 2)?, key()?, ExtendedKeyUsagePurpose::ServerAuth)?;
        let client = leaf(&ca, named("demo-domain", &[], 3)?, key()?, ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(Pki { ca, server, client })
    }

    /// Writes a client's files into an existing directory.
    pub fn write_client_files(&self, directory: &Path) -> Result<ClientFiles, PkiError> {
        let files = ClientFiles {
            chain: directory.join("chain.crt"),
            cert: directory.join("domain.crt"),
            key: directory.join("domain.key"),
        };
        write(&files.chain, &self.ca.pem(), 0o644)?;
        write(&files.cert, &self.client.certificate.pem(), 0o644)?;
        write(&files.key, &self.client.key.serialize_pem(), 0o600)?;
        Ok(files)
    }

    /// A server configuration for TLS 1.2 and 1.3; a client without a certificate of this CA is refused.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, PkiError> {
        self.server_config_of(rustls::DEFAULT_VERSIONS, self.verifier()?).map(Arc::new)
    }

    /// A server configuration with some protocol versions only, and another verifier of clients.
    pub fn server_config_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        verifier: Arc<dyn ClientCertVerifier>,
    ) -> Result<ServerConfig, PkiError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.server.der()], self.server.key_der())?)
    }

    /// Accepts certificates of this CA.
    pub fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, PkiError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?)
    }
}

impl Leaf {
    fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

fn leaf(
    ca: &CertifiedIssuer<'static, KeyPair>,
    mut params: CertificateParams,
    key: KeyPair,
    usage: ExtendedKeyUsagePurpose,
) -> Result<Leaf, PkiError> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    Ok(Leaf { certificate: params.signed_by(&key, ca)?, key })
}

fn named(name: &str, sans: &[&str], serial: u64) -> Result<CertificateParams, PkiError> {
    let sans: Vec<String> = sans.iter().map(|san| (*san).to_owned()).collect();
    let mut params = CertificateParams::new(sans)?;
    params.serial_number = Some(serial.into());
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let open = || std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let result = open().and_then(|mut file| file.write_all(text.as_bytes()));
    result.map_err(|source| PkiError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn files_hold_pem_and_the_key_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let pki = Pki::generate().unwrap();
        let files = pki.write_client_files(directory.path()).unwrap();
        let begins = |path: &Path, kind: &str| {
            std::fs::read_to_string(path).unwrap().starts_with(&format!("-----BEGIN {kind}-----"))
        };
        assert!(begins(&files.chain, "CERTIFICATE") && begins(&files.cert, "CERTIFICATE"));
        assert!(begins(&files.key, "PRIVATE KEY"));
        let mode = std::fs::metadata(&files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(
            matches!(pki.write_client_files(directory.path()), Err(PkiError::Write { .. })),
            "no overwriting"
        );
    }
}
