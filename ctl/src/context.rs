//! Remote supervisors, stored by name; and which supervisor and which credentials a command uses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{fs, io};

use proto::Endpoint;
use serde::{Deserialize, Serialize};
use sereno_auth::{TlsFiles, secret};
use sereno_connect::Credentials;

use crate::args::access::{CredentialFlags, Remote};
use crate::failure::Failure;

/// The credentials of this process. They are set once, because a process runs one command of one user.
static CREDENTIALS: OnceLock<Credentials> = OnceLock::new();

/// Returns the credentials of this process.
pub(crate) fn credentials() -> &'static Credentials {
    CREDENTIALS.get_or_init(Credentials::default)
}

/// Sets the credentials of this process; later calls have no effect.
pub(crate) fn set_credentials(credentials: Credentials) {
    let _ = CREDENTIALS.set(credentials);
}

/// The contexts of this user, as stored in `contexts.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Contexts {
    /// Name of the context in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// All contexts by name.
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// A remote supervisor and the credentials for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    pub(crate) endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cert: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
}

/// The supervisor and the credentials that a command uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// Endpoint of a remote supervisor; `None` means the supervisor of the file.
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) credentials: Credentials,
    /// What named the endpoint, for messages; empty if there is none.
    pub(crate) by: String,
}

impl Contexts {
    /// Returns the path of the user's `contexts.toml`.
    pub(crate) fn path() -> Option<PathBuf> {
        let var = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = var("XDG_CONFIG_HOME").or_else(|| var("APPDATA"));
        let folder = folder.or_else(|| Some(std::env::home_dir()?.join(".config")))?;
        Some(folder.join("sereno").join("contexts.toml"))
    }

    /// Reads the contexts. A missing file is not an error.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        match fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text)
                .map_err(|error| Failure::Usage(format!("{}: {}", path.display(), error.message()))),
            // After a change of user, `HOME` may still be that of another user.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
            {
                Ok(Self::default())
            }
            Err(error) => Err(Failure::Usage(format!("read {}: {error}", path.display()))),
        }
    }

    /// Writes the contexts, readable for their owner only.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Failure> {
        let failed = |error: String| Failure::Refused(format!("write {}: {error}", path.display()));
        let text = toml::to_string(self).map_err(|error| failed(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        secret::folder(folder).map_err(|error| failed(error.to_string()))?;
        secret::write(path, &text).map_err(|error| failed(error.to_string()))
    }
}

/// Decides which supervisor is meant: by flags, else a named context, else the environment, else (unless a file is
/// named) the context in use.
pub(crate) fn resolve(
    remote: &Remote,
    file_named: bool,
    env: &BTreeMap<String, String>,
    contexts: &Contexts,
) -> Result<Resolved, Failure> {
    let var = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
    let own = from_flags(&remote.credentials, var("SERENO_TOKEN_FILE"));
    if let Some(endpoint) = &remote.endpoint {
        return Ok(Resolved { endpoint: Some(endpoint.clone()), credentials: own, by: "--endpoint".into() });
    }
    let stored = |name: &str| -> Result<Resolved, Failure> {
        let context = contexts.contexts.get(name).ok_or_else(|| {
            Failure::Usage(format!("there is no context {name:?}: \"ctl context list\" shows them"))
        })?;
        Ok(Resolved {
            endpoint: Some(parse(&context.endpoint, &format!("context {name}"))?),
            credentials: over(own.clone(), context),
            by: format!("context {name}"),
        })
    };
    if let Some(name) = &remote.context {
        return stored(name.as_str());
    }
    if let Some(uri) = var("SERENO_SUPERVISOR") {
        let endpoint = Some(parse(&uri, "SERENO_SUPERVISOR")?);
        return Ok(Resolved { endpoint, credentials: own, by: "SERENO_SUPERVISOR".into() });
    }
    match &contexts.current {
        Some(name) if !file_named && var("SERENO_CONFIG").is_none() => stored(name),
        _ => Ok(Resolved { endpoint: None, credentials: own, by: String::new() }),
    }
}

fn parse(uri: &str, by: &str) -> Result<Endpoint, Failure> {
    Endpoint::parse(uri).map_err(|error| Failure::Usage(format!("{by}: {error}")))
}

fn from_flags(flags: &CredentialFlags, token_file: Option<String>) -> Credentials {
    let tls = match (&flags.ca, &flags.cert, &flags.key) {
        (Some(ca), Some(cert), Some(key)) => {
            Some(TlsFiles { ca: ca.clone(), cert: cert.clone(), key: key.clone() })
        }
        _ => None,
    };
    Credentials { tls, token_file: flags.token_file.clone().or_else(|| token_file.map(PathBuf::from)) }
}

/// Completes the credentials with those of the context; flags take precedence.
fn over(own: Credentials, context: &Context) -> Credentials {
    let tls = match (&context.ca, &context.cert, &context.key) {
        (Some(ca), Some(cert), Some(key)) => {
            Some(TlsFiles { ca: ca.clone(), cert: cert.clone(), key: key.clone() })
        }
        _ => None,
    };
    Credentials { tls: own.tls.or(tls), token_file: own.token_file.or_else(|| context.token_file.clone()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts() -> Contexts {
        let prod = Context {
            endpoint: "https://prod:1".into(),
            ca: Some("ca".into()),
            cert: Some("cert".into()),
            key: Some("key".into()),
            ..Context::default()
        };
        let dev = Context {
            endpoint: "http://127.0.0.1:1".into(),
            token_file: Some("t".into()),
            ..Context::default()
        };
        Contexts {
            current: Some("prod".into()),
            contexts: [("prod".into(), prod), ("dev".into(), dev)].into(),
        }
    }

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn the_nearest_word_counts() {
        let named = |uri: &str| Some(Endpoint::parse(uri).expect(uri));
        let flag = Remote { endpoint: named("https://flag:1"), ..Remote::default() };
        let dev = Remote { context: Some("dev".parse().expect("a name")), ..Remote::default() };
        let none = Remote::default();
        let from_env = env(&[("SERENO_SUPERVISOR", "https://env:1")]);
        for (remote, file_named, env, endpoint, by) in [
            (&flag, true, &from_env, named("https://flag:1"), "--endpoint"),
            (&dev, true, &from_env, named("http://127.0.0.1:1"), "context dev"),
            (&none, true, &from_env, named("https://env:1"), "SERENO_SUPERVISOR"),
            (&none, false, &env(&[]), named("https://prod:1"), "context prod"),
            (&none, true, &env(&[]), None, ""),
            (&none, false, &env(&[("SERENO_CONFIG", "x")]), None, ""),
        ] {
            let told = resolve(remote, file_named, env, &contexts()).expect(by);
            assert_eq!((told.endpoint, told.by.as_str()), (endpoint, by));
        }
        let token = env(&[("SERENO_TOKEN_FILE", "mine")]);
        let told = resolve(&dev, false, &token, &contexts()).expect("known");
        assert_eq!(told.credentials.token_file, Some("mine".into()), "the environment before the context");
        let told = resolve(&none, false, &env(&[]), &contexts()).expect("known");
        assert_eq!(told.credentials.tls.expect("kept").cert, PathBuf::from("cert"));
        let gone = Contexts { current: Some("x".into()), ..contexts() };
        assert!(
            matches!(resolve(&none, false, &env(&[]), &gone), Err(Failure::Usage(text)) if text.contains("no context \"x\""))
        );
    }

    #[test]
    fn they_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/contexts.toml");
        assert_eq!(Contexts::load(&path).expect("none yet"), Contexts::default());
        contexts().save(&path).expect("written");
        assert_eq!(Contexts::load(&path).expect("read"), contexts());
    }
}
