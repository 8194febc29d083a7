//! Reads where daemons listen and how they prove their identity: `listen`, `metrics`, `tls`, `token_file`, `tokens`.

use std::net::{IpAddr, SocketAddr};

use proto::Endpoint;

use super::effective::absolute_if;
use super::problem::Wrong;
use super::reader::Reader;
use super::tree::{Node, Value};
use super::value::filled;
use sereno_auth::TlsFiles;

fn endpoint(node: &Node) -> Result<Endpoint, Wrong> {
    let text = filled(node)?;
    Endpoint::parse(&text).map_err(|error| format!("must be an endpoint: {error}").into())
}

/// Reads an endpoint, and returns it as text.
pub(super) fn uri(node: &Node) -> Result<String, Wrong> {
    endpoint(node).map(|endpoint| endpoint.to_string())
}

/// Reads `listen`: an endpoint or a list of endpoints.
pub(super) fn listen(table: &Reader<'_>) -> Vec<Endpoint> {
    let all = match table.get("listen").map(|node| &node.value) {
        Some(Value::List(_)) => table.list("listen", "endpoints", endpoint),
        _ => table.opt("listen", endpoint).map(|one| vec![one]),
    };
    all.unwrap_or_default()
}

/// Reports an `https://` in `listen` that has no certificate.
pub(super) fn check_https(table: &Reader<'_>, listen: &[Endpoint]) {
    let is_https = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Https { .. });
    if let Some(node) = table.get("listen")
        && table.get("tls").is_none()
        && listen.iter().any(is_https)
    {
        table.bad(node, "needs tls = { ca, cert, key } beside it for https:// (\"ctl pki\" makes them)");
    }
}

/// Reads `metrics`: a loopback address whose port no endpoint of `listen` has.
pub(super) fn metrics(table: &Reader<'_>, listen: &[Endpoint]) -> Option<SocketAddr> {
    let address = table.opt("metrics", loopback)?;
    let is_taken = |endpoint: &Endpoint| match endpoint {
        Endpoint::Http(other) => *other == address,
        Endpoint::Https { host, port } => {
            let same = |ip: IpAddr| ip.is_unspecified() || ip == address.ip();
            *port == address.port() && host.parse().is_ok_and(same)
        }
        _ => false,
    };
    if let (Some(node), true) = (table.get("metrics"), listen.iter().any(is_taken)) {
        table.bad(node, "must not be one of those in listen: give it a port of its own");
    }
    Some(address)
}

fn loopback(node: &Node) -> Result<SocketAddr, Wrong> {
    let address: SocketAddr = filled(node)?.parse().map_err(
        |_| "must be an address of this machine with a port, such as \"127.0.0.1:7611\" or \"[::1]:7611\"",
    )?;
    if !address.ip().is_loopback() {
        return Err("must be 127.0.0.1 or [::1], as whoever reads metrics shows no token: \
            scrape from this machine, or through a tunnel (ssh -L)"
            .into());
    }
    if address.port() == 0 { Err("must have a port from 1 to 65535".into()) } else { Ok(address) }
}

/// Reads `tls`: all three files or none.
pub(super) fn tls(table: &Reader<'_>) -> Option<TlsFiles> {
    let tls = table.sub("tls")?;
    if ["ca", "cert", "key"].iter().any(|key| tls.get(key).is_none()) {
        tls.lacks("needs ca, cert and key: both sides show who they are");
    }
    Some(TlsFiles { ca: tls.path("ca")?, cert: tls.path("cert")?, key: tls.path("key")? })
}

/// Returns the endpoint at which other programs reach a daemon with this table; only a local one if it is managed.
pub(super) fn reached_at(own: Option<&Node>, managed: bool) -> Option<String> {
    let listen = own?.get(&["listen"])?;
    let one = std::slice::from_ref(listen);
    let told: Vec<Endpoint> =
        listen.list().unwrap_or(one).iter().filter_map(|node| endpoint(node).ok()).collect();
    let local = told.iter().find(|endpoint| endpoint.is_local());
    let far = || told.iter().find(|endpoint| !managed && endpoint.names_a_host());
    local.or_else(far).map(ToString::to_string)
}

/// Makes the paths of a daemon's own table absolute.
pub(super) fn absolute_daemon(node: &mut Node, base: &std::path::Path) {
    for key in ["token_file", "tokens", "tls"] {
        absolute_if(node, key, base, |_| true);
    }
}
