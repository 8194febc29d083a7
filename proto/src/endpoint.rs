//! Where a daemon listens, as a URI. This version speaks over Unix sockets; the rest of the contract's forms are
//! recognised and refused by name, so that nobody wonders whether they mistyped.

use std::fmt;
use std::path::{Path, PathBuf};

/// A place to listen on or to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `unix:///path`: a Unix socket; the peer's uid decides its role.
    Unix(PathBuf),
    /// `npipe://./pipe/name`: a Windows named pipe, open to its owner only.
    Pipe(String),
}

/// Why a text is not an [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It has no scheme at all.
    #[error("{0:?} is not a URI: write unix:///path/to.sock")]
    NoScheme(String),
    /// A path that is not absolute.
    #[error("{0:?}: the path of a unix endpoint is absolute (unix:///run/x.sock has three slashes)")]
    RelativePath(String),
    /// A path the kernel has no room for.
    #[error("{path:?}: a Unix socket path has at most {MAX_SOCKET_PATH} bytes, this one has {length}")]
    LongPath {
        /// The endpoint.
        path: String,
        /// Bytes in its path.
        length: usize,
    },
    /// A form of the contract that this version does not speak.
    #[error("{0:?}: TCP endpoints are not in this version; use a unix endpoint")]
    NotYet(String),
    /// Anything else.
    #[error("{uri:?}: {scheme:?} is no endpoint: use unix:///path")]
    UnknownScheme {
        /// The endpoint.
        uri: String,
        /// What stood before `:`.
        scheme: String,
    },
}

/// The longest path a Unix socket can have on Linux.
pub const MAX_SOCKET_PATH: usize = 107;

impl Endpoint {
    /// Reads a URI.
    pub fn parse(uri: &str) -> Result<Self, EndpointError> {
        let Some((scheme, rest)) = uri.split_once("://") else {
            return Err(EndpointError::NoScheme(uri.into()));
        };
        match scheme {
            "unix" => Self::unix(Path::new(rest)),
            "npipe" if rest.starts_with("./pipe/") && rest.len() > "./pipe/".len() => {
                Ok(Self::Pipe(rest.into()))
            }
            "http" | "https" => Err(EndpointError::NotYet(uri.into())),
            _ => Err(EndpointError::UnknownScheme { uri: uri.into(), scheme: scheme.into() }),
        }
    }

    /// A Unix socket at an absolute path.
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
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Pipe(name) => write!(f, "npipe://{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for uri in ["unix:///run/sereno/supervisor.sock", "npipe://./pipe/sereno-1-supervisor"] {
            assert_eq!(Endpoint::parse(uri).expect(uri).to_string(), uri);
        }
    }

    #[test]
    fn refuses_with_the_reason() {
        for (uri, part) in [
            ("/run/x.sock", "not a URI"),
            ("unix://x.sock", "absolute"),
            ("http://127.0.0.1:7610", "not in this version"),
            ("ftp://x", "\"ftp\" is no endpoint"),
        ] {
            let error = Endpoint::parse(uri).expect_err(uri).to_string();
            assert!(error.contains(part), "{error}");
        }
        let long = format!("unix:///{}", "x".repeat(200));
        assert!(matches!(Endpoint::parse(&long), Err(EndpointError::LongPath { length: 201, .. })));
    }
}
