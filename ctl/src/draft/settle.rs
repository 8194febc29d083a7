//! Removes from a draft the keys that this version refuses, with the parser's own reason. So a draft always
//! loads, and a key that a later version knows is kept without a change here.

use std::path::Path;

use sereno_config::{Env, Problems};

use super::Draft;

/// A key that was removed.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Name of the service.
    pub(crate) service: String,
    /// Name of the key.
    pub(crate) key: String,
    /// Reason of the parser.
    pub(crate) rule: String,
}

/// Removes what the parser refuses. The remaining problems concern the whole file.
pub(crate) fn form(draft: &mut Draft, path: &Path, env: &Env) -> (Vec<Refused>, Problems) {
    let mut refused = Vec::new();
    loop {
        let Err(problems) = sereno_config::load(path, &draft.text(), env) else {
            return (refused, Problems(Vec::new()));
        };
        let before = refused.len();
        for problem in &problems.0 {
            let gone = draft.services.iter_mut().find_map(|service| {
                let below = problem.key.strip_prefix(&format!("services.{}.", service.name));
                let key =
                    below.or_else(|| problem.key.strip_prefix(&format!("services.\"{}\".", service.name)))?;
                // The command is kept: a service without it would only be refused for that.
                let needed = ["command", "shell"].contains(&key);
                (!needed && service.unset(key)).then(|| (service.name.clone(), key.to_owned()))
            });
            if let Some((service, key)) = gone {
                refused.push(Refused { service, key, rule: problem.rule.clone() });
            }
        }
        if refused.len() == before {
            return (refused, problems);
        }
    }
}

/// Returns what the draft refers to but does not exist.
pub(crate) fn world(draft: &Draft, path: &Path, env: &Env) -> Problems {
    match sereno_config::load(path, &draft.text(), env) {
        Ok(config) => sereno_config::check_world(&config, env),
        Err(problems) => problems,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::Service;

    #[test]
    fn what_is_refused_goes_and_is_named() {
        let mut web = Service::new("web.x");
        web.set("command", "web");
        web.put("stop", "timeout", "soon");
        web.set("port", 80);
        let mut draft = Draft::default();
        draft.add(web);
        let (refused, rest) = form(&mut draft, Path::new("/x/sereno.toml"), &Env::new());
        assert!(rest.0.is_empty(), "{rest}");
        assert_eq!((refused[0].service.as_str(), refused[0].key.as_str()), ("web.x", "stop.timeout"));
        assert!(!draft.text().contains("stop"), "{}", draft.text());
        assert!(draft.text().contains("port = 80"));
    }

    #[test]
    fn what_can_not_be_taken_out_stays_a_problem() {
        let mut draft = Draft::default();
        draft.add(Service::new("web"));
        let (refused, rest) = form(&mut draft, Path::new("/x/sereno.toml"), &Env::new());
        assert!(refused.is_empty());
        assert_eq!(rest.0.len(), 1, "{rest}");
    }
}
