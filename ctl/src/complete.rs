//! Completes names in a shell from the current file, and finds the nearest name to a mistyped one.

use std::path::{Path, PathBuf};

use clap_complete::CompletionCandidate;

use crate::place::Place;

/// Returns the services, tags and built-in daemons. The file is the one that the completed line uses.
pub(crate) fn everyone() -> Vec<CompletionCandidate> {
    let mut names = services();
    names.extend(["supervisor", "health-monitor", "port-monitor"].map(CompletionCandidate::new));
    names
}

/// Returns the services and tags. The file is the one that the completed line uses.
pub(crate) fn services() -> Vec<CompletionCandidate> {
    let file = typed_file(std::env::args().skip_while(|word| word != "--").skip(2));
    let place = Place::quietly(file.as_deref());
    let Some(config) = place.and_then(|place| place.settings()) else { return Vec::new() };
    let mut tags: Vec<String> =
        config.services.values().flat_map(|service| &service.tags).map(|tag| format!("tag:{tag}")).collect();
    tags.sort();
    tags.dedup();
    let names = config.services.keys().map(|name| name.as_str().to_owned());
    names.chain(tags).map(CompletionCandidate::new).collect()
}

/// Returns the file that `-f` names in an incomplete line, given without its first word (`ctl`). After the verb, `-f`
/// means `--follow`.
fn typed_file(words: impl IntoIterator<Item = String>) -> Option<PathBuf> {
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        // A shell passes the words as typed, with quotes and an unexpanded `~`.
        let plain = |text: &str| {
            let text = shell_words::split(text).ok().and_then(|words| words.into_iter().next());
            let text = text.filter(|text| !text.is_empty())?;
            let home = || Some(Path::new(&std::env::var_os("HOME")?).join(text.strip_prefix("~/")?));
            Some(home().unwrap_or_else(|| text.into()))
        };
        match word.as_str() {
            "-f" | "--file" => return plain(&words.next()?),
            word if word.starts_with("--file=") => return plain(&word["--file=".len()..]),
            word if word.starts_with("-f") => return plain(&word["-f".len()..]),
            word if word.starts_with('-') => {}
            _ => return None,
        }
    }
    None
}

/// Returns the name that is most similar to the typed one, if it is similar enough.
pub(crate) fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |name: &'a str| {
        let begins = typed.len() >= 2 && name.starts_with(typed);
        // Jaro-Winkler rates a short name with one error or two swapped letters too low.
        let slip = typed.len() >= 3 && strsim::osa_distance(typed, name) <= 1;
        let likeness =
            if slip { 1.0 } else { strsim::jaro_winkler(typed, name) } + if begins { 1.0 } else { 0.0 };
        (likeness, name)
    };
    let best = names.into_iter().map(near).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > 0.8).map(|(_, name)| name)
}

/// Returns the script with which a shell asks `ctl` for completions.
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
    fn the_file_is_the_one_that_was_typed_before_the_verb() {
        let file = |line: &str| typed_file(line.split(' ').map(str::to_owned));
        for line in ["-f a.toml logs we", "--file=a.toml stop we", "--json -fa.toml stop", "-f 'a.toml' stop"]
        {
            assert_eq!(file(line), Some("a.toml".into()), "{line}");
        }
        for line in ["logs -f we", "--json status we", "-f", ""] {
            assert_eq!(file(line), None, "{line}");
        }
    }

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
