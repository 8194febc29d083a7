//! Authentication where the system does not identify the peer: tokens, certificates, and the secrets that
//! prove them. Pure except for reading those files.
//!
//! | module | what it holds |
//! |---|---|
//! | [`secret`] | a file that only its owner may read |
//! | [`tokens`] | bearer tokens, stored as hashes in `home/state/tokens` |
//! | [`tls`] | certificates: for a server, for a client, and the role named in a certificate |

#![forbid(unsafe_code)]

pub mod expiry;
pub mod fuzz;
pub mod secret;
pub mod tls;
pub mod tokens;

use std::sync::Arc;

use proto::{Name, Role};

pub use secret::SecretError;
pub use tls::{TlsError, TlsFiles};
pub use tokens::{Token, Tokens};

/// Identity given by a token or a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name of the token, or the name in the certificate.
    pub name: Name,
    /// Role of the identity.
    pub role: Role,
    /// Services that a monitor is limited to; `None` means all.
    pub services: Option<Arc<[Name]>>,
}

impl Identity {
    /// Whether this identity covers a service; `web` covers every instance of it.
    pub fn is_for(&self, service: &str) -> bool {
        let base = service.split_once(':').map_or(service, |(base, _)| base);
        let means = |name: &Name| name.as_str() == service || name.as_str() == base;
        self.services.as_ref().is_none_or(|services| services.iter().any(means))
    }
}

/// Parses names separated by commas; a dash or an empty text means all services.
fn services(text: &str) -> Result<Option<Arc<[Name]>>, proto::name::NameError> {
    if matches!(text, "-" | "") {
        return Ok(None);
    }
    text.split(',').map(Name::new).collect::<Result<Arc<[Name]>, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_for_some_services_is_for_their_instances_too() {
        let name = Name::new("probe").expect("a name");
        let some = services("web,db:1").expect("names");
        let limited = Identity { name: name.clone(), role: Role::Monitor, services: some };
        for (service, is_for) in
            [("web", true), ("web:3", true), ("db", false), ("db:1", true), ("db:2", false), ("we", false)]
        {
            assert_eq!(limited.is_for(service), is_for, "{service}");
        }
        assert!(Identity { name, role: Role::Monitor, services: None }.is_for("anything"));
        assert!(services("a,,b").is_err() && services("../x").is_err());
    }
}
