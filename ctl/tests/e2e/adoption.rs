//! The supervisor killed at any moment: services stay up, nothing is started twice, and the next one goes on.

use crate::harness::{System, eventually, kill, lives};

const TALKERS: &str = r#"
    [services.a]
    shell = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done"
    [services.b]
    shell = "trap 'exit 41' USR1; touch {here}/up; while :; do sleep 0.05; done"
"#;

fn goes_on(system: System) {
    let system = system.up();
    eventually("its trap", || system.path("up").exists());
    let (a, b) = (system.service("a"), system.service("b"));
    for _ in 0..3 {
        let supervisor = system.supervisor();
        kill(supervisor, "KILL");
        eventually("it is dead", || !lives(supervisor));
        let up = system.ctl(&["up", "-d", "--wait"]);
        assert_eq!(up.code, 0, "{}\n{}", up.err, system.story());
        let (now_a, now_b) = (system.service("a"), system.service("b"));
        assert_eq!((now_a.pid(), now_a.incarnation()), (a.pid(), a.incarnation()));
        assert_eq!((now_b.pid(), now_b.incarnation()), (b.pid(), b.incarnation()));
    }
    // The status of an adopted process is known where the kernel tells it.
    kill(b.pid(), "USR1");
    let again = system.until_restarted(&b);
    assert_eq!(again.0["last_exit"]["code"], 41, "{}", again.0);
    kill(a.pid(), "KILL");
    let again = system.until_restarted(&a);
    assert_eq!(again.incarnation(), a.incarnation() + 1);

    // No line of the first run was lost or doubled.
    let text = String::from_utf8(system.log("a.out.log")).expect("text");
    let first: Vec<&str> = text.lines().collect();
    let end = first.iter().skip(1).position(|line| *line == "line 1").map_or(first.len(), |at| at + 1);
    assert!(end > 10, "{end} lines");
    for (number, line) in (1..).zip(&first[..end]) {
        assert_eq!(*line, format!("line {number}"));
    }
}

#[test]
fn with_cgroups() {
    goes_on(System::new(TALKERS));
}

#[test]
fn without_cgroups() {
    goes_on(System::new(TALKERS).without_cgroups());
}

#[test]
fn two_ups_at_once_make_one_supervisor() {
    let system = System::new("[services.web]\ncommand = \"sleep 1000\"\n");
    std::thread::scope(|scope| {
        let ups: Vec<_> = (0..4).map(|_| scope.spawn(|| system.ctl(&["up", "-d", "--wait"]))).collect();
        for up in ups {
            up.join().expect("no panic").succeeded();
        }
    });
    let sleeping = system.processes().into_iter().filter(|(_, command)| command.starts_with("sleep 1000"));
    assert_eq!(sleeping.count(), 1);
    assert_eq!(system.service("web").number("restarts"), 0);
}

#[test]
fn a_state_that_is_damaged_is_set_aside_and_everything_is_adopted_all_the_same() {
    // Nobody may call the next one before there is rubbish for it.
    let system = System::new(&format!("[supervisor]\nguard = false\n{TALKERS}")).up();
    let (a, b) = (system.service("a"), system.service("b"));
    let state = system.path(".sereno/state/state.json");
    eventually("a checkpoint", || state.exists());
    let supervisor = system.supervisor();
    kill(supervisor, "KILL");
    eventually("it is dead", || !lives(supervisor));
    std::fs::write(&state, "rubbish").expect("written");
    std::fs::write(system.path(".sereno/run/wal"), "\0\0rubbish").expect("written");
    system.ctl(&["up", "-d", "--wait"]).succeeded();
    assert_eq!((system.service("a").pid(), system.service("b").pid()), (a.pid(), b.pid()));
    assert!(system.path(".sereno/state/state.json.damaged").exists());
}

#[test]
fn down_that_keeps_services_leaves_them_for_the_next() {
    let system = System::new(TALKERS).up();
    let a = system.service("a");
    system.ctl(&["down", "--keep-services"]).succeeded();
    assert!(lives(a.pid()));
    system.ctl(&["up", "-d", "--wait"]).succeeded();
    assert_eq!(system.service("a").pid(), a.pid());
}
