//! What a run was doing when it was judged: seen before it is ended, told in the chain of its restart, and kept in full.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Service, System, eventually, free_port, lives, text, wants};

/// A service that is sick as soon as the file `sick` is there.
fn sick_on_demand(command: &str, more: &str) -> System {
    let file = format!(
        r#"
        [services.web]
        command = {command}
        {more}
        restart = {{ initial = "10ms", max_wait = "20ms" }}
        [services.web.checks.well]
        kind = "exec"
        command = ["test", "!", "-e", "{{here}}/sick"]
        interval = "200ms"
        failures = 2
        "#
    );
    System::new(&file).up()
}

impl System {
    /// Makes the service sick, waits for its next run, and makes it well.
    fn judge(&self) -> Service {
        let before = self.service("web");
        fs::write(self.path("sick"), "").expect("written");
        self.until("web", "judged", |web| {
            web.state() == "stopping" || web.incarnation() > before.incarnation()
        });
        fs::remove_file(self.path("sick")).expect("it was there");
        self.until_restarted(&before)
    }

    /// Judges it until its evidence has these words: on a machine that is busy it may come after its 300 ms, and then the
    /// run is ended without. Returns the run that was judged, and its evidence.
    fn judge_until(&self, words: &str) -> (Service, String) {
        let mut last = String::new();
        for _ in 0..5 {
            let before = self.service("web");
            self.judge();
            last = self.evidence();
            if last.contains(words) {
                return (before, last);
            }
        }
        panic!("never had {words:?}: {last}\n{}", self.story());
    }

    fn evidence(&self) -> String {
        self.ctl(&["why", "--evidence", "web"]).succeeded().out
    }

    /// The events of the last restart of `web`.
    fn chain(&self) -> Vec<Value> {
        let chain: Value = serde_json::from_str(&self.ctl(&["why", "web", "--json"]).out).expect("JSON");
        chain["events"].as_array().cloned().unwrap_or_default()
    }
}

#[test]
fn a_stopped_service_is_told_in_the_chain_of_its_restart() {
    let port = free_port();
    let system = System::new(&format!(
        r#"
        [services.web]
        command = ["{{bin}}/deploy", "demo-service", "--name", "web", "--port", "{port}"]
        health = {{ url = "http://127.0.0.1:{port}/health", interval = "200ms", timeout = "150ms" }}
        "#
    ))
    .up();
    let missing = system.ctl(&["why", "--evidence", "web"]);
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("no evidence is kept of web"), "{}", missing.err);

    // On a machine that is busy the evidence may come after the 300 ms, and then the run is ended without.
    let (before, chain) = (0..5)
        .find_map(|_| {
            let before = system.service("web");
            system.ctl(&["signal", "STOP", "web"]).succeeded();
            system.until_restarted(&before);
            let chain = system.chain();
            chain.iter().any(|event| event["kind"] == "evidence").then_some((before, chain))
        })
        .unwrap_or_else(|| panic!("never any evidence: {}", system.story()));
    let run = before.incarnation();
    let at = |kind: &str| chain.iter().position(|event| event["kind"] == kind);
    let (judged, seen, told) = (at("decision"), at("evidence"), at("signal"));
    assert!(judged < seen && seen < told && told < at("exit"), "{chain:#?}");
    let event = |at: Option<usize>| &chain[at.expect("it is there")];
    assert_eq!(event(seen)["cause"], event(judged)["seq"], "{chain:#?}");
    assert_eq!(event(told)["cause"], event(seen)["seq"], "{chain:#?}");
    let line = text(&event(seen)["message"]);
    assert!(line.contains(" stopped by SIGSTOP"), "{line}");
    assert_eq!(event(seen)["incarnation"], run);

    // One line in plain `why`, the rest where it is asked for.
    let plain = system.ctl(&["why", "web"]).out;
    assert!(plain.contains(&line) && !plain.contains("thread "), "{plain}");
    let all = system.evidence();
    assert!(all.starts_with(&format!("web (incarnation {run}): {line}\n")), "{all}");
    assert!(all.contains(&format!("pid {} (deploy)", before.pid())), "{all}");
    assert!(all.contains(&format!("listens on 127.0.0.1:{port}: ")), "{all}");
    assert!(all.contains(" descriptors\n"), "{all}");
    let file = system.path(&format!(".sereno/evidence/web.{run}.txt"));
    let mode = fs::metadata(&file).expect("kept").permissions().mode();
    assert_eq!((mode & 0o777, fs::read_to_string(&file).expect("ours")), (0o600, all));
}

#[test]
fn a_command_tells_what_it_sees_with_the_rights_of_the_service() {
    let tool = r#"["sh", "-c", "echo dump of $0; grep -i nonewprivs /proc/self/status; echo trouble >&2", "${PID}"]"#;
    let more = format!("no_new_privileges = true\nstop.evidence = {{ command = {tool} }}");
    let system = sick_on_demand(r#"["sleep", "1000"]"#, &more);
    let (before, all) = system.judge_until("  dump of ");
    assert!(all.contains(&format!("  dump of {}\n", before.pid())), "{all}");
    assert!(all.contains("NoNewPrivs: 1\n"), "as the service has it: {all}");
    assert!(all.contains("  trouble\n"), "{all}");
    if let Some(seen) = system.chain().into_iter().find(|event| event["kind"] == "evidence") {
        assert!(text(&seen["evidence"]).contains("dump of "), "{seen}");
        assert!(text(&seen["message"]).starts_with("main thread waits in sleep"), "{seen}");
    }
}

#[test]
fn a_command_that_hangs_or_is_missing_costs_its_time_and_no_more() {
    let more = r#"stop.evidence = { command = ["sh", "-c", "echo $$$$ > {here}/tool; sleep 1000"], timeout = "700ms" }"#;
    let system = sick_on_demand(r#"["sleep", "1000"]"#, more);
    let began = Instant::now();
    let (_, all) = system.judge_until(" (ended after 7");
    assert!(began.elapsed() < Duration::from_secs(60), "{}", system.story());
    assert!(all.contains("(no output)"), "{all}");
    let tool: u32 = fs::read_to_string(system.path("tool")).expect("it ran").trim().parse().expect("a pid");
    eventually("the tool is gone", || !lives(tool));

    // One that is gone by then.
    fs::remove_file(system.path("tool")).expect("it was there");
    std::os::unix::fs::symlink("/bin/true", system.path("tool")).expect("made");
    system.write(
        &fs::read_to_string(system.path("sereno.toml"))
            .expect("ours")
            .replace("[\"sh\", \"-c\", \"echo $$$$ > ", "[\"")
            .replace("/tool; sleep 1000\"]", "/tool\"]"),
    );
    system.ctl(&["apply"]).succeeded();
    fs::remove_file(system.path("tool")).expect("it was there");
    system.judge_until("/tool:\n  could not be started: ");
}

#[test]
fn a_service_tells_itself_what_it_does_when_it_is_asked() {
    let script =
        r#"["sh", "-c", "trap 'echo DUMP; echo more >&2' QUIT; echo ready; while :; do sleep 0.1; done"]"#;
    let more = r#"stop.evidence = { signal = "SIGQUIT", timeout = "20s" }"#;
    let system = sick_on_demand(script, more);
    let began = Instant::now();
    let (_, all) = system.judge_until("after SIGQUIT, stdout:\n  DUMP\n");
    assert!(all.contains("after SIGQUIT, stderr:\n  more\n"), "{all}");
    assert!(all.contains("end of stdout:\n  ready\n"), "{all}");
    assert!(began.elapsed() < Duration::from_secs(20), "it had told everything before its time was over");

    // One that ends of it is not waited for, and what it wrote is there.
    let script = r#"["sh", "-c", "trap 'echo LAST; exit 3' QUIT; while :; do sleep 0.1; done"]"#;
    let system = sick_on_demand(script, more);
    let mut tries = 0;
    eventually("its file is whole", || {
        if tries % 10 == 0 {
            system.judge_until("after SIGQUIT");
        }
        tries += 1;
        system.evidence().contains("after SIGQUIT, stdout:\n  LAST\n")
    });
    let chain = system.chain();
    assert!(chain.iter().any(|event| event["kind"] == "evidence"), "{chain:#?}");
    assert!(chain.iter().any(|event| text(&event["message"]).starts_with("exit 3")), "{chain:#?}");
}

#[test]
fn descriptors_that_are_used_up_are_said() {
    let Some(perl) = wants("perl", None) else { return };
    let script = "my @f; while (open(my $f, '<', '/dev/null')) { push @f, $f } sleep 1000";
    let command = format!(r#"["{}", "-e", "{script}"]"#, perl.display());
    let system = sick_on_demand(&command, "limits.nofile = 64");
    system.judge_until("64 of 64 descriptors open");
}

/// A service whose evidence takes this long, and is being taken.
fn examined(timeout: &str) -> System {
    let more = format!(r#"stop.evidence = {{ command = "sleep 1000", timeout = "{timeout}" }}"#);
    let system = sick_on_demand(r#"["sleep", "1000"]"#, &more);
    fs::write(system.path("sick"), "").expect("written");
    system.until("web", "examined", |web| web.reason().starts_with("evidence is taken"));
    fs::remove_file(system.path("sick")).expect("it was there");
    eventually("it was looked at", || system.path(".sereno/evidence/web.1.txt").is_file());
    system
}

#[test]
fn a_person_does_not_wait_for_evidence() {
    for verb in ["stop", "restart"] {
        let system = examined("10m");
        let began = Instant::now();
        system.ctl(&[verb, "web"]).succeeded();
        assert!(began.elapsed() < Duration::from_secs(60), "{verb}: {}", system.story());
        let all = system.evidence();
        assert!(all.contains("main thread waits in sleep"), "what was seen until then is kept: {all}");
        let events = system.ctl(&["events"]).out;
        assert!(events.contains("main thread waits in sleep"), "{events}");
    }
}

#[test]
fn a_supervisor_that_dies_or_is_upgraded_meanwhile_ends_the_run() {
    for way in ["kill", "upgrade"] {
        let system = examined("5s");
        let before = system.service("web");
        if way == "kill" {
            let pid = system.status()["supervisor"]["pid"].as_u64().expect("a pid");
            crate::harness::kill(pid.try_into().expect("a pid"), "KILL");
            system.ctl(&["up", "-d"]).succeeded();
        } else {
            system.ctl(&["upgrade"]).succeeded();
        }
        system.until_restarted(&before);
        assert!(!lives(before.pid()), "{way}: {}", system.story());
    }
}
