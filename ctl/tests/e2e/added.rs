//! Services that no file names: `run`, `remove`, and what they outlive.

use crate::harness::{System, eventually, kill};

#[test]
fn a_service_without_a_file_is_kept_over_everything_until_it_is_removed() {
    let system = System::new("[services.web]\ncommand = \"sleep 1000\"\n").up();
    let mut run = system.command(&["run", "--name", "extra", "-e", "A=$b", "--"]);
    run.args(["sh", "-c", "echo \"$A ${FROM_CALLER}\"; exec sleep 1000"]).env("FROM_CALLER", "caller");
    let run = run.output().expect("ctl runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let extra = system.until_state("extra", "running");
    eventually("it has its arguments and environment", || system.log("extra.out.log") == b"$b caller\n");

    // The file is applied again, also after it has changed.
    system.write("[services.web]\ncommand = \"sleep 2000\"\n");
    system.ctl(&["apply"]).succeeded();
    assert_eq!(system.until_state("extra", "running").pid(), extra.pid());

    // The supervisor dies, and a monitor brings it back.
    let supervisor = system.supervisor();
    kill(supervisor, "KILL");
    eventually("another supervisor", || {
        system.ctl(&["status"]).code != 3 && system.supervisor() != supervisor
    });
    assert_eq!(system.until_state("extra", "running").pid(), extra.pid());

    // Everything goes down and comes up.
    system.ctl(&["down"]).succeeded();
    let up = system.ctl(&["up", "-d", "--wait"]).succeeded();
    assert!(up.out.contains("extra"), "{}", up.out);
    eventually("it has its caller's environment still", || {
        system.log("extra.out.log") == b"$b caller\n$b caller\n"
    });

    system.ctl(&["remove", "extra"]).succeeded();
    eventually("it is forgotten", || !system.ctl(&["status", "--json"]).out.contains("extra"));
    system.ctl(&["down"]).succeeded();
    let up = system.ctl(&["up", "-d", "--wait"]).succeeded();
    assert!(!up.out.contains("extra"), "{}", up.out);
}

#[test]
fn a_name_that_is_taken_and_a_program_that_is_not_there_are_refused() {
    let system = System::new("[services.web]\ncommand = \"sleep 1000\"\n").up();
    let refused = |args: &[&str], why: &str| {
        let answer = system.ctl(args);
        assert!(answer.code != 0 && answer.err.contains(why), "{args:?}: {} {}", answer.out, answer.err);
    };
    refused(&["run", "-n", "web", "--", "sleep", "1"], "web is there already");
    refused(&["run", "-n", "health-monitor", "--", "sleep", "1"], "health-monitor is");
    refused(&["run", "-n", "other", "--", "no-such-program"], "no-such-program");
    refused(&["remove", "web"], "web stands in the file");
    refused(&["remove", "nobody"], "no service has the name nobody");
    system.ctl(&["run", "-n", "extra", "--", "sleep", "1000"]).succeeded();
    system.write("[services.web]\ncommand = \"sleep 1000\"\n[services.extra]\ncommand = \"sleep 1000\"\n");
    refused(&["apply"], "extra was added by \"ctl run\"");
    system.ctl(&["remove", "extra"]).succeeded();
    system.ctl(&["apply"]).succeeded();
    system.until_state("extra", "running");
}
