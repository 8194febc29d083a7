//! Builds the four programs, and copies them and this program to where they are run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::Failure;
use crate::place::{self, Place};

/// The programs of Sereno.
const PROGRAMS: [&str; 4] = ["supervisor", "health-monitor", "port-monitor", "ctl"];

/// Builds the programs as `cargo build` would, which shares earlier builds. Cargo's messages go to the terminal.
pub fn build(place: &Place) -> Result<Vec<PathBuf>, Failure> {
    build_for(place.root(), false)
}

/// Builds the programs of any tree, optionally for release.
pub(crate) fn build_for(root: &Path, release: bool) -> Result<Vec<PathBuf>, Failure> {
    let mut cargo = place::cargo();
    cargo.current_dir(root).args(["build", "--message-format", "json-render-diagnostics"]);
    if release {
        cargo.arg("--release");
    }
    for program in PROGRAMS {
        cargo.args(["-p", program]);
    }
    cargo.stderr(Stdio::inherit());
    let output = cargo.output().map_err(|source| Failure::Run { program: "cargo".into(), source })?;
    if !output.status.success() {
        return Err(Failure::Ended { command: "cargo build".into(), status: output.status.to_string() });
    }
    let built = executables(&String::from_utf8_lossy(&output.stdout));
    match built.len() {
        4 => Ok(built),
        _ => Err(Failure::Cargo(format!("{PROGRAMS:?} were to be built, but built was {built:?}"))),
    }
}

/// Returns the paths of the programs from cargo's own output: the layout of the target folder varies.
fn executables(messages: &str) -> Vec<PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executable = |artifact: Value| {
        let wanted = artifact["target"]["name"].as_str().is_some_and(|name| PROGRAMS.contains(&name));
        let path = artifact["executable"].as_str().filter(|_| wanted)?;
        Some(PathBuf::from(path))
    };
    artifacts.filter_map(executable).collect()
}

/// Copies the programs and this one to a folder that later builds of the tree do not change.
pub fn install(built: &[PathBuf], bin: &Path) -> Result<(), Failure> {
    let own = std::env::current_exe().map_err(|source| copying(Path::new("this program"), bin, source))?;
    fs::create_dir_all(bin).map_err(|source| copying(&own, bin, source))?;
    for from in built.iter().chain([&own]) {
        let to = bin.join(from.file_name().unwrap_or_default());
        copy(from, &to).map_err(|source| copying(from, &to, source))?;
    }
    Ok(())
}

/// Copies to a file beside the target and renames it: a program that still runs keeps its own file.
pub(crate) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut beside = to.as_os_str().to_owned();
    beside.push(".new");
    fs::copy(from, &beside)?;
    fs::rename(&beside, to)
}

pub(crate) fn copying(from: &Path, to: &Path, source: std::io::Error) -> Failure {
    Failure::Copy { from: from.into(), to: to.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_programs_are_taken() {
        let messages = r#"
            {"reason":"compiler-artifact","target":{"name":"ctl","kind":["lib"]},"executable":null}
            {"reason":"compiler-artifact","target":{"name":"ctl","kind":["bin"]},"executable":"/t/debug/ctl"}
            {"reason":"compiler-artifact","target":{"name":"build-script-build"},"executable":"/t/debug/build/x"}
            not json at all
            {"reason":"build-finished","success":true}"#;
        assert_eq!(executables(messages), [PathBuf::from("/t/debug/ctl")]);
    }

    #[test]
    fn a_copy_replaces_what_was_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&from, "new").expect("written");
        fs::write(&to, "old").expect("written");
        copy(&from, &to).expect("copied");
        assert_eq!(fs::read_to_string(&to).expect("there"), "new");
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 2, "nothing is left beside it");
    }
}
