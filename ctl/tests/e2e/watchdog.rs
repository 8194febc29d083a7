//! Frozen although alive: told from idle by evidence, restarted once, said in words.

use std::io::{Read, Write};
use std::time::Duration;

use crate::harness::{System, free_port, text, wants};

/// The demo's service, up and then frozen.
fn frozen(check: &str, watchdog: &str) -> System {
    let port = free_port();
    let system = System::new(&format!(
        r#"
        [services.web]
        command = ["{{bin}}/deploy", "demo-service", "--name", "web", "--port", "{port}"]
        watchdog = {{ {watchdog} }}
        [services.web.health]
        url = "http://127.0.0.1:{port}/health"
        interval = "200ms"
        timeout = "150ms"
        {check}
        "#
    ))
    .up();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("set");
    write!(stream, "GET /break/freeze HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
    // Gone before it is heard, it would not be.
    let _ = stream.read(&mut [0; 256]);
    system
}

#[test]
fn a_freeze_under_a_failing_check_is_restarted_and_the_stuck_are_named() {
    let system = frozen("on_failure = \"report\"", r#"cpu_idle = "2s""#);
    let first = crate::harness::Service(serde_json::json!({ "name": "web", "incarnation": 1 }));
    let after = system.until_restarted(&first);
    let why = system.why("web");
    let reason = why.iter().find(|line| line.starts_with("supervisor: watchdog: no CPU time for "));
    let reason = reason.unwrap_or_else(|| panic!("{why:#?}"));
    assert!(reason.contains(" while health fails: "), "{reason}");
    assert!(reason.contains("deploy is in state T (stopped)"), "{reason}");
    assert!(why.iter().any(|line| line.contains("restart accepted (incarnation 1), budget 1 of 10 in 1h")));
    assert_eq!(after.number("restarts"), 1);
}

#[test]
fn a_freeze_that_two_have_seen_is_one_restart() {
    // Both come to it at about the same time.
    let system = frozen("failures = 6", r#"cpu_idle = "1s""#);
    let first = crate::harness::Service(serde_json::json!({ "name": "web", "incarnation": 1 }));
    system.until_restarted(&first);
    let events: serde_json::Value =
        serde_json::from_str(&system.ctl(&["events", "-n", "500", "--json"]).out).expect("JSON");
    let accepted = events["events"].as_array().expect("a list").iter();
    let accepted = accepted.filter(|event| text(&event["message"]).starts_with("restart accepted")).count();
    assert_eq!(accepted, 1, "{}", system.story());
}

#[test]
fn who_is_only_reported_is_left_alone_and_told_well_when_it_moves() {
    let Some(perl) = wants("perl", None) else { return };
    let system = System::new(&format!(
        r#"
        [services.idler]
        command = ["{}", "-e", '$SIG{{USR1}} = sub {{ my $end = time + 2; 1 while time < $end }}; sleep 600 while 1']
        watchdog = {{ cpu_idle = "1s", evidence = "none", action = "report" }}
        "#,
        perl.display()
    ))
    .up();
    let before = system.service("idler");
    let idle =
        system.until("idler", "found idle", |now| now.reason().starts_with("frozen: no CPU time for "));
    assert_eq!((idle.state().as_str(), idle.pid()), ("running", before.pid()));
    let answer = system.ctl(&["status"]);
    assert_eq!(answer.code, 1, "one that is frozen is not well");
    let table = answer.out;
    assert!(table.contains("running: frozen: no CPU time for "), "{table}");
    system.ctl(&["signal", "USR1", "idler"]).succeeded();
    let moves = system.until("idler", "well", |now| !now.reason().starts_with("frozen: "));
    assert_eq!((moves.pid(), moves.number("restarts")), (before.pid(), 0), "left alone");
}

#[test]
fn a_promise_to_say_watchdog_is_kept_or_it_is_restarted() {
    let Some(perl) = wants("perl", None) else { return };
    let script = r#"
        use Socket;
        die unless $ENV{WATCHDOG_USEC} == 3000000;
        socket(my $speaker, PF_UNIX, SOCK_DGRAM, 0) or die $!;
        sub say_it { send($speaker, $_[0], 0, pack_sockaddr_un($ENV{NOTIFY_SOCKET})) or die $! }
        say_it("READY=1");
        while (1) {
            $silent ||= unlink($ARGV[0]);
            say_it("WATCHDOG=1") unless $silent;
            select(undef, undef, undef, 0.2);
        }
    "#;
    let system = System::new(&format!(
        r#"
        [services.app]
        command = ["{}", "-e", '''{script}''', "{{here}}/silent"]
        ready = "notify"
        watchdog = {{ notify = "3s" }}
        "#,
        perl.display()
    ))
    .up();
    let before = system.service("app");
    std::fs::write(system.path("silent"), "").expect("written");
    system.until_restarted(&before);
    let why = system.why("app");
    assert!(why.iter().any(|line| line.starts_with("supervisor: watchdog: no WATCHDOG=1 for ")), "{why:#?}");
    assert!(why.last().is_some_and(|line| line.contains("ready after")), "{why:#?}");
}
