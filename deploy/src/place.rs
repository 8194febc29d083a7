//! Where everything of the demo lies, and how a line is written so that it can be pasted.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Failure;

/// The demo's `sereno.toml` begins at these, seen from the folder it lies in, when the environment says nothing else.
const VARIABLES: [(&str, &str); 2] = [("DEMO_BIN", "bin"), ("DEMO_HOME", "home")];

/// The tree and its target folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    root: PathBuf,
    target: PathBuf,
}

impl Place {
    /// A tree whose target folder is somewhere.
    pub fn new(root: &Path, target: &Path) -> Self {
        Self { root: root.into(), target: target.into() }
    }

    /// This tree, and the target folder that cargo uses for it here.
    pub fn find() -> Result<Self, Failure> {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = own.parent().unwrap_or(own);
        let mut cargo = cargo();
        cargo.current_dir(root).args(["metadata", "--no-deps", "--format-version", "1"]);
        let output = cargo.output().map_err(|source| Failure::Run { program: "cargo".into(), source })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::Cargo(format!("metadata failed: {}", said.trim())));
        }
        let metadata: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| Failure::Cargo(error.to_string()))?;
        match metadata["target_directory"].as_str() {
            Some(target) => Ok(Self::new(root, Path::new(target))),
            None => Err(Failure::Cargo("metadata names no target folder".into())),
        }
    }

    /// The tree.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The demo's `sereno.toml`.
    pub fn config(&self) -> PathBuf {
        self.root.join("deploy").join("demo").join("sereno.toml")
    }

    /// Where the demo's programs run from: a running program can not be overwritten everywhere.
    pub fn bin(&self) -> PathBuf {
        self.target.join("demo").join("bin")
    }

    /// One of those programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin().join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// What the environment must say so that the demo's `sereno.toml` finds the target folder: nothing where it is
    /// the usual one.
    pub fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        if self.target == self.root.join("target") {
            return Vec::new();
        }
        VARIABLES.iter().map(|(name, folder)| (*name, self.target.join("demo").join(folder))).collect()
    }

    /// A path as short as it can be written in the folder `here`.
    pub fn shown(path: &Path, here: &Path) -> String {
        let short = path.strip_prefix(here).unwrap_or(path);
        quoted(&short.display().to_string())
    }

    /// A line that runs the demo's `ctl`, as it is pasted in the folder `here`.
    pub fn ctl_line(&self, here: &Path, arguments: &str) -> String {
        let set = |(name, value): &(&str, PathBuf)| match std::env::consts::OS {
            "windows" => format!("set {name}={}&& ", value.display()),
            _ => format!("{name}={} ", quoted(&value.display().to_string())),
        };
        let variables: String = self.variables().iter().map(set).collect();
        let program = Self::shown(&self.bin().join("ctl"), here);
        let config = Self::shown(&self.config(), here);
        format!("{variables}{program} -f {config} {arguments}")
    }

    /// Gives a program the demo's variables and nothing of another Sereno, or of the `cargo run` this runs under:
    /// build scripts that look at those would run again.
    pub(crate) fn dress(&self, command: &mut Command) {
        undress(command);
        for (name, _) in VARIABLES {
            command.env_remove(name);
        }
        command.envs(self.variables());
    }
}

/// Cargo, as the one that runs this.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    #[expect(clippy::disallowed_methods, reason = "a command at a terminal runs cargo, as its person would")]
    let mut cargo = Command::new(program);
    undress(&mut cargo);
    cargo
}

fn undress(command: &mut Command) {
    const FOREIGN: [&str; 5] = ["SERENO_", "CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| FOREIGN.iter().any(|prefix| name.starts_with(prefix))) {
            command.env_remove(&name);
        }
    }
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/\\:._-+@%=,".contains(c);
    match (word.chars().all(plain), std::env::consts::OS) {
        (true, _) => word.into(),
        (false, "windows") => format!("\"{word}\""),
        (false, _) => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_target_folder_needs_no_variables() {
        let place = Place::new(Path::new("/src/sereno"), Path::new("/src/sereno/target"));
        assert_eq!(place.variables(), []);
        let line = place.ctl_line(Path::new("/src/sereno"), "status");
        let line = line.replace('\\', "/");
        assert_eq!(line, "target/demo/bin/ctl -f deploy/demo/sereno.toml status");
    }

    #[test]
    fn elsewhere_the_line_is_whole() {
        let place = Place::new(Path::new("/src/sereno"), Path::new("/src/sereno/target"));
        let line = place.ctl_line(Path::new("/src/sereno/ctl"), "status").replace('\\', "/");
        assert_eq!(line, "/src/sereno/target/demo/bin/ctl -f /src/sereno/deploy/demo/sereno.toml status");
    }

    #[cfg(unix)]
    #[test]
    fn another_target_folder_is_told_to_ctl() {
        let place = Place::new(Path::new("/src/sereno"), Path::new("/tmp/my target"));
        assert_eq!(
            place.ctl_line(Path::new("/src/sereno"), "why x"),
            "DEMO_BIN='/tmp/my target/demo/bin' DEMO_HOME='/tmp/my target/demo/home' \
             '/tmp/my target/demo/bin/ctl' -f deploy/demo/sereno.toml why x"
        );
    }
}
