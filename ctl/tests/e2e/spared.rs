//! When memory runs out the kernel takes a service before the supervisor, which would start it again.

use std::fs;
use std::process::{Command, Stdio};

use crate::harness::System;
use crate::other_users::is_root;

fn score(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("it lives").trim().to_owned()
}

#[test]
fn the_supervisor_is_spared_and_nothing_that_it_starts_is() {
    if !is_root() {
        return;
    }
    let own = score(std::process::id());
    // In many containers root may not.
    let lower = "echo -900 > /proc/self/oom_score_adj";
    let may =
        Command::new("sh").args(["-c", lower]).stderr(Stdio::null()).status().expect("sh runs").success();
    let spared = if may { "-900" } else { &own };
    let system = System::new("[services.web]\ncommand = \"sleep 1000\"\n[services.guest]\ncommand = \"sleep 1000\"\nuser = \"nobody\"\ncwd = \"/\"\n").up();
    let supervisor = system.supervisor();
    let others = || {
        let services = ["web", "guest"].map(|name| system.service(name).pid());
        let monitors = system.daemons().into_iter().filter(|pid| *pid != system.supervisor());
        services.into_iter().chain(monitors).collect::<Vec<u32>>()
    };
    assert_eq!(score(supervisor), spared);
    for pid in others() {
        assert_eq!(score(pid), own);
    }
    system.ctl(&["upgrade"]).succeeded();
    system.ctl(&["restart", "web"]).succeeded();
    assert_eq!(score(system.supervisor()), spared);
    assert_eq!(score(system.until_state("web", "running").pid()), own, "0 where it was not set");
    system.down();
}
