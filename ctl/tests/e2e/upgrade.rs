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

const UPGRADES: usize = 100;
const LOOPS: usize = 10;
const QUIET: usize = 39;

/// Each run says its number, and again by its exit code.
fn loops(name: &str, lives: &str) -> String {
    format!(
        r#"
        [services.{name}]
        shell = "n=$(($(cat {{here}}/{name} 2>/dev/null || echo 0) + 1)); echo $n > {{here}}/{name}; echo run $n; {lives}; exit $((n % 100 + 1))"
        restart = {{ initial = "20ms", max_wait = "50ms", max = 1000000 }}
        log = {{ max_size = "50MB" }}
        "#
    )
}

/// What the journal says of each service: kind, incarnation and message, in order.
fn journal(system: &System) -> Vec<(String, String, u64, String)> {
    let folder = system.path(".sereno/journal");
    let files = std::fs::read_dir(folder).expect("there").flatten().map(|entry| entry.path());
    let is_journal = |path: &std::path::PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("events-"))
    };
    let mut files: Vec<_> = files.filter(is_journal).collect();
    files.sort();
    let mut events: Vec<(u64, serde_json::Value)> = Vec::new();
    for file in files {
        for line in std::fs::read_to_string(file).expect("text").lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect("an event");
            events.push((event["seq"].as_u64().expect("numbered"), event));
        }
    }
    events.sort_by_key(|(seq, _)| *seq);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_string();
    let told = events.into_iter().map(|(_, event)| {
        let incarnation = event["incarnation"].as_u64().unwrap_or(0);
        (text(&event["service"]), text(&event["kind"]), incarnation, text(&event["message"]))
    });
    told.collect()
}

#[test]
fn a_hundred_upgrades_while_services_crash_lose_and_double_nothing() {
    let quiet = (0..QUIET).map(|n| format!("[services.q{n}]\nshell = \"echo up; exec sleep 1000\"\n"));
    let restless = (0..LOOPS).map(|n| loops(&format!("l{n}"), "sleep 0.3"));
    let file: String = quiet.chain(restless).chain([loops("crash", ":")]).collect();
    let system = System::new(&file).up_at_once();
    for n in 0..QUIET {
        system.until_state(&format!("q{n}"), "running");
    }
    let quiet = |system: &System| -> Vec<u32> {
        let status = system.status();
        (0..QUIET).map(|n| crate::harness::Service::of(&status, &format!("q{n}")).pid()).collect()
    };
    let (before, supervisor) = (quiet(&system), system.supervisor());
    for _ in 0..UPGRADES {
        system.ctl(&["upgrade"]).succeeded();
    }
    assert_eq!((system.supervisor(), quiet(&system)), (supervisor, before), "nobody was lost or doubled");
    system.ctl(&["stop", "--all"]).succeeded();

    let events = journal(&system);
    for name in (0..LOOPS).map(|n| format!("l{n}")).chain(["crash".into()]) {
        let of_it = || events.iter().filter(|(service, ..)| *service == name);
        let starts: Vec<u64> = of_it()
            .filter(|(_, kind, _, message)| kind == "start" && message.starts_with("start pid"))
            .map(|(_, _, incarnation, _)| *incarnation)
            .collect();
        let count = u64::try_from(starts.len()).expect("a few");
        assert!(count > 5, "{name}: {starts:?}");
        assert_eq!(starts, (1..=count).collect::<Vec<_>>(), "{name}: each run was started once");
        let exits: Vec<(u64, &str)> = of_it()
            .filter(|(_, kind, ..)| kind == "exit")
            .map(|(_, _, incarnation, message)| (*incarnation, message.as_str()))
            .collect();
        assert_eq!(exits.len(), starts.len(), "{name}: each run ended once");
        // The last one may have been stopped.
        for (run, message) in exits.iter().take(exits.len() - 1) {
            assert!(
                message.starts_with(&format!("exit {} after", run % 100 + 1)),
                "{name}: run {run} ended with {message}: {:#?}",
                of_it().filter(|(_, _, of, _)| of.abs_diff(*run) < 2).collect::<Vec<_>>()
            );
        }
        let log = String::from_utf8(system.log(&format!("{name}.out.log"))).expect("text");
        let said: Vec<&str> = log.lines().collect();
        let expected: Vec<String> = (1..=said.len()).map(|n| format!("run {n}")).collect();
        assert_eq!(said, expected, "{name}: each run said so once");
        assert!(said.len() + 1 >= starts.len(), "{name}: {} said so of {count}", said.len());
    }
}
