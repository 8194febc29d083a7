//! Decides which guard a monitor runs.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::Identity;
use sereno_config::Home;
use sereno_guard::Guard;

impl Identity {
    /// Returns the guard of this monitor. Only a monitor that was started by a supervisor on this host has one.
    pub(super) fn guard(&self, env: &BTreeMap<OsString, OsString>) -> Option<Guard> {
        let var = |name: &str| env.get(OsStr::new(name)).filter(|value| !value.is_empty());
        var("SERENO_MONITOR")?;
        let home = Home::at(Path::new(var("SERENO_HOME")?));
        let is_its_own = home.endpoint("supervisor") == self.supervisor;
        is_its_own.then(|| Guard::new(home, self.name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use proto::{Endpoint, Name};

    use super::*;

    fn identity(home: &Home) -> Identity {
        Identity {
            name: Name::new("health-monitor").expect("a name"),
            kinds: &["http"],
            version: "1",
            session: "s".into(),
            supervisor: home.endpoint("supervisor"),
            credentials: sereno_connect::Credentials::default(),
            endpoint: home.endpoint("health-monitor"),
        }
    }

    #[test]
    fn only_a_managed_monitor_of_this_home_guards() {
        let home = Home::at(Path::new("/tmp/x/.sereno"));
        let env = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.into(), v.into())).collect();
        let managed = [("SERENO_MONITOR", "health-monitor"), ("SERENO_HOME", "/tmp/x/.sereno")];
        assert!(identity(&home).guard(&env(&managed)).is_some());
        assert!(identity(&home).guard(&env(&managed[1..])).is_none(), "started by a person");
        assert!(identity(&home).guard(&env(&managed[..1])).is_none(), "knows no home");
        let elsewhere = Identity {
            supervisor: Endpoint::parse("unix:///tmp/y/supervisor.sock").expect("an endpoint"),
            ..identity(&home)
        };
        assert!(elsewhere.guard(&env(&managed)).is_none(), "attached to another supervisor");
    }
}
