//! Real processes: starting, ending and sweeping them, with cgroups and without.

#![cfg(target_os = "linux")]

use std::ffi::CString;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use supervisor::lifecycle::Exit;
use supervisor::os::{self, Cgroups, Launch, Left, Process, Tree};

fn launch(script: &str, mark: &str) -> Launch {
    let text = |text: &str| CString::new(text).expect("no NUL");
    Launch {
        program: text("/bin/sh"),
        args: vec![text("sh"), text("-c"), text(script)],
        env: vec![text("PATH=/usr/bin:/bin"), text(&format!("SERENO_UNIT={mark}"))],
        cwd: text("/"),
        umask: None,
        nice: None,
        limits: Vec::new(),
        ids: None,
        confine: os::Confine::default(),
        own_keyring: false,
        listens: false,
    }
}

fn start(script: &str, mark: &str, cgroup: Option<&Cgroups>) -> (Process, Tree) {
    let null = os::null_device().expect("/dev/null");
    let cgroup = cgroup.map(|cgroups| {
        std::sync::Arc::new(cgroups.service(mark.split('/').nth(1).expect("a service")).expect("made"))
    });
    let fds = [null.as_fd(), null.as_fd(), null.as_fd()];
    let process = os::spawn(&launch(script, mark), &fds, cgroup.as_ref().map(|c| c.descriptor()), None)
        .expect("started");
    let service = mark.split('/').nth(1).expect("a service");
    let tree = Tree::new(process.identity(), mark.split('/').next().expect("an instance"), service, cgroup);
    (process, tree)
}

/// Polls a condition under a long ceiling.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the ceiling of a test is real time")]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let ceiling = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < ceiling, "never came about: {what}");
        os::pipe::pause(Duration::from_millis(2));
    }
}

fn wait(process: &Process) -> Exit {
    until("its end", || process.has_exited());
    process.reap()
}

#[test]
fn exits_are_read_as_they_were() {
    for (script, exit) in [
        ("exit 0", Exit::Code(0)),
        ("exit 41", Exit::Code(41)),
        ("kill -9 $$", Exit::Signal("SIGKILL".into())),
        ("kill -TERM $$", Exit::Signal("SIGTERM".into())),
    ] {
        let (process, _) = start(script, "t1/exits/1", None);
        assert_eq!(wait(&process), exit, "{script}");
    }
}

#[test]
fn what_can_not_run_is_an_error_at_once_and_leaves_nothing() {
    let null = os::null_device().expect("/dev/null");
    for (program, cwd, step) in [
        ("/no/such/program", "/", "executing /no/such/program"),
        ("/bin/sh", "/no/such/folder", "entering /no/such/folder"),
    ] {
        let launch = Launch {
            program: CString::new(program).expect("no NUL"),
            cwd: CString::new(cwd).expect("no NUL"),
            ..launch("exit 0", "t2/none/1")
        };
        let error = os::spawn(&launch, &[null.as_fd()], None, None).expect_err("refused");
        assert_eq!(error.step, step);
        assert_eq!(error.cause.kind(), std::io::ErrorKind::NotFound);
    }
}

#[test]
fn a_service_begins_with_default_signals_an_empty_mask_and_a_session_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let script = format!(
        "grep -E '^Sig(Ign|Blk)' /proc/self/status > {0}.tmp; ps -o sid= -p $$ >> {0}.tmp; mv {0}.tmp {0}",
        out.display()
    );
    let (process, _) = start(&script, "t3/signals/1", None);
    assert_eq!(wait(&process), Exit::Code(0));
    let text = std::fs::read_to_string(&out).expect("written");
    let fields: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(fields[1], "0000000000000000", "{text}");
    assert_eq!(fields[3], "0000000000000000", "{text}");
    assert_eq!(fields[4].parse::<u32>(), Ok(process.pid()), "{text}");
}

#[test]
fn limits_umask_and_nice_are_set() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let null = os::null_device().expect("/dev/null");
    let nofile = os::limit_number("nofile").expect("it has one");
    let script = format!("echo $(ulimit -n) $(umask) $(nice) > {}", out.display());
    let launch = Launch {
        limits: vec![(nofile, Some(123))],
        umask: Some(0o27),
        nice: Some(5),
        ..launch(&script, "t4/l/1")
    };
    let process =
        os::spawn(&launch, &[null.as_fd(), null.as_fd(), null.as_fd()], None, None).expect("started");
    assert_eq!(wait(&process), Exit::Code(0));
    assert_eq!(std::fs::read_to_string(&out).expect("written").trim(), "123 0027 5");
}

#[test]
fn a_session_keyring_of_its_own_is_new() {
    let keyrings = || std::fs::read_to_string("/proc/keys").unwrap_or_default();
    let before = keyrings();
    if !before.contains("_ses") {
        // A container may forbid keyrings.
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let null = os::null_device().expect("/dev/null");
    let of_child = |own_keyring| {
        let launch =
            Launch { own_keyring, ..launch(&format!("cat /proc/keys > {}", out.display()), "t5/k/1") };
        let fds = [null.as_fd(), null.as_fd(), null.as_fd()];
        let process = os::spawn(&launch, &fds, None, None).expect("started");
        assert_eq!(wait(&process), Exit::Code(0));
        std::fs::read_to_string(&out).expect("written")
    };
    let number = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let is_new = |line: &&str| line.contains("_ses: empty") && !before.contains(&number(line));
    assert_eq!(of_child(false).lines().filter(is_new).count(), 0, "it is inherited");
    assert_eq!(of_child(true).lines().filter(is_new).count(), 1);
}

/// A leader, a child in its group, a `setsid` child, and a double-forked daemon in a session of its own; all ignore
/// SIGTERM.
const FAMILY: &str = "trap '' TERM; sleep 1000 & setsid sleep 1000 & (setsid sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000' &) ; sleep 1000";

fn family_is_swept(cgroup: Option<&Cgroups>, mark: &str) {
    os::subreaper().expect("a subreaper");
    let instance = mark.split('/').next().expect("an instance");
    let (process, tree) = start(FAMILY, mark, cgroup);
    until("the whole family", || os::scan(instance, &std::collections::BTreeMap::new()).found.len() >= 7);

    process.signal(os::signal::KILL).expect("killed");
    until("its end", || process.has_exited());
    tree.kill_group();
    assert_eq!(process.reap(), Exit::Signal("SIGKILL".into()));
    let me = process.pid();
    until("a clean sweep", || tree.kill_leftovers(|| os::orphans(|pid| pid == me)) == Left::Nothing);
    assert!(tree.group_is_empty(&os::orphans(|pid| pid == me)));
    assert_eq!(os::scan(instance, &std::collections::BTreeMap::new()).found, []);
}

#[test]
fn a_sweep_leaves_no_child_setsid_child_or_daemon_without_cgroups() {
    family_is_swept(None, "t5/family/1");
}

#[test]
fn a_sweep_leaves_no_child_setsid_child_or_daemon_with_a_cgroup() {
    match Cgroups::probe("test-sweep") {
        Ok(cgroups) => {
            family_is_swept(Some(&cgroups), "t6/family/1");
            cgroups.clean_up();
        }
        #[expect(clippy::print_stderr, reason = "a skip is said aloud")]
        Err(why) => eprintln!("SKIPPED: no cgroups here: {why}"),
    }
}

#[test]
fn identity_is_never_a_bare_pid() {
    let (process, _) = start("sleep 1000", "t7/id/1", None);
    let identity = process.identity();
    assert!(Process::adopt(identity).is_some());
    assert!(Process::adopt(os::Identity { start: identity.start + 1, ..identity }).is_none());
    process.signal(os::signal::KILL).expect("killed");
    wait(&process);
    assert!(Process::adopt(identity).is_none());
}
