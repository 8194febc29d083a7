//! `cargo deploy conformance`: our monitors keep the rules of the wire, and one that breaks a rule is found by that rule.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{System, binaries, free_port};
use crate::other_language::{disk_monitor, python};

const OPTIONS: [&str; 4] = ["--option", "free_percent=0", "--failing", "free_percent=101"];

fn play(args: &[&str], program: &[&Path]) -> Output {
    let mut command = Command::new(binaries().join("trials"));
    command.arg("conformance").args(args).arg("--").args(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SERENO_")) {
        command.env_remove(name);
    }
    command.output().expect("trials runs")
}

/// The names of the rules that were found broken, and everything that was said.
fn broken(output: &Output) -> (Vec<String>, String) {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = said.lines().filter_map(|line| line.strip_prefix("WRONG      ")?.split(':').next());
    let names: Vec<String> = names.map(Into::into).collect();
    assert_eq!(output.status.code(), Some(i32::from(!names.is_empty())), "{said}");
    (names, said + &String::from_utf8_lossy(&output.stderr))
}

/// What was said of it.
#[track_caller]
fn keeps_the_rules(args: &[&str], program: &[&Path]) -> String {
    let (names, said) = broken(&play(args, program));
    assert!(said.contains("rules kept, "), "{said}");
    if names.is_empty() {
        return said;
    }
    // The rules hold times, and this machine may have been away: who breaks one twice breaks it.
    let only = names.iter().flat_map(|name| ["--only", name]);
    let args: Vec<&str> = args.iter().copied().chain(only).collect();
    let (again, said_again) = broken(&play(&args, program));
    assert!(again.is_empty(), "{said}\n{said_again}");
    said
}

#[test]
fn the_health_monitor_keeps_every_rule() {
    keeps_the_rules(&[], &[&binaries().join("health-monitor")]);
}

#[test]
fn the_port_monitor_keeps_every_rule() {
    keeps_the_rules(&[], &[&binaries().join("port-monitor")]);
}

#[test]
fn the_monitor_in_python_keeps_every_rule() {
    let Some(python) = python() else { return };
    keeps_the_rules(&OPTIONS, &[&python, &disk_monitor()]);
}

/// A rule, and what to change in the monitor in Python so that it breaks just that.
const BREAKS: [(&str, &str, &str); 18] = [
    ("attach", "session=f\"{random.getrandbits(64):016x}\"", "session=\"\""),
    ("first", "            seen.state = pb.CHECK_STATE_PASSING\n", "            pass\n"),
    ("quiet", "self.monitor.tell(before != (seen.state, seen.failures > 0))", "self.monitor.tell()"),
    ("starting", "every = 2 if starting else self.every", "every = self.every"),
    ("counts", "sum(self.window) >= self.target.failures", "sum(self.window) >= 1"),
    ("asks", "answer.decision in SETTLED", "False"),
    ("held", "and now() >= check.not_before", ""),
    ("report-only", "and not check.target.report_only", ""),
    ("grace", "not good and (self.ever or", "not good and (True or"),
    ("nothing-runs", "self.run()) if target.incarnation else None", "self.run())"),
    ("stale", "[gone.task.cancel() for gone in known.values() if gone.task]", OLD_RUNS_GO_ON),
    ("recovers", "self.passes >= self.target.successes", "False"),
    ("check-now", "await asyncio.gather(*(check.look() ", "list((check "),
    ("watch", "await asyncio.wait([turn])\n", "await asyncio.sleep(3600)\n"),
    ("lost", "else min(wait * 2, 5)", "else 0.01"),
    ("newer", "answer.decision in SETTLED", "True"),
    ("sets", "generation=self.generation,", "generation=self.generation + 9,"),
    ("end", "signal.SIGTERM, lambda: asyncio.create_task(server.stop(0))", "signal.SIGUSR1, print"),
];

/// What the last run's look finds is told of the next.
const OLD_RUNS_GO_ON: &str = "\
for gone in known.values():
            for check in self.checks.values():
                gone.seen.incarnation, check.seen = check.target.incarnation, gone.seen";

/// A kind that the play can make well, sick and silent under one incarnation: every rule can be tried with it.
const HTTP_MONITOR: &str = r#"
import asyncio, sereno_monitor, urllib.request

def probe(target):
    with urllib.request.urlopen(target.http.url, timeout=target.timeout.ToTimedelta().total_seconds()) as answer:
        return True, str(answer.status)

asyncio.run(sereno_monitor.serve("http", probe))
"#;

#[test]
fn who_breaks_a_rule_is_found_by_that_rule() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let example = disk_monitor();
    let example = example.parent().expect("a folder");
    let good = fs::read_to_string(example.join("sereno_monitor.py")).expect("there");
    let contract = fs::canonicalize(example.join("../../../proto/proto")).expect("there");
    let monitor = |name: &str, text: &str| {
        let own = folder.path().join(name);
        fs::create_dir(&own).expect("made");
        fs::write(own.join("sereno_monitor.py"), text).expect("written");
        fs::write(own.join("http_monitor.py"), HTTP_MONITOR).expect("written");
        std::os::unix::fs::symlink(&contract, own.join("proto")).expect("linked");
        own.join("http_monitor.py")
    };
    // None of them is found where nothing is broken, and none is passed over.
    let said = keeps_the_rules(&[], &[&python, &monitor("good", &good)]);
    assert!(said.contains("tried 1 serves http") && said.contains(" 0 not tried"), "{said}");
    std::thread::scope(|scope| {
        for (rule, from, to) in BREAKS {
            let (good, monitor, python) = (&good, &monitor, &python);
            scope.spawn(move || {
                assert!(good.contains(from), "{rule}: {from:?} is not in it any more");
                // What is judged of "sets" is what was heard in the others.
                let only =
                    if rule == "sets" { &["--only", "first", "--only", rule][..] } else { &["--only", rule] };
                let (names, said) = broken(&play(only, &[python, &monitor(rule, &good.replace(from, to))]));
                assert_eq!(names, [rule], "{said}");
            });
        }
    });
}

#[test]
fn a_monitor_can_be_tried_over_tls_and_with_a_token() {
    let system = System::new("[services.a]\ncommand = \"sleep 1\"\n");
    system.ctl(&["pki", "init"]).succeeded();
    system.ctl(&["pki", "issue", "mon", "--role", "monitor", "--host", "127.0.0.1"]).succeeded();
    system.ctl(&["pki", "issue", "me", "--role", "operator"]).succeeded();
    fs::write(system.path("me.token"), system.ctl(&["token", "new", "me", "--role", "operator"]).out)
        .expect("written");
    let path = |name: &str| system.path(name).display().to_string();
    let (ca, home) = (path("pki/ca.pem"), path(".sereno"));
    let tls = |who: &str| {
        let name = |end: &str| path(&format!("pki/{who}.{end}"));
        ["--ca".into(), ca.clone(), "--cert".into(), name("pem"), "--key".into(), name("key")]
    };
    let monitor = binaries().join("health-monitor").display().to_string();
    let token = ["--token-file".to_owned(), path("me.token")];
    let own = ["env".to_owned(), format!("SERENO_HOME={home}"), monitor.clone()];
    let rules = ["--only", "attach", "--only", "check-now", "--only", "watch"];
    for (scheme, shown, program) in [
        ("https", tls("me").to_vec(), [vec![monitor.clone()], tls("mon").to_vec()].concat()),
        ("http", token.to_vec(), own.to_vec()),
    ] {
        let endpoint = ["--endpoint".to_owned(), format!("{scheme}://127.0.0.1:{}", free_port())];
        let args: Vec<&str> =
            rules.into_iter().chain(endpoint.iter().chain(&shown).map(String::as_str)).collect();
        let program: Vec<&Path> = program.iter().map(Path::new).collect();
        let (names, said) = broken(&play(&args, &program));
        assert!(names.is_empty() && said.contains("3 rules kept"), "{scheme}: {said}");
    }
}
