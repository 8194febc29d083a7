//! Whom a command asks, and who asks: from flags, from the environment, from a context kept by name, or from the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{fs, io};

use proto::Endpoint;
use serde::{Deserialize, Serialize};
use sereno_auth::{TlsFiles, secret};
use sereno_connect::Credentials;

use crate::args::access::{Remote, Shown};
use crate::failure::Failure;

/// Set once: it is one person, who typed one command.
static SHOWN: OnceLock<Credentials> = OnceLock::new();

/// What this process shows.
pub(crate) fn shown() -> &'static Credentials {
    SHOWN.get_or_init(Credentials::default)
}

/// From now on this process shows that.
pub(crate) fn show(credentials: Credentials) {
    let _ = SHOWN.set(credentials);
}

/// The contexts of this user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Contexts {
    /// The one in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// All of them.
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// A supervisor elsewhere.
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

/// What a command was told about whom to ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Elsewhere than the file says.
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) credentials: Credentials,
    /// What said so.
    pub(crate) by: String,
}

impl Contexts {
    /// Where they are kept.
    pub(crate) fn path() -> Option<PathBuf> {
        let var = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = var("XDG_CONFIG_HOME").or_else(|| var("APPDATA"));
        let folder = folder.or_else(|| Some(std::env::home_dir()?.join(".config")))?;
        Some(folder.join("sereno").join("contexts.toml"))
    }

    /// Reads them; none is no error.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        match fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text)
                .map_err(|error| Failure::Usage(format!("{}: {}", path.display(), error.message()))),
            // What another user keeps is nothing to us.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
            {
                Ok(Self::default())
            }
            Err(error) => Err(Failure::Usage(format!("read {}: {error}", path.display()))),
        }
    }

    /// Writes them.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Failure> {
        let failed = |error: String| Failure::Refused(format!("write {}: {error}", path.display()));
        let text = toml::to_string(self).map_err(|error| failed(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        secret::folder(folder).map_err(|error| failed(error.to_string()))?;
        secret::write(path, &text).map_err(|error| failed(error.to_string()))
    }
}

/// From flags, else a named context, else the environment, else (unless a file is named) the context in use.
pub(crate) fn resolve(
    remote: &Remote,
    file_named: bool,
    env: &BTreeMap<String, String>,
    contexts: &Contexts,
) -> Result<Told, Failure> {
    let var = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
    let own = credentials(&remote.shown, var("SERENO_TOKEN_FILE"));
    if let Some(endpoint) = &remote.endpoint {
        return Ok(Told { endpoint: Some(endpoint.clone()), credentials: own, by: "--endpoint".into() });
    }
    let kept = |name: &str| -> Result<Told, Failure> {
        let context = contexts.contexts.get(name).ok_or_else(|| {
            Failure::Usage(format!("there is no context {name:?}: \"ctl context list\" shows them"))
        })?;
        Ok(Told {
            endpoint: Some(parse(&context.endpoint, &format!("context {name}"))?),
            credentials: over(own.clone(), context),
            by: format!("context {name}"),
        })
    };
    if let Some(name) = &remote.context {
        return kept(name.as_str());
    }
    if let Some(uri) = var("SERENO_SUPERVISOR") {
        let endpoint = Some(parse(&uri, "SERENO_SUPERVISOR")?);
        return Ok(Told { endpoint, credentials: own, by: "SERENO_SUPERVISOR".into() });
    }
    match &contexts.current {
        Some(name) if !file_named && var("SERENO_CONFIG").is_none() => kept(name),
        _ => Ok(Told { endpoint: None, credentials: own, by: String::new() }),
    }
}

fn parse(uri: &str, by: &str) -> Result<Endpoint, Failure> {
    Endpoint::parse(uri).map_err(|error| Failure::Usage(format!("{by}: {error}")))
}

fn credentials(shown: &Shown, token_file: Option<String>) -> Credentials {
    let tls = match (&shown.ca, &shown.cert, &shown.key) {
        (Some(ca), Some(cert), Some(key)) => {
            Some(TlsFiles { ca: ca.clone(), cert: cert.clone(), key: key.clone() })
        }
        _ => None,
    };
    Credentials { tls, token_file: shown.token_file.clone().or_else(|| token_file.map(PathBuf::from)) }
}

/// What a flag says comes before what the context has.
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
