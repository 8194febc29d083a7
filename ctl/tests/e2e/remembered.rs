//! What was asked and answered holds also where the supervisor is killed in the next moment, and `ctl` asks again where
//! it was killed before it answered.

use std::time::{Duration, Instant};

use crate::harness::{Answer, System, eventually, kill, lives, poll};

/// `b` depends on `a` and takes a moment to stop, so that the stop of `a` waits for it.
const TWO: &str = r#"
    [services.a]
    command = ["sleep", "1000"]
    [services.b]
    shell = "trap 'sleep 0.15; exit 0' TERM; touch {here}/up; while :; do sleep 0.01; done"
    depends_on = ["a"]
"#;

/// One supervisor after the other is started again at once; monitors wait longer where ten have died in a row.
const LIVES: u32 = 8;

/// Runs `ctl` and kills the supervisor this long after it began.
fn ctl_and_kill_after(system: &System, args: &[&str], moment: Duration) -> Answer {
    let supervisor = system.supervisor();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| system.ctl(args));
        let until = Instant::now() + moment;
        while Instant::now() < until {
            std::thread::yield_now();
        }
        kill(supervisor, "KILL");
        asked.join().expect("no panic")
    })
}

/// A monitor has started the next one, and it answers.
#[track_caller]
fn revived(system: &System, dead: u32) {
    eventually("it is dead", || !lives(dead));
    let up = || system.status()["supervisor"]["state"] == "up" && system.supervisor() != dead;
    assert!(poll(up), "no monitor started it again\n{}", system.story());
}

#[test]
fn a_stop_of_two_is_finished_whenever_the_supervisor_is_killed() {
    let mut system = System::new(TWO).up();
    for step in 0..40 {
        if step % LIVES == LIVES - 1 {
            system.down();
            system = System::new(TWO).up();
        }
        let moment = Duration::from_millis(u64::from(8 * step));
        eventually("the trap", || system.path("up").exists());
        let dead = system.supervisor();
        let began = Instant::now();
        let answer = ctl_and_kill_after(&system, &["stop", "a", "b"], moment);
        let took = began.elapsed();
        revived(&system, dead);
        // Killed before `ctl` had reached it: then nothing was asked, and it is asked now.
        if answer.code == 3 {
            system.ctl(&["stop", "a", "b"]).succeeded();
        } else {
            assert_eq!(answer.code, 0, "after {moment:?}: {}{}\n{}", answer.out, answer.err, system.story());
            assert!(took < Duration::from_secs(20), "after {moment:?} it took {took:?}\n{}", system.story());
        }
        for name in ["a", "b"] {
            // The one that came after the answer looks once more for what is left before it says so.
            let service = system.until_state(name, "stopped");
            assert_eq!(service.pid(), 0, "{name} after {moment:?}");
        }
        std::fs::remove_file(system.path("up")).expect("it was there");
        system.ctl(&["start", "a", "b"]).succeeded();
    }
    system.down();
}

#[test]
fn a_stop_that_waits_for_a_dependant_is_answered_and_remembered() {
    // Long enough that the checkpoint comes between, too.
    let slow = TWO.replace("sleep 0.15", "sleep 2");
    let system = System::new(&slow).up();
    eventually("the trap", || system.path("up").exists());
    let dead = system.supervisor();
    let answer = ctl_and_kill_after(&system, &["stop", "a", "b"], Duration::from_millis(900));
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    revived(&system, dead);
    system.until_state("a", "stopped");
    system.until_state("b", "stopped");
    let events = system.ctl(&["events"]).out;
    let (b, a) = (events.rfind("b: exit 0"), events.rfind("a: SIGTERM"));
    assert!(b.is_some() && b < a, "b first, a after it:\n{events}");
    system.down();
}

#[test]
fn a_restart_is_finished_whenever_the_supervisor_is_killed() {
    // A job's end that nobody saw would be its failure; here a person asked for it.
    let file = "[services.a]\nshell = \"trap 'sleep 0.1; exit 0' TERM; while :; do sleep 0.01; done\"\nrestart.policy = \"never\"\n";
    let mut system = System::new(file).up();
    for step in 0..25 {
        if step % LIVES == LIVES - 1 {
            system.down();
            system = System::new(file).up();
        }
        let moment = Duration::from_millis(u64::from(8 * step));
        let (before, dead) = (system.service("a"), system.supervisor());
        let answer = ctl_and_kill_after(&system, &["restart", "a"], moment);
        revived(&system, dead);
        if answer.code != 3 {
            assert_eq!(answer.code, 0, "after {moment:?}: {}{}\n{}", answer.out, answer.err, system.story());
            system.until_restarted(&before);
        }
        let now = system.until_state("a", "running");
        assert!(lives(now.pid()));
    }
    system.down();
}

#[test]
fn what_was_answered_holds_after_a_kill_in_the_next_moment() {
    let system = System::new(
        r#"
        [services.a]
        command = ["sleep", "1000"]
        [services.failed]
        shell = "test -e {here}/good && exec sleep 1000; exit 3"
        restart.policy = "never"
        "#,
    )
    .up_at_once();
    system.until_state("a", "running");
    system.until_state("failed", "failed");
    std::fs::write(system.path("good"), "").expect("written");
    // Time for a checkpoint: what is asked now is not part of it.
    let checkpoint = || std::fs::read_to_string(system.path(".sereno/state/state.json")).unwrap_or_default();
    eventually("a checkpoint", || checkpoint().contains("\"failed\":{\"unit\""));
    let killed_after = |args: &[&str]| {
        let dead = system.supervisor();
        system.ctl(args).succeeded();
        kill(dead, "KILL");
        revived(&system, dead);
    };
    killed_after(&["pause", "a"]);
    assert_eq!(system.service("a").0["paused"], true, "{}", system.service("a").0);
    killed_after(&["resume", "a"]);
    assert_ne!(system.service("a").0["paused"], true, "{}", system.service("a").0);
    killed_after(&["start", "failed"]);
    system.until_state("failed", "running");
    killed_after(&["stop", "failed"]);
    system.until_state("failed", "stopped");
    // The settings of the applied file, not of the one before it.
    let before = system.service("a");
    system.write("[services.a]\ncommand = [\"sleep\", \"2000\"]\n");
    killed_after(&["apply"]);
    system.until_restarted(&before);
    let command = std::fs::read(format!("/proc/{}/cmdline", system.service("a").pid())).unwrap_or_default();
    assert_eq!(command, b"sleep\x002000\0");
    system.down();
}
