//! Configurations of TLS, built when they are first needed: a monitor that only watches `http://` never loads
//! certificates.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
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
        Trust::Any => Arc::new(AcceptAny),
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

/// Accepts every certificate, and every signature: anyone could sign with a key of their own.
#[derive(Debug)]
struct AcceptAny;

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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        use SignatureScheme as Scheme;
        vec![
            Scheme::RSA_PKCS1_SHA1,
            Scheme::ECDSA_SHA1_Legacy,
            Scheme::RSA_PKCS1_SHA256,
            Scheme::ECDSA_NISTP256_SHA256,
            Scheme::RSA_PKCS1_SHA384,
            Scheme::ECDSA_NISTP384_SHA384,
            Scheme::RSA_PKCS1_SHA512,
            Scheme::ECDSA_NISTP521_SHA512,
            Scheme::RSA_PSS_SHA256,
            Scheme::RSA_PSS_SHA384,
            Scheme::RSA_PSS_SHA512,
            Scheme::ED25519,
            Scheme::ED448,
        ]
    }
}
