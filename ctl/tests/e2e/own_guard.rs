//! With both built-in monitors swapped, the supervisor runs a guard of its own: kill anything, and it is back by itself.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::{System, eventually, kill, lives, poll, text};
use crate::other_language::{disk_monitor, python};

const SERVICES: &str = r#"
[services.quiet]
command = "sleep 1000"
[services.talker]
shell = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.02; done"
"#;

/// Both built-in monitors, swapped for a program that is no monitor at all.
fn swapped(program: &str, args: &str) -> String {
    let monitor =
        |name| format!("[monitors.{name}]\nprogram = \"{program}\"\nargs = [\"{args}\"]\nkind = \"disk\"\n");
    format!("{}{}{SERVICES}", monitor("health-monitor"), monitor("port-monitor"))
}

fn guard(status: &Value) -> Value {
    status["daemons"].as_array().and_then(|daemons| daemons.first()).cloned().unwrap_or_default()
}

fn pid(daemon: &Value) -> u32 {
    daemon["pid"].as_u64().and_then(|pid| pid.try_into().ok()).unwrap_or(0)
}

/// Waits until another guard than this one guards; its pid.
#[track_caller]
fn guarded(system: &System, dead: u32) -> u32 {
    let mut last = Value::Null;
    let found = poll(|| {
        last = system.status();
        let guard = guard(&last);
        guard["state"] == "up" && pid(&guard) != dead && last["supervisor"]["unguarded"].is_null()
    });
    assert!(found, "no guard: {last}\n{}", system.story());
    pid(&guard(&last))
}

/// Kills the supervisor and waits for its successor; no service may be touched.
#[track_caller]
fn supervisor_dies(system: &System) {
    let before = [system.service("quiet").pid(), system.service("talker").pid()];
    let dead = system.supervisor();
    kill(dead, "KILL");
    let is_back = || {
        let status = system.status();
        status["supervisor"]["state"] == "up" && status["supervisor"]["pid"] != dead
    };
    assert!(poll(is_back), "no supervisor after {dead}\n{}", system.story());
    assert_eq!([system.service("quiet").pid(), system.service("talker").pid()], before);
}

fn no_line_is_lost(system: &System) {
    let lines = || {
        let log = String::from_utf8(system.log("talker.out.log")).expect("text");
        log.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let so_far = lines().len();
    eventually("more lines", || lines().len() > so_far + 2);
    let lines = lines();
    // The last one may still be on its way.
    for (line, number) in lines[..lines.len() - 1].iter().zip(1..) {
        assert_eq!(*line, format!("line {number}"), "lost or doubled");
    }
}

#[test]
fn with_monitors_in_python_a_killed_supervisor_is_back_and_no_line_is_lost() {
    let Some(python) = python() else { return };
    let program = python.display().to_string();
    let system = System::new(&swapped(&program, &disk_monitor().display().to_string())).up();
    let attached = || {
        let status = system.status();
        let monitors = status["monitors"].as_array().cloned().unwrap_or_default();
        monitors.len() == 2 && monitors.iter().all(|monitor| monitor["attached"] == true)
    };
    eventually("both attached", attached);
    guarded(&system, 0);
    supervisor_dies(&system);
    eventually("both attached again", attached);
    no_line_is_lost(&system);
    system.down();
}

#[test]
fn guard_and_supervisor_are_killed_in_turn() {
    let system = System::new(&swapped("sleep", "601")).up();
    let first = guarded(&system, 0);
    supervisor_dies(&system);
    assert_eq!(pid(&guard(&system.status())), first, "it is taken over like a service");
    kill(first, "KILL");
    let second = guarded(&system, first);
    supervisor_dies(&system);
    assert_eq!(guarded(&system, 0), second);
    no_line_is_lost(&system);
    system.down();
    eventually("no guard is left", || !lives(second));
}

#[test]
fn last_words_and_the_exit_code_are_kept_by_a_guard_that_was_itself_restarted() {
    let file = format!(
        "{}{}",
        swapped("sleep", "601"),
        "[services.web]\nshell = \"until [ -e {here}/go ]; do sleep 0.01; done; echo last words; exit 41\"\nrestart.delay = \"1h\"\n"
    );
    let system = System::new(&file).up();
    let first = guarded(&system, 0);
    system.ctl(&["restart", "guard"]).succeeded();
    guarded(&system, first);
    let (web, supervisor) = (system.service("web"), system.supervisor());
    // Frozen, so that it certainly has neither read the words nor seen the end.
    kill(supervisor, "STOP");
    std::fs::write(system.path("go"), "").expect("written");
    let ended = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", web.pid())).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    eventually("it has ended", ended);
    kill(supervisor, "KILL");
    system.until("web", "known to have ended", |now| now.0["last_exit"]["code"] == 41);
    eventually("its last words", || system.log("web.out.log") == b"last words\n");
    system.down();
}

#[test]
fn it_comes_and_goes_with_the_file_and_commands_know_it() {
    let system = System::new(SERVICES).up();
    assert_eq!(system.status()["daemons"], Value::Array(Vec::new()), "a built-in monitor guards");
    assert_eq!(system.ctl(&["describe", "guard"]).code, 1);

    system.write(&swapped("sleep", "601"));
    let said = system.ctl(&["plan"]).succeeded().out;
    assert!(said.lines().any(|line| line.starts_with("guard") && line.ends_with("start")), "{said}");
    system.ctl(&["apply"]).succeeded();
    let first = guarded(&system, 0);
    let row = guard(&system.status());
    assert_eq!([text(&row["name"]), text(&row["kind"])], ["guard", "guard"], "{row}");
    assert!(row["uptime_seconds"].is_number() && row["managed"] == true, "{row}");
    let said = system.ctl(&["status"]).out;
    assert!(said.lines().any(|line| line.starts_with("guard ")) && !said.contains("unguarded"), "{said}");
    for (verb, expected) in [("logs", "guards the supervisor"), ("why", "ready"), ("describe", "kind")] {
        let said = system.ctl(&[verb, "guard"]).succeeded().out;
        assert!(said.contains(expected), "{verb}: {said}");
    }
    let said = system.ctl(&["doctor"]).out;
    assert!(!said.contains("unguarded"), "{said}");

    system.ctl(&["upgrade"]).succeeded();
    let second = guarded(&system, first);
    supervisor_dies(&system);

    system.write(SERVICES);
    let said = system.ctl(&["plan"]).succeeded().out;
    assert!(said.lines().any(|line| line.starts_with("guard") && line.ends_with("stop")), "{said}");
    system.ctl(&["apply"]).succeeded();
    eventually("it is gone", || {
        let status = system.status();
        !lives(second) && guard(&status).is_null() && status["supervisor"]["unguarded"].is_null()
    });
    supervisor_dies(&system);
    system.down();
}

#[test]
fn one_that_does_not_run_is_said_and_guard_false_runs_none() {
    let system = System::new(&swapped("sleep", "601")).up();
    guarded(&system, 0);
    system.ctl(&["stop", "guard"]).succeeded();
    let said = system.ctl(&["status"]).out;
    assert!(said.contains("unguarded: the guard does not run now"), "{said}");
    system.ctl(&["start", "guard"]).succeeded();
    let last = guarded(&system, 0);

    system.write(&format!("[supervisor]\nguard = false\n{}", swapped("sleep", "601")));
    system.ctl(&["apply"]).succeeded();
    eventually("it is gone", || !lives(last) && guard(&system.status()).is_null());
    let said = system.ctl(&["status"]).out;
    assert!(said.contains("unguarded: guard = false"), "{said}");
    let said = system.ctl(&["doctor"]).out;
    assert!(said.contains("nobody starts the supervisor again if it is"), "{said}");
    system.down();
}

#[test]
fn its_name_is_nobody_elses_and_nobody_else_starts_it() {
    let system = System::new("[services.guard]\ncommand = \"sleep 1000\"\n");
    let refused = system.ctl(&["check"]);
    assert!(
        refused.code == 2 && refused.err.contains("is a reserved name"),
        "{}{}",
        refused.out,
        refused.err
    );
    let supervisor = crate::harness::binaries().join("supervisor");
    let output = std::process::Command::new(supervisor)
        .arg("--guard")
        .arg(system.path(".sereno"))
        .env_remove("SERENO_UNIT")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("starts its guard itself"), "{said}");
}

/// A cgroup that limits processes; removed when this is dropped.
struct FewProcesses(PathBuf);

impl FewProcesses {
    /// `None`: this host has no such controller that we may use.
    fn new(name: &str) -> Option<Self> {
        let folders = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].map(|root| PathBuf::from(root).join(name));
        folders.into_iter().find_map(|folder| {
            fs::create_dir(&folder).ok()?;
            let made = Self(folder);
            made.0.join("pids.max").exists().then_some(made)
        })
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).expect("written");
    }
}

impl Drop for FewProcesses {
    fn drop(&mut self) {
        eventually("the cgroup is empty", || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
fn guards_outlast_a_host_without_a_process_to_spare() {
    let system = System::new(SERVICES);
    let name = format!("sereno-test-{}", std::process::id());
    let Some(few) = FewProcesses::new(&name) else { return };
    let system = system.up();
    system.daemons().iter().for_each(|pid| few.write("cgroup.procs", &pid.to_string()));
    let services = [system.service("quiet").pid(), system.service("talker").pid()];
    let dead = system.supervisor();
    // Less than there are: nobody in it starts a process or a thread.
    few.write("pids.max", "1");
    kill(dead, "KILL");
    let tried = |monitor: &str| {
        let log = String::from_utf8_lossy(&system.log(&format!("{monitor}.log"))).into_owned();
        log.matches("the supervisor could not be started").count() > 1
    };
    eventually("both have tried more than once", || {
        ["health-monitor", "port-monitor"].into_iter().all(tried)
    });
    few.write("pids.max", "max");
    eventually("it is back", || system.supervisor() != dead && system.supervisor() != 0);
    assert_eq!([system.service("quiet").pid(), system.service("talker").pid()], services);
    // The guards are still there for the next one.
    supervisor_dies(&system);
    system.down();
}
