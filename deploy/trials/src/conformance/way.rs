//! Connects to a monitor: by a Unix socket, a local port with a token, or TLS with certificates on both sides.

use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use proto::Endpoint;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint as Target, Identity};
use tonic::{Request, Status};

use crate::Failure;

/// What shows to the monitor who asks.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Shown {
    /// For http://: a file with a token that the monitor knows
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// For https://: whom to trust, a certificate, PEM
    #[arg(long, value_name = "FILE", requires_all = ["cert", "key"])]
    pub ca: Option<PathBuf>,
    /// For https://: who this is, a certificate, PEM
    #[arg(long, value_name = "FILE", requires_all = ["ca", "key"])]
    pub cert: Option<PathBuf>,
    /// For https://: what proves it, a private key, PEM
    #[arg(long, value_name = "FILE", requires_all = ["ca", "cert"])]
    pub key: Option<PathBuf>,
}

/// An open connection to the monitor.
pub(crate) type Way = InterceptedService<Channel, Bearer>;

/// Adds a token to each call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// Returns a channel that connects on first use: the monitor may still be starting.
pub(crate) fn to(endpoint: &Endpoint, shown: &Shown) -> Result<Way, Failure> {
    let failed = |error: String| Failure::Play(format!("{endpoint}: {error}"));
    let target = |uri: String| Target::from_shared(uri).map_err(|error| failed(error.to_string()));
    let (channel, bearer) = match endpoint {
        Endpoint::Unix(path) => (socket(path.clone()), Bearer(None)),
        Endpoint::Http(_) => {
            let path = shown.token_file.as_ref().ok_or_else(|| failed("--token-file is missing".into()))?;
            let token = String::from_utf8(read(path)?).unwrap_or_default();
            let mut value = MetadataValue::try_from(format!("Bearer {}", token.trim()))
                .map_err(|_| failed(format!("{}: is no token", path.display())))?;
            value.set_sensitive(true);
            (target(endpoint.to_string())?.connect_lazy(), Bearer(Some(value)))
        }
        Endpoint::Https { host, .. } => {
            let (Some(ca), Some(cert), Some(key)) = (&shown.ca, &shown.cert, &shown.key) else {
                return Err(failed("--ca, --cert and --key are missing".into()));
            };
            let tls = ClientTlsConfig::new()
                .domain_name(host)
                .ca_certificate(Certificate::from_pem(read(ca)?))
                .identity(Identity::from_pem(read(cert)?, read(key)?));
            let target =
                target(endpoint.to_string())?.tls_config(tls).map_err(|error| failed(words(&error)))?;
            (target.connect_lazy(), Bearer(None))
        }
        _ => return Err(failed("only unix://, http:// and https:// can be tried".into())),
    };
    Ok(InterceptedService::new(channel, bearer))
}

pub(crate) fn socket(path: PathBuf) -> Channel {
    Target::from_static("http://localhost").connect_with_connector_lazy(tower::service_fn(move |_| {
        let path = path.clone();
        async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
    }))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::Play(format!("read {}: {error}", path.display())))
}

/// Returns the message of the innermost error: "transport error" alone says nothing.
fn words(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), words)
}
