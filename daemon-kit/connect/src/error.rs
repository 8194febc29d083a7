//! Errors of a connection attempt.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use proto::Endpoint;
use rustls::pki_types::InvalidDnsNameError;
use rustls::{AlertDescription, CertificateError as Bad, Error};
use sereno_auth::{SecretError, TlsError};

/// Why a connection attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The token can not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The file does not contain a token.
    #[error("read {}: is no token", .0.display())]
    NoToken(PathBuf),
    /// The endpoint is `https://`, but no certificate is configured.
    #[error("https:// needs tls = {{ ca, cert, key }}")]
    NoCertificate,
    /// The certificates are unusable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The host is not a name that a certificate can have.
    #[error(transparent)]
    Host(InvalidDnsNameError),
    /// The TLS handshake failed: the two sides do not trust each other.
    #[error("{}", plainly(.0))]
    Handshake(io::Error),
    /// This system does not support such endpoints.
    #[error("{0}: not an endpoint of this system")]
    Foreign(Endpoint),
    /// The connection timed out.
    #[error("no connection within {} s", .0.as_secs())]
    Late(Duration),
    /// No process listens at the endpoint.
    #[error("not running ({0})")]
    Nobody(&'static str),
    /// Another error of the system.
    #[error("{}", .0.to_string().to_lowercase())]
    Io(io::Error),
    /// The peer does not speak HTTP/2.
    #[error("{}", .0.to_string().to_lowercase())]
    Transport(#[from] tonic::transport::Error),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Nobody("no socket"),
            io::ErrorKind::ConnectionRefused => Self::Nobody("refused"),
            _ => Self::Io(error),
        }
    }
}

/// Describes what was wrong with a handshake.
fn plainly(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        Some(Error::AlertReceived(AlertDescription::CertificateExpired)) => {
            "the certificate that was shown has expired (\"ctl pki renew\")".into()
        }
        Some(Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError)) => {
            "the certificate that was shown is not signed by the authority that is trusted there".into()
        }
        Some(Error::InvalidCertificate(why)) => {
            let words = match why {
                Bad::UnknownIssuer | Bad::BadSignature => {
                    "is not signed by the authority that is trusted here"
                }
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => "is for other hosts",
                Bad::Expired | Bad::ExpiredContext { .. } => "has expired",
                _ => "is not to be trusted",
            };
            format!("its certificate {words}")
        }
        _ => format!("no handshake: {}", error.to_string().to_lowercase()),
    }
}
