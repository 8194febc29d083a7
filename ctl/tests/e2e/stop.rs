//! Stops and restarts, whatever they interrupt.

use std::thread;

use crate::harness::{System, eventually, lives};

#[test]
fn stop_works_in_backoff_starting_and_stopping() {
    let system = System::new(
        r#"
        [services.backoff]
        command = "false"
        restart = { initial = "10m", max_wait = "10m" }
        [services.starting]
        command = "sleep 1000"
        ready = "notify"
        [services.stopping]
        shell = "trap '' TERM; while :; do sleep 0.1; done"
        stop = { timeout = "2s" }
        "#,
    )
    .up_at_once();
    system.until_state("backoff", "backoff");
    system.until_state("starting", "starting");
    system.until_state("stopping", "running");
    system.ctl(&["stop", "backoff", "starting"]).succeeded();
    for name in ["backoff", "starting"] {
        assert_eq!(system.service(name).state(), "stopped");
    }
    // Twice at once, the second while the first is under way.
    thread::scope(|scope| {
        let first = scope.spawn(|| system.ctl(&["stop", "stopping"]));
        let stopping = system.until_state("stopping", "stopping");
        assert!(stopping.0["kill_seconds"].as_f64().is_some(), "{}", stopping.0);
        system.ctl(&["stop", "stopping"]).succeeded();
        first.join().expect("no panic").succeeded();
    });
    assert_eq!(system.service("stopping").state(), "stopped");
    assert!(
        system.why("stopping").iter().any(|line| line.contains("SIGKILL to")),
        "{:?}",
        system.why("stopping")
    );
    assert_eq!(system.ctl(&["status"]).code, 0, "stopped by hand is as wanted");
}

#[test]
fn two_restarts_at_once_make_one_new_run() {
    let system = System::new(
        r#"
        [services.web]
        shell = "trap 'sleep 0.5; exit 0' TERM; while :; do sleep 0.05; done"
        "#,
    )
    .up();
    let before = system.service("web");
    thread::scope(|scope| {
        let both = [
            scope.spawn(|| system.ctl(&["restart", "web"])),
            scope.spawn(|| system.ctl(&["restart", "web"])),
        ];
        for one in both {
            one.join().expect("no panic").succeeded();
        }
    });
    let after = system.until_restarted(&before);
    assert_eq!(after.incarnation(), before.incarnation() + 1);
    assert!(!lives(before.pid()));
}

#[test]
fn a_signal_goes_where_it_is_told_and_a_stop_command_is_tried_first() {
    let system = System::new(
        r#"
        [services.web]
        shell = "trap 'echo usr1 >> {here}/heard' USR1; trap 'echo term >> {here}/heard; exit 0' TERM; echo up > {here}/up; while [ ! -e {here}/quit ]; do sleep 0.05; done"
        stop = { command = ["touch", "{here}/quit"], timeout = "20s" }
        "#,
    )
    .up();
    eventually("its traps", || system.path("up").exists());
    system.ctl(&["signal", "USR1", "web"]).succeeded();
    let heard = || std::fs::read_to_string(system.path("heard")).unwrap_or_default();
    eventually("the signal", || heard() == "usr1\n");
    system.ctl(&["stop", "web"]).succeeded();
    assert_eq!(heard(), "usr1\n", "it went by the command, not by SIGTERM");
    assert_eq!(system.service("web").0["last_exit"]["code"], 0);
    assert_eq!(system.ctl(&["signal", "NOPE", "web"]).code, 2);
}

#[test]
fn a_stop_command_is_told_the_main_process_as_under_systemd() {
    let system = System::new(
        r#"
        [services.web]
        shell = "trap 'exit 7' USR1; echo up > {here}/up; while :; do sleep 0.05; done"
        stop.command = ["sh", "-c", "printenv MAINPID > {here}/told; kill -USR1 \"$1\"", "${MAINPID}", "$MAINPID"]
        stop.timeout = "20s"
        "#,
    )
    .up();
    eventually("its trap", || system.path("up").exists());
    let pid = system.service("web").pid();
    system.ctl(&["stop", "web"]).succeeded();
    assert_eq!(
        std::fs::read_to_string(system.path("told")).ok(),
        Some(format!("{pid}\n")),
        "the environment"
    );
    assert_eq!(system.service("web").0["last_exit"]["code"], 7, "{}", system.story());
    let why = system.why("web");
    assert!(why.iter().any(|line| line.ends_with(&format!(" {pid} {pid}"))), "{why:#?}");
}

#[test]
fn stopped_by_hand_stays_so_until_up() {
    let system = System::new("[services.web]\ncommand = \"sleep 1000\"\n").up();
    system.ctl(&["stop", "web"]).succeeded();
    assert_eq!(system.ctl(&["restart", "nobody"]).code, 1);
    assert_eq!(system.service("web").state(), "stopped");
    system.ctl(&["up", "-d", "--wait"]).succeeded();
    assert_eq!(system.service("web").state(), "running");
}

#[test]
fn a_polite_stop_lets_the_whole_group_finish() {
    // `sh` goes at once; its child is told too, and may take its time.
    let system = System::new(
        r#"
        [services.web]
        shell = "sh -c 'trap \"sleep 0.5; echo drained > {here}/drained; exit 0\" TERM; echo up > {here}/up; while :; do sleep 0.05; done'; true"
        "#,
    )
    .up();
    eventually("its trap", || system.path("up").exists());
    system.ctl(&["stop", "web"]).succeeded();
    assert!(system.path("drained").exists(), "killed before it could finish");
}
