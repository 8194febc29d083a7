//! Sick, hung, closed, frozen, foreign: one restart each, and the reason in words.

use std::time::Duration;

use crate::harness::{Page, System, free_port, kill};

/// The demo's service, which breaks when told to, checked every 200 ms.
fn demo(port: u16) -> System {
    System::new(&format!(
        r#"
        [services.web]
        command = ["{{bin}}/deploy", "demo-service", "--name", "web", "--port", "{port}"]
        port = {{ port = {port}, interval = "200ms", timeout = "100ms", failures = 2 }}
        health = {{ url = "http://127.0.0.1:{port}/health", interval = "200ms", timeout = "150ms", failures = 3 }}
        "#
    ))
    .up()
}

pub(crate) fn get(port: u16, path: &str) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
    let _ = stream.read(&mut [0; 1024]);
}

/// Breaks it, and holds that it heals by exactly one restart, for this reason.
#[track_caller]
fn heals(fault: &str, reason: &str) {
    let port = free_port();
    let system = demo(port);
    let before = system.service("web");
    assert_eq!(before.check("port")["detail"], "own", "{}", before.0);
    get(port, &format!("/break/{fault}"));
    let after = system.until_restarted(&before);
    assert_eq!(after.number("restarts"), before.number("restarts") + 1, "{}", system.story());
    let why = system.why("web");
    assert!(why.iter().any(|line| line.contains(reason)), "no {reason:?} in {why:#?}");
    assert!(why.last().is_some_and(|line| line.contains("ready after")), "{why:#?}");
}

#[test]
fn an_exit() {
    heals("exit", "exit 3 after");
}

#[test]
fn an_abort() {
    heals("abort", "SIGABRT after");
}

#[test]
fn a_sick_answer() {
    heals("sick", "health-monitor: health failed 3 of 3: 503");
}

#[test]
fn a_hang() {
    heals("hang", "health-monitor: health failed 3 of 3:");
}

#[test]
fn a_closed_port() {
    heals("close", "restart accepted (incarnation 1), budget 1 of 10 in 1h");
}

#[test]
fn a_freeze() {
    heals("freeze", "restart accepted (incarnation 1), budget 1 of 10 in 1h");
}

#[test]
fn why_tells_the_chain_in_the_words_of_the_contract() {
    let port = free_port();
    let system = demo(port);
    let before = system.service("web");
    get(port, "/break/sick");
    system.until_restarted(&before);
    let why = system.why("web");
    let expected = [
        "health-monitor: health failed 3 of 3: 503",
        "supervisor: restart accepted (incarnation 1), budget 1 of 10 in 1h",
        "supervisor: SIGTERM to 1 process",
        "supervisor: ",
        "supervisor: start pid ",
        "supervisor: ready after ",
    ];
    assert_eq!(why.len(), expected.len(), "{why:#?}");
    for (line, begin) in why.iter().zip(expected) {
        assert!(line.starts_with(begin), "{line:?} does not begin with {begin:?}");
    }
    assert!(why[5].contains("(port own, health 200)"), "{why:#?}");
}

#[test]
fn one_failed_check_of_three_is_shown_and_is_no_failing_check() {
    let page = Page::serve();
    let system = System::new(&format!(
        r#"
        [services.web]
        command = "sleep 1000"
        health = {{ url = "http://127.0.0.1:{}/", interval = "200ms", timeout = "150ms", retry_interval = "10m" }}
        "#,
        page.port
    ))
    .up();
    page.answer("503 No\r\n\r\n");
    let seen = system.until("web", "checked", |web| web.check("health")["failures"] == 1);
    let health = seen.check("health");
    assert_eq!((&health["state"], &health["threshold"]), (&"passing".into(), &3.into()), "{health}");
    let status = system.ctl(&["status"]).succeeded().out;
    assert!(status.contains("health 1 of 3 failed: 503"), "{status}");
    let sheet = system.ctl(&["describe", "web"]).succeeded().out;
    assert!(sheet.contains("  health        failing, 1 of 3: 503\n"), "{sheet}");
}

#[test]
fn report_only_is_shown_and_not_acted_on() {
    let page = Page::serve();
    let system = System::new(&format!(
        r#"
        [services.web]
        command = "sleep 1000"
        health = {{ url = "http://127.0.0.1:{}/", interval = "100ms", timeout = "50ms", on_failure = "report" }}
        "#,
        page.port
    ))
    .up();
    let before = system.service("web");
    page.answer("500 No\r\n\r\n");
    system.until("web", "failing", |web| web.check("health")["state"] == "failing");
    assert_eq!(system.ctl(&["status"]).code, 1);
    page.answer("200 OK\r\n\r\n");
    let after = system.until("web", "well", |web| web.check("health")["state"] == "passing");
    assert_eq!(after.pid(), before.pid());
}

#[test]
fn a_foreign_port_is_named_and_neither_killed_nor_restarted_for() {
    let page = Page::serve();
    let system = System::new(&format!(
        r#"
        [services.web]
        command = "sleep 1000"
        port = {{ port = {}, interval = "3s", timeout = "2s", failures = 1 }}
        ready_timeout = "2s"
        "#,
        page.port
    ))
    .up_at_once();
    let foreign = format!("foreign pid {}", std::process::id());
    let seen = system.until("web", "foreign", |web| {
        web.check("port")["detail"].as_str().is_some_and(|detail| detail.starts_with(&foreign))
    });
    assert_eq!(seen.state(), "starting");
    // Longer than ready_timeout: a foreign port ends no run.
    let later = system.until("web", "3 s old", |web| web.0["uptime_seconds"].as_f64().unwrap_or(0.0) > 3.0);
    assert_eq!((later.pid(), later.number("restarts")), (seen.pid(), 0), "{}", system.story());
}

#[test]
fn not_ready_in_time_with_evidence_is_a_failed_run() {
    let port = free_port();
    let system = System::new(&format!(
        r#"
        [services.web]
        command = "sleep 1000"
        port = {{ port = {port}, interval = "200ms", timeout = "100ms" }}
        ready_timeout = "1s"
        restart = {{ initial = "10m", max_wait = "10m" }}
        "#
    ))
    .up_at_once();
    let waits = system.until_state("web", "backoff");
    assert!(waits.number("restarts") >= 1);
    let why = system.why("web");
    assert!(why.iter().any(|line| line.contains("not ready within 1s: no port (failing)")), "{why:#?}");
}

#[test]
fn a_persons_pause_is_respected() {
    let page = Page::serve();
    let system = System::new(&format!(
        r#"
        [services.web]
        command = "sleep 1000"
        health = {{ url = "http://127.0.0.1:{}/", interval = "100ms", timeout = "50ms", failures = 2 }}
        "#,
        page.port
    ))
    .up();
    let before = system.service("web");
    system.ctl(&["pause", "web"]).succeeded();
    page.answer("500 No\r\n\r\n");
    let paused = system.until("web", "failing", |web| web.check("health")["state"] == "failing");
    assert_eq!(paused.0["paused"], true);
    assert_eq!(system.ctl(&["status"]).code, 1, "failing is not well, paused or not");
    assert_eq!(system.service("web").pid(), before.pid());
    kill(before.pid(), "KILL");
    let after = system.until("web", "another run", |web| web.incarnation() > before.incarnation());
    assert_eq!(after.0["paused"], true, "a run that dies is still restarted");
    page.answer("200 OK\r\n\r\n");
    system.ctl(&["resume", "web"]).succeeded();
    system.until_state("web", "running");
}
