//! Services that no file names: what `ctl run` added, kept until `ctl remove`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proto::Name;
use proto::name::NameError;
use serde::{Deserialize, Serialize};
use sereno_config::{Config, Env, Problems, Service};

use super::{replace, set_aside};

/// An added service, as it was requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its TOML table, as in a file.
    pub toml: String,
    /// The folder that its relative paths are relative to.
    pub folder: PathBuf,
    /// The caller's environment.
    pub env: Env,
}

impl Entry {
    /// Parses the service, next to the services of a configuration.
    pub fn service(&self, name: &Name, config: &Config) -> Result<Service, Problems> {
        sereno_config::load_service(name, &self.toml, &self.folder, &self.env, config)
    }
}

/// Why an added service is left out.
#[derive(Debug, thiserror::Error)]
pub enum LeftOut {
    /// Its name is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The file has a service or monitor of this name.
    #[error("the file has one of this name too")]
    Taken,
    /// Its settings are not valid beside the file.
    #[error(transparent)]
    Problems(#[from] Problems),
}

/// All added services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    services: BTreeMap<String, Entry>,
}

fn path_in(state: &Path) -> PathBuf {
    state.join("added.json")
}

impl Added {
    /// Reads the added services; a damaged file is set aside.
    pub fn load(state: &Path) -> Self {
        let path = path_in(state);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "reading the added services failed");
                return Self::default();
            }
        };
        serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            set_aside(&path, &format!("the added services can not be read: {error}"));
            Self::default()
        })
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Writes the added services to disk.
    pub fn save(&self, state: &Path) -> io::Result<()> {
        replace(&path_in(state), &serde_json::to_vec_pretty(self)?)
    }

    /// Adds a service to the set.
    pub fn insert(&mut self, name: &Name, entry: Entry) {
        self.services.insert(name.to_string(), entry);
    }

    /// Removes a service. Returns whether it was there.
    pub fn remove(&mut self, name: &Name) -> bool {
        self.services.remove(name.as_str()).is_some()
    }

    /// Returns the environment that a service was added in.
    pub fn env_of(&self, name: &Name) -> Option<Env> {
        self.services.get(name.as_str()).map(|entry| entry.env.clone())
    }

    /// Adds all of them to the services of a file; the file's own services win. Returns which were left out, and why.
    pub fn join(&self, config: &mut Config) -> Vec<(String, LeftOut)> {
        let mut left_out = Vec::new();
        let mut waiting: Vec<(&String, &Entry)> = self.services.iter().collect();
        // They may depend on each other: a service that cannot be parsed yet is tried again after the others.
        loop {
            let before = waiting.len();
            left_out.clear();
            waiting.retain(|(text, entry)| match take(text, entry, config) {
                Ok(()) => false,
                Err(why) => {
                    left_out.push(((*text).clone(), why));
                    true
                }
            });
            if waiting.is_empty() || waiting.len() == before {
                return left_out;
            }
        }
    }
}

fn take(text: &str, entry: &Entry, config: &mut Config) -> Result<(), LeftOut> {
    let name = Name::new(text)?;
    if config.services.contains_key(&name) || config.monitors.contains_key(&name) {
        return Err(LeftOut::Taken);
    }
    let service = entry.service(&name, config)?;
    config.services.insert(name, service);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(toml: &str) -> Entry {
        Entry { toml: toml.into(), folder: "/x".into(), env: Env::new() }
    }

    fn config(text: &str) -> Config {
        sereno_config::load(Path::new("/h/sereno.toml"), text, &Env::new()).expect("a good file")
    }

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    #[test]
    fn they_survive_the_disk_and_stand_beside_those_of_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut added = Added::default();
        added.insert(&name("a"), entry("command = \"sleep 1\"\ndepends_on = [\"b\", \"web\"]"));
        added.insert(&name("b"), entry("command = [\"sleep\", \"1\"]"));
        added.insert(&name("web"), entry("command = \"sleep 2\""));
        added.save(folder.path()).expect("saved");
        let added = Added::load(folder.path());
        let mut config = config("[services.web]\ncommand = \"sleep 1\"\n");
        let left_out = added.join(&mut config);
        assert!(matches!(&left_out[..], [(name, LeftOut::Taken)] if name == "web"), "{left_out:?}");
        let names: Vec<&str> = config.services.keys().map(Name::as_str).collect();
        assert_eq!(names, ["a", "b", "web"]);
        assert_eq!(config.services[&name("b")].cwd, Path::new("/x"));
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Added::load(folder.path()), Added::default());
        fs::write(path_in(folder.path()), "{").expect("written");
        assert_eq!(Added::load(folder.path()), Added::default());
        assert!(folder.path().join("added.json.damaged").exists());
    }
}
