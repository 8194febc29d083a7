//! A service locks the pipe of its output: it holds up nobody but itself. A supervisor that waits for it can not end when
//! it is killed: another one takes its place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{System, eventually, kill, wants};

const FILE: &str = "[services.jam]\ncommand = [\"{python}\", \"{jam}\"]\n[services.other]\nshell = \"while echo line; do sleep 0.1; done\"\n";

/// A system whose supervisor has been killed and can not end.
struct Jammed {
    system: System,
    supervisor: u32,
    /// The process that holds the lock of the pipe.
    splicer: u32,
    /// The processes of the services.
    pids: [u32; 2],
}

impl Jammed {
    /// `None` where there is no python 3.10.
    fn new(supervisor: &str) -> Option<Self> {
        let jammed = Self::alive(supervisor)?;
        kill(jammed.supervisor, "KILL");
        Some(jammed)
    }

    /// The supervisor is not killed yet.
    fn alive(supervisor: &str) -> Option<Self> {
        let python = python()?;
        let jam = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/jam.py");
        let file = FILE.replace("{python}", &python.display().to_string());
        let file = file.replace("{jam}", &jam.display().to_string());
        let system = System::new(&format!("{supervisor}{file}")).up();
        let pids = ["jam", "other"].map(|name| system.service(name).pid());
        let supervisor = system.supervisor();
        // Stopped, so that what is written last is still in the pipe when that is locked.
        kill(supervisor, "STOP");
        fs::write(system.path("jam"), "").expect("written");
        eventually("the pipe is locked", || system.path("jammed").exists());
        let splicer = fs::read_to_string(system.path("jammed")).expect("read").parse().expect("a pid");
        let jammed = Self { system, supervisor, splicer, pids };
        kill(supervisor, "CONT");
        eventually("a thread waits for the pipe", || jammed.waits());
        Some(jammed)
    }

    /// Whether a thread of the supervisor of before still waits in the kernel.
    fn waits(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.supervisor));
        tasks.into_iter().flatten().flatten().any(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('D'))
        })
    }

    /// Holds that another supervisor takes the lock while the first can not end, and all goes on.
    fn is_replaced(&self) {
        let system = &self.system;
        eventually("a successor has the lock", || system.supervisor() != self.supervisor);
        assert!(self.waits(), "the first supervisor has ended: nothing was taken over\n{}", system.story());
        let successor = || {
            let status = system.status();
            status["supervisor"]["state"] == "up" && status["supervisor"]["pid"] == system.supervisor()
        };
        eventually("it answers", successor);
        assert_eq!(["jam", "other"].map(|name| system.service(name).pid()), self.pids, "{}", system.story());
        kill(self.splicer, "KILL");
        eventually("no line is lost", || system.log("jam.out.log") == b"before\nafter\n");
        let log = String::from_utf8_lossy(&system.log("supervisor.log")).into_owned();
        assert_eq!(log.matches("the lock was taken over").count(), 1, "{log}");
    }
}

/// A python that has `os.splice`.
fn python() -> Option<PathBuf> {
    let asked = ["-c", "import os, sys; os.splice; print(sys.executable, end='')"];
    let output = Command::new("python3").args(asked).output().ok().filter(|output| output.status.success());
    let path = output.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).into_owned()));
    wants("python", path)
}

fn up(system: &System) -> Child {
    let mut command = system.command(&["up", "-d"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("ctl runs")
}

#[test]
fn who_holds_up_his_own_output_holds_up_nobody_else() {
    let Some(jammed) = Jammed::alive("") else { return };
    let system = &jammed.system;
    let told = || system.ctl(&["status"]).out.contains("holds up its own stdout");
    eventually("status says who it is", told);
    let lines = || system.log("other.out.log").len();
    let before = lines();
    eventually("the other one's output is kept", || lines() > before);
    // A program whose thread is stuck can not become another one.
    let upgrade = system.ctl(&["upgrade"]);
    assert!(upgrade.code != 0 && upgrade.err.contains("holds up a thread"), "{}{}", upgrade.out, upgrade.err);
    fs::remove_file(system.path("jam")).expect("removed");
    let restart = system.ctl(&["restart", "jam"]);
    assert_eq!(restart.code, 0, "{}{}", restart.out, restart.err);
    assert_ne!(system.service("jam").pid(), jammed.pids[0]);
    eventually("it is read again", || !system.ctl(&["status"]).out.contains("holds up"));
    assert_eq!(system.ctl(&["upgrade"]).code, 0);
    assert_eq!(system.service("other").pid(), jammed.pids[1], "{}", system.story());
    jammed.system.down();
}

#[test]
fn a_guard_replaces_a_supervisor_that_is_killed_and_can_not_end() {
    let Some(jammed) = Jammed::new("") else { return };
    jammed.is_replaced();
    jammed.system.down();
}

#[test]
fn up_replaces_it_where_nobody_guards_and_only_one_of_many_wins() {
    let Some(jammed) = Jammed::new("[supervisor]\nguard = false\n") else { return };
    let ups: Vec<Child> = (0..4).map(|_| up(&jammed.system)).collect();
    jammed.is_replaced();
    for up in ups {
        let output = up.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    jammed.system.down();
}

#[test]
fn down_ends_what_it_left() {
    let Some(jammed) = Jammed::new("[supervisor]\nguard = false\n") else { return };
    let status = jammed.system.ctl(&["status"]);
    assert!(status.out.contains("not running"), "{}{}", status.out, status.err);
    let mut down = jammed.system.command(&["down"]);
    let mut down = down.stdout(Stdio::null()).spawn().expect("ctl runs");
    eventually("a successor has the lock", || jammed.system.supervisor() != jammed.supervisor);
    assert!(down.wait().expect("it ends").success());
    assert_eq!(jammed.system.processes(), []);
}
