//! Services that no file names: added and removed by hand, individually.

use proto::Name;
use sereno_config::{Config, Places};

use super::Manager;
use super::command::{ConfigError, NewService, Outcome};
use crate::disk::added::Entry;
use crate::journal::Kind;

impl Manager {
    /// Joins a changed file with the services added by hand. The file may not name a service that was added.
    pub(super) fn with_added(&self, mut config: Config) -> Result<Config, ConfigError> {
        match self.added.join(&mut config).into_iter().next() {
            None => Ok(config),
            Some((name, why)) => Err(ConfigError::Added(name, why.to_string())),
        }
    }

    /// Returns the configuration with a new service as its only one, so that it can be checked against the host: the
    /// others run already.
    pub(super) fn draft(&self, new: &NewService) -> Result<Config, ConfigError> {
        if self.going.is_some() {
            return Err(ConfigError::Going);
        }
        let name = &new.name;
        if self.config.services.contains_key(name) || self.config.monitors.contains_key(name) {
            return Err(ConfigError::Exists(name.clone()));
        }
        if self.leaving.contains(name) {
            return Err(ConfigError::Leaving(name.clone()));
        }
        let service = entry(new).service(name, &self.config).map_err(ConfigError::Problems)?;
        Ok(Config {
            services: [(name.clone(), service)].into(),
            monitors: std::collections::BTreeMap::new(),
            places: Places::default(),
            path: "ctl run".into(),
            ..self.config.clone()
        })
    }

    /// Adds a service. The caller has checked its draft against the host.
    pub(super) fn add(&mut self, new: NewService, who: &str) -> Result<Outcome, ConfigError> {
        // Something may have changed since then.
        let alone = self.draft(&new)?;
        let mut config = self.config.clone();
        config.services.extend(alone.services);
        let entry = entry(&new);
        let name = new.name;
        let mut added = self.added.clone();
        added.insert(&name, entry);
        added.save(&self.world.home.state())?;
        self.added = added;
        let message = format!("{name} added by {who}");
        Ok(self.adopt(config, &name, message, "added"))
    }

    pub(super) fn remove(&mut self, name: Name, who: &str) -> Result<Outcome, ConfigError> {
        if self.going.is_some() {
            return Err(ConfigError::Going);
        }
        let mut added = self.added.clone();
        if !added.remove(&name) {
            let known = self.config.services.contains_key(&name) || self.config.monitors.contains_key(&name);
            return Err(if known { ConfigError::OfFile(name) } else { ConfigError::Unknown(name) });
        }
        let users = self.config.services.iter();
        let mut users = users.filter(|(_, service)| service.depends_on.contains_key(&name));
        if let Some((user, _)) = users.next() {
            return Err(ConfigError::Needed(name, user.clone()));
        }
        added.save(&self.world.home.state())?;
        self.added = added;
        let mut config = self.config.clone();
        config.services.remove(&name);
        let message = format!("{name} removed by {who}");
        Ok(self.adopt(config, &name, message, "removed"))
    }

    /// Continues with a configuration that has one service more or less.
    fn adopt(&mut self, config: Config, name: &Name, event: String, done: &str) -> Outcome {
        let incarnation = self.services.get(name).map_or(0, |service| service.unit.incarnation());
        let seq = self.world.tell_own(Kind::Config, event);
        let steps = self.steps(&config);
        self.take_over(config, steps, false, seq);
        Outcome { service: name.to_string(), ok: true, message: done.into(), incarnation }
    }
}

fn entry(new: &NewService) -> Entry {
    Entry { toml: new.toml.clone(), folder: new.folder.clone(), env: new.env.clone() }
}
