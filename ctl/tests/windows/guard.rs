//! Nobody helps: a supervisor that is killed is back by itself.

use serde_json::Value;

use crate::harness::{Service, System, kill, poll};

fn pid_of(status: &Value, monitor: &str) -> u32 {
    let monitors = status["monitors"].as_array().cloned().unwrap_or_default();
    let monitor = monitors.into_iter().find(|one| one["name"] == monitor).unwrap_or_default();
    monitor["pid"].as_u64().and_then(|pid| pid.try_into().ok()).unwrap_or(0)
}

fn supervisor(status: &Value) -> u32 {
    status["supervisor"]["pid"].as_u64().and_then(|pid| pid.try_into().ok()).unwrap_or(0)
}

fn runs(status: &Value) -> Vec<(u32, u64)> {
    ["a", "b"]
        .map(|name| Service::of(status, name))
        .iter()
        .map(|service| (service.pid(), service.incarnation()))
        .collect()
}

#[test]
fn a_killed_supervisor_is_started_again_and_everybody_keeps_his_pid() {
    let system = System::new("[services.a]\n{actor parent}\n[services.b]\n{actor grandchild}\n").up();
    let mut before = system.until_attached();
    let (a_and_b, monitors) =
        (runs(&before), ["health-monitor", "port-monitor"].map(|name| pid_of(&before, name)));
    for _ in 0..2 {
        let dead = supervisor(&before);
        kill(dead);
        let back = poll(|| {
            let now = system.status();
            now["supervisor"]["state"] == "up" && supervisor(&now) != dead
        });
        assert!(back, "no supervisor after {dead}\n{}", system.story());
        let now = system.until_attached();
        assert_eq!(runs(&now), a_and_b, "nobody is touched\n{}", system.story());
        assert_eq!(["health-monitor", "port-monitor"].map(|name| pid_of(&now, name)), monitors);
        before = now;
    }

    // A supervisor that a monitor has started does not end with that monitor.
    for monitor in ["health-monitor", "port-monitor"] {
        let now = system.until_attached();
        kill(pid_of(&now, monitor));
        let back = poll(|| {
            let next = system.status();
            ![0, pid_of(&now, monitor)].contains(&pid_of(&next, monitor))
        });
        assert!(back, "no {monitor}\n{}", system.story());
        let now = system.until_attached();
        assert_eq!((supervisor(&now), runs(&now)), (supervisor(&before), a_and_b.clone()));
    }

    // Another program in its place is another process here, and nobody notices either.
    let said = system.ctl(&["upgrade"]).succeeded().out;
    let now = system.until_attached();
    assert_ne!(supervisor(&now), supervisor(&before));
    assert!(
        said.contains(&format!("as pid {} in place of pid {}", supervisor(&now), supervisor(&before))),
        "{said}"
    );
    assert_eq!(runs(&now), a_and_b, "nobody is touched\n{}", system.story());

    // Adopted, and still ours: one that ends is started again, and what it had started goes first.
    let a = system.service("a");
    kill(a.pid());
    system.until_restarted(&a);
}
