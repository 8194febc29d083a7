//! A service's own files can be on a file system that never answers. Its start waits for them, and nothing else does.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{System, eventually, kill, wants};
use crate::other_users::is_root;

/// Mounts a file system of its own on a folder, and answers no request about it.
const MOUNT: &str = r#"
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other"
if libc.mount(b"stuck", sys.argv[1].encode(), b"fuse", 6, options.encode()) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
print("mounted", flush=True)
sys.stdin.read()
libc.umount2(sys.argv[1].encode(), 2)
"#;

/// A mounted file system that never answers.
struct Stuck(Child);

impl Drop for Stuck {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn mount(folder: &std::path::Path) -> Option<Stuck> {
    let mut command = Command::new(wants("python3", None)?);
    command.args(["-c", MOUNT]).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("python runs");
    let mut said = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut said).expect("read");
    let stuck = Stuck(child);
    wants("fuse", (said == "mounted\n").then(Default::default)).map(|_| stuck)
}

const FILE: &str = r#"
    [services.app]
    command = "sleep 1000"
    env_file = "env/app.env"
    stop.command = "touch told"
    [services.other]
    command = "sleep 1000"
"#;

#[test]
fn an_env_file_that_never_answers_delays_only_its_own_service() {
    if !is_root() {
        return;
    }
    let system = System::new(FILE);
    fs::create_dir(system.path("env")).expect("made");
    fs::write(system.path("env/app.env"), "A=1\n").expect("written");
    let system = system.up_at_once();
    let (supervisor, app) = (system.supervisor(), system.until_state("app", "running"));
    let Some(stuck) = mount(&system.path("env")) else { return system.down() };

    // A start waits for it; the others do not.
    kill(app.pid(), "KILL");
    eventually("its start waits", || system.service("app").state() == "starting");
    let before = system.service("other");
    let began = Instant::now();
    kill(before.pid(), "KILL");
    system.until_restarted(&before);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}\n{}", began.elapsed(), system.story());

    // It fails as the service's own failure, and no thread is added by the next tries.
    eventually("it fails", || {
        system.why("app").iter().any(|line| line.contains("does not answer within 5s"))
    });
    let threads = || {
        let tasks = fs::read_dir(format!("/proc/{supervisor}/task")).into_iter().flatten().flatten();
        let names = tasks.map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default());
        names.filter(|name| name == "prepare\n").count()
    };
    assert_eq!(threads(), 1);
    eventually("it is tried again", || {
        system.why("app").iter().filter(|line| line.contains("does not answer within")).count() > 1
    });
    assert_eq!(threads(), 1, "threads that are stuck do not add up");
    let refused = system.ctl(&["upgrade"]);
    assert!(refused.err.contains("app holds up a thread"), "{}{}", refused.out, refused.err);

    // A stop ends the wait at once, and so does a file that answers.
    let began = Instant::now();
    system.ctl(&["stop", "app"]).succeeded();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    drop(stuck);
    system.ctl(&["start", "app"]).succeeded();
    let app = system.until_state("app", "running");
    assert_eq!(system.supervisor(), supervisor, "it was replaced\n{}", system.story());

    // What stop.command needs is looked up in the same way; the signal follows when it does not answer.
    let Some(stuck) = mount(&system.path("env")) else { return system.down() };
    let mut stop = system.command(&["stop", "app"]).spawn().expect("ctl runs");
    eventually("it stops", || system.service("app").state() == "stopping");
    let before = system.service("other");
    let began = Instant::now();
    kill(before.pid(), "KILL");
    system.until_restarted(&before);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}\n{}", began.elapsed(), system.story());
    assert!(stop.wait().expect("it ends").success());
    assert!(!crate::harness::lives(app.pid()));
    drop(stuck);
    system.down();
}

#[test]
fn an_env_file_in_proc_is_not_read() {
    let system = System::new(FILE);
    fs::create_dir(system.path("env")).expect("made");
    fs::write(system.path("env/app.env"), "A=1\n").expect("written");
    let system = system.up_at_once();
    let app = system.until_state("app", "running");
    fs::remove_file(system.path("env/app.env")).expect("removed");
    let target = format!("/proc/{}/smaps_rollup", system.service("other").pid());
    std::os::unix::fs::symlink(target, system.path("env/app.env")).expect("made");
    kill(app.pid(), "KILL");
    eventually("it says so", || system.why("app").iter().any(|line| line.contains("lies on procfs")));
    let refused = system.ctl(&["apply"]);
    assert!(refused.code == 2 && refused.err.contains("lies on procfs"), "{}{}", refused.out, refused.err);
    system.down();
}

/// Has the root of a file system open that never answers: whoever looks at its open files waits.
const SILENT: &str = r#"
import os, sys, time
os.open(sys.argv[1], os.O_PATH)
open("silent", "w").close()
time.sleep(1000)
"#;

#[test]
fn a_process_that_can_not_be_looked_at_delays_no_stop() {
    if !is_root() {
        return;
    }
    let system = System::new("[services.app]\ncommand = \"sleep 1000\"\n").without_cgroups();
    fs::create_dir(system.path("env")).expect("made");
    let system = system.up_at_once();
    system.until_state("app", "running");
    let Some(stuck) = mount(&system.path("env")) else { return system.down() };
    let mut silent = Command::new("python3");
    silent.args(["-c", SILENT]).arg(system.path("env")).current_dir(system.path(""));
    let mut silent = silent.spawn().expect("python runs");
    eventually("it is silent", || system.path("silent").exists());

    let supervisor = system.supervisor();
    for _ in 0..3 {
        let began = Instant::now();
        system.ctl(&["stop", "app"]).succeeded();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}\n{}", began.elapsed(), system.story());
        system.ctl(&["start", "app"]).succeeded();
    }
    let log = String::from_utf8_lossy(&system.log("supervisor.log")).into_owned();
    assert!(log.contains("can not be looked at"), "{log}");
    let threads = || {
        let tasks = fs::read_dir(format!("/proc/{supervisor}/task")).into_iter().flatten().flatten();
        let names = tasks.map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default());
        names.filter(|name| name == "look\n").count()
    };
    assert_eq!(threads(), 1, "threads that are stuck do not add up");
    drop(stuck);
    silent.kill().expect("killed");
    silent.wait().expect("gone");
    system.down();
}
