//! The address of a daemon, as a URI.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// An address to listen on or to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `unix:///path`: a Unix socket; the peer's uid decides its role.
    Unix(PathBuf),
    /// `npipe://./pipe/name`: a Windows named pipe, open to its owner only.
    Pipe(String),
    /// `http://127.0.0.1:7610`: this machine only; a bearer token decides the role.
    Http(SocketAddr),
    /// `https://host:7610`: TLS on both sides; the client's certificate decides the role.
    Https {
        /// Host name or address, without brackets.
        host: String,
        /// Port of the daemon.
        port: u16,
    },
}

/// Why a text is not an [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The text has no scheme.
    #[error("{0:?} is not a URI: write unix:///path/to.sock or https://host:7610")]
    NoScheme(String),
    /// The path is not absolute.
    #[error("{0:?}: the path of a unix endpoint is absolute (unix:///run/x.sock has three slashes)")]
    RelativePath(String),
    /// The path is too long for the kernel.
    #[error("{path:?}: a Unix socket path has at most {MAX_SOCKET_PATH} bytes, this one has {length}")]
    LongPath {
        /// The endpoint as given.
        path: String,
        /// Length of its path, in bytes.
        length: usize,
    },
    /// Host and port can not be parsed.
    #[error("{0:?}: write {1}, with a port and nothing after it")]
    NoPort(String, &'static str),
    /// A host name is given where an address is required.
    #[error("{0:?}: write 127.0.0.1 or [::1]: a name may mean either, or another machine")]
    NoAddress(String),
    /// The endpoint has no TLS but is not on this machine.
    #[error("{0:?}: without TLS only this machine is spoken to (127.0.0.1, [::1]); use https:// for others")]
    NotLoopback(String),
    /// The scheme is unknown.
    #[error(
        "{uri:?}: {scheme:?} is no endpoint: use unix:///path, http://127.0.0.1:PORT or https://host:PORT"
    )]
    UnknownScheme {
        /// The endpoint as given.
        uri: String,
        /// The part before `:`.
        scheme: String,
    },
}

/// Maximum length of a Unix socket path on Linux, in bytes.
pub const MAX_SOCKET_PATH: usize = 107;

impl Endpoint {
    /// Parses a URI.
    pub fn parse(uri: &str) -> Result<Self, EndpointError> {
        let Some((scheme, rest)) = uri.split_once("://") else {
            return Err(EndpointError::NoScheme(uri.into()));
        };
        match scheme {
            "unix" => Self::unix(Path::new(rest)),
            "npipe" if rest.starts_with("./pipe/") && rest.len() > "./pipe/".len() => {
                Ok(Self::Pipe(rest.into()))
            }
            "http" => http(uri, rest),
            "https" => https(rest)
                .ok_or_else(|| EndpointError::NoPort(uri.into(), "https://host:7610 or https://[::1]:7610")),
            _ => Err(EndpointError::UnknownScheme { uri: uri.into(), scheme: scheme.into() }),
        }
    }

    /// Creates an endpoint for a Unix socket at an absolute path.
    pub fn unix(path: &Path) -> Result<Self, EndpointError> {
        let uri = format!("unix://{}", path.display());
        if !path.is_absolute() && !path.starts_with("/") {
            return Err(EndpointError::RelativePath(uri));
        }
        let length = path.as_os_str().len();
        if length > MAX_SOCKET_PATH {
            return Err(EndpointError::LongPath { path: uri, length });
        }
        Ok(Self::Unix(path.into()))
    }

    /// Whether only processes of this machine can be the peer, as guaranteed by the system.
    pub const fn is_local(&self) -> bool {
        matches!(self, Self::Unix(_) | Self::Pipe(_))
    }

    /// Whether another host can be told to connect to it: false for "every address of this machine".
    pub fn names_a_host(&self) -> bool {
        match self {
            Self::Https { host, port } => {
                *port != 0 && !host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified())
            }
            Self::Http(address) => address.port() != 0,
            Self::Unix(_) | Self::Pipe(_) => true,
        }
    }
}

fn http(uri: &str, rest: &str) -> Result<Endpoint, EndpointError> {
    let Some(Endpoint::Https { host, port }) = https(rest) else {
        return Err(EndpointError::NoPort(uri.into(), "http://127.0.0.1:7610 or http://[::1]:7610"));
    };
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() => Ok(Endpoint::Http(SocketAddr::new(ip, port))),
        Err(_) if host == "localhost" => Err(EndpointError::NoAddress(uri.into())),
        _ => Err(EndpointError::NotLoopback(uri.into())),
    }
}

/// Parses `host:port`; only a single slash may follow.
fn https(rest: &str) -> Option<Endpoint> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = rest.rsplit_once(':')?;
    let port = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok())??;
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').filter(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok())?,
        None => host,
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let known = host.contains(':') || (!host.is_empty() && host.chars().all(is_name));
    known.then(|| Endpoint::Https { host: host.into(), port })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Pipe(name) => write!(f, "npipe://{name}"),
            Self::Http(address) => write!(f, "http://{address}"),
            Self::Https { host, port } if host.contains(':') => write!(f, "https://[{host}]:{port}"),
            Self::Https { host, port } => write!(f, "https://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for uri in [
            "unix:///run/sereno/supervisor.sock",
            "npipe://./pipe/sereno-1-supervisor",
            "http://127.0.0.1:7610",
            "http://[::1]:7610",
            "https://watch.example.org:7610",
            "https://10.0.0.1:1",
            "https://[fe80::1]:7610",
        ] {
            assert_eq!(Endpoint::parse(uri).expect(uri).to_string(), uri);
        }
        assert_eq!(Endpoint::parse("https://a:1/").expect("a slash").to_string(), "https://a:1");
    }

    #[test]
    fn refuses_with_the_reason() {
        for (uri, part) in [
            ("/run/x.sock", "not a URI"),
            ("unix://x.sock", "absolute"),
            ("http://10.0.0.1:7610", "use https:// for others"),
            ("http://0.0.0.0:7610", "use https:// for others"),
            ("http://example.org:7610", "use https:// for others"),
            ("http://localhost:7610", "write 127.0.0.1 or [::1]"),
            ("http://127.0.0.1", "with a port"),
            ("https://a", "with a port"),
            ("https://a:70000", "with a port"),
            ("https://a:+1", "with a port"),
            ("https://me@a:1", "with a port"),
            ("https://a:1/x", "with a port"),
            ("https://[a]:1", "with a port"),
            ("https://:1", "with a port"),
            ("ftp://x", "\"ftp\" is no endpoint"),
        ] {
            let error = Endpoint::parse(uri).expect_err(uri).to_string();
            assert!(error.contains(part), "{error}");
        }
        let long = format!("unix:///{}", "x".repeat(200));
        assert!(matches!(Endpoint::parse(&long), Err(EndpointError::LongPath { length: 201, .. })));
    }

    #[test]
    fn every_address_is_nobodys_in_particular() {
        for (uri, names) in
            [("https://0.0.0.0:1", false), ("https://[::]:1", false), ("https://10.0.0.1:1", true)]
        {
            assert_eq!(Endpoint::parse(uri).expect(uri).names_a_host(), names, "{uri}");
        }
    }
}
