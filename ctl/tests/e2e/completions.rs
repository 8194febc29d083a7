//! What makes a shell complete: each shell that is here takes it, and is told the names of the file that was typed.

use std::fs;
use std::process::Command;

use crate::harness::{System, binaries, wants};

fn system() -> System {
    let system = System::new("[services.alpha]\ncommand = \"true\"\n");
    let other = "[services.other]\ncommand = \"true\"\n";
    fs::write(system.path("other.toml"), other).expect("written");
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = system.ctl(&["completions", shell]).succeeded().out;
        assert!(script.contains("ctl"), "{shell}: {script}");
        fs::write(system.path(shell), script).expect("written");
    }
    system
}

#[test]
fn every_shell_takes_its_script() {
    let system = system();
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let Some(program) = wants(shell, None) else { continue };
        let output = Command::new(program).arg(check).arg(system.path(shell)).output().expect("it runs");
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
    }
}

#[test]
fn names_are_those_of_the_file_that_was_typed() {
    let system = system();
    let Some(fish) = wants("fish", None) else { return };
    let complete = |line: &str| {
        let path = std::env::join_paths([binaries(), "/usr/bin".into(), "/bin".into()]).expect("a PATH");
        let script = format!("source fish; complete -C '{line}'");
        let output = Command::new(&fish)
            .args(["--no-config", "-c", &script])
            .current_dir(system.path(""))
            .env("PATH", path)
            .output()
            .expect("fish runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let here = complete("ctl stop ");
    assert!(here.lines().any(|line| line == "alpha") && !here.contains("other"), "{here}");
    let there = complete("ctl -f other.toml stop ");
    assert!(there.lines().any(|line| line == "other") && !there.contains("alpha"), "{there}");
}
