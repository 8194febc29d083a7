//! Configurations of TLS, built when they are first needed: a monitor that only watches `http://` never loads
//! certificates.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// Which certificates are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Every certificate, for every host.
    Any,
    /// Those that the system trusts, and those that one of these vouches for.
    SystemAnd(Vec<CertificateDer<'static>>),
}

/// The configurations in use.
#[derive(Debug, Default)]
pub(crate) struct TlsConfigs(Mutex<Vec<(Trust, Arc<ClientConfig>)>>);

/// Configurations that are kept; more are built anew each time.
const KEPT: usize = 32;

impl TlsConfigs {
    /// The configuration that trusts so.
    pub(crate) fn get(&self, trust: &Trust) -> Result<Arc<ClientConfig>, Error> {
        // Nothing that could panic is done under the lock, and a list of finished configurations is always sound.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = kept.iter().find(|(known, _)| known == trust) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(build(trust)?);
        if kept.len() < KEPT {
            kept.push((trust.clone(), Arc::clone(&config)));
        }
        Ok(config)
    }
}

fn build(trust: &Trust) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Any => Arc::new(AcceptAny(Arc::clone(&provider))),
        Trust::SystemAnd(more) if more.is_empty() => Arc::new(Verifier::new(Arc::clone(&provider))?),
        Trust::SystemAnd(more) => {
            Arc::new(Verifier::new_with_extra_roots(more.iter().cloned(), Arc::clone(&provider))?)
        }
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Accepts every certificate. The server must still hold the key of the one that it shows.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        accept_unreadable(verify_tls12_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        accept_unreadable(verify_tls13_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        ))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate of version 1 cannot be read here, and so no signature can be checked by it. Old tools make such ones.
fn accept_unreadable(
    checked: Result<HandshakeSignatureValid, Error>,
) -> Result<HandshakeSignatureValid, Error> {
    match checked {
        Err(Error::InvalidCertificate(CertificateError::Other(_))) => {
            Ok(HandshakeSignatureValid::assertion())
        }
        checked => checked,
    }
}
