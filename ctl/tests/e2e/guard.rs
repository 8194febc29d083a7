//! Nobody helps: a supervisor that is killed is back by itself, and what happened meanwhile is known.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{System, eventually, kill, lives, poll};

const TALKERS: usize = 20;
const MONITORS: [&str; 2] = ["health-monitor", "port-monitor"];

fn talkers() -> String {
    let talker = |n| {
        format!(
            "[services.t{n:02}]\nshell = \"i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done\"\n"
        )
    };
    (0..TALKERS).map(talker).collect()
}

fn two() -> &'static str {
    "[services.a]\ncommand = \"sleep 1000\"\n[services.b]\nshell = \"while :; do echo talk; sleep 0.05; done\"\n"
}

/// Everything up, and both monitors attached.
fn guarded(system: System) -> System {
    let system = system.up();
    all_attached(&system);
    system
}

fn all_attached(system: &System) {
    eventually("both monitors attached", || attached(&system.status()));
}

fn attached(status: &Value) -> bool {
    let of = |monitor: &Value| monitor["attached"] == true && monitor["state"] == "up";
    status["supervisor"]["state"] == "up"
        && status["monitors"].as_array().is_some_and(|all| all.len() == 2 && all.iter().all(of))
}

fn monitor(system: &System, name: &str) -> u32 {
    let status = system.status();
    let monitors = status["monitors"].as_array().cloned().unwrap_or_default();
    let monitor = monitors.into_iter().find(|monitor| monitor["name"] == name).unwrap_or_default();
    monitor["pid"].as_u64().and_then(|pid| pid.try_into().ok()).unwrap_or(0)
}

fn pids(status: &Value) -> Vec<(String, u64, u64)> {
    let services = status["services"].as_array().cloned().unwrap_or_default();
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let one = |service: &Value| {
        (
            service["name"].as_str().unwrap_or_default().to_string(),
            number(&service["pid"]),
            number(&service["incarnation"]),
        )
    };
    services.iter().map(one).collect()
}

/// Kills several in the same instant.
fn kill_all(pids: &[u32]) {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let sent = std::process::Command::new("kill").arg("-KILL").args(&pids).status().expect("kill is there");
    assert!(sent.success(), "all of {pids:?} were alive");
}

/// Waits until another supervisor than this one answers; what it says.
#[track_caller]
fn back(system: &System, dead: u32) -> Value {
    let mut last = Value::Null;
    let found = poll(|| {
        last = system.status();
        last["supervisor"]["state"] == "up" && last["supervisor"]["pid"] != dead
    });
    assert!(found, "no supervisor after {dead}: {last}\n{}", system.story());
    last
}

fn lines(system: &System, service: &str) -> Vec<u64> {
    let log = system.log(&format!("{service}.out.log"));
    let text = String::from_utf8(log).expect("only ASCII was written");
    // The last one may still be on its way.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| line.strip_prefix("line ").and_then(|n| n.parse().ok()).expect(line)).collect()
}

#[test]
fn a_supervisor_killed_time_after_time_comes_back_and_no_line_is_lost() {
    let system = guarded(System::new(&talkers()));
    let before = pids(&system.status());
    assert_eq!(before.len(), TALKERS);
    let mut times = Vec::new();
    for _ in 0..5 {
        let supervisor = system.supervisor();
        let began = Instant::now();
        kill(supervisor, "KILL");
        let status = loop {
            let status = system.status();
            if status["supervisor"]["state"] == "up" && status["supervisor"]["pid"] != supervisor {
                break status;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it never came back\n{}", system.story());
        };
        times.push(began.elapsed().as_millis());
        assert_eq!(pids(&status), before, "nobody is touched");
    }
    eprintln!("under control again after {times:?} ms");

    let t00 = system.service("t00");
    kill(t00.pid(), "KILL");
    system.until_restarted(&t00);
    for n in 1..TALKERS {
        let name = format!("t{n:02}");
        let enough = lines(&system, &name).len() + 2;
        eventually("more lines", || lines(&system, &name).len() > enough);
        for (line, expected) in lines(&system, &name).into_iter().zip(1..) {
            assert_eq!(line, expected, "{name}: lost or doubled");
        }
    }
    assert_eq!(pids(&system.status())[1..], before[1..]);
}

#[test]
fn any_two_daemons_may_die_in_the_same_instant() {
    let system = guarded(System::new(two()));
    let before = pids(&system.status());
    let [health, port] = MONITORS;
    for monitors in [vec![health], vec![port], vec![health, port]] {
        let mut victims: Vec<(&str, u32)> =
            monitors.iter().map(|name| (*name, monitor(&system, name))).collect();
        if victims.len() == 1 {
            victims.push(("supervisor", system.supervisor()));
        }
        kill_all(&victims.iter().map(|(_, pid)| *pid).collect::<Vec<_>>());
        let dead = |name: &str| victims.iter().find(|(of, _)| *of == name).map_or(0, |(_, pid)| *pid);
        let mut last = Value::Null;
        let all_back = poll(|| {
            last = system.status();
            attached(&last)
                && last["supervisor"]["pid"] != dead("supervisor")
                && MONITORS.iter().all(|name| monitor(&system, name) != dead(name))
        });
        assert!(all_back, "after {victims:?}: {last}\n{}", system.story());
        assert_eq!(pids(&last), before, "after {victims:?}");
    }
}

#[test]
fn all_three_may_die_and_services_live_on() {
    let system = guarded(System::new(two()));
    let before = pids(&system.status());
    let daemons = [system.supervisor(), monitor(&system, MONITORS[0]), monitor(&system, MONITORS[1])];
    kill_all(&daemons);
    eventually("they are dead", || !daemons.iter().any(|pid| lives(*pid)));
    assert!(before.iter().all(|(_, pid, _)| lives(u32::try_from(*pid).expect("a pid"))));
    system.ctl(&["up", "-d", "--wait"]).succeeded();
    assert_eq!(pids(&system.status()), before);
}

#[test]
fn a_service_that_dies_with_the_supervisor_is_started_once_and_its_last_words_are_kept() {
    let system = guarded(System::new(
        r#"
        [services.web]
        shell = "echo begin; until [ -e {here}/go ]; do sleep 0.01; done; echo last words; touch {here}/said; sleep 1000"
        "#,
    ));
    let (web, supervisor) = (system.service("web"), system.supervisor());
    // Frozen, so that it certainly has not read what it is about to be told.
    kill(supervisor, "STOP");
    std::fs::write(system.path("go"), "").expect("written");
    eventually("the last words", || system.path("said").exists());
    kill_all(&[supervisor, web.pid()]);
    back(&system, supervisor);
    let again = system.until_restarted(&web);
    assert_eq!(again.incarnation(), web.incarnation() + 1, "once");
    assert_eq!(again.0["last_exit"]["signal"], "SIGKILL", "{}", again.0);
    let expected = "begin\nlast words\n".repeat(2);
    eventually("the words of both runs", || system.log("web.out.log").len() >= expected.len());
    assert_eq!(String::from_utf8_lossy(&system.log("web.out.log")), expected);
    eventually("its one sleep", || {
        let processes = system.processes().into_iter();
        processes.filter(|(_, command)| command.starts_with("sleep 1000")).count() == 1
    });
}

#[test]
fn how_a_service_ended_while_nobody_supervised_is_known() {
    let system = guarded(System::new(
        r#"
        [supervisor]
        guard = false
        [services.web]
        shell = "if [ -e {here}/go ]; then sleep 1000; fi; until [ -e {here}/go ]; do sleep 0.01; done; echo gone; exit 41"
        "#,
    ));
    assert_eq!(system.status()["supervisor"]["unguarded"], "guard = false");
    let (web, supervisor) = (system.service("web"), system.supervisor());
    kill(supervisor, "KILL");
    eventually("it is dead", || !lives(supervisor));
    std::fs::write(system.path("go"), "").expect("written");
    // Reaped by whoever reaps orphans: only who kept its pidfd can tell now.
    let process = format!("/proc/{}", web.pid());
    eventually("it is gone without a trace", || !std::path::Path::new(&process).exists());
    assert_eq!(system.supervisor(), supervisor, "with guard = false nobody starts another");
    system.ctl(&["up", "-d", "--wait"]).succeeded();
    let again = system.until_restarted(&web);
    assert_eq!((again.incarnation(), &again.0["last_exit"]["code"]), (2, &41.into()), "{}", again.0);
    eventually("its last word", || system.log("web.out.log") == b"gone\n");
}

fn the_one_who_called_it_dies(system: System) {
    let system = guarded(system);
    let before = pids(&system.status());
    let supervisor = system.supervisor();
    kill(supervisor, "KILL");
    let supervisor = back(&system, supervisor)["supervisor"]["pid"].clone();
    all_attached(&system);
    for name in MONITORS {
        let dead = monitor(&system, name);
        kill(dead, "KILL");
        eventually("the monitor back", || monitor(&system, name) != dead && attached(&system.status()));
        let status = system.status();
        assert_eq!(status["supervisor"]["pid"], supervisor, "{}", system.story());
        assert_eq!(pids(&status), before);
    }
}

#[test]
fn the_monitor_that_called_it_back_may_die_with_cgroups() {
    the_one_who_called_it_dies(System::new(two()));
}

#[test]
fn the_monitor_that_called_it_back_may_die_without_cgroups() {
    the_one_who_called_it_dies(System::new(two()).without_cgroups());
}

/// Daemons of this system, by their command lines.
fn daemons(system: &System) -> Vec<String> {
    let folder = system.path("").display().to_string();
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let lines = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    let ours = |line: &String| line.contains(&folder) && line.contains("supervisor");
    lines.filter(ours).map(|line| line.replace('\0', " ")).collect()
}

#[test]
fn down_is_final() {
    let system = guarded(System::new(two()));
    let supervisor = system.supervisor();
    kill(supervisor, "KILL");
    back(&system, supervisor);
    assert!(!daemons(&system).is_empty(), "the one that was called back is seen");
    system.down();
    // Neither one who could come back nor one who would call it.
    eventually("the last one gone", || daemons(&system).is_empty());
    assert_eq!(system.processes(), []);
}

#[test]
fn down_is_final_also_right_after_a_sigkill() {
    for round in 0..5 {
        let system = guarded(System::new(two()));
        kill(system.supervisor(), "KILL");
        system.down();
        eventually("the last one gone", || daemons(&system).is_empty());
        assert_eq!(system.processes(), [], "round {round}");
    }
}

#[test]
fn down_ends_what_lives_on_without_any_daemon() {
    let system = guarded(System::new(two()));
    let all = [system.supervisor(), monitor(&system, MONITORS[0]), monitor(&system, MONITORS[1])];
    kill_all(&all);
    eventually("they are dead", || !all.iter().any(|pid| lives(*pid)));
    let answer = system.ctl(&["down"]).succeeded();
    assert_eq!(answer.out, "the supervisor had died; what it left running has been stopped\n");
    assert_eq!(system.processes(), []);
    let answer = system.ctl(&["down"]).succeeded();
    assert_eq!(answer.out, "the supervisor is not running\n");
}

#[test]
fn what_was_kept_by_a_down_is_ended_by_the_next() {
    let system = guarded(System::new(two()));
    system.ctl(&["down", "--keep-services"]).succeeded();
    assert!(system.processes().len() >= 2, "{:?}", system.processes());
    system.down();
}

#[test]
fn a_supervisor_killed_in_the_middle_of_down_is_called_back_only_to_finish_it() {
    let system = guarded(System::new(
        r#"
        [services.slow]
        shell = "trap 'touch {here}/asked' TERM; while :; do sleep 0.02; done"
        stop = { timeout = "2s" }
        [services.other]
        command = "sleep 1000"
        "#,
    ));
    let mut down = system.command(&["down"]);
    let mut down = down.stdout(std::process::Stdio::null()).spawn().expect("ctl runs");
    eventually("it was asked to go", || system.path("asked").exists());
    // What is written every now and then has been written too.
    eventually("a checkpoint", || {
        let state = std::fs::read_to_string(system.path(".sereno/state/state.json")).unwrap_or_default();
        state.contains("slow")
    });
    let supervisor = system.supervisor();
    kill(supervisor, "KILL");
    let _ = down.wait();
    eventually("everything gone", || system.processes().is_empty() && daemons(&system).is_empty());
}

#[test]
fn a_supervisor_that_no_longer_answers_is_replaced() {
    let system = guarded(System::new(&format!("[supervisor]\nguard = {{ hang = \"1s\" }}\n{}", two())));
    let before = pids(&system.status());
    let supervisor = system.supervisor();
    kill(supervisor, "STOP");
    eventually("the frozen one is dead", || !lives(supervisor));
    assert_eq!(pids(&back(&system, supervisor)), before);
}
