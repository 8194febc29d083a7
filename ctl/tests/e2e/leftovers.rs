//! No process of a service outlives it: not a child in its group, not a `setsid` child, not a double-forked daemon, not
//! one that ignores SIGTERM; with cgroups and without.

use crate::harness::{System, eventually, kill};

/// A leader with all the relatives that other supervisors leave behind.
const FAMILY: &str = r#"
    [services.family]
    shell = "trap '' TERM; sleep 1000 & setsid sleep 1000 & (setsid sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000' &); env -u SERENO_UNIT sleep 1000 & touch {here}/up; sleep 1000"
    stop = { timeout = "300ms" }
    [services.daemon]
    shell = "(setsid sh -c 'exec setsid sleep 1000' &); exec sleep 1000"
    stop = { timeout = "300ms" }
"#;

/// Marked processes of the family: shells and sleeps.
const RELATIVES: usize = 7;

fn relatives(system: &System) -> usize {
    system.processes().iter().filter(|(_, command)| command.contains("sleep 1000")).count()
}

fn nothing_is_left(system: System) {
    let system = system.up();
    eventually("the whole family", || relatives(&system) >= RELATIVES);

    // A crash: the next run begins without anybody of the last one.
    let before = system.service("family");
    let old: Vec<u32> = system.processes().iter().map(|(pid, _)| *pid).collect();
    kill(before.pid(), "KILL");
    let after = system.until_restarted(&before);
    assert_eq!(after.incarnation(), before.incarnation() + 1);
    eventually("the new family", || relatives(&system) >= RELATIVES);
    let still = system.processes().into_iter().filter(|(pid, command)| {
        old.contains(pid) && command.contains("sleep 1000") && *pid != system.service("daemon").pid()
    });
    assert!(still.count() <= 1, "only the other service's daemon is still there: {:?}", system.processes());

    system.ctl(&["stop", "family", "daemon"]).succeeded();
    assert_eq!(relatives(&system), 0, "{:?}", system.processes());
    system.ctl(&["start", "family"]).succeeded();
    eventually("the family again", || relatives(&system) >= RELATIVES - 3);
    system.down();
}

#[test]
fn with_cgroups() {
    nothing_is_left(System::new(FAMILY));
}

#[test]
fn without_cgroups() {
    nothing_is_left(System::new(FAMILY).without_cgroups());
}

#[test]
fn npm_sh_node_leave_nothing_when_only_npm_is_killed() {
    let system = System::new(
        r#"
        [services.web]
        shell = "sh -c 'sh -c \"exec sleep 1000\"; true'; true"
        "#,
    )
    .without_cgroups()
    .up();
    eventually("three levels", || relatives(&system) >= 3);
    let before = system.service("web");
    kill(before.pid(), "KILL");
    system.until_restarted(&before);
    eventually("one family and no more", || relatives(&system) == 3);
}

fn an_adopted_family_is_swept_by_a_restart(system: System) {
    let system = system.up();
    eventually("the whole family", || relatives(&system) >= RELATIVES);
    let (old, supervisor) = (system.processes(), system.supervisor());
    // Its orphans go to another parent from now on: only their mark, or their cgroup, tells whose they are.
    kill(supervisor, "KILL");
    eventually("another supervisor", || {
        system.supervisor() != supervisor && system.status()["supervisor"]["state"] == "up"
    });
    system.ctl(&["restart", "family", "daemon"]).succeeded();
    let new = system.processes();
    let left: Vec<_> = old.iter().filter(|one| one.1.contains("sleep 1000") && new.contains(one)).collect();
    assert!(left.is_empty(), "{left:?}");
    system.down();
}

#[test]
fn an_adopted_family_too_with_cgroups() {
    an_adopted_family_is_swept_by_a_restart(System::new(FAMILY));
}

#[test]
fn an_adopted_family_too_without_cgroups() {
    an_adopted_family_is_swept_by_a_restart(System::new(FAMILY).without_cgroups());
}

#[test]
fn one_that_left_its_group_and_shed_its_mark_is_known_by_what_it_writes_to() {
    let system = System::new(
        r#"
        [services.web]
        shell = "env -i setsid sh -c 'echo $$ >> {here}/shed; exec sleep 1000' & exec sleep 1000"
        "#,
    )
    .without_cgroups()
    .up();
    let shed = || -> Vec<u32> {
        let text = std::fs::read_to_string(system.path("shed")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    eventually("one that shed its mark", || shed().len() == 1);
    let before = system.service("web");
    kill(before.pid(), "KILL");
    system.until_restarted(&before);
    eventually("that of the next run", || shed().len() == 2);
    let lives = |pid: u32| std::path::Path::new(&format!("/proc/{pid}")).exists();
    assert_eq!(shed().into_iter().map(lives).collect::<Vec<_>>(), [false, true]);
    system.down();
    assert!(!shed().into_iter().any(lives), "also before `stopped` is said");
}
