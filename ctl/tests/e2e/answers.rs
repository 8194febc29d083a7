//! What `ctl` answers at the edges: a reader that has enough, a name that means nobody.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::harness::{System, eventually};

const QUIET: &str = "[services.web]\ncommand = [\"sh\", \"-c\", \"echo hello; exec sleep 1000\"]\n[services.db]\ncommand = \"sleep 1000\"\n";

#[test]
fn a_follower_whose_reader_is_gone_ends_though_nothing_happens() {
    let system = System::new(QUIET).up();
    eventually("it has written", || !system.log("web.out.log").is_empty());
    for line in
        [&["events", "-f"][..], &["logs", "-f", "web"], &["logs", "-f", "--grep", "hello"], &["status", "-w"]]
    {
        let mut ctl = system.command(line).stdout(Stdio::piped()).spawn().expect("ctl runs");
        let mut reader = BufReader::new(ctl.stdout.take().expect("a pipe"));
        let mut first = String::new();
        reader.read_line(&mut first).expect("a line");
        assert!(!first.is_empty(), "{line:?}");
        drop(reader);
        let mut code = None;
        eventually(&format!("{line:?} ends"), || {
            code = ctl.try_wait().expect("it is ours");
            code.is_some()
        });
        assert_eq!(code.and_then(|code| code.code()), Some(0), "{line:?}");
    }
}

#[test]
fn whoever_is_meant_twice_is_answered_for_once_and_who_is_nobody_by_name() {
    let system = System::new(QUIET).up();
    let answer = system.ctl(&["stop", "*", "web", "web", "nosuch", "nosuch"]);
    assert_eq!(answer.code, 1, "{}", answer.err);
    let lines: Vec<&str> = answer.out.lines().collect();
    let of = |name: &str| lines.iter().filter(|line| line.starts_with(name)).count();
    assert_eq!((of("web"), of("db"), of("nosuch"), lines.len()), (1, 1, 1, 3), "{}", answer.out);
    assert!(answer.out.contains("nosuch  refused  no service is meant by \"nosuch\""), "{}", answer.out);
    system.until_state("web", "stopped");
}

#[test]
fn a_limit_on_open_files_is_enough_or_is_named() {
    let limited = |system: &System, limit: &str, args: &[&str]| {
        let ctl = system.command(args);
        let mut command = std::process::Command::new("prlimit");
        command.arg(format!("--nofile={limit}:{limit}")).arg(ctl.get_program()).args(ctl.get_args());
        command.current_dir(system.path("")).output().expect("prlimit runs")
    };
    let system = System::new("[services.web]\ncommand = \"sleep 1000\"\n");
    for limit in ["64", "80"] {
        let up = limited(&system, limit, &["up", "-d", "--wait"]);
        assert!(up.status.success(), "{limit}: {}", String::from_utf8_lossy(&up.stderr));
        system.down();
    }
    let many = (0..61).map(|number| format!("[services.s{number}]\ncommand = \"sleep 1000\"\n"));
    system.write(&many.collect::<String>());
    for limit in ["20", "32", "64", "80"] {
        let up = limited(&system, limit, &["up", "-d"]);
        let said = String::from_utf8_lossy(&up.stderr);
        assert_eq!(up.status.code(), Some(1), "{limit}: {said}");
        assert!(said.contains("RLIMIT_NOFILE") && said.contains(limit), "{limit}: {said}");
        assert_eq!(system.processes(), [], "nothing was started with {limit}");
    }
}
