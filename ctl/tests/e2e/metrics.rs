//! `[supervisor] metrics`: a real scrape, while a service crashes and a check fails.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::harness::{Page, System, eventually, free_port, kill};

fn ask(port: u16, head: &str) -> String {
    let mut text = String::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        let _ = stream.write_all(format!("{head} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").as_bytes());
        let _ = stream.read_to_string(&mut text);
    }
    text
}

/// Every sample by its name and labels; holds what promtool would.
fn scrape(port: u16) -> BTreeMap<String, f64> {
    let answer = ask(port, "GET /metrics");
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return BTreeMap::new() };
    assert!(head.contains("text/plain; version=0.0.4; charset=utf-8"), "{head}");
    let (mut samples, mut families, mut current) = (BTreeMap::new(), BTreeSet::new(), String::new());
    let mut helped = "";
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            helped = help.split(' ').next().unwrap_or_default();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a kind");
            assert_eq!(name, helped, "HELP comes first");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            assert!(families.insert(name.to_owned()), "{name} stands twice");
            current = name.into();
        } else {
            let (what, value) = line.rsplit_once(' ').expect("a value");
            let name = what.split('{').next().unwrap_or_default();
            let of_histogram =
                ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            assert!(name == current || of_histogram == Some(&*current), "{name} stands under {current}");
            let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(samples.insert(what.to_owned(), value).is_none(), "{what} stands twice");
        }
    }
    samples
}

#[test]
fn what_prometheus_reads_changes_with_what_happens() {
    let (page, port) = (Page::serve(), free_port());
    let system = System::new(&format!(
        r#"
        [supervisor]
        metrics = "127.0.0.1:{port}"
        [services.web]
        command = "sleep 1000"
        env = {{ SECRET = "hunter2" }}
        instances = 2
        [services.sick]
        command = "sleep 1000"
        health = {{ url = "http://127.0.0.1:{}/", interval = "100ms", failures = 1, on_failure = "report" }}
        "#,
        page.port
    ))
    .up();
    let is = |what: &str, value: f64| scrape(port).get(what).is_some_and(|now| (now - value).abs() < 1e-9);
    let passing = r#"sereno_check_state{service="sick",check="health",kind="http",state="passing"}"#;
    let failing = r#"sereno_check_state{service="sick",check="health",kind="http",state="failing"}"#;
    eventually("it passes", || is(passing, 1.0) && is(failing, 0.0));
    for (what, value) in [
        (r#"sereno_service_up{service="web:0"}"#, 1.0),
        (r#"sereno_service_state{service="web:1",state="running"}"#, 1.0),
        (r#"sereno_restarts_total{service="web:0",cause="exit"}"#, 0.0),
        ("sereno_recovery_seconds_count", 0.0),
        ("sereno_incidents_open", 0.0),
        (r#"sereno_decisions_total{answer="report_only"}"#, 0.0),
        (r#"sereno_processes{service="web:0"}"#, 1.0),
        (r#"sereno_monitor_attached{monitor="health-monitor",kind="http"}"#, 1.0),
        ("sereno_unbound_endpoints", 0.0),
    ] {
        eventually(what, || is(what, value));
    }
    let before = system.service("web:0");
    kill(before.pid(), "KILL");
    system.until_restarted(&before);
    page.answer("503 sick\r\n\r\n");
    let exits = r#"sereno_restarts_total{service="web:0",cause="exit"}"#;
    eventually("a restart is counted", || is(exits, 1.0));
    eventually("and that it is ready again", || {
        is("sereno_recovery_seconds_count", 1.0) && is("sereno_incidents_open", 0.0)
    });
    eventually("how it ended", || is(r#"sereno_last_exit_code{service="web:0"}"#, 137.0));
    eventually("it fails", || is(failing, 1.0) && is(passing, 0.0));
    let all = ask(port, "GET /metrics");
    assert!(!all.contains("hunter2") && all.contains("sereno_memory_bytes"), "{all}");
    assert!(ask(port, "GET /").starts_with("HTTP/1.1 404"));
    assert!(ask(port, "POST /metrics").starts_with("HTTP/1.1 405"));
    let (head, whole) = (ask(port, "HEAD /metrics"), all.split_once("\r\n\r\n").expect("a head").0);
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "no body: {head}");
    let type_of = |head: &str| head.lines().find(|line| line.starts_with("content-type")).map(str::to_owned);
    assert_eq!(type_of(&head), type_of(whole));
    let unready = scrape(port)[r#"sereno_unready_seconds_total{service="web:0"}"#];
    assert!(unready > 0.0, "it was away for a moment");
    system.ctl(&["restart", "web:0"]).succeeded();
    system.ctl(&["upgrade"]).succeeded();
    for (what, value) in [
        (exits, 1.0),
        (r#"sereno_restarts_total{service="web:0",cause="requested"}"#, 1.0),
        ("sereno_recovery_seconds_bucket{le=\"3600\"}", 1.0),
        ("sereno_recovery_seconds_count", 1.0),
    ] {
        eventually("counts go on over an upgrade", || is(what, value));
    }
    assert!(scrape(port)[r#"sereno_unready_seconds_total{service="web:0"}"#] >= unready);
    kill(system.supervisor(), "KILL");
    eventually("a crash ends the times, not the restarts", || {
        is(exits, 1.0) && is("sereno_recovery_seconds_count", 0.0)
    });
}

#[test]
fn an_incident_is_open_from_the_failed_check_until_it_is_ready_again() {
    let (page, port) = (Page::serve(), free_port());
    let _system = System::new(&format!(
        r#"
        [supervisor]
        metrics = "127.0.0.1:{port}"
        [services.web]
        command = "sleep 1000"
        restart = {{ max_wait = "100ms", max = 1000 }}
        health = {{ url = "http://127.0.0.1:{}/", interval = "100ms", failures = 2 }}
        "#,
        page.port
    ))
    .up();
    let value = |what: &str| scrape(port).get(what).copied().unwrap_or(-1.0);
    eventually("it is ready", || value(r#"sereno_service_up{service="web"}"#) > 0.0);
    assert!(value("sereno_incidents_open") == 0.0 && value("sereno_recovery_seconds_count") == 0.0);
    page.answer("503 sick\r\n\r\n");
    eventually("open", || value("sereno_incidents_open") > 0.0);
    for (what, at_least) in [
        (r#"sereno_check_runs_total{service="web",check="health",kind="http",result="failed"}"#, 2.0),
        (r#"sereno_check_runs_total{service="web",check="health",kind="http",result="passed"}"#, 1.0),
        (r#"sereno_restarts_total{service="web",cause="unhealthy"}"#, 1.0),
        (r#"sereno_decisions_total{answer="accepted"}"#, 1.0),
        (r#"sereno_unready_seconds_total{service="web"}"#, 0.01),
    ] {
        eventually(what, || value(what) >= at_least);
    }
    assert!(value("sereno_incidents_open") > 0.0 && value("sereno_recovery_seconds_count") == 0.0);
    page.answer("200 OK\r\n\r\n");
    eventually("closed", || value("sereno_incidents_open") == 0.0);
    assert!(value("sereno_recovery_seconds_count") > 0.0 && value("sereno_recovery_seconds_sum") > 0.1);
}

#[test]
fn an_endpoint_that_can_not_be_bound_is_said_and_one_that_waits_for_an_upgrade_too() {
    let file = "[services.web]\ncommand = \"sleep 1000\"\n";
    let system = System::new(file).up();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound");
    system.write(&format!("[supervisor]\nmetrics = \"{address}\"\n{file}"));
    for verb in ["plan", "apply"] {
        let said = system.ctl(&[verb]).succeeded().out;
        assert!(said.contains("[supervisor] metrics is not as it runs: \"ctl upgrade\""), "{verb}: {said}");
    }
    assert_eq!(system.ctl(&["status"]).code, 0);
    system.ctl(&["upgrade"]).succeeded();
    let line = format!("can not be bound: http://{address}");
    eventually("said", || system.ctl(&["status"]).out.contains(&line));
    assert_eq!(system.ctl(&["status"]).code, 1);
    assert!(system.ctl(&["doctor"]).out.contains("can not be bound"));
    drop(taken);
    eventually("bound in the end", || {
        system.ctl(&["status"]).code == 0 && !scrape(address.port()).is_empty()
    });
    assert!(!system.ctl(&["plan"]).out.contains("upgrade"));
}
