//! Never a false restart, never two, always a reason: what monitors ask for is weighed, and `why` says how.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Page, Service, System, eventually, free_port, kill, text};

/// The demo's service, as a table of the file.
fn demo(name: &str, port: u16, more: &str) -> String {
    format!(
        r#"
        [services.{name}]
        command = ["{{bin}}/deploy", "demo-service", "--name", "{name}", "--port", "{port}"]
        {more}
        "#
    )
}

fn health(port: u16) -> String {
    format!(
        r#"health = {{ url = "http://127.0.0.1:{port}/health", interval = "200ms", timeout = "150ms", failures = 3 }}"#
    )
}

fn break_by(port: u16, fault: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
    write!(stream, "GET /break/{fault} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
    let _ = stream.read(&mut [0; 1024]);
}

/// Every event so far: its number, whom it is about, and what it says.
fn events(system: &System) -> Vec<(u64, String, String)> {
    let answer = system.ctl(&["events", "-n", "1000", "--json"]);
    let value: Value = serde_json::from_str(&answer.out).unwrap_or(Value::Null);
    let events = value["events"].as_array().cloned().unwrap_or_default();
    let read = |event: &Value| {
        (event["seq"].as_u64().unwrap_or(0), text(&event["service"]), text(&event["message"]))
    };
    events.iter().map(read).collect()
}

fn count(system: &System, service: &str, words: &str) -> usize {
    events(system).iter().filter(|(_, of, message)| of == service && message.contains(words)).count()
}

/// The number of the first event of a service that says so.
#[track_caller]
fn first(system: &System, service: &str, words: &str) -> u64 {
    let all = events(system);
    let found = all.iter().find(|(_, of, message)| of == service && message.contains(words));
    found.unwrap_or_else(|| panic!("no {words:?} of {service} in {}", system.story())).0
}

/// Holds that `why` tells these things in this order, among others.
#[track_caller]
fn tells(system: &System, service: &str, words: &[&str]) {
    let why = system.why(service);
    let mut lines = why.iter();
    for word in words {
        assert!(lines.any(|line| line.contains(word)), "no {word:?} where it belongs in {why:#?}");
    }
}

#[test]
fn a_slow_boot_under_fast_checks_is_no_fault() {
    let port = free_port();
    let boot = format!(
        r#"
        [services.web]
        shell = "sleep 3; exec {{bin}}/deploy demo-service --name web --port {port}"
        port = {{ port = {port}, interval = "100ms", timeout = "80ms", failures = 3 }}
        health = {{ url = "http://127.0.0.1:{port}/health", interval = "100ms", timeout = "80ms", failures = 3 }}
        "#
    );
    let system = System::new(&boot).up();
    let web = system.service("web");
    assert_eq!((web.incarnation(), web.number("restarts")), (1, 0), "{}", system.story());
    assert_eq!(count(&system, "web", "restart"), 0, "nobody even asked: {}", system.story());
    tells(&system, "web", &["start pid ", "ready after 3."]);
}

/// A page that fails three times, then passes, and so on; how often it was asked.
fn flapping() -> (u16, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let shared = std::sync::Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.read(&mut [0; 4096]);
            let well = shared.fetch_add(1, Ordering::Relaxed).is_multiple_of(4);
            let status = if well { "200 OK" } else { "500 No" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\n\r\n");
        }
    });
    (port, asked)
}

#[test]
fn a_check_that_flaps_below_its_threshold_restarts_nothing() {
    let (port, asked) = flapping();
    let system = System::new(&format!(
        r#"
        [services.web]
        command = "sleep 1000"
        health = {{ url = "http://127.0.0.1:{port}/", interval = "80ms", timeout = "75ms", failures = 6 }}
        "#
    ))
    .up();
    eventually("forty checks", || asked.load(std::sync::atomic::Ordering::Relaxed) >= 40);
    let web = system.service("web");
    assert_eq!((web.state(), web.number("restarts")), ("running".into(), 0), "{}", system.story());
}

#[test]
fn monitors_that_were_asleep_restart_nobody_and_say_that_they_were() {
    let page = Page::serve();
    let port = free_port();
    let system = System::new(&format!(
        r#"
        [services.web]
        command = ["{{bin}}/deploy", "demo-service", "--name", "web", "--port", "{port}"]
        port = {{ port = {port}, interval = "500ms", timeout = "400ms", failures = 3 }}
        health = {{ url = "http://127.0.0.1:{}/", interval = "500ms", timeout = "400ms", failures = 3 }}
        "#,
        page.port
    ))
    .up();
    let before = system.service("web");
    let status = system.status();
    let pids =
        status["monitors"].as_array().expect("monitors").iter().map(|m| m["pid"].as_u64().unwrap_or(0));
    let pids: Vec<u32> = pids.map(|pid| u32::try_from(pid).expect("a pid")).collect();
    for pid in &pids {
        kill(*pid, "STOP");
    }
    let until = Instant::now() + Duration::from_secs(3);
    eventually("three seconds later", || Instant::now() >= until);
    for pid in &pids {
        kill(*pid, "CONT");
    }
    for words in ["blind: was stopped or starved for", "sees again"] {
        eventually(words, || events(&system).iter().filter(|event| event.2.contains(words)).count() >= 2);
    }
    let after = system.service("web");
    assert_eq!((after.pid(), after.number("restarts")), (before.pid(), 0), "{}", system.story());
    assert_eq!(count(&system, "web", "restart"), 0, "nobody even asked: {}", system.story());
    // And they are awake: a real fault is seen.
    page.answer("503 Sick\r\n\r\n");
    system.until("web", "restarted", |web| web.incarnation() > before.incarnation());
    page.answer("200 OK\r\n\r\n");
    system.until_state("web", "running");
}

#[test]
fn six_freezes_that_both_monitors_see_are_six_restarts() {
    let port = free_port();
    let system = System::new(&format!(
        r#"
        [services.web]
        command = ["{{bin}}/deploy", "demo-service", "--name", "web", "--port", "{port}"]
        restart = {{ initial = "10ms", max_wait = "20ms" }}
        port = {{ port = {port}, interval = "100ms", timeout = "80ms", failures = 3 }}
        health = {{ url = "http://127.0.0.1:{port}/health", interval = "100ms", timeout = "80ms", failures = 3 }}
        "#
    ))
    .up();
    for restarts in 1..=6 {
        let before = system.service("web");
        break_by(port, "freeze");
        let after = system.until_restarted(&before);
        assert_eq!(after.number("restarts"), restarts, "{}", system.story());
        tells(
            &system,
            "web",
            &[" failed 3 of 3: ", "restart accepted", "SIGTERM to", "start pid", "ready after"],
        );
    }
    assert_eq!(count(&system, "web", "restart accepted"), 6, "{}", system.story());
    assert_eq!(system.service("web").number("restarts"), 6, "six, not seven");
}

#[test]
fn who_holds_the_port_is_said_at_the_start_and_is_left_alone() {
    let stranger = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = stranger.local_addr().expect("bound").port();
    let system = System::new(&demo(
        "web",
        port,
        &format!(
            r#"port = {{ port = {port}, interval = "200ms", timeout = "150ms", failures = 2 }}
            restart = {{ initial = "500ms", max_wait = "500ms" }}"#
        ),
    ))
    .up_at_once();
    let held = format!("port {port} is held by pid {} `", std::process::id());
    system.until("web", "told who is in its way", |web| web.reason().contains(&held));
    system.until_state("web", "backoff");
    eventually("its last words", || {
        let why = system.ctl(&["why", "web"]).out;
        why.contains(&held) && why.contains("in use")
    });
    // Not killed: we are still here. Once it is gone, all is well, and nothing is said of it any more.
    drop(stranger);
    let web = system.until_state("web", "running");
    assert_eq!(web.reason(), "");
    assert_eq!(
        count(&system, "web", "restart accepted"),
        0,
        "nobody asked for a restart: {}",
        system.story()
    );
}

#[test]
fn the_culprit_is_restarted_first_and_its_victims_only_if_they_are_still_sick() {
    let (db, backend, frontend) = (free_port(), free_port(), free_port());
    let depends = r#"depends_on = ["db"]"#;
    // The frontend is sick exactly as long as the db is; the backend is sick by itself as well.
    let file = [
        demo("db", db, &health(db)),
        demo("backend", backend, &format!("{depends}\n{}", health(backend))),
        demo("frontend", frontend, &format!("{depends}\n{}", health(db))),
    ];
    let system = System::new(&file.concat()).up();
    let before = ["db", "backend", "frontend"].map(|name| system.service(name));
    break_by(db, "sick");
    break_by(backend, "sick");
    system.until_restarted(&before[0]);
    system.until_restarted(&before[1]);
    let frontend = system.until("frontend", "well", |web| web.check("health")["state"] == "passing");
    assert_eq!(frontend.pid(), before[2].pid(), "a victim is not restarted: {}", system.story());
    let order = [
        first(&system, "db", "restart accepted"),
        events(&system).iter().filter(|e| e.1 == "db" && e.2.contains("ready after")).nth(1).expect("back").0,
        first(&system, "backend", "restart accepted"),
    ];
    assert!(order.is_sorted(), "{order:?} {}", system.story());
    assert_eq!(count(&system, "db", "restart accepted"), 1);
    tells(&system, "db", &["health failed 3 of 3: 503", "restart accepted", "ready after"]);
    tells(&system, "backend", &["restart held: its dependency db", "restart accepted", "ready after"]);
}

#[test]
fn a_spent_budget_holds_until_a_person_gives_a_new_one() {
    let port = free_port();
    let more = format!("restart = {{ monitor_budget = {{ max = 1, within = \"1h\" }} }}\n{}", health(port));
    let system = System::new(&demo("web", port, &more)).up();
    let before = system.service("web");
    break_by(port, "sick");
    let second = system.until_restarted(&before);
    break_by(port, "sick");
    let held = system.until("web", "held", |web| web.0["held"]["answer"] == "HELD_BUDGET");
    assert_eq!(text(&held.0["held"]["message"]), "budget of 1 in 1h is spent; `ctl reset` gives a new one");
    assert_eq!(held.incarnation(), second.incarnation());
    system.ctl(&["reset", "web"]).succeeded();
    let third = system.until_restarted(&second);
    assert_eq!(third.0["held"], Value::Null);
    tells(
        &system,
        "web",
        &["health failed 3 of 3: 503", "restart accepted (incarnation 2), budget 1 of 1", "ready after"],
    );
}

#[test]
fn when_all_go_bad_at_once_the_host_is_suspected() {
    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let page = Page::serve();
    let service = |name: &&str| {
        format!(
            r#"
            [services.{name}]
            command = "sleep 1000"
            restart = {{ initial = "10ms", max_wait = "20ms" }}
            health = {{ url = "http://127.0.0.1:{}/", interval = "200ms", timeout = "150ms", failures = 6 }}
            "#,
            page.port
        )
    };
    let services: String = NAMES.iter().map(service).collect();
    let system = System::new(&format!(
        "[supervisor]\nbrake = {{ share = 0.5, min = 4, window = \"6s\" }}\n{services}"
    ))
    .up();
    page.answer("500 No\r\n\r\n");
    let is_held = |status: &Value| {
        NAMES.iter().filter(|name| Service::of(status, name).0["held"]["answer"] == "HELD_BRAKE").count()
    };
    let mut seen = Value::Null;
    eventually("five of six held", || {
        seen = system.status();
        is_held(&seen) == 5
    });
    assert!(
        text(&seen["brake"]).contains("6 checked services went bad within 6s: suspecting the host"),
        "{seen}"
    );
    let shown = system.ctl(&["status"]).out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains("one restart is let through every 6s"), "{shown}");
    let accepted =
        |system: &System| NAMES.iter().map(|name| count(system, name, "restart accepted")).sum::<usize>();
    assert_eq!(accepted(&system), 1, "one is let through: {}", system.story());
    // It goes on, so it is real: when the window is over, each is restarted, once.
    eventually("all restarted", || accepted(&system) >= 6);
    page.answer("200 OK\r\n\r\n");
    for name in NAMES {
        system.until_state(name, "running");
        assert_eq!(count(&system, name, "restart accepted"), 1, "{}", system.story());
        tells(&system, name, &["health failed 6 of 6: 500", "restart accepted", "start pid", "ready after"]);
    }
    let held =
        NAMES.iter().filter(|name| system.why(name).iter().any(|line| line.contains("suspecting the host")));
    assert_eq!(held.count(), 5, "`why` says that it was held");
}
