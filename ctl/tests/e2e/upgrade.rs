//! `ctl upgrade`: another program in the same process; children stay children, and nothing is lost, doubled or forgotten.

use crate::harness::{System, eventually, kill, lives};

#[test]
fn everything_is_carried_over_again_and_again() {
    let system = System::new(
        r#"
        [services.talker]
        shell = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.002; done"
        [services.loops]
        shell = "sleep 0.05; exit 1"
        restart = { initial = "20ms", max_wait = "50ms", max = 1000000 }
        [services.crashes]
        command = "false"
        restart = { initial = "10ms", max_wait = "20ms", max = 1000000 }
        [services.ends]
        shell = "trap 'exit 41' USR1; touch {here}/up; while :; do sleep 0.02; done"
        "#,
    )
    .up_at_once();
    eventually("its trap", || system.path("up").exists());
    system.until_state("talker", "running");
    let (talker, ends, supervisor) = (system.service("talker"), system.service("ends"), system.supervisor());
    let mut last = system.service("loops").incarnation();
    for _ in 0..10 {
        system.ctl(&["upgrade"]).succeeded();
        assert_eq!(system.supervisor(), supervisor, "the same process");
        assert_eq!(system.service("talker").pid(), talker.pid());
        let loops = system.until("loops", "started again", |now| now.incarnation() > last);
        last = loops.incarnation();
    }
    // A child of the process before is a child of this one: its status is known, its end is heard.
    kill(ends.pid(), "USR1");
    let again = system.until_restarted(&ends);
    assert_eq!(
        (again.0["last_exit"]["code"].as_u64(), again.incarnation()),
        (Some(41), ends.incarnation() + 1)
    );
    system.ctl(&["stop", "--all"]).succeeded();
    assert!(!lives(talker.pid()));

    let text = String::from_utf8(system.log("talker.out.log")).expect("text");
    assert!(text.lines().count() > 50);
    for (number, line) in (1..).zip(text.lines()) {
        assert_eq!(line, format!("line {number}"));
    }
}

#[test]
fn a_program_that_can_not_take_over_is_refused_and_the_old_one_runs_on() {
    let system = System::new("[services.web]\ncommand = \"sleep 1000\"\n").up();
    let (web, supervisor) = (system.service("web"), system.supervisor());
    for (binary, why) in [
        ("/no/such/program", "No such file"),
        ("/bin/false", "exit 1"),
        ("/etc/hostname", "Exec format error"),
    ] {
        let answer = system.ctl(&["upgrade", "--binary", binary]);
        assert_eq!(answer.code, 1, "{binary}: {}", answer.out);
        assert!(answer.err.contains(why) && answer.err.contains("refused"), "{binary}: {}", answer.err);
    }
    assert_eq!((system.service("web").pid(), system.supervisor()), (web.pid(), supervisor));
}

#[test]
fn a_follower_of_the_logs_does_not_notice() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let system = System::new(
        r#"
        [services.talker]
        shell = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done"
        "#,
    )
    .up();
    let mut follow = system
        .command(&["logs", "-f", "-n", "1", "talker"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("ctl runs");
    let mut lines = BufReader::new(follow.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().expect("it goes on").expect("text");
    let number = |line: &str| line.trim_start_matches("line ").parse::<u64>().expect("a number");
    let mut at = number(&next());
    for round in 0..3 {
        system.ctl(&["upgrade"]).succeeded();
        for _ in 0..30 {
            let line = next();
            assert_eq!(number(&line), at + 1, "round {round}");
            at += 1;
        }
    }
    follow.kill().expect("killed");
    follow.wait().expect("gone");
}
