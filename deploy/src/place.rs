//! Paths of the demo, and command lines in a form that can be pasted.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Failure;

/// Variables that the demo's `sereno.toml` uses, with their default folders relative to it.
const VARIABLES: [(&str, &str); 2] = [("DEMO_BIN", "bin"), ("DEMO_HOME", "home")];

/// The source tree and its target folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    root: PathBuf,
    target: PathBuf,
}

impl Place {
    /// Creates a place from a tree and its target folder.
    pub fn new(root: &Path, target: &Path) -> Self {
        Self { root: root.into(), target: target.into() }
    }

    /// Returns this tree, and the target folder that cargo uses for it here.
    pub fn find() -> Result<Self, Failure> {
        let root = tree();
        let mut cargo = cargo();
        cargo.current_dir(&root).args(["metadata", "--no-deps", "--format-version", "1"]);
        let output = cargo.output().map_err(|source| Failure::Run { program: "cargo".into(), source })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::Cargo(format!("metadata failed: {}", said.trim())));
        }
        let metadata: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| Failure::Cargo(error.to_string()))?;
        match metadata["target_directory"].as_str() {
            Some(target) => Ok(Self::new(&root, Path::new(target))),
            None => Err(Failure::Cargo("metadata names no target folder".into())),
        }
    }

    /// Returns the source tree.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns cargo's target folder.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Returns the path of the demo's `sereno.toml`.
    pub fn config(&self) -> PathBuf {
        self.root.join("deploy").join("demo").join("sereno.toml")
    }

    /// Returns the folder that the demo's programs run from. It is separate, because not every system can
    /// overwrite a running program.
    pub fn bin(&self) -> PathBuf {
        self.target.join("demo").join("bin")
    }

    /// Returns the path of one of those programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin().join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// Returns the variables with which the demo's `sereno.toml` finds the target folder; empty if it is
    /// the default one.
    pub fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        if self.target == self.root.join("target") {
            return Vec::new();
        }
        VARIABLES.iter().map(|(name, folder)| (*name, self.target.join("demo").join(folder))).collect()
    }

    /// Returns a path in its shortest form relative to the folder `here`.
    pub fn shown(path: &Path, here: &Path) -> String {
        let short = path.strip_prefix(here).unwrap_or(path);
        quoted(&short.display().to_string())
    }

    /// Returns a line that runs the demo's `ctl`, to be pasted in the folder `here`.
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

    /// Sets the demo's variables for a program, and removes those of another Sereno or of the surrounding
    /// `cargo run`: build scripts that look at those would run again.
    pub(crate) fn dress(&self, command: &mut Command) {
        undress(command);
        for (name, _) in VARIABLES {
            command.env_remove(name);
        }
        command.envs(self.variables());
    }
}

/// Returns the source tree that this program was built from.
pub fn tree() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Returns the cargo that runs this program.
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

/// Quotes a word for the shell.
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
