//! A monitor that dies is back, attached and counting; no service is touched by it.

use crate::harness::{Page, System, kill, text};

fn monitor(system: &System, name: &str) -> serde_json::Value {
    let status = system.status();
    let monitors = status["monitors"].as_array().cloned().unwrap_or_default();
    monitors.into_iter().find(|monitor| monitor["name"] == name).unwrap_or_default()
}

/// A service whose health the story decides, checked every 200 ms.
fn watched() -> (Page, System) {
    let page = Page::serve();
    let system = System::new(&format!(
        r#"
        [services.web]
        command = "sleep 1000"
        health = {{ url = "http://127.0.0.1:{}/", interval = "200ms", timeout = "100ms", failures = 2 }}
        "#,
        page.port
    ))
    .up();
    (page, system)
}

#[test]
fn a_killed_monitor_is_back_attached_and_counting() {
    let (page, system) = watched();
    let web = system.service("web");
    for name in ["health-monitor", "port-monitor"] {
        let before = monitor(&system, name);
        assert_eq!((text(&before["state"]).as_str(), &before["attached"]), ("up", &true.into()), "{before}");
        let pid = u32::try_from(before["pid"].as_u64().expect("a pid")).expect("a pid");
        kill(pid, "KILL");
        crate::harness::eventually("the monitor back and attached", || {
            let now = monitor(&system, name);
            now["attached"] == true && now["state"] == "up" && now["pid"].as_u64() != Some(u64::from(pid))
        });
    }
    assert_eq!(system.service("web").pid(), web.pid(), "no service is touched");

    page.answer("503 Sick\r\n\r\n{\"status\":\"sick\"}");
    system.until("web", "restarted by the new monitor", |now| now.incarnation() > web.incarnation());
    page.answer("200 OK\r\n\r\n");
    system.until_state("web", "running");
}

#[test]
fn a_frozen_monitor_stops_nobody_and_sees_again() {
    let (_page, system) = watched();
    let web = system.service("web");
    let pid =
        u32::try_from(monitor(&system, "health-monitor")["pid"].as_u64().expect("a pid")).expect("a pid");
    kill(pid, "STOP");
    let status = system.status();
    let row = status["monitors"]
        .as_array()
        .expect("monitors")
        .iter()
        .find(|m| m["name"] == "health-monitor")
        .cloned();
    assert_eq!(row.expect("a row")["state"], "unreachable");
    assert_eq!(system.ctl(&["restart", "web", "--timeout", "1s"]).code, 1, "nobody can say that it is ready");
    kill(pid, "CONT");
    system.until_restarted(&web);
    assert_eq!(system.service("web").number("restarts"), 1);
}

#[test]
fn plan_and_apply_say_that_a_monitor_is_swapped() {
    const FILE: &str = "[services.web]\ncommand = \"sleep 600\"\n";
    let system = System::new(FILE).up();
    assert!(!system.ctl(&["plan"]).out.contains("monitor"), "nothing changes for them");
    system.write(&format!("[monitors.port-monitor]\nprogram = \"sleep\"\nargs = [\"601\"]\n{FILE}"));
    for verb in ["plan", "apply"] {
        let said = system.ctl(&[verb]).succeeded().out;
        let line = said.lines().find(|line| line.starts_with("port-monitor")).unwrap_or_default();
        assert!(line.ends_with("restart"), "{verb}: {said}");
        assert!(said.contains("program: built in -> sleep"), "{verb}: {said}");
    }
    system.write(&format!("[monitors.port-monitor]\nmanaged = false\n{FILE}"));
    let said = system.ctl(&["plan"]).succeeded().out;
    assert!(said.contains("port-monitor  stop") && said.contains("managed: true -> false"), "{said}");
    system.down();
}
