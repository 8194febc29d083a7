//! A monitor that means harm: `cargo deploy attack` beside a healthy service, whose monitors and person notice nothing.

use std::process::{Command, Output};

use crate::harness::{Page, System, binaries, free_port, text};

/// A service with checks of our own monitors and two of a kind that the attacker serves, over TCP with its token.
fn attacked(page: &Page) -> (System, u16) {
    let port = free_port();
    let system = System::new(&format!(
        r#"
        [supervisor]
        listen = "http://127.0.0.1:{port}"
        [monitors.evil]
        managed = false
        [services.web]
        command = "sleep 1000"
        ready = "started"
        health = {{ url = "http://127.0.0.1:{}/", interval = "300ms", timeout = "250ms" }}
        checks.own = {{ kind = "evil", interval = "1s", timeout = "900ms", start_period = "1ms" }}
        checks.told = {{ kind = "evil", on_failure = "report", start_period = "1ms" }}
        ready_timeout = "1s"
        [services.other]
        command = "sleep 1000"
        "#,
        page.port
    ));
    let token = ["token", "new", "evil", "--role", "monitor", "-o", "evil.token"];
    system.ctl(&token).succeeded();
    (system.up_at_once(), port)
}

fn attack(system: &System, port: u16, args: &[&str]) -> Output {
    let mut command = Command::new(binaries().join("trials"));
    command.args([
        "attack",
        "--service",
        "web",
        "--victim",
        "health",
        "--supervisor",
        &format!("http://127.0.0.1:{port}"),
    ]);
    command.arg("--token-file").arg(system.path("evil.token")).args(args);
    command.output().expect("deploy runs")
}

#[test]
fn a_monitor_that_means_harm_restarts_nothing_and_is_named() {
    let page = Page::serve();
    let (system, port) = attacked(&page);
    let before = system.until("web", "its page is seen", |web| web.check("health")["state"] == "passing");
    let output = attack(&system, port, &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let after = system.service("web");
    assert_eq!((after.pid(), after.number("restarts")), (before.pid(), 0), "{said}");
    assert_eq!(text(&after.check("health")["monitor"]), "health-monitor");
    assert_eq!(after.check("health")["state"], "passing");

    // It has gone: what it said last is not what is.
    system.until("web", "nobody knows its own check", |web| {
        let own = web.check("own");
        own["state"] == "unknown" && text(&own["detail"]).starts_with("unknown, ")
    });

    // What a person asks for is done and told as ever.
    system.ctl(&["restart", "web"]).succeeded();
    let why = system.why("web").join("\n");
    assert!(why.contains("restart by uid"), "{why}");
    let events = system.ctl(&["events", "-n", "5000"]).out;
    for told in [
        "refused token evil (127.0.0.1): monitor: it is not health-monitor: this supervisor runs it",
        "web/health is of the kind \"http\", which evil does not serve",
        "taken over by a newer process (token evil (127.0.0.1))",
    ] {
        assert!(events.contains(told), "{told}: {events}");
    }
    assert!(events.lines().count() < 600, "a flood is folded: {}", events.lines().count());
    system.down();
}
