//! Makes the environment of a service.

use std::io;
use std::path::{Path, PathBuf};

use super::links::{self, PathRefused};
use super::model::{EnvInherit, Service};
use super::world::short;
use super::{Account, Env};

/// Variables with which an init system addresses the supervisor. They are not passed on.
const ADDRESSED: [&str; 6] =
    ["LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// Why the environment of a service can not be made: what is wrong with one of its `env_file`s. Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// The file can not be read.
    #[error("can not read {path}: {cause}", path = .0.display(), cause = short(.1))]
    Unread(PathBuf, #[source] io::Error),
    /// The file is not taken.
    #[error("{path}: {1}", path = .0.display())]
    Refused(PathBuf, #[source] PathRefused),
    /// A line is no pair of name and value.
    #[error("{path}:{1}: must be NAME=value", path = .0.display())]
    NoPair(PathBuf, usize),
    /// A line sets a variable that only Sereno sets.
    #[error("{path}:{1}: {2} can not be set: SERENO_… are Sereno's own", path = .0.display())]
    OwnName(PathBuf, usize, String),
    /// A quoted value has no end.
    #[error("{path}:{1}: has a quote that is not closed", path = .0.display())]
    OpenQuote(PathBuf, usize),
}

/// Returns the environment of a service: the part of the caller's environment that `env_inherit` names (never
/// `SERENO_*`), then `HOME`, `USER` and `LOGNAME` of its account, then its `env_file`s in order, then its `env`.
pub fn service_env(service: &Service, account: &Account, caller_env: &Env) -> Result<Env, EnvError> {
    let mut env = Env::new();
    let may_pass = |name: &str| !name.starts_with("SERENO_") && !ADDRESSED.contains(&name);
    for (name, value) in caller_env.iter().filter(|(name, _)| may_pass(name)) {
        let wanted = match &service.env_inherit {
            EnvInherit::All => true,
            EnvInherit::None => false,
            EnvInherit::Only(names) => names.iter().any(|wanted| same(wanted, name)),
        };
        if wanted {
            set(&mut env, name, value);
        }
    }
    let home = account.home.as_ref().map(|home| home.to_string_lossy());
    let user = account.name.as_deref();
    for (name, value) in [("HOME", home.as_deref()), ("USER", user), ("LOGNAME", user)] {
        if let Some(value) = value {
            set(&mut env, name, value);
        }
    }
    for path in &service.env_file {
        // Links are judged at each start: their owner can change the target at any time.
        let text = links::read_env_file(path, account.uid).map_err(|refused| match refused {
            PathRefused::Unread(error) => EnvError::Unread(path.clone(), error),
            refused => EnvError::Refused(path.clone(), refused),
        })?;
        read_file(path, &text, &mut env)?;
    }
    for (name, value) in &service.env {
        set(&mut env, name, value);
    }
    Ok(env)
}

/// Returns the `PATH` of an environment.
pub(super) fn path_of(env: &Env) -> Option<&str> {
    env.iter().find(|(name, _)| same(name, "PATH")).map(|(_, value)| &**value)
}

/// Whether two names mean the same variable. On Windows, `Path` and `PATH` do.
fn same(one: &str, other: &str) -> bool {
    one == other || (cfg!(windows) && one.eq_ignore_ascii_case(other))
}

fn set(env: &mut Env, name: &str, value: &str) {
    if cfg!(windows) {
        env.retain(|old, _| !same(old, name));
    }
    // One spelling, by which others find it.
    let name = if same(name, "PATH") { "PATH" } else { name };
    env.insert(name.into(), value.into());
}

/// Parses lines of `NAME=value`. An `export` before the name, quotes around the value, comments and empty lines are
/// accepted.
fn read_file(path: &Path, text: &str, env: &mut Env) -> Result<(), EnvError> {
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = index + 1;
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or_else(|| EnvError::NoPair(path.into(), number))?;
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) || line.contains('\0') {
            return Err(EnvError::NoPair(path.into(), number));
        }
        if name.starts_with("SERENO_") {
            return Err(EnvError::OwnName(path.into(), number, name.into()));
        }
        let value = unquote(value.trim()).ok_or_else(|| EnvError::OpenQuote(path.into(), number))?;
        set(env, name, &value);
    }
    Ok(())
}

/// Removes the quotes of a value, or the comment behind a value without quotes. `None` if a quote is not closed.
fn unquote(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        return rest.split_once('\'').map(|(inside, _)| inside.into());
    }
    let Some(rest) = value.strip_prefix('"') else {
        let end = value.find(" #").unwrap_or(value.len());
        return Some(value[..end].trim_end().into());
    };
    let mut out = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some(out),
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                c @ ('"' | '\\' | '$' | '`') => out.push(c),
                c => out.extend(['\\', c]),
            },
            c => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Result<Env, EnvError> {
        let mut env = Env::new();
        read_file(Path::new("/x/.env"), text, &mut env).map(|()| env)
    }

    #[test]
    fn an_env_file_reads_as_others_read_it() {
        let text = "\u{feff}# comment\n\nA=1\r\nexport B = two words # why\nC='a # b'\nD=\"x\\ty\\\"\\q\"\nE=\nF=a=b#c\n";
        let env = lines(text).expect("good");
        let got: Vec<(&str, &str)> = env.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(
            got,
            [("A", "1"), ("B", "two words"), ("C", "a # b"), ("D", "x\ty\"\\q"), ("E", ""), ("F", "a=b#c")]
        );
    }

    #[test]
    fn an_env_file_says_where_it_is_wrong() {
        for (text, message) in [
            ("A=1\nB\n", "/x/.env:2: must be NAME=value"),
            ("=1", "/x/.env:1: must be NAME=value"),
            ("A B=1", "/x/.env:1: must be NAME=value"),
            ("A='1", "/x/.env:1: has a quote that is not closed"),
            ("A=\"1\\", "/x/.env:1: has a quote that is not closed"),
            ("SERENO_UNIT=1", "/x/.env:1: SERENO_UNIT can not be set: SERENO_… are Sereno's own"),
        ] {
            assert_eq!(lines(text).expect_err(text).to_string(), message);
        }
    }
}
