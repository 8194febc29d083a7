//! What a shell completes: the names that the file has right now, and a name that is near to a mistyped one.

use clap_complete::CompletionCandidate;

use crate::place::Place;

/// Names of services, monitors and of the supervisor, as of the file that is found from here.
pub(crate) fn everyone() -> Vec<CompletionCandidate> {
    let mut names = services();
    names.extend(["supervisor", "health-monitor", "port-monitor"].map(CompletionCandidate::new));
    names
}

/// Names and tags of services, as of the file that is found from here.
pub(crate) fn services() -> Vec<CompletionCandidate> {
    let Some(config) = Place::quietly().and_then(|place| place.settings()) else { return Vec::new() };
    let mut tags: Vec<String> =
        config.services.values().flat_map(|service| &service.tags).map(|tag| format!("tag:{tag}")).collect();
    tags.sort();
    tags.dedup();
    let names = config.services.keys().map(|name| name.as_str().to_owned());
    names.chain(tags).map(CompletionCandidate::new).collect()
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |name: &'a str| {
        let begins = typed.len() >= 2 && name.starts_with(typed);
        // Letters that changed places count little for the one, much for the other.
        let slip = typed.len() >= 3 && strsim::osa_distance(typed, name) <= 1;
        let likeness =
            if slip { 1.0 } else { strsim::jaro_winkler(typed, name) } + if begins { 1.0 } else { 0.0 };
        (likeness, name)
    };
    let best = names.into_iter().map(near).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > 0.8).map(|(_, name)| name)
}

/// What a shell runs to have names completed live.
pub(crate) fn registration(shell: clap_complete::Shell) -> Option<Vec<u8>> {
    let shells = clap_complete::env::Shells::builtins();
    let shell = shells.completer(&shell.to_string())?;
    let mut script = Vec::new();
    shell.write_registration("COMPLETE", "ctl", "ctl", "ctl", &mut script).ok()?;
    Some(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_no_far_one() {
        let names = ["mw-vision-backend", "mw-vision-frontend", "db"];
        assert_eq!(nearest("mw-vision-bakend", names), Some("mw-vision-backend"));
        assert_eq!(nearest("mw-vision-f", names), Some("mw-vision-frontend"));
        assert_eq!(nearest("wbe", ["web", "db"]), Some("web"));
        assert_eq!(nearest("dB", ["db2", "x"]), None);
        assert_eq!(nearest("nonsense", names), None);
    }
}
