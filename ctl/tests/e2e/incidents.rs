//! What happened stays known: incidents with their downtime, the same cause after every death, read with or without a
//! supervisor, followed without a gap.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::harness::{Page, System, eventually, free_port, kill, text};

impl System {
    /// What `incidents --json` says.
    fn incidents(&self) -> Vec<Value> {
        let answer = self.ctl(&["incidents", "--json"]).succeeded();
        let value: Value = serde_json::from_str(&answer.out).expect("JSON");
        value["incidents"].as_array().cloned().expect("a list")
    }

    /// Waits until there are so many incidents, all over.
    #[track_caller]
    fn until_over(&self, count: usize) -> Vec<Value> {
        let mut last = Vec::new();
        eventually(&format!("{count} incidents, all over"), || {
            last = self.incidents();
            last.len() == count && last.iter().all(|incident| !incident["healed"].is_null())
        });
        last
    }

    /// Kills the supervisor and waits for its successor.
    fn lose_supervisor(&self) {
        let dead = self.supervisor();
        kill(dead, "KILL");
        eventually("another supervisor", || {
            let status = self.status();
            status["supervisor"]["state"] == "up" && status["supervisor"]["pid"] != dead
        });
    }
}

fn cause(incident: &Value) -> (String, Option<u64>) {
    (text(&incident["cause"]["kind"]), incident["cause"]["incident"].as_u64())
}

/// A page that the story answers, for a service that it restarts in vain.
fn sick_page(page: &Page) -> String {
    format!(
        "command = \"sleep 1000\"\nhealth = {{ url = \"http://127.0.0.1:{}/\", interval = \"100ms\", timeout = \"80ms\" }}\n",
        page.port
    )
}

#[test]
fn why_tells_the_same_cause_after_an_upgrade_and_a_death() {
    let page = Page::serve();
    let system = System::new(&format!("[services.web]\n{}", sick_page(&page))).up();
    let before = system.service("web");
    page.answer("503 No\r\n\r\n");
    system.until("web", "restarted", |web| web.incarnation() > before.incarnation());
    page.answer("200 OK\r\n\r\n");
    let [incident] = &system.until_over(1)[..] else { panic!("one incident") };
    assert_eq!((cause(incident), text(&incident["healed_by"])), (("http".into(), None), "supervisor".into()));
    let told = system.ctl(&["why", "web"]).succeeded().out;
    assert!(told.starts_with("down "), "{told}");
    assert!(told.lines().next().is_some_and(|line| line.contains(", healed by ")), "{told}");
    assert!(told.contains("health failed 3 of 3: 503"), "{told}");
    system.ctl(&["upgrade"]).succeeded();
    assert_eq!(system.ctl(&["why", "web"]).succeeded().out, told);
    system.lose_supervisor();
    assert_eq!(system.ctl(&["why", "web"]).succeeded().out, told);
    assert_eq!(system.until_over(1), std::slice::from_ref(incident));
}

#[test]
fn an_incident_that_is_open_while_the_supervisor_dies_is_closed_by_the_next_one() {
    let page = Page::serve();
    let system = System::new(&format!("[services.web]\n{}", sick_page(&page))).up();
    page.answer("503 No\r\n\r\n");
    eventually("an open incident", || system.incidents().len() == 1);
    let id = system.incidents()[0]["id"].clone();
    assert!(system.ctl(&["why", "web"]).succeeded().out.starts_with("down "));
    system.lose_supervisor();
    page.answer("200 OK\r\n\r\n");
    let over = system.until_over(1);
    assert_eq!(over[0]["id"], id);
}

#[test]
fn each_fault_is_one_incident_and_a_person_s_restart_is_none() {
    let port = free_port();
    let system = System::new(&format!(
        r#"
        [services.web]
        command = ["{{bin}}/deploy", "demo-service", "--name", "web", "--port", "{port}"]
        health = {{ url = "http://127.0.0.1:{port}/health", interval = "200ms", timeout = "150ms" }}
        [services.once]
        shell = "exit 0"
        restart = "on-failure"
        "#
    ))
    .up();
    system.ctl(&["restart", "web"]).succeeded();
    assert_eq!(system.incidents(), [Value::Null; 0]);
    for (number, fault) in ["exit", "abort", "sick", "freeze"].iter().enumerate() {
        let before = system.service("web");
        crate::checks::get(port, &format!("/break/{fault}"));
        system.until_restarted(&before);
        system.until_over(number + 1);
    }
    let kinds: Vec<String> = system.incidents().iter().map(|incident| cause(incident).0).collect();
    assert_eq!(kinds, ["crash", "crash", "http", "http"]);
    let table = system.ctl(&["incidents", "web"]).succeeded().out;
    assert!(table.starts_with("ID "), "{table}");
    assert_eq!(table.lines().count(), 5, "{table}");
    let id = system.incidents()[2]["id"].to_string();
    let one = system.ctl(&["why", "web", "--incident", &id]).succeeded().out;
    assert!(one.contains("health failed 3 of 3: 503") && !one.contains("SIGABRT"), "{one}");
    let sheet = system.ctl(&["describe", "web"]).succeeded().out;
    assert!(sheet.contains("4 incidents, longest"), "{sheet}");
}

#[test]
fn a_broken_database_is_one_incident_with_consequences() {
    let page = Page::serve();
    let dependant = |name: &str| format!("[services.{name}]\ndepends_on = [\"db\"]\n{}", sick_page(&page));
    let system = System::new(&format!(
        "[services.db]\n{}{}{}{}",
        sick_page(&page),
        dependant("a"),
        dependant("b"),
        dependant("c")
    ))
    .up();
    eventually("all are running", || {
        ["a", "b", "c", "db"].iter().all(|name| system.service(name).state() == "running")
    });
    page.answer("503 No\r\n\r\n");
    eventually("four incidents", || system.incidents().len() == 4);
    page.answer("200 OK\r\n\r\n");
    let all = system.until_over(4);
    let of = |name: &str| all.iter().find(|incident| incident["service"] == name).expect("it has one");
    let db = of("db");
    assert_eq!(cause(db), ("http".into(), None));
    for name in ["a", "b", "c"] {
        assert_eq!(cause(of(name)), ("dependency".into(), db["id"].as_u64()), "{all:#?}");
    }
}

#[test]
fn downtime_is_what_an_observer_outside_measures() {
    let system = System::new("[services.web]\ncommand = \"sleep 1000\"\nrestart = { delay = \"1s\" }\n").up();
    let before = system.service("web");
    let killed = SystemTime::now();
    kill(before.pid(), "KILL");
    system.until_restarted(&before);
    let measured = killed.elapsed().expect("the clock goes on");
    let down = system.until_over(1)[0]["downtime_seconds"].as_f64().expect("a number");
    let slack = Duration::from_millis(900).as_secs_f64();
    assert!(down >= 1.0 && down <= measured.as_secs_f64() && down > 1.0 - slack, "{down} of {measured:?}");
}

#[test]
fn what_happened_is_read_from_the_disk_where_no_supervisor_runs() {
    let system = System::new("[services.web]\nshell = \"echo hello; exec sleep 1000\"\n").up();
    let before = system.service("web");
    kill(before.pid(), "KILL");
    system.until_restarted(&before);
    system.until_over(1);
    let asks: [&[&str]; 5] =
        [&["why", "web"], &["incidents"], &["events"], &["logs", "web"], &["describe", "web"]];
    let with: Vec<String> = asks.iter().map(|ask| system.ctl(ask).succeeded().out).collect();
    system.ctl(&["down"]).succeeded();
    for (ask, with) in asks.iter().zip(with) {
        let without = system.ctl(ask).succeeded();
        assert_eq!(without.err, "ctl: the supervisor is not running; read from disk\n", "{ask:?}");
        match ask[0] {
            "why" => assert!(without.out.contains("down by "), "{}", without.out),
            "events" => assert!(without.out.starts_with(&with), "{with}\n{}", without.out),
            "describe" => assert!(without.out.contains("stopped"), "{}", without.out),
            _ => assert_eq!(without.out, with, "{ask:?}"),
        }
    }
    assert_eq!(system.ctl(&["events", "-f"]).code, 3, "there is nothing to follow");
}

#[test]
fn status_lists_what_still_runs_while_nobody_supervises() {
    let system = System::new(
        "[services.web]\ncommand = \"sleep 1000\"\n[services.off]\ncommand = \"sleep 1000\"\nautostart = false\n",
    )
    .up();
    let web = system.service("web");
    system.ctl(&["down", "--keep-services"]).succeeded();
    let status = system.ctl(&["status"]);
    assert_eq!(status.code, 3, "{}", status.out);
    let row = status.out.lines().find(|line| line.starts_with("web ")).expect("its row");
    assert!(row.contains(&web.pid().to_string()), "{row}");
    assert!(status.out.contains("nobody supervises it"), "{}", status.out);
    assert!(!status.out.contains("off"), "{}", status.out);
    assert!(system.ctl(&["why", "web"]).succeeded().err.contains("read from disk"));
    system.ctl(&["up", "-d"]).succeeded();
    assert_eq!(system.service("web").pid(), web.pid(), "it was only looked at");
}

#[test]
fn a_follower_gets_every_event_over_deaths_and_upgrades() {
    const ROUNDS: usize = 12;
    let system = System::new(
        "[services.loop]\nshell = \"sleep 0.05; exit 1\"\nrestart = { initial = \"20ms\", max_wait = \"50ms\", max = 1000000 }\n",
    )
    .up();
    let mut follow = system
        .command(&["events", "-f", "-n", "1000000", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("ctl runs");
    let mut lines = BufReader::new(follow.stdout.take().expect("piped")).lines();
    let number = |line: std::io::Result<String>| {
        let event: Value = serde_json::from_str(&line.expect("text")).expect("an event");
        event["seq"].as_u64().expect("a number")
    };
    let first = number(lines.next().expect("it has begun"));
    let got = Arc::new(Mutex::new(vec![first]));
    let so_far = Arc::clone(&got);
    let reader = std::thread::spawn(move || {
        lines.map(number).for_each(|number| so_far.lock().expect("no panic").push(number));
    });
    for round in 0..ROUNDS {
        if round % 3 == 2 {
            system.ctl(&["upgrade"]).succeeded();
        } else {
            system.lose_supervisor();
        }
    }
    system.ctl(&["stop", "loop"]).succeeded();
    let journal = || {
        let files = std::fs::read_dir(system.path(".sereno/journal")).expect("there").flatten();
        let mut files: Vec<_> = files
            .map(|entry| entry.path())
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("events-")))
            .collect();
        files.sort();
        let text: String = files.iter().map(|path| std::fs::read_to_string(path).expect("text")).collect();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.map(|event| event["seq"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    eventually("the follower has everything", || got.lock().expect("no panic").len() == journal().len());
    follow.kill().expect("killed");
    follow.wait().expect("gone");
    reader.join().expect("no panic");
    let there = journal();
    assert!(there.is_sorted_by(|one, other| one < other), "no number is given twice");
    assert_eq!(*got.lock().expect("no panic"), there);
}

#[test]
fn the_supervisor_tells_its_own_deaths() {
    let system = System::new("[services.web]\ncommand = \"sleep 1000\"\n").up();
    let why = || system.ctl(&["why", "supervisor"]).succeeded().out;
    assert_eq!(why(), "the supervisor has not died so far\n");
    system.ctl(&["upgrade"]).succeeded();
    assert_eq!(why(), "the supervisor has not died so far\n");
    eventually("both monitors attached", || {
        let status = system.status();
        status["monitors"].as_array().is_some_and(|all| all.iter().all(|monitor| monitor["attached"] == true))
    });
    system.lose_supervisor();
    let told = why();
    assert!(told.contains(" started again by "), "{told}");
    assert!(told.contains(": nobody had supervised for "), "{told}");
}
