//! A check's command that locks its output in the kernel hangs itself and nothing else.

use std::fs;

use crate::harness::{System, eventually, wants};
use crate::other_users::{is_root, system};
use crate::safety::set_mode;

/// Holds the mutex of the pipe behind fd 1, if that is a pipe: the socket is silent.
const LOCK: &str = r#"
import os, socket
silent, other = socket.socketpair()
os.write(1, b"x\n")
open("locked", "a").write("x\n")
os.splice(silent.fileno(), 1, 65536)
"#;

/// Makes two children of its parent: one ends at once, and one lives on in a session of its own.
const SIBLINGS: &str = r#"
import ctypes, os, platform
clone = {"x86_64": 56, "aarch64": 220}[platform.machine()]
for seconds in (0, 1000):
    if ctypes.CDLL(None).syscall(clone, 0x8000 | 17, 0, 0, 0, 0) == 0:
        os.setsid()
        os.execlp("sleep", "sleep", f"{seconds}.4242")
open("made", "a").write("x\n")
"#;

fn checked(script: &str) -> Option<System> {
    if !is_root() || wants("python3", None).is_none() {
        return None;
    }
    let system = system(
        r#"
        [services.app]
        command = "sleep 1000"
        cwd = "{here}/evl"
        user = "nobody"
        checks.alive = { kind = "exec", command = "python3 check.py", interval = "1500ms", timeout = "1400ms", on_failure = "report" }
        [services.other]
        command = "sleep 1000"
        cwd = "{here}/vict"
        checks.alive = { kind = "exec", command = "sh -c 'echo x >> alive'", interval = "200ms" }
        "#,
    );
    fs::write(system.path("evl/check.py"), script).expect("written");
    set_mode(&system.path("evl/check.py"), 0o644);
    Some(system.up_at_once())
}

fn lines(system: &System, file: &str) -> usize {
    fs::read_to_string(system.path(file)).unwrap_or_default().lines().count()
}

/// Pid and parent of each process on this host.
fn processes() -> Vec<(u32, u32)> {
    let parent = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, text.rsplit(") ").next()?.split_whitespace().nth(1)?.parse().ok()?))
    };
    let entries = fs::read_dir("/proc").expect("read").flatten();
    entries.filter_map(|entry| parent(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// Holds that other checks go on, and that nothing of this check is left with the health-monitor.
#[track_caller]
fn harms_nobody(system: &System, file: &str) {
    let times = |file: &str, more: usize| {
        let before = lines(system, file);
        eventually(&format!("{more} more lines in {file}"), || lines(system, file) >= before + more);
    };
    times(file, 3);
    times("vict/alive", 5);
    system.ctl(&["stop", "app"]).succeeded();
    let monitor = system.status()["monitors"].as_array().and_then(|monitors| {
        let monitor = monitors.iter().find(|monitor| monitor["name"] == "health-monitor")?;
        monitor["pid"].as_u64()
    });
    let monitor = monitor.and_then(|pid| u32::try_from(pid).ok()).expect("it is up");
    eventually("nothing is left", || !processes().iter().any(|(_, parent)| *parent == monitor));
    times("vict/alive", 5);
}

#[test]
fn a_check_that_locks_its_output_hangs_no_other_check() {
    let Some(system) = checked(LOCK) else { return };
    harms_nobody(&system, "evl/locked");
    system.down();
}

#[test]
fn a_check_that_makes_siblings_leaves_none() {
    let Some(system) = checked(SIBLINGS) else { return };
    harms_nobody(&system, "evl/made");
    let is_left = |pid: u32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep\x001000.4242\0"))
    };
    eventually("no sibling lives", || !processes().iter().any(|(pid, _)| is_left(*pid)));
    system.down();
}
