//! A crash loop waits exactly as the policy says, gives up, says so, and begins again when told.

use serde_json::Value;

use crate::harness::{System, eventually, text};

#[test]
fn it_backs_off_gives_up_says_so_and_begins_again() {
    let system = System::new(
        r#"
        [services.flaky]
        shell = "date +%s%N >> {here}/starts; exit 3"
        restart = { initial = "200ms", factor = 2.0, jitter = 0, max = 3 }
        "#,
    )
    .up_at_once();
    let failed = system.until_state("flaky", "failed");
    assert_eq!(failed.reason(), "gave up after 4 failed runs in a row: exit 3");
    assert_eq!((failed.number("restarts"), failed.number("streak")), (3, 4));
    assert_eq!(failed.0["last_exit"]["code"], 3);
    assert_eq!(system.ctl(&["status"]).code, 1, "not as wanted");

    // Four starts: at once, then after 0, 200 and 400 ms; never earlier than the policy says.
    let starts = |system: &System| -> Vec<u64> {
        let text = std::fs::read_to_string(system.path("starts")).expect("written");
        text.lines().map(|line| line.parse::<u64>().expect("nanoseconds") / 1_000_000).collect()
    };
    let first = &starts(&system)[..4];
    let waits: Vec<u64> = first.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[1] >= 195 && waits[2] >= 395, "{waits:?}");

    let before = starts(&system).len();
    system.ctl(&["reset", "flaky"]).succeeded();
    system
        .until("flaky", "failed again", |now| now.state() == "failed" && starts(&system).len() == before + 4);
    let why = system.why("flaky");
    assert!(why.last().is_some_and(|line| line.contains("gave up after 4 failed runs")), "{why:?}");
}

#[test]
fn what_a_run_said_last_is_in_why_though_the_next_one_speaks_at_once() {
    let system = System::new(
        r#"
        [services.flaky]
        shell = "for i in $(seq 30); do echo line $i of $$ >&2; done; exit 3"
        restart = { initial = "10ms", jitter = 0, max = 3 }
        "#,
    )
    .up_at_once();
    system.until_state("flaky", "failed");
    let said = || -> Vec<(u64, String)> {
        let answer = system.ctl(&["events", "-n", "1000", "--json"]).out;
        let value: Value = serde_json::from_str(&answer).unwrap_or_default();
        let events = value["events"].as_array().cloned().unwrap_or_default();
        let of = |event: &Value| (event["incarnation"].as_u64().unwrap_or(0), text(&event["evidence"]));
        events.iter().filter(|event| event["kind"] == "output").map(of).collect()
    };
    eventually("four last words", || said().len() == 4);
    for (place, (incarnation, words)) in said().iter().enumerate() {
        assert_eq!(*incarnation, place as u64 + 1);
        let lines: Vec<&str> = words.lines().collect();
        let pid = lines[0].rsplit(' ').next().expect("a pid");
        let expected: Vec<String> = (11..=30).map(|number| format!("line {number} of {pid}")).collect();
        assert_eq!(lines, expected, "one run's, and all of them");
    }
    let why = system.ctl(&["why", "flaky"]).out;
    assert!(why.contains("line 30 of "), "{why}");
}

#[test]
fn the_wait_is_shown_while_it_lasts() {
    let system = System::new(
        r#"
        [services.flaky]
        command = "false"
        restart = { initial = "10m", max_wait = "10m", max = 9 }
        "#,
    )
    .up_at_once();
    let waiting = system.until_state("flaky", "backoff");
    let next = waiting.0["next_start_seconds"].as_f64().expect("a time");
    assert!((500.0..700.0).contains(&next), "{next}");
    let table = system.ctl(&["status"]);
    assert_eq!(table.code, 1);
    assert!(table.out.contains("(streak 2 of 9): exit 1"), "{}", table.out);
}
