//! HTTP clients, built when they are first needed: a monitor that only watches `http://` never loads certificates.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use reqwest::{Certificate, Client, redirect};

/// What makes one client differ from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    /// May meet TLS, by its URL or by a redirect.
    pub(crate) tls: bool,
    /// Does not verify certificates.
    pub(crate) insecure: bool,
    /// How many redirects are followed.
    pub(crate) redirects: u32,
    /// Certificates to trust besides the system's, in PEM.
    pub(crate) ca: Option<Vec<u8>>,
}

/// The clients in use.
#[derive(Debug)]
pub(crate) struct Clients(Mutex<HashMap<Kind, Client>>);

/// Kinds that are kept; more are built anew each time.
const KEPT: usize = 32;
/// Headers of one answer.
pub(crate) const MAX_HEADERS: usize = 100;

impl Clients {
    pub(crate) fn new() -> Self {
        // Fails only when one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self(Mutex::default())
    }

    /// The client of a kind.
    pub(crate) fn get(&self, kind: &Kind) -> reqwest::Result<Client> {
        // Nothing that could panic is done under the lock, and a map of finished clients is always sound.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = kept.get(kind) {
            return Ok(client.clone());
        }
        let client = build(kind)?;
        if kept.len() < KEPT {
            kept.insert(kind.clone(), client.clone());
        }
        Ok(client)
    }
}

fn build(kind: &Kind) -> reqwest::Result<Client> {
    let redirects = match kind.redirects {
        0 => redirect::Policy::none(),
        most => redirect::Policy::limited(most as usize),
    };
    let builder = Client::builder()
        .user_agent(concat!("sereno-health-monitor/", env!("CARGO_PKG_VERSION")))
        // A proxy of the environment would be asked for the services of this machine.
        .no_proxy()
        // A kept connection still answers when the listener is long closed.
        .pool_max_idle_per_host(0)
        .http1_only()
        .http1_max_headers(MAX_HEADERS)
        .referer(false)
        .redirect(redirects);
    let builder = if !kind.tls {
        builder.tls_certs_only([])
    } else if kind.insecure {
        builder.tls_danger_accept_invalid_certs(true)
    } else if let Some(pem) = &kind.ca {
        builder.tls_certs_merge(Certificate::from_pem_bundle(pem)?)
    } else {
        builder
    };
    builder.build()
}
