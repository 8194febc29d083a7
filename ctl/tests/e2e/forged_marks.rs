//! Anybody can start a process with the mark of a service: it decides nothing about that service.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use crate::harness::{System, eventually, kill};
use crate::other_users::is_root;
use crate::safety::set_mode;

/// A process of another user; ends with the story.
struct Forger(Child);

impl Drop for Forger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The mark of a service's current run, without the number of the run.
fn mark(system: &System, service: &str) -> String {
    let environ = std::fs::read(format!("/proc/{}/environ", system.service(service).pid())).expect("it runs");
    let variables = String::from_utf8_lossy(&environ);
    let mark = variables.split('\0').find_map(|variable| variable.strip_prefix("SERENO_UNIT="));
    mark.and_then(|mark| mark.rsplit_once('/')).expect("it has one").0.to_owned()
}

fn forge(mark: &str) -> Forger {
    let mut command = Command::new("sleep");
    command.arg("1000").env("SERENO_UNIT", mark).current_dir("/").uid(1).gid(1).process_group(0);
    Forger(command.spawn().expect("sleep runs"))
}

#[test]
fn a_forged_mark_is_no_run_and_no_number() {
    if !is_root() {
        return;
    }
    let system = System::new("[services.web]\ncommand = \"sleep 1000\"\n").up_at_once();
    let before = system.until("web", "up", |web| web.state() == "running");
    for number in ["500", "9007199254740993", "18446744073709551615"] {
        let forged = format!("{}/{number}", mark(&system, "web"));
        for _ in 0..2 {
            let _forger = forge(&forged);
            let supervisor = system.supervisor();
            kill(supervisor, "KILL");
            eventually("another supervisor", || system.supervisor() != supervisor);
            let after = system.until("web", "adopted", |web| web.state() == "running");
            assert_eq!((after.pid(), after.incarnation()), (before.pid(), before.incarnation()), "{forged}");
        }
    }
    system.ctl(&["restart", "web"]).succeeded();
    assert_eq!(system.service("web").incarnation(), before.incarnation() + 1);
    system.down();
}

#[test]
fn a_mark_of_another_service_hides_nobody_from_a_stop() {
    if !is_root() {
        return;
    }
    let system = System::new(
        r#"
        [services.victim]
        command = "sleep 1000"
        [services.evil]
        shell = "SERENO_UNIT=$MARK setsid sleep 888 & exec sleep 1000"
        cwd = "/"
        user = "nobody"
        "#,
    );
    set_mode(&system.path(""), 0o711);
    let system = system.without_cgroups().up_at_once();
    system.until("victim", "up", |victim| victim.state() == "running");
    // The instance of the home is known only now.
    let file = std::fs::read_to_string(system.path("sereno.toml")).expect("ours");
    system.write(&file.replace("$MARK", &format!("{}/1", mark(&system, "victim"))));
    system.ctl(&["apply"]).succeeded();
    let forged = format!("SERENO_UNIT={}/1", mark(&system, "victim"));
    let runs = || {
        let all = std::fs::read_dir("/proc").expect("read").flatten();
        let read = |pid: &std::path::Path, what: &str| std::fs::read(pid.join(what)).unwrap_or_default();
        all.map(|entry| entry.path()).any(|pid| {
            read(&pid, "cmdline").starts_with(b"sleep\x00888")
                && read(&pid, "environ")
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == forged.as_bytes())
        })
    };
    eventually("it hides", runs);
    let victim = system.service("victim").pid();
    system.ctl(&["stop", "evil"]).succeeded();
    assert!(!runs(), "stopped means that none is left");
    assert_eq!(system.service("victim").pid(), victim);
    system.down();
}
