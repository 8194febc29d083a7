//! Two files with one home: nobody ends another project's services without saying so.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Answer, Service, System, binaries, eventually, kill, lives, wants};

/// The file of a second project, with the first one's home.
fn other_project(system: &System) -> String {
    let file = system.path("other/sereno.toml");
    fs::create_dir(system.path("other")).expect("a folder");
    let home = system.path(".sereno");
    let text = format!(
        "[supervisor]\nhome = {:?}\nguard = {{ enabled = false }}\n[services.theirs]\ncommand = \"sleep 1000\"\n",
        home.display().to_string()
    );
    fs::write(&file, text).expect("written");
    file.display().to_string()
}

const OURS: &str = "[supervisor]\nguard = false\n[services.ours]\ncommand = \"sleep 1000\"\n";

#[track_caller]
fn refused(answer: &Answer, system: &System, other: &str) {
    assert_eq!(answer.code, 2, "stdout: {}\nstderr: {}", answer.out, answer.err);
    let ours = system.path("sereno.toml").display().to_string();
    for part in [&*ours, other, "nothing was changed", "--replace"] {
        assert!(answer.err.contains(part), "{part} is not in {}", answer.err);
    }
}

#[test]
fn another_file_is_refused_while_the_first_one_runs() {
    let system = System::new(OURS).up();
    let before = system.until_state("ours", "running");
    let other = other_project(&system);
    refused(&system.ctl(&["-f", &other, "up", "-d"]), &system, &other);
    refused(&system.ctl(&["-f", &other, "apply"]), &system, &other);
    refused(&system.ctl(&["-f", &other, "apply", "--json"]), &system, &other);
    let plan = system.ctl(&["-f", &other, "plan"]).succeeded();
    assert!(plan.out.contains("--replace"), "{}", plan.out);
    assert_eq!(system.service("ours").pid(), before.pid(), "nothing happened to it");
    system.ctl(&["-f", &other, "up", "-d", "--wait", "--replace"]).succeeded();
    assert!(!lives(before.pid()), "it was asked for");
    // The other way round, by another name of the same file too.
    let again = system.path("other/../sereno.toml").display().to_string();
    assert_eq!(system.ctl(&["-f", &again, "apply"]).code, 2);
    system.ctl(&["-f", &again, "apply", "--replace"]).succeeded();
    system.ctl(&["apply"]).succeeded();
    system.ctl(&["up", "-d"]).succeeded();
}

#[test]
fn another_file_is_refused_while_only_services_run() {
    let system = System::new(OURS).up();
    let before = system.until_state("ours", "running");
    let other = other_project(&system);
    kill(system.supervisor(), "KILL");
    eventually("nobody supervises", || system.ctl(&["status"]).code == 3);
    refused(&system.ctl(&["-f", &other, "up", "-d"]), &system, &other);
    assert!(lives(before.pid()), "nothing happened to it");
    system.ctl(&["up", "-d", "--wait"]).succeeded();
    assert_eq!(system.service("ours").pid(), before.pid(), "it was adopted");
    system.down();
    system.ctl(&["-f", &other, "up", "-d", "--wait"]).succeeded();
}

#[test]
fn a_file_that_was_moved_is_the_same_project() {
    let system = System::new(OURS).up();
    let before = system.until_state("ours", "running");
    fs::rename(system.path("sereno.toml"), system.path("renamed.toml")).expect("renamed");
    system.ctl(&["-f", "renamed.toml", "apply"]).succeeded();
    let status = system.ctl(&["-f", "renamed.toml", "status", "--json"]).out;
    let status = serde_json::from_str(&status).expect("JSON");
    assert_eq!(Service::of(&status, "ours").pid(), before.pid());
    fs::rename(system.path("renamed.toml"), system.path("sereno.toml")).expect("renamed back");
}

#[test]
fn of_two_files_at_once_one_is_refused() {
    let system = System::new(OURS);
    let other = other_project(&system);
    for _ in 0..3 {
        let up = |file: &Path| {
            let file = file.display().to_string();
            system.command(&["-f", &file, "up", "-d"]).spawn().expect("ctl runs")
        };
        let mut both = [up(&system.path("sereno.toml")), up(Path::new(&other))];
        let mut codes = both.each_mut().map(|ctl| ctl.wait().expect("it ends").code());
        codes.sort_unstable();
        assert_eq!(codes, [Some(0), Some(2)], "{}", system.story());
        system.down();
    }
}

#[test]
fn a_person_at_a_terminal_is_asked() {
    let Some(script) = wants("script", None) else { return };
    let system = System::new(OURS).up();
    let before = system.until_state("ours", "running");
    let other = other_project(&system);
    let typed = |answer: &str| {
        let command = format!("{} -f {other} up -d", binaries().join("ctl").display());
        let mut terminal = Command::new(&script);
        terminal.args(["-qec", &command, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut terminal = terminal.spawn().expect("script runs");
        let mut stdin = terminal.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut stdin, answer.as_bytes()).expect("typed");
        terminal.wait().expect("it ends").code()
    };
    assert_eq!(typed("\n"), Some(2), "the default is no");
    assert!(lives(before.pid()));
    assert_eq!(typed("y\n"), Some(0));
    assert!(!lives(before.pid()));
}
