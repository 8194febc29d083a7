//! A crash loop waits exactly as the policy says, gives up, says so, and begins again when told.

use crate::harness::System;

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
