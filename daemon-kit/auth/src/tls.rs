//! TLS certificates. TLS 1.3 on both sides, with ring; only the named authority is trusted.
//!
//! A certificate names its holder in its alternative names, as URIs: `sereno://role/monitor`,
//! `sereno://name/probe-1`, and for a monitor limited to some services `sereno://services/web,db`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use proto::name::NameError;
use proto::{Name, Role};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};

use super::secret::{self, SecretError, Stamp};
use super::{Identity, services};

/// Paths of the files that one side needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the trusted authorities, PEM.
    pub ca: PathBuf,
    /// Our own certificate, PEM; further certificates of the chain may follow.
    pub cert: PathBuf,
    /// Private key of the certificate, PEM; only its owner may read it.
    pub key: PathBuf,
}

/// Why TLS can not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can not be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// The key can not be read as a secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The content of a file is invalid.
    #[error("read {}: {why}", path.display())]
    Pem {
        /// Path of the file.
        path: PathBuf,
        /// Problem with the content.
        why: String,
    },
    /// The files do not match each other.
    #[error("use {}: {why}", cert.display())]
    Unfit {
        /// Path of the certificate.
        cert: PathBuf,
        /// Cause of the mismatch.
        why: String,
    },
}

/// Why a certificate does not identify its holder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The certificate is damaged.
    #[error("it can not be read")]
    Unreadable,
    /// The certificate names no role.
    #[error("it names no role (sereno://role/…)")]
    NoRole,
    /// The role in the certificate does not exist.
    #[error("{0}")]
    Role(#[from] proto::role::RoleError),
    /// A name in the certificate is invalid.
    #[error("{0}")]
    Name(#[from] NameError),
}

/// Certificates and key, read from the files.
#[derive(Debug)]
pub struct Material {
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    cert: PathBuf,
}

impl TlsFiles {
    /// Returns the stamps of the three files, to detect changes.
    pub fn stamps(&self) -> [Stamp; 3] {
        [&self.ca, &self.cert, &self.key].map(|path| Stamp::of(path))
    }

    /// Reads the three files.
    pub fn load(&self) -> Result<Material, TlsError> {
        let mut roots = RootCertStore::empty();
        for root in certificates(&self.ca)? {
            let unfit =
                |error: rustls::Error| TlsError::Pem { path: self.ca.clone(), why: error.to_string() };
            roots.add(root).map_err(unfit)?;
        }
        let key = private_key(secret::read(&self.key)?.as_bytes())
            .map_err(|why| TlsError::Pem { path: self.key.clone(), why: why.into() })?;
        let chain = certificates(&self.cert)?;
        Ok(Material { roots: Arc::new(roots), chain, key, cert: self.cert.clone() })
    }
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = std::fs::read(path).map_err(|source| TlsError::Read { path: path.into(), source })?;
    parsed(&bytes).map_err(|why| TlsError::Pem { path: path.into(), why: why.to_string() })
}

/// Why a file is no chain of certificates.
#[derive(Debug, thiserror::Error)]
enum ChainError {
    #[error(transparent)]
    Pem(#[from] rustls::pki_types::pem::Error),
    #[error("there is no certificate in it")]
    None,
}

fn parsed(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, ChainError> {
    let found = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err(ChainError::None) } else { Ok(found) }
}

fn private_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, &'static str> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|_| "there is no private key in it")
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl Material {
    /// Returns the client configuration: presents the certificate, and accepts only a server certificate
    /// that the authority signed for that host.
    pub fn client(&self) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| self.unfit(&error))?;
        let mut config = builder
            .with_root_certificates(Arc::clone(&self.roots))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(|error| self.unfit(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    /// Returns the server configuration: presents the certificate, and requires one from the client.
    /// `shown` receives the name in the client's certificate, valid or not.
    pub fn server(&self, shown: Arc<OnceLock<String>>) -> Result<ServerConfig, TlsError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), provider())
            .build()
            .map_err(|error| TlsError::Unfit { cert: self.cert.clone(), why: error.to_string() })?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| self.unfit(&error))?;
        let mut config = builder
            .with_client_cert_verifier(Arc::new(Witness { verifier, shown }))
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(|error| self.unfit(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Sessions are never resumed: each connection presents its certificate again.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(config)
    }

    fn unfit(&self, error: &rustls::Error) -> TlsError {
        TlsError::Unfit { cert: self.cert.clone(), why: error.to_string() }
    }
}

/// Records the name in a client's certificate before its verification, so that a refusal can name the client.
#[derive(Debug)]
struct Witness {
    verifier: Arc<dyn ClientCertVerifier>,
    shown: Arc<OnceLock<String>>,
}

impl ClientCertVerifier for Witness {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if let Ok(identity) = identity(end_entity) {
            let _ = self.shown.set(identity.name.to_string());
        }
        self.verifier.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Returns the identity in a certificate.
pub fn identity(certificate: &CertificateDer<'_>) -> Result<Identity, CertificateError> {
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|_| CertificateError::Unreadable)?;
    named(parsed.valid_uri_names())
}

/// Returns the identity named by these URIs.
pub fn named<'a>(uris: impl Iterator<Item = &'a str>) -> Result<Identity, CertificateError> {
    let mut role = None;
    let mut name = None;
    let mut of = None;
    for (what, word) in uris.filter_map(|uri| uri.strip_prefix("sereno://")?.split_once('/')) {
        match what {
            "role" => role = Some(word.parse::<Role>()?),
            "name" => name = Some(Name::new(word)?),
            "services" => of = services(word)?,
            _ => {}
        }
    }
    let role = role.ok_or(CertificateError::NoRole)?;
    let name = match name {
        Some(name) => name,
        None => Name::new("unnamed")?,
    };
    Ok(Identity { name, role, services: of })
}

/// Returns the certificate URIs of an identity.
pub fn uris(identity: &Identity) -> Vec<String> {
    let mut uris =
        vec![format!("sereno://role/{}", identity.role), format!("sereno://name/{}", identity.name)];
    if let Some(services) = &identity.services {
        let names: Vec<&str> = services.iter().map(Name::as_str).collect();
        uris.push(format!("sereno://services/{}", names.join(",")));
    }
    uris
}

/// Decodes one file as certificates, authority and key.
pub(crate) fn fuzz(bytes: &[u8]) {
    let (certificates, key) = (parsed(bytes), private_key(bytes));
    let Ok(chain) = certificates else { return };
    let mut roots = RootCertStore::empty();
    for certificate in &chain {
        if let Ok(identity) = identity(certificate) {
            assert_eq!(named(uris(&identity).iter().map(String::as_str)), Ok(identity));
        }
        let _ = roots.add(certificate.clone());
    }
    if let Ok(key) = key {
        let material = Material { roots: Arc::new(roots), chain, key, cert: PathBuf::new() };
        let _ = (material.client(), material.server(Arc::default()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_was_written() {
        for (role, of) in [(Role::Viewer, "-"), (Role::Monitor, "web,db"), (Role::Operator, "-")] {
            let name = Name::new("me-1").expect("a name");
            let identity = Identity { name, role, services: services(of).expect("names") };
            let written = uris(&identity);
            assert_eq!(named(written.iter().map(String::as_str)), Ok(identity));
        }
    }

    #[test]
    fn what_names_no_role_has_none() {
        let of = |uris: &[&str]| named(uris.iter().copied()).map(|identity| identity.role);
        assert_eq!(of(&["sereno://name/x", "https://role/operator"]), Err(CertificateError::NoRole));
        assert!(matches!(of(&["sereno://role/root"]), Err(CertificateError::Role(_))));
        assert!(matches!(of(&["sereno://role/viewer", "sereno://name/a b"]), Err(CertificateError::Name(_))));
        assert_eq!(of(&["sereno://later/x", "sereno://role/viewer"]), Ok(Role::Viewer));
    }
}
