//! `cargo deploy conformance`: our monitors keep the rules of the wire, and one that breaks a rule is found by that rule.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::binaries;
use crate::other_language::{disk_monitor, python};

const OPTIONS: [&str; 4] = ["--option", "free_percent=0", "--failing", "free_percent=101"];

fn play(args: &[&str], program: &[&Path]) -> Output {
    let mut command = Command::new(binaries().join("deploy"));
    command.arg("conformance").args(args).arg("--").args(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SERENO_")) {
        command.env_remove(name);
    }
    command.output().expect("deploy runs")
}

/// The names of the rules that were found broken, and everything that was said.
fn broken(output: &Output) -> (Vec<String>, String) {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = said.lines().filter_map(|line| line.strip_prefix("WRONG      ")?.split(':').next());
    let names: Vec<String> = names.map(Into::into).collect();
    assert_eq!(output.status.code(), Some(i32::from(!names.is_empty())), "{said}");
    (names, said + &String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn keeps_the_rules(args: &[&str], program: &[&Path]) {
    let (names, said) = broken(&play(args, program));
    assert!(said.contains("rules kept, "), "{said}");
    if names.is_empty() {
        return;
    }
    // The rules hold times, and this machine may have been away: who breaks one twice breaks it.
    let only = names.iter().flat_map(|name| ["--only", name]);
    let args: Vec<&str> = args.iter().copied().chain(only).collect();
    let (again, said_again) = broken(&play(&args, program));
    assert!(again.is_empty(), "{said}\n{said_again}");
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
const BREAKS: [(&str, &str, &str); 13] = [
    ("attach", "session=f\"{random.getrandbits(64):016x}\"", "session=\"\""),
    ("quiet", "self.monitor.tell(turned or self.state != before)", "self.monitor.tell()"),
    ("starting", "starting and now() - at >= 2", "False"),
    ("counts", "sum(self.window) >= self.target.failures", "sum(self.window) >= 1"),
    ("asks", "answer.decision in SETTLED", "False"),
    ("held", "now() >= check.not_before", "True"),
    ("report-only", "not check.target.report_only and", ""),
    ("grace", "if self.ever or begun >=", "if True or begun >="),
    ("check-now", "check.waiting.append(asyncio.Future())", "pass"),
    ("watch", "await asyncio.wait([turn])\n", "await asyncio.sleep(3600)\n"),
    ("lost", "wait = min(wait * 2, 5)", "wait = 0.01"),
    ("newer", "answer.decision in SETTLED", "True"),
    ("end", "add_signal_handler(each, stop.set)", "is_running()"),
];

#[test]
fn who_breaks_a_rule_is_found_by_that_rule() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let example = disk_monitor();
    let example = example.parent().expect("a folder");
    let good = fs::read_to_string(example.join("sereno_monitor.py")).expect("there");
    let contract = fs::canonicalize(example.join("../../../proto/proto")).expect("there");
    std::thread::scope(|scope| {
        for (rule, from, to) in BREAKS {
            let (good, python, contract, folder) = (&good, &python, &contract, folder.path());
            scope.spawn(move || {
                assert!(good.contains(from), "{rule}: {from:?} is not in it any more");
                let own = folder.join(rule);
                fs::create_dir(&own).expect("made");
                fs::write(own.join("sereno_monitor.py"), good.replace(from, to)).expect("written");
                fs::copy(example.join("disk_monitor.py"), own.join("disk_monitor.py")).expect("copied");
                std::os::unix::fs::symlink(contract, own.join("proto")).expect("linked");
                let args = [&OPTIONS[..], &["--only", rule]].concat();
                let (names, said) = broken(&play(&args, &[python, &own.join("disk_monitor.py")]));
                assert_eq!(names, [rule], "{said}");
            });
        }
    });
}
